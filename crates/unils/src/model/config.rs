//! Configurations: the presets that ship, the TOML form, and the release's `meta_cfg`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checkpoint::toml_fault;
use crate::codec::CodecConfig;
use crate::encoder::{EncoderSizes, LogMel, SpeechConfig};
use crate::error::{Error, Result};
use crate::generator::{GeneratorConfig, Hearing, Sampling};
use crate::motion::Space;

const PRESETS: [(&str, &str); 5] = [
    ("paper", include_str!("../../../../configs/paper.toml")),
    ("paper_small", include_str!("../../../../configs/paper_small.toml")),
    ("live", include_str!("../../../../configs/live.toml")),
    ("arkit_small", include_str!("../../../../configs/arkit_small.toml")),
    ("tiny", include_str!("../../../../configs/tiny.toml")),
];

/// Which speech encoder a model listens through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncoderKind {
    /// wav2vec 2.0, 50 features a second.
    Wav2Vec2,
    /// Mimi, 25 features a second.
    Mimi,
    /// Log-mel energies, 50 features a second; no weights.
    LogMel,
    /// Causal convolutions over them, 25 features a second.
    Speech,
}

/// Where the weights of a speech encoder lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderWeights {
    /// It has none.
    Nowhere,
    /// In the checkpoint of the model that listens through it.
    Checkpoint,
    /// In the folder of a Hugging Face repository.
    Repository,
}

impl EncoderKind {
    /// Where the weights lie.
    pub fn weights(self) -> EncoderWeights {
        match self {
            Self::LogMel => EncoderWeights::Nowhere,
            Self::Speech => EncoderWeights::Checkpoint,
            Self::Wav2Vec2 | Self::Mimi => EncoderWeights::Repository,
        }
    }
}

/// The speech encoder of a model. One of a repository has its sizes in its own `config.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderConfig {
    /// Architecture.
    pub kind: EncoderKind,
    /// Hugging Face repository of its weights, where they lie in one, and only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Sizes of [`EncoderKind::Speech`], and only of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speech: Option<SpeechConfig>,
}

impl EncoderConfig {
    /// The released model's choice for an architecture with weights of others, or the log-mel energies.
    pub fn released(kind: EncoderKind) -> Self {
        let repository = match kind {
            EncoderKind::Wav2Vec2 => Some("facebook/wav2vec2-xls-r-300m"),
            EncoderKind::Mimi => Some("kyutai/mimi"),
            EncoderKind::LogMel | EncoderKind::Speech => None,
        };
        Self { kind, repository: repository.map(str::to_owned), speech: None }
    }

    /// A speech encoder of these sizes, with its weights in the model's checkpoint.
    pub fn speech(sizes: SpeechConfig) -> Self {
        Self { kind: EncoderKind::Speech, repository: None, speech: Some(sizes) }
    }

    /// Sizes that the model's configuration decides; `None` where the encoder's own `config.json` does.
    pub fn fixed_sizes(&self) -> Option<EncoderSizes> {
        match self.kind {
            EncoderKind::LogMel => Some(EncoderSizes::LogMel),
            EncoderKind::Speech => self.speech.clone().map(EncoderSizes::Speech),
            EncoderKind::Wav2Vec2 | EncoderKind::Mimi => None,
        }
    }

    /// That weights are named and sizes given where they have to be, and that the generator can listen to `audio_dim`
    /// channels.
    fn validate(&self, audio_dim: Option<usize>) -> Result<()> {
        let is_fetched = self.kind.weights() == EncoderWeights::Repository;
        match (&self.repository, &self.speech) {
            (None, _) if is_fetched => {
                let error = Error::config("encoder.repository", "missing: this encoder has weights");
                return Err(error.with_hint("name the Hugging Face repository that they come from"));
            }
            (Some(repository), _) if !is_fetched => {
                let what =
                    format!("expected none, as this encoder has no weights elsewhere, got {repository}");
                return Err(Error::config("encoder.repository", what));
            }
            (_, None) if self.kind == EncoderKind::Speech => {
                return Err(Error::config("encoder.speech", "missing: the sizes of this encoder"));
            }
            (_, Some(_)) if self.kind != EncoderKind::Speech => {
                return Err(Error::config("encoder.speech", "expected none: it is for kind = \"speech\""));
            }
            (_, Some(sizes)) => sizes.validate()?,
            (_, None) => {}
        }
        let (name, expected) = match (self.kind, &self.speech) {
            (EncoderKind::LogMel, _) => ("logmel", LogMel::FEATURE_DIM),
            (EncoderKind::Speech, Some(sizes)) => ("speech", sizes.width),
            _ => return Ok(()),
        };
        match audio_dim {
            Some(got) if got != expected => Err(Error::config(
                "generator.audio_dim",
                format!("expected {expected} for {name}, got {got}"),
            )),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for EncoderConfig {
    /// The repository, or what the encoder is if it is not from one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.repository, &self.speech) {
            (Some(repository), _) => f.write_str(repository),
            (None, Some(sizes)) => write!(f, "the checkpoint's own, {} channels", sizes.width),
            (None, None) => f.write_str("log-mel energies (no weights)"),
        }
    }
}

/// Everything that decides what a model computes. The TOML form is `configs/*.toml` and lies beside each
/// checkpoint of our own form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Name of the preset.
    pub preset: String,
    /// Motion space.
    pub space: Space,
    /// Codec.
    pub codec: CodecConfig,
    /// Generator; `None` for a codec alone.
    pub generator: Option<GeneratorConfig>,
    /// Speech encoder; `None` without audio.
    pub encoder: Option<EncoderConfig>,
    /// Default sampling.
    #[serde(default)]
    pub sampling: Sampling,
}

