//! The command line of `unils train`.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use unils_train::recipe::{Recipe, Stage};

use super::ComputeArguments;

const TRAIN_EXAMPLES: &str = "\
Examples:
  unils train codec --preset tiny --data corpus --out runs/codec
  unils train audio_free --preset tiny --data corpus --from runs/codec --out runs/prior
  unils train dual_track --preset tiny --data corpus --from runs/prior --out runs/dual
      the three stages, each from the one before; runs/dual is then a model for animate and evaluate
  unils train codec --out runs/codec --resume
      goes on where a run was saved last, to the same bits as if it had not stopped
  unils train dual_track --preset paper --data seamless --encoder wav2vec2-xls-r-300m --from runs/prior \\
      --out runs/dual --device cuda --rank 0 --of 4 --meet 10.0.0.1:29500
      one of four processes, a GPU each; the others say --rank 1, 2 and 3";

/// Arguments of `unils train`.
#[derive(Debug, Args)]
#[command(after_help = TRAIN_EXAMPLES)]
pub struct Train {
    /// What to train
    #[arg(value_enum, value_name = "STAGE")]
    pub stage: StageName,
    /// Folder of the run: configuration, metrics, checkpoints, samples
    #[arg(short, long, alias = "output", value_name = "FOLDER")]
    pub out: PathBuf,
    /// Go on with the run in that folder
    #[arg(long)]
    pub resume: bool,
    /// Sizes of the model, and numbers of its training
    #[arg(long, required_unless_present = "resume", value_parser = PossibleValuesParser::new(Recipe::preset_names()))]
    pub preset: Option<String>,
    /// Recordings: the folder of a corpus, or the release's LMDB
    #[arg(long, required_unless_present = "resume", value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Metadata of the LMDB [default: those beside it]
    #[arg(long, value_name = "FILE")]
    pub metadata: Option<PathBuf>,
    /// The stage before: the folder of its run (its best checkpoint) or a checkpoint
    #[arg(long, value_name = "PATH")]
    pub from: Option<PathBuf>,
    /// Motion statistics (JSON) for the codec [default: those of the training split]
    #[arg(long, value_name = "FILE")]
    pub stats: Option<PathBuf>,
    /// The speech encoder, if it has weights: a folder in Hugging Face layout, or the run of the speech stage
    #[arg(long, value_name = "PATH")]
    pub encoder: Option<PathBuf>,
    /// FLAME model for the codec's mesh terms on FLAME motion [default: no such terms]
    #[arg(long, value_name = "FILE")]
    pub flame: Option<PathBuf>,
    /// Seed of fresh weights, the data's order and all draws [default: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Train dual_track from a codec, without the audio-free stage
    #[arg(long)]
    pub single_stage: bool,

    #[command(flatten)]
    pub files: RecipeFiles,
    /// One number of the recipe, such as steps=500 or spoiling.flips=0.1; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", help_heading = "Recipe")]
    pub settings: Vec<String>,

    /// Number of this process, from 0, if several share the training
    #[arg(long, value_name = "N", requires = "of", help_heading = "Several devices")]
    pub rank: Option<usize>,
    /// Number of all processes: steps, warm-up, rate and average are scaled as in the release
    #[arg(long, value_name = "N", requires_all = ["rank", "meet"], help_heading = "Several devices")]
    pub of: Option<usize>,
    /// Where rank 0 listens
    #[arg(long, value_name = "HOST:PORT", requires = "of", help_heading = "Several devices")]
    pub meet: Option<String>,

    /// Threads that read the data
    #[arg(long, value_name = "N", default_value_t = 2, help_heading = "Computation")]
    pub workers: usize,
    /// Memory for recordings, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, help_heading = "Computation")]
    pub cache: usize,
    #[command(flatten)]
    pub compute: ComputeArguments,
}

/// What replaces a preset's two files.
#[derive(Debug, Args)]
#[command(next_help_heading = "Recipe")]
pub struct RecipeFiles {
    /// TOML file with the recipe's numbers instead of the preset's
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// TOML file with the model's sizes instead of the preset's
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
}

/// A stage on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum StageName {
    /// The motion codec
    Codec,
    /// The motion prior: a generator without hearing
    AudioFree,
    /// The conversational model, which hears both voices
    DualTrack,
    /// The speech encoder of a preset that has one of its own
    Speech,
}

impl From<StageName> for Stage {
    fn from(name: StageName) -> Self {
        match name {
            StageName::Codec => Self::Codec,
            StageName::AudioFree => Self::AudioFree,
            StageName::DualTrack => Self::DualTrack,
            StageName::Speech => Self::Speech,
        }
    }
}
