//! Faces to a `.glb`: see the parent module for what stands where.

use serde_json::{Value, json};

use super::animation::{Animation, Targets};
use super::document::{ARRAY_BUFFER, Document, ELEMENT_ARRAY_BUFFER, F32, U8, U16, U32, le};
use super::surface::Surfaces;
use super::targets::MorphTargets;
use crate::face::mesh::{Mesh, Normals, Part, Vec3, scale, sub};
use crate::face::{BlendshapeRig, Face, Look};
use crate::motion::{Motion, Space, shorten};
use crate::{Error, Result};

/// Version of what stands in `extras.unils`.
pub const FACTS_VERSION: u32 = 1;

/// One face of a file: who, in which look, moving how, where.
#[derive(Debug, Clone, Copy)]
pub struct GlbFace<'a> {
    /// Name of its nodes and mesh, such as the participant's.
    pub name: &'a str,
    /// The head, in the look that is to be seen.
    pub rig: &'a BlendshapeRig,
    /// Further looks to note in the file; see [`Look`].
    pub looks: &'a [Look],
    /// Motion in [`Space::Arkit55`] and the participant whose it is.
    pub motion: Option<(&'a Motion, usize)>,
    /// Where the face stands, metres.
    pub offset: Vec3,
}

impl<'a> GlbFace<'a> {
    /// A face at rest at the origin.
    pub fn new(name: &'a str, rig: &'a BlendshapeRig) -> Self {
        Self { name, rig, looks: &[], motion: None, offset: [0.0; 3] }
    }
}

