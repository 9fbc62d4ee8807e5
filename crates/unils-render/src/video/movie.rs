//! The index of an MP4 file: the `moov` box (ISO/IEC 14496-12), with H.264 after ISO/IEC 14496-15 and Opus after
//! "Encapsulation of Opus in ISO Base Media File Format" 0.8.1.
//!
//! Dates are zero, so that the same content makes the same bytes.

use super::boxes::{boxed, full_box, u16s, u32s};
use super::opus::OPUS_RATE;
use super::track::{Media, Track};

/// Ticks a second of the movie's own clock: whole numbers for audio samples and frames at the usual rates.
pub(super) const MOVIE_SCALE: u32 = 48_000;
/// The number one in 16.16 and in 2.30 fixed point.
const ONE_16: u32 = 1 << 16;
const ONE_30: u32 = 1 << 30;
/// The matrix that shows a track as it is.
const IDENTITY: [u32; 9] = [ONE_16, 0, 0, 0, ONE_16, 0, 0, 0, ONE_30];
/// "und", undetermined, in three times five bits.
const LANGUAGE: u16 = 0x55c4;
/// Number of code points for BT.709: primaries, transfer, matrix.
const BT709: [u16; 3] = [1, 1, 1];
/// Packets that an Opus decoder needs before its output is right after a jump: 80 ms.
const OPUS_ROLL: i16 = -4;

/// The first bytes of the file.
pub(super) fn file_type() -> Vec<u8> {
    let mut out = Vec::new();
    boxed(&mut out, b"ftyp", |out| {
        out.extend(b"isom");
        u32s(out, &[0x200]);
        out.extend(b"isomiso2avc1mp41");
    });
    out
}

/// The whole index.
pub(super) fn movie(tracks: &[Track]) -> Vec<u8> {
    let mut out = Vec::new();
    boxed(&mut out, b"moov", |out| {
        full_box(out, b"mvhd", 0, 0, |out| {
            let longest = tracks.iter().map(movie_ticks).max().unwrap_or(0);
            u32s(out, &[0, 0, MOVIE_SCALE, longest, ONE_16]);
            u16s(out, &[0x100, 0, 0, 0, 0, 0]);
            u32s(out, &IDENTITY);
            u32s(out, &[0; 6]);
            u32s(out, &[tracks.len() as u32 + 1]);
        });
        for (index, track) in tracks.iter().enumerate() {
            boxed(out, b"trak", |out| track_contents(out, index as u32 + 1, track));
        }
    });
    out
}

/// How long a track is shown, on the movie's clock. The writer keeps it within 32 bits.
fn movie_ticks(track: &Track) -> u32 {
    (track.length * u64::from(MOVIE_SCALE) / u64::from(track.scale)) as u32
}

fn track_contents(out: &mut Vec<u8>, number: u32, track: &Track) {
    let (volume, width, height) = match track.media {
        Media::Video { width, height, .. } => (0, u32::from(width), u32::from(height)),
        Media::Audio { .. } => (0x100, 0, 0),
    };
    // Flags: enabled, and part of the movie.
    full_box(out, b"tkhd", 0, 3, |out| {
        u32s(out, &[0, 0, number, 0, movie_ticks(track), 0, 0]);
        u16s(out, &[0, 0, volume, 0]);
        u32s(out, &IDENTITY);
        u32s(out, &[width << 16, height << 16]);
    });
    boxed(out, b"mdia", |out| {
        full_box(out, b"mdhd", 0, 0, |out| {
            u32s(out, &[0, 0, track.scale, track.length as u32]);
            u16s(out, &[LANGUAGE, 0]);
        });
        let (kind, name) = match track.media {
            Media::Video { .. } => (b"vide", b"Video\0"),
            Media::Audio { .. } => (b"soun", b"Audio\0"),
        };
        full_box(out, b"hdlr", 0, 0, |out| {
            u32s(out, &[0]);
            out.extend(kind);
            u32s(out, &[0; 3]);
            out.extend(name);
        });
        boxed(out, b"minf", |out| media_contents(out, track));
    });
}

fn media_contents(out: &mut Vec<u8>, track: &Track) {
    match track.media {
        Media::Video { .. } => full_box(out, b"vmhd", 0, 1, |out| u16s(out, &[0; 4])),
        Media::Audio { .. } => full_box(out, b"smhd", 0, 0, |out| u16s(out, &[0; 2])),
    }
    boxed(out, b"dinf", |out| {
        full_box(out, b"dref", 0, 0, |out| {
            u32s(out, &[1]);
            // Flag: the samples are in this file.
            full_box(out, b"url ", 0, 1, |_| {});
        });
    });
    boxed(out, b"stbl", |out| {
        full_box(out, b"stsd", 0, 0, |out| {
            u32s(out, &[1]);
            description(out, &track.media);
        });
        sample_tables(out, track);
    });
}

