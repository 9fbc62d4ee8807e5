//! The speech stage: an encoder learns what a voice does to a mouth and which sounds it makes.
//!
//! The network is the encoder ([`Speech`]) with three linear heads that the stage alone uses. When feature `t` has come,
//! the end of frame `t` has been heard, and
//!
//! * the *delayed* head tells the mouth at frame `t - 2`: lips move before they are heard, and what follows a sound tells
//!   it apart;
//! * the *immediate* head tells the mouth at frame `t`, which is what a face must show with no delay at all;
//! * the *sounds* head tells the speech sound at frame `t - 1`, pauses among them: own speech is told from silence.
//!
//! A mouth's coefficients are targets of a soft binary cross-entropy: the mean absolute error would learn the median of a
//! rare event, lips that never close. The squared error of frame-to-frame differences stands beside it.

use burn::module::Module;
use burn::tensor::activation::{log_softmax, sigmoid, softplus};
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use unils::encoder::{Speech, SpeechConfig};
use unils::model::ENCODER_PREFIX;
use unils::motion::{Group, Space};
use unils::nn::{Linear, Loader};
use unils::{Error, Result};

use crate::data::{Batch, ClipRule, PAUSE, SOUNDS, UNKNOWN, sound_number};
use crate::timbre::{self, Timbre};

/// Frames of a clip: 4 s.
const CLIP: usize = 100;
/// First feature of a clip that is learnt from: before it, the voice's level is not known yet.
const FIRST: usize = 12;
/// Frames that each head looks back.
const DELAYED: usize = 2;
const IMMEDIATE: usize = 0;
const SOUND_DELAY: usize = 1;
/// Logits of the sounds' head: a pause, and each sound.
const CLASSES: usize = SOUNDS.len() + 1;

/// Weights of the stage's terms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpeechWeights {
    /// The delayed head's cross-entropy, mean over the mouth's channels.
    pub delayed: f64,
    /// The immediate head's.
    pub immediate: f64,
    /// Squared error of frame-to-frame differences; of each head as much as that head's cross-entropy counts.
    pub velocity: f64,
    /// Cross-entropy of the sounds.
    pub sounds: f64,
}

impl Default for SpeechWeights {
    /// Means over some thirty channels, of which most are still, are small beside the sounds' cross-entropy.
    fn default() -> Self {
        Self { delayed: 3.0, immediate: 0.9, velocity: 5.0, sounds: 0.4 }
    }
}

/// The clips of the stage.
pub fn clip_rule() -> ClipRule {
    ClipRule { previous: 0, style: 0, ..ClipRule::release(CLIP) }
}

/// The channels that a voice moves: jaw, lips, tongue and puffed cheeks.
///
/// # Errors
/// [`Error::Config`] for a space whose channels are not parts of a face.
pub fn mouth_channels(space: Space) -> Result<Vec<usize>> {
    if space != Space::Arkit55 {
        let error =
            Error::config("space", format!("{space} has no curves of the mouth for the speech stage"));
        return Err(error.with_hint("it trains on ARKit motion"));
    }
    let channels = space.channels().iter().enumerate();
    let is_mouth = |group| matches!(group, Group::Jaw | Group::Mouth | Group::Tongue);
    let of_mouth = channels.filter(|(_, channel)| is_mouth(channel.group) || channel.name == "cheekPuff");
    Ok(of_mouth.map(|(index, _)| index).collect())
}

/// The encoder with its heads.
#[derive(Module, Debug)]
pub struct SpeechNet {
    encoder: Speech,
    delayed: Linear,
    immediate: Linear,
    sounds: Linear,
}

/// What the heads say, `(B, S, ...)` each: logits of the mouth's channels, of all sounds.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Of the mouth two frames before.
    pub delayed: Tensor<3>,
    /// Of the mouth now.
    pub immediate: Tensor<3>,
    /// Of the sound one frame before.
    pub sounds: Tensor<3>,
}

impl SpeechNet {
    /// Builds encoder and heads.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible sizes or a space without a mouth.
    pub fn load(config: &SpeechConfig, space: Space, loader: &Loader<'_>) -> Result<Self> {
        let (width, channels) = (config.width, mouth_channels(space)?.len());
        let heads = loader.at("heads");
        Ok(Self {
            encoder: Speech::load(config, &loader.at(ENCODER_PREFIX))?,
            delayed: heads.linear("delayed", [channels, width]),
            immediate: heads.linear("immediate", [channels, width]),
            sounds: heads.linear("sounds", [CLASSES, width]),
        })
    }

