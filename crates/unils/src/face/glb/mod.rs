//! Heads in glTF 2.0 files: ours written and read, those made by others read.
//!
//! # What is written
//!
//! One `.glb` with everything inside. Each face is one mesh with a primitive a part; its morph targets are the rig's
//! shapes under their names (`mesh.extras.targetNames`), positions and normals as sparse accessors. Materials are
//! metallic-roughness, textures are passed through as they are. If some of the head stays with the shoulders or has
//! turning eyeballs, it is a skin of the joints `torso`, `head`, `eye_left`, `eye_right` (those it needs); else the
//! mesh hangs on a node `head` at the pivot. Motion becomes one animation a file: the morph weights, the head's
//! rotation and the eyes', a key a frame, linear. The same input makes the same bytes.
//!
//! What glTF has no place for stands in the mesh's `extras.unils`: [`FACTS_VERSION`], pivot, regions, looks. A file
//! of ours comes back from [`read_glb`] equal to what was written, to the last bit, but for vertices of no triangle,
//! which are left out.
//!
//! # What is read
//!
//! Any glTF 2.0 head with morph targets named after ARKit's, in metres or not: all visible meshes of the scene
//! merged at their places (teeth, eyes and brows with lists of targets of their own), node transforms and skins
//! applied as they stand in the file, quantised or sparse data, PNG and JPEG textures. Eye joints become [`Eye`]s
//! unless shapes turn the eyes already; the pivot is the head joint's or is estimated. [`Head::report`] says what was
//! matched and guessed.
//!
//! [`Eye`]: super::Eye
//! [`Head::report`]: super::Head
//!
//! ```
//! use unils::face::glb::{GlbFace, read_glb, write_glb};
//! # use unils::face::{BlendshapeRig, Face, Head, Mesh, Part, Shape};
//! # use unils::motion::{FPS, Motion, MotionMeta, Space};
//! # let mesh = Mesh {
//! #     positions: vec![[0.0; 3], [0.1, 0.0, 0.0], [0.0, 0.1, 0.0]],
//! #     triangles: vec![[0, 1, 2]],
//! #     parts: vec![Part { name: "face".into(), triangles: 0..1, material: Default::default() }],
//! #     ..Mesh::default()
//! # };
//! # let jaw = Shape { name: "jawOpen".into(), vertices: vec![0], deltas: vec![[0.0, -0.02, 0.0]] };
//! # let rig = BlendshapeRig::new(mesh, vec![jaw], [0.0; 3], vec![], vec![], "example")?;
//! # let motion = Motion::new(Space::Arkit55, FPS, 1, vec![0.0; 10 * 55], MotionMeta::new())?;
//! let bytes = write_glb(&[GlbFace { motion: Some((&motion, 0)), ..GlbFace::new("anna", &rig) }])?;
//! let head = read_glb(&bytes, "anna.glb")?;
//! assert_eq!(head.rig, rig);
//! # Ok::<(), unils::Error>(())
//! ```

mod accessor;
mod animation;
mod container;
mod document;
mod foreign;
mod gather;
mod matrix;
mod own;
mod reader;
mod scene;
mod schema;
mod surface;
mod targets;
mod writer;

pub(super) use reader::read_file;
pub use reader::{GlbOptions, read_glb, read_glb_with, read_gltf};
pub use writer::{FACTS_VERSION, GlbFace, write_glb};
