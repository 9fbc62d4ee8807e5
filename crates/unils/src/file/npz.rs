//! NumPy's archives (`.npz`): a ZIP file with one `.npy` entry an array.
//!
//! Reads stored and deflated entries with or without ZIP64 fields, as `numpy.savez`, `numpy.savez_compressed` and
//! the release's dataset records write them; writes stored entries that are the same bytes for the same arrays
//! (no time stamps). Entry names are only ever compared, never used as paths. What an entry declares is held
//! against the bytes that are there: a stored array must lie in the file, a deflated one cannot be larger than
//! 1032 times its compressed size, the most that the method can do, and nothing is larger than 2 GiB.
//!
//! Reading ZIP is left to the `zip` crate (MIT, maintained, fuzzed by its authors); it takes sizes from the central
//! directory, so local headers whose fields are 0xffffffff with a ZIP64 extra field are no special case. Writing
//! stored entries is little and is done here ([`NpzWriter`]): the crate's writer prints to stderr when a disk is full.
//!
//! ```
//! use unils::file::npy::{Array, Data};
//! use unils::file::npz::{Npz, NpzWriter};
//! let mut bytes = Vec::new();
//! let mut writer = NpzWriter::new(&mut bytes);
//! writer.add("speech_mask", &Array::new(&[3], Data::from(&[0_u64, 1, 1][..]))?).unwrap();
//! writer.finish().unwrap();
//! let mut npz = Npz::from_bytes(&bytes, "record")?;
//! assert_eq!(npz.names().collect::<Vec<_>>(), ["speech_mask"]);
//! assert_eq!(npz.array("speech_mask")?.shape(), [3]);
//! # Ok::<(), unils::Error>(())
//! ```

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

pub use super::npz_writer::NpzWriter;

use super::npy::{Array, Header, Source};
use super::{open_regular, read_fault};
use crate::motion::shorten;
use crate::{Error, Result};

/// Most entries of an archive.
const MAX_ENTRIES: usize = 10_000;

/// The most that DEFLATE can pack: 258 bytes into two bits.
const DEFLATE_RATIO: u64 = 1032;

/// An archive opened for reading.
#[derive(Debug)]
pub struct Npz<R> {
    archive: ZipArchive<R>,
    place: String,
    /// Bytes of the whole archive.
    length: u64,
    /// Names without `.npy`, by index.
    names: Vec<String>,
}

impl Npz<BufReader<File>> {
    /// Opens an archive file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened, otherwise as for [`Npz::new`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::new(BufReader::new(open_regular(path)?), &path.display().to_string())
    }
}

impl<'b> Npz<Cursor<&'b [u8]>> {
    /// Opens an archive held in memory, as an LMDB value; `place` names it in messages.
    ///
    /// # Errors
    /// As for [`Npz::new`].
    pub fn from_bytes(bytes: &'b [u8], place: &str) -> Result<Self> {
        Self::new(Cursor::new(bytes), place)
    }
}

impl<R: Read + Seek> Npz<R> {
    /// Opens an archive; `place` names it in messages.
    ///
    /// # Errors
    /// [`Error::Motion`] if it is no ZIP archive, is damaged, or has two entries of one name.
    pub fn new(mut reader: R, place: &str) -> Result<Self> {
        let length = reader.seek(SeekFrom::End(0)).map_err(|error| read_fault(place, error))?;
        let mut magic = Vec::with_capacity(6);
        reader
            .rewind()
            .and_then(|()| reader.by_ref().take(6).read_to_end(&mut magic))
            .map_err(|error| read_fault(place, error))?;
        if !magic.starts_with(b"PK") {
            return Err(not_an_archive(&magic, place));
        }
        let archive = ZipArchive::new(reader).map_err(|error| zip_fault(place, error))?;
        if archive.len() > MAX_ENTRIES {
            let what = format!("{} entries, more than {MAX_ENTRIES}", archive.len());
            return Err(Error::motion(place, what));
        }
        if archive.has_duplicate_names() {
            return Err(Error::motion(place, "two entries have the same name")
                .with_hint("the file is damaged: write it again with numpy.savez"));
        }
        let names = archive.file_names_raw().map(|name| {
            let name = String::from_utf8_lossy(name);
            name.strip_suffix(".npy").unwrap_or(&name).to_owned()
        });
        Ok(Self { names: names.collect(), archive, place: place.to_owned(), length })
    }

