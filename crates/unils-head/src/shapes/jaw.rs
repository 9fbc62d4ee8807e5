//! The jaw: opening, forward, sideways; and the lips that stay closed over an open jaw.

use glam::{DMat3, DVec3, dvec3};

use super::Definition::{self, Both, Left};
use crate::builder::{Body, MouthPlace, Vertex};
use crate::math::{mix, smoothstep};
use crate::mouth::{MOUTH_WIDTH, line_depth, line_height};

pub const SHAPES: &[Definition] =
    &[Both("jawOpen", open), Both("jawForward", forward), Left("jaw", left), Both("mouthClose", close)];

/// The joint before the ear.
const JOINT: DVec3 = dvec3(0.0, -1.4, 0.2);

/// Where lips that stay closed meet on the way that the jaw takes the lower one.
const MEETING: f64 = 0.5;

/// Where an opening of 1 takes a point that is fixed to the jaw.
fn opened(p: DVec3) -> DVec3 {
    let turned = JOINT + DMat3::from_rotation_x(0.31) * (p - JOINT);
    turned + dvec3(0.0, -0.15, 0.80)
}

/// How far the lips' line follows the jaw at `u`, upper or lower.
fn line_follows(u: f64, lower: f64) -> f64 {
    let side = u.abs().min(1.0);
    let corner = 0.44;
    let above = mix(0.0, corner, side.powf(3.2));
    let below = mix(1.0, corner, 1.0 - (1.0 - side.powf(2.6)).max(0.0).powf(0.85));
    mix(above, below, lower)
}

/// How far a vertex follows the jaw, 0 to 1.
pub fn follows(vertex: &Vertex) -> f64 {
    match vertex.body {
        Body::LowerTeeth => return 1.0,
        Body::Tongue => return mix(0.35, 0.96, smoothstep(2.0, 5.0, vertex.at.z)),
        Body::Face => {}
        _ => return 0.0,
    }
    let Some(place) = vertex.mouth else { return 0.0 };
    if place.across < 0.0 {
        return inside(&place);
    }
    let p = vertex.at;
    let line = mix(-3.4, -6.5, smoothstep(-1.0, 7.0, p.z));
    let far = smoothstep(-1.5, 1.7, line - p.y);
    let near = line_follows(place.u, place.lower);
    let blend = smoothstep(2.9, 0.5, place.distance);
    let neck = smoothstep(0.4, 5.2, p.z + 1.15 * (p.y + 9.7).max(0.0));
    mix(far, near, blend) * neck
}

/// The inside of the mouth follows its lip in front and lies still at the throat.
fn inside(place: &MouthPlace) -> f64 {
    let lip = line_follows(place.u, place.lower);
    let wall = mix(0.10, 0.95, place.lower);
    mix(mix(lip, wall, smoothstep(-0.9, -2.0, place.across)), 0.35, smoothstep(-2.0, -3.5, place.across))
}

fn open(vertex: &Vertex) -> DVec3 {
    (opened(vertex.at) - vertex.at) * follows(vertex)
}

fn forward(vertex: &Vertex) -> DVec3 {
    dvec3(0.0, -0.06, 0.75) * soft_follows(vertex)
}

fn left(vertex: &Vertex) -> DVec3 {
    // The cheeks over the joint stay.
    dvec3(0.80, 0.0, -0.05) * soft_follows(vertex) * smoothstep(0.0, 5.5, vertex.at.z)
}

/// As [`follows`], but the lips stay together: both go along half.
fn soft_follows(vertex: &Vertex) -> f64 {
    let Some(place) = vertex.mouth else { return follows(vertex) };
    if place.across < -1.6 {
        return follows(vertex);
    }
    let mean = 0.5 * (line_follows(place.u, 0.0) + line_follows(place.u, 1.0));
    mix(follows(vertex), mean, smoothstep(1.3, 0.0, place.distance))
}

/// Brings both lips of a jaw that is open by 1 to one line between them.
fn close(vertex: &Vertex) -> DVec3 {
    let Some(place) = vertex.mouth.filter(|_| vertex.body == Body::Face) else { return DVec3::ZERO };
    let at = dvec3(place.u * MOUTH_WIDTH, line_height(place.u), line_depth(place.u));
    let whole = opened(at) - at;
    let follow = |lower: f64| line_follows(place.u, lower);
    let meeting = mix(follow(0.0), follow(1.0), MEETING);
    let way = whole * (meeting - follow(place.lower));
    let reach = mix(1.7, 2.5, place.lower);
    let near = if place.across < 0.0 {
        smoothstep(-2.2, -0.6, place.across)
    } else {
        smoothstep(reach, 0.35, place.distance)
    };
    way * near
}
