//! A head with blend shapes: neutral mesh, one sparse set of displacements a shape, a pivot, eyes.

use super::mesh::{Mesh, Vec3, add, dot, first_non_finite, scale, sub};
use super::pose::{Face, head_rotation, rotation_from_angles};
pub use crate::motion::{EYE_PITCH, EYE_YAW};
use crate::motion::{Space, Unit};
use crate::{Error, Result};

/// One blend shape: how far some vertices move when its coefficient is 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Name: Apple's for the 52 shapes of ARKit, its own for any other.
    pub name: String,
    /// The vertices that move, ascending.
    pub vertices: Vec<u32>,
    /// How far each moves, metres.
    pub deltas: Vec<Vec3>,
}

/// An eyeball that is turned by the `eyeLook` coefficients, in heads whose eyes have no shapes of their own.
#[derive(Debug, Clone, PartialEq)]
pub struct Eye {
    /// Whether it is the person's left eye.
    pub is_left: bool,
    /// The point that it turns about, metres.
    pub center: Vec3,
    /// Its vertices, ascending.
    pub vertices: Vec<u32>,
}

/// A head that [`Space::Arkit55`] moves.
#[derive(Debug, Clone, PartialEq)]
pub struct BlendshapeRig {
    mesh: Mesh,
    shapes: Vec<Shape>,
    /// Channel of each shape; none for shapes that are not ARKit's.
    channels: Vec<Option<usize>>,
    pivot: Vec3,
    head_weights: Vec<f32>,
    eyes: Vec<Eye>,
}

impl BlendshapeRig {
    /// A rig from its parts. `head_weights` says how far each vertex follows the head's rotation about `pivot`,
    /// 0 (shoulders) to 1 (face); empty for 1 everywhere. `place` names the head in messages.
    ///
    /// # Errors
    /// [`Error::Face`] for a mesh that is not sound ([`Mesh::check`]), a shape with vertices that are not there, a
    /// number that is not finite, two shapes of one name, or no shape of ARKit's at all.
    pub fn new(
        mesh: Mesh,
        shapes: Vec<Shape>,
        pivot: Vec3,
        head_weights: Vec<f32>,
        eyes: Vec<Eye>,
        place: &str,
    ) -> Result<Self> {
        mesh.check(place)?;
        let vertices = mesh.positions.len();
        let fail = |what: String| Err(Error::face(place, what));
        let mut names = std::collections::BTreeSet::new();
        for shape in &shapes {
            let name = &shape.name;
            if !names.insert(name.as_str()) {
                return fail(format!("there are two shapes {name:?}"));
            }
            if shape.vertices.len() != shape.deltas.len() {
                let (n, m) = (shape.vertices.len(), shape.deltas.len());
                return fail(format!("shape {name:?} moves {n} vertices by {m} displacements"));
            }
            check_vertices(&shape.vertices, vertices)
                .map_err(|what| Error::face(place, format!("shape {name:?} {what}")))?;
            if let Some(index) = first_non_finite(&shape.deltas) {
                let vertex = shape.vertices[index];
                return fail(format!("shape {name:?} moves vertex {vertex} by a number that is not finite"));
            }
        }
        for eye in &eyes {
            check_vertices(&eye.vertices, vertices)
                .map_err(|what| Error::face(place, format!("an eye {what}")))?;
        }
        let weights_fit = head_weights.is_empty() || head_weights.len() == vertices;
        if !weights_fit || head_weights.iter().any(|weight| !(0.0..=1.0).contains(weight)) {
            return fail(format!("expected {vertices} head weights from 0 to 1, or none"));
        }
        if first_non_finite(&[pivot]).is_some()
            || eyes.iter().any(|e| first_non_finite(&[e.center]).is_some())
        {
            return fail("a pivot is not finite".to_owned());
        }
        let coefficient = |name: &str| {
            Space::Arkit55.index(name).filter(|&i| Space::Arkit55.channels()[i].unit == Unit::Coefficient)
        };
        let channels: Vec<_> = shapes.iter().map(|shape| coefficient(&shape.name)).collect();
        if channels.iter().all(Option::is_none) {
            return Err(Error::face(place, format!("none of its {} shapes is one of ARKit's", shapes.len()))
                .with_hint(
                    "a head needs morph targets named as in Apple's ARFaceAnchor.BlendShapeLocation",
                ));
        }
        Ok(Self { mesh, shapes, channels, pivot, head_weights, eyes })
    }

