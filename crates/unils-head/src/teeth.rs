//! Teeth, gums and tongue.

use std::f64::consts::PI;

use glam::{DVec3, dvec3};

use crate::builder::{Body, Builder, Surface, Vertex};
use crate::math::{curve, mix, smoothstep};

/// Widths of half an arch's teeth, from the middle.
const UPPER: [f64; 6] = [0.50, 0.42, 0.42, 0.40, 0.42, 0.46];
const LOWER: [f64; 6] = [0.34, 0.36, 0.40, 0.40, 0.42, 0.46];

/// One arch: height of the gum's edge and of the biting edge, and the front tooth's depth.
struct Arch {
    gum: f64,
    bite: f64,
    front: f64,
    body: Body,
    widths: [f64; 6],
}

/// The arch's line at `arc` centimetres from the middle: (x, z) and the way out of it.
fn arch_line(arc: f64, front: f64) -> (DVec3, DVec3) {
    let mut p = dvec3(0.0, 0.0, front);
    let steps = 40;
    let mut angle = 0.0;
    for i in 0..steps {
        let l = arc * (i as f64 + 0.5) / steps as f64;
        angle = 1.25 * smoothstep(0.0, 2.9, l) * (l / 2.9).min(1.0).powf(0.15);
        p += dvec3(angle.cos(), 0.0, -angle.sin()) * (arc / steps as f64);
    }
    (p, dvec3(angle.sin(), 0.0, angle.cos()))
}

/// Adds the left half of teeth and gums.
pub fn add_teeth(builder: &mut Builder) {
    let upper = Arch { gum: -5.72, bite: -6.72, front: 7.28, body: Body::UpperTeeth, widths: UPPER };
    let lower = Arch { gum: -7.55, bite: -6.72, front: 7.02, body: Body::LowerTeeth, widths: LOWER };
    for arch in [upper, lower] {
        add_arch(builder, &arch);
    }
}

fn add_arch(builder: &mut Builder, arch: &Arch) {
    let up = if arch.bite < arch.gum { 1.0 } else { -1.0 };
    let per_tooth = 5;
    let mut columns = Vec::new();
    let mut start = 0.0;
    for (i, width) in arch.widths.iter().enumerate() {
        let from = usize::from(i != 0);
        for k in from..=per_tooth {
            let x = k as f64 / per_tooth as f64;
            columns.push((start + width * x, 2.0 * x - 1.0, i));
        }
        start += width;
    }
    let height = (arch.gum - arch.bite).abs();
    // Across a tooth: from its back over the biting edge and down its front to the gum.
    let profile =
        [(0.25, -0.42), (0.02, -0.30), (0.0, -0.14), (0.10, -0.02), (0.4, 0.05), (0.8, 0.03), (1.12, -0.06)];
    let first = builder.triangles.len();
    let mut rows = Vec::new();
    for (rise, out) in profile {
        let mut row = Vec::new();
        for &(arc, x, tooth) in &columns {
            let (line, way) = arch_line(arc, arch.front);
            let round = (1.0 - x.abs().powi(4)).max(0.0).sqrt();
            let gap = 1.0 - round;
            let shorter = [0.0, 0.04, 0.0, 0.03, 0.04, 0.04][tooth];
            let edge = smoothstep(0.6, 0.0, rise) * (0.06 * gap + shorter);
            let y = arch.bite + up * (rise * height + edge);
            let mut at = line + way * (out - 0.035 * gap) + dvec3(0.0, y, 0.0);
            if arc == 0.0 {
                at.x = 0.0;
            }
            let dark = 1.0 - 0.16 * smoothstep(0.3, 1.0, gap);
            let deep = mix(1.0, 0.5, smoothstep(1.3, 3.0, arc));
            row.push(
                builder.add(Vertex {
                    color: dvec3(1.0, 0.98, 0.95) * dark * deep,
                    ..Vertex::new(at, arch.body)
                }),
            );
        }
        rows.push(row);
    }
    builder.join(&rows, false, false, Surface::Teeth);
    builder.face_away_from(first, dvec3(0.0, 0.5 * (arch.gum + arch.bite), 5.0));
    let first = builder.triangles.len();
    let mut rows = Vec::new();
    for (rise, out) in [(0.86, -0.04), (0.92, 0.07), (1.1, 0.11), (1.5, 0.04), (1.8, -0.25)] {
        let mut row = Vec::new();
        for &(arc, x, _) in &columns {
            let (line, way) = arch_line(arc, arch.front);
            // The gum's edge arches over every tooth.
            let scallop = 0.10 * x * x * smoothstep(1.4, 0.9, rise);
            let y = arch.gum + up * ((rise - 1.0) * height - scallop);
            let mut at = line + way * out + dvec3(0.0, y, 0.0);
            if arc == 0.0 {
                at.x = 0.0;
            }
            let deep = mix(1.0, 0.4, smoothstep(1.0, 3.0, arc)) * mix(1.0, 0.6, smoothstep(1.0, 1.8, rise));
            row.push(builder.add(Vertex { color: DVec3::splat(deep), ..Vertex::new(at, arch.body) }));
        }
        rows.push(row);
    }
    builder.join(&rows, false, false, Surface::Gums);
    builder.face_away_from(first, dvec3(0.0, arch.gum, 4.5));
}

/// Adds the left half of the tongue: a flat rounded body with a groove along its middle.
pub fn add_tongue(builder: &mut Builder) {
    let first = builder.triangles.len();
    let (lengthwise, around) = (16, 12);
    let mut rows = Vec::new();
    for i in 1..=lengthwise {
        let t = i as f64 / lengthwise as f64;
        let width = 1.62 * curve(&[(0.0, 0.0), (0.06, 0.42), (0.2, 0.72), (0.5, 1.0), (1.0, 1.0)], t);
        let thick = 0.50 * curve(&[(0.0, 0.0), (0.08, 0.5), (0.3, 0.85), (1.0, 1.2)], t);
        let z = mix(6.30, 2.2, t);
        let y = -7.18 + 0.25 * smoothstep(0.0, 0.5, t) - 0.9 * smoothstep(0.6, 1.0, t);
        let row = (0..=around).map(|k| {
            let angle = PI * k as f64 / around as f64;
            let x = if k == 0 || k == around { 0.0 } else { width * angle.sin().powf(0.85) };
            let groove = 0.12 * (-(x / 0.35).powi(2)).exp() * smoothstep(0.0, 0.3, t) * angle.cos().max(0.0);
            dvec3(x, y + thick * angle.cos() - groove, z)
        });
        let row = builder.add_row(row.collect::<Vec<_>>(), Body::Tongue);
        for &v in &row {
            builder.vertices[v as usize].color = DVec3::splat(mix(1.0, 0.35, t));
        }
        rows.push(row);
    }
    let tip = builder.add(Vertex::new(dvec3(0.0, -7.19, 6.34), Body::Tongue));
    builder.fan(&rows[0].clone(), tip, false, true, Surface::Tongue);
    builder.join(&rows, false, false, Surface::Tongue);
    builder.face_away_from(first, dvec3(0.0, -7.1, 4.0));
}
