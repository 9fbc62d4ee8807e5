//! A stage's network and what a step of it minimises.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use unils::codec::{Codec, PartConfig};
use unils::encoder::Encoder;
use unils::face::flame::Flame;
use unils::face::{DefaultLook, default_head};
use unils::generator::{CausalGenerator, Generator, Hearing, STYLE_ROWS};
use unils::model::ModelConfig;
use unils::motion::{Group, Space};
use unils::nn::{Loader, Role, TrainingPlan};
use unils::{Error, Result};

use crate::answers::answer_frames;
use crate::data::{Batch, ClipRule, View};
use crate::face_loss::FaceLoss;
use crate::loss::{CodecLoss, CodecWeights, GeneratorBatch, causal_losses, generator_loss, pose_channels};
use crate::masks::{Masks, Spoiling};
use crate::plan::dual_track_role;
use crate::recipe::{Precision, Stage, StageRecipe};
use crate::run::RunConfig;
use crate::speech::{self, SpeechNet, SpeechTargets, SpeechWeights, speech_loss};
use crate::timbre::{self, Timbre};

/// What is trained.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one")]
pub(super) enum Net {
    /// The motion codec.
    Codec(Codec),
    /// A generator with its frozen codec.
    Generator(Generator),
    /// The same of the block-causal layout.
    Causal(CausalGenerator),
    /// A speech encoder with its heads.
    Speech(SpeechNet),
}

impl Net {
    /// Builds the network of a configuration.
    pub(super) fn load(model: &ModelConfig, loader: &Loader<'_>) -> Result<Self> {
        match (&model.generator, model.own_encoder()) {
            (None, Some(sizes)) => SpeechNet::load(sizes, model.space, loader).map(Self::Speech),
            (None, None) => Codec::load(&model.codec, loader).map(Self::Codec),
            (Some(sizes), _) if sizes.causal.is_some() => {
                CausalGenerator::load(sizes, &model.codec, loader).map(Self::Causal)
            }
            (Some(sizes), _) => Generator::load(sizes, &model.codec, loader).map(Self::Generator),
        }
    }
}

/// Which tensors a run trains, and how.
pub(super) fn plan(config: &RunConfig) -> TrainingPlan {
    let plan = match config.stage {
        Stage::DualTrack if !config.single_stage && config.recipe.adapter.rank > 0 => {
            TrainingPlan::new(dual_track_role, config.recipe.adapter)
        }
        _ => TrainingPlan::new(|_| Role::Trained, config.recipe.adapter),
    };
    plan.in_half(config.recipe.precision == Precision::Bf16)
}

/// The clips that a model is trained on: windows, the windows before them, and style clips of the same length; for a
/// block-causal model clips of many windows, and people's manner.
pub(super) fn rule(stage: Stage, model: &ModelConfig, recipe: &StageRecipe) -> ClipRule {
    if stage == Stage::Speech {
        return speech::clip_rule();
    }
    let window = model.codec.schedule.last().copied().unwrap_or_default();
    if model.codec.past.is_none() {
        return ClipRule { shortest: window, ..ClipRule::release(window) };
    }
    let clip = recipe.windows_of_clip(window) * window;
    ClipRule { previous: 0, style: STYLE_ROWS, manner: true, shortest: clip, ..ClipRule::release(clip) }
}

/// One person or two.
pub(super) fn view(stage: Stage) -> View {
    match stage {
        Stage::Codec | Stage::AudioFree => View::Motion,
        Stage::DualTrack => View::Dyad,
        Stage::Speech => View::Voice,
    }
}

/// What stays the same through a training: how batches become losses.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) rule: ClipRule,
    pub(super) view: View,
    space: Space,
    hearing: Hearing,
    weights: CodecWeights,
    /// Of the bits of a token, `(1, 1, C)`.
    bit_weights: Tensor<3>,
    cue_weight: f64,
    /// Of the codec.
    parts: Vec<PartConfig>,
    schedule: Vec<usize>,
    speech_weights: SpeechWeights,
    face: Option<FaceLoss>,
    encoder: Option<Encoder>,
    device: Device,
}

