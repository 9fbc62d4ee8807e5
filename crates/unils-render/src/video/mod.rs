//! Moving pictures with sound: MP4 files with H.264 and Opus, made without another program.
//!
//! Last stage of the pipeline: rendered pictures and the voices that the motion was made from become a file that
//! browsers, VLC and ffmpeg play. Everything streams: a picture is encoded when it comes, the file is written as it
//! grows, and only the index (sizes and places, some 1 MB an hour) stays in memory.
//!
//! * [`Mp4Writer`] takes pictures and samples. The frame rate is constant, colour is BT.709 at limited range and
//!   declared as such, and sound and pictures are together to the sample in every player: the encoder makes up for
//!   its own delay, so that no player needs to.
//! * [`VoiceMix`] reads both voices from their recordings at 48 kHz, and mixes them without clipping.
//!
//! H.264 is encoded by OpenH264 (BSD-2-Clause, compiled from its source, nothing is downloaded; where the build finds
//! the assembler `nasm` it is some three times as fast, to the same bytes), Opus by `ropus` (BSD-3-Clause). The MP4
//! boxes are our own: the crate `muxide` keeps all samples in memory until the end, and does not declare colour.
//!
//! The same pictures, samples and options make the same bytes with the same build.
//!
//! ```
//! use std::io::Cursor;
//! use unils_render::video::{AudioOptions, Mp4Writer, VideoOptions};
//! # fn main() -> unils::Result<()> {
//! let options = VideoOptions::new(64, 32);
//! let mut video = Mp4Writer::new(Cursor::new(Vec::new()), &options, Some(&AudioOptions::default()))?;
//! for frame in 0..5_u8 {
//!     video.push_frame(&[50 * frame, 80, 120, 255].repeat(64 * 32))?;
//!     video.push_audio(&[0.0; 1920])?; // 40 ms at 48 kHz
//! }
//! let (file, summary) = video.finish()?;
//! assert_eq!((summary.frames, summary.seconds), (5, 0.2));
//! assert_eq!(&file.into_inner()[4..8], b"ftyp");
//! # Ok(())
//! # }
//! ```

mod boxes;
mod container;
mod h264;
mod limiter;
mod mix;
mod movie;
mod options;
mod opus;
mod track;
mod writer;
mod yuv;

pub use mix::{MixOptions, VoiceMix};
pub use options::{AudioOptions, VideoOptions};
pub use writer::{Mp4Writer, VideoSummary};

/// Samples per second and channel of a video's sound.
pub const AUDIO_RATE: u32 = opus::OPUS_RATE;