impl ModelConfig {
    /// A preset that ships with the library.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown name.
    pub fn preset(name: &str) -> Result<Self> {
        match PRESETS.iter().find(|(preset, _)| *preset == name) {
            Some((_, text)) => Self::from_toml(text, name),
            None => {
                let known = Self::preset_names().join(", ");
                Err(Error::config("preset", format!("expected one of {known}, got {name}")))
            }
        }
    }

    /// Names of the presets.
    pub fn preset_names() -> [&'static str; PRESETS.len()] {
        PRESETS.map(|(name, _)| name)
    }

    /// Reads the TOML form; `place` names it in errors.
    ///
    /// # Errors
    /// [`Error::Config`] with the line, or with the field whose size is impossible.
    pub fn from_toml(text: &str, place: &str) -> Result<Self> {
        let config: Self =
            toml::from_str(text).map_err(|error| Error::config(place, toml_fault(text, &error)))?;
        config.checked()
    }

    /// The TOML form.
    ///
    /// # Errors
    /// [`Error::Config`] if a value has no TOML form.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::config(&self.preset, error))
    }

    /// From a checkpoint's own description: the release's `meta_cfg`, or our TOML form as JSON. `audio_dim` is
    /// the width of the checkpoint's audio features, which `meta_cfg` does not say.
    ///
    /// # Errors
    /// [`Error::Config`] naming the missing or impossible field.
    pub fn from_meta(meta: &Value, audio_dim: Option<usize>) -> Result<Self> {
        match meta.get("MODEL") {
            Some(model) => from_release(model, audio_dim)?.checked(),
            None => {
                let config = serde_json::from_value(meta.clone());
                config.map_err(|error| Error::config("configuration", error)).and_then(Self::checked)
            }
        }
    }

    /// The speech encoder whose weights lie in the model's own checkpoint, if it listens through such a one.
    pub fn own_encoder(&self) -> Option<&SpeechConfig> {
        self.encoder.as_ref().and_then(|encoder| encoder.speech.as_ref())
    }

    fn checked(self) -> Result<Self> {
        self.codec.validate()?;
        if self.codec.motion_dim != self.space.width() {
            let (space, width) = (self.space, self.space.width());
            let what = format!("{} channels, but {space} has {width}", self.codec.motion_dim);
            return Err(Error::config("codec.motion_dim", what));
        }
        if let Some(generator) = &self.generator {
            generator.validate()?;
        }
        if let Some(encoder) = &self.encoder {
            let audio_dim = self.generator.as_ref().and_then(|generator| generator.audio_dim);
            encoder.validate(audio_dim)?;
        }
        self.sampling.validate()?;
        Ok(self)
    }
}

