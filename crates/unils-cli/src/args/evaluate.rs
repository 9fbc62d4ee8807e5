//! The command line of `unils evaluate`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use unils::model::ModelConfig;
use unils_train::data::Split;

use super::values::split;
use super::{ComputeArguments, SamplingArguments};

const EVALUATE_EXAMPLES: &str = "\
Examples:
  unils evaluate runs/dual --data corpus -o report.md
      the best checkpoint of a training on the test recordings of a corpus
  unils evaluate unils.pt --data seamless --flame generic_model.pkl --against paper -o release.json
      the released weights by the release's protocol, beside the paper's numbers
  unils evaluate --predict mean --data corpus -o mean.json
      what a motionless face scores on the same recordings
  unils evaluate runs/dual --data corpus --against before.json
      beside an earlier evaluation: differences on the same recordings, with their intervals
  unils evaluate runs/dual --data corpus --shuffle-partner -o stranger.json
      the same model with another recording's partner in its ear

An evaluation that was stopped goes on where it was when the command is repeated: results of single recordings are kept
beside the first output.";

/// Arguments of `unils evaluate`.
#[derive(Debug, Args)]
#[command(after_help = EVALUATE_EXAMPLES, mut_arg("seed", |seed| seed.default_value("42")))]
pub struct Evaluate {
    /// Checkpoint, or the folder of a training (its best checkpoint); for --predict model and codec
    #[arg(value_name = "MODEL")]
    pub model: Option<PathBuf>,
    /// Recordings: the folder of a corpus, or the release's LMDB
    #[arg(long, required = true, value_name = "PATH")]
    pub data: PathBuf,
    /// Metadata of the LMDB [default: those beside it]
    #[arg(long, value_name = "FILE")]
    pub metadata: Option<PathBuf>,
    /// File to write: .json (all scores) or .md (tables); may be repeated
    #[arg(short, long = "output", alias = "out", value_name = "FILE")]
    pub outputs: Vec<PathBuf>,
    /// Print beside ours the numbers of the paper (the word paper), or of another evaluation: its .json
    #[arg(long, value_name = "paper|FILE")]
    pub against: Option<Against>,

    /// Which recordings
    #[arg(long, default_value = "test", value_parser = split, help_heading = "Protocol")]
    pub split: Split,
    /// Only the first N recordings
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Protocol")]
    pub limit: Option<u64>,
    /// What is scored
    #[arg(long, value_enum, default_value_t = Predict::Model, help_heading = "Protocol")]
    pub predict: Predict,
    /// Score all participants; a recording's value is the mean of theirs [default: the first one]
    #[arg(long, help_heading = "Protocol")]
    pub both: bool,
    /// The model hears silence instead of the partner
    #[arg(long, conflicts_with = "shuffle_partner", help_heading = "Protocol")]
    pub own_voice_only: bool,
    /// The model hears the partner of another recording
    #[arg(long, help_heading = "Protocol")]
    pub shuffle_partner: bool,
    /// Show no style clip [default: the one from the recording's middle]
    #[arg(long, help_heading = "Protocol")]
    pub no_style: bool,
    /// Show the middle clip as previous motion, its head rotation at a tenth [default: zero motion]
    #[arg(long, help_heading = "Protocol")]
    pub previous_clip: bool,
    /// Smooth predictions with the release's filter before they are scored
    #[arg(long, help_heading = "Protocol")]
    pub smooth: bool,

    /// FLAME model that vertices are measured on, for FLAME motion (.pkl, .pt, .npz)
    #[arg(long, value_name = "FILE", conflicts_with = "head", help_heading = "Face")]
    pub flame: Option<PathBuf>,
    /// Head with ARKit's shapes and labelled regions, for ARKit motion [default: our own]
    #[arg(long, value_name = "FILE", help_heading = "Face")]
    pub head: Option<PathBuf>,

    /// Speech encoder: a folder in Hugging Face layout, or a run of the speech stage [default: the model's own, or from the cache]
    #[arg(long, value_name = "FOLDER", help_heading = "Model")]
    pub encoder: Option<PathBuf>,
    /// Motion statistics (JSON) that replace the checkpoint's own
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub stats: Option<PathBuf>,
    /// Sizes to use instead of the checkpoint's description
    #[arg(long, value_parser = PossibleValuesParser::new(ModelConfig::preset_names()), help_heading = "Model")]
    pub preset: Option<String>,
    #[command(flatten)]
    pub sampling: SamplingArguments,
    #[command(flatten)]
    pub compute: ComputeArguments,
}

/// What `unils evaluate` scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Predict {
    /// The model's motion
    Model,
    /// The true motion through the model's codec and back
    Codec,
    /// The mean pose of the training recordings
    Mean,
    /// The mean pose of the person's own style clip
    Rest,
    /// Another recording's motion
    Other,
    /// The true motion itself
    Truth,
}

/// What scores are set beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Against {
    /// The numbers of the UniLS paper
    Paper,
    /// Those of another evaluation
    Report(PathBuf),
}

impl From<OsString> for Against {
    fn from(text: OsString) -> Self {
        if text == "paper" { Self::Paper } else { Self::Report(text.into()) }
    }
}
