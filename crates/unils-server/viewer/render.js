// Draws faces with WebGL 2: a key light with soft shadows, fill, rims and sky, fixed to the camera.
//
// Where pictures take their time (no graphics card, a large screen) the page must not wait for them: sound and motion come
// first. A picture is begun when the last one is done, and has fewer points until it is quick enough.

import { affine, cross, dot, perspective } from "./math.js";
import {
  DEPTH_FRAGMENT, DEPTH_VERTEX, FACE_FRAGMENT, FACE_VERTEX, WALL_FRAGMENT, WALL_VERTEX,
} from "./shaders.js";

const KEY = [-0.456435, 0.503951, 0.733261];
const FIELD = 0.45;
/** The head's share of the picture's height and width, and how far above the middle it stands. */
const HEAD_SHARE = 0.64;
const HEAD_WIDTH = 0.74;
const RAISED = 0.05;
const SHADOW_SIZE = 1024;
/** How much of a bust may be left out below, and how much of the picture's height covers its lower edge. */
const LOWERED = -0.12;
const COVERED = 0.05;
/** Milliseconds for a picture: slower ones get fewer points, quicker ones more again. */
const SLOW = 45;
const QUICK = 36;
const LEAST_SCALE = 0.45;
/** The longest side of a head's picture in points. */
const MOST_POINTS = 2048;

