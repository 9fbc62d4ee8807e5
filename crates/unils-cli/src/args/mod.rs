//! The command line: what may be said, and the help that explains it.

mod ablate;
mod bench;
mod corpus;
mod data;
mod evaluate;
mod evidence;
mod faces;
mod serve;
mod train;
mod values;

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};
use unils::device::DeviceKind;
use unils::model::ModelConfig;

pub use self::ablate::Ablate;
pub use self::bench::{Bench, BenchCommand, BenchLive};
pub use self::corpus::{Corpus, CorpusBuild, CorpusCommand, CorpusPreview, CorpusRates};
pub use self::data::{Data, DataCheck, DataCommand, DataImport, DataStats, StoreArguments};
pub use self::evaluate::{Against, Evaluate, Predict};
pub use self::evidence::Evidence;
pub use self::faces::{FaceArguments, Fit, Plot, Render, VoiceArguments};
pub use self::serve::Serve;
pub use self::train::{RecipeFiles, Train};
use self::values::{
    channel_pair, device, direction, guidance, part, positive, repository, revision, share, softness,
    thread_count, twice,
};
use crate::exit;

/// Audio to facial motion, speaking and listening (UniLS).
#[derive(Debug, Parser)]
#[command(name = "unils", version, after_help = exit::HELP, max_term_width = 100, arg_required_else_help = true)]
pub struct Arguments {
    /// Print errors and results only, no progress and no notes.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print the result as JSON on standard output.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Turn one or two voices into facial motion
    Animate(Box<Animate>),
    /// Show motion on faces: video, pictures, 3D scenes; or write it in another format
    Render(Box<Render>),
    /// Serve live avatars: a page, a WebSocket for programs, whole files over HTTP
    Serve(Box<Serve>),
    /// Draw mouth, blinks, head and voices over time
    Plot(Plot),
    /// Fit FLAME to a head with ARKit's shapes, to convert motion both ways
    Fit(Fit),
    /// Make conversations to train on: synthesised speech, rule-made motion
    Corpus(Box<Corpus>),
    /// Import, check and measure training data
    Data(Box<Data>),
    /// Train a stage of a model on recordings
    Train(Box<Train>),
    /// Score a model, its codec or a baseline on whole recordings
    Evaluate(Box<Evaluate>),
    /// Measure what the paper does not: lips, liveliness and answers, on a corpus and on real voices
    Evidence(Box<Evidence>),
    /// Train and score the variants of the recipe, side by side
    Ablate(Box<Ablate>),
    /// Show what an audio, motion, checkpoint or configuration file holds
    Inspect(Inspect),
    /// Convert a PyTorch checkpoint to safetensors and TOML
    Convert(Convert),
    /// Download the released weights and the speech encoder
    Fetch(Fetch),
    /// Measure the speed of a model with random weights on this machine
    Bench(Bench),
    /// Show device, threads, memory and model files, and what is missing
    Doctor(Doctor),
    /// Print a completion script for a shell
    Completions(Completions),
}

const ANIMATE_EXAMPLES: &str = "\
Examples:
  unils animate talk.wav -o talk.npz
      a stereo file: a speaker a channel; a mono file: the partner is silent
  unils animate alice.m4a bob.mp3 -o talk.mp4 -o talk.npz
      a file a speaker; a video of two faces and its motion from one run
  unils animate talk.wav -o talk.npz --checkpoint released
      the released weights, as `unils fetch` got them
  unils animate talk.wav -o talk.npz --checkpoint unils.pt --encoder wav2vec2-xls-r-300m
      model files from elsewhere
  unils animate talk.wav -o talk.mp4 --liveliness 1.3 --gaze -20,0
      livelier people, who look to their right
  unils animate meeting.wav --channels 2,5 -o talk.json --seed 7 --style happy.npz
      two channels of eight as the two voices, in the manner of a clip";

