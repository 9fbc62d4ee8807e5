//! Real browsers open the page, start, let the avatar listen and speak, record it, and are given other heads.
//!
//! Chromium and Firefox, each left out loudly where it is not installed; `UNILS_CHROMIUM` and `UNILS_FIREFOX` name other
//! programs. Firefox draws in three dimensions only on a screen, and its clock is a sound device: without them it gets
//! `Xvfb` and `pulseaudio`, if they are installed. `UNILS_SHOTS=FOLDER` keeps the pictures, wide and narrow.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod browsers;
mod common;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use browsers::{Browser, Chromium, Firefox, NO_ANSWER, skip};
use common::{fixture, options, server};
use serde_json::{Value, json};
use unils::file::{MotionFormat, ReadOptions, read_motion_bytes};
use unils::motion::{Motion, Space};

/// One browser at a time: each takes what a small machine has.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn the_page_runs_in_chromium() {
    let _turn = TURN.lock();
    match Chromium::start() {
        Some(browser) => check(Browser::new(browser)),
        None => skip("the page in Chromium: no chromium (set UNILS_CHROMIUM)"),
    }
}

#[test]
fn the_page_runs_in_firefox() {
    let _turn = TURN.lock();
    // Where it opens the sound device Firefox now and then locks up for ever: its audio thread waits for libpulse's, which
    // waits in Firefox. Then, and only then, another one is started.
    for is_last in [false, false, true] {
        let Some(browser) = Firefox::start() else {
            return skip("the page in Firefox: no firefox-esr or firefox (set UNILS_FIREFOX)");
        };
        match std::panic::catch_unwind(AssertUnwindSafe(|| check(Browser::new(browser)))) {
            Err(fault) if is_last || !is_silent(fault.as_ref()) => std::panic::resume_unwind(fault),
            Err(_) => eprintln!("TRIED AGAIN: the page in Firefox, which locked up"),
            Ok(()) => return,
        }
    }
}

/// Whether what failed is that the browser does not answer at all.
fn is_silent(fault: &(dyn Any + Send)) -> bool {
    fault.downcast_ref::<String>().is_some_and(|what| what.contains(NO_ANSWER))
}

/// How far the picture's middle, where the face is, is skin: red above green above blue, and not dark.
const SHARE_OF_SKIN: &str = "(() => {
  const gl = unils.stage.gl, w = gl.drawingBufferWidth, h = gl.drawingBufferHeight;
  const pixels = new Uint8Array(w * h * 4);
  gl.readPixels(0, 0, w, h, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  let skin = 0, all = 0;
  for (let y = h * 0.3 | 0; y < h * 0.7; y += 4) for (let x = w * 0.35 | 0; x < w * 0.65; x += 4) {
    const i = (y * w + x) * 4;
    all += 1;
    if (pixels[i] > 90 && pixels[i] > pixels[i + 1] && pixels[i + 1] > pixels[i + 2] - 10) skin += 1;
  }
  return skin / all;
})()";

/// A recording as the own voice, and what the mouth does meanwhile.
const SPEAK: &str = "(async () => {
  const rate = 16000, samples = new Float32Array(rate * 20);
  samples.forEach((_, i) => { const t = i / rate; samples[i] = 0.15 * (1 + Math.sin(14 * t)) * Math.sin(1130 * t); });
  unils.seen = [];
  setInterval(() => unils.seen.push([unils.timeline.voices.speaking, unils.shown[0][17]]), 40);
  await unils.speak(samples, rate);
})()";

/// How far the jaw moves while it speaks.
const JAW: &str = "(() => {
  const open = unils.seen.filter(([speaking]) => speaking).map(([, jaw]) => jaw);
  return Math.max(...open) - Math.min(...open);
})()";

fn click(browser: &mut Browser, id: &str) {
    browser.run(&format!("document.getElementById('{id}').click()"));
}

fn check(mut browser: Browser) {
    let can_draw = "document.createElement('canvas').getContext('webgl2') !== null";
    if browser.run(can_draw) == false {
        skip(
            "the page in this browser: it has no WebGL 2 here (for Firefox install xvfb and libgl1-mesa-dri)",
        );
        return;
    }
    let server = server(options());
    browser.size(1200, 760);
    browser.open(&format!("http://{}/", server.address()));
    browser.until("the head is there", "Boolean(window.unils?.shown?.length)");
    browser.until("the face is drawn", &format!("{SHARE_OF_SKIN} > 0.3"));
    browser.picture("wide");

    // Without a graphics card pictures take their time: small ones less.
    browser.size(480, 400);
    click(&mut browser, "start");
    browser.until("the session begins", "unils.started !== null");
    if browser.run("unils.isSilent") == true {
        skip("the microphone in this browser: no sound device (for Firefox install pulseaudio)");
    } else {
        click(&mut browser, "mic");
        browser.until("the microphone is heard", "unils.microphone !== null");
        browser.until("what is heard is seen", "unils.timeline.voices.listening");
    }
    browser.until("frames are shown", "unils.timeline.end > 0 && unils.timeline.sample > 0");
    click(&mut browser, "record");
    browser.run(SPEAK);
    browser.until("it speaks", "unils.seen.filter(([speaking]) => speaking).length > 20");
    let moves = browser.run(JAW);
    assert!(moves.as_f64().unwrap() > 0.01, "the jaw moves by {moves} while it speaks");
    browser.size(1200, 760);
    browser.picture("speaking");
    browser.size(480, 400);
    browser.until("a second is recorded", "unils.recording.frames >= 25");
    click(&mut browser, "record");
    recordings(&mut browser);
    click(&mut browser, "interrupt");
    browser.until("it is silent", "unils.speaker.pieces.length === 0 && unils.speech === null");

    heads(&mut browser);
    // A recording that ends opens the settings, where it is saved.
    click(&mut browser, "close-panel");
    browser.size(390, 844);
    browser.until("the narrow page is drawn", "unils.stage.canvas.clientWidth === 390");
    browser.picture("narrow");
    let is_wide = browser.run("document.documentElement.scrollWidth > 390");
    assert_eq!(is_wide, false, "nothing is wider than a phone");
}

