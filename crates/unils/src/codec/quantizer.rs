//! Multi-scale binary spherical quantiser: BSQ (arXiv 2406.07548) in VAR's next-scale scheme
//! (arXiv 2404.02905). Between the codec's encoder and decoder; its bits are what the generators predict.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData, activation};

use super::schedule::{Schedule, area_matrix, linear_matrix};

/// Norms below this count as this when a residual is put on the unit sphere.
const MIN_NORM: f64 = 1e-12;
/// Sharpness of the soft bits whose entropies the auxiliary loss takes.
const SOFTNESS: f64 = 100.0;
/// Added inside the entropies' logarithms.
const LOG_EPSILON: f64 = 1e-8;
const COMMIT_WEIGHT: f64 = 0.2;
const ENTROPY_WEIGHT: f64 = 0.1;

/// One scale of [`Quantized`].
#[derive(Debug, Clone)]
pub struct ScaleCode {
    /// Residual resampled to the scale, `(B, p, C)`.
    pub residual: Tensor<3>,
    /// The residual on the unit sphere, `(B, p, C)`; a bit is its sign.
    pub unit: Tensor<3>,
    /// The scale's code resampled to the window, `(B, T, C)`.
    pub up: Tensor<3>,
}

/// What keeps one scale's codes close and its bits in use; scalars.
#[derive(Debug, Clone)]
pub struct ScaleLoss {
    /// Squared distance of a token's code from its place on the sphere, mean over tokens.
    pub commit: Tensor<1>,
    /// Entropy of a token's soft bits, mean over tokens: small when tokens are decided.
    pub sample_entropy: Tensor<1>,
    /// Entropy of the mean soft bits: large when all codes are used.
    pub batch_entropy: Tensor<1>,
    /// The weighted sum that training minimises.
    pub total: Tensor<1>,
}

/// What the quantiser makes of a latent.
#[derive(Debug, Clone)]
pub struct Quantized {
    /// 0/1, all scales concatenated coarse to fine, `(B, L, C)`: the signs of the residuals.
    pub bits: Tensor<3>,
    /// The bits that were coded: the same unless some were flipped.
    pub coded_bits: Tensor<3>,
    /// Sum of all scales at the window's length: the decoder's input, `(B, T, C)`.
    pub sum: Tensor<3>,
    /// Each scale's intermediate values.
    pub scales: Vec<ScaleCode>,
}

/// The quantiser: no parameters, only resampling matrices.
#[derive(Module, Debug)]
pub struct Quantizer {
    #[module(skip)]
    schedule: Schedule,
    /// Bits a token of each part of the channels: each part has a sphere of its own.
    #[module(skip)]
    parts: Vec<usize>,
    /// A code's value for a set bit, `1/sqrt(C)` of the bit's part; `(1, 1, C)`.
    amplitude: Tensor<3>,
    /// For each scale `(1, p, T)`: window to scale.
    down: Vec<Tensor<3>>,
    /// For each scale `(1, T, p)`: scale to window, times the scale's gain.
    up: Vec<Tensor<3>>,
    /// For each scale but the last `(1, p', p)`: scale to the next scale.
    next: Vec<Tensor<3>>,
}

impl Quantizer {
    /// A quantiser of tokens with so many bits of each part; `gains` are the lengths of the scales' codes, all 1 if
    /// there are none.
    pub fn new(schedule: Schedule, parts: &[usize], gains: &[f32], device: &Device) -> Self {
        let window = schedule.window();
        let scales = schedule.scales();
        let gain = |k: usize| gains.get(k).copied().unwrap_or(1.0);
        let up = |(k, &p): (usize, &usize)| {
            let up = linear_matrix(p, window, device);
            if gains.is_empty() { up } else { up * gain(k) }
        };
        let value = |&bits: &usize| std::iter::repeat_n((bits as f64).sqrt().recip() as f32, bits);
        let amplitude: Vec<f32> = parts.iter().flat_map(value).collect();
        let bits = amplitude.len();
        Self {
            down: scales.iter().map(|&p| area_matrix(window, p, device)).collect(),
            up: scales.iter().enumerate().map(up).collect(),
            next: scales.windows(2).map(|pair| linear_matrix(pair[0], pair[1], device)).collect(),
            schedule,
            parts: parts.to_vec(),
            amplitude: Tensor::from_data(TensorData::new(amplitude, [1, 1, bits]), device),
        }
    }

