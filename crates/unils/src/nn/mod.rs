//! Layers that the encoder, the codec and the generator share, on Burn tensors.
//!
//! Leaf of the pipeline: knows nothing of motion or audio. Each layer has three routes with the same numbers:
//!
//! * the plain one is a composition of Burn operations: it runs on every device and is differentiable;
//! * the one for training on the CPU runs when a tensor on the portable device carries gradients: operations that do a
//!   layer's work at once, with backward passes of their own;
//! * the CPU one ([`cpu`]) runs when a layer was loaded packed (inference on the portable device): weights
//!   laid out once for the matrix product, bias, activation and residual fused behind it.
//!
//! Letters: `B` batch, `T` tokens or frames, `H` heads, `D` width of a head, `C` channels. Tensors of tokens
//! are `(B, T, C)`, split into heads `(B, T, H, D)`: the layout that projections produce and read, so nothing
//! is transposed in memory.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use unils::nn::{attend, Rotary};
//! let device = Device::flex();
//! let rotary = Rotary::new(&[0, 1, 2], 8, &device);
//! let q = rotary.apply(Tensor::ones([1, 3, 2, 8], &device));
//! let out = attend(q.clone(), q.clone(), q, None);
//! assert_eq!(out.dims(), [1, 3, 2, 8]);
//! ```

mod attention;
mod conv;
pub mod cpu;
mod dropout;
pub mod flat;
mod grad;
mod linear;
mod load;
pub mod matrix;
mod norm;
mod ring;
mod rotary;
mod train;

use burn::tensor::Tensor;

use crate::error::{Error, Result};

pub use attention::{KvCache, add_to_rows, attend, attend_qkv, blend};
pub use conv::{Conv1d, ConvOptions};
pub use dropout::seed_dropout;
pub use linear::{Activation, Linear};
pub use load::{LoadReport, Loader, RandomWeights, TensorSource};
pub use norm::LayerNorm;
pub use ring::{KvRing, Sees, attend_streams};
pub use rotary::Rotary;
pub use train::{Adapter, AdapterConfig, Parameter, Role, TrainingPlan, name_hash};

/// The tensor's values in row-major order, brought from the device.
pub(crate) fn values(tensor: Tensor<3>) -> Result<Vec<f32>> {
    let data = tensor.try_into_data().map_err(|error| Error::device("device", format!("{error:?}")))?;
    data.convert::<f32>().try_into_vec().map_err(|error| Error::device("device", format!("{error:?}")))
}
