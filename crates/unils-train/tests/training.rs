//! Runs: begun, interrupted, taken up, shared between processes, stopped by bad numbers.

#![allow(clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

mod conversations;
mod runs;

use std::ops::ControlFlow;
use std::path::Path;

use conversations::{Folder, write_corpus};
use runs::{assert_goes_on_to_the_same_bits, go_on, train};
use unils::Error;
use unils::model::{EncoderConfig, EncoderKind, ModelConfig};
use unils_train::exchange::Meeting;
use unils_train::masks::Spoiling;
use unils_train::recipe::{Precision, Recipe, Stage, model_of_stage};
use unils_train::run::{Record, RunConfig, StepRecord, find_checkpoint, metrics_of, read_records};
use unils_train::trainer::{Ending, Event, Trainer, TrainerOptions};

/// A short run of the tiny preset.
fn config(stage: Stage, data: &Path, steps: u64) -> RunConfig {
    let recipe = Recipe::preset("tiny").unwrap().stage(stage).unwrap().clone();
    runs::config(&ModelConfig::preset("tiny").unwrap(), stage, recipe, data, steps)
}

/// The steps of a run without what the clock says.
fn steps(folder: &Path) -> Vec<StepRecord> {
    let records = read_records(&metrics_of(folder)).unwrap();
    let step = |record| match record {
        Record::Step(step) => Some(StepRecord { step_ms: 0.0, wait_ms: 0.0, ..step }),
        Record::Check(_) => None,
    };
    records.into_iter().filter_map(step).collect()
}

