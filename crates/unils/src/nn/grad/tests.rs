//! Every operation against the same as Burn operations, forward and all gradients, and against finite differences.

use burn::tensor::module::{attention, layer_norm as burn_layer_norm, linear as burn_linear};
use burn::tensor::{Bool, Device, Tensor, TensorData};

use super::super::{Activation, Rotary};
use super::{Mask, Thin, attend, attend_qkv, blend, holds, layer_norm, linear, rotate};

fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405) + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn flat(values: &[f32]) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &Device::flex())
}

fn values(x: Tensor<1>) -> Vec<f32> {
    x.inner().to_data().iter().collect()
}

/// An operation on flat operands with a flat result.
type Operation<'a> = &'a dyn Fn(&[Tensor<1>]) -> Tensor<1>;

/// The result and the gradients of `sum(result * noise)` by the tracked operands.
fn run(
    operation: Operation<'_>,
    operands: &[Vec<f32>],
    tracked: &[bool],
) -> (Vec<f32>, Vec<Option<Vec<f32>>>) {
    let leaves: Vec<Tensor<1>> = operands
        .iter()
        .zip(tracked)
        .map(|(values, &tracked)| if tracked { flat(values).autodiff().require_grad() } else { flat(values) })
        .collect();
    let out = operation(&leaves);
    let weights = flat(&noise(out.dims()[0], 99));
    let gradients = (out.clone() * weights).sum().backward();
    let by_leaf = |leaf: &Tensor<1>| leaf.is_autodiff().then(|| leaf.grad(&gradients).map(values)).flatten();
    (values(out), leaves.iter().map(by_leaf).collect())
}

fn assert_close(what: &str, ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let scale = theirs.iter().fold(1e-3_f32, |most, x| most.max(x.abs()));
    let off = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / scale;
    assert!(off <= tolerance && ours.iter().all(|x| x.is_finite()), "{what}: off by {off:.1e}");
}

/// Compares with a reference for every choice of tracked operands, then one gradient with finite differences.
fn check(what: &str, sizes: &[usize], ours: Operation<'_>, theirs: Operation<'_>) {
    let operands: Vec<Vec<f32>> = (1..).zip(sizes).map(|(seed, &size)| noise(size, seed)).collect();
    for choice in 1..1_u32 << sizes.len() {
        let tracked: Vec<bool> = (0..sizes.len()).map(|index| choice >> index & 1 == 1).collect();
        let (out, gradients) = run(ours, &operands, &tracked);
        let (expected, expected_gradients) = run(theirs, &operands, &tracked);
        assert_close(&format!("{what}, result"), &out, &expected, 1e-5);
        for (index, (ours, theirs)) in gradients.iter().zip(&expected_gradients).enumerate() {
            let name = format!("{what}, operand {index} of {tracked:?}");
            assert_eq!(ours.is_some(), theirs.is_some(), "{name}");
            if let (Some(ours), Some(theirs)) = (ours, theirs) {
                assert_close(&name, ours, theirs, 2e-5);
            }
        }
    }
    finite_differences(what, &operands, ours);
}

fn finite_differences(what: &str, operands: &[Vec<f32>], operation: Operation<'_>) {
    const STEP: f32 = 5e-3;
    let (_, gradients) = run(operation, operands, &vec![true; operands.len()]);
    for (index, gradient) in gradients.iter().enumerate() {
        let Some(gradient) = gradient else { panic!("{what}: operand {index} has no gradient") };
        let place = gradient.len() * 2 / 3;
        let loss = |change: f32| -> f64 {
            let mut moved = operands.to_vec();
            moved[index][place] += change;
            let leaves: Vec<Tensor<1>> = moved.iter().map(|values| flat(values).autodiff()).collect();
            let out = values(operation(&leaves));
            out.iter().zip(noise(out.len(), 99)).map(|(x, w)| f64::from(*x) * f64::from(w)).sum()
        };
        let slope = (loss(STEP) - loss(-STEP)) / f64::from(2.0 * STEP);
        let off = (slope - f64::from(gradient[place])).abs();
        assert!(
            off < 2e-3 * slope.abs().max(1.0),
            "{what}, operand {index}: {slope}, gave {}",
            gradient[place]
        );
    }
}

fn out<const N: usize>(x: Tensor<N>) -> Tensor<1> {
    let count = x.dims().iter().product::<usize>();
    assert!(holds(&x) || !x.is_autodiff());
    x.reshape([count])
}

