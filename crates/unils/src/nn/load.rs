//! From named tensors to layers: strict, with one report for everything that does not fit.
//!
//! A model's constructor asks its [`Loader`] for each tensor by the checkpoint's name and the shape that the
//! configuration demands. Problems are collected instead of stopping at the first one; [`Loader::finish`]
//! turns them into an error that lists them all.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use serde::Serialize;

use super::cpu::contiguous;
use super::train::{Adapter, AdapterConfig, Parameter, Role, TrainingPlan, name_hash};
use super::{Conv1d, ConvOptions, LayerNorm, Linear};
use crate::error::{Error, Result};

/// Where a model's tensors come from.
pub trait TensorSource {
    /// What to call the source in messages, e.g. its path.
    fn place(&self) -> String;
    /// All names, for the report of unused tensors; empty when the source makes tensors up.
    fn names(&self) -> Vec<String>;
    /// The shape under a name; `None` when there is no such tensor. `wanted` is the shape asked for.
    fn shape(&self, name: &str, wanted: &[usize]) -> Option<Vec<usize>>;
    /// Calls `use_values` with the row-major values of an existing tensor.
    fn read(&self, name: &str, wanted: &[usize], use_values: &mut dyn FnMut(&[f32])) -> Result<()>;
}

/// Seeded random weights of any architecture, for benchmarks and tests: nothing that a person should look at.
#[derive(Debug, Clone, Copy)]
pub struct RandomWeights {
    /// Same seed, same weights.
    pub seed: u64,
}

impl TensorSource for RandomWeights {
    fn place(&self) -> String {
        format!("random weights (seed {})", self.seed)
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn shape(&self, _name: &str, wanted: &[usize]) -> Option<Vec<usize>> {
        Some(wanted.to_vec())
    }

    fn read(&self, name: &str, wanted: &[usize], use_values: &mut dyn FnMut(&[f32])) -> Result<()> {
        // From the name: a tensor's values do not depend on the order in which tensors are asked for.
        let mut state = name_hash(name) ^ self.seed | 1;
        let fan_in: usize = wanted.iter().skip(1).product();
        // Norm scales and deviations near one, matrices at a size that keeps activations in range.
        let is_scale = wanted.len() == 1 && (name.ends_with("weight") || name.ends_with("std"));
        let (centre, spread) = if is_scale { (1.0, 0.1) } else { (0.0, (fan_in.max(1) as f32).powf(-0.5)) };
        let values: Vec<f32> = (0..wanted.iter().product())
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                centre + spread * ((state >> 40) as f32 / (1 << 23) as f32 - 1.0)
            })
            .collect();
        use_values(&values);
        Ok(())
    }
}

/// What a model took from a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// Tensors loaded.
    pub loaded: usize,
    /// Numbers loaded.
    pub parameters: usize,
    /// Tensors that the model needs and the checkpoint lacks.
    pub missing: Vec<String>,
    /// Tensors of another shape: name, expected, found.
    pub mismatched: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Tensors that cannot be read: name and reason.
    pub unreadable: Vec<(String, String)>,
    /// Tensors of the checkpoint that the model does not use.
    pub unused: Vec<String>,
}

impl LoadReport {
    /// True when every tensor that the model needs was there in the right shape.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.mismatched.is_empty() && self.unreadable.is_empty()
    }
}

/// Names listed in full before the rest is counted.
const LISTED: usize = 3;

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tensors, {} parameters loaded", self.loaded, self.parameters)?;
        let list = |f: &mut fmt::Formatter<'_>, what: &str, items: Vec<String>| {
            if items.is_empty() {
                return Ok(());
            }
            let more = items.len().saturating_sub(LISTED);
            write!(f, "; {} {what}: {}", items.len(), items[..items.len() - more].join(", "))?;
            if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
        };
        list(f, "missing", self.missing.clone())?;
        let mismatched = self.mismatched.iter();
        list(
            f,
            "of another shape",
            mismatched
                .map(|(name, expected, found)| format!("{name} (expected {expected:?}, found {found:?})"))
                .collect(),
        )?;
        let unreadable = self.unreadable.iter();
        list(f, "unreadable", unreadable.map(|(name, why)| format!("{name} ({why})")).collect())?;
        list(f, "unused", self.unused.clone())
    }
}

struct Shared<'a> {
    source: &'a dyn TensorSource,
    device: Device,
    pack: bool,
    plan: Option<&'a TrainingPlan>,
    asked: RefCell<BTreeSet<String>>,
    report: RefCell<LoadReport>,
    parameters: RefCell<Vec<Parameter>>,
}

/// A place in a checkpoint's tree of names, from which layers are made.
pub struct Loader<'a> {
    shared: Rc<Shared<'a>>,
    prefix: String,
    /// Whether this subtree is left as it is while the rest of the model is trained.
    is_frozen: bool,
}

impl<'a> Loader<'a> {
    /// The root of a source. `pack` lays weights out for the CPU route; leave it off on other devices, for
    /// training and for the plain reference.
    pub fn new(source: &'a dyn TensorSource, device: &Device, pack: bool) -> Self {
        Self::with_plan(source, device, pack, None)
    }

