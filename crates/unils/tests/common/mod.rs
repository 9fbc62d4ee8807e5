//! What the golden tests share: reference tensors, comparison by the stated tolerance, tiny models.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use unils::checkpoint::TensorFile;
use unils::codec::{Codec, CodecConfig};
use unils::encoder::{Wav2Vec2, Wav2Vec2Config};
use unils::generator::{Generator, GeneratorConfig, Hearing};
use unils::nn::Loader;

/// Forward tensors: of the reference's largest magnitude.
pub const FORWARD: f32 = 1e-4;

/// The two routes that every golden tensor is checked on.
pub const ROUTES: [bool; 2] = [false, true];

pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures")).join(name)
}

/// A file of reference tensors.
pub struct Golden(TensorFile);

impl Golden {
    pub fn open(name: &str) -> Self {
        Self(TensorFile::open(fixture(name)).unwrap())
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.info(name).is_some()
    }

    /// Tensors whose names begin so.
    pub fn count(&self, prefix: &str) -> usize {
        self.0.names().filter(|name| name.starts_with(prefix)).count()
    }

    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.0.info(name).unwrap_or_else(|| panic!("no reference tensor {name}")).shape
    }

    pub fn values(&self, name: &str) -> Vec<f32> {
        self.0.read_f32(name).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn tensor<const N: usize>(&self, name: &str) -> Tensor<N> {
        Tensor::from_data(TensorData::new(self.values(name), self.shape(name)), &Device::flex())
    }

    /// Largest difference as a share of the reference's largest magnitude; panics above `tolerance`.
    pub fn check<const N: usize>(&self, name: &str, ours: Tensor<N>, tolerance: f32) {
        assert_eq!(ours.dims().to_vec(), self.shape(name), "shape of {name}");
        self.check_values(name, &values(ours), tolerance);
    }

    pub fn check_values(&self, name: &str, ours: &[f32], tolerance: f32) {
        let theirs = self.values(name);
        assert_eq!(ours.len(), theirs.len(), "length of {name}");
        let scale = theirs.iter().fold(f32::MIN_POSITIVE, |most, x| most.max(x.abs()));
        let error = largest_difference(ours, &theirs) / scale;
        assert!(error <= tolerance, "{name}: {error:.2e} of the largest magnitude, at most {tolerance:.0e}");
    }

    /// Integers and bits: exact.
    pub fn check_exact<const N: usize>(&self, name: &str, ours: Tensor<N>) {
        self.check_exact_values(name, &values(ours));
    }

    pub fn check_exact_values(&self, name: &str, ours: &[f32]) {
        let theirs = self.values(name);
        assert_eq!(ours.len(), theirs.len(), "length of {name}");
        let wrong = ours.iter().zip(&theirs).filter(|(a, b)| a != b).count();
        assert_eq!(wrong, 0, "{name}: {wrong} of {} differ", theirs.len());
    }
}

pub fn values<const N: usize>(tensor: Tensor<N>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().unwrap()
}

pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(
        0.0,
        |most, (a, b)| if a.is_nan() || b.is_nan() { f32::INFINITY } else { most.max((a - b).abs()) },
    )
}

pub fn codec_config() -> CodecConfig {
    CodecConfig {
        motion_dim: 108,
        width: 32,
        heads: 4,
        depth: 2,
        code_width: 8,
        schedule: vec![1, 2, 5, 10, 20],
        past: None,
        gains: Vec::new(),
        parts: Vec::new(),
    }
}

pub fn generator_config(audio_dim: Option<usize>) -> GeneratorConfig {
    GeneratorConfig { width: 32, heads: 4, depth: 2, audio_dim, hearing: Hearing::Both, causal: None }
}

pub fn codec(pack: bool) -> Codec {
    let file = TensorFile::open(fixture("weights/codec_tiny.safetensors")).unwrap();
    let loader = Loader::new(&file, &Device::flex(), pack);
    let codec = Codec::load(&codec_config(), &loader).unwrap();
    assert!(loader.finish().unwrap().unused.is_empty());
    codec
}

pub fn generator(name: &str, audio_dim: Option<usize>, pack: bool) -> Generator {
    let file = TensorFile::open(fixture("weights").join(name)).unwrap();
    let loader = Loader::new(&file, &Device::flex(), pack);
    let generator = Generator::load(&generator_config(audio_dim), &codec_config(), &loader).unwrap();
    assert!(loader.finish().unwrap().unused.is_empty());
    generator
}

pub fn wav2vec2(folder: &str, pack: bool) -> Wav2Vec2 {
    let file = TensorFile::open(fixture(folder)).unwrap();
    let config: Wav2Vec2Config = serde_json::from_value(file.meta().unwrap().clone()).unwrap();
    let loader = Loader::new(&file, &Device::flex(), pack);
    let encoder = Wav2Vec2::load(&config, &loader).unwrap();
    loader.finish().unwrap();
    encoder
}
