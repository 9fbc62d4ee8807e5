//! The block-causal model in small: trained through all its stages, interrupted, opened, and heard by a session.

#![allow(clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

mod conversations;
mod runs;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use conversations::{Folder, write_corpus};
use runs::{assert_goes_on_to_the_same_bits, train};
use unils::animate::{AnimateOptions, animate};
use unils::audio::Conversation;
use unils::checkpoint::TensorFile;
use unils::device::DeviceKind;
use unils::encoder::SpeechConfig;
use unils::model::{EncoderConfig, Model, ModelConfig, ModelFiles};
use unils::motion::Space;
use unils::nn::AdapterConfig;
use unils_train::data::{Calibrated, CorpusStore, Store, Want};
use unils_train::masks::Spoiling;
use unils_train::recipe::{Recipe, Stage};
use unils_train::run::{Record, RunConfig, find_checkpoint, metrics_of, read_records};
use unils_train::trainer::{Event, Trainer, TrainerOptions};

/// The live preset, as small as it goes.
fn model() -> ModelConfig {
    let mut model = ModelConfig::preset("live").unwrap();
    (model.codec.depth, model.codec.heads, model.codec.past) = (1, 2, Some(4));
    model.codec.parts.iter_mut().for_each(|part| part.width = 16);
    let generator = model.generator.as_mut().unwrap();
    (generator.width, generator.heads, generator.depth, generator.audio_dim) = (24, 2, 2, Some(24));
    let causal = generator.causal.as_mut().unwrap();
    (causal.past, causal.own_past, causal.partner_past, causal.bit_units) = (8, 10, 12, 4);
    model.encoder = Some(EncoderConfig::speech(SpeechConfig { width: 24, fine: vec![1], coarse: vec![1] }));
    model
}

fn config(stage: Stage, data: &Path, steps: u64) -> RunConfig {
    let recipe = Recipe::preset("live").unwrap().stage(stage).unwrap().clone();
    let mut config = runs::config(&model(), stage, recipe, data, steps);
    config.recipe.clip = (stage != Stage::Speech).then_some(24);
    config
}

/// All stages of so many steps, each in a folder of its name.
fn all_stages(folder: &Folder, data: &Path, steps: u64) {
    let checkpoint = |name: &str| Some(find_checkpoint(&folder.at(name)).unwrap());
    train(&folder.at("codec"), config(Stage::Codec, data, steps));
    train(&folder.at("speech"), config(Stage::Speech, data, steps));
    let prior = RunConfig { from: checkpoint("codec"), ..config(Stage::AudioFree, data, steps) };
    train(&folder.at("prior"), prior);
    let dual = config(Stage::DualTrack, data, steps);
    train(&folder.at("dual"), RunConfig { from: checkpoint("prior"), encoder: checkpoint("speech"), ..dual });
}

/// Loss of the first and of the last steps.
fn losses(folder: &Path) -> [f64; 2] {
    let records = read_records(&metrics_of(folder)).unwrap();
    let steps = records.into_iter().filter_map(|record| match record {
        Record::Step(step) => Some(step.loss),
        Record::Check(_) => None,
    });
    let steps: Vec<f64> = steps.collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let few = steps.len().min(5);
    [mean(&steps[..few]), mean(&steps[steps.len() - few..])]
}

#[test]
fn every_stage_learns_and_the_model_hears_and_moves() {
    let folder = Folder::new("causal");
    let data = folder.at("data");
    write_corpus(&data, 4, 160);
    all_stages(&folder, &data, 60);
    for (stage, falls) in [("codec", 0.8), ("prior", 0.9), ("dual", 0.99)] {
        let [first, last] = losses(&folder.at(stage));
        assert!(last < falls * first, "{stage}: from {first} to {last}");
    }
    let checkpoint = find_checkpoint(&folder.at("dual")).unwrap();
    let model = Model::open(&ModelFiles { checkpoint, ..ModelFiles::default() }, DeviceKind::Cpu).unwrap();
    assert!(model.reports().iter().all(|(_, report)| report.unused.is_empty()), "{:?}", model.reports());
    let tone = |pitch: f32| (0..16_000).map(|i| 0.3 * (i as f32 * pitch).sin()).collect::<Vec<f32>>();
    let talk = |partner: Vec<f32>| {
        let mut talk = Conversation::from_samples(tone(0.05), Some(partner), 16_000).unwrap();
        animate(&model, &mut talk, &AnimateOptions::of(&model), &mut |_| ControlFlow::Continue(())).unwrap()
    };
    let motion = talk(tone(0.09));
    assert_eq!((motion.participants(), motion.frames()), (2, 25));
    assert_ne!(motion.values(), talk(vec![0.0; 16_000]).values(), "the partner is heard");
}

#[test]
fn interrupted_runs_go_on_to_the_same_bits() {
    let folder = Folder::new("causal-resume");
    let data = folder.at("data");
    write_corpus(&data, 2, 160);
    all_stages(&folder, &data, 5);
    for stage in ["codec", "prior", "dual"] {
        assert_goes_on_to_the_same_bits(&folder.at(stage), &folder.at(&format!("{stage}-cut")));
    }
}

