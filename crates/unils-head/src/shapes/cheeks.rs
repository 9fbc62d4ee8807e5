//! Cheeks and nose.

use glam::{DVec3, dvec3};

use super::Definition::{self, Both, Left};
use super::lids::{Slide, on_both_sides, raise_under_eye, slide};
use super::mouth::cheek;
use crate::builder::{Body, Vertex};
use crate::math::{hill_at, smoothstep};

pub const SHAPES: &[Definition] =
    &[Both("cheekPuff", puff), Left("cheekSquint", squint), Left("noseSneer", sneer)];

fn puff(vertex: &Vertex) -> DVec3 {
    on_both_sides(vertex, |vertex| {
        let Some(place) = vertex.mouth.filter(|_| vertex.body == Body::Face) else { return DVec3::ZERO };
        if place.across < 0.0 {
            return DVec3::ZERO;
        }
        let side = hill_at(vertex.at, dvec3(4.7, -5.7, 5.2), dvec3(4.6, 4.5, 6.0));
        let over_lip = hill_at(vertex.at, dvec3(0.9, -5.2, 8.0), dvec3(1.8, 0.9, 2.5));
        let off_lips = smoothstep(0.1, 1.4, place.distance);
        dvec3(0.85, 0.05, 0.72) * side * off_lips + dvec3(0.0, 0.0, 0.14) * over_lip
    })
}

fn squint(vertex: &Vertex) -> DVec3 {
    let lids = slide(vertex, |lid| {
        let middle = (1.0 - lid.q * lid.q).max(0.0).sqrt();
        Slide { upper: 0.0, lower: 0.26 * middle, lift: 0.0 }
    });
    lids + cheek(vertex, dvec3(0.02, 0.36, 0.24)) + raise_under_eye(vertex, 0.26)
}

fn sneer(vertex: &Vertex) -> DVec3 {
    let Some(place) = vertex.mouth.filter(|_| vertex.body == Body::Face) else { return DVec3::ZERO };
    if vertex.lid.is_some() || place.across < 0.0 {
        return DVec3::ZERO;
    }
    let side = smoothstep(-0.5, 0.5, vertex.at.x);
    let wing = hill_at(vertex.at, dvec3(1.15, -3.5, 8.0), dvec3(1.6, 1.7, 2.8)) * side;
    let lip = hill_at(vertex.at, dvec3(1.2, -5.3, 8.0), dvec3(1.7, 1.2, 2.5)) * side;
    let bridge = hill_at(vertex.at, dvec3(0.7, -0.6, 8.0), dvec3(1.3, 1.6, 2.5)) * side;
    let on_lip = smoothstep(0.0, 0.9, place.distance) * (1.0 - place.lower);
    dvec3(0.08, 0.50, 0.05) * wing + dvec3(0.0, 0.32, 0.06) * lip * on_lip + dvec3(0.0, 0.24, 0.12) * bridge
}
