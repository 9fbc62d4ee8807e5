//! The hair: one thick shell of broad locks that run from a whorl at the back of the crown to the hairline.
//!
//! The locks lean to one side, so the hair is the one part that is not symmetrical.

use std::f64::consts::{PI, TAU};

use glam::{DVec3, dvec3};

use crate::builder::{Body, Builder, Surface, Vertex};
use crate::form;
use crate::math::{curve, mix, smoothstep};

/// What directions over the skull start from.
pub const MIDDLE: DVec3 = dvec3(0.0, 2.6, -0.9);

/// The whorl's direction.
const WHORL: DVec3 = dvec3(0.16, 0.90, -0.50);

/// Locks by the share of the way round that they take, starting in front, to the person's left.
const LOCKS: [f64; 17] =
    [0.8, 0.7, 0.65, 0.75, 0.9, 1.0, 1.1, 1.1, 1.15, 1.1, 1.1, 1.0, 1.0, 0.95, 0.95, 0.9, 0.9];

/// Columns of each lock and rows from the whorl to the edge.
const COLUMNS: usize = 8;
const ROWS: usize = 16;

/// Height of the hairline by the angle around the head from the front.
fn hairline(angle: f64) -> f64 {
    let degrees = angle.abs().to_degrees();
    curve(
        &[
            (0.0, 5.9),
            (30.0, 5.4),
            (48.0, 3.8),
            (60.0, 0.6),
            (68.0, -0.6),
            (76.0, 0.4),
            (84.0, 2.0),
            (100.0, 1.6),
            (115.0, -1.2),
            (135.0, -3.3),
            (180.0, -3.9),
        ],
        degrees,
    )
}

struct Pole {
    pole: DVec3,
    front: DVec3,
    side: DVec3,
    /// How far from the whorl the hairline is, by the angle around the whorl: samples over the full turn.
    edge: Vec<f64>,
}

impl Pole {
    fn new() -> Self {
        let pole = WHORL.normalize();
        let front = (DVec3::Z - pole * pole.z).normalize();
        let side = pole.cross(front);
        let mut this = Self { pole, front, side, edge: vec![0.0; 360] };
        // The hairline as a dense line of directions, then the furthest in every degree around the whorl.
        let mut samples: Vec<(f64, f64)> = (0..2880)
            .map(|i| {
                let around = PI * (i as f64 / 1440.0 - 1.0);
                let y = hairline(around);
                let at = form::cast(dvec3(0.0, y, MIDDLE.z), dvec3(around.sin(), 0.0, around.cos()));
                let d = (at - MIDDLE).normalize();
                (
                    d.dot(this.side).atan2(d.dot(this.front)).rem_euclid(TAU),
                    d.dot(this.pole).clamp(-1.0, 1.0).acos(),
                )
            })
            .collect();
        samples.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (degree, edge) in this.edge.iter_mut().enumerate() {
            let turn = (degree as f64 + 0.5).to_radians();
            let nearest = samples.iter().min_by(|a, b| (a.0 - turn).abs().total_cmp(&(b.0 - turn).abs()));
            *edge = nearest.map_or(1.5, |sample| sample.1);
        }
        for _ in 0..3 {
            let old = this.edge.clone();
            for (i, edge) in this.edge.iter_mut().enumerate() {
                *edge = (old[(i + 359) % 360] + old[i] * 2.0 + old[(i + 1) % 360]) / 4.0;
            }
        }
        this
    }

    fn edge(&self, turn: f64) -> f64 {
        let x = turn.rem_euclid(TAU).to_degrees() - 0.5;
        let i = x.floor();
        let at = |i: f64| self.edge[i.rem_euclid(360.0) as usize % 360];
        mix(at(i), at(i + 1.0), x - i)
    }

    fn direction(&self, turn: f64, from_pole: f64) -> DVec3 {
        let around = self.front * turn.cos() + self.side * turn.sin();
        self.pole * from_pole.cos() + around * from_pole.sin()
    }
}