/// What a button of the page saves.
fn saved(browser: &mut Browser, kind: &str) -> Vec<u8> {
    browser.run(
        "(() => {
          unils.saved = null;
          URL.createObjectURL = (blob) => { unils.saved = blob; return 'about:blank#'; };
          HTMLAnchorElement.prototype.click = () => {};
        })()",
    );
    browser.run(&format!("document.querySelector('[data-save={kind}]').click()"));
    browser.until("a file is made", "unils.saved !== null");
    let text = browser.run(
        "new Promise((resolve) => {
          const reader = new FileReader();
          reader.onload = () => resolve(reader.result.split(',')[1]);
          reader.readAsDataURL(unils.saved);
        })",
    );
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

/// The recording in all its forms holds what was seen.
fn recordings(browser: &mut Browser) {
    let frames = browser.run("unils.recorded.frames").as_u64().unwrap() as usize;
    assert!(frames >= 25);
    let seen: Vec<f32> =
        serde_json::from_value(browser.run("Array.from(unils.recorded.faces[0][10])")).unwrap();
    let is_what_was_seen = |motion: &Motion| {
        assert_eq!((motion.space(), motion.fps()), (Space::Arkit55, 25.0));
        assert_eq!(motion.shape(), [1, frames, 55]);
        assert_eq!(motion.frame(0, 10).unwrap(), seen);
    };
    let options = ReadOptions::default();
    let npz = saved(browser, "npz");
    is_what_was_seen(&read_motion_bytes(MotionFormat::Npz, &npz, "the page's npz", &options).unwrap());
    let csv = saved(browser, "csv");
    let text = String::from_utf8_lossy(&csv);
    let table: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(table[0].starts_with("participant,frame,time_s,eyeBlinkLeft,"), "{}", table[0]);
    assert_eq!(table.len(), 1 + frames);
    is_what_was_seen(&read_motion_bytes(MotionFormat::Csv, &csv, "the page's csv", &options).unwrap());
    let scene = scene(&saved(browser, "glb"));
    let animation = &scene["animations"][0];
    let channels = animation["channels"].as_array().unwrap();
    let weights = channels.iter().find(|channel| channel["target"]["path"] == "weights").unwrap();
    let sampler = &animation["samplers"][weights["sampler"].as_u64().unwrap() as usize];
    let count =
        |index: &Value| scene["accessors"][index.as_u64().unwrap() as usize]["count"].as_u64().unwrap();
    let shapes = scene["meshes"][0]["extras"]["targetNames"].as_array().unwrap().len() as u64;
    assert_eq!(count(&sampler["input"]), frames as u64, "a key for each frame");
    assert_eq!(count(&sampler["output"]), frames as u64 * shapes);
}

/// The JSON of a `.glb` whose lengths are right.
fn scene(bytes: &[u8]) -> Value {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!((&bytes[..4], number(4), number(8)), (&b"glTF"[..], 2, bytes.len()));
    serde_json::from_slice(&bytes[20..20 + number(12)]).unwrap()
}

/// Drops a file on the page.
fn drop_file(browser: &mut Browser, name: &str, bytes: &[u8]) {
    let data = STANDARD.encode(bytes);
    browser.run(&format!(
        "(() => {{
          const bytes = Uint8Array.from(atob('{data}'), (letter) => letter.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], '{name}'));
          document.dispatchEvent(new DragEvent('drop', {{ dataTransfer, bubbles: true, cancelable: true }}));
        }})()"
    ));
    browser
        .until("it is told", &format!("document.getElementById('notice').textContent.startsWith('{name}')"));
}

/// Heads of others are shown, with their pictures; what is none is told, and the head that was there stays.
fn heads(browser: &mut Browser) {
    let notice = "document.getElementById('notice').textContent";
    let skinned = std::fs::read(fixture("heads/skinned.glb")).unwrap();
    drop_file(browser, "skinned.glb", &skinned);
    assert_eq!(browser.run(&format!("{notice}.includes(\"12 of ARKit's 52 shapes\")")), true);
    browser.until("it is shown", "unils.stage.faces[0].face.head === unils.heads[0]");
    drop_file(browser, "painted.gltf", &painted());
    browser.until("its picture is shown", "unils.stage.faces[0].pictures.size === 1");
    drop_file(browser, "cut.glb", &skinned[..skinned.len() / 2]);
    assert_eq!(browser.run(&format!("{notice}.includes('early')")), true);
    drop_file(browser, "notes.txt", b"jawOpen");
    assert_eq!(browser.run("unils.stage.faces[0].pictures.size"), 1, "the head that was there stays");
    click(browser, "own-head");
    browser.until("our own is back", "unils.stage.faces[0].face.head === unils.ourHead");
}

/// The head of `split.gltf` with a picture on it.
fn painted() -> Vec<u8> {
    let text = std::fs::read(fixture("heads/split.gltf")).unwrap();
    let mut head: Value = serde_json::from_slice(&text).unwrap();
    // One orange point.
    let picture = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mN40OAAAAPkAaH1iNoiAAAAAElFTkSuQmCC";
    head["images"] = json!([{ "uri": picture }]);
    head["textures"] = json!([{ "source": 0 }]);
    head["materials"] = json!([{ "pbrMetallicRoughness": { "baseColorTexture": { "index": 0 } } }]);
    head["meshes"][0]["primitives"][0]["material"] = json!(0);
    head.to_string().into_bytes()
}
