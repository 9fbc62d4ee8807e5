//! The brows and the forehead over them.

use glam::{DVec3, dvec3};

use super::Definition::{self, Both, Left};
use super::lids::on_both_sides;
use crate::builder::{Body, Vertex};
use crate::math::{hill_at, smoothstep};

pub const SHAPES: &[Definition] =
    &[Left("browDown", down), Both("browInnerUp", inner_up), Left("browOuterUp", outer_up)];

/// How much a vertex of the left brow or of the skin around it follows a pull at `center`.
fn pulled(vertex: &Vertex, center: DVec3, reach: DVec3) -> f64 {
    let soft = match vertex.body {
        Body::Brow => 1.0,
        Body::Face => {
            vertex.lid.map_or(1.0, |lid| if lid.upper { smoothstep(0.5, 1.35, lid.distance) } else { 0.0 })
        }
        _ => return 0.0,
    };
    // Depth does not count: brow and skin go together.
    let p = dvec3(vertex.at.x, vertex.at.y, center.z);
    let above_ear = smoothstep(0.0, 3.0, vertex.at.z);
    hill_at(p, center, reach) * soft * above_ear
}

fn down(vertex: &Vertex) -> DVec3 {
    let inner = pulled(vertex, dvec3(1.7, 2.3, 0.0), dvec3(3.2, 2.6, 1.0));
    let outer = pulled(vertex, dvec3(4.4, 2.5, 0.0), dvec3(3.2, 2.3, 1.0));
    let frown = dvec3(-0.22, -0.52, 0.10) * inner + dvec3(-0.05, -0.28, 0.04) * outer;
    // The skin between the brows belongs to both: half each.
    if vertex.body == Body::Face { frown * smoothstep(-1.2, 1.2, vertex.at.x) } else { frown }
}

fn inner_up(vertex: &Vertex) -> DVec3 {
    on_both_sides(vertex, |vertex| {
        let inner = pulled(vertex, dvec3(1.5, 2.4, 0.0), dvec3(3.2, 3.0, 1.0));
        dvec3(0.04, 0.72, -0.06) * inner
    })
}

fn outer_up(vertex: &Vertex) -> DVec3 {
    let outer = pulled(vertex, dvec3(4.7, 2.6, 0.0), dvec3(3.2, 2.8, 1.0));
    let side = if vertex.body == Body::Face { smoothstep(-0.8, 1.0, vertex.at.x) } else { 1.0 };
    dvec3(0.02, 0.62, -0.10) * outer * side
}
