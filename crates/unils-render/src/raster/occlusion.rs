//! How much of the sky each vertex sees: measured once a head, with the mouth closed and with it open.
//!
//! The head is looked at from many directions over a sphere; a vertex sees the sky there unless something stands
//! higher in that direction. Between the two poses the result follows the mouth of each frame, so that teeth are
//! not lit as if the lips still covered them.

use rayon::prelude::*;
use unils::face::{Face, Mesh, Normals, Region, Vec3, mesh};
use unils::motion::Space;

use super::shadow::DepthMap;

/// Directions in all; about half of them are above a surface.
const DIRECTIONS: usize = 96;

/// Directions at once: bounds the memory of their depth maps, and keeps sums in one order.
const AT_ONCE: usize = 8;

/// Texels of a depth map's side.
const SIZE: usize = 256;

/// The open mouth of the second measurement: the jaw first, in each motion space.
const OPEN_MOUTH: [(Space, &[(&str, f32)]); 2] = [
    (
        Space::Arkit55,
        &[
            ("jawOpen", 0.6),
            ("mouthUpperUpLeft", 0.5),
            ("mouthUpperUpRight", 0.5),
            ("mouthLowerDownLeft", 0.5),
            ("mouthLowerDownRight", 0.5),
        ],
    ),
    (Space::Flame108, &[("jaw", 0.3)]),
];

/// Share of that opening from which on a mouth counts as open: teeth of a smile are lit.
const OPEN_SHARE: f32 = 0.5;

/// What a face needs for the openness of its vertices in any frame.
#[derive(Debug)]
pub(super) struct Openness {
    closed: Vec<f32>,
    /// Change when the mouth opens; empty if the face has no jaw.
    change: Vec<f32>,
    jaw: Option<(usize, f32)>,
    /// Inner lips, and their distances when closed and open; for faces that label them.
    lips: Option<Lips>,
}

#[derive(Debug)]
struct Lips {
    closed: f32,
    open: f32,
}

impl Openness {
    /// Measures a face. `casts` are the triangles that hide what is behind them.
    pub(super) fn measure(
        face: &dyn Face,
        normals: &Normals,
        casts: impl Iterator<Item = [u32; 3]> + Clone + Send + Sync,
    ) -> Self {
        let (mut positions, mut directions) = (face.mesh().positions.clone(), Vec::new());
        normals.compute(&positions, &mut directions);
        let closed = measure(&positions, &directions, casts.clone());
        let gap_closed = lip_gap(face.mesh(), &positions);
        let space = face.space();
        let values =
            OPEN_MOUTH.iter().find(|(other, _)| *other == space).map_or(&[][..], |(_, values)| values);
        let mut frame = vec![0.0; space.width()];
        for &(name, value) in values {
            if let Some(index) = space.index(name) {
                frame[index] = value;
            }
        }
        let jaw = values.first().and_then(|&(name, value)| space.index(name).map(|index| (index, value)));
        if jaw.is_none() {
            return Self { closed, change: Vec::new(), jaw: None, lips: None };
        }
        face.pose(&frame, &mut positions);
        normals.compute(&positions, &mut directions);
        let mut change = measure(&positions, &directions, casts);
        for (open, closed) in change.iter_mut().zip(&closed) {
            *open -= closed;
        }
        let gap_open = lip_gap(face.mesh(), &positions);
        let lips = gap_closed.zip(gap_open).filter(|(closed, open)| open - closed > 1e-4);
        Self { closed, change, jaw, lips: lips.map(|(closed, open)| Lips { closed, open }) }
    }

    /// How far the mouth is open in a frame, 0 as at rest to 1 as measured.
    pub(super) fn mouth(&self, mesh: &Mesh, frame: &[f32], positions: &[Vec3]) -> f32 {
        let share = match (&self.lips, self.jaw) {
            (Some(lips), _) => {
                lip_gap(mesh, positions).map_or(0.0, |gap| (gap - lips.closed) / (lips.open - lips.closed))
            }
            (None, Some((index, value))) => frame.get(index).map_or(0.0, |angle| angle / value),
            (None, None) => 0.0,
        };
        let share = share / OPEN_SHARE;
        // Not a number counts as closed.
        let shut = 1.0 - if share > 0.0 { share.min(1.0) } else { 0.0 };
        1.0 - shut * shut
    }

    /// Openness of a vertex.
    #[inline]
    pub(super) fn of(&self, vertex: usize, mouth: f32) -> f32 {
        let closed = self.closed.get(vertex).copied().unwrap_or(1.0);
        closed + mouth * self.change.get(vertex).copied().unwrap_or(0.0)
    }
}

