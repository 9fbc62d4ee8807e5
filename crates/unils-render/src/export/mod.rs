//! Motion to files of every kind: the path's ending says which.
//!
//! Numbers go through [`unils::file`], faces through a [`Cast`] and the [renderer](crate::raster) to the writers of
//! this crate. Pictures are drawn, encoded and written as a stream, on two threads, so that an hour takes no more
//! memory than a second.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use unils::file::{ReadOptions, read_motion};
//! use unils_render::export::{Cast, ExportOptions, export};
//! # fn main() -> unils::Result<()> {
//! let motion = read_motion("talk.npz", &ReadOptions::default())?;
//! let cast = Cast::open(&[] as &[&str], motion.participants())?;
//! let outputs = ["talk.mp4".into(), "talk.glb".into()];
//! export(&motion, &outputs, &cast, None, &ExportOptions::default(), &mut |_| ControlFlow::Continue(()))?;
//! # Ok(())
//! # }
//! ```

mod cast;
mod pictures;
mod strip;

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use unils::face::glb::{GlbFace, write_glb};
use unils::file::{AtomicFile, MotionFormat, is_live_link_path, write_live_link, write_motion_to};
use unils::motion::{FPS, Motion};
use unils::{Error, Result};

pub use cast::{Actor, Cast};
use pictures::Pictures;
pub use strip::strip;

use crate::raster::RenderOptions;
use crate::video::VoiceMix;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The motion's numbers.
    Motion(MotionFormat),
    /// The table that Epic's Live Link Face app records, a file a participant.
    LiveLink,
    /// Animated heads for 3D programs.
    Glb,
    /// Video with the voices.
    Mp4,
    /// Animated picture.
    Gif,
    /// A picture a frame, numbered.
    Png,
}

impl Format {
    /// The format that a path's ending names, in any case.
    ///
    /// # Errors
    /// [`Error::Argument`] if it names none; the hint lists the endings.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if is_live_link_path(path) {
            return Ok(Self::LiveLink);
        }
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("glb") => Ok(Self::Glb),
            Some("mp4") => Ok(Self::Mp4),
            Some("gif") => Ok(Self::Gif),
            Some("png") => Ok(Self::Png),
            _ => MotionFormat::from_path(path).map(Self::Motion).map_err(|error| {
                error.with_hint(
                    "outputs end in .mp4, .gif, .png or .glb (faces), .npz, .npy, .csv or .json (numbers), or \
                     .livelink.csv",
                )
            }),
        }
    }

    /// Whether faces are drawn for it.
    pub fn is_picture(self) -> bool {
        matches!(self, Self::Mp4 | Self::Gif | Self::Png)
    }

    /// Whether it needs a [`Cast`].
    pub fn shows_faces(self) -> bool {
        self.is_picture() || self == Self::Glb
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Motion(format) => format.ending(),
            Self::LiveLink => "livelink.csv",
            Self::Glb => "glb",
            Self::Mp4 => "mp4",
            Self::Gif => "gif",
            Self::Png => "png",
        })
    }
}

/// How faces are shown.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// Size and light of each face.
    pub render: RenderOptions,
    /// The constant quantiser of a video: see [`VideoOptions::quantizer`](crate::video::VideoOptions::quantizer).
    pub quantizer: u8,
    /// Radians that two faces are turned towards each other.
    pub turn: f32,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self { render: RenderOptions::default(), quantizer: 22, turn: 0.2 }
    }
}

/// Checks outputs before anything is computed for them: their endings, that they can be written, and that none is
/// named twice.
///
/// # Errors
/// [`Error::Argument`] for an unknown ending or a file named twice, [`Error::Io`] if one cannot be created.
pub fn check_outputs(outputs: &[PathBuf]) -> Result<Vec<Format>> {
    let formats = outputs.iter().map(Format::from_path).collect::<Result<Vec<_>>>()?;
    let mut seen = BTreeSet::new();
    for path in outputs {
        // Begun and dropped: leaves nothing, and an older file stays.
        AtomicFile::create(path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        // Where the folder cannot be resolved, its spelling is what there is.
        let place = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        if !seen.insert((place, path.file_name())) {
            return Err(Error::argument(path.display(), "is named twice as an output"));
        }
    }
    Ok(formats)
}

/// Writes motion to every output, and names the files only when their content is complete. `voices` is the sound of
/// videos; `progress` hears how many of the frames are drawn. Returns the files, which are more than the outputs
/// where a format has a file a participant or frame.
///
/// Pictures and glb have 25 frames a second whatever the motion has.
///
/// # Errors
/// As [`check_outputs`]; [`Error::Face`] and [`Error::Motion`] if a face cannot show the motion;
/// [`Error::Interrupted`] if `progress` breaks; [`Error::Io`] if a file cannot be written.
pub fn export(
    motion: &Motion,
    outputs: &[PathBuf],
    cast: &Cast,
    voices: Option<VoiceMix>,
    options: &ExportOptions,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Vec<PathBuf>> {
    let formats = check_outputs(outputs)?;
    let of = |wanted: fn(Format) -> bool| {
        outputs.iter().zip(&formats).filter(move |(_, format)| wanted(**format)).map(|(path, _)| path)
    };
    let mut begun = Vec::new();
    for (path, format) in outputs.iter().zip(&formats) {
        if let Format::Motion(format) = format {
            let mut file = AtomicFile::create(path)?;
            write_motion_to(*format, &mut file, motion).map_err(|source| Error::io("write", path, source))?;
            begun.push(file);
        }
    }
    let mut written: Vec<PathBuf> = of(|format| matches!(format, Format::Motion(_))).cloned().collect();
    if formats.iter().any(|format| format.shows_faces()) {
        let acted = cast.act(&motion.resampled(FPS)?)?;
        for path in of(|format| format == Format::Glb) {
            let mut file = AtomicFile::create(path)?;
            let bytes = scene(cast, &acted)?;
            file.write_all(&bytes).map_err(|source| Error::io("write", path, source))?;
            begun.push(file);
            written.push(path.clone());
        }
        let drawn = outputs.iter().cloned().zip(formats.iter().copied());
        let drawn: Vec<_> = drawn.filter(|(_, format)| format.is_picture()).collect();
        if !drawn.is_empty() {
            written.extend(Pictures::draw(&drawn, cast, &acted, voices, options, progress)?);
        }
    }
    begun.into_iter().try_for_each(AtomicFile::commit)?;
    for path in of(|format| format == Format::LiveLink) {
        written.extend(write_live_link(path, &cast::in_arkit(motion, cast.transfer())?)?);
    }
    Ok(written)
}

/// All heads of a cast in one scene, side by side.
fn scene(cast: &Cast, acted: &[Motion]) -> Result<Vec<u8>> {
    /// Metres from head to head.
    const DISTANCE: f32 = 0.4;
    let names: Vec<String> = (0..acted.len()).map(|index| format!("participant_{index}")).collect();
    let middle = (acted.len().saturating_sub(1)) as f32 / 2.0;
    let faces = cast.actors().iter().zip(acted).zip(&names).enumerate();
    let faces = faces.map(|(index, ((actor, motion), name))| {
        let Actor::Rig(rig) = actor else {
            return Err(Error::face("glb", "a FLAME face has no blend shapes to animate")
                .with_hint("choose a head with ARKit's shapes (--face a), or write the motion as .npz"));
        };
        let offset = [(index as f32 - middle) * DISTANCE, 0.0, 0.0];
        Ok(GlbFace { motion: Some((motion, 0)), offset, ..GlbFace::new(name, rig) })
    });
    write_glb(&faces.collect::<Result<Vec<_>>>()?)
}