/// How thick the hair is in a direction.
fn thickness(direction: DVec3) -> f64 {
    let top = smoothstep(-0.2, 0.9, direction.y);
    let back = smoothstep(0.1, -0.9, direction.z);
    let side = smoothstep(0.5, 1.0, direction.x.abs());
    0.85 + 0.75 * top + 0.35 * back - 0.1 * side
}

/// Adds the hair.
pub fn add_hair(builder: &mut Builder) {
    let first = builder.triangles.len();
    let pole = Pole::new();
    let total: f64 = LOCKS.iter().sum();
    let mut columns = Vec::new();
    let mut start = -0.5 * LOCKS[0];
    for (lock, width) in LOCKS.iter().enumerate() {
        for k in 0..COLUMNS {
            let x = k as f64 / COLUMNS as f64;
            columns.push((TAU * (start + width * x) / total, 2.0 * x - 1.0, lock));
        }
        start += width;
    }
    let mut rows = Vec::new();
    for j in 1..=ROWS {
        let s = j as f64 / ROWS as f64;
        let row = columns.iter().map(|&(turn, x, lock)| {
            let (at, shade) = point(&pole, turn, x, lock, s);
            builder.add(Vertex { color: DVec3::splat(shade), ..Vertex::new(at, Body::Hair) })
        });
        rows.push(row.collect::<Vec<u32>>());
    }
    // The rim turns under, into the skin.
    for (s, depth) in [(1.0, -0.25), (0.93, -0.6)] {
        let row = columns.iter().map(|&(turn, x, lock)| {
            let (at, _) = point(&pole, turn, x, lock, s);
            let d = (at - MIDDLE).normalize();
            let on_form = form::cast(MIDDLE, d);
            builder.add(Vertex { color: DVec3::splat(0.55), ..Vertex::new(on_form + d * depth, Body::Hair) })
        });
        rows.push(row.collect());
    }
    let d = pole.pole;
    let tip = form::cast(MIDDLE, d) + d * (thickness(d) - 0.12);
    let tip = builder.add(Vertex::new(tip, Body::Hair));
    builder.fan(&rows[0].clone(), tip, true, true, Surface::Hair);
    builder.join(&rows, true, false, Surface::Hair);
    builder.face_away_from(first, MIDDLE);
}

/// The hair's surface: `x` across the lock from -1 to 1, `s` from the whorl to the edge; and its shade.
fn point(pole: &Pole, turn: f64, x: f64, lock: usize, s: f64) -> (DVec3, f64) {
    // Locks leave the whorl turned and swing straight towards the edge.
    let swing = 0.55 * (1.0 - s) * (1.0 - s);
    let uneven = [0.0, 0.5, -0.3, 0.35, -0.15, 0.2, -0.2][lock % 7];
    let in_front = smoothstep(1.7, 0.2, (turn.rem_euclid(TAU) - PI).abs().mul_add(-1.0, PI));
    let behind = smoothstep(2.2, 2.9, (turn.rem_euclid(TAU) - PI).abs().mul_add(-1.0, PI));
    let angle = turn + swing - in_front * 0.42 * s * s * s;
    let round = (1.0 - x * x).max(0.0).sqrt();
    let tip = (0.10 + 0.05 * uneven + 0.07 * in_front - 0.06 * behind) * round;
    let reach = pole.edge(angle) * (1.0 + tip) - 0.04;
    let d = pole.direction(angle, reach * s);
    let fade = smoothstep(0.0, 0.35, s);
    let rim = (1.0 - ((s - 0.72) / 0.28).max(0.0).powi(2)).max(0.0).sqrt();
    let groove = (0.34 + 0.10 * in_front) * fade * (1.0 - round);
    let lift = 0.16 * uneven * fade;
    let height = ((thickness(d) + lift + 0.35 * in_front * smoothstep(0.3, 0.8, s)) - groove) * rim;
    let at = form::cast(MIDDLE, d) + d * height;
    let shade = mix(1.0, 0.55, fade * (1.0 - round).powi(2)) * mix(1.0, 0.75, smoothstep(0.85, 1.0, s));
    (at, shade)
}
