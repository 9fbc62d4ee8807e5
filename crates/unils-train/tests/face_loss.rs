//! The codec's mesh terms against vertices that are posed and measured one by one.

#![allow(clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

use burn::tensor::{Device, Tensor, TensorData};
use unils::face::flame::{Flame, FlameFace};
use unils::face::mesh::{length, sub};
use unils::face::{BlendshapeRig, DefaultLook, Eye, Face, Region, default_head};
use unils::motion::Space;
use unils_train::face_loss::{FaceErrors, FaceLoss};

const FRAMES: usize = 7;
const CHANNELS: usize = 55;

/// Coefficients from 0 to 1, and head rotations, that look random.
fn motion(seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state as f32 / u32::MAX as f32
    };
    (0..FRAMES * CHANNELS).map(|_| next()).collect()
}

fn tensor(values: &[f32]) -> Tensor<3> {
    let channels = values.len() / FRAMES;
    Tensor::from_data(TensorData::new(values.to_vec(), [1, FRAMES, channels]), &Device::flex())
}

fn scalars(errors: FaceErrors) -> [f64; 2] {
    [errors.mesh, errors.lips].map(|error| f64::from(error.into_scalar::<f32>()))
}

/// Mean squared coordinate errors in square millimetres of the vertices in `list`, posed without head rotation.
fn measured(rig: &BlendshapeRig, truth: &[f32], predicted: &[f32], list: &[u32]) -> f64 {
    let (mut a, mut b, mut sum) = (Vec::new(), Vec::new(), 0.0);
    for (truth, predicted) in truth.chunks_exact(CHANNELS).zip(predicted.chunks_exact(CHANNELS)) {
        rig.pose_without_head(truth, &mut a);
        rig.pose_without_head(predicted, &mut b);
        sum += list
            .iter()
            .map(|&vertex| {
                let error = length(sub(a[vertex as usize], b[vertex as usize]));
                f64::from(error * 1000.0).powi(2)
            })
            .sum::<f64>();
    }
    sum / (3 * list.len() * FRAMES) as f64
}

/// What the loss says it counts: vertices that a shape moves and no eye turns.
fn counted(rig: &BlendshapeRig) -> Vec<u32> {
    let moved = |vertex: &u32| {
        rig.shapes().iter().any(|shape| {
            Space::Arkit55.index(&shape.name).is_some()
                && shape.vertices.binary_search(vertex).is_ok_and(|at| shape.deltas[at] != [0.0; 3])
        })
    };
    let turned = |vertex: &u32| rig.eyes().iter().any(|eye| eye.vertices.contains(vertex));
    (0..rig.mesh().positions.len() as u32).filter(|vertex| moved(vertex) && !turned(vertex)).collect()
}

fn check(rig: &BlendshapeRig) {
    let face = FaceLoss::rig(rig, &Device::flex()).unwrap();
    assert_eq!(face.space(), Space::Arkit55);
    let (truth, predicted) = (motion(1), motion(2));
    let ours = scalars(face.errors(&tensor(&truth), &tensor(&predicted)));
    let lists = [counted(rig), rig.mesh().region(Region::Lips).to_vec()];
    for (ours, list) in ours.iter().zip(&lists) {
        let theirs = measured(rig, &truth, &predicted, list);
        assert!(theirs > 0.1 && (ours / theirs - 1.0).abs() < 2e-5, "{ours}, measured {theirs}");
    }
    // Head rotation alone is no error.
    let mut turned = truth.clone();
    turned
        .chunks_exact_mut(CHANNELS)
        .for_each(|frame| frame[52..].iter_mut().for_each(|angle| *angle += 1.0));
    assert_eq!(scalars(face.errors(&tensor(&truth), &tensor(&turned))), [0.0; 2]);
}

#[test]
fn the_quadratic_form_is_what_posed_vertices_show() {
    check(&default_head(DefaultLook::A).unwrap());
}

#[test]
fn shapes_that_a_head_lacks_and_eyes_that_turn_count_nothing() {
    let head = default_head(DefaultLook::A).unwrap();
    let is_kept = |name: &str| !name.starts_with("eyeLook") && name != "jawOpen" && name != "mouthClose";
    let shapes: Vec<_> = head.shapes().iter().filter(|shape| is_kept(&shape.name)).cloned().collect();
    // Vertices around the mouth stand in for an eyeball: some that shapes move.
    let vertices: Vec<u32> = head.mesh().region(Region::UpperInnerLip).to_vec();
    let lips = head.mesh().region(Region::Lips);
    let mut mesh = head.mesh().clone();
    let others = lips.iter().copied().filter(|vertex| !vertices.contains(vertex)).collect();
    mesh.regions.insert(Region::Lips.name().to_owned(), others);
    let eye = Eye { is_left: true, center: [0.0; 3], vertices };
    let rig = BlendshapeRig::new(mesh, shapes, head.pivot(), Vec::new(), vec![eye], "test").unwrap();
    check(&rig);
}

#[test]
fn gradients_of_the_quadratic_form_are_those_of_its_definition() {
    let face = FaceLoss::rig(&default_head(DefaultLook::B).unwrap(), &Device::flex()).unwrap();
    let (truth, predicted) = (motion(3), motion(4));
    let tracked = tensor(&predicted).autodiff().require_grad();
    let errors = face.errors(&tensor(&truth), &tracked);
    let total = errors.mesh + errors.lips;
    let gradient: Vec<f32> = tracked.grad(&total.backward()).unwrap().into_data().iter().collect();
    let largest = gradient.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let at = |channel: usize, offset: f32| {
        let mut moved = predicted.clone();
        moved[2 * CHANNELS + channel] += offset;
        scalars(face.errors(&tensor(&truth), &tensor(&moved))).iter().sum::<f64>()
    };
    for channel in 0..CHANNELS {
        // Central differences of a quadratic function have no error but rounding.
        let numeric = (at(channel, 0.5) - at(channel, -0.5)) as f32;
        let error = (gradient[2 * CHANNELS + channel] - numeric).abs() / largest;
        assert!(error < 2e-4, "channel {channel}: {error:.1e} of the largest");
    }
    assert!(gradient[2 * CHANNELS + 52..3 * CHANNELS].iter().all(|&x| x == 0.0));
}

#[test]
fn heads_without_lips_and_small_flames_are_refused() {
    let head = default_head(DefaultLook::A).unwrap();
    let mut mesh = head.mesh().clone();
    mesh.regions.clear();
    let error = FaceLoss::rig(&head.with_mesh(mesh, "test").unwrap(), &Device::flex()).unwrap_err();
    assert!(error.to_string().contains("lips"), "{error}");
    let small = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/flame/generic_model_small.pkl");
    let small = Flame::open(small).unwrap();
    assert!(FlameFace::new(&small, &[]).is_ok());
    let error = FaceLoss::flame(&small, &Device::flex()).unwrap_err();
    assert!(error.to_string().contains("5023"), "{error}");
}
