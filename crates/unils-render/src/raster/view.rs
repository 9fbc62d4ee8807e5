//! Where the camera stands: framing of a head, and from the face's axes to pixels.

use unils::face::{Face, Region, Vec3, mesh};
use unils::{Error, Result};

/// How a face is looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// How far the camera stands round to the person's left (which is the picture's right), radians.
    pub yaw: f32,
    /// How far the camera stands above, looking down, radians.
    pub pitch: f32,
    /// Vertical field of view, radians. Short lenses make noses large: portraits use 0.4 to 0.6.
    pub field: f32,
    /// What is in the middle of the picture and fills it.
    pub focus: Focus,
    /// Enlarges what is in focus.
    pub zoom: f32,
}

impl Default for View {
    fn default() -> Self {
        Self { yaw: 0.0, pitch: 0.0, field: 0.45, focus: Focus::Head, zoom: 1.0 }
    }
}

/// What is in the middle of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Focus {
    /// The head: all vertices, or those that follow its rotation where the face says which do.
    Head,
    /// A region of the mesh with some surroundings; the head if the mesh does not label it.
    Region(Region),
    /// A point in the face's axes, and how much is seen around it, both in metres.
    Point {
        /// Middle of the picture.
        center: Vec3,
        /// From the picture's lower edge to its upper edge at that point.
        height: f32,
    },
}

/// Head's share of the picture's height, leaving room to nod.
const HEAD_SHARE: f32 = 0.72;

/// A region's share of the picture.
const REGION_SHARE: f32 = 0.6;

/// A camera on a picture of a size.
///
/// View space: x right, y up, z towards the viewer; the camera is at the origin and looks along -z.
#[derive(Debug, Clone)]
pub(crate) struct Camera {
    /// Rows: the picture's right, its up, and towards the viewer, in the face's axes.
    pub rows: [Vec3; 3],
    /// In view space, where the face's origin is.
    pub offset: Vec3,
    /// Pixels that a slope of 1 takes.
    pub focal: f32,
    /// Half the picture's size, pixels.
    pub half: [f32; 2],
    /// Nearer than this is cut, metres.
    pub near: f32,
}

impl Camera {
    pub(crate) fn new(face: &dyn Face, view: &View, width: usize, height: usize) -> Result<Self> {
        let sane = [view.yaw, view.pitch].iter().all(|angle| angle.is_finite())
            && (0.01..=2.6).contains(&view.field)
            && (1e-3..=1e3).contains(&view.zoom);
        if !sane {
            let what =
                format!("{view:?}: expected finite angles, a field of 0.01 to 2.6 and a sensible zoom");
            return Err(Error::argument("view", what));
        }
        let (center, size) = framing(face, view.focus)?;
        let (sy, cy) = view.yaw.sin_cos();
        let (sp, cp) = view.pitch.sin_cos();
        let rows = [[cy, 0.0, -sy], [-sy * sp, cp, -cy * sp], [sy * cp, sp, cy * cp]];
        let half = [width as f32 / 2.0, height as f32 / 2.0];
        let focal = half[1] / (view.field / 2.0).tan();
        // The height seen at the focus shows all of its height, and of its width.
        let aspect = half[0] / half[1];
        let seen = size[1].max(size[0] / aspect) / view.zoom;
        let distance = seen * focal / (2.0 * half[1]);
        if !(distance.is_finite() && distance > 0.0) {
            return Err(Error::face("head", "has no extent to frame: expected a face of some centimetres"));
        }
        let turned = rows.map(|row| -mesh::dot(row, center));
        let offset = [turned[0], turned[1], turned[2] - distance];
        Ok(Self { rows, offset, focal, half, near: distance * 0.02 })
    }

    /// From the face's axes to view space.
    #[inline]
    pub(crate) fn place(&self, point: Vec3) -> Vec3 {
        mesh::add(self.turn(point), self.offset)
    }

    /// A direction from the face's axes to view space.
    #[inline]
    pub(crate) fn turn(&self, direction: Vec3) -> Vec3 {
        self.rows.map(|row| mesh::dot(row, direction))
    }
}

/// The middle of what is in focus, and the width and height that the picture shows there at least.
fn framing(face: &dyn Face, focus: Focus) -> Result<(Vec3, [f32; 2])> {
    let shape = face.mesh();
    let (low, high, share) = match focus {
        Focus::Point { center, height } => {
            if !center.iter().chain([&height]).all(|value| value.is_finite()) || height <= 0.0 {
                return Err(Error::argument("view", format!("a focus of {height} m at {center:?}")));
            }
            return Ok((center, [0.0, height]));
        }
        Focus::Region(region) if !shape.region(region).is_empty() => {
            let [low, high] =
                mesh::bounds(shape.region(region).iter().map(|&vertex| shape.positions[vertex as usize]));
            (low, high, REGION_SHARE)
        }
        Focus::Region(_) | Focus::Head => {
            let [low, high] = mesh::bounds(head_points(face));
            (low, high, HEAD_SHARE)
        }
    };
    let center = mesh::scale(mesh::add(low, high), 0.5);
    Ok((center, [(high[0] - low[0]) / share, (high[1] - low[1]) / share]))
}

/// The vertices that follow the head's rotation, at rest; all where the face does not say.
pub(crate) fn head_points(face: &dyn Face) -> impl Iterator<Item = Vec3> {
    let weights = face.head_weights();
    let known = weights.iter().any(|&weight| weight >= 0.5);
    let follows = move |vertex: &usize| !known || weights.get(*vertex).is_none_or(|&weight| weight >= 0.5);
    let positions = &face.mesh().positions;
    (0..positions.len()).filter(follows).map(|vertex| positions[vertex])
}
