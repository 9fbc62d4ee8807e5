// Reads the heads that the page can show from a .glb: ours with its looks, or any with ARKit's shapes as morph targets.
// What files of others leave open is taken as the library takes it (crates/unils/src/face/glb).

import { Skeleton, readSkin } from "./bones.js";
import { FileError, Gltf, MOST_TRIANGLES, MOST_VERTICES, inside, item, mirrors, placeNodes, through } from "./gltf.js";
import { matchNames } from "./names.js";

/** Helpers of other programs' shaders and physics. */
const HIDDEN = /EyeOcclusion|EyeBlend|Tearline|LacrimalFluid|Collision|Collider|UCX_/i;
/** How high a face may be from the brows to the chin, metres, and how high it is taken to be if nothing else is known. */
const FACE_HEIGHTS = [0.06, 0.5];
const FACE_HEIGHT = 0.17;
const MOST_TARGETS = 4096;

/**
 * A head: `positions`, `colors` and, for pictures, `uvs` by vertex, `triangles`, `parts` with their materials, `shapes` by
 * channel, `weights` of the head's rotation by vertex, the `pivot` of that rotation, `eyes` that turn by themselves,
 * `looks`, `frame` (bounds of what a portrait shows, null for all that turns), and the channels that it has no shape for.
 */
export function readHead(buffer, channels) {
  try {
    const gltf = new Gltf(buffer);
    const own = gltf.json.meshes?.find((mesh) => mesh.extras?.unils?.version === 1);
    const isWhole = own?.primitives.every(({ extras }) => Array.isArray(extras?.vertices));
    return isWhole ? readOwn(gltf, own, channels) : readForeign(gltf, channels);
  } catch (error) {
    if (error instanceof FileError) throw error;
    // JSON of another form than glTF's, at a place that was not looked at.
    throw new FileError("the file cannot be read");
  }
}

/** A head as its parts fill it. */
class Gathered {
  constructor(channels) {
    this.channels = channels;
    this.head = {
      positions: [], colors: [], uvs: [], weights: [], triangles: [], parts: [], shapes: new Map(), looks: [], eyes: [], frame: null,
    };
  }

  shape(name) {
    const { shapes } = this.head;
    if (!shapes.has(name)) shapes.set(name, { vertices: [], deltas: [] });
    return shapes.get(name);
  }

  vertex(at, position, color, uv, weight) {
    const { head } = this;
    for (let k = 0; k < 3; k++) {
      head.positions[at * 3 + k] = position[k];
      head.colors[at * 3 + k] = color[k];
    }
    head.uvs[at * 2] = uv[0];
    head.uvs[at * 2 + 1] = uv[1];
    head.weights[at] = weight;
  }
}

/** Position, colour and texture coordinates by vertex of a primitive. */
function attributes(gltf, primitive) {
  const { POSITION, COLOR_0, TEXCOORD_0 } = primitive.attributes;
  const positions = gltf.read(POSITION, 3);
  const count = positions.length / 3;
  const width = COLOR_0 !== undefined && gltf.json.accessors?.[COLOR_0]?.type === "VEC4" ? 4 : 3;
  const colors = COLOR_0 === undefined ? null : gltf.read(COLOR_0, width, count);
  const uvs = TEXCOORD_0 === undefined ? null : gltf.read(TEXCOORD_0, 2, count);
  return {
    count,
    position: (i) => positions.subarray(i * 3, i * 3 + 3),
    color: (i) => (colors ? colors.subarray(i * width, i * width + 3) : [1, 1, 1]),
    uv: (i) => (uvs ? uvs.subarray(i * 2, i * 2 + 2) : [0, 0]),
  };
}

