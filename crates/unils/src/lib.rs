//! UniLS in Rust: an avatar's face from sound alone, for speaking and for listening.
//!
//! Two audio tracks in (own voice and partner's voice), facial motion out at 25 frames a second. The models are
//! those of "UniLS: End-to-End Audio-Driven Avatars for Unified Listening and Speaking" (arXiv 2512.09327).
//!
//! The way of the data, which is also the order to read the modules in:
//!
//! [`audio`] (files to two 16 kHz tracks) → [`encoder`] (speech features) → [`generator`] (bits, scale by scale)
//! → [`codec`] (bits to motion) → [`motion`] (what the numbers mean, smoothing) → [`mod@file`] (npz, npy, csv, json).
//! A [`face`] shows motion as vertices, [`metrics`] say how good it is. [`mod@animate`] runs that path on recordings,
//! [`session`] on audio that is still being spoken; [`model`] opens it from [`checkpoint`]s on a [`device`]; [`nn`]
//! holds the layers.

pub mod animate;
pub mod audio;
pub mod checkpoint;
pub mod codec;
pub mod device;
pub mod encoder;
pub mod error;
pub mod face;
pub mod file;
pub mod generator;
pub mod metrics;
pub mod model;
pub mod motion;
pub mod nn;
pub mod session;

pub use error::{Error, Fault, Result};

/// README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
