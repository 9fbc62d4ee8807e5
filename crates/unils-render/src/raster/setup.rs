//! From a posed head to triangles on the picture, sorted into tiles.

use rayon::prelude::*;
use unils::face::{Mesh, Vec3};

use super::occlusion::Openness;
use super::view::Camera;

/// Steps of a pixel that vertices are rounded to, so that coverage is exact integer arithmetic.
pub(super) const STEPS: i32 = 256;

/// Pixels of a tile's side.
pub(super) const TILE: usize = 32;

/// Vertices that one task transforms.
const CHUNK: usize = 1024;

/// A corner as the picture sees it, one line of the processor's cache.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(super) struct Vertex {
    /// What is interpolated: position and unit normal in view space (metres), linear RGB that multiplies the
    /// material's, the share of the sky that is not hidden, texture coordinates.
    pub values: [f32; VALUES],
    /// On the picture, in [`STEPS`] of a pixel.
    pub screen: [i32; 2],
    /// One by the distance along the view direction: what is affine on the picture, and greater if nearer.
    pub nearness: f32,
}

/// Numbers that are interpolated.
pub(super) const VALUES: usize = 12;

/// A triangle, or a piece of one that was cut, in order of drawing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// Vertices, clockwise on the picture.
    pub corners: [u32; 3],
    /// Part of the mesh.
    pub part: u32,
    /// -1 if its back is seen: turns the normal round.
    pub facing: f32,
}

/// Everything of a frame that the tiles read; kept for its memory.
#[derive(Debug, Default)]
pub(super) struct Scene {
    pub vertices: Vec<Vertex>,
    pub pieces: Vec<Piece>,
    /// Pieces up to here are opaque.
    pub opaque: usize,
    /// Pieces of the tiles, one list after the other, each ascending.
    pub bins: Vec<u32>,
    /// Where each tile's list begins in `bins`; one more for the end.
    pub starts: Vec<u32>,
    polygon: Polygon,
}

/// What does not change between the frames of a head.
#[derive(Debug)]
pub(super) struct Surface {
    pub colors: Vec<Vec3>,
    pub openness: Openness,
    pub uvs: Vec<[f32; 2]>,
    /// For each part whether anything shines through.
    pub see_through: Vec<bool>,
}

impl Scene {
    /// Fills the scene from positions and normals in the face's axes and how far the mouth is open. The picture is `columns` by `rows` tiles.
    pub(super) fn prepare(
        &mut self,
        mesh: &Mesh,
        surface: &Surface,
        camera: &Camera,
        (positions, normals, mouth): (&[Vec3], &[Vec3], f32),
        (columns, rows): (usize, usize),
    ) {
        self.vertices.resize(positions.len(), Vertex::default());
        self.vertices.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, vertices)| {
            for (vertex, index) in vertices.iter_mut().zip(chunk * CHUNK..) {
                let ([x, y, z], [nx, ny, nz]) = (camera.place(positions[index]), camera.turn(normals[index]));
                let [r, g, b] = surface.colors.get(index).copied().unwrap_or([1.0; 3]);
                let [u, v] = surface.uvs.get(index).copied().unwrap_or_default();
                let openness = surface.openness.of(index, mouth);
                *vertex = camera.on_picture([x, y, z, nx, ny, nz, r, g, b, openness, u, v]);
            }
        });
        self.pieces.clear();
        for see_through in [false, true] {
            for index in self.order(mesh, surface, see_through) {
                let part = &mesh.parts[index];
                for &corners in &mesh.triangles[part.triangles.clone()] {
                    self.add(corners, index as u32, part.material.double_sided, camera);
                }
            }
            if !see_through {
                self.opaque = self.pieces.len();
            }
        }
        self.sort_into_tiles(columns, rows);
    }

    /// The parts that are opaque, or those that are not, the farthest of them first.
    fn order(&self, mesh: &Mesh, surface: &Surface, see_through: bool) -> Vec<usize> {
        let mut parts: Vec<usize> =
            (0..mesh.parts.len()).filter(|&part| surface.see_through[part] == see_through).collect();
        if see_through {
            // Nearness of a part: the mean of its first corners.
            let nearness = |&part: &usize| {
                let triangles = &mesh.triangles[mesh.parts[part].triangles.clone()];
                let sum: f32 = triangles.iter().map(|t| self.vertices[t[0] as usize].values[2]).sum();
                sum / triangles.len().max(1) as f32
            };
            parts.sort_by(|a, b| nearness(a).total_cmp(&nearness(b)));
        }
        parts
    }

    /// Adds a triangle if it is seen from its front (or at all, if double-sided), cut where it leaves the view.
    fn add(&mut self, corners: [u32; 3], part: u32, double_sided: bool, camera: &Camera) {
        let [a, b, c] = corners.map(|vertex| &self.vertices[vertex as usize]);
        let inside = [a, b, c].map(|vertex| camera.outside(vertex.position()));
        if inside == [0; 3] {
            self.add_piece(corners, part, double_sided);
            return;
        }
        // Behind one plane altogether, or not finite.
        if inside[0] & inside[1] & inside[2] != 0 {
            return;
        }
        self.polygon.load([*a, *b, *c]);
        for plane in 0..PLANES {
            self.polygon.clip(|position| camera.distance(plane, position));
        }
        let first = self.vertices.len() as u32;
        let count = self.polygon.corners.len() as u32;
        for index in 0..self.polygon.corners.len() {
            let corner = self.polygon.corners[index];
            let seen = camera.on_picture(corner.values);
            self.vertices.push(seen);
        }
        for index in 2..count {
            self.add_piece([first, first + index - 1, first + index], part, double_sided);
        }
    }

    fn add_piece(&mut self, corners: [u32; 3], part: u32, double_sided: bool) {
        let [a, b, c] = corners.map(|vertex| self.vertices[vertex as usize].screen.map(i64::from));
        let area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
        // Anticlockwise from outside with y up is clockwise, and negative, with y down.
        if area < 0 {
            self.pieces.push(Piece { corners: [corners[0], corners[2], corners[1]], part, facing: 1.0 });
        } else if area > 0 && double_sided {
            self.pieces.push(Piece { corners, part, facing: -1.0 });
        }
    }

    /// Tiles that a piece may touch: columns and rows, ends excluded.
    fn tiles_of(&self, piece: &Piece, columns: usize, rows: usize) -> [(usize, usize); 2] {
        let screens = piece.corners.map(|vertex| self.vertices[vertex as usize].screen);
        let tile = STEPS * TILE as i32;
        [(0, columns), (1, rows)].map(|(axis, count)| {
            let values = screens.map(|screen| screen[axis]);
            let low = values[0].min(values[1]).min(values[2]).div_euclid(tile).max(0);
            let high = values[0].max(values[1]).max(values[2]).div_euclid(tile).min(count as i32 - 1);
            (low as usize, (high + 1).max(low) as usize)
        })
    }

    fn sort_into_tiles(&mut self, columns: usize, rows: usize) {
        let mut starts = std::mem::take(&mut self.starts);
        starts.clear();
        starts.resize(columns * rows + 2, 0);
        let mut total = 0;
        for piece in &self.pieces {
            let [(left, right), (top, bottom)] = self.tiles_of(piece, columns, rows);
            for row in top..bottom {
                for count in &mut starts[row * columns + left + 2..row * columns + right.max(left) + 2] {
                    *count += 1;
                    total += 1;
                }
            }
        }
        // starts[t + 1] runs from the beginning of tile t's list to its end while the list is filled.
        for tile in 2..starts.len() {
            starts[tile] += starts[tile - 1];
        }
        let mut bins = std::mem::take(&mut self.bins);
        bins.clear();
        bins.resize(total, 0);
        for (index, piece) in (0_u32..).zip(&self.pieces) {
            let [(left, right), (top, bottom)] = self.tiles_of(piece, columns, rows);
            for row in top..bottom {
                for next in &mut starts[row * columns + left + 1..row * columns + right.max(left) + 1] {
                    bins[*next as usize] = index;
                    *next += 1;
                }
            }
        }
        (self.starts, self.bins) = (starts, bins);
    }

    /// The pieces that may touch a tile, in order of drawing.
    pub(super) fn bin(&self, tile: usize) -> &[u32] {
        &self.bins[self.starts[tile] as usize..self.starts[tile + 1] as usize]
    }
}

