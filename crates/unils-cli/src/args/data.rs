//! The command line of `unils data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use unils::motion::Space;
use unils_train::data::{Split, SplitRule};

use super::values::{number, thread_count};

/// Arguments of `unils data`.
#[derive(Debug, Args)]
pub struct Data {
    #[command(subcommand)]
    pub command: DataCommand,
}

/// What to do with training data.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Fill a corpus from the release's LMDB, or from a folder of audio and motion files
    Import(DataImport),
    /// Look through recordings for what would stop or spoil a training
    Check(DataCheck),
    /// Write the statistics of the motion: mean and deviation of each channel
    Stats(DataStats),
}

const IMPORT_EXAMPLES: &str = "\
Examples:
  unils data import seamless/lmdb -o corpus
      the dyads of the release's LMDB, by the metadata file beside it
  unils data import seamless/lmdb --motion --metadata talk_motion.json -o corpus
      its recordings of one person
  unils data import takes -o corpus --split-by 0.05,0.05
      audio and Live Link Face tables (or npz) of the same names: takes/hello.wav, takes/hello.csv
  unils data import --manifest takes.csv -o corpus
      a table says what belongs together: recording,split,speaker,audio,channel,motion

Files NAME__A and NAME__B are the two people of a dyad; first folders named train, val and test are the splits.
An import that was stopped goes on when the command is repeated: recordings that the corpus has are left as they are.";

/// Arguments of `unils data import`.
#[derive(Debug, Args)]
#[command(after_help = IMPORT_EXAMPLES)]
pub struct DataImport {
    /// LMDB (folder or data.mdb), another corpus, or a folder of audio and motion files
    #[arg(required_unless_present = "manifest", value_name = "SOURCE")]
    pub source: Option<PathBuf>,
    /// Folder of the corpus: made if it is not there, gone on with if it is
    #[arg(short, long, alias = "out", value_name = "FOLDER")]
    pub output: PathBuf,
    /// Bits a sample of the audio: 24 where 16 would lose something [default: always 16]
    #[arg(long)]
    pub exact_audio: bool,
    /// Threads that read and write [default: one per core]
    #[arg(long, value_name = "N", value_parser = thread_count)]
    pub threads: Option<usize>,

    /// Metadata of the LMDB [default: the one beside it]
    #[arg(long, value_name = "FILE", help_heading = "LMDB")]
    pub metadata: Option<PathBuf>,
    /// Recordings of two people (the default)
    #[arg(long, conflicts_with = "motion", help_heading = "LMDB")]
    pub dyads: bool,
    /// Recordings of one person
    #[arg(long, help_heading = "LMDB")]
    pub motion: bool,

    /// Table that says which files belong together, in place of their names
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["source", "metadata", "dyads", "motion"],
        help_heading = "Folder of files"
    )]
    pub manifest: Option<PathBuf>,
    /// Split of what no folder or table says: train, val or test, or VAL,TEST: their shares, by speaker
    #[arg(
        long,
        value_name = "RULE",
        default_value = "train",
        value_parser = split_rule,
        help_heading = "Folder of files"
    )]
    pub split_by: SplitRule,
    /// Motion space of the files: arkit55 or flame108
    #[arg(
        long,
        value_name = "SPACE",
        default_value = "arkit55",
        value_parser = space,
        help_heading = "Folder of files"
    )]
    pub space: Space,
    /// Import motion without audio too
    #[arg(long, help_heading = "Folder of files")]
    pub without_audio: bool,
    /// Seconds by which motion and audio may differ
    #[arg(
        long,
        value_name = "S",
        default_value_t = 0.5,
        value_parser = tolerance,
        help_heading = "Folder of files"
    )]
    pub tolerance: f64,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  unils data check corpus
  unils data check seamless/lmdb --motion --json > check.json

Errors stop a training or make its result worthless (unreadable, NaN, too few frames, one speaker in two splits): with
any of them the exit code is 1. Warnings are worth a look (silence, clipping, standing motion, duplicates, lengths that
differ).";

/// Arguments of `unils data check`.
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct DataCheck {
    #[command(flatten)]
    pub store: StoreArguments,
    /// Leave the audio alone: faster
    #[arg(long)]
    pub no_audio: bool,
    /// Frames of a training clip: shorter recordings are counted as too short
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub clip: u32,
    /// Threads that read [default: one per core]
    #[arg(long, value_name = "N", value_parser = thread_count)]
    pub threads: Option<usize>,
}

const STATS_EXAMPLES: &str = "\
Examples:
  unils data stats corpus -o stats.json
  unils animate talk.wav --checkpoint unils.safetensors --stats stats.json -o talk.npz";

/// Arguments of `unils data stats`.
#[derive(Debug, Args)]
#[command(after_help = STATS_EXAMPLES)]
pub struct DataStats {
    #[command(flatten)]
    pub store: StoreArguments,
    /// File to write, in the release's form (JSON)
    #[arg(short, long, alias = "out", value_name = "FILE")]
    pub output: PathBuf,
    /// Split that is measured
    #[arg(long, default_value = "train", value_parser = split)]
    pub split: Split,
    /// Least deviation: raises that of channels that hardly move
    #[arg(long, value_name = "X", value_parser = floor)]
    pub floor: Option<f32>,
}

/// Data to read.
#[derive(Debug, Args)]
pub struct StoreArguments {
    /// Folder of a corpus, or the release's LMDB
    #[arg(value_name = "DATA")]
    pub data: PathBuf,
    /// Metadata of the LMDB [default: the one beside it]
    #[arg(long, value_name = "FILE")]
    pub metadata: Option<PathBuf>,
    /// Of an LMDB: recordings of two people (the default)
    #[arg(long, conflicts_with = "motion")]
    pub dyads: bool,
    /// Of an LMDB: recordings of one person
    #[arg(long)]
    pub motion: bool,
}

fn split(text: &str) -> Result<Split, String> {
    text.parse().map_err(|_| "expected train, val or test".to_owned())
}

fn split_rule(text: &str) -> Result<SplitRule, String> {
    if let Ok(split) = split(text) {
        return Ok(SplitRule::All(split));
    }
    let part = |text: &str| number(text.trim(), "", |x| (0.0..=1.0).contains(&x)).ok();
    let parts = text.split_once(',').and_then(|(val, test)| Some((part(val)?, part(test)?)));
    match parts {
        Some((val, test)) if val + test <= 1.0 => Ok(SplitRule::Hash { val, test }),
        _ => Err("expected train, val, test, or two shares of 1 like 0.05,0.05".to_owned()),
    }
}

fn space(text: &str) -> Result<Space, String> {
    text.parse().map_err(|error: unils::Error| error.to_string())
}

fn tolerance(text: &str) -> Result<f64, String> {
    number(text, "seconds from 0 to 60", |x| (0.0..=60.0).contains(&x))
}

fn floor(text: &str) -> Result<f32, String> {
    number(text, "a number from 0 to 1000", |x| (0.0..=1000.0).contains(&x)).map(|x| x as f32)
}
