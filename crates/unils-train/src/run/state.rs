//! `state.safetensors`: all that the next step depends on, in one file that is replaced as a whole.
//!
//! For each trained tensor its value, the optimiser's two moments and the moving average, as 32-bit floats in the
//! layout of the module; numbers of the training in the file's notes. Draws need no state: they follow from the seed
//! and the step.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use unils::checkpoint::{StoredAs, TensorFile, write_safetensors};
use unils::nn::Parameter;
use unils::{Error, Result};

/// The training's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Progress {
    /// Steps done.
    pub(crate) step: u64,
    /// Steps that the optimiser counts.
    pub(crate) optimizer_steps: u64,
    /// The loss, smoothed.
    pub(crate) smooth_loss: Option<f64>,
    /// The lowest validation loss.
    pub(crate) best: Option<f64>,
}

/// Name of the note that holds [`Progress`].
const NOTE: &str = "progress";

const PARTS: [&str; 4] = ["value", "mean", "square", "average"];

/// A training's tensors by their parameters' identities.
#[derive(Debug, Default)]
pub(crate) struct SavedState {
    pub(crate) progress: Progress,
    /// Value, mean of gradients, mean of their squares, moving average.
    pub(crate) tensors: BTreeMap<u64, [Vec<f32>; 4]>,
}

pub(crate) fn write_state(path: &Path, parameters: &[Parameter], state: &SavedState) -> Result<()> {
    let json =
        serde_json::to_string(&state.progress).map_err(|error| Error::argument(path.display(), error))?;
    let shapes: Vec<[usize; 1]> =
        parameters.iter().map(|parameter| [parameter.shape.iter().product()]).collect();
    let tensors = parameters.iter().zip(&shapes).flat_map(|(parameter, shape)| {
        let values = state.tensors.get(&parameter.id().val());
        let part = move |(part, values)| {
            (format!("{part}/{}", parameter.name), shape.as_slice(), values, StoredAs::F32)
        };
        values
            .into_iter()
            .flat_map(move |values| PARTS.into_iter().zip(values.iter().map(Vec::as_slice)).map(part))
    });
    write_safetensors(path, tensors, &BTreeMap::from([(NOTE.to_owned(), json)]))
}

pub(crate) fn read_state(path: &Path, parameters: &[Parameter]) -> Result<SavedState> {
    let file = TensorFile::open(path)?;
    let fault = |what: String| {
        Error::checkpoint(path.display(), what)
            .with_hint("a damaged state cannot be resumed; `last.safetensors` can be used as a start")
    };
    let note = file.notes().get(NOTE).ok_or_else(|| fault("no state of a training".to_owned()))?;
    let progress = serde_json::from_str(note).map_err(|error| fault(error.to_string()))?;
    let mut tensors = BTreeMap::new();
    for parameter in parameters {
        let length = parameter.shape.iter().product::<usize>();
        let read = |part: &str| {
            let name = format!("{part}/{}", parameter.name);
            let values = file.read_f32(&name)?;
            if values.len() == length {
                return Ok(values);
            }
            Err(fault(format!("{name}: {} numbers, expected {length}", values.len())))
        };
        let [value, mean, square, average] = PARTS.map(read);
        tensors.insert(parameter.id().val(), [value?, mean?, square?, average?]);
    }
    Ok(SavedState { progress, tensors })
}