/// The bytes of a `.glb` with these faces in one scene; all their motion plays at once.
///
/// An hour of motion takes 19 MB a face, in memory and in the file.
///
/// # Errors
/// [`Error::Face`] if there is no face, if colours or roughness leave 0 to 1 or a texture has no coordinates, or
/// above 4 GiB; [`Error::Motion`] for motion that is not [`Space::Arkit55`] or whose frames are too many for distinct
/// times in f32; [`Error::Argument`] if there is no such participant.
pub fn write_glb(faces: &[GlbFace<'_>]) -> Result<Vec<u8>> {
    if faces.is_empty() {
        return Err(Error::face("glb", "0 faces: expected 1 or more"));
    }
    let mut document = Document::default();
    let mut surfaces = Surfaces::default();
    let mut animation = Animation::default();
    let mut roots = Vec::new();
    for face in faces {
        let compact = compacted(face.rig, face.name)?;
        let rig = compact.as_ref().unwrap_or(face.rig);
        let targets = write_face(&mut document, &mut surfaces, face, rig, &mut roots)?;
        if let Some((motion, participant)) = face.motion {
            check_motion(motion, participant)?;
            animation.add(&mut document, rig, &targets, motion, participant)?;
        }
    }
    animation.finish(&mut document);
    document.push("scenes", json!({"nodes": roots}));
    document.finish(concat!("unils ", env!("CARGO_PKG_VERSION")))
}

fn check_motion(motion: &Motion, participant: usize) -> Result<()> {
    if motion.space() != Space::Arkit55 {
        return Err(Error::motion("motion", format!("is {} motion, expected arkit55", motion.space()))
            .with_hint("convert it to ARKit's shapes first"));
    }
    if participant >= motion.participants() {
        let what = format!("there is no number {participant}, the clip has {}", motion.participants());
        return Err(Error::argument("participant", what).with_hint("participants are counted from 0"));
    }
    Ok(())
}

/// The rig without vertices of no triangle, which a file cannot hold; nothing if it has none.
fn compacted(rig: &BlendshapeRig, place: &str) -> Result<Option<BlendshapeRig>> {
    let mesh = rig.mesh();
    let used = used_vertices(mesh, 0..mesh.triangles.len());
    if used.len() == mesh.positions.len() {
        return Ok(None);
    }
    rig.with_vertices(&used, place).map(Some)
}

/// The vertices of some triangles, ascending.
fn used_vertices(mesh: &Mesh, triangles: std::ops::Range<usize>) -> Vec<u32> {
    let mut used: Vec<u32> = mesh.triangles[triangles].as_flattened().to_vec();
    used.sort_unstable();
    used.dedup();
    used
}

/// Mesh, nodes and skin of one face.
fn write_face(
    document: &mut Document,
    surfaces: &mut Surfaces,
    face: &GlbFace<'_>,
    rig: &BlendshapeRig,
    roots: &mut Vec<usize>,
) -> Result<Targets> {
    let mesh = rig.mesh();
    check_colors(mesh, face.name)?;
    let bones = Bones::of(rig);
    let normals = Normals::new(mesh);
    let mut rest = Vec::new();
    normals.compute(&mesh.positions, &mut rest);
    let morphs = MorphTargets::new(rig, &normals, &rest);
    let mut primitives = Vec::new();
    for part in mesh.parts.iter().filter(|part| !part.triangles.is_empty()) {
        let material = surfaces.write(document, &part.material, !mesh.uvs.is_empty(), face.name)?;
        let vertices = used_vertices(mesh, part.triangles.clone());
        let mut attributes = json!({});
        let pick = |all: &[Vec3]| -> Vec<Vec3> { vertices.iter().map(|&v| all[v as usize]).collect() };
        attributes["POSITION"] = document.vectors(&pick(&mesh.positions), true).into();
        attributes["NORMAL"] = document.vectors(&pick(&rest), false).into();
        if !mesh.colors.is_empty() {
            attributes["COLOR_0"] = document.vectors(&pick(&mesh.colors), false).into();
        }
        if !mesh.uvs.is_empty() {
            let uvs: Vec<[f32; 2]> = vertices.iter().map(|&v| mesh.uvs[v as usize]).collect();
            let bytes = le(bytemuck::cast_slice(uvs.as_flattened()));
            attributes["TEXCOORD_0"] =
                document.accessor(&bytes, Some(ARRAY_BUFFER), F32, "VEC2", uvs.len()).into();
        }
        if let Some(bones) = &bones {
            bones.write_weights(document, rig, &vertices, &mut attributes);
        }
        primitives.push(json!({
            "attributes": attributes,
            "indices": write_triangles(document, mesh, part, &vertices),
            "material": material,
            "targets": morphs.write(document, &vertices),
            "extras": {"part": part.name, "vertices": runs(&vertices)},
        }));
    }
    let names: Vec<&str> = rig.shapes().iter().map(|shape| shape.name.as_str()).collect();
    let index = document.push(
        "meshes",
        json!({
            "name": face.name,
            "primitives": primitives,
            "weights": vec![0.0; names.len()],
            "extras": {"targetNames": names, "unils": facts(rig, face.looks, bones.as_ref())},
        }),
    );
    Ok(match bones {
        Some(bones) => bones.write_nodes(document, face, rig, index, roots),
        None => write_plain_nodes(document, face, rig, index, roots),
    })
}

fn check_colors(mesh: &Mesh, place: &str) -> Result<()> {
    match mesh.colors.iter().position(|color| color.iter().any(|value| !(0.0..=1.0).contains(value))) {
        None => Ok(()),
        Some(vertex) => {
            let what = format!("the colour of vertex {vertex} is {:?}, expected 0 to 1", mesh.colors[vertex]);
            Err(Error::face(shorten(place), what))
        }
    }
}

/// Corners counted in the part's own vertices, in as few bytes as they fit.
fn write_triangles(document: &mut Document, mesh: &Mesh, part: &Part, vertices: &[u32]) -> usize {
    let corners = mesh.triangles[part.triangles.clone()].as_flattened();
    let local = |vertex: &u32| vertices.partition_point(|known| known < vertex) as u32;
    // The largest number of a type restarts strips and is no vertex.
    let (bytes, component) = if vertices.len() < usize::from(u16::MAX) {
        (corners.iter().flat_map(|vertex| (local(vertex) as u16).to_le_bytes()).collect::<Vec<u8>>(), U16)
    } else {
        (corners.iter().flat_map(|vertex| local(vertex).to_le_bytes()).collect(), U32)
    };
    document.accessor(&bytes, Some(ELEMENT_ARRAY_BUFFER), component, "SCALAR", corners.len())
}

/// What glTF has no place for.
fn facts(rig: &BlendshapeRig, looks: &[Look], bones: Option<&Bones>) -> Value {
    let looks: Vec<Value> = looks
        .iter()
        .map(|look| json!({"name": look.name, "colors": look.colors, "shapes": look.shapes}))
        .collect();
    let eyes: Vec<Value> = rig
        .eyes()
        .iter()
        .map(|eye| json!({"is_left": eye.is_left, "center": eye.center, "vertices": runs(&eye.vertices)}))
        .collect();
    json!({
        "version": FACTS_VERSION,
        "vertices": rig.mesh().positions.len(),
        "pivot": rig.pivot(),
        "torso_joint": bones.and_then(|bones| bones.torso),
        "eyes": eyes,
        "regions": rig.mesh().regions,
        "looks": looks,
    })
}

/// An ascending list as pairs of a first number and how many follow on it, itself included.
pub(super) fn runs(list: &[u32]) -> Vec<u32> {
    let mut runs: Vec<u32> = Vec::new();
    for &number in list {
        match runs.as_mut_slice() {
            [.., first, count] if *first + *count == number => *count += 1,
            _ => runs.extend([number, 1]),
        }
    }
    runs
}

/// The joints of a face's skin, by their place in it.
struct Bones {
    torso: Option<usize>,
    head: usize,
    /// The first eye's; the others follow.
    first_eye: usize,
}

impl Bones {
    /// The joints that a rig needs: none if all of it turns with the head and no eye turns.
    fn of(rig: &BlendshapeRig) -> Option<Self> {
        let has_torso = !rig.head_weights().is_empty();
        let head = usize::from(has_torso);
        (has_torso || !rig.eyes().is_empty()).then_some(Self {
            torso: has_torso.then_some(0),
            head,
            first_eye: head + 1,
        })
    }

    fn write_weights(
        &self,
        document: &mut Document,
        rig: &BlendshapeRig,
        vertices: &[u32],
        attributes: &mut Value,
    ) {
        let mut turns = vec![self.head as u8; rig.mesh().positions.len()];
        for (index, eye) in rig.eyes().iter().enumerate() {
            for &vertex in &eye.vertices {
                turns[vertex as usize] = (self.first_eye + index) as u8;
            }
        }
        let (mut joints, mut weights) = (Vec::new(), Vec::new());
        for &vertex in vertices {
            let joint = turns[vertex as usize];
            let weight = rig.head_weights().get(vertex as usize).copied().unwrap_or(1.0);
            // Joints without weight are joint 0, which is the torso's if there is one.
            joints.extend([if weight > 0.0 { joint } else { 0 }, 0, 0, 0]);
            weights.extend([weight, 1.0 - weight, 0.0, 0.0]);
        }
        let count = vertices.len();
        let joints = document.accessor(&joints, Some(ARRAY_BUFFER), U8, "VEC4", count);
        let bytes = le(bytemuck::cast_slice(&weights));
        attributes["JOINTS_0"] = joints.into();
        attributes["WEIGHTS_0"] = document.accessor(&bytes, Some(ARRAY_BUFFER), F32, "VEC4", count).into();
    }

    /// Joints under a node of the face's name, the skin, and the mesh beside them, as skinned meshes are to stand.
    fn write_nodes(
        &self,
        document: &mut Document,
        face: &GlbFace<'_>,
        rig: &BlendshapeRig,
        mesh: usize,
        roots: &mut Vec<usize>,
    ) -> Targets {
        let pivot = rig.pivot();
        let mut eyes = Vec::new();
        for eye in rig.eyes() {
            let name = if eye.is_left { "eye_left" } else { "eye_right" };
            let node = json!({"name": name, "translation": sub(eye.center, pivot)});
            eyes.push(document.push("nodes", node));
        }
        let mut head = json!({"name": "head", "translation": pivot});
        if !eyes.is_empty() {
            head["children"] = json!(eyes);
        }
        let head = document.push("nodes", head);
        let (mut joints, mut places) = (Vec::new(), Vec::new());
        let mut top = head;
        if self.torso.is_some() {
            top = document.push("nodes", json!({"name": "torso", "children": [head]}));
            joints.push(top);
            places.push([0.0; 3]);
        }
        joints.push(head);
        places.push(pivot);
        joints.extend(&eyes);
        places.extend(rig.eyes().iter().map(|eye| eye.center));
        let matrices: Vec<f32> =
            places.iter().flat_map(|&place| from_translation(scale(place, -1.0))).collect();
        let bytes = le(bytemuck::cast_slice(&matrices));
        let matrices = document.accessor(&bytes, None, F32, "MAT4", places.len());
        let skin = document.push("skins", json!({"joints": joints, "inverseBindMatrices": matrices}));
        let root = json!({"name": face.name, "translation": face.offset, "children": [top]});
        roots.push(document.push("nodes", root));
        let mesh = document.push("nodes", json!({"name": "face", "mesh": mesh, "skin": skin}));
        roots.push(mesh);
        Targets { mesh, head, eyes }
    }
}

/// A mesh that turns with a node at the pivot.
fn write_plain_nodes(
    document: &mut Document,
    face: &GlbFace<'_>,
    rig: &BlendshapeRig,
    mesh: usize,
    roots: &mut Vec<usize>,
) -> Targets {
    let back = scale(rig.pivot(), -1.0);
    let mesh = document.push("nodes", json!({"name": "face", "translation": back, "mesh": mesh}));
    let head = json!({"name": "head", "translation": rig.pivot(), "children": [mesh]});
    let head = document.push("nodes", head);
    let root = json!({"name": face.name, "translation": face.offset, "children": [head]});
    roots.push(document.push("nodes", root));
    Targets { mesh, head, eyes: Vec::new() }
}

/// A matrix that moves by `t`, column by column.
fn from_translation(t: Vec3) -> [f32; 16] {
    [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, t[0], t[1], t[2], 1.0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_runs() {
        assert_eq!(runs(&[]), [] as [u32; 0]);
        assert_eq!(runs(&[3]), [3, 1]);
        assert_eq!(runs(&[0, 1, 2, 5, 7, 8]), [0, 3, 5, 1, 7, 2]);
    }
}
