//! Blinking, squinting, widening: the lids slide over the eyeball.

use glam::{DVec2, DVec3};

use super::Definition::{self, Left};
use crate::builder::{Body, LidPlace, Vertex, flip};
use crate::eyes::{edge, over_ball, place_on_ball};
use crate::form::{EYE_RADIUS, LID_THICKNESS};
use crate::math::{hill_at, mix, smoothstep};

pub const SHAPES: &[Definition] =
    &[Left("eyeBlink", blink), Left("eyeSquint", squint), Left("eyeWide", widen)];

/// How far the upper lid slides over the lower when they close: what other shapes may then open without a gap.
const OVERLAP: f64 = 0.26;

/// Height of the line in which the lids close, at a column.
pub fn closing_line(q: f64) -> f64 {
    let (above, below) = (edge(q, true).y, edge(q, false).y);
    mix(below, above, 0.20)
}

/// How the lids slide at a column: their edges' way up, and how far off the ball they move.
pub struct Slide {
    pub upper: f64,
    pub lower: f64,
    pub lift: f64,
}

/// 1 in the middle of the opening, 0 at its corners.
fn middle(q: f64) -> f64 {
    (1.0 - q * q).max(0.0).sqrt()
}

/// Slides the lids of the left eye; the skin beyond follows less the further it is.
pub fn slide(vertex: &Vertex, slide: impl Fn(&LidPlace) -> Slide) -> DVec3 {
    let Some(lid) = vertex.lid.filter(|_| vertex.at.x > 0.0) else { return DVec3::ZERO };
    let way = slide(&lid);
    let (up, lift) = if lid.upper { (way.upper, way.lift) } else { (way.lower, 0.0) };
    let reach = if lid.upper { 1.05 } else { 1.1 };
    let follow = smoothstep(reach, 0.0, lid.distance);
    let (place, radius) = place_on_ball(vertex.at);
    // Skin that comes from under the brow lies down on the ball.
    let on_ball = EYE_RADIUS + LID_THICKNESS + 0.04;
    let settled = mix(radius, radius.min(on_ball), smoothstep(0.0, 0.9, (up * follow).abs()));
    over_ball(place + DVec2::Y * (up * follow), settled + lift * follow) - vertex.at
}

fn blink(vertex: &Vertex) -> DVec3 {
    let lids = slide(vertex, |lid| {
        let line = closing_line(lid.q);
        Slide {
            upper: line - edge(lid.q, true).y - OVERLAP * middle(lid.q),
            lower: line - edge(lid.q, false).y,
            lift: 0.15 * middle(lid.q),
        }
    });
    lids + brow_follows(vertex, -0.05)
}

fn squint(vertex: &Vertex) -> DVec3 {
    let lids = slide(vertex, |lid| Slide {
        upper: -0.22 * middle(lid.q),
        lower: 0.42 * middle(lid.q),
        lift: 0.03 * middle(lid.q),
    });
    lids + raise_under_eye(vertex, 0.20)
}

fn widen(vertex: &Vertex) -> DVec3 {
    let lids = slide(vertex, |lid| Slide {
        upper: 0.22 * middle(lid.q),
        lower: -0.04 * middle(lid.q),
        lift: 0.03 * middle(lid.q),
    });
    lids + brow_follows(vertex, 0.12)
}

/// The brow and the skin around it a little up or down.
fn brow_follows(vertex: &Vertex, up: f64) -> DVec3 {
    if !matches!(vertex.body, Body::Face | Body::Brow) || vertex.lid.is_some_and(|lid| lid.distance < 1.0) {
        return DVec3::ZERO;
    }
    let near = hill_at(vertex.at, DVec3::new(3.5, 2.7, 7.0), DVec3::new(3.6, 1.9, 5.0));
    let inner = if vertex.body == Body::Brow { 1.0 } else { 0.8 };
    DVec3::Y * (up * near * inner)
}

/// The skin under the left eye bunches up.
pub fn raise_under_eye(vertex: &Vertex, amount: f64) -> DVec3 {
    if vertex.body != Body::Face || vertex.mouth.is_some_and(|mouth| mouth.across <= 2.4) {
        return DVec3::ZERO;
    }
    let free = vertex.lid.map_or(1.0, |lid| if lid.upper { 0.0 } else { smoothstep(0.2, 1.0, lid.distance) });
    let near = hill_at(vertex.at, DVec3::new(3.9, -1.75, 7.0), DVec3::new(2.6, 1.7, 5.0));
    DVec3::new(0.0, 1.0, 0.35) * (amount * near * free)
}

/// A field that is written for the left half, for both.
pub fn on_both_sides(vertex: &Vertex, field: impl Fn(&Vertex) -> DVec3) -> DVec3 {
    if vertex.at.x >= 0.0 { field(vertex) } else { flip(field(&vertex.mirrored())) }
}
