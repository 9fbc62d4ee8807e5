//! The skin between the rings around eyes and mouth: points spread over the form, joined by triangles.
//!
//! Rays from the head's axis give every point of the skin two coordinates, the angle around the axis and a length
//! along it. In this chart a constrained Delaunay triangulation joins the outermost rings, the middle lines and
//! freely spread points, close together where the face has detail, wide apart under the hair.

use glam::{DVec2, DVec3, dvec2, dvec3};
use spade::{ConstrainedDelaunayTriangulation, Point2, Triangulation};
use unils::{Error, Result};

use crate::form;
use crate::math::{inside_polygon, mix, smoothstep};

/// Where the chart ends on the axis: in the neck under the shirt, and at the crown.
const AXIS: (f64, f64) = (-15.0, 4.4);

/// Chart units for a radian around the axis.
const AROUND: f64 = 7.0;

/// The rays from the axis, and the length along the skin that belongs to each.
pub struct Chart {
    lengths: Vec<f64>,
}

fn axis(h: f64) -> DVec3 {
    dvec3(0.0, h, mix(-2.6, 0.0, smoothstep(-17.0, -3.0, h)))
}

/// Rays point down in front of the neck and face, which looks up the nose and under the chin, and up at the crown.
fn elevation(h: f64) -> f64 {
    mix(-28.0, 86.0, ((h + 1.5) / (AXIS.1 + 1.5)).clamp(0.0, 1.0)).to_radians()
}

impl Chart {
    /// Measures the form.
    pub fn measure() -> Self {
        let steps = 400;
        let mut lengths = vec![0.0];
        let mut last: Option<DVec3> = None;
        for i in 0..=steps {
            let h = mix(AXIS.0, AXIS.1, i as f64 / steps as f64);
            let p = on_ray(h, 0.7);
            if let Some(last) = last {
                let step = (p - last).length().max(1e-3);
                lengths.push(lengths[lengths.len() - 1] + step);
            }
            last = Some(p);
        }
        Self { lengths }
    }

    /// The chart's extent: half way around, and from the neck to the crown.
    pub fn size(&self) -> DVec2 {
        dvec2(std::f64::consts::PI * AROUND, self.lengths[self.lengths.len() - 1])
    }

    /// The form's point at chart coordinates.
    pub fn point(&self, at: DVec2) -> DVec3 {
        let i = self.lengths.partition_point(|&l| l <= at.y).clamp(1, self.lengths.len() - 1);
        let (a, b) = (self.lengths[i - 1], self.lengths[i]);
        let x = (i - 1) as f64 + ((at.y - a) / (b - a)).clamp(0.0, 1.0);
        let h = mix(AXIS.0, AXIS.1, x / (self.lengths.len() - 1) as f64);
        let mut p = on_ray(h, at.x / AROUND);
        if at.x <= 0.0 || at.x >= self.size().x {
            p.x = 0.0;
        }
        p
    }

    /// The chart coordinates of a point near the form.
    pub fn coordinates(&self, p: DVec3) -> DVec2 {
        let (mut low, mut high) = AXIS;
        for _ in 0..50 {
            let h = 0.5 * (low + high);
            let a = axis(h);
            let r = p.x.hypot(p.z - a.z);
            let e = elevation(h);
            if (p.y - h) * e.cos() - r * e.sin() > 0.0 { low = h } else { high = h }
        }
        let h = 0.5 * (low + high);
        let x = (h - AXIS.0) / (AXIS.1 - AXIS.0) * (self.lengths.len() - 1) as f64;
        let i = (x as usize).min(self.lengths.len() - 2);
        let length = mix(self.lengths[i], self.lengths[i + 1], x - i as f64);
        dvec2(p.x.atan2(p.z - axis(h).z) * AROUND, length)
    }
}

fn on_ray(h: f64, angle: f64) -> DVec3 {
    let e = elevation(h);
    form::cast(axis(h), dvec3(angle.sin() * e.cos(), e.sin(), angle.cos() * e.cos()))
}

/// How far apart points of the skin lie.
fn spacing(p: DVec3) -> f64 {
    let nose = ((p - dvec3(0.0, -3.5, 8.5)) / dvec3(2.2, 1.6, 2.5)).length();
    let face = mix(0.23, 0.48, smoothstep(0.75, 1.7, nose));
    let neck = mix(face, 0.9, smoothstep(-10.5, -13.0, p.y));
    let side = mix(neck, 0.85, smoothstep(4.0, 0.5, p.z));
    let back = smoothstep(1.0, -3.0, p.z) * smoothstep(-9.0, -7.0, p.y);
    let top = smoothstep(6.0, 9.0, p.y);
    mix(side, 2.0, back.max(top))
}

/// A closed or open line of points that triangles must not cross, and the polygon that it encloses.
pub struct Hole {
    /// The ring's points: chart coordinates with the caller's numbers of the vertices.
    pub ring: Vec<(DVec2, u32)>,
    /// Whether the last point joins the first; else both lie on the middle line.
    pub closed: bool,
}

/// Points and triangles of the left half; indices below `first_free` are the callers', given in the holes.
pub struct Fill {
    /// Freely placed points, numbered from `first_free` on.
    pub points: Vec<DVec3>,
    /// Corners.
    pub triangles: Vec<[u32; 3]>,
}

#[derive(Clone, Copy)]
struct Site {
    at: DVec2,
    p: DVec3,
    vertex: Option<u32>,
}

