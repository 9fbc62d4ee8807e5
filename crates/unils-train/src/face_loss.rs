//! What a motion's error does to the face: squared vertex errors in millimetres, for the codec's mesh terms.
//!
//! Vertices are without head rotation. Two kinds of faces, after the motion's space:
//!
//! * **FLAME** ([`FaceLoss::flame`]): all 5023 vertices, and the release's list of lip vertices, in which repeated numbers
//!   count twice. Frames are posed in parts whose gradients are taken at once, so that memory does not grow with the batch.
//! * **A head with ARKit's shapes** ([`FaceLoss::rig`]): its vertices are linear in the coefficients, so that the error is
//!   the quadratic form `d G d` of the coefficients' error `d`, with the scalar products `G` of the shapes' displacements:
//!   as exact as posing both, for the price of a 55 x 55 product a frame. Counted are the vertices that any of the
//!   shapes moves, and the region of the lips. Channels without a shape count nothing: head rotation, shapes that the head
//!   lacks, and the gaze of heads whose eyeballs are turned rather than morphed (their vertices are left out).
//!
//! An error is the mean over frames, vertices and the three coordinates, as the release takes it: a third of the mean
//! squared distance. Those of different heads do not compare.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use unils::face::{DefaultLook, default_head};
//! use unils_train::face_loss::FaceLoss;
//! let device = Device::flex();
//! let face = FaceLoss::rig(&default_head(DefaultLook::A)?, &device)?;
//! let truth = Tensor::zeros([1, 2, 55], &device);
//! let errors = face.errors(&truth, &(truth.clone() + 0.1));
//! assert!(errors.lips.into_scalar::<f32>() > 0.1);
//! # Ok::<(), unils::Error>(())
//! ```

use burn::tensor::{Device, Tensor, TensorData};
use unils::face::flame::{FLAME_VERTICES, Flame, FlameLayer, LIP_VERTICES};
use unils::face::{BlendshapeRig, Face, Region, Shape};
use unils::motion::{Space, Unit};
use unils::{Error, Result};

/// Square millimetres in a square metre.
const SQUARE_MM: f64 = 1e6;

/// Coordinates that are posed at once, with their gradients: 278 frames of FLAME, in less than 200 MB.
const PART: usize = 1 << 22;

/// A face that motion errors are measured on.
#[derive(Debug, Clone)]
pub struct FaceLoss(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Flame {
        all: Box<FlameLayer>,
        lips: Box<FlameLayer>,
    },
    /// `(C, C)` each, in square millimetres a coordinate.
    Linear {
        all: Box<Tensor<2>>,
        lips: Box<Tensor<2>>,
    },
}

/// Mean squared errors of the coordinates of vertices, square millimetres; scalars.
#[derive(Debug, Clone)]
pub struct FaceErrors {
    /// Of the whole face.
    pub mesh: Tensor<1>,
    /// Of the lips.
    pub lips: Tensor<1>,
}

impl FaceLoss {
    /// The mean identity of FLAME, for [`Space::Flame108`].
    ///
    /// # Errors
    /// [`Error::Face`] for a model that has not the published one's vertices: the lips' numbers count in those.
    pub fn flame(flame: &Flame, device: &Device) -> Result<Self> {
        if flame.vertices() != FLAME_VERTICES {
            let what = format!("{} vertices, the lips are known of {FLAME_VERTICES}", flame.vertices());
            return Err(Error::face("FLAME model of the loss", what)
                .with_hint("use the published model (FLAME 2020 or 2023)"));
        }
        let lips: Vec<u32> = LIP_VERTICES.iter().map(|&vertex| u32::from(vertex)).collect();
        Ok(Self(Kind::Flame {
            all: Box::new(FlameLayer::new(flame, &[], device)?),
            lips: Box::new(FlameLayer::with_vertices(flame, &[], &lips, device)?),
        }))
    }