/// Arguments of `unils animate`.
#[derive(Debug, Args)]
#[command(after_help = ANIMATE_EXAMPLES)]
pub struct Animate {
    /// One audio file, or one per speaker (WAV, FLAC, MP3, OGG, Opus, M4A/AAC)
    #[arg(required = true, num_args = 1..=2, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// File to write: .mp4, .gif, .png, .glb (faces), .npz, .npy, .csv, .json (numbers), .livelink.csv; may be
    /// repeated
    #[arg(short, long = "output", alias = "out", required = true, value_name = "FILE")]
    pub outputs: Vec<PathBuf>,
    #[command(flatten)]
    pub faces: FaceArguments,
    #[command(flatten)]
    pub model: ModelArguments,
    #[command(flatten)]
    pub sampling: SamplingArguments,
    #[command(flatten)]
    pub shape: ShapeArguments,
    /// Motion clip whose manner is taken on, at least a window long
    #[arg(long, value_name = "FILE", help_heading = "Motion")]
    pub style: Option<PathBuf>,
    /// Motion that comes right before the start
    #[arg(long, value_name = "FILE", help_heading = "Motion")]
    pub previous: Option<PathBuf>,
    /// Smooth the motion with the release's filter (the default for models of long windows)
    #[arg(long, overrides_with = "no_smooth", help_heading = "Motion")]
    pub smooth: bool,
    /// Leave the motion as generated
    #[arg(long, overrides_with = "smooth", help_heading = "Motion")]
    pub no_smooth: bool,
    /// Channels that are the voices, from 0: of one file, or one of each file
    #[arg(long, value_name = "A,B", value_parser = channel_pair, help_heading = "Voices")]
    pub channels: Option<[usize; 2]>,
    /// Mix all channels of the one file to a single voice
    #[arg(long, conflicts_with = "channels", help_heading = "Voices")]
    pub mix: bool,
    /// People to animate [default: as many as there are voices]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=2), help_heading = "Voices")]
    pub participants: Option<u8>,
    #[command(flatten)]
    pub compute: ComputeArguments,
}

/// Where the model comes from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArguments {
    /// Generator: a released .pt, our .safetensors, a training's folder, or `released` for what `unils fetch` got
    /// [default: the model that ships]
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Speech encoder: a folder in Hugging Face layout, or a run of the speech stage [default: the model's own, or from the cache]
    #[arg(long, value_name = "FOLDER")]
    pub encoder: Option<PathBuf>,
    /// Motion statistics (JSON) that replace the checkpoint's own
    #[arg(long, value_name = "FILE")]
    pub stats: Option<PathBuf>,
    /// Sizes to use instead of the checkpoint's description
    #[arg(long, value_parser = PossibleValuesParser::new(ModelConfig::preset_names()))]
    pub preset: Option<String>,
}

/// How bits are drawn.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArguments {
    /// Classifier-free guidance, 0 to 100; 1 or less turns it off [default: the model's]
    #[arg(long, value_name = "X", value_parser = guidance)]
    pub cfg: Option<f32>,
    /// Times the guidance above 1 for the mouth, for models that code it apart, 0 to 100 [default: the model's]
    #[arg(long, value_name = "X", value_parser = guidance)]
    pub mouth_guidance: Option<f32>,
    /// Above 1 livelier, below 1 calmer [default: the model's, usually 1]
    #[arg(long, value_name = "X", value_parser = positive, conflicts_with = "greedy")]
    pub temperature: Option<f32>,
    /// Times the temperature for a mouth that speaks, for models that code it apart [default: the model's]
    #[arg(long, value_name = "X", value_parser = positive, conflicts_with = "greedy")]
    pub mouth_temperature: Option<f32>,
    /// Shows the mouth by what its bits are expected to be at this times the temperature; 0 = by the bits drawn
    /// [default: the model's]
    #[arg(long, value_name = "X", value_parser = softness)]
    pub mouth_softness: Option<f32>,
    /// Drops the less likely value of a bit at 1 - X or less; 0 to 1 [default: the model's]
    #[arg(long, value_name = "X", value_parser = share, conflicts_with = "greedy")]
    pub top_p: Option<f64>,
    /// Always take the likelier value instead of drawing
    #[arg(long)]
    pub greedy: bool,
    /// Same seed, same device: same motion, to the last bit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

/// How frames are shaped after the model.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Motion")]
pub struct ShapeArguments {
    /// Scales head, gaze, brows and all that is not speech, 0 to 2; lips and blinks stay [default: 1]
    #[arg(long, value_name = "X", value_parser = twice)]
    pub liveliness: Option<f32>,
    /// Scales the face's shapes, 0 to 2; head, gaze and blinks stay [default: 1]
    #[arg(long, value_name = "X", value_parser = twice)]
    pub expression: Option<f32>,
    /// How much of the mouth's opening is taken away in silence, 0 to 1 [default: 0]
    #[arg(long, value_name = "X", value_parser = part)]
    pub mouth_gate: Option<f32>,
    /// Where the partner is, degrees to the person's left (-45 to 45) and up (-30 to 30) [default: 0,0]
    #[arg(long, value_name = "LEFT,UP", value_parser = direction, allow_hyphen_values = true)]
    pub gaze: Option<[f32; 2]>,
}

