//! The command line of `unils corpus`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::{number, thread_count};

/// Arguments of `unils corpus`.
#[derive(Debug, Args)]
pub struct Corpus {
    #[command(subcommand)]
    pub command: CorpusCommand,
}

/// What to do with made conversations.
#[derive(Debug, Subcommand)]
pub enum CorpusCommand {
    /// Make conversations: synthesised speech, rule-made motion
    Build(CorpusBuild),
    /// Show some of them on our heads: a video and a sheet of frames each
    Preview(CorpusPreview),
    /// Measure them with the metrics that models are measured with
    Rates(CorpusRates),
    /// Speak with espeak-ng for `build`: requests on standard input, speech on standard output
    #[command(hide = true)]
    Speak,
}

const BUILD_EXAMPLES: &str = "\
Examples:
  unils corpus build --hours 10 -o conversations
  unils corpus build --hours 20 -o conversations
      goes on: recordings that are there are left as they are

Speech comes from the synthesisers that are installed:
  apt-get install espeak-ng flite festival festvox-kallpc16k festvox-kdlpc16k
docs/corpus.md says what is made, after which literature, and under which licences the voices are.";

/// Arguments of `unils corpus build`.
#[derive(Debug, Args)]
#[command(after_help = BUILD_EXAMPLES)]
pub struct CorpusBuild {
    /// Folder of the corpus: made if it is not there, gone on with if it is
    #[arg(short, long, alias = "out", value_name = "FOLDER")]
    pub output: PathBuf,
    /// Length of the whole, about
    #[arg(long, value_name = "H", default_value_t = 10.0, value_parser = hours)]
    pub hours: f64,
    /// Same seed, same synthesisers: same corpus
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = thread_count)]
    pub threads: Option<usize>,
}

/// Arguments of `unils corpus preview`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  unils corpus preview conversations -o preview --count 3")]
pub struct CorpusPreview {
    /// Folder of the corpus
    pub corpus: PathBuf,
    /// Folder to write NAME.mp4 and NAME.png to
    #[arg(short, long, alias = "out", value_name = "FOLDER")]
    pub output: PathBuf,
    /// Recordings to show, from the first on
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub count: u16,
    /// Recordings to show, by their names
    #[arg(long = "name", value_name = "NAME", conflicts_with = "count")]
    pub names: Vec<String>,
    /// Seconds of each video
    #[arg(long, value_name = "S", default_value_t = 30.0, value_parser = seconds)]
    pub seconds: f64,
    /// Pixels of each face in the video, even
    #[arg(long, value_name = "N", default_value_t = 384, value_parser = clap::value_parser!(u16).range(64..=2048))]
    pub size: u16,
}

/// Arguments of `unils corpus rates`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  unils corpus rates conversations --limit 100")]
pub struct CorpusRates {
    /// Folder of the corpus
    pub corpus: PathBuf,
    /// Conversations to measure at most
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

fn hours(text: &str) -> Result<f64, String> {
    number(text, "hours from 0.001 to 10000", |x| (0.001..=10_000.0).contains(&x))
}

fn seconds(text: &str) -> Result<f64, String> {
    number(text, "seconds from 1 to 3600", |x| (1.0..=3600.0).contains(&x))
}
