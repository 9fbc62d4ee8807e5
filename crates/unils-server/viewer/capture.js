// In the audio thread: gathers the microphone's samples into packets of 20 ms. Packets' memory comes back and is used again.

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.size = Math.round(sampleRate / 50);
    this.pool = [];
    this.packet = new Float32Array(this.size);
    this.filled = 0;
    this.port.onmessage = ({ data }) => this.pool.push(data);
  }

  process([input]) {
    const channel = input[0];
    if (!channel) return true;
    for (let i = 0; i < channel.length; i++) {
      this.packet[this.filled++] = channel[i];
      if (this.filled === this.size) {
        this.port.postMessage(this.packet, [this.packet.buffer]);
        this.packet = this.pool.pop() ?? new Float32Array(this.size);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
