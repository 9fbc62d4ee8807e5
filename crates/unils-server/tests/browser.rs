//! A real browser opens the page, starts, lets the avatar say something, and the mouth moves with it.
//!
//! Chromium through its debugging protocol; `UNILS_CHROMIUM` names another than `chromium`. `UNILS_SHOTS=FOLDER` keeps
//! the pictures, wide and narrow.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use common::{options, server};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// A browser that is ended with its folder when the test is over.
struct Browser {
    child: Child,
    folder: PathBuf,
    page: WebSocket<TcpStream>,
    calls: u64,
}

impl Browser {
    /// `None` where there is none.
    fn open() -> Option<Self> {
        let program = std::env::var("UNILS_CHROMIUM").unwrap_or("chromium".to_owned());
        let folder = std::env::temp_dir().join(format!("unils-browser-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new(program);
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--use-angle=swiftshader",
            "--enable-unsafe-swiftshader",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--autoplay-policy=no-user-gesture-required",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            "--remote-debugging-port=0",
            "about:blank",
        ]);
        command.arg(format!("--user-data-dir={}", folder.display()));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let port_file = folder.join("DevToolsActivePort");
        let mut port = String::new();
        common::until("the browser's start", || {
            port = std::fs::read_to_string(&port_file).unwrap_or_default();
            port.lines().count() >= 2
        });
        let address = format!("127.0.0.1:{}", port.lines().next().unwrap());
        let mut url = String::new();
        common::until("the browser's page", || {
            url = page_url(&address).unwrap_or_default();
            !url.is_empty()
        });
        let stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let (page, _) = tungstenite::client(url, stream).unwrap();
        Some(Self { child, folder, page, calls: 0 })
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let call = json!({ "id": id, "method": method, "params": parameters });
        self.page.send(Message::text(call.to_string())).unwrap();
        loop {
            let Message::Text(text) = self.page.read().unwrap() else { continue };
            let mut answer: Value = serde_json::from_str(&text).unwrap();
            if answer["method"] == "Runtime.exceptionThrown" {
                panic!("the page: {}", answer["params"]["exceptionDetails"]);
            }
            if answer["id"] == id {
                return answer["result"].take();
            }
        }
    }

    fn run(&mut self, script: &str) -> Value {
        let parameters =
            json!({ "expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let mut answer = self.call("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{script}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    /// Waits until a script says true.
    fn until(&mut self, what: &str, script: &str) {
        let began = Instant::now();
        while self.run(script) != true {
            assert!(began.elapsed() < Duration::from_secs(60), "{what} does not happen");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn size(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    fn picture(&mut self, name: &str) {
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(answer["data"].as_str().unwrap()).unwrap();
        assert!(bytes.len() > 50_000, "{name}: a picture of {} bytes shows nothing", bytes.len());
        if let Ok(folder) = std::env::var("UNILS_SHOTS") {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(Path::new(&folder).join(name), bytes).unwrap();
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The debugging address of the first page.
fn page_url(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET /json HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    let pages: Vec<Value> = serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()?;
    let page = pages.into_iter().find(|page| page["type"] == "page")?;
    page["webSocketDebuggerUrl"].as_str().map(str::to_owned)
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

#[test]
fn the_page_shows_a_face_whose_mouth_moves_with_its_voice() {
    let Some(mut browser) = Browser::open() else {
        let text = "SKIPPED: the page in a browser: no chromium (set UNILS_CHROMIUM)";
        let _ = writeln!(std::io::stderr().lock(), "{text}");
        return;
    };
    let server = server(options());
    browser.call("Runtime.enable", json!({}));
    browser.size(1200, 760);
    browser.call("Page.navigate", json!({ "url": format!("http://{}/", server.address()) }));
    browser.until("the head is there", "Boolean(window.unils?.shown?.length)");
    let share = browser.run(SHARE_OF_SKIN);
    assert!(share.as_f64().unwrap() > 0.3, "{share} of the picture's middle is skin");
    browser.picture("wide.png");

    // Without a graphics card pictures take their time: small ones less.
    browser.size(480, 400);
    browser.run("document.getElementById('start').click()");
    browser.until("the session begins", "unils.started !== null");
    browser.run("document.getElementById('mic').click()");
    browser.until("the microphone is heard", "unils.microphone !== null");
    browser.until("frames are shown", "unils.timeline.end > 0 && unils.timeline.sample > 0");
    // A recording as the own voice, and what the mouth does meanwhile.
    browser.run(
        "(async () => {
          const rate = 16000, samples = new Float32Array(rate * 20);
          samples.forEach((_, i) => { const t = i / rate; samples[i] = 0.15 * (1 + Math.sin(14 * t)) * Math.sin(1130 * t); });
          unils.seen = [];
          setInterval(() => unils.seen.push([unils.timeline.voices.speaking, unils.shown[0][17]]), 40);
          await unils.speak(samples, rate);
        })()",
    );
    browser.until("it speaks", "unils.seen.filter(([speaking]) => speaking).length > 20");
    browser.size(1200, 760);
    std::thread::sleep(Duration::from_secs(1));
    browser.picture("speaking.png");
    let moves = browser.run(
        "(() => { const open = unils.seen.filter(([speaking]) => speaking).map(([, jaw]) => jaw);
          return Math.max(...open) - Math.min(...open); })()",
    );
    assert!(moves.as_f64().unwrap() > 0.01, "the jaw moves by {moves} while it speaks");
    browser.run("document.getElementById('interrupt').click()");
    browser.until("it is silent", "unils.speaker.pieces.length === 0 && unils.speech === null");

    browser.size(390, 844);
    std::thread::sleep(Duration::from_millis(500));
    browser.picture("narrow.png");
    let hidden = browser.run("document.documentElement.scrollWidth > 390");
    assert_eq!(hidden, false, "nothing is wider than a phone");
}
