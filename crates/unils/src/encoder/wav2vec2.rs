//! wav2vec 2.0 (arXiv 2006.11477): convolutions over the waveform, then a transformer. 50 features a second.
//!
//! Parameter names are those of Transformers. Both families are covered: `do_stable_layer_norm` (XLS-R, large:
//! norm before each part) and not (base: norm after), `feat_extract_norm` of `layer` or `group`.
//!
//! Letters: `B` tracks, `N` samples, `S` features, `C` channels of the convolutions, `A` width.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::codec::{check_size, check_transformer};
use crate::error::{Error, Result};
use crate::nn::{Activation, Conv1d, ConvOptions, LayerNorm, Linear, Loader, attend_qkv};

/// Added to the deviation when a waveform is normalised.
const WAVE_EPSILON: f64 = 1e-6;
/// Group norm's epsilon, which Transformers' configuration does not name.
const GROUP_NORM_EPSILON: f64 = 1e-5;

/// The fields of a Hugging Face `config.json` that decide what is computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wav2Vec2Config {
    /// Width of the transformer and of the features.
    pub hidden_size: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width inside a feed-forward part.
    pub intermediate_size: usize,
    /// Channels of each convolution.
    pub conv_dim: Vec<usize>,
    /// Taps of each convolution.
    pub conv_kernel: Vec<usize>,
    /// Stride of each convolution.
    pub conv_stride: Vec<usize>,
    /// Whether the convolutions have biases.
    pub conv_bias: bool,
    /// `layer` or `group`.
    #[serde(default = "group")]
    pub feat_extract_norm: String,
    /// Norms before (true) or after each part.
    #[serde(default)]
    pub do_stable_layer_norm: bool,
    /// Taps of the positional convolution.
    pub num_conv_pos_embeddings: usize,
    /// Its groups.
    pub num_conv_pos_embedding_groups: usize,
    /// Epsilon of the transformer's norms.
    pub layer_norm_eps: f64,
    /// Only `gelu` is known.
    #[serde(default = "gelu")]
    pub hidden_act: String,
    /// Only `gelu` is known.
    #[serde(default = "gelu")]
    pub feat_extract_activation: String,
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn group() -> String {
    "group".to_owned()
}

impl Wav2Vec2Config {
    /// `facebook/wav2vec2-xls-r-300m`, the paper's encoder: 24 layers of width 1024.
    pub fn xls_r_300m() -> Self {
        Self {
            hidden_size: 1024,
            num_hidden_layers: 24,
            num_attention_heads: 16,
            intermediate_size: 4096,
            conv_dim: vec![512; 7],
            conv_kernel: vec![10, 3, 3, 3, 3, 2, 2],
            conv_stride: vec![5, 2, 2, 2, 2, 2, 2],
            conv_bias: true,
            feat_extract_norm: "layer".to_owned(),
            do_stable_layer_norm: true,
            num_conv_pos_embeddings: 128,
            num_conv_pos_embedding_groups: 16,
            layer_norm_eps: 1e-5,
            hidden_act: gelu(),
            feat_extract_activation: gelu(),
        }
    }

    /// Numbers in the matrices of the transformer and the convolutions: nearly all that the encoder has.
    pub fn numbers(&self) -> u64 {
        let width = self.hidden_size as u64;
        let layer = 4 * width * width + 2 * width * self.intermediate_size as u64;
        let inputs = std::iter::once(1).chain(self.conv_dim.iter().copied());
        let convolutions = self.conv_dim.iter().zip(inputs).zip(&self.conv_kernel);
        let convolutions: u64 =
            convolutions.map(|((&outputs, inputs), &taps)| (outputs * inputs * taps) as u64).sum();
        let positions =
            width * (width / self.num_conv_pos_embedding_groups as u64) * self.num_conv_pos_embeddings as u64;
        self.num_hidden_layers as u64 * layer + convolutions + positions
    }

    /// Features that `samples` samples give: 199 for 4 s of the XLS-R and base families, 0 for too few samples.
    pub fn features(&self, samples: usize) -> usize {
        self.conv_kernel.iter().zip(&self.conv_stride).fold(samples, |length, (&taps, &stride)| {
            length.checked_sub(taps).map_or(0, |rest| rest / stride + 1)
        })
    }

