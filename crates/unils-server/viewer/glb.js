// Reads the heads that the page can show from a .glb: ours with its looks, or any with ARKit's shapes as morph targets.

const COMPONENTS = {
  5120: [Int8Array, 127], 5121: [Uint8Array, 255], 5122: [Int16Array, 32767],
  5123: [Uint16Array, 65535], 5125: [Uint32Array, 1], 5126: [Float32Array, 1],
};
const WIDTHS = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4, MAT4: 16 };

class Document {
  constructor(buffer) {
    const view = new DataView(buffer);
    if (buffer.byteLength < 20 || view.getUint32(0, true) !== 0x46546c67) {
      throw new Error("this is no .glb file");
    }
    const jsonLength = view.getUint32(12, true);
    this.json = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 20, jsonLength)));
    if ((this.json.extensionsRequired ?? []).some((name) => /draco|meshopt/i.test(name))) {
      throw new Error("the file is compressed (Draco or meshopt): export it without compression");
    }
    this.binary = buffer.slice(20 + jsonLength + 8);
  }

  /** Numbers of `count` elements in a buffer view. */
  numbers(viewIndex, byteOffset, component, width, count, normalized) {
    const view = this.json.bufferViews[viewIndex];
    const [Kind, most] = COMPONENTS[component];
    const size = Kind.BYTES_PER_ELEMENT * width;
    const stride = view.byteStride ?? size;
    const start = (view.byteOffset ?? 0) + (byteOffset ?? 0);
    const scale = normalized ? 1 / most : 1;
    // The usual case in one piece.
    if (stride === size && start % Kind.BYTES_PER_ELEMENT === 0) {
      const values = Float32Array.from(new Kind(this.binary, start, count * width));
      return scale === 1 ? values : values.map((value) => value * scale);
    }
    const out = new Float32Array(count * width);
    for (let i = 0; i < count; i++) {
      const at = start + i * stride;
      // Copied, because views need not be aligned.
      const element = new Kind(this.binary.slice(at, at + size));
      for (let k = 0; k < width; k++) out[i * width + k] = element[k] * scale;
    }
    return out;
  }

  accessor(index) {
    const accessor = this.json.accessors[index];
    const width = WIDTHS[accessor.type];
    const values = accessor.bufferView === undefined
      ? new Float32Array(accessor.count * width)
      : this.dense(accessor, width);
    if (accessor.sparse) {
      const { vertices, deltas } = this.sparse(accessor, width);
      vertices.forEach((vertex, i) => {
        for (let k = 0; k < width; k++) values[vertex * width + k] = deltas[i * width + k];
      });
    }
    return values;
  }

  dense(accessor, width) {
    return this.numbers(accessor.bufferView, accessor.byteOffset, accessor.componentType, width, accessor.count,
      accessor.normalized);
  }

  sparse(accessor, width) {
    const { count, indices, values } = accessor.sparse;
    return {
      vertices: this.numbers(indices.bufferView, indices.byteOffset, indices.componentType, 1, count, false),
      deltas: this.numbers(values.bufferView, values.byteOffset, accessor.componentType, width, count,
        accessor.normalized),
    };
  }

  /** What a morph target moves: vertices and displacements. */
  displacements(index) {
    const accessor = this.json.accessors[index];
    if (accessor.sparse && accessor.bufferView === undefined) return this.sparse(accessor, 3);
    const all = this.accessor(index);
    const vertices = [];
    const deltas = [];
    for (let vertex = 0; vertex < accessor.count; vertex++) {
      const delta = all.subarray(vertex * 3, vertex * 3 + 3);
      if (delta[0] || delta[1] || delta[2]) {
        vertices.push(vertex);
        deltas.push(...delta);
      }
    }
    return { vertices, deltas };
  }
}

/** Apple's name of a shape, however it is spelled: any case, `_L` for Left, prefixes before a dot. */
export function appleName(name, channels) {
  const plain = name.split(/[.]/).at(-1).replace(/^head_/, "").replace(/[_-]?(L|R)$/, (_, side) =>
    side === "L" ? "Left" : "Right").replace(/[_\s-]/g, "").toLowerCase();
  return channels.find((channel) => channel.toLowerCase() === plain) ?? name;
}

