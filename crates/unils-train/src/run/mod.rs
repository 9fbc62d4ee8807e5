//! A training's folder: everything that decides it, what it has come to, and what it goes on from.
//!
//! | file | what |
//! |---|---|
//! | `run.toml` | the resolved configuration: stage, model, recipe, data, seed ([`RunConfig`]) |
//! | `metrics.jsonl` | a line for each logged step and each look at the validation split ([`Record`]) |
//! | `start.safetensors` | the weights before the first step, so that the run needs no earlier one |
//! | `state.safetensors` | weights, optimiser and averages after the last saved step: what `--resume` reads |
//! | `last`, `best`, `step_00001000` (`.safetensors`, `.toml`) | plain checkpoints: the averaged weights, adapters folded in |
//! | `samples/`, `curves.svg` | what the program draws of it |
//!
//! Every file appears under its name only when it is complete; a run that was killed goes on from its last state.

mod record;
mod state;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use unils::checkpoint::toml_fault;
use unils::file::write_whole;
use unils::model::ModelConfig;
use unils::{Error, Result};

pub(crate) use record::Log;
pub use record::{Check, Record, StepRecord, read_records};
pub(crate) use state::{Progress, SavedState, read_state, write_state};

use crate::recipe::{Stage, StageRecipe};

const CONFIG: &str = "run.toml";
const LOCK: &str = "lock";
/// How long a process waits for the leader to write a run's start.
const PATIENCE: Duration = Duration::from_secs(300);

/// Everything that decides a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// What is trained.
    pub stage: Stage,
    /// Seed of the fresh weights, the order of the data and all draws.
    pub seed: u64,
    /// Trains the dual-track stage without the prior, as in the paper's ablation.
    #[serde(default)]
    pub single_stage: bool,
    /// Version of the program that began the run.
    pub program: String,
    /// Where the recordings are.
    pub data: DataConfig,
    /// The checkpoint of the earlier stage, as it was named; its weights are in `start.safetensors`.
    #[serde(default)]
    pub from: Option<PathBuf>,
    /// Statistics of the motion for a codec; none = those of the training split.
    #[serde(default)]
    pub stats: Option<PathBuf>,
    /// Folder of the speech encoder, if it has weights.
    #[serde(default)]
    pub encoder: Option<PathBuf>,
    /// The face of the codec's mesh terms: a FLAME file; none = our own head for ARKit motion, no such terms for FLAME.
    #[serde(default)]
    pub flame: Option<PathBuf>,
    /// The model, cut to the stage.
    pub model: ModelConfig,
    /// How it is trained, on all devices together.
    pub recipe: StageRecipe,
    /// Devices that share the steps.
    pub devices: usize,
}

/// Where recordings are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A corpus folder, or the release's LMDB.
    pub path: PathBuf,
    /// The LMDB's listing.
    #[serde(default)]
    pub metadata: Option<PathBuf>,
}

/// A training's folder, held by this process.
#[derive(Debug)]
pub struct Run {
    folder: PathBuf,
    config: RunConfig,
    /// Released when it is dropped; none in a process that only follows.
    _lock: Option<File>,
}

impl Run {
    /// Begins a run in a new or empty folder.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is something in the folder, [`Error::Io`].
    pub fn create(folder: impl AsRef<Path>, config: RunConfig) -> Result<Self> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, error))?;
        let there = fs::read_dir(folder).map_err(|error| Error::io("read", folder, error))?;
        // A lock alone is what a run leaves that failed before it began.
        if there.filter_map(|entry| entry.ok()).any(|entry| entry.file_name() != LOCK) {
            let is_run = folder.join(CONFIG).is_file();
            let what = if is_run { "holds a training already" } else { "is not empty" };
            let hint = if is_run {
                "go on with it by --resume, or name another folder"
            } else {
                "name another folder"
            };
            return Err(Error::argument(folder.display(), what).with_hint(hint));
        }
        let lock = lock(folder)?;
        let path = folder.join(CONFIG);
        let text = toml::to_string(&config).map_err(|error| Error::config(path.display(), error))?;
        write_whole(&path, text.as_bytes())?;
        Ok(Self { folder: folder.to_owned(), config, _lock: Some(lock) })
    }

    /// Takes up a run.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Config`] if its configuration cannot be read, [`Error::Argument`] if another process
    /// is training in it.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let config = read_config(folder)?;
        let lock = lock(folder)?;
        Ok(Self { folder: folder.to_owned(), config, _lock: Some(lock) })
    }

    /// Takes part in a run that another process leads, which may not have written it yet: waits for it.
    ///
    /// # Errors
    /// As for [`Run::open`], after five minutes.
    pub(crate) fn follow(folder: &Path) -> Result<Self> {
        let begun = Instant::now();
        let start = folder.join("start.safetensors");
        while !start.is_file() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Self { folder: folder.to_owned(), config: read_config(folder)?, _lock: None })
    }

    /// What decides the training.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The metrics' file.
    pub fn metrics(&self) -> PathBuf {
        metrics_of(&self.folder)
    }

    pub(crate) fn start(&self) -> PathBuf {
        self.folder.join("start.safetensors")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join("state.safetensors")
    }

    /// A checkpoint: `last`, `best` or a step's.
    pub fn checkpoint(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.safetensors"))
    }
}

/// The configuration of the run in a folder, without taking it up.
///
/// # Errors
/// [`Error::Io`], [`Error::Config`] if it cannot be read.
pub fn read_config(folder: &Path) -> Result<RunConfig> {
    let path = folder.join(CONFIG);
    let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::argument(folder.display(), "no training here (no run.toml)")
            .with_hint("name the folder that was given as --out"),
        _ => Error::io("read", &path, error),
    })?;
    toml::from_str(&text).map_err(|error| Error::config(path.display(), toml_fault(&text, &error)))
}

/// The metrics of the run in a folder.
pub fn metrics_of(folder: &Path) -> PathBuf {
    folder.join("metrics.jsonl")
}

/// The checkpoint that a path means: a file itself, or of a run's folder the best one, else the last.
///
/// # Errors
/// [`Error::Argument`] for a folder without a checkpoint.
pub fn find_checkpoint(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() || !path.join(CONFIG).is_file() {
        return Ok(path.to_owned());
    }
    let files = ["best", "last"].map(|name| path.join(format!("{name}.safetensors")));
    files.into_iter().find(|file| file.is_file()).ok_or_else(|| {
        Error::argument(path.display(), "this training has saved no checkpoint yet")
            .with_hint("let it come to its first one (check_every in run.toml says when)")
    })
}

/// Keeps a second process out.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(|error| Error::io("create", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::argument(folder.display(), "another process is training in this folder")
                .with_hint("wait for it, or stop it: Ctrl-C saves what it has"))
        }
        Err(TryLockError::Error(error)) => Err(Error::io("lock", &path, error)),
    }
}
