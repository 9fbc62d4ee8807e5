// glTF 2.0 from a file that anybody may have written: every place is checked before it is read.

const COMPONENTS = {
  5120: [Int8Array, 127], 5121: [Uint8Array, 255], 5122: [Int16Array, 32767],
  5123: [Uint16Array, 65535], 5125: [Uint32Array, 1], 5126: [Float32Array, 1],
};
const WIDTHS = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4, MAT4: 16 };
const MAGIC = 0x46546c67;
const JSON_CHUNK = 0x4e4f534a;
const BINARY_CHUNK = 0x004e4942;

/** More than any head has: bounds what a file can make the page allocate. */
export const MOST_VERTICES = 1_000_000;
export const MOST_TRIANGLES = 2_000_000;
const MOST_NUMBERS = 1 << 26;
const MOST_NODES = 10_000;

const DAMAGED = "it is cut short or damaged, export it again";

/** What a file lacks to be shown, and what to do about it. */
export class FileError extends Error {
  constructor(what, hint = DAMAGED) {
    super(`${what}: ${hint}`);
  }
}

/** An item that the file's JSON names by number. */
export function item(list, index, what) {
  const found = Array.isArray(list) ? list[index] : undefined;
  if (found === undefined || found === null) throw new FileError(`the file names ${what} ${index}, which it lacks`);
  return found;
}

export class Gltf {
  constructor(buffer) {
    const { text, binary } = chunks(buffer);
    try {
      this.json = JSON.parse(text);
    } catch {
      throw new FileError("this is no glTF file", "drop a .glb, as Blender and others export it");
    }
    check(this.json);
    this.buffers = (this.json.buffers ?? []).map(({ uri }, index) => {
      if (uri !== undefined) return inside(uri);
      if (index > 0 || !binary) throw new FileError(`buffer ${index} has no bytes`);
      return binary;
    });
    this.left = MOST_NUMBERS;
  }

  /** Takes what is to be read from what may be. */
  spend(count) {
    this.left -= count;
    if (!(this.left >= 0)) throw new FileError("the file has more numbers than any head", "reduce the mesh and export it again");
  }

  /** The bytes of a buffer view. */
  view(index) {
    const view = item(this.json.bufferViews, index, "buffer view");
    const buffer = item(this.buffers, view.buffer ?? 0, "buffer");
    const offset = view.byteOffset ?? 0;
    if (!(offset >= 0 && view.byteLength >= 0 && offset + view.byteLength <= buffer.byteLength)) {
      throw new FileError(`buffer view ${index} ends behind its buffer of ${buffer.byteLength} bytes`);
    }
    return { bytes: buffer.subarray(offset, offset + view.byteLength), stride: view.byteStride };
  }

  /** `count` elements of a buffer view. */
  numbers(viewIndex, offset = 0, component, width, count, normalized = false, isStrided = false) {
    const { bytes, stride } = this.view(viewIndex);
    const [Kind, most] = COMPONENTS[component] ?? [];
    if (!Kind) throw new FileError(`numbers of the unknown type ${component}`);
    const size = Kind.BYTES_PER_ELEMENT * width;
    const step = (isStrided && stride) || size;
    if (step < size || !(offset >= 0) || !(count <= bytes.length)
      || (count > 0 && offset + (count - 1) * step + size > bytes.length)) {
      throw new FileError(`${count} elements of ${size} bytes do not fit into buffer view ${viewIndex}`);
    }
    this.spend(count * width);
    const out = new Float32Array(count * width);
    // Copied to its own memory, because views need not be aligned.
    const packed = new Uint8Array(count * size);
    for (let i = 0; i < count; i++) packed.set(bytes.subarray(offset + i * step, offset + i * step + size), i * size);
    new Kind(packed.buffer).forEach((value, index) => {
      out[index] = normalized && most > 1 ? Math.max(value / most, -1) : value;
    });
    return out;
  }