    /// Names of the arrays, in the file's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Whether there is an array of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Element type and shape of an array; its data is not read.
    ///
    /// # Errors
    /// [`Error::Motion`] if there is no such array or its header is malformed.
    pub fn header(&mut self, name: &str) -> Result<Header> {
        let place = self.entry_place(name);
        Ok(self.source(name, &place)?.header().clone())
    }

    /// An array, in its own element type.
    ///
    /// # Errors
    /// [`Error::Motion`] if there is no such array, or it is damaged, too large, or of a type that is not read.
    pub fn array(&mut self, name: &str) -> Result<Array<'static>> {
        let place = self.entry_place(name);
        let mut source = self.source(name, &place)?;
        let array = source.array()?;
        check_end(source.into_reader(), &place)?;
        Ok(array)
    }

    /// Shape and numbers of an array as f32, in C order, converted while they are read.
    ///
    /// # Errors
    /// As for [`Npz::array`], and if it holds text.
    pub fn f32_values(&mut self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let place = self.entry_place(name);
        let mut source = self.source(name, &place)?;
        let values = source.f32_values()?;
        let shape = source.header().shape().to_vec();
        check_end(source.into_reader(), &place)?;
        Ok((shape, values))
    }

    fn entry_place(&self, name: &str) -> String {
        format!("{}[{:?}]", self.place, shorten(name))
    }

    fn source<'s>(&'s mut self, name: &str, place: &'s str) -> Result<Source<'s, impl Read + use<'s, R>>> {
        let Some(index) = self.names.iter().position(|known| known == name) else {
            return Err(Error::motion(place, "there is no array of that name")
                .with_hint(format!("the file holds {}", self.listing())));
        };
        let entry = self.archive.by_index(index).map_err(|error| zip_fault(place, error))?;
        let present = match entry.compression() {
            CompressionMethod::Stored => entry.size(),
            _ => entry.size().min(entry.compressed_size().saturating_mul(DEFLATE_RATIO)),
        };
        if entry.compressed_size() > self.length {
            return Err(Error::motion(place, "declares more bytes than the file has")
                .with_hint("the file is cut short or damaged: get it again"));
        }
        Source::new(BufReader::new(entry), place, present)
    }

    /// The names of the arrays for a message, at most a dozen.
    pub(super) fn listing(&self) -> String {
        if self.names.is_empty() {
            return "no arrays".to_owned();
        }
        let names: Vec<String> =
            self.names.iter().take(12).map(|name| format!("{:?}", shorten(name))).collect();
        let more = if self.names.len() > names.len() { ", ..." } else { "" };
        names.join(", ") + more
    }
}

/// Reads to the entry's end, where the checksum is compared.
fn check_end(mut reader: impl Read, place: &str) -> Result<()> {
    match reader.read(&mut [0]).map_err(|error| read_fault(place, error))? {
        0 => Ok(()),
        _ => Err(Error::motion(place, "goes on after the end of its data")
            .with_hint("the file is damaged: write it again with numpy.savez")),
    }
}

fn not_an_archive(magic: &[u8], place: &str) -> Error {
    if magic.is_empty() {
        return Error::motion(place, "the file is empty").with_hint("whatever wrote it did not finish");
    }
    let error = Error::motion(place, "not an npz archive (its first bytes are not those of a ZIP file)");
    if magic == b"\x93NUMPY" {
        error.with_hint("it is a single NumPy array: give it the ending .npy")
    } else {
        error.with_hint("write it with numpy.savez, or give it the ending that tells what it is")
    }
}

fn zip_fault(place: &str, error: ZipError) -> Error {
    match error {
        ZipError::Io(error) => read_fault(place, error),
        ZipError::InvalidPassword => {
            Error::motion(place, "is encrypted").with_hint("unpack and pack it without")
        }
        ZipError::UnsupportedArchive(what) if what == ZipError::PASSWORD_REQUIRED => {
            Error::motion(place, "is encrypted").with_hint("unpack and pack it without a password")
        }
        ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_) => {
            Error::motion(place, format!("is packed in a way that is not read: {error}")).with_hint(
                "stored and deflated entries are read, as numpy.savez and savez_compressed write them",
            )
        }
        error => Error::motion(place, format!("damaged archive: {error}"))
            .with_hint("the file is cut short or damaged: get it again"),
    }
}
