//! Fréchet distances against SciPy, their invariances, and bad input.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use unils::metrics::bootstrap::BootstrapOptions;
use unils::metrics::frechet::{
    Gaussian, expression_channels, frechet_distance, head_channels, per_clip, pooled, pooled_interval,
};
use unils::motion::Space;

/// Even numbers from -0.5 to 0.5, the same in NumPy (u64 arithmetic that wraps).
fn even(rows: usize, channels: usize, seed: u64) -> Vec<f64> {
    (0..(rows * channels) as u64)
        .map(|i| {
            let mut s = i
                .wrapping_add(seed * 1_000_003)
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            s = (s ^ (s >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
            s ^= s >> 33;
            (s >> 40) as f64 / f64::from(1 << 24) - 0.5
        })
        .collect()
}

/// Frames with correlated channels and a mean: `u @ m + 0.1 seed cos(arange(c))` as float32, with
/// `m[i, j] = sin(0.7 i j + seed + 0.3 j) / (1 + |i - j|)`.
fn frames(rows: usize, channels: usize, seed: u64) -> Vec<f32> {
    let u = even(rows, channels, seed);
    let mix = |i: usize, j: usize| {
        (0.7 * (i * j) as f64 + seed as f64 + 0.3 * j as f64).sin() / (1 + i.abs_diff(j)) as f64
    };
    u.chunks_exact(channels)
        .flat_map(|row| {
            (0..channels).map(move |j| {
                let sum: f64 = row.iter().enumerate().map(|(i, x)| x * mix(i, j)).sum();
                (sum + 0.1 * seed as f64 * (j as f64).cos()) as f32
            })
        })
        .collect()
}

fn gaussian(rows: &[f32], width: usize) -> Gaussian {
    let mut gaussian = Gaussian::new(width).unwrap();
    gaussian.push_rows(rows).unwrap();
    gaussian
}

fn distance(a: &[f32], b: &[f32], width: usize) -> f64 {
    frechet_distance(&gaussian(a, width), &gaussian(b, width)).unwrap()
}

/// Expected: `((m1 - m2)**2).sum() + trace(s1) + trace(s2) - 2 * trace(scipy.linalg.sqrtm(s1 @ s2)).real` with
/// `np.cov(rowvar=False)`, NumPy 2.4, SciPy 1.17, on the same float32 numbers in float64.
#[test]
fn scipys_numbers_come_out() {
    for (rows, others, width, expected) in [
        (50, 70, 1, 0.003_612_090_961_859_881_8),
        (200, 150, 3, 0.056_094_560_432_497_165),
        (400, 300, 55, 1.945_772_050_639_261_5),
        (500, 400, 108, 4.470_148_487_337_77),
    ] {
        let ours = distance(&frames(rows, width, 1), &frames(others, width, 2), width);
        assert!((ours / expected - 1.0).abs() < 1e-9, "{width} channels: {ours}, expected {expected}");
    }
    // Fewer frames than channels: both covariances are singular, and SciPy itself is good to some 1e-6 only.
    let ours = distance(&frames(30, 55, 1), &frames(20, 55, 2), 55);
    assert!((ours / 5.704_565_974_662_289 - 1.0).abs() < 1e-5, "{ours}");
}

#[test]
fn singular_and_constant_channels_are_exact_where_theory_is() {
    // Constant against constant: the squared distance of the means.
    let at = |x: f32, y: f32| [x, y].repeat(10);
    assert!((distance(&at(1.0, 2.0), &at(4.0, 6.0), 2) - 25.0).abs() < 1e-12);
    // A constant against a spread: the spread's variance (unbiased) is left.
    let spread: Vec<f32> = (0..10).flat_map(|i| [i as f32, 0.0]).collect();
    assert!((distance(&at(4.5, 0.0), &spread, 2) - 82.5 / 9.0).abs() < 1e-12);
    // Two channels that always agree: a line in the plane, scaled by two.
    let line = |scale: f32| -> Vec<f32> { (0..9).flat_map(|i| [scale * (i - 4) as f32; 2]).collect() };
    assert!((distance(&line(1.0), &line(2.0), 2) - 2.0 * 7.5).abs() < 1e-6);
}

#[test]
fn distances_are_symmetric_and_zero_for_equals() {
    let (a, b) = (frames(300, 20, 1), frames(200, 20, 2));
    let there = distance(&a, &b, 20);
    assert!((there - distance(&b, &a, 20)).abs() < 1e-9 * there);
    assert!(distance(&a, &a, 20) < 1e-9);
    // The order of channels and of frames does not matter; a shift of both neither.
    let turned: Vec<f32> = a.chunks_exact(20).rev().flat_map(|row| row.iter().rev().copied()).collect();
    let turned_b: Vec<f32> = b.chunks_exact(20).flat_map(|row| row.iter().rev().copied()).collect();
    assert!((distance(&turned, &turned_b, 20) - there).abs() < 1e-9 * there);
    let shift = |rows: &[f32]| -> Vec<f32> { rows.iter().map(|x| x + 8.0).collect() };
    assert!((distance(&shift(&a), &shift(&b), 20) - there).abs() < 1e-5 * there);
}

#[test]
fn pieces_merge_to_the_whole() {
    let rows = frames(300, 12, 3);
    let whole = gaussian(&rows, 12);
    let mut merged = gaussian(&rows[..7 * 12], 12);
    merged.merge(&gaussian(&rows[7 * 12..], 12)).unwrap();
    merged.merge(&Gaussian::new(12).unwrap()).unwrap();
    assert_eq!(merged.frames(), 300);
    let (a, b) = (whole.covariance().unwrap(), merged.covariance().unwrap());
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-14));
    let mut empty = Gaussian::new(12).unwrap();
    empty.merge(&whole).unwrap();
    assert!(frechet_distance(&empty, &whole).unwrap() < 1e-9);
}

