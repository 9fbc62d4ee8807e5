//! One connection: translates between the wire and the engine, and keeps the limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::oneshot;
use unils::session::SessionOptions;

use crate::Shared;
use crate::access::check_token;
use crate::engine::{Command, Open, Out, Outbox, SessionId, Share, Tell};
use crate::metrics::Metrics;
use crate::protocol::{
    ClientFrame, ClientMessage, Fault, FaultCode, MotionMessage, ServerMessage, Start, Started, VERSION,
    ValueFormat, Wire, motion_bytes,
};

/// Bytes of a message from a client: five seconds of float32 at 48 kHz.
pub(crate) const MOST_BYTES: usize = 1 << 20;
/// Bytes that are read at once. The buffer is cleared for every read, and most messages are small.
pub(crate) const READ_BYTES: usize = 8 << 10;
/// A client must say `start` within this time.
const START_WITHIN: Duration = Duration::from_secs(10);
/// What a client takes longer for than this will not be sent.
const SEND_WITHIN: Duration = Duration::from_secs(15);
/// Messages that cannot be read, after which a connection ends.
const MOST_FAULTS: u32 = 16;
/// Seconds over which messages are counted: bursts within them are fine.
const RATE_SPAN_S: u32 = 5;

/// How motion is written for this client.
#[derive(Debug, Clone, Copy)]
struct Form {
    wire: Wire,
    values: ValueFormat,
}

/// Why a connection ends.
enum End {
    /// The client went, or its network did: the session waits for it.
    Gone,
    /// The client said goodbye.
    Closed,
    /// The client is told why.
    Fault(Fault),
}

/// Serves a WebSocket to its end.
pub(crate) async fn serve(socket: WebSocket, is_known: bool, shared: Arc<Shared>) {
    let metrics = Arc::clone(&shared.engine.metrics);
    metrics.connections.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let (mut sender, mut receiver) = socket.split();
    let outbox = Arc::new(Outbox::default());
    match begin(&mut receiver, &outbox, is_known, &shared).await {
        Ok((session, started, form)) => {
            let text = ServerMessage::Started(Box::new(started)).to_text();
            if sender.send(Message::text(text)).await.is_ok() {
                run(session, sender, receiver, &outbox, form, &shared).await;
            } else {
                detach(session, &outbox, false, &shared);
            }
        }
        Err(fault) => say_goodbye(&mut sender, &fault).await,
    }
    metrics.connections.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
}

fn detach(session: SessionId, outbox: &Arc<Outbox>, is_final: bool, shared: &Shared) {
    let command = Command::Detach { session, outbox: Arc::clone(outbox), is_final };
    shared.engine.mailbox.send(command, None);
}

async fn say_goodbye(sender: &mut SplitSink<WebSocket, Message>, fault: &Fault) {
    let text = ServerMessage::Error(fault.clone()).to_text();
    let code = match fault.code {
        FaultCode::Overloaded => 1013,
        FaultCode::Shutdown => 1001,
        FaultCode::Internal => 1011,
        _ => 1008,
    };
    // Close frames take 123 bytes.
    let reason = fault.what.chars().filter(char::is_ascii).take(120).collect::<String>();
    let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
    let last = async {
        // Who does not listen any more need not be told.
        let _ = sender.send(Message::text(text)).await;
        let _ = sender.send(close).await;
    };
    let _ = tokio::time::timeout(Duration::from_secs(2), last).await;
}

