//! Faces: what motion looks like on a mesh.
//!
//! The last stop of the way of the data before pictures: a frame of motion goes in, vertices come out. A [`Face`]
//! is a head in one motion space; [`BlendshapeRig`] is one with blend shapes under ARKit's names.
//!
//! Everything is in the face's own axes, right-handed, metres: x to the person's left, y up, z out of the face,
//! which are glTF's.

mod default_head;
pub mod flame;
pub mod glb;
mod guess;
mod head;
pub mod mesh;
pub mod names;
mod obj;
mod open;
mod pose;
mod rig;
pub mod sparse;
mod subset;
pub mod transfer;

pub use default_head::{DEFAULT_HEAD, DefaultLook, default_head, default_head_with_looks};
pub use head::{Head, Look};
pub use mesh::{Material, Mesh, Normals, Part, Region, Texture, Vec3};
pub use names::ShapeReport;
pub use open::open_head;
pub use pose::{Face, head_rotation, rotation_from_angles, rotation_from_axis_angle};
pub use rig::{BlendshapeRig, EYE_PITCH, EYE_YAW, Eye, Shape};
