//! Times the encoding of two faces side by side, and says how large a minute is.
//!
//! `cargo bench --bench video`; prints a table. The pictures are drawn here, before the clock runs: two shaded,
//! textured ovals that nod, turn and speak in front of a plain background.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints, and stops when it cannot run"
)]

use std::io::Cursor;
use std::time::Instant;

use unils_render::video::{AudioOptions, Mp4Writer, VideoOptions, VideoSummary};

const WIDTH: u32 = 1024;
const HEIGHT: u32 = 512;
const FRAMES: usize = 250;
/// Pictures that are made in advance, and shown there and back.
const DRAWN: usize = 50;

/// One of the two heads, at a place relative to its own half; colour or `None` beside it.
fn head(x: f64, y: f64, time: f64) -> Option<[f64; 3]> {
    let (turn, nod) = (0.08 * (1.7 * time).sin(), 0.05 * (2.3 * time).sin());
    let (x, y) = ((x - turn) / 0.55, (y - nod) / 0.72);
    let inside = x * x + y * y;
    if inside > 1.0 {
        return None;
    }
    let depth = (1.0 - inside).sqrt();
    let light = 0.25 + 0.6 * (0.5 * depth - 0.4 * x - 0.5 * y).max(0.0) + 0.2 * depth;
    let pores = 0.02 * ((x + turn) * 90.0).sin() * ((y + nod) * 80.0).cos();
    let open = 0.05 + 0.1 * (9.0 * time).sin().abs();
    let mouth = (x / 0.3).powi(2) + ((y - 0.45) / open).powi(2) < 1.0;
    let eye = ((x.abs() - 0.35) / 0.14).powi(2) + ((y + 0.2) / 0.08).powi(2) < 1.0;
    let colour = if mouth {
        [90.0, 30.0, 30.0]
    } else if eye {
        [235.0; 3]
    } else {
        [225.0, 175.0, 145.0]
    };
    Some(colour.map(|value| value * (light + pores)))
}

fn picture(number: usize) -> Vec<u8> {
    let time = number as f64 / 25.0;
    let mut rgba = Vec::with_capacity((4 * WIDTH * HEIGHT) as usize);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let (half, side) = (f64::from(HEIGHT) / 2.0, f64::from(x / HEIGHT));
            let place = (f64::from(x % HEIGHT) / half - 1.0, f64::from(y) / half - 1.0);
            let background = [48.0 + 20.0 * place.1, 54.0 + 20.0 * place.1, 66.0 + 20.0 * place.1];
            let colour = head(place.0, place.1, time + 0.7 * side).unwrap_or(background);
            rgba.extend(colour.map(|value| value.clamp(0.0, 255.0) as u8));
            rgba.push(255);
        }
    }
    rgba
}

/// Encodes all frames, with or without sound.
fn encode(pictures: &[Vec<u8>], quantizer: u8, sound: Option<&[f32]>) -> VideoSummary {
    let options = VideoOptions { quantizer, ..VideoOptions::new(WIDTH, HEIGHT) };
    let audio = sound.map(|_| AudioOptions::default());
    let mut video =
        Mp4Writer::new(Cursor::new(Vec::new()), &options, audio.as_ref()).expect("options are good");
    for frame in 0..FRAMES {
        let place = frame % (2 * DRAWN - 2);
        let number = if place < DRAWN { place } else { 2 * DRAWN - 2 - place };
        video.push_frame(&pictures[number]).expect("memory takes all");
        if let Some(sound) = sound {
            video.push_audio(&sound[frame * 1920..(frame + 1) * 1920]).expect("memory takes all");
        }
    }
    video.finish().expect("memory takes all").1
}

fn main() {
    let pictures: Vec<Vec<u8>> = (0..DRAWN).map(picture).collect();
    let voice = |n: usize| {
        let time = n as f32 / 48e3;
        let syllable = (time * 4.0 * std::f32::consts::TAU).sin().max(0.0);
        (1..20).map(|k| (time * 120.0 * k as f32 * std::f32::consts::TAU).sin() / k as f32).sum::<f32>()
            * syllable
            * 0.2
    };
    let sound: Vec<f32> = (0..FRAMES * 1920).map(voice).collect();
    println!("{WIDTH}x{HEIGHT}, {FRAMES} frames at 25 a second, one writer on one thread");
    println!("| quantiser | sound | frames/s | ms a frame | MB a minute |\n|---|---|---|---|---|");
    for (quantizer, sound) in [(18, None), (22, None), (26, None), (22, Some(sound.as_slice()))] {
        let started = Instant::now();
        let summary = encode(&pictures, quantizer, sound);
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "| {quantizer} | {} | {:.0} | {:.2} | {:.1} |",
            if sound.is_some() { "Opus" } else { "-" },
            FRAMES as f64 / seconds,
            1e3 * seconds / FRAMES as f64,
            summary.bytes as f64 / summary.seconds * 60.0 / 1e6
        );
    }
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| encode(&pictures, 22, Some(&sound)));
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    println!("two writers on two threads: {:.0} frames/s together", 2.0 * FRAMES as f64 / seconds);
}