    /// Checks the sizes against each other and against sane bounds.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn validate(&self) -> Result<()> {
        check_transformer("encoder", self.hidden_size, self.num_attention_heads, self.num_hidden_layers)?;
        check_size("encoder.intermediate_size", self.intermediate_size, 65_536)?;
        let layers = self.conv_dim.len();
        check_size("encoder.conv_dim", layers, 16)?;
        if self.conv_kernel.len() != layers || self.conv_stride.len() != layers {
            return Err(Error::config(
                "encoder.conv_kernel, conv_stride",
                format!(
                    "expected {layers} numbers each, as in conv_dim, got {} and {}",
                    self.conv_kernel.len(),
                    self.conv_stride.len()
                ),
            ));
        }
        for ((&dim, &kernel), &stride) in self.conv_dim.iter().zip(&self.conv_kernel).zip(&self.conv_stride) {
            check_size("encoder.conv_dim", dim, 8192)?;
            check_size("encoder.conv_kernel", kernel, 64)?;
            check_size("encoder.conv_stride", stride, 64)?;
        }
        check_size("encoder.num_conv_pos_embeddings", self.num_conv_pos_embeddings, 1024)?;
        let groups = self.num_conv_pos_embedding_groups;
        check_size("encoder.num_conv_pos_embedding_groups", groups, self.hidden_size)?;
        if !self.hidden_size.is_multiple_of(groups) {
            return Err(Error::config(
                "encoder.num_conv_pos_embedding_groups",
                format!("{groups} groups do not divide the width {}", self.hidden_size),
            ));
        }
        if !["layer", "group"].contains(&self.feat_extract_norm.as_str()) {
            let got = &self.feat_extract_norm;
            return Err(Error::config(
                "encoder.feat_extract_norm",
                format!("expected layer or group, got {got}"),
            ));
        }
        for (name, got) in
            [("hidden_act", &self.hidden_act), ("feat_extract_activation", &self.feat_extract_activation)]
        {
            if got != "gelu" {
                return Err(Error::config(format!("encoder.{name}"), format!("expected gelu, got {got}")));
            }
        }
        Ok(())
    }
}

/// The encoder.
#[derive(Module, Debug)]
pub struct Wav2Vec2 {
    convolutions: Vec<ConvLayer>,
    projection_norm: LayerNorm,
    projection: Linear,
    positions: Conv1d,
    layers: Vec<Layer>,
    norm: LayerNorm,
    #[module(skip)]
    norm_first: bool,
}

impl Wav2Vec2 {
    /// Builds the encoder from the root of its checkpoint (below a `wav2vec2.` prefix, if there is one).
    ///
    /// # Errors
    /// [`Error::Config`] for impossible sizes. Missing or misshapen tensors are in the loader's report.
    pub fn load(config: &Wav2Vec2Config, loader: &Loader<'_>) -> Result<Self> {
        config.validate()?;
        // Pre-training heads and the masking vector are in the files and not part of the features.
        loader.ignore(|name| {
            !name.starts_with("wav2vec2.") && !name.starts_with("encoder.") && !name.starts_with("feature_")
        });
        let below = loader.at("wav2vec2");
        let is_below = !loader.has("feature_projection.projection.weight")
            && below.has("feature_projection.projection.weight");
        let loader = if is_below { &below } else { loader };
        loader.ignore(|name| name == "masked_spec_embed");
        let convolutional = loader.at("feature_extractor").at("conv_layers");
        let projection = loader.at("feature_projection");
        let transformer = loader.at("encoder");
        let features = config.conv_dim[config.conv_dim.len() - 1];
        let width = config.hidden_size;
        Ok(Self {
            convolutions: (0..config.conv_dim.len())
                .map(|index| ConvLayer::load(config, index, &convolutional.at(index)))
                .collect(),
            projection_norm: projection.layer_norm("layer_norm", features, config.layer_norm_eps),
            projection: projection.linear("projection", [width, features]),
            positions: positional_convolution(config, &transformer.at("pos_conv_embed").at("conv")),
            layers: (0..config.num_hidden_layers)
                .map(|index| Layer::load(config, &transformer.at("layers").at(index)))
                .collect(),
            norm: transformer.layer_norm("layer_norm", width, config.layer_norm_eps),
            norm_first: config.do_stable_layer_norm,
        })
    }

    /// Waveforms `(B, N)` at 16 kHz to features `(B, S, A)`. Each row is normalised on its own.
    pub fn forward(&self, waves: Tensor<2>) -> Tensor<3> {
        let mut x = self.embed(self.project(self.convolve(normalize(waves))));
        if !self.norm_first {
            x = self.norm.forward(x);
        }
        for layer in 0..self.layers.len() {
            x = self.layer(layer, x);
        }
        if self.norm_first { self.finish(x) } else { x }
    }

