//! One reader for every form that weights come in: see [`TensorFile`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::part::{Buffer, Part, Stored};
use super::{Dtype, directory, safe, shown, sniff, torch};
use crate::{Error, Result};

/// What training wrappers put in front of names.
const PREFIXES: [&str; 3] = ["module.", "model.", "net."];

/// What a [`TensorFile`] was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A file of `torch.save` (`.pt`, `.bin`).
    Torch,
    /// A single safetensors file.
    Safetensors,
    /// Our own form: safetensors with its configuration as TOML beside it.
    Native,
    /// A Hugging Face folder.
    HuggingFace,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Torch => "PyTorch checkpoint",
            Self::Safetensors => "safetensors",
            Self::Native => "safetensors with TOML",
            Self::HuggingFace => "Hugging Face folder",
        })
    }
}

/// Type and shape of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorInfo {
    /// Type of the elements in the file.
    pub dtype: Dtype,
    /// Sizes, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
}

/// Named tensors and configuration of a checkpoint, memory-mapped: opening reads names and shapes only.
///
/// **Names.** The prefixes `module.`, `model.` and `net.` that training wrappers add are taken off each name's start,
/// as often as they come, name by name, because one checkpoint may mix wrapped and plain parts. Names inside
/// (`encoder.net.0`) stay. If two tensors would get the same name the file is refused. [`TensorFile::original_name`]
/// tells the spelling in the file.
///
/// **Order.** Elements are row-major, whatever the file's strides are.
///
/// **Mapping.** Do not shorten a checkpoint in place while a program uses it; replace it by renaming, as
/// [`write_safetensors`](super::write_safetensors) does.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    kind: FileKind,
    files: Vec<PathBuf>,
    buffers: Vec<Buffer>,
    tensors: BTreeMap<String, Named>,
    notes: BTreeMap<String, String>,
    meta: Option<serde_json::Value>,
    skipped: Vec<String>,
}

#[derive(Debug)]
struct Named {
    original: String,
    stored: Stored,
}

