//! Checkpoint files as a source of tensors for the loader.

use crate::checkpoint::TensorFile;
use crate::error::{Error, Result};
use crate::nn::TensorSource;

impl TensorSource for TensorFile {
    fn place(&self) -> String {
        self.path().display().to_string()
    }

    fn names(&self) -> Vec<String> {
        self.names().map(str::to_owned).collect()
    }

    fn shape(&self, name: &str, _wanted: &[usize]) -> Option<Vec<usize>> {
        self.info(name).map(|info| info.shape)
    }

    fn read(&self, name: &str, _wanted: &[usize], use_values: &mut dyn FnMut(&[f32])) -> Result<()> {
        let mut take = |values: &[f32]| {
            check_finite(values)?;
            use_values(values);
            Ok(())
        };
        match self.borrow_f32(name) {
            Some(values) => take(values)?,
            None => take(&self.read_f32(name)?)?,
        }
        // The layer holds its own copy in the layout that the product reads: let the mapped pages go.
        self.advise_dont_need(name);
        Ok(())
    }
}

/// Sampling would turn a network's NaN into ordinary bits: nobody would notice.
fn check_finite(values: &[f32]) -> Result<()> {
    // Whole chunks without a branch for each number: this is all of a model's memory.
    let is_bad = |chunk: &[f32]| chunk.iter().fold(false, |bad, value| bad | !value.is_finite());
    let Some(chunk) = values.chunks(4096).position(is_bad) else { return Ok(()) };
    let start = chunk * 4096;
    let index = values[start..].iter().position(|value| !value.is_finite()).map_or(start, |at| start + at);
    Err(Error::checkpoint(format!("element {index}"), format!("{}, expected a finite number", values[index])))
}
