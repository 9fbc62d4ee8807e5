// Sound in and out of the page: microphone, files, an agent's stream, and the speaker that follows the playhead.

const RATE = 16000;
/** Seconds that sound is scheduled ahead. */
const AHEAD = 0.12;
/** Seconds of a voice that are sent ahead of being heard: speech synthesis comes in bursts as well. */
const BURST = 3;
const PIECE = 0.1;

export class Microphone {
  static async open(context, onPacket) {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
    await context.audioWorklet.addModule("./capture.js");
    const microphone = new Microphone();
    microphone.stream = stream;
    microphone.source = context.createMediaStreamSource(stream);
    microphone.node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    microphone.node.port.onmessage = ({ data }) => {
      onPacket(data, context.sampleRate);
      microphone.node.port.postMessage(data, [data.buffer]);
    };
    microphone.source.connect(microphone.node);
    return microphone;
  }

  close() {
    this.source.disconnect();
    this.stream.getTracks().forEach((track) => track.stop());
  }
}

/** The samples of an audio file, one channel. */
export async function decodeFile(context, buffer) {
  const audio = await context.decodeAudioData(buffer);
  const mono = new Float32Array(audio.length);
  for (let channel = 0; channel < audio.numberOfChannels; channel++) {
    const samples = audio.getChannelData(channel);
    for (let i = 0; i < mono.length; i++) mono[i] += samples[i] / audio.numberOfChannels;
  }
  return { samples: mono, rate: audio.sampleRate };
}

/** A voice that waits to be sent in pieces: no more than a burst ahead of what is heard. */
export class Speech {
  constructor(samples, rate) {
    this.samples = samples;
    this.rate = rate;
    this.sent = 0;
  }

  get isOver() {
    return this.sent >= this.samples.length;
  }

  /** The next piece, if there is one and `waiting` seconds of the voice are not too many. */
  next(waiting) {
    if (this.isOver || waiting > BURST) return null;
    const end = Math.min(this.sent + Math.round(this.rate * PIECE), this.samples.length);
    const piece = this.samples.subarray(this.sent, end);
    this.sent = end;
    return piece;
  }
}

/** Plays the own voice where the playhead is: pieces stand on the session's clock. */
export class Speaker {
  constructor(context) {
    this.context = context;
    this.gain = context.createGain();
    this.gain.connect(context.destination);
    this.unplaced = [];
    this.pieces = [];
    this.playing = new Set();
  }

  /** A piece that was sent; the server will say where it stands. */
  sent(samples, rate) {
    this.unplaced.push({ samples, rate });
  }

  /** The server's answer, in the order of what was sent. */
  placed(startSample, taken) {
    const piece = this.unplaced.shift();
    // Silenced meanwhile: nothing of it is heard.
    if (piece?.samples.length && taken > 0) this.pieces.push({ ...piece, start: startSample });
  }

  /** One after the last sample that is to be heard. */
  get end() {
    const last = this.pieces.at(-1);
    return last ? last.start + last.samples.length / last.rate * RATE : 0;
  }

  /** Schedules what the playhead reaches soon and frames are there for. */
  pump({ sample, end, isRunning, isHurrying }) {
    if (!isRunning || isHurrying) return;
    const now = this.context.currentTime;
    const reach = Math.min(sample + AHEAD * RATE, end);
    while (this.pieces.length) {
      const piece = this.pieces[0];
      const length = piece.samples.length / piece.rate * RATE;
      if (piece.start + length <= sample) {
        this.pieces.shift();
        continue;
      }
      // Without a sound device there is nothing to schedule; what has passed is dropped above.
      if (this.context.state !== "running") break;
      if (piece.start + length > reach && piece.start > reach) break;
      if (piece.start + length > end) break;
      this.pieces.shift();
      const buffer = this.context.createBuffer(1, piece.samples.length, piece.rate);
      buffer.copyToChannel(piece.samples, 0);
      const source = this.context.createBufferSource();
      source.buffer = buffer;
      source.connect(this.gain);
      const late = Math.max((sample - piece.start) / RATE, 0);
      source.start(now + Math.max((piece.start - sample) / RATE, 0), late);
      source.onended = () => this.playing.delete(source);
      this.playing.add(source);
    }
  }

  /** Silence, at once. */
  stop() {
    this.playing.forEach((source) => source.stop());
    this.playing.clear();
    this.pieces = [];
    this.unplaced.forEach((piece) => { piece.samples = new Float32Array(0); });
  }
}
