//! A look at what the averaged weights make of a recording that they were not trained on.

use burn::tensor::{Tensor, TensorData};
use unils::Result;
use unils::generator::{Generator, Sampling, Start};
use unils::motion::{FPS, Motion, MotionMeta, SAMPLES_PER_FRAME};

use super::task::{Net, Task};
use crate::data::Whole;

/// Longest sample, in frames.
const LONGEST: usize = 250;

/// True and made motion of the same stretch of a recording.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Steps done.
    pub step: u64,
    /// The recording's name.
    pub recording: String,
    /// What was recorded.
    pub truth: Motion,
    /// What the model makes: the codec's reconstruction, or generated motion.
    pub made: Motion,
}

/// The recording's beginning, in whole windows.
///
/// None of a speech encoder, which makes no motion.
pub(super) fn sample(task: &Task, net: &Net, whole: &Whole, step: u64, seed: u64) -> Result<Option<Sample>> {
    let width = task.space().width();
    let windows = (whole.frames.min(LONGEST) / task.window()).max(1);
    let frames = (windows * task.window()).min(whole.frames);
    let rows = |values: &[f32], person: usize, length: usize| {
        values[person * length..(person + 1) * length][..frames * (length / whole.frames)].to_vec()
    };
    let mut truth = Vec::new();
    for person in 0..whole.people {
        truth.extend(rows(&whole.motion, person, whole.frames * width));
    }
    let made = match net {
        Net::Speech(_) => return Ok(None),
        Net::Codec(codec) => {
            let data = TensorData::new(truth.clone(), [whole.people, frames, width]);
            values(codec.reconstruct(Tensor::from_data(data, task.device())).0)
        }
        Net::Causal(_) => truth.clone(),
        Net::Generator(generator) => {
            let audio: Vec<Vec<f32>> = (0..whole.audio.len() / (whole.frames * SAMPLES_PER_FRAME))
                .map(|person| rows(&whole.audio, person, whole.frames * SAMPLES_PER_FRAME))
                .collect();
            generate(task, generator, whole, &audio, frames, seed)?
        }
    };
    let motion = |values| Motion::new(task.space(), FPS, whole.people, values, MotionMeta::new());
    let (truth, made) = (motion(truth)?, motion(made)?);
    Ok(Some(Sample { step, recording: whole.name.clone(), truth, made }))
}

/// Generated motion, `(P, frames, M)`.
fn generate(
    task: &Task,
    generator: &Generator,
    whole: &Whole,
    audio: &[Vec<f32>],
    frames: usize,
    seed: u64,
) -> Result<Vec<f32>> {
    let (window, width, device) = (task.window(), task.space().width(), task.device());
    let style = TensorData::new(whole.style.clone(), [whole.people, window, width]);
    let start = Start { style: Some(Tensor::from_data(style, device)), seed, ..Start::default() };
    let mut state = generator.begin(whole.people, &start);
    let mut parts = Vec::new();
    for begin in (0..frames).step_by(window) {
        let samples = begin * SAMPLES_PER_FRAME..(begin + window) * SAMPLES_PER_FRAME;
        let track = |person: &Vec<f32>| {
            let mut wave = person[samples.start.min(person.len())..samples.end.min(person.len())].to_vec();
            wave.resize(samples.len(), 0.0);
            wave
        };
        let voices = match audio {
            [first, second] => Some(task.hear(&track(first), &track(second), 1)?),
            _ => None,
        };
        parts.push(generator.generate_window(&mut state, voices.as_ref(), &Sampling::default())?.motion);
    }
    let all = Tensor::cat(parts, 1);
    Ok(values(all.narrow(1, 0, frames)))
}

fn values(tensor: Tensor<3>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().iter().collect()
}
