//! Messages: JSON objects with a `type`, in text frames or in binary frames of kind 3.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use unils::motion::Space;
use unils::session::{Chunk, Controls, Voice};

use super::{Fault, FaultCode};

/// Which voice, as messages name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VoiceName {
    /// Of the face that is made.
    Own,
    /// Of whom it listens to.
    Partner,
}

impl From<VoiceName> for Voice {
    fn from(name: VoiceName) -> Self {
        match name {
            VoiceName::Own => Self::Own,
            VoiceName::Partner => Self::Partner,
        }
    }
}

impl From<Voice> for VoiceName {
    fn from(voice: Voice) -> Self {
        match voice {
            Voice::Own => Self::Own,
            Voice::Partner => Self::Partner,
        }
    }
}

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SampleFormat {
    /// Integers of 16 bits, little endian.
    #[default]
    Pcm16,
    /// Floats of 32 bits, little endian.
    Float32,
}

impl SampleFormat {
    /// Samples from their bytes.
    ///
    /// # Errors
    /// A [`Fault`] if they are not whole samples.
    pub fn samples(self, bytes: &[u8]) -> Result<Vec<f32>, Fault> {
        let whole = |size: usize| match bytes.len() % size {
            0 => Ok(()),
            _ => Err(Fault::bad_frame(format!("{} bytes are not whole samples of {size}", bytes.len()))),
        };
        match self {
            Self::Pcm16 => {
                whole(2)?;
                let sample = |&pair: &[u8; 2]| f32::from(i16::from_le_bytes(pair)) / 32_768.0;
                Ok(bytes.as_chunks::<2>().0.iter().map(sample).collect())
            }
            Self::Float32 => {
                whole(4)?;
                Ok(bytes.as_chunks::<4>().0.iter().map(|&word| f32::from_le_bytes(word)).collect())
            }
        }
    }
}

/// How motion's numbers are written in binary frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueFormat {
    /// Floats of 16 bits: to three digits.
    F16,
    /// Floats of 32 bits.
    #[default]
    F32,
}

/// How motion comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wire {
    /// As binary frames.
    #[default]
    Binary,
    /// As messages.
    Json,
}

/// The first message of a connection.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Start {
    /// Of the protocol; 1.
    pub version: u8,
    /// The server's token, if it asks for one.
    pub token: Option<String>,
    /// A session to go on with.
    pub session: Option<String>,
    /// Faces, 1 or 2.
    pub participants: Option<usize>,
    /// Same seed, same sound: same motion.
    pub seed: Option<u64>,
    /// Smooths, for 160 ms more of latency.
    pub smooth: bool,
    /// How long missing samples are waited for.
    pub wait_ms: Option<u32>,
    /// False: no clock; windows are made as audio comes, and both voices are waited for.
    pub live: Option<bool>,
    /// How motion comes.
    pub wire: Wire,
    /// Its numbers in binary frames.
    pub values: ValueFormat,
    /// Settings at the start.
    pub controls: ControlsMessage,
    /// One of the server's styles, by name.
    pub style: Option<String>,
    /// Motion space to convert to: `arkit55` or `flame108`. Of a model in the other space only head, eyes and jaw come
    /// through.
    pub space: Option<Space>,
}

/// Settings to change; what is not named stays.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlsMessage {
    /// See [`Controls::liveliness`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub liveliness: Option<f32>,
    /// See [`Controls::expression`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<f32>,
    /// See [`Controls::mouth_gate`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mouth_gate: Option<f32>,
    /// Degrees to the person's left; see [`Controls::gaze`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaze_left: Option<f32>,
    /// Degrees up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaze_up: Option<f32>,
    /// Classifier-free guidance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cfg: Option<f32>,
    /// Temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
}

