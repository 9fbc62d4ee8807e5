//! The paper's ablation: the variants of the recipe, trained and scored side by side.
//!
//! All variants share the codec, and those with a prior share that; each is then trained by the same numbers and scored
//! by the same [`Protocol`]. Two rows need no training of a generator: the codec's reconstruction of the truth, which
//! no generator on it can surpass, and a face that stands still in the mean pose. Everything lies in one folder and is
//! gone on with where it was stopped.
//!
//! | row | what it is | the paper's row |
//! |---|---|---|
//! | `full` | prior, then both voices through adapters | full |
//! | `mixed_audio` | prior, then one cross-attention to the sum of both voices | one cross-attention, mixed audio |
//! | `single_stage` | both voices, trained at once without the prior | without stage 1 |
//! | `audio_free` | the prior alone: hears nothing | stage 1 alone |
//! | `own_voice_only` | prior, then the own voice alone: speaks, does not listen | (DiffPoseTalk and ARTalk are of this kind) |

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde::Serialize;
use unils::file::write_whole;
use unils::generator::Hearing;
use unils::metrics::bootstrap::PairedDifference;
use unils::metrics::paper::METRICS;
use unils::metrics::report::Report;
use unils::model::{Model, ModelConfig, ModelFiles};
use unils::motion::Space;
use unils::nn::name_hash;
use unils::{Error, Result};

use crate::data::{Split, Store, View, open_store};
use crate::evaluate::{
    Baseline, CodecPredictor, MeasuredFace, ModelPredictor, Predictor, Progress, Protocol, evaluate,
};
use crate::recipe::{Recipe, Stage, model_of_stage};
use crate::run::{DataConfig, RunConfig, find_checkpoint, read_config};
use crate::trainer::{Ending, Event, Trainer, TrainerOptions};

/// A variant of the recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Prior, then both voices through adapters.
    Full,
    /// Prior, then one cross-attention to the sum of both voices.
    MixedAudio,
    /// Both voices, trained at once without the prior.
    SingleStage,
    /// The prior alone.
    AudioFree,
    /// Prior, then the own voice alone.
    OwnVoiceOnly,
}

impl Variant {
    /// All of them; what others start from comes first.
    pub const ALL: [Self; 5] =
        [Self::AudioFree, Self::Full, Self::MixedAudio, Self::SingleStage, Self::OwnVoiceOnly];

    /// The name in tables and folders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::MixedAudio => "mixed_audio",
            Self::SingleStage => "single_stage",
            Self::AudioFree => "audio_free",
            Self::OwnVoiceOnly => "own_voice_only",
        }
    }

    fn stage(self) -> Stage {
        if self == Self::AudioFree { Stage::AudioFree } else { Stage::DualTrack }
    }

    fn hearing(self) -> Hearing {
        match self {
            Self::MixedAudio => Hearing::Mixed,
            Self::OwnVoiceOnly => Hearing::Own,
            Self::Full | Self::SingleStage | Self::AudioFree => Hearing::Both,
        }
    }

    /// The run that it starts from.
    fn from(self) -> &'static str {
        match self {
            Self::AudioFree | Self::SingleStage => CODEC,
            Self::Full | Self::MixedAudio | Self::OwnVoiceOnly => Self::AudioFree.name(),
        }
    }
}

/// Folder of the codec's run, which all variants share.
const CODEC: &str = "codec";

/// What an ablation is made of.
#[derive(Debug)]
pub struct Ablation {
    /// Where runs and reports go.
    pub folder: PathBuf,
    /// The full model.
    pub model: ModelConfig,
    /// How each stage is trained.
    pub recipe: Recipe,
    /// Recordings to train and to score on.
    pub data: DataConfig,
    /// A checkpoint that holds the codec of all variants; without it one is trained.
    pub codec: Option<PathBuf>,
    /// Folder or checkpoint of the speech encoder, if it has weights.
    pub encoder: Option<PathBuf>,
    /// FLAME file for mesh terms and scores of FLAME motion.
    pub flame: Option<PathBuf>,
    /// Seed of all runs.
    pub seed: u64,
    /// Variants to train, [`Variant::ALL`] or a part of it.
    pub variants: Vec<Variant>,
    /// How they are scored.
    pub protocol: Protocol,
    /// What computes.
    pub options: TrainerOptions,
}

