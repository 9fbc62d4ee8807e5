//! What a training writes and takes up again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use unils::Result;
use unils::checkpoint::{Dtype, TensorFile, TensorSpec, write_tensors};
use unils::encoder::Speech;
use unils::file::write_whole;
use unils::model::{ENCODER_PREFIX, ModelConfig};
use unils::nn::{Loader as Weights, TensorSource};

use super::Trainer;
use super::merged::Recorder;
use super::task::{Net, plan};
use crate::optim::{Average, Optimizer};
use crate::recipe::StageRecipe;
use crate::run::{Progress, RunConfig, SavedState, write_state};

/// Names and shapes of tensors.
pub(super) type Layout = Vec<(String, Vec<usize>)>;

/// What a saved state becomes.
pub(super) struct Restored {
    pub(super) net: Net,
    pub(super) optimizer: Optimizer,
    pub(super) average: Option<Average>,
    pub(super) progress: Progress,
}

impl Restored {
    /// Puts a state in place of the start.
    pub(super) fn with(self, saved: SavedState, recipe: &StageRecipe, device: &Device) -> Self {
        let mut values = BTreeMap::new();
        let (mut moments, mut averages) = (Vec::new(), Vec::new());
        for (id, [value, mean, square, average]) in saved.tensors {
            values.insert(id, value);
            moments.push((id, [mean, square]));
            averages.push((id, average));
        }
        let steps = saved.progress.optimizer_steps;
        Self {
            net: self.net.map(&mut Put { values, device: device.clone() }),
            optimizer: Optimizer::resume(recipe.optimizer, steps, moments, device),
            average: Some(Average::resume(recipe.average_decay, averages, device)),
            progress: saved.progress,
        }
    }
}

/// Replaces trained parameters by saved values.
struct Put {
    values: BTreeMap<u64, Vec<f32>>,
    device: Device,
}

impl ModuleMapper for Put {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let value = match self.values.remove(&id.val()) {
            Some(saved) => {
                let data = TensorData::new(saved, value.dims());
                Tensor::from_data(data, &self.device).autodiff().require_grad()
            }
            None => value,
        };
        Param::from_mapped_value(id, value, mapper)
    }
}

/// The values of trained parameters by identity.
#[derive(Default)]
struct Values(BTreeMap<u64, Vec<f32>>);

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if value.is_require_grad() {
            self.0.insert(param.id.val(), value.inner().into_data().convert::<f32>().iter().collect());
        }
    }
}

/// The tensors that a run starts with, adapters included. Builds the network once: what does not fit is told here.
pub(super) fn start_layout(config: &RunConfig, source: &dyn TensorSource, device: &Device) -> Result<Layout> {
    let plan = plan(config);
    let recorder = Recorder::new(source);
    let weights = Weights::for_training(&recorder, device, false, &plan);
    Net::load(&config.model, &weights)?;
    load_encoder(&config.model, &weights)?;
    weights.finish()?;
    drop(weights);
    Ok(recorder.into_asked().into_iter().collect())
}

/// The tensors of a plain checkpoint of the model.
pub(super) fn plain_layout(model: &ModelConfig, start: &TensorFile, device: &Device) -> Result<Layout> {
    let recorder = Recorder::new(start);
    let weights = Weights::new(&recorder, device, false);
    Net::load(model, &weights)?;
    load_encoder(model, &weights)?;
    drop(weights);
    let mut layout: Layout = recorder.into_asked().into_iter().collect();
    if model.generator.is_none() && model.own_encoder().is_some() {
        // The heads that a speech encoder is trained with are of no use beside it.
        layout.retain(|(name, _)| name.starts_with(ENCODER_PREFIX));
    }
    Ok(layout)
}

/// Asks for the tensors of the speech encoder that lies in a generator's checkpoint, frozen beside it.
fn load_encoder(model: &ModelConfig, weights: &Weights<'_>) -> Result<()> {
    match model.own_encoder().filter(|_| model.generator.is_some()) {
        Some(sizes) => Speech::load(sizes, &weights.at(ENCODER_PREFIX).frozen()).map(drop),
        None => Ok(()),
    }
}

/// Writes tensors of a source as 32-bit floats.
fn write_from(
    path: &Path,
    layout: &Layout,
    source: &dyn TensorSource,
    notes: &BTreeMap<String, String>,
) -> Result<()> {
    let spec = |(name, shape): &(String, Vec<usize>)| TensorSpec {
        name: name.clone(),
        dtype: Dtype::F32,
        shape: shape.clone(),
    };
    let specs: Vec<TensorSpec> = layout.iter().map(spec).collect();
    write_tensors(path, &specs, notes, |_, spec| {
        let mut bytes = Vec::new();
        source.read(&spec.name, &spec.shape, &mut |values| {
            bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        })?;
        Ok(Cow::Owned(bytes))
    })
}

/// Writes the weights that a run starts with.
pub(super) fn write_start(path: &Path, layout: &Layout, source: &dyn TensorSource) -> Result<()> {
    write_from(path, layout, source, &BTreeMap::from([("source".to_owned(), source.place())]))
}

impl Trainer {
    /// Saves all that the next step depends on, and the averaged weights as the checkpoint `last`. Only rank 0 writes.
    ///
    /// # Errors
    /// [`unils::Error::Io`]; what was saved before is then still there.
    pub fn save(&self) -> Result<()> {
        if !self.is_leader() {
            return Ok(());
        }
        let mut state = SavedState {
            progress: Progress { optimizer_steps: self.optimizer.steps(), ..self.progress },
            ..SavedState::default()
        };
        let mut values = Values::default();
        if let Some(net) = &self.net {
            net.visit(&mut values);
        }
        let mut moments: BTreeMap<u64, [Vec<f32>; 2]> = self.optimizer.state().collect();
        let mut averages: BTreeMap<u64, Vec<f32>> = self.average.state().collect();
        for (id, value) in values.0 {
            // A parameter that no gradient has reached yet has no moments: they begin at zero.
            let zeros = vec![0.0; value.len()];
            let [mean, square] = moments.remove(&id).unwrap_or_else(|| [zeros.clone(), zeros]);
            let average = averages.remove(&id).unwrap_or_else(|| value.clone());
            state.tensors.insert(id, [value, mean, square, average]);
        }
        write_state(&self.run.state(), &self.parameters, &state)?;
        self.write_checkpoint(&self.run.checkpoint("last"))
    }

    /// Writes the averaged weights, adapters folded in, with the configuration beside them.
    pub(super) fn write_checkpoint(&self, path: &Path) -> Result<()> {
        let config = self.run.config();
        let toml = path.with_extension("toml");
        write_whole(&toml, config.model.to_toml()?.as_bytes())?;
        let notes = [
            ("program", config.program.clone()),
            ("stage", config.stage.to_string()),
            ("step", self.progress.step.to_string()),
            ("seed", config.seed.to_string()),
        ];
        let notes = notes.map(|(name, note)| (name.to_owned(), note)).into();
        write_from(path, &self.layout, &self.merged(), &notes)
    }
}
