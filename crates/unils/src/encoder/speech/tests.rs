//! The speech encoder: causality, streams, gain, gradients, speed.

use burn::module::Module;

use super::*;
use crate::nn::{RandomWeights, TrainingPlan};

fn config() -> SpeechConfig {
    SpeechConfig { width: 24, fine: vec![1, 2, 4], coarse: vec![1, 2, 4, 8] }
}

fn speech(config: &SpeechConfig) -> Speech {
    Speech::load(config, &Loader::new(&RandomWeights { seed: 3 }, &Device::flex(), true)).unwrap()
}

/// Syllables with pauses: harmonics of a voice under a moving envelope, and a floor of noise.
fn voice(samples: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let sample = |index: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = state as f32 / u32::MAX as f32 - 0.5;
        let time = index as f32 / 16_000.0 + seed as f32;
        let syllable = (time * 4.0 * std::f32::consts::PI).sin().max(0.0).powi(2);
        let speaks = if (time * 0.7).fract() < 0.7 { syllable } else { 0.0 };
        let tone = |harmonic: f32| (time * 800.0 * harmonic).sin() / harmonic;
        speaks * 0.2 * (tone(1.0) + tone(2.0) + tone(5.0) + 0.2 * noise) + 4e-4 * noise
    };
    (0..samples).map(sample).collect()
}

fn waves(rows: &[Vec<f32>]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(rows.concat(), [rows.len(), rows[0].len()]), &Device::flex())
}

