//! A glTF file to a [`Head`]: opens it, finds its buffers, and chooses between our own files and others.

use std::borrow::Cow;
use std::fs;
use std::path::{Component, Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::accessor::Numbers;
use super::container::{is_glb, split};
use super::schema::Root;
use super::{foreign, own};
use crate::face::Head;
use crate::motion::shorten;
use crate::{Error, Result};

/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// The extension of meshes compressed by Draco.
const DRACO: &str = "KHR_draco_mesh_compression";

/// What to leave out of heads made by others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlbOptions {
    /// Meshes, nodes and materials whose names contain one of these, in any case, are not shown.
    pub hide: Vec<String>,
}

impl Default for GlbOptions {
    /// Helpers of other programs' shaders and physics.
    fn default() -> Self {
        let hide = ["EyeOcclusion", "EyeBlend", "Tearline", "LacrimalFluid", "Collision", "Collider", "UCX_"];
        Self { hide: hide.map(str::to_owned).to_vec() }
    }
}

/// Where the files beside a document are.
#[derive(Clone, Copy)]
pub(super) enum Beside<'p> {
    /// In this folder or below.
    Folder(&'p Path),
    /// Nowhere: the document came from memory.
    Nothing,
}

/// Reads a `.glb` or self-contained `.gltf` held in memory; `place` names it in messages.
///
/// # Errors
/// As for [`read_gltf`], and [`Error::Face`] if it names files beside it.
pub fn read_glb(bytes: &[u8], place: &str) -> Result<Head> {
    read_glb_with(bytes, place, &GlbOptions::default())
}

/// As [`read_glb`], leaving out what `options` say.
///
/// # Errors
/// As for [`read_glb`].
pub fn read_glb_with(bytes: &[u8], place: &str, options: &GlbOptions) -> Result<Head> {
    read(bytes, place, Beside::Nothing, options)
}

