//! What every format is read into: buffers, and tensors that are views of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;

use super::Dtype;
use crate::{Error, Result};

/// Elements may be counted more than once (expanded tensors, shared storages), but not without end: all tensors of
/// a part together may take this many times its bytes, plus [`REPEATED_BYTES`].
const REPEATED_TIMES: usize = 4;
/// See [`REPEATED_TIMES`].
const REPEATED_BYTES: usize = 64 << 20;

/// Most dimensions of a tensor, as in PyTorch.
pub(super) const MAX_RANK: usize = 64;

/// The bytes of a file.
pub(super) enum Buffer {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl fmt::Debug for Buffer {
    /// Its size alone: the content would fill the screen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.bytes().len())
    }
}

impl Buffer {
    /// Maps a regular file; nothing is read before it is used.
    pub(super) fn map(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|source| Error::io("open", path, source))?;
        if !metadata.is_file() {
            return Err(Error::checkpoint(path.display(), "neither a file nor a folder")
                .with_hint("name a checkpoint file or a model folder"));
        }
        let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
        if metadata.len() == 0 {
            // an empty range cannot be mapped on every system
            return Ok(Self::Owned(Vec::new()));
        }
        // SAFETY: the mapping is read-only and lives as long as this value. As with every reader of mapped weights,
        // another program that shortens the file in place meanwhile ends this one; our own writer replaces files by
        // renaming, which leaves a mapping intact.
        let map = unsafe { Mmap::map(&file) }.map_err(|source| Error::io("map", path, source))?;
        Ok(Self::Mapped(map))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }

    /// Lets the kernel take back the whole pages inside `range` of a mapping.
    pub(super) fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Self::Mapped(map) = self {
            const PAGE: usize = 4096;
            let (start, end) = (range.start.next_multiple_of(PAGE), range.end / PAGE * PAGE);
            if start < end {
                // SAFETY: the pages are a read-only view of a file; the next access reads the same bytes again.
                // A refusal costs memory, not correctness.
                let _ = unsafe {
                    map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start)
                };
            }
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

/// One tensor inside a part.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Elements from one index to the next, for each dimension.
    pub(super) strides: Vec<usize>,
    /// First element, in elements from the start of the storage.
    pub(super) offset: usize,
    /// Which of the part's buffers.
    pub(super) buffer: usize,
    /// The storage, in bytes of the buffer.
    pub(super) storage: Range<usize>,
    pub(super) big_endian: bool,
    elements: usize,
}

