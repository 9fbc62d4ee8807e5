//! The bytes of an audio file, and what their container says that the demuxer does not use.
//!
//! In front of the decoder. Three things that recordings from real devices need and the demuxer leaves out:
//! * WAV headers whose lengths were never filled in (a recorder that was killed), that promise more than the file
//!   holds (an interrupted copy), or that use the 64-bit `RF64` form: the lengths are corrected on the fly;
//! * MPEG-4 edit lists (ISO/IEC 14496-12, 8.6.6), which say how many samples of encoder delay to drop;
//! * the end mark of Ogg streams (RFC 3533), without which a truncated file looks like a short one.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;

use symphonia::core::io::MediaSource;

/// A data chunk at least this long in the header means "length unknown": pipes write it.
const STREAMED_LENGTH: u32 = 0x7fff_0000;
/// Chunks or boxes looked at before giving up; real files have a few dozen.
const MAX_CHUNKS: usize = 4096;

/// What the container says beyond its samples.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Sentences for the user.
    pub warnings: Vec<String>,
    /// Edit lists by MPEG-4 track number.
    pub edits: Vec<(u32, Edit)>,
    /// Why an MPEG-4 file cannot be used.
    pub unusable: Option<&'static str>,
}

/// The part of a track that an MPEG-4 edit list presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edit {
    /// Where presentation starts, in ticks of the track.
    pub start: u64,
    /// How long it is, in ticks of the movie; 0 = to the end.
    pub duration: u64,
    /// Ticks per second of the track.
    pub track_scale: u32,
    /// Ticks per second of the movie.
    pub movie_scale: u32,
}

impl Edit {
    /// First and one-past-last frame to keep, at `sample_rate`, of a track `total` track ticks long.
    pub(super) fn frames(&self, total: Option<u64>, sample_rate: u32) -> (u64, Option<u64>) {
        let (track, movie) = (u128::from(self.track_scale.max(1)), u128::from(self.movie_scale.max(1)));
        let start = u128::from(self.start);
        let listed = start + u128::from(self.duration) * track / movie;
        // Movie ticks are often milliseconds: the track's own length, when within one such tick, is the exact one.
        let tick = if movie < track { track.div_ceil(movie) } else { 0 };
        let end = match (self.duration, total.filter(|total| *total > 0).map(u128::from)) {
            (0, total) => total,
            (_, Some(total)) if total <= listed + tick => Some(total),
            _ => Some(listed),
        };
        let frames = |ticks: u128| u64::try_from(ticks * u128::from(sample_rate) / track).unwrap_or(u64::MAX);
        (frames(start), end.map(frames))
    }
}

/// Reading and seeking, as the demuxer wants it.
trait ReadSeek: Read + Seek + Send + Sync {}
impl<T: Read + Seek + Send + Sync> ReadSeek for T {}

/// A seekable file or buffer with corrections of four bytes each laid over it.
pub(super) struct Source {
    inner: Box<dyn ReadSeek>,
    len: u64,
    position: u64,
    corrections: Vec<(u64, [u8; 4])>,
}

impl Source {
    pub(super) fn from_file(file: File, len: u64) -> Self {
        Self { inner: Box::new(file), len, position: 0, corrections: Vec::new() }
    }

    pub(super) fn from_bytes(bytes: Arc<[u8]>) -> Self {
        let len = bytes.len() as u64;
        Self { inner: Box::new(Cursor::new(bytes)), len, position: 0, corrections: Vec::new() }
    }

    /// The first bytes, as many as there are up to 16.
    pub(super) fn head(&mut self) -> io::Result<Vec<u8>> {
        let mut head = Vec::with_capacity(16);
        self.rewind()?;
        self.inner.by_ref().take(16).read_to_end(&mut head)?;
        self.rewind()?;
        Ok(head)
    }

    /// Looks at the container's structure, installs corrections and rewinds.
    pub(super) fn examine(&mut self, head: &[u8]) -> io::Result<Findings> {
        let mut findings = Findings::default();
        match (head.get(..4), head.get(4..8), head.get(8..12)) {
            (Some(b"RIFF" | b"RF64" | b"BW64"), _, Some(b"WAVE")) => self.examine_wav(&mut findings)?,
            (Some(b"OggS"), ..) => self.examine_ogg(&mut findings)?,
            (_, Some(b"ftyp"), _) => self.examine_mp4(&mut findings)?,
            _ => {}
        }
        self.rewind()?;
        Ok(findings)
    }

