//! Mimi against Transformers' own `MimiModel` (an independent reference), on both routes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod common;

use burn::tensor::{Device, Tensor, TensorData};
use common::{Golden, ROUTES, fixture, largest_difference, values};
use unils::audio::resample;
use unils::checkpoint::TensorFile;
use unils::encoder::{Mimi, MimiConfig};
use unils::nn::{LoadReport, Loader};

/// Of the reference's largest magnitude.
const TOLERANCE: f32 = 2e-6;

fn config() -> MimiConfig {
    let text = std::fs::read_to_string(fixture("hf_mimi_tiny/config.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn mimi(config: &MimiConfig, pack: bool) -> (Mimi, LoadReport) {
    let file = TensorFile::open(fixture("hf_mimi_tiny")).unwrap();
    let loader = Loader::new(&file, &Device::flex(), pack);
    let encoder = Mimi::load(config, &loader).unwrap();
    (encoder, loader.finish().unwrap())
}

fn rows<const B: usize>(rows: [Vec<f32>; B]) -> Tensor<2> {
    let shape = [B, rows[0].len()];
    Tensor::from_data(TensorData::new(rows.concat(), shape), &Device::flex())
}

/// The reference's waveforms: pieces of one second of sound, and a window of that second at four gains.
fn waves(golden: &Golden, case: &str) -> Tensor<2> {
    let clip = golden.values("clip");
    let scaled = |values: &[f32], gain: f32| values.iter().map(|x| x * gain).collect::<Vec<_>>();
    match case {
        "short" => rows([clip[..2345].to_vec()]),
        "second" => rows([clip]),
        "window" => rows([[1.0, -0.5, 0.0, 0.25].map(|gain| scaled(&clip, gain)).concat()]),
        "pair" => rows([clip[..9000].to_vec(), scaled(&clip[9000..18_000], -1.0)]),
        other => panic!("no case {other}"),
    }
}

#[test]
fn stages() {
    let golden = Golden::open("mimi.safetensors");
    for pack in ROUTES {
        let (encoder, _) = mimi(&config(), pack);
        for case in ["short", "second", "window", "pair"] {
            let waves = waves(&golden, case);
            let check =
                |stage: &str, ours: Tensor<3>| golden.check(&format!("{case}.{stage}"), ours, TOLERANCE);
            let x = encoder.convolve(waves.clone());
            check("convolved", x.clone());
            let x = encoder.transform(x);
            check("transformed", x.clone());
            check("z", encoder.downsample(x));
            let features = encoder.forward(waves.clone());
            assert_eq!(features.dims()[1], encoder.features(waves.dims()[1]));
            check("features", features);
        }
    }
}

#[test]
fn convolutions_of_an_odd_length() {
    let golden = Golden::open("mimi.safetensors");
    for pack in ROUTES {
        let (encoder, _) = mimi(&config(), pack);
        let mut x = encoder.begin(waves(&golden, "short"));
        golden.check("short.stage0", x.clone(), TOLERANCE);
        for index in 0..encoder.stages() {
            x = encoder.stage(index, x);
            golden.check(&format!("short.stage{}", index + 1), x.clone(), TOLERANCE);
        }
    }
}

/// The past alone decides: cutting the end off changes no earlier feature by more than rounding.
#[test]
fn is_causal() {
    let golden = Golden::open("mimi.safetensors");
    let clip = golden.values("clip");
    let (encoder, _) = mimi(&config(), true);
    let whole = values(encoder.forward(rows([clip.clone()])));
    let half = values(encoder.forward(rows([clip[..9600].to_vec()])));
    assert_eq!(half.len(), 10 * encoder.feature_dim());
    assert!(largest_difference(&half, &whole[..half.len()]) < 1e-5);
}

#[test]
fn a_window_at_16_khz() {
    let golden = Golden::open("mimi.safetensors");
    let clip = golden.values("clip");
    let tracks: [Vec<f32>; 2] =
        [1.0, -0.5].map(|gain| (0..64_000).map(|i| gain * clip[i % 24_000]).collect());
    let (encoder, _) = mimi(&config(), true);
    assert_eq!((encoder.sample_rate(), encoder.features(96_000), encoder.feature_dim()), (24_000, 100, 24));
    let features = encoder.features_16k(rows(tracks.clone()));
    assert_eq!(features.dims(), [2, 100, 24]);
    let expected = encoder.forward(rows(tracks.map(|track| resample(&track, 16_000, 24_000).unwrap())));
    assert_eq!(values(features), values(expected));
}

#[test]
fn the_codecs_other_tensors_are_known() {
    let (_, report) = mimi(&config(), true);
    assert!(report.unused.is_empty(), "{report}");
    let file = TensorFile::open(fixture("hf_mimi_tiny")).unwrap();
    let is_used = |name: &&str| {
        let is_encoder =
            ["encoder.", "encoder_transformer.", "downsample."].iter().any(|part| name.starts_with(part));
        is_encoder || name.contains("put_proj")
    };
    assert_eq!(report.loaded, file.names().filter(is_used).count());
}

#[test]
fn older_config_files_say_the_same() {
    let text = std::fs::read_to_string(fixture("hf_mimi_tiny/config.json")).unwrap();
    let mut older: serde_json::Value = serde_json::from_str(&text).unwrap();
    let fields = older.as_object_mut().unwrap();
    fields.remove("rope_parameters");
    fields.remove("_frame_rate");
    fields.insert("rope_theta".to_owned(), 10_000.0.into());
    fields.insert("frame_rate".to_owned(), 12.5.into());
    let older: MimiConfig = serde_json::from_value(older).unwrap();
    assert!(older.validate().is_ok());
    assert_eq!(MimiConfig { rope_theta: None, rope_parameters: config().rope_parameters, ..older }, config());
}