#[test]
fn linear_layers() {
    // 67 rows are more than one block of a sum over rows.
    let (rows, inputs, outputs) = (67, 13, 11);
    for then in [Activation::None, Activation::LeakyRelu, Activation::GeluTanh, Activation::Gelu] {
        for (has_bias, has_residual) in [(true, false), (false, false), (true, true), (false, true)] {
            if has_residual && then != Activation::None {
                continue;
            }
            let shape = |x: &[Tensor<1>]| {
                let bias = has_bias.then(|| x[2].clone());
                let residual = has_residual.then(|| x[3].clone().reshape([1, rows, outputs]));
                (
                    x[0].clone().reshape([1, rows, inputs]),
                    x[1].clone().reshape([inputs, outputs]),
                    bias,
                    residual,
                )
            };
            let ours = |x: &[Tensor<1>]| {
                let unused = x[2].clone().sum() * 0.0 + x[3].clone().sum() * 0.0;
                let (x, weight, bias, residual) = shape(x);
                out(linear(x, weight, bias, None, residual, then)) + unused
            };
            let theirs = |x: &[Tensor<1>]| {
                let unused = x[2].clone().sum() * 0.0 + x[3].clone().sum() * 0.0;
                let (x, weight, bias, residual) = shape(x);
                let y = burn_linear(x, weight, bias);
                out(then.forward(residual.map_or_else(|| y.clone(), |residual| y.clone() + residual)))
                    + unused
            };
            let sizes = [rows * inputs, inputs * outputs, outputs, rows * outputs];
            check(&format!("{then:?}, bias {has_bias}, residual {has_residual}"), &sizes, &ours, &theirs);
        }
    }
}

#[test]
fn adapters() {
    let (rows, inputs, outputs, rank) = (9, 8, 6, 3);
    for then in [Activation::None, Activation::GeluTanh] {
        let matrices = |x: &[Tensor<1>]| {
            let down = x[2].clone().reshape([inputs, rank]);
            (x[0].clone().reshape([rows, inputs]), x[1].clone().reshape([inputs, outputs]), down)
        };
        let ours = |x: &[Tensor<1>]| {
            let (input, weight, down) = matrices(x);
            let thin = Thin { down, up: x[3].clone().reshape([rank, outputs]), scale: 0.5, dropout: 0.0 };
            out(linear(input, weight, None, Some(thin), None, then))
        };
        let theirs = |x: &[Tensor<1>]| {
            let (input, weight, down) = matrices(x);
            let added = burn_linear(
                burn_linear(input.clone(), down, None),
                x[3].clone().reshape([rank, outputs]),
                None,
            );
            out(then.forward(burn_linear(input, weight, None) + added * 0.5))
        };
        check("adapter", &[rows * inputs, inputs * outputs, inputs * rank, rank * outputs], &ours, &theirs);
    }
}

#[test]
fn what_an_adapter_drops_gets_no_gradient() {
    let (rows, inputs) = (50, 700);
    let identity: Vec<f32> = (0..inputs * inputs).map(|at| f32::from(at % (inputs + 1) == 0)).collect();
    let x = noise(rows * inputs, 1);
    let zero = vec![0.0; inputs * inputs];
    // With the identity in the adapter and nothing in the weight the result is the dropped input itself.
    let operation = |x: &[Tensor<1>]| {
        let square = |x: &Tensor<1>| x.clone().reshape([inputs, inputs]);
        let thin = Thin { down: square(&x[2]), up: square(&x[2]), scale: 1.0, dropout: 0.25 };
        out(linear(
            x[0].clone().reshape([rows, inputs]),
            square(&x[1]),
            None,
            Some(thin),
            None,
            Activation::None,
        ))
    };
    let (out, gradients) = run(&operation, &[x.clone(), zero, identity], &[true, false, true]);
    let gradient = gradients[0].clone().unwrap();
    let weights = noise(out.len(), 99);
    let mut kept = 0;
    for (((x, y), gradient), weight) in x.iter().zip(&out).zip(&gradient).zip(&weights) {
        let factor = if *y == 0.0 { 0.0 } else { 4.0 / 3.0 };
        kept += usize::from(*y != 0.0);
        assert!((y - x * factor).abs() < 1e-5 && (gradient - weight * factor).abs() < 1e-5);
    }
    let share = kept as f64 / out.len() as f64;
    // Three standard deviations of 35 000 draws.
    assert!((share - 0.75).abs() < 0.007, "{share} are kept");
}

