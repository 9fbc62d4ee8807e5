//! The whole path against the released code: files to model to motion, and what does not fit together.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;
mod scratch;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use common::{FORWARD, Golden, fixture, largest_difference};
use scratch::Scratch;
use unils::Error;
use unils::animate::{AnimateOptions, animate};
use unils::audio::{Conversation, MODEL_RATE};
use unils::checkpoint::{Dtype, StoredAs, TensorFile, write_safetensors};
use unils::device::DeviceKind;
use unils::generator::Sampling;
use unils::model::{Blend, ConvertOptions, Model, ModelFiles, convert};
use unils::motion::{FPS, Motion, MotionMeta, Space};
use unils::session::Controls;

fn files() -> ModelFiles {
    ModelFiles {
        checkpoint: fixture("checkpoints/gen_tiny.pt"),
        encoder: Some(fixture("hf_wav2vec2_tiny")),
        ..ModelFiles::default()
    }
}

fn model() -> Model {
    Model::open(&files(), DeviceKind::Cpu).unwrap()
}

/// The reference's two tracks.
fn tracks(golden: &Golden) -> [Vec<f32>; 2] {
    let both = golden.values("infer.audio");
    let (own, partner) = both.split_at(both.len() / 2);
    [own.to_vec(), partner.to_vec()]
}

fn greedy() -> AnimateOptions {
    let sampling = Sampling { greedy: true, ..Sampling::default() };
    let controls = Controls { sampling, ..Controls::default() };
    AnimateOptions { controls, smooth: false, ..AnimateOptions::default() }
}