/// The near plane and four planes far outside the picture, that keep coordinates small.
const PLANES: usize = 5;

/// How many half pictures beyond the middle the side planes stand.
const GUARD: f32 = 3.0;

impl Camera {
    /// How far a point of view space is inside of a plane.
    fn distance(&self, plane: usize, point: Vec3) -> f32 {
        let slope = |axis: usize| -point[2] * GUARD * self.half[axis] / self.focal;
        match plane {
            0 => -point[2] - self.near,
            1 => slope(0) - point[0],
            2 => slope(0) + point[0],
            3 => slope(1) - point[1],
            _ => slope(1) + point[1],
        }
    }

    /// One bit for each plane that a point is outside of; all for one that is not finite.
    fn outside(&self, point: Vec3) -> u32 {
        if !point.iter().all(|value| value.is_finite()) {
            return u32::MAX;
        }
        (0..PLANES).map(|plane| u32::from(self.distance(plane, point) < 0.0) << plane).sum()
    }

    /// The vertex of these values, its place on the picture computed from its position.
    fn on_picture(&self, values: [f32; VALUES]) -> Vertex {
        let [x, y, z, ..] = values;
        let nearness = 1.0 / -z;
        let steps = STEPS as f32;
        // Out of range only behind the camera, where the numbers are not used.
        let screen = [
            ((self.half[0] + self.focal * x * nearness) * steps).round() as i32,
            ((self.half[1] - self.focal * y * nearness) * steps).round() as i32,
        ];
        Vertex { values, screen, nearness }
    }
}

/// A triangle while planes cut it.
#[derive(Debug, Default)]
struct Polygon {
    corners: Vec<Vertex>,
    spare: Vec<Vertex>,
}

impl Polygon {
    fn load(&mut self, corners: [Vertex; 3]) {
        self.corners.clear();
        self.corners.extend(corners);
    }

    /// Keeps what is inside of a plane (Sutherland and Hodgman 1974).
    fn clip(&mut self, distance: impl Fn(Vec3) -> f32) {
        self.spare.clear();
        for (index, corner) in self.corners.iter().enumerate() {
            let next = &self.corners[(index + 1) % self.corners.len()];
            let (here, there) = (distance(corner.position()), distance(next.position()));
            if here >= 0.0 {
                self.spare.push(*corner);
            }
            if (here >= 0.0) != (there >= 0.0) {
                self.spare.push(corner.towards(next, here / (here - there)));
            }
        }
        std::mem::swap(&mut self.corners, &mut self.spare);
    }
}

impl Vertex {
    /// In view space, metres.
    fn position(&self) -> Vec3 {
        let [x, y, z, ..] = self.values;
        [x, y, z]
    }

    /// The vertex that far on the way to another; its place on the picture is not known yet.
    fn towards(&self, other: &Self, share: f32) -> Self {
        let values = std::array::from_fn(|i| self.values[i] + (other.values[i] - self.values[i]) * share);
        Self { values, ..Self::default() }
    }
}