#[test]
fn recordings_are_pooled_or_taken_one_by_one() {
    let pieces = |seed: u64| -> Vec<Gaussian> {
        frames(400, 5, seed).chunks_exact(50 * 5).map(|rows| gaussian(rows, 5)).collect()
    };
    let recordings: Vec<_> = pieces(1).into_iter().zip(pieces(2)).collect();
    let together = pooled(&recordings).unwrap();
    assert!((together - distance(&frames(400, 5, 1), &frames(400, 5, 2), 5)).abs() < 1e-12);
    let mean = recordings.iter().map(|(a, b)| frechet_distance(a, b).unwrap()).sum::<f64>() / 8.0;
    assert!((per_clip(&recordings).unwrap() - mean).abs() < 1e-12);
    assert!(mean > together, "{mean} {together}");
    let interval = pooled_interval(&recordings, &BootstrapOptions::default()).unwrap().unwrap();
    assert_eq!(interval.estimate, together);
    assert!(interval.low < together && together < interval.high, "{interval:?}");
    assert!(pooled(&[]).is_err() && per_clip(&[]).is_err());
    assert_eq!(pooled_interval(&recordings[..1], &BootstrapOptions::default()).unwrap(), None);
}

#[test]
fn channels_are_picked_by_their_meaning() {
    assert_eq!(expression_channels(Space::Flame108), (0..100).collect::<Vec<_>>());
    assert_eq!(head_channels(Space::Flame108), [100, 101, 102]);
    assert_eq!(expression_channels(Space::Arkit55), (0..52).collect::<Vec<_>>());
    let rows = frames(50, 55, 1);
    let head = Gaussian::of_channels(&rows, 55, &head_channels(Space::Arkit55)).unwrap();
    let mean = rows.iter().skip(53).step_by(55).map(|&x| f64::from(x)).sum::<f64>() / 50.0;
    assert!((head.mean()[1] - mean).abs() < 1e-12);
}

#[test]
fn bad_input_is_refused() {
    assert!(Gaussian::new(0).is_err() && Gaussian::new(1_000_000).is_err());
    let mut gaussian = Gaussian::new(2).unwrap();
    assert!(gaussian.push_rows(&[0.0; 3]).is_err());
    let error = gaussian.push_rows(&[0.0, f32::NAN]).unwrap_err();
    assert_eq!(error.to_string(), "frames: number 1 is NaN: not finite");
    assert!(gaussian.push_channels(&[0.0; 4], 2, &[2]).is_err());
    gaussian.push_rows(&[0.0, 1.0]).unwrap();
    let error = frechet_distance(&gaussian, &gaussian).unwrap_err();
    assert_eq!(error.to_string(), "Fréchet distance: 1 and 1 frames: expected at least 2 of each");
    assert!(frechet_distance(&gaussian, &Gaussian::new(3).unwrap()).is_err());
    assert!(gaussian.merge(&Gaussian::new(3).unwrap()).is_err());
}
