//! wav2vec2 against the released encoder's tensors, on both routes and in every spelling of its checkpoint.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use burn::tensor::Tensor;
use common::{FORWARD, Golden, ROUTES, wav2vec2};
use unils::encoder::{Wav2Vec2, normalize};

const FOLDERS: [&str; 2] = ["hf_wav2vec2_tiny", "hf_wav2vec2_tiny_pretraining"];

fn check_stages(golden: &Golden, encoder: &Wav2Vec2, case: &str, waves: Tensor<2>) {
    let features = encoder.convolve(normalize(waves.clone()));
    golden.check(&format!("{case}.conv_features"), features.clone(), FORWARD);
    let projected = encoder.project(features);
    golden.check(&format!("{case}.projected"), projected.clone(), FORWARD);
    let positions = encoder.positions(projected.clone());
    golden.check(&format!("{case}.pos_conv"), positions.clone(), FORWARD);
    let mut x = projected + positions;
    for layer in 0..encoder.depth() {
        x = encoder.layer(layer, x);
        golden.check(&format!("{case}.layer{layer}"), x.clone(), FORWARD);
    }
    golden.check(&format!("{case}.hidden"), encoder.finish(x), FORWARD);
    golden.check(&format!("{case}.hidden"), encoder.forward(waves), FORWARD);
}

#[test]
fn stages() {
    let golden = Golden::open("wav2vec2.safetensors");
    golden.check("synth.normalized", normalize(golden.tensor("synth.audio")), FORWARD);
    for folder in FOLDERS {
        for pack in ROUTES {
            let encoder = wav2vec2(folder, pack);
            check_stages(&golden, &encoder, "synth", golden.tensor("synth.audio"));
            check_stages(&golden, &encoder, "speech4s", golden.tensor("speech4s.audio"));
            let silence = Tensor::zeros([1, 12_800], &burn::tensor::Device::flex());
            check_stages(&golden, &encoder, "silence", silence);
        }
    }
}

#[test]
fn odd_length() {
    let golden = Golden::open("wav2vec2.safetensors");
    for pack in ROUTES {
        let encoder = wav2vec2("hf_wav2vec2_tiny", pack);
        let waves: Tensor<2> = golden.tensor("odd_length.audio");
        let mut x: Tensor<3> = normalize(waves.clone()).unsqueeze_dim(2);
        for index in 0..encoder.convolutions() {
            x = encoder.convolution(index, x);
            golden.check(&format!("odd_length.conv{index}"), x.clone().swap_dims(1, 2), FORWARD);
        }
        golden.check("odd_length.hidden", encoder.forward(waves), FORWARD);
    }
}

/// The base family (group norm, norms after each part, no convolution biases, an odd positional kernel) against
/// Transformers.
#[test]
fn base_family() {
    let golden = Golden::open("wav2vec2_base.safetensors");
    for pack in ROUTES {
        let encoder = wav2vec2("hf_wav2vec2_base_tiny", pack);
        let waves: Tensor<2> = golden.tensor("audio");
        golden.check("conv_features", encoder.convolve(normalize(waves.clone())), FORWARD);
        golden.check("hidden", encoder.forward(waves), FORWARD);
    }
}