    /// The schedule.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Bits a token.
    pub fn code_width(&self) -> usize {
        self.parts.iter().sum()
    }

    /// Tokens `(B, p, C)`, each part of each scaled to length 1.
    fn on_spheres(&self, tokens: Tensor<3>) -> Tensor<3> {
        let unit = |part: Tensor<3>| {
            let norm = part.clone().square().sum_dim(2).sqrt().clamp_min(MIN_NORM);
            part / norm
        };
        if self.parts.len() == 1 {
            return unit(tokens);
        }
        let mut start = 0;
        let parts = self.parts.iter().map(|&bits| {
            start += bits;
            unit(tokens.clone().narrow(2, start - bits, bits))
        });
        Tensor::cat(parts.collect(), 2)
    }

    /// Quantises a latent `(B, T, C)`.
    pub fn quantize(&self, latent: Tensor<3>) -> Quantized {
        self.quantize_flipping(latent, &[])
    }

    /// [`Quantizer::quantize`] with errors put in: `flips[k]` `(B, p, C)` is 1 where a bit of scale `k` is coded
    /// wrongly. Later scales see the residual of the wrong code, so their bits repair it.
    pub fn quantize_flipping(&self, latent: Tensor<3>, flips: &[Tensor<3>]) -> Quantized {
        let mut residual = latent;
        let mut sum = residual.zeros_like();
        let mut bits = Vec::new();
        let mut coded_bits = Vec::new();
        let mut scales = Vec::new();
        for k in 0..self.schedule.scales().len() {
            let at_scale = self.downsample(k, residual.clone());
            let unit = self.on_spheres(at_scale.clone());
            let scale_bits = unit.clone().greater_elem(0.0).float();
            let coded = match flips.get(k) {
                Some(flip) => (scale_bits.clone() - flip.clone()).abs(),
                None => scale_bits.clone(),
            };
            let code = self.straight_through(&unit, self.values(coded.clone()));
            let up = self.upsample(k, code);
            residual = residual - up.clone().detach();
            sum = sum + up.clone();
            bits.push(scale_bits);
            coded_bits.push(coded);
            scales.push(ScaleCode { residual: at_scale, unit, up });
        }
        Quantized { bits: Tensor::cat(bits, 1), coded_bits: Tensor::cat(coded_bits, 1), sum, scales }
    }

    /// A token's code, whose gradient passes to its place on the sphere.
    fn straight_through(&self, unit: &Tensor<3>, code: Tensor<3>) -> Tensor<3> {
        if !unit.is_autodiff() {
            return code;
        }
        unit.clone() + (code - unit.clone()).detach()
    }

    /// The auxiliary loss of each scale; gradients pass to the places on the sphere.
    pub fn losses(&self, quantized: &Quantized) -> Vec<ScaleLoss> {
        let loss = |scale: &ScaleCode| {
            let unit = scale.unit.clone();
            let code = self.values(unit.clone().greater_elem(0.0).float()).detach();
            let commit = (code - unit.clone()).square().sum_dim(2).mean();
            let soft = activation::sigmoid(unit * (self.amplitude.clone() * (-4.0 * SOFTNESS)));
            let sample_entropy = entropy(soft.clone()).sum_dim(2).mean();
            let batch_entropy = entropy(soft.mean_dim(0).mean_dim(1)).sum();
            let spread = (sample_entropy.clone() - batch_entropy.clone()) / SOFTNESS;
            let total = commit.clone() * COMMIT_WEIGHT + spread * ENTROPY_WEIGHT;
            ScaleLoss { commit, sample_entropy, batch_entropy, total }
        };
        quantized.scales.iter().map(loss).collect()
    }