/// Waits for `start` and begins the session, or goes on with one.
async fn begin(
    receiver: &mut SplitStream<WebSocket>,
    outbox: &Arc<Outbox>,
    is_known: bool,
    shared: &Shared,
) -> Result<(SessionId, Started, Form), Fault> {
    let first = tokio::time::timeout(START_WITHIN, receiver.next()).await;
    let message = match first {
        Ok(Some(Ok(Message::Text(text)))) => ClientMessage::parse(&text),
        Ok(Some(Ok(Message::Binary(bytes)))) => match ClientFrame::parse(&bytes) {
            Ok(ClientFrame::Message(message)) => Ok(message),
            Ok(ClientFrame::Audio(_)) => Err(Fault::new(FaultCode::OutOfOrder, "audio before start")),
            Err(fault) => Err(fault),
        },
        _ => Err(Fault::new(FaultCode::Idle, "no start came")),
    };
    let start = match message.map_err(Fault::fatal)? {
        ClientMessage::Start(start) => *start,
        _ => return Err(Fault::new(FaultCode::OutOfOrder, "expected start first").fatal()),
    };
    if start.version != VERSION {
        return Err(Fault::version(start.version));
    }
    if !is_known {
        check_token(start.token.as_deref(), shared)?;
    }
    let form = Form { wire: start.wire, values: start.values };
    let (reply, answer) = oneshot::channel();
    let outbox = Arc::clone(outbox);
    let command = match start.session.clone() {
        Some(name) => Command::Resume { name, outbox, reply },
        None => {
            let is_live = start.live.unwrap_or(true);
            let options = session_options(&start, shared)?;
            let (space, name) = (start.space, secret_name()?);
            Command::Open(Box::new(Open { options, is_live, space, name, outbox, reply }))
        }
    };
    shared.engine.mailbox.send(command, None);
    let stopped = Fault::new(FaultCode::Shutdown, "the server stops").fatal();
    let (session, started) = answer.await.map_err(|_| stopped)?.map_err(Fault::fatal)?;
    Ok((session, started, form))
}

fn session_options(start: &Start, shared: &Shared) -> Result<SessionOptions, Fault> {
    let mut options = SessionOptions {
        participants: start.participants.unwrap_or(1),
        seed: start.seed.unwrap_or(0),
        smooth: start.smooth,
        ..SessionOptions::default()
    };
    options.wait_ms = start.wait_ms.unwrap_or(options.wait_ms).min(10_000);
    options.controls.sampling = shared.model.config().sampling;
    options.controls = start.controls.over(options.controls);
    options.style =
        start.style.as_deref().map(|name| style(name, shared)).transpose()?.map(|style| (*style).clone());
    Ok(options)
}

fn style(name: &str, shared: &Shared) -> Result<Arc<unils::motion::Motion>, Fault> {
    shared.options.styles.get(name).cloned().ok_or_else(|| {
        let known = shared.options.styles.keys().cloned().collect::<Vec<_>>().join(", ");
        let hint =
            if known.is_empty() { "this server has none".to_owned() } else { format!("there are {known}") };
        let short: String = name.chars().take(60).collect();
        Fault::new(FaultCode::Argument, format!("there is no style {short:?}")).with_hint(hint)
    })
}

/// 128 bits that nobody guesses.
fn secret_name() -> Result<String, Fault> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Fault::new(FaultCode::Internal, error.to_string()).fatal())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Both directions until one of them ends.
async fn run(
    session: SessionId,
    mut sender: SplitSink<WebSocket, Message>,
    mut receiver: SplitStream<WebSocket>,
    outbox: &Arc<Outbox>,
    form: Form,
    shared: &Shared,
) {
    let mut stopping = shared.stopping.clone();
    let end = tokio::select! {
        end = hear(session, &mut receiver, shared) => end,
        end = speak(&mut sender, outbox, form) => end,
        _ = stopping.wait_for(|stopping| *stopping) => End::Gone,
    };
    let is_final = matches!(end, End::Closed);
    detach(session, outbox, is_final, shared);
    match end {
        End::Fault(fault) => say_goodbye(&mut sender, &fault).await,
        End::Gone | End::Closed => {
            // What the engine said last, such as that the server stops.
            outbox.close();
            let _ = tokio::time::timeout(Duration::from_secs(2), speak(&mut sender, outbox, form)).await;
            let _ = tokio::time::timeout(Duration::from_secs(1), sender.close()).await;
        }
    }
}

