//! Times each stage of one 4 s window at full size, and the parts of the encoder, on random weights.
//!
//! `cargo bench --bench stages [-- THREADS]`; prints a table. `unils bench` measures whole dialogues.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints, and stops when it cannot run"
)]

use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use unils::device::{DeviceKind, set_threads};
use unils::encoder::Encoder;
use unils::generator::{Sampling, Start};
use unils::model::{Model, ModelConfig, Network};
use unils::nn::cpu;

const ROUNDS: usize = 5;

/// Best of several rounds, in milliseconds.
fn best<R>(mut work: impl FnMut() -> R) -> f64 {
    let round = |_| {
        let started = Instant::now();
        work();
        started.elapsed().as_secs_f64() * 1e3
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

fn row(name: &str, milliseconds: f64, gflop: f64) {
    println!("| {name:<44} | {milliseconds:>9.2} | {gflop:>8.2} | {:>8.1} |", gflop / milliseconds * 1e3);
}

fn main() {
    let threads = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(2);
    set_threads(threads).expect("threads are set once");
    let config = ModelConfig::preset("paper").expect("a preset that ships");
    let model = Model::random(&config, 1, DeviceKind::Cpu).expect("random weights fit");
    let Some(Encoder::Wav2Vec2(encoder)) = model.encoder() else { return };
    let device = model.device();
    let noise = |count: usize| -> Vec<f32> {
        (0..count).map(|i| ((i * 7919) % 2003) as f32 / 1001.0 - 1.0).collect()
    };
    let tensor = |shape: [usize; 3]| -> Tensor<3> {
        Tensor::from_data(TensorData::new(noise(shape.iter().product()), shape), device)
    };
    println!("{} threads, {}, two tracks or participants, one window", threads, cpu::kernel_name());
    println!("| stage | ms | GFLOP | GFLOP/s |\n|---|---|---|---|");
    let waves: Tensor<2> = Tensor::from_data(TensorData::new(noise(128_000), [2, 64_000]), device);
    let mut x: Tensor<3> = waves.clone().unsqueeze_dim(2);
    let mut channels = 1;
    for (index, kernel) in [10, 3, 3, 3, 3, 2, 2].into_iter().enumerate() {
        let time = best(|| encoder.convolution(index, x.clone()));
        x = encoder.convolution(index, x);
        let gflop = 2.0 * (x.dims()[0] * x.dims()[1] * 512 * channels * kernel) as f64 / 1e9;
        row(&format!("encoder: convolution {index}, norm, GELU"), time, gflop);
        channels = 512;
    }
    let x = tensor([2, 199, 1024]);
    let positions = 2.0 * (398.0 * 1024.0 * 64.0 * 128.0) / 1e9;
    row("encoder: positional convolution", best(|| encoder.positions(x.clone())), positions);
    let layer = 2.0 * (398.0 * 12.0 * 1024.0 * 1024.0 + 4.0 * 199.0 * 199.0 * 1024.0) / 1e9;
    row("encoder: one layer of 24", best(|| encoder.layer(0, x.clone())), layer);
    let whole = 39.3 + positions + 24.0 * layer;
    row("encoder: whole (about)", best(|| encoder.forward(waves.clone())), whole);

    let Network::Windowed(generator) = model.network() else { return };
    let features = tensor([2, 199, 1024]);
    let voices = [features.clone(), features];
    let sampling = Sampling::default();
    let state = generator.begin(2, &Start::default());
    let mut bits = None;
    let time = best(|| {
        bits = Some(
            generator
                .sample_bits(&mut state.clone(), Some(&voices), &sampling, &mut |_| ())
                .expect("the CPU answers"),
        );
    });
    row("generator: bits of a window (about)", time, 110.0);
    let Some(bits) = bits else { return };
    let time = best(|| generator.close_window(&mut state.clone(), bits.clone()));
    row("codec: decode and encode a window (about)", time, 11.8);
}