/// What the codec's mesh terms are measured on: the named FLAME model, or for ARKit motion our own head.
fn face(config: &RunConfig, device: &Device) -> Result<Option<FaceLoss>> {
    let CodecWeights { mesh, lips, .. } = config.recipe.codec_loss;
    if config.stage != Stage::Codec || mesh == 0.0 && lips == 0.0 {
        return Ok(None);
    }
    match (&config.flame, config.model.space) {
        (Some(flame), Space::Flame108) => FaceLoss::flame(&Flame::open(flame)?, device).map(Some),
        (Some(flame), space) => {
            Err(Error::argument(flame.display(), format!("FLAME cannot show {space} motion"))
                .with_hint("leave out --flame: the terms are then measured on our own head"))
        }
        (None, Space::Arkit55) => FaceLoss::rig(&default_head(DefaultLook::A)?, device).map(Some),
        (None, Space::Flame108) => Ok(None),
    }
}

/// Checks that the parts that are weighed are the codec's.
pub(super) fn check_part_weights(config: &RunConfig) -> Result<()> {
    let parts = &config.model.codec.parts;
    let is_known = |name: &str| parts.iter().any(|part| part.name == name);
    match config.recipe.part_weights.keys().find(|name| !is_known(name)) {
        Some(name) => Err(Error::config("part_weights", format!("the codec has no part {name:?}"))),
        None => Ok(()),
    }
}

/// Refuses what a model cannot have spoilt: timbres without an encoder for them, a past where no window sees many.
pub(super) fn check_spoiling(config: &RunConfig) -> Result<()> {
    let RunConfig { stage, model, recipe, .. } = config;
    let fault = |name: &str, what| Err(Error::config(name, what).with_hint("set it to 0"));
    let is_deaf = *stage == Stage::DualTrack && model.own_encoder().is_none();
    for (name, share) in
        [("spoiling.timbre", recipe.spoiling.timbre), ("spoiling.noise", recipe.spoiling.noise)]
    {
        if is_deaf && share > 0.0 {
            return fault(name, "only a speech encoder of the model's own can hear what no recording has");
        }
    }
    let is_causal = model.generator.as_ref().is_some_and(|generator| generator.causal.is_some());
    if recipe.spoiling.own_past > 0.0 && matches!(stage, Stage::AudioFree | Stage::DualTrack) && !is_causal {
        return fault("spoiling.own_past", "only a block-causal generator sees many windows at once");
    }
    Ok(())
}

/// How much each bit of a token counts, with a mean of one.
fn bit_weights(config: &RunConfig, device: &Device) -> Tensor<3> {
    let codec = &config.model.codec;
    let wanted = &config.recipe.part_weights;
    let of_part = |part: &PartConfig| {
        std::iter::repeat_n(wanted.get(&part.name).copied().unwrap_or(1.0), part.code_width)
    };
    let mut weights: Vec<f64> = codec.parts.iter().flat_map(of_part).collect();
    weights.resize(codec.code_width, 1.0);
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    let weights = weights.iter().map(|weight| (weight / mean) as f32).collect();
    Tensor::from_data(TensorData::new::<f32, _>(weights, [1, 1, codec.code_width]), device)
}

/// A loss and its terms, scalars.
pub(super) struct Loss {
    pub(super) total: Tensor<1>,
    pub(super) terms: Vec<(&'static str, Tensor<1>)>,
}

impl Task {
    pub(super) fn new(config: &RunConfig, encoder: Option<Encoder>, device: &Device) -> Result<Self> {
        Ok(Self {
            rule: rule(config.stage, &config.model, &config.recipe),
            view: view(config.stage),
            space: config.model.space,
            hearing: config.model.generator.as_ref().map(|g| g.hearing).unwrap_or_default(),
            weights: config.recipe.codec_loss,
            bit_weights: bit_weights(config, device),
            cue_weight: config.recipe.cue_weight,
            parts: config.model.codec.parts.clone(),
            schedule: config.model.codec.schedule.clone(),
            speech_weights: config.recipe.speech_loss,
            face: face(config, device)?,
            encoder,
            device: device.clone(),
        })
    }

