//! The mouth's shapes: each says how both lips' edges move from corner to corner; the lips and the skin around
//! follow.

use glam::{DVec2, DVec3, dvec2, dvec3};

use super::Definition::{self, Both, Left};
use super::jaw;
use super::lids::{Slide, raise_under_eye, slide};
use crate::builder::{Body, Vertex};
use crate::math::{hill, hill_at, mix, smoothstep};
use crate::mouth::{MOUTH_WIDTH, line_depth, line_height};

pub const SHAPES: &[Definition] = &[
    Both("mouthFunnel", funnel),
    Both("mouthPucker", pucker),
    Left("mouth", aside),
    Left("mouthSmile", smile),
    Left("mouthFrown", frown),
    Left("mouthDimple", dimple),
    Left("mouthStretch", stretch),
    Both("mouthRollLower", roll_lower),
    Both("mouthRollUpper", roll_upper),
    Both("mouthShrugLower", shrug_lower),
    Both("mouthShrugUpper", shrug_upper),
    Left("mouthPress", press),
    Left("mouthLowerDown", lower_down),
    Left("mouthUpperUp", upper_up),
    Both("tongueOut", tongue_out),
];

/// How the lips move: their line's way at `u` (-1 right corner, 1 left corner), and how their cross-sections turn.
struct Lips<U: Fn(f64) -> DVec3, L: Fn(f64) -> DVec3, R: Fn(f64) -> DVec2> {
    upper: U,
    lower: L,
    /// Angles by which upper and lower lip curl outward at `u`.
    curl: R,
    /// How far the skin follows: above, beside, below.
    reach: [f64; 3],
}

fn no_curl(_: f64) -> DVec2 {
    DVec2::ZERO
}

fn move_lips<U, L, R>(vertex: &Vertex, lips: &Lips<U, L, R>) -> DVec3
where
    U: Fn(f64) -> DVec3,
    L: Fn(f64) -> DVec3,
    R: Fn(f64) -> DVec2,
{
    let Some(place) = vertex.mouth.filter(|_| vertex.body == Body::Face) else { return DVec3::ZERO };
    let way = (lips.upper)(place.u).lerp((lips.lower)(place.u), place.lower);
    let [above, beside, below] = lips.reach;
    let sideways = 1.0 - (2.0 * place.lower - 1.0).abs();
    let reach = mix(mix(above, below, place.lower), beside, sideways);
    let near = if place.across < 0.0 {
        smoothstep(-2.6, -0.5, place.across)
    } else {
        smoothstep(reach, 0.25, place.distance)
    };
    way * near + curled(vertex, (lips.curl)(place.u), near)
}

/// Turns the lips' cross-sections about an axis inside them.
fn curled(vertex: &Vertex, angles: DVec2, near: f64) -> DVec3 {
    let Some(place) = vertex.mouth else { return DVec3::ZERO };
    let on_lip = smoothstep(-1.4, -0.6, place.across) * smoothstep(2.2, 1.0, place.across);
    let angle = mix(-angles.x, angles.y, place.lower) * on_lip * near;
    if angle == 0.0 {
        return DVec3::ZERO;
    }
    let side = mix(0.42, -0.42, place.lower);
    let pivot = dvec2(line_height(place.u) + side, line_depth(place.u) - 0.05);
    let offset = dvec2(vertex.at.y, vertex.at.z) - pivot;
    let (s, c) = angle.sin_cos();
    // A rotation about x takes y to z.
    let turned = dvec2(c * offset.x - s * offset.y, s * offset.x + c * offset.y);
    let way = turned - offset;
    dvec3(0.0, way.x, way.y)
}

/// 1 in the middle, 0 at the corners.
fn arch(u: f64) -> f64 {
    (1.0 - u * u).max(0.0)
}

/// 0 on the right, growing to 1 at the left corner.
fn toward_left(u: f64) -> f64 {
    let t = ((u + 0.25) / 1.25).max(0.0);
    t * t * (2.0 - t)
}

/// 1 over the left half of the mouth, falling to 0 across the middle.
fn left_half(u: f64) -> f64 {
    smoothstep(-0.45, 0.45, u)
}

fn funnel(vertex: &Vertex) -> DVec3 {
    move_lips(
        vertex,
        &Lips {
            upper: |u| dvec3(-0.36 * u * MOUTH_WIDTH, 0.34 * arch(u).powf(0.6), 0.55 + 0.2 * u * u),
            lower: |u| dvec3(-0.36 * u * MOUTH_WIDTH, -0.46 * arch(u).powf(0.6), 0.55 + 0.2 * u * u),
            curl: |u| DVec2::splat(0.5) * arch(u),
            reach: [1.7, 3.2, 2.1],
        },
    )
}

