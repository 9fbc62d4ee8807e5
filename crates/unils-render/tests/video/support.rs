//! Pictures and sounds that say where they are.

use std::io::Cursor;

use unils_render::video::{AudioOptions, Mp4Writer, VideoOptions, VideoSummary};

use crate::reader::{Movie, Picture};

/// A colour for each frame number: no two near each other in time are alike.
pub fn colour(frame: usize) -> [u8; 3] {
    [(frame * 37 % 200) as u8 + 20, (frame * 91 % 200) as u8 + 20, (frame * 53 % 200) as u8 + 20]
}

pub fn flat(width: u32, height: u32, [r, g, b]: [u8; 3]) -> Vec<u8> {
    [r, g, b, 255].repeat((width * height) as usize)
}

/// A shaded disc on a gradient, moved by the frame number: edges and smooth parts like a face's.
pub fn disc(width: u32, height: u32, frame: usize) -> Vec<u8> {
    let (cx, cy) = (f64::from(width) * 0.5 + 3.0 * (frame as f64 * 0.3).sin(), f64::from(height) * 0.5);
    let radius = f64::from(width.min(height)) * 0.35;
    let mut rgba = Vec::with_capacity((4 * width * height) as usize);
    for y in 0..height {
        for x in 0..width {
            let (dx, dy) = ((f64::from(x) - cx) / radius, (f64::from(y) - cy) / radius);
            let inside = dx * dx + dy * dy;
            let [r, g, b] = if inside < 1.0 {
                let shade = (1.0 - inside).sqrt() * 0.7 + 0.3 - 0.2 * dx;
                [230.0 * shade, 180.0 * shade, 150.0 * shade]
            } else {
                [40.0 + 60.0 * f64::from(y) / f64::from(height), 60.0, 90.0]
            };
            rgba.extend([r, g, b].map(|value| value.clamp(0.0, 255.0) as u8));
            rgba.push(255);
        }
    }
    rgba
}

/// Luma, blue and red difference of a colour by BT.709's formulas at limited range.
pub fn yuv([r, g, b]: [u8; 3]) -> [f64; 3] {
    let [r, g, b] = [r, g, b].map(|value| f64::from(value) / 255.0);
    let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    [16.0 + 219.0 * y, 128.0 + 224.0 * (b - y) / 1.8556, 128.0 + 224.0 * (r - y) / 1.5748]
}

pub fn means(picture: &Picture) -> [f64; 3] {
    [0, 1, 2].map(|index| {
        let plane = &picture.planes[index];
        plane.iter().map(|value| f64::from(*value)).sum::<f64>() / plane.len() as f64
    })
}

/// A 2 kHz burst of 10 ms that starts at a sample.
pub fn burst(samples: usize, start: usize) -> Vec<f32> {
    let mut sound = vec![0.0; samples];
    for n in 0..480 {
        sound[start + n] = 0.7 * (n as f32 * std::f32::consts::TAU / 24.0).sin();
    }
    sound
}

/// The first sample of a burst: where the envelope passes a quarter of its peak.
pub fn onset(sound: &[f32]) -> usize {
    let peak = sound.iter().fold(0.0, |peak: f32, x| peak.max(x.abs()));
    assert!(peak > 0.2, "no burst: {peak}");
    sound.iter().position(|x| x.abs() > 0.25 * peak).unwrap()
}

/// A video in memory: pictures by frame number, and mono sound in turns with them.
pub fn record(
    options: &VideoOptions,
    frames: usize,
    picture: impl Fn(usize) -> Vec<u8>,
    sound: Option<&[f32]>,
) -> (Vec<u8>, VideoSummary) {
    let audio = sound.map(|_| AudioOptions::default());
    let mut video = Mp4Writer::new(Cursor::new(Vec::new()), options, audio.as_ref()).unwrap();
    let mut pieces = sound.unwrap_or_default().chunks(48_000 / options.frames_per_second as usize);
    for frame in 0..frames {
        video.push_frame(&picture(frame)).unwrap();
        if let Some(piece) = pieces.next() {
            video.push_audio(piece).unwrap();
        }
    }
    let (file, summary) = video.finish().unwrap();
    (file.into_inner(), summary)
}

pub fn read(file: &[u8]) -> Movie {
    Movie::read(file.to_vec())
}

/// A path of this test's own, gone when it is dropped.
pub struct Scratch(pub std::path::PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("unils-video-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