/// The release's `MODEL` section: of a codec, of an audio-free generator or of a dual-track generator.
fn from_release(model: &Value, audio_dim: Option<usize>) -> Result<ModelConfig> {
    let codec_section = model.get("VAE_CONFIG").unwrap_or(model);
    let size = |section: &Value, key: &str| {
        section.get(key).and_then(Value::as_u64).map(|size| size as usize).ok_or_else(|| missing(key))
    };
    let schedule = codec_section.get("V_PATCH_NUMS").and_then(Value::as_array);
    let tokens = |tokens: &Value| tokens.as_u64().map(|tokens| tokens as usize);
    let schedule: Option<Vec<usize>> = schedule.and_then(|schedule| schedule.iter().map(tokens).collect());
    let schedule = schedule.ok_or_else(|| missing("V_PATCH_NUMS"))?;
    let codec = CodecConfig {
        motion_dim: size(codec_section, "MOTION_DIM")?,
        width: size(codec_section, "T_HIDDEN_DIM")?,
        heads: size(codec_section, "T_NUM_HEADS")?,
        depth: size(codec_section, "T_DEPTH")?,
        code_width: size(codec_section, "V_CODE_DIM")?,
        schedule,
        past: None,
        gains: Vec::new(),
        parts: Vec::new(),
    };
    let generator = match model.get("VAE_CONFIG") {
        None => None,
        Some(_) => Some(GeneratorConfig {
            width: size(model, "T_EMBED_DIM")?,
            heads: size(model, "T_NUM_HEAD")?,
            depth: size(model, "T_DEPTH")?,
            audio_dim,
            hearing: Hearing::Both,
            causal: None,
        }),
    };
    let encoder = match model.get("AUDIO_ENCODER").and_then(Value::as_str) {
        Some("mimi") => Some(EncoderKind::Mimi),
        Some(name) if name.starts_with("wav2vec") => Some(EncoderKind::Wav2Vec2),
        Some(name) => {
            let what = format!("expected wav2vec or mimi, got {name}");
            return Err(Error::config("AUDIO_ENCODER", what));
        }
        None => None,
    };
    Ok(ModelConfig {
        preset: model.get("NAME").and_then(Value::as_str).unwrap_or("release").to_owned(),
        space: Space::from_width(codec.motion_dim).ok_or_else(|| {
            Error::config("MOTION_DIM", format!("no motion space has {} channels", codec.motion_dim))
        })?,
        codec,
        generator,
        encoder: encoder.map(EncoderConfig::released),
        sampling: Sampling::default(),
    })
}

fn missing(key: &str) -> Error {
    Error::config(format!("meta_cfg.MODEL.{key}"), "missing, or not a whole number or a list of them")
        .with_hint("name the sizes yourself with --preset")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_round_trip() {
        for name in ModelConfig::preset_names() {
            let config = ModelConfig::preset(name).unwrap();
            assert_eq!(config.preset, name);
            assert_eq!(ModelConfig::from_toml(&config.to_toml().unwrap(), name).unwrap(), config);
            let json = serde_json::to_value(&config).unwrap();
            assert_eq!(ModelConfig::from_meta(&json, None).unwrap(), config);
        }
    }

    #[test]
    fn an_encoder_without_weights_round_trips() {
        let mut config = ModelConfig::preset("paper_small").unwrap();
        config.encoder = Some(EncoderConfig::released(EncoderKind::LogMel));
        config.generator.as_mut().unwrap().audio_dim = Some(LogMel::FEATURE_DIM);
        let text = config.to_toml().unwrap();
        assert!(text.contains("kind = \"logmel\"") && !text.contains("repository"), "{text}");
        assert_eq!(ModelConfig::from_toml(&text, "test.toml").unwrap(), config);
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(ModelConfig::from_meta(&json, None).unwrap(), config);
    }

    #[test]
    fn impossible_configurations_name_the_field() {
        let paper = include_str!("../../../../configs/paper.toml");
        for (from, to, place) in [
            ("motion_dim = 108", "motion_dim = 107", "motion_dim"),
            ("heads = 8", "heads = 7", "codec"),
            ("schedule = [1, 5, 25, 50, 100]", "schedule = [5, 1]", "schedule"),
            ("top_p = 0.97", "top_p = 2.0", "top-p"),
            ("preset = \"paper\"", "preset = \"paper\"\nspeed = 3", "speed"),
        ] {
            let error = ModelConfig::from_toml(&paper.replacen(from, to, 1), "test.toml").unwrap_err();
            assert!(error.to_string().contains(place), "{place}: {error}");
        }
        let repository = "repository = \"facebook/wav2vec2-xls-r-300m\"\n";
        for (from, to, place) in [
            (repository, "", "encoder.repository: missing"),
            ("\"wav2vec2\"", "\"logmel\"", "expected none"),
            ("\"wav2vec2\"\n", "\"logmel\"\n# ", "expected 160 for logmel, got 1024"),
        ] {
            let error = ModelConfig::from_toml(&paper.replacen(from, to, 1), "test.toml").unwrap_err();
            assert!(error.to_string().contains(place), "{place}: {error}");
        }
        let meta = serde_json::json!({ "MODEL": { "V_PATCH_NUMS": [1, 2.5, 5] } });
        let error = ModelConfig::from_meta(&meta, None).unwrap_err();
        assert!(error.to_string().contains("V_PATCH_NUMS"), "{error}");
        let error = ModelConfig::from_toml("preset = 1\nspace = ?", "test.toml").unwrap_err().to_string();
        assert!(error.starts_with("test.toml: line 2: ") && !error.contains('\n'), "{error}");
        assert!(ModelConfig::preset("papr").unwrap_err().to_string().contains("paper_small"));
    }
}