#[test]
fn its_own_past_other_voices_and_noise_change_what_is_learnt_from() {
    let folder = Folder::new("causal-spoilt");
    let data = folder.at("data");
    write_corpus(&data, 2, 160);
    all_stages(&folder, &data, 3);
    let checkpoint = |name: &str| Some(find_checkpoint(&folder.at(name)).unwrap());
    let loss = |name: &str, spoiling| {
        let mut dual = config(Stage::DualTrack, &data, 1);
        dual.recipe.spoiling = spoiling;
        let dual = RunConfig { from: checkpoint("prior"), encoder: checkpoint("speech"), ..dual };
        train(&folder.at(name), dual);
        losses(&folder.at(name))[0]
    };
    let none = Spoiling::none();
    let found = [
        loss("plain", none),
        loss("past", Spoiling { own_past: 1.0, ..none }),
        loss("voices", Spoiling { timbre: 1.0, ..none }),
        loss("noise", Spoiling { noise: 1.0, ..none }),
    ];
    for (at, loss) in found.iter().enumerate() {
        assert!(found[..at].iter().all(|other| (other - loss).abs() > 1e-6), "{found:?}");
    }
}

#[test]
fn a_sample_is_made_of_the_stream_and_is_not_the_truth() {
    let folder = Folder::new("causal-sample");
    let data = folder.at("data");
    write_corpus(&data, 2, 160);
    all_stages(&folder, &data, 3);
    let checkpoint = |name: &str| Some(find_checkpoint(&folder.at(name)).unwrap());
    let mut dual = config(Stage::DualTrack, &data, 2);
    dual.recipe.sample_every = 2;
    let dual = RunConfig { from: checkpoint("prior"), encoder: checkpoint("speech"), ..dual };
    let mut trainer = Trainer::begin(&folder.at("look"), dual, &TrainerOptions::default()).unwrap();
    let mut samples = 0;
    trainer
        .train(&mut |event| {
            if let Event::Sample(sample) = event {
                samples += 1;
                assert_eq!(sample.made.frames(), sample.truth.frames());
                assert_ne!(sample.made.values(), sample.truth.values());
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(samples, 1);
}

#[test]
fn a_model_that_hears_is_trained_on() {
    let folder = Folder::new("causal-on");
    let data = folder.at("data");
    write_corpus(&data, 2, 160);
    all_stages(&folder, &data, 3);
    let checkpoint = find_checkpoint(&folder.at("dual")).unwrap();
    let mut on = RunConfig { from: Some(checkpoint.clone()), ..config(Stage::DualTrack, &data, 2) };
    on.recipe.adapter = AdapterConfig { rank: 4, alpha: 4.0, dropout: 0.1 };
    // Its speech encoder comes along, its ears are not begun anew, what is beside them is.
    train(&folder.at("on"), on.clone());
    let (earlier, start) =
        (TensorFile::open(&checkpoint).unwrap(), folder.at("on").join("start.safetensors"));
    let start = TensorFile::open(start).unwrap();
    let kept = start.names().filter(|name| earlier.info(name).is_some()).collect::<Vec<_>>();
    for part in ["other_audio_attn", "self_pos", "audio_encoder"] {
        assert!(kept.iter().any(|name| name.contains(part)), "{part}");
    }
    for name in kept {
        assert_eq!(start.read_f32(name).unwrap(), earlier.read_f32(name).unwrap(), "{name}");
    }
    assert!(start.names().any(|name| name.ends_with("lora_A")));
    let refused = |config| Trainer::begin(&folder.at("no"), config, &TrainerOptions::default()).unwrap_err();
    let mut larger = on.clone();
    larger.model.generator.as_mut().unwrap().depth = 3;
    assert!(refused(larger).to_string().contains("its generator is"));
    let mut weighed = on;
    weighed.recipe.part_weights.insert("tail".to_owned(), 2.0);
    let error = refused(weighed);
    assert!(error.to_string().contains("no part \"tail\""), "{error}");
}

#[test]
fn calibrated_recordings_have_no_rest_pose_and_know_their_people() {
    let folder = Folder::new("calibrated");
    write_corpus(&folder.at("data"), 2, 160);
    let store: Arc<dyn Store> = Arc::new(CorpusStore::open(folder.at("data")).unwrap());
    let want = Want { audio: false, centred: true };
    let raw = store.read(0, want).unwrap();
    let calibrated = Calibrated::new(store).read(0, want).unwrap();
    let width = Space::Arkit55.width();
    for (raw, track) in raw.tracks.iter().zip(&calibrated.tracks) {
        let person = track.person.as_ref().unwrap();
        assert_eq!((person.rest.len(), person.manner.len()), (width, 3 * width));
        for ((raw, ours), rest) in raw.motion.iter().zip(&track.motion).zip(person.rest.iter().cycle()) {
            assert!((raw - rest - ours).abs() < 1e-6);
        }
        let jaw: Vec<f32> = track.motion.iter().skip(17).step_by(width).copied().collect();
        assert!(jaw.iter().filter(|&&value| value <= 1e-6).count() >= jaw.len() / 10);
    }
}