/// From the client to the engine.
async fn hear(session: SessionId, receiver: &mut SplitStream<WebSocket>, shared: &Shared) -> End {
    let share = Share::default();
    let mut faults = 0;
    let mut rate = Rate::new(shared.options.max_rate);
    loop {
        let message = match tokio::time::timeout(shared.options.idle, receiver.next()).await {
            Err(_) => {
                let what = format!("nothing was said for {} s", shared.options.idle.as_secs());
                return End::Fault(
                    Fault::new(FaultCode::Idle, what).with_hint("send a ping now and then").fatal(),
                );
            }
            Ok(None | Some(Err(_))) => return End::Gone,
            Ok(Some(Ok(message))) => message,
        };
        if !rate.allows(Instant::now()) {
            let what = format!("more than {} messages a second", shared.options.max_rate);
            return End::Fault(Fault::new(FaultCode::Rate, what).with_hint("send more in each").fatal());
        }
        let parsed = match message {
            Message::Text(text) => ClientMessage::parse(&text).map(ClientFrame::Message),
            Message::Binary(bytes) => ClientFrame::parse(&bytes),
            Message::Close(frame) => {
                let is_goodbye = frame.is_some_and(|frame| frame.code == 1000);
                return if is_goodbye { End::Closed } else { End::Gone };
            }
            Message::Ping(_) | Message::Pong(_) => continue,
        };
        let command = match parsed.and_then(|frame| command(session, frame, shared)) {
            Ok(command) => command,
            Err(fault) => {
                Metrics::add(&shared.engine.metrics.bad_messages_total, 1);
                faults += 1;
                if faults >= MOST_FAULTS {
                    return End::Fault(fault.fatal());
                }
                Command::Tell(session, Tell::Answer(ServerMessage::Error(fault)))
            }
        };
        let credit = share.credit().await;
        shared.engine.mailbox.send(command, Some(credit));
    }
}

/// What a frame asks of the engine.
fn command(session: SessionId, frame: ClientFrame, shared: &Shared) -> Result<Command, Fault> {
    let audio = |frame: crate::protocol::AudioFrame| Command::Audio {
        session,
        voice: frame.voice,
        rate: frame.rate,
        first: frame.first,
        samples: frame.samples,
    };
    let message = match frame {
        ClientFrame::Audio(frame) => return Ok(audio(frame)),
        ClientFrame::Message(message) => message,
    };
    let tell = match message {
        ClientMessage::Audio(message) => return message.frame().map(audio),
        ClientMessage::Start(_) => {
            return Err(Fault::new(FaultCode::OutOfOrder, "the session runs already"));
        }
        ClientMessage::Controls(controls) => Tell::Controls(controls),
        ClientMessage::Style { name } => {
            Tell::Style(name.as_deref().map(|name| style(name, shared)).transpose()?)
        }
        ClientMessage::Flush { voice } => Tell::Flush(voice.into()),
        ClientMessage::Interrupt { sample } => Tell::Interrupt(sample),
        ClientMessage::Finish {} => Tell::Finish,
        ClientMessage::Reset {} => Tell::Reset,
        ClientMessage::Ping { id } => Tell::Answer(ServerMessage::Pong { id }),
    };
    Ok(Command::Tell(session, tell))
}

/// From the engine to the client.
async fn speak(sender: &mut SplitSink<WebSocket, Message>, outbox: &Outbox, form: Form) -> End {
    while let Some(out) = outbox.next().await {
        let message = match (out, form.wire) {
            (Out::Message(message), _) => Message::text(message.to_text()),
            (Out::Motion(chunk), Wire::Binary) => Message::binary(motion_bytes(&chunk, form.values)),
            (Out::Motion(chunk), Wire::Json) => {
                Message::text(ServerMessage::Motion(MotionMessage::new(&chunk)).to_text())
            }
        };
        match tokio::time::timeout(SEND_WITHIN, sender.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Gone,
            Err(_) => {
                let what = format!("a message was not taken within {} s", SEND_WITHIN.as_secs());
                return End::Fault(Fault::new(FaultCode::TooSlow, what).fatal());
            }
        }
    }
    End::Closed
}

/// Messages of one connection, counted by a bucket that empties steadily.
struct Rate {
    most: f64,
    a_second: f64,
    counted: f64,
    last: Instant,
}

impl Rate {
    fn new(a_second: u32) -> Self {
        let a_second = f64::from(a_second);
        Self { most: a_second * f64::from(RATE_SPAN_S), a_second, counted: 0.0, last: Instant::now() }
    }

    fn allows(&mut self, now: Instant) -> bool {
        let emptied = now.duration_since(self.last).as_secs_f64() * self.a_second;
        self.last = now;
        self.counted = (self.counted - emptied).max(0.0) + 1.0;
        self.counted <= self.most
    }
}
