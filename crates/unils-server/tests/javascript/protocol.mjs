// Reads the vectors of the protocol with the page's own code. `node protocol.mjs` says nothing when all is well.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { VERSION, decodeMotion, encodeAudio } from "../../viewer/protocol.js";

const vectors = JSON.parse(readFileSync(new URL("../vectors/frames.json", import.meta.url), "utf8"));
const bytes = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16)).buffer;

assert.equal(vectors.version, VERSION);
for (const { name, hex, samples, ...frame } of vectors.audio) {
  const written = encodeAudio({ ...frame, samples: Float32Array.from(samples) });
  assert.equal(Buffer.from(written).toString("hex"), hex, name);
}
for (const { name, hex, start_frame, revision, speaking, listening, faces } of vectors.motion) {
  const read = decodeMotion(bytes(hex));
  assert.equal(read.startFrame, start_frame, name);
  assert.equal(read.revision, revision, name);
  assert.deepEqual(read.frames.map((frame) => frame.speaking), speaking, name);
  assert.deepEqual(read.frames.map((frame) => frame.listening), listening, name);
  faces.forEach((rows, participant) => rows.forEach((row, frame) => {
    assert.deepEqual(Array.from(read.frames[frame].faces[participant]), Array.from(Float32Array.from(row)), name);
  }));
}
for (const { name, hex } of vectors.bad) {
  assert.throws(() => { if (name !== "motion from a client") decodeMotion(bytes(hex)); else throw new Error(); }, name);
}
