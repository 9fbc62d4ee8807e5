//! The resampler against torchaudio, and against itself for every cut.

use safetensors::SafeTensors;
use unils::audio::{Resampler, resample};

use super::support::*;

const RATE_PAIRS: [(u32, u32); 5] =
    [(8000, 16_000), (44_100, 16_000), (48_000, 16_000), (16_000, 24_000), (22_050, 16_000)];

/// `fixtures/resample.safetensors` holds `torchaudio.functional.resample` 2.11 of `input`, CPU, float32.
#[test]
fn resampling_equals_torchaudio() {
    let bytes = std::fs::read(fixtures().join("resample.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    let values = |name: &str| -> Vec<f32> {
        let data = golden.tensor(name).unwrap().data();
        data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    let input = values("input");
    for (from, to) in RATE_PAIRS {
        let expected = values(&format!("from_{from}_to_{to}"));
        let output = resample(&input, from, to).unwrap();
        let error = max_difference(&output, &expected);
        // Measured: 1.2e-7 to 2.4e-7, the order of the sum. A kernel evaluated in f64 differs by up to 1.5e-5.
        assert!(error < 5e-7, "{from} -> {to}: {error}");
    }
}

#[test]
fn resampling_is_the_same_for_every_cut() {
    let input = noise(5003, 11);
    for (from, to) in
        RATE_PAIRS.into_iter().chain([(16_000, 16_000), (96_000, 16_000), (11_025, 16_000), (16_001, 16_000)])
    {
        let whole = resample(&input, from, to).unwrap();
        let length = (input.len() as u64 * u64::from(to)).div_ceil(u64::from(from));
        assert_eq!(whole.len() as u64, length);
        let mut resampler = Resampler::new(from, to).unwrap();
        for cut in [1, 2, 3, 7, 160, 441, 997, 4097, 5003] {
            let mut output = Vec::new();
            for piece in input.chunks(cut) {
                resampler.push(piece, &mut output);
                resampler.push(&[], &mut output);
            }
            resampler.finish(&mut output); // and starts anew
            assert!(output == whole, "{from} -> {to} in pieces of {cut}");
        }
    }
}

#[test]
fn resampling_short_and_empty_signals() {
    for (from, to) in RATE_PAIRS {
        assert_eq!(resample(&[], from, to).unwrap(), [0.0; 0]);
        for length in 1..40 {
            let expected = (length * to as usize).div_ceil(from as usize);
            assert_eq!(resample(&vec![0.1; length], from, to).unwrap().len(), expected);
        }
    }
}
