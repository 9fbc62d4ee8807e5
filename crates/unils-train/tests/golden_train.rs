//! Three steps of each stage against the reference: losses, gradients, norms, parameters.

#![allow(clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

#[path = "../../unils/tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use common::{Golden, codec_config, fixture, generator_config, largest_difference, values};
use unils::checkpoint::TensorFile;
use unils::codec::Codec;
use unils::generator::{Conditions, Generator};
use unils::nn::{AdapterConfig, Loader, Parameter, TensorSource, TrainingPlan};
use unils_train::loss::{CodecLoss, CodecWeights, GeneratorBatch, generator_loss};
use unils_train::masks::{Masks, Spoiling};
use unils_train::optim::{AdamW, GradientMap, Optimizer};
use unils_train::plan::dual_track_role;

/// Flat values of each trained parameter by its checkpoint name, in the checkpoint's layout.
struct Named<'a> {
    parameters: &'a [Parameter],
    found: BTreeMap<String, Vec<f32>>,
}

impl Named<'_> {
    fn insert(&mut self, id: u64, flat: Tensor<1>) {
        // What is not trained has no name here.
        let Some(parameter) = self.parameters.iter().find(|parameter| parameter.id().val() == id) else {
            return;
        };
        let flat = if parameter.is_transposed {
            let [outputs, inputs] = [parameter.shape[0], parameter.shape[1]];
            values(flat.reshape([inputs, outputs]).transpose())
        } else {
            values(flat)
        };
        self.found.insert(parameter.name.clone(), flat);
    }
}

impl ModuleVisitor for Named<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val().inner();
        let count = value.dims().iter().product::<usize>();
        self.insert(param.id.val(), value.reshape([count]));
    }
}

fn named_gradients(parameters: &[Parameter], gradients: &GradientMap) -> BTreeMap<String, Vec<f32>> {
    let mut named = Named { parameters, found: BTreeMap::new() };
    for (id, gradient) in gradients.iter() {
        named.insert(id, gradient.clone());
    }
    named.found
}

fn check_gradients(golden: &Golden, prefix: &str, parameters: &[Parameter], gradients: &GradientMap) {
    let named = named_gradients(parameters, gradients);
    assert_eq!(named.len(), golden.count(&format!("{prefix}.")), "gradients of {prefix}");
    for (name, gradient) in named {
        golden.check_values(&format!("{prefix}.{name}"), &gradient, 1e-4);
    }
}

fn check_parameters(golden: &Golden, prefix: &str, parameters: &[Parameter], module: &Generator) {
    let mut named = Named { parameters, found: BTreeMap::new() };
    module.visit(&mut named);
    assert_eq!(named.found.len(), golden.count(&format!("{prefix}.")), "parameters of {prefix}");
    for (name, ours) in named.found {
        let error = largest_difference(&ours, &golden.values(&format!("{prefix}.{name}")));
        assert!(error <= 1e-4, "{prefix}.{name}: off by {error:.1e}");
    }
}

const STEPS: usize = 3;

/// Three steps as the release makes them: clipped at norm 1, AdamW. Checks losses, norms, the first gradients and what
/// becomes of the parameters.
fn three_steps(golden: &Golden, mut generator: Generator, parameters: &[Parameter], batch: &GeneratorBatch) {
    let mut optimizer = Optimizer::new(AdamW::default());
    let (losses, norms, rates) = (golden.values("losses"), golden.values("grad_norms"), golden.values("lrs"));
    let relative = |ours: f64, theirs: f32| (ours / f64::from(theirs) - 1.0).abs();
    let loss = |generator: &Generator, step: usize| {
        let mut masks = Masks::new(0, step as u64, &Device::flex());
        let value = generator_loss(generator, batch, &Spoiling::none(), &mut masks);
        let total = f64::from(value.clone().into_scalar::<f32>());
        assert!(relative(total, losses[step]) < 1e-3, "loss {step}: {total}, expected {}", losses[step]);
        value
    };
    for step in 0..STEPS {
        let gradients = GradientMap::of(&generator, loss(&generator, step).backward());
        if step == 0 {
            check_gradients(golden, "grad0", parameters, &gradients);
        }
        let norm = gradients.norm();
        assert!(relative(norm, norms[step]) < 1e-3, "norm {step}: {norm}, expected {}", norms[step]);
        generator = optimizer.step(generator, gradients.clip(norm, 1.0), f64::from(rates[step]));
    }
    loss(&generator, STEPS);
    check_parameters(golden, "final", parameters, &generator);
}