    fn examine_wav(&mut self, findings: &mut Findings) -> io::Result<()> {
        self.corrections.push((0, *b"RIFF"));
        self.corrections.push((4, u32::MAX.to_le_bytes()));
        let mut long_data = None;
        let mut position = 12_u64;
        for _ in 0..MAX_CHUNKS {
            let Some(header) = self.bytes_at::<8>(position)? else { return Ok(()) };
            let [a, b, c, d, len @ ..] = header;
            let (declared, body) = (u32::from_le_bytes(len), position + 8);
            match &[a, b, c, d] {
                b"ds64" => long_data = self.bytes_at::<8>(body + 8)?.map(u64::from_le_bytes),
                b"data" => return self.correct_data_length(body, declared, long_data, findings),
                _ => {}
            }
            position = body + u64::from(declared) + u64::from(declared & 1);
        }
        Ok(())
    }

    /// `body` is where the samples start; `long` is the 64-bit length of an RF64 file.
    fn correct_data_length(
        &mut self,
        body: u64,
        declared: u32,
        long: Option<u64>,
        findings: &mut Findings,
    ) -> io::Result<()> {
        let available = self.len.saturating_sub(body);
        let streamed = declared >= STREAMED_LENGTH && long.is_none();
        let wanted = if declared == u32::MAX { long.unwrap_or(u64::MAX) } else { u64::from(declared) };
        let usable = if wanted == 0 && available > 0 && !self.is_chunk(body)? {
            findings.warnings.push(format!(
                "the header was never finished (it says 0 bytes of samples): using the {available} bytes that follow"
            ));
            available
        } else {
            if wanted > available && !streamed {
                findings
                    .warnings
                    .push(format!("truncated: {available} of {wanted} bytes of samples are there and used"));
            }
            wanted.min(available)
        };
        // Above 4 GiB the length does not fit: all ones mean "to the end of the file".
        let length = u32::try_from(usable).unwrap_or(u32::MAX);
        self.corrections.push((body - 4, length.to_le_bytes()));
        Ok(())
    }