/** Corners of the triangles, whatever way they are written. */
function corners(gltf, primitive, count) {
  const list = primitive.indices === undefined ? Float32Array.from({ length: count }, (_, i) => i) : gltf.read(primitive.indices, 1);
  if (list.length > 3 * MOST_TRIANGLES) throw new FileError("the file has more triangles than any head", "reduce the mesh and export it again");
  const bad = list.find((corner) => !(corner < count));
  if (bad !== undefined) throw new FileError(`a triangle has the corner ${bad} of ${count} vertices`);
  const mode = primitive.mode ?? 4;
  const rest = Array.from({ length: Math.max(list.length - 2, 0) }, (_, i) => i);
  if (mode === 4) return list.subarray(0, list.length - (list.length % 3));
  if (mode === 5) return rest.flatMap((i) => (i % 2 ? [list[i + 1], list[i], list[i + 2]] : [list[i], list[i + 1], list[i + 2]]));
  if (mode === 6) return rest.flatMap((i) => [list[0], list[i + 1], list[i + 2]]);
  return [];
}

function expanded(runs, limit) {
  const list = [];
  for (let i = 0; i < runs.length; i += 2) {
    const isThere = runs[i] > (list.at(-1) ?? -1) && runs[i] + runs[i + 1] <= limit;
    if (!isThere) throw new FileError("the vertices of a part are not there");
    for (let k = 0; k < runs[i + 1]; k++) list.push(runs[i] + k);
  }
  return list;
}

function readOwn(gltf, mesh, channels) {
  const { unils: facts, targetNames } = mesh.extras;
  if (!(facts.vertices <= MOST_VERTICES)) throw new FileError(`${facts.vertices} vertices are more than any head has`);
  const gathered = new Gathered(channels);
  const { head } = gathered;
  for (let vertex = 0; vertex < facts.vertices; vertex++) gathered.vertex(vertex, [0, 0, 0], [1, 1, 1], [0, 0], 1);
  const torso = facts.torso_joint ?? null;
  for (const primitive of mesh.primitives) {
    const list = expanded(primitive.extras.vertices, facts.vertices);
    const surface = material(gltf, primitive.material);
    const { count, position, color, uv } = attributes(gltf, primitive);
    if (count !== list.length) throw new FileError(`${count} positions for ${list.length} vertices`);
    const joints = torso === null ? null : gltf.read(primitive.attributes.JOINTS_0, 4, count);
    const weights = torso === null ? null : gltf.read(primitive.attributes.WEIGHTS_0, 4, count);
    for (let i = 0; i < count; i++) {
      let weight = joints ? 0 : 1;
      for (let k = i * 4; joints && k < i * 4 + 4; k++) if (joints[k] !== torso) weight += weights[k];
      gathered.vertex(list[i], position(i), color(i), surface.uv(uv(i)), weight);
    }
    const first = head.triangles.length;
    for (const corner of corners(gltf, primitive, count)) head.triangles.push(list[corner]);
    head.parts.push({ first, count: head.triangles.length - first, material: surface });
    (primitive.targets ?? []).forEach((target, number) => {
      if (target.POSITION === undefined) return;
      const { vertices, deltas } = gltf.displacements(target.POSITION, count);
      const shape = gathered.shape(targetNames[number]);
      for (const vertex of vertices) shape.vertices.push(list[vertex]);
      for (const delta of deltas) shape.deltas.push(delta);
    });
  }
  head.pivot = facts.pivot;
  head.looks = facts.looks ?? [];
  head.eyes = (facts.eyes ?? []).map((eye) => (
    { isLeft: eye.is_left, center: eye.center, vertices: expanded(eye.vertices, facts.vertices) }));
  // A head of others that this program wrote: its looks are its own, and what is below it is not known to end well.
  if (!head.looks.length) head.frame = portrait(head, faceBounds(head));
  return finish(gathered, { isJoined: head.looks.length > 0 });
}

