//! Arguments of `unils bench`.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use unils::device::DeviceKind;
use unils::model::ModelConfig;

use super::ComputeArguments;
use super::values::{device, guidance, number, thread_count};

const BENCH_EXAMPLES: &str = "\
Examples:
  unils bench
      the paper's sizes, 20 s of two voices, on all cores
  unils bench --threads 1,2 --json > speed.json
  unils bench live
      latency, sessions and memory of the server, with clients on this machine";

/// Arguments of `unils bench`.
#[derive(Debug, Args)]
#[command(after_help = BENCH_EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Bench {
    #[command(subcommand)]
    pub what: Option<BenchCommand>,
    /// Sizes of the model
    #[arg(long, default_value = "paper", value_parser = PossibleValuesParser::new(ModelConfig::preset_names()))]
    pub preset: String,
    /// Length of the conversation
    #[arg(long, value_name = "S", default_value_t = 20.0, value_parser = bench_seconds)]
    pub seconds: f64,
    /// Measured runs, after one to warm up
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub repeat: u16,
    /// Participants to animate
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub participants: u8,
    /// Classifier-free guidance; 1 or less needs one branch instead of two
    #[arg(long, value_name = "X", default_value_t = 1.5, value_parser = guidance)]
    pub cfg: f32,
    /// cpu, cuda, cuda:1, vulkan or metal; others than cpu as this program was built
    #[arg(long, default_value = "cpu", value_parser = device)]
    pub device: DeviceKind,
    /// Threads on the CPU; several counts are measured one after the other
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = thread_count)]
    pub threads: Vec<usize>,
}

/// What else `unils bench` measures.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Measure the server with live clients on this machine
    Live(BenchLive),
}

/// Arguments of `unils bench live`.
#[derive(Debug, Args)]
pub struct BenchLive {
    /// Sizes of the model, with random weights
    #[arg(long, default_value = "live", value_parser = PossibleValuesParser::new(ModelConfig::preset_names()))]
    pub preset: String,
    /// Numbers of live sessions, measured one after the other
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1,8,32", value_parser = session_count)]
    pub sessions: Vec<usize>,
    /// Seconds of each measurement
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..=3600))]
    pub seconds: u16,
    #[command(flatten)]
    pub compute: ComputeArguments,
}

fn bench_seconds(text: &str) -> Result<f64, String> {
    number(text, "seconds from 0.04 to 3600", |x| (0.04..=3600.0).contains(&x))
}

fn session_count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=1000).contains(count));
    count.ok_or_else(|| "expected a number from 1 to 1000".to_owned())
}
