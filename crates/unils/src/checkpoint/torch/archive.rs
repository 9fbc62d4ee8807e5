//! The zip archive around a PyTorch checkpoint: finding entries, in place or inflated within bounds.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::ops::Range;

use zip::{CompressionMethod, ZipArchive};

use crate::checkpoint::shown;
use crate::{Error, Result};

/// Compressed entries may together grow to this many times the file, plus [`INFLATED_BYTES`]: weights do not
/// compress well, a zip bomb does.
const INFLATED_TIMES: usize = 16;
/// See [`INFLATED_TIMES`].
const INFLATED_BYTES: usize = 16 << 20;

pub(super) struct Archive<'b> {
    bytes: &'b [u8],
    place: &'b str,
    zip: ZipArchive<Cursor<&'b [u8]>>,
    index: HashMap<String, usize>,
    root: String,
    /// What compressed entries may still grow to.
    growth: usize,
}

/// Where an entry's content is.
pub(super) enum Content {
    /// Stored as it is: this range of the file.
    InPlace(Range<usize>),
    /// Was compressed.
    Inflated(Vec<u8>),
}

impl<'b> Archive<'b> {
    pub(super) fn open(bytes: &'b [u8], place: &'b str) -> Result<Self> {
        let damaged = |problem: &dyn std::fmt::Display| {
            Error::checkpoint(
                place,
                format!("starts like a PyTorch checkpoint (zip) but cannot be read as one: {problem}"),
            )
            .with_hint("the file is truncated or damaged: download or copy it again")
        };
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|problem| damaged(&problem))?;
        if zip.has_duplicate_names() {
            return Err(damaged(&"two entries have the same name"));
        }
        let mut index = HashMap::with_capacity(zip.len());
        for (position, name) in zip.file_names_raw().enumerate() {
            if let Ok(name) = std::str::from_utf8(name) {
                index.insert(name.to_owned(), position);
            }
        }
        let root = root(&index, place)?;
        let growth = bytes.len().saturating_mul(INFLATED_TIMES).saturating_add(INFLATED_BYTES);
        Ok(Self { bytes, place, zip, index, root, growth })
    }

    fn fault(&self, what: impl std::fmt::Display) -> Error {
        Error::checkpoint(self.place, what)
    }

    pub(super) fn place(&self) -> &'b str {
        self.place
    }

    /// The pickle that describes the tensors.
    pub(super) fn description(&mut self) -> Result<Cow<'b, [u8]>> {
        match self.content("data.pkl")? {
            Some(content) => Ok(self.cow(content)),
            None => Err(self.fault("has no data.pkl")),
        }
    }

    /// Whether the numbers are stored big-endian. Files without the entry are from little-endian machines.
    pub(super) fn is_big_endian(&mut self) -> Result<bool> {
        let Some(content) = self.content("byteorder")? else { return Ok(false) };
        match self.cow(content).as_ref() {
            b"little" => Ok(false),
            b"big" => Ok(true),
            other => {
                let order = shown(&String::from_utf8_lossy(other));
                Err(self.fault(format!("byte order `{order}`; `little` and `big` are known")))
            }
        }
    }

    fn cow(&self, content: Content) -> Cow<'b, [u8]> {
        match content {
            Content::InPlace(range) => Cow::Borrowed(&self.bytes[range]),
            Content::Inflated(bytes) => Cow::Owned(bytes),
        }
    }

    /// The entry `<root>/<name>`, if there is one.
    ///
    /// Checksums of stored entries are not compared: that would read the whole file before the first tensor is
    /// wanted, and PyTorch can be told to leave them out.
    pub(super) fn content(&mut self, name: &str) -> Result<Option<Content>> {
        let full = format!("{}{name}", self.root);
        let Some(&position) = self.index.get(&full) else { return Ok(None) };
        let place = self.place;
        let fault = |what: String| {
            Error::checkpoint(place, format!("entry `{}` {what}", shown(&full)))
                .with_hint("the file is truncated or damaged: download or copy it again")
        };
        let mut entry =
            self.zip.by_index(position).map_err(|problem| fault(format!("cannot be read: {problem}")))?;
        let too_large = |size: u64| fault(format!("announces {size} bytes, more than the file can hold"));
        let size = usize::try_from(entry.size()).map_err(|_| too_large(entry.size()))?;
        match entry.compression() {
            CompressionMethod::Stored => {
                let start = entry.data_start().and_then(|start| usize::try_from(start).ok());
                let range = start.and_then(|start| Some(start..start.checked_add(size)?));
                match range {
                    Some(range)
                        if range.end <= self.bytes.len() && entry.compressed_size() == entry.size() =>
                    {
                        Ok(Some(Content::InPlace(range)))
                    }
                    _ => Err(too_large(entry.size())),
                }
            }
            CompressionMethod::Deflated => {
                if size > self.growth {
                    return Err(too_large(entry.size()).with_hint(
                        "it would grow far beyond its compressed size, as no weights do: get the file from its publisher",
                    ));
                }
                // the announced size is not trusted for the allocation, only as the bound
                let mut content = Vec::new();
                let limit = entry.size().saturating_add(1);
                (&mut entry)
                    .take(limit)
                    .read_to_end(&mut content)
                    .map_err(|problem| fault(format!("cannot be inflated: {problem}")))?;
                if content.len() != size {
                    return Err(fault(format!("announces {size} bytes but inflates to another size")));
                }
                self.growth -= size;
                Ok(Some(Content::Inflated(content)))
            }
            other => {
                Err(fault(format!("is compressed with {other:?}; only stored and deflated entries are read"))
                    .with_hint("pack it again without compression, or save it again with torch.save"))
            }
        }
    }
}

/// The one folder (with its slash, or nothing) that has a `data.pkl`.
fn root(index: &HashMap<String, usize>, place: &str) -> Result<String> {
    let mut roots = index
        .keys()
        .filter_map(|name| name.strip_suffix("data.pkl"))
        .filter(|root| root.is_empty() || (root.ends_with('/') && root.matches('/').count() == 1));
    let (first, second) = (roots.next(), roots.next());
    let has = |name: &str| index.contains_key(name);
    match (first, second) {
        (Some(root), None) if has(&format!("{root}constants.pkl")) => {
            Err(Error::checkpoint(place, "a TorchScript program, not a checkpoint").with_hint(
                "save its weights in Python: torch.save(torch.jit.load(path).state_dict(), \"weights.pt\")",
            ))
        }
        (Some(root), None) => Ok(root.to_owned()),
        (Some(_), Some(_)) => Err(Error::checkpoint(place, "a zip archive with more than one data.pkl")),
        (None, _) if index.keys().any(|name| name.ends_with(".npy")) => {
            Err(Error::checkpoint(place, "a NumPy archive (.npz), not a checkpoint")
                .with_hint("motion and style clips are .npz; the checkpoint is a .pt or .safetensors file"))
        }
        (None, _) => {
            Err(Error::checkpoint(place, "a zip archive without a data.pkl, so not written by torch.save")
                .with_hint("if it was downloaded as an archive, unpack it and name the checkpoint inside"))
        }
    }
}
