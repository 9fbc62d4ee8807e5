// The connection to the server: begins a session, goes on with it after a cut, tells what comes.

import { VERSION, decodeMotion, encodeAudio } from "./protocol.js";

/** How long the connection is tried again after a cut; the server keeps the session for `grace_s`. */
const RETRY_MS = [200, 500, 1000, 2000, 4000, 8000];

export class Live extends EventTarget {
  /** `start` is the first message; `url` the server's WebSocket. */
  constructor(url, start) {
    super();
    this.url = url;
    this.start = start;
    this.session = null;
    this.tries = 0;
    this.isEnded = false;
    this.connect();
  }

  connect() {
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      const resume = this.session ? { session: this.session } : {};
      socket.send(JSON.stringify({ type: "start", version: VERSION, ...this.start, ...resume }));
    };
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") return this.tell("motion", decodeMotion(data));
      const message = JSON.parse(data);
      if (message.type === "started") {
        this.session = message.session;
        this.tries = 0;
      }
      if (message.type === "error" && message.fatal) {
        // A session that is gone cannot be gone on with: the next try begins another.
        if (message.code === "unknown_session") this.session = null;
        else this.isEnded = message.code !== "idle";
      }
      this.tell(message.type, message);
    };
    socket.onclose = () => {
      clearInterval(this.beat);
      if (this.isEnded || this.socket !== socket) return this.tell("closed", {});
      const wait = RETRY_MS[Math.min(this.tries, RETRY_MS.length - 1)];
      this.tries += 1;
      if (this.tries > 12) {
        this.isEnded = true;
        return this.tell("closed", {});
      }
      this.tell("cut", { again: wait });
      setTimeout(() => this.isEnded || this.connect(), wait);
    };
    this.beat = setInterval(() => this.send({ type: "ping", id: Math.round(performance.now()) }), 2000);
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  send(message) {
    if (this.isOpen) this.socket.send(JSON.stringify(message));
  }

  audio(frame) {
    // A socket that does not drain must not fill the memory; the server counts the gap as silence.
    if (this.isOpen && this.socket.bufferedAmount < 1 << 20) this.socket.send(encodeAudio(frame));
  }

  close() {
    this.isEnded = true;
    this.socket.close(1000);
  }
}
