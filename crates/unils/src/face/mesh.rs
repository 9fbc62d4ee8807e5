//! Triangles with what a renderer and a file need: positions, colours, materials, named regions.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::{Error, Result};

/// A point or direction: x to the person's left, y up, z out of the face; points in metres.
pub type Vec3 = [f32; 3];

/// The most vertices a mesh may have: bounds what a file can make the program allocate.
pub const MAX_VERTICES: usize = 2_000_000;

/// The most triangles a mesh may have.
pub const MAX_TRIANGLES: usize = 4_000_000;

/// A surface of triangles in parts of one material each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mesh {
    /// Positions of the vertices, metres.
    pub positions: Vec<Vec3>,
    /// Linear RGB of each vertex, multiplied with the material's colour; empty for white.
    pub colors: Vec<Vec3>,
    /// Texture coordinates, (0, 0) at the picture's upper left; empty if no part has a texture.
    pub uvs: Vec<[f32; 2]>,
    /// Corners of the triangles, anticlockwise seen from outside.
    pub triangles: Vec<[u32; 3]>,
    /// Consecutive ranges of `triangles`, covering all of them.
    pub parts: Vec<Part>,
    /// Named sets of vertices, each ascending: see [`Region`].
    pub regions: BTreeMap<String, Vec<u32>>,
}

/// Triangles of one material.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Name, such as `face` or `eye_left`.
    pub name: String,
    /// Which triangles.
    pub triangles: Range<usize>,
    /// What they look like.
    pub material: Material,
}

/// How a surface answers light: the part of glTF's metallic-roughness model that faces need.
#[derive(Debug, Clone, PartialEq)]
pub struct Material {
    /// Name, unique among a mesh's different materials.
    pub name: String,
    /// Linear RGB and opacity.
    pub color: [f32; 4],
    /// 0 mirror-like, 1 dull.
    pub roughness: f32,
    /// 0 for everything but metal.
    pub metallic: f32,
    /// How far light bleeds past the shadow's edge, as in skin: 0 not at all, 1 far. Not a part of glTF.
    pub softness: f32,
    /// Whether the back is seen too.
    pub double_sided: bool,
    /// A picture multiplied with the colour, through the mesh's `uvs`.
    pub texture: Option<Texture>,
}

impl Default for Material {
    fn default() -> Self {
        Self {
            name: "plain".to_owned(),
            color: [0.6, 0.6, 0.6, 1.0],
            roughness: 0.6,
            metallic: 0.0,
            softness: 0.0,
            double_sided: false,
            texture: None,
        }
    }
}

/// A picture as it stands in a file: decoded by who draws it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texture {
    /// `image/png` or `image/jpeg`.
    pub mime: String,
    /// The encoded picture.
    pub bytes: Vec<u8>,
}

/// The regions that metrics and plots ask a rig for, by the names that files use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Region {
    /// Both lips, skin and red.
    Lips,
    /// The edge of the upper lip that meets the lower one, from corner to corner.
    UpperInnerLip,
    /// The edge of the lower lip that meets the upper one, from corner to corner.
    LowerInnerLip,
    /// Forehead, brows and the surroundings of the eyes.
    UpperFace,
    /// Edges of all four lids.
    Lids,
}

impl Region {
    /// All regions.
    pub const ALL: [Self; 5] =
        [Self::Lips, Self::UpperInnerLip, Self::LowerInnerLip, Self::UpperFace, Self::Lids];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lips => "lips",
            Self::UpperInnerLip => "upper_inner_lip",
            Self::LowerInnerLip => "lower_inner_lip",
            Self::UpperFace => "upper_face",
            Self::Lids => "lids",
        }
    }
}

impl Mesh {
    /// The vertices of a region; empty if the mesh does not label it.
    pub fn region(&self, region: Region) -> &[u32] {
        self.regions.get(region.name()).map_or(&[], Vec::as_slice)
    }