function readForeign(gltf, channels) {
  const { json } = gltf;
  const scene = placeNodes(json);
  const skeleton = new Skeleton(json, scene);
  const gathered = new Gathered(channels);
  const { head } = gathered;
  const eyes = new Map();
  const strange = new Set();
  for (const index of scene.order) {
    const node = json.nodes[index];
    if (node.mesh === undefined) continue;
    const mesh = item(json.meshes, node.mesh, "mesh");
    if (HIDDEN.test(node.name) || HIDDEN.test(mesh.name)) continue;
    for (const primitive of mesh.primitives) {
      const surface = material(gltf, primitive.material);
      if (primitive.attributes?.POSITION === undefined || HIDDEN.test(surface.name) || surface.color[3] < 0.01) continue;
      addForeign({ gltf, gathered, skeleton, eyes, strange, index, node, mesh, primitive, surface });
    }
  }
  if (!head.triangles.length) throw new FileError("the file has no visible mesh", "export the head's mesh with it");
  checkShapes(head, strange);
  const factor = metres(head, faceBounds(head));
  const grow = (list) => list.forEach((value, i) => { list[i] = value * factor; });
  grow(head.positions);
  for (const { deltas } of head.shapes.values()) grow(deltas);
  const centers = scene.world.map((world) => [world[12] * factor, world[13] * factor, world[14] * factor]);
  const face = faceBounds(head);
  const height = face[1][1] - face[0][1];
  const bone = skeleton.head === null ? null : centers[skeleton.head];
  const isPlausible = bone?.every((value, k) => value >= face[0][k] - height && value <= face[1][k] + height);
  // Where the skull sits on the neck, by a head's usual proportions.
  head.pivot = isPlausible ? bone : [(face[0][0] + face[1][0]) / 2, face[0][1] + 0.45 * height, face[1][2] - 0.7 * height];
  const isKnown = isPlausible && head.weights.some((weight) => weight !== null);
  head.weights = head.weights.map((weight, vertex) => {
    if (!isKnown) return 1;
    return weight ?? (head.positions[vertex * 3 + 1] >= head.pivot[1] ? 1 : 0);
  });
  head.eyes = turningEyes(head, eyes, centers);
  head.frame = portrait(head, face);
  return finish(gathered, { isJoined: false });
}

function addForeign({ gltf, gathered, skeleton, eyes, strange, index, node, mesh, primitive, surface }) {
  const { head } = gathered;
  if (primitive.extensions?.KHR_draco_mesh_compression
    && item(gltf.json.accessors, primitive.attributes.POSITION, "accessor").bufferView === undefined) {
    throw new FileError("the file is compressed (Draco)", "export it without compression, or run: npx @gltf-transform/cli copy in.glb out.glb");
  }
  const { count, position, color, uv } = attributes(gltf, primitive);
  const list = corners(gltf, primitive, count);
  const base = head.weights.length;
  if (base + count > MOST_VERTICES || head.triangles.length + list.length > 3 * MOST_TRIANGLES) {
    throw new FileError("the file has more vertices than any head", "reduce the mesh and export it again");
  }
  const skin = readSkin(gltf, skeleton, node, primitive, count);
  const world = skeleton.scene.world[index];
  const below = { matrix: world, weight: skeleton.turns(index) ? 1 : null, eye: skeleton.eye(index) };
  // Meshes of several materials often share their vertices: only those of this one are taken.
  const numbers = new Map();
  const places = [];
  for (const corner of [...new Set(list)].sort((a, b) => a - b)) {
    const held = skin ? skin(corner) : below;
    const at = base + places.length;
    numbers.set(corner, at);
    places.push(held.matrix);
    const point = held.matrix ? through(held.matrix, position(corner)) : position(corner);
    if (!point.every(Number.isFinite)) throw new FileError("a vertex stands at no finite place");
    gathered.vertex(at, point, color(corner), surface.uv(uv(corner)), held.weight);
    if (held.eye) {
      const { isLeft, node: turning } = held.eye;
      if (!eyes.has(turning)) eyes.set(turning, { isLeft, node: turning, vertices: [] });
      eyes.get(turning).vertices.push(at);
    }
  }
  const first = head.triangles.length;
  const isMirrored = list.length > 0 && mirrors(places[numbers.get(list[0]) - base] ?? world);
  for (let i = 0; i < list.length; i += 3) {
    const [a, b, c] = [list[i], list[i + 1], list[i + 2]].map((corner) => numbers.get(corner));
    head.triangles.push(a, ...(isMirrored ? [c, b] : [b, c]));
  }
  head.parts.push({ first, count: head.triangles.length - first, material: surface });
  const targets = primitive.targets ?? [];
  const names = mesh.extras?.targetNames ?? primitive.extras?.targetNames;
  if (targets.length > MOST_TARGETS || (names && targets.length && names.length !== targets.length)) {
    throw new FileError(`${names?.length ?? "no"} names for ${targets.length} morph targets`);
  }
  if (targets.length && !names) strange.add("");
  const channels = matchNames((names ?? []).map(String), gathered.channels);
  targets.forEach((target, number) => {
    if (!channels[number]) {
      if (names && channels[number] === null) strange.add(String(names[number]));
      return;
    }
    if (target.POSITION === undefined) return;
    const { vertices, deltas } = gltf.displacements(target.POSITION, count);
    const shape = gathered.shape(channels[number]);
    for (let i = 0; i < vertices.length; i++) {
      const at = numbers.get(vertices[i]);
      if (at === undefined) continue;
      const delta = [deltas[i * 3], deltas[i * 3 + 1], deltas[i * 3 + 2]];
      const place = places[at - base];
      shape.vertices.push(at);
      shape.deltas.push(...(place ? through(place, delta, 0) : delta));
    }
  });
}

