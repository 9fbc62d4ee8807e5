//! Fuzz entry: every reader of heads, from any bytes.
//!
//! Nothing may panic; what is accepted is sound, and what we write of it can be read again.

#![allow(clippy::expect_used, reason = "a fuzz target fails by panicking")]

use unils::face::glb::{GlbFace, read_glb, write_glb};
use unils::face::sparse::read_sparse_bytes;
use unils::face::{BlendshapeRig, Face};

/// What is larger is not written again: the fuzzer's time goes to small inputs.
const MAX_VERTICES: usize = 2000;

/// The other half of a head of two files.
const OBJ: &[u8] = include_bytes!("../../../../fixtures/heads/sparse/neutral.obj");
const NPZ: &[u8] = include_bytes!("../../../../fixtures/heads/sparse/shapes.npz");

/// Feeds `data` to all of them.
pub fn head(data: &[u8]) {
    let places = ["input.obj", "input.npz"];
    let heads = [
        read_glb(data, "input"),
        read_sparse_bytes(data, NPZ, places, &[]),
        read_sparse_bytes(OBJ, data, places, &[]),
    ];
    for head in heads.into_iter().flatten() {
        head.rig.mesh().check("input").expect("a head that is read is sound");
        if head.rig.mesh().positions.len() <= MAX_VERTICES {
            check_round_trip(&head.rig);
        }
    }
}

/// Colours beyond 1 and textures without coordinates are refused; all else comes back.
fn check_round_trip(rig: &BlendshapeRig) {
    let Ok(bytes) = write_glb(&[GlbFace::new("input", rig)]) else { return };
    let back = read_glb(&bytes, "own").expect("what is written can be read");
    assert_eq!(back.rig.mesh().triangles.len(), rig.mesh().triangles.len());
    assert!(back.rig.shapes().len() <= rig.shapes().len());
}
