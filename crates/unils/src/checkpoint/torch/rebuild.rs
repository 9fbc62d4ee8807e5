//! From `torch._utils._rebuild_tensor_v2(storage, offset, sizes, strides, ...)` to a checked view of a storage.

use std::collections::HashMap;
use std::ops::Range;

use super::archive::{Archive, Content};
use crate::checkpoint::part::{MAX_RANK, Stored};
use crate::checkpoint::pickle::{Kind, Object, Value};
use crate::checkpoint::{Dtype, shown};
use crate::{Error, Result};

/// More arguments than any of the constructors has. One argument list can serve any number of tensors of a hostile
/// file, so reading one must not cost more than this.
const MOST_ARGUMENTS: usize = 8;

/// What a storage class counts in: its elements, or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StorageClass {
    Typed(Dtype),
    Untyped,
}

/// `FloatStorage`, `UntypedStorage` ...
pub(super) fn storage_class(name: &str) -> Option<StorageClass> {
    match name {
        "UntypedStorage" | "_UntypedStorage" => Some(StorageClass::Untyped),
        _ => Dtype::from_storage_class(name).map(StorageClass::Typed),
    }
}

/// A storage's place: the file (buffer 0) or an inflated copy (1 ...).
#[derive(Debug, Clone)]
struct Home {
    buffer: usize,
    range: Range<usize>,
}

/// The storages of an archive, found as tensors ask for them; shared ones once.
pub(super) struct Storages<'z, 'b> {
    archive: &'z mut Archive<'b>,
    homes: HashMap<String, Home>,
    inflated: Vec<Vec<u8>>,
    big_endian: bool,
}

impl<'z, 'b> Storages<'z, 'b> {
    pub(super) fn new(archive: &'z mut Archive<'b>, big_endian: bool) -> Self {
        Self { archive, homes: HashMap::new(), inflated: Vec::new(), big_endian }
    }

    /// Buffers 1, 2, ... of the tensors made so far.
    pub(super) fn into_inflated(self) -> Vec<Vec<u8>> {
        self.inflated
    }

    /// The tensor that `value` describes.
    pub(super) fn tensor(&mut self, name: &str, value: Value<'_>) -> Result<Stored> {
        let place = self.archive.place();
        self.describe(value).map_err(|problem| match problem {
            Problem::Tensor(what) => Error::checkpoint(place, format!("tensor `{}`: {what}", shown(name)))
                .with_hint("the file is damaged or was not written by torch.save"),
            Problem::File(error) => error,
        })
    }

    fn describe(&mut self, value: Value<'_>) -> Result<Stored, Problem> {
        // a Parameter wraps its tensor; more than one wrapping does not occur
        let object = value.as_object().ok_or("not a tensor")?;
        let object = match object.callable().1 {
            "_rebuild_parameter" | "_rebuild_parameter_with_state" => {
                object.arguments().next().and_then(Value::as_object).ok_or("a parameter without a tensor")?
            }
            _ => object,
        };
        let arguments: Vec<_> = object.arguments().take(MOST_ARGUMENTS).collect();
        let (&[storage, offset, sizes, strides], rest) =
            arguments.split_first_chunk::<4>().ok_or("a tensor needs storage, offset, sizes and strides")?;
        let stated = match object.callable() {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => None,
            // storage, offset, sizes, strides, requires_grad, hooks, dtype, metadata
            ("torch._utils", "_rebuild_tensor_v3") => Some(
                rest.get(2)
                    .and_then(|value| dtype(*value))
                    .ok_or("an element type that this reader does not know")?,
            ),
            (_, other) => return Err(format!("made by `{}`, not a plain tensor", shown(other)).into()),
        };
        let (class, home) = self.storage(storage)?;
        let dtype = match (stated, class) {
            (Some(dtype), _) | (None, StorageClass::Typed(dtype)) => dtype,
            (None, StorageClass::Untyped) => return Err("its element type is not stated".into()),
        };
        let offset = offset.as_usize().ok_or("its storage offset is not a count")?;
        let (sizes, strides) = (counts(sizes, "sizes")?, counts(strides, "strides")?);
        let mut stored = Stored::new(dtype, sizes, strides, offset, home.buffer, home.range)?;
        stored.big_endian = self.big_endian;
        Ok(stored)
    }