fn pucker(vertex: &Vertex) -> DVec3 {
    move_lips(
        vertex,
        &Lips {
            upper: |u| dvec3(-0.50 * u * MOUTH_WIDTH, -0.02, 0.62 + 0.25 * u * u),
            lower: |u| dvec3(-0.50 * u * MOUTH_WIDTH, 0.02, 0.58 + 0.25 * u * u),
            curl: |u| DVec2::splat(0.22) * arch(u),
            reach: [1.8, 3.4, 2.2],
        },
    )
}

fn aside(vertex: &Vertex) -> DVec3 {
    let way = |u: f64| {
        let leading = smoothstep(-1.0, 1.0, u);
        dvec3(mix(0.95, 0.70, leading), 0.06 * leading, mix(0.05, -0.22, leading))
    };
    move_lips(vertex, &Lips { upper: way, lower: way, curl: no_curl, reach: [1.9, 3.0, 2.6] })
}

fn smile(vertex: &Vertex) -> DVec3 {
    let way = |u: f64| dvec3(0.52, 0.73, -0.36) * toward_left(u) + dvec3(0.0, 0.04, -0.05) * left_half(u);
    let lips = move_lips(vertex, &Lips { upper: way, lower: way, curl: no_curl, reach: [1.7, 3.1, 2.6] });
    let lids = slide(vertex, |lid| Slide { upper: 0.0, lower: 0.14 * arch(lid.q).sqrt(), lift: 0.0 });
    lips + cheek(vertex, dvec3(0.16, 0.34, 0.34)) + lids + raise_under_eye(vertex, 0.10)
}

/// The left cheek's apple.
pub fn cheek(vertex: &Vertex, way: DVec3) -> DVec3 {
    if vertex.body != Body::Face || vertex.lid.is_some() {
        return DVec3::ZERO;
    }
    let off_lips =
        vertex.mouth.map_or(0.0, |m| if m.across < 0.0 { 0.0 } else { smoothstep(0.3, 1.6, m.distance) });
    way * (hill_at(vertex.at, dvec3(4.2, -3.3, 6.3), dvec3(2.9, 2.3, 4.0)) * off_lips)
}

fn frown(vertex: &Vertex) -> DVec3 {
    let upper = |u: f64| dvec3(0.12, -0.62, -0.12) * toward_left(u);
    let lower =
        |u: f64| dvec3(0.12, -0.62, -0.12) * toward_left(u) + dvec3(0.0, 0.08, 0.05) * arch(u) * left_half(u);
    let lips = move_lips(vertex, &Lips { upper, lower, curl: no_curl, reach: [1.6, 2.4, 2.4] });
    lips + chin(vertex, dvec3(0.0, 0.10, 0.05) * left_half(vertex.at.x / 2.0))
}

/// The chin's soft part.
fn chin(vertex: &Vertex, way: DVec3) -> DVec3 {
    if vertex.body != Body::Face {
        return DVec3::ZERO;
    }
    let off_lips =
        vertex.mouth.map_or(0.0, |m| if m.across < 0.0 { 0.0 } else { smoothstep(0.6, 1.6, m.distance) });
    way * (hill_at(vertex.at, dvec3(0.0, -8.8, 7.0), dvec3(3.0, 2.2, 4.0)) * off_lips)
}

fn dimple(vertex: &Vertex) -> DVec3 {
    let way = |u: f64| dvec3(0.36, 0.10, -0.42) * toward_left(u).powf(1.4);
    let lips = move_lips(vertex, &Lips { upper: way, lower: way, curl: no_curl, reach: [1.5, 1.9, 1.8] });
    lips + cheek(vertex, dvec3(0.06, 0.05, 0.14))
}

fn stretch(vertex: &Vertex) -> DVec3 {
    let upper = |u: f64| dvec3(0.66, -0.16, -0.38) * toward_left(u);
    let lower =
        |u: f64| dvec3(0.66, -0.26, -0.38) * toward_left(u) - dvec3(0.0, 0.10, 0.0) * arch(u) * left_half(u);
    move_lips(vertex, &Lips { upper, lower, curl: no_curl, reach: [1.7, 3.0, 2.8] })
}

fn roll_lower(vertex: &Vertex) -> DVec3 {
    let lips = move_lips(
        vertex,
        &Lips {
            upper: |u| dvec3(0.0, 0.03 * arch(u).sqrt(), -0.08 * arch(u)),
            lower: |u| dvec3(0.0, 0.03, -0.22) * arch(u).sqrt(),
            curl: |u| dvec2(0.0, -0.55) * arch(u),
            reach: [0.9, 1.4, 1.7],
        },
    );
    lips + draw_in(vertex, 1.0, 0.30)
}

fn roll_upper(vertex: &Vertex) -> DVec3 {
    let lips = move_lips(
        vertex,
        &Lips {
            upper: |u| dvec3(0.0, -0.03, -0.22) * arch(u).sqrt(),
            lower: |u| dvec3(0.0, -0.03 * arch(u).sqrt(), -0.06 * arch(u)),
            curl: |u| dvec2(-0.50, 0.0) * arch(u),
            reach: [1.3, 1.4, 0.9],
        },
    );
    lips + draw_in(vertex, 0.0, 0.24)
}

