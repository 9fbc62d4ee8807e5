//! Hugging Face model folders: which files to read, and shards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::{shown, toml_fault};
use crate::{Error, Result};

/// Largest `config.json`, TOML or index that is read.
const LARGEST_TEXT: u64 = 64 << 20;

/// The weights of a folder.
pub(super) struct Weights {
    /// One file, or the shards in name order.
    pub(super) files: Vec<PathBuf>,
    /// For shards: tensor name to file name.
    pub(super) map: Option<BTreeMap<String, String>>,
}

/// What names a folder's weights, best first: a single file, or an index of shards.
const NAMES: [(&str, bool); 4] = [
    ("model.safetensors", false),
    ("model.safetensors.index.json", true),
    ("pytorch_model.bin", false),
    ("pytorch_model.bin.index.json", true),
];

/// Finds the weights of a Hugging Face folder.
pub(super) fn weights(folder: &Path) -> Result<Weights> {
    for (name, is_index) in NAMES {
        let path = folder.join(name);
        match path.try_exists() {
            Ok(false) => {}
            Err(source) => return Err(Error::io("open", path, source)),
            Ok(true) if is_index => return shards(folder, &path),
            Ok(true) => return Ok(Weights { files: vec![path], map: None }),
        }
    }
    let wanted: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
    let found = others(folder)?;
    let hint = match found.as_slice() {
        [] => "download the model's weights into this folder".to_owned(),
        files => format!("or name one of its files: {}", files.join(", ")),
    };
    Err(Error::checkpoint(folder.display(), format!("this folder has none of {}", wanted.join(", ")))
        .with_hint(hint))
}

/// Files in the folder that may be checkpoints.
fn others(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|source| Error::io("list", folder, source))? {
        let path = entry.map_err(|source| Error::io("list", folder, source))?.path();
        let is_weights =
            path.extension().is_some_and(|end| end == "safetensors" || end == "pt" || end == "pth");
        if let (true, Some(name)) = (is_weights, path.file_name()) {
            found.push(shown(&name.to_string_lossy()));
        }
    }
    found.sort();
    found.truncate(8);
    Ok(found)
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn shards(folder: &Path, path: &Path) -> Result<Weights> {
    let text = read_text(path)?;
    let fault = |what: String| Error::checkpoint(path.display(), what);
    let Index { weight_map } = serde_json::from_str(&text)
        .map_err(|problem| fault(format!("is not an index of shards: {problem}")))?;
    let names: BTreeSet<_> = weight_map.values().cloned().collect();
    let mut files = Vec::with_capacity(names.len());
    for name in &names {
        // a shard lies beside its index: an index must not reach into other folders
        let mut components = Path::new(name).components();
        if !matches!((components.next(), components.next()), (Some(Component::Normal(_)), None)) {
            return Err(fault(format!("names the shard `{}`, which is not a plain file name", shown(name))));
        }
        let file = folder.join(name);
        if !file.is_file() {
            return Err(fault(format!("needs the shard `{}`, which is missing", shown(name)))
                .with_hint("download it into the same folder"));
        }
        files.push(file);
    }
    if files.is_empty() {
        return Err(fault("names no shards".into()));
    }
    Ok(Weights { files, map: Some(weight_map) })
}

/// The folder's `config.json`, if there is one.
pub(super) fn config(folder: &Path) -> Result<Option<serde_json::Value>> {
    let path = folder.join("config.json");
    if !path.is_file() {
        return Ok(None);
    }
    let text = read_text(&path)?;
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|problem| Error::checkpoint(path.display(), format!("is not JSON: {problem}")))
}

/// The TOML beside `weights`, as JSON: `codec.toml` for `codec.safetensors`. Dates become text.
pub(super) fn toml_beside(weights: &Path) -> Result<Option<serde_json::Value>> {
    let path = weights.with_extension("toml");
    if !path.is_file() {
        return Ok(None);
    }
    let text = read_text(&path)?;
    let table: toml::Table = text.parse().map_err(|problem| {
        Error::checkpoint(path.display(), format!("is not TOML: {}", toml_fault(&text, &problem)))
    })?;
    Ok(Some(json(toml::Value::Table(table))))
}

fn json(value: toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(value) => value.into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(json).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, json(value))).collect(),
    }
}

fn read_text(path: &Path) -> Result<String> {
    let metadata = std::fs::metadata(path).map_err(|source| Error::io("open", path, source))?;
    let size = metadata.len();
    if !metadata.is_file() {
        return Err(Error::checkpoint(path.display(), "is not a file"));
    }
    if size > LARGEST_TEXT {
        return Err(Error::checkpoint(
            path.display(),
            format!("has {size} bytes; at most {LARGEST_TEXT} are read"),
        ));
    }
    let bytes = std::fs::read(path).map_err(|source| Error::io("read", path, source))?;
    String::from_utf8(bytes).map_err(|_| Error::checkpoint(path.display(), "is not UTF-8 text"))
}
