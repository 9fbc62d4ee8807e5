//! How parameters move: AdamW, the learning rate's schedule, clipping by the global norm, moving averages.
//!
//! The numbers are PyTorch's (`torch.optim.AdamW`, `clip_grad_norm_`), tested against reference steps. State is kept
//! by a parameter's identity, which follows from its name in checkpoints, so that it can be written to a file and
//! taken up again.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use unils::nn::flat;

/// Constants of AdamW (arXiv 1711.05101).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the mean square.
    pub epsilon: f64,
    /// Share of a parameter that is taken off in a step, times the learning rate. Norms and biases decay too, as
    /// in the release.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

/// Linear warm-up, then linear decay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearningRate {
    /// The rate between warm-up and decay.
    pub peak: f64,
    /// Steps of warm-up, which begins at a tenth of the peak.
    pub warmup: u64,
    /// Steps until the decay has ended.
    pub decay: u64,
    /// The rate that decay ends at, as a share of the peak.
    pub last: f64,
}

impl LearningRate {
    /// Where warm-up begins, as a share of the peak.
    const FIRST: f64 = 0.1;

    /// The rate of step `step`, from 0.
    pub fn at(&self, step: u64) -> f64 {
        let share = |done: u64, of: u64| if of == 0 { 1.0 } else { done.min(of) as f64 / of as f64 };
        if step < self.warmup {
            return self.peak * (Self::FIRST + (1.0 - Self::FIRST) * share(step, self.warmup));
        }
        let down = share(step - self.warmup, self.decay.saturating_sub(self.warmup));
        self.peak * (1.0 + (self.last - 1.0) * down)
    }
}

/// What AdamW remembers of a parameter, flat.
#[derive(Debug, Clone)]
struct Moments {
    mean: Tensor<1>,
    square: Tensor<1>,
}

/// AdamW over all trained parameters of a module.
#[derive(Debug, Clone)]
pub struct Optimizer {
    constants: AdamW,
    steps: u64,
    moments: BTreeMap<u64, Moments>,
}

impl Optimizer {
    /// Before the first step.
    pub fn new(constants: AdamW) -> Self {
        Self { constants, steps: 0, moments: BTreeMap::new() }
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Moves every parameter that has a gradient.
    pub fn step<M: Module>(&mut self, module: M, mut gradients: GradientMap, rate: f64) -> M {
        self.steps += 1;
        module.map(&mut Step { optimizer: self, gradients: &mut gradients, rate })
    }

    /// One parameter's next value.
    fn update(&mut self, id: u64, value: Tensor<1>, gradient: Tensor<1>, rate: f64) -> Tensor<1> {
        let AdamW { beta1, beta2, epsilon, weight_decay } = self.constants;
        let moments = self
            .moments
            .remove(&id)
            .unwrap_or_else(|| Moments { mean: gradient.zeros_like(), square: gradient.zeros_like() });
        // Corrects for the moments' start at zero; f64 because 0.999^n is close to 1.
        let steps = self.steps.min(i32::MAX as u64) as i32;
        let (correction1, correction2) = (1.0 - beta1.powi(steps), 1.0 - beta2.powi(steps));
        let (kept, step, deviation) = (1.0 - rate * weight_decay, rate / correction1, correction2.sqrt());
        let one_pass = {
            let numbers = [beta1, 1.0 - beta1, beta2, 1.0 - beta2, deviation, epsilon, kept, step];
            let [beta1, new1, beta2, new2, deviation, epsilon, kept, step] = numbers.map(|x| x as f32);
            flat::update([value, moments.mean, moments.square], [&gradient], move |changed, [gradient]| {
                let [value, mean, square] = changed;
                for (((value, mean), square), gradient) in
                    value.iter_mut().zip(mean).zip(square).zip(gradient)
                {
                    *mean = *mean * beta1 + gradient * new1;
                    *square = *square * beta2 + gradient * gradient * new2;
                    *value = *value * kept - *mean / (square.sqrt() / deviation + epsilon) * step;
                }
            })
        };
        let (next, mean, square) = match one_pass {
            Ok([next, mean, square]) => (next, mean, square),
            Err([value, mean, square]) => {
                let mean = mean * beta1 + gradient.clone() * (1.0 - beta1);
                let square = square * beta2 + gradient.square() * (1.0 - beta2);
                let root = square.clone().sqrt() / deviation + epsilon;
                (value * kept - mean.clone() / root * step, mean, square)
            }
        };
        self.moments.insert(id, Moments { mean, square });
        next
    }

    /// Everything that the next step depends on: for each parameter's identity the mean of its gradients and of
    /// their squares.
    pub fn state(&self) -> impl Iterator<Item = (u64, [Vec<f32>; 2])> + '_ {
        self.moments.iter().map(|(&id, moments)| (id, [values(&moments.mean), values(&moments.square)]))
    }

