// The page: ties connection, sound, timeline and picture together.

import { Microphone, Speaker, Speech, decodeFile } from "./audio.js";
import { Face } from "./face.js";
import { readHead } from "./glb.js";
import { FileError } from "./gltf.js";
import { Live } from "./live.js";
import { Recording } from "./record.js";
import { Stage, decodePictures } from "./render.js";
import { element, millis, notice, seconds, setStatus } from "./tell.js";
import { Timeline } from "./timeline.js";

const RATE = 16000;
/** The highest rate that the server takes. */
const MOST_RATE = 48000;
const CONTROLS = ["liveliness", "expression", "mouth_gate", "gaze_left", "gaze_up", "cfg", "temperature"];
/** A larger file is no head for a page. */
const MOST_BYTES = 200e6;
/** How long a sound device may take to start. */
const SOUND_MS = 3000;

// --- the picture's stage

function makeStage() {
  try {
    return new Stage(element("stage"));
  } catch (error) {
    notice(error.message, "lasting");
    element("start").disabled = true;
    throw error;
  }
}

const stage = makeStage();
const token = new URLSearchParams(location.hash.slice(1)).get("token");
if (token) element("token").value = token;

const state = {
  stage, channels: null, heads: [], timeline: null, live: null, started: null, context: null, speaker: null,
  isSilent: false, microphone: null, speech: null, agent: null, recording: null, network: null, timing: null, waiting: 0, look: [],
};
// For tests and the curious: what the page knows.
window.unils = state;

// --- faces

const APPLE = ["eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
  "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
  "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel",
  "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight",
  "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight", "mouthRollLower", "mouthRollUpper",
  "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft",
  "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp",
  "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft",
  "noseSneerRight", "tongueOut", "headYaw", "headPitch", "headRoll"];

state.channels = APPLE;
state.timeline = new Timeline(APPLE.length);

const faceCount = () => Number(document.querySelector("input[name=faces]:checked").value);

async function showFaces() {
  const heads = Array.from({ length: faceCount() }, (_, index) => state.heads[index] ?? state.ourHead);
  const faces = heads.map((head, index) => new Face(head, ["a", "b"][index], state.channels));
  stage.show(faces);
  state.look = faces.length === 2 ? [-0.26, 0.26] : [0];
  element("names").replaceChildren(...faces.map(() => {
    const name = document.createElement("span");
    name.append(document.createElement("b"));
    return name;
  }));
  // Seen at once, and lit a little better soon after; unless others are shown by then.
  for (const face of faces) if (stage.faces.some((drawn) => drawn.face === face)) await face.measureSky();
}

/** Shows a head from a file; whatever is wrong with it is told, and the head that was there stays. */
async function openHead(file) {
  try {
    if (file.size > MOST_BYTES) throw new FileError("more than 200 MB", "reduce the mesh and its pictures and export it again");
    const head = readHead(await file.arrayBuffer(), state.channels);
    const failed = await decodePictures(head);
    state.heads = [head, head];
    const few = head.missing.slice(0, 3).join(", ") + (head.missing.length > 3 ? " ..." : "");
    const without = head.missing.length ? `, without ${few}` : "";
    const said = `${52 - head.missing.length} of ARKit's 52 shapes${without}${failed ? `; ${failed} pictures cannot be drawn` : ""}`;
    element("head-report").textContent = `${file.name}: ${said}`;
    headButtons();
    notice(`${file.name}: ${said}`, "good");
    state.ready = showFaces();
    await state.ready;
  } catch (error) {
    notice(`${file.name}: ${error.message}`);
  }
}

function headButtons() {
  const isOther = state.heads.length > 0;
  element("own-head").hidden = !isOther;
  element("head-report").hidden = !isOther;
}

// --- connection

// A control that was never touched is left to the model, which knows its own guidance.
const touched = new Set();
const controls = () => Object.fromEntries([...touched].map((name) => [name, Number(element(name).value)]));

/** At the device's own rate, unless the server does not take it. */
function makeContext() {
  const context = new AudioContext({ latencyHint: "interactive" });
  if (context.sampleRate <= MOST_RATE) return context;
  context.close();
  return new AudioContext({ latencyHint: "interactive", sampleRate: MOST_RATE });
}

/** Starts the sound device; where none answers, the face goes by the machine's clock and is not heard. */
async function wakeSound() {
  state.context ??= makeContext();
  const { context } = state;
  context.onstatechange = () => {
    if (!state.isSilent || context.state !== "running") return;
    state.isSilent = false;
    state.timeline.time = null;
  };
  await Promise.race([context.resume(), new Promise((resolve) => setTimeout(resolve, SOUND_MS))]);
  state.isSilent = context.state !== "running";
  if (state.isSilent) notice("no sound device answers: the face is seen, but its voice is not heard");
}

