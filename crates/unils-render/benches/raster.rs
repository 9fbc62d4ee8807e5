//! Times the renderer on heads of the sizes in use, with posing, normals and shadows.
//!
//! `cargo bench -p unils-render --bench raster [-- THREADS]`; prints frames a second at 512 x 512.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark prints, and stops when it cannot run"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Instant;

use unils::face::{DefaultLook, Face, default_head};
use unils_render::Image;
use unils_render::raster::{FaceRenderer, RenderOptions};

const FRAMES: usize = 100;

fn main() {
    let threads = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(2);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("threads are set once");
    println!("{threads} threads, 512 x 512\n");
    println!("| head | vertices | triangles | prepare ms | best ms | mean ms | frames/s of best |");
    println!("|------|---------:|----------:|-----------:|--------:|--------:|-----------------:|");
    let balls = [60, 87, 186].map(|detail| ("ball", common::ball_head(detail, false)));
    let ours = default_head(DefaultLook::A).expect("the library's own head is sound");
    for (name, head) in balls.into_iter().chain([("ours", ours)]) {
        let started = Instant::now();
        let mut renderer = FaceRenderer::new(&head, &RenderOptions::default()).expect("a sound head");
        let prepare = started.elapsed().as_secs_f64() * 1e3;
        let mut image = Image::default();
        let mut times = Vec::new();
        for step in 0..FRAMES {
            let mut frame = [0.0; 55];
            frame[17] = (step % 20) as f32 / 20.0;
            frame[52] = (step % 30) as f32 / 60.0 - 0.25;
            let started = Instant::now();
            renderer.render(&frame, &mut image).expect("a frame of the right width");
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        let (best, mean) =
            (times.iter().copied().fold(f64::MAX, f64::min), times.iter().sum::<f64>() / FRAMES as f64);
        let (vertices, triangles) = (head.mesh().positions.len(), head.mesh().triangles.len());
        let rate = 1e3 / best;
        println!(
            "| {name} | {vertices:>8} | {triangles:>9} | {prepare:>10.0} | {best:>7.2} | {mean:>7.2} | {rate:>16.0} |"
        );
    }
}
