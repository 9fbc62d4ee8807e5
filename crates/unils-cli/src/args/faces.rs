//! The command line of what shows motion: faces, plots, fits.

use std::path::PathBuf;

use clap::Args;
use unils::audio::ConversationOptions;
use unils_render::raster::Background;

use super::values::{channel_pair, number};

/// The recordings that motion was made from.
#[derive(Debug, Args)]
pub struct VoiceArguments {
    /// Voices: one file, or one per speaker
    #[arg(long, num_args = 1..=2, value_name = "AUDIO")]
    pub audio: Vec<PathBuf>,
    /// Channels that are the voices, from 0, as of `unils animate`
    #[arg(long, value_name = "A,B", value_parser = channel_pair, requires = "audio")]
    pub channels: Option<[usize; 2]>,
}

impl VoiceArguments {
    /// How the recordings are read.
    pub fn options(&self) -> ConversationOptions {
        ConversationOptions { channels: self.channels, ..ConversationOptions::default() }
    }
}

/// Whose faces are shown, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Faces")]
pub struct FaceArguments {
    /// a or b (our head in its two looks), a head with ARKit's shapes (.glb, .gltf, .npz), or FLAME (.pkl, .pt,
    /// .npz); once for each participant [default: a b]
    #[arg(long = "face", value_name = "FACE")]
    pub faces: Vec<String>,
    /// Fit between FLAME and ARKit, from `unils fit`
    #[arg(long, value_name = "FILE")]
    pub transfer: Option<PathBuf>,
    /// Pixels of each face: a number for a square, or WIDTHxHEIGHT; even for video
    #[arg(long, value_name = "SIZE", default_value = "512", value_parser = picture_size)]
    pub size: [usize; 2],
    /// studio, transparent (.png, .gif), or a colour like 2a3340
    #[arg(long, value_name = "COLOUR", default_value = "studio", value_parser = background)]
    pub background: Background,
    /// Video quality as H.264's quantiser, 12 to 51: 18 looks like the original, 6 more halve the size
    #[arg(long, value_name = "N", default_value_t = 22, value_parser = clap::value_parser!(u8).range(12..=51))]
    pub quantizer: u8,
    /// Voices of a video: 0 in the middle, 1 left and right
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = spread)]
    pub spread: f32,
}

const RENDER_EXAMPLES: &str = "\
Examples:
  unils render talk.npz -o talk.mp4 --audio talk.wav
      both participants side by side, with their voices
  unils render talk.npz -o anna.glb --participant 0 --face my_head.glb
      one participant on a head of your own, for Blender or a browser
  unils render talk.npz -o talk.livelink.csv
      for Unreal's Live Link Face, a file a participant
  unils render flame.npz -o talk.mp4 --face generic_model.pkl --face b --transfer flame_arkit.safetensors";

/// Arguments of `unils render`.
#[derive(Debug, Args)]
#[command(after_help = RENDER_EXAMPLES)]
pub struct Render {
    /// Motion file: .npz, .npy, .csv, .json, or a table of Live Link Face
    pub motion: PathBuf,
    /// File to write, as of `unils animate`; may be repeated
    #[arg(short, long = "output", alias = "out", required = true, value_name = "FILE")]
    pub outputs: Vec<PathBuf>,
    #[command(flatten)]
    pub voices: VoiceArguments,
    /// Only this participant, from 0
    #[arg(long, value_name = "N")]
    pub participant: Option<usize>,
    /// Exchange left and right
    #[arg(long)]
    pub mirror: bool,
    /// Frames a second of a motion file that does not say [default: 25]
    #[arg(long, value_name = "X", value_parser = frame_rate)]
    pub fps: Option<f64>,
    #[command(flatten)]
    pub faces: FaceArguments,
}

const PLOT_EXAMPLES: &str = "\
Examples:
  unils plot talk.npz -o talk.svg --audio talk.wav
  unils plot talk.npz -o talk.png";

/// Arguments of `unils plot`.
#[derive(Debug, Args)]
#[command(after_help = PLOT_EXAMPLES)]
pub struct Plot {
    /// Motion file
    pub motion: PathBuf,
    /// Picture to write: .svg or .png; may be repeated
    #[arg(short, long = "output", alias = "out", required = true, value_name = "FILE")]
    pub outputs: Vec<PathBuf>,
    #[command(flatten)]
    pub voices: VoiceArguments,
}

const FIT_EXAMPLES: &str = "\
Examples:
  unils fit generic_model.pkl a -o flame_arkit.safetensors
      FLAME and our own head
  unils fit flame2023_Open.pkl my_head.glb -o flame_arkit.safetensors

FLAME is not part of unils: download it from https://flame.is.tue.mpg.de and mind its licence.";

/// Arguments of `unils fit`.
#[derive(Debug, Args)]
#[command(after_help = FIT_EXAMPLES)]
pub struct Fit {
    /// FLAME model: .pkl, .pt or .npz
    pub flame: PathBuf,
    /// Head with ARKit's shapes: a or b (our own), .glb, .gltf or .npz
    pub head: String,
    /// File to write, ending in .safetensors
    #[arg(short, long, alias = "out", value_name = "FILE")]
    pub output: PathBuf,
    /// Vertex i of the one model is vertex i of the other: do not look for correspondences
    #[arg(long)]
    pub same_vertices: bool,
}

fn spread(text: &str) -> Result<f32, String> {
    number(text, "a number from 0 to 1", |x| (0.0..=1.0).contains(&x)).map(|x| x as f32)
}

fn frame_rate(text: &str) -> Result<f64, String> {
    number(text, "a number from 1 to 1000", |x| (1.0..=1000.0).contains(&x))
}

fn picture_size(text: &str) -> Result<[usize; 2], String> {
    let side = |part: &str| part.parse().ok().filter(|side| (16..=4096).contains(side));
    let (width, height) = text.split_once('x').unwrap_or((text, text));
    let size = side(width).and_then(|width| Some([width, side(height)?]));
    size.ok_or_else(|| "expected pixels from 16 to 4096, like 512 or 640x480".to_owned())
}

fn background(text: &str) -> Result<Background, String> {
    match text {
        "studio" => return Ok(Background::default()),
        "transparent" => return Ok(Background::Transparent),
        _ => {}
    }
    let digits = text.strip_prefix('#').unwrap_or(text);
    let is_hex = digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let part = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let color = is_hex.then(|| Some([part(0)?, part(2)?, part(4)?])).flatten();
    color.map(Background::Color).ok_or_else(|| "expected studio, transparent or six hex digits".to_owned())
}
