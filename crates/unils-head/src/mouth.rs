//! The mouth: lips, the inside of the cheeks, teeth, gums and tongue.
//!
//! Lips are rings around the line between them; each ring is one place on the lips' cross-section, `across`.

use std::f64::consts::PI;

use glam::{DVec2, DVec3, dvec2, dvec3};

use crate::builder::{Body, Builder, MouthPlace, Surface, Vertex};
use crate::form;
use crate::math::{mix, smoothstep};

/// Height of the line between the lips in the middle.
pub const MOUTH_Y: f64 = -6.35;

/// From the middle to a corner.
pub const MOUTH_WIDTH: f64 = 2.3;

/// Columns from the middle of a lip to a corner.
pub const LIP_COLUMNS: usize = 16;

/// The height of the line between the lips at `u`, -1 to 1: a hint of a smile.
pub fn line_height(u: f64) -> f64 {
    let u = u.abs().min(1.0);
    MOUTH_Y + 0.34 * u * u - 0.05 * (1.0 - (u / 0.3).powi(2)).max(0.0)
}

/// Where a point of the face stands around the mouth, by its place as seen from the front.
pub fn place_of(p: DVec3, across: f64) -> MouthPlace {
    let u = (p.x / MOUTH_WIDTH).clamp(-1.0, 1.0);
    let line = dvec2(u * MOUTH_WIDTH, line_height(u));
    let offset = dvec2(p.x, p.y) - line;
    let angle = offset.y.atan2(offset.x.abs());
    let side = smoothstep(PI / 2.0, -PI / 2.0, angle);
    MouthPlace { u, lower: side, distance: offset.length(), across }
}

/// The edge of the red on a column from the upper middle (0) over the corner (π/2) to the lower middle (π).
fn red_edge(angle: f64) -> DVec2 {
    let u = angle.sin();
    let x = u * (MOUTH_WIDTH + 0.06);
    let fade = (1.0 - u * u).max(0.0);
    let line = line_height(u);
    if angle < PI / 2.0 {
        let bow = 0.14 * (-((x - 0.50) / 0.32).powi(2)).exp() - 0.05 * (-(x / 0.26).powi(2)).exp();
        dvec2(x, line + 0.58 * fade.powf(0.72) + bow * fade)
    } else {
        dvec2(x, line - 0.80 * fade.powf(0.66))
    }
}

/// How far the lip stands out from the form at `across`.
fn bulge(across: f64, lower: bool) -> f64 {
    let points: &[(f64, f64)] = if lower {
        &[(0.0, 0.0), (0.2, 0.30), (0.48, 0.44), (0.78, 0.27), (1.0, 0.06), (1.5, -0.10), (2.2, 0.0)]
    } else {
        &[(0.0, 0.0), (0.25, 0.28), (0.5, 0.36), (0.8, 0.25), (1.0, 0.15), (1.3, 0.05), (2.2, 0.0)]
    };
    crate::math::curve(points, across)
}

/// The skin rings: `across`, and the distance from the edge of the red.
const SKIN_RINGS: [(f64, f64); 4] = [(1.15, 0.08), (1.45, 0.24), (1.9, 0.5), (2.4, 0.82)];

/// The rings inside: `across`, way back from the line, half height and half width of the opening there.
const INNER_RINGS: [(f64, f64, f64, f64); 8] = [
    (-0.2, 0.12, 0.0, 2.30),
    (-0.5, 0.24, 0.10, 2.32),
    (-0.8, 0.33, 0.48, 2.40),
    (-1.1, 0.42, 1.0, 2.55),
    (-1.5, 1.00, 1.45, 2.75),
    (-2.0, 2.3, 1.75, 2.9),
    (-2.5, 4.0, 1.7, 2.7),
    (-3.0, 5.4, 1.1, 1.8),
];

/// Lips and the bag behind them; returns the outermost ring, from the upper middle to the lower middle.
pub fn add_lips(builder: &mut Builder) -> Vec<u32> {
    let columns = 2 * LIP_COLUMNS;
    let angles: Vec<f64> = (0..=columns).map(|k| PI * k as f64 / columns as f64).collect();
    let mut rows = Vec::new();
    for (across, back, height, width) in INNER_RINGS.into_iter().rev() {
        let ring = |angle: f64| inner_point(angle, back, height, width);
        rows.push(add_ring(builder, &angles, across, ring));
    }
    for across in [0.0, 0.1, 0.24, 0.42, 0.6, 0.8, 1.0] {
        let ring = |angle: f64| red_point(angle, across);
        rows.push(add_ring(builder, &angles, across, ring));
    }
    for (across, distance) in SKIN_RINGS {
        let ring = |angle: f64| skin_point(angle, across, distance);
        rows.push(add_ring(builder, &angles, across, ring));
    }
    let inner = INNER_RINGS.len();
    builder.join(&rows[..inner], false, false, Surface::Mouth);
    builder.join(&rows[inner - 1..], false, false, Surface::Skin);
    let back = builder.add(Vertex {
        color: DVec3::splat(0.1),
        mouth: Some(MouthPlace { u: 0.0, lower: 0.5, distance: 0.0, across: -3.5 }),
        ..Vertex::new(dvec3(0.0, MOUTH_Y, 2.0), Body::Face)
    });
    let last = rows[0].clone();
    builder.fan(&last, back, false, true, Surface::Mouth);
    rows.pop().unwrap_or_default()
}

