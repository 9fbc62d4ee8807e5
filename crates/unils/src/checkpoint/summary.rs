//! What a checkpoint holds, in numbers: for `inspect` and reports.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{FileKind, TensorFile};

/// Most groups that are told apart; a checkpoint has a handful.
const MOST_GROUPS: usize = 256;

/// Content of a [`TensorFile`] in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileSummary {
    /// What it was read from.
    pub kind: FileKind,
    /// Files that hold the tensors.
    pub files: Vec<String>,
    /// Number of tensors.
    pub tensors: usize,
    /// Number of elements of all tensors, buffers among them.
    pub parameters: u64,
    /// Bytes of all tensors.
    pub bytes: u64,
    /// Tensors and elements of each type.
    pub dtypes: BTreeMap<String, DtypeCount>,
    /// Tensors by the first part of their names, sorted; beyond 256 the rest is one group `...`.
    pub groups: Vec<Group>,
    /// Top-level keys of the configuration.
    pub meta_keys: Vec<String>,
    /// Keys of the safetensors notes.
    pub note_keys: Vec<String>,
    /// Entries that are no tensors and were left out.
    pub skipped: Vec<String>,
}

/// How much of one type there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DtypeCount {
    /// Number of tensors.
    pub tensors: usize,
    /// Number of elements.
    pub parameters: u64,
}

/// Tensors whose names start with the same part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The part before the first dot.
    pub name: String,
    /// Number of tensors.
    pub tensors: usize,
    /// Number of elements.
    pub parameters: u64,
}

impl TensorFile {
    /// Counts what the file holds. Reads no tensor.
    pub fn summary(&self) -> FileSummary {
        let mut summary = FileSummary {
            kind: self.kind(),
            files: self.files().iter().map(|file| file.display().to_string()).collect(),
            tensors: 0,
            parameters: 0,
            bytes: 0,
            dtypes: BTreeMap::new(),
            groups: Vec::new(),
            meta_keys: self
                .meta()
                .and_then(|meta| meta.as_object())
                .map_or_else(Vec::new, |map| map.keys().cloned().collect()),
            note_keys: self.notes().keys().cloned().collect(),
            skipped: self.skipped().to_vec(),
        };
        let mut groups: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
        for (name, dtype, elements, bytes) in self.contents() {
            let elements = elements as u64;
            summary.tensors += 1;
            summary.parameters = summary.parameters.saturating_add(elements);
            summary.bytes = summary.bytes.saturating_add(bytes as u64);
            let count = summary.dtypes.entry(dtype.to_string()).or_default();
            count.tensors += 1;
            count.parameters = count.parameters.saturating_add(elements);
            let first = name.split('.').next().unwrap_or(name);
            let group = if groups.len() < MOST_GROUPS || groups.contains_key(first) { first } else { "..." };
            let (tensors, parameters) = groups.entry(group).or_default();
            *tensors += 1;
            *parameters = parameters.saturating_add(elements);
        }
        summary.groups = groups
            .into_iter()
            .map(|(name, (tensors, parameters))| Group { name: name.to_owned(), tensors, parameters })
            .collect();
        summary
    }
}
