//! A small client that waits where it must: for programs without an asynchronous runtime, the tests and the bench.
//!
//! ```no_run
//! use unils::session::Voice;
//! use unils_server::client::{Client, Received};
//! use unils_server::protocol::Start;
//! let (mut client, started) = Client::connect("127.0.0.1:8730", Start::default())?;
//! println!("{} ms of latency", started.latency_ms);
//! client.send_audio(Voice::Partner, 16_000, None, &[0.0; 3200])?;
//! if let Received::Motion(chunk) = client.receive()? {
//!     println!("frames from {}", chunk.start_frame);
//! }
//! client.close();
//! # Ok::<(), unils_server::client::ClientError>(())
//! ```

use std::fmt;
use std::io;
use std::net::TcpStream;
use std::time::Duration;

use tungstenite::client::client_with_config;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};
use unils::session::{Chunk, Voice};

use crate::protocol::{
    AudioFrame, ClientMessage, Fault, ServerMessage, Start, Started, VERSION, parse_motion,
};

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Bytes that are read at once: some windows of motion.
const READ_BYTES: usize = 8 << 10;

/// What came from the server.
#[derive(Debug)]
pub enum Received {
    /// Frames.
    Motion(Chunk),
    /// A message.
    Message(ServerMessage),
}

/// Why something did not work.
#[derive(Debug)]
pub enum ClientError {
    /// The server says so.
    Server(Fault),
    /// The network, or something that is no such server.
    Network(String),
    /// Nothing came in time.
    Timeout,
    /// The server closed the connection.
    Closed,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(fault) => write!(f, "the server says: {fault}"),
            Self::Network(what) => f.write_str(what),
            Self::Timeout => f.write_str("nothing came in time"),
            Self::Closed => f.write_str("the server closed the connection"),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<tungstenite::Error> for ClientError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => Self::Closed,
            tungstenite::Error::Io(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                Self::Timeout
            }
            other => Self::Network(other.to_string()),
        }
    }
}

/// One connection with its session.
#[derive(Debug)]
pub struct Client {
    socket: WebSocket<TcpStream>,
}

impl Client {
    /// Connects to `host:port` and begins a session, or goes on with one.
    ///
    /// # Errors
    /// A [`ClientError`]: the server's refusal, or why there was no answer.
    pub fn connect(address: &str, start: Start) -> Result<(Self, Started), ClientError> {
        let network = |error: io::Error| ClientError::Network(format!("{address}: {error}"));
        let stream = TcpStream::connect(address).map_err(network)?;
        stream.set_nodelay(true).map_err(network)?;
        stream.set_read_timeout(Some(CONNECT_WITHIN)).map_err(network)?;
        let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
        let (socket, _) = client_with_config(format!("ws://{address}/live"), stream, Some(config))
            .map_err(|error| ClientError::Network(format!("{address}: {error}")))?;
        let mut client = Self { socket };
        client.send(&ClientMessage::Start(Box::new(Start { version: VERSION, ..start })))?;
        loop {
            match client.receive()? {
                Received::Message(ServerMessage::Started(started)) => return Ok((client, *started)),
                Received::Message(ServerMessage::Error(fault)) => return Err(ClientError::Server(fault)),
                Received::Message(_) | Received::Motion(_) => {}
            }
        }
    }

    /// How long [`Client::receive`] waits; `None` for ever.
    ///
    /// # Errors
    /// [`ClientError::Network`] for a time of zero.
    pub fn wait_at_most(&mut self, time: Option<Duration>) -> Result<(), ClientError> {
        self.socket.get_ref().set_read_timeout(time).map_err(|error| ClientError::Network(error.to_string()))
    }

    /// The connection itself, to be watched or broken.
    pub fn stream(&self) -> &TcpStream {
        self.socket.get_ref()
    }

    /// Sends samples as float32.
    ///
    /// # Errors
    /// A [`ClientError`] if the connection is gone.
    pub fn send_audio(
        &mut self,
        voice: Voice,
        rate: u32,
        first: Option<u64>,
        samples: &[f32],
    ) -> Result<(), ClientError> {
        let frame = AudioFrame { voice, rate, first, samples: samples.to_vec() };
        Ok(self.socket.send(Message::binary(frame.to_bytes()))?)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// A [`ClientError`] if the connection is gone.
    pub fn send(&mut self, message: &ClientMessage) -> Result<(), ClientError> {
        let text = serde_json::to_string(message).map_err(|error| ClientError::Network(error.to_string()))?;
        Ok(self.socket.send(Message::text(text))?)
    }

    /// Sends any bytes as a binary frame.
    ///
    /// # Errors
    /// A [`ClientError`] if the connection is gone.
    pub fn send_bytes(&mut self, bytes: Vec<u8>) -> Result<(), ClientError> {
        Ok(self.socket.send(Message::binary(bytes))?)
    }

    /// Waits for what comes next.
    ///
    /// # Errors
    /// [`ClientError::Timeout`], [`ClientError::Closed`], or what else is wrong.
    pub fn receive(&mut self) -> Result<Received, ClientError> {
        loop {
            match self.socket.read()? {
                Message::Binary(bytes) => {
                    return parse_motion(&bytes).map(Received::Motion).map_err(ClientError::Server);
                }
                Message::Text(text) => {
                    return serde_json::from_str(&text)
                        .map(Received::Message)
                        .map_err(|error| ClientError::Network(format!("no message of ours: {error}")));
                }
                Message::Close(_) => return Err(ClientError::Closed),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Says goodbye: the session ends and is not kept.
    pub fn close(mut self) {
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        // A server that is gone has ended it as well.
        let _ = self.socket.close(Some(goodbye));
        let _ = self.socket.flush();
    }
}