    /// The shapes, in the order of their file.
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// The shape of that name.
    pub fn shape(&self, name: &str) -> Option<&Shape> {
        self.shapes.iter().find(|shape| shape.name == name)
    }

    /// ARKit's shapes that this head lacks, in Apple's order. Shapes that its eyes stand in for are not missing.
    pub fn missing(&self) -> Vec<&'static str> {
        let channels = Space::Arkit55.channels().iter().enumerate();
        channels
            .filter(|(index, channel)| {
                channel.unit == Unit::Coefficient
                    && !self.channels.contains(&Some(*index))
                    && (self.eyes.is_empty() || !channel.name.starts_with("eyeLook"))
            })
            .map(|(_, channel)| channel.name)
            .collect()
    }

    /// The point that the head turns about, metres.
    pub fn pivot(&self) -> Vec3 {
        self.pivot
    }

    /// How far each vertex follows the head's rotation; empty for 1 everywhere.
    pub fn head_weights(&self) -> &[f32] {
        &self.head_weights
    }

    /// The eyeballs that are turned rather than morphed.
    pub fn eyes(&self) -> &[Eye] {
        &self.eyes
    }

    /// The same head with other colours, materials or regions; the vertices and triangles must stay.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_mesh(self, mesh: Mesh, place: &str) -> Result<Self> {
        Self::new(mesh, self.shapes, self.pivot, self.head_weights, self.eyes, place)
    }

    /// Shapes and eyes, without the head's rotation: vertices in the head's own frame.
    pub fn pose_without_head(&self, frame: &[f32], positions: &mut Vec<Vec3>) {
        positions.clear();
        positions.extend_from_slice(&self.mesh.positions);
        for (shape, channel) in self.shapes.iter().zip(&self.channels) {
            let weight = channel.and_then(|channel| frame.get(channel).copied()).unwrap_or(0.0);
            if weight != 0.0 {
                for (&vertex, &delta) in shape.vertices.iter().zip(&shape.deltas) {
                    let position = &mut positions[vertex as usize];
                    *position = add(*position, scale(delta, weight));
                }
            }
        }
        for eye in &self.eyes {
            let rotation = eye.rotation(frame);
            for &vertex in &eye.vertices {
                let position = &mut positions[vertex as usize];
                *position = add(eye.center, rotate(&rotation, sub(*position, eye.center)));
            }
        }
    }
}

impl Face for BlendshapeRig {
    fn space(&self) -> Space {
        Space::Arkit55
    }

    fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    fn head_weights(&self) -> &[f32] {
        &self.head_weights
    }

    fn pose(&self, frame: &[f32], positions: &mut Vec<Vec3>) {
        self.pose_without_head(frame, positions);
        let rotation = head_rotation(Space::Arkit55, frame);
        if self.head_weights.is_empty() {
            for position in positions.iter_mut() {
                *position = add(self.pivot, rotate(&rotation, sub(*position, self.pivot)));
            }
        } else {
            for (position, &weight) in positions.iter_mut().zip(&self.head_weights) {
                let turned = add(self.pivot, rotate(&rotation, sub(*position, self.pivot)));
                *position = add(scale(*position, 1.0 - weight), scale(turned, weight));
            }
        }
    }
}

impl Eye {
    /// The rotation that the `eyeLook` coefficients of a frame ask for.
    pub fn rotation(&self, frame: &[f32]) -> [Vec3; 3] {
        let side = if self.is_left { "Left" } else { "Right" };
        let value = |direction: &str| {
            let index = Space::Arkit55.index(&format!("eyeLook{direction}{side}"));
            index.and_then(|index| frame.get(index).copied()).unwrap_or(0.0)
        };
        let outward = (value("Out") - value("In")) * EYE_YAW;
        let yaw = if self.is_left { outward } else { -outward };
        let pitch = (value("Down") - value("Up")) * EYE_PITCH;
        rotation_from_angles(yaw, pitch, 0.0)
    }
}

/// A matrix of rows times a vector.
pub(super) fn rotate(rows: &[Vec3; 3], v: Vec3) -> Vec3 {
    rows.map(|row| dot(row, v))
}

fn check_vertices(list: &[u32], vertices: usize) -> std::result::Result<(), String> {
    if !list.is_sorted_by(|a, b| a < b) {
        return Err("does not name its vertices in ascending order".to_owned());
    }
    match list.last() {
        Some(&last) if last as usize >= vertices => Err(format!("moves vertex {last} of {vertices}")),
        _ => Ok(()),
    }
}
