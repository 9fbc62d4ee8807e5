// What was seen, as files: a table, NumPy's archive, and (by the server) an animated scene.

const FPS = 25;

/** `faces[participant][frame]` rows of numbers. */
export class Recording {
  constructor(channels, participants) {
    this.channels = channels;
    this.faces = Array.from({ length: participants }, () => []);
    this.first = null;
    this.next = null;
  }

  /** Takes the frames up to the one that is seen. */
  take(timeline) {
    this.next ??= timeline.current;
    this.first ??= this.next;
    for (; this.next <= timeline.current; this.next++) {
      const frame = timeline.frames.get(this.next);
      this.faces.forEach((rows, participant) => {
        const values = frame?.faces[participant] ?? rows.at(-1);
        if (values) rows.push(values);
      });
    }
  }

  get frames() {
    return this.faces[0].length;
  }

  csv() {
    const units = this.channels.map((name) => (name.startsWith("head") ? "rad" : "1"));
    const shape = [this.faces.length, this.frames, this.channels.length];
    const lines = [
      "# motion: a row per participant and frame, a column per channel, time_s in seconds", `# fps: ${FPS}.0`, '# space: "arkit55"', `# shape: ${JSON.stringify(shape)}`,
      `# units: ${JSON.stringify(units)}`, ["participant", "frame", "time_s", ...this.channels].join(","),
    ];
    this.faces.forEach((rows, participant) => rows.forEach((row, frame) => {
      lines.push([participant, frame, frame / FPS, ...row].join(","));
    }));
    return new Blob([lines.join("\n"), "\n"], { type: "text/csv" });
  }

  npz() {
    const motion = new Float32Array(this.faces.length * this.frames * this.channels.length);
    this.faces.flat().forEach((row, index) => motion.set(row, index * this.channels.length));
    const longest = Math.max(...this.channels.map((name) => name.length));
    return zip([
      ["motion.npy", npy("<f4", `(${this.faces.length}, ${this.frames}, ${this.channels.length})`, motion.buffer)],
      ["fps.npy", npy("<f8", "()", new Float64Array([FPS]).buffer)],
      ["space.npy", npy("<U7", "()", text("arkit55", 7))],
      ["channels.npy", npy(`<U${longest}`, `(${this.channels.length},)`,
        join(this.channels.map((name) => text(name, longest))))],
    ]);
  }

  /** The scene with our head, made by the server. */
  async glb(token) {
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const answer = await fetch("./convert?from=csv&to=glb", { method: "POST", headers, body: this.csv() });
    if (!answer.ok) throw new Error((await answer.json()).what);
    return answer.blob();
  }
}

/** UTF-32 of a fixed length, as NumPy keeps texts. */
function text(value, length) {
  const codes = new Uint32Array(length);
  [...value].forEach((character, index) => { codes[index] = character.codePointAt(0); });
  return codes.buffer;
}

function join(buffers) {
  const all = new Uint8Array(buffers.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const buffer of buffers) {
    all.set(new Uint8Array(buffer), at);
    at += buffer.byteLength;
  }
  return all.buffer;
}

function npy(kind, shape, data) {
  let header = `{'descr': '${kind}', 'fortran_order': False, 'shape': ${shape}, }`;
  header = header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11) + "\n";
  const head = new Uint8Array(10 + header.length);
  head.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, header.length & 255, header.length >> 8]);
  head.set(new TextEncoder().encode(header), 10);
  return join([head.buffer, data]);
}

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = CRC[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}

/** A zip of stored files. */
function zip(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const [name, buffer] of files) {
    const bytes = new Uint8Array(buffer);
    const label = new TextEncoder().encode(name);
    const fields = new DataView(new ArrayBuffer(26));
    fields.setUint16(0, 20, true);
    fields.setUint16(8, 33, true);
    fields.setUint32(10, crc32(bytes), true);
    fields.setUint32(14, bytes.length, true);
    fields.setUint32(18, bytes.length, true);
    fields.setUint16(22, label.length, true);
    const common = new Uint8Array(fields.buffer);
    parts.push(Uint8Array.of(0x50, 0x4b, 3, 4), common, label, bytes);
    const tail = new DataView(new ArrayBuffer(14));
    tail.setUint32(10, offset, true);
    directory.push(Uint8Array.of(0x50, 0x4b, 1, 2, 20, 0), common, new Uint8Array(tail.buffer), label);
    offset += 30 + label.length + bytes.length;
  }
  const size = directory.reduce((sum, { length }) => sum + length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, files.length, true);
  end.setUint16(10, files.length, true);
  end.setUint32(12, size, true);
  end.setUint32(16, offset, true);
  return new Blob([...parts, ...directory, end.buffer], { type: "application/zip" });
}
