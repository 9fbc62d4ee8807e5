//! Files of ours, back to what was written.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::accessor::Numbers;
use super::reader::Beside;
use super::schema::{Mesh as GltfMesh, Primitive, Root};
use super::surface::Surface;
use super::writer::FACTS_VERSION;
use crate::face::mesh::{MAX_VERTICES, Mesh, Part, Vec3};
use crate::face::{BlendshapeRig, Eye, Head, Look, Shape};
use crate::{Error, Result};

/// `extras` of a mesh of ours.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MeshExtras {
    target_names: Vec<String>,
    unils: Facts,
}

#[derive(Debug, Deserialize)]
struct Facts {
    vertices: usize,
    pivot: Vec3,
    torso_joint: Option<u32>,
    eyes: Vec<EyeFacts>,
    regions: BTreeMap<String, Vec<u32>>,
    looks: Vec<LookFacts>,
}

#[derive(Debug, Deserialize)]
struct EyeFacts {
    is_left: bool,
    center: Vec3,
    vertices: Vec<u32>,
}

#[derive(Debug, Deserialize)]
struct LookFacts {
    name: String,
    colors: BTreeMap<String, [f32; 4]>,
    shapes: BTreeMap<String, f32>,
}

#[derive(Debug, Deserialize)]
struct PartExtras {
    part: String,
    vertices: Vec<u32>,
}

/// The first mesh of ours in a file; none if another program wrote the file again and lost what belongs to its parts.
pub(super) fn find<'r>(root: &'r Root, place: &str) -> Result<Option<&'r GltfMesh>> {
    let version = |mesh: &GltfMesh| mesh.extras.get("unils")?.get("version")?.as_u64();
    let Some((mesh, version)) = root.meshes.iter().find_map(|mesh| Some((mesh, version(mesh)?))) else {
        return Ok(None);
    };
    if version != u64::from(FACTS_VERSION) {
        let what = format!("was written by another version of this program (facts {version})");
        return Err(Error::face(place, what).with_hint(format!(
            "this program reads facts {FACTS_VERSION}: use a newer version of it, or take \"unils\" out of the \
             mesh's extras to have the file read as any other"
        )));
    }
    let is_whole = mesh.primitives.iter().all(|primitive| primitive.extras.get("vertices").is_some());
    Ok(Some(mesh).filter(|_| is_whole))
}

/// The head of a mesh of ours.
pub(super) fn read(numbers: &Numbers<'_>, mesh: &GltfMesh, beside: Beside<'_>) -> Result<Head> {
    let place = numbers.place;
    let damaged = |what: String| {
        Error::face(place, what).with_hint("another program changed the file: write it again from its source")
    };
    let extras: MeshExtras =
        MeshExtras::deserialize(&mesh.extras).map_err(|error| damaged(format!("its facts: {error}")))?;
    let facts = extras.unils;
    let mut parts = Gathered::new(facts.vertices, &extras.target_names, facts.torso_joint, numbers)?;
    let mut surfaces = Surface::new(numbers, beside);
    for primitive in &mesh.primitives {
        let extras: PartExtras = PartExtras::deserialize(&primitive.extras)
            .map_err(|error| damaged(format!("the facts of a part: {error}")))?;
        let vertices = expanded(&extras.vertices, facts.vertices)
            .ok_or_else(|| damaged(format!("the vertices of part {:?} are not there", extras.part)))?;
        numbers.spend(vertices.len())?;
        let material = surfaces.read(primitive.material)?;
        let start = parts.mesh.triangles.len();
        parts.add(numbers, primitive, &vertices)?;
        let triangles = start..parts.mesh.triangles.len();
        parts.mesh.parts.push(Part { name: extras.part, triangles, material });
    }
    if let Some(vertex) = parts.is_known.iter().position(|known| !known) {
        return Err(damaged(format!("vertex {vertex} is in none of its parts")));
    }
    let eyes = facts.eyes.into_iter().map(|eye| {
        let vertices = expanded(&eye.vertices, facts.vertices)
            .ok_or_else(|| damaged("the vertices of an eye are not there".to_owned()))?;
        Ok(Eye { is_left: eye.is_left, center: eye.center, vertices })
    });
    let eyes = eyes.collect::<Result<_>>()?;
    parts.mesh.regions = facts.regions;
    let shapes = parts.shapes.into_iter().zip(extras.target_names).map(|(moves, name)| {
        let (vertices, deltas) = moves.into_iter().unzip();
        Shape { name, vertices, deltas }
    });
    let rig = BlendshapeRig::new(parts.mesh, shapes.collect(), facts.pivot, parts.weights, eyes, place)?;
    let looks = facts.looks.into_iter().map(|look| Look {
        name: look.name,
        colors: look.colors,
        shapes: look.shapes,
    });
    Head::new(mesh.name.as_deref().unwrap_or_default(), rig).with_looks(looks.collect())
}

/// The head as its parts fill it.
struct Gathered {
    mesh: Mesh,
    is_known: Vec<bool>,
    /// Displacements of each shape by vertex.
    shapes: Vec<BTreeMap<u32, Vec3>>,
    weights: Vec<f32>,
    torso: Option<u32>,
}

