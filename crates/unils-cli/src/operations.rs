//! How many floating-point operations a model's stages take, counted from its sizes.
//!
//! A multiplication and an addition are two operations. Counted are matrix products, convolutions and attention of
//! the way that inference goes (keys and values kept, each track encoded once); norms, activations and the sampler
//! are left out: they are a few per cent.

use serde::{Deserialize, Serialize};
use unils::encoder::{LogMel, SpeechConfig, Wav2Vec2Config};
use unils::model::{EncoderKind, ModelConfig};
use unils::motion::SAMPLES_PER_FRAME;

/// Operations of each stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Operations {
    /// Speech encoder, both tracks.
    pub encoder: f64,
    /// Generator, all participants and branches.
    pub generator: f64,
    /// Codec: decoding each window, encoding it for the next.
    pub codec: f64,
}

impl Operations {
    /// Of all stages.
    pub fn total(&self) -> f64 {
        self.encoder + self.generator + self.codec
    }
}

/// What one conversation takes.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Windows, the last one padded.
    pub windows: usize,
    /// Participants.
    pub participants: usize,
    /// Whether the unconditional branch is computed.
    pub is_guided: bool,
}

/// Counts for a model; `encoder` is its speech encoder unless that is one without weights.
pub fn count(config: &ModelConfig, encoder: &Wav2Vec2Config, work: Work) -> Operations {
    let schedule = &config.codec.schedule;
    let window = schedule.last().copied().unwrap_or(0);
    let windows = work.windows as f64;
    let hears = config.generator.as_ref().is_some_and(|generator| generator.audio_dim.is_some());
    let samples = window * SAMPLES_PER_FRAME;
    let (features, encoder) = match config.encoder.as_ref().map(|encoder| encoder.kind) {
        _ if !hears => (0.0, 0.0),
        Some(EncoderKind::LogMel) => log_mel(samples),
        Some(EncoderKind::Speech) => config.own_encoder().map_or((0.0, 0.0), |sizes| speech(sizes, samples)),
        _ => wav2vec2(encoder, samples),
    };
    let people = work.participants as f64;
    let rows = people * if work.is_guided { 2.0 } else { 1.0 };
    Operations {
        encoder: 2.0 * windows * encoder,
        generator: windows * generator(config, features, people, rows),
        // Decoded once and encoded once a window; the clips before the first window are encoded as well.
        codec: people * codec_half(config) * (2.0 * windows + 1.0),
    }
}

/// Features and operations of one track's window: real transforms of 512 points every 160 samples.
fn log_mel(samples: usize) -> (f64, f64) {
    let transform = 2.5 * 512.0 * 9.0;
    (LogMel::features(samples) as f64, transform * (samples / 160) as f64)
}

/// Features and operations of one track's window.
fn speech(config: &SpeechConfig, samples: usize) -> (f64, f64) {
    let (features, width) = (config.features(samples) as f64, config.width as f64);
    // Each block is a convolution of three taps and a square matrix.
    let blocks = |rows: f64, blocks: &[usize]| blocks.len() as f64 * product(rows, 4.0 * width, width);
    let fine =
        product(2.0 * features, LogMel::FEATURE_DIM as f64, width) + blocks(2.0 * features, &config.fine);
    let coarse = product(features, 2.0 * width, width) + blocks(features, &config.coarse);
    (features, log_mel(samples).1 + fine + coarse)
}

/// Features and operations of one track's window.
fn wav2vec2(config: &Wav2Vec2Config, samples: usize) -> (f64, f64) {
    let (mut length, mut inputs, mut operations) = (samples, 1, 0.0);
    for ((&outputs, &kernel), &stride) in
        config.conv_dim.iter().zip(&config.conv_kernel).zip(&config.conv_stride)
    {
        length = length.saturating_sub(kernel) / stride.max(1) + 1;
        operations += product(length as f64, (inputs * kernel) as f64, outputs as f64);
        inputs = outputs;
    }
    let (tokens, width) = (length as f64, config.hidden_size as f64);
    operations += product(tokens, inputs as f64, width);
    let group = width / config.num_conv_pos_embedding_groups as f64;
    operations += product(tokens, group * config.num_conv_pos_embeddings as f64, width);
    let layer = product(tokens, width, 4.0 * width)
        + 2.0 * product(tokens, width, tokens)
        + 2.0 * product(tokens, width, config.intermediate_size as f64);
    (tokens, operations + config.num_hidden_layers as f64 * layer)
}

