//! Checkpoint files as a source of tensors for the loader.

use crate::checkpoint::TensorFile;
use crate::error::Result;
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
        match self.borrow_f32(name) {
            Some(values) => use_values(values),
            None => use_values(&self.read_f32(name)?),
        }
        // The layer holds its own copy in the layout that the product reads: let the mapped pages go.
        self.advise_dont_need(name);
        Ok(())
    }
}
