//! How long a training step takes on the CPU, against its matrix products alone.
//!
//! `cargo bench --workspace --bench step [-- --json] [--case NAME] [--rounds N]`, for each stage of each preset. A step is the forward pass, the backward pass,
//! clipping, AdamW and the moving average, on noise and random weights. Beside it run exactly the products that the
//! step needs, as counted from the sizes, on memory that is there already: linear layers forward, by input and by
//! weight where gradients pass, two products forward and four backward for each attention, all keys seen by all
//! queries; the codec's resampling is not counted. The ratio says what everything else costs. Best of the rounds.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints, and stops when it cannot run"
)]

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;
use unils::codec::{Codec, CodecConfig};
use unils::generator::{Generator, GeneratorConfig};
use unils::model::{EncoderKind, ModelConfig};
use unils::nn::matrix::{Matrix, MatrixMut, Share, multiply};
use unils::nn::{AdapterConfig, Loader, RandomWeights, TrainingPlan};
use unils_train::loss::{CodecLoss, CodecWeights, GeneratorBatch, generator_loss, pose_channels};
use unils_train::masks::{Masks, Spoiling};
use unils_train::optim::{AdamW, Average, GradientMap, Optimizer};
use unils_train::plan::dual_track_role;
use unils_train::recipe::{Recipe, Stage, model_of_stage};

/// Presets, and how many windows of a stage's batch are taken; the large ones would fill the memory.
const PRESETS: [(&str, usize); 4] = [("tiny", 64), ("arkit_small", 64), ("paper_small", 4), ("paper", 2)];

/// A stage of a preset.
struct Case {
    name: String,
    stage: Stage,
    model: ModelConfig,
    /// Windows of a step: of `dual_track` two for each dyad.
    batch: usize,
    adapter: AdapterConfig,
}

impl Case {
    /// All stages of all presets.
    fn all() -> Vec<Self> {
        let stages = |&(preset, most): &(&str, usize)| {
            [Stage::Codec, Stage::AudioFree, Stage::DualTrack].map(|stage| {
                let (model, recipe) = (ModelConfig::preset(preset), Recipe::preset(preset));
                let model = model.and_then(|model| model_of_stage(&model, stage)).expect("presets are valid");
                let recipe =
                    recipe.expect("presets are valid").stage(stage).expect("and have these stages").clone();
                let people = if stage == Stage::DualTrack { 2 } else { 1 };
                let batch = (people * recipe.batch).min(most);
                Self { name: format!("{preset} {stage}"), stage, model, batch, adapter: recipe.adapter }
            })
        };
        PRESETS.iter().flat_map(stages).collect()
    }

    /// Frames of a window.
    fn window(&self) -> usize {
        self.model.codec.schedule.last().copied().unwrap_or_default()
    }

