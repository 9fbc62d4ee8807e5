//! The head's overall form as a distance function: a smooth union of a few ellipsoids, in centimetres.
//!
//! Everything else is laid on it. The eyes' height is y = 0, the middle of the skull about z = 0. The form is
//! symmetrical; it has the mounds of closed lids and a plain muzzle, on which `eyes` and `mouth` model the details.

use glam::{DVec2, DVec3, dvec3};

use crate::math::{smooth_max, smooth_min};

/// The left eyeball's centre.
pub const EYE_CENTER: DVec3 = dvec3(3.35, 0.0, 4.75);

/// The eyeball's radius.
pub const EYE_RADIUS: f64 = 2.35;

/// How far the lids' front stands off the eyeball.
pub const LID_THICKNESS: f64 = 0.27;

/// Radius of the neck at its top.
const NECK_RADIUS: f64 = 4.3;

fn ellipsoid(p: DVec3, center: DVec3, radii: DVec3) -> f64 {
    let q = p - center;
    let (k0, k1) = ((q / radii).length(), (q / (radii * radii)).length());
    if k1 < 1e-9 { -radii.min_element() } else { k0 * (k0 - 1.0) / k1 }
}

fn capsule(p: DVec3, a: DVec3, b: DVec3, from: f64, to: f64) -> f64 {
    let t = ((p - a).dot(b - a) / (b - a).length_squared()).clamp(0.0, 1.0);
    (p - a.lerp(b, t)).length() - (from + (to - from) * t)
}

/// The distance to the nearer of two mirrored ellipsoids, smooth across the middle.
fn pair(p: DVec3, center: DVec3, radii: DVec3, k: f64) -> f64 {
    let left = ellipsoid(p, center, radii);
    let right = ellipsoid(dvec3(-p.x, p.y, p.z), center, radii);
    smooth_min(left, right, k)
}

fn skull(p: DVec3) -> f64 {
    let cranium = ellipsoid(p, dvec3(0.0, 3.4, -0.9), dvec3(7.7, 8.4, 9.0));
    let face = ellipsoid(p, dvec3(0.0, -1.6, 1.2), dvec3(6.9, 8.2, 6.6));
    let jaw = ellipsoid(p, dvec3(0.0, -5.9, 2.2), dvec3(5.25, 4.3, 5.0));
    let chin = ellipsoid(p, dvec3(0.0, -8.75, 5.6), dvec3(2.0, 1.6, 1.85));
    let cheeks = pair(p, dvec3(3.7, -3.5, 3.9), dvec3(2.9, 2.9, 3.1), 1.5);
    let muzzle = ellipsoid(p, dvec3(0.0, -6.1, 5.2), dvec3(3.3, 2.5, 2.7));
    let mut d = smooth_min(cranium, face, 3.0);
    d = smooth_min(d, jaw, 3.0);
    d = smooth_min(d, cheeks, 2.2);
    d = smooth_min(d, chin, 2.2);
    smooth_min(d, muzzle, 2.0)
}

fn brow_and_sockets(p: DVec3, skull: f64) -> f64 {
    let brow = pair(p, dvec3(2.9, 2.45, 5.5), dvec3(2.9, 1.0, 1.7), 1.6);
    let mut d = smooth_min(skull, brow, 1.6);
    let socket = pair(p, EYE_CENTER + dvec3(-0.05, 0.05, 3.9), dvec3(2.5, 1.75, 1.75), 0.6);
    d = smooth_max(d, -socket, 1.5);
    let mound = EYE_RADIUS + LID_THICKNESS + 0.05;
    smooth_min(d, pair(p, EYE_CENTER, DVec3::splat(mound), 0.5), 0.9)
}

fn nose(p: DVec3, face: f64) -> f64 {
    let bridge = capsule(p, dvec3(0.0, 0.9, 6.35), dvec3(0.0, -2.9, 8.0), 0.48, 0.85);
    let tip = ellipsoid(p, dvec3(0.0, -3.25, 8.3), dvec3(1.05, 0.95, 1.0));
    let wings = pair(p, dvec3(1.0, -3.6, 7.5), dvec3(0.68, 0.62, 0.85), 0.3);
    let mut d = smooth_min(face, bridge, 1.0);
    d = smooth_min(d, tip, 0.9);
    d = smooth_min(d, wings, 0.75);
    let nostrils = pair(p, dvec3(0.5, -4.36, 8.2), dvec3(0.27, 0.34, 0.42), 0.05);
    smooth_max(d, -nostrils, 0.3)
}

/// The distance from `p` to the form, negative inside.
pub fn distance(p: DVec3) -> f64 {
    let head = nose(p, brow_and_sockets(p, skull(p)));
    let neck = capsule(p, dvec3(0.0, -5.0, -0.9), dvec3(0.0, -20.0, -3.0), NECK_RADIUS, NECK_RADIUS + 0.5);
    smooth_min(head, neck, 2.2)
}

/// The first point of the form on a ray that starts inside.
pub fn cast(origin: DVec3, direction: DVec3) -> DVec3 {
    let direction = direction.normalize();
    let mut t = 0.0;
    for _ in 0..400 {
        let d = distance(origin + direction * t);
        if d > -1e-7 {
            break;
        }
        t += (-d * 0.6).max(1e-4);
    }
    let (mut low, mut high) = ((t - 0.05).max(0.0), t + 0.05);
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        if distance(origin + direction * middle) < 0.0 { low = middle } else { high = middle }
    }
    origin + direction * (0.5 * (low + high))
}

/// The point of the face straight in front of (x, y).
pub fn front(at: DVec2) -> DVec3 {
    cast(dvec3(at.x, at.y, 2.0), DVec3::Z)
}

/// The form's outward normal near `p`.
pub fn normal(p: DVec3) -> DVec3 {
    let e = 0.02;
    let slope = |axis: DVec3| distance(p + axis * e) - distance(p - axis * e);
    dvec3(slope(DVec3::X), slope(DVec3::Y), slope(DVec3::Z)).normalize_or(DVec3::Z)
}
