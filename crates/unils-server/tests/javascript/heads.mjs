// Reads heads with the page's own code: ours, those that the library's tests read, and faulty ones. `node heads.mjs` says
// nothing when all is well.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { boneOf } from "../../viewer/bones.js";
import { Face } from "../../viewer/face.js";
import { readHead } from "../../viewer/glb.js";
import { FileError } from "../../viewer/gltf.js";
import { matchNames } from "../../viewer/names.js";

const bytes = (path) => {
  const file = readFileSync(new URL(path, import.meta.url));
  return file.buffer.slice(file.byteOffset, file.byteOffset + file.length);
};
const HEADS = "../../../../fixtures/heads";
const app = new TextDecoder().decode(bytes("../../viewer/app.js"));
const channels = JSON.parse(/const APPLE = (\[[^\]]*\])/.exec(app)[1]);
assert.equal(channels.length, 55);

// Ours.
const ours = readHead(bytes("../../../unils/assets/head.glb"), channels);
assert.deepEqual(ours.missing, []);
assert.deepEqual(ours.looks.map(({ name }) => name), ["a", "b"]);
assert.equal(ours.frame, null);
assert.equal(ours.parts.reduce((sum, { count }) => sum + count, 0), ours.triangles.length);
assert.ok(ours.weights.some((weight) => weight < 0.5) && ours.weights.some((weight) => weight === 1));
const look = (head, change) => {
  const face = new Face(head, "a", channels);
  const frame = new Float32Array(channels.length);
  for (const [name, value] of Object.entries(change)) frame[channels.indexOf(name)] = value;
  face.pose(frame);
  return face;
};
const moved = (face, vertex) => Math.hypot(...[0, 1, 2].map((k) => face.positions[vertex * 3 + k] - face.rest[vertex * 3 + k]));
const jaw = look(ours, { jawOpen: 1 });
assert.ok(moved(jaw, ours.shapes.get("jawOpen").vertices[0]) > 0);

// Those that the library reads, as its tests expect them.
function check(head, name, tolerance) {
  const expected = JSON.parse(new TextDecoder().decode(bytes(`${HEADS}/${name}`)));
  const near = (what, got, wanted) => {
    assert.equal(got.length, wanted.length, `${name}: ${what}`);
    wanted.forEach((value, i) => assert.ok(Math.abs(got[i] - value) <= tolerance, `${name}: ${what} ${i}: ${got[i]}, expected ${value}`));
  };
  near("positions", head.positions, expected.positions.flat());
  const turned = (corners) => {
    const least = corners.indexOf(Math.min(...corners));
    return [0, 1, 2].map((k) => corners[(least + k) % 3]);
  };
  const triangles = expected.triangles.map((_, i) => turned([...head.triangles.subarray(i * 3, i * 3 + 3)]));
  assert.deepEqual(triangles, expected.triangles.map(turned));
  assert.equal(head.triangles.length, expected.triangles.length * 3);
  for (const [shape, { vertices, deltas }] of Object.entries(expected.shapes)) {
    if (!channels.includes(shape)) continue;
    const found = head.shapes.get(shape);
    // The halves of a shape that ARKit has whole may name a vertex twice.
    const sums = new Map();
    found.vertices.forEach((vertex, i) => {
      const sum = sums.get(vertex) ?? [0, 0, 0];
      sums.set(vertex, sum.map((value, k) => value + found.deltas[i * 3 + k]));
    });
    const order = [...sums.keys()].sort((a, b) => a - b);
    assert.deepEqual(order, vertices, `${name}: ${shape}`);
    near(shape, order.flatMap((vertex) => sums.get(vertex)), deltas.flat());
  }
  assert.equal(head.missing.length, expected.missing, name);
  if (expected.pivot) near("pivot", head.pivot, expected.pivot);
  near("weights", head.weights, expected.weights.length ? expected.weights : Array(head.weights.length).fill(1));
  assert.equal(head.eyes.length, expected.eyes.length);
  for (const eye of expected.eyes) {
    const found = head.eyes.find(({ isLeft }) => isLeft === eye.is_left);
    assert.deepEqual([...found.vertices], eye.vertices);
    near("eye", found.center, eye.center);
  }
}