    /// The loss of a batch, spoilt as the recipe says or, for a look at other data, not at all.
    pub(super) fn loss(
        &self,
        net: &Net,
        batch: &Batch,
        spoiling: &Spoiling,
        masks: &mut Masks,
    ) -> Result<Loss> {
        match net {
            Net::Codec(codec) => Ok(self.codec_loss(codec, self.motion(&batch.motion, batch))),
            Net::Generator(generator) => {
                let total = generator_loss(generator, &self.inputs(batch, spoiling, masks)?, spoiling, masks);
                Ok(Loss { total, terms: Vec::new() })
            }
            Net::Causal(generator) => {
                let losses =
                    causal_losses(generator, &self.inputs(batch, spoiling, masks)?, spoiling, masks)?;
                Ok(Loss { total: (losses * self.weights_of(batch)?).mean(), terms: Vec::new() })
            }
            Net::Speech(net) => {
                let mut audio = batch.audio.clone();
                masks.add_noise(&mut audio, batch.size, spoiling.noise);
                let (waves, targets) = self.voices_told(audio, batch)?;
                let levels = masks.levels(batch.size, spoiling.level);
                let levels = Tensor::from_data(TensorData::new(levels, [batch.size, 1]), &self.device);
                let timbres = masks.timbres(batch.size, spoiling.timbre);
                let heard = net.forward((waves * levels).clamp(-1.0, 1.0), &timbres);
                let terms = speech_loss(&heard, &targets, &self.speech_weights);
                let total = Tensor::cat(terms.iter().map(|(_, term)| term.clone()).collect(), 0).sum();
                Ok(Loss { total, terms })
            }
        }
    }

    fn inputs(&self, batch: &Batch, spoiling: &Spoiling, masks: &mut Masks) -> Result<GeneratorBatch> {
        Ok(GeneratorBatch {
            motion: self.motion(&batch.motion, batch),
            previous: self.motion(&batch.previous, batch),
            style: self.motion(&batch.style, batch),
            voices: self.voices(batch, spoiling, masks)?,
        })
    }

    /// How much each bit of a batch counts, of a mean of one: `(1, 1, C)`, or `(P B, L, C)` where answers count more.
    fn weights_of(&self, batch: &Batch) -> Result<Tensor<3>> {
        if self.cue_weight == 1.0 || batch.audio.is_empty() || self.parts.is_empty() {
            return Ok(self.bit_weights.clone());
        }
        let window = self.schedule.last().copied().unwrap_or(1);
        let tokens: usize = self.schedule.iter().sum();
        let frames = batch.motion.len() / (2 * batch.size * self.space.width());
        // Who is predicted first hears the second half of the tracks, and the other way round.
        let (first, second) = batch.audio.split_at(batch.audio.len() / 2);
        let mut weights = Vec::new();
        for partner in [second, first].into_iter().flat_map(|half| half.chunks_exact(half.len() / batch.size))
        {
            for window in answer_frames(partner, frames)?.chunks_exact(window) {
                let answers = if window.contains(&true) { self.cue_weight as f32 } else { 1.0 };
                for part in std::iter::repeat_n(&self.parts, tokens).flatten() {
                    let weight = if part.groups.contains(&Group::Head) { answers } else { 1.0 };
                    weights.extend(std::iter::repeat_n(weight, part.code_width));
                }
            }
        }
        let shape = [2 * batch.size, frames / window * tokens, self.bit_weights.dims()[2]];
        let weights = Tensor::<3>::from_data(TensorData::new(weights, shape), &self.device);
        let weights = weights * self.bit_weights.clone();
        let mean = weights.clone().mean();
        Ok(weights / mean.reshape([1, 1, 1]))
    }

    /// How well a block-causal generator tells each part of the codec, mean nats a bit; and how well with the partner of
    /// somebody else in its ear, which is worse by what it learns from its own partner.
    pub(super) fn part_losses(
        &self,
        generator: &CausalGenerator,
        batch: &Batch,
        masks: &mut Masks,
    ) -> Result<Vec<(String, f64)>> {
        let inputs = self.inputs(batch, &Spoiling::none(), masks)?;
        let mut heard = vec![("", inputs.clone())];
        if inputs.voices.is_some() && batch.size > 1 {
            heard.push((", a stranger's voice", inputs.with_strangers()));
        }
        let mut told = Vec::new();
        for (how, inputs) in heard {
            let losses = causal_losses(generator, &inputs, &Spoiling::none(), masks)?;
            let mut from = 0;
            for part in &self.parts {
                let of_part = losses.clone().narrow(2, from, part.code_width).mean();
                told.push((format!("{}{how}", part.name), f64::from(of_part.into_scalar::<f32>())));
                from += part.code_width;
            }
        }
        Ok(told)
    }