/// Mean distance of the inner lips; none if they are not labelled.
fn lip_gap(head: &Mesh, positions: &[Vec3]) -> Option<f32> {
    let middle = |region: Region| {
        let vertices = head.region(region);
        let sum = vertices.iter().fold([0.0; 3], |sum, &v| mesh::add(sum, positions[v as usize]));
        (!vertices.is_empty()).then(|| mesh::scale(sum, 1.0 / vertices.len() as f32))
    };
    let (upper, lower) = (middle(Region::UpperInnerLip)?, middle(Region::LowerInnerLip)?);
    Some(mesh::length(mesh::sub(upper, lower)))
}

fn measure(
    positions: &[Vec3],
    normals: &[Vec3],
    casts: impl Iterator<Item = [u32; 3]> + Clone + Send + Sync,
) -> Vec<f32> {
    let [low, high] = mesh::bounds(positions.iter().copied());
    let center = mesh::scale(mesh::add(low, high), 0.5);
    let radius = (0.52 * mesh::length(mesh::sub(high, low))).max(1e-6);
    let mut sums = vec![(0.0_f32, 0.0_f32); positions.len()];
    for first in (0..DIRECTIONS).step_by(AT_ONCE) {
        let maps: Vec<(Vec3, DepthMap)> = (first..(first + AT_ONCE).min(DIRECTIONS))
            .into_par_iter()
            .map(|index| {
                let direction = on_sphere(index);
                let mut map = DepthMap::new(SIZE, direction, center, radius);
                map.draw(positions.iter().copied(), casts.clone());
                (direction, map)
            })
            .collect();
        sums.par_iter_mut().zip(positions).zip(normals).for_each(|((sum, &point), &normal)| {
            for (direction, map) in &maps {
                let facing = mesh::dot(normal, *direction);
                if facing > 0.0 {
                    let away = map.texel() * (1.0 + 1.5 * (1.0 - facing));
                    let lit = map.light_at(mesh::add(point, mesh::scale(normal, away)), 1.0);
                    *sum = (sum.0 + facing * lit, sum.1 + facing);
                }
            }
        });
    }
    sums.into_iter().map(|(lit, all)| if all > 0.0 { lit / all } else { 1.0 }).collect()
}

/// The directions of a spiral that covers the sphere evenly.
fn on_sphere(index: usize) -> Vec3 {
    let up = 1.0 - (2.0 * index as f32 + 1.0) / DIRECTIONS as f32;
    let radius = (1.0 - up * up).sqrt();
    // Golden angle.
    let (sine, cosine) = (2.399_963_2 * index as f32).sin_cos();
    [radius * cosine, up, radius * sine]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A square of the given corners, seen from where they are anticlockwise.
    fn square(mesh: &mut (Vec<Vec3>, Vec<Vec3>, Vec<[u32; 3]>), corners: [Vec3; 4]) {
        let first = mesh.0.len() as u32;
        let normal =
            mesh::unit(mesh::cross(mesh::sub(corners[1], corners[0]), mesh::sub(corners[2], corners[0])));
        mesh.0.extend(corners);
        mesh.1.extend([normal; 4]);
        mesh.2.extend([[first, first + 1, first + 2], [first, first + 2, first + 3]]);
    }

    #[test]
    fn planes_are_open_and_what_lies_under_a_roof_is_not() {
        let mut parts = (Vec::new(), Vec::new(), Vec::new());
        let flat =
            |half: f32, z: f32| [[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]];
        // Two floors side by side far apart; over the second a large roof, its face up.
        square(&mut parts, flat(0.02, 0.0));
        let far = |corners: [Vec3; 4]| corners.map(|[x, y, z]| [x + 1.0, y, z]);
        square(&mut parts, far(flat(0.02, 0.0)));
        square(&mut parts, far(flat(0.3, 0.05)));
        let (positions, normals, triangles) = parts;
        let open = measure(&positions, &normals, triangles.iter().copied());
        assert!(open[..4].iter().all(|&value| value > 0.97), "{open:?}");
        // A roof of 0.3 at 0.05 hides all but 1 - 0.3² / (0.3² + 0.05²) = 3 % of a sky weighed by the cosine.
        assert!(open[4..8].iter().all(|&value| value < 0.09), "{open:?}");
        assert!(open[8..].iter().all(|&value| value > 0.97), "{open:?}");
    }

    #[test]
    fn directions_cover_the_sphere_evenly() {
        let sum = (0..DIRECTIONS).map(on_sphere).fold([0.0; 3], mesh::add);
        assert!(mesh::length(sum) < 1.0, "{sum:?}");
        assert!((0..DIRECTIONS).all(|index| (mesh::length(on_sphere(index)) - 1.0).abs() < 1e-5));
    }
}
