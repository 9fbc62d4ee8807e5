//! How a stage is trained: the numbers that a preset gives, and the release's rule for several devices.
//!
//! First thing that a training looks at. A preset is two files of one name: `configs/NAME.toml` says what the model
//! is ([`ModelConfig`]), `configs/training/NAME.toml` how its stages are trained ([`Recipe`]). The values of
//! `paper` are the release's.
//!
//! ```
//! use unils_train::recipe::{Recipe, Stage};
//! let recipe = Recipe::preset("paper")?;
//! let codec = recipe.stage(Stage::Codec)?;
//! assert_eq!((codec.steps, codec.batch), (200_000, 64));
//! // On four devices: a quarter of the steps at four times the learning rate.
//! assert_eq!(codec.on_devices(4).steps, 50_000);
//! # Ok::<(), unils::Error>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use unils::checkpoint::toml_fault;
use unils::codec::LONGEST_CLIP;
use unils::model::ModelConfig;
use unils::nn::AdapterConfig;
use unils::{Error, Result};

use crate::loss::CodecWeights;
use crate::masks::Spoiling;
use crate::optim::{AdamW, LearningRate};
use crate::speech::SpeechWeights;

/// What is trained, in the order in which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The motion codec.
    Codec,
    /// The motion prior: a generator that hears nothing.
    AudioFree,
    /// The conversational model: the prior with adapters, and attention to both voices.
    DualTrack,
    /// A speech encoder of one's own, for the conversational model to listen through. Needs no other stage.
    Speech,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 4] = [Self::Codec, Self::AudioFree, Self::DualTrack, Self::Speech];

    /// The name in files and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Codec => "codec",
            Self::AudioFree => "audio_free",
            Self::DualTrack => "dual_track",
            Self::Speech => "speech",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How one stage is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageRecipe {
    /// Steps of the whole training.
    pub steps: u64,
    /// Samples of a step on each device: clips of one person, or dyads of which both people are predicted.
    pub batch: usize,
    /// Recordings of the training split that are learnt from, the first in the data's order; 0 takes all. Statistics of
    /// motion are of all in any case.
    #[serde(default)]
    pub recordings: usize,
    /// Frames of a clip, for a block-causal model, whose clips hold many windows; others take a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<usize>,
    /// Learning rate after warm-up, on one device.
    pub learning_rate: f64,
    /// Steps of linear warm-up from a tenth of the rate.
    pub warmup: u64,
    /// The rate falls linearly to this share of its peak at the last step.
    #[serde(default = "tenth")]
    pub last_rate: f64,
    /// Largest norm of all gradients together.
    #[serde(default = "one")]
    pub clip_norm: f64,
    /// Decay of the moving average of the weights, which is what is evaluated and saved.
    pub average_decay: f64,
    /// Steps between two lines of `metrics.jsonl`.
    pub log_every: u64,
    /// Steps between two looks at the validation split; each also saves the run.
    pub check_every: u64,
    /// Batches of such a look.
    pub check_batches: usize,
    /// Steps between two checkpoints that are kept; 0 keeps none but the last and the best.
    #[serde(default)]
    pub keep_every: u64,
    /// Steps between two sample renders; 0 makes none.
    #[serde(default)]
    pub sample_every: u64,
    /// Number format of the matrix products.
    #[serde(default)]
    pub precision: Precision,
    /// The optimiser's constants.
    #[serde(default)]
    pub optimizer: AdamW,
    /// Weights of the codec's loss terms; the other stages do not read them.
    #[serde(default)]
    pub codec_loss: CodecWeights,
    /// Weights of the speech stage's loss terms; the other stages do not read them.
    #[serde(default)]
    pub speech_loss: SpeechWeights,
    /// How much the bits of a part of the codec count, by the part's name; those of others count 1. Only generators of
    /// the block-causal layout read it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub part_weights: BTreeMap<String, f64>,
    /// How much more the head's bits count where an answer to the partner's cue would begin
    /// ([`answer_frames`](crate::answers::answer_frames)). Only the dual-track stage of the block-causal layout reads it.
    #[serde(default = "one")]
    pub cue_weight: f64,
    /// What is left out or spoilt on purpose; the codec's stage does not read it.
    #[serde(default)]
    pub spoiling: Spoiling,
    /// Adapters beside the prior's frozen matrices; only the dual-track stage reads them. Of rank 0: no adapters, nothing
    /// but the codec is frozen.
    #[serde(default = "release_adapter")]
    pub adapter: AdapterConfig,
}