/// What computes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Computation")]
pub struct ComputeArguments {
    /// cpu, cuda, cuda:1, vulkan or metal; others than cpu as this program was built
    #[arg(long, default_value = "cpu", value_parser = device)]
    pub device: DeviceKind,
    /// Threads on the CPU [default: one per core]
    #[arg(long, value_name = "N", value_parser = thread_count)]
    pub threads: Option<usize>,
}

const INSPECT_EXAMPLES: &str = "\
Examples:
  unils inspect talk.wav
  unils inspect talk.npz --json
  unils inspect unils.pt --tensors
  unils inspect wav2vec2-xls-r-300m";

/// Arguments of `unils inspect`.
#[derive(Debug, Args)]
#[command(after_help = INSPECT_EXAMPLES)]
pub struct Inspect {
    /// Audio, motion, checkpoint, configuration, or a Hugging Face folder
    pub file: PathBuf,
    /// Of a checkpoint: list every tensor
    #[arg(long)]
    pub tensors: bool,
}

const CONVERT_EXAMPLES: &str = "\
Examples:
  unils convert unils.pt unils.safetensors
      writes unils.safetensors and unils.toml
  unils convert unils.pt unils.safetensors --half
      half the size, about three digits
  unils convert runs/a/last.safetensors mixed.safetensors --blend runs/b/last.safetensors --share 0.35
      weights between those of two trainings that began as one";

/// Arguments of `unils convert`.
#[derive(Debug, Args)]
#[command(after_help = CONVERT_EXAMPLES)]
pub struct Convert {
    /// Checkpoint to read: codec, audio-free or dual-track
    pub source: PathBuf,
    /// File to write, ending in .safetensors; its sizes go to a .toml beside it
    pub target: PathBuf,
    /// Store the matrices in half precision
    #[arg(long)]
    pub half: bool,
    /// Sizes to use instead of the checkpoint's description
    #[arg(long, value_parser = PossibleValuesParser::new(ModelConfig::preset_names()))]
    pub preset: Option<String>,
    /// Another checkpoint of the same model, whose weights are mixed in
    #[arg(long, value_name = "FILE")]
    pub blend: Option<PathBuf>,
    /// How much of that one, 0 to 1
    #[arg(long, value_name = "X", default_value_t = 0.5, requires = "blend")]
    pub share: f64,
}

const FETCH_EXAMPLES: &str = "\
Examples:
  unils fetch --accept-license CC-BY-NC-4.0
      the released weights and the speech encoder that they listen through
  unils fetch encoder
      the speech encoder alone (Apache-2.0)
  unils fetch weights --list
      the files of the release, without downloading
  unils fetch weights --file some/name.pt --accept-license CC-BY-NC-4.0
      one file of the release by its name

Environment:
  UNILS_CACHE   folder for model files (see `unils doctor`)
  HF_TOKEN      access token, sent to the hub only
  HF_ENDPOINT   the hub's address, for mirrors
  HTTPS_PROXY, ALL_PROXY, NO_PROXY   as usual

A download that was cut goes on where it stopped when the command is repeated.";

/// Arguments of `unils fetch`.
#[derive(Debug, Args)]
#[command(after_help = FETCH_EXAMPLES)]
pub struct Fetch {
    /// What to download [default: weights encoder]
    #[arg(value_enum, value_name = "WHAT")]
    pub what: Vec<FetchItem>,
    /// Accept the licence of the released weights by its name
    #[arg(long, value_name = "LICENCE")]
    pub accept_license: Option<String>,
    /// List the repositories' files instead of downloading
    #[arg(long)]
    pub list: bool,
    /// Checkpoint file in the weights' repository [default: the only generator]
    #[arg(long, value_name = "NAME")]
    pub file: Option<String>,
    /// Repository of the weights
    #[arg(long, value_name = "OWNER/NAME", default_value = crate::cache::RELEASE, value_parser = repository)]
    pub weights_repository: String,
    /// Repository of the speech encoder
    #[arg(long, value_name = "OWNER/NAME", default_value = crate::cache::WAV2VEC2, value_parser = repository)]
    pub encoder_repository: String,
    /// Branch, tag or commit
    #[arg(long, default_value = "main", value_parser = revision)]
    pub revision: String,
    /// Attempts after a failed one, for each file
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub retries: u8,
}