/// Fills the left half of the skin around `holes`.
pub fn fill(chart: &Chart, holes: &[Hole], position: impl Fn(u32) -> DVec3, first_free: u32) -> Result<Fill> {
    let mut sites: Vec<Site> = Vec::new();
    for &(at, vertex) in holes.iter().flat_map(|hole| &hole.ring) {
        sites.push(Site { at, p: position(vertex), vertex: Some(vertex) });
    }
    let polygons: Vec<Vec<DVec2>> =
        holes.iter().map(|hole| hole.ring.iter().map(|&(at, _)| at).collect()).collect();
    scatter(chart, &polygons, &mut sites);
    for _ in 0..6 {
        let triangles = triangulate(&sites, holes, &polygons)?;
        relax(chart, &mut sites, &triangles);
    }
    let triangles = triangulate(&sites, holes, &polygons)?;
    let mut numbers = Vec::with_capacity(sites.len());
    let mut points = Vec::new();
    for site in &sites {
        numbers.push(site.vertex.unwrap_or_else(|| {
            points.push(site.p);
            first_free + points.len() as u32 - 1
        }));
    }
    let triangles = triangles.iter().map(|corners| corners.map(|i| numbers[i])).collect();
    Ok(Fill { points, triangles })
}

/// Middle lines, lower and upper edge first, then the inside, each point kept if no other is too near.
fn scatter(chart: &Chart, polygons: &[Vec<DVec2>], sites: &mut Vec<Site>) {
    let size = chart.size();
    let step = 0.2;
    let (columns, rows) = ((size.x / step) as usize, (size.y / step) as usize);
    let corners = [(0.0, 0.0), (size.x, 0.0), (0.0, size.y), (size.x, size.y)];
    let lines = (0..rows * 4).flat_map(|j| {
        let t = size.y * (j as f64 + 0.5) / (rows * 4) as f64;
        [(0.0, t), (size.x, t)]
    });
    let edges = (0..columns * 2).flat_map(|i| {
        let s = size.x * (i as f64 + 0.5) / (columns * 2) as f64;
        [(s, 0.0), (s, size.y)]
    });
    let inside = (1..rows).flat_map(|j| {
        let shift = if j % 2 == 0 { 0.0 } else { 0.5 };
        (1..columns).map(move |i| ((i as f64 + shift) * step, j as f64 * step))
    });
    for (s, t) in corners.into_iter().chain(lines).chain(edges).chain(inside) {
        let at = dvec2(s, t);
        if polygons.iter().any(|polygon| inside_polygon(polygon, at + dvec2(1e-6, 0.0))) {
            continue;
        }
        let p = chart.point(at);
        let edge = s <= 0.0 || s >= size.x || t <= 0.0 || t >= size.y;
        let clear = spacing(p);
        let middle_clear = edge || (s.min(size.x - s) * 0.9 > 0.6 * clear);
        if middle_clear && sites.iter().all(|site| (site.p - p).length() >= clear * 0.92) {
            sites.push(Site { at, p, vertex: None });
        }
    }
}

fn triangulate(sites: &[Site], holes: &[Hole], polygons: &[Vec<DVec2>]) -> Result<Vec<[usize; 3]>> {
    let fail = |what: &str| Error::face("the generated head", format!("its skin cannot be filled: {what}"));
    let mut net = ConstrainedDelaunayTriangulation::<Point2<f64>>::new();
    let mut handles = Vec::with_capacity(sites.len());
    for site in sites {
        handles.push(net.insert(Point2::new(site.at.x, site.at.y)).map_err(|e| fail(&e.to_string()))?);
    }
    let mut start = 0;
    for hole in holes {
        let count = hole.ring.len();
        let edges = if hole.closed { count } else { count - 1 };
        for i in 0..edges {
            let (a, b) = (handles[start + i], handles[start + (i + 1) % count]);
            if a != b && net.can_add_constraint(a, b) {
                net.add_constraint(a, b);
            }
        }
        start += count;
    }
    let mut site_of = vec![usize::MAX; net.num_vertices()];
    for (site, handle) in handles.iter().enumerate() {
        site_of[handle.index()] = site;
    }
    let mut triangles = Vec::new();
    for face in net.inner_faces() {
        let corners = face.vertices().map(|v| site_of[v.fix().index()]);
        let center = corners.iter().map(|&i| sites[i].at).sum::<DVec2>() / 3.0;
        if !polygons.iter().any(|polygon| inside_polygon(polygon, center)) {
            triangles.push(corners);
        }
    }
    Ok(triangles)
}

/// Moves every free point half way to the middle of its neighbours; those on an edge stay on it.
fn relax(chart: &Chart, sites: &mut [Site], triangles: &[[usize; 3]]) {
    let size = chart.size();
    let mut sums = vec![(DVec2::ZERO, 0.0); sites.len()];
    for &[a, b, c] in triangles {
        for (i, j) in [(a, b), (b, c), (c, a)] {
            for (to, from) in [(i, j), (j, i)] {
                sums[to].0 += sites[from].at;
                sums[to].1 += 1.0;
            }
        }
    }
    for (site, (sum, count)) in sites.iter_mut().zip(sums) {
        let edge = [site.at.x <= 0.0, site.at.x >= size.x, site.at.y <= 0.0, site.at.y >= size.y];
        if site.vertex.is_some() || count == 0.0 || edge.contains(&true) {
            continue;
        }
        let at = site.at.lerp(sum / count, 0.5);
        *site = Site { at, p: chart.point(at), vertex: None };
    }
}