  /** An accessor whose type has `width` numbers, `count` elements long if that is given. */
  checked(index, width, count) {
    const accessor = item(this.json.accessors, index, "accessor");
    if (WIDTHS[accessor.type] !== width) throw new FileError(`accessor ${index} is of type ${accessor.type}, expected ${width} numbers`);
    if (!(Number.isInteger(accessor.count) && accessor.count >= 0 && accessor.count <= 3 * MOST_TRIANGLES)) {
      throw new FileError(`accessor ${index} has ${accessor.count} elements, more than any head`, "reduce the mesh and export it again");
    }
    if (count !== undefined && accessor.count !== count) {
      throw new FileError(`accessor ${index} has ${accessor.count} elements for ${count} vertices`);
    }
    return accessor;
  }

  /** The numbers of an accessor; what the file leaves out is zero. */
  read(index, width, count) {
    const accessor = this.checked(index, width, count);
    if (accessor.bufferView === undefined) this.spend(accessor.count * width);
    const values = accessor.bufferView === undefined ? new Float32Array(accessor.count * width)
      : this.numbers(accessor.bufferView, accessor.byteOffset, accessor.componentType, width, accessor.count,
        accessor.normalized, true);
    if (accessor.sparse) {
      const { vertices, deltas } = this.sparse(accessor, width);
      vertices.forEach((vertex, i) => values.set(deltas.subarray(i * width, (i + 1) * width), vertex * width));
    }
    return values;
  }

  sparse(accessor, width) {
    const { count, indices, values } = accessor.sparse;
    const vertices = this.numbers(indices.bufferView, indices.byteOffset, indices.componentType, 1, count);
    const deltas = this.numbers(values.bufferView, values.byteOffset, accessor.componentType, width, count, accessor.normalized);
    if (vertices.some((vertex) => vertex >= accessor.count)) throw new FileError("a sparse accessor reaches behind its end");
    return { vertices, deltas };
  }

  /** What a morph target moves: vertices and displacements. */
  displacements(index, count) {
    const accessor = this.checked(index, 3, count);
    if (accessor.bufferView === undefined) return accessor.sparse ? this.sparse(accessor, 3) : { vertices: [], deltas: [] };
    const all = this.read(index, 3, count);
    const vertices = [];
    const deltas = [];
    for (let vertex = 0; vertex < accessor.count; vertex++) {
      const [x, y, z] = all.subarray(vertex * 3, vertex * 3 + 3);
      if (x || y || z) {
        vertices.push(vertex);
        deltas.push(x, y, z);
      }
    }
    return { vertices, deltas };
  }
}

/** The JSON and the numbers of a .glb, or the JSON of a .gltf. */
function chunks(buffer) {
  const view = new DataView(buffer);
  const decode = (bytes) => new TextDecoder().decode(bytes);
  const isJson = /^\s*\{/.test(decode(new Uint8Array(buffer, 0, Math.min(buffer.byteLength, 64))));
  if (isJson) return { text: decode(new Uint8Array(buffer)), binary: null };
  if (buffer.byteLength < 12 || view.getUint32(0, true) !== MAGIC) {
    throw new FileError("this is no .glb file", "drop a .glb, as Blender and others export it");
  }
  if (view.getUint32(4, true) !== 2) throw new FileError("this is not glTF 2", "export the head as glTF 2.0 (.glb)");
  const found = new Map();
  for (let at = 12; at + 8 <= buffer.byteLength;) {
    const length = view.getUint32(at, true);
    if (at + 8 + length > buffer.byteLength) throw new FileError(`the file ends ${at + 8 + length - buffer.byteLength} bytes early`);
    const kind = view.getUint32(at + 4, true);
    if (!found.has(kind)) found.set(kind, new Uint8Array(buffer, at + 8, length));
    at += 8 + length;
  }
  if (!found.has(JSON_CHUNK)) throw new FileError("the file does not begin with its JSON");
  return { text: decode(found.get(JSON_CHUNK)), binary: found.get(BINARY_CHUNK) ?? null };
}

/** The bytes of an address that holds them itself. */
export function inside(uri) {
  const data = /^data:[^,]*;base64,(.*)$/s.exec(uri)?.[1];
  if (data === undefined) {
    throw new FileError(`the file needs ${JSON.stringify(String(uri).slice(0, 60))} beside it`, "export one .glb with everything inside");
  }
  return Uint8Array.from(atob(data.trim()), (character) => character.charCodeAt(0));
}

/** What makes a file unreadable as a whole. */
function check(json) {
  if (!/^2\./.test(json?.asset?.version ?? "")) throw new FileError("this is not glTF 2.0", "export the head as glTF 2.0 (.glb)");
  // Extensions that change what the numbers mean; those of materials only lose their effect.
  const isKnown = (name) => /^(KHR_mesh_quantization|KHR_texture_transform|KHR_lights_punctual|KHR_materials_.*|VRM.*|EXT_texture_webp|EXT_texture_avif|KHR_texture_basisu)$/.test(name);
  const unknown = (json.extensionsRequired ?? []).find((name) => !isKnown(name));
  if (/draco|meshopt/i.test(unknown ?? "")) {
    throw new FileError("the file is compressed (Draco or meshopt)", "export it without compression, or run: npx @gltf-transform/cli copy in.glb out.glb");
  }
  if (unknown) throw new FileError(`the file needs the extension ${String(unknown).slice(0, 60)}`, "export the head without it");
}

const IDENTITY = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];