#[test]
fn layer_norms() {
    for (rows, width) in [(1, 7), (130, 33), (3, 64)] {
        let ours = |x: &[Tensor<1>]| {
            out(layer_norm(x[0].clone().reshape([rows, width]), x[1].clone(), x[2].clone(), 1e-5))
        };
        let theirs = |x: &[Tensor<1>]| {
            out(burn_layer_norm(x[0].clone().reshape([rows, width]), x[1].clone(), Some(x[2].clone()), 1e-5))
        };
        check(&format!("norm of {rows} x {width}"), &[rows * width, width, width], &ours, &theirs);
    }
}

/// Queries see keys up to their own place and two more; the tensor and what is made of it.
fn mask(queries: usize, keys: usize) -> Tensor<2, Bool> {
    let hidden: Vec<bool> = (0..queries * keys).map(|at| at % keys > at / keys + 2 || at % 7 == 5).collect();
    Tensor::from_data(TensorData::new(hidden, [queries, keys]), &Device::flex())
}

fn reference(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: Option<Tensor<2, Bool>>) -> Tensor<4> {
    let [batch, queries, heads, _] = q.dims();
    let keys = k.dims()[1];
    let mask = mask.map(|mask| mask.reshape([1, 1, queries, keys]).expand([batch, heads, queries, keys]));
    let first = |x: Tensor<4>| x.swap_dims(1, 2);
    attention(first(q), first(k), first(v), mask, None, Default::default()).swap_dims(1, 2)
}

#[test]
fn cross_attention() {
    let (batch, heads, width) = (2, 3, 6);
    for (queries, keys, masked) in [(5, 9, false), (131, 17, false), (9, 5, true), (150, 150, true)] {
        let heads_of = |x: &Tensor<1>, tokens| x.clone().reshape([batch, tokens, heads, width]);
        let hidden = masked.then(|| mask(queries, keys));
        let ours = |x: &[Tensor<1>]| {
            let mask = hidden.as_ref().map(|mask| Mask::of(mask).unwrap());
            out(attend(heads_of(&x[0], queries), heads_of(&x[1], keys), heads_of(&x[2], keys), mask))
        };
        let theirs = |x: &[Tensor<1>]| {
            let [q, k, v] = [heads_of(&x[0], queries), heads_of(&x[1], keys), heads_of(&x[2], keys)];
            out(reference(q, k, v, hidden.clone()))
        };
        let size = |tokens| batch * tokens * heads * width;
        let what = format!("{queries} queries, {keys} keys, mask {masked}");
        check(&what, &[size(queries), size(keys), size(keys)], &ours, &theirs);
    }
}

/// Rotation as Burn operations.
fn rotated(x: Tensor<4>, positions: &[usize]) -> Tensor<4> {
    let [b, t, h, d] = x.dims();
    let angles: Vec<f32> = positions
        .iter()
        .flat_map(|&p| (0..d / 2).map(move |j| p as f32 * 10_000_f32.powf(-2.0 * j as f32 / d as f32)))
        .collect();
    let table = |f: fn(f32) -> f32| -> Tensor<4> {
        flat(&angles.iter().map(|&angle| f(angle)).collect::<Vec<_>>()).reshape([1, t, 1, d / 2])
    };
    let pairs = x.reshape([b, t, h, d / 2, 2]);
    let part = |part| pairs.clone().narrow(4, part, 1).reshape([b, t, h, d / 2]);
    let (even, odd): (Tensor<4>, Tensor<4>) = (part(0), part(1));
    let (cos, sin) = (table(f32::cos), table(f32::sin));
    let first = even.clone() * cos.clone() - odd.clone() * sin.clone();
    Tensor::<4>::stack::<5>(vec![first, odd * cos + even * sin], 4).reshape([b, t, h, d])
}

