//! The speech stage: trained on voices, interrupted, listened through by the conversational model.

#![allow(clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

mod conversations;
mod runs;

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use conversations::{Folder, write_corpus};
use runs::{assert_goes_on_to_the_same_bits, train};
use unils::checkpoint::TensorFile;
use unils::device::DeviceKind;
use unils::encoder::SpeechConfig;
use unils::model::{EncoderConfig, Model, ModelConfig, ModelFiles};
use unils::motion::Space;
use unils::nn::{Loader, RandomWeights};
use unils_train::recipe::{Recipe, Stage};
use unils_train::run::{Check, Record, RunConfig, find_checkpoint, metrics_of, read_records};
use unils_train::speech::SpeechNet;
use unils_train::timbre::Timbre;
use unils_train::trainer::{Trainer, TrainerOptions};

/// The tiny preset with a small speech encoder of its own.
fn model() -> ModelConfig {
    let mut model = ModelConfig::preset("tiny").unwrap();
    let sizes = SpeechConfig { width: 24, fine: vec![1, 2], coarse: vec![1, 2] };
    model.generator.as_mut().unwrap().audio_dim = Some(sizes.width);
    model.encoder = Some(EncoderConfig::speech(sizes));
    model
}

fn config(stage: Stage, data: &Path, steps: u64) -> RunConfig {
    let recipe = match stage {
        Stage::Speech => Recipe::preset("live").unwrap().speech.unwrap(),
        _ => Recipe::preset("tiny").unwrap().stage(stage).unwrap().clone(),
    };
    let mut config = runs::config(&model(), stage, recipe, data, steps);
    (config.recipe.check_batches, config.recipe.average_decay) = (2, 0.9);
    config
}

fn last_check(folder: &Path) -> Check {
    let records = read_records(&metrics_of(folder)).unwrap();
    let check = |record| if let Record::Check(check) = record { Some(check) } else { None };
    records.into_iter().filter_map(check).next_back().unwrap()
}

#[test]
fn an_encoder_learns_mouths_and_sounds() {
    let folder = Folder::new("speech");
    write_corpus(&folder.at("data"), 6, 300);
    train(&folder.at("run"), config(Stage::Speech, &folder.at("data"), 150));
    let check = last_check(&folder.at("run"));
    eprintln!("{check:?}");
    let score = |name: &str| check.scores[name];
    assert!(score("jaw r, delayed") > 0.8 && score("jaw r, immediate") > 0.6);
    assert!(score("lips r, delayed") > 0.5 && score("sounds told") > 0.7);
    assert!(score("gap at p b m") < 0.8);
}

