// A head that motion moves: from a frame of numbers to vertices, normals, and how much of the sky each vertex sees.

import { cross, dot, headRotation, unit } from "./math.js";
import { casts } from "./render.js";

/** Directions from which the sky is measured, and the side of their depth maps. */
const DIRECTIONS = 48;
const MAP = 128;

/** How far an eye turns for a look of 1, radians. */
const EYE_YAW = 0.52;
const EYE_PITCH = 0.44;

const OPEN_MOUTH = {
  jawOpen: 0.6, mouthUpperUpLeft: 0.5, mouthUpperUpRight: 0.5, mouthLowerDownLeft: 0.5, mouthLowerDownRight: 0.5,
};

export class Face {
  /** `channels` are the names of a frame's numbers. */
  constructor(head, look, channels) {
    this.head = head;
    this.channels = channels;
    this.rest = head.positions.slice();
    this.parts = head.parts.map((part) => ({ ...part, material: { ...part.material } }));
    const chosen = head.looks.find(({ name }) => name === look);
    if (chosen) {
      for (const { material } of this.parts) material.color = chosen.colors[material.name] ?? material.color;
      for (const [name, weight] of Object.entries(chosen.shapes)) this.add(this.rest, name, weight);
    }
    this.positions = this.rest.slice();
    this.normals = new Float32Array(this.rest.length);
    this.openness = new Float32Array(this.rest.length / 3).fill(1);
    this.closed = null;
    this.change = null;
    this.moving = channels.map((name) => head.shapes.get(name));
    this.angles = ["headYaw", "headPitch", "headRoll"].map((name) => channels.indexOf(name));
    this.jaw = channels.indexOf("jawOpen");
    this.eyes = head.eyes.map((eye) => ({
      ...eye, looks: ["Out", "In", "Down", "Up"].map((look) => channels.indexOf(`eyeLook${look}${eye.isLeft ? "Left" : "Right"}`)),
    }));
    this.measure();
  }

  /** Where it stands: \`low\`, \`center\` and \`size\` of the head, the \`radius\` around all that is seen, the \`lowest\` height. */
  measure() {
    const { rest, head } = this;
    const [low, high] = head.frame ?? this.bounds();
    this.low = low;
    this.center = low.map((value, k) => (value + high[k]) / 2);
    this.size = low.map((value, k) => high[k] - value);
    this.radius = 0;
    this.lowest = Infinity;
    for (let i = 0; i < rest.length; i += 3) {
      const away = Math.hypot(rest[i] - this.center[0], rest[i + 1] - this.center[1], rest[i + 2] - this.center[2]);
      this.radius = Math.max(this.radius, away);
      this.lowest = Math.min(this.lowest, rest[i + 1]);
    }
    // Light and shadow of a body that is not seen do not matter; and room for what moves.
    this.radius = 1.1 * Math.min(this.radius, 2 * Math.hypot(...this.size));
  }

  add(positions, name, weight) {
    const shape = this.head.shapes.get(name);
    if (shape) addShape(positions, shape, weight);
  }

  /** Moves the vertices to a frame. */
  pose(frame) {
    this.positions.set(this.rest);
    for (let channel = 0; channel < this.moving.length; channel++) {
      const weight = frame[channel];
      if (this.moving[channel] && weight) addShape(this.positions, this.moving[channel], weight);
    }
    this.turnEyes(frame);
    const [yaw, pitch, roll] = this.angles.map((index) => frame[index] ?? 0);
    this.turn(headRotation(yaw, pitch, roll));
    computeNormals(this.positions, this.head, this.normals);
    if (this.closed) {
      const shut = 1 - Math.min(Math.max((frame[this.jaw] ?? 0) / (OPEN_MOUTH.jawOpen / 2), 0), 1);
      const mouth = 1 - shut * shut;
      for (let i = 0; i < this.openness.length; i++) this.openness[i] = this.closed[i] + mouth * this.change[i];
    }
  }