    /// The root of a source whose model is trained as `plan` says. `pack` concerns what stays frozen.
    pub fn for_training(
        source: &'a dyn TensorSource,
        device: &Device,
        pack: bool,
        plan: &'a TrainingPlan,
    ) -> Self {
        Self::with_plan(source, device, pack, Some(plan))
    }

    fn with_plan(
        source: &'a dyn TensorSource,
        device: &Device,
        pack: bool,
        plan: Option<&'a TrainingPlan>,
    ) -> Self {
        let shared = Shared {
            source,
            device: device.clone(),
            pack,
            plan,
            asked: RefCell::default(),
            report: RefCell::default(),
            parameters: RefCell::default(),
        };
        Self { shared: Rc::new(shared), prefix: String::new(), is_frozen: plan.is_none() }
    }

    /// The device that tensors are put on.
    pub fn device(&self) -> &Device {
        &self.shared.device
    }

    /// The subtree `name`.
    pub fn at(&self, name: impl fmt::Display) -> Self {
        Self {
            shared: Rc::clone(&self.shared),
            prefix: format!("{}{name}.", self.prefix),
            is_frozen: self.is_frozen,
        }
    }

    /// The same subtree, left as it is even if the rest of the model is trained.
    pub fn frozen(&self) -> Self {
        Self { shared: Rc::clone(&self.shared), prefix: self.prefix.clone(), is_frozen: true }
    }

    /// What training does with the tensor `name` of this subtree.
    fn role(&self, name: &str) -> Role {
        match self.shared.plan {
            Some(plan) if !self.is_frozen => plan.role(&format!("{}{name}", self.prefix)),
            _ => Role::Frozen,
        }
    }

