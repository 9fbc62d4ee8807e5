// The wire, version 1: PROTOCOL.md. Works in browsers and in Node; the tests read the same vectors as the server's.

export const VERSION = 1;
const MAGIC = 0x55;
const HEADER = 16;
const KIND = { audio: 1, motion: 2, message: 3 };

/** A binary frame of samples (Float32Array from -1 to 1). `index` null: right behind what came before. */
export function encodeAudio({ voice, rate, index = null, samples, format = "pcm16" }) {
  const isFloat = format === "float32";
  const bytes = new ArrayBuffer(HEADER + samples.length * (isFloat ? 4 : 2));
  const view = new DataView(bytes);
  view.setUint8(0, MAGIC);
  view.setUint8(1, VERSION);
  view.setUint8(2, KIND.audio);
  view.setUint8(3, (voice === "partner" ? 1 : 0) | (isFloat ? 2 : 0) | (index === null ? 0 : 4));
  view.setUint32(4, rate, true);
  view.setBigUint64(8, BigInt(index ?? 0), true);
  for (let i = 0; i < samples.length; i++) {
    if (isFloat) {
      view.setFloat32(HEADER + i * 4, samples[i], true);
    } else {
      const scaled = samples[i] * 32768;
      // Halves away from zero, as the server rounds.
      const rounded = Math.sign(scaled) * Math.round(Math.abs(scaled));
      view.setInt16(HEADER + i * 2, Math.min(Math.max(rounded, -32768), 32767), true);
    }
  }
  return bytes;
}

/** A binary frame of motion: `{ startFrame, revision, frames: [{ speaking, listening, faces: [Float32Array] }] }`. */
export function decodeMotion(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < HEADER || view.getUint8(0) !== MAGIC) throw new Error("this is no frame of unils");
  if (view.getUint8(1) !== VERSION) throw new Error(`version ${view.getUint8(1)}, expected ${VERSION}`);
  if (view.getUint8(2) !== KIND.motion) throw new Error(`kind ${view.getUint8(2)}, expected motion`);
  const flags = view.getUint8(3);
  const isHalf = (flags & 1) !== 0;
  const count = view.getUint16(4, true);
  const channels = view.getUint16(6, true);
  const participants = flags & 4 ? 2 : 1;
  const values = HEADER + Math.ceil(count / 4) * 4;
  const size = isHalf ? 2 : 4;
  if (buffer.byteLength !== values + participants * count * channels * size) throw new Error("a motion frame of a wrong length");
  const number = (index) => isHalf ? half(view.getUint16(values + index * 2, true)) : view.getFloat32(values + index * 4, true);
  const frames = [];
  for (let frame = 0; frame < count; frame++) {
    const voices = view.getUint8(HEADER + frame);
    const faces = [];
    for (let participant = 0; participant < participants; participant++) {
      const first = (participant * count + frame) * channels;
      faces.push(Float32Array.from({ length: channels }, (_, channel) => number(first + channel)));
    }
    frames.push({ speaking: (voices & 1) !== 0, listening: (voices & 2) !== 0, faces });
  }
  return { startFrame: Number(view.getBigUint64(8, true)), revision: (flags & 2) !== 0, frames };
}

/** A float of 16 bits. */
export function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