    /// The optimiser as it was when [`Optimizer::state`] was taken after `steps` steps.
    pub fn resume(
        constants: AdamW,
        steps: u64,
        state: impl IntoIterator<Item = (u64, [Vec<f32>; 2])>,
        device: &Device,
    ) -> Self {
        let moments = state.into_iter().map(|(id, [mean, square])| {
            (id, Moments { mean: flat(mean, device), square: flat(square, device) })
        });
        Self { constants, steps, moments: moments.collect() }
    }
}

struct Step<'a> {
    optimizer: &'a mut Optimizer,
    gradients: &'a mut GradientMap,
    rate: f64,
}

impl ModuleMapper for Step<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let Some(gradient) = self.gradients.0.remove(&id.val()) else {
            return Param::from_mapped_value(id, value, mapper);
        };
        let (shape, count) = (value.dims(), gradient.dims()[0]);
        let value = value.inner().reshape([count]);
        let next = self.optimizer.update(id.val(), value, gradient, self.rate);
        Param::from_mapped_value(id, next.reshape(shape).autodiff().require_grad(), mapper)
    }
}

/// The gradients of a module's parameters by identity, flat.
#[derive(Debug, Clone, Default)]
pub struct GradientMap(BTreeMap<u64, Tensor<1>>);

impl GradientMap {
    /// Takes the gradients of a module's parameters out of a backward pass.
    pub fn of<M: Module>(module: &M, gradients: Gradients) -> Self {
        let mut take = Take { gradients, map: BTreeMap::new() };
        module.visit(&mut take);
        Self(take.map)
    }

    /// Each gradient by its parameter's identity.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Tensor<1>)> {
        self.0.iter().map(|(&id, gradient)| (id, gradient))
    }

    /// All gradients one after the other, with the identity and length of each.
    pub fn to_flat(&self) -> (Vec<f32>, Vec<(u64, usize)>) {
        let (mut flat, mut lengths) = (Vec::new(), Vec::new());
        for (id, gradient) in self.iter() {
            let gradient = values(gradient);
            lengths.push((id, gradient.len()));
            flat.extend(gradient);
        }
        (flat, lengths)
    }

    /// The way back from [`GradientMap::to_flat`]. Numbers behind the last gradient are left out.
    pub fn from_flat(mut numbers: &[f32], lengths: &[(u64, usize)], device: &Device) -> Self {
        let take = |&(id, length): &(u64, usize)| {
            let (gradient, rest) = numbers.split_at(length.min(numbers.len()));
            numbers = rest;
            (id, flat(gradient.to_vec(), device))
        };
        Self(lengths.iter().map(take).collect())
    }

    /// Adds another batch's gradients, weighted: `self * (1 - share) + other * share`.
    pub fn mix(self, mut other: Self, share: f64) -> Self {
        let mixed = self.0.into_iter().map(|(id, gradient)| match other.0.remove(&id) {
            Some(more) => (id, gradient * (1.0 - share) + more * share),
            None => (id, gradient * (1.0 - share)),
        });
        Self(mixed.collect())
    }

    /// The norm over all gradients together.
    pub fn norm(&self) -> f64 {
        let square = |gradient: &Tensor<1>| {
            flat::sum_of_squares(gradient)
                .unwrap_or_else(|| f64::from(gradient.clone().square().sum().into_scalar::<f32>()))
        };
        self.0.values().map(square).sum::<f64>().sqrt()
    }

    /// Scales all gradients so that their norm is at most `largest`; `norm` is what [`GradientMap::norm`] gave.
    #[must_use]
    pub fn clip(self, norm: f64, largest: f64) -> Self {
        // The release adds this to the norm, and multiplies by 1 where it is small.
        let factor = largest / (norm + 1e-6);
        if factor >= 1.0 {
            return self;
        }
        let scaled = |gradient| {
            let factor = factor as f32;
            let scaled = flat::update([gradient], [], move |[gradient], []| {
                gradient.iter_mut().for_each(|value| *value *= factor);
            });
            match scaled {
                Ok([gradient]) => gradient,
                Err([gradient]) => gradient * factor,
            }
        };
        Self(self.0.into_iter().map(|(id, gradient)| (id, scaled(gradient))).collect())
    }
}

