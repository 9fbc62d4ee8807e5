//! Samples to a file: a second of each track at a time, the index at the end or in a place kept for it in front.

use std::io::{self, Seek, SeekFrom, Write};

use super::boxes::boxed;
use super::movie::{file_type, movie};
use super::track::Track;

/// Largest place kept in front for the index: a day of video needs 18 MB.
const MOST_RESERVED: u64 = 1 << 25;
/// Header of a box with a length of 64 bits.
const LONG_HEADER: u64 = 16;
/// Smallest box, which fills what the index leaves of its place.
const SMALLEST_BOX: u64 = 8;

/// An MP4 file being written. Memory holds up to a second of coded samples of each track, and their tables.
pub(super) struct Container<W> {
    writer: W,
    tracks: Vec<Track>,
    /// Coded samples of each track that form the next chunk, and how many they are.
    pending: Vec<(Vec<u8>, u32)>,
    position: u64,
    /// Start and length of the place for the index.
    reserved: (u64, u64),
    /// Start of the box of samples.
    media: u64,
}

/// What became of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub bytes: u64,
    pub index_first: bool,
}

impl<W: Write + Seek> Container<W> {
    /// Begins a file, with a place in front for an index of so many bytes (0: none).
    pub fn new(mut writer: W, tracks: Vec<Track>, index_bytes: u64) -> io::Result<Self> {
        let mut head = file_type();
        let place = head.len() as u64;
        let reserved = if (SMALLEST_BOX..=MOST_RESERVED).contains(&index_bytes) { index_bytes } else { 0 };
        if reserved > 0 {
            boxed(&mut head, b"free", |out| out.resize(out.len() + (reserved - SMALLEST_BOX) as usize, 0));
        }
        let media = head.len() as u64;
        // The length is filled in at the end.
        head.extend([0, 0, 0, 1]);
        head.extend(b"mdat");
        head.extend([0; 8]);
        writer.write_all(&head)?;
        let pending = tracks.iter().map(|_| (Vec::new(), 0)).collect();
        let position = media + LONG_HEADER;
        Ok(Self { writer, tracks, pending, position, reserved: (place, reserved), media })
    }

    /// The tracks, to be changed until the end.
    pub fn track_mut(&mut self, index: usize) -> Option<&mut Track> {
        self.tracks.get_mut(index)
    }

    /// Bytes of memory that grow with the file.
    pub fn table_bytes(&self) -> usize {
        self.tracks.iter().map(Track::held_bytes).sum()
    }

    /// Adds a sample to a track. `key`: decoding can start there, and not at all others.
    pub fn push(&mut self, index: usize, sample: &[u8], key: bool) -> io::Result<()> {
        let (Some(track), Some((bytes, count))) = (self.tracks.get_mut(index), self.pending.get_mut(index))
        else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no such track"));
        };
        let size = u32::try_from(sample.len()).map_err(io::Error::other)?;
        bytes.extend(sample);
        *count += 1;
        track.sizes.push(size);
        if key {
            track.keys.push(track.samples());
        }
        if *count == track.per_chunk {
            self.flush(index)?;
        }
        Ok(())
    }

    /// Writes the chunk that is gathered for a track.
    fn flush(&mut self, index: usize) -> io::Result<()> {
        if let (Some(track), Some((bytes, count))) = (self.tracks.get_mut(index), self.pending.get_mut(index))
            && *count > 0
        {
            self.writer.write_all(bytes)?;
            track.chunks.push(self.position);
            self.position += bytes.len() as u64;
            bytes.clear();
            *count = 0;
        }
        Ok(())
    }

    /// Writes what is left and the index. Tracks without samples are left out.
    pub fn finish(mut self) -> io::Result<(W, Layout)> {
        for index in 0..self.tracks.len() {
            self.flush(index)?;
        }
        self.tracks.retain(|track| track.samples() > 0);
        let index = movie(&self.tracks);
        let (place, reserved) = self.reserved;
        let length = index.len() as u64;
        let index_first = length == reserved || length + SMALLEST_BOX <= reserved;
        let mut bytes = self.position;
        if !index_first {
            self.writer.write_all(&index)?;
            bytes += length;
        }
        self.writer.seek(SeekFrom::Start(self.media + 8))?;
        self.writer.write_all(&(self.position - self.media).to_be_bytes())?;
        if index_first {
            self.writer.seek(SeekFrom::Start(place))?;
            self.writer.write_all(&index)?;
            if length < reserved {
                self.writer.write_all(&((reserved - length) as u32).to_be_bytes())?;
                self.writer.write_all(b"free")?;
            }
        }
        self.writer.flush()?;
        Ok((self.writer, Layout { bytes, index_first }))
    }
}
