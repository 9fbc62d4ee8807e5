//! FLAME against the released code's numbers, on the fast path and on Burn tensors, with gradients.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests fail by panicking")]

mod common;

use std::io::Write as _;
use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use common::{Golden, fixture, largest_difference, values};
use unils::checkpoint::TensorFile;
use unils::face::flame::skeleton::{Transforms, full_pose, rotation};
use unils::face::flame::{Flame, FlameFace, FlameLayer, LIP_VERTICES, UPPER_FACE_VERTICES};
use unils::face::{Face, Region};

/// Metres. The tolerance asked for is 1e-6.
const VERTICES: f32 = 2e-7;

fn small() -> (Flame, Golden) {
    (
        Flame::open(fixture("flame/flame_2020_small.pt")).unwrap(),
        Golden::open("flame/flame_small.safetensors"),
    )
}

/// The full-size synthetic model and its tensors, if they lie beside the repository.
fn full() -> Option<(Flame, TensorFile)> {
    let golden = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden"));
    let golden = std::env::var_os("UNILS_GOLDEN").map_or(golden, PathBuf::from);
    let (model, tensors) = (golden.join("flame/flame_2020.pt"), golden.join("flame.safetensors"));
    if !model.is_file() || !tensors.is_file() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {} is not there; set UNILS_GOLDEN to the golden data's folder",
            model.display()
        );
        return None;
    }
    Some((Flame::open(model).unwrap(), TensorFile::open(tensors).unwrap()))
}

fn check(name: &str, ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len(), "length of {name}");
    let error = largest_difference(ours, theirs);
    eprintln!("{name}: largest difference {error:.2e}");
    assert!(error <= tolerance, "{name}: {error:.2e}, at most {tolerance:.0e}");
}

#[test]
fn rotations_and_poses() {
    let (_, golden) = small();
    let vectors = golden.values("rodrigues.in");
    let matrices: Vec<f32> = vectors.as_chunks::<3>().0.iter().flat_map(|&v| rotation(v)).flatten().collect();
    check("rodrigues", &matrices, &golden.values("rodrigues.out"), 3e-7);
    let codes = golden.values("motion_code");
    let poses: Vec<f32> = codes.chunks(108).flat_map(|code| full_pose(code, true)).flatten().collect();
    check("full pose", &poses, &golden.values("full_pose"), 0.0);
}

#[test]
fn joints_and_transforms() {
    let (flame, golden) = small();
    let joints = flame.joints(&[], &[]);
    check("joints", joints.as_flattened(), &golden.values("rest_joints"), 1e-8);
    assert_eq!(flame.parents(), [None, Some(0), Some(1), Some(1), Some(1)]);
    let rotations = golden.values("rot_mats");
    let (mut posed, mut relative) = (Vec::new(), Vec::new());
    for rotations in rotations.as_chunks::<45>().0 {
        let rotation = |joint: usize| -> [[f32; 3]; 3] {
            std::array::from_fn(|row| std::array::from_fn(|column| rotations[9 * joint + 3 * row + column]))
        };
        let transforms = Transforms::new(&flame.parents(), &joints, &std::array::from_fn(rotation));
        posed.extend(transforms.posed_joints.into_iter().flatten());
        for (rows, offset) in transforms.rotations.iter().zip(transforms.offsets) {
            for (row, offset) in rows.iter().zip(offset) {
                relative.extend([row[0], row[1], row[2], offset]);
            }
            relative.extend([0.0, 0.0, 0.0, 1.0]);
        }
    }
    check("posed joints", &posed, &golden.values("template_posed_joints"), 2e-8);
    check("transforms", &relative, &golden.values("template_rel_transforms"), 2e-7);
}

/// Vertices on both paths for the three golden frames and for the identity.
fn check_vertices(flame: &Flame, golden: impl Fn(&str) -> Vec<f32>) {
    let codes = golden("motion_code");
    let face = FlameFace::new(flame, &[]).unwrap();
    let device = Device::flex();
    let layer = FlameLayer::new(flame, &[], &device).unwrap();
    let motion: Tensor<3> = Tensor::from_data(TensorData::new(codes.clone(), [1, 3, 108]), &device);
    for (name, with_head) in [("verts_headpose", true), ("verts_no_headpose", false)] {
        let theirs = golden(name);
        let mut ours = Vec::new();
        face.positions(&codes, with_head, &mut ours).unwrap();
        check(&format!("{name}, fast"), &ours, &theirs, VERTICES);
        let ours = layer.forward(motion.clone(), with_head);
        assert_eq!(ours.dims(), [1, 3, flame.vertices(), 3]);
        check(&format!("{name}, tensors"), &values(ours), &theirs, VERTICES);
    }
    let mut posed = Vec::new();
    face.pose(&codes[..108], &mut posed);
    check("one frame", posed.as_flattened(), &golden("verts_headpose")[..3 * flame.vertices()], VERTICES);

    let identity = golden("shape_code");
    let theirs = golden("verts_shape");
    let mut ours = Vec::new();
    let face = FlameFace::new(flame, &identity).unwrap();
    face.positions(&codes[..108], true, &mut ours).unwrap();
    check("identity, fast", &ours, &theirs, VERTICES);
    let layer = FlameLayer::new(flame, &identity, &device).unwrap();
    let ours = values(layer.forward(motion.narrow(1, 0, 1), true));
    check("identity, tensors", &ours, &theirs, VERTICES);
}

#[test]
fn vertices_of_some_of_the_model() {
    let (flame, golden) = small();
    check_vertices(&flame, |name| golden.values(name));
}

