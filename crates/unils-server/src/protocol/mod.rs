//! The wire: binary frames of audio and motion behind a header of 16 bytes, and messages as JSON.
//!
//! `PROTOCOL.md` beside this crate's manifest is the specification; `tests/vectors` holds frames and messages that this
//! module and the JavaScript client both read. Nothing here waits or allocates by what a header claims.
//!
//! ```
//! use unils::session::Voice;
//! use unils_server::protocol::{AudioFrame, ClientFrame};
//! let frame = AudioFrame { voice: Voice::Partner, rate: 48_000, first: Some(960), samples: vec![0.5, -0.5] };
//! let bytes = frame.to_bytes();
//! assert_eq!(bytes.len(), 16 + 2 * 4);
//! assert_eq!(ClientFrame::parse(&bytes)?, ClientFrame::Audio(frame));
//! # Ok::<(), unils_server::protocol::Fault>(())
//! ```

mod fault;
mod messages;

use half::f16;
use unils::session::{Chunk, Voice, Voices};

pub use fault::{Fault, FaultCode};
pub use messages::{
    AudioData, AudioMessage, ClientMessage, ControlsMessage, MotionMessage, PlacedMessage, SampleFormat,
    ServerMessage, Start, Started, Timing, ValueFormat, VoiceName, Wire,
};

/// The version that this program speaks: of headers and of messages.
pub const VERSION: u8 = 1;

/// First byte of every binary frame.
const MAGIC: u8 = b'U';
/// Bytes before the payload.
pub const HEADER: usize = 16;

const KIND_AUDIO: u8 = 1;
const KIND_MOTION: u8 = 2;
const KIND_MESSAGE: u8 = 3;

const AUDIO_PARTNER: u8 = 1;
const AUDIO_FLOAT: u8 = 2;
const AUDIO_NUMBERED: u8 = 4;

const MOTION_HALF: u8 = 1;
const MOTION_REVISION: u8 = 2;
const MOTION_PAIR: u8 = 4;

/// Samples of one voice.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioFrame {
    /// Whose.
    pub voice: Voice,
    /// Samples a second.
    pub rate: u32,
    /// Number of the first on the source's clock; `None` for right behind what came before.
    pub first: Option<u64>,
    /// Full scale at -1 and 1.
    pub samples: Vec<f32>,
}

/// A binary frame from a client.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientFrame {
    /// Samples.
    Audio(AudioFrame),
    /// A message as in a text frame.
    Message(ClientMessage),
}

/// The header's fields behind magic and version.
struct Header {
    kind: u8,
    flags: u8,
    word: [u8; 4],
    index: u64,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), Fault> {
        let Some((head, payload)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(Fault::bad_frame(format!("{} bytes, a header has {HEADER}", bytes.len())));
        };
        let [magic, version, kind, flags, a, b, c, d, index @ ..] = *head;
        if magic != MAGIC {
            return Err(Fault::bad_frame(format!("begins with {magic:#04x}, expected {MAGIC:#04x}")));
        }
        if version != VERSION {
            return Err(Fault::bad_frame(format!("version {version}, this server speaks {VERSION}")));
        }
        Ok((Self { kind, flags, word: [a, b, c, d], index: u64::from_le_bytes(index) }, payload))
    }

    fn bytes(&self, capacity: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + capacity);
        bytes.extend([MAGIC, VERSION, self.kind, self.flags]);
        bytes.extend(self.word);
        bytes.extend(self.index.to_le_bytes());
        bytes
    }
}

impl ClientFrame {
    /// Reads a client's binary frame.
    ///
    /// # Errors
    /// A [`Fault`] that says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let (header, payload) = Header::parse(bytes)?;
        match header.kind {
            KIND_AUDIO => AudioFrame::parse(&header, payload).map(Self::Audio),
            KIND_MESSAGE => {
                let text = std::str::from_utf8(payload)
                    .map_err(|error| Fault::bad_frame(format!("the message is not UTF-8: {error}")))?;
                ClientMessage::parse(text).map(Self::Message)
            }
            KIND_MOTION => Err(Fault::bad_frame("motion goes from the server to clients".to_owned())),
            kind => Err(Fault::bad_frame(format!("kind {kind} is not known"))),
        }
    }
}

impl AudioFrame {
    fn parse(header: &Header, payload: &[u8]) -> Result<Self, Fault> {
        let unknown = header.flags & !(AUDIO_PARTNER | AUDIO_FLOAT | AUDIO_NUMBERED);
        if unknown != 0 {
            return Err(Fault::bad_frame(format!("audio with unknown flags {unknown:#04x}")));
        }
        let format =
            if header.flags & AUDIO_FLOAT != 0 { SampleFormat::Float32 } else { SampleFormat::Pcm16 };
        Ok(Self {
            voice: if header.flags & AUDIO_PARTNER != 0 { Voice::Partner } else { Voice::Own },
            rate: u32::from_le_bytes(header.word),
            first: (header.flags & AUDIO_NUMBERED != 0).then_some(header.index),
            samples: format.samples(payload)?,
        })
    }