function expanded(runs) {
  const list = [];
  for (let i = 0; i < runs.length; i += 2) {
    for (let k = 0; k < runs[i + 1]; k++) list.push(runs[i] + k);
  }
  return list;
}

function globalMatrices(json) {
  const identity = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
  const multiply = (a, b) => {
    const out = new Array(16).fill(0);
    for (let c = 0; c < 4; c++) for (let r = 0; r < 4; r++) for (let k = 0; k < 4; k++) {
      out[c * 4 + r] += a[k * 4 + r] * b[c * 4 + k];
    }
    return out;
  };
  const local = ({ matrix, translation: t = [0, 0, 0], rotation: [x, y, z, w] = [0, 0, 0, 1], scale: s = [1, 1, 1] }) =>
    matrix ?? [
      (1 - 2 * (y * y + z * z)) * s[0], 2 * (x * y + z * w) * s[0], 2 * (x * z - y * w) * s[0], 0,
      2 * (x * y - z * w) * s[1], (1 - 2 * (x * x + z * z)) * s[1], 2 * (y * z + x * w) * s[1], 0,
      2 * (x * z + y * w) * s[2], 2 * (y * z - x * w) * s[2], (1 - 2 * (x * x + y * y)) * s[2], 0,
      t[0], t[1], t[2], 1,
    ];
  const matrices = new Map();
  const visit = (index, parent) => {
    if (matrices.has(index)) return;
    const node = json.nodes[index];
    const matrix = multiply(parent, local(node));
    matrices.set(index, matrix);
    (node.children ?? []).forEach((child) => visit(child, matrix));
  };
  const scene = json.scenes?.[json.scene ?? 0];
  (scene?.nodes ?? json.nodes?.map((_, index) => index) ?? []).forEach((index) => visit(index, identity));
  return matrices;
}

function material(json, index) {
  const source = json.materials?.[index] ?? {};
  const shading = source.pbrMetallicRoughness ?? {};
  return {
    name: source.name ?? "",
    color: shading.baseColorFactor ?? [0.8, 0.8, 0.8, 1],
    roughness: Math.max(shading.roughnessFactor ?? 1, 0.12),
    metallic: shading.metallicFactor ?? 0,
    softness: source.extras?.softness ?? (/skin|head|face/i.test(source.name ?? "") ? 0.75 : 0.2),
  };
}

/**
 * A head: `positions` and `colors` by vertex, `triangles`, `parts` with their materials, `shapes` by name,
 * `weights` of the head's rotation by vertex, the `pivot` of that rotation, and `looks`.
 */
