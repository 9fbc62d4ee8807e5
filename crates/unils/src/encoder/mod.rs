//! Speech encoders: two tracks of sound to features that the generator listens to.
//!
//! Behind `audio`, before the generator. Weights come from Hugging Face folders; [`EncoderSizes::parse`] reads
//! their `config.json` to learn which architecture and which sizes they are. [`LogMel`] has none, and those of
//! [`Speech`] lie in the checkpoint of the model that listens through it.
//!
//! Letters: `B` tracks, `N` samples, `S` features, `A` their channels.

mod log_mel;
mod mimi;
mod speech;
mod wav2vec2;

use burn::tensor::Tensor;
use serde_json::Value;

pub use log_mel::LogMel;
pub use mimi::{Mimi, MimiConfig};
pub use speech::{PairState, Speech, SpeechConfig, SpeechState};
pub use wav2vec2::{Wav2Vec2, Wav2Vec2Config, normalize};

use crate::error::{Error, Result};
use crate::nn::Loader;

/// Sizes of a speech encoder of any architecture.
#[derive(Debug, Clone, PartialEq)]
pub enum EncoderSizes {
    /// wav2vec 2.0.
    Wav2Vec2(Box<Wav2Vec2Config>),
    /// Mimi.
    Mimi(Box<MimiConfig>),
    /// Log-mel energies: one size, no weights.
    LogMel,
    /// Causal convolutions over them.
    Speech(SpeechConfig),
}

impl EncoderSizes {
    /// What a `config.json` describes.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown architecture or impossible sizes.
    pub fn parse(config: &Value) -> Result<Self> {
        let fault = |error: serde_json::Error| Error::config("encoder's config.json", error);
        match config.get("model_type").and_then(Value::as_str) {
            Some("wav2vec2") => {
                let config: Wav2Vec2Config = serde_json::from_value(config.clone()).map_err(fault)?;
                config.validate().map(|()| Self::Wav2Vec2(Box::new(config)))
            }
            Some("mimi") => {
                let config: MimiConfig = serde_json::from_value(config.clone()).map_err(fault)?;
                config.validate().map(|()| Self::Mimi(Box::new(config)))
            }
            other => {
                let got = other.unwrap_or("nothing");
                Err(Error::config(
                    "encoder's config.json: model_type",
                    format!("expected wav2vec2 or mimi, got {got}"),
                ))
            }
        }
    }

    /// Numbers in the matrices of the transformer and the convolutions: nearly all that the encoder has.
    pub fn numbers(&self) -> u64 {
        match self {
            Self::Wav2Vec2(config) => config.numbers(),
            Self::Mimi(config) => config.numbers(),
            Self::LogMel => 0,
            Self::Speech(config) => config.numbers(),
        }
    }

    /// Features that `samples` samples at 16 kHz give.
    pub fn features(&self, samples: usize) -> usize {
        match self {
            Self::Wav2Vec2(config) => config.features(samples),
            Self::Mimi(config) => config.features_16k(samples),
            Self::LogMel => LogMel::features(samples),
            Self::Speech(config) => config.features(samples),
        }
    }
}

/// A speech encoder of any architecture.
#[derive(Debug)]
pub enum Encoder {
    /// wav2vec 2.0.
    Wav2Vec2(Box<Wav2Vec2>),
    /// Mimi.
    Mimi(Box<Mimi>),
    /// Log-mel energies.
    LogMel(Box<LogMel>),
    /// Causal convolutions over them.
    Speech(Box<Speech>),
}

impl Encoder {
    /// Builds an encoder of these sizes.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible sizes. Missing or misshapen tensors are in the loader's report.
    pub fn load(sizes: &EncoderSizes, loader: &Loader<'_>) -> Result<Self> {
        match sizes {
            EncoderSizes::Wav2Vec2(config) => {
                Wav2Vec2::load(config, loader).map(|encoder| Self::Wav2Vec2(Box::new(encoder)))
            }
            EncoderSizes::Mimi(config) => {
                Mimi::load(config, loader).map(|encoder| Self::Mimi(Box::new(encoder)))
            }
            EncoderSizes::LogMel => Ok(Self::LogMel(Box::default())),
            EncoderSizes::Speech(config) => {
                Speech::load(config, loader).map(|encoder| Self::Speech(Box::new(encoder)))
            }
        }
    }

    /// Channels of the features.
    pub fn feature_dim(&self) -> usize {
        match self {
            Self::Wav2Vec2(encoder) => encoder.feature_dim(),
            Self::Mimi(encoder) => encoder.feature_dim(),
            Self::LogMel(_) => LogMel::FEATURE_DIM,
            Self::Speech(encoder) => encoder.feature_dim(),
        }
    }

    /// Waveforms of one window at 16 kHz `(B, N)` to features `(B, S, A)`.
    pub fn features(&self, waves: Tensor<2>) -> Tensor<3> {
        match self {
            Self::Wav2Vec2(encoder) => encoder.forward(waves),
            Self::Mimi(encoder) => encoder.features_16k(waves),
            Self::LogMel(encoder) => encoder.forward(waves),
            Self::Speech(encoder) => encoder.forward(waves),
        }
    }
}
