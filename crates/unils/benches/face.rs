//! Times FLAME's skinning and the conversion to ARKit at full size, on random models.
//!
//! `cargo bench --bench face [-- THREADS]`; prints a table. 1000 frames are a dyad of 20 s.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints, and stops when it cannot run"
)]

use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use unils::device::set_threads;
use unils::face::flame::{FLAME_VERTICES, Flame, FlameArrays, FlameFace, FlameLayer};
use unils::face::transfer::{Correspondence, FitOptions, fit};
use unils::face::{BlendshapeRig, Face, Mesh, Part, Shape};
use unils::motion::{Motion, MotionMeta, Space, Unit};
use unils::nn::cpu;

const ROUNDS: usize = 5;
const FRAMES: usize = 1000;

/// Best of several rounds, in milliseconds.
fn best<R>(mut work: impl FnMut() -> R) -> f64 {
    let round = |_| {
        let started = Instant::now();
        work();
        started.elapsed().as_secs_f64() * 1e3
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

fn row(name: &str, milliseconds: f64, frames: usize) {
    let per_second = frames as f64 / milliseconds * 1e3;
    println!("| {name:<52} | {milliseconds:>9.2} | {per_second:>10.0} |");
}

/// Numbers from -1 to 1.
fn noise(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i.wrapping_mul(2_654_435_761) >> 7) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// A model of FLAME's size: a sheet whose vertices move at random.
fn flame() -> Flame {
    let vertices = FLAME_VERTICES;
    let scaled = |count: usize, factor: f32| noise(count).iter().map(|x| x * factor).collect::<Vec<_>>();
    let position = |v: usize| [(v % 71) as f32 / 500.0, (v / 71) as f32 / 500.0, 0.0];
    let mut j_regressor = vec![0.0; 5 * vertices];
    (0..5).for_each(|joint| j_regressor[joint * vertices + 700 * joint] = 1.0);
    let corners = |v: usize| [v as u32, v as u32 + 1, v as u32 + 71];
    let arrays = FlameArrays {
        v_template: (0..vertices).flat_map(position).collect(),
        f: (0..vertices - 71).flat_map(corners).collect(),
        shapedirs: scaled(3 * 400 * vertices, 0.002),
        posedirs: scaled(3 * 36 * vertices, 0.001),
        j_regressor,
        weights: [0.4, 0.1, 0.5, 0.0, 0.0].repeat(vertices),
        parents: [None, Some(0), Some(1), Some(1), Some(1)],
    };
    Flame::new(arrays, "random FLAME").expect("a sound model")
}

fn head(flame: &Flame) -> BlendshapeRig {
    let channels = Space::Arkit55.channels().iter().filter(|channel| channel.unit == Unit::Coefficient);
    let shapes = channels.enumerate().map(|(index, channel)| Shape {
        name: channel.name.to_owned(),
        vertices: (0..flame.vertices() as u32).collect(),
        deltas: flame.direction(300 + index).collect(),
    });
    let triangles = flame.triangles().to_vec();
    let part = Part { name: "face".to_owned(), triangles: 0..triangles.len(), material: Default::default() };
    let positions = flame.template().to_vec();
    let mesh = Mesh { positions, triangles, parts: vec![part], ..Mesh::default() };
    BlendshapeRig::new(mesh, shapes.collect(), [0.0; 3], Vec::new(), Vec::new(), "random head")
        .expect("a sound head")
}

fn main() {
    let threads = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(2);
    set_threads(threads).expect("threads are set once");
    let flame = flame();
    let motion: Vec<f32> = noise(FRAMES * 108).iter().map(|x| x * 0.5).collect();
    println!("{threads} threads, {}, {FLAME_VERTICES} vertices", cpu::kernel_name());
    println!("| stage | ms | frames/s |\n|---|---|---|");
    row("FLAME: prepare an identity", best(|| FlameFace::new(&flame, &[1.0; 50])), 1);
    let face = FlameFace::new(&flame, &[]).expect("the mean identity");
    let mut positions = Vec::new();
    row(
        "FLAME: 1000 frames, fast path",
        best(|| face.positions(&motion, true, &mut positions).expect("whole frames")),
        FRAMES,
    );
    let mut posed = Vec::new();
    row("FLAME: one frame, fast path", best(|| face.pose(&motion[..108], &mut posed)), 1);
    let device = Device::flex();
    let layer = FlameLayer::new(&flame, &[], &device).expect("the mean identity");
    let batch: Tensor<3> =
        Tensor::from_data(TensorData::new(motion[..100 * 108].to_vec(), [1, 100, 108]), &device);
    row("FLAME: 100 frames, tensors", best(|| layer.forward(batch.clone(), true).into_data()), 100);
    let tracked = batch.autodiff().require_grad();
    row(
        "FLAME: 100 frames, tensors with gradients",
        best(|| layer.forward(tracked.clone(), true).sum().backward()),
        100,
    );
    let options = FitOptions { correspondence: Correspondence::SameOrder, ..FitOptions::default() };
    let started = Instant::now();
    let transfer = fit(&flame, &head(&flame), &options).expect("a head of the same order");
    row("FLAME to ARKit: fit", started.elapsed().as_secs_f64() * 1e3, 1);
    let motion = Motion::new(Space::Flame108, 25.0, 1, motion, MotionMeta::new()).expect("finite motion");
    row("FLAME to ARKit: 1000 frames", best(|| transfer.arkit_from_flame(&motion)), FRAMES);
    let arkit = transfer.arkit_from_flame(&motion).expect("converted");
    row("ARKit to FLAME: 1000 frames", best(|| transfer.flame_from_arkit(&arkit)), FRAMES);
}