export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.gl = canvas.getContext("webgl2", { antialias: true, alpha: false, preserveDrawingBuffer: true });
    if (!this.gl) throw new Error("this browser does not offer WebGL 2: switch hardware acceleration on, or try another browser");
    this.faces = [];
    this.scale = 1;
    this.pace = SLOW / 2;
    this.quick = 0;
    this.patience = 120;
    this.pending = null;
    this.next = 0;
    this.build();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.pending = null;
      this.build();
      this.faces = this.faces.map(({ face }) => new Drawn(this.gl, face));
    });
  }

  build() {
    const gl = this.gl;
    this.depth = program(gl, DEPTH_VERTEX, DEPTH_FRAGMENT, ["lamp"]);
    this.paint = program(gl, FACE_VERTEX, FACE_FRAGMENT,
      ["view", "projection", "lamp", "base", "surface", "shadows", "texel", "picture", "cutoff"]);
    this.wall = program(gl, WALL_VERTEX, WALL_FRAGMENT, []);
    this.empty = gl.createVertexArray();
    this.map = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.map);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.DEPTH_COMPONENT24, SHADOW_SIZE, SHADOW_SIZE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_COMPARE_MODE, gl.COMPARE_REF_TO_TEXTURE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    this.target = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.target);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.TEXTURE_2D, this.map, 0);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    this.white = texture(gl, new ImageData(new Uint8ClampedArray([255, 255, 255, 255]), 1, 1));
  }

  /** Shows these faces, side by side. */
  show(faces) {
    this.faces.forEach((drawn) => drawn.free(this.gl));
    this.faces = faces.map((face) => new Drawn(this.gl, face));
  }

  /** Poses and draws a frame for each face; `turns` are where the cameras stand round. */
  draw(frames, turns = []) {
    const gl = this.gl;
    if (!this.isDone()) return;
    const ratio = Math.min(window.devicePixelRatio || 1, 2) * this.scale;
    const width = Math.max(Math.round(this.canvas.clientWidth * ratio), 1);
    const height = Math.max(Math.round(this.canvas.clientHeight * ratio), 1);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const count = Math.max(this.faces.length, 1);
    // Side by side, or one above the other where the picture is higher than wide.
    const isTall = height > width;
    this.faces.forEach((drawn, index) => {
      drawn.update(gl, frames[index]);
      const box = isTall
        ? [0, Math.round(height * (count - 1 - index) / count), width, Math.ceil(height / count)]
        : [Math.round(width * index / count), 0, Math.ceil(width / count), height];
      this.one(drawn, box, turns[index] ?? 0);
    });
    if (!this.faces.length) this.backdrop([0, 0, width, height]);
    this.pending = { fence: gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0), begun: performance.now() };
    gl.flush();
  }

  /** Whether the last picture is drawn; learns from how long it took. */
  isDone() {
    if (!this.pending) return performance.now() >= this.next;
    const { gl, pending } = this;
    if (gl.getSyncParameter(pending.fence, gl.SYNC_STATUS) !== gl.SIGNALED && !gl.isContextLost()) return false;
    gl.deleteSync(pending.fence);
    this.pending = null;
    // One long wait says little: the page may have been busy, or in the background.
    const took = Math.min(performance.now() - pending.begun, 4 * SLOW);
    this.pace += 0.2 * (took - this.pace);
    // Where the processor draws, sound and motion need their share of it.
    this.next = performance.now() + (took > SLOW ? took / 2 : 0);
    this.quick = this.pace < QUICK ? this.quick + 1 : 0;
    if (this.pace > SLOW && this.scale > LEAST_SCALE) {
      this.scale = Math.max(this.scale * 0.75, LEAST_SCALE);
      this.pace = SLOW / 2;
      this.patience *= 2;
    } else if (this.quick > this.patience && this.scale < 1) {
      this.scale = Math.min(this.scale / 0.75, 1);
      this.quick = 0;
    }
    return performance.now() >= this.next;
  }

  backdrop(box) {
    const gl = this.gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(...box);
    gl.scissor(...box);
    gl.enable(gl.SCISSOR_TEST);
    gl.clear(gl.DEPTH_BUFFER_BIT | gl.COLOR_BUFFER_BIT);
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.CULL_FACE);
    gl.useProgram(this.wall.program);
    gl.bindVertexArray(this.empty);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  one(drawn, box, yaw) {
    const gl = this.gl;
    const { center, size, radius, low, lowest } = drawn.face;
    const aspect = box[2] / box[3];
    const seen = Math.max(size[1] / HEAD_SHARE, size[0] / aspect / HEAD_WIDTH);
    const away = seen / (2 * Math.tan(FIELD / 2));
    const [sin, cos] = [Math.sin(yaw), Math.cos(yaw)];
    const rows = [[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]];
    const moved = rows.map((row) => -dot(row, center));
    // A bust that ended within the picture would float: the picture ends before it does.
    const isBust = lowest < low[1] - 0.2 * size[1];
    const room = (center[1] - lowest) / seen - 0.5 - COVERED;
    const raised = isBust ? Math.min(Math.max(room, LOWERED), RAISED) : RAISED;
    const view = affine(rows, [moved[0], moved[1] + raised * seen, moved[2] - away]);
    const projection = perspective(FIELD, aspect, away * 0.2, away * 3);

    // The lamp stands fixed to the camera: its map is drawn in view space.
    const middle = [0, 0, -away];
    const across = normalized(cross([0, 1, 0], KEY));
    const along = cross(KEY, across);
    const lampRows = [across, along, KEY.map((value) => -value)].map((row) => row.map((value) => value / radius));
    const lamp = affine(lampRows, lampRows.map((row) => -dot(row, middle)));
    gl.bindVertexArray(drawn.vertices);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.target);
    gl.disable(gl.SCISSOR_TEST);
    gl.viewport(0, 0, SHADOW_SIZE, SHADOW_SIZE);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    gl.disable(gl.CULL_FACE);
    gl.clear(gl.DEPTH_BUFFER_BIT);
    gl.useProgram(this.depth.program);
    gl.uniformMatrix4fv(this.depth.lamp, false, times(lamp, view));
    for (const { first, count, material } of drawn.face.parts) {
      if (casts(material)) gl.drawElements(gl.TRIANGLES, count, gl.UNSIGNED_INT, first * 4);
    }

    this.backdrop(box);
    gl.enable(gl.DEPTH_TEST);
    gl.useProgram(this.paint.program);
    gl.bindVertexArray(drawn.vertices);
    gl.uniformMatrix4fv(this.paint.view, false, view);
    gl.uniformMatrix4fv(this.paint.projection, false, projection);
    gl.uniformMatrix4fv(this.paint.lamp, false, lamp);
    gl.uniform1f(this.paint.texel, (2 * radius) / SHADOW_SIZE);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.map);
    gl.uniform1i(this.paint.shadows, 0);
    gl.uniform1i(this.paint.picture, 1);
    gl.activeTexture(gl.TEXTURE1);
    // What is seen through comes last.
    for (const isThrough of [false, true]) {
      for (const { first, count, material } of drawn.face.parts) {
        if ((material.mode === "BLEND") !== isThrough) continue;
        gl.bindTexture(gl.TEXTURE_2D, drawn.pictures.get(material.image) ?? this.white);
        gl.uniform4fv(this.paint.base, material.color);
        gl.uniform3f(this.paint.surface, material.roughness, material.softness, material.metallic);
        gl.uniform1f(this.paint.cutoff, material.mode === "MASK" ? material.cutoff : -1);
        gl.drawElements(gl.TRIANGLES, count, gl.UNSIGNED_INT, first * 4);
      }
      gl.enable(gl.BLEND);
      gl.depthMask(false);
    }
    gl.disable(gl.BLEND);
    gl.depthMask(true);
  }
}