    /// Waveforms `(B, N)` to what the heads say at each feature. `timbres` has what becomes of each voice, or nothing at
    /// all.
    pub fn forward(&self, waves: Tensor<2>, timbres: &[Option<Timbre>]) -> Heard {
        let change = |row: usize, steps: &mut [f32]| timbre::change(timbres, row, steps);
        let features = self.encoder.forward_changed(waves, &change);
        Heard {
            delayed: self.delayed.forward(features.clone()),
            immediate: self.immediate.forward(features.clone()),
            sounds: self.sounds.forward(features),
        }
    }
}

/// What is to be told of a batch of voices.
#[derive(Debug, Clone)]
pub struct SpeechTargets {
    /// The mouth's channels from 0 to 1, `(B, T, M)`.
    pub mouth: Tensor<3>,
    /// Numbers of the sounds, row-major `(B, T)`.
    pub sounds: Vec<u8>,
}

impl SpeechTargets {
    /// The mouths of a batch of [`View::Voice`](crate::data::View::Voice).
    ///
    /// # Errors
    /// As for [`mouth_channels`].
    pub fn of(batch: &Batch, space: Space, device: &Device) -> Result<Self> {
        let channels = mouth_channels(space)?;
        let frames = batch.motion.len() / space.width() / batch.size;
        let rows = batch.motion.chunks_exact(space.width());
        let values =
            rows.flat_map(|row| channels.iter().map(|&channel| row[channel].clamp(0.0, 1.0))).collect();
        let shape = [batch.size, frames, channels.len()];
        let mouth = Tensor::from_data(TensorData::new::<f32, _>(values, shape), device);
        Ok(Self { mouth, sounds: batch.sounds.clone() })
    }
}

/// The stage's terms, weighted; scalars.
pub fn speech_loss(
    heard: &Heard,
    targets: &SpeechTargets,
    weights: &SpeechWeights,
) -> Vec<(&'static str, Tensor<1>)> {
    let SpeechWeights { delayed, immediate, velocity, sounds } = *weights;
    let [delayed_loss, delayed_velocity] = mouth_loss(&heard.delayed, &targets.mouth, DELAYED);
    let [immediate_loss, immediate_velocity] = mouth_loss(&heard.immediate, &targets.mouth, IMMEDIATE);
    let mut terms = vec![
        ("delayed", delayed_loss * delayed),
        ("immediate", immediate_loss * immediate),
        ("velocity", (delayed_velocity * delayed + immediate_velocity * immediate) * velocity),
    ];
    terms.extend(sounds_loss(&heard.sounds, &targets.sounds).map(|loss| ("sounds", loss * sounds)));
    terms
}

/// Soft binary cross-entropy of logits `(B, T, M)` for the mouth `delay` frames before, and the squared error of the
/// differences.
fn mouth_loss(logits: &Tensor<3>, mouth: &Tensor<3>, delay: usize) -> [Tensor<1>; 2] {
    let count = logits.dims()[1] - FIRST;
    let logits = logits.clone().narrow(1, FIRST, count);
    let mouth = mouth.clone().narrow(1, FIRST - delay, count);
    let entropy = (softplus(logits.clone(), 1.0) - logits.clone() * mouth.clone()).mean();
    let difference = |x: Tensor<3>| x.clone().narrow(1, 1, count - 1) - x.narrow(1, 0, count - 1);
    [entropy, (difference(sigmoid(logits)) - difference(mouth)).square().mean()]
}

/// Cross-entropy of the sound one frame before, mean over those that are known; none if there are none.
fn sounds_loss(logits: &Tensor<3>, sounds: &[u8]) -> Option<Tensor<1>> {
    let [batch, frames, classes] = logits.dims();
    let count = frames - FIRST;
    let rows = sounds.chunks_exact(frames).flat_map(|row| &row[FIRST - SOUND_DELAY..frames - SOUND_DELAY]);
    let (mut labels, mut known) = (Vec::with_capacity(batch * count), Vec::with_capacity(batch * count));
    for &sound in rows {
        known.push(if sound == UNKNOWN { 0.0_f32 } else { 1.0 });
        labels.push(if sound == UNKNOWN { i64::from(PAUSE) } else { i64::from(sound) });
    }
    let total: f32 = known.iter().sum();
    if total == 0.0 {
        return None;
    }
    let device = logits.device();
    let logits = logits.clone().narrow(1, FIRST, count).reshape([batch * count, classes]);
    let labels = Tensor::<2, Int>::from_data(TensorData::new(labels, [batch * count, 1]), &device);
    let known = Tensor::<2>::from_data(TensorData::new(known, [batch * count, 1]), &device);
    let chosen = log_softmax(logits, 1).gather(1, labels);
    Some((chosen * known).sum() / -f64::from(total))
}