fn run(model: &Model, voices: [Vec<f32>; 2], options: &AnimateOptions) -> Motion {
    let [own, partner] = voices;
    let mut conversation = Conversation::from_samples(own, Some(partner), MODEL_RATE).unwrap();
    animate(model, &mut conversation, options, &mut |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn both_participants_equal_the_release() {
    let golden = Golden::open("gen.safetensors");
    let model = model();
    let motion = run(&model, tracks(&golden), &greedy());
    assert_eq!(motion.shape(), [2, 51, 108]);
    golden.check_values("infer.zero_cond.pred_motion_code", motion.participant(0).unwrap(), FORWARD);
    golden.check_values("infer.swapped.pred_motion_code", motion.participant(1).unwrap(), FORWARD);
    let smoothed = run(&model, tracks(&golden), &AnimateOptions { smooth: true, ..greedy() });
    golden.check_values("infer.smoothed", smoothed.participant(0).unwrap(), FORWARD);
}

#[test]
fn one_voice_has_a_silent_partner() {
    let golden = Golden::open("gen.safetensors");
    let [own, _] = tracks(&golden);
    let mut conversation = Conversation::from_samples(own, None, MODEL_RATE).unwrap();
    let motion = animate(&model(), &mut conversation, &greedy(), &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(motion.participants(), 1);
    golden.check_values("infer.single.pred_motion_code", motion.values(), FORWARD);
}

#[test]
fn style_and_previous_motion_are_used_as_in_the_release() {
    let golden = Golden::open("gen.safetensors");
    let clip = golden.values("infer.style_motion_code")[..20 * 108].to_vec();
    let clip = Motion::new(Space::Flame108, FPS, 1, clip, MotionMeta::new()).unwrap();
    let model = model();
    let one = AnimateOptions { participants: Some(1), ..greedy() };
    let styled = AnimateOptions { style: Some(clip.clone()), ..one.clone() };
    let motion = run(&model, tracks(&golden), &styled);
    golden.check_values("infer.style.pred_motion_code", motion.values(), FORWARD);
    let continued = AnimateOptions { previous: Some(clip.clone()), ..one.clone() };
    let motion = run(&model, tracks(&golden), &continued);
    golden.check_values("infer.prev.pred_motion_code", motion.values(), FORWARD);

    let refuse = |options: AnimateOptions| {
        let [own, partner] = tracks(&golden);
        let mut conversation = Conversation::from_samples(own, Some(partner), MODEL_RATE).unwrap();
        animate(&model, &mut conversation, &options, &mut |_| ControlFlow::Continue(())).unwrap_err()
    };
    let short = Motion::new(Space::Flame108, FPS, 1, vec![0.0; 19 * 108], MotionMeta::new()).unwrap();
    let error = refuse(AnimateOptions { style: Some(short), ..one.clone() });
    assert!(error.to_string().contains("19 frames, expected 20"), "{error}");
    let other = Motion::new(Space::Arkit55, FPS, 1, vec![0.0; 20 * 55], MotionMeta::new()).unwrap();
    assert!(matches!(refuse(AnimateOptions { style: Some(other), ..one.clone() }), Error::Motion(_)));
    let three = Motion::new(Space::Flame108, FPS, 3, vec![0.0; 3 * 20 * 108], MotionMeta::new()).unwrap();
    let error = refuse(AnimateOptions { style: Some(three), ..one.clone() });
    assert!(error.to_string().contains("3 participants, expected 1"), "{error}");
    let fast = Motion::new(Space::Flame108, 60.0, 1, vec![0.0; 20 * 108], MotionMeta::new()).unwrap();
    assert!(matches!(refuse(AnimateOptions { previous: Some(fast), ..one }), Error::Motion(_)));
}

#[test]
fn the_seed_decides() {
    let golden = Golden::open("gen.safetensors");
    let model = model();
    let with = |seed| run(&model, tracks(&golden), &AnimateOptions { seed, ..AnimateOptions::default() });
    assert_eq!(with(7).values(), with(7).values());
    assert!(largest_difference(with(7).values(), with(8).values()) > 1e-2);
}

#[test]
fn progress_counts_frames_and_can_stop() {
    let golden = Golden::open("gen.safetensors");
    let [own, partner] = tracks(&golden);
    let mut conversation = Conversation::from_samples(own, Some(partner), MODEL_RATE).unwrap();
    let mut seen = Vec::new();
    let result = animate(&model(), &mut conversation, &greedy(), &mut |progress| {
        seen.push((progress.frames_done, progress.frames_expected));
        if seen.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(result, Err(Error::Interrupted)));
    assert_eq!(seen, [(20, Some(51)), (40, Some(51))]);
}

#[test]
fn what_does_not_fit_together_is_refused_with_the_reason() {
    let open = |files: ModelFiles| Model::open(&files, DeviceKind::Cpu).unwrap_err();
    let error = open(ModelFiles { encoder: None, ..files() });
    assert!(error.hint().unwrap().contains("unils fetch"), "{error}");
    let error = open(ModelFiles { preset: Some("paper".into()), ..files() });
    assert!(error.to_string().contains("of another shape"), "{error}");
    let error = open(ModelFiles { checkpoint: fixture("checkpoints/codec_tiny.pt"), ..files() });
    assert!(error.to_string().contains("codec alone"), "{error}");
    let error = open(ModelFiles { checkpoint: fixture("hf_wav2vec2_tiny"), ..files() });
    assert!(matches!(error, Error::Checkpoint(_)), "{error}");
    let error = open(ModelFiles { encoder: Some(fixture("hf_mimi_tiny")), ..files() });
    assert!(error.to_string().contains("24 features, but the generator listens to 32"), "{error}");
    let error = open(ModelFiles { checkpoint: "no/such.pt".into(), ..files() });
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let error = open(ModelFiles { stats: Some(fixture("checkpoints/gen_tiny.pt")), ..files() });
    assert!(!error.to_string().is_empty());
}

#[test]
fn an_audio_free_generator_needs_no_encoder() {
    let golden = Golden::open("gen.safetensors");
    let checkpoint = fixture("checkpoints/freegen_tiny.pt");
    let model = Model::open(&ModelFiles { checkpoint, ..ModelFiles::default() }, DeviceKind::Cpu).unwrap();
    let motion = run(&model, tracks(&golden), &greedy());
    assert_eq!(motion.shape(), [2, 51, 108]);
}

#[test]
fn a_converted_checkpoint_gives_the_same_motion() {
    let golden = Golden::open("gen.safetensors");
    let scratch = Scratch::new("convert");
    let before = run(&model(), tracks(&golden), &greedy());
    for half in [false, true] {
        let checkpoint = scratch.path(&format!("half-{half}.safetensors"));
        let options = ConvertOptions { half, ..ConvertOptions::default() };
        let report = convert(&files().checkpoint, &checkpoint, &options).unwrap();
        assert!(report.report.unused.is_empty());
        assert_eq!(&report.config, model().config());
        let converted = Model::open(&ModelFiles { checkpoint, ..files() }, DeviceKind::Cpu).unwrap();
        assert_eq!(converted.config().codec, model().config().codec);
        let after = run(&converted, tracks(&golden), &greedy());
        assert_eq!(after.shape(), before.shape());
        if !half {
            assert_eq!(after.values(), before.values());
        }
    }
    let sizes = |name: &str| std::fs::metadata(scratch.path(name)).unwrap().len();
    assert!(sizes("half-true.safetensors") < sizes("half-false.safetensors") * 6 / 10);
    let wrong = convert(&files().checkpoint, &scratch.path("x.pt"), &ConvertOptions::default());
    assert!(matches!(wrong, Err(Error::Argument(_))));
    assert_eq!(std::fs::read_dir(scratch.folder()).unwrap().count(), 4);
}

/// The tiny generator in our own form, with changed text in its TOML and changed values in one tensor.
fn own_form(
    scratch: &Scratch,
    toml: impl Fn(String) -> String,
    (changed, value): (&str, f32),
) -> std::path::PathBuf {
    let source = TensorFile::open(files().checkpoint).unwrap();
    let tensors: Vec<_> = source
        .names()
        .map(|name| {
            let mut values = source.read_f32(name).unwrap();
            if name == changed {
                values[0] = value;
            }
            (name, source.info(name).unwrap().shape, values)
        })
        .collect();
    let path = scratch.path("own.safetensors");
    let tensors = tensors.iter().map(|(name, shape, data)| (*name, &shape[..], &data[..], StoredAs::F32));
    write_safetensors(&path, tensors, &BTreeMap::new()).unwrap();
    std::fs::write(scratch.path("own.toml"), toml(model().config().to_toml().unwrap())).unwrap();
    path
}

#[test]
fn a_value_beyond_half_precision_is_refused_by_name() {
    let scratch = Scratch::new("half");
    let name = "logits_head.1.weight";
    let source = own_form(&scratch, |text| text, (name, 70_000.0));
    let target = scratch.path("half.safetensors");
    let error =
        convert(&source, &target, &ConvertOptions { half: true, ..ConvertOptions::default() }).unwrap_err();
    assert!(error.to_string().contains(name) && error.to_string().contains("70000"), "{error}");
    assert!(error.hint().unwrap().contains("--half"), "{error}");
    // Neither the weights nor their configuration.
    assert_eq!(std::fs::read_dir(scratch.folder()).unwrap().count(), 2);
    // A vector stays in single precision and may hold it; small deviations are kept to the last bit.
    let source = own_form(&scratch, |text| text, ("base_codec.motion_std", 1e-9));
    convert(&source, &target, &ConvertOptions { half: true, ..ConvertOptions::default() }).unwrap();
    let half = TensorFile::open(&target).unwrap();
    assert_eq!(half.read_f32("base_codec.motion_std").unwrap()[0], 1e-9);
    assert_eq!(half.info(name).unwrap().dtype, Dtype::F16);
}

#[test]
fn weights_between_two_checkpoints() {
    let scratch = Scratch::new("blend");
    let name = "logits_head.1.weight";
    let with = own_form(&scratch, |text| text, (name, 9.0));
    let first = TensorFile::open(files().checkpoint).unwrap().read_f32(name).unwrap();
    let target = scratch.path("mixed.safetensors");
    let mixed = |with: &std::path::Path, share: f64| {
        let blend = Some(Blend { with: with.to_owned(), share });
        convert(&files().checkpoint, &target, &ConvertOptions { blend, ..ConvertOptions::default() })
    };
    for share in [0.0, 0.25, 1.0] {
        mixed(&with, share).unwrap();
        let values = TensorFile::open(&target).unwrap().read_f32(name).unwrap();
        assert!((f64::from(values[0] - first[0]) - share * f64::from(9.0 - first[0])).abs() < 1e-5);
        assert_eq!(values[1..], first[1..]);
    }
    std::fs::remove_file(&target).unwrap();
    std::fs::remove_file(target.with_extension("toml")).unwrap();
    let stranger = mixed(&fixture("checkpoints/codec_tiny.pt"), 0.5).unwrap_err();
    assert!(stranger.to_string().contains("codec_tiny.pt"), "{stranger}");
    assert!(stranger.hint().unwrap().contains("one model"), "{stranger}");
    assert!(matches!(mixed(&with, 1.5), Err(Error::Argument(_))));
    assert!(!target.exists() && !target.with_extension("toml").exists());
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let scratch = Scratch::new("nan");
    for value in [f32::NAN, f32::NEG_INFINITY] {
        let checkpoint = own_form(&scratch, |text| text, ("logits_head.1.weight", value));
        let error = Model::open(&ModelFiles { checkpoint, ..files() }, DeviceKind::Cpu).unwrap_err();
        let expected = format!("logits_head.1.weight (element 0: {value}");
        assert!(error.to_string().contains(&expected), "{error}");
    }
}

/// Each of these would take tens of gigabytes or break a layer if it were believed.
#[test]
fn sizes_that_the_file_cannot_mean_are_refused_before_anything_is_made() {
    let scratch = Scratch::new("sizes");
    let huge = |text: String| text.replace("width = 32", "width = 16384").replace("depth = 2", "depth = 256");
    let checkpoint = own_form(&scratch, huge, ("", 0.0));
    let error = Model::open(&ModelFiles { checkpoint: checkpoint.clone(), ..files() }, DeviceKind::Cpu);
    assert!(error.unwrap_err().to_string().contains("the file holds 81"));
    let error = convert(&checkpoint, &scratch.path("x.safetensors"), &ConvertOptions::default());
    assert!(matches!(error, Err(Error::Checkpoint(_))));

    let original = fixture("hf_wav2vec2_tiny");
    let weights = std::fs::read(original.join("model.safetensors")).unwrap();
    std::fs::write(scratch.path("model.safetensors"), weights).unwrap();
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(original.join("config.json")).unwrap()).unwrap();
    for (field, value, reason) in [
        ("conv_stride", serde_json::json!([64, 64, 64, 1, 1, 1, 1]), " 0 features for a window"),
        ("conv_stride", serde_json::json!([1, 1, 1, 1, 1, 1, 1]), "features for a window"),
        ("intermediate_size", 65_536.into(), "of another shape"),
        ("num_hidden_layers", 256.into(), "missing"),
        ("hidden_size", 16_384.into(), "the file holds"),
    ] {
        let mut changed = config.clone();
        changed[field] = value;
        std::fs::write(scratch.path("config.json"), changed.to_string()).unwrap();
        let encoder = Some(scratch.folder().to_owned());
        let error = Model::open(&ModelFiles { encoder, ..files() }, DeviceKind::Cpu).unwrap_err();
        assert!(error.to_string().contains(reason), "{field}: {error}");
    }
}
