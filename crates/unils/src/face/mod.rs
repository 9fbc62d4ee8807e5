//! Faces: what motion looks like on a mesh.
//!
//! The last stop of the way of the data before pictures: a frame of motion goes in, vertices come out. A [`Face`]
//! is a head in one motion space; [`BlendshapeRig`] is one with blend shapes under ARKit's names.
//!
//! Everything is in the face's own axes, right-handed, metres: x to the person's left, y up, z out of the face,
//! which are glTF's.

pub mod mesh;
mod pose;
mod rig;

pub use mesh::{Material, Mesh, Normals, Part, Region, Texture, Vec3};
pub use pose::{Face, head_rotation, rotation_from_angles, rotation_from_axis_angle};
pub use rig::{BlendshapeRig, EYE_PITCH, EYE_YAW, Eye, Shape};
