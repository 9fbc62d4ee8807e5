//! Writes `.npz` archives: a ZIP file of stored entries, front to back, without going back in the file.

use std::io::{self, ErrorKind, Write};

use super::npy::{Array, MAX_BYTES};

/// ZIP version needed to read stored entries.
const VERSION: u16 = 20;
/// 1 January 1980, the earliest date that ZIP knows: the same motion makes the same bytes.
const DATE: u16 = 0x21;
/// Flag: the name is UTF-8.
const UTF8: u16 = 1 << 11;

/// An archive being written. Its entries are below 2 GiB, all together below 4 GiB: ZIP64 is not needed.
#[derive(Debug)]
pub struct NpzWriter<W> {
    writer: W,
    entries: Vec<Entry>,
    offset: u32,
}

#[derive(Debug)]
struct Entry {
    name: String,
    crc: u32,
    size: u32,
    offset: u32,
}

impl<W: Write> NpzWriter<W> {
    /// Begins an archive at the writer's position.
    pub fn new(writer: W) -> Self {
        Self { writer, entries: Vec::new(), offset: 0 }
    }

    /// Adds an array under a name (without `.npy`).
    ///
    /// # Errors
    /// Those of the writer; `InvalidInput` for a name that is taken or empty, or more data than an archive takes.
    pub fn add(&mut self, name: &str, array: &Array<'_>) -> io::Result<()> {
        let name = format!("{name}.npy");
        if name.len() == 4 || name.len() > 255 || self.entries.iter().any(|entry| entry.name == name) {
            return Err(invalid("each array of an npz file needs a name of its own, at most 251 bytes"));
        }
        // Once for the checksum, which the header in front of the data holds, and once for the file.
        let mut sum = Checksum::default();
        array.write(&mut sum)?;
        let too_large = || invalid("an npz file takes arrays up to 2 GiB, all together up to 4 GiB");
        let size = Some(sum.size).filter(|&size| size <= MAX_BYTES).ok_or_else(too_large)?;
        let size = u32::try_from(size).map_err(|_| too_large())?;
        let entry = Entry { name, crc: sum.hasher.finalize(), size, offset: self.offset };
        let header = entry.local_header();
        let end = u64::from(self.offset) + header.len() as u64 + u64::from(size);
        self.offset = u32::try_from(end).map_err(|_| too_large())?;
        self.writer.write_all(&header)?;
        array.write(&mut self.writer)?;
        self.entries.push(entry);
        Ok(())
    }

    /// Completes the archive: without this it cannot be read.
    ///
    /// # Errors
    /// Those of the writer; `InvalidInput` for more entries or bytes than an archive takes.
    pub fn finish(mut self) -> io::Result<()> {
        let directory: Vec<u8> = self.entries.iter().flat_map(Entry::central_header).collect();
        let too_many = |_| invalid("an npz file takes up to 65535 arrays");
        let count = u16::try_from(self.entries.len()).map_err(too_many)?;
        let length = u32::try_from(directory.len()).map_err(too_many)?;
        self.writer.write_all(&directory)?;
        let mut end = b"PK\x05\x06".to_vec();
        end.extend([0; 4]);
        end.extend(count.to_le_bytes());
        end.extend(count.to_le_bytes());
        end.extend(length.to_le_bytes());
        end.extend(self.offset.to_le_bytes());
        end.extend([0; 2]);
        self.writer.write_all(&end)?;
        self.writer.flush()
    }
}

impl Entry {
    fn local_header(&self) -> Vec<u8> {
        let mut header = b"PK\x03\x04".to_vec();
        header.extend(self.common());
        header.extend(self.name.as_bytes());
        header
    }

    fn central_header(&self) -> Vec<u8> {
        let mut header = b"PK\x01\x02".to_vec();
        header.extend(VERSION.to_le_bytes());
        header.extend(self.common());
        // Comment length, disk, internal and external attributes.
        header.extend([0; 10]);
        header.extend(self.offset.to_le_bytes());
        header.extend(self.name.as_bytes());
        header
    }

    /// The fields that both headers have: from the version needed to the length of the extra field.
    fn common(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        // Version, flags, method (stored), time, date.
        for short in [VERSION, UTF8, 0, 0, DATE] {
            fields.extend(short.to_le_bytes());
        }
        // Checksum, packed and plain size.
        for long in [self.crc, self.size, self.size] {
            fields.extend(long.to_le_bytes());
        }
        fields.extend((self.name.len() as u16).to_le_bytes());
        fields.extend([0; 2]);
        fields
    }
}

/// Takes bytes for their checksum and number.
#[derive(Default)]
struct Checksum {
    hasher: crc32fast::Hasher,
    size: u64,
}

impl Write for Checksum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, what)
}
