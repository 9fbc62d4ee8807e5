//! Safetensors: a JSON header with each tensor's type, shape and byte range, then the bytes.
//!
//! Behind [`TensorFile`](super::TensorFile). The `safetensors` crate reads and checks the header (ranges that
//! follow each other without gap or overlap, sizes that match the shapes); since it does not say which tensor is at
//! fault in every case, [`diagnose`] looks for it when it refuses a file.

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use safetensors::tensor::TensorInfo;
use serde::Deserialize;

use super::part::{Buffer, Part, Stored};
use super::{Dtype, shown};
use crate::{Error, Result};

/// Bytes of the header's length.
const LENGTH: usize = 8;

/// Whether the file starts with a plausible header.
pub(super) fn is_safetensors(bytes: &[u8]) -> bool {
    header(bytes).is_some()
}

/// The header's text, as far as the file holds it.
fn header(bytes: &[u8]) -> Option<&[u8]> {
    const MOST: u64 = 100_000_000;
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    let length = u64::from_le_bytes(*length);
    if length > MOST || rest.first() != Some(&b'{') {
        return None;
    }
    rest.get(..rest.len().min(usize::try_from(length).ok()?))
}

/// Reads the file in `buffer`.
pub(super) fn read(buffer: Buffer, place: &str) -> Result<Part> {
    let bytes = buffer.bytes();
    let (length, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|problem| diagnose(bytes, place, &problem.to_string()))?;
    let data = LENGTH + length;
    let mut part = Part::default();
    for (name, info) in metadata.tensors() {
        let fault = |what: String| Error::checkpoint(place, format!("tensor `{}`: {what}", shown(&name)));
        let dtype = Dtype::from_safetensors(info.dtype)
            .ok_or_else(|| fault(format!("element type {} is not read", info.dtype)))?;
        let (start, end) = info.data_offsets;
        let strides = Stored::row_major(&info.shape);
        let tensor =
            Stored::new(dtype, info.shape.clone(), strides, 0, 0, data + start..data + end).map_err(fault)?;
        part.tensors.insert(name, tensor);
    }
    part.notes =
        metadata.metadata().iter().flatten().map(|(key, text)| (key.clone(), text.clone())).collect();
    part.buffers.push(buffer);
    Ok(part)
}

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "__metadata__")]
    _notes: Option<BTreeMap<String, String>>,
    #[serde(flatten)]
    tensors: BTreeMap<String, TensorInfo>,
}

/// Says which tensor of a refused file is at fault.
fn diagnose(bytes: &[u8], place: &str, problem: &str) -> Error {
    let (what, hint) = match problem_of(bytes) {
        Some((what, hint)) => (what, hint),
        None => (format!("is not a safetensors file: {problem}"), DAMAGED),
    };
    Error::checkpoint(place, what).with_hint(hint)
}

const DAMAGED: &str = "the file is damaged: download or copy it again";
const TRUNCATED: &str = "the file is truncated: download or copy it again";

fn problem_of(bytes: &[u8]) -> Option<(String, &'static str)> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let text = header(bytes)?;
    if text.len() < length {
        return Some((format!("its header should have {length} bytes and has {}", text.len()), TRUNCATED));
    }
    let mut tensors: Vec<_> = serde_json::from_slice::<Header>(text).ok()?.tensors.into_iter().collect();
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let mut expected = 0;
    for (name, info) in &tensors {
        let at_fault = |what: String| Some((format!("tensor `{}`: {what}", shown(name)), DAMAGED));
        let TensorInfo { dtype, shape, data_offsets: (start, end) } = info;
        let elements = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        let Some(bits) = elements.and_then(|elements| elements.checked_mul(dtype.bitsize())) else {
            return at_fault(format!("its shape {shape:?} has more elements than can be counted"));
        };
        if end.checked_sub(*start) != Some(bits / 8) {
            return at_fault(format!(
                "bytes {start}..{end} do not fit its shape {shape:?} of {dtype}, which takes {} bytes",
                bits / 8
            ));
        }
        if *start != expected {
            let how = if *start < expected { "overlap those of" } else { "leave a gap after" };
            return at_fault(format!(
                "its bytes {start}..{end} {how} the tensor before, which ends at {expected}"
            ));
        }
        expected = *end;
    }
    let available = rest.len() - length;
    match expected.cmp(&available) {
        std::cmp::Ordering::Greater => {
            let (name, _) = tensors.iter().find(|(_, info)| info.data_offsets.1 > available)?;
            let name = shown(name);
            Some((
                format!("ends within tensor `{name}`: {available} of {expected} bytes of tensors"),
                TRUNCATED,
            ))
        }
        std::cmp::Ordering::Less => {
            Some((format!("has {} bytes after its last tensor", available - expected), DAMAGED))
        }
        std::cmp::Ordering::Equal => None,
    }
}
