// Frames that have come, and the playhead that decides which one is seen.
//
// The audio clock is master: the playhead counts samples of the session by the time of the audio device. A frame is
// shown while its samples are heard. Where frames are not there yet the playhead holds, and so does the sound; nothing is
// skipped while the avatar speaks. While it listens, a playhead that has fallen behind hurries, so that holds leave no lag.

export const FRAME_SAMPLES = 640;
const RATE = 16000;
/** Seconds of frames that lie ahead before the playhead starts or goes on. */
const AHEAD = 0.08;
/** A lead beyond this is made up while nothing is said. */
const TOO_FAR = 0.28;
const HURRY = 1.25;
/** A lead beyond this is not made up but left out: a page that stood still, or a sound device that did. */
const LOST = 1.5;
/** Frames that are kept behind the playhead: a recording takes them, also after the page stood still. */
const KEPT = 250;

export class Timeline {
  constructor(channels) {
    this.rest = new Float32Array(channels);
    this.frames = new Map();
    this.reset(0);
  }

  /** Begins at a frame. */
  reset(frame) {
    this.frames.clear();
    this.end = frame;
    this.sample = frame * FRAME_SAMPLES;
    this.time = null;
    this.isRunning = false;
    this.holds = 0;
    this.window = 1;
  }

  /** Takes frames; those that are known already are replaced. */
  push({ startFrame, frames, revision }) {
    if (!revision && startFrame > this.end) {
      // Dropped on the way, as this page was too slow: go on from here.
      this.end = startFrame;
      this.sample = Math.max(this.sample, startFrame * FRAME_SAMPLES);
    }
    frames.forEach((frame, index) => this.frames.set(startFrame + index, frame));
    if (!revision) {
      this.end = Math.max(this.end, startFrame + frames.length);
      this.window = Math.max(frames.length, 1);
    }
  }

  /** Seconds of frames ahead of the playhead. */
  get ahead() {
    return this.end * FRAME_SAMPLES / RATE - this.sample / RATE;
  }

  /** Moves the playhead to the audio device's time; `isSpeaking` forbids hurry. Returns the sample that is heard. */
  advance(now, isSpeaking) {
    const most = this.end * FRAME_SAMPLES;
    if (this.time !== null && this.isRunning) {
      // Windows that come as wholes lie ahead by as much as they are long.
      const spare = this.ahead - this.window / 25;
      if (!isSpeaking && spare > LOST) this.sample += (spare - AHEAD) * RATE;
      const pace = !isSpeaking && spare > TOO_FAR ? HURRY : 1;
      this.sample += (now - this.time) * RATE * pace;
      this.isHurrying = pace !== 1;
      if (this.sample >= most) {
        this.sample = most;
        this.isRunning = false;
        this.holds += 1;
      }
    } else if (this.ahead >= AHEAD) {
      this.isRunning = true;
      this.isHurrying = false;
    }
    this.time = now;
    const oldest = Math.floor(this.sample / FRAME_SAMPLES) - KEPT;
    for (const number of this.frames.keys()) {
      if (number >= oldest) break;
      this.frames.delete(number);
    }
    return this.sample;
  }

  /** The frame number that is seen. */
  get current() {
    return Math.min(Math.floor(this.sample / FRAME_SAMPLES), this.end - 1);
  }

  /** Numbers of a face between the two frames around the playhead. */
  face(participant) {
    const at = this.sample / FRAME_SAMPLES - 0.5;
    const first = Math.floor(at);
    const share = at - first;
    const a = this.frames.get(first)?.faces[participant] ?? this.frames.get(first + 1)?.faces[participant];
    if (!a) return this.last?.[participant] ?? this.rest;
    const b = this.frames.get(first + 1)?.faces[participant] ?? a;
    const mixed = a.map((value, channel) => value + share * (b[channel] - value));
    this.last ??= [];
    this.last[participant] = mixed;
    return mixed;
  }

  get voices() {
    const frame = this.frames.get(this.current);
    return { speaking: frame?.speaking ?? false, listening: frame?.listening ?? false };
  }
}
