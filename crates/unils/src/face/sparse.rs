//! Heads as a neutral OBJ mesh and an archive of sparse displacements.
//!
//! The form in which the expressions of the ICT face model (Li et al., "Learning Formation of Physically-Based Face
//! Attributes", 2020) are kept small: a `.npz` with `neutral` (vertices, 3) and, for each shape, `idx_NAME` (n,) and
//! `delta_NAME` (n, 3); the triangles, texture coordinates and materials are those of an `.obj` beside it, whose
//! vertices are in the same order. Names are matched as for any head ([`super::names`]), the unit is told by the
//! face's size. Such heads are never shipped: their licence stays with their user.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::glb::read_file;
use super::mesh::{MAX_VERTICES, Mesh, Vec3, add};
use super::names::{ShapeReport, match_names};
use super::{BlendshapeRig, Eye, Head, Shape, guess, obj};
use crate::file::npz::Npz;
use crate::motion::shorten;
use crate::{Error, Result};

/// Materials of the ICT face model that other programs' shaders need and that hide the eyes without them.
pub const ICT_HIDDEN: [&str; 4] = ["EyeBlend", "EyeOcclusion", "LacrimalFluid", "EyeLashes"];

/// Reads a head from its archive of displacements; the `.obj` is the only one in its folder. Materials whose names
/// contain one of `hide`, in any case, are not shown: [`ICT_HIDDEN`] for ICT's.
///
/// # Errors
/// [`Error::Io`] if a file cannot be read; [`Error::Face`] if there is not one `.obj`, if the two do not have the same
/// vertices, if either is damaged, or if no shape is one of ARKit's.
pub fn read_sparse(archive: &Path, hide: &[String]) -> Result<Head> {
    let obj_path = obj_beside(archive)?;
    let (obj, npz) = (read_file(&obj_path)?, read_file(archive)?);
    let places = [obj_path.display().to_string(), archive.display().to_string()];
    let mut head = read_sparse_bytes(&obj, &npz, [&places[0], &places[1]], hide)?;
    head.name = archive.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(head)
}

/// As [`read_sparse`], from an `.obj` and a `.npz` held in memory; `places` name them in messages.
///
/// # Errors
/// [`Error::Face`] as for [`read_sparse`].
pub fn read_sparse_bytes(obj: &[u8], npz: &[u8], places: [&str; 2], hide: &[String]) -> Result<Head> {
    let neutral = obj::parse(obj, places[0], hide)?;
    let place = places[1];
    let mut shapes = Npz::from_bytes(npz, place).map_err(|error| at_face(place, error))?;
    read(&neutral, &mut shapes, place)
}

/// The only `.obj` of the archive's folder.
fn obj_beside(archive: &Path) -> Result<PathBuf> {
    let folder = archive.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = files_ending(folder, "obj")?;
    match <[PathBuf; 1]>::try_from(found) {
        Ok([path]) => Ok(path),
        Err(found) => {
            let what = format!("{} .obj files beside it, expected 1", found.len());
            Err(Error::face(archive.display(), what)
                .with_hint("the triangles come from an .obj of the neutral head in the same folder"))
        }
    }
}

/// The files of a folder with this ending, sorted.
pub(super) fn files_ending(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io("read", folder, error))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending)))
        .collect();
    found.sort();
    Ok(found)
}

/// Faults of the archive are faults of the face.
fn at_face(place: &str, error: Error) -> Error {
    match error {
        Error::Motion(mut fault) => {
            if !fault.place.contains(place) {
                fault.place = format!("{place}: {}", fault.place);
            }
            Error::Face(fault)
        }
        other => other,
    }
}