    /// Checks everything that other code relies on; `place` names the mesh in messages.
    ///
    /// # Errors
    /// [`Error::Face`] if there are no vertices or too many, if a number is NaN or infinite, if a triangle or a
    /// region names a vertex that is not there, if colours or texture coordinates are not one a vertex, or if the
    /// parts do not cover the triangles in order.
    pub fn check(&self, place: &str) -> Result<()> {
        let vertices = self.positions.len();
        let fail = |what: String| Err(Error::face(place, what));
        if vertices == 0 || self.triangles.is_empty() {
            return fail("has no triangles: expected a face".to_owned());
        }
        if vertices > MAX_VERTICES || self.triangles.len() > MAX_TRIANGLES {
            let what = format!(
                "{vertices} vertices and {} triangles: expected at most {MAX_VERTICES} and {MAX_TRIANGLES}",
                self.triangles.len()
            );
            return fail(what);
        }
        if let Some(vertex) = first_non_finite(&self.positions) {
            return fail(format!("vertex {vertex} is at {:?}: not finite", self.positions[vertex]));
        }
        for (what, length) in [("colours", self.colors.len()), ("texture coordinates", self.uvs.len())] {
            if length != 0 && length != vertices {
                return fail(format!("{length} {what} for {vertices} vertices"));
            }
        }
        let beyond =
            self.triangles.iter().position(|corners| corners.iter().any(|&v| v as usize >= vertices));
        if let Some(triangle) = beyond {
            let corners = self.triangles[triangle];
            return fail(format!("triangle {triangle} has the corners {corners:?} of {vertices} vertices"));
        }
        let mut next = 0;
        for part in &self.parts {
            if part.triangles.start != next || part.triangles.end < next {
                let found = &part.triangles;
                return fail(format!("part {:?} holds triangles {found:?}, expected {next}..", part.name));
            }
            next = part.triangles.end;
        }
        if next != self.triangles.len() {
            return fail(format!("its parts hold {next} of {} triangles", self.triangles.len()));
        }
        for (name, region) in &self.regions {
            if region.last().is_some_and(|&vertex| vertex as usize >= vertices) || !region.is_sorted() {
                return fail(format!("region {name:?} is not an ascending list of its {vertices} vertices"));
            }
        }
        Ok(())
    }
}

/// The least and the largest coordinates; zeros of no points.
pub fn bounds(points: impl Iterator<Item = Vec3>) -> [Vec3; 2] {
    let mut bounds: Option<[Vec3; 2]> = None;
    for point in points {
        let [low, high] = bounds.get_or_insert([point; 2]);
        for axis in 0..3 {
            low[axis] = low[axis].min(point[axis]);
            high[axis] = high[axis].max(point[axis]);
        }
    }
    bounds.unwrap_or_default()
}

/// The first vector with a NaN or an infinity.
pub(super) fn first_non_finite(vectors: &[Vec3]) -> Option<usize> {
    vectors.iter().position(|vector| vector.iter().any(|value| !value.is_finite()))
}

/// Smooth normals of a mesh whose vertices move: prepared once, computed for every frame.
///
/// Vertices that stand at the same place in the neutral mesh (a seam of the texture or of the colours) share their
/// normal, so that no seam shows.
#[derive(Debug, Clone)]
pub struct Normals {
    /// The triangles with every corner replaced by the first vertex at its place.
    triangles: Vec<[u32; 3]>,
    /// That first vertex, for each vertex.
    first: Vec<u32>,
}

impl Normals {
    /// Prepares for a mesh at rest. Vertices are welded within a part only: lips that touch stay two surfaces.
    pub fn new(mesh: &Mesh) -> Self {
        let mut part_of = vec![0_u32; mesh.positions.len()];
        for (index, part) in mesh.parts.iter().enumerate() {
            for &vertex in mesh.triangles[part.triangles.clone()].iter().flatten() {
                part_of[vertex as usize] = index as u32;
            }
        }
        let mut seen = HashMap::new();
        let first: Vec<u32> = (0_u32..)
            .zip(mesh.positions.iter().zip(&part_of))
            .map(|(vertex, (position, &part))| {
                *seen.entry((position.map(f32::to_bits), part)).or_insert(vertex)
            })
            .collect();
        let triangles =
            mesh.triangles.iter().map(|corners| corners.map(|vertex| first[vertex as usize])).collect();
        Self { triangles, first }
    }

    /// Unit normals for `positions`, weighted by the area of the triangles around; (0, 0, 1) where there is none.
    pub fn compute(&self, positions: &[Vec3], normals: &mut Vec<Vec3>) {
        normals.clear();
        normals.resize(positions.len(), [0.0; 3]);
        for &[a, b, c] in &self.triangles {
            let [pa, pb, pc] = [a, b, c].map(|vertex| positions[vertex as usize]);
            let normal = cross(sub(pb, pa), sub(pc, pa));
            for vertex in [a, b, c] {
                let sum = &mut normals[vertex as usize];
                *sum = add(*sum, normal);
            }
        }
        // A vertex's first stands before it or is it, so it is unit length already when it is copied.
        for vertex in 0..normals.len() {
            let first = self.first[vertex] as usize;
            normals[vertex] = if first == vertex { unit(normals[vertex]) } else { normals[first] };
        }
    }
}

/// `a + b`.
#[inline]
pub fn add(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// `a - b`.
#[inline]
pub fn sub(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// `a` times a number.
#[inline]
pub fn scale(a: Vec3, factor: f32) -> Vec3 {
    a.map(|value| value * factor)
}

/// The scalar product.
#[inline]
pub fn dot(a: Vec3, b: Vec3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The vector product.
#[inline]
pub fn cross(a: Vec3, b: Vec3) -> Vec3 {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// The length.
#[inline]
pub fn length(a: Vec3) -> f32 {
    dot(a, a).sqrt()
}

/// `a` at length 1; (0, 0, 1) if it has none.
#[inline]
pub fn unit(a: Vec3) -> Vec3 {
    let length = length(a);
    if length > 1e-20 { scale(a, 1.0 / length) } else { [0.0, 0.0, 1.0] }
}