    /// Normalised waveforms `(B, N)` through all convolutions, `(B, S, C)`.
    pub fn convolve(&self, waves: Tensor<2>) -> Tensor<3> {
        (0..self.convolutions.len()).fold(waves.unsqueeze_dim(2), |x, index| self.convolution(index, x))
    }

    /// One convolution with norm and GELU, `(B, n, in)` to `(B, n', out)`.
    pub fn convolution(&self, index: usize, x: Tensor<3>) -> Tensor<3> {
        self.convolutions[index].forward(x)
    }

    /// Channels of the features.
    pub fn feature_dim(&self) -> usize {
        self.norm.gamma.dims()[0]
    }

    /// Number of convolutions.
    pub fn convolutions(&self) -> usize {
        self.convolutions.len()
    }

    /// Convolution features to the transformer's width, `(B, S, C)` to `(B, S, A)`.
    pub fn project(&self, features: Tensor<3>) -> Tensor<3> {
        self.projection.forward(self.projection_norm.forward(features))
    }

    /// The positional convolution with its GELU, `(B, S, A)`.
    pub fn positions(&self, x: Tensor<3>) -> Tensor<3> {
        self.positions.forward_then(x, Activation::Gelu)
    }

    fn embed(&self, x: Tensor<3>) -> Tensor<3> {
        x.clone() + self.positions(x)
    }

    /// One transformer layer, `(B, S, A)`.
    pub fn layer(&self, index: usize, x: Tensor<3>) -> Tensor<3> {
        self.layers[index].forward(x, self.norm_first)
    }

    /// Number of transformer layers.
    pub fn depth(&self) -> usize {
        self.layers.len()
    }

    /// The final norm.
    pub fn finish(&self, x: Tensor<3>) -> Tensor<3> {
        self.norm.forward(x)
    }
}

/// Each waveform to zero mean and unit (unbiased) deviation.
pub fn normalize(waves: Tensor<2>) -> Tensor<2> {
    let centred = waves.clone() - waves.mean_dim(1);
    let samples = centred.dims()[1];
    let variance = centred.clone().square().sum_dim(1) / (samples.max(2) - 1) as f64;
    centred / (variance.sqrt() + WAVE_EPSILON)
}

/// A convolution, its norm and GELU.
#[derive(Module, Debug)]
struct ConvLayer {
    conv: Conv1d,
    /// None for all but the first layer of the `group` family.
    norm: Option<ConvNorm>,
}

#[derive(Module, Debug)]
enum ConvNorm {
    /// Over the channels of each frame.
    Layer(LayerNorm),
    /// Over the frames of each channel.
    Channel(LayerNorm),
}

impl ConvLayer {
    fn load(config: &Wav2Vec2Config, index: usize, loader: &Loader<'_>) -> Self {
        let outputs = config.conv_dim[index];
        let options = ConvOptions {
            inputs: if index == 0 { 1 } else { config.conv_dim[index - 1] },
            outputs,
            kernel: config.conv_kernel[index],
            stride: config.conv_stride[index],
            padding: [0, 0],
            groups: 1,
        };
        let norm = match (config.feat_extract_norm.as_str(), index) {
            ("layer", _) => {
                Some(ConvNorm::Layer(loader.layer_norm("layer_norm", outputs, config.layer_norm_eps)))
            }
            (_, 0) => Some(ConvNorm::Channel(loader.layer_norm("layer_norm", outputs, GROUP_NORM_EPSILON))),
            _ => None,
        };
        Self { conv: loader.conv("conv", options, config.conv_bias), norm }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        match &self.norm {
            None => self.conv.forward_then(x, Activation::Gelu),
            Some(ConvNorm::Layer(norm)) => self.conv.forward_norm_then(x, norm, Activation::Gelu),
            Some(ConvNorm::Channel(norm)) => {
                let x = self.conv.forward_then(x, Activation::None);
                let centred = x.clone() - x.mean_dim(1);
                let variance = centred.clone().square().mean_dim(1);
                let unit = centred / (variance + norm.epsilon).sqrt();
                let scaled = unit * norm.gamma.val().unsqueeze() + norm.beta.val().unsqueeze();
                Activation::Gelu.forward(scaled)
            }
        }
    }
}