impl TensorFile {
    /// Opens a file or folder by its content:
    ///
    /// * a zip file of `torch.save` (PyTorch 1.6 and later),
    /// * a safetensors file; with a `.toml` of the same name beside it, [`FileKind::Native`],
    /// * a folder with `model.safetensors`, `model.safetensors.index.json`, `pytorch_model.bin` or
    ///   `pytorch_model.bin.index.json` (the first of them that is there) and perhaps `config.json`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::Checkpoint`] with the file's and, where there is one, the
    /// tensor's name if it is something else, damaged, or made to do harm.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if path.is_dir() {
            return Self::open_folder(path);
        }
        let place = place_of(path);
        let (mut kind, mut part) = read(Buffer::map(path)?, &place)?;
        if kind == FileKind::Safetensors
            && let Some(meta) = directory::toml_beside(path)?
        {
            part.meta = Some(meta);
            kind = FileKind::Native;
        }
        Self::new(path.to_owned(), kind, vec![path.to_owned()], part)
    }

    /// Reads a file that is already in memory; `name` stands for its path.
    ///
    /// # Errors
    /// As for [`TensorFile::open`].
    pub fn from_bytes(bytes: Vec<u8>, name: &str) -> Result<Self> {
        let (kind, part) = read(Buffer::Owned(bytes), &shown(name))?;
        Self::new(PathBuf::from(name), kind, Vec::new(), part)
    }

    /// The same file, described by `meta` as if it lay beside.
    #[must_use]
    pub fn with_meta(self, meta: serde_json::Value) -> Self {
        Self { meta: Some(meta), ..self }
    }

    fn open_folder(folder: &Path) -> Result<Self> {
        let weights = directory::weights(folder)?;
        let place = place_of(folder);
        let mut part = Part::default();
        let mut held: BTreeMap<String, String> = BTreeMap::new();
        for file in &weights.files {
            let (_, shard) = read(Buffer::map(file)?, &place_of(file))?;
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            held.extend(shard.tensors.keys().map(|tensor| (tensor.clone(), name.clone())));
            part.absorb(shard, &place)?;
        }
        for (tensor, file) in weights.map.iter().flatten() {
            if held.get(tensor) != Some(file) {
                let (tensor, file) = (shown(tensor), shown(file));
                return Err(Error::checkpoint(
                    &place,
                    format!("tensor `{tensor}` is not in its shard `{file}`"),
                )
                .with_hint("index and shards are of different versions: download the folder again"));
            }
        }
        part.meta = directory::config(folder)?;
        Self::new(folder.to_owned(), FileKind::HuggingFace, weights.files, part)
    }

    fn new(path: PathBuf, kind: FileKind, files: Vec<PathBuf>, part: Part) -> Result<Self> {
        let place = place_of(&path);
        part.check_repetition(&place)?;
        let mut tensors: BTreeMap<String, Named> = BTreeMap::new();
        for (original, stored) in part.tensors {
            let name = plain_name(&original);
            if let Some(other) = tensors.get(name) {
                return Err(Error::checkpoint(
                    place,
                    format!(
                        "tensors `{}` and `{}` are both `{}` without the prefixes of training wrappers",
                        shown(&other.original),
                        shown(&original),
                        shown(name)
                    ),
                )
                .with_hint("the file mixes two models: save one of them on its own"));
            }
            tensors.insert(name.to_owned(), Named { stored, original });
        }
        let Part { buffers, notes, meta, skipped, .. } = part;
        Ok(Self { path, kind, files, buffers, tensors, notes, meta, skipped })
    }

    /// What it was read from.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// The path or name that it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that hold its tensors: itself, or a folder's; none for bytes in memory.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Names of all tensors, without wrappers' prefixes, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor's name as the file spells it.
    pub fn original_name(&self, name: &str) -> Option<&str> {
        self.tensors.get(name).map(|tensor| tensor.original.as_str())
    }

    /// Type and shape of a tensor.
    pub fn info(&self, name: &str) -> Option<TensorInfo> {
        let stored = &self.tensors.get(name)?.stored;
        Some(TensorInfo { dtype: stored.dtype, shape: stored.shape.clone() })
    }

    fn stored(&self, name: &str) -> Result<&Stored> {
        self.tensors.get(name).map(|tensor| &tensor.stored).ok_or_else(|| {
            Error::checkpoint(place_of(&self.path), format!("has no tensor `{}`", shown(name)))
                .with_hint("`unils inspect` lists what the file holds")
        })
    }

    /// A tensor's elements in row-major order, converted to `f32` (nearest; bools become 0 and 1).
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if there is no such tensor.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        let stored = self.stored(name)?;
        Ok(stored.f32s(&self.buffers[stored.buffer]))
    }

    /// A tensor's elements in row-major order, little-endian, in the file's type; borrowed where they lie so.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if there is no such tensor.
    pub fn read_bytes(&self, name: &str) -> Result<Cow<'_, [u8]>> {
        let stored = self.stored(name)?;
        Ok(stored.bytes(&self.buffers[stored.buffer]))
    }

    /// A tensor's elements in place, if they are stored as aligned row-major `f32`; else, and if there is no such
    /// tensor, `None`: use [`TensorFile::read_f32`].
    pub fn borrow_f32(&self, name: &str) -> Option<&[f32]> {
        let stored = &self.tensors.get(name)?.stored;
        stored.borrowed(&self.buffers[stored.buffer])
    }

    /// Configuration: `meta_cfg` of a PyTorch checkpoint, `config.json` of a folder, the TOML of our own form.
    pub fn meta(&self) -> Option<&serde_json::Value> {
        self.meta.as_ref()
    }

    /// The text notes in a safetensors header; empty for other forms.
    pub fn notes(&self) -> &BTreeMap<String, String> {
        &self.notes
    }

    /// Entries of a PyTorch checkpoint's model that are no tensors and were left out, at most a hundred.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// Tells the kernel that a tensor has been copied, so that its mapped pages need not stay in memory. Reading it
    /// again is allowed and reads the file again. Does nothing for bytes in memory and unknown names.
    pub fn advise_dont_need(&self, name: &str) {
        if let Some(Named { stored, .. }) = self.tensors.get(name) {
            self.buffers[stored.buffer].release(stored.extent());
        }
    }

    /// Type, shape and bytes of every tensor, in the order of the names.
    pub(super) fn contents(&self) -> impl Iterator<Item = (&str, Dtype, usize, usize)> {
        self.tensors.iter().map(|(name, Named { stored, .. })| {
            (name.as_str(), stored.dtype, stored.elements(), stored.size())
        })
    }
}

fn read(buffer: Buffer, place: &str) -> Result<(FileKind, Part)> {
    let bytes = buffer.bytes();
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        torch::read(buffer, place).map(|part| (FileKind::Torch, part))
    } else if safe::is_safetensors(bytes) {
        safe::read(buffer, place).map(|part| (FileKind::Safetensors, part))
    } else {
        Err(sniff::refusal(bytes, place))
    }
}

fn place_of(path: &Path) -> String {
    shown(&path.to_string_lossy())
}

/// The name without wrappers' prefixes. A name that is nothing but prefixes keeps its last part.
fn plain_name(name: &str) -> &str {
    let mut plain = name;
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| plain.strip_prefix(prefix)) {
        if rest.is_empty() {
            break;
        }
        plain = rest;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::plain_name;

    #[test]
    fn prefixes_come_off_the_start_only() {
        for (name, plain) in [
            ("encoder.weight", "encoder.weight"),
            ("module.encoder.weight", "encoder.weight"),
            ("module.model.net.module.weight", "weight"),
            ("encoder.net.0.weight", "encoder.net.0.weight"),
            ("models.weight", "models.weight"),
            ("model.", "model."),
            ("net.model.", "model."),
        ] {
            assert_eq!(plain_name(name), plain);
        }
    }
}