/// Number format of the matrix products; everything else, and the weights themselves, are 32-bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// bfloat16: for GPUs with units for it.
    Bf16,
}

fn tenth() -> f64 {
    0.1
}

fn one() -> f64 {
    1.0
}

fn release_adapter() -> AdapterConfig {
    AdapterConfig { rank: 32, alpha: 32.0, dropout: 0.1 }
}

impl StageRecipe {
    /// The rate of each step.
    pub fn schedule(&self) -> LearningRate {
        LearningRate {
            peak: self.learning_rate,
            warmup: self.warmup,
            decay: self.steps,
            last: self.last_rate,
        }
    }

    /// Windows of a block-causal model's clip.
    pub fn windows_of_clip(&self, window: usize) -> usize {
        self.clip.unwrap_or(USUAL_CLIP) / window
    }

    /// The same training on `devices` devices with a batch each, as the release does it: fewer steps, a shorter
    /// warm-up and a faster average by that factor, a higher learning rate.
    #[must_use]
    pub fn on_devices(&self, devices: usize) -> Self {
        let n = devices.max(1) as u64;
        let fewer = |steps: u64| if steps == 0 { 0 } else { (steps / n).max(1) };
        Self {
            steps: fewer(self.steps),
            warmup: fewer(self.warmup),
            learning_rate: self.learning_rate * n as f64,
            average_decay: self.average_decay.powf(n as f64),
            check_every: fewer(self.check_every),
            keep_every: fewer(self.keep_every),
            sample_every: fewer(self.sample_every),
            ..self.clone()
        }
    }

    /// The recipe with one number changed: `steps=500`, `spoiling.flips=0.1`.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that there is not, or a value of another kind.
    pub fn with(&self, setting: &str) -> Result<Self> {
        let fault = |what: String| {
            Error::config("--set", format!("{setting}: {what}"))
                .with_hint("expected NAME=VALUE, such as steps=500")
        };
        let (name, value) = setting.split_once('=').ok_or_else(|| fault("no value".to_owned()))?;
        let value: toml::Table =
            toml::from_str(&format!("value = {value}")).map_err(|error| fault(error.message().to_owned()))?;
        let mut all = toml::Table::try_from(self).map_err(|error| fault(error.to_string()))?;
        if !set(&mut all, name.trim(), &value["value"]) {
            return Err(fault("there is no such number".to_owned()));
        }
        let recipe: Self =
            all.try_into().map_err(|error: toml::de::Error| fault(error.message().to_owned()))?;
        recipe.validate("--set").map(|()| recipe)
    }

    /// Checks the ranges; `place` names the stage in errors.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn validate(&self, place: &str) -> Result<()> {
        let fault = |name: &str, expected: &str, got: &dyn fmt::Display| {
            Err(Error::config(format!("{place}.{name}"), format!("expected {expected}, got {got}")))
        };
        for (name, value) in
            [("steps", self.steps), ("log_every", self.log_every), ("check_every", self.check_every)]
        {
            if value == 0 {
                return fault(name, "at least 1", &value);
            }
        }
        let positive = [
            ("learning_rate", self.learning_rate),
            ("clip_norm", self.clip_norm),
            ("cue_weight", self.cue_weight),
            ("optimizer.epsilon", self.optimizer.epsilon),
        ];
        for (name, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                return fault(name, "a positive number", &value);
            }
        }
        for (part, &weight) in &self.part_weights {
            if !(weight.is_finite() && weight > 0.0) {
                return fault(&format!("part_weights.{part}"), "a positive number", &weight);
            }
        }
        let shares = [
            ("last_rate", self.last_rate),
            ("average_decay", self.average_decay),
            ("optimizer.beta1", self.optimizer.beta1),
            ("optimizer.beta2", self.optimizer.beta2),
            ("optimizer.weight_decay", self.optimizer.weight_decay),
            ("spoiling.flips", self.spoiling.flips),
            ("spoiling.style", self.spoiling.style),
            ("spoiling.previous", self.spoiling.previous),
            ("spoiling.voice", self.spoiling.voice),
            ("spoiling.paths", self.spoiling.paths),
            ("spoiling.level", self.spoiling.level),
            ("spoiling.timbre", self.spoiling.timbre),
            ("spoiling.noise", self.spoiling.noise),
            ("spoiling.own_past", self.spoiling.own_past),
            ("adapter.dropout", self.adapter.dropout),
        ];
        for (name, value) in shares {
            if !(0.0..=1.0).contains(&value) {
                return fault(name, "a number from 0 to 1", &value);
            }
        }
        if self.clip.is_some_and(|clip| !(8..=LONGEST_CLIP).contains(&clip)) {
            return fault("clip", &format!("8 to {LONGEST_CLIP} frames"), &self.clip.unwrap_or_default());
        }
        if self.batch == 0 || self.batch > 1 << 16 {
            return fault("batch", "1 to 65536", &self.batch);
        }
        if self.adapter.dropout >= 1.0 || self.spoiling.paths >= 1.0 {
            return fault("adapter.dropout, spoiling.paths", "less than 1", &1);
        }
        if self.adapter.rank > 4096 || !self.adapter.alpha.is_finite() {
            return fault("adapter", "a rank from 0 to 4096 and a finite alpha", &self.adapter.rank);
        }
        Ok(())
    }
}