#[test]
fn a_timbre_changes_its_own_voice_alone() {
    let sizes = SpeechConfig { width: 24, fine: vec![1], coarse: vec![1] };
    let (weights, device) = (RandomWeights { seed: 1 }, Device::flex());
    let net = SpeechNet::load(&sizes, Space::Arkit55, &Loader::new(&weights, &device, true)).unwrap();
    let wave = |i: usize| 0.2 * (i as f32 * 0.09).sin() * (1.0 + (i as f32 * 0.002).sin());
    let waves: Vec<f32> = (0..2 * 12_800).map(|i| wave(i % 12_800)).collect();
    let waves = Tensor::<2>::from_data(TensorData::new(waves, [2, 12_800]), &device);
    let sounds = |timbres: &[Option<Timbre>]| -> Vec<f32> {
        net.forward(waves.clone(), timbres).sounds.into_data().iter().collect()
    };
    let [plain, changed] = [sounds(&[]), sounds(&[Some(Timbre::of(&[0.9; Timbre::DRAWS])), None])];
    let half = plain.len() / 2;
    assert_eq!(plain[half..], changed[half..]);
    assert!(
        plain[..half].iter().zip(&changed[..half]).any(|(plain, changed)| (plain - changed).abs() > 1e-3)
    );
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bits() {
    let folder = Folder::new("speech-resume");
    let data = folder.at("data");
    write_corpus(&data, 2, 160);
    train(&folder.at("whole"), config(Stage::Speech, &data, 6));
    assert_goes_on_to_the_same_bits(&folder.at("whole"), &folder.at("cut"));
}

#[test]
fn the_conversational_model_carries_its_encoder() {
    let folder = Folder::new("speech-dual");
    let data = folder.at("data");
    write_corpus(&data, 2, 160);
    let checkpoint = |name: &str| Some(find_checkpoint(&folder.at(name)).unwrap());
    train(&folder.at("speech"), config(Stage::Speech, &data, 2));
    train(&folder.at("codec"), config(Stage::Codec, &data, 2));
    train(&folder.at("prior"), RunConfig { from: checkpoint("codec"), ..config(Stage::AudioFree, &data, 2) });
    let dual = RunConfig { from: checkpoint("prior"), ..config(Stage::DualTrack, &data, 2) };
    let begin = |name: &str, config| Trainer::begin(&folder.at(name), config, &TrainerOptions::default());
    let error = begin("deaf", dual.clone()).unwrap_err();
    assert!(error.hint().unwrap().contains("speech stage"), "{error}");
    let error = begin("deaf", RunConfig { encoder: checkpoint("prior"), ..dual.clone() }).unwrap_err();
    assert!(error.to_string().contains("no speech encoder in this file"), "{error}");
    let mut other = RunConfig { encoder: checkpoint("speech"), ..dual.clone() };
    let sizes = SpeechConfig { width: 24, fine: vec![1, 2], coarse: vec![1, 4] };
    other.model.encoder = Some(EncoderConfig::speech(sizes));
    let error = begin("deaf", other).unwrap_err();
    assert!(error.to_string().contains("the model listens through"), "{error}");
    assert!(!folder.at("deaf").join("run.toml").exists());
    train(&folder.at("dual"), RunConfig { encoder: checkpoint("speech"), ..dual });

    // The heads stay behind, and the encoder is in the model's own checkpoint, as it was trained.
    let [alone, within] = ["speech", "dual"].map(|run| TensorFile::open(checkpoint(run).unwrap()).unwrap());
    assert!(alone.names().all(|name| name.starts_with("audio_encoder.")));
    for name in alone.names() {
        assert_eq!(alone.read_f32(name).unwrap(), within.read_f32(name).unwrap(), "{name}");
    }
    // The stage goes on from an encoder that there is: here, so slowly that it stays where it was.
    let mut on = RunConfig { encoder: checkpoint("dual"), ..config(Stage::Speech, &data, 1) };
    on.recipe.learning_rate = 1e-9;
    train(&folder.at("on"), on);
    let on = TensorFile::open(checkpoint("on").unwrap()).unwrap();
    for name in alone.names() {
        let [was, is] = [&alone, &on].map(|file| file.read_f32(name).unwrap());
        assert!(was.iter().zip(&is).all(|(was, is)| (was - is).abs() < 1e-6), "{name}");
    }
    let open = |encoder| {
        let files = ModelFiles { checkpoint: checkpoint("dual").unwrap(), encoder, ..ModelFiles::default() };
        Model::open(&files, DeviceKind::Cpu)
    };
    for encoder in [None, checkpoint("speech")] {
        let model = open(encoder).unwrap();
        assert_eq!(model.encoder().unwrap().feature_dim(), 24);
        assert!(model.reports().iter().all(|(_, report)| report.unused.is_empty()), "{:?}", model.reports());
    }
    let copy = folder.at("copy.safetensors");
    let options = unils::model::ConvertOptions { half: true, ..Default::default() };
    let report = unils::model::convert(&checkpoint("dual").unwrap(), &copy, &options).unwrap();
    assert!(report.report.unused.is_empty());
    Model::open(&ModelFiles { checkpoint: copy, ..ModelFiles::default() }, DeviceKind::Cpu).unwrap();
    let error = Model::open(
        &ModelFiles { checkpoint: checkpoint("speech").unwrap(), ..ModelFiles::default() },
        DeviceKind::Cpu,
    );
    assert!(error.unwrap_err().to_string().contains("no codec and no generator"));
}
