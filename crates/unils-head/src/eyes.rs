//! The eyes: eyeballs with iris and pupil, the rings of both lids, the dark edge of the upper lid.
//!
//! Places on an eye are two lengths over its ball, outward and up from the middle of the opening.

use std::f64::consts::{PI, TAU};

use glam::{DVec2, DVec3, dvec2, dvec3};

use crate::builder::{Body, Builder, LidPlace, Surface, Vertex};
use crate::form::{self, EYE_CENTER, EYE_RADIUS, LID_THICKNESS};
use crate::math::{mix, smoothstep};

/// Columns from corner to corner along one lid.
pub const LID_COLUMNS: usize = 20;

/// Middle and half width of the opening.
const OPENING: (f64, f64) = (0.12, 1.84);

/// The opening's heights above and below its middle.
const HEIGHTS: (f64, f64) = (1.08, 0.97);

/// The direction that the opening faces: outward by a few degrees, as the face is round.
const OUTWARD: f64 = 0.12;

/// Radii of iris and pupil.
const IRIS: (f64, f64) = (1.06, 0.48);

fn axes() -> (DVec3, DVec3, DVec3) {
    let (s, c) = OUTWARD.sin_cos();
    (dvec3(c, 0.0, -s), DVec3::Y, dvec3(s, 0.0, c))
}

/// The point over a place of the left eye, `radius` from the ball's centre.
pub fn over_ball(place: DVec2, radius: f64) -> DVec3 {
    let (x, y, z) = axes();
    let angle = place.length() / EYE_RADIUS;
    let side = place.normalize_or_zero();
    EYE_CENTER + radius * (z * angle.cos() + (x * side.x + y * side.y) * angle.sin())
}

/// The place under a point near the left eye, and the point's distance from the ball's centre.
pub fn place_on_ball(p: DVec3) -> (DVec2, f64) {
    let (x, y, z) = axes();
    let q = p - EYE_CENTER;
    let side = dvec2(q.dot(x), q.dot(y));
    let angle = side.length().atan2(q.dot(z));
    (side.normalize_or_zero() * angle * EYE_RADIUS, q.length())
}

/// The lid's edge at a column from -1 (inner corner) to 1 (outer corner).
pub fn edge(q: f64, upper: bool) -> DVec2 {
    let (middle, half) = OPENING;
    let corner = mix(-0.12, 0.10, 0.5 * (q + 1.0));
    let bow = |height: f64, peak: f64, power: f64| {
        // The highest point stands a little beside the middle.
        let t = q - peak * (1.0 - q * q);
        height * (1.0 - t.abs().min(1.0).powf(power)).powf(0.72)
    };
    let b = if upper { bow(HEIGHTS.0, 0.04, 2.3) } else { -bow(HEIGHTS.1, 0.10, 2.1) };
    dvec2(middle + half * q, corner + b)
}

/// The opening's height in its middle: what gaps between closed lids are measured against.
pub fn opening_height() -> f64 {
    edge(0.0, true).y - edge(0.0, false).y
}

/// Columns around the opening: q and the lid.
fn columns() -> Vec<(f64, bool)> {
    let n = LID_COLUMNS;
    (0..2 * n)
        .map(|k| {
            let q = -(PI * k as f64 / n as f64).cos();
            (q, k < n && k > 0)
        })
        .collect()
}

/// The way from the edge over the lid's skin, in the plane of places.
fn outward(q: f64, upper: bool) -> DVec2 {
    let e = 0.02;
    let tangent = edge((q + e).min(1.0), upper) - edge((q - e).max(-1.0), upper);
    let across = if upper { dvec2(-tangent.y, tangent.x) } else { dvec2(tangent.y, -tangent.x) };
    let side = dvec2(q.signum(), 0.0);
    let at_corner = smoothstep(0.80, 1.0, q.abs());
    across.normalize_or_zero().lerp(side, at_corner).normalize_or_zero()
}