/// Replaces the value of that dotted name; false if there is none.
fn set(table: &mut toml::Table, name: &str, value: &toml::Value) -> bool {
    match name.split_once('.') {
        Some((first, rest)) => table
            .get_mut(first)
            .and_then(toml::Value::as_table_mut)
            .is_some_and(|inner| set(inner, rest, value)),
        None => match table.get_mut(name) {
            None | Some(toml::Value::Table(_)) => false,
            Some(there) => {
                // A whole number will do where a fraction is expected.
                *there = match (&*there, value) {
                    (toml::Value::Float(_), toml::Value::Integer(whole)) => toml::Value::Float(*whole as f64),
                    (_, value) => value.clone(),
                };
                true
            }
        },
    }
}

/// Frames of a block-causal model's clip where the recipe does not say.
const USUAL_CLIP: usize = 150;

/// How the stages of a preset are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The motion codec.
    pub codec: StageRecipe,
    /// The motion prior.
    pub audio_free: StageRecipe,
    /// The conversational model.
    pub dual_track: StageRecipe,
    /// The speech encoder; none where it is not one's own.
    #[serde(default)]
    pub speech: Option<StageRecipe>,
}

macro_rules! presets {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../../../configs/training/", $name, ".toml")))),*]
    };
}

const PRESETS: [(&str, &str); 5] = presets!["paper", "paper_small", "live", "arkit_small", "tiny"];

impl Recipe {
    /// The recipe of a preset; the model that goes with it is [`ModelConfig::preset`] of the same name.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown name.
    pub fn preset(name: &str) -> Result<Self> {
        let Some((_, text)) = PRESETS.iter().find(|(preset, _)| *preset == name) else {
            let known = Self::preset_names().join(", ");
            return Err(Error::config("preset", format!("expected one of {known}, got {name}")));
        };
        Self::from_toml(text, &format!("training/{name}.toml"))
    }

    /// Names of the presets.
    pub fn preset_names() -> [&'static str; PRESETS.len()] {
        PRESETS.map(|(name, _)| name)
    }

    /// Reads the TOML form; `place` names it in errors.
    ///
    /// # Errors
    /// [`Error::Config`] with what is wrong and where.
    pub fn from_toml(text: &str, place: &str) -> Result<Self> {
        let recipe: Self =
            toml::from_str(text).map_err(|error| Error::config(place, toml_fault(text, &error)))?;
        for stage in recipe.stages() {
            recipe.stage(stage)?.validate(&format!("{place}: {stage}"))?;
        }
        Ok(recipe)
    }

    /// The stages that there are numbers for.
    pub fn stages(&self) -> impl Iterator<Item = Stage> {
        Stage::ALL.into_iter().filter(|&stage| self.stage(stage).is_ok())
    }

    /// One stage's recipe.
    ///
    /// # Errors
    /// [`Error::Config`] if the recipe has no such stage.
    pub fn stage(&self, stage: Stage) -> Result<&StageRecipe> {
        match stage {
            Stage::Codec => Ok(&self.codec),
            Stage::AudioFree => Ok(&self.audio_free),
            Stage::DualTrack => Ok(&self.dual_track),
            Stage::Speech => self.speech.as_ref().ok_or_else(|| {
                Error::config("recipe", "no numbers for the speech stage")
                    .with_hint("the preset live has a speech encoder of its own, which that stage trains")
            }),
        }
    }
}

