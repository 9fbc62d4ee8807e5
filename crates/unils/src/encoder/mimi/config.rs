//! What a Mimi checkpoint's `config.json` says about its encoder, and which of it we compute.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::LATENT_STRIDE;
use crate::audio::MODEL_RATE;
use crate::codec::{check_size, check_transformer};
use crate::error::{Error, Result};

/// The rotary embedding's base, which `kyutai/mimi` has.
const ROPE_THETA: f64 = 10_000.0;

/// The fields of a Hugging Face `config.json` that decide what the encoder computes.
///
/// ```
/// use unils::encoder::MimiConfig;
/// let config = MimiConfig::kyutai();
/// assert!(config.validate().is_ok());
/// assert_eq!((config.hop(), config.strides()), (960, vec![4, 5, 6, 8]));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MimiConfig {
    /// Samples a second.
    pub sampling_rate: u32,
    /// Channels of the audio; only 1 is known.
    #[serde(default = "one")]
    pub audio_channels: usize,
    /// Frames of `z` a second, `_frame_rate` in newer files. May be left out: it follows from the strides.
    #[serde(default, alias = "_frame_rate")]
    pub frame_rate: Option<f64>,
    /// Width of the transformer and of the features.
    pub hidden_size: usize,
    /// Channels of the first convolution; each stage doubles them.
    pub num_filters: usize,
    /// Strides of the *decoder's* convolutions: the encoder has them in reverse.
    pub upsampling_ratios: Vec<usize>,
    /// Taps of the first convolution.
    pub kernel_size: usize,
    /// Taps of the last convolution.
    pub last_kernel_size: usize,
    /// Taps of a residual block's first convolution; the second has one.
    pub residual_kernel_size: usize,
    /// Residual blocks in a stage; only 1 is known.
    #[serde(default = "one")]
    pub num_residual_layers: usize,
    /// A block's channels over those inside it.
    pub compress: usize,
    /// Only `false` is known.
    #[serde(default)]
    pub use_conv_shortcut: bool,
    /// Only `true` is known.
    #[serde(default = "yes")]
    pub use_causal_conv: bool,
    /// Only `constant` is known.
    #[serde(default = "constant")]
    pub pad_mode: String,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Heads of keys and values; only as many as of queries are known.
    pub num_key_value_heads: usize,
    /// Width of a head; only `hidden_size / num_attention_heads` is known.
    #[serde(default)]
    pub head_dim: Option<usize>,
    /// Width inside a feed-forward part.
    pub intermediate_size: usize,
    /// Frames that a frame attends to, itself included.
    pub sliding_window: usize,
    /// Only `false` is known.
    #[serde(default)]
    pub attention_bias: bool,
    /// Only `gelu` is known.
    #[serde(default = "gelu")]
    pub hidden_act: String,
    /// Epsilon of the norms.
    pub norm_eps: f64,
    /// The rotary embedding's base in older files; only 10 000 is known.
    #[serde(default)]
    pub rope_theta: Option<f64>,
    /// `rope_theta` and `rope_type` in newer files; only 10 000 and `default` are known.
    #[serde(default)]
    pub rope_parameters: Option<Value>,
    /// Width between a quantiser's input and output projections.
    pub vector_quantization_hidden_dimension: usize,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

fn constant() -> String {
    "constant".to_owned()
}

fn gelu() -> String {
    "gelu".to_owned()
}

impl MimiConfig {
    /// `kyutai/mimi`, the release's alternative encoder: 8 layers of width 512.
    pub fn kyutai() -> Self {
        Self {
            sampling_rate: 24_000,
            audio_channels: 1,
            frame_rate: Some(12.5),
            hidden_size: 512,
            num_filters: 64,
            upsampling_ratios: vec![8, 6, 5, 4],
            kernel_size: 7,
            last_kernel_size: 3,
            residual_kernel_size: 3,
            num_residual_layers: 1,
            compress: 2,
            use_conv_shortcut: false,
            use_causal_conv: true,
            pad_mode: constant(),
            num_hidden_layers: 8,
            num_attention_heads: 8,
            num_key_value_heads: 8,
            head_dim: Some(64),
            intermediate_size: 2048,
            sliding_window: 250,
            attention_bias: false,
            hidden_act: gelu(),
            norm_eps: 1e-5,
            rope_theta: Some(ROPE_THETA),
            rope_parameters: None,
            vector_quantization_hidden_dimension: 256,
        }
    }