    /// Audio features of a window.
    fn features(&self) -> usize {
        match self.model.encoder.as_ref().map(|encoder| encoder.kind) {
            Some(EncoderKind::Wav2Vec2) => 2 * self.window() - 1,
            _ => 2 * self.window(),
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    let rounds: usize = value("--rounds").and_then(|text| text.parse().ok()).unwrap_or(5);
    let wanted = value("--case").map_or("", String::as_str);
    let is_json = arguments.iter().any(|argument| argument == "--json");
    let mut rows = Vec::new();
    if !is_json {
        println!("CPU, single precision; times in ms");
        print!("| case | windows | parameters | threads | forward | backward | update | step ");
        println!("| products | ratio | GFLOP | products GFLOP/s |");
        println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    }
    for case in Case::all().iter().filter(|case| case.name.contains(wanted)) {
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
            let products = products(case);
            let gflop = products.iter().map(Product::flop).sum::<f64>() / 1e9;
            let Measured { parts, products, parameters } = pool.install(|| measure(case, &products, rounds));
            let step: f64 = parts.iter().sum();
            let ratio = step / products;
            if !is_json {
                let [forward, backward, update] = parts.map(|seconds| seconds * 1e3);
                print!("| {} | {} | {parameters} | {threads} ", case.name, case.batch);
                print!("| {forward:.1} | {backward:.1} | {update:.1} | {:.1} ", step * 1e3);
                println!("| {:.1} | {ratio:.2} | {gflop:.1} | {:.0} |", products * 1e3, gflop / products);
            }
            rows.push(serde_json::json!({
                "case": case.name, "windows": case.batch, "parameters": parameters, "threads": threads,
                "forward_s": parts[0], "backward_s": parts[1], "update_s": parts[2], "step_s": step,
                "products_s": products, "ratio": ratio, "gflop": gflop,
            }));
        }
    }
    if is_json {
        println!(
            "{}",
            serde_json::json!({ "bench": "step", "device": "cpu", "rounds": rounds, "cases": rows })
        );
    }
}

/// Best times in seconds.
struct Measured {
    /// Forward, backward and update of the best step.
    parts: [f64; 3],
    products: f64,
    /// Trained numbers.
    parameters: usize,
}

/// Measures steps and their products by turns.
fn measure(case: &Case, products: &[Product], rounds: usize) -> Measured {
    let mut memory = Memory::of(products);
    let mut alternate = |parameters: usize, step: &mut dyn FnMut() -> [f64; 3]| {
        let mut best = Measured { parts: [f64::INFINITY; 3], products: f64::INFINITY, parameters };
        for round in 0..=rounds {
            let parts = step();
            let started = Instant::now();
            products.iter().for_each(|product| product.run(&mut memory));
            let products = started.elapsed().as_secs_f64();
            // The first round is there to warm up.
            if round > 0 {
                best.products = best.products.min(products);
                if parts.iter().sum::<f64>() < best.parts.iter().sum() {
                    best.parts = parts;
                }
            }
        }
        best
    };
    let device = Device::flex();
    let weights = RandomWeights { seed: 1 };
    let (codec, window) = (&case.model.codec, case.window());
    let motion = |seed| noise([case.batch, window, codec.motion_dim], seed);
    match &case.model.generator {
        None => {
            let plan = TrainingPlan::everything();
            let loader = Loader::for_training(&weights, &device, true, &plan);
            let codec = Codec::load(codec, &loader).expect("sizes fit");
            let truth = motion(1);
            let mut training = Training::new(codec);
            alternate(training.parameters(), &mut || {
                training.step(|codec, _| {
                    let quantized = codec.quantizer().quantize(codec.encode(truth.clone()));
                    let predicted = codec.decode(quantized.sum.clone());
                    let weights = CodecWeights::default();
                    CodecLoss::of_motion(
                        codec,
                        &weights,
                        &truth,
                        &predicted,
                        &quantized,
                        &pose_channels(case.model.space),
                    )
                    .total()
                })
            })
        }
        Some(sizes) => {
            let plan = match case.stage {
                Stage::DualTrack => TrainingPlan::new(dual_track_role, case.adapter),
                _ => TrainingPlan::everything(),
            };
            let loader = Loader::for_training(&weights, &device, true, &plan);
            let generator = Generator::load(sizes, codec, &loader).expect("sizes fit");
            let voice = |audio, seed| noise([case.batch, case.features(), audio], seed);
            let batch = GeneratorBatch {
                motion: motion(1),
                previous: motion(2),
                style: motion(3),
                voices: sizes.audio_dim.map(|audio| [voice(audio, 4), voice(audio, 5)]),
            };
            let mut training = Training::new(generator);
            alternate(training.parameters(), &mut || {
                training.step(|generator, step| {
                    let mut masks = Masks::new(0, step, &device);
                    generator_loss(generator, &batch, &Spoiling::default(), &mut masks)
                })
            })
        }
    }
}

/// A module and what moves it.
struct Training<M> {
    module: Option<M>,
    optimizer: Optimizer,
    average: Average,
}

impl<M: Module> Training<M> {
    fn new(module: M) -> Self {
        let average = Average::new(0.999, &module);
        Self { module: Some(module), optimizer: Optimizer::new(AdamW::default()), average }
    }

    fn parameters(&self) -> usize {
        self.average.state().map(|(_, values)| values.len()).sum()
    }