    /// The frame with samples as float32.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.write(SampleFormat::Float32)
    }

    /// The frame with samples as integers of 16 bits, which is half as large.
    pub fn to_pcm16_bytes(&self) -> Vec<u8> {
        self.write(SampleFormat::Pcm16)
    }

    fn write(&self, format: SampleFormat) -> Vec<u8> {
        let mut flags = if self.voice == Voice::Partner { AUDIO_PARTNER } else { 0 };
        if format == SampleFormat::Float32 {
            flags |= AUDIO_FLOAT;
        }
        if self.first.is_some() {
            flags |= AUDIO_NUMBERED;
        }
        let header =
            Header { kind: KIND_AUDIO, flags, word: self.rate.to_le_bytes(), index: self.first.unwrap_or(0) };
        let mut bytes = header.bytes(self.samples.len() * 4);
        match format {
            SampleFormat::Float32 => {
                bytes.extend(self.samples.iter().flat_map(|sample| sample.to_le_bytes()))
            }
            SampleFormat::Pcm16 => {
                let integer = |sample: &f32| (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
                bytes.extend(self.samples.iter().flat_map(|sample| integer(sample).to_le_bytes()));
            }
        }
        bytes
    }
}

/// Writes a chunk as a motion frame.
pub fn motion_bytes(chunk: &Chunk, format: ValueFormat) -> Vec<u8> {
    let frames = chunk.frames();
    let channels = chunk.values.len() / (frames * chunk.participants).max(1);
    let mut flags = if format == ValueFormat::F16 { MOTION_HALF } else { 0 };
    if chunk.is_revision {
        flags |= MOTION_REVISION;
    }
    if chunk.participants == 2 {
        flags |= MOTION_PAIR;
    }
    let [a, b] = (frames as u16).to_le_bytes();
    let [c, d] = (channels as u16).to_le_bytes();
    let header = Header { kind: KIND_MOTION, flags, word: [a, b, c, d], index: chunk.start_frame };
    let mut bytes = header.bytes(frames + 4 + chunk.values.len() * 4);
    bytes.extend(chunk.voices.iter().map(voice_bits));
    bytes.resize(HEADER + frames.next_multiple_of(4), 0);
    match format {
        ValueFormat::F32 => bytes.extend(chunk.values.iter().flat_map(|value| value.to_le_bytes())),
        ValueFormat::F16 => {
            bytes.extend(chunk.values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()));
        }
    }
    bytes
}

/// Bit 0: the own voice is heard; bit 1: the partner's.
fn voice_bits(voices: &Voices) -> u8 {
    u8::from(voices.speaks[0]) | u8::from(voices.speaks[1]) << 1
}

/// Reads a motion frame, as clients do.
///
/// # Errors
/// A [`Fault`] that says what is wrong with it.
pub fn parse_motion(bytes: &[u8]) -> Result<Chunk, Fault> {
    let (header, payload) = Header::parse(bytes)?;
    let unknown = header.flags & !(MOTION_HALF | MOTION_REVISION | MOTION_PAIR);
    if header.kind != KIND_MOTION || unknown != 0 {
        return Err(Fault::bad_frame(format!("kind {} with flags {:#04x}", header.kind, header.flags)));
    }
    let [a, b, c, d] = header.word;
    let [frames, channels] = [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])].map(usize::from);
    let participants = if header.flags & MOTION_PAIR != 0 { 2 } else { 1 };
    let count = participants * frames * channels;
    let size = if header.flags & MOTION_HALF != 0 { 2 } else { 4 };
    let voices = frames.next_multiple_of(4);
    if payload.len() != voices + count * size {
        let expected = voices + count * size;
        return Err(Fault::bad_frame(format!("{} bytes of motion, expected {expected}", payload.len())));
    }
    let (voices, values) = payload.split_at(voices);
    let values = if size == 2 {
        values.as_chunks::<2>().0.iter().map(|&pair| f16::from_le_bytes(pair).to_f32()).collect()
    } else {
        values.as_chunks::<4>().0.iter().map(|&word| f32::from_le_bytes(word)).collect()
    };
    let voices = voices[..frames].iter().map(|bits| Voices { speaks: [bits & 1 != 0, bits & 2 != 0] });
    Ok(Chunk {
        start_frame: header.index,
        participants,
        values,
        voices: voices.collect(),
        missing: [0; 2],
        is_revision: header.flags & MOTION_REVISION != 0,
    })
}