fn read<R: std::io::Read + std::io::Seek>(
    neutral: &obj::Obj,
    shapes: &mut Npz<R>,
    place: &str,
) -> Result<Head> {
    let vectors = |shapes: &mut Npz<R>, key: &str| -> Result<Vec<Vec3>> {
        let (shape, values) = shapes.f32_values(key).map_err(|error| at_face(place, error))?;
        match shape.as_slice() {
            [_, 3] => Ok(values.as_chunks::<3>().0.to_vec()),
            _ => Err(Error::face(place, format!("{key:?} has the shape {shape:?}, expected (n, 3)"))),
        }
    };
    let count = neutral.positions.len();
    let mut positions =
        if shapes.contains("neutral") { vectors(shapes, "neutral")? } else { neutral.positions.clone() };
    if positions.len() != count {
        let what = format!("{} vertices, but its .obj has {count}", positions.len());
        return Err(Error::face(place, what).with_hint("the .obj must be the neutral head of the same model"));
    }
    let names: Vec<String> =
        shapes.names().filter_map(|key| key.strip_prefix("delta_")).map(str::to_owned).collect();
    let matches = match_names(&names);
    let mut report = ShapeReport::default();
    report.add(&names, &matches);
    let mut moves: BTreeMap<String, BTreeMap<u32, Vec3>> = BTreeMap::new();
    for (index, name) in names.iter().enumerate() {
        if matches.duplicates.iter().any(|(at, _)| *at == index) {
            continue;
        }
        let deltas = vectors(shapes, &format!("delta_{name}"))?;
        let (_, vertices) =
            shapes.f32_values(&format!("idx_{name}")).map_err(|error| at_face(place, error))?;
        if vertices.len() != deltas.len() {
            let what = format!(
                "{:?} moves {} vertices by {} displacements",
                shorten(name),
                vertices.len(),
                deltas.len()
            );
            return Err(Error::face(place, what));
        }
        let shape =
            moves.entry(matches.shapes[index].map_or_else(|| name.clone(), str::to_owned)).or_default();
        for (vertex, delta) in vertices.into_iter().zip(deltas) {
            // Below 2^24, which MAX_VERTICES is, every whole number is an f32.
            if !(0.0..count as f32).contains(&vertex) || vertex.fract() != 0.0 {
                let what = format!("{:?} moves vertex {vertex} of {count}", shorten(name));
                return Err(Error::face(place, what));
            }
            let sum = shape.entry(vertex as u32).or_insert([0.0; 3]);
            *sum = add(*sum, delta);
        }
    }
    let mut shapes: Vec<Shape> = moves
        .into_iter()
        .map(|(name, moves)| {
            let (vertices, deltas) = moves.into_iter().unzip();
            Shape { name, vertices, deltas }
        })
        .collect();
    if let Some(factor) = guess::metres(&positions, &shapes, &mut report.notes) {
        guess::scale_all(&mut positions, &mut shapes, factor);
    }
    let pivot = guess::estimated_pivot(&positions, &shapes, &mut report.notes);
    let rig = split(neutral, &positions, &shapes, pivot, place)?;
    report.missing = rig.missing();
    Ok(Head { name: String::new(), rig, looks: Vec::new(), report })
}

/// The rig of the OBJ's corners: a vertex for each pair of position and texture coordinate in use.
fn split(
    neutral: &obj::Obj,
    positions: &[Vec3],
    shapes: &[Shape],
    pivot: Vec3,
    place: &str,
) -> Result<BlendshapeRig> {
    let corners = &neutral.corners;
    if corners.len() > MAX_VERTICES {
        return Err(Error::face(
            place,
            format!("{} vertices, expected at most {MAX_VERTICES}", corners.len()),
        ));
    }
    let mesh = Mesh {
        positions: corners.iter().map(|&(position, _)| positions[position as usize]).collect(),
        uvs: neutral.corner_uvs(),
        triangles: neutral.triangles.clone(),
        parts: neutral.parts.clone(),
        ..Mesh::default()
    };
    let mut copies: Vec<Vec<u32>> = vec![Vec::new(); positions.len()];
    for (corner, &(position, _)) in (0_u32..).zip(corners) {
        copies[position as usize].push(corner);
    }
    let shapes = shapes.iter().map(|shape| {
        let moves = shape.vertices.iter().zip(&shape.deltas);
        let mut moves: Vec<(u32, Vec3)> = moves
            .flat_map(|(&vertex, &delta)| copies[vertex as usize].iter().map(move |&corner| (corner, delta)))
            .collect();
        moves.sort_unstable_by_key(|(corner, _)| *corner);
        let (vertices, deltas) = moves.into_iter().unzip();
        Shape { name: shape.name.clone(), vertices, deltas }
    });
    let eyes: Vec<Eye> = Vec::new();
    BlendshapeRig::new(mesh, shapes.collect(), pivot, Vec::new(), eyes, place)
}
