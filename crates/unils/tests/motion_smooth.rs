//! Motion statistics and Savitzky-Golay smoothing against the release's numbers and SciPy's.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::PathBuf;

use safetensors::{Dtype, SafeTensors};
use unils::file::npz::Npz;
use unils::motion::{FPS, Motion, MotionMeta, Smoother, Space, Stats};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures")).join(name)
}

/// Tensors of a golden file, as f32.
struct Golden(Vec<u8>);

impl Golden {
    fn open(name: &str) -> Self {
        Self(std::fs::read(fixture(name)).unwrap())
    }

    fn get(&self, name: &str) -> Vec<f32> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
        let (values, rest) = tensor.data().as_chunks::<4>();
        assert!(rest.is_empty());
        values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }
}

/// Largest difference, in units of the tensor's largest magnitude.
fn error(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    got.iter().zip(expected).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / scale
}

/// Frames that go in at once: the whole, one, or sizes that never line up.
fn cuts(frames: usize) -> Vec<Vec<usize>> {
    let mut cuts = vec![vec![frames], vec![1; frames]];
    for steps in [&[2][..], &[3], &[4, 0, 1, 7], &[8, 1], &[9], &[10, 2, 31]] {
        let mut cut = Vec::new();
        for &step in steps.iter().cycle() {
            let left = frames - cut.iter().sum::<usize>();
            if left == 0 {
                break;
            }
            cut.push(step.min(left));
        }
        cuts.push(cut);
    }
    cuts
}

#[test]
fn smoothing_equals_the_golden_numbers() {
    let metrics = Golden::open("metrics.safetensors");
    let smoother = Smoother::default();
    for frames in [9, 10, 51] {
        let got = smoother.smooth(&metrics.get(&format!("savgol{frames}.in")), 108).unwrap();
        check_golden(&got, &metrics.get(&format!("savgol{frames}.out")));
    }
    let weights: Vec<f32> = smoother.weights(4).unwrap().iter().map(|&weight| weight as f32).collect();
    assert!(error(&weights, &metrics.get("savgol_coeffs")) < 2e-7);
}

#[test]
fn smoothing_equals_the_generator_s_golden_output() {
    let golden = Golden::open("gen.safetensors");
    let motion = golden.get("infer.zero_cond.pred_motion_code");
    let motion = Motion::new(Space::Flame108, FPS, 1, motion, MotionMeta::new()).unwrap();
    let got = motion.smoothed(&Smoother::default());
    check_golden(got.values(), &golden.get("infer.smoothed"));
}

/// Frames in the middle are the same but for a rounding (measured: 4.5e-8 at most, mostly none); those at the edges
/// differ by the noise of SciPy's polynomial fit, which runs in f32 for f32 motion (measured: 2.7e-6 at most).
fn check_golden(got: &[f32], expected: &[f32]) {
    let edge = 4 * 108;
    let middle = edge..got.len() - edge;
    let error_in_the_middle = error(&got[middle.clone()], &expected[middle]);
    assert!(error_in_the_middle < 3e-7, "{error_in_the_middle:e}");
    let error = error(got, expected);
    assert!(error < 1e-5, "{error:e}");
}

#[test]
fn any_window_and_order_equals_scipy() {
    let mut golden = Npz::open(fixture("motion/savgol_scipy.npz")).unwrap();
    let (shape, input) = golden.f32_values("input").unwrap();
    for (window, order) in [(9, 3), (5, 2), (7, 3), (7, 6), (21, 6), (39, 4), (3, 0), (1, 0)] {
        let (_, expected) = golden.f32_values(&format!("window{window}_order{order}")).unwrap();
        let got = Smoother::new(window, order).unwrap().smooth(&input, shape[1]).unwrap();
        for (index, (a, b)) in got.iter().zip(&expected).enumerate() {
            // Channels differ by six orders of magnitude: each number is held to its own size (measured: 1.2e-7).
            let scale = b.abs().max(input[index].abs());
            assert!((a - b).abs() <= 4e-7 * scale, "{window}/{order} at {index}: {a} {b}");
        }
    }
}

#[test]
fn streams_equal_clips_bit_for_bit_however_they_are_cut() {
    let metrics = Golden::open("metrics.safetensors");
    let clip = metrics.get("savgol51.in");
    for (window, order) in [(9, 3), (5, 2), (1, 0), (51, 4)] {
        let smoother = Smoother::new(window, order).unwrap();
        for frames in [0, 1, 4, 5, 8, 9, 10, 17, 18, 50, 51] {
            let clip = &clip[..frames * 108];
            let expected = smoother.smooth(clip, 108).unwrap();
            for cut in cuts(frames) {
                let mut stream = smoother.stream(108).unwrap();
                let (mut got, mut start) = (Vec::new(), 0);
                for step in cut {
                    stream.push(&clip[start * 108..(start + step) * 108], &mut got).unwrap();
                    start += step;
                    let ready = if start < window { 0 } else { start - stream.delay_frames() };
                    assert_eq!(got.len(), ready * 108, "the stated delay");
                }
                stream.finish(&mut got);
                assert!(
                    got.iter().map(|value| value.to_bits()).eq(expected.iter().map(|value| value.to_bits()))
                );
            }
        }
    }
}

#[test]
fn participants_are_smoothed_apart() {
    let metrics = Golden::open("metrics.safetensors");
    let clip = metrics.get("savgol10.in");
    let twice = [clip.clone(), clip.iter().map(|value| -value).collect()].concat();
    let motion = Motion::new(Space::Flame108, FPS, 2, twice, MotionMeta::new()).unwrap();
    let got = motion.smoothed(&Smoother::default());
    let first = Smoother::default().smooth(&clip, 108).unwrap();
    assert_eq!(got.participant(0).unwrap(), first);
    assert!(got.participant(1).unwrap().iter().zip(&first).all(|(a, b)| *a == -b));
}

#[test]
fn statistics_are_the_release_s() {
    let stats = Stats::read(fixture("talk_motion_stats.json")).unwrap();
    stats.check_space(Space::Flame108).unwrap();
    let codec = Golden::open("codec.safetensors");
    assert_eq!(stats.mean(), codec.get("motion_mean"));
    assert_eq!(stats.std(), codec.get("motion_std"));
    let raw = codec.get("motion_code");
    let mut frames = raw.clone();
    stats.normalise(&mut frames).unwrap();
    assert_eq!(frames, codec.get("enc_in"), "the same operations in the same order: the same bits");
    let mut decoded = codec.get("dec_out");
    stats.undo(&mut decoded).unwrap();
    assert_eq!(decoded, codec.get("pred_motion_code"));
}

#[test]
fn a_missing_statistics_file_is_an_error_with_a_hint() {
    let error = Stats::read(fixture("no_such.json")).unwrap_err();
    assert!(error.to_string().starts_with("cannot open "), "{error}");
    assert!(error.hint().is_some());
    assert!(Stats::read(fixture("gen.safetensors")).unwrap_err().to_string().contains("1 MiB"));
}
