//! Short runs: their configuration, their end, their interruption.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::ops::ControlFlow;
use std::path::Path;

use unils::model::ModelConfig;
use unils_train::recipe::{Stage, StageRecipe, model_of_stage};
use unils_train::run::{DataConfig, RunConfig};
use unils_train::trainer::{Ending, Trainer, TrainerOptions};

/// A run of `steps` steps of four samples, of a stage of a model.
pub fn config(model: &ModelConfig, stage: Stage, recipe: StageRecipe, data: &Path, steps: u64) -> RunConfig {
    let mut recipe = recipe;
    (recipe.steps, recipe.batch, recipe.check_every, recipe.log_every, recipe.warmup) = (steps, 4, 100, 1, 3);
    RunConfig {
        stage,
        seed: 7,
        single_stage: false,
        program: "test".to_owned(),
        data: DataConfig { path: data.to_owned(), metadata: None },
        from: None,
        stats: None,
        encoder: None,
        flame: None,
        model: model_of_stage(model, stage).unwrap(),
        recipe,
        devices: 1,
    }
}

pub fn go_on(trainer: &mut Trainer) -> Ending {
    trainer.train(&mut |_| ControlFlow::Continue(())).unwrap()
}

pub fn train(folder: &Path, config: RunConfig) {
    let mut trainer = Trainer::begin(folder, config, &TrainerOptions::default()).unwrap();
    assert_eq!(go_on(&mut trainer), Ending::Done);
}

/// The same run as that of `whole`, stopped after two steps, robbed of one more as when the process is killed, and taken
/// up again in the folder `cut`: state and checkpoint are the same to the byte.
pub fn assert_goes_on_to_the_same_bits(whole: &Path, cut: &Path) {
    let config = unils_train::run::read_config(whole).unwrap();
    let until = |step| TrainerOptions { until: Some(step), workers: 1, ..TrainerOptions::default() };
    let mut trainer = Trainer::begin(cut, config, &until(2)).unwrap();
    assert_eq!(go_on(&mut trainer), Ending::Stopped);
    // What comes after the last saved state is lost.
    trainer.advance(false).unwrap();
    drop(trainer);
    let mut trainer = Trainer::resume(cut, &until(100)).unwrap();
    assert_eq!(trainer.step(), 2);
    assert_eq!(go_on(&mut trainer), Ending::Done);
    for file in ["state", "last"] {
        let bytes = |folder: &Path| std::fs::read(folder.join(format!("{file}.safetensors"))).unwrap();
        assert!(bytes(whole) == bytes(cut), "{}: {file} differs", whole.display());
    }
}
