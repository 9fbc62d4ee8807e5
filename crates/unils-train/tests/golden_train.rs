//! Three steps of each stage against the reference: losses, gradients, norms, parameters.

#![allow(clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

#[path = "../../unils/tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use common::{Golden, codec_config, fixture, generator_config, largest_difference, values};
use unils::checkpoint::TensorFile;
use unils::codec::Codec;
use unils::face::flame::Flame;
use unils::generator::{Conditions, Generator};
use unils::motion::Space;
use unils::nn::{AdapterConfig, Loader, Parameter, TensorSource, TrainingPlan};
use unils_train::face_loss::FaceLoss;
use unils_train::loss::{CodecLoss, CodecWeights, GeneratorBatch, generator_loss, pose_channels};
use unils_train::masks::{Masks, Spoiling};
use unils_train::optim::{AdamW, Average, GradientMap, Optimizer};
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
        let value = param.val();
        let value = if value.is_autodiff() { value.inner() } else { value };
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

fn check_parameters<M: Module>(golden: &Golden, prefix: &str, parameters: &[Parameter], module: &M) {
    let mut named = Named { parameters, found: BTreeMap::new() };
    module.visit(&mut named);
    assert_eq!(named.found.len(), golden.count(&format!("{prefix}.")), "parameters of {prefix}");
    for (name, ours) in named.found {
        let error = largest_difference(&ours, &golden.values(&format!("{prefix}.{name}")));
        assert!(error <= 1e-4, "{prefix}.{name}: off by {error:.1e}");
    }
}

const STEPS: usize = 3;

/// Decay of the reference's averages.
const DECAY: f64 = 0.9;

/// Three steps as the release makes them: clipped at norm 1, AdamW. Checks losses, norms, the first gradients and what
/// becomes of the parameters and, where the reference has it, of their average. `loss_of` gives the loss before a step.
fn three_steps<M: Module>(
    golden: &Golden,
    mut module: M,
    parameters: &[Parameter],
    loss_of: impl Fn(&M, usize) -> Tensor<1>,
) {
    let mut optimizer = Optimizer::new(AdamW::default());
    let mut average = Average::new(DECAY, &module);
    let (losses, norms, rates) = (golden.values("losses"), golden.values("grad_norms"), golden.values("lrs"));
    let relative = |ours: f64, theirs: f32| (ours / f64::from(theirs) - 1.0).abs();
    let loss = |module: &M, step: usize| {
        let value = loss_of(module, step);
        let total = f64::from(value.clone().into_scalar::<f32>());
        assert!(relative(total, losses[step]) < 1e-3, "loss {step}: {total}, expected {}", losses[step]);
        value
    };
    for step in 0..STEPS {
        let gradients = GradientMap::of(&module, loss(&module, step).backward());
        if step == 0 {
            check_gradients(golden, "grad0", parameters, &gradients);
        }
        let norm = gradients.norm();
        assert!(relative(norm, norms[step]) < 1e-3, "norm {step}: {norm}, expected {}", norms[step]);
        module = optimizer.step(module, gradients.clip(norm, 1.0), f64::from(rates[step]));
        average.update(&module);
    }
    loss(&module, STEPS);
    check_parameters(golden, "final", parameters, &module);
    if golden.count("ema.") > 0 {
        check_parameters(golden, "ema", parameters, &average.apply(module));
    }
}

/// A generator's loss on a batch with nothing spoilt.
fn plain_loss(batch: &GeneratorBatch) -> impl Fn(&Generator, usize) -> Tensor<1> {
    move |generator, step| {
        let mut masks = Masks::new(0, step as u64, &Device::flex());
        generator_loss(generator, batch, &Spoiling::none(), &mut masks)
    }
}

/// The reference's codec before its first step.
fn codec_in_training() -> (Codec, Vec<Parameter>) {
    let file = TensorFile::open(fixture("weights/codec_tiny.safetensors")).unwrap();
    let plan = TrainingPlan::everything();
    let loader = Loader::for_training(&file, &Device::flex(), false, &plan);
    let codec = Codec::load(&codec_config(), &loader).unwrap();
    (codec, loader.parameters())
}

