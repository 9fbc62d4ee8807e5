//! A look at what the averaged weights make of a recording that they were not trained on.

use burn::tensor::{Tensor, TensorData};
use unils::Result;
use unils::generator::{CausalGenerator, CausalStream, Generator, STYLE_ROWS, Sampling, Start, StreamStart};
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
    let window = task.window().min(LONGEST);
    let windows = (whole.frames.min(LONGEST) / window).max(1);
    let frames = (windows * window).min(whole.frames);
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
        Net::Causal(generator) => {
            let audio = whole_audio(whole, frames);
            stream(task, generator, whole, &audio, frames, seed)?
        }
        Net::Generator(generator) => {
            let audio = whole_audio(whole, frames);
            generate(task, generator, whole, &audio, frames, seed)?
        }
    };
    let motion = |values| Motion::new(task.space(), FPS, whole.people, values, MotionMeta::new());
    let (truth, made) = (motion(truth)?, motion(made)?);
    Ok(Some(Sample { step, recording: whole.name.clone(), truth, made }))
}

/// Each person's audio of the sample; none without audio.
fn whole_audio(whole: &Whole, frames: usize) -> Vec<Vec<f32>> {
    let tracks = whole.audio.chunks_exact(whole.frames * SAMPLES_PER_FRAME);
    tracks.map(|track| track[..frames * SAMPLES_PER_FRAME].to_vec()).collect()
}

/// Motion of a block-causal generator, `(P, frames, M)`.
fn stream(
    task: &Task,
    generator: &CausalGenerator,
    whole: &Whole,
    audio: &[Vec<f32>],
    frames: usize,
    seed: u64,
) -> Result<Vec<f32>> {
    let (window, width) = (generator.codec().window(), task.space().width());
    let style = |person: usize| whole.style[person * STYLE_ROWS * width..][..STYLE_ROWS * width].to_vec();
    let begin = |person: usize| {
        let participant = person as u64;
        generator.begin_stream(&StreamStart {
            style: Some(style(person)),
            is_guided: false,
            seed,
            participant,
        })
    };
    let mut streams = (0..whole.people).map(begin).collect::<Result<Vec<_>>>()?;
    let look_ahead = generator.layout().config().look_ahead;
    let voices = match audio {
        [first, second] => {
            let silence = vec![0.0; look_ahead * SAMPLES_PER_FRAME];
            let padded = [first, second].map(|track| [track.as_slice(), &silence].concat());
            Some(task.hear(&padded[0], &padded[1], 1)?)
        }
        _ => None,
    };
    let mut people = vec![Vec::with_capacity(frames * width); whole.people];
    for start in (0..frames).step_by(window) {
        let mut all: Vec<&mut CausalStream> = streams.iter_mut().collect();
        if let Some(voices) = &voices {
            let heard = all[0].heard() as usize;
            let new = start + window + look_ahead - heard;
            generator.hear(&mut all, &voices.each_ref().map(|voice| voice.clone().narrow(1, heard, new)))?;
        }
        let motion =
            generator.step(&mut all, &vec![Sampling { cfg: 1.0, ..Sampling::default() }; whole.people])?;
        let parts = people.iter_mut().zip(motion.chunks_exact(window * width));
        parts.for_each(|(person, part)| person.extend_from_slice(part));
    }
    Ok(people.concat())
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
