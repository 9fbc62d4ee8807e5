//! One way in for heads of all kinds of files.

use std::path::{Path, PathBuf};

use super::Head;
use super::glb::{GlbOptions, read_gltf};
use super::sparse::{ICT_HIDDEN, files_ending, read_sparse};
use crate::{Error, Result};

/// Endings of files that hold a head.
const ENDINGS: [&str; 3] = ["glb", "gltf", "npz"];

/// Opens a head: a `.glb` or `.gltf` file ([`read_gltf`]), a `.npz` of sparse displacements with an `.obj` beside it
/// ([`read_sparse`]), or a folder that holds one of these. Helper meshes that need shaders of their own are hidden.
///
/// # Errors
/// [`Error::Argument`] for a file of another kind or a folder without exactly one head; else those of the reader.
pub fn open_head(path: impl AsRef<Path>) -> Result<Head> {
    let path = path.as_ref();
    if path.is_dir() {
        return open_head(head_in(path)?);
    }
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("glb" | "gltf") => read_gltf(path, &GlbOptions::default()),
        Some("npz") => read_sparse(path, &ICT_HIDDEN.map(str::to_owned)),
        _ => Err(Error::argument(path.display(), "is not a head that can be read").with_hint(
            "heads are .glb or .gltf files with ARKit's morph targets, or .npz files of sparse displacements \
             beside their .obj; convert an .fbx in Blender",
        )),
    }
}

/// The head of a folder.
fn head_in(folder: &Path) -> Result<PathBuf> {
    for ending in ENDINGS {
        let mut found = files_ending(folder, ending)?;
        match (found.len(), found.pop()) {
            (1, Some(path)) => return Ok(path),
            (0, _) => {}
            (count, _) => {
                return Err(Error::argument(folder.display(), format!("holds {count} .{ending} files"))
                    .with_hint("name the one that is meant"));
            }
        }
    }
    Err(Error::argument(folder.display(), "holds no head")
        .with_hint("expected a .glb, .gltf or .npz file in it"))
}
