//! What generated motion is worth: the release's metrics, Fréchet distances, and what those leave out.
//!
//! Last in the pipeline, beside the faces: nothing here makes motion. Everything works on plain slices and on
//! [`Motion`](crate::motion::Motion) (f32 in, f64 sums) and reads recordings frame by frame, so that length costs time
//! and not memory.
//!
//! | module | what it answers | source |
//! |---|---|---|
//! | [`release`] | LVE, MHD, FDD, PDD, JDD, speaking and listening | the release's evaluation |
//! | [`frechet`] | is the distribution of frames the true one | Dowson & Landau 1982, as used in dyadic motion |
//! | [`responsiveness`] | does the listener answer *this* partner | cues after Ward & Tsukahara 2000 ([`cues`]), gestures ([`gestures`]) |
//! | [`lipsync`] | do the lips go with the voice, close at p b m, rest in silence | cross-correlation |
//! | [`liveliness`] | blinks, head motion, jitter, frozen stretches, seams between windows | |
//! | [`bootstrap`] | how sure is a mean over recordings | Efron & Tibshirani 1993 |
//! | [`report`] | all of it as a table and as JSON, with the paper's numbers ([`paper`]) beside it | |
//! | [`against`] | two systems on the same recordings, with the intervals of their differences | |
//!
//! [`curves`] turns motion of either space into the signals that the detectors read (pitch of the head, opening of the
//! mouth ...), [`voice`] does so with audio.
//!
//! ```
//! use unils::metrics::frechet::{Gaussian, frechet_distance};
//! let (mut truth, mut made) = (Gaussian::new(1)?, Gaussian::new(1)?);
//! truth.push_rows(&[-1.0, 1.0])?; // mean 0, variance 2
//! made.push_rows(&[2.0, 4.0])?; // mean 3, variance 2
//! assert!((frechet_distance(&truth, &made)? - 9.0).abs() < 1e-12);
//! # Ok::<(), unils::Error>(())
//! ```

pub mod against;
pub mod bootstrap;
pub mod cues;
pub mod curves;
mod eigen;
pub mod frechet;
pub mod gestures;
pub mod lipsync;
pub mod liveliness;
pub mod paper;
pub mod release;
pub mod report;
pub mod responsiveness;
mod signal;
pub mod voice;