/// Draws the red of a lip (0 upper, 1 lower) toward the line between the lips.
fn draw_in(vertex: &Vertex, lip: f64, amount: f64) -> DVec3 {
    let Some(place) = vertex.mouth.filter(|m| vertex.body == Body::Face && m.across >= 0.0) else {
        return DVec3::ZERO;
    };
    let this = 1.0 - (place.lower - lip).abs();
    let strength = hill(place.across - 0.9, 1.5) * arch(place.u).sqrt() * smoothstep(0.5, 1.0, this);
    let toward = mix(-1.0, 1.0, lip);
    dvec3(0.0, toward * amount, -0.10) * (strength * smoothstep(2.2, 1.0, place.distance))
}

fn shrug_lower(vertex: &Vertex) -> DVec3 {
    let lips = move_lips(
        vertex,
        &Lips {
            upper: |u| dvec3(0.0, 0.26, 0.10) * arch(u).powf(0.7),
            lower: |u| dvec3(0.0, 0.34, 0.22) * arch(u).powf(0.7),
            curl: |u| dvec2(0.0, 0.18) * arch(u),
            reach: [1.5, 1.9, 2.6],
        },
    );
    lips + chin(vertex, dvec3(0.0, 0.48, 0.14))
}

fn shrug_upper(vertex: &Vertex) -> DVec3 {
    move_lips(
        vertex,
        &Lips {
            upper: |u| dvec3(0.0, 0.32, 0.16) * arch(u).powf(0.7),
            lower: |u| dvec3(0.0, 0.24, 0.06) * arch(u).powf(0.7),
            curl: |u| dvec2(0.20, 0.0) * arch(u),
            reach: [1.4, 1.8, 1.8],
        },
    )
}

fn press(vertex: &Vertex) -> DVec3 {
    let lips = move_lips(
        vertex,
        &Lips {
            upper: |u| dvec3(0.10, 0.05, -0.12) * left_half(u),
            lower: |u| dvec3(0.10, 0.05, -0.12) * left_half(u),
            curl: |u| dvec2(-0.25, -0.25) * arch(u).sqrt() * left_half(u),
            reach: [1.3, 1.8, 1.6],
        },
    );
    let side = left_half(vertex.at.x / MOUTH_WIDTH);
    lips + (draw_in(vertex, 1.0, 0.20) + draw_in(vertex, 0.0, 0.16)) * side
}

fn lower_down(vertex: &Vertex) -> DVec3 {
    let lower = |u: f64| {
        let side = (-((u - 0.38) / 0.42).powi(2)).exp() * smoothstep(1.0, 0.75, u.abs());
        dvec3(0.10, -0.62, 0.05) * side
    };
    move_lips(
        vertex,
        &Lips {
            upper: |_| DVec3::ZERO,
            lower,
            curl: |u| dvec2(0.0, 0.30) * left_half(u) * arch(u),
            reach: [0.8, 1.3, 2.4],
        },
    )
}

fn upper_up(vertex: &Vertex) -> DVec3 {
    let upper = |u: f64| {
        let side = (-((u - 0.38) / 0.42).powi(2)).exp() * smoothstep(1.0, 0.75, u.abs());
        dvec3(0.06, 0.52, 0.06) * side
    };
    let lips = move_lips(
        vertex,
        &Lips {
            upper,
            lower: |_| DVec3::ZERO,
            curl: |u| dvec2(0.25, 0.0) * left_half(u) * arch(u),
            reach: [1.9, 1.4, 0.8],
        },
    );
    lips + cheek(vertex, dvec3(0.0, 0.12, 0.10))
}

/// The tongue comes out between lips that part for it.
fn tongue_out(vertex: &Vertex) -> DVec3 {
    if vertex.body == Body::Tongue {
        let tip = smoothstep(2.6, 6.1, vertex.at.z);
        let p = vertex.at;
        let droop = smoothstep(0.55, 1.0, tip);
        return dvec3(-0.12 * p.x * tip, 0.50 * smoothstep(0.0, 0.7, tip) - 0.85 * droop, 3.3 * tip);
    }
    let jaw = dvec3(0.0, -0.60, -0.05) * jaw::follows(vertex);
    let lips = move_lips(
        vertex,
        &Lips {
            upper: |u| dvec3(0.0, 0.16, 0.10) * arch(u).sqrt(),
            lower: |u| dvec3(0.0, -0.48, 0.16) * arch(u).sqrt(),
            curl: |u| dvec2(0.0, 0.2) * arch(u),
            reach: [1.2, 1.4, 1.8],
        },
    );
    jaw + lips
}
