//! Helpers of the checkpoint tests: fixtures, scratch folders, and files of torch.save made by hand.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::io::Write;
use std::path::{Path, PathBuf};

#[path = "../scratch/mod.rs"]
mod scratch;

pub use scratch::Scratch;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A path under `fixtures/`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures")).join(name)
}

/// A zip archive; entries are `(name, content, compression)`.
pub fn zip_file(entries: &[(&str, &[u8], CompressionMethod)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content, compression) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(*compression)).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A file like those of torch.save: `data.pkl` and storages `(key, bytes)`.
pub fn torch_zip(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let names: Vec<_> = storages.iter().map(|(key, _)| format!("w/data/{key}")).collect();
    let mut entries = vec![
        ("w/data.pkl", pickle, CompressionMethod::Stored),
        ("w/byteorder", &b"little"[..], CompressionMethod::Stored),
    ];
    entries.extend(
        names
            .iter()
            .zip(storages)
            .map(|(name, (_, bytes))| (name.as_str(), *bytes, CompressionMethod::Stored)),
    );
    zip_file(&entries)
}

/// Text in protocol 2.
pub fn text(text: &str) -> Vec<u8> {
    let mut out = vec![b'X'];
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
    out
}

/// An integer: LONG1.
pub fn integer(value: i64) -> Vec<u8> {
    let mut out = vec![0x8a, 8];
    out.extend(value.to_le_bytes());
    out
}

/// A tuple of integers.
pub fn integers(values: &[i64]) -> Vec<u8> {
    let mut out = vec![b'('];
    out.extend(values.iter().flat_map(|&value| integer(value)));
    out.push(b't');
    out
}

/// What a tensor is pickled as.
pub struct Tensor<'a> {
    pub class: &'a str,
    pub key: &'a str,
    pub elements: i64,
    pub offset: i64,
    pub sizes: &'a [i64],
    pub strides: &'a [i64],
}

impl Default for Tensor<'_> {
    /// Two f32 of storage 0.
    fn default() -> Self {
        Self { class: "FloatStorage", key: "0", elements: 2, offset: 0, sizes: &[2], strides: &[1] }
    }
}

impl Tensor<'_> {
    pub fn pickled(&self) -> Vec<u8> {
        let mut out = b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
        out.extend(text("storage"));
        out.extend(format!("ctorch\n{}\n", self.class).into_bytes());
        out.extend([text(self.key), text("cpu"), integer(self.elements), b"tQ".to_vec()].concat());
        out.extend([integer(self.offset), integers(self.sizes), integers(self.strides)].concat());
        out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
        out
    }
}

/// A state dict of such tensors.
pub fn pickled_tensors(tensors: &[(&str, Tensor<'_>)]) -> Vec<u8> {
    let mut out = b"\x80\x02}(".to_vec();
    for (name, tensor) in tensors {
        out.extend([text(name), tensor.pickled()].concat());
    }
    out.extend(b"u.");
    out
}

/// A state dict whose tensors are all the first storage.
pub fn pickled_state_dict(names: &[&str]) -> Vec<u8> {
    pickled_tensors(&names.iter().map(|name| (*name, Tensor::default())).collect::<Vec<_>>())
}
