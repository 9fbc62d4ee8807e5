//! Morph targets of a rig, written sparsely: only what moves.

use serde_json::{Value, json};

use super::document::{Document, F32, U16, U32, le};
use crate::face::mesh::{Normals, Vec3, add, sub};
use crate::face::{BlendshapeRig, Face};

/// A normal that changes by less than this (a fifth of a degree) stays as it is in the file.
const LEAST_TURN: f32 = 3.5e-3;

/// What moves: vertices, ascending, and how far.
type Moved = (Vec<u32>, Vec<Vec3>);

/// The displacements of positions and normals of all shapes of a rig.
pub(super) struct MorphTargets {
    shapes: Vec<(Moved, Moved)>,
}

impl MorphTargets {
    /// `rest` are the normals at rest.
    pub(super) fn new(rig: &BlendshapeRig, normals: &Normals, rest: &[Vec3]) -> Self {
        let (mut positions, mut turned) = (Vec::new(), Vec::new());
        let shapes = rig.shapes().iter().map(|shape| {
            positions.clone_from(&rig.mesh().positions);
            for (&vertex, &delta) in shape.vertices.iter().zip(&shape.deltas) {
                positions[vertex as usize] = add(positions[vertex as usize], delta);
            }
            normals.compute(&positions, &mut turned);
            let turns = (0_u32..).zip(rest.iter().zip(&turned)).filter_map(|(vertex, (&rest, &turned))| {
                let turn = sub(turned, rest);
                turn.iter().any(|value| value.abs() > LEAST_TURN).then_some((vertex, turn))
            });
            ((shape.vertices.clone(), shape.deltas.clone()), turns.unzip())
        });
        Self { shapes: shapes.collect() }
    }

    /// The targets of a primitive of `vertices`, ascending.
    pub(super) fn write(&self, document: &mut Document, vertices: &[u32]) -> Vec<Value> {
        let mut sparse = Sparse::default();
        let accessors: Vec<[Option<Value>; 2]> = self
            .shapes
            .iter()
            .map(|(moves, turns)| [sparse.add(vertices, moves, true), sparse.add(vertices, turns, false)])
            .collect();
        let views = sparse.write_views(document);
        // One accessor of zeros stands for all that does not move here.
        let is_still = accessors.as_flattened().iter().any(Option::is_none);
        let still = is_still.then(|| {
            let zeros = json!({
                "componentType": F32, "type": "VEC3", "count": vertices.len(),
                "min": [0.0, 0.0, 0.0], "max": [0.0, 0.0, 0.0],
            });
            document.push("accessors", zeros)
        });
        let mut index = |accessor: Option<Value>| match accessor {
            Some(mut accessor) => {
                for (place, view) in ["indices", "values"].into_iter().zip(views) {
                    accessor["sparse"][place]["bufferView"] = view.into();
                }
                Some(document.push("accessors", accessor))
            }
            None => still,
        };
        let targets = accessors.into_iter().map(|[position, normal]| {
            let position = index(position);
            json!({"POSITION": position, "NORMAL": index(normal)})
        });
        targets.collect()
    }
}

/// The numbers of one primitive's sparse accessors, gathered in two views.
#[derive(Default)]
struct Sparse {
    indices: Vec<u8>,
    values: Vec<Vec3>,
}

impl Sparse {
    /// The accessor, without its views, of those of `moved` that are among `vertices`; nothing if none is.
    fn add(&mut self, vertices: &[u32], (moved, deltas): &Moved, bounded: bool) -> Option<Value> {
        let is_short = vertices.len() < usize::from(u16::MAX);
        let (index_start, value_start) = (self.indices.len(), self.values.len());
        for (vertex, &delta) in moved.iter().zip(deltas) {
            if let Ok(local) = vertices.binary_search(vertex) {
                if is_short {
                    self.indices.extend((local as u16).to_le_bytes());
                } else {
                    self.indices.extend((local as u32).to_le_bytes());
                }
                self.values.push(delta);
            }
        }
        let values = &self.values[value_start..];
        if values.is_empty() {
            return None;
        }
        let mut accessor = json!({
            "componentType": F32, "type": "VEC3", "count": vertices.len(),
            "sparse": {
                "count": values.len(),
                "indices": {"byteOffset": index_start, "componentType": if is_short { U16 } else { U32 }},
                "values": {"byteOffset": value_start * size_of::<Vec3>()},
            },
        });
        if bounded {
            let still = if values.len() < vertices.len() { [0.0; 3] } else { values[0] };
            let bound = |pick: fn(f32, f32) -> f32| {
                values.iter().fold(still, |best, value| std::array::from_fn(|i| pick(best[i], value[i])))
            };
            accessor["min"] = json!(bound(f32::min));
            accessor["max"] = json!(bound(f32::max));
        }
        Some(accessor)
    }

    /// The views of indices and of values.
    fn write_views(&self, document: &mut Document) -> [usize; 2] {
        if self.values.is_empty() {
            return [0; 2];
        }
        let values = le(bytemuck::cast_slice(self.values.as_flattened()));
        [document.view(&self.indices, None), document.view(&values, None)]
    }
}
