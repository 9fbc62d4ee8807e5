//! The brows: thick soft strips that lie on the form.

use std::f64::consts::{PI, TAU};

use glam::{DVec3, dvec2, dvec3};

use crate::builder::{Body, Builder, Surface};
use crate::form;
use crate::math::{curve, spline};

/// The left brow's line as seen from the front, from the nose outward.
const LINE: [DVec3; 4] =
    [dvec3(1.40, 2.34, 0.0), dvec3(2.75, 2.84, 0.0), dvec3(4.3, 2.90, 0.0), dvec3(5.7, 2.10, 0.0)];

/// Adds the left brow.
pub fn add_brow(builder: &mut Builder) {
    let first = builder.triangles.len();
    let (lengthwise, around) = (26, 10);
    let mut rows = Vec::new();
    let mut ends = Vec::new();
    for i in 0..=lengthwise {
        // Closer together at the rounded ends.
        let t = 0.5 - 0.5 * (PI * i as f64 / lengthwise as f64).cos();
        let line = |t: f64| {
            let p = spline(&LINE, t);
            form::front(dvec2(p.x, p.y))
        };
        let at = line(t);
        let along = (line((t + 0.02).min(1.0)) - line((t - 0.02).max(0.0))).normalize();
        let out = form::normal(at);
        let up = out.cross(along).normalize();
        let up = if up.y < 0.0 { -up } else { up };
        let rounded = (1.0 - (1.0 - t / 0.075).max(0.0).powi(2)).sqrt()
            * (1.0 - ((t - 0.96) / 0.04).max(0.0).powi(2)).max(0.0).sqrt();
        let half = rounded * curve(&[(0.0, 0.25), (0.3, 0.32), (0.6, 0.28), (1.0, 0.10)], t) + 0.01;
        let thick = 0.62 * half + 0.02;
        let row = (0..around).map(|k| {
            let (s, c) = (TAU * k as f64 / around as f64).sin_cos();
            at + up * (c * half) + out * (s * thick + 0.05)
        });
        rows.push(builder.add_row(row, Body::Brow));
        if i == 0 || i == lengthwise {
            ends.push(at + out * 0.05);
        }
    }
    builder.join(&rows, true, false, Surface::Brows);
    let tips = builder.add_row(ends, Body::Brow);
    builder.fan(&rows[0].clone(), tips[0], true, true, Surface::Brows);
    builder.fan(&rows[lengthwise].clone(), tips[1], true, false, Surface::Brows);
    builder.face_away_from(first, form::front(dvec2(3.4, 2.6)) + DVec3::Z * 0.05);
}
