//! A rig without some of its vertices.

use super::mesh::{Mesh, Part, Vec3};
use super::{BlendshapeRig, Eye, Face, Shape};
use crate::{Error, Result};

impl BlendshapeRig {
    /// The rig with these vertices only, ascending and renumbered in that order. Triangles with any other corner go,
    /// and so do shapes and eyes that keep no vertex; parts stay, empty or not.
    ///
    /// # Errors
    /// [`Error::Face`] if `keep` is not an ascending list of its vertices, or if no triangle or no shape of ARKit's
    /// is left.
    pub fn with_vertices(&self, keep: &[u32], place: &str) -> Result<Self> {
        let mesh = self.mesh();
        let known = keep.last().is_none_or(|&last| (last as usize) < mesh.positions.len());
        if !known || !keep.is_sorted_by(|a, b| a < b) {
            return Err(Error::face(place, "the vertices to keep are not an ascending list of its vertices"));
        }
        let mut new_index = vec![None; mesh.positions.len()];
        (0_u32..).zip(keep).for_each(|(new, &old)| new_index[old as usize] = Some(new));
        let renumber = |old: u32| new_index[old as usize];
        let shapes = self.shapes().iter().map(|shape| {
            let moves = shape.vertices.iter().zip(&shape.deltas);
            let (vertices, deltas) =
                moves.filter_map(|(&vertex, &delta)| Some((renumber(vertex)?, delta))).unzip();
            Shape { name: shape.name.clone(), vertices, deltas }
        });
        let shapes = shapes.filter(|shape| !shape.vertices.is_empty()).collect();
        let eyes = self.eyes().iter().map(|eye| {
            let vertices = eye.vertices.iter().copied().filter_map(renumber).collect();
            Eye { vertices, ..eye.clone() }
        });
        let eyes = eyes.filter(|eye| !eye.vertices.is_empty()).collect();
        let pick = |all: &[f32]| {
            all.iter().zip(&new_index).filter(|(_, new)| new.is_some()).map(|(v, _)| *v).collect()
        };
        let weights = pick(self.head_weights());
        Self::new(subset(mesh, &new_index), shapes, self.pivot(), weights, eyes, place)
    }
}

fn subset(mesh: &Mesh, new_index: &[Option<u32>]) -> Mesh {
    fn pick<T: Copy>(all: &[T], new_index: &[Option<u32>]) -> Vec<T> {
        all.iter().zip(new_index).filter(|(_, new)| new.is_some()).map(|(value, _)| *value).collect()
    }
    let renumber = |old: u32| new_index[old as usize];
    let mut triangles = Vec::with_capacity(mesh.triangles.len());
    let parts = mesh.parts.iter().map(|part| {
        let start = triangles.len();
        triangles.extend(
            mesh.triangles[part.triangles.clone()]
                .iter()
                .filter_map(|&[a, b, c]| Some([renumber(a)?, renumber(b)?, renumber(c)?])),
        );
        Part { triangles: start..triangles.len(), ..part.clone() }
    });
    let parts = parts.collect();
    let regions = mesh
        .regions
        .iter()
        .map(|(name, region)| (name.clone(), region.iter().copied().filter_map(renumber).collect()));
    let positions: Vec<Vec3> = pick(&mesh.positions, new_index);
    Mesh {
        positions,
        colors: pick(&mesh.colors, new_index),
        uvs: pick(&mesh.uvs, new_index),
        regions: regions.collect(),
        triangles,
        parts,
    }
}