#[test]
fn codec_gradients_without_a_face() {
    let golden = Golden::open("train_codec.safetensors");
    let file = TensorFile::open(fixture("weights/codec_tiny.safetensors")).unwrap();
    let plan = TrainingPlan::everything();
    let loader = Loader::for_training(&file, &Device::flex(), false, &plan);
    let codec = Codec::load(&codec_config(), &loader).unwrap();
    let parameters = loader.parameters();
    let truth: Tensor<3> = golden.tensor("batch.motion_code");
    let quantized = codec.quantizer().quantize(codec.encode(truth.clone()));
    let predicted = codec.decode(quantized.sum.clone());
    let loss =
        CodecLoss::of_motion(&codec, &CodecWeights::default(), &truth, &predicted, &quantized, 100..104);
    let names = ["vq_loss", "exp_loss", "pose_loss", "head_vel_loss", "head_smooth_loss"];
    for (name, (_, term)) in names.iter().zip(&loss.terms) {
        golden.check_values(&format!("step0.loss.{name}"), &values(term.clone()), 1e-4);
    }
    let gradients = GradientMap::of(&codec, loss.total().backward());
    check_gradients(&golden, "grad0_nomesh", &parameters, &gradients);
}

#[test]
fn audio_free_steps() {
    let golden = Golden::open("train_freegen.safetensors");
    let file = TensorFile::open(fixture("weights/freegen_tiny.safetensors")).unwrap();
    let plan = TrainingPlan::everything();
    let device = Device::flex();
    let loader = Loader::for_training(&file, &device, true, &plan);
    let generator = Generator::load(&generator_config(None), &codec_config(), &loader).unwrap();
    let batch = GeneratorBatch {
        motion: golden.tensor("batch.motion_code"),
        previous: golden.tensor("batch.prev_motion_code"),
        style: golden.tensor("batch.style_motion_code"),
        voices: None,
    };
    three_steps(&golden, generator, &loader.parameters(), &batch);
}

/// The release's plan for the dual-track stage, without dropout.
fn dual_track_plan() -> TrainingPlan {
    let adapter = AdapterConfig { rank: 32, alpha: 32.0, dropout: 0.0 };
    TrainingPlan::new(dual_track_role, adapter)
}

/// The model that training starts from, with the reference's new tensors in place of its own.
struct Start {
    base: TensorFile,
    new: TensorFile,
    prefix: &'static str,
}

impl Start {
    fn open(new: &str, prefix: &'static str) -> Self {
        Self {
            base: TensorFile::open(fixture("weights/gen_tiny.safetensors")).unwrap(),
            new: TensorFile::open(fixture(new)).unwrap(),
            prefix,
        }
    }

    fn pick(&self, name: &str) -> (&TensorFile, String) {
        let new = format!("{}.{name}", self.prefix);
        if self.new.info(&new).is_some() { (&self.new, new) } else { (&self.base, name.to_owned()) }
    }
}

impl TensorSource for Start {
    fn place(&self) -> String {
        "reference".to_owned()
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn shape(&self, name: &str, _: &[usize]) -> Option<Vec<usize>> {
        let (file, name) = self.pick(name);
        file.info(&name).map(|info| info.shape)
    }

    fn read(&self, name: &str, _: &[usize], use_values: &mut dyn FnMut(&[f32])) -> unils::Result<()> {
        let (file, name) = self.pick(name);
        use_values(&file.read_f32(&name)?);
        Ok(())
    }
}

/// The reference's dyads as a doubled batch: all first participants, then all second ones.
fn dyads() -> GeneratorBatch {
    let golden = Golden::open("gen.safetensors");
    let people = |name: &str| -> Tensor<3> {
        let motion: Tensor<4> = golden.tensor(name);
        let [dyads, two, frames, channels] = motion.dims();
        motion.swap_dims(0, 1).reshape([two * dyads, frames, channels])
    };
    GeneratorBatch {
        motion: people("motion_code"),
        previous: people("prev_motion_code"),
        style: people("style_motion_code"),
        voices: Some([golden.tensor("self_audio_feat"), golden.tensor("other_audio_feat")]),
    }
}

#[test]
fn dual_track_steps() {
    let golden = Golden::open("train_gen.safetensors");
    let start = Start::open("train_gen.safetensors", "init");
    let (plan, device) = (dual_track_plan(), Device::flex());
    let loader = Loader::for_training(&start, &device, true, &plan);
    let generator = Generator::load(&generator_config(Some(32)), &codec_config(), &loader).unwrap();
    loader.finish().unwrap();
    let batch = dyads();
    three_steps(&golden, generator, &loader.parameters(), &batch);
}

#[test]
fn adapters_beside_and_inside_the_weights() {
    let golden = Golden::open("lora.safetensors");
    let start = Start::open("lora.safetensors", "adapters");
    let (plan, device) = (dual_track_plan(), Device::flex());
    let loader = Loader::for_training(&start, &device, true, &plan);
    let generator = Generator::load(&generator_config(Some(32)), &codec_config(), &loader).unwrap();
    let batch = dyads();
    let codec = generator.codec();
    let conditions = Conditions {
        style: codec.features(batch.style.clone()),
        previous: codec.features(batch.previous.clone()),
        voices: batch.voices.clone(),
    };
    let bits = codec.quantizer().quantize(codec.encode(batch.motion.clone())).bits;
    let next = codec.quantizer().accumulated_next(bits);
    let logits = generator.forward(&conditions, Some(next), 5);
    golden.check("logits_wrapped", logits.inner(), 1e-4);
}
