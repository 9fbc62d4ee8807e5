//! PyTorch checkpoints: the zip files that `torch.save` writes since version 1.6 (`.pt`, `.pth`, `.bin`).
//!
//! Behind [`TensorFile`](super::TensorFile). The archive holds `<root>/data.pkl`, a pickle that describes tensors as
//! views (offset, sizes, strides) of storages, and `<root>/data/<key>`, one entry a storage. The pickle is read by
//! [`pickle`](super::pickle) with a list of names that describe data ([`is_data`]); storages stay where they are in
//! the (mapped) file.
//!
//! Which entries are the model: those of the dictionary `model`, else of `state_dict`, else of the root itself.
//! `meta_cfg` beside it becomes JSON by the rules of [`Value::to_json`](super::pickle::Value::to_json).

mod archive;
mod rebuild;

use std::collections::BTreeMap;

use self::archive::Archive;
use self::rebuild::Storages;
use super::part::{Buffer, Part};
use super::pickle::{Kind, Policy, Tree, Value};
use super::shown;
use crate::{Error, Result};

/// Names that `torch.save` and common training scripts write and that stand for plain data.
const DATA: &[(&str, &str)] = &[
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("collections", "Counter"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_tensor_v3"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_parameter_with_state"),
    ("torch.storage", "UntypedStorage"),
    ("torch.storage", "_UntypedStorage"),
    ("torch.serialization", "_get_layout"),
    ("torch", "Size"),
    ("torch", "device"),
    ("torch", "dtype"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("builtins", "complex"),
    ("builtins", "slice"),
    ("builtins", "range"),
    ("builtins", "bytearray"),
    ("__builtin__", "set"),
    ("__builtin__", "frozenset"),
    ("_codecs", "encode"),
    ("argparse", "Namespace"),
    ("pathlib", "Path"),
    ("pathlib", "PosixPath"),
    ("pathlib", "PurePosixPath"),
    ("pathlib", "WindowsPath"),
    ("pathlib._local", "PosixPath"),
    ("pathlib._local", "WindowsPath"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("yacs.config", "CfgNode"),
    ("easydict", "EasyDict"),
    ("addict.addict", "Dict"),
];

/// Whether a `.pt` file may name `module.name`: tensors, storages, element types, dictionaries and plain settings.
fn is_data(module: &str, name: &str) -> bool {
    DATA.contains(&(module, name))
        || (module == "torch"
            && (rebuild::storage_class(name).is_some() || super::Dtype::from_torch(name).is_some()))
}

/// The configuration's key beside the model.
const META: &str = "meta_cfg";
/// One long name can be the key of any number of entries of a hostile file.
const LONGEST_NAME: usize = 1024;
/// Most entries that are listed as left out.
const MOST_SKIPPED: usize = 100;

struct TorchPolicy;

impl Policy for TorchPolicy {
    fn allows(&self, module: &str, name: &str) -> bool {
        is_data(module, name)
    }

    /// `('storage', class, key, device, elements)`
    fn allows_persistent(&self, id: Value<'_>) -> bool {
        id.items().is_some_and(|mut items| {
            items.len() >= 5 && items.next().and_then(Value::as_str) == Some("storage")
        })
    }
}

/// Reads the file in `buffer`, whose start says that it is a zip archive.
pub(super) fn read(buffer: Buffer, place: &str) -> Result<Part> {
    let mut archive = Archive::open(buffer.bytes(), place)?;
    let big_endian = archive.is_big_endian()?;
    let description = archive.description()?;
    let tree = Tree::parse(&description, place, &TorchPolicy)?;
    let (model, meta) = model_and_meta(tree.root(), place)?;
    let mut part = Part::default();
    let mut storages = Storages::new(&mut archive, big_endian);
    let mut tensors = BTreeMap::new();
    for (name, value) in model {
        if is_tensor(value) {
            // of equal keys the last counts, as in Python
            tensors.insert(name, storages.tensor(name, value)?);
        } else if part.skipped.len() < MOST_SKIPPED {
            part.skipped.push(format!("{} ({})", shown(name), value.noun()));
        }
    }
    let inflated = storages.into_inflated();
    part.tensors = tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
    part.meta = match meta.map(Value::to_json) {
        Some(Ok(json)) => Some(json),
        Some(Err(problem)) => return Err(Error::checkpoint(place, format!("its {META} {problem}"))),
        None => None,
    };
    part.buffers.push(buffer);
    part.buffers.extend(inflated.into_iter().map(Buffer::Owned));
    Ok(part)
}

fn is_tensor(value: Value<'_>) -> bool {
    value.as_object().is_some_and(|object| object.callable().0 == "torch._utils")
}

type Entries<'t> = Vec<(&'t str, Value<'t>)>;

/// The model's named entries and the value of `meta_cfg`.
fn model_and_meta<'t>(root: Value<'t>, place: &str) -> Result<(Entries<'t>, Option<Value<'t>>)> {
    let Some(_) = root.entries() else {
        let mut error =
            Error::checkpoint(place, format!("holds {}, not a dictionary of tensors", root.noun()));
        if is_tensor(root) {
            error = error.with_hint("save it under a name: torch.save({\"name\": tensor}, path)");
        }
        return Err(error);
    };
    let holder = ["model", "state_dict"]
        .into_iter()
        .filter_map(|key| root.get(key))
        .find(|value| value.entries().is_some_and(|mut entries| entries.any(|(_, value)| is_tensor(value))));
    let mut model = Vec::new();
    for (key, value) in holder.unwrap_or(root).entries().into_iter().flatten() {
        match name_of(key) {
            // in a bare state dict the configuration lies among the tensors
            Some(META) if holder.is_none() => {}
            Some(name) => model.push((name, value)),
            None if is_tensor(value) => {
                return Err(Error::checkpoint(
                    place,
                    format!("a tensor's name is {}, or longer than {LONGEST_NAME} bytes", key.noun()),
                ));
            }
            None => {}
        }
    }
    if !model.iter().any(|&(_, value)| is_tensor(value)) {
        let keys: Vec<_> =
            root.entries().into_iter().flatten().filter_map(|(key, _)| name_of(key)).take(8).collect();
        let keys = keys.iter().map(|key| shown(key)).collect::<Vec<_>>().join(", ");
        return Err(Error::checkpoint(place, format!("holds no tensors; its entries are: {keys}")).with_hint(
            "a checkpoint is a state dict, or a dictionary with the state dict under \"model\" or \"state_dict\"",
        ));
    }
    Ok((model, root.get(META)))
}

/// A key as a tensor's name.
fn name_of(key: Value<'_>) -> Option<&str> {
    let length = match key.kind() {
        Kind::Str(text) => text.len(),
        Kind::Bytes(bytes) => bytes.len(),
        _ => return None,
    };
    if length <= LONGEST_NAME { key.as_str() } else { None }
}