impl From<BTreeMap<u64, Tensor<1>>> for GradientMap {
    fn from(map: BTreeMap<u64, Tensor<1>>) -> Self {
        Self(map)
    }
}

struct Take {
    gradients: Gradients,
    map: BTreeMap<u64, Tensor<1>>,
}

impl ModuleVisitor for Take {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad_remove(&mut self.gradients) {
            let count = gradient.dims().iter().product::<usize>();
            self.map.insert(param.id.val(), gradient.reshape([count]));
        }
    }
}

/// A moving average of the trained parameters: what is evaluated and saved.
#[derive(Debug, Clone)]
pub struct Average {
    decay: f64,
    values: BTreeMap<u64, Tensor<1>>,
}

impl Average {
    /// Begins with the module's own values.
    pub fn new<M: Module>(decay: f64, module: &M) -> Self {
        let mut read = Read(BTreeMap::new());
        module.visit(&mut read);
        Self { decay, values: read.0 }
    }

    /// Takes in the module's values after a step.
    pub fn update<M: Module>(&mut self, module: &M) {
        let mut read = Read(BTreeMap::new());
        module.visit(&mut read);
        for (id, value) in read.0 {
            if let Some(average) = self.values.remove(&id) {
                let (old, new) = (self.decay as f32, (1.0 - self.decay) as f32);
                let mixed = flat::update([average], [&value], move |[average], [value]| {
                    average
                        .iter_mut()
                        .zip(value)
                        .for_each(|(average, value)| *average = *average * old + value * new);
                });
                let average = match mixed {
                    Ok([average]) => average,
                    Err([average]) => average * self.decay + value * (1.0 - self.decay),
                };
                self.values.insert(id, average);
            }
        }
    }

    /// The module with the averages in place of its values, without gradients.
    pub fn apply<M: Module>(&self, module: M) -> M {
        module.map(&mut Replace(&self.values))
    }

    /// One parameter's average.
    pub fn get(&self, id: u64) -> Option<Vec<f32>> {
        self.values.get(&id).map(values)
    }

    /// Every average by its parameter's identity.
    pub fn state(&self) -> impl Iterator<Item = (u64, Vec<f32>)> + '_ {
        self.values.iter().map(|(&id, value)| (id, values(value)))
    }

    /// The averages as they were when [`Average::state`] was taken.
    pub fn resume(decay: f64, state: impl IntoIterator<Item = (u64, Vec<f32>)>, device: &Device) -> Self {
        Self { decay, values: state.into_iter().map(|(id, value)| (id, flat(value, device))).collect() }
    }
}

/// Reads all trained parameters, flat.
struct Read(BTreeMap<u64, Tensor<1>>);

impl ModuleVisitor for Read {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if value.is_require_grad() {
            let count = value.dims().iter().product::<usize>();
            self.0.insert(param.id.val(), value.inner().reshape([count]));
        }
    }
}

struct Replace<'a>(&'a BTreeMap<u64, Tensor<1>>);

impl ModuleMapper for Replace<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let value = value.inner();
        let value = match self.0.get(&id.val()) {
            Some(average) => average.clone().reshape(value.dims()),
            None => value,
        };
        Param::from_mapped_value(id, value, mapper)
    }
}

fn values(tensor: &Tensor<1>) -> Vec<f32> {
    tensor.to_data().convert::<f32>().iter().collect()
}

fn flat(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}