    /// The codes of bits: `+-1/sqrt(C)` with `C` of the bit's part, same shape; the scales' gains come with
    /// [`Quantizer::upsample`].
    pub fn values(&self, bits: Tensor<3>) -> Tensor<3> {
        (bits * 2.0 - 1.0) * self.amplitude.clone()
    }

    /// Codes of scale `k` `(B, p, C)` at the window's length.
    pub fn upsample(&self, k: usize, codes: Tensor<3>) -> Tensor<3> {
        self.up[k].clone().matmul(codes)
    }

    /// A feature of the window's length `(B, T, C)` at scale `k`.
    pub fn downsample(&self, k: usize, feature: Tensor<3>) -> Tensor<3> {
        self.down[k].clone().matmul(feature)
    }

    /// Scales that `bits` `(B, l, C)` holds, as codes; `l` may end with any scale.
    fn codes(&self, bits: Tensor<3>) -> Vec<Tensor<3>> {
        let [batch, tokens, width] = bits.dims();
        let values = self.values(bits);
        let complete = (0..self.schedule.scales().len()).map(|k| self.schedule.range(k));
        complete
            .take_while(|range| range.end <= tokens)
            .map(|range| values.clone().slice([0..batch, range, 0..width]))
            .collect()
    }

    /// Adds scale `k`'s codes `(B, p, C)` to the sum of the coarser scales; `(B, T, C)`.
    pub fn add_scale(&self, sum: Option<Tensor<3>>, k: usize, codes: Tensor<3>) -> Tensor<3> {
        let up = self.upsample(k, codes);
        match sum {
            None => up,
            Some(sum) => sum + up,
        }
    }

    /// The sums after each scale in `bits`, `(B, T, C)` each.
    fn running_sums(&self, bits: Tensor<3>) -> Vec<Tensor<3>> {
        let mut sum = None;
        let scales = self.codes(bits).into_iter().enumerate();
        scales
            .map(|(k, codes)| {
                let new = self.add_scale(sum.take(), k, codes);
                sum = Some(new.clone());
                new
            })
            .collect()
    }

    /// Sum of all scales at the window's length: `(B, L, C)` bits to `(B, T, C)`.
    pub fn sum(&self, bits: Tensor<3>) -> Tensor<3> {
        let [batch, _, width] = bits.dims();
        let device = bits.device();
        let zero = || Tensor::zeros([batch, self.schedule.window(), width], &device);
        self.running_sums(bits).pop().unwrap_or_else(zero)
    }

    /// For each scale in `bits` but a final last one: the sum so far at the *next* scale's length,
    /// concatenated. The generator's input.
    pub fn accumulated_next(&self, bits: Tensor<3>) -> Tensor<3> {
        let last = self.schedule.scales().len() - 1;
        let sums = self.running_sums(bits).into_iter().enumerate().take(last);
        Tensor::cat(sums.map(|(k, sum)| self.downsample(k + 1, sum)).collect(), 1)
    }

    /// For each scale in `bits`: the sum so far at the scale's own length, concatenated.
    pub fn accumulated(&self, bits: Tensor<3>) -> Tensor<3> {
        let sums = self.running_sums(bits).into_iter().enumerate();
        Tensor::cat(sums.map(|(k, sum)| self.downsample(k, sum)).collect(), 1)
    }

    /// For each scale in `bits` but a final last one: its own codes at the next scale's length, concatenated.
    pub fn local_next(&self, bits: Tensor<3>) -> Tensor<3> {
        let pairs = self.codes(bits).into_iter().zip(&self.next);
        Tensor::cat(pairs.map(|(codes, next)| next.clone().matmul(codes)).collect(), 1)
    }
}

/// Entropy of each probability of a bit, in nats.
fn entropy(p: Tensor<3>) -> Tensor<3> {
    let q = p.clone().neg() + 1.0;
    let term = |p: Tensor<3>| p.clone() * (p + LOG_EPSILON).log();
    (term(p) + term(q)).neg()
}