/// The rings of the lids, from inside behind the edge to the outermost on the form, which is returned.
pub fn add_lids(builder: &mut Builder) -> Vec<u32> {
    let columns = columns();
    let mut rows = Vec::new();
    // Behind the edge, over the ball: (distance outward, height over the ball).
    for (distance, height, color) in [
        (0.45, 0.03, dvec3(0.75, 0.42, 0.38)),
        (0.10, 0.025, dvec3(0.85, 0.50, 0.46)),
        (0.0, 0.05, dvec3(0.95, 0.62, 0.57)),
        (0.0, LID_THICKNESS * 0.78, dvec3(0.88, 0.66, 0.62)),
    ] {
        let mut row = Vec::new();
        for &(q, upper) in &columns {
            let place = edge(q, upper) + outward(q, upper) * distance;
            let lid = LidPlace { q, upper, distance: 0.0, height };
            row.push(builder.add(Vertex {
                color,
                lid: Some(lid),
                ..Vertex::new(over_ball(place, EYE_RADIUS + height), Body::Face)
            }));
        }
        rows.push(row);
    }
    for distance in [0.07, 0.2, 0.36, 0.5, 0.62, 0.8, 1.05, 1.35] {
        let row = columns.iter().map(|&(q, upper)| builder.add(lid_skin(q, upper, distance))).collect();
        rows.push(row);
    }
    builder.join(&rows, true, false, Surface::Skin);
    rows.pop().unwrap_or_default()
}

fn lid_skin(q: f64, upper: bool, distance: f64) -> Vertex {
    let narrow = mix(0.14, 1.0, smoothstep(-1.0, -0.1, q));
    let place = edge(q, upper) + outward(q, upper) * distance * narrow;
    let toward = (over_ball(place, 1.0) - EYE_CENTER).normalize();
    let on_form = form::cast(EYE_CENTER, toward);
    let ball = EYE_RADIUS + LID_THICKNESS;
    let reach = (on_form - EYE_CENTER).length();
    let mut radius = mix(ball, reach, smoothstep(0.05, 0.8, distance));
    let middle = (1.0 - q * q).max(0.0).sqrt();
    if upper {
        // The fold above the lid: a groove, and the skin above hangs over it.
        radius -= 0.13 * middle * (1.0 - ((distance - 0.5) / 0.13).powi(2)).max(0.0);
        radius += 0.09 * middle * (1.0 - ((distance - 0.72) / 0.22).powi(2)).max(0.0);
    }
    let shade = if upper { 0.80 } else { 0.88 };
    let near = smoothstep(0.7, 0.0, distance) * (0.4 + 0.6 * middle);
    let color = DVec3::ONE.lerp(dvec3(0.96, shade, shade - 0.04), near);
    Vertex {
        color,
        lid: Some(LidPlace { q, upper, distance, height: radius - EYE_RADIUS }),
        ..Vertex::new(EYE_CENTER + toward * radius, Body::Face)
    }
}

/// The dark edge of the upper lid, thin at the inner corner, thick over the outer half.
pub fn add_lashes(builder: &mut Builder) {
    let first = builder.triangles.len();
    let n = 28;
    let mut rows: Vec<Vec<u32>> = Vec::new();
    for i in 0..=n {
        let t = i as f64 / n as f64;
        let q = mix(-0.97, 0.992, t);
        let thick = 0.19 * smoothstep(-0.05, 0.55, t).max(0.12) * (1.0 - 0.75 * smoothstep(0.86, 1.0, t));
        let base = edge(q, true);
        let out = outward(q, true).lerp(dvec2(0.25, 1.0), smoothstep(0.6, 0.95, t)).normalize();
        let stand = LID_THICKNESS;
        // The cross-section: under the edge, its front below, its front above, back on the lid.
        let section = [
            (-0.015, stand * 0.35),
            (-0.25 * thick, stand + 0.25 * thick + 0.02),
            (0.35 * thick, stand + 0.42 * thick + 0.03),
            (0.9 * thick, stand + 0.12 * thick + 0.01),
            (1.05 * thick, stand * 0.6),
        ];
        let row = section.map(|(offset, height)| {
            let place = base + out * offset;
            builder.add(Vertex {
                lid: Some(LidPlace { q, upper: true, distance: 0.0, height }),
                ..Vertex::new(over_ball(place, EYE_RADIUS + height), Body::Lash)
            })
        });
        rows.push(row.to_vec());
    }
    builder.join(&rows, true, false, Surface::Lashes);
    builder.face_away_from(first, EYE_CENTER + dvec3(0.0, 1.0, 1.2));
}

