//! Writing safetensors: tensor by tensor, into a file that appears when it is complete.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use half::f16;
use safetensors::tensor::TensorInfo;
use serde::Serialize;

use super::{Dtype, shown};
use crate::file::AtomicFile;
use crate::{Error, Result};

/// How [`write_safetensors`] stores `f32` values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoredAs {
    /// Bit for bit.
    #[default]
    F32,
    /// Rounded to half precision: half the file, about three digits.
    F16,
}

/// A tensor to be written by [`write_tensors`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name in the file.
    pub name: String,
    /// Type of the elements.
    pub dtype: Dtype,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    fn size(&self) -> Option<usize> {
        self.shape.iter().try_fold(self.dtype.size(), |size, &length| size.checked_mul(length))
    }
}

/// Writes row-major `f32` tensors `(name, shape, values, how)` and notes to the safetensors file `path`.
///
/// The same content gives the same bytes. The file appears under its name only when it is complete; on an error
/// nothing is left behind and an older file of that name stays as it was.
///
/// # Errors
/// [`Error::Argument`] if a shape does not fit its values, a name occurs twice or is `__metadata__`, or a value
/// does not fit half precision; [`Error::Io`] if the file cannot be written.
pub fn write_safetensors<'t, N: Into<String>>(
    path: impl AsRef<Path>,
    tensors: impl IntoIterator<Item = (N, &'t [usize], &'t [f32], StoredAs)>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let mut specs = Vec::new();
    let mut values = Vec::new();
    for (name, shape, data, stored) in tensors {
        let dtype = match stored {
            StoredAs::F32 => Dtype::F32,
            StoredAs::F16 => Dtype::F16,
        };
        specs.push(TensorSpec { name: name.into(), dtype, shape: shape.to_vec() });
        values.push(data);
    }
    write_tensors(path, &specs, metadata, |index, spec| stored_as(spec, values[index]))
}

/// The bytes of a tensor's `f32` values in its type, which is `f32` or `f16`.
///
/// # Errors
/// [`Error::Argument`] naming the tensor if a value does not fit half precision.
pub(crate) fn stored_as<'v>(spec: &TensorSpec, values: &'v [f32]) -> Result<Cow<'v, [u8]>> {
    match spec.dtype {
        Dtype::F16 => halves(&spec.name, values).map(Cow::Owned),
        _ => Ok(floats(values)),
    }
}

fn floats(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(values))
    } else {
        Cow::Owned(values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }
}

fn halves(name: &str, values: &[f32]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(values.len() * 2);
    for &value in values {
        let half = f16::from_f32(value);
        if half.is_infinite() && value.is_finite() {
            return Err(Error::argument(
                format!("tensor `{}`", shown(name)),
                format!("{value} is beyond half precision, which ends at 65504"),
            )
            .with_hint("store it in single precision (for `unils convert`: without --half)"));
        }
        out.extend_from_slice(&half.to_le_bytes());
    }
    Ok(out)
}

/// Writes tensors of any type, one at a time: `data(index, spec)` gives the row-major little-endian bytes of
/// `specs[index]` when its turn comes, so that no more than one tensor needs to be in memory.
///
/// Tensors are laid out by falling element size, then by name, whatever their order in `specs`: each one is aligned
/// to its elements, and `data` is called in that order.
///
/// # Errors
/// As for [`write_safetensors`], and whatever `data` returns.
pub fn write_tensors<'d>(
    path: impl AsRef<Path>,
    specs: &[TensorSpec],
    metadata: &BTreeMap<String, String>,
    mut data: impl FnMut(usize, &TensorSpec) -> Result<Cow<'d, [u8]>>,
) -> Result<()> {
    let mut order: Vec<_> = (0..specs.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(specs[index].dtype.size()), &specs[index].name));
    let header = header(specs, &order, metadata)?;
    let path = path.as_ref();
    let mut file = AtomicFile::create(path)?;
    let mut write = |bytes: &[u8]| file.write_all(bytes).map_err(|source| Error::io("write", path, source));
    write(&(header.len() as u64).to_le_bytes())?;
    write(&header)?;
    for index in order {
        let spec = &specs[index];
        let bytes = data(index, spec)?;
        if spec.size() != Some(bytes.len()) {
            return Err(Error::argument(
                format!("tensor `{}`", shown(&spec.name)),
                format!("{} bytes given for shape {:?} of {}", bytes.len(), spec.shape, spec.dtype),
            ));
        }
        write(&bytes)?;
    }
    file.commit()
}

#[derive(Serialize)]
struct Header<'h> {
    #[serde(rename = "__metadata__", skip_serializing_if = "BTreeMap::is_empty")]
    notes: &'h BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: BTreeMap<&'h str, TensorInfo>,
}

fn header(specs: &[TensorSpec], order: &[usize], notes: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let mut names = BTreeSet::new();
    let mut tensors = BTreeMap::new();
    let mut start = 0_usize;
    for &index in order {
        let spec = &specs[index];
        let fault = |what: &str| Error::argument(format!("tensor `{}`", shown(&spec.name)), what);
        if spec.name == "__metadata__" || !names.insert(&spec.name) {
            return Err(fault("its name is taken"));
        }
        let end =
            spec.size().and_then(|size| start.checked_add(size)).ok_or_else(|| fault("it is too large"))?;
        let info = TensorInfo {
            dtype: spec.dtype.to_safetensors(),
            shape: spec.shape.clone(),
            data_offsets: (start, end),
        };
        tensors.insert(spec.name.as_str(), info);
        start = end;
    }
    let mut header = serde_json::to_vec(&Header { notes, tensors })
        .map_err(|problem| Error::argument("safetensors header", problem))?;
    // the tensors begin at a multiple of eight bytes
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}
