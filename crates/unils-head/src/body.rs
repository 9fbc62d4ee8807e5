//! Shoulders in a T-shirt with a round collar: where the picture ends.

use std::f64::consts::TAU;

use glam::{DVec3, dvec3};

use crate::builder::{Body, Builder, Surface, Vertex};
use crate::math::smoothstep;

const SEGMENTS: usize = 64;

/// Rings from the collar down: height, half width, half depth, middle in depth, how far the front hangs lower.
const RINGS: [[f64; 5]; 13] = [
    [-13.2, 4.35, 4.2, -2.3, 1.3],
    [-13.3, 4.75, 4.5, -2.3, 1.35],
    [-13.6, 5.6, 5.0, -2.3, 1.4],
    [-14.1, 7.0, 5.6, -2.3, 1.35],
    [-14.7, 8.7, 6.2, -2.3, 1.2],
    [-15.4, 10.3, 6.7, -2.3, 0.9],
    [-16.3, 11.8, 7.2, -2.2, 0.6],
    [-17.5, 12.9, 7.6, -2.1, 0.3],
    [-19.0, 13.5, 7.9, -2.0, 0.1],
    [-20.8, 13.7, 8.1, -1.9, 0.0],
    [-22.4, 13.6, 8.1, -1.9, 0.0],
    [-23.0, 13.3, 7.8, -1.9, 0.0],
    [-23.2, 12.6, 7.2, -1.9, 0.0],
];

fn ring_point([y, width, depth, z, hang]: [f64; 5], turn: f64) -> DVec3 {
    let (s, c) = turn.sin_cos();
    // Between an ellipse at the neck and a rounder box at the shoulders.
    let box_like = 1.0 - 0.2 * smoothstep(-13.5, -17.0, y);
    let x = s.signum() * s.abs().powf(box_like) * width;
    let zz = c.signum() * c.abs().powf(box_like) * depth;
    dvec3(x, y - hang * c.max(0.0).powf(1.5), z + zz)
}

/// Adds the left half of the shirt and its collar.
pub fn add_shirt(builder: &mut Builder) {
    let first = builder.triangles.len();
    let turns: Vec<f64> = (0..=SEGMENTS / 2).map(|k| TAU * k as f64 / SEGMENTS as f64).collect();
    let on_middle = |k: usize, mut at: DVec3| {
        if k == 0 || k == SEGMENTS / 2 {
            at.x = 0.0;
        }
        at
    };
    let mut rows = Vec::new();
    for ring in RINGS {
        let row = turns.iter().enumerate().map(|(k, &turn)| {
            let shade = 1.0 - 0.3 * smoothstep(-14.3, -13.2, ring[0]);
            let at = on_middle(k, ring_point(ring, turn));
            builder.add(Vertex { color: DVec3::splat(shade), ..Vertex::new(at, Body::Shirt) })
        });
        rows.push(row.collect::<Vec<u32>>());
    }
    builder.join(&rows, false, false, Surface::Shirt);
    let bottom = builder.add(Vertex::new(dvec3(0.0, -23.2, -1.9), Body::Shirt));
    builder.fan(&rows[RINGS.len() - 1].clone(), bottom, false, false, Surface::Shirt);
    builder.face_away_from(first, dvec3(0.0, -19.0, -2.0));
    let first = builder.triangles.len();
    let tube = 10;
    let mut rows = Vec::new();
    for (k, &turn) in turns.iter().enumerate() {
        let center = ring_point([-13.05, 4.62, 4.4, -2.3, 1.33], turn);
        let out = dvec3(turn.sin(), -0.25, turn.cos()).normalize();
        let up = dvec3(-turn.sin() * 0.25, 1.0, -turn.cos() * 0.25).normalize();
        let row = (0..tube).map(|i| {
            let (s, c) = (TAU * i as f64 / tube as f64).sin_cos();
            on_middle(k, center + out * (c * 0.36) + up * (s * 0.52))
        });
        rows.push(builder.add_row(row.collect::<Vec<_>>(), Body::Shirt));
    }
    builder.join(&rows, true, false, Surface::Collar);
    orient_tube(builder, first);
}

/// A ring around the middle has no inside point to turn from: use its own middle line at each place.
fn orient_tube(builder: &mut Builder, first: usize) {
    let (_, corners) = builder.triangles[first];
    let [a, b, c] = corners.map(|i| builder.vertices[i as usize].at);
    let center = dvec3(0.0, -13.05 - 1.33, -2.3 + 4.4);
    if (b - a).cross(c - a).dot((a + b + c) / 3.0 - center) < 0.0 {
        for (_, corners) in &mut builder.triangles[first..] {
            corners.swap(1, 2);
        }
    }
}
