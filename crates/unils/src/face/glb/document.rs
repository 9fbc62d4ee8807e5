//! A glTF document as it grows: JSON objects and the binary chunk, with the views and accessors between them.

use serde_json::{Map, Value, json};

use super::container;
use crate::Result;
use crate::face::mesh::Vec3;

/// `componentType`: unsigned integers of 8, 16 and 32 bits, and f32.
pub(super) const U8: u32 = 5121;
pub(super) const U16: u32 = 5123;
pub(super) const U32: u32 = 5125;
pub(super) const F32: u32 = 5126;

/// `target` of views that graphics cards read.
pub(super) const ARRAY_BUFFER: u32 = 34962;
pub(super) const ELEMENT_ARRAY_BUFFER: u32 = 34963;

/// The arrays of a document's objects and its numbers.
#[derive(Default)]
pub(super) struct Document {
    lists: Map<String, Value>,
    bin: Vec<u8>,
}

impl Document {
    /// Appends an object to one of the root's arrays and says where it stands.
    pub(super) fn push(&mut self, list: &str, object: Value) -> usize {
        let entry = self.lists.entry(list).or_insert_with(|| json!([]));
        if let Value::Array(array) = entry {
            array.push(object);
            array.len() - 1
        } else {
            0
        }
    }

    /// The object at an index of one of the root's arrays.
    pub(super) fn get_mut(&mut self, list: &str, index: usize) -> Option<&mut Value> {
        self.lists.get_mut(list)?.get_mut(index)
    }

    /// Appends bytes as a view, aligned to 4.
    pub(super) fn view(&mut self, bytes: &[u8], target: Option<u32>) -> usize {
        self.bin.resize(self.bin.len().next_multiple_of(4), 0);
        let mut view = json!({"buffer": 0, "byteOffset": self.bin.len(), "byteLength": bytes.len()});
        if let Some(target) = target {
            view["target"] = target.into();
        }
        self.bin.extend_from_slice(bytes);
        self.push("bufferViews", view)
    }

    /// Appends numbers as a view of their own and an accessor to all of it.
    pub(super) fn accessor(
        &mut self,
        bytes: &[u8],
        target: Option<u32>,
        component: u32,
        kind: &str,
        count: usize,
    ) -> usize {
        let view = self.view(bytes, target);
        let accessor = json!({"bufferView": view, "componentType": component, "type": kind, "count": count});
        self.push("accessors", accessor)
    }

    /// Appends points or directions; `bounded` adds their least and largest coordinates, which positions need.
    pub(super) fn vectors(&mut self, vectors: &[Vec3], bounded: bool) -> usize {
        let bytes = bytemuck::cast_slice(vectors.as_flattened());
        let index = self.accessor(&le(bytes), Some(ARRAY_BUFFER), F32, "VEC3", vectors.len());
        if bounded {
            self.bound(index, vectors);
        }
        index
    }

    /// Adds the bounds of `vectors` to an accessor.
    pub(super) fn bound(&mut self, accessor: usize, vectors: &[Vec3]) {
        let bound = |pick: fn(f32, f32) -> f32, start: f32| {
            vectors.iter().fold([start; 3], |best, vector| std::array::from_fn(|i| pick(best[i], vector[i])))
        };
        let (min, max) = (bound(f32::min, f32::INFINITY), bound(f32::max, f32::NEG_INFINITY));
        if let Some(accessor) = self.get_mut("accessors", accessor) {
            accessor["min"] = json!(min);
            accessor["max"] = json!(max);
        }
    }

    /// The file.
    pub(super) fn finish(mut self, generator: &str) -> Result<Vec<u8>> {
        self.lists.insert("asset".to_owned(), json!({"version": "2.0", "generator": generator}));
        self.lists.insert("buffers".to_owned(), json!([{"byteLength": self.bin.len()}]));
        container::join(Value::Object(self.lists).to_string().into_bytes(), self.bin)
    }
}

/// Bytes of f32 or u32 numbers in this machine's order, as the file has them.
pub(super) fn le(bytes: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        bytes.into()
    } else {
        bytes.chunks_exact(4).flat_map(|four| four.iter().rev().copied()).collect::<Vec<u8>>().into()
    }
}