/// What an ablation tells of itself.
#[derive(Debug)]
pub enum Happening<'e> {
    /// A run begins or goes on: its name, steps done and in all.
    Training(&'e str, u64, u64),
    /// A run's event.
    Step(&'e str, Event<'e>),
    /// A system is being scored.
    Scoring(&'e str, Progress<'e>),
}

/// The reports of all systems, in the order of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Ablated {
    /// The variants, `full` first if it was asked for.
    pub variants: Vec<Report>,
    /// What they lie between: the codec's reconstruction of the truth, and a face that stands still in the mean pose.
    pub bounds: [Report; 2],
}

/// Another system beside the full one on a score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The other system.
    pub system: String,
    /// The score.
    pub metric: &'static str,
    /// Full minus other, over the recordings that both have: below 0, the full system is better.
    pub paired: PairedDifference,
}

impl Ablated {
    /// The full system against every other variant on the paper's scores, with bootstrap intervals over recordings.
    ///
    /// # Errors
    /// [`Error::Argument`] for bootstrap options out of range.
    pub fn differences(&self, protocol: &Protocol) -> Result<Vec<Difference>> {
        let parts = self.variants.split_first();
        let Some((full, others)) = parts.filter(|(first, _)| first.system == Variant::Full.name()) else {
            return Ok(Vec::new());
        };
        let mut differences = Vec::new();
        for other in others {
            for metric in METRICS {
                if let Some(paired) = full.compare(other, metric, &protocol.bootstrap)? {
                    differences.push(Difference { system: other.system.clone(), metric, paired });
                }
            }
        }
        Ok(differences)
    }
}