  turnEyes(frame) {
    const p = this.positions;
    for (const { isLeft, center, vertices, looks } of this.eyes) {
      const [out, inward, down, up] = looks.map((index) => frame[index] ?? 0);
      const rows = headRotation((isLeft ? 1 : -1) * (out - inward) * EYE_YAW, (down - up) * EYE_PITCH, 0);
      for (const vertex of vertices) {
        const v = [0, 1, 2].map((k) => p[vertex * 3 + k] - center[k]);
        for (let k = 0; k < 3; k++) p[vertex * 3 + k] = center[k] + dot(rows[k], v);
      }
    }
  }

  turn(rows) {
    const { pivot, weights } = this.head;
    const p = this.positions;
    for (let i = 0; i < p.length; i += 3) {
      const weight = weights[i / 3];
      if (!weight) continue;
      const v = [p[i] - pivot[0], p[i + 1] - pivot[1], p[i + 2] - pivot[2]];
      for (let k = 0; k < 3; k++) p[i + k] += weight * (dot(rows[k], v) + pivot[k] - p[i + k]);
    }
  }

  /** Bounds of what follows the head's rotation, at rest. */
  bounds() {
    const low = [Infinity, Infinity, Infinity];
    const high = [-Infinity, -Infinity, -Infinity];
    for (let vertex = 0; vertex < this.rest.length / 3; vertex++) {
      if (this.head.weights[vertex] < 0.5) continue;
      for (let k = 0; k < 3; k++) {
        low[k] = Math.min(low[k], this.rest[vertex * 3 + k]);
        high[k] = Math.max(high[k], this.rest[vertex * 3 + k]);
      }
    }
    return [low, high];
  }

  /** Measures how much of the sky is seen, with the mouth closed and open. Gives way to the page now and then. */
  async measureSky() {
    const measure = async (values) => {
      const frame = new Float32Array(this.channels.length);
      for (const [name, value] of Object.entries(values)) frame[this.channels.indexOf(name)] = value;
      this.pose(frame);
      // Copied: the picture moves the face while this goes on.
      return sky(this.positions.slice(), this.normals.slice(), this.casters(), this);
    };
    const closed = await measure({});
    const open = await measure(OPEN_MOUTH);
    this.change = open.map((value, i) => value - closed[i]);
    this.closed = closed;
  }

  /** Triangles that hide what is behind them. */
  casters() {
    return this.parts.filter(({ material }) => casts(material)).map(({ first, count }) => this.head.triangles.subarray(first, first + count));
  }
}

function addShape(positions, { vertices, deltas }, weight) {
  for (let i = 0; i < vertices.length; i++) {
    const at = vertices[i] * 3;
    positions[at] += weight * deltas[i * 3];
    positions[at + 1] += weight * deltas[i * 3 + 1];
    positions[at + 2] += weight * deltas[i * 3 + 2];
  }
}

/** Normals from the triangles around each vertex, by their area. */
function computeNormals(p, { triangles, twin }, normals) {
  normals.fill(0);
  for (let t = 0; t < triangles.length; t += 3) {
    const a = triangles[t] * 3, b = triangles[t + 1] * 3, c = triangles[t + 2] * 3;
    const ux = p[b] - p[a], uy = p[b + 1] - p[a + 1], uz = p[b + 2] - p[a + 2];
    const vx = p[c] - p[a], vy = p[c + 1] - p[a + 1], vz = p[c + 2] - p[a + 2];
    const nx = uy * vz - uz * vy, ny = uz * vx - ux * vz, nz = ux * vy - uy * vx;
    for (let k = 0; k < 3; k++) {
      const at = twin[triangles[t + k]] * 3;
      normals[at] += nx;
      normals[at + 1] += ny;
      normals[at + 2] += nz;
    }
  }
  for (let i = 0; i < normals.length; i += 3) {
    const from = twin[i / 3] * 3;
    const length = Math.hypot(normals[from], normals[from + 1], normals[from + 2]) || 1;
    normals[i] = normals[from] / (from === i ? length : 1);
    normals[i + 1] = normals[from + 1] / (from === i ? length : 1);
    normals[i + 2] = normals[from + 2] / (from === i ? length : 1);
  }
}

