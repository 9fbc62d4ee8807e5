//! The folder for downloaded model files: where it is, what lies where, and what is there.
//!
//! ```text
//! <cache>/weights/                     a released checkpoint, under its name in the repository
//! <cache>/encoders/<owner>--<name>/    a speech encoder: config.json and its weights
//! ```
//!
//! `fetched.json` in each says where the files come from; files that were placed by hand need none.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unils::{Error, Result};

/// Repository of the released weights.
pub const RELEASE: &str = "xg-chu/UniLS";
/// Repository of the encoder that the released weights listen through.
pub const WAV2VEC2: &str = "facebook/wav2vec2-xls-r-300m";
/// Repository of the alternative encoder.
pub const MIMI: &str = "kyutai/mimi";

/// Licence of the released weights.
pub const RELEASE_LICENSE: &str = "CC-BY-NC-4.0";

/// Name of the record beside downloaded files.
const RECORD: &str = "fetched.json";

/// Endings of checkpoint files.
pub const CHECKPOINT_ENDINGS: [&str; 4] = ["pt", "pth", "ckpt", "safetensors"];

/// Where a folder's files come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Hugging Face repository.
    pub repository: String,
    /// Commit.
    pub commit: String,
    /// Licence that was accepted for it, if it asks for that.
    pub accepted_license: Option<String>,
    /// The files by name.
    pub files: BTreeMap<String, RecordedFile>,
}

/// A downloaded file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFile {
    /// Size in bytes.
    pub bytes: u64,
    /// The checksum that it was found equal to: `sha256:...` or, of small files, `git:...`.
    pub checksum: Option<String>,
}

/// The cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The folder that `UNILS_CACHE` names, or the system's place for caches.
    ///
    /// # Errors
    /// [`Error::Argument`] if the environment names no place at all.
    pub fn locate() -> Result<Self> {
        locate(&|name| std::env::var_os(name).filter(|value| !value.is_empty()))
            .map(|root| Self { root })
            .ok_or_else(|| {
                Error::argument("cache folder", "the environment names no home folder")
                    .with_hint("set UNILS_CACHE to a folder for model files")
            })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of the released weights.
    pub fn weights(&self) -> PathBuf {
        self.root.join("weights")
    }

    /// Folder of a speech encoder.
    pub fn encoder(&self, repository: &str) -> PathBuf {
        self.root.join("encoders").join(repository.replace('/', "--"))
    }

    /// The checkpoint to use when none is named: the only one there.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if there is none or more than one, with the next step.
    pub fn checkpoint(&self) -> Result<PathBuf> {
        let folder = self.weights();
        let mut found = checkpoints(&folder);
        let place = folder.display();
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(Error::checkpoint(place, "no checkpoint was named, and the cache has none").with_hint(
                format!(
                    "name one with --checkpoint, or run `unils fetch --accept-license {RELEASE_LICENSE}`"
                ),
            )),
            count => {
                let names: Vec<_> = found.iter().map(|path| path.display().to_string()).collect();
                Err(Error::checkpoint(place, format!("no checkpoint was named, and the cache has {count}"))
                    .with_hint(format!("name one with --checkpoint: {}", names.join(", "))))
            }
        }
    }

    /// The encoder's folder if its files are there.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if they are not, with the next step.
    pub fn encoder_for(&self, repository: &str) -> Result<PathBuf> {
        let folder = self.encoder(repository);
        if is_encoder(&folder) {
            return Ok(folder);
        }
        let what = format!("no encoder was named, and the cache has no {repository}");
        let item = if repository == MIMI { "mimi" } else { "encoder" };
        Err(Error::checkpoint(folder.display(), what)
            .with_hint(format!("name its folder with --encoder, or run `unils fetch {item}`")))
    }
}

/// Whether a folder has an encoder's configuration and weights.
pub fn is_encoder(folder: &Path) -> bool {
    let weights = [
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ];
    folder.join("config.json").is_file() && weights.iter().any(|name| folder.join(name).is_file())
}

/// Checkpoint files in a folder and the folders in it, sorted.
pub fn checkpoints(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(folder, 3, &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        let ending = path.extension().map(|ending| ending.to_string_lossy().into_owned());
        if path.is_dir() && depth > 0 && !is_hidden {
            collect(&path, depth - 1, found);
        } else if path.is_file()
            && !is_hidden
            && ending.is_some_and(|ending| CHECKPOINT_ENDINGS.contains(&ending.as_str()))
        {
            found.push(path);
        }
    }
}

/// The record beside downloaded files, if there is a readable one.
pub fn read_record(folder: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(folder.join(RECORD)).ok()?).ok()
}

/// Writes the record of a folder.
///
/// # Errors
/// [`Error::Io`].
pub fn write_record(folder: &Path, record: &Record) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(record)? + "\n";
    Ok(unils::file::write_whole(folder.join(RECORD), text.as_bytes())?)
}

fn locate(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(folder) = variable("UNILS_CACHE") {
        return Some(folder.into());
    }
    let home = |below: &str| variable("HOME").map(|home| PathBuf::from(home).join(below));
    if cfg!(windows) {
        variable("LOCALAPPDATA").map(|folder| PathBuf::from(folder).join("unils"))
    } else if cfg!(target_os = "macos") {
        home("Library/Caches/unils")
    } else {
        // The specification says that a relative path counts as none.
        let named = variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
        named.map(|folder| folder.join("unils")).or_else(|| home(".cache/unils"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(all(unix, not(target_os = "macos")))]
    fn the_folder_is_found_in_the_usual_order() {
        let with = |variables: &'static [(&str, &str)]| {
            locate(&move |name| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
            })
        };
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[("HOME", "/h")]), Some("/h/.cache/unils".into()));
        assert_eq!(with(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Some("/x/unils".into()));
        assert_eq!(with(&[("HOME", "/h"), ("XDG_CACHE_HOME", "x")]), Some("/h/.cache/unils".into()));
        assert_eq!(with(&[("HOME", "/h"), ("UNILS_CACHE", "/u")]), Some("/u".into()));
    }
}
