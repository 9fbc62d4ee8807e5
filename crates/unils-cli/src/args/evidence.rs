//! The command line of `unils evidence`.

use std::path::PathBuf;

use clap::Args;
use unils_train::data::Split;

use super::values::split;
use super::{ComputeArguments, ModelArguments};

const EVIDENCE_EXAMPLES: &str = "\
Examples:
  unils evidence --data corpus -o evidence.md -o evidence.json
      the shipped model on the test split of a corpus: lips, liveliness and answers beside the truth's
  unils evidence --data corpus --speakers espeak-ng:de
      the same between the voices that speak German
  unils evidence --talk call.wav --talk agent.wav,caller.wav -o evidence.md
      on recordings without motion: a stereo file, or a file a voice; as they are, in noise, and
      with the partner in the own microphone";

/// Arguments of `unils evidence`.
#[derive(Debug, Args)]
#[command(after_help = EVIDENCE_EXAMPLES)]
pub struct Evidence {
    /// Corpus with motion and sounds
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Recording of voices alone: a file, or two separated by a comma; may be repeated
    #[arg(long, value_name = "FILE[,FILE]", value_delimiter = ' ')]
    pub talk: Vec<String>,
    /// File to write: .md (tables) or .json; may be repeated
    #[arg(short, long = "output", alias = "out", value_name = "FILE")]
    pub outputs: Vec<PathBuf>,
    /// Which of its recordings; settings are chosen on others than those that are reported
    #[arg(long, default_value = "test", value_parser = split)]
    pub split: Split,
    /// Only conversations between speakers whose names hold one of these
    #[arg(long, value_name = "NAME[,NAME]", value_delimiter = ',')]
    pub speakers: Vec<String>,
    /// Conversations of the corpus that are measured
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub limit: usize,
    /// Decibels by which noise lies below speech in the second measurement of each recording
    #[arg(long, default_value_t = 10.0, value_name = "DB")]
    pub noise: f64,
    /// Decibels by which the partner's voice lies below the own one, in the own microphone, in the third
    #[arg(long, default_value_t = 20.0, value_name = "DB")]
    pub leak: f64,
    #[command(flatten)]
    pub model: ModelArguments,
    #[command(flatten)]
    pub compute: ComputeArguments,
}
