//! AdamW, learning rates, clipping and averages against the reference.

#![allow(clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

#[path = "../../unils/tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Tensor};
use common::{Golden, values};
use unils_train::optim::{AdamW, Average, GradientMap, LearningRate, Optimizer};

/// A matrix and a vector as the whole model.
#[derive(Module, Debug)]
struct Pair {
    matrix: Param<Tensor<2>>,
    vector: Param<Tensor<1>>,
}

const MATRIX: u64 = 1;
const VECTOR: u64 = 2;

fn trained<const N: usize>(id: u64, value: Tensor<N>) -> Param<Tensor<N>> {
    Param::initialized(ParamId::from(id), value.autodiff().require_grad())
}

fn gradients(golden: &Golden, matrix: &str, vector: &str) -> GradientMap {
    let flat =
        |name: &str| -> Tensor<1> { Tensor::from_floats(golden.values(name).as_slice(), &Device::flex()) };
    BTreeMap::from([(MATRIX, flat(matrix)), (VECTOR, flat(vector))]).into()
}

fn inner<const N: usize>(param: &Param<Tensor<N>>) -> Vec<f32> {
    values(param.val().inner())
}

#[test]
fn adamw_steps_and_is_taken_up_again() {
    let golden = Golden::open("optim.safetensors");
    let mut pair = Pair {
        matrix: trained(MATRIX, golden.tensor("adamw.p0")),
        vector: trained(VECTOR, golden.tensor("adamw.b0")),
    };
    let mut optimizer = Optimizer::new(AdamW::default());
    for step in 0..3 {
        let name = |what: &str| format!("adamw.step{step}.{what}");
        let gradients = gradients(&golden, &name("grad_p"), &name("grad_b"));
        pair = optimizer.step(pair, gradients, 1e-2);
        golden.check_values(&name("p"), &inner(&pair.matrix), 2e-7);
        golden.check_values(&name("b"), &inner(&pair.vector), 2e-7);
        // From its own state it goes on to the same bits.
        let state: Vec<_> = optimizer.state().collect();
        optimizer = Optimizer::resume(AdamW::default(), optimizer.steps(), state, &Device::flex());
    }
    let state: BTreeMap<u64, [Vec<f32>; 2]> = optimizer.state().collect();
    golden.check_values("adamw.exp_avg_p", &state[&MATRIX][0], 2e-7);
    golden.check_values("adamw.exp_avg_sq_p", &state[&MATRIX][1], 2e-7);
}

#[test]
fn learning_rates() {
    let golden = Golden::open("optim.safetensors");
    for (stage, decay) in [("codec", 200_000), ("freegen", 600_000), ("loragen", 400_000)] {
        let rate = LearningRate { peak: 1e-4, warmup: 1000, decay, last: 0.1 };
        let steps = golden.values(&format!("lr.{stage}.iteration"));
        let expected = golden.values(&format!("lr.{stage}.value"));
        for (step, expected) in steps.iter().zip(expected) {
            let ours = rate.at(*step as u64);
            let error = (ours / f64::from(expected) - 1.0).abs();
            assert!(error < 1e-6, "{stage} {step}: {ours}, expected {expected}");
        }
    }
}

#[test]
fn clipping_by_the_global_norm() {
    let golden = Golden::open("optim.safetensors");
    for case in ["big", "small"] {
        let name = |what: &str| format!("clip.{case}.{what}");
        let gradients = gradients(&golden, &name("grad0"), &name("grad1"));
        let norm = gradients.norm();
        golden.check_values(&name("norm"), &[norm as f32], 1e-6);
        let clipped = gradients.clip(norm, 1.0);
        for ((_, ours), what) in clipped.iter().zip(["clipped0", "clipped1"]) {
            golden.check_values(&name(what), &values(ours.clone()), 1e-6);
        }
    }
}

#[test]
fn averages() {
    let golden = Golden::open("optim.safetensors");
    let pair = |index: usize| Pair {
        matrix: trained(MATRIX, golden.tensor(&format!("ema.w{index}"))),
        vector: trained(VECTOR, golden.tensor("ema.buf0")),
    };
    for decay in ["0.9", "0.9999"] {
        let number: f64 = decay.parse().unwrap();
        let mut average = Average::new(number, &pair(0));
        for index in 1..4 {
            average.update(&pair(index));
            let state: Vec<_> = average.state().collect();
            average = Average::resume(number, state, &Device::flex());
        }
        let averaged = average.apply(pair(3));
        golden.check_values(&format!("ema.decay{decay}.w"), &inner(&averaged.matrix), 2e-7);
        golden.check_values(&format!("ema.decay{decay}.buf"), &inner(&averaged.vector), 2e-7);
        assert!(!averaged.matrix.val().is_autodiff(), "what is evaluated records no gradients");
    }
}