fn values(x: Tensor<3>) -> Vec<f32> {
    x.into_data().iter().collect()
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_feature_knows_the_past_only() {
    let speech = speech(&config());
    let first = voice(40 * 640 + 333, 1);
    let mut second = first.clone();
    second[20 * 640..].iter_mut().for_each(|sample| *sample = 0.5 - *sample);
    let [first, second] = [first, second].map(|wave| values(speech.forward(waves(&[wave]))));
    let (width, frames) = (speech.feature_dim(), first.len() / speech.feature_dim());
    assert_eq!(frames, 40);
    assert_eq!(first[..20 * width], second[..20 * width]);
    assert!(furthest(&first[20 * width..21 * width], &second[20 * width..21 * width]) > 1e-3);
}

#[test]
fn streams_give_the_features_of_whole_waves() {
    let speech = speech(&config());
    let rows = [voice(60 * 640, 1), voice(60 * 640, 2), voice(60 * 640, 5)];
    let whole = values(speech.forward(waves(&rows)));
    for cuts in [vec![1; 60], vec![60], vec![7, 1, 20, 32], vec![2; 30]] {
        let mut states = [speech.begin(), speech.begin(), speech.begin()];
        let (mut at, mut parts) = (0, Vec::new());
        for frames in cuts {
            let (from, to) = (at * 640, (at + frames) * 640);
            let samples: Vec<f32> = rows.iter().flat_map(|row| row[from..to].to_vec()).collect();
            let mut states: Vec<&mut SpeechState> = states.iter_mut().collect();
            parts.push(speech.step(&mut states, &samples).unwrap());
            at += frames;
        }
        let streamed = values(Tensor::cat(parts, 1));
        assert!(furthest(&streamed, &whole) < 1e-5, "{}", furthest(&streamed, &whole));
        assert!(states.iter().all(|state| state.samples.len() == LogMel::LOOK_BACK));
    }
    let mut state = speech.begin();
    for wrong in [0, 639, 641] {
        let error = speech.step(&mut [&mut state], &vec![0.0; wrong]).unwrap_err();
        assert!(error.to_string().contains("samples for 1 streams"), "{error}");
    }
    assert_eq!(state, speech.begin());
}

/// Both voices' features and shares, heard as a pair in pieces of so many frames.
fn heard_together(speech: &Speech, rows: &[Vec<f32>; 2], cuts: &[usize]) -> (Vec<f32>, Vec<f32>) {
    let mut pair = speech.begin_pair();
    let (mut at, mut parts, mut shares) = (0, Vec::new(), [Vec::new(), Vec::new()]);
    for frames in cuts {
        let to = at + frames * 640;
        let samples: Vec<f32> = rows.iter().flat_map(|row| row[at..to].to_vec()).collect();
        let (features, left) = speech.step_pairs(&mut [&mut pair], &samples).unwrap();
        parts.push(features);
        shares.iter_mut().zip(left.chunks_exact(*frames)).for_each(|(all, left)| all.extend(left));
        at = to;
    }
    (values(Tensor::cat(parts, 1)), shares.concat())
}

#[test]
fn pairs_without_a_leak_are_heard_like_single_voices() {
    let speech = speech(&config());
    let rows = [voice(100 * 640, 1), voice(100 * 640, 2)];
    let (features, shares) = heard_together(&speech, &rows, &[2; 50]);
    assert!(furthest(&features, &values(speech.forward(waves(&rows)))) < 1e-5);
    assert!(shares == vec![1.0; 200]);
}

#[test]
fn a_leak_is_taken_out_alike_for_every_cut() {
    let speech = speech(&config());
    // The first says nothing and has the second in the microphone.
    let (quiet, partner) = (voice(150 * 640, 1), voice(150 * 640, 2));
    let quiet: Vec<f32> = quiet.iter().map(|sample| sample.clamp(-2e-4, 2e-4)).collect();
    let leak = [vec![0.0; 400], partner.iter().map(|sample| 0.1 * sample).collect()].concat();
    let heard: Vec<f32> = quiet.iter().zip(&leak).map(|(quiet, leak)| quiet + leak).collect();
    let rows = [heard, partner];
    let (features, shares) = heard_together(&speech, &rows, &[2; 75]);
    for cuts in [vec![1; 150], vec![100, 50]] {
        let (again, left) = heard_together(&speech, &rows, &cuts);
        assert!(furthest(&again, &features) < 1e-5 && left == shares);
    }
    let untreated = values(speech.forward(waves(&rows)));
    let (own, partner) = (..untreated.len() / 2, untreated.len() / 2..);
    assert!(furthest(&features[own], &untreated[own]) > 1e-2);
    assert!(furthest(&features[partner.clone()], &untreated[partner]) < 1e-5);
    // Past the first seconds, in which it is found.
    assert!(shares[150..].iter().all(|share| *share == 1.0));
    let left = shares[50..150].iter().sum::<f32>() / 100.0;
    assert!(left < 0.5, "{left}");
}

#[test]
fn gain_does_not_matter_and_silence_is_not_blown_up() {
    let speech = speech(&config());
    let wave = voice(150 * 640, 1);
    let louder = |gain: f32| wave.iter().map(|sample| (sample * gain).clamp(-1.0, 1.0)).collect::<Vec<_>>();
    let of = |wave| values(speech.forward(waves(&[wave])));
    let plain = of(wave.clone());
    let rms = |a: &[f32], b: &[f32]| {
        (a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / a.len() as f32).sqrt()
    };
    let size = rms(&plain, &vec![0.0; plain.len()]);
    for gain in [0.1, 4.0] {
        let difference = rms(&plain, &of(louder(gain))) / size;
        assert!(difference < 0.1, "{gain}: {difference}");
    }
    // A quiet room, and noise that is louder, look like the pauses of speech and not like speech.
    let pause = |level: f32| {
        let mut energies = LogMel::new().rows(
            &voice(64_000, 9).iter().map(|s| level * s.signum() * (s * 1e5).fract()).collect::<Vec<_>>(),
            64_000,
            0,
        );
        Tracker::default().apply(&mut energies);
        energies.iter().sum::<f32>() / energies.len() as f32
    };
    for level in [1e-4, 1e-3, 0.05] {
        assert!(pause(level) < 0.6, "{level}: {}", pause(level));
    }
}

#[test]
fn every_weight_gets_a_gradient() {
    let config = config();
    let (weights, plan) = (RandomWeights { seed: 3 }, TrainingPlan::everything());
    let loader = Loader::for_training(&weights, &Device::flex(), true, &plan);
    let trained = Speech::load(&config, &loader).unwrap();
    let rows = [voice(30 * 640, 1), voice(30 * 640, 2)];
    let features = trained.forward(waves(&rows));
    assert!(
        furthest(&values(features.clone().inner()), &values(speech(&config).forward(waves(&rows)))) < 1e-4
    );
    let gradients = features.square().sum().backward();
    struct Seen<'a>(&'a burn::tensor::Gradients, usize, usize);
    impl burn::module::ModuleVisitor for Seen<'_> {
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
            self.1 += 1;
            let gradient = param.val().grad(self.0);
            self.2 += usize::from(gradient.is_some_and(|g| g.abs().sum().into_scalar::<f32>() > 0.0));
        }
    }
    let mut seen = Seen(&gradients, 0, 0);
    trained.visit(&mut seen);
    assert_eq!((seen.1, seen.2), (loader.parameters().len(), seen.1));
    assert_eq!(seen.1, 2 + 7 * 6 + 2 + 2);
}

#[test]
fn a_frame_of_two_streams_takes_little_time() {
    let speech = speech(&SpeechConfig { width: 176, ..config() });
    let samples = [voice(640, 1), voice(640, 2)].concat();
    let (mut first, mut second) = (speech.begin(), speech.begin());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let begun = std::time::Instant::now();
        for _ in 0..200 {
            speech.step(&mut [&mut first, &mut second], &samples).unwrap();
        }
        eprintln!("{:.3} ms a frame of two streams, one thread", begun.elapsed().as_secs_f64() * 5.0);
    });
}
