//! Voices in: audio files of any common format, rate and channel count become two tracks at the models' rate.
//!
//! The first stage of the pipeline, and a leaf: it knows nothing of models. Everything streams, so an hour of audio
//! takes no more memory than a second.
//!
//! * [`AudioReader`]: a file or bytes to blocks of samples, at the file's rate and channels.
//! * [`Resampler`]: the models' sample-rate conversion (torchaudio's default kernel), streaming or whole.
//! * [`Conversation`]: one or two voices to windows of two mono tracks on one sample clock, with a summary and
//!   notices for the user.
//!
//! Containers and codecs come from Symphonia, which is under the MPL-2.0 and used unmodified; Opus from `ropus`
//! (BSD-3-Clause). Both are Rust throughout.
//!
//! ```no_run
//! use unils::audio::{Conversation, ConversationOptions};
//! # fn main() -> unils::Result<()> {
//! let mut conversation = Conversation::open(&["alice.m4a", "bob.wav"], &ConversationOptions::default())?;
//! while let Some(window) = conversation.read(64_000)? {
//!     let [alice, bob] = &window.tracks; // 4 s each at 16 kHz
//! #   let _ = (alice, bob);
//! }
//! for notice in conversation.notices() {
//!     eprintln!("{notice}");
//! }
//! # Ok(())
//! # }
//! ```

mod block;
mod codec;
mod conversation;
mod decode;
mod opus;
mod resample;
mod source;
mod track;

pub use block::{AudioBlock, AudioInfo};
pub use conversation::{Conversation, ConversationOptions, TrackWindow};
pub use decode::AudioReader;
pub use resample::{Resampler, resample};
pub use track::TrackSummary;

/// Samples per second of the models' audio tracks: 640 a motion frame.
pub const MODEL_RATE: u32 = 16_000;
