//! Browsers that tests drive: each over its own protocol, behind the few things that a test of the page does.

mod chromium;
mod firefox;
mod helper;

use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

pub use chromium::Chromium;
pub use firefox::Firefox;

/// How long an expectation may take: browsers without a graphics card on a busy machine are slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long one call may take.
const ANSWER: Duration = Duration::from_secs(60);

/// What is said of a browser that did not answer a call in time.
pub const NO_ANSWER: &str = "the browser does not answer";

/// What the protocols of browsers have in common.
pub trait Protocol {
    /// The browser's name, for messages and names of pictures.
    fn name(&self) -> &'static str;

    fn open(&mut self, url: &str);

    /// Makes the page this large, in points.
    fn resize(&mut self, width: u32, height: u32);

    /// A picture of what is seen, PNG in Base64.
    fn picture(&mut self) -> Value;

    /// The text that an expression becomes, as if the user had clicked; what the page throws is the error.
    fn evaluate(&mut self, expression: &str) -> Result<Value, String>;
}

/// A page in a browser.
pub struct Browser {
    protocol: Box<dyn Protocol>,
}

impl Browser {
    pub fn new(protocol: impl Protocol + 'static) -> Self {
        Self { protocol: Box::new(protocol) }
    }

    pub fn open(&mut self, url: &str) {
        self.protocol.open(url);
    }

    pub fn size(&mut self, width: u32, height: u32) {
        self.protocol.resize(width, height);
    }

    /// The value of an expression, awaited.
    pub fn run(&mut self, script: &str) -> Value {
        let text = format!("(async () => JSON.stringify(await ({script})) ?? 'null')()");
        match self.protocol.evaluate(&text) {
            Ok(Value::String(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("{}: {script}: {other:?}", self.protocol.name()),
        }
    }

    /// Waits until a script says true.
    pub fn until(&mut self, what: &str, script: &str) {
        let began = Instant::now();
        while self.run(script) != true {
            assert!(began.elapsed() < PATIENCE, "{}: {what} does not happen", self.protocol.name());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Looks at the page; `UNILS_SHOTS=FOLDER` keeps what was seen.
    pub fn picture(&mut self, name: &str) {
        let picture = self.protocol.picture();
        let bytes = STANDARD.decode(picture.as_str().unwrap()).unwrap();
        assert!(bytes.len() > 30_000, "{name}: a picture of {} bytes shows nothing", bytes.len());
        if let Ok(folder) = std::env::var("UNILS_SHOTS") {
            std::fs::create_dir_all(&folder).unwrap();
            let name = format!("{}-{name}.png", self.protocol.name());
            std::fs::write(Path::new(&folder).join(name), bytes).unwrap();
        }
    }
}

/// Says what was not tested.
pub fn skip(what: &str) {
    let _ = writeln!(std::io::stderr().lock(), "SKIPPED: {what}");
}

/// Numbered calls and their answers over a WebSocket: what Chromium and Firefox share.
struct Wire {
    socket: WebSocket<TcpStream>,
    calls: u64,
}

impl Wire {
    fn connect(url: &str) -> Self {
        let address = url.trim_start_matches("ws://").split('/').next().unwrap_or_default();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(ANSWER)).unwrap();
        let (socket, _) = tungstenite::client(url, stream).unwrap();
        Self { socket, calls: 0 }
    }

    /// Calls a method; `event` sees what the browser says meanwhile.
    fn call(&mut self, method: &str, parameters: &Value, event: impl Fn(&Value)) -> Result<Value, String> {
        self.calls += 1;
        let call = json!({ "id": self.calls, "method": method, "params": parameters });
        self.socket.send(Message::text(call.to_string())).unwrap();
        loop {
            let message = self.socket.read().map_err(|error| format!("{method}: {NO_ANSWER}: {error}"))?;
            let Message::Text(text) = message else { continue };
            let mut answer: Value = serde_json::from_str(&text).unwrap();
            if answer["id"] != self.calls {
                event(&answer);
            } else if answer["error"].is_null() {
                return Ok(answer["result"].take());
            } else {
                return Err(format!("{method}: {answer}"));
            }
        }
    }
}

/// A folder of its own for each browser, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("unils-browser-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Processes of a browser that was ended may still write for a moment.
        let began = Instant::now();
        while std::fs::remove_dir_all(&self.0).is_err() && began.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