    /// Whether a chunk that fits into the file starts at `position`: then an empty data chunk is really empty.
    fn is_chunk(&mut self, position: u64) -> io::Result<bool> {
        let Some([a, b, c, d, len @ ..]) = self.bytes_at::<8>(position)? else { return Ok(false) };
        let named = [a, b, c, d].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b' ');
        Ok(named && position + 8 + u64::from(u32::from_le_bytes(len)) <= self.len)
    }

    /// Warns when the last page of an Ogg file is not marked as the last or is cut.
    fn examine_ogg(&mut self, findings: &mut Findings) -> io::Result<()> {
        let tail_len = self.len.min(1 << 17);
        let mut tail = Vec::new();
        self.inner.seek(SeekFrom::Start(self.len - tail_len))?;
        self.inner.by_ref().take(tail_len).read_to_end(&mut tail)?;
        let complete = tail.windows(4).rposition(|word| word == b"OggS").is_some_and(|start| {
            let page = &tail[start..];
            let lacing = page.get(26).map_or(0, |segments| usize::from(*segments));
            let body = page.get(27..27 + lacing).map(|sizes| sizes.iter().map(|&n| usize::from(n)).sum());
            let last = page.get(5).is_some_and(|flags| flags & 4 != 0);
            last && body.is_some_and(|body: usize| page.len() >= 27 + lacing + body)
        });
        if !complete {
            findings.warnings.push("truncated: the end mark is missing; using what is there".to_owned());
        }
        Ok(())
    }

    fn examine_mp4(&mut self, findings: &mut Findings) -> io::Result<()> {
        let Some(movie) = self.find_box(0, self.len, b"moov")? else {
            findings.unusable = Some("an M4A/MP4 file without its index (the `moov` box)");
            return Ok(());
        };
        if !self.plausible_fragments()? {
            findings.unusable = Some("an M4A/MP4 fragment claims more samples than the file has bytes");
            return Ok(());
        }
        self.shorten_media(findings)?;
        let Some(header) = self.find_box(movie.0, movie.1, b"mvhd")? else { return Ok(()) };
        let movie_scale = self.time_scale(header.0)?;
        let mut next = movie.0;
        for _ in 0..MAX_CHUNKS {
            let Some(track) = self.find_box(next, movie.1, b"trak")? else { break };
            if let Some((number, edit)) = self.track_edit(track, movie_scale)? {
                findings.edits.push((number, edit));
            }
            next = track.1;
        }
        Ok(())
    }

    /// The demuxer counts through a fragment's samples even if none of them can exist: seconds for one forged number.
    fn plausible_fragments(&mut self) -> io::Result<bool> {
        let mut next = 0;
        while let Some((mut fragment, end)) = self.find_box(next, self.len, b"moof")? {
            next = end;
            while let Some((mut track, track_end)) = self.find_box(fragment, end, b"traf")? {
                fragment = track_end;
                while let Some((run, run_end)) = self.find_box(track, track_end, b"trun")? {
                    track = run_end;
                    let samples = self.bytes_at::<4>(run + 4)?.map_or(0, u32::from_be_bytes);
                    if u64::from(samples) > self.len {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// The demuxer ignores a media box that does not end inside the file: gives it the length that is there.
    fn shorten_media(&mut self, findings: &mut Findings) -> io::Result<()> {
        let Some((body, _)) = self.find_box(0, self.len, b"mdat")? else { return Ok(()) };
        // `find_box` clamps the end; the length as written stands 8 or 16 bytes in front of the contents.
        let (short, long) = (self.bytes_at::<8>(body - 8)?, self.bytes_at::<8>(body.saturating_sub(16))?);
        let (start, written) = match (short, long) {
            (Some([a, b, c, d, b'm', b'd', b'a', b't']), _) => {
                (body - 8, u64::from(u32::from_be_bytes([a, b, c, d])))
            }
            (Some(size), Some([0, 0, 0, 1, b'm', b'd', b'a', b't'])) => (body - 16, u64::from_be_bytes(size)),
            _ => return Ok(()),
        };
        let there = self.len - start;
        if written <= there {
            return Ok(());
        }
        if start + 8 == body {
            // There are fewer bytes than a length of 32 bits promised.
            let length = u32::try_from(there).unwrap_or(0);
            self.corrections.push((start, length.to_be_bytes()));
        } else {
            let [a, b, c, d, rest @ ..] = there.to_be_bytes();
            self.corrections.push((start + 8, [a, b, c, d]));
            self.corrections.push((start + 12, rest));
        }
        findings
            .warnings
            .push(format!("truncated: {there} of {written} bytes of samples are there and used"));
        Ok(())
    }

    /// The edit list of one track, if it presents one part of it.
    fn track_edit(&mut self, track: (u64, u64), movie_scale: u32) -> io::Result<Option<(u32, Edit)>> {
        let Some(header) = self.find_box(track.0, track.1, b"tkhd")? else { return Ok(None) };
        // Two dates precede the number: 4 or 8 bytes each.
        let version = self.bytes_at::<1>(header.0)?.unwrap_or_default()[0];
        let number = self.bytes_at::<4>(header.0 + if version == 1 { 20 } else { 12 })?;
        let Some(media) = self.find_box(track.0, track.1, b"mdia")? else { return Ok(None) };
        let Some(media_header) = self.find_box(media.0, media.1, b"mdhd")? else { return Ok(None) };
        let track_scale = self.time_scale(media_header.0)?;
        let Some(edits) = self.find_box(track.0, track.1, b"edts")? else { return Ok(None) };
        let Some(list) = self.find_box(edits.0, edits.1, b"elst")? else { return Ok(None) };
        let Some([version, _, _, _, count @ ..]) = self.bytes_at::<8>(list.0)? else { return Ok(None) };
        let mut parts = Vec::new();
        let mut position = list.0 + 8;
        for _ in 0..u32::from_be_bytes(count).min(64) {
            let (duration, start, size) = if version == 1 {
                let Some([d @ .., a, b, c, e, f, g, h, i]) = self.bytes_at::<16>(position)? else { break };
                (u64::from_be_bytes(d), i64::from_be_bytes([a, b, c, e, f, g, h, i]), 20)
            } else {
                let Some([d @ .., a, b, c, e]) = self.bytes_at::<8>(position)? else { break };
                (u64::from(u32::from_be_bytes(d)), i64::from(i32::from_be_bytes([a, b, c, e])), 12)
            };
            position += size;
            // A start of -1 is an empty edit: silence that moves the track against others.
            if let Ok(start) = u64::try_from(start) {
                parts.push(Edit { start, duration, track_scale, movie_scale });
            }
        }
        Ok(match (number, parts.as_slice()) {
            (Some(number), [edit]) => Some((u32::from_be_bytes(number), *edit)),
            _ => None,
        })
    }

    /// Ticks per second in a `mvhd` or `mdhd` box: after two dates of 4 or 8 bytes each.
    fn time_scale(&mut self, header: u64) -> io::Result<u32> {
        let version = self.bytes_at::<1>(header)?.unwrap_or_default()[0];
        let scale = self.bytes_at::<4>(header + if version == 1 { 20 } else { 12 })?;
        Ok(scale.map_or(0, u32::from_be_bytes))
    }

    /// Start and end of the contents of the first box called `name` between two positions.
    fn find_box(&mut self, mut position: u64, end: u64, name: &[u8; 4]) -> io::Result<Option<(u64, u64)>> {
        for _ in 0..MAX_CHUNKS {
            if position >= end {
                break;
            }
            let Some([s0, s1, s2, s3, kind @ ..]) = self.bytes_at::<8>(position)? else { break };
            let (size, header) = match u32::from_be_bytes([s0, s1, s2, s3]) {
                0 => (end - position, 8),
                1 => (self.bytes_at::<8>(position + 8)?.map_or(0, u64::from_be_bytes), 16),
                size => (u64::from(size), 8),
            };
            let Some(next) = position.checked_add(size).filter(|_| size >= header) else { break };
            if kind == *name {
                return Ok(Some((position + header, next.min(end))));
            }
            position = next;
        }
        Ok(None)
    }

    /// `N` bytes at a position, or `None` beyond the end.
    fn bytes_at<const N: usize>(&mut self, position: u64) -> io::Result<Option<[u8; N]>> {
        if position.checked_add(N as u64).is_none_or(|end| end > self.len) {
            return Ok(None);
        }
        let mut bytes = [0; N];
        self.inner.seek(SeekFrom::Start(position))?;
        match self.inner.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let end = self.position + count as u64;
        for (at, bytes) in &self.corrections {
            for (offset, byte) in (*at..).zip(bytes) {
                if (self.position..end).contains(&offset) {
                    buffer[(offset - self.position) as usize] = *byte;
                }
            }
        }
        self.position = end;
        Ok(count)
    }
}

impl Seek for Source {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        self.position = self.inner.seek(target)?;
        Ok(self.position)
    }
}

impl MediaSource for Source {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_prefers_the_exact_length() {
        let edit = Edit { start: 1024, duration: 499, track_scale: 44_100, movie_scale: 1000 };
        // 499 ms are 22005 samples, the track says 22050: within a millisecond tick of 45.
        assert_eq!(edit.frames(Some(1024 + 22_050), 44_100), (1024, Some(1024 + 22_050)));
        // A real cut is honoured, in the movie's ticks.
        assert_eq!(edit.frames(Some(1024 + 44_100), 44_100), (1024, Some(1024 + 22_005)));
        // With sample ticks the list is exact.
        let exact = Edit { start: 2112, duration: 22_050, track_scale: 44_100, movie_scale: 44_100 };
        assert_eq!(exact.frames(Some(30_000), 44_100), (2112, Some(2112 + 22_050)));
        // No duration: to the end; hostile numbers saturate.
        let open = Edit { start: 7, duration: 0, track_scale: 0, movie_scale: 0 };
        assert_eq!(open.frames(None, 48_000).1, None);
        let hostile = Edit { start: u64::MAX, duration: u64::MAX, track_scale: 1, movie_scale: 1 };
        assert_eq!(hostile.frames(Some(5), 48_000).0, u64::MAX);
    }

    #[test]
    fn corrections_hold_for_any_read_size() {
        let mut source = Source::from_bytes(Arc::from(&[0_u8; 16][..]));
        source.corrections.push((5, *b"abcd"));
        for size in 1..17 {
            source.rewind().unwrap();
            let mut all = Vec::new();
            let mut buffer = vec![0; size];
            loop {
                let count = source.read(&mut buffer).unwrap();
                if count == 0 {
                    break;
                }
                all.extend_from_slice(&buffer[..count]);
            }
            assert_eq!(&all, b"\0\0\0\0\0abcd\0\0\0\0\0\0\0");
        }
    }
}
