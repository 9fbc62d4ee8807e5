//! The face's skin put together: rings of lids and lips, and the fill between.

use glam::{DVec3, dvec3};
use unils::Result;

use crate::builder::{Body, Builder, Surface, Vertex};
use crate::math::hill_at;
use crate::topology::{Chart, Hole, fill};
use crate::{eyes, mouth};

/// Adds the left half of the skin with lids, lips and the inside of the mouth.
pub fn add_skin(builder: &mut Builder) -> Result<()> {
    let chart = Chart::measure();
    let lids = eyes::add_lids(builder);
    let lips = mouth::add_lips(builder);
    let ring = |vertices: &[u32], builder: &Builder| {
        vertices.iter().map(|&v| (chart.coordinates(builder.vertices[v as usize].at), v)).collect()
    };
    let holes = [
        Hole { ring: ring(&lids, builder), closed: true },
        Hole { ring: ring(&lips, builder), closed: false },
    ];
    let first_free = builder.vertices.len() as u32;
    let filled = fill(&chart, &holes, |v| builder.vertices[v as usize].at, first_free)?;
    for at in filled.points {
        builder.add(Vertex::new(at, Body::Face));
    }
    let first = builder.triangles.len();
    for corners in filled.triangles {
        builder.triangle(Surface::Skin, corners, false);
    }
    builder.face_away_from(first, DVec3::ZERO);
    for vertex in &mut builder.vertices {
        vertex.color *= blush(vertex.at);
        if vertex.body == Body::Face && vertex.mouth.is_none() {
            vertex.mouth = Some(mouth::place_of(vertex.at, 9.0));
        }
    }
    Ok(())
}

/// Warmer on cheeks, nose and chin, darker in the nostrils.
fn blush(p: DVec3) -> DVec3 {
    let cheek = hill_at(p, dvec3(4.5, -3.0, 6.0), dvec3(2.9, 2.2, 4.5));
    let nose = hill_at(p, dvec3(0.0, -3.4, 9.2), dvec3(1.9, 1.6, 2.2));
    let chin = hill_at(p, dvec3(0.0, -9.0, 7.2), dvec3(2.4, 1.5, 2.5));
    let nostril = hill_at(p, dvec3(0.5, -4.15, 8.25), dvec3(0.45, 0.42, 0.62));
    let warm = (0.75 * cheek + 0.55 * nose + 0.3 * chin).min(1.0);
    DVec3::ONE.lerp(dvec3(1.0, 0.74, 0.72), warm).lerp(dvec3(0.26, 0.10, 0.09), 0.9 * nostril)
}
