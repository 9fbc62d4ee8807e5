//! Sizes that a file claims, held against the numbers that are in it: before anything is allocated for them.

use super::ModelConfig;
use crate::checkpoint::TensorFile;
use crate::encoder::SpeechConfig;
use crate::error::{Error, Result};

/// A model may lack this many numbers (0.5 GB): it is built with zeros in their place, and the loader's report then
/// tells each tensor that is missing or of another shape. Beyond that there is no report worth the memory.
const MOST_LACKING: u64 = 1 << 27;

/// Numbers in the matrices of codec, generator and the speech encoder beside them: nearly all that they have.
pub(super) fn numbers(config: &ModelConfig) -> u64 {
    let width = config.codec.width as u64;
    // Four attention matrices, and two that are one and a half times as wide; in each half.
    let codec = 2 * config.codec.depth as u64 * 7 * width * width;
    let generator = config.generator.as_ref().map_or(0, |generator| {
        let (width, audio) = (generator.width as u64, generator.audio_dim.unwrap_or(0) as u64);
        let hearing = if audio > 0 { 2 * (2 * width * width + 2 * width * audio) } else { 0 };
        generator.depth as u64 * (12 * width * width + hearing)
    });
    codec + generator + config.own_encoder().map_or(0, SpeechConfig::numbers)
}

/// That a model with this many numbers can be meant by the file.
pub(super) fn check(numbers: u64, file: &TensorFile) -> Result<()> {
    let held = file.summary().parameters;
    if numbers <= held.saturating_add(MOST_LACKING) {
        return Ok(());
    }
    let what = format!("does not fit the model: its sizes need {numbers} numbers, the file holds {held}");
    Err(Error::checkpoint(file.path().display(), what).with_hint(
        "is the configuration, or the preset, the checkpoint's own? `unils inspect` shows what the file holds",
    ))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::codec::CodecConfig;
    use crate::encoder::{Encoder, EncoderSizes, MimiConfig, Wav2Vec2Config};
    use crate::generator::{Generator, GeneratorConfig, Hearing};
    use crate::nn::{Loader, RandomWeights};

    /// The count is below the true one and close to it.
    fn assert_close(counted: u64, load: impl FnOnce(&Loader<'_>)) {
        let source = RandomWeights { seed: 1 };
        let loader = Loader::new(&source, &Device::flex(), false);
        load(&loader);
        let loaded = loader.finish().unwrap().parameters as u64;
        assert!((loaded * 9 / 10..=loaded).contains(&counted), "{counted} of {loaded}");
    }

    #[test]
    fn numbers_are_those_of_the_models() {
        let codec = CodecConfig { width: 128, heads: 2, ..ModelConfig::preset("paper").unwrap().codec };
        for audio_dim in [None, Some(96)] {
            let generator = GeneratorConfig {
                width: 192,
                heads: 2,
                depth: 3,
                audio_dim,
                hearing: Hearing::Both,
                causal: None,
            };
            let config = ModelConfig {
                codec: codec.clone(),
                generator: Some(generator.clone()),
                ..ModelConfig::preset("paper").unwrap()
            };
            assert_close(numbers(&config), |loader| {
                drop(Generator::load(&generator, &codec, loader).unwrap())
            });
        }
        let wav2vec2 = Wav2Vec2Config {
            hidden_size: 128,
            num_hidden_layers: 3,
            intermediate_size: 512,
            conv_dim: vec![64; 7],
            ..Wav2Vec2Config::xls_r_300m()
        };
        let mimi = MimiConfig {
            hidden_size: 128,
            num_filters: 8,
            num_hidden_layers: 3,
            head_dim: None,
            intermediate_size: 512,
            vector_quantization_hidden_dimension: 16,
            ..MimiConfig::kyutai()
        };
        let speech = SpeechConfig { width: 64, fine: vec![1, 2], coarse: vec![1] };
        for sizes in [
            EncoderSizes::Wav2Vec2(Box::new(wav2vec2)),
            EncoderSizes::Mimi(Box::new(mimi)),
            EncoderSizes::Speech(speech),
        ] {
            assert_close(sizes.numbers(), |loader| drop(Encoder::load(&sizes, loader).unwrap()));
        }
    }
}