/// Three short runs, each from the one before.
fn three_stages(folder: &Folder, data: &Path) {
    train(&folder.at("codec"), config(Stage::Codec, data, 6));
    let from = |name: &str| Some(find_checkpoint(&folder.at(name)).unwrap());
    train(&folder.at("prior"), RunConfig { from: from("codec"), ..config(Stage::AudioFree, data, 6) });
    train(&folder.at("dual"), RunConfig { from: from("prior"), ..config(Stage::DualTrack, data, 6) });
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bits() {
    let folder = Folder::new("resume");
    let data = folder.at("data");
    write_corpus(&data, 3, 160);
    three_stages(&folder, &data);
    for stage in ["codec", "prior", "dual"] {
        let (whole, cut) = (folder.at(stage), folder.at(&format!("{stage}-cut")));
        assert_goes_on_to_the_same_bits(&whole, &cut);
        assert_eq!(steps(&whole), steps(&cut), "{stage}");
    }
}

#[test]
fn two_processes_do_as_one_with_the_doubled_batch() {
    let folder = Folder::new("devices");
    let data = folder.at("data");
    write_corpus(&data, 3, 160);
    three_stages(&folder, &data);
    let from = |name: &str| Some(find_checkpoint(&folder.at(name)).unwrap());
    for (stage, from, port) in
        [(Stage::AudioFree, from("codec"), 29_871), (Stage::DualTrack, from("prior"), 29_872)]
    {
        let mut shared = RunConfig { from, ..config(stage, &data, 16) };
        // Dropout is drawn by each process for itself.
        shared.recipe.adapter.dropout = 0.0;
        shared.recipe = shared.recipe.on_devices(2);
        assert_eq!(shared.recipe.steps, 8);
        let mut alone = shared.clone();
        alone.recipe.batch *= 2;
        let one = folder.at(&format!("{stage}-one"));
        train(&one, alone);
        shared.devices = 2;
        let two = folder.at(&format!("{stage}-two"));
        std::thread::scope(|scope| {
            for rank in 0..2 {
                let (two, shared) = (&two, shared.clone());
                scope.spawn(move || {
                    let meeting = Meeting { rank, of: 2, address: format!("127.0.0.1:{port}") };
                    let options = TrainerOptions { meeting: Some(meeting), ..TrainerOptions::default() };
                    assert_eq!(go_on(&mut Trainer::begin(two, shared, &options).unwrap()), Ending::Done);
                });
            }
        });
        let (one, two) = (steps(&one), steps(&two));
        assert_eq!(one.len(), 8);
        for (one, two) in one.iter().zip(&two) {
            let relative = (one.loss / two.loss - 1.0).abs().max((one.norm / two.norm - 1.0).abs());
            assert!(relative < 1e-3, "{stage}, step {}: {one:?} {two:?}", one.step);
        }
    }
}

fn message(error: &Error) -> String {
    format!("{error} ({})", error.hint().unwrap_or("no hint"))
}

#[test]
fn an_exploding_loss_names_its_batch_and_keeps_what_was_saved() {
    let folder = Folder::new("explosion");
    let data = folder.at("data");
    write_corpus(&data, 3, 160);
    let mut config = config(Stage::Codec, &data, 400);
    (config.recipe.learning_rate, config.recipe.clip_norm, config.recipe.check_every) = (30.0, 1e9, 2);
    let run = folder.at("run");
    let mut trainer = Trainer::begin(&run, config, &TrainerOptions::default()).unwrap();
    let error = trainer.train(&mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(message(&error).contains("talk") && message(&error).contains("from frame"), "{error}");
    assert!(message(&error).starts_with("step "), "{error}");
    // The trainer says so when it is used on; the run goes on from what was saved.
    assert!(message(&trainer.advance(false).unwrap_err()).contains("--resume"));
    drop(trainer);
    let trainer = Trainer::resume(&run, &TrainerOptions::default()).unwrap();
    assert!(trainer.step().is_multiple_of(2));
}

#[test]
fn products_in_bfloat16_train_as_well() {
    let folder = Folder::new("half");
    let data = folder.at("data");
    write_corpus(&data, 3, 160);
    let losses = |precision, name: &str| {
        let mut config = config(Stage::Codec, &data, 30);
        config.recipe.precision = precision;
        train(&folder.at(name), config);
        steps(&folder.at(name)).into_iter().map(|record| record.loss).collect::<Vec<_>>()
    };
    let (full, half) = (losses(Precision::F32, "full"), losses(Precision::Bf16, "half"));
    assert_ne!(full[0], half[0], "bfloat16 changes nothing: is it used?");
    assert!((half[0] / full[0] - 1.0).abs() < 0.02, "{} {}", full[0], half[0]);
    assert!(half[29] < 0.8 * half[0] && (half[29] / full[29] - 1.0).abs() < 0.3, "{full:?} {half:?}");
}

#[test]
fn an_observer_stops_a_run_and_it_is_saved() {
    let folder = Folder::new("observer");
    let data = folder.at("data");
    write_corpus(&data, 3, 160);
    let run = folder.at("run");
    let mut trainer =
        Trainer::begin(&run, config(Stage::Codec, &data, 50), &TrainerOptions::default()).unwrap();
    let ending = trainer.train(&mut |event| match event {
        Event::Step(record) if record.step == 3 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert_eq!(ending.unwrap(), Ending::Stopped);
    drop(trainer);
    assert_eq!(Trainer::resume(&run, &TrainerOptions::default()).unwrap().step(), 3);
}

#[test]
fn what_does_not_fit_is_told_before_anything_is_written() {
    let folder = Folder::new("misfits");
    let data = folder.at("data");
    write_corpus(&data, 3, 160);
    let run = folder.at("run");
    let fails = |config: RunConfig, expected: &str| {
        let error = Trainer::begin(&run, config, &TrainerOptions::default()).unwrap_err();
        assert!(message(&error).contains(expected), "{expected}: {}", message(&error));
        assert!(!run.join("run.toml").exists(), "{expected}");
    };
    let mut other_space = config(Stage::Codec, &data, 4);
    other_space.model = model_of_stage(&ModelConfig::preset("paper_small").unwrap(), Stage::Codec).unwrap();
    fails(other_space, "preset of the data's space");
    fails(config(Stage::AudioFree, &data, 4), "run of the codec stage");
    let mut long = config(Stage::Codec, &data, 4);
    long.model.codec.schedule = vec![1, 500];
    fails(long, "recordings of more than");
    let mut bad = config(Stage::Codec, &data, 4);
    bad.recipe.average_decay = 2.0;
    fails(bad, "average_decay");

    train(&folder.at("codec"), config(Stage::Codec, &data, 2));
    let codec = find_checkpoint(&folder.at("codec")).unwrap();
    let from = |stage| RunConfig { from: Some(codec.clone()), ..config(stage, &data, 4) };
    fails(from(Stage::DualTrack), "starts from a generator");
    let mut deaf = RunConfig { single_stage: true, ..from(Stage::DualTrack) };
    deaf.model.encoder = Some(EncoderConfig::released(EncoderKind::Wav2Vec2));
    fails(deaf, "no encoder was named");
    for spoiling in
        [Spoiling { timbre: 0.5, ..Spoiling::none() }, Spoiling { noise: 0.5, ..Spoiling::none() }]
    {
        let mut spoilt = from(Stage::DualTrack);
        spoilt.recipe.spoiling = spoiling;
        fails(spoilt, "encoder of the model's own");
    }
    let mut spoilt = from(Stage::AudioFree);
    spoilt.recipe.spoiling.own_past = 0.5;
    fails(spoilt, "only a block-causal generator");
    let mut wider = from(Stage::AudioFree);
    wider.model.codec.width = 96;
    fails(wider, "run of the same preset");
    // A folder that is in use, or not a run.
    let error =
        Trainer::begin(&folder.at("codec"), config(Stage::Codec, &data, 4), &TrainerOptions::default());
    assert!(message(&error.unwrap_err()).contains("--resume"));
    let error = Trainer::resume(&folder.at("nowhere"), &TrainerOptions::default()).unwrap_err();
    assert!(message(&error).contains("--out"));
    let held = Trainer::resume(&folder.at("codec"), &TrainerOptions::default()).unwrap();
    let error = Trainer::resume(&folder.at("codec"), &TrainerOptions::default()).unwrap_err();
    assert!(message(&error).contains("another process"), "{error}");
    drop(held);
}