/** A head needs a shape of ARKit's that moves something. */
function checkShapes(head, strange) {
  for (const [name, { vertices }] of head.shapes) if (!vertices.length) head.shapes.delete(name);
  if (head.shapes.size) return;
  const few = [...strange].filter(Boolean).slice(0, 4).map((name) => name.slice(0, 24));
  if (few.length) {
    throw new FileError(`none of its morph targets is one of ARKit's (${few.join(", ")} ...)`, "name them as Apple does: jawOpen, eyeBlinkLeft ...");
  }
  if (strange.has("")) throw new FileError("its morph targets have no names", "export them with names (mesh.extras.targetNames), as Blender does");
  throw new FileError("the file has no morph targets, so nothing of its face can move", "export the head with its shape keys");
}

function extent(positions, vertices) {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (const vertex of vertices) {
    for (let k = 0; k < 3; k++) {
      low[k] = Math.min(low[k], positions[vertex * 3 + k]);
      high[k] = Math.max(high[k], positions[vertex * 3 + k]);
    }
  }
  return [low, high];
}

/** The bounds of what the shapes move well: the face, without shoulders and hair. */
function faceBounds(head) {
  const moved = new Set();
  for (const { vertices, deltas } of head.shapes.values()) {
    const size = (i) => deltas[i * 3] ** 2 + deltas[i * 3 + 1] ** 2 + deltas[i * 3 + 2] ** 2;
    let largest = 0;
    vertices.forEach((_, i) => { largest = Math.max(largest, size(i)); });
    vertices.forEach((vertex, i) => { if (size(i) > 0.25 * largest) moved.add(vertex); });
  }
  return extent(head.positions, moved);
}

/** What brings a head to metres. */
function metres(head, [low, high]) {
  const height = high[1] - low[1];
  const fits = (factor) => height * factor >= FACE_HEIGHTS[0] && height * factor <= FACE_HEIGHTS[1];
  if (!(Number.isFinite(height) && height > 1e-12)) return 1;
  return [1, 0.01, 0.001].find(fits) ?? FACE_HEIGHT / height;
}

/** The eyes that bones turn, unless shapes turn them already. */
function turningEyes(head, eyes, centers) {
  const turned = new Set();
  for (const [name, { vertices }] of head.shapes) if (name.startsWith("eyeLook")) vertices.forEach((vertex) => turned.add(vertex));
  return [...eyes.values()].filter(({ vertices }) => 2 * vertices.filter((vertex) => turned.has(vertex)).length < vertices.length)
    .map(({ isLeft, node, vertices }) => {
      const [low, high] = extent(head.positions, vertices);
      const isInside = centers[node].every((value, k) => value >= low[k] && value <= high[k]);
      return { isLeft, vertices, center: isInside ? centers[node] : low.map((value, k) => (value + high[k]) / 2) };
    });
}

/** Head and hair around a face, without the body: what turns, and is no further from the face than a head reaches. */
function portrait(head, [low, high]) {
  const height = high[1] - low[1];
  const reach = [[0.6, 0.3, 1.6], [0.6, 0.9, 0.5]];
  const near = head.weights.flatMap((weight, vertex) => {
    const isNear = [0, 1, 2].every((k) => {
      const value = head.positions[vertex * 3 + k];
      return value >= low[k] - reach[0][k] * height && value <= high[k] + reach[1][k] * height;
    });
    return weight >= 0.5 && isNear ? [vertex] : [];
  });
  return near.length ? extent(head.positions, near) : [low, high];
}