/// What `unils fetch` can download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum FetchItem {
    /// The released UniLS weights
    Weights,
    /// The speech encoder of the released weights (wav2vec2 XLS-R 300m)
    Encoder,
    /// The alternative speech encoder (Mimi)
    Mimi,
}

/// Arguments of `unils doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  unils doctor --json")]
pub struct Doctor {
    /// Device to look at
    #[arg(long, default_value = "cpu", value_parser = device)]
    pub device: DeviceKind,
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  unils completions bash > ~/.local/share/bash-completion/completions/unils
  unils completions zsh > ~/.zfunc/_unils
  unils completions fish > ~/.config/fish/completions/unils.fish";

/// Arguments of `unils completions`.
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for bad in [
            "animate a.wav",
            "animate -o a.npz",
            "animate a b c -o a.npz",
            "animate a.wav -o a.npz --cfg 101",
            "animate a.wav -o a.npz --cfg nan",
            "animate a.wav -o a.npz --temperature 0",
            "animate a.wav -o a.npz --top-p 0",
            "animate a.wav -o a.npz --top-p 1.01",
            "animate a.wav -o a.npz --greedy --top-p 0.9",
            "animate a.wav -o a.npz --threads 0",
            "animate a.wav -o a.npz --channels 1",
            "animate a.wav -o a.npz --channels 0,1 --mix",
            "animate a.wav -o a.npz --participants 3",
            "animate a.wav -o a.npz --preset papr",
            "animate a.wav -o a.npz --device tpu",
            "animate a.wav -o a.mp4 --size 0",
            "animate a.wav -o a.mp4 --size 64x",
            "animate a.wav -o a.mp4 --background 12345",
            "animate a.wav -o a.mp4 --quantizer 52",
            "animate a.wav -o a.mp4 --spread 1.5",
            "render a.npz",
            "render a.npz -o a.mp4 --fps 0",
            "render a.npz -o a.mp4 --channels 0,1",
            "render a.npz -o a.mp4 --audio a b c",
            "fit flame.pkl -o a.safetensors",
            "data",
            "data import -o c",
            "data import d",
            "data import d -o c --manifest m.csv",
            "data import d -o c --dyads --motion",
            "data import d -o c --split-by all",
            "data import d -o c --split-by 0.6,0.6",
            "data import d -o c --split-by 0.1",
            "data import d -o c --space flame",
            "data import d -o c --tolerance -1",
            "data check",
            "data check d --clip 0",
            "data stats d",
            "data stats d -o s.json --split all",
            "data stats d -o s.json --floor nan",
            "corpus",
            "corpus build",
            "corpus build -o c --hours 0",
            "corpus build -o c --hours nan",
            "corpus preview c",
            "corpus preview c -o p --count 0",
            "corpus preview c -o p --size 10",
            "corpus rates c --limit 0",
            "evaluate a.safetensors",
            "evaluate a.safetensors --data d --split all",
            "evaluate a.safetensors --data d --limit 0",
            "evaluate a.safetensors --data d --predict mine",
            "evaluate a.safetensors --data d --own-voice-only --shuffle-partner",
            "evaluate a.safetensors --data d --flame a.pkl --head a.glb",
            "bench --threads 1,0",
            "bench --seconds 0",
            "fetch --weights-repository ../x",
            "fetch --revision ../main",
            "fetch everything",
            "completions cmd",
        ] {
            let words = std::iter::once("unils").chain(bad.split(' '));
            assert!(Arguments::try_parse_from(words).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_later_of_smooth_and_no_smooth_counts() {
        for (line, is_off) in [
            ("unils animate a.wav -o a.npz", false),
            ("unils animate a.wav -o a.npz --no-smooth", true),
            ("unils animate a.wav -o a.npz --no-smooth --smooth", false),
        ] {
            match Arguments::try_parse_from(line.split(' ')).unwrap().command {
                Command::Animate(animate) => assert_eq!(animate.no_smooth, is_off, "{line}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
