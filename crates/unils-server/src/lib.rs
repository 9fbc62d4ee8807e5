//! Live avatars over one WebSocket: sessions of [`unils::session`] for clients anywhere, whole files over HTTP, and the
//! page that shows a face.
//!
//! The only asynchronous code of the workspace, and a thin one: connections translate between the wire
//! ([`protocol`]) and the engine, one thread that owns all sessions and makes the windows that are due as one batch.
//! Every queue is bounded, and each says what it does when it is full: commands to the engine make their connection wait,
//! audio beyond what may wait is refused with an answer, motion for a client that does not keep up drops the oldest
//! first, messages never drop but end a client that does not read.
//!
//! ```no_run
//! use std::sync::Arc;
//! use unils_server::{Server, ServerOptions};
//! # fn model() -> unils::model::Model { unimplemented!() }
//! let server = Server::start(Arc::new(model()), ServerOptions::default())?;
//! println!("http://{}", server.address());
//! # server.stop();
//! # Ok::<(), unils::Error>(())
//! ```

mod access;
pub mod client;
mod engine;
mod files;
mod http;
mod metrics;
pub mod protocol;
mod viewer;
mod websocket;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use unils::model::Model;
use unils::motion::Motion;
use unils::{Error, Result};

use crate::engine::{Engine, EngineOptions, Mailbox};
pub use crate::metrics::Metrics;

/// How long connections get to take their last messages when the server stops.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How a server is run.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Address and port; port 0 for any that is free.
    pub bind: SocketAddr,
    /// What clients must know; none lets everybody in.
    pub token: Option<String>,
    /// Binds to other addresses than loopback without a token.
    pub allow_open: bool,
    /// Origins of pages, beside the server's own, that may connect: `https://example.org`.
    pub origins: Vec<String>,
    /// Sessions at most; further ones are refused.
    pub max_sessions: usize,
    /// Share of the time that the engine may compute before further sessions are refused.
    pub max_load: f64,
    /// How long a session waits for its client to come back.
    pub grace: Duration,
    /// How long a connection may say nothing.
    pub idle: Duration,
    /// Messages a second that a connection may send, on average over a few seconds.
    pub max_rate: u32,
    /// Whole files that may wait.
    pub max_files: usize,
    /// Bytes of a whole file.
    pub max_file_bytes: usize,
    /// Styles that sessions can ask for.
    pub styles: BTreeMap<String, Arc<Motion>>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 8730)),
            token: None,
            allow_open: false,
            origins: Vec::new(),
            max_sessions: 32,
            max_load: 0.85,
            grace: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            max_rate: 400,
            max_files: 4,
            max_file_bytes: 64 << 20,
            styles: BTreeMap::new(),
        }
    }
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub engine: Arc<Engine>,
    pub model: Arc<Model>,
    pub options: ServerOptions,
    pub address: SocketAddr,
    /// True once the server stops.
    pub stopping: watch::Receiver<bool>,
}

/// A running server; it stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    engine: Arc<Engine>,
    stopping: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Binds the address and serves from threads of its own.
    ///
    /// # Errors
    /// [`Error::Argument`] for a public address without a token, [`Error::Io`] if the address cannot be had.
    pub fn start(model: Arc<Model>, options: ServerOptions) -> Result<Self> {
        check(&options)?;
        let place = format!("http://{}", options.bind);
        let listener = std::net::TcpListener::bind(options.bind)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|error| Error::io("listen at", &place, error))?;
        let address = listener.local_addr().map_err(|error| Error::io("listen at", &place, error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("unils-net")
            .enable_all()
            .build()
            .map_err(|error| Error::io("start threads for", &place, error))?;
        let (stopping, stopped) = watch::channel(false);
        let engine = Arc::new(Engine {
            mailbox: Mailbox::default(),
            metrics: Arc::default(),
            is_stopping: AtomicBool::new(false),
        });
        let shared = Arc::new(Shared {
            engine: Arc::clone(&engine),
            model: Arc::clone(&model),
            address,
            stopping: stopped,
            options,
        });
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
            thread.map_err(|error| Error::io("start threads for", &place, error))
        };
        let engine_options = EngineOptions {
            max_sessions: shared.options.max_sessions,
            max_load: shared.options.max_load,
            max_files: shared.options.max_files,
            grace: shared.options.grace,
            idle: shared.options.idle,
            styles: shared.options.styles.keys().cloned().collect(),
        };
        let running = Arc::clone(&engine);
        let mut threads =
            vec![spawn("unils-engine", Box::new(move || running.run(&model, &engine_options)))?];
        threads.push(spawn(
            "unils-http",
            Box::new(move || {
                // A listener that fails has nobody left to tell: the port is gone with it.
                let _ended = runtime.block_on(http::serve(listener, shared));
                runtime.shutdown_timeout(LAST_WORDS);
            }),
        )?);
        Ok(Self { address, engine, stopping, threads })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.engine.metrics
    }

    /// Tells every session that the server stops, and waits until they know.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.engine.is_stopping.store(true, Ordering::Release);
        // The engine's last messages are in the clients' boxes before connections look for them.
        for (index, thread) in self.threads.drain(..).enumerate() {
            if index == 1 {
                self.stopping.send_replace(true);
            }
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn check(options: &ServerOptions) -> Result<()> {
    if !options.bind.ip().is_loopback() && options.token.is_none() && !options.allow_open {
        let what =
            format!("{} can be reached from other machines, and no token is asked for", options.bind.ip());
        return Err(Error::argument("bind", what)
            .with_hint("give a token (--token), or say that it is meant so (--allow-open)"));
    }
    if options.token.as_ref().is_some_and(|token| token.len() < 8) {
        return Err(Error::argument("token", "shorter than 8 characters").with_hint("take a longer one"));
    }
    if options.max_sessions == 0 || options.max_rate == 0 {
        return Err(Error::argument("sessions and rate", "expected 1 or more"));
    }
    Ok(())
}