/** First `b`, then `a`; column by column. */
export function multiply(a, b) {
  const out = new Array(16).fill(0);
  for (let c = 0; c < 4; c++) for (let r = 0; r < 4; r++) for (let k = 0; k < 4; k++) {
    out[c * 4 + r] += a[k * 4 + r] * b[c * 4 + k];
  }
  return out;
}

/** A point, or with `w` 0 a direction, through a matrix. */
export const through = (m, [x, y, z], w = 1) => [0, 1, 2].map((r) => m[r] * x + m[4 + r] * y + m[8 + r] * z + m[12 + r] * w);

/** Whether a matrix turns the inside out. */
export function mirrors(m) {
  const minor = (a, b) => m[4 + a] * m[8 + b] - m[4 + b] * m[8 + a];
  return m[0] * minor(1, 2) + m[1] * minor(2, 0) + m[2] * minor(0, 1) < 0;
}

function local({ matrix, translation: t = [0, 0, 0], rotation: [x, y, z, w] = [0, 0, 0, 1], scale: s = [1, 1, 1] }) {
  return matrix ?? [
    (1 - 2 * (y * y + z * z)) * s[0], 2 * (x * y + z * w) * s[0], 2 * (x * z - y * w) * s[0], 0,
    2 * (x * y - z * w) * s[1], (1 - 2 * (x * x + z * z)) * s[1], 2 * (y * z + x * w) * s[1], 0,
    2 * (x * z + y * w) * s[2], 2 * (y * z - x * w) * s[2], (1 - 2 * (x * x + y * y)) * s[2], 0,
    t[0], t[1], t[2], 1,
  ];
}

/** The nodes at their places: `order` of those that the scene shows, parents first, `world` and `parents` of all. */
export function placeNodes(json) {
  const nodes = json.nodes ?? [];
  if (nodes.length > MOST_NODES) throw new FileError(`the file has ${nodes.length} nodes`, "export the head alone");
  const children = new Set(nodes.flatMap((node) => node.children ?? []));
  const tops = nodes.map((_, index) => index).filter((index) => !children.has(index));
  const world = nodes.map(() => IDENTITY);
  const parents = nodes.map(() => null);
  const order = [];
  const placed = new Set();
  const place = (roots) => {
    const waiting = [...roots].reverse().map((index) => [index, null]);
    while (waiting.length) {
      const [index, parent] = waiting.pop();
      if (placed.has(index)) continue;
      placed.add(index);
      const node = item(nodes, index, "node");
      world[index] = parent === null ? local(node) : multiply(world[parent], local(node));
      parents[index] = parent;
      order.push(index);
      for (const child of [...(node.children ?? [])].reverse()) waiting.push([child, index]);
    }
  };
  place(json.scenes?.[json.scene ?? 0]?.nodes ?? tops);
  const shown = order.length;
  // Bones may stand outside the scene: they have places, but nothing of theirs is seen.
  place(tops);
  return { order: order.slice(0, shown), world, parents };
}