impl From<Controls> for ControlsMessage {
    fn from(controls: Controls) -> Self {
        let Controls { liveliness, expression, mouth_gate, gaze: [left, up], sampling } = controls;
        Self {
            liveliness: Some(liveliness),
            expression: Some(expression),
            mouth_gate: Some(mouth_gate),
            gaze_left: Some(left),
            gaze_up: Some(up),
            cfg: Some(sampling.cfg),
            temperature: Some(sampling.temperature),
        }
    }
}

impl ControlsMessage {
    /// These settings over those that are.
    pub fn over(&self, mut controls: Controls) -> Controls {
        let set = |value: &mut f32, new: Option<f32>| *value = new.unwrap_or(*value);
        set(&mut controls.liveliness, self.liveliness);
        set(&mut controls.expression, self.expression);
        set(&mut controls.mouth_gate, self.mouth_gate);
        set(&mut controls.gaze[0], self.gaze_left);
        set(&mut controls.gaze[1], self.gaze_up);
        set(&mut controls.sampling.cfg, self.cfg);
        set(&mut controls.sampling.temperature, self.temperature);
        controls
    }
}

/// Samples in a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AudioData {
    /// Bytes in Base64.
    Base64(String),
    /// Numbers from -1 to 1.
    Numbers(Vec<f32>),
}

/// Samples of a voice as a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioMessage {
    /// Whose.
    pub voice: VoiceName,
    /// Samples a second.
    pub rate: u32,
    /// Number of the first on the source's clock.
    #[serde(default)]
    pub index: Option<u64>,
    /// What the Base64 holds.
    #[serde(default)]
    pub format: SampleFormat,
    /// The samples.
    pub data: AudioData,
}

impl AudioMessage {
    /// As a binary frame would say it.
    ///
    /// # Errors
    /// A [`Fault`] for data that are no samples.
    pub fn frame(self) -> Result<super::AudioFrame, Fault> {
        let samples = match self.data {
            AudioData::Numbers(samples) => samples,
            AudioData::Base64(text) => {
                let bytes = STANDARD.decode(&text).map_err(|error| {
                    Fault::new(FaultCode::BadMessage, format!("audio's data is not Base64: {error}"))
                })?;
                self.format.samples(&bytes)?
            }
        };
        Ok(super::AudioFrame { voice: self.voice.into(), rate: self.rate, first: self.index, samples })
    }
}

/// What clients say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    /// Begins or goes on with a session.
    Start(Box<Start>),
    /// Samples.
    Audio(AudioMessage),
    /// Changes settings.
    Controls(ControlsMessage),
    /// Changes the style; null for none.
    Style {
        /// One of the server's.
        name: Option<String>,
    },
    /// Nobody needs to wait for this voice until it speaks again.
    Flush {
        /// Whose.
        voice: VoiceName,
    },
    /// The own voice stops.
    Interrupt {
        /// The sample (16 kHz, session's clock) that is being heard; none for now.
        #[serde(default)]
        sample: Option<u64>,
    },
    /// No more audio comes.
    Finish {},
    /// Begins anew.
    Reset {},
    /// Asks for a `pong`.
    Ping {
        /// Comes back.
        #[serde(default)]
        id: u64,
    },
}

impl ClientMessage {
    /// Reads a text frame.
    ///
    /// # Errors
    /// A [`Fault`] that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        serde_json::from_str(text).map_err(|error| Fault::new(FaultCode::BadMessage, error.to_string()))
    }
}

/// The answer to `start`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// Of the protocol.
    pub version: u8,
    /// Secret name of the session: who has it can go on with it.
    pub session: String,
    /// True if it is gone on with.
    pub resumed: bool,
    /// Motion space.
    pub space: String,
    /// Names of the channels, in the order of the numbers.
    pub channels: Vec<String>,
    /// Faces.
    pub participants: usize,
    /// Frames a second.
    pub fps: f64,
    /// Of the session's clock.
    pub sample_rate: u32,
    /// Frames made at once.
    pub window_frames: usize,
    /// Frames that are listened ahead.
    pub look_ahead_frames: usize,
    /// From a sound to its first frame, at most, without computing and network.
    pub latency_ms: u32,
    /// The frame that comes next.
    pub next_frame: u64,
    /// Where own and partner's voice go on, on the session's clock.
    pub next_samples: [u64; 2],
    /// Seconds that a session without a connection is kept.
    pub grace_s: u32,
    /// Seconds without any message after which a connection is closed.
    pub idle_s: u32,
    /// Seconds of a voice that may wait.
    pub queue_s: u16,
    /// Names of the styles there are.
    pub styles: Vec<String>,
}