/// The positional convolution; its weight is stored as a direction and a length for each tap.
fn positional_convolution(config: &Wav2Vec2Config, loader: &Loader<'_>) -> Conv1d {
    let (width, kernel) = (config.hidden_size, config.num_conv_pos_embeddings);
    let options = ConvOptions {
        inputs: width,
        outputs: width,
        kernel,
        stride: 1,
        // An even kernel's surplus last output is not computed at all.
        padding: [kernel / 2, kernel / 2 - usize::from(kernel % 2 == 0)],
        groups: config.num_conv_pos_embedding_groups,
    };
    let new_spelling = loader.has("parametrizations.weight.original0") && !loader.has("weight_g");
    let (length, direction) = if new_spelling {
        ("parametrizations.weight.original0", "parametrizations.weight.original1")
    } else {
        ("weight_g", "weight_v")
    };
    let lengths = loader.values(length, &[1, 1, kernel], <[f32]>::to_vec);
    let direction = loader.values(direction, &options.weight_shape(), <[f32]>::to_vec);
    let weight = weight_norm(&lengths, direction);
    let bias = loader.values("bias", &[width], <[f32]>::to_vec);
    loader.conv_from(&weight, Some(&bias), options)
}

/// Scales each tap of a row-major `(outputs, inputs, taps)` direction to its length.
fn weight_norm(lengths: &[f32], mut direction: Vec<f32>) -> Vec<f32> {
    let mut norms = vec![0.0f64; lengths.len()];
    for taps in direction.chunks_exact(lengths.len()) {
        for (norm, &tap) in norms.iter_mut().zip(taps) {
            *norm += f64::from(tap) * f64::from(tap);
        }
    }
    let scales = lengths.iter().zip(&norms).map(|(&length, norm)| (f64::from(length) / norm.sqrt()) as f32);
    let scales: Vec<f32> = scales.collect();
    for taps in direction.chunks_exact_mut(lengths.len()) {
        taps.iter_mut().zip(&scales).for_each(|(tap, scale)| *tap *= scale);
    }
    direction
}

/// Attention and feed-forward with their norms.
#[derive(Module, Debug)]
struct Layer {
    /// Query, key and value projections in one product.
    to_qkv: Linear,
    to_out: Linear,
    attention_norm: LayerNorm,
    up: Linear,
    down: Linear,
    norm: LayerNorm,
    #[module(skip)]
    heads: usize,
}

impl Layer {
    fn load(config: &Wav2Vec2Config, loader: &Loader<'_>) -> Self {
        let (width, inside) = (config.hidden_size, config.intermediate_size);
        let attention = loader.at("attention");
        let dense = loader.at("feed_forward");
        Self {
            to_qkv: attention.stacked_linear(&["q_proj", "k_proj", "v_proj"], [width, width]),
            to_out: attention.linear("out_proj", [width, width]),
            attention_norm: loader.layer_norm("layer_norm", width, config.layer_norm_eps),
            up: dense.linear("intermediate_dense", [inside, width]),
            down: dense.linear("output_dense", [width, inside]),
            norm: loader.layer_norm("final_layer_norm", width, config.layer_norm_eps),
            heads: config.num_attention_heads,
        }
    }

    fn forward(&self, x: Tensor<3>, norm_first: bool) -> Tensor<3> {
        if norm_first {
            let x = self.attend(self.attention_norm.forward(x.clone()), x);
            self.feed_forward(self.norm.forward(x.clone()), x)
        } else {
            let x = self.attention_norm.forward(self.attend(x.clone(), x));
            self.norm.forward(self.feed_forward(x.clone(), x))
        }
    }

    fn attend(&self, x: Tensor<3>, residual: Tensor<3>) -> Tensor<3> {
        let attended = attend_qkv(self.to_qkv.forward(x), self.heads, None, None);
        self.to_out.add_to(attended, residual)
    }

    fn feed_forward(&self, x: Tensor<3>, residual: Tensor<3>) -> Tensor<3> {
        self.down.add_to(self.up.forward_then(x, Activation::Gelu), residual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::TensorFile;

    #[test]
    fn both_spellings_give_the_reference_weight() {
        let open = |name: &str| {
            TensorFile::open(format!("{}/../../fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
        };
        let expected = open("wav2vec2.safetensors").read_f32("pos_conv_effective_weight").unwrap();
        for (folder, prefix, length, direction) in [
            (
                "hf_wav2vec2_tiny",
                "",
                "parametrizations.weight.original0",
                "parametrizations.weight.original1",
            ),
            ("hf_wav2vec2_tiny_pretraining", "wav2vec2.", "weight_g", "weight_v"),
        ] {
            let file = open(folder);
            let read = |name| file.read_f32(&format!("{prefix}encoder.pos_conv_embed.conv.{name}")).unwrap();
            let ours = weight_norm(&read(length), read(direction));
            let error = ours.iter().zip(&expected).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(ours.len() == expected.len() && error < 1e-6, "{folder}: {error}");
        }
    }
}
