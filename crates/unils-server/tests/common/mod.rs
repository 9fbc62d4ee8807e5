//! What the server's tests share: a server with the tiny model on a free port, voices, waiting for what is expected.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use unils::device::DeviceKind;
use unils::model::{Model, ModelFiles};
use unils::session::Chunk;
use unils_server::client::{Client, ClientError, Received};
use unils_server::protocol::{ServerMessage, Start, Started};
use unils_server::{Server, ServerOptions};

/// Frames and samples of the tiny model's window.
pub const WINDOW: usize = 20;
pub const WINDOW_SAMPLES: usize = WINDOW * 640;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

pub fn model() -> Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    let open = || {
        let files = ModelFiles {
            checkpoint: fixture("checkpoints/gen_tiny.pt"),
            encoder: Some(fixture("hf_wav2vec2_tiny")),
            ..ModelFiles::default()
        };
        Arc::new(Model::open(&files, DeviceKind::Cpu).unwrap())
    };
    Arc::clone(MODEL.get_or_init(open))
}

pub fn options() -> ServerOptions {
    // A machine that is busy with other work must not make the tests' servers refuse them.
    ServerOptions { bind: ([127, 0, 0, 1], 0).into(), max_load: f64::INFINITY, ..ServerOptions::default() }
}

pub fn server(options: ServerOptions) -> Server {
    Server::start(model(), options).unwrap()
}

pub fn connect(server: &Server, start: Start) -> (Client, Started) {
    try_connect(server, start).unwrap()
}

pub fn try_connect(server: &Server, start: Start) -> Result<(Client, Started), ClientError> {
    Client::connect(&server.address().to_string(), start)
}

/// A session without a clock: what comes depends on the audio alone.
pub fn timeless() -> Start {
    Start { live: Some(false), ..Start::default() }
}

/// A tone that comes and goes like syllables.
pub fn voice(seconds: f64, pitch: f64, rate: u32) -> Vec<f32> {
    let sample = |index: usize| {
        let t = index as f64 / f64::from(rate);
        let loudness = 0.3 * (0.5 + 0.5 * (TAU * 2.3 * t).sin());
        (loudness * (TAU * pitch * t).sin()) as f32
    };
    (0..(seconds * f64::from(rate)) as usize).map(sample).collect()
}

/// The next frames; messages in between are passed over, but an error is one.
pub fn motion(client: &mut Client) -> Chunk {
    loop {
        match client.receive().unwrap() {
            Received::Motion(chunk) => return chunk,
            Received::Message(ServerMessage::Error(fault)) => panic!("{fault:?}"),
            Received::Message(_) => {}
        }
    }
}

/// The next message that `pick` takes; everything else is passed over.
pub fn message<T>(client: &mut Client, pick: impl Fn(ServerMessage) -> Option<T>) -> T {
    loop {
        if let Received::Message(message) = client.receive().unwrap()
            && let Some(found) = pick(message)
        {
            return found;
        }
    }
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what} does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}
