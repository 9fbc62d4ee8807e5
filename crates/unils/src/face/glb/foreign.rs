//! Heads made by others: what their meshes add up to becomes a rig in metres, with a pivot and eyes.

use std::collections::BTreeMap;

use super::accessor::Numbers;
use super::gather::Gathered;
use super::reader::{Beside, GlbOptions};
use super::scene::{Bone, Scene};
use crate::face::mesh::{self, Vec3};
use crate::face::{BlendshapeRig, Eye, Head, Shape, guess};
use crate::motion::shorten;
use crate::{Error, Result};

/// A weight that counts as all.
const ALL: f32 = 0.999;

/// The head of a file.
pub(super) fn read(numbers: &Numbers<'_>, beside: Beside<'_>, options: &GlbOptions) -> Result<Head> {
    let place = numbers.place;
    let scene = Scene::new(numbers.root, place)?;
    let head = [Bone::Head, Bone::Neck].into_iter().find_map(|bone| scene.bones(bone).last());
    let mut gathered = Gathered::new(numbers, &scene, beside, head);
    gathered.add_all(options)?;
    if gathered.mesh.triangles.is_empty() {
        return Err(
            Error::face(place, "has no visible mesh").with_hint("export the head's mesh with the file")
        );
    }
    check_shapes(&gathered, place)?;
    let Gathered { mut mesh, shapes, weights, eyes, mut report, .. } = gathered;
    let mut shapes: Vec<Shape> = shapes.into_iter().map(|(name, moves)| into_shape(name, moves)).collect();
    let mut centers: Vec<Vec3> = scene.world.iter().map(super::matrix::Matrix::origin).collect();
    if let Some(factor) = guess::metres(&mesh.positions, &shapes, &mut report.notes) {
        guess::scale_all(&mut mesh.positions, &mut shapes, factor);
        centers.iter_mut().for_each(|center| *center = crate::face::mesh::scale(*center, factor));
    }
    let from_bone =
        head.map(|node| centers[node]).filter(|&at| guess::is_plausible_pivot(at, &mesh.positions, &shapes));
    let pivot = match from_bone {
        Some(pivot) => pivot,
        None => guess::estimated_pivot(&mesh.positions, &shapes, &mut report.notes),
    };
    let weights = match from_bone {
        Some(_) => head_weights(&weights, &mesh.positions, pivot),
        None => Vec::new(),
    };
    let eyes = turning_eyes(&eyes, &mesh.positions, &shapes, &centers);
    let rig = BlendshapeRig::new(mesh, shapes, pivot, weights, eyes, place)?;
    report.missing = rig.missing();
    Ok(Head { name: String::new(), rig, looks: Vec::new(), report })
}

/// A head needs a shape of ARKit's.
fn check_shapes(gathered: &Gathered<'_>, place: &str) -> Result<()> {
    if !gathered.report.matched.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = gathered.shapes.keys().take(5).map(|name| shorten(name)).collect();
    Err(if names.is_empty() {
        Error::face(place, "has no morph targets: nothing of its face can move")
            .with_hint("export the head with its shape keys (in Blender: Data > Mesh > Shape Keys)")
    } else if names.iter().all(|name| name.starts_with("target_")) {
        Error::face(place, format!("its {} morph targets have no names", gathered.shapes.len())).with_hint(
            "names are read from mesh.extras.targetNames: export with names, as Blender does on its own",
        )
    } else {
        let what = format!(
            "none of its {} morph targets is one of ARKit's: {} ...",
            gathered.shapes.len(),
            names.join(", ")
        );
        Error::face(place, what)
            .with_hint("a head needs morph targets named as in Apple's ARFaceAnchor.BlendShapeLocation")
    })
}

fn into_shape(name: String, moves: BTreeMap<u32, Vec3>) -> Shape {
    let (vertices, deltas) = moves.into_iter().unzip();
    Shape { name, vertices, deltas }
}

/// Weights where all are known or can be told from the height; empty if the whole head turns.
fn head_weights(weights: &[Option<f32>], positions: &[Vec3], pivot: Vec3) -> Vec<f32> {
    let by_height = |position: &Vec3| if position[1] >= pivot[1] { 1.0 } else { 0.0 };
    // Without a skin there are no shoulders to stay behind.
    if weights.iter().all(Option::is_none) {
        return Vec::new();
    }
    let weights: Vec<f32> = weights
        .iter()
        .zip(positions)
        .map(|(weight, position)| weight.unwrap_or_else(|| by_height(position)))
        .collect();
    if weights.iter().all(|&weight| weight >= ALL) { Vec::new() } else { weights }
}

/// The eyes that bones or nodes turn, unless shapes turn them already.
fn turning_eyes(
    eyes: &[Option<(bool, usize)>],
    positions: &[Vec3],
    shapes: &[Shape],
    centers: &[Vec3],
) -> Vec<Eye> {
    let mut found: BTreeMap<(bool, usize), Vec<u32>> = BTreeMap::new();
    for (vertex, eye) in (0_u32..).zip(eyes) {
        if let Some((is_left, node)) = *eye {
            found.entry((!is_left, node)).or_default().push(vertex);
        }
    }
    let looks = shapes.iter().filter(|shape| shape.name.starts_with("eyeLook"));
    let mut turned: Vec<u32> = looks.flat_map(|shape| shape.vertices.iter().copied()).collect();
    turned.sort_unstable();
    turned.dedup();
    let is_turned = |vertices: &[u32]| {
        let count = vertices.iter().filter(|vertex| turned.binary_search(vertex).is_ok()).count();
        2 * count >= vertices.len()
    };
    let eyes =
        found.into_iter().filter(|(_, vertices)| !is_turned(vertices)).map(|((is_right, node), vertices)| {
            let [low, high] = mesh::bounds(vertices.iter().map(|&vertex| positions[vertex as usize]));
            let joint = centers[node];
            let is_inside = (0..3).all(|axis| (low[axis]..=high[axis]).contains(&joint[axis]));
            let middle = std::array::from_fn(|axis| 0.5 * (low[axis] + high[axis]));
            Eye { is_left: !is_right, center: if is_inside { joint } else { middle }, vertices }
        });
    eyes.collect()
}