/// How a session stands, once a second.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Timing {
    /// The time, in samples of the session's clock.
    pub clock_sample: u64,
    /// The frame that comes next.
    pub next_frame: u64,
    /// Samples of own and partner's voice that wait for their window.
    pub waiting: [u64; 2],
    /// Samples counted as silence because they did not come in time, since the start.
    pub missing: [u64; 2],
    /// Samples that came too late, since the start.
    pub late: [u64; 2],
    /// Frames that this client was too slow for, since the start.
    pub dropped_frames: u64,
    /// Milliseconds that the last window took.
    pub step_ms: f32,
}

/// Where samples without a number, or not all of them, were put.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PlacedMessage {
    /// Whose.
    pub voice: VoiceName,
    /// Where the first stands on the session's clock, 16 kHz.
    pub start_sample: u64,
    /// Samples taken, at their own rate.
    pub taken: u64,
    /// Dropped as too late.
    pub late: u64,
    /// Silence put before them.
    pub filled: u64,
}

/// Motion as a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MotionMessage {
    /// Number of the first frame.
    pub start_frame: u64,
    /// When it begins, on the session's clock.
    pub time_s: f64,
    /// True if these frames replace those of the same numbers.
    pub revision: bool,
    /// For each frame whether the own voice is heard.
    pub speaking: Vec<bool>,
    /// For each frame whether the partner's is.
    pub listening: Vec<bool>,
    /// `values[participant][frame][channel]`.
    pub values: Vec<Vec<Vec<f32>>>,
}

impl MotionMessage {
    /// A chunk as a message.
    pub fn new(chunk: &Chunk) -> Self {
        let frames = chunk.frames().max(1);
        let rows = |participant: usize| {
            let values = chunk.participant(participant).unwrap_or_default();
            values.chunks(values.len().div_ceil(frames).max(1)).map(<[f32]>::to_vec).collect()
        };
        Self {
            start_frame: chunk.start_frame,
            time_s: chunk.start_frame as f64 / unils::motion::FPS,
            revision: chunk.is_revision,
            speaking: chunk.voices.iter().map(|voices| voices.speaks[0]).collect(),
            listening: chunk.voices.iter().map(|voices| voices.speaks[1]).collect(),
            values: (0..chunk.participants).map(rows).collect(),
        }
    }
}

/// What the server says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The session runs.
    Started(Box<Started>),
    /// Frames, where the client asked for messages.
    Motion(MotionMessage),
    /// Where samples were put.
    Placed(PlacedMessage),
    /// The own voice has stopped.
    Interrupted {
        /// Where it ends now.
        end_sample: u64,
        /// Own samples at 16 kHz that are not said.
        dropped: u64,
    },
    /// The settings as they are now.
    Controls(ControlsMessage),
    /// How the session stands.
    Timing(Timing),
    /// The last frame is out.
    Finished {
        /// All frames.
        frames: u64,
    },
    /// The session began anew.
    Reset {},
    /// The answer to a `ping`.
    Pong {
        /// The ping's.
        id: u64,
    },
    /// Something is wrong.
    Error(Fault),
}

impl ServerMessage {
    /// As text.
    pub fn to_text(&self) -> String {
        // Only maps with odd keys and failing writers have no JSON form, and there are neither.
        serde_json::to_string(self).unwrap_or_default()
    }
}