fn add_ring(builder: &mut Builder, angles: &[f64], across: f64, point: impl Fn(f64) -> DVec3) -> Vec<u32> {
    let ring = angles.iter().map(|&angle| {
        let mut at = point(angle);
        if is_middle(angle) {
            at.x = 0.0;
        }
        let mut place = place_of(at, across);
        if across <= 1.0 {
            // The column says which lip it is, also where both are at one place; the corner is both.
            let below = angle - PI / 2.0;
            place.lower = if below.abs() < 1e-9 { 0.5 } else { f64::from(u8::from(below > 0.0)) };
        }
        if across < 0.0 {
            place.u = angle.sin();
            place.distance = 0.0;
        }
        builder.add(Vertex {
            color: lip_color(across, angle),
            mouth: Some(place),
            ..Vertex::new(at, Body::Face)
        })
    });
    ring.collect()
}

/// Whether a column is the upper or lower middle.
fn is_middle(angle: f64) -> bool {
    !(1e-9..=PI - 1e-9).contains(&angle)
}

fn lip_color(across: f64, angle: f64) -> DVec3 {
    let u = angle.sin();
    let red = dvec3(0.87, 0.48, 0.50);
    let deep = dvec3(0.55, 0.23, 0.24);
    if across < 0.0 {
        // The first ring inside is still lip, the others have the mouth's colour.
        let inside = DVec3::ONE.lerp(DVec3::splat(0.18), smoothstep(-0.3, -2.2, across));
        return deep.lerp(inside, smoothstep(-0.2, -0.8, across));
    }
    let inner = red.lerp(deep, smoothstep(0.22, 0.0, across));
    let edge = smoothstep(1.18, 0.82, across) * mix(1.0, 0.75, smoothstep(0.85, 1.0, u));
    DVec3::ONE.lerp(inner, edge)
}

fn red_point(angle: f64, across: f64) -> DVec3 {
    let u = angle.sin();
    let line = dvec2(u * MOUTH_WIDTH, line_height(u));
    let at = line.lerp(red_edge(angle), across);
    lip_surface(at, angle, across)
}

fn skin_point(angle: f64, across: f64, distance: f64) -> DVec3 {
    let e = 0.02;
    let tangent = red_edge((angle + e).min(PI)) - red_edge((angle - e).max(0.0));
    let mut out = dvec2(-tangent.y, tangent.x).normalize_or_zero();
    // Beside the corner the edge turns sharply: fan out instead.
    let fan = dvec2(angle.sin(), angle.cos());
    out = out.lerp(fan, smoothstep(0.5, 1.0, angle.sin()).max(0.75)).normalize_or(fan);
    if is_middle(angle) {
        out = dvec2(0.0, fan.y.signum());
    }
    lip_surface(red_edge(angle) + out * distance, angle, across)
}

fn lip_surface(at: DVec2, angle: f64, across: f64) -> DVec3 {
    let u = angle.sin();
    let middle = (1.0 - u * u).max(0.0).powf(0.45);
    let upper = bulge(across, false);
    let lower = bulge(across, true);
    let side = smoothstep(PI / 2.0 - 0.5, PI / 2.0 + 0.5, angle);
    let mut out = mix(upper, lower, side) * middle;
    // The line between the lips lies in a groove, deepest at the corners.
    out -= mix(0.10, 0.22, smoothstep(0.6, 1.0, u)) * smoothstep(0.35, 0.0, across);
    // The groove from the nose to the lip.
    let p = form::front(at);
    let groove =
        (-(at.x / 0.28).powi(2)).exp() * smoothstep(0.6, 1.2, across) * f64::from(u8::from(angle < 0.8));
    p + dvec3(0.0, 0.0, out - 0.10 * groove)
}

fn inner_point(angle: f64, back: f64, height: f64, width: f64) -> DVec3 {
    let u = angle.sin();
    let line = red_point(angle, 0.0);
    let center = line_height(u * 0.98);
    // Flat against the other lip in front, rounder further back.
    let open = angle.cos().signum() * angle.cos().abs().powf(0.8) * height;
    let scale = width / MOUTH_WIDTH;
    let front_z = mix(line.z, 7.6, smoothstep(0.5, 3.0, back));
    dvec3(line.x * scale, center + open, front_z - back)
}

/// Depth of the line between the lips at `u`.
pub fn line_depth(u: f64) -> f64 {
    red_point(u.abs().min(1.0).asin(), 0.0).z
}
