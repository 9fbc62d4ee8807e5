//! UniLS in Rust.

pub mod checkpoint;
pub mod codec;
pub mod encoder;
pub mod error;
pub mod file;
pub mod generator;
pub mod model;
pub mod motion;
pub mod nn;

pub use error::{Error, Fault, Result};