/// The codec's terms on the reference's batch, each checked against the reference's of that step.
fn codec_loss(golden: &Golden, codec: &Codec, face: Option<&FaceLoss>, step: usize) -> CodecLoss {
    let weights = CodecWeights::default();
    let truth: Tensor<3> = golden.tensor("batch.motion_code");
    let quantized = codec.quantizer().quantize(codec.encode(truth.clone()));
    let predicted = codec.decode(quantized.sum.clone());
    let pose = pose_channels(Space::Flame108);
    let mut loss = CodecLoss::of_motion(codec, &weights, &truth, &predicted, &quantized, &pose);
    if let Some(face) = face {
        loss = loss.with_face(face, &weights, &truth, &predicted);
    }
    let names =
        ["vq_loss", "exp_loss", "pose_loss", "head_vel_loss", "head_smooth_loss", "mesh_loss", "lips_loss"];
    for (name, (_, term)) in names.iter().zip(&loss.terms) {
        golden.check_values(&format!("step{step}.loss.{name}"), &values(term.clone()), 1e-4);
    }
    loss
}

#[test]
fn codec_gradients_without_a_face() {
    let golden = Golden::open("train_codec.safetensors");
    let (codec, parameters) = codec_in_training();
    let loss = codec_loss(&golden, &codec, None, 0);
    let gradients = GradientMap::of(&codec, loss.total().backward());
    check_gradients(&golden, "grad0_nomesh", &parameters, &gradients);
}

/// With the mesh terms, on the full-size synthetic FLAME model that the reference was made with (27 MB, not in the
/// repository): `$UNILS_GOLDEN/flame/`, or beside the repository.
#[test]
fn codec_steps_with_a_face() {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden"));
    let folder = std::env::var_os("UNILS_GOLDEN").map_or(beside, PathBuf::from);
    let model = folder.join("flame/flame_2020.pt");
    if !model.is_file() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {} is not there; set UNILS_GOLDEN to the golden data's folder",
            model.display()
        );
        return;
    }
    let face = FaceLoss::flame(&Flame::open(&model).unwrap(), &Device::flex()).unwrap();
    let golden = Golden::open("train_codec.safetensors");
    let (codec, parameters) = codec_in_training();
    three_steps(&golden, codec, &parameters, |codec, step| {
        codec_loss(&golden, codec, Some(&face), step).total()
    });
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
    three_steps(&golden, generator, &loader.parameters(), plain_loss(&batch));
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
    three_steps(&golden, generator, &loader.parameters(), plain_loss(&batch));
}

/// The same model with its adapters folded into the matrices beside them.
struct Folded(Start);

impl TensorSource for Folded {
    fn place(&self) -> String {
        self.0.place()
    }

    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn shape(&self, name: &str, wanted: &[usize]) -> Option<Vec<usize>> {
        self.0.shape(name, wanted)
    }

    fn read(&self, name: &str, wanted: &[usize], use_values: &mut dyn FnMut(&[f32])) -> unils::Result<()> {
        let layer = name.trim_end_matches(".weight");
        let [(down, down_name), (up, up_name)] =
            ["lora_A", "lora_B"].map(|part| self.0.pick(&format!("{layer}.{part}")));
        if down.info(&down_name).is_none() {
            return self.0.read(name, wanted, use_values);
        }
        let (down, up) = (down.read_f32(&down_name)?, up.read_f32(&up_name)?);
        self.0.read(name, wanted, &mut |weight| {
            use_values(&dual_track_plan().adapter().fold(weight, &down, &up, wanted[1]));
        })
    }
}

#[test]
fn adapters_beside_and_inside_the_weights() {
    let golden = Golden::open("lora.safetensors");
    let (plan, device, batch) = (dual_track_plan(), Device::flex(), dyads());
    let logits = |generator: &Generator| {
        let codec = generator.codec();
        let conditions = Conditions {
            style: codec.features(batch.style.clone()),
            previous: codec.features(batch.previous.clone()),
            voices: batch.voices.clone(),
        };
        let bits = codec.quantizer().quantize(codec.encode(batch.motion.clone())).bits;
        let next = codec.quantizer().accumulated_next(bits);
        generator.forward(&conditions, Some(next), 5)
    };
    let load =
        |loader: &Loader<'_>| Generator::load(&generator_config(Some(32)), &codec_config(), loader).unwrap();
    let start = Start::open("lora.safetensors", "adapters");
    let wrapped = load(&Loader::for_training(&start, &device, true, &plan));
    golden.check("logits_wrapped", logits(&wrapped).inner(), 1e-4);
    for pack in [false, true] {
        let merged = load(&Loader::new(&Folded(Start::open("lora.safetensors", "adapters")), &device, pack));
        golden.check("logits_merged", logits(&merged), 1e-4);
    }
    let [base, down, up] = ["base_weight", "A", "B"].map(|name| golden.values(&format!("example.{name}")));
    golden.check_values("example.merged_weight", &plan.adapter().fold(&base, &down, &up, 32), 1e-6);
}
