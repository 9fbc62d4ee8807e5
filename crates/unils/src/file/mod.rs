//! Motion in files: what `animate` writes and `--style` and `--previous` read.
//!
//! The path's ending chooses the format: `.npz` (all of it, for NumPy), `.npy` (the numbers alone), `.csv` (a row a
//! frame, for tables), `.json` (for everything else), `.livelink.csv` (as Epic's Live Link Face app records, to read
//! and write). `docs/formats.md` describes each with its keys and units.
//! Numbers come back to the last bit from all of them. Files are written whole or not at all ([`AtomicFile`]);
//! what is read is checked, and costs memory for what is there, not for what is declared.
//!
//! ```
//! use unils::file::{ReadOptions, read_motion, write_motion};
//! use unils::motion::{FPS, Motion, MotionMeta, Space};
//! # let path = std::env::temp_dir().join(format!("unils-doc-{}.npz", std::process::id()));
//! let motion = Motion::new(Space::Arkit55, FPS, 1, vec![0.25; 10 * 55], MotionMeta::new())?;
//! write_motion(&path, &motion)?;
//! assert_eq!(read_motion(&path, &ReadOptions::default())?, motion);
//! # std::fs::remove_file(&path).unwrap();
//! # Ok::<(), unils::Error>(())
//! ```

mod atomic;
mod csv;
mod facts;
mod json;
mod live_link;
pub mod npy;
pub mod npz;
mod npz_motion;
mod npz_writer;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Seek, Write};
use std::path::Path;
use std::str::FromStr;

pub use atomic::{AtomicFile, Removed, remove_unfinished, write_whole};
pub use live_link::{is_live_link_path, write_live_link, write_live_link_to};

use crate::motion::{Motion, Space, shorten};
use crate::{Error, Result};

/// A motion file's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MotionFormat {
    /// NumPy archive.
    Npz,
    /// NumPy array.
    Npy,
    /// Comma-separated table.
    Csv,
    /// JSON object.
    Json,
}

impl MotionFormat {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Npz, Self::Npy, Self::Csv, Self::Json];

    /// The ending, without its dot.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Npz => "npz",
            Self::Npy => "npy",
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }

    /// The format that a path's ending names, in any case.
    ///
    /// # Errors
    /// [`Error::Argument`] if it names none; the hint lists the endings.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let ending = path.extension().map(|ending| ending.to_string_lossy());
        let what = match &ending {
            Some(ending) => format!("the ending .{} names no motion format", shorten(ending)),
            None => "has no ending that names a motion format".to_owned(),
        };
        ending.and_then(|ending| ending.parse().ok()).ok_or_else(|| {
            Error::argument(path.display(), what).with_hint("motion files end in .npz, .npy, .csv or .json")
        })
    }
}

impl fmt::Display for MotionFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.ending())
    }
}

impl FromStr for MotionFormat {
    type Err = Error;

    fn from_str(ending: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|format| ending.eq_ignore_ascii_case(format.ending())).ok_or_else(|| {
            Error::argument("motion format", format!("{:?} is not known", shorten(ending)))
                .with_hint("motion formats are npz, npy, csv and json")
        })
    }
}

/// What the reader of a motion file expects and knows beyond the file.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ReadOptions {
    /// The motion space that is needed: any other is an error. Without it the space is what the file says, or
    /// else the one with that many channels.
    pub space: Option<Space>,
    /// Frames a second of a file that does not say; without it, 25.
    pub fps: Option<f64>,
}

/// Reads a motion file; its ending tells the format.
///
/// An npz file holds the motion as `motion`, (participants, frames, channels) or (frames, channels); or as the
/// release's `motioncode`, rows of at least 111 columns from which the 108 are cut; or as its only array of two or
/// three dimensions.
///
/// # Errors
/// [`Error::Argument`] for an unknown ending, [`Error::Io`] if the file cannot be read, [`Error::Motion`] if it
/// holds no usable motion or another space than the one needed.
pub fn read_motion(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Motion> {
    let path = path.as_ref();
    let format = MotionFormat::from_path(path)?;
    let reader = BufReader::with_capacity(1 << 16, open_regular(path)?);
    read_motion_from(format, reader, &path.display().to_string(), options)
}

/// Reads a motion file held in memory; `place` names it in messages.
///
/// # Errors
/// As for [`read_motion`].
pub fn read_motion_bytes(
    format: MotionFormat,
    bytes: &[u8],
    place: &str,
    options: &ReadOptions,
) -> Result<Motion> {
    read_motion_from(format, Cursor::new(bytes), place, options)
}

fn read_motion_from(
    format: MotionFormat,
    reader: impl BufRead + Seek,
    place: &str,
    options: &ReadOptions,
) -> Result<Motion> {
    match format {
        MotionFormat::Npz => npz_motion::read_npz(reader, place, options),
        MotionFormat::Npy => npz_motion::read_npy(reader, place, options),
        MotionFormat::Csv => csv::read(reader, place, options),
        MotionFormat::Json => json::read(reader, place, options),
    }
}

/// Writes a motion file; its ending chooses the format. The file is there whole or not at all. `NAME.livelink.csv`
/// asks for Live Link Face's table, a file a participant: see [`write_live_link`].
///
/// # Errors
/// [`Error::Argument`] for an unknown ending, [`Error::Io`] if it cannot be written, [`Error::Motion`] for Live Link
/// Face's table of motion that is not [`Space::Arkit55`].
pub fn write_motion(path: impl AsRef<Path>, motion: &Motion) -> Result<()> {
    let path = path.as_ref();
    if is_live_link_path(path) {
        return write_live_link(path, motion).map(drop);
    }
    let format = MotionFormat::from_path(path)?;
    let mut file = AtomicFile::create(path)?;
    write_motion_to(format, &mut file, motion).map_err(|error| Error::io("write", path, error))?;
    file.commit()
}

/// Writes motion in a format to any writer, in small pieces: give it a buffered one.
///
/// # Errors
/// Those of the writer, and `InvalidInput` for an npz of more than 2 GiB.
pub fn write_motion_to(format: MotionFormat, mut writer: impl Write, motion: &Motion) -> io::Result<()> {
    match format {
        MotionFormat::Npz => npz_motion::write_npz(&mut writer, motion),
        MotionFormat::Npy => npz_motion::write_npy(&mut writer, motion),
        MotionFormat::Csv => csv::write(&mut writer, motion),
        MotionFormat::Json => json::write(&mut writer, motion),
    }?;
    writer.flush()
}

/// Opens a file that is one: neither a folder, nor a pipe or device, which may never end.
fn open_regular(path: &Path) -> Result<File> {
    let fail = |error| Error::io("open", path, error);
    let metadata = fs::metadata(path).map_err(fail)?;
    if metadata.is_dir() {
        return Err(fail(io::Error::new(ErrorKind::IsADirectory, "is a folder")));
    }
    if !metadata.is_file() {
        return Err(Error::motion(path.display(), "is not a regular file")
            .with_hint("write the motion to a file first and name that"));
    }
    File::open(path).map_err(fail)
}

/// An error of a reader whose bytes are parsed: a fault of the content unless the system is to blame.
fn read_fault(place: &str, error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => {
            Error::motion(place, "ends too early").with_hint("the file is cut short or damaged: get it again")
        }
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::Other => {
            Error::motion(place, format!("damaged: {error}"))
                .with_hint("the file is cut short or damaged: get it again")
        }
        _ => Error::io("read", place, error),
    }
}