impl Ablation {
    /// Trains and scores what is not yet done. `observe` may ask to stop: everything is then kept, and the next call
    /// goes on.
    ///
    /// # Errors
    /// What training and evaluating give; [`Error::Config`] if the folder holds runs of other settings;
    /// [`Error::Interrupted`].
    pub fn run(&self, observe: &mut dyn FnMut(Happening<'_>) -> ControlFlow<()>) -> Result<Ablated> {
        let store = open_store(&self.data.path, self.data.metadata.as_deref(), View::Dyad)?;
        let face = self.face(store.as_ref())?;
        if self.codec.is_none() {
            self.train(CODEC, self.config(Stage::Codec, None)?, observe)?;
        }
        let mut trained: Vec<Variant> =
            Variant::ALL.into_iter().filter(|variant| self.needs(*variant)).collect();
        for variant in &trained {
            self.train(variant.name(), self.config(variant.stage(), Some(*variant))?, observe)?;
        }
        trained.retain(|variant| self.variants.contains(variant));
        trained.sort_by_key(|variant| *variant != Variant::Full);
        let mut variants = Vec::new();
        for variant in trained {
            let encoder = self.encoder.clone().filter(|_| variant.stage() == Stage::DualTrack);
            let files = ModelFiles {
                checkpoint: find_checkpoint(&self.at(variant.name()))?,
                encoder,
                ..ModelFiles::default()
            };
            let model = Model::open(&files, self.options.device)?;
            let mut predictor = ModelPredictor::new(&model, variant.name(), self.identity(variant.name())?);
            variants.push(self.score(
                variant.name(),
                store.as_ref(),
                &mut predictor,
                face.as_ref(),
                observe,
            )?);
        }
        let files = ModelFiles { checkpoint: self.checkpoint_of(CODEC)?, ..ModelFiles::default() };
        let identity = match &self.codec {
            Some(path) => path.display().to_string(),
            None => self.identity(CODEC)?,
        };
        let mut codec = CodecPredictor::open(&files, self.options.device, CODEC, identity)?;
        let ceiling = self.score(CODEC, store.as_ref(), &mut codec, face.as_ref(), observe)?;
        let mut still = Baseline::mean_of(store.as_ref(), Split::Train, |_, _| true)?;
        let floor = self.score("mean_motion", store.as_ref(), &mut still, face.as_ref(), observe)?;
        Ok(Ablated { variants, bounds: [ceiling, floor] })
    }

    /// Whether a variant is asked for, or another starts from it.
    fn needs(&self, variant: Variant) -> bool {
        self.variants.iter().any(|asked| *asked == variant || asked.from() == variant.name())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The checkpoint of what variants start from.
    fn checkpoint_of(&self, name: &str) -> Result<PathBuf> {
        match &self.codec {
            Some(path) if name == CODEC => find_checkpoint(path),
            _ => find_checkpoint(&self.at(name)),
        }
    }

    fn config(&self, stage: Stage, variant: Option<Variant>) -> Result<RunConfig> {
        let mut model = model_of_stage(&self.model, stage)?;
        if let (Some(generator), Some(variant)) = (&mut model.generator, variant) {
            generator.hearing = variant.hearing();
        }
        let from = variant.map(|variant| self.checkpoint_of(variant.from())).transpose()?;
        Ok(RunConfig {
            stage,
            seed: self.seed,
            single_stage: variant == Some(Variant::SingleStage),
            program: format!("unils {}", env!("CARGO_PKG_VERSION")),
            data: self.data.clone(),
            from,
            stats: None,
            encoder: self.encoder.clone().filter(|_| stage == Stage::DualTrack),
            flame: self.flame.clone(),
            model,
            recipe: self.recipe.stage(stage)?.clone(),
            devices: 1,
        })
    }

    /// Brings a run to its end.
    fn train(
        &self,
        name: &str,
        config: RunConfig,
        observe: &mut dyn FnMut(Happening<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let folder = self.at(name);
        let steps = config.recipe.steps;
        let mut trainer = if folder.join("run.toml").is_file() {
            let there = read_config(&folder)?;
            if (RunConfig { program: config.program.clone(), ..there }) != config {
                return Err(Error::config(folder.display(), "was trained with other settings")
                    .with_hint("repeat the command as it was, or name another folder"));
            }
            Trainer::resume(&folder, &self.options)?
        } else {
            Trainer::begin(&folder, config, &self.options)?
        };
        if observe(Happening::Training(name, trainer.step(), steps)).is_break() {
            return Err(Error::Interrupted);
        }
        match trainer.train(&mut |event| observe(Happening::Step(name, event)))? {
            Ending::Done => Ok(()),
            Ending::Stopped => Err(Error::Interrupted),
        }
    }

    /// A finished run's weights follow from its configuration.
    fn identity(&self, name: &str) -> Result<String> {
        let config = read_config(&self.at(name))?;
        let text = serde_json::to_string(&config).map_err(|error| Error::config(name, error))?;
        Ok(format!("{:016x}", name_hash(&text)))
    }

    fn face(&self, store: &dyn Store) -> Result<Option<MeasuredFace>> {
        match (&self.flame, store.space()) {
            (Some(flame), _) => MeasuredFace::open_flame(flame).map(Some),
            (None, Space::Arkit55) => MeasuredFace::default_head().map(Some),
            (None, Space::Flame108) => Ok(None),
        }
    }

    fn score(
        &self,
        name: &str,
        store: &dyn Store,
        predictor: &mut dyn Predictor,
        face: Option<&MeasuredFace>,
        observe: &mut dyn FnMut(Happening<'_>) -> ControlFlow<()>,
    ) -> Result<Report> {
        let reports = self.folder.join("reports");
        std::fs::create_dir_all(&reports).map_err(|error| Error::io("create", &reports, error))?;
        let kept = reports.join(format!("{name}.recordings.jsonl"));
        let evaluated = evaluate(store, predictor, face, &self.protocol, Some(&kept), &mut |progress| {
            observe(Happening::Scoring(name, progress))
        })?;
        write_whole(reports.join(format!("{name}.json")), evaluated.report.to_json()?.as_bytes())?;
        Ok(evaluated.report)
    }
}