    /// `('storage', class, key, device, elements)`
    fn storage(&mut self, value: Value<'_>) -> Result<(StorageClass, Home), Problem> {
        let Kind::Persistent(id) = value.kind() else { return Err("its storage is not in the file".into()) };
        let parts: Vec<_> = id.items().into_iter().flatten().take(MOST_ARGUMENTS).collect();
        let &[_, class, key, _, count, ..] = parts.as_slice() else {
            return Err("its storage is malformed".into());
        };
        let Kind::Global { name, .. } = class.kind() else { return Err("its storage has no class".into()) };
        let class =
            storage_class(name).ok_or_else(|| format!("storage class `{}` is not known", shown(name)))?;
        let key = key.as_str().ok_or("its storage's key is not text")?;
        let count = count.as_usize().ok_or("its storage's size is not a count")?;
        let home = self.home(key)?;
        let unit = match class {
            StorageClass::Typed(dtype) => dtype.size(),
            StorageClass::Untyped => 1,
        };
        match count.checked_mul(unit) {
            Some(bytes) if bytes <= home.range.len() => {
                Ok((class, Home { range: home.range.start..home.range.start + bytes, ..home }))
            }
            _ => Err(format!(
                "its storage `{}` should hold {count} x {unit} bytes and holds {}",
                shown(key),
                home.range.len()
            )
            .into()),
        }
    }

    fn home(&mut self, key: &str) -> Result<Home, Problem> {
        if let Some(home) = self.homes.get(key) {
            return Ok(home.clone());
        }
        let content = self.archive.content(&format!("data/{key}")).map_err(Problem::File)?;
        let home = match content
            .ok_or_else(|| format!("its storage `data/{}` is missing from the file", shown(key)))?
        {
            Content::InPlace(range) => Home { buffer: 0, range },
            Content::Inflated(bytes) => {
                let range = 0..bytes.len();
                self.inflated.push(bytes);
                Home { buffer: self.inflated.len(), range }
            }
        };
        self.homes.insert(key.to_owned(), home.clone());
        Ok(home)
    }
}

/// What went wrong: with this tensor, or with the file.
enum Problem {
    Tensor(String),
    File(Error),
}

impl<T: Into<String>> From<T> for Problem {
    fn from(what: T) -> Self {
        Self::Tensor(what.into())
    }
}

/// A tuple of non-negative integers, perhaps as `torch.Size`.
fn counts(value: Value<'_>, what: &str) -> Result<Vec<usize>, Problem> {
    let size = |object: Object<'_>| object.is("torch", "Size");
    let value = match value.as_object() {
        Some(object) if size(object) => match object.arguments().next() {
            Some(sizes) => sizes,
            None => return Ok(Vec::new()),
        },
        _ => value,
    };
    let items = value.items().ok_or_else(|| format!("its {what} are {}", value.noun()))?;
    if items.len() > MAX_RANK {
        return Err(format!("{} {what}; at most {MAX_RANK} are read", items.len()).into());
    }
    items
        .map(|item| {
            item.as_usize().ok_or_else(|| match item.as_i64() {
                Some(number) => format!("its {what} contain {number}").into(),
                None => format!("its {what} contain {}", item.noun()).into(),
            })
        })
        .collect()
}

/// `torch.float32` as a name.
fn dtype(value: Value<'_>) -> Option<Dtype> {
    match value.kind() {
        Kind::Global { module: "torch", name } => Dtype::from_torch(name),
        _ => None,
    }
}
