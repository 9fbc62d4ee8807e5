//! From the builder's centimetres to a rig: parts, regions, shapes, head weights.

use std::collections::BTreeMap;

use glam::{DVec3, dvec3};
use unils::Result;
use unils::face::glb::{GlbFace, write_glb};
use unils::face::{BlendshapeRig, Look, Mesh, Part, Region, Shape, Vec3};

use crate::builder::{Body, Builder, Vertex};
use crate::form::LID_THICKNESS;
use crate::math::smoothstep;
use crate::{body, brows, ears, eyes, hair, looks, shapes, skin, teeth};

/// Names the head in messages and in its file.
const NAME: &str = "unils";

/// Where the head turns: the top of the neck, centimetres.
const PIVOT: DVec3 = dvec3(0.0, -6.8, -1.6);

/// Shorter displacements are left out, centimetres.
const STILL: f64 = 0.0008;

/// The head as it is generated.
#[derive(Debug, Clone)]
pub struct GeneratedHead {
    /// Mesh, ARKit's shapes and those of the looks.
    pub rig: BlendshapeRig,
    /// The looks it can be given.
    pub looks: Vec<Look>,
    /// The vertex at each vertex's mirrored place; none in the hair and the reflections on the eyes.
    pub mirrored: Vec<Option<u32>>,
}

/// Models the mesh, in centimetres, with what the shapes need to know.
///
/// # Errors
/// Those of the skin's triangulation.
pub fn build() -> Result<Builder> {
    let mut builder = Builder::default();
    skin::add_skin(&mut builder)?;
    eyes::add_ball(&mut builder);
    eyes::add_lashes(&mut builder);
    teeth::add_teeth(&mut builder);
    teeth::add_tongue(&mut builder);
    ears::add_ear(&mut builder);
    brows::add_brow(&mut builder);
    body::add_shirt(&mut builder);
    builder.mirror();
    hair::add_hair(&mut builder);
    eyes::add_glints(&mut builder);
    builder.finish();
    Ok(builder)
}

/// Generates the head.
///
/// # Errors
/// [`unils::Error::Face`] if what was modelled is not a sound rig.
pub fn generate() -> Result<GeneratedHead> {
    let builder = build()?;
    let mesh = mesh(&builder);
    let mut list: Vec<Shape> =
        shapes::displacements(&builder).into_iter().map(|shape| sparse(shape.name, &shape.deltas)).collect();
    let order = |shape: &Shape| unils::motion::Space::Arkit55.index(&shape.name).unwrap_or(usize::MAX);
    list.sort_by_key(order);
    let mut proportions: Vec<DVec3> = builder.vertices.iter().map(looks::proportions).collect();
    for (i, vertex) in builder.vertices.iter().enumerate() {
        if vertex.at.x == 0.0 {
            proportions[i].x = 0.0;
        }
    }
    list.push(sparse(looks::PROPORTIONS.to_owned(), &proportions));
    let weights = builder.vertices.iter().map(head_weight).collect();
    let rig = BlendshapeRig::new(mesh, list, metres(PIVOT), weights, Vec::new(), NAME)?;
    Ok(GeneratedHead { rig, looks: looks::looks(), mirrored: builder.mirrored })
}

/// The file of the head, in its first look, with both looks noted.
///
/// # Errors
/// As [`write_glb`].
pub fn glb(head: &GeneratedHead) -> Result<Vec<u8>> {
    write_glb(&[GlbFace { looks: &head.looks, ..GlbFace::new(NAME, &head.rig) }])
}

/// Whole micrometres: no noise of the last bits in the file.
fn metres(p: DVec3) -> Vec3 {
    (p * 1e4).round().to_array().map(|value| (value * 1e-6) as f32)
}

fn mesh(builder: &Builder) -> Mesh {
    let mut triangles = Vec::new();
    let mut parts = Vec::new();
    for surface in looks::SURFACES {
        let start = triangles.len();
        triangles
            .extend(builder.triangles.iter().filter(|(s, _)| *s == surface).map(|(_, corners)| *corners));
        let material = looks::material(surface);
        parts.push(Part { name: material.name.clone(), triangles: start..triangles.len(), material });
    }
    Mesh {
        positions: builder.vertices.iter().map(|v| metres(v.at)).collect(),
        colors: builder.vertices.iter().map(|v| rounded_color(v.color)).collect(),
        uvs: Vec::new(),
        triangles,
        parts,
        regions: regions(builder),
    }
}

fn rounded_color(color: DVec3) -> Vec3 {
    color.clamp(DVec3::ZERO, DVec3::ONE).to_array().map(|value| ((value * 1024.0).round() / 1024.0) as f32)
}

fn regions(builder: &Builder) -> BTreeMap<String, Vec<u32>> {
    let of = |choose: &dyn Fn(&Vertex) -> bool| {
        let vertices = (0_u32..).zip(&builder.vertices);
        vertices.filter(|(_, vertex)| choose(vertex)).map(|(i, _)| i).collect::<Vec<u32>>()
    };
    let lip_line = |lower: f64| {
        move |v: &Vertex| v.mouth.is_some_and(|m| m.across == 0.0 && (m.lower - lower).abs() <= 0.5)
    };
    let is_upper_face = |v: &Vertex| match v.body {
        Body::Brow => true,
        Body::Face => v.at.y > -1.9 && v.at.z > 2.0 && (v.at.y > -0.4 || v.at.x.abs() > 1.5),
        _ => false,
    };
    let lid_edge = |v: &Vertex| {
        v.body == Body::Face
            && v.lid.is_some_and(|lid| lid.distance == 0.0 && lid.height > 0.5 * LID_THICKNESS)
    };
    let lips = |v: &Vertex| v.mouth.is_some_and(|m| (0.0..=1.5).contains(&m.across));
    let list: [(Region, Vec<u32>); 5] = [
        (Region::Lips, of(&lips)),
        (Region::UpperInnerLip, of(&lip_line(0.0))),
        (Region::LowerInnerLip, of(&lip_line(1.0))),
        (Region::UpperFace, of(&is_upper_face)),
        (Region::Lids, of(&lid_edge)),
    ];
    list.into_iter().map(|(region, vertices)| (region.name().to_owned(), vertices)).collect()
}

fn sparse(name: String, deltas: &[DVec3]) -> Shape {
    let moving = (0_u32..).zip(deltas).filter(|(_, delta)| delta.length() >= STILL);
    let (vertices, deltas) = moving.map(|(vertex, &delta)| (vertex, metres(delta))).unzip();
    Shape { name, vertices, deltas }
}

/// How far a vertex turns with the head: the neck bends from its top down to the collar.
fn head_weight(vertex: &Vertex) -> f32 {
    match vertex.body {
        Body::Shirt => 0.0,
        Body::Face if vertex.mouth.is_none_or(|m| m.across > 5.0) => {
            let p = vertex.at;
            let along = p.y + 0.8 * (p.z - 2.8).max(0.0);
            let weight = smoothstep(-13.4, -8.6, along);
            ((weight * 1024.0).round() / 1024.0) as f32
        }
        _ => 1.0,
    }
}
