//! Running the program, folders that clean up after themselves, and WAV files built on the spot.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A folder that is removed with everything in it when the test is over.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("unils-cli-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and gives its path.
    pub fn with(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Names of all files, hidden ones too.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

/// The program in `folder`, with the cache in `folder/cache` and no settings from outside.
pub fn program(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unils"));
    command.current_dir(folder.path()).env("UNILS_CACHE", folder.file("cache")).stdin(Stdio::null());
    for name in ["HF_TOKEN", "HF_ENDPOINT", "http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command
}

/// What a run gave.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// That it failed as documented: the code, an error that says `what`, no panic.
    #[track_caller]
    pub fn fails(&self, code: i32, what: &str) -> &Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        assert!(self.err.contains(what), "no {what:?} in: {}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    #[track_caller]
    pub fn hints(&self, what: &str) -> &Self {
        let hint = self.err.split("hint: ").nth(1).unwrap_or_default();
        assert!(hint.contains(what), "no {what:?} in the hint of: {}", self.err);
        self
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    #[track_caller]
    pub fn succeeds(&self) -> &Self {
        assert_eq!(self.code, 0, "{}", self.err);
        self
    }
}

/// Runs a command line of words, then `more` paths.
pub fn run(folder: &Folder, line: &str, more: &[&Path]) -> Ran {
    let mut command = program(folder);
    command.args(line.split_whitespace()).args(more);
    ran(&mut command)
}

pub fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The tiny model of the fixtures, as options.
pub fn tiny() -> String {
    let (checkpoint, encoder) = (fixture("checkpoints/gen_tiny.pt"), fixture("hf_wav2vec2_tiny"));
    format!("--checkpoint {} --encoder {}", checkpoint.display(), encoder.display())
}

/// A 16-bit WAV; `channels[c]` are the samples of a channel at full scale 1.
pub fn wav(rate: u32, channels: &[Vec<f32>]) -> Vec<u8> {
    let frames = channels[0].len();
    let interleaved = (0..frames).flat_map(|frame| channels.iter().map(move |channel| channel[frame]));
    let data: Vec<u8> = interleaved.flat_map(|sample| ((sample * 32767.0) as i16).to_le_bytes()).collect();
    wav_of(1, 16, rate, channels.len() as u16, &data)
}

/// A WAV of given bytes: `tag` 1 = integers, 3 = floats.
pub fn wav_of(tag: u16, bits: u16, rate: u32, channels: u16, data: &[u8]) -> Vec<u8> {
    let align = channels * (bits / 8);
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0");
    file.extend(tag.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend(rate.wrapping_mul(u32::from(align)).to_le_bytes());
    file.extend(align.to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

/// A voice-like sound: a tone that comes and goes.
pub fn voice(rate: u32, seconds: f64, pitch: f64) -> Vec<f32> {
    let count = (f64::from(rate) * seconds).round() as u32;
    (0..count)
        .map(|index| {
            let t = f64::from(index) / f64::from(rate);
            let loudness = 0.4 * (0.5 + 0.5 * (std::f64::consts::TAU * 2.3 * t).sin());
            (loudness * (std::f64::consts::TAU * pitch * t).sin()) as f32
        })
        .collect()
}

/// Sends a signal by the system's own program: Rust's library has none for it.
#[cfg(unix)]
pub fn signal(child: &std::process::Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// The exit code, or less than zero for a signal.
#[cfg(unix)]
pub fn wait(child: &mut std::process::Child) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or_else(|| -status.signal().unwrap());
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "the program does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}