/// What a stage's numbers do that is hardly meant, in a sentence; [`None`] if there is nothing to say.
///
/// A generator whose past is as long as the clips has learnt next to nothing of a whole past, which it always has when it
/// runs freely: its head goes too far.
pub fn caveat(model: &ModelConfig, recipe: &StageRecipe) -> Option<String> {
    let past = model.generator.as_ref()?.causal.as_ref()?.past;
    let window = model.codec.schedule.last().copied().filter(|&window| window > 0)?;
    let clip = recipe.windows_of_clip(window);
    (clip <= past).then(|| {
        format!(
            "clips of {clip} windows hardly show the past of {past} that the generator has when it runs: take clips of \
             {} frames (clip), or a model with a shorter past",
            2 * past * window
        )
    })
}

/// What a stage trains of a preset's model: the codec alone, the generator without its hearing, all of it, or the speech
/// encoder.
///
/// # Errors
/// [`Error::Config`] if the preset has no such part.
pub fn model_of_stage(model: &ModelConfig, stage: Stage) -> Result<ModelConfig> {
    let mut model = model.clone();
    let missing = |what: &str| {
        Err(Error::config(&model.preset, format!("the preset has no {what}, which {stage} needs")))
    };
    if stage == Stage::Speech && model.own_encoder().is_none() {
        return missing("speech encoder of its own");
    }
    match (stage, &mut model.generator) {
        (Stage::Codec | Stage::Speech, generator) => *generator = None,
        (_, None) => return missing("generator"),
        (Stage::AudioFree, Some(generator)) => generator.audio_dim = None,
        (Stage::DualTrack, Some(generator)) if generator.audio_dim.is_none() => {
            return missing("audio features (generator.audio_dim)");
        }
        (Stage::DualTrack, Some(_)) => {}
    }
    match stage {
        Stage::Codec | Stage::AudioFree => model.encoder = None,
        Stage::DualTrack if model.encoder.is_none() => return missing("speech encoder"),
        Stage::DualTrack | Stage::Speech => {}
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_have_a_model() {
        for name in Recipe::preset_names() {
            let recipe = Recipe::preset(name).unwrap();
            let model = ModelConfig::preset(name).unwrap();
            for stage in recipe.stages() {
                model_of_stage(&model, stage).unwrap();
                let recipe = recipe.stage(stage).unwrap();
                assert_eq!(
                    &toml::from_str::<StageRecipe>(&toml::to_string(recipe).unwrap()).unwrap(),
                    recipe
                );
            }
            // A speech encoder of one's own is there to be trained, and none other is.
            let is_trained = recipe.stage(Stage::Speech).is_ok();
            assert_eq!(model_of_stage(&model, Stage::Speech).is_ok(), is_trained, "{name}");
        }
        assert_eq!(Recipe::preset_names(), ModelConfig::preset_names());
    }

    #[test]
    fn devices_share_the_work_as_in_the_release() {
        let one = Recipe::preset("paper").unwrap().dual_track;
        let four = one.on_devices(4);
        assert_eq!((four.steps, four.warmup, four.batch), (100_000, 250, one.batch));
        assert!((four.learning_rate - 4e-4).abs() < 1e-12);
        assert!((four.average_decay - 0.9999_f64.powi(4)).abs() < 1e-12);
        assert_eq!(one.on_devices(1), one);
    }

    #[test]
    fn single_numbers_can_be_set() {
        let recipe = Recipe::preset("tiny").unwrap().codec;
        assert_eq!(recipe.with("steps=500").unwrap().steps, 500);
        assert_eq!(recipe.with("spoiling.flips=0.1").unwrap().spoiling.flips, 0.1);
        assert_eq!(recipe.with("clip_norm=2").unwrap().clip_norm, 2.0);
        assert_eq!(recipe.with("precision=\"bf16\"").unwrap().precision, Precision::Bf16);
        for bad in ["steps", "stepz=3", "steps=many", "steps=-1", "batch=0", "spoiling=3", "steps.x=1"] {
            let error = recipe.with(bad).unwrap_err().to_string();
            assert!(error.contains("--set"), "{bad}: {error}");
        }
    }

    #[test]
    fn impossible_values_name_the_field() {
        let text = include_str!("../../../configs/training/tiny.toml");
        for (from, to, place) in [
            ("learning_rate = ", "learning_rate = -", "learning_rate"),
            ("steps = ", "stepz = ", "stepz"),
            ("average_decay = 0", "average_decay = 7", "average_decay"),
        ] {
            assert!(text.contains(from), "{from}");
            let error = Recipe::from_toml(&text.replacen(from, to, 1), "test.toml").unwrap_err();
            assert!(error.to_string().contains(place), "{place}: {error}");
        }
        assert!(Recipe::preset("papr").unwrap_err().to_string().contains("paper_small"));
    }
}