    /// Strides of the encoder's stages, in their order.
    pub fn strides(&self) -> Vec<usize> {
        self.upsampling_ratios.iter().rev().copied().collect()
    }

    /// Samples of one frame of the transformer.
    pub fn hop(&self) -> usize {
        self.upsampling_ratios.iter().product()
    }

    /// Numbers in the matrices of the transformer and the convolutions: nearly all that the encoder has.
    pub fn numbers(&self) -> u64 {
        let width = self.hidden_size as u64;
        let layer = 4 * width * width + 2 * width * self.intermediate_size as u64;
        // A stage's strided convolution to twice the channels, and the block before it.
        let stage = |(index, stride): (usize, usize)| {
            let channels = (self.num_filters << index) as u64;
            let inside = channels / self.compress as u64;
            4 * channels * channels * stride as u64
                + channels * inside * (self.residual_kernel_size as u64 + 1)
        };
        let stages: u64 = self.strides().into_iter().enumerate().map(stage).sum();
        let last =
            width * (self.num_filters << self.upsampling_ratios.len()) as u64 * self.last_kernel_size as u64;
        self.num_hidden_layers as u64 * layer + stages + last + 2 * LATENT_STRIDE as u64 * width * width
    }

    /// Features that `samples` samples at the other models' 16 kHz give: 100 for 4 s.
    pub fn features_16k(&self, samples: usize) -> usize {
        let own = samples as u64 * u64::from(self.sampling_rate);
        let frames = own.div_ceil(u64::from(MODEL_RATE)).div_ceil(self.hop() as u64);
        frames.next_multiple_of(LATENT_STRIDE as u64) as usize
    }

