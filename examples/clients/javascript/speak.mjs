// Lets an avatar say something and prints how far its mouth opens. Nothing but JSON.
//
//     unils serve &
//     node speak.mjs [ws://127.0.0.1:8730/live]
//
// Runs as it is where WebSocket is built in (browsers, Node 22, Deno, Bun); elsewhere with the package `ws`.

const Socket = globalThis.WebSocket ?? (await import("ws")).default;
const socket = new Socket(process.argv[2] ?? "ws://127.0.0.1:8730/live");
const say = (message) => socket.send(JSON.stringify(message));
const RATE = 16000;

/** Two seconds that sound a little like syllables. */
const voice = Array.from({ length: 2 * RATE }, (_, i) => {
  const t = i / RATE;
  return 0.15 * (1 + Math.sin(14 * t)) * Math.sin(1100 * t);
});

socket.onopen = () => say({ type: "start", version: 1, wire: "json", space: "arkit55", live: false });
socket.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  switch (message.type) {
    case "started":
      socket.jaw = message.channels.indexOf("jawOpen");
      // Nobody talks to it: only its own voice is waited for.
      say({ type: "flush", voice: "partner" });
      for (let i = 0; i < voice.length; i += RATE / 10) {
        const data = voice.slice(i, i + RATE / 10).map((sample) => Number(sample.toFixed(5)));
        say({ type: "audio", voice: "own", rate: RATE, data });
      }
      say({ type: "finish" });
      break;
    case "motion":
      message.values[0].forEach((frame, index) => {
        console.log(`${((message.start_frame + index) / 25).toFixed(2)} s  jawOpen ${frame[socket.jaw].toFixed(2)}`);
      });
      break;
    case "finished":
      console.log(`finished: ${message.frames} frames`);
      socket.close(1000);
      break;
    case "error":
      console.error(message.what, message.hint ?? "");
      process.exitCode = 1;
      break;
  }
};