    /// A step; seconds of its forward pass, its backward pass and what follows.
    fn step(&mut self, loss: impl FnOnce(&M, u64) -> Tensor<1>) -> [f64; 3] {
        let started = Instant::now();
        let module = self.module.take().expect("each step puts the module back");
        let loss = loss(&module, self.optimizer.steps());
        assert!(loss.clone().into_scalar::<f32>().is_finite(), "the loss is a number");
        let forward = started.elapsed();
        let gradients = loss.backward();
        let backward = started.elapsed();
        let gradients = GradientMap::of(&module, gradients);
        let norm = gradients.norm();
        let module = self.optimizer.step(module, gradients.clip(norm, 1.0), 1e-4);
        self.average.update(&module);
        self.module = Some(module);
        [forward, backward - forward, started.elapsed() - backward].map(|part| part.as_secs_f64())
    }
}

fn noise(shape: [usize; 3], seed: u32) -> Tensor<3> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// A part of the step's arithmetic.
#[derive(Debug, Clone, Copy)]
enum Product {
    /// `rows` times a matrix `inputs` by `outputs`, and the gradients that are wanted.
    Linear { rows: usize, inputs: usize, outputs: usize, by_input: bool, by_weight: bool },
    /// Attention of `tasks` heads of `width` channels.
    Attention { tasks: usize, queries: usize, keys: usize, width: usize, backward: bool },
}

/// The products of a step, one after the other.
fn products(case: &Case) -> Vec<Product> {
    let mut list = Vec::new();
    let CodecConfig { motion_dim, width, heads, depth, code_width, ref schedule, .. } = case.model.codec;
    let tokens = schedule.iter().sum::<usize>();
    let window = case.window();
    let frames = case.batch * window;
    let mut half = |inputs, outputs, trained| {
        let mut add = |inputs, outputs, by_input| {
            let by_weight = trained;
            list.push(Product::Linear { rows: frames, inputs, outputs, by_input, by_weight });
        };
        add(inputs, width, trained && inputs == code_width);
        for _ in 0..depth {
            for [inputs, outputs] in
                [[width, 3 * width], [width, width], [width, width * 3 / 2], [width * 3 / 2, width]]
            {
                add(inputs, outputs, trained);
            }
        }
        add(width, outputs, trained);
        let tasks = case.batch * heads;
        let attention = Product::Attention {
            tasks,
            queries: window,
            keys: window,
            width: width / heads,
            backward: trained,
        };
        list.extend(std::iter::repeat_n(attention, depth));
    };
    let Some(GeneratorConfig { width, heads, depth, audio_dim, .. }) = case.model.generator else {
        half(motion_dim, code_width, true);
        half(code_width, motion_dim, true);
        return list;
    };
    (0..3).for_each(|_| half(motion_dim, code_width, false));
    let sequence = 2 * window + tokens;
    let rows = case.batch * sequence;
    let mut linear = |rows, inputs, outputs, by_input: bool, is_voice: bool| {
        let has_adapter = audio_dim.is_some() && !is_voice;
        list.push(Product::Linear { rows, inputs, outputs, by_input, by_weight: !has_adapter });
        if has_adapter {
            list.push(Product::Linear {
                rows,
                inputs,
                outputs: case.adapter.rank,
                by_input,
                by_weight: true,
            });
            list.push(Product::Linear {
                rows,
                inputs: case.adapter.rank,
                outputs,
                by_input: true,
                by_weight: true,
            });
        }
    };
    linear(rows - case.batch, code_width, width, false, false);
    for _ in 0..depth {
        linear(rows, width, 3 * width, true, false);
        for [inputs, outputs] in [[width, width], [width, 4 * width], [4 * width, width]] {
            linear(rows, inputs, outputs, true, false);
        }
        if let Some(audio) = audio_dim {
            for _ in 0..2 {
                linear(rows, width, width, true, true);
                linear(rows, width, width, true, true);
                linear(case.batch * case.features(), audio, width, true, true);
                linear(case.batch * case.features(), audio, width, true, true);
            }
        }
    }
    linear(case.batch * tokens, width, 2 * code_width, true, false);
    let attention = |keys| Product::Attention {
        tasks: case.batch * heads,
        queries: sequence,
        keys,
        width: width / heads,
        backward: true,
    };
    for _ in 0..depth {
        list.push(attention(sequence));
        if audio_dim.is_some() {
            list.extend([attention(case.features()); 2]);
        }
    }
    list
}

impl Product {
    /// Floating-point operations, all its products together.
    fn flop(&self) -> f64 {
        match *self {
            Self::Linear { rows, inputs, outputs, by_input, by_weight } => {
                2.0 * (rows * inputs * outputs * (1 + usize::from(by_input) + usize::from(by_weight))) as f64
            }
            Self::Attention { tasks, queries, keys, width, backward } => {
                2.0 * (tasks * queries * keys * width * if backward { 6 } else { 2 }) as f64
            }
        }
    }