/// How well mouths and sounds are told, over any number of batches.
#[derive(Debug, Clone, Default)]
pub struct SpeechScores {
    /// Jaw opening, and of each head the gap between the lips (`jawOpen` less `mouthClose`) while somebody speaks.
    jaw: [Correlation; 2],
    gap: [Correlation; 2],
    /// Sums of the gap in the delayed head and in truth, and their number, at p, b and m and at other sounds.
    closures: [[f64; 3]; 2],
    right: u64,
    known: u64,
}

impl SpeechScores {
    /// Adds a batch.
    pub fn add(&mut self, heard: &Heard, targets: &SpeechTargets) -> Result<()> {
        let channels = mouth_channels(Space::Arkit55)?;
        let place = |name: &str| {
            let channel = Space::Arkit55.index(name);
            channels.iter().position(|&index| Some(index) == channel).unwrap_or(0)
        };
        let (jaw, close) = (place("jawOpen"), place("mouthClose"));
        let bilabial = ["p", "b", "m"].map(sound_number);
        let [_, frames, width] = targets.mouth.dims();
        let truth = numbers(targets.mouth.clone());
        let at = |values: &[f32], frame: usize| {
            let row = &values[frame * width..(frame + 1) * width];
            [f64::from(row[jaw]), f64::from(row[jaw]) - f64::from(row[close])]
        };
        for (head, (logits, delay)) in
            [(&heard.delayed, DELAYED), (&heard.immediate, IMMEDIATE)].into_iter().enumerate()
        {
            let told = numbers(sigmoid(logits.clone()));
            for now in (0..truth.len() / width).filter(|now| now % frames >= FIRST) {
                let then = now - delay;
                let ([told_jaw, told_gap], [true_jaw, true_gap]) = (at(&told, now), at(&truth, then));
                self.jaw[head].add(told_jaw, true_jaw);
                let sound = targets.sounds.get(then).copied().unwrap_or(UNKNOWN);
                if sound == PAUSE || sound == UNKNOWN {
                    continue;
                }
                self.gap[head].add(told_gap, true_gap);
                if head == 0 {
                    let kind = usize::from(!bilabial.contains(&Some(sound)));
                    let sums = &mut self.closures[kind];
                    (sums[0], sums[1], sums[2]) = (sums[0] + told_gap, sums[1] + true_gap, sums[2] + 1.0);
                }
            }
        }
        let classes = heard.sounds.dims()[2];
        let logits = numbers(heard.sounds.clone());
        for (now, row) in logits.chunks_exact(classes).enumerate().filter(|(now, _)| now % frames >= FIRST) {
            let sound = targets.sounds.get(now - SOUND_DELAY).copied().unwrap_or(UNKNOWN);
            let best = (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            self.known += u64::from(sound != UNKNOWN);
            self.right += u64::from(sound != UNKNOWN && best == Some(usize::from(sound)));
        }
        Ok(())
    }

    /// Name and value of each score that the batches had something for: correlations with the recorded `jawOpen` (over
    /// all frames) and gap between the lips (while sounds are made) for the delayed and the immediate head; the delayed
    /// head's mean gap at p, b and m as a part of that at other sounds, and the same in truth; the share of frames whose
    /// sound is told.
    pub fn values(&self) -> Vec<(&'static str, f64)> {
        let [[told_shut, true_shut, shut], [told_open, true_open, open]] = self.closures;
        let part = |at_closures: f64, elsewhere: f64| at_closures / shut / (elsewhere / open);
        let all = [
            ("jaw r, delayed", self.jaw[0].value()),
            ("jaw r, immediate", self.jaw[1].value()),
            ("lips r, delayed", self.gap[0].value()),
            ("lips r, immediate", self.gap[1].value()),
            ("gap at p b m", part(told_shut, told_open)),
            ("gap at p b m, truth", part(true_shut, true_open)),
            ("sounds told", self.right as f64 / self.known as f64),
        ];
        all.into_iter().filter(|(_, value)| value.is_finite()).collect()
    }
}

/// Pearson's correlation, pair by pair.
#[derive(Debug, Clone, Copy, Default)]
struct Correlation {
    count: f64,
    sums: [f64; 2],
    /// Of `a a`, `b b` and `a b`.
    products: [f64; 3],
}

impl Correlation {
    fn add(&mut self, a: f64, b: f64) {
        self.count += 1.0;
        self.sums = [self.sums[0] + a, self.sums[1] + b];
        self.products = [self.products[0] + a * a, self.products[1] + b * b, self.products[2] + a * b];
    }

    /// Not a number without pairs or without variance.
    fn value(&self) -> f64 {
        let [a, b] = self.sums.map(|sum| sum / self.count);
        let [aa, bb, ab] = self.products.map(|product| product / self.count);
        (ab - a * b) / ((aa - a * a).max(0.0) * (bb - b * b).max(0.0)).sqrt()
    }
}

fn numbers(x: Tensor<3>) -> Vec<f32> {
    x.into_data().convert::<f32>().iter().collect()
}