    /// A head with ARKit's shapes and labelled lips, for [`Space::Arkit55`].
    ///
    /// # Errors
    /// [`Error::Face`] if it does not label its lips, or no shape of ARKit's moves it or them.
    pub fn rig(rig: &BlendshapeRig, device: &Device) -> Result<Self> {
        let mut is_counted = vec![true; rig.mesh().positions.len()];
        for &vertex in rig.eyes().iter().flat_map(|eye| &eye.vertices) {
            is_counted[vertex as usize] = false;
        }
        let mut is_lip = vec![false; is_counted.len()];
        for &vertex in rig.mesh().region(Region::Lips) {
            is_lip[vertex as usize] = is_counted[vertex as usize];
        }
        let shapes: Vec<(usize, &Shape)> = rig
            .shapes()
            .iter()
            .filter_map(|shape| {
                let channel = Space::Arkit55.index(&shape.name)?;
                let is_shape = Space::Arkit55.channels()[channel].unit == Unit::Coefficient;
                is_shape.then_some((channel, shape))
            })
            .collect();
        let mut is_moved = vec![false; is_counted.len()];
        for (_, shape) in &shapes {
            let moves = shape.vertices.iter().zip(&shape.deltas);
            moves.filter(|(_, delta)| **delta != [0.0; 3]).for_each(|(&v, _)| is_moved[v as usize] = true);
        }
        is_counted.iter_mut().zip(&is_moved).for_each(|(counted, moved)| *counted &= moved);
        let gram = |name: &str, is_in: &[bool]| {
            let products = products(&shapes, is_in);
            let vertices = is_in.iter().filter(|is_in| **is_in).count();
            if products.iter().all(|&product| product == 0.0) {
                let what = format!("no shape of ARKit's moves its {name}, or it labels none");
                return Err(Error::face("head of the loss", what)
                    .with_hint("use a head with labelled regions, such as the default head"));
            }
            let factor = SQUARE_MM / (3 * vertices) as f64;
            let values: Vec<f32> = products.iter().map(|product| (product * factor) as f32).collect();
            let width = Space::Arkit55.width();
            Ok(Box::new(Tensor::from_data(TensorData::new(values, [width, width]), device)))
        };
        Ok(Self(Kind::Linear { all: gram("face", &is_counted)?, lips: gram("lips", &is_lip)? }))
    }

    /// The space of the motion that it takes.
    pub fn space(&self) -> Space {
        match self.0 {
            Kind::Flame { .. } => Space::Flame108,
            Kind::Linear { .. } => Space::Arkit55,
        }
    }

    /// Errors of predicted motion, both raw `(B, T, M)` on the face's device. Gradients flow to `predicted`, if that is
    /// tracked, and not to `truth`.
    pub fn errors(&self, truth: &Tensor<3>, predicted: &Tensor<3>) -> FaceErrors {
        let truth = untracked(truth);
        match &self.0 {
            Kind::Flame { all, lips } => FaceErrors {
                mesh: posed_error(all, &truth, predicted, PART),
                lips: posed_error(lips, &truth, predicted, PART),
            },
            Kind::Linear { all, lips } => {
                let [batch, frames, channels] = truth.dims();
                let error = (predicted.clone() - truth).reshape([batch * frames, channels]);
                let form = |products: &Tensor<2>| {
                    (error.clone().matmul(products.clone()) * error.clone()).sum()
                        / (batch * frames).max(1) as f64
                };
                FaceErrors { mesh: form(all), lips: form(lips) }
            }
        }
    }
}

fn untracked(x: &Tensor<3>) -> Tensor<3> {
    if x.is_autodiff() { x.clone().inner() } else { x.clone() }
}

/// Scalar products of the displacements of each two channels' shapes over the vertices that are in, row-major
/// `(C, C)`, square metres.
fn products(shapes: &[(usize, &Shape)], is_in: &[bool]) -> Vec<f64> {
    let width = Space::Arkit55.width();
    let mut products = vec![0.0; width * width];
    // One shape spread over all vertices, and the others' lists against it.
    let mut spread = vec![[0.0_f64; 3]; is_in.len()];
    for (row, first) in shapes {
        spread.fill([0.0; 3]);
        for (&vertex, delta) in first.vertices.iter().zip(&first.deltas) {
            if is_in[vertex as usize] {
                spread[vertex as usize] = delta.map(f64::from);
            }
        }
        for (column, second) in shapes {
            let moves = second.vertices.iter().zip(&second.deltas);
            let terms = moves.map(|(&vertex, delta)| {
                let other = spread[vertex as usize];
                (0..3).map(|axis| other[axis] * f64::from(delta[axis])).sum::<f64>()
            });
            products[row * width + column] = terms.sum();
        }
    }
    products
}

