//! The left ear: an oval dish with a rolled rim, an inner fold and a lobe, its back closed into the head.

use std::f64::consts::TAU;

use glam::{DVec3, dvec3};

use crate::builder::{Body, Builder, Surface, Vertex};
use crate::math::{curve, mix, smoothstep};

const CENTER: DVec3 = dvec3(7.68, -1.35, -0.9);
const SEGMENTS: usize = 28;

/// Forward, up and outward axes of the ear: it leans back and stands off the head at its back.
fn axes() -> (DVec3, DVec3, DVec3) {
    let (s, c) = 0.52_f64.sin_cos();
    let out = dvec3(c, 0.06, s).normalize();
    let up = dvec3(0.05, 1.0, -0.16);
    let forward = up.cross(out).normalize();
    let forward = if forward.z < 0.0 { -forward } else { forward };
    (forward, out.cross(forward).normalize() * out.cross(forward).y.signum(), out)
}

/// The outline, in the ear's plane: full above, narrower towards the lobe.
fn outline(turn: f64) -> (f64, f64) {
    let (s, c) = turn.sin_cos();
    let width = mix(1.05, 1.62, smoothstep(-1.0, 0.35, s));
    let height = if s > 0.0 { 2.45 } else { 2.35 };
    (c.signum() * c.abs().powf(0.92) * width, s * height)
}

/// The dish's height: a rolled rim at the top and back, a hollow before the ear's hole.
fn relief(rho: f64, turn: f64) -> f64 {
    let (s, c) = turn.sin_cos();
    let front = smoothstep(0.55, 0.95, c);
    let lobe = smoothstep(-0.55, -0.85, s);
    let rim = (1.0 - front) * (1.0 - lobe);
    let dish = curve(
        &[(0.0, -0.36), (0.28, -0.32), (0.52, 0.10), (0.66, 0.02), (0.74, 0.0), (0.88, 0.36), (1.0, 0.16)],
        rho,
    );
    let plain = curve(&[(0.0, -0.36), (0.3, -0.2), (0.6, 0.16), (0.85, 0.16), (1.0, 0.0)], rho);
    mix(plain, dish, rim)
}

/// Adds the left ear.
pub fn add_ear(builder: &mut Builder) {
    let first = builder.triangles.len();
    let (forward, up, out) = axes();
    let put = |rho: f64, turn: f64, height: f64| {
        let (x, y) = outline(turn);
        // The hollow lies in the front, below the middle.
        let shift = (1.0 - rho) * (1.0 - rho);
        CENTER + forward * (x * rho + 0.35 * shift) + up * (y * rho - 0.30 * shift) + out * height
    };
    let tint = |rho: f64, turn: f64| {
        let warm = dvec3(1.0, 0.80, 0.76);
        let hollow = dvec3(0.62, 0.42, 0.38);
        let depth = smoothstep(0.62, 0.12, rho);
        let groove = 0.45 * (-((rho - 0.69) / 0.07).powi(2)).exp() * smoothstep(0.7, 0.0, turn.cos());
        warm.lerp(hollow, depth.max(groove))
    };
    let middle =
        builder.add(Vertex { color: tint(0.0, 0.0), ..Vertex::new(put(0.0, 0.0, -0.36), Body::Ear) });
    let mut rows = Vec::new();
    for rho in [0.14, 0.28, 0.4, 0.5, 0.58, 0.66, 0.74, 0.82, 0.89, 0.95, 1.0] {
        let mut row = Vec::new();
        for k in 0..SEGMENTS {
            let turn = TAU * k as f64 / SEGMENTS as f64;
            let at = put(rho, turn, relief(rho, turn));
            row.push(builder.add(Vertex { color: tint(rho, turn), ..Vertex::new(at, Body::Ear) }));
        }
        rows.push(row);
    }
    // Around the edge and down into the head.
    for (rho, height) in [(1.0, -0.10), (0.93, -0.32), (0.75, -0.75), (0.55, -1.5)] {
        let mut row = Vec::new();
        for k in 0..SEGMENTS {
            let turn = TAU * k as f64 / SEGMENTS as f64;
            row.push(builder.add(Vertex {
                color: dvec3(0.96, 0.80, 0.76),
                ..Vertex::new(put(rho, turn, height), Body::Ear)
            }));
        }
        rows.push(row);
    }
    builder.fan(&rows[0].clone(), middle, true, true, Surface::Skin);
    builder.join(&rows, true, false, Surface::Skin);
    builder.face_away_from(first, CENTER - out * 1.0);
}
