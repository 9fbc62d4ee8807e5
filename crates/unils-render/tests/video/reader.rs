//! Reads MP4 files back, by the standard and independently of the writer: boxes, tables, samples.

use std::ops::Range;

use openh264::OpenH264API;
use openh264::decoder::{Decoder, DecoderConfig};
use openh264::formats::YUVSource;
use ropus::{Channels, DecodeMode};

/// A file and its tracks.
pub struct Movie {
    pub bytes: Vec<u8>,
    pub scale: u32,
    pub duration: u32,
    pub tracks: Vec<Track>,
}

/// What the tables of one track say.
#[derive(Debug)]
pub struct Track {
    pub kind: String,
    /// Shown size in pixels.
    pub size: [u32; 2],
    pub scale: u32,
    pub duration: u32,
    /// Duration of the movie's ticks and start in the track's, of each edit.
    pub edits: Vec<(u32, i32)>,
    /// Ticks of every sample.
    pub ticks: Vec<u32>,
    /// Where every sample lies.
    pub samples: Vec<Range<usize>>,
    pub keys: Vec<u32>,
    /// Contents of the sample description.
    pub description: Vec<u8>,
    /// Names of the boxes of the sample table.
    pub tables: Vec<String>,
}

/// A picture in its planes.
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub planes: [Vec<u8>; 3],
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes[at..at + 2].try_into().unwrap())
}

/// Name and contents of each box that lies directly in these bytes, with the place of the contents.
pub fn boxes(bytes: &[u8]) -> Vec<(String, Range<usize>)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let (mut header, mut length) = (8, u32_at(bytes, at) as usize);
        if length == 1 {
            header = 16;
            length = u64::from_be_bytes(bytes[at + 8..at + 16].try_into().unwrap()) as usize;
        }
        assert!(length >= header && at + length <= bytes.len(), "box at {at} of {length} bytes");
        let name = String::from_utf8(bytes[at + 4..at + 8].to_vec()).unwrap();
        found.push((name, at + header..at + length));
        at += length;
    }
    found
}

/// Contents of the first box under a path of names.
pub fn find<'b>(bytes: &'b [u8], path: &[&str]) -> Option<&'b [u8]> {
    path.iter().try_fold(bytes, |bytes, name| {
        boxes(bytes).into_iter().find(|found| found.0 == *name).map(|found| &bytes[found.1])
    })
}

fn table(bytes: &[u8], name: &str) -> Vec<u32> {
    let Some(table) = find(bytes, &[name]) else { return Vec::new() };
    table[8..].chunks_exact(4).map(|entry| u32_at(entry, 0)).collect()
}

impl Movie {
    pub fn read(bytes: Vec<u8>) -> Self {
        let index = find(&bytes, &["moov"]).unwrap();
        let header = find(index, &["mvhd"]).unwrap();
        let (scale, duration) = (u32_at(header, 12), u32_at(header, 16));
        let tracks = boxes(index)
            .into_iter()
            .filter(|found| found.0 == "trak")
            .map(|found| Track::read(&index[found.1]));
        let tracks = tracks.collect();
        Self { scale, duration, tracks, bytes }
    }