    /// Checks the sizes against each other and against sane bounds.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn validate(&self) -> Result<()> {
        check_transformer("encoder", self.hidden_size, self.num_attention_heads, self.num_hidden_layers)?;
        check_size("encoder.intermediate_size", self.intermediate_size, 65_536)?;
        check_size("encoder.sliding_window", self.sliding_window, 65_536)?;
        check_size("encoder.sampling_rate", self.sampling_rate as usize, 384_000)?;
        let inside = self.vector_quantization_hidden_dimension;
        check_size("encoder.vector_quantization_hidden_dimension", inside, 16_384)?;
        if inside == self.hidden_size {
            let what = format!(
                "{inside}, the width, means no projections around the quantisers, which the features need"
            );
            return Err(Error::config("encoder.vector_quantization_hidden_dimension", what));
        }
        self.validate_convolutions()?;
        self.validate_frame_rate()?;
        self.validate_kind()
    }

    fn validate_convolutions(&self) -> Result<()> {
        for (name, taps) in [
            ("kernel_size", self.kernel_size),
            ("last_kernel_size", self.last_kernel_size),
            ("residual_kernel_size", self.residual_kernel_size),
        ] {
            check_size(&format!("encoder.{name}"), taps, 64)?;
        }
        check_size("encoder.upsampling_ratios", self.upsampling_ratios.len(), 5)?;
        for &stride in &self.upsampling_ratios {
            check_size("encoder.upsampling_ratios", stride, 64)?;
        }
        check_size("encoder.num_filters", self.num_filters, 1024)?;
        check_size(
            "encoder.num_filters doubled in every stage",
            self.num_filters << self.upsampling_ratios.len(),
            16_384,
        )?;
        check_size("encoder.compress", self.compress, self.num_filters)
    }

    /// The strides must make the frame rate that the file claims, with the one halving that we know.
    fn validate_frame_rate(&self) -> Result<()> {
        let frame = self.hop() * LATENT_STRIDE;
        let made = f64::from(self.sampling_rate) / frame as f64;
        match self.frame_rate {
            Some(claimed) if (claimed - made).abs() > 1e-6 * made => Err(Error::config(
                "encoder.frame_rate",
                format!("expected {made}, one frame in {frame} samples, got {claimed}"),
            )),
            _ => Ok(()),
        }
    }

    /// Settings of which one value is known: anything else would be computed wrongly.
    fn validate_kind(&self) -> Result<()> {
        let theta = |value: &Value| value.get("rope_theta").and_then(Value::as_f64);
        let kind = |value: &Value| value.get("rope_type").and_then(Value::as_str).map(str::to_owned);
        let rope = self.rope_parameters.as_ref();
        let base = rope.and_then(theta).or(self.rope_theta).unwrap_or(ROPE_THETA);
        let head = self.hidden_size / self.num_attention_heads;
        let settings = [
            ("audio_channels", self.audio_channels.to_string(), "1".to_owned()),
            ("num_residual_layers", self.num_residual_layers.to_string(), "1".to_owned()),
            ("use_conv_shortcut", self.use_conv_shortcut.to_string(), "false".to_owned()),
            ("use_causal_conv", self.use_causal_conv.to_string(), "true".to_owned()),
            ("pad_mode", self.pad_mode.clone(), constant()),
            (
                "num_key_value_heads",
                self.num_key_value_heads.to_string(),
                self.num_attention_heads.to_string(),
            ),
            ("head_dim", self.head_dim.unwrap_or(head).to_string(), head.to_string()),
            ("attention_bias", self.attention_bias.to_string(), "false".to_owned()),
            ("hidden_act", self.hidden_act.clone(), gelu()),
            ("rope_theta", base.to_string(), ROPE_THETA.to_string()),
            ("rope_type", rope.and_then(kind).unwrap_or("default".to_owned()), "default".to_owned()),
        ];
        match settings.into_iter().find(|(_, got, expected)| got != expected) {
            Some((name, got, expected)) => {
                Err(Error::config(format!("encoder.{name}"), format!("expected {expected}, got {got}")))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names the field at fault.
    fn place(change: impl FnOnce(&mut MimiConfig)) -> String {
        let mut config = MimiConfig::kyutai();
        change(&mut config);
        match config.validate() {
            Err(Error::Config(fault)) => fault.place,
            other => panic!("expected a configuration fault, got {other:?}"),
        }
    }

    #[test]
    fn unknown_settings_are_refused_by_name() {
        assert_eq!(place(|c| c.audio_channels = 2), "encoder.audio_channels");
        assert_eq!(place(|c| c.num_residual_layers = 3), "encoder.num_residual_layers");
        assert_eq!(place(|c| c.use_conv_shortcut = true), "encoder.use_conv_shortcut");
        assert_eq!(place(|c| c.use_causal_conv = false), "encoder.use_causal_conv");
        assert_eq!(place(|c| c.pad_mode = "reflect".to_owned()), "encoder.pad_mode");
        assert_eq!(place(|c| c.num_key_value_heads = 2), "encoder.num_key_value_heads");
        assert_eq!(place(|c| c.head_dim = Some(32)), "encoder.head_dim");
        assert_eq!(place(|c| c.attention_bias = true), "encoder.attention_bias");
        assert_eq!(place(|c| c.hidden_act = "relu".to_owned()), "encoder.hidden_act");
        assert_eq!(place(|c| c.rope_theta = Some(500.0)), "encoder.rope_theta");
        let newer = |text: &str| serde_json::from_str(text).ok();
        assert_eq!(place(|c| c.rope_parameters = newer(r#"{"rope_theta": 2.0}"#)), "encoder.rope_theta");
        assert_eq!(place(|c| c.rope_parameters = newer(r#"{"rope_type": "yarn"}"#)), "encoder.rope_type");
    }

    #[test]
    fn impossible_sizes_are_refused_by_name() {
        assert_eq!(place(|c| c.upsampling_ratios = vec![]), "encoder.upsampling_ratios");
        assert_eq!(place(|c| c.upsampling_ratios = vec![8, 0, 5, 4]), "encoder.upsampling_ratios");
        assert_eq!(place(|c| c.kernel_size = 0), "encoder.kernel_size");
        assert_eq!(place(|c| c.compress = 65), "encoder.compress");
        assert_eq!(place(|c| c.num_filters = usize::MAX), "encoder.num_filters");
        assert_eq!(place(|c| c.num_attention_heads = 0), "encoder.heads");
        assert_eq!(place(|c| c.frame_rate = Some(25.0)), "encoder.frame_rate");
        let field = "encoder.vector_quantization_hidden_dimension";
        assert_eq!(place(|c| c.vector_quantization_hidden_dimension = 512), field);
    }
}