/// What a decoder needs to know.
fn description(out: &mut Vec<u8>, media: &Media) {
    match media {
        Media::Video { width, height, sets } => boxed(out, b"avc1", |out| {
            u16s(out, &[0, 0, 0, 1]);
            u32s(out, &[0; 4]);
            u16s(out, &[*width, *height]);
            // 72 dots an inch, one picture a sample, a name of no letters, 24 bits, no colour table.
            u32s(out, &[72 << 16, 72 << 16, 0]);
            u16s(out, &[1]);
            out.extend([0; 32]);
            u16s(out, &[24, u16::MAX]);
            boxed(out, b"avcC", |out| {
                out.push(1);
                out.extend(sets.sequence.get(1..4).unwrap_or(&[0; 3]));
                // Lengths of four bytes; one sequence parameter set.
                out.extend([0xff, 0xe1]);
                u16s(out, &[sets.sequence.len() as u16]);
                out.extend(&sets.sequence);
                out.push(1);
                u16s(out, &[sets.picture.len() as u16]);
                out.extend(&sets.picture);
            });
            boxed(out, b"colr", |out| {
                out.extend(b"nclx");
                u16s(out, &BT709);
                out.push(0); // limited range
            });
            boxed(out, b"pasp", |out| u32s(out, &[1, 1]));
        }),
        Media::Audio { channels } => boxed(out, b"Opus", |out| {
            u16s(out, &[0, 0, 0, 1]);
            u32s(out, &[0; 2]);
            u16s(out, &[*channels, 16, 0, 0]);
            u32s(out, &[OPUS_RATE << 16]);
            boxed(out, b"dOps", |out| {
                out.extend([0, *channels as u8]);
                u16s(out, &[0]); // nothing to skip: the encoder sees to that
                u32s(out, &[OPUS_RATE]);
                // No gain; the channels are one or two in their usual order.
                out.extend([0; 3]);
            });
        }),
    }
}

fn sample_tables(out: &mut Vec<u8>, track: &Track) {
    let samples = track.samples();
    full_box(out, b"stts", 0, 0, |out| {
        let usual = u64::from(samples.saturating_sub(1)) * u64::from(track.sample_ticks);
        let last = track.length.saturating_sub(usual) as u32;
        if last == track.sample_ticks || samples < 2 {
            u32s(out, &[1, samples, last]);
        } else {
            u32s(out, &[2, samples - 1, track.sample_ticks, 1, last]);
        }
    });
    if !track.keys.is_empty() {
        full_box(out, b"stss", 0, 0, |out| {
            u32s(out, &[track.keys.len() as u32]);
            u32s(out, &track.keys);
        });
    }
    let chunks = track.chunks.len() as u32;
    full_box(out, b"stsc", 0, 0, |out| match samples % track.per_chunk {
        0 => u32s(out, &[1, 1, track.per_chunk, 1]),
        rest if chunks == 1 => u32s(out, &[1, 1, rest, 1]),
        rest => u32s(out, &[2, 1, track.per_chunk, 1, chunks, rest, 1]),
    });
    full_box(out, b"stsz", 0, 0, |out| {
        u32s(out, &[0, samples]);
        u32s(out, &track.sizes);
    });
    match track.chunks.iter().map(|place| u32::try_from(*place)).collect::<Result<Vec<_>, _>>() {
        Ok(places) => full_box(out, b"stco", 0, 0, |out| {
            u32s(out, &[chunks]);
            u32s(out, &places);
        }),
        Err(_) => full_box(out, b"co64", 0, 0, |out| {
            u32s(out, &[chunks]);
            out.extend(track.chunks.iter().flat_map(|place| place.to_be_bytes()));
        }),
    }
    if let Media::Audio { .. } = track.media {
        full_box(out, b"sgpd", 1, 0, |out| {
            out.extend(b"roll");
            u32s(out, &[2, 1]);
            out.extend(OPUS_ROLL.to_be_bytes());
        });
        full_box(out, b"sbgp", 0, 0, |out| {
            out.extend(b"roll");
            u32s(out, &[1, samples, 1]);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::h264::ParameterSets;
    use super::*;

    fn names(index: &[u8]) -> Vec<&[u8]> {
        index.windows(4).filter(|name| [b"stco", b"co64"].iter().any(|known| *known == name)).collect()
    }

    #[test]
    fn files_above_4_gib_have_long_places() {
        let mut track = Track::new(Media::Audio { channels: 1 }, 48_000, 960, 2);
        track.sizes = vec![100; 4];
        track.length = 4 * 960;
        track.chunks = vec![1000, u64::from(u32::MAX)];
        assert_eq!(names(&movie(std::slice::from_ref(&track))), [b"stco"]);
        track.chunks[1] += 1;
        let index = movie(&[track]);
        assert_eq!(names(&index), [b"co64"]);
        let at = index.windows(4).position(|name| name == b"co64").unwrap() + 12;
        assert_eq!(index[at..at + 16], [0, 0, 0, 0, 0, 0, 3, 0xe8, 0, 0, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn the_place_for_the_index_is_large_enough() {
        let sets = ParameterSets { sequence: vec![7; 60], picture: vec![8; 20] };
        let mut track = Track::new(Media::Video { width: 9, height: 9, sets }, 12_800, 512, 25);
        for samples in [1_u32, 25, 26, 5000] {
            track.sizes = vec![1; samples as usize];
            track.keys = (1..=samples).collect();
            track.chunks = vec![1 << 40; samples.div_ceil(25) as usize];
            track.length = 512 * u64::from(samples) - 1;
            let mut sound = Track::new(Media::Audio { channels: 2 }, 48_000, 960, 50);
            (sound.sizes, sound.chunks) = (track.sizes.clone(), vec![1 << 40; samples.div_ceil(50) as usize]);
            sound.length = 960 * u64::from(samples) - 1;
            let samples = u64::from(samples);
            let most = track.index_bytes(samples, samples) + sound.index_bytes(samples, 0);
            let length = movie(&[track.clone(), sound]).len() as u64;
            assert!((length..length + 1200).contains(&most), "{most} for {length}");
        }
    }
}