const skinned = readHead(bytes(`${HEADS}/skinned.glb`), channels);
check(skinned, "skinned.json", 5e-6);
assert.deepEqual(skinned.parts[0].material.color, [0.5, 0.25, 0.125, 1]);
assert.deepEqual(Array.from(skinned.colors.subarray(0, 3), (value) => Math.round(value * 255)), [255, 51, 0]);
assert.deepEqual([...skinned.colors.slice(-3)], [1, 1, 1]);
const split = bytes(`${HEADS}/split.gltf`);
check(readHead(split, channels), "split.json", 1e-6);
// Eyes that bones turn look where the frame says, and nothing else moves.
const glance = look(skinned, { eyeLookOutLeft: 1, eyeLookInRight: 1 });
const [left] = skinned.eyes.filter(({ isLeft }) => isLeft);
assert.ok(left.vertices.every((vertex) => moved(glance, vertex) > 0.001));
assert.equal(moved(glance, 0), 0);
const front = left.vertices.reduce((a, b) => (glance.rest[a * 3 + 2] > glance.rest[b * 3 + 2] ? a : b));
assert.ok(glance.positions[front * 3] > glance.rest[front * 3], "to the person's left");
// What a portrait shows is near the face.
assert.ok(skinned.frame[0].every((value, k) => value < skinned.frame[1][k]));

// Names and bones, as the library's own tests spell them.
const match = (...names) => matchNames(names, channels);
const arkit = channels.filter((name) => !name.startsWith("head"));
for (const spelling of [
  (name) => name, (name) => name[0].toUpperCase() + name.slice(1), (name) => name.toUpperCase(),
  (name) => name.replace("Left", "_L").replace("Right", "_R"),
  (name) => `ARKit_${name.replace("Left", ".L").replace("Right", ".R")}`,
  (name) => `blendShape1.${name.replace("Left", "_left").replace("Right", "_right")}`,
  (name) => name.replace("Left", "L").replace("Right", "R"),
  (name) => `Fcl:${name.replace(/[A-Z]/g, "-$&").toLowerCase()}`,
]) {
  for (const name of arkit) assert.deepEqual(match(spelling(name)), [name], spelling(name));
}
for (const name of ["", "L", "_", "viseme_aa", "jawOpenExtra", "smile", "eyeBlink", "tallL", "jawOpen.001", "éyeL"]) {
  assert.deepEqual(match(name), [null], name);
}
assert.deepEqual(match("low_jawOpen", "JawOpen", "jawOpen", "jaw_open"), [undefined, undefined, "jawOpen", undefined]);
assert.deepEqual(match("browInnerUp_L", "browInnerUp_R", "browInnerUpLeft"), ["browInnerUp", "browInnerUp", undefined]);
assert.deepEqual(match("browInnerUp_L", "browInnerUp_R", "x_BrowInnerUp"), [undefined, undefined, "browInnerUp"]);
for (const [name, bone] of Object.entries({
  Head: "head", "mixamorig:Head": "head", CC_Base_Head: "head", head_JNT: "head", HeadTop_End: null, forehead_L: null,
  neck_01: "neck", LeftEye: "left", EyeRight: "right", CC_Base_R_Eye: "right", J_Adj_L_FaceEye: "left", "eyeball.L": "left",
  righteye: "right", LeftEyeLid: null, eyebrow_L: null, LeftHand: null, "": null,
})) assert.equal(boneOf(name), bone, name);

// A .gltf, changed.
const encode = (json) => {
  const text = new TextEncoder().encode(JSON.stringify(json));
  return text.buffer.slice(text.byteOffset, text.byteOffset + text.byteLength);
};
const changed = (change) => {
  const json = JSON.parse(new TextDecoder().decode(split));
  return encode(change(json, json.meshes[0].primitives[0]) ?? json);
};

// Pictures: embedded, shared by two materials, turned and scaled; and a part that is seen through.
const painted = readHead(changed((json, primitive) => {
  const uvs = Float32Array.from({ length: 50 }, (_, i) => i / 50);
  const data = Buffer.concat([Buffer.from(uvs.buffer), Buffer.from("\x89PNG\r\n\x1a\n", "latin1")]);
  json.buffers.push({ byteLength: data.length, uri: `data:application/octet-stream;base64,${data.toString("base64")}` });
  json.bufferViews.push({ buffer: 1, byteLength: 200 }, { buffer: 1, byteOffset: 200, byteLength: 8 });
  json.accessors.push({ bufferView: json.bufferViews.length - 2, componentType: 5126, count: 25, type: "VEC2" });
  json.images = [{ bufferView: json.bufferViews.length - 1, mimeType: "image/png" }];
  json.textures = [{ source: 0 }];
  const extensions = { KHR_texture_transform: { offset: [0.5, 0], scale: [2, 1] } };
  json.materials = [
    { name: "Skin", pbrMetallicRoughness: { baseColorTexture: { index: 0, extensions } } },
    { name: "Glass", alphaMode: "BLEND", pbrMetallicRoughness: { baseColorTexture: { index: 0 }, baseColorFactor: [1, 1, 1, 0.5] } },
  ];
  primitive.attributes.TEXCOORD_0 = json.accessors.length - 1;
  primitive.material = 0;
  json.meshes[1].primitives[0].material = 1;
}), channels);
const [skin, glass] = painted.parts.map(({ material }) => material);
assert.deepEqual([skin.mode, skin.color, skin.image.kind, skin.image.bytes.length], ["OPAQUE", [1, 1, 1, 1], "image/png", 8]);
assert.ok(glass.mode === "BLEND" && glass.image === skin.image);
assert.ok(Math.abs(painted.uvs[2] - (0.5 + 2 * 2 / 50)) < 1e-6 && Math.abs(painted.uvs[3] - 3 / 50) < 1e-6);