export function readHead(buffer, channels) {
  const document = new Document(buffer);
  const { json } = document;
  const own = json.meshes?.find((mesh) => mesh.extras?.unils?.version === 1);
  const head = { positions: [], colors: [], weights: [], triangles: [], parts: [], shapes: new Map(), looks: [] };
  const shape = (name) => {
    if (!head.shapes.has(name)) head.shapes.set(name, { vertices: [], deltas: [] });
    return head.shapes.get(name);
  };
  const add = (primitive, names, vertexOf, matrix, torso) => {
    const place = (v, isDirection) => matrix
      ? [0, 1, 2].map((r) => matrix[r] * v[0] + matrix[4 + r] * v[1] + matrix[8 + r] * v[2] + (isDirection ? 0 : matrix[12 + r]))
      : [v[0], v[1], v[2]];
    const positions = document.accessor(primitive.attributes.POSITION);
    const color = primitive.attributes.COLOR_0;
    const colors = color === undefined ? null : document.accessor(color);
    const colorWidth = colors ? (colors.length / positions.length) * 3 : 0;
    const joints = torso === undefined ? null : document.accessor(primitive.attributes.JOINTS_0);
    const weights = torso === undefined ? null : document.accessor(primitive.attributes.WEIGHTS_0);
    for (let i = 0; i < positions.length / 3; i++) {
      const vertex = vertexOf(i);
      const position = place(positions.subarray(i * 3, i * 3 + 3));
      for (let k = 0; k < 3; k++) {
        head.positions[vertex * 3 + k] = position[k];
        head.colors[vertex * 3 + k] = colors ? colors[i * colorWidth + k] : 1;
      }
      let weight = 1;
      if (joints) {
        weight = 0;
        for (let k = 0; k < 4; k++) if (joints[i * 4 + k] !== torso) weight += weights[i * 4 + k];
      }
      head.weights[vertex] = weight;
    }
    const indices = primitive.indices === undefined
      ? Array.from({ length: positions.length / 3 }, (_, i) => i)
      : document.accessor(primitive.indices);
    const first = head.triangles.length;
    for (const index of indices) head.triangles.push(vertexOf(index));
    head.parts.push({ first, count: head.triangles.length - first, material: material(json, primitive.material) });
    (primitive.targets ?? []).forEach((target, number) => {
      if (target.POSITION === undefined || !names[number]) return;
      const { vertices, deltas } = document.displacements(target.POSITION);
      const to = shape(appleName(names[number], channels));
      for (let i = 0; i < vertices.length; i++) {
        to.vertices.push(vertexOf(vertices[i]));
        to.deltas.push(...place([deltas[i * 3], deltas[i * 3 + 1], deltas[i * 3 + 2]], true));
      }
    });
  };
  if (own) {
    const facts = own.extras.unils;
    head.positions = new Array(facts.vertices * 3).fill(0);
    head.colors = new Array(facts.vertices * 3).fill(1);
    head.weights = new Array(facts.vertices).fill(1);
    for (const primitive of own.primitives) {
      const list = expanded(primitive.extras.vertices);
      add(primitive, own.extras.targetNames, (i) => list[i], null, facts.torso_joint ?? undefined);
    }
    head.pivot = facts.pivot;
    head.looks = facts.looks;
    head.isOurs = true;
  } else {
    const matrices = globalMatrices(json);
    (json.nodes ?? []).forEach((node, index) => {
      if (node.mesh === undefined || !matrices.has(index)) return;
      const mesh = json.meshes[node.mesh];
      const names = mesh.extras?.targetNames ?? [];
      for (const primitive of mesh.primitives) {
        const base = head.positions.length / 3;
        add(primitive, names, (i) => base + i, node.skin === undefined ? matrices.get(index) : null);
      }
    });
    if (!head.shapes.has("jawOpen")) throw new Error("the file has no shape jawOpen: ARKit's 52 shapes are needed");
    const bounds = extent(head.positions);
    head.pivot = [(bounds[0][0] + bounds[1][0]) / 2, bounds[0][1] + 0.25 * (bounds[1][1] - bounds[0][1]),
      bounds[0][2] + 0.4 * (bounds[1][2] - bounds[0][2])];
  }
  return pack(head);
}

function extent(positions) {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (let i = 0; i < positions.length; i++) {
    low[i % 3] = Math.min(low[i % 3], positions[i]);
    high[i % 3] = Math.max(high[i % 3], positions[i]);
  }
  return [low, high];
}

/** Typed arrays, and which vertices share a place (they share a normal). */
function pack(head) {
  const positions = Float32Array.from(head.positions);
  const count = positions.length / 3;
  const places = new Map();
  const twin = new Uint32Array(count);
  for (let vertex = 0; vertex < count; vertex++) {
    const key = [0, 1, 2].map((k) => Math.round(positions[vertex * 3 + k] * 1e6)).join();
    if (!places.has(key)) places.set(key, vertex);
    // Our head joins its parts by vertex already: places that touch by chance stay apart.
    twin[vertex] = head.isOurs ? vertex : places.get(key);
  }
  const shapes = new Map();
  for (const [name, { vertices, deltas }] of head.shapes) {
    shapes.set(name, { vertices: Uint32Array.from(vertices), deltas: Float32Array.from(deltas) });
  }
  return {
    ...head, positions, twin, shapes,
    colors: Float32Array.from(head.colors),
    weights: Float32Array.from(head.weights),
    triangles: Uint32Array.from(head.triangles),
  };
}
