//! Small functions of one or two numbers that all parts of the head are shaped with.

use glam::{DVec2, DVec3};

/// `a` at 0, `b` at 1.
pub fn mix(a: f64, b: f64, t: f64) -> f64 {
    a + (b - a) * t
}

/// 0 below `from`, 1 above `to` (or the reverse where `from` is the larger), with level ends.
pub fn smoothstep(from: f64, to: f64, x: f64) -> f64 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// A soft hill: 1 at 0, exactly 0 from `reach` on, level at both.
pub fn hill(distance: f64, reach: f64) -> f64 {
    let t = 1.0 - (distance / reach).powi(2);
    if t > 0.0 { t * t * t } else { 0.0 }
}

/// A hill about a point, wider along some axes than others; `reach` where it ends along each.
pub fn hill_at(p: DVec3, center: DVec3, reach: DVec3) -> f64 {
    hill(((p - center) / reach).length(), 1.0)
}

/// The smaller of two distances with the edge between them rounded over about `k`.
pub fn smooth_min(a: f64, b: f64, k: f64) -> f64 {
    let h = (k - (a - b).abs()).max(0.0) / k;
    a.min(b) - h * h * h * k / 6.0
}

/// The larger of two distances, rounded likewise.
pub fn smooth_max(a: f64, b: f64, k: f64) -> f64 {
    -smooth_min(-a, -b, k)
}

/// Piecewise linear through `(x, y)` with ascending `x`, made level at its points by smoothsteps.
pub fn curve(points: &[(f64, f64)], x: f64) -> f64 {
    let Some(&(first, start)) = points.first() else { return 0.0 };
    if x <= first {
        return start;
    }
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        if x <= x1 {
            return mix(y0, y1, smoothstep(x0, x1, x));
        }
    }
    points[points.len() - 1].1
}

/// A smooth curve through points (Catmull-Rom), `t` from 0 to 1.
pub fn spline(points: &[DVec3], t: f64) -> DVec3 {
    let last = points.len() - 1;
    let x = t.clamp(0.0, 1.0) * last as f64;
    let i = (x as usize).min(last.saturating_sub(1));
    let f = x - i as f64;
    let at = |k: isize| {
        if k < 0 {
            points[0] * 2.0 - points[1]
        } else if k as usize > last {
            points[last] * 2.0 - points[last - 1]
        } else {
            points[k as usize]
        }
    };
    let (a, b, c, d) = (at(i as isize - 1), at(i as isize), at(i as isize + 1), at(i as isize + 2));
    let (f2, f3) = (f * f, f * f * f);
    0.5 * (b * 2.0 + (c - a) * f + (a * 2.0 - b * 5.0 + c * 4.0 - d) * f2 + (b * 3.0 - c * 3.0 + d - a) * f3)
}

/// Whether a point lies inside a closed polygon.
pub fn inside_polygon(polygon: &[DVec2], p: DVec2) -> bool {
    let mut inside = false;
    for (i, a) in polygon.iter().enumerate() {
        let b = polygon[(i + 1) % polygon.len()];
        if (a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x {
            inside = !inside;
        }
    }
    inside
}