    /// Every picture, decoded in file order.
    pub fn pictures(&self) -> Vec<Picture> {
        let track = &self.tracks[0];
        // avcC lies behind the 78 bytes of the visual entry: one set of each kind.
        let config = find(&track.description[78..], &["avcC"]).unwrap();
        let sequence = usize::from(u16_at(config, 6));
        let picture = usize::from(u16_at(config, 9 + sequence));
        let config = [&config[8..8 + sequence], &config[11 + sequence..11 + sequence + picture]];
        let mut decoder = Decoder::with_api_config(OpenH264API::from_source(), DecoderConfig::new()).unwrap();
        let mut pictures = Vec::new();
        for (index, place) in track.samples.iter().enumerate() {
            let mut stream = Vec::new();
            let mut unit = |bytes: &[u8]| {
                stream.extend([0, 0, 0, 1]);
                stream.extend(bytes);
            };
            if index == 0 {
                config.into_iter().for_each(&mut unit);
            }
            let mut sample = &self.bytes[place.clone()];
            while !sample.is_empty() {
                let length = u32_at(sample, 0) as usize;
                unit(&sample[4..4 + length]);
                sample = &sample[4 + length..];
            }
            let frame = decoder.decode(&stream).unwrap().expect("a picture for every sample");
            let ((width, height), strides) = (frame.dimensions(), frame.strides());
            let plane = |bytes: &[u8], stride: usize, width: usize, height: usize| -> Vec<u8> {
                bytes.chunks(stride).take(height).flat_map(|row| row[..width].to_vec()).collect()
            };
            let planes = [
                plane(frame.y(), strides.0, width, height),
                plane(frame.u(), strides.1, width / 2, height / 2),
                plane(frame.v(), strides.2, width / 2, height / 2),
            ];
            pictures.push(Picture { width, height, planes });
        }
        pictures
    }

    /// The decoded sound, interleaved, cut at the track's end.
    pub fn sound(&self) -> Vec<f32> {
        let track = &self.tracks[1];
        let channels = usize::from(u16_at(&track.description, 16));
        let layout = if channels == 1 { Channels::Mono } else { Channels::Stereo };
        let mut decoder = ropus::Decoder::new(48_000, layout).unwrap();
        let mut sound = Vec::new();
        for place in &track.samples {
            let mut block = vec![0.0; 5760 * channels];
            let packet = &self.bytes[place.clone()];
            let count = decoder.decode_float(packet, &mut block, DecodeMode::Normal).unwrap();
            assert_eq!(count, 960, "20 ms a packet");
            sound.extend(&block[..count * channels]);
        }
        assert!(track.edits.is_empty() && track.scale == 48_000);
        sound.truncate(channels * track.duration as usize);
        sound
    }
}

impl Track {
    fn read(track: &[u8]) -> Self {
        let header = find(track, &["tkhd"]).unwrap();
        let media = find(track, &["mdia"]).unwrap();
        let media_header = find(media, &["mdhd"]).unwrap();
        let tables = find(media, &["minf", "stbl"]).unwrap();
        let edits = find(track, &["edts", "elst"]).map_or(Vec::new(), |list| {
            let entries = list[8..].chunks_exact(12);
            entries.map(|entry| (u32_at(entry, 0), u32_at(entry, 4).cast_signed())).collect()
        });
        let ticks = table(tables, "stts")
            .chunks_exact(2)
            .flat_map(|run| std::iter::repeat_n(run[1], run[0] as usize))
            .collect();
        let sizes = table(tables, "stsz")[1..].to_vec();
        Self {
            kind: String::from_utf8(find(media, &["hdlr"]).unwrap()[8..12].to_vec()).unwrap(),
            size: [u32_at(header, 76) >> 16, u32_at(header, 80) >> 16],
            scale: u32_at(media_header, 12),
            duration: u32_at(media_header, 16),
            edits,
            ticks,
            samples: places(&sizes, &table(tables, "stsc"), &table(tables, "stco")),
            keys: table(tables, "stss"),
            // Behind version, flags, count, length and name.
            description: find(tables, &["stsd"]).unwrap()[16..].to_vec(),
            tables: boxes(tables).into_iter().map(|found| found.0).collect(),
        }
    }
}

/// Where samples lie, from their sizes, runs of equal chunks and starts of chunks.
fn places(sizes: &[u32], runs: &[u32], chunks: &[u32]) -> Vec<Range<usize>> {
    let (mut places, mut sizes) = (Vec::new(), sizes.iter());
    for (index, start) in chunks.iter().enumerate() {
        let run = runs.chunks_exact(3).rfind(|run| run[0] as usize <= index + 1).unwrap();
        let mut at = *start as usize;
        for _ in 0..run[1] {
            let size = sizes.next().expect("a chunk holds as many samples as it says");
            places.push(at..at + *size as usize);
            at += *size as usize;
        }
    }
    assert!(sizes.next().is_none(), "samples without a chunk");
    places
}