impl Stored {
    /// Checks that every element lies inside the storage. The error is a sentence about the tensor.
    pub(super) fn new(
        dtype: Dtype,
        shape: Vec<usize>,
        strides: Vec<usize>,
        offset: usize,
        buffer: usize,
        storage: Range<usize>,
    ) -> Result<Self, String> {
        if shape.len() != strides.len() {
            return Err(format!("{} sizes but {} strides", shape.len(), strides.len()));
        }
        if shape.len() > MAX_RANK {
            return Err(format!("{} dimensions; at most {MAX_RANK} are read", shape.len()));
        }
        let overflow = || format!("its shape {shape:?} has more elements than can be counted");
        let elements = if shape.contains(&0) {
            0
        } else {
            shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size)).ok_or_else(overflow)?
        };
        elements.checked_mul(dtype.size().max(size_of::<f32>())).ok_or_else(overflow)?;
        let available = storage.len() / dtype.size();
        if elements > 0 {
            let last = shape
                .iter()
                .zip(&strides)
                .try_fold(offset, |last, (&size, &stride)| last.checked_add((size - 1).checked_mul(stride)?));
            if last.is_none_or(|last| last >= available) {
                return Err(format!(
                    "shape {shape:?} with strides {strides:?} from element {offset} reaches beyond its storage of \
                     {available} elements"
                ));
            }
        }
        // the stride of a single index is never used and may be anything
        let strides =
            shape.iter().zip(strides).map(|(&size, stride)| if size > 1 { stride } else { 0 }).collect();
        Ok(Self { dtype, shape, strides, offset, buffer, storage, big_endian: false, elements })
    }

    /// Strides of a row-major tensor.
    pub(super) fn row_major(shape: &[usize]) -> Vec<usize> {
        let mut strides = vec![1_usize; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis].saturating_mul(shape[axis].max(1));
        }
        strides
    }

    pub(super) fn elements(&self) -> usize {
        self.elements
    }

    /// Bytes of all its elements, once each.
    pub(super) fn size(&self) -> usize {
        self.elements * self.dtype.size()
    }

    fn is_row_major(&self) -> bool {
        let expected = Self::row_major(&self.shape);
        self.shape
            .iter()
            .zip(&self.strides)
            .zip(expected)
            .all(|((&size, &stride), row)| size == 1 || stride == row)
    }

    /// The bytes of the elements inside their buffer, if they lie there packed and in row-major order.
    fn packed(&self) -> Option<Range<usize>> {
        if self.elements == 0 {
            return Some(self.storage.start..self.storage.start);
        }
        let start = self.storage.start + self.offset * self.dtype.size();
        self.is_row_major().then(|| start..start + self.size())
    }

    /// Elements in row-major order, little-endian; borrowed where they lie so in the file.
    pub(super) fn bytes<'b>(&self, buffer: &'b Buffer) -> Cow<'b, [u8]> {
        let size = self.dtype.size();
        let mut bytes = match self.packed() {
            Some(range) if !self.big_endian => return Cow::Borrowed(&buffer.bytes()[range]),
            Some(range) => buffer.bytes()[range].to_vec(),
            None => self.gather(&buffer.bytes()[self.storage.clone()]),
        };
        if self.big_endian {
            bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        Cow::Owned(bytes)
    }

    fn gather(&self, storage: &[u8]) -> Vec<u8> {
        let size = self.dtype.size();
        let mut out = Vec::with_capacity(self.size());
        let mut index = vec![0_usize; self.shape.len()];
        let mut element = self.offset;
        for _ in 0..self.elements {
            out.extend_from_slice(&storage[element * size..(element + 1) * size]);
            for axis in (0..self.shape.len()).rev() {
                index[axis] += 1;
                element += self.strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                element -= self.strides[axis] * self.shape[axis];
                index[axis] = 0;
            }
        }
        out
    }

    /// Elements in row-major order as `f32`.
    pub(super) fn f32s(&self, buffer: &Buffer) -> Vec<f32> {
        let mut out = Vec::with_capacity(self.elements);
        self.dtype.extend_f32(&self.bytes(buffer), &mut out);
        out
    }

    /// The elements where they lie, if that is what an `f32` slice looks like.
    pub(super) fn borrowed<'b>(&self, buffer: &'b Buffer) -> Option<&'b [f32]> {
        if self.dtype != Dtype::F32 || self.big_endian || cfg!(target_endian = "big") {
            return None;
        }
        bytemuck::try_cast_slice(&buffer.bytes()[self.packed()?]).ok()
    }

    /// Where to find the elements in the buffer: all of them, perhaps others between them.
    pub(super) fn extent(&self) -> Range<usize> {
        self.packed().unwrap_or_else(|| self.storage.clone())
    }
}

/// One file's content.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) buffers: Vec<Buffer>,
    pub(super) tensors: BTreeMap<String, Stored>,
    /// Text notes of a safetensors header.
    pub(super) notes: BTreeMap<String, String>,
    /// Configuration inside the file.
    pub(super) meta: Option<serde_json::Value>,
    /// Entries beside the tensors that were left out.
    pub(super) skipped: Vec<String>,
}

impl Part {
    /// Refuses a part whose tensors repeat its bytes more often than any honest file does.
    pub(super) fn check_repetition(&self, place: &str) -> Result<()> {
        let held = self.buffers.iter().fold(0_usize, |sum, buffer| sum.saturating_add(buffer.bytes().len()));
        let allowed = held.saturating_mul(REPEATED_TIMES).saturating_add(REPEATED_BYTES);
        let mut claimed = 0_usize;
        for (name, tensor) in &self.tensors {
            claimed = claimed.saturating_add(tensor.size());
            if claimed > allowed {
                return Err(Error::checkpoint(
                    place,
                    format!(
                        "tensor `{}` of shape {:?} brings the tensors to {claimed} bytes, out of a file that holds {held}",
                        super::shown(name),
                        tensor.shape
                    ),
                )
                .with_hint("the file is damaged or made to exhaust memory: get it from its publisher"));
            }
        }
        Ok(())
    }

    /// Takes another part in, whose tensors must have other names.
    pub(super) fn absorb(&mut self, other: Self, place: &str) -> Result<()> {
        let shift = self.buffers.len();
        self.buffers.extend(other.buffers);
        for (name, mut tensor) in other.tensors {
            tensor.buffer += shift;
            if self.tensors.contains_key(&name) {
                return Err(Error::checkpoint(
                    place,
                    format!("tensor `{}` is in two shards", super::shown(&name)),
                ));
            }
            self.tensors.insert(name, tensor);
        }
        self.notes.extend(other.notes);
        self.skipped.extend(other.skipped);
        Ok(())
    }
}