const within = (value, otherwise) => (Number.isFinite(value) ? Math.min(Math.max(value, 0), 1) : otherwise);

function material(gltf, index) {
  const source = index === undefined ? {} : item(gltf.json.materials, index, "material");
  const shading = source.pbrMetallicRoughness ?? {};
  const name = String(source.name ?? "");
  const mode = source.alphaMode ?? "OPAQUE";
  const image = picture(gltf, shading.baseColorTexture);
  const color = [0, 1, 2, 3].map((k) => within(shading.baseColorFactor?.[k], image || k === 3 ? 1 : 0.8));
  if (mode === "OPAQUE") color[3] = 1;
  // What only a picture would say of the gloss is taken as skin's.
  const isPainted = shading.metallicRoughnessTexture !== undefined;
  const { offset = [0, 0], scale = [1, 1], rotation = 0 } = shading.baseColorTexture?.extensions?.KHR_texture_transform ?? {};
  const [sin, cos] = [Math.sin(rotation), Math.cos(rotation)];
  return {
    name, color, image,
    mode: color[3] < 1 && mode !== "MASK" ? "BLEND" : mode,
    cutoff: source.alphaCutoff ?? 0.5,
    roughness: Math.max(isPainted ? 0.6 : within(shading.roughnessFactor, 1), 0.12),
    metallic: isPainted ? 0 : within(shading.metallicFactor, 0),
    softness: source.extras?.softness ?? (/skin|head|face/i.test(name) ? 0.75 : 0.2),
    uv: ([u, v]) => [
      offset[0] + cos * scale[0] * u + sin * scale[1] * v,
      offset[1] - sin * scale[0] * u + cos * scale[1] * v,
    ],
  };
}

/** The bytes of a texture's picture, one object for each picture; null where there is none that browsers draw. */
function picture(gltf, texture) {
  if (texture === undefined || (texture.texCoord ?? 0) !== 0) return null;
  const { source, extensions } = item(gltf.json.textures, texture.index, "texture");
  const number = extensions?.EXT_texture_webp?.source ?? extensions?.EXT_texture_avif?.source ?? source;
  if (number === undefined) return null;
  gltf.pictures ??= new Map();
  if (!gltf.pictures.has(number)) {
    const { uri, bufferView, mimeType } = item(gltf.json.images, number, "image");
    const bytes = bufferView === undefined ? inside(uri) : gltf.view(bufferView).bytes;
    gltf.pictures.set(number, { bytes, kind: mimeType ?? "image/png" });
  }
  return gltf.pictures.get(number);
}

/** Typed arrays, and which vertices share a place (they share a normal). */
function finish({ head, channels }, { isJoined }) {
  const positions = Float32Array.from(head.positions);
  const count = positions.length / 3;
  const places = new Map();
  const twin = new Uint32Array(count);
  for (let vertex = 0; vertex < count; vertex++) {
    const key = [0, 1, 2].map((k) => Math.round(positions[vertex * 3 + k] * 1e6)).join();
    if (!places.has(key)) places.set(key, vertex);
    // Our head joins its parts by vertex already: places that touch by chance stay apart.
    twin[vertex] = isJoined ? vertex : places.get(key);
  }
  const shapes = new Map();
  for (const [name, { vertices, deltas }] of head.shapes) {
    shapes.set(name, { vertices: Uint32Array.from(vertices), deltas: Float32Array.from(deltas) });
  }
  return {
    ...head, positions, twin, shapes,
    colors: Float32Array.from(head.colors),
    uvs: Float32Array.from(head.uvs),
    weights: Float32Array.from(head.weights),
    triangles: Uint32Array.from(head.triangles),
    missing: channels.filter((name) => !name.startsWith("head") && !shapes.has(name) && !head.eyes.some(
      ({ isLeft }) => name.startsWith("eyeLook") && name.endsWith(isLeft ? "Left" : "Right"))),
  };
}