/// Operations of one window: `people` participants in `rows` rows (branches counted).
fn generator(config: &ModelConfig, features: f64, people: f64, rows: f64) -> f64 {
    let Some(generator) = &config.generator else { return 0.0 };
    let width = generator.width as f64;
    let code = config.codec.code_width as f64;
    let schedule = &config.codec.schedule;
    let window = schedule.last().copied().unwrap_or(0) as f64;
    let scales: f64 = schedule.iter().map(|&tokens| tokens as f64).sum();
    let conditions = 2.0 * window;
    let tokens = conditions + scales;
    // Conditioning tokens see each other; a scale's tokens see them and all scales up to their own.
    let mut visible = conditions * conditions;
    let mut seen = conditions;
    for &scale in schedule {
        seen += scale as f64;
        visible += scale as f64 * seen;
    }
    let row = product(tokens, width, 4.0 * width)
        + 4.0 * visible * width
        + 2.0 * product(tokens, width, 4.0 * width);
    let hearing = generator.audio_dim.map_or(0.0, |audio| {
        // Two cross-attentions for each participant. The unconditional branch hears features that are all the
        // same: attention over them is one constant.
        let tokens_part = product(tokens, width, 2.0 * width) + 2.0 * product(tokens, width, features);
        people * 2.0 * (tokens_part + product(features, audio as f64, 2.0 * width))
    });
    let blocks = generator.depth as f64 * (rows * row + hearing);
    blocks + rows * (product(tokens - 1.0, code, width) + product(scales, width, 2.0 * code))
}

/// Operations of the codec's encoder, or decoder, for one window.
fn codec_half(config: &ModelConfig) -> f64 {
    let codec = &config.codec;
    let window = codec.schedule.last().copied().unwrap_or(0) as f64;
    let width = codec.width as f64;
    let inside = (1.5 * width).floor();
    let layer = product(window, width, 4.0 * width)
        + 2.0 * product(window, width, window)
        + 2.0 * product(window, width, inside);
    let ends =
        product(window, codec.motion_dim as f64, width) + product(window, width, codec.code_width as f64);
    codec.depth as f64 * layer + ends
}

/// A product of `(rows, inner)` and `(inner, columns)`.
fn product(rows: f64, inner: f64, columns: f64) -> f64 {
    2.0 * rows * inner * columns
}

#[cfg(test)]
mod tests {
    use unils::model::EncoderConfig;

    use super::*;

    #[test]
    fn the_paper_s_sizes_are_counted_as_by_hand() {
        let paper = ModelConfig::preset("paper").unwrap();
        let encoder = Wav2Vec2Config::xls_r_300m();
        let (features, operations) = wav2vec2(&encoder, 64_000);
        assert_eq!(features, 199.0);
        // Convolutions, last to first: 199, 399, 799, 1599, 3199, 6399, 12799 frames.
        let convolutions = 2.0
            * 512.0
            * (12799.0 * 10.0 + 512.0 * (3.0 * (6399.0 + 3199.0 + 1599.0 + 799.0) + 2.0 * (399.0 + 199.0)));
        let layer = 2.0 * 199.0 * (4.0 * 1024.0 * 1024.0 + 2.0 * 199.0 * 1024.0 + 2.0 * 1024.0 * 4096.0);
        let ends = 2.0 * 199.0 * (512.0 * 1024.0 + 128.0 * 64.0 * 1024.0);
        assert_eq!(operations, convolutions + ends + 24.0 * layer);

        let work = Work { windows: 5, participants: 2, is_guided: true };
        let counted = count(&paper, &encoder, work);
        assert_eq!(counted.encoder, 10.0 * operations);
        // 381 tokens, 8 blocks: self-attention and feed-forward 12 D^2 a token in 4 rows, cross-attentions 4 D^2
        // in 2. Attention itself, and keys and values of the audio, come on top.
        let dense = 5.0 * 8.0 * 2.0 * 381.0 * 512.0 * 512.0 * (4.0 * 12.0 + 2.0 * 4.0);
        assert!((1.0..1.3).contains(&(counted.generator / dense)), "{}", counted.generator / dense);
        let plain = count(&paper, &encoder, Work { is_guided: false, ..work });
        assert!((0.55..0.65).contains(&(plain.generator / counted.generator)));
        assert_eq!(plain.codec, counted.codec);
        let encoder_config = Some(EncoderConfig::released(EncoderKind::LogMel));
        let mel = count(&ModelConfig { encoder: encoder_config, ..paper }, &encoder, work);
        assert_eq!(mel.encoder, 10.0 * 400.0 * 2.5 * 512.0 * 9.0);
    }
}
