//! A training's weights as a plain checkpoint: moving averages in place of the start's values, adapters folded into
//! the matrices that they stand beside.

use std::cell::RefCell;
use std::collections::BTreeMap;

use unils::Result;
use unils::checkpoint::TensorFile;
use unils::nn::{AdapterConfig, Parameter, TensorSource};

/// Averages over the start's tensors. A model that is loaded from it is what a checkpoint holds.
#[derive(Debug)]
pub(super) struct Merged<'a> {
    start: &'a TensorFile,
    /// In the layout of checkpoints.
    values: BTreeMap<String, Vec<f32>>,
    adapter: AdapterConfig,
}

impl<'a> Merged<'a> {
    /// `averages` gives a parameter's values as the module holds them.
    pub(super) fn new(
        start: &'a TensorFile,
        parameters: &[Parameter],
        adapter: AdapterConfig,
        mut averages: impl FnMut(&Parameter) -> Option<Vec<f32>>,
    ) -> Self {
        let layout = |parameter: &Parameter| {
            let values = averages(parameter)?;
            let values = if parameter.is_transposed { transposed(&values, &parameter.shape) } else { values };
            Some((parameter.name.clone(), values))
        };
        Self { start, values: parameters.iter().filter_map(layout).collect(), adapter }
    }

    /// The adapter beside the matrix `name`: `A` `(rank, in)` and `B` `(out, rank)`.
    fn beside(&self, name: &str) -> Option<(&[f32], &[f32])> {
        let layer = name.strip_suffix(".weight")?;
        let down = self.values.get(&format!("{layer}.lora_A"))?;
        Some((down, self.values.get(&format!("{layer}.lora_B"))?))
    }
}

/// A matrix of shape `(out, in)` from the values of its transpose.
fn transposed(values: &[f32], shape: &[usize]) -> Vec<f32> {
    let (rows, columns) = (shape[0], shape[1]);
    (0..rows * columns).map(|index| values[index % columns * rows + index / columns]).collect()
}

impl TensorSource for Merged<'_> {
    fn place(&self) -> String {
        self.start.path().display().to_string()
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn shape(&self, name: &str, wanted: &[usize]) -> Option<Vec<usize>> {
        TensorSource::shape(self.start, name, wanted)
    }

    fn read(&self, name: &str, wanted: &[usize], use_values: &mut dyn FnMut(&[f32])) -> Result<()> {
        if let Some(values) = self.values.get(name) {
            use_values(values);
            return Ok(());
        }
        let Some((down, up)) = self.beside(name) else {
            return TensorSource::read(self.start, name, wanted, use_values);
        };
        TensorSource::read(self.start, name, wanted, &mut |weight| {
            use_values(&self.adapter.fold(weight, down, up, wanted.last().copied().unwrap_or_default()));
        })
    }
}

/// Notes which tensors a model asks for, and in which shapes.
pub(super) struct Recorder<'a> {
    source: &'a dyn TensorSource,
    asked: RefCell<BTreeMap<String, Vec<usize>>>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(source: &'a dyn TensorSource) -> Self {
        Self { source, asked: RefCell::default() }
    }

    /// Names and shapes, in the names' order.
    pub(super) fn into_asked(self) -> BTreeMap<String, Vec<usize>> {
        self.asked.into_inner()
    }
}

impl TensorSource for Recorder<'_> {
    fn place(&self) -> String {
        self.source.place()
    }

    fn names(&self) -> Vec<String> {
        self.source.names()
    }

    fn shape(&self, name: &str, wanted: &[usize]) -> Option<Vec<usize>> {
        // Without a wanted shape somebody only asks whether there is such a tensor.
        if !wanted.is_empty() {
            self.asked.borrow_mut().insert(name.to_owned(), wanted.to_vec());
        }
        self.source.shape(name, wanted)
    }

    fn read(&self, name: &str, wanted: &[usize], use_values: &mut dyn FnMut(&[f32])) -> Result<()> {
        self.source.read(name, wanted, use_values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_goes_from_columns_to_rows() {
        // As (in, out) = (3, 2); as (out, in) = (2, 3).
        assert_eq!(transposed(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0], &[2, 3]), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }
}
