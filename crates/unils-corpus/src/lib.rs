//! Conversations to train on, made where they are needed: synthesised speech, and faces by published rules.
//!
//! No freely licensed recording of two people's faces and voices exists, so the model that ships learns from
//! conversations that this crate makes. It is a crate of its own because it drives other programs. Pipeline of a recording:
//!
//! 1. [`voices`] casts two voices and makes them say sentences of [`text`], with phoneme times;
//! 2. [`dialogue`] lays turns, pauses and overlaps on one clock;
//! 3. [`prosody`] hears stress, [`motion::backchannels`] answers cues;
//! 4. [`motion`] makes both faces, ARKit-55, a module a behaviour with its literature;
//! 5. [`audio`] treats the voices as microphones and lines do;
//! 6. [`mod@build`] writes recordings and their labels into a corpus of
//!    [`unils_train::data`], in parallel, resumable, a function of seed and number;
//! 7. [`rates`] measures what came out.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use unils_corpus::build::{BuildOptions, build};
//! let options = BuildOptions {
//!     root: "conversations".into(),
//!     hours: 10.0,
//!     seed: 0,
//!     threads: 0,
//!     worker: ["unils", "corpus", "speak"].map(Into::into).to_vec(),
//! };
//! let report = build(&options, &mut |_| ControlFlow::Continue(()))?;
//! println!("{} recordings", report.recordings);
//! # Ok::<(), unils::Error>(())
//! ```

pub mod audio;
pub mod build;
pub mod conversation;
pub mod dialogue;
pub mod dice;
pub mod motion;
pub mod phones;
pub mod prosody;
pub mod rates;
pub mod text;
pub mod voices;

pub use dice::Dice;
pub use phones::{Phone, Segment};