    /// The tensors that training changes, in the order in which they were asked for.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.shared.parameters.borrow().clone()
    }

    /// A parameter from its tensor: with gradients if it is trained. `is_transposed` says that a checkpoint stores
    /// the matrix the other way round.
    fn parameter_of<const N: usize>(
        &self,
        name: &str,
        tensor: Tensor<N>,
        is_transposed: bool,
    ) -> Param<Tensor<N>> {
        let mut shape = tensor.dims().to_vec();
        if is_transposed {
            shape.reverse();
        }
        let parameter = Parameter { name: format!("{}{name}", self.prefix), shape, is_transposed };
        let id = parameter.id();
        self.shared.parameters.borrow_mut().push(parameter);
        Param::initialized(id, tensor.autodiff().require_grad())
    }

    /// A tensor that training may change.
    pub fn parameter<const N: usize>(&self, name: &str, shape: [usize; N]) -> Param<Tensor<N>> {
        let tensor = self.tensor(name, shape);
        match self.role(name) {
            Role::Trained => self.parameter_of(name, tensor, false),
            Role::Frozen | Role::Adapted => Param::from_tensor(tensor).set_require_grad(false),
        }
    }

    /// True when the source has the tensor in this subtree (random weights have every tensor).
    pub fn has(&self, name: &str) -> bool {
        self.shared.source.shape(&format!("{}{name}", self.prefix), &[]).is_some()
    }

    /// The row-major values of `name`, which must have `shape`; zeros after a problem, which is recorded.
    pub fn values<R>(&self, name: &str, shape: &[usize], use_values: impl FnOnce(&[f32]) -> R) -> R {
        let name = format!("{}{name}", self.prefix);
        let length: usize = shape.iter().product();
        let mut report = self.shared.report.borrow_mut();
        self.shared.asked.borrow_mut().insert(name.clone());
        let mut use_values = Some(use_values);
        let mut result = None;
        match self.shared.source.shape(&name, shape) {
            None => report.missing.push(name),
            Some(found) if found != shape => report.mismatched.push((name, shape.to_vec(), found)),
            Some(_) => {
                let mut take = |values: &[f32]| result = use_values.take().map(|f| f(values));
                match self.shared.source.read(&name, shape, &mut take) {
                    Ok(()) => {
                        report.loaded += 1;
                        report.parameters += length;
                    }
                    Err(error) => report.unreadable.push((name, error.to_string())),
                }
            }
        }
        match (result, use_values) {
            (Some(result), _) => result,
            (None, Some(use_values)) => use_values(&vec![0.0; length]),
            (None, None) => unreachable!("a source calls back at most once, and its result is kept"),
        }
    }

    /// A tensor on the device.
    pub fn tensor<const N: usize>(&self, name: &str, shape: [usize; N]) -> Tensor<N> {
        self.values(name, &shape, |values| {
            Tensor::from_data(TensorData::new(values.to_vec(), shape), &self.shared.device)
        })
    }

    /// A linear layer `name.weight` `(outputs, inputs)` with `name.bias`.
    pub fn linear(&self, name: &str, shape: [usize; 2]) -> Linear {
        self.linear_with(name, shape, true)
    }

    /// A linear layer `name.weight` without bias.
    pub fn linear_without_bias(&self, name: &str, shape: [usize; 2]) -> Linear {
        self.linear_with(name, shape, false)
    }

    fn linear_with(&self, name: &str, shape: [usize; 2], with_bias: bool) -> Linear {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let bias_values = with_bias.then(|| self.values(&bias, &shape[..1], <[f32]>::to_vec));
        let layer =
            self.values(&weight, &shape, |values| self.linear_of(values, bias_values.as_deref(), shape));
        let is_half = !self.is_frozen && self.shared.plan.is_some_and(TrainingPlan::is_half);
        let layer = if is_half { layer.in_half() } else { layer };
        match self.role(&weight) {
            Role::Frozen => layer,
            Role::Trained => layer.trained(|values| {
                (
                    self.parameter_of(&weight, values.0, true),
                    values.1.map(|values| self.parameter_of(&bias, values, false)),
                )
            }),
            Role::Adapted => layer.adapted(self.adapter(name, shape)),
        }
    }

    /// An adapter `name.lora_A` `(rank, inputs)`, `name.lora_B` `(outputs, rank)`.
    fn adapter(&self, name: &str, [outputs, inputs]: [usize; 2]) -> Adapter {
        let config = self.shared.plan.map_or_else(AdapterConfig::none, TrainingPlan::adapter);
        let matrix = |ending: &str, shape| {
            let name = format!("{name}.{ending}");
            let tensor = contiguous(self.tensor::<2>(&name, shape).transpose());
            self.parameter_of(&name, tensor, true)
        };
        Adapter {
            down: matrix("lora_A", [config.rank, inputs]),
            up: matrix("lora_B", [outputs, config.rank]),
            scale: config.scale(),
            dropout: config.dropout,
        }
    }

    /// Several linear layers of one shape with the same input as one layer, outputs one after the other. Never
    /// trained.
    pub fn stacked_linear(&self, names: &[&str], shape @ [outputs, inputs]: [usize; 2]) -> Linear {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            self.values(&format!("{name}.weight"), &shape, |values| weight.extend_from_slice(values));
            self.values(&format!("{name}.bias"), &shape[..1], |values| bias.extend_from_slice(values));
        }
        self.linear_of(&weight, Some(&bias), [names.len() * outputs, inputs])
    }

    /// A frozen linear layer from values that were computed or are stored under another shape; as
    /// [`Loader::conv_from`] for convolutions.
    pub fn linear_of(&self, weight: &[f32], bias: Option<&[f32]>, shape: [usize; 2]) -> Linear {
        Linear::new(weight, bias, shape, self.packs(), &self.shared.device)
    }

    /// Whether weights are packed: what gradients pass through stays plain.
    fn packs(&self) -> bool {
        self.shared.pack && self.is_frozen
    }

    /// A layer norm `name.weight`, `name.bias` over `channels`.
    pub fn layer_norm(&self, name: &str, channels: usize, epsilon: f64) -> LayerNorm {
        let at = self.at(name);
        LayerNorm::new(at.parameter("weight", [channels]), at.parameter("bias", [channels]), epsilon)
    }

    /// A convolution `name.weight` and, if asked for, `name.bias`.
    pub fn conv(&self, name: &str, options: ConvOptions, with_bias: bool) -> Conv1d {
        let bias =
            with_bias.then(|| self.values(&format!("{name}.bias"), &[options.outputs], <[f32]>::to_vec));
        self.values(&format!("{name}.weight"), &options.weight_shape(), |weight| {
            self.conv_from(weight, bias.as_deref(), options)
        })
    }

    /// A convolution from values that were computed from several tensors (weight norm).
    pub fn conv_from(&self, weight: &[f32], bias: Option<&[f32]>, options: ConvOptions) -> Conv1d {
        Conv1d::new(weight, bias, options, self.packs(), &self.shared.device)
    }

    /// Marks tensors in this subtree as known and not needed, so that the report does not call them unused.
    pub fn ignore(&self, is_known: impl Fn(&str) -> bool) {
        let names = self.shared.source.names();
        let here = names.iter().filter_map(|name| Some((name, name.strip_prefix(&self.prefix)?)));
        self.shared
            .asked
            .borrow_mut()
            .extend(here.filter(|(_, rest)| is_known(rest)).map(|(name, _)| name.clone()));
    }

    /// The report, or an error that lists what is missing, of another shape or unreadable.
    pub fn finish(&self) -> Result<LoadReport> {
        let mut report = self.shared.report.borrow().clone();
        let asked = self.shared.asked.borrow();
        report.unused = self.shared.source.names().into_iter().filter(|name| !asked.contains(name)).collect();
        if report.is_complete() {
            return Ok(report);
        }
        let error =
            Error::checkpoint(self.shared.source.place(), format!("does not fit the model: {report}"));
        Err(error.with_hint(
            "is the preset the checkpoint's own? `unils inspect` shows what the file holds and the sizes it was made with",
        ))
    }
}