    /// Single voices `(B, N)` and what is to be told of them.
    pub(super) fn voices_told(&self, audio: Vec<f32>, batch: &Batch) -> Result<(Tensor<2>, SpeechTargets)> {
        let shape = [batch.size, audio.len() / batch.size];
        let waves = Tensor::from_data(TensorData::new(audio, shape), &self.device);
        Ok((waves, SpeechTargets::of(batch, self.space, &self.device)?))
    }

    fn codec_loss(&self, codec: &Codec, truth: Tensor<3>) -> Loss {
        let latent = codec.encode(truth.clone());
        let shape = latent.dims();
        let quantized = codec.quantize(latent);
        let predicted = codec.decode(quantized.sum.clone().reshape(shape));
        let pose = pose_channels(self.space);
        let mut loss = CodecLoss::of_motion(codec, &self.weights, &truth, &predicted, &quantized, &pose);
        if let Some(face) = &self.face {
            loss = loss.with_face(face, &self.weights, &truth, &predicted);
        }
        Loss { total: loss.total(), terms: loss.terms }
    }

    /// Rows of motion, `(P B, n, M)`.
    fn motion(&self, values: &[f32], batch: &Batch) -> Tensor<3> {
        let (rows, width) = (batch.people * batch.size, self.space.width());
        let shape = [rows, values.len() / (rows * width), width];
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &self.device)
    }

    /// What each person of each dyad hears, `(2 B, S, A)` each: own voice and partner's, of the first person of every
    /// dyad, then of the second. A voice that becomes another one is that for both who hear it.
    fn voices(
        &self,
        batch: &Batch,
        spoiling: &Spoiling,
        masks: &mut Masks,
    ) -> Result<Option<[Tensor<3>; 2]>> {
        if batch.audio.is_empty() {
            return Ok(None);
        }
        let timbres = match spoiling.timbre {
            0.0 => Vec::new(),
            share => masks.timbres(2 * batch.size, share),
        };
        let (first, second) = batch.audio.split_at(batch.audio.len() / 2);
        let mut tracks = self.tracks(first, second);
        masks.add_noise(&mut tracks, 2 * batch.size, spoiling.noise);
        self.hear_tracks(tracks, batch.size, &timbres).map(Some)
    }

    /// Features of what the people of `dyads` dyads hear, from the tracks of all first and of all second people.
    pub(super) fn hear(&self, first: &[f32], second: &[f32], dyads: usize) -> Result<[Tensor<3>; 2]> {
        self.hear_tracks(self.tracks(first, second), dyads, &[])
    }

    /// What all first people say, and all second ones, as their encoder gets it.
    fn tracks(&self, first: &[f32], second: &[f32]) -> Vec<f32> {
        [self.hearing.own_track(first, second), self.hearing.own_track(second, first)].concat()
    }

    /// Features of [tracks](Self::tracks) with their [timbres](Timbre), or none at all.
    fn hear_tracks(
        &self,
        tracks: Vec<f32>,
        dyads: usize,
        timbres: &[Option<Timbre>],
    ) -> Result<[Tensor<3>; 2]> {
        let Some(encoder) = &self.encoder else {
            return Err(Error::config("encoder", "audio, but no speech encoder"));
        };
        let shape = [2 * dyads, tracks.len() / (2 * dyads)];
        let waves = Tensor::from_data(TensorData::new(tracks, shape), &self.device);
        let own = match encoder {
            Encoder::Speech(speech) if !timbres.is_empty() => {
                speech.forward_changed(waves, &|row, steps| timbre::change(timbres, row, steps))
            }
            _ => encoder.features(waves),
        };
        let half = |person: usize| own.clone().narrow(0, person * dyads, dyads);
        let partner = Tensor::cat(vec![half(1), half(0)], 0);
        Ok([own, partner])
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    pub(super) fn window(&self) -> usize {
        self.rule.clip
    }

    pub(super) fn space(&self) -> Space {
        self.space
    }
}