    fn run(&self, memory: &mut Memory) {
        match *self {
            Self::Linear { rows, inputs, outputs, by_input, by_weight } => {
                let [x, w, y] = [&memory.x, &memory.w, &memory.y];
                let (x, w) = (Matrix::new(x, [rows, inputs]), Matrix::new(w, [inputs, outputs]));
                let y = Matrix::new(y, [rows, outputs]);
                let out = &mut memory.out;
                multiply(&mut MatrixMut::new(out, [rows, outputs]), x, w, 1.0, Share::Pool);
                if by_input {
                    multiply(&mut MatrixMut::new(out, [rows, inputs]), y, w.transposed(), 1.0, Share::Pool);
                }
                if by_weight {
                    multiply(
                        &mut MatrixMut::new(out, [inputs, outputs]),
                        x.transposed(),
                        y,
                        1.0,
                        Share::Pool,
                    );
                }
            }
            Self::Attention { tasks, queries, keys, width, backward } => {
                let [q, k, scores] = [&memory.x, &memory.y, &memory.w];
                let (q, k) = (Matrix::new(q, [queries, width]), Matrix::new(k, [keys, width]));
                let s = Matrix::new(scores, [queries, keys]);
                let task = |out: &mut [f32]| {
                    multiply(&mut MatrixMut::new(out, [queries, keys]), q, k.transposed(), 1.0, Share::One);
                    multiply(&mut MatrixMut::new(out, [queries, width]), s, k, 1.0, Share::One);
                    if backward {
                        let by_key = &mut MatrixMut::new(out, [keys, width]);
                        multiply(by_key, s.transposed(), q, 1.0, Share::One);
                        multiply(by_key, s.transposed(), q, 1.0, Share::One);
                        multiply(
                            &mut MatrixMut::new(out, [queries, keys]),
                            q,
                            k.transposed(),
                            1.0,
                            Share::One,
                        );
                        multiply(&mut MatrixMut::new(out, [queries, width]), s, k, 1.0, Share::One);
                    }
                };
                let place = queries * keys.max(width);
                memory.out[..tasks * place].par_chunks_mut(place).for_each(task);
            }
        }
    }
}

/// Operands and results, large enough for all products.
struct Memory {
    x: Vec<f32>,
    w: Vec<f32>,
    y: Vec<f32>,
    out: Vec<f32>,
}

impl Memory {
    fn of(products: &[Product]) -> Self {
        let mut sizes = [0; 4];
        for product in products {
            let here = match *product {
                Product::Linear { rows, inputs, outputs, .. } => {
                    let (x, w, y) = (rows * inputs, inputs * outputs, rows * outputs);
                    [x, w, y, x.max(w).max(y)]
                }
                Product::Attention { tasks, queries, keys, width, .. } => {
                    [queries * width, queries * keys, keys * width, tasks * queries * keys.max(width)]
                }
            };
            for (size, here) in sizes.iter_mut().zip(here) {
                *size = here.max(*size);
            }
        }
        let [x, w, y, out] = sizes.map(|size| vec![0.5; size]);
        Self { x, w, y, out }
    }
}