impl Gathered {
    fn new(vertices: usize, names: &[String], torso: Option<u32>, numbers: &Numbers<'_>) -> Result<Self> {
        if vertices > MAX_VERTICES {
            return Err(Error::face(
                numbers.place,
                format!("{vertices} vertices, expected at most {MAX_VERTICES}"),
            ));
        }
        numbers.spend(vertices.saturating_add(names.len()))?;
        let mut mesh = Mesh::default();
        mesh.positions.resize(vertices, [0.0; 3]);
        let weights = if torso.is_some() { vec![1.0; vertices] } else { Vec::new() };
        let shapes = vec![BTreeMap::new(); names.len()];
        Ok(Self { mesh, is_known: vec![false; vertices], shapes, weights, torso })
    }

    /// Puts a primitive's vertices where they belong.
    fn add(&mut self, numbers: &Numbers<'_>, primitive: &Primitive, vertices: &[u32]) -> Result<()> {
        let fail = |what: String| {
            Error::face(numbers.place, what)
                .with_hint("another program changed the file: write it again from its source")
        };
        let count = vertices.len();
        let attribute = |name: &str| primitive.attributes.get(name).copied();
        let sized = |index: usize| -> Result<usize> {
            let found = numbers.count(index)?;
            if found == count {
                Ok(index)
            } else {
                Err(fail(format!("{found} elements for {count} vertices")))
            }
        };
        let total = self.mesh.positions.len();
        let position = attribute("POSITION").ok_or_else(|| fail("a part has no positions".to_owned()))?;
        scatter(&mut self.mesh.positions, vertices, &numbers.floats::<3>(sized(position)?)?);
        vertices.iter().for_each(|&vertex| self.is_known[vertex as usize] = true);
        if let Some(index) = attribute("COLOR_0") {
            self.mesh.colors.resize(total, [1.0; 3]);
            scatter(&mut self.mesh.colors, vertices, &numbers.floats::<3>(sized(index)?)?);
        }
        if let Some(index) = attribute("TEXCOORD_0") {
            self.mesh.uvs.resize(total, [0.0; 2]);
            scatter(&mut self.mesh.uvs, vertices, &numbers.floats::<2>(sized(index)?)?);
        }
        if let (Some(torso), Some(joints), Some(weights)) =
            (self.torso, attribute("JOINTS_0"), attribute("WEIGHTS_0"))
        {
            let joints = numbers.integers::<4>(sized(joints)?)?;
            let weights = numbers.floats::<4>(sized(weights)?)?;
            for ((&vertex, joints), weights) in vertices.iter().zip(joints).zip(weights) {
                let pairs = joints.into_iter().zip(weights).filter(|(joint, _)| *joint != torso);
                self.weights[vertex as usize] = pairs.fold(0.0, |sum, (_, weight)| sum + weight);
            }
        }
        let indices = primitive.indices.ok_or_else(|| fail("a part has no triangles".to_owned()))?;
        let corners = numbers.integers::<1>(indices)?;
        for corners in corners.as_flattened().chunks_exact(3) {
            let corner = |i: usize| vertices.get(corners[i] as usize).copied();
            let (Some(a), Some(b), Some(c)) = (corner(0), corner(1), corner(2)) else {
                return Err(fail(format!("a triangle has the corners {corners:?} of {count} vertices")));
            };
            self.mesh.triangles.push([a, b, c]);
        }
        self.add_targets(numbers, primitive, vertices, fail)
    }

    fn add_targets(
        &mut self,
        numbers: &Numbers<'_>,
        primitive: &Primitive,
        vertices: &[u32],
        fail: impl Fn(String) -> Error,
    ) -> Result<()> {
        let (targets, names) = (primitive.targets.len(), self.shapes.len());
        if targets != names {
            return Err(fail(format!("a part has {targets} morph targets for {names} names")));
        }
        for (shape, target) in self.shapes.iter_mut().zip(&primitive.targets) {
            let Some(&index) = target.get("POSITION") else { continue };
            let (moved, deltas) = numbers.displacements(index)?;
            for (local, delta) in moved.into_iter().zip(deltas) {
                let Some(&vertex) = vertices.get(local as usize) else {
                    return Err(fail(format!("a morph target moves vertex {local} of {}", vertices.len())));
                };
                shape.insert(vertex, delta);
            }
        }
        Ok(())
    }
}

fn scatter<T: Copy>(all: &mut [T], vertices: &[u32], values: &[T]) {
    for (&vertex, &value) in vertices.iter().zip(values) {
        all[vertex as usize] = value;
    }
}

/// An ascending list below `limit` from its runs.
fn expanded(runs: &[u32], limit: usize) -> Option<Vec<u32>> {
    let mut list: Vec<u32> = Vec::new();
    for run in runs.chunks(2) {
        let &[first, count] = run else { return None };
        let end = first.checked_add(count).filter(|&end| end as usize <= limit)?;
        if list.last().is_some_and(|&last| last >= first) {
            return None;
        }
        list.extend(first..end);
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_become_lists() {
        assert_eq!(expanded(&[0, 3, 5, 1, 7, 2], 9), Some(vec![0, 1, 2, 5, 7, 8]));
        for bad in [&[0, 3, 5][..], &[0, 3, 2, 1], &[u32::MAX, 2], &[0, 10], &[7, 1, 3, 1]] {
            assert_eq!(expanded(bad, 9), None, "{bad:?}");
        }
    }
}
