//! Generates the head that `unils` ships: a stylised bust with all 52 shapes of ARKit, in two looks.
//!
//! Nothing is scanned or drawn by hand: the form is a smooth union of ellipsoids ([`form`]), rings of vertices make
//! lids and lips ([`eyes`], [`mouth`]), a triangulation fills the skin between (`topology`), and every shape is a
//! function of a vertex's place ([`shapes`]). One half is built and mirrored. The binary of this crate writes the
//! result into the library's assets.
//!
//! ```
//! let head = unils_head::generate()?;
//! assert!(head.rig.missing().is_empty());
//! assert_eq!(head.looks.len(), 2);
//! # Ok::<(), unils::Error>(())
//! ```

pub mod builder;
pub mod eyes;
pub mod form;
pub mod looks;
pub mod mouth;
pub mod shapes;

mod assemble;
mod body;
mod brows;
mod ears;
mod hair;
mod math;
mod palette;
pub mod sheets;
mod skin;
mod teeth;
mod topology;

pub use assemble::{GeneratedHead, build, generate, glb};