/// Reads a `.glb` or `.gltf` file. Buffers and pictures beside it are read from its own folder and those below,
/// never from elsewhere.
///
/// # Errors
/// [`Error::Io`] if a file cannot be read; [`Error::Face`] if it is no glTF 2.0, is damaged, is compressed (Draco,
/// meshopt), asks for other extensions, holds no mesh with morph targets named after ARKit's, or numbers that are
/// not finite. The hints say what to do about it.
pub fn read_gltf(path: impl AsRef<Path>, options: &GlbOptions) -> Result<Head> {
    let path = path.as_ref();
    let bytes = read_file(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut head = read(&bytes, &path.display().to_string(), Beside::Folder(folder), options)?;
    if head.name.is_empty() {
        head.name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    }
    Ok(head)
}

fn read(bytes: &[u8], place: &str, beside: Beside<'_>, options: &GlbOptions) -> Result<Head> {
    let (json, bin) = if is_glb(bytes) { split(bytes, place)? } else { (bytes, None) };
    let root: Root = serde_json::from_slice(json).map_err(|error| {
        Error::face(place, format!("is not glTF 2.0: {error}")).with_hint("expected a .glb or .gltf file")
    })?;
    check_document(&root, place)?;
    let buffers = root.buffers.iter().enumerate().map(|(index, buffer)| match (&buffer.uri, index, bin) {
        (None, 0, Some(bin)) => Ok(Cow::Borrowed(bin)),
        (None, ..) => Err(Error::face(place, format!("buffer {index} has no bytes"))
            .with_hint("the file is cut short or damaged: get or export it again")),
        (Some(uri), ..) => resolve(uri, place, beside).map(Cow::Owned),
    });
    let numbers = Numbers::new(&root, buffers.collect::<Result<_>>()?, place);
    match own::find(&root, place)? {
        Some(mesh) => own::read(&numbers, mesh, beside),
        None => {
            let mut head = foreign::read(&numbers, beside, options)?;
            if root.meshes.iter().any(|mesh| mesh.extras.get("unils").is_some()) {
                head.report
                    .notes
                    .push("another program wrote it again: its regions and looks are lost".to_owned());
            }
            Ok(head)
        }
    }
}

/// What makes a file unreadable as a whole.
fn check_document(root: &Root, place: &str) -> Result<()> {
    if !root.asset.version.starts_with("2.") {
        let what = format!("is glTF {:?}, expected \"2.0\"", shorten(&root.asset.version));
        return Err(Error::face(place, what).with_hint("export the head as glTF 2.0 (.glb)"));
    }
    // Extensions that change what the numbers mean; those of materials only lose their effect.
    let is_known = |name: &str| {
        matches!(name, "KHR_mesh_quantization" | "KHR_texture_transform" | "KHR_lights_punctual")
            || name.starts_with("KHR_materials_")
            || name.starts_with("VRM")
            || matches!(name, "KHR_texture_basisu" | "EXT_texture_webp" | "EXT_texture_avif")
    };
    let primitives = root.meshes.iter().flat_map(|mesh| &mesh.primitives);
    // A file may say that a viewer can do without; then its numbers stand in it twice, or else not at all.
    let is_draco =
        primitives.filter(|primitive| primitive.extensions.get(DRACO).is_some()).any(|primitive| {
            let position = primitive.attributes.get("POSITION").and_then(|&index| root.accessors.get(index));
            position.is_some_and(|accessor| accessor.buffer_view.is_none())
        });
    let unknown = root.extensions_required.iter().map(String::as_str).find(|name| !is_known(name));
    let Some(unknown) = unknown.or(is_draco.then_some(DRACO)) else {
        return Ok(());
    };
    let (what, hint) = match unknown {
        DRACO => (
            "its meshes are Draco-compressed".to_owned(),
            "decompress it first: `npx @gltf-transform/cli copy in.glb out.glb`, or import it into Blender and \
             export it without compression",
        ),
        "EXT_meshopt_compression" | "KHR_meshopt_compression" => (
            "its numbers are meshopt-compressed".to_owned(),
            "decompress it first: `npx @gltf-transform/cli copy in.glb out.glb`",
        ),
        name => (
            format!("needs the extension {:?}, which is not supported", shorten(name)),
            "export the head without that extension",
        ),
    };
    Err(Error::face(place, what).with_hint(hint))
}

/// The bytes behind a URI: inside it, or in a file beside the document.
pub(super) fn resolve(uri: &str, place: &str, beside: Beside<'_>) -> Result<Vec<u8>> {
    if let Some(data) = uri.strip_prefix("data:") {
        let encoded = data.split_once(";base64,").map(|(_, encoded)| encoded);
        let bytes = encoded.and_then(|encoded| STANDARD.decode(encoded.trim()).ok());
        return bytes.ok_or_else(|| {
            Error::face(place, "a data: address in it is not valid base64")
                .with_hint("the file is cut short or damaged: get or export it again")
        });
    }
    let refuse = |what: &str| {
        let what = format!("names the file {:?}, which {what}", shorten(uri));
        Err(Error::face(place, what).with_hint(
            "keep buffers and pictures in the file's own folder, or export one .glb with all inside",
        ))
    };
    let Beside::Folder(folder) = beside else {
        return refuse("is not inside it");
    };
    let Some(relative) = relative_path(uri) else {
        return refuse("is not a plain name below its folder");
    };
    let path = folder.join(relative);
    let (Ok(real), Ok(real_folder)) = (fs::canonicalize(&path), fs::canonicalize(folder)) else {
        return refuse("cannot be found beside it");
    };
    if !real.starts_with(&real_folder) {
        return refuse("is a link out of its folder");
    }
    read_file(&real)
}

/// A path below a folder; nothing if it is absolute, climbs up, or is an address on the net.
fn relative_path(uri: &str) -> Option<PathBuf> {
    let decoded = percent_decoded(uri)?;
    if decoded.contains(['\\', ':', '\0']) {
        return None;
    }
    let path = PathBuf::from(decoded);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    (is_plain && path.file_name().is_some()).then_some(path)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'%' {
            let hex = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A whole file, if it is one and not larger than any head.
pub(in crate::face) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let metadata = fs::metadata(path).map_err(|error| Error::io("open", path, error))?;
    if metadata.is_dir() {
        let error = std::io::Error::new(std::io::ErrorKind::IsADirectory, "is a folder");
        return Err(Error::io("open", path, error));
    }
    if !metadata.is_file() {
        return Err(Error::face(path.display(), "is not a regular file")
            .with_hint("save the head to a file first and name that"));
    }
    if metadata.len() > MAX_FILE_BYTES {
        let what = format!("{} bytes: expected at most 1 GiB", metadata.len());
        return Err(Error::face(path.display(), what).with_hint("a head of fewer vertices does"));
    }
    fs::read(path).map_err(|error| Error::io("read", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_below_the_folder_are_files() {
        let plain = |uri: &str| relative_path(uri).map(|path| path.to_string_lossy().into_owned());
        assert_eq!(plain("head.bin").as_deref(), Some("head.bin"));
        assert_eq!(plain("textures/my%20skin.png").as_deref(), Some("textures/my skin.png"));
        for uri in [
            "",
            ".",
            "..",
            "../head.bin",
            "a/../../b",
            "/etc/passwd",
            "%2e%2e/b",
            "%2Fetc/passwd",
            "C:/b",
            "a\\b",
            "http://a/b",
            "file:///etc/passwd",
            "%zz",
            "%e",
            "%ff%fe",
        ] {
            assert_eq!(plain(uri), None, "{uri}");
        }
    }
}