/** A face's buffers. */
class Drawn {
  constructor(gl, face) {
    this.face = face;
    this.vertices = gl.createVertexArray();
    this.buffers = [];
    gl.bindVertexArray(this.vertices);
    const attribute = (index, size, values, usage) => {
      const buffer = gl.createBuffer();
      this.buffers.push(buffer);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, values, usage);
      gl.enableVertexAttribArray(index);
      gl.vertexAttribPointer(index, size, gl.FLOAT, false, 0, 0);
      return buffer;
    };
    this.positions = attribute(0, 3, face.positions, gl.DYNAMIC_DRAW);
    this.normals = attribute(1, 3, face.normals, gl.DYNAMIC_DRAW);
    attribute(2, 3, face.head.colors, gl.STATIC_DRAW);
    this.openness = attribute(3, 1, face.openness, gl.DYNAMIC_DRAW);
    attribute(4, 2, face.head.uvs, gl.STATIC_DRAW);
    const triangles = gl.createBuffer();
    this.buffers.push(triangles);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, triangles);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, face.head.triangles, gl.STATIC_DRAW);
    gl.bindVertexArray(null);
    const images = new Set(face.parts.map(({ material }) => material.image).filter((image) => image?.bitmap));
    this.pictures = new Map([...images].map((image) => [image, texture(gl, image.bitmap)]));
  }

  free(gl) {
    gl.deleteVertexArray(this.vertices);
    this.buffers.forEach((buffer) => gl.deleteBuffer(buffer));
    this.pictures.forEach((picture) => gl.deleteTexture(picture));
  }

  update(gl, frame) {
    this.face.pose(frame);
    const fill = (buffer, values) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferSubData(gl.ARRAY_BUFFER, 0, values);
    };
    fill(this.positions, this.face.positions);
    fill(this.normals, this.face.normals);
    fill(this.openness, this.face.openness);
  }
}

/** Whether a part keeps light from others: not lashes, the glints of the eyes, and what is seen through. */
export const casts = ({ name, mode }) => mode !== "BLEND" && !/glint|lash/i.test(name);

/** A picture of colours for the graphics card. */
function texture(gl, picture) {
  const made = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, made);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.SRGB8_ALPHA8, gl.RGBA, gl.UNSIGNED_BYTE, picture);
  gl.generateMipmap(gl.TEXTURE_2D);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
  return made;
}

/** Decodes the pictures of a head; how many of them the browser cannot draw. */
export async function decodePictures(head) {
  const images = new Set(head.parts.map(({ material }) => material.image).filter(Boolean));
  const plain = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  let failed = 0;
  for (const image of images) {
    try {
      const whole = await createImageBitmap(new Blob([image.bytes], { type: image.kind }), plain);
      const { width, height } = whole;
      const share = MOST_POINTS / Math.max(width, height);
      image.bitmap = share >= 1 ? whole : await createImageBitmap(whole, {
        ...plain, resizeWidth: Math.max(Math.round(width * share), 1), resizeHeight: Math.max(Math.round(height * share), 1),
      });
    } catch {
      failed += 1;
    }
  }
  return failed;
}

function normalized(a) {
  const length = Math.hypot(...a);
  return a.map((value) => value / length);
}

function times(a, b) {
  const out = new Float32Array(16);
  for (let c = 0; c < 4; c++) for (let r = 0; r < 4; r++) for (let k = 0; k < 4; k++) {
    out[c * 4 + r] += a[k * 4 + r] * b[c * 4 + k];
  }
  return out;
}

function program(gl, vertex, fragment, uniforms) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
  return Object.fromEntries([["program", made], ...uniforms.map((name) => [name, gl.getUniformLocation(made, name)])]);
}