/** Evenly spread directions. */
function sphere(count) {
  const golden = Math.PI * (3 - Math.sqrt(5));
  return Array.from({ length: count }, (_, i) => {
    const y = 1 - (2 * i + 1) / count;
    const r = Math.sqrt(1 - y * y);
    return [r * Math.cos(golden * i), y, r * Math.sin(golden * i)];
  });
}

/** The share of the sky above each vertex, by the cosine: depth maps from many directions. */
async function sky(positions, normals, casters, { center, radius }) {
  const count = positions.length / 3;
  const seen = new Float32Array(count);
  const all = new Float32Array(count);
  const texel = (2 * radius) / MAP;
  const heights = new Float32Array(MAP * MAP);
  const placed = new Float32Array(positions.length);
  for (const [number, direction] of sphere(DIRECTIONS).entries()) {
    const across = unit(cross(Math.abs(direction[1]) < 0.9 ? [0, 1, 0] : [1, 0, 0], direction));
    const along = cross(direction, across);
    for (let i = 0; i < positions.length; i += 3) {
      const v = [positions[i] - center[0], positions[i + 1] - center[1], positions[i + 2] - center[2]];
      placed[i] = dot(across, v) / texel + MAP / 2;
      placed[i + 1] = dot(along, v) / texel + MAP / 2;
      placed[i + 2] = dot(direction, v);
    }
    heights.fill(-Infinity);
    casters.forEach((triangles) => rasterize(placed, triangles, heights));
    for (let vertex = 0; vertex < count; vertex++) {
      const n = vertex * 3;
      const cosine = normals[n] * direction[0] + normals[n + 1] * direction[1] + normals[n + 2] * direction[2];
      if (cosine <= 0) continue;
      all[vertex] += cosine;
      const x = Math.min(Math.max(Math.floor(placed[n]), 0), MAP - 1);
      const y = Math.min(Math.max(Math.floor(placed[n + 1]), 0), MAP - 1);
      if (heights[y * MAP + x] < placed[n + 2] + texel * (1.2 + 1.5 * (1 - cosine))) seen[vertex] += cosine;
    }
    if (number % 4 === 3) await new Promise((resolve) => setTimeout(resolve));
  }
  return seen.map((value, vertex) => (all[vertex] ? value / all[vertex] : 1));
}

function rasterize(p, triangles, heights) {
  for (let t = 0; t < triangles.length; t += 3) {
    const a = triangles[t] * 3, b = triangles[t + 1] * 3, c = triangles[t + 2] * 3;
    const area = (p[b] - p[a]) * (p[c + 1] - p[a + 1]) - (p[c] - p[a]) * (p[b + 1] - p[a + 1]);
    if (area === 0) continue;
    const x0 = Math.max(Math.floor(Math.min(p[a], p[b], p[c])), 0);
    const x1 = Math.min(Math.floor(Math.max(p[a], p[b], p[c])), MAP - 1);
    const y0 = Math.max(Math.floor(Math.min(p[a + 1], p[b + 1], p[c + 1])), 0);
    const y1 = Math.min(Math.floor(Math.max(p[a + 1], p[b + 1], p[c + 1])), MAP - 1);
    for (let y = y0; y <= y1; y++) {
      for (let x = x0; x <= x1; x++) {
        const px = x + 0.5 - p[a], py = y + 0.5 - p[a + 1];
        const sb = (px * (p[c + 1] - p[a + 1]) - (p[c] - p[a]) * py) / area;
        const sc = ((p[b] - p[a]) * py - px * (p[b + 1] - p[a + 1])) / area;
        if (sb < 0 || sc < 0 || sb + sc > 1) continue;
        const height = p[a + 2] + sb * (p[b + 2] - p[a + 2]) + sc * (p[c + 2] - p[a + 2]);
        if (height > heights[y * MAP + x]) heights[y * MAP + x] = height;
      }
    }
  }
}
