//! The command line of `unils ablate`.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use unils_train::ablate::Variant;
use unils_train::recipe::Recipe;

use super::{ComputeArguments, RecipeFiles};

const ABLATE_EXAMPLES: &str = "\
Examples:
  unils ablate --preset tiny --data corpus --out ablation
      trains and scores all variants; ablation/table.md and table.html are the result
  unils ablate --preset arkit_small --data corpus --out ablation --only full,single_stage
      two of the variants, with what they start from
  unils ablate --preset live --data corpus --out ablation --codec live.safetensors --encoder live.safetensors
      with codec and speech encoder of a model that is there

Repeat the command to go on after an interruption.";

/// Arguments of `unils ablate`.
#[derive(Debug, Args)]
#[command(after_help = ABLATE_EXAMPLES)]
pub struct Ablate {
    /// Sizes of the model, and numbers of its training
    #[arg(long, value_parser = PossibleValuesParser::new(Recipe::preset_names()))]
    pub preset: String,
    /// Recordings: the folder of a corpus, or the release's LMDB
    #[arg(long, value_name = "PATH")]
    pub data: PathBuf,
    /// Metadata of the LMDB [default: those beside it]
    #[arg(long, value_name = "FILE")]
    pub metadata: Option<PathBuf>,
    /// Folder for all runs, reports and the table
    #[arg(short, long, alias = "output", value_name = "FOLDER")]
    pub out: PathBuf,
    /// Only these variants
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    pub only: Vec<VariantName>,
    /// Score only the first N test recordings
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Score both participants of each recording [default: the first one, as the release]
    #[arg(long)]
    pub both: bool,
    /// Checkpoint whose codec all variants share, of the preset's sizes [default: one is trained]
    #[arg(long, value_name = "FILE")]
    pub codec: Option<PathBuf>,
    /// Speech encoder, if it has weights: a folder in Hugging Face's layout, or a checkpoint that holds ours
    #[arg(long, value_name = "PATH")]
    pub encoder: Option<PathBuf>,
    /// FLAME model for mesh terms and scores on vertices of FLAME motion
    #[arg(long, value_name = "FILE")]
    pub flame: Option<PathBuf>,
    /// Seed of all runs
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub files: RecipeFiles,
    /// One number of all stages' recipes, such as steps=500, or of one, dual_track.steps=500; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", help_heading = "Recipe")]
    pub settings: Vec<String>,
    /// Threads that read the data
    #[arg(long, value_name = "N", default_value_t = 2, help_heading = "Computation")]
    pub workers: usize,
    #[command(flatten)]
    pub compute: ComputeArguments,
}

/// A variant on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum VariantName {
    /// Prior, then both voices through adapters
    Full,
    /// Prior, then one cross-attention to the sum of both voices
    MixedAudio,
    /// Both voices, trained at once without the prior
    SingleStage,
    /// The prior alone: hears nothing
    AudioFree,
    /// Prior, then the own voice alone
    OwnVoiceOnly,
}

impl From<VariantName> for Variant {
    fn from(name: VariantName) -> Self {
        match name {
            VariantName::Full => Self::Full,
            VariantName::MixedAudio => Self::MixedAudio,
            VariantName::SingleStage => Self::SingleStage,
            VariantName::AudioFree => Self::AudioFree,
            VariantName::OwnVoiceOnly => Self::OwnVoiceOnly,
        }
    }
}