/// The eyeball, front half and a little more, looking straight ahead.
pub fn add_ball(builder: &mut Builder) {
    let segments = 40;
    let (iris, pupil) = IRIS;
    let radii = [
        pupil * 0.55,
        pupil - 0.025,
        pupil + 0.025,
        0.58,
        0.70,
        0.80,
        0.88,
        0.94,
        iris - 0.02,
        iris + 0.05,
        iris + 0.18,
        1.45,
        1.8,
        2.2,
        2.7,
        3.4,
    ];
    let at = |arc: f64, turn: f64| {
        let angle = arc / EYE_RADIUS;
        let side = dvec3(turn.cos(), turn.sin(), 0.0) * angle.sin();
        EYE_CENTER + EYE_RADIUS * (side + DVec3::Z * angle.cos())
    };
    let tip = builder.add(Vertex { color: DVec3::splat(0.02), ..Vertex::new(at(0.0, 0.0), Body::Eye) });
    let mut rows = Vec::new();
    for arc in radii {
        let mut row = Vec::new();
        for k in 0..segments {
            let turn = TAU * k as f64 / segments as f64;
            let color = if arc < iris { iris_color(arc, turn) } else { white_color(arc, turn) };
            row.push(builder.add(Vertex { color, ..Vertex::new(at(arc, turn), Body::Eye) }));
        }
        rows.push(row);
    }
    let edge = radii.iter().position(|&arc| arc > iris).unwrap_or(0);
    let first = builder.triangles.len();
    builder.fan(&rows[0], tip, true, true, Surface::Iris);
    builder.join(&rows[..edge], true, false, Surface::Iris);
    builder.join(&rows[edge - 1..], true, false, Surface::Eyes);
    builder.face_away_from(first, EYE_CENTER);
}

fn iris_color(arc: f64, turn: f64) -> DVec3 {
    let (iris, pupil) = IRIS;
    if arc < pupil {
        return DVec3::splat(0.012);
    }
    let t = (arc - pupil) / (iris - pupil);
    let strands = 1.0 + 0.10 * (turn * 12.0).sin() * (1.0 - t) + 0.05 * (turn * 24.0 + 1.0).sin();
    // Light falls in from above and lights the lower side.
    let below = mix(0.42, 1.45, smoothstep(0.9, -0.9, turn.sin() * (0.3 + t)));
    let ring = mix(1.0, 0.16, smoothstep(0.66, 1.0, t)) * mix(0.55, 1.0, smoothstep(0.0, 0.25, t));
    DVec3::splat(strands * below * ring)
}

fn white_color(arc: f64, turn: f64) -> DVec3 {
    let white = dvec3(1.0, 0.985, 0.97);
    let (x, y) = (arc * turn.cos(), arc * turn.sin());
    let shadow = smoothstep(0.55, 1.35, y) * 0.45 + smoothstep(1.1, 2.0, x.abs()) * 0.28;
    white.lerp(dvec3(0.62, 0.46, 0.43), shadow.min(0.8))
}

/// A round reflection on each eye, on the same side of both: light comes from one side.
pub fn add_glints(builder: &mut Builder) {
    for is_left in [true, false] {
        for (place, radius) in [(dvec2(-0.36, 0.42), 0.185), (dvec2(0.36, -0.42), 0.075)] {
            let place = if is_left { place } else { dvec2(-place.x, place.y) };
            add_glint(builder, is_left, place, radius);
        }
    }
}

fn add_glint(builder: &mut Builder, is_left: bool, place: DVec2, radius: f64) {
    let first = builder.triangles.len();
    let segments = 16;
    let put = |offset: DVec2, height: f64| {
        // Places turn with the opening; undo that, so that glints sit on the iris.
        let shift = dvec2(-OUTWARD * EYE_RADIUS, 0.0);
        let p = over_ball(place + shift + offset, EYE_RADIUS + height);
        if is_left { p } else { crate::builder::flip(p) }
    };
    let tip = builder.add(Vertex::new(put(DVec2::ZERO, 0.035), Body::Glint));
    let ring = (0..segments).map(|k| {
        let (s, c) = (TAU * k as f64 / segments as f64).sin_cos();
        put(dvec2(c, s) * radius, 0.02)
    });
    let ring = builder.add_row(ring, Body::Glint);
    builder.fan(&ring, tip, true, false, Surface::Glint);
    let center = if is_left { EYE_CENTER } else { crate::builder::flip(EYE_CENTER) };
    builder.face_away_from(first, center);
}