// Faulty files are refused with a reason and a hint.
const refuses = (buffer, what) => assert.throws(() => readHead(buffer, channels), (error) => {
  assert.ok(error instanceof FileError && error.message.includes(what), `${what}: ${error.stack}`);
  return true;
});
const whole = bytes(`${HEADS}/skinned.glb`);
refuses(new ArrayBuffer(0), "no .glb");
refuses(bytes("heads.mjs"), "no .glb");
refuses(whole.slice(0, 2000), "early");
refuses(whole.slice(0, 15), "begin with its JSON");
for (const [what, change] of [
  ["no morph targets", (_, primitive) => { delete primitive.targets; }],
  ["have no names", (_, primitive) => { primitive.extras = {}; }],
  ["one of ARKit's (a, b, c, d ...)", (_, primitive) => { primitive.extras.targetNames = [..."abcdefg"]; }],
  ["6 names for 7 morph targets", (_, primitive) => { primitive.extras.targetNames.pop(); }],
  ["accessor 99", (_, primitive) => { primitive.attributes.POSITION = 99; }],
  ["5 elements for 25 vertices", (_, primitive) => { primitive.targets[0].POSITION = 9; }],
  ["of type SCALAR", (_, primitive) => { primitive.attributes.POSITION = 1; }],
  ["node 44", (json) => { json.scenes[0].nodes = [44]; }],
  ["mesh 7", (json) => { json.nodes[0].mesh = 7; }],
  ["skin 3", (json) => { json.nodes[0].skin = 3; }],
  ["material 3", (_, primitive) => { primitive.material = 3; }],
  ["do not fit", (json) => { json.accessors[0].count = 26; }],
  ["more than any head", (json) => { json.accessors[0].count = 4e9; }],
  ["more than any head", (json) => { json.accessors[0].count = -1; }],
  ["more vertices than any head", (json) => { Object.assign(json.accessors[0], { count: 6e6, bufferView: undefined }); }],
  ["behind its buffer", (json) => { json.bufferViews[0].byteOffset = 1e12; }],
  ["buffer 5", (json) => { json.bufferViews[0].buffer = 5; }],
  ["cannot be read", (json) => { json.buffers[0].uri = "data:x;base64,@@"; }],
  ["\"head.bin\" beside it", (json) => { json.buffers[0].uri = "head.bin"; }],
  ["has no bytes", (json) => { json.buffers[0] = {}; }],
  ["compressed", (json) => { json.extensionsRequired = ["KHR_draco_mesh_compression"]; }],
  ["compressed", (json, primitive) => {
    primitive.extensions = { KHR_draco_mesh_compression: { bufferView: 0 } };
    delete json.accessors[0].bufferView;
  }],
  ["compressed", (json) => { json.extensionsRequired = ["KHR_mesh_quantization", "EXT_meshopt_compression"]; }],
  ["EXT_other", (json) => { json.extensionsRequired = ["EXT_other"]; }],
  ["not glTF 2.0", (json) => { json.asset.version = "1.0"; }],
  ["not glTF 2.0", () => ({})],
  ["no glTF file", () => "{"],
  ["no finite place", (json) => { json.nodes[0].matrix[12] = 1e999; json.nodes[0].matrix[13] = "high"; }],
  ["no visible mesh", (json) => { json.scenes[0].nodes = []; }],
  ["no visible mesh", (json) => { json.nodes[0].children = [0]; delete json.scenes; json.nodes.pop(); }],
]) refuses(what === "no glTF file" ? new TextEncoder().encode("{ no").buffer : changed(change), what);

// Cut and changed bytes are read or refused, and nothing else.
const survives = (buffer) => {
  try {
    readHead(buffer, channels);
  } catch (error) {
    assert.ok(error instanceof FileError, error.stack);
  }
};
for (let end = 0; end < whole.byteLength; end += 7) assert.throws(() => readHead(whole.slice(0, end), channels), FileError);
let state = 1;
const random = (below) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state % below;
};
for (let round = 0; round < 1500; round++) {
  const damaged = new Uint8Array(whole.slice(0));
  for (let i = 0; i < 3; i++) damaged[random(damaged.length)] = random(256);
  survives(damaged.buffer);
}
