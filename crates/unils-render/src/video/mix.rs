//! The voices of a conversation as the sound of a video.
//!
//! The recordings are opened anew: the models hear 16 kHz, people hear what was recorded, at 48 kHz. Both voices are
//! added as they are, which is also what the release returns as mixed audio; where the sum would leave the range, a
//! limiter lowers it for as long as that lasts. A gain for the whole recording would need a first pass over it, and
//! one cough into the microphone would make everything else quiet.

use std::path::Path;

use unils::audio::{Conversation, ConversationOptions, Resampler};
use unils::{Error, Result};

use super::AUDIO_RATE;
use super::limiter::Limiter;

/// Largest sample: 1 dB below full scale, as the codec's rounding can add to a peak.
const CEILING: f32 = 0.891;
/// Samples read at a time.
const PIECE: usize = 4800;
/// Most samples returned at a time: 1 GiB of them.
const MOST: usize = 1 << 27;

/// How two voices become one sound.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MixOptions {
    /// 0 (default): one channel. Up to 1: two channels, the first voice to the left and the second to the right; each
    /// is weaker by this part on the other's side, and at 1 not there at all.
    pub spread: f32,
}

/// Streams both voices at 48 kHz, added and limited, for as long as is asked.
///
/// Memory is bounded by the piece that is asked for and a decoder block.
///
/// ```
/// use unils::audio::Conversation;
/// use unils_render::video::{MixOptions, VoiceMix};
/// # fn main() -> unils::Result<()> {
/// let conversation = Conversation::from_samples(vec![0.25; 1600], Some(vec![0.5; 1600]), 16_000)?;
/// let mut mix = VoiceMix::new(conversation, &MixOptions::default())?;
/// let sound = mix.read(9600)?; // 0.2 s; the voices end after 0.1 s
/// assert_eq!(sound.len(), 9600);
/// assert!((sound[2400] - 0.75).abs() < 0.01 && sound[7200] == 0.0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct VoiceMix {
    conversation: Conversation,
    /// To 48 kHz, and what they return.
    resamplers: [Resampler; 2],
    voices: [Vec<f32>; 2],
    channels: usize,
    /// What is left of a voice on the other's side.
    across: f32,
    limiter: Limiter,
    mixed: Vec<f32>,
    limited: Vec<f32>,
    ended: bool,
}

impl VoiceMix {
    /// Opens the recordings of a conversation as [`Conversation::open`] does; the rate of `options` is replaced by
    /// 48 kHz.
    ///
    /// # Errors
    /// As [`Conversation::open`] and [`new`](Self::new).
    pub fn open(paths: &[impl AsRef<Path>], options: &ConversationOptions, mix: &MixOptions) -> Result<Self> {
        let options = ConversationOptions { sample_rate: AUDIO_RATE, ..options.clone() };
        Self::new(Conversation::open(paths, &options)?, mix)
    }

    /// Mixes a conversation of any rate that was not read from yet.
    ///
    /// # Errors
    /// [`Error::Argument`] for a spread outside 0 to 1, or a rate that cannot be converted.
    pub fn new(conversation: Conversation, options: &MixOptions) -> Result<Self> {
        let spread = options.spread;
        if !(0.0..=1.0).contains(&spread) {
            return Err(Error::argument("mix", format!("a spread of {spread}; expected 0 to 1")));
        }
        let resampler = Resampler::new(conversation.sample_rate(), AUDIO_RATE)?;
        let channels = if spread > 0.0 { 2 } else { 1 };
        Ok(Self {
            conversation,
            resamplers: [resampler.clone(), resampler],
            voices: [Vec::new(), Vec::new()],
            channels,
            across: 1.0 - spread,
            limiter: Limiter::new(CEILING, channels),
            mixed: Vec::new(),
            limited: Vec::new(),
            ended: false,
        })
    }

    /// Channels of the sound: 1, or 2 if the voices are spread.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// What was done to the recordings and is odd about them: [`Conversation::notices`].
    pub fn notices(&self) -> &[String] {
        self.conversation.notices()
    }

    /// The next `samples` samples of each channel, interleaved; silence behind the end of the recordings.
    ///
    /// # Errors
    /// [`Error::Argument`] for more than 2^27 samples; [`Error::Audio`] and [`Error::Io`] as [`Conversation::read`],
    /// after which there is only silence.
    pub fn read(&mut self, samples: usize) -> Result<Vec<f32>> {
        if samples > MOST {
            let what = format!("{samples} samples at a time; expected at most {MOST}");
            return Err(Error::argument("mix", what));
        }
        let wanted = samples * self.channels;
        while self.limited.len() < wanted {
            self.advance()?;
        }
        let rest = self.limited.split_off(wanted);
        Ok(std::mem::replace(&mut self.limited, rest))
    }

    /// Moves a piece of both voices through the limiter.
    fn advance(&mut self) -> Result<()> {
        if !self.ended {
            // Until the piece has proved to be good: after an error there is nothing more.
            self.ended = true;
            let window = self.conversation.read(PIECE)?;
            self.ended = window.is_none();
            for (index, (resampler, voice)) in self.resamplers.iter_mut().zip(&mut self.voices).enumerate() {
                match &window {
                    Some(window) => resampler.push(&window.tracks[index][..window.valid], voice),
                    None => resampler.finish(voice),
                }
            }
        }
        if self.ended {
            let silence = PIECE.saturating_sub(self.voices[0].len());
            self.voices.iter_mut().for_each(|voice| voice.resize(voice.len() + silence, 0.0));
        }
        self.mixed.clear();
        let [first, second] = &self.voices;
        mix(first, second, self.across, self.channels, &mut self.mixed);
        self.voices.iter_mut().for_each(Vec::clear);
        self.limiter.push(&self.mixed, &mut self.limited);
        Ok(())
    }
}

/// Adds two equally long voices. The released code returns the plain sum, which one channel is.
fn mix(first: &[f32], second: &[f32], across: f32, channels: usize, mixed: &mut Vec<f32>) {
    let pairs = first.iter().zip(second);
    if channels == 1 {
        mixed.extend(pairs.map(|(a, b)| a + b));
    } else {
        mixed.extend(pairs.flat_map(|(a, b)| [a + across * b, across * a + b]));
    }
}
