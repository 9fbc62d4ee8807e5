//! The 52 shapes of ARKit as displacements of the head's vertices at a coefficient of 1.
//!
//! Each is written once, for both sides together or for the person's left; the right one is its mirror image by
//! construction. What each does is what Apple's documentation of `ARFaceAnchor.BlendShapeLocation` says.

mod brows;
mod cheeks;
mod gaze;
mod jaw;
mod lids;
mod mouth;

use glam::DVec3;

use crate::builder::{Body, Builder, Surface, Vertex, flip};

pub use lids::closing_line;

/// How far a vertex moves, centimetres.
pub type Field = fn(&Vertex) -> DVec3;

/// A shape as it is written down.
#[derive(Clone, Copy)]
pub enum Definition {
    /// Symmetrical.
    Both(&'static str, Field),
    /// The left of a pair: the names end in `Left` and `Right`.
    Left(&'static str, Field),
}

/// Displacements of all vertices.
pub struct Displacements {
    /// Apple's name.
    pub name: String,
    /// One a vertex, centimetres.
    pub deltas: Vec<DVec3>,
}

/// All 52 shapes, in no particular order.
pub fn displacements(builder: &Builder) -> Vec<Displacements> {
    let groups =
        [lids::SHAPES, gaze::SHAPES, jaw::SHAPES, mouth::SHAPES, brows::SHAPES, cheeks::SHAPES].concat();
    let smoother = Smoother::new(builder);
    let mut shapes = Vec::new();
    for definition in groups {
        match definition {
            Definition::Both(name, field) => {
                shapes.push(Displacements {
                    name: name.to_owned(),
                    deltas: symmetrical(builder, &smoother, field),
                });
            }
            Definition::Left(stem, field) => {
                let left = smoother.smoothed(builder.vertices.iter().map(|v| still_or(v, field)).collect());
                let right = mirrored(builder, &left, field);
                shapes.push(Displacements { name: format!("{stem}Left"), deltas: left });
                shapes.push(Displacements { name: format!("{stem}Right"), deltas: right });
            }
        }
    }
    shapes
}

/// Evens displacements out over the skin, where fields of lips, lids and cheeks meet; lips and lids stay as they are.
struct Smoother {
    /// For each vertex of free skin its neighbours; empty for all others.
    neighbours: Vec<Vec<u32>>,
    /// How often each is averaged with its neighbours: more where they are close together.
    rounds: Vec<usize>,
}

impl Smoother {
    fn new(builder: &Builder) -> Self {
        let rounds: Vec<usize> = builder.vertices.iter().map(Self::rounds_for).collect();
        let mut neighbours = vec![Vec::new(); builder.vertices.len()];
        for (_, corners) in builder.triangles.iter().filter(|(surface, _)| *surface == Surface::Skin) {
            for i in 0..3 {
                let (a, b, c) = (corners[i], corners[(i + 1) % 3], corners[(i + 2) % 3]);
                if rounds[a as usize] > 0 {
                    neighbours[a as usize].extend([b, c]);
                }
            }
        }
        Self { neighbours, rounds }
    }

    fn rounds_for(vertex: &Vertex) -> usize {
        let on_lid = vertex.lid.is_some_and(|lid| lid.distance <= 1.0);
        match vertex.mouth {
            Some(mouth) if vertex.body == Body::Face && !on_lid && mouth.across > 1.1 => {
                if mouth.across < 3.0 { 16 } else { 4 }
            }
            _ => 0,
        }
    }

    fn smoothed(&self, mut deltas: Vec<DVec3>) -> Vec<DVec3> {
        let most = self.rounds.iter().copied().max().unwrap_or(0);
        for round in 0..most {
            let old = deltas.clone();
            for (i, around) in self.neighbours.iter().enumerate() {
                if round < self.rounds[i] {
                    let sum: DVec3 = around.iter().map(|&i| old[i as usize]).sum();
                    deltas[i] = deltas[i].lerp(sum / around.len() as f64, 0.6);
                }
            }
        }
        deltas
    }
}

/// Hair and clothing stay where they are.
fn still_or(vertex: &Vertex, field: Field) -> DVec3 {
    match vertex.body {
        Body::Hair | Body::Shirt | Body::UpperTeeth => DVec3::ZERO,
        _ => field(vertex),
    }
}

/// Computed for the left half, mirrored for the right; the middle line stays in the middle.
fn symmetrical(builder: &Builder, smoother: &Smoother, field: Field) -> Vec<DVec3> {
    let mut deltas = smoother.smoothed(builder.vertices.iter().map(|v| still_or(v, field)).collect());
    for (i, vertex) in builder.vertices.iter().enumerate() {
        match builder.mirrored[i] {
            Some(j) if j as usize == i => deltas[i].x = 0.0,
            Some(j) if vertex.at.x < 0.0 => deltas[i] = flip(deltas[j as usize]),
            _ => {}
        }
    }
    deltas
}

fn mirrored(builder: &Builder, deltas: &[DVec3], field: Field) -> Vec<DVec3> {
    let vertices = builder.vertices.iter().zip(&builder.mirrored);
    let delta = |(vertex, twin): (&Vertex, &Option<u32>)| match twin {
        Some(twin) => flip(deltas[*twin as usize]),
        // The reflections on the eyes.
        None => flip(still_or(&vertex.mirrored(), field)),
    };
    vertices.map(delta).collect()
}