async function start() {
  notice("");
  setStatus("wait", "Connecting");
  await wakeSound();
  state.speaker = new Speaker(state.context);
  const url = new URL("./live", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const live = new Live(url, {
    token: element("token").value || null, participants: faceCount(), values: "f16", space: "arkit55",
    controls: controls(), style: element("style").value || null,
  });
  state.live = live;
  live.addEventListener("started", ({ detail }) => begun(detail));
  live.addEventListener("motion", ({ detail }) => state.timeline.push(detail));
  live.addEventListener("placed", ({ detail }) => {
    if (detail.voice === "own") state.speaker.placed(detail.start_sample, detail.taken);
  });
  live.addEventListener("pong", ({ detail }) => { state.network = performance.now() - detail.id; });
  live.addEventListener("timing", ({ detail }) => { state.timing = detail; });
  live.addEventListener("error", ({ detail }) => {
    notice(detail.hint ? `${detail.what}: ${detail.hint}` : detail.what);
    if (detail.fatal) setStatus("bad", detail.what);
    if (detail.code === "unauthorized") element("token-field").open = true;
  });
  live.addEventListener("cut", () => setStatus("wait", "Connecting again"));
  live.addEventListener("closed", () => { if (state.live === live) stop(); });
  buttons();
}

function begun(started) {
  state.started = started;
  if (!started.resumed) {
    state.timeline.reset(started.next_frame);
    // Time begins with the first sound; who is silent need not be waited for.
    state.live.audio({ voice: "partner", rate: RATE, samples: new Float32Array(RATE / 50) });
    state.live.send({ type: "flush", voice: "own" });
    if (!state.microphone) state.live.send({ type: "flush", voice: "partner" });
  }
  const styles = element("style");
  styles.replaceChildren(new Option("None", ""), ...started.styles.map((name) => new Option(name, name)));
  element("style-field").hidden = !started.styles.length;
  setStatus("on", started.latency_ms > 1000 ? `Live, ${seconds(started.latency_ms / 1000)} behind` : "Live");
  document.body.classList.add("running", "met");
  buttons();
}

function stop() {
  if (state.recording) toggleRecording();
  const live = state.live;
  state.live = null;
  state.started = null;
  live?.close();
  silence();
  closeMicrophone();
  state.agent?.close();
  document.body.classList.remove("running");
  if (element("status").dataset.state !== "bad") setStatus("off", "Not connected");
  buttons();
}

function buttons() {
  const isOn = state.started !== null;
  element("start").textContent = state.live ? "Stop" : "Start";
  for (const id of ["mic", "file", "interrupt", "record", "agent-connect"]) element(id).disabled = !isOn;
}

// --- own voice

function say(samples, rate) {
  state.live.audio({ voice: "own", rate, samples });
  state.speaker.sent(samples.slice(), rate);
}

async function speakFile(file) {
  try {
    const { samples, rate } = await decodeFile(state.context, await file.arrayBuffer());
    speak(samples, rate);
  } catch (error) {
    notice(`${file.name} cannot be played: ${error.message}`);
  }
}

/** Says samples from -1 to 1. */
function speak(samples, rate) {
  if (rate < 8000 || rate > MOST_RATE) throw new Error(`${rate} Hz, expected 8000 to ${MOST_RATE}`);
  // What is still being said ends on the server as well, or the mouth would say it without a sound.
  if (isSpeaking()) interrupt();
  state.speech = new Speech(samples, rate);
}
state.speak = speak;

function feed() {
  const { speech, live, started, speaker, timeline } = state;
  if (!speech || !started || !live.isOpen) return;
  // A window that is made as a whole needs that much ahead of what is heard.
  const window = (started.window_frames + started.look_ahead_frames) / started.fps;
  for (;;) {
    const unplaced = speaker.unplaced.reduce((sum, { samples, rate }) => sum + samples.length / rate, 0);
    const waiting = Math.max(speaker.end - timeline.sample, 0) / RATE + unplaced - 2 * window;
    const piece = speech.next(waiting);
    if (!piece) break;
    say(piece, speech.rate);
  }
  if (speech.isOver) {
    state.speech = null;
    live.send({ type: "flush", voice: "own" });
  }
}

function isSpeaking() {
  const { speaker, speech } = state;
  return speech !== null || speaker.pieces.length > 0 || speaker.playing.size > 0 || speaker.unplaced.length > 0;
}

function silence() {
  state.speech = null;
  state.speaker?.stop();
}

function interrupt() {
  silence();
  state.live.send({ type: "interrupt", sample: Math.round(state.timeline.sample) });
}

function connectAgent(url, rate) {
  state.agent?.close();
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  state.agent = socket;
  let quiet;
  socket.onmessage = ({ data }) => {
    if (typeof data === "string" || !state.started) return;
    const samples = Float32Array.from(new Int16Array(data), (value) => value / 32768);
    say(samples, rate);
    // A stream that pauses is not waited for.
    clearTimeout(quiet);
    quiet = setTimeout(() => state.live?.send({ type: "flush", voice: "own" }), 300);
  };
  socket.onerror = () => notice(`${url} cannot be reached`);
  socket.onopen = () => { element("agent-connect").textContent = "Connected"; };
  socket.onclose = () => { element("agent-connect").textContent = "Connect"; };
}

// --- microphone

async function toggleMicrophone() {
  if (state.isSilent) return notice("the microphone cannot be used: no sound device answers");
  if (state.microphone) {
    closeMicrophone();
    return state.live?.send({ type: "flush", voice: "partner" });
  }
  try {
    state.microphone = await Microphone.open(state.context, (samples, rate) => {
      state.live?.audio({ voice: "partner", rate, samples });
      let energy = 0;
      for (const sample of samples) energy += sample * sample;
      const level = Math.max(0, 1 + Math.log10(energy / samples.length + 1e-9) / 5);
      element("mic-level").style.transform = `scaleX(${Math.min(level, 1)})`;
    });
    element("mic").setAttribute("aria-pressed", "true");
  } catch (error) {
    notice(`the microphone cannot be used: ${error.message}`);
  }
}

function closeMicrophone() {
  state.microphone?.close();
  state.microphone = null;
  element("mic").setAttribute("aria-pressed", "false");
  element("mic-level").style.transform = "";
}

// --- picture

function heardTime() {
  const { context, isSilent } = state;
  if (isSilent) return performance.now() / 1000;
  return context.currentTime - (context.outputLatency || context.baseLatency || 0);
}

/** Moves on: what is sent, what is heard, where the playhead stands. */
function run() {
  const { timeline, speaker, started } = state;
  if (!started) return;
  feed();
  timeline.advance(heardTime(), isSpeaking());
  speaker.pump({
    sample: timeline.sample, end: timeline.end * 640, isRunning: timeline.isRunning, isHurrying: timeline.isHurrying,
  });
  state.recording?.take(timeline);
}
// Sound must not wait for pictures: a slow machine, or a page in the background, draws few.
setInterval(run, 25);

function tick(time) {
  const { timeline, started } = state;
  run();
  const frames = stage.faces.map((_, participant) => (started ? timeline.face(participant) : idle(time, participant)));
  state.shown = frames;
  stage.draw(frames, state.look);
  readouts();
  requestAnimationFrame(tick);
}

/** Before it is connected the face breathes and blinks a little, by rule. */
function idle(time, participant) {
  const frame = new Float32Array(state.channels.length);
  const t = time / 1000 + participant * 1.7;
  const blink = Math.max(0, 1 - Math.abs((t % 3.7) - 0.1) / 0.1);
  const set = (name, value) => { frame[state.channels.indexOf(name)] = value; };
  set("eyeBlinkLeft", blink);
  set("eyeBlinkRight", blink);
  set("headPitch", 0.02 * Math.sin(t * 0.9));
  set("headYaw", 0.05 * Math.sin(t * 0.43));
  set("mouthSmileLeft", 0.16);
  set("mouthSmileRight", 0.18);
  return frame;
}

let lastReadout = 0;
function readouts() {
  const now = performance.now();
  if (now - lastReadout < 150) return;
  lastReadout = now;
  const { timeline, timing, started, network, recording } = state;
  const isOn = started !== null;
  const put = (id, text) => { element(id).textContent = isOn ? text : "–"; };
  const window = isOn ? (started.window_frames + started.look_ahead_frames) / started.fps : 0;
  // A recording is sent ahead of being heard: only with a microphone does anybody wait for an answer.
  put("latency", state.microphone ? seconds(window + timeline.ahead + (network ?? 0) / 1000) : "microphone is off");
  put("network", network === null ? "–" : millis(network));
  put("ahead", `${Math.round(timeline.ahead * 25)} (${seconds(timeline.ahead)})`);
  put("own-queue", timing ? seconds(timing.waiting[0] / RATE) : "–");
  put("step", timing ? `${timing.step_ms.toFixed(1)} ms` : "–");
  put("losses", timing
    ? `${timeline.holds}, ${timing.dropped_frames}, ${seconds((timing.missing[0] + timing.missing[1]) / RATE)}` : "–");
  const { speaking, listening } = timeline.voices;
  document.querySelectorAll("#names b").forEach((name, participant) => {
    const [own, other] = participant === 0 ? [speaking, listening] : [listening, speaking];
    const voice = own ? "speaks" : other ? "listens" : "waits";
    const who = stage.faces.length === 2 ? ["Avatar", "Partner"][participant] : "";
    if (name.dataset.voice !== voice) {
      name.dataset.voice = voice;
      const says = { speaks: "Speaking", listens: "Listening", waits: "Waiting" }[voice];
      name.textContent = who ? `${who}: ${says.toLowerCase()}` : says;
      if (participant === 0) element("stage").setAttribute("aria-label", `An animated face: ${name.textContent.toLowerCase()}`);
    }
  });
  if (recording) element("recorded").textContent = seconds(recording.frames / 25);
}

// --- recording

function toggleRecording() {
  const isOn = element("record").getAttribute("aria-pressed") === "true";
  element("record").setAttribute("aria-pressed", String(!isOn));
  element("record").querySelector("span").textContent = isOn ? "Record" : "Stop recording";
  if (isOn) {
    state.recorded = state.recording;
    state.recording = null;
    element("save").hidden = !state.recorded?.frames;
    if (state.recorded?.frames) {
      // The buttons that save it stand at the end.
      element("panel").classList.add("open");
      element("panel").scrollTop = element("panel").scrollHeight;
    }
  } else {
    state.recorded = null;
    state.recording = new Recording(state.channels, stage.faces.length);
    element("save").hidden = false;
  }
}

async function save(kind) {
  const recording = state.recorded ?? state.recording;
  if (!recording?.frames) return;
  try {
    const blob = kind === "glb" ? await recording.glb(element("token").value) : recording[kind]();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `unils.${kind}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  } catch (error) {
    notice(`the file cannot be made: ${error.message}`);
  }
}

// --- the page's controls

element("start").onclick = () => (state.live ? stop() : start().catch((error) => notice(error.message)));
element("mic").onclick = toggleMicrophone;
element("interrupt").onclick = interrupt;
element("record").onclick = toggleRecording;
element("file").onchange = ({ target }) => {
  if (target.files[0]) speakFile(target.files[0]);
  target.value = "";
};
element("head").onchange = async ({ target }) => {
  if (target.files[0]) await openHead(target.files[0]);
  target.value = "";
};
element("own-head").onclick = () => {
  state.heads = [];
  headButtons();
  state.ready = showFaces();
};
element("agent").onsubmit = (event) => {
  event.preventDefault();
  connectAgent(element("agent-url").value, Number(element("agent-rate").value));
};
element("style").onchange = ({ target }) => state.live?.send({ type: "style", name: target.value || null });
document.querySelectorAll("input[name=faces]").forEach((input) => {
  input.onchange = async () => {
    const wasOn = state.live !== null;
    const couldHear = state.microphone !== null;
    if (wasOn) stop();
    state.ready = showFaces();
    if (wasOn) await start();
    if (couldHear) await toggleMicrophone();
  };
});
for (const name of CONTROLS) {
  const slider = element(name);
  const isModels = name === "cfg" || name === "temperature";
  const show = () => {
    const value = name.startsWith("gaze") ? `${slider.value}°` : Number(slider.value).toFixed(2);
    element(`${name}-value`).textContent = isModels && !touched.has(name) ? "as the model" : value;
  };
  slider.oninput = () => {
    touched.add(name);
    show();
    state.live?.send({ type: "controls", [name]: Number(slider.value) });
  };
  show();
}
document.querySelectorAll("[data-save]").forEach((button) => { button.onclick = () => save(button.dataset.save); });

function openPanel(isOpen) {
  element("panel").classList.toggle("open", isOpen);
  element("open-panel").setAttribute("aria-expanded", String(isOpen));
  if (isOpen) element("close-panel").focus();
  else element("open-panel").focus();
}
element("open-panel").onclick = () => openPanel(true);
element("close-panel").onclick = () => openPanel(false);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && element("panel").classList.contains("open")) return openPanel(false);
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return undefined;
  const id = { m: "mic", i: "interrupt", r: "record" }[event.key];
  if (id && !element(id).disabled) element(id).click();
  return undefined;
});
document.addEventListener("dragover", (event) => { event.preventDefault(); element("drop").hidden = false; });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) element("drop").hidden = true; });
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  element("drop").hidden = true;
  const [file] = event.dataTransfer.files;
  if (!file) return;
  if (/\.(glb|gltf)$/i.test(file.name)) await openHead(file);
  else if (!/^audio\/|^video\//.test(file.type)) notice(`${file.name}: neither a recording nor a .glb head`);
  else if (state.started) await speakFile(file);
  else notice("start first, then drop a recording");
});

const head = await fetch("./head.glb");
state.ourHead = readHead(await head.arrayBuffer(), state.channels);
state.ready = showFaces();
requestAnimationFrame(tick);
await state.ready;