/// Mean squared error of the coordinates that the layer poses, square millimetres.
///
/// Part by part, of about `part` coordinates: a part's gradient with respect to the motion (108 numbers a frame) is taken at once and its vertices
/// (15 069 numbers a frame, a dozen times) are let go. The result has that gradient.
fn posed_error(layer: &FlameLayer, truth: &Tensor<3>, predicted: &Tensor<3>, part: usize) -> Tensor<1> {
    let [batch, frames, channels] = truth.dims();
    let rows = batch * frames;
    let flat = |x: Tensor<3>| x.reshape([1, rows, channels]);
    let (truth, motion) = (flat(truth.clone()), flat(untracked(predicted)));
    let coordinates = 3 * layer.vertices();
    let factor = SQUARE_MM / (rows * coordinates).max(1) as f64;
    let step = (part / coordinates).max(1);
    let (mut sums, mut gradients) = (Vec::new(), Vec::new());
    for start in (0..rows).step_by(step) {
        let part = |x: &Tensor<3>| x.clone().narrow(1, start, step.min(rows - start));
        let aim = layer.forward(part(&truth), false);
        let error = |motion: Tensor<3>| (layer.forward(motion, false) - aim.clone()).square().sum() * factor;
        if predicted.is_autodiff() {
            let motion = part(&motion).autodiff().require_grad();
            let error = error(motion.clone());
            let zeros = || Tensor::zeros(motion.dims(), &truth.device());
            gradients.push(motion.grad(&error.backward()).unwrap_or_else(zeros));
            sums.push(error.inner());
        } else {
            sums.push(error(part(&motion)));
        }
    }
    let value = Tensor::cat(sums, 0).sum();
    if gradients.is_empty() {
        return value;
    }
    let gradient = Tensor::cat(gradients, 1).reshape([batch, frames, channels]);
    // Zero, with the gradient of the error.
    let handle = ((predicted.clone() - untracked(predicted)) * gradient).sum();
    handle + value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value, and the gradient of `predicted` if it is tracked.
    fn parts(layer: &FlameLayer, truth: &Tensor<3>, predicted: &Tensor<3>, part: usize) -> (f32, Vec<f32>) {
        let tracked = predicted.clone().autodiff().require_grad();
        let error = posed_error(layer, truth, &tracked, part);
        let value = error.clone().into_scalar::<f32>();
        let gradient = tracked.grad(&(error * 3.0).backward()).unwrap();
        (value, gradient.into_data().iter().collect())
    }

    #[test]
    fn parts_have_the_value_and_the_gradient_of_the_whole() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/flame/generic_model_small.pkl");
        let flame = Flame::open(path).unwrap();
        let device = Device::flex();
        let layer = FlameLayer::with_vertices(&flame, &[], &[3, 1, 1, 7, 20], &device).unwrap();
        let motion = |seed: usize| -> Tensor<3> {
            let values: Vec<f32> =
                (0..2 * 5 * 108).map(|i| ((i * 7919 + seed * 104_729) % 1000) as f32 * 1e-3 - 0.5).collect();
            Tensor::from_data(TensorData::new(values, [2, 5, 108]), &device)
        };
        let (truth, predicted) = (motion(1), motion(2));
        // By definition, in one graph.
        let tracked = predicted.clone().autodiff().require_grad();
        let error = layer.forward(tracked.clone(), false) - layer.forward(truth.clone(), false);
        let error = error.square().mean() * SQUARE_MM;
        let value = error.clone().into_scalar::<f32>();
        let gradient: Vec<f32> =
            tracked.grad(&(error * 3.0).backward()).unwrap().into_data().iter().collect();
        let largest = gradient.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        assert!(value > 1.0 && largest > 0.1, "{value}, {largest}");
        // One, three (and one left over), all of the ten frames at once.
        for part in [1, 3 * 15, 1000 * 15] {
            let (ours, ours_gradient) = parts(&layer, &truth, &predicted, part);
            assert!((ours / value - 1.0).abs() < 1e-5, "{part}: {ours}, expected {value}");
            let off = ours_gradient.iter().zip(&gradient).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off / largest < 1e-5, "{part}: gradient off by {:.1e}", off / largest);
            let untracked = posed_error(&layer, &truth, &predicted, part);
            assert!(!untracked.is_autodiff());
            assert!((untracked.into_scalar::<f32>() / value - 1.0).abs() < 1e-5);
        }
    }
}