#[test]
fn self_attention_and_rotation() {
    let (batch, tokens, heads, width) = (2, 141, 2, 4);
    let positions: Vec<usize> = (0..tokens).map(|token| token * 3 % 50).collect();
    let rotary = Rotary::new(&positions, width, &Device::flex());
    let row = heads * width;
    for (turns, masked) in [(false, false), (true, true)] {
        let hidden = masked.then(|| mask(tokens, tokens));
        let ours = |x: &[Tensor<1>]| {
            let mask = hidden.as_ref().map(|mask| Mask::of(mask).unwrap());
            let angles = turns.then(|| rotary.angles());
            out(attend_qkv(x[0].clone().reshape([batch, tokens, 3 * row]), heads, angles, mask))
        };
        let theirs = |x: &[Tensor<1>]| {
            let packed: Tensor<3> = x[0].clone().reshape([batch, tokens, 3 * row]);
            let [q, k, v] = [0, 1, 2].map(|part| -> Tensor<4> {
                packed.clone().narrow(2, part * row, row).reshape([batch, tokens, heads, width])
            });
            let turn = |x| if turns { rotated(x, &positions) } else { x };
            out(reference(turn(q), turn(k), v, hidden.clone()))
        };
        check(&format!("self-attention, turned {turns}"), &[batch * tokens * 3 * row], &ours, &theirs);
    }
    let shaped = |x: &[Tensor<1>]| -> Tensor<4> { x[0].clone().reshape([batch, tokens, heads, width]) };
    let ours = |x: &[Tensor<1>]| out(rotate(shaped(x), rotary.angles()));
    let theirs = |x: &[Tensor<1>]| out(rotated(shaped(x), &positions));
    check("rotation", &[batch * tokens * row], &ours, &theirs);
}

#[test]
fn branches_that_count_more_or_less() {
    let shape = [3, 5, 7];
    let share: Tensor<3> = flat(&[0.0, 1.0, 1.25]).reshape([3, 1, 1]);
    let pair = |x: &[Tensor<1>]| (x[0].clone().reshape(shape), x[1].clone().reshape(shape));
    let ours = |x: &[Tensor<1>]| {
        let (x, y) = pair(x);
        out(blend(x, y, share.clone()))
    };
    let theirs = |x: &[Tensor<1>]| {
        let (x, y): (Tensor<3>, Tensor<3>) = pair(x);
        out(x.clone() + (y - x) * share.clone())
    };
    check("blend", &[105, 105], &ours, &theirs);
}

#[test]
fn a_query_that_sees_nothing_gives_zeros() {
    let run_with = |hidden: [bool; 6]| {
        let mask = Tensor::<2, Bool>::from_data(TensorData::new(hidden.to_vec(), [2, 3]), &Device::flex());
        let mask = Mask::of(&mask);
        let operation = |x: &[Tensor<1>]| {
            let tokens = |x: &Tensor<1>, tokens| x.clone().reshape([1, tokens, 1, 2]);
            out(attend(tokens(&x[0], 2), tokens(&x[1], 3), tokens(&x[2], 3), mask.clone()))
        };
        run(&operation, &[noise(4, 1), noise(6, 2), noise(6, 3)], &[true; 3])
    };
    let (out, gradients) = run_with([true; 6]);
    assert!(out.iter().all(|&x| x == 0.0));
    assert!(gradients.iter().flatten().flatten().all(|&x| x == 0.0));
    let (out, gradients) = run_with([true, true, true, false, true, false]);
    assert!(out[..2].iter().all(|&x| x == 0.0) && out[2..].iter().all(|&x| x != 0.0));
    assert!(gradients[0].as_ref().unwrap()[..2].iter().all(|&x| x == 0.0));
    assert!(gradients.iter().flatten().flatten().all(|x| x.is_finite()));
}

#[test]
fn threads_do_not_change_a_bit() {
    let (batch, tokens, heads, width) = (3, 150, 4, 8);
    let row = heads * width;
    let rows = batch * tokens;
    let operation = |x: &[Tensor<1>]| {
        let input: Tensor<3> = x[0].clone().reshape([batch, tokens, row]);
        let normed = layer_norm(input.clone(), x[1].clone(), x[2].clone(), 1e-5);
        let qkv = linear(normed, x[3].clone().reshape([row, 3 * row]), None, None, None, Activation::None);
        let attended = attend_qkv(qkv, heads, None, Mask::of(&mask(tokens, tokens)));
        let weight = x[4].clone().reshape([row, row]);
        let bias = Some(x[2].clone());
        let up = linear(attended, weight.clone(), bias.clone(), None, Some(input), Activation::None);
        out(linear(up, weight, bias, None, None, Activation::GeluTanh))
    };
    let operands = [rows * row, row, row, 3 * row * row, row * row].map(|size| noise(size, size as u32));
    let with_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&operation, &operands, &[true; 5]))
    };
    assert!(with_threads(1) == with_threads(2));
}