#[test]
fn vertices_of_the_whole_model() {
    let Some((flame, golden)) = full() else { return };
    check_vertices(&flame, |name| golden.read_f32(name).unwrap());
    let mesh = flame.mesh(&[]).unwrap();
    mesh.check("synthetic FLAME").unwrap();
    assert_eq!(mesh.region(Region::Lips).len(), 250);
    assert_eq!(mesh.region(Region::UpperFace).len(), 827);
}

#[test]
fn vertex_lists_are_the_metrics_ones() {
    let golden = Golden::open("metrics.safetensors");
    let list = |list: &[u16]| list.iter().map(|&vertex| f32::from(vertex)).collect::<Vec<_>>();
    golden.check_exact_values("lip_indices", &list(&LIP_VERTICES));
    golden.check_exact_values("upper_indices", &list(&UPPER_FACE_VERTICES));
}

/// Batches are rows: each frame is the same alone, among others, and through a list of vertices.
#[test]
fn batches_and_vertex_lists() {
    let (flame, golden) = small();
    let codes = golden.values("motion_code");
    let device = Device::flex();
    let batch: Vec<f32> = [&codes[108..], &codes[..216]].concat();
    let batch: Tensor<3> = Tensor::from_data(TensorData::new(batch, [2, 2, 108]), &device);
    let whole = values(FlameLayer::new(&flame, &[], &device).unwrap().forward(batch.clone(), true));
    let list = [7, 339, 7];
    let some = FlameLayer::with_vertices(&flame, &[], &list, &device).unwrap().forward(batch, true);
    assert_eq!(some.dims(), [2, 2, 3, 3]);
    let row = 3 * flame.vertices();
    let theirs = golden.values("verts_headpose");
    check("first of the batch", &whole[..row], &theirs[row..2 * row], VERTICES);
    let picked: Vec<f32> = whole
        .chunks(row)
        .flat_map(|frame| list.map(|v| &frame[3 * v as usize..3 * v as usize + 3]))
        .flatten()
        .copied()
        .collect();
    check("some vertices", &values(some), &picked, 1e-7);
    for bad in [&[][..], &[340]] {
        assert!(FlameLayer::with_vertices(&flame, &[], bad, &device).is_err());
    }
}

/// Clips longer than a block of the fast path, frame by frame the same.
#[test]
fn long_clips() {
    let (flame, golden) = small();
    let codes = golden.values("motion_code");
    let face = FlameFace::new(&flame, &[]).unwrap();
    let clip: Vec<f32> = codes.iter().copied().cycle().take(100 * 108).collect();
    let mut out = vec![9.0; 7];
    face.positions(&clip, false, &mut out).unwrap();
    let theirs = golden.values("verts_no_headpose");
    let theirs: Vec<f32> = theirs.iter().copied().cycle().take(100 * 3 * flame.vertices()).collect();
    check("100 frames", &out, &theirs, VERTICES);
    face.positions(&[], true, &mut out).unwrap();
    assert!(out.is_empty());
    assert!(face.positions(&clip[..107], true, &mut out).is_err());
    let mut posed = Vec::new();
    face.pose(&[], &mut posed);
    check("no numbers are rest", posed.as_flattened(), flame.template().as_flattened(), VERTICES);
}

/// Gradients of a weighted sum of vertices against central differences, at rest (where the rotation is singular
/// without the release's 1e-8) and away from it.
#[test]
fn gradients() {
    let (flame, golden) = small();
    let device = Device::flex();
    let layer = FlameLayer::new(&flame, &[], &device).unwrap();
    let factors: Vec<f32> =
        (0..3 * flame.vertices()).map(|i| ((i * 7919) % 2003) as f32 / 1001.0 - 1.0).collect();
    let codes = golden.values("motion_code");
    let rest = vec![0.0; 108];
    // the fast path in f32, summed in f64, is precise enough for steps of this size
    let face = FlameFace::new(&flame, &[]).unwrap();
    let loss = |code: &[f32], with_head: bool| -> f64 {
        let mut out = Vec::new();
        face.positions(code, with_head, &mut out).unwrap();
        out.iter().zip(&factors).map(|(x, f)| f64::from(*x) * f64::from(*f)).sum()
    };
    for (name, code, with_head) in [
        ("frame 0", &codes[..108], true),
        ("a large turn", &codes[108..216], true),
        ("rest", &rest, true),
        ("no head", &codes[..108], false),
    ] {
        let device = device.clone().autodiff();
        let layer = FlameLayer::new(&flame, &[], &device).unwrap();
        let motion: Tensor<3> =
            Tensor::from_data(TensorData::new(code.to_vec(), [1, 1, 108]), &device).require_grad();
        let weights: Tensor<4> =
            Tensor::from_data(TensorData::new(factors.clone(), [1, 1, flame.vertices(), 3]), &device);
        let sum = (layer.forward(motion.clone(), with_head) * weights).sum();
        let gradients = sum.backward();
        let ours = values(motion.grad(&gradients).unwrap());
        let numeric: Vec<f32> = (0..108)
            .map(|channel| {
                let step = 2e-2;
                let at = |offset: f32| {
                    let mut moved = code.to_vec();
                    moved[channel] += offset;
                    loss(&moved, with_head)
                };
                // fourth order
                ((8.0 * (at(step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step)))
                    / (12.0 * f64::from(step))) as f32
            })
            .collect();
        let scale = numeric.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let error = largest_difference(&ours, &numeric) / scale;
        eprintln!("gradients, {name}: {error:.2e} of {scale:.3}");
        assert!(error < 2e-4, "{name}: {error:.2e} of the largest magnitude");
        assert!(ours.iter().all(|value| value.is_finite()));
        if !with_head {
            assert_eq!(ours[100..103], [0.0; 3]);
        }
    }
    assert_eq!(layer.vertices(), flame.vertices());
}
