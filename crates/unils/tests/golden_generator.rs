//! Both generators against the released code's tensors: positions, teacher-forced pass, generation, sampler.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use burn::tensor::{Device, Tensor};
use common::{FORWARD, Golden, ROUTES, generator, largest_difference, values, wav2vec2};
use unils::codec::{CodecConfig, Schedule};
use unils::generator::{
    Conditions, Generator, GeneratorConfig, Hearing, Layout, Sampling, ScaleLogits, Start, bit_cross_entropy,
};
use unils::nn::{Loader, RandomWeights};

const SCALES: usize = 5;
const PROBABILITY: f32 = 1e-4;

#[test]
fn positions_and_masks() {
    let golden = Golden::open("positions.safetensors");
    let numbers = |values: Vec<usize>| values.into_iter().map(|x| x as f32).collect::<Vec<_>>();
    for (schedule, features) in
        [(&[1, 2, 5, 10, 20][..], 39), (&[1, 5, 25, 50, 100], 199), (&[1, 25, 50, 100], 199)]
    {
        let name = schedule.iter().map(ToString::to_string).collect::<Vec<_>>().join("_");
        let layout = Layout::new(Schedule::new(schedule).unwrap());
        golden.check_exact_values(&format!("{name}.rope_pos"), &numbers(layout.positions()));
        golden.check_exact_values(&format!("{name}.lvl_idx"), &numbers(layout.scale_of_tokens()));
        golden.check_exact_values(
            &format!("{name}.audio_rope_pos"),
            &numbers(layout.audio_positions(features)),
        );
        let mask = format!("{name}.attn_allowed");
        if golden.has(&mask) {
            let visible = layout.visible(layout.tokens()).into_iter().map(usize::from).collect();
            golden.check_exact_values(&mask, &numbers(visible));
        }
    }
}

/// The blocks one after the other, checking the tensors whose names `golden` has.
fn check_forward(
    golden: &Golden,
    generator: &Generator,
    conditions: &Conditions,
    next: Tensor<3>,
    bits: Tensor<3>,
) {
    let mut x = generator.embed(conditions, Some(next.clone()), SCALES);
    golden.check("block_in", x.clone(), FORWARD);
    let mask = generator.mask(generator.layout().tokens());
    for (index, block) in generator.blocks().iter().enumerate() {
        let check = |name: String, x: &Tensor<3>| {
            if golden.has(&name) {
                golden.check(&name, x.clone(), FORWARD);
            }
        };
        x = block.self_attention.forward(x, generator.rotary(), Some(mask.clone()));
        check(format!("block{index}.after_self_attn"), &x);
        if let Some(voices) = &conditions.voices {
            let heard = generator.listen(index, voices);
            x = block.own.as_ref().unwrap().forward(x, generator.rotary(), &heard[0], None);
            check(format!("block{index}.after_self_audio"), &x);
            x = block.partner.as_ref().unwrap().forward(x, generator.rotary(), &heard[1], None);
            check(format!("block{index}.after_other_audio"), &x);
        }
        x = block.feed_forward.forward(x);
        golden.check(&format!("block{index}_out"), x.clone(), FORWARD);
    }
    let logits = generator.forward(conditions, Some(next), SCALES);
    golden.check("logits", logits.clone(), FORWARD);
    golden.check_values("ce_loss", &values(bit_cross_entropy(logits, bits)), FORWARD);
}

#[test]
fn audio_free_forward() {
    let golden = Golden::open("freegen.safetensors");
    for pack in ROUTES {
        let generator = generator("freegen_tiny.safetensors", None, pack);
        let codec = generator.codec();
        let style = codec.features(golden.tensor("style_motion_code"));
        golden.check("style_feat", style.clone(), FORWARD);
        let previous = codec.features(golden.tensor("prev_motion_code"));
        golden.check("prev_feat", previous.clone(), FORWARD);
        let bits = codec.quantizer().quantize(codec.encode(golden.tensor("motion_code"))).bits;
        golden.check_exact("gt_motion_bits", bits.clone());
        let next = codec.quantizer().accumulated_next(bits.clone());
        golden.check("next_feat", next.clone(), FORWARD);
        check_forward(&golden, &generator, &Conditions { style, previous, voices: None }, next, bits);
        assert_eq!(generator.layout().positions().len(), golden.shape("rope_pos")[0]);
    }
}

#[test]
fn dual_track_forward() {
    let golden = Golden::open("gen.safetensors");
    for pack in ROUTES {
        let generator = generator("gen_tiny.safetensors", Some(32), pack);
        let codec = generator.codec();
        let encoder = wav2vec2("hf_wav2vec2_tiny", pack);
        // (dyad, participant, ...) to [all first participants, all second participants].
        let tracks: Tensor<3> = golden.tensor("audio");
        let [dyads, people, samples] = tracks.dims();
        let tracks = tracks.swap_dims(0, 1).reshape([people * dyads, samples]);
        let own = encoder.forward(tracks);
        let [rows, features, width] = own.dims();
        let partner = Tensor::cat(
            vec![
                own.clone().slice([dyads..rows, 0..features, 0..width]),
                own.clone().slice([0..dyads, 0..features, 0..width]),
            ],
            0,
        );
        golden.check("self_audio_feat", own.clone(), FORWARD);
        golden.check("other_audio_feat", partner.clone(), FORWARD);
        let motion = |name: &str| {
            let motion: Tensor<4> = golden.tensor(name);
            let [dyads, people, frames, channels] = motion.dims();
            motion.swap_dims(0, 1).reshape([people * dyads, frames, channels])
        };
        let style = codec.features(motion("style_motion_code"));
        golden.check("style_feat", style.clone(), FORWARD);
        let previous = codec.features(motion("prev_motion_code"));
        golden.check("prev_feat", previous.clone(), FORWARD);
        let bits = codec.quantizer().quantize(codec.encode(motion("motion_code"))).bits;
        golden.check_exact("gt_motion_bits", bits.clone());
        let next = codec.quantizer().accumulated_next(bits.clone());
        golden.check("next_feat", next.clone(), FORWARD);
        let voices = Some([own, partner]);
        check_forward(&golden, &generator, &Conditions { style, previous, voices }, next, bits);
    }
}

/// Which of the two ways a window is generated.
#[derive(Clone, Copy)]
enum Way {
    Cached,
    Plain,
}

/// Generates windows and checks bits, motion and, where `golden` has them, each scale's logits and
/// probabilities.
fn check_generation(
    golden: &Golden,
    generator: &Generator,
    way: Way,
    case: &str,
    start: &Start,
    sampling: &Sampling,
    voices: &[Option<[Tensor<3>; 2]>],
) {
    let greedy = Sampling { greedy: true, ..*sampling };
    let mut state = generator.begin(1, start);
    let mut motion = Vec::new();
    let mut bits = Vec::new();
    let mut checked = 0;
    for (window, voices) in voices.iter().enumerate() {
        let mut observe = |scale: ScaleLogits<'_>| {
            let mut check = |what: &str, ours: &[f32], tolerance| {
                let name = format!("{case}.chunk{window}.level{}.{what}", scale.scale);
                if golden.has(&name) {
                    golden.check_values(&name, ours, tolerance);
                    checked += 1;
                }
            };
            check("logits", scale.guided, FORWARD);
            let raw = [scale.conditional, scale.unconditional.unwrap_or_default()].concat();
            check("raw_logits", &raw, FORWARD);
            let pairs = scale.guided.chunks_exact(2);
            let probabilities: Vec<f32> =
                pairs.flat_map(|pair| sampling.probabilities([pair[0], pair[1]])).collect();
            check("probs", &probabilities, PROBABILITY);
        };
        let voices = voices.as_ref();
        let generated = match way {
            Way::Cached => generator.generate_window_observed(&mut state, voices, &greedy, &mut observe),
            Way::Plain => generator.generate_window_plainly(&mut state, voices, &greedy, &mut observe),
        };
        let generated = generated.unwrap();
        bits.extend(values(generated.bits));
        motion.extend(values(generated.motion));
    }
    assert_eq!(checked, golden.count(&format!("{case}.chunk")), "tensors of the scales of {case}");
    golden.check_exact_values(&format!("{case}.bits"), &bits);
    let name = format!("{case}.pred_motion_code");
    motion.truncate(golden.values(&name).len());
    golden.check_values(&name, &motion, FORWARD);
}

#[test]
fn audio_free_generation() {
    let golden = Golden::open("freegen.safetensors");
    for pack in ROUTES {
        let generator = generator("freegen_tiny.safetensors", None, pack);
        let style: Tensor<3> = golden.tensor("infer.style_motion_code");
        let start = Start {
            style: Some(style.clone()),
            previous: Some(style),
            previous_is_unconditional: true,
            seed: 0,
        };
        for way in [Way::Cached, Way::Plain] {
            for (case, cfg) in [("infer", 2.0), ("infer_nocfg", 1.0)] {
                let sampling = Sampling { cfg, ..Sampling::default() };
                check_generation(&golden, &generator, way, case, &start, &sampling, &[const { None }; 5]);
            }
        }
    }
}

#[test]
fn dual_track_generation() {
    let golden = Golden::open("gen.safetensors");
    let track = |index: usize| -> Vec<f32> {
        let tracks = golden.values("infer.audio");
        let mut samples = tracks[index * tracks.len() / 2..(index + 1) * tracks.len() / 2].to_vec();
        samples.resize(3 * 12_800, 0.0);
        samples
    };
    for pack in ROUTES {
        let generator = generator("gen_tiny.safetensors", Some(32), pack);
        let encoder = wav2vec2("hf_wav2vec2_tiny", pack);
        let encode = |samples: &[f32]| -> Vec<Tensor<3>> {
            let windows = samples.chunks_exact(12_800).map(|window| {
                let data = burn::tensor::TensorData::new(window.to_vec(), [1, window.len()]);
                encoder.forward(Tensor::from_data(data, &Device::flex()))
            });
            windows.collect()
        };
        let features = [encode(&track(0)), encode(&track(1))];
        for (participant, windows) in features.iter().enumerate() {
            for (window, feature) in windows.iter().enumerate() {
                golden.check(
                    &format!("infer.audio_feat{participant}.chunk{window}"),
                    feature.clone(),
                    FORWARD,
                );
            }
        }
        let silent = encode(&[0.0; 3 * 12_800]);
        let voices = |own: &[Tensor<3>], partner: &[Tensor<3>]| -> Vec<_> {
            own.iter().zip(partner).map(|(own, partner)| Some([own.clone(), partner.clone()])).collect()
        };
        let as_given = voices(&features[0], &features[1]);
        let swapped = voices(&features[1], &features[0]);
        let single = voices(&features[0], &silent);
        let clips: Tensor<4> = golden.tensor("infer.style_motion_code");
        let clip: Tensor<3> = clips.slice([0..1, 0..1, 0..20, 0..108]).reshape([1, 20, 108]);
        let nothing = Start::default();
        let styled = Start { style: Some(clip.clone()), ..Start::default() };
        let continued = Start { previous: Some(clip), ..Start::default() };
        let unguided = Sampling { cfg: 1.0, temperature: 0.7, ..Sampling::default() };
        for way in [Way::Cached, Way::Plain] {
            for (case, start, sampling, voices) in [
                ("infer.zero_cond", &nothing, Sampling::default(), &as_given),
                ("infer.swapped", &nothing, Sampling::default(), &swapped),
                ("infer.single", &nothing, Sampling::default(), &single),
                ("infer.style", &styled, Sampling::default(), &as_given),
                ("infer.prev", &continued, Sampling::default(), &as_given),
                ("infer.style_nocfg_tau07", &styled, unguided, &as_given),
            ] {
                check_generation(&golden, &generator, way, case, start, &sampling, voices);
            }
        }
    }
}

/// Sizes that the reference has no tensors for: both ways and both routes agree, and only the one with a mask and the
/// whole prefix is taken from the release.
#[test]
fn other_sizes_give_the_same_both_ways() {
    for (schedule, code_width, width, heads, depth, audio_dim) in [
        (vec![1, 25, 50, 100], 8, 48, 2, 1, None),
        (vec![7], 3, 32, 8, 3, Some(20)),
        (vec![2, 3, 11], 16, 80, 5, 2, Some(24)),
        (vec![1, 2, 3, 4, 5, 6], 5, 24, 3, 2, None),
    ] {
        let codec = CodecConfig {
            motion_dim: 55,
            width: 36,
            heads: 3,
            depth: 1,
            code_width,
            schedule,
            ..common::codec_config()
        };
        let config = GeneratorConfig { width, heads, depth, audio_dim, hearing: Hearing::Both, causal: None };
        let run = |pack, way| {
            let device = Device::flex();
            let source = RandomWeights { seed: 3 };
            let generator = Generator::load(&config, &codec, &Loader::new(&source, &device, pack)).unwrap();
            let voice = |phase: f32, features: usize, width: usize| -> Tensor<3> {
                let wave: Vec<f32> = (0..features * width).map(|i| (i as f32 * 0.37 + phase).sin()).collect();
                Tensor::from_data(burn::tensor::TensorData::new(wave, [1, features, width]), &device)
            };
            let features = 2 * generator.codec().window() - 1;
            let voices = audio_dim.map(|width| [voice(0.0, features, width), voice(1.0, features, width)]);
            let greedy = Sampling { greedy: true, ..Sampling::default() };
            let mut state = generator.begin(1, &Start::default());
            let mut logits = Vec::new();
            let mut observe = |scale: ScaleLogits<'_>| logits.extend_from_slice(scale.guided);
            for _ in 0..2 {
                let window = match way {
                    Way::Cached => {
                        generator.generate_window_observed(&mut state, voices.as_ref(), &greedy, &mut observe)
                    }
                    Way::Plain => {
                        generator.generate_window_plainly(&mut state, voices.as_ref(), &greedy, &mut observe)
                    }
                };
                window.unwrap();
            }
            logits
        };
        let expected = run(false, Way::Plain);
        assert_eq!(expected.len(), 2 * 2 * code_width * codec.schedule.iter().sum::<usize>());
        for (pack, way) in [(false, Way::Cached), (true, Way::Cached), (true, Way::Plain)] {
            let error = largest_difference(&run(pack, way), &expected);
            assert!(error < 1e-4, "{codec:?}, {config:?}, packed: {pack}: {error:.1e}");
        }
    }
}

/// Without features, absent voices are heard the same on both ways, and as features that are all zero.
#[test]
fn no_voices_are_silent_voices() {
    let generator = generator("gen_tiny.safetensors", Some(32), true);
    let sampling = Sampling { greedy: true, ..Sampling::default() };
    let zeros: Tensor<3> = Tensor::zeros([1, 39, 32], &Device::flex());
    let run = |way: Way, voices: Option<&[Tensor<3>; 2]>| {
        let mut state = generator.begin(1, &Start::default());
        let mut logits = Vec::new();
        let mut observe = |scale: ScaleLogits<'_>| logits.extend_from_slice(scale.conditional);
        let window = match way {
            Way::Cached => generator.generate_window_observed(&mut state, voices, &sampling, &mut observe),
            Way::Plain => generator.generate_window_plainly(&mut state, voices, &sampling, &mut observe),
        };
        window.unwrap();
        logits
    };
    let expected = run(Way::Plain, Some(&[zeros.clone(), zeros]));
    for way in [Way::Cached, Way::Plain] {
        assert!(largest_difference(&run(way, None), &expected) < 1e-5);
    }
}

/// A dyad as one batch gives each participant what it gets alone.
#[test]
fn a_batch_of_two_equals_two_single_runs() {
    let golden = Golden::open("gen.safetensors");
    let generator = generator("gen_tiny.safetensors", Some(32), true);
    let features: [Tensor<3>; 2] =
        [golden.tensor("infer.audio_feat0.chunk0"), golden.tensor("infer.audio_feat1.chunk0")];
    let [first, second] = features;
    let sampling = Sampling::default();
    let start = Start { seed: 5, ..Start::default() };
    let own = Tensor::cat(vec![first.clone(), second.clone()], 0);
    let partner = Tensor::cat(vec![second.clone(), first.clone()], 0);
    let mut both = generator.begin(2, &start);
    let mut alone = generator.begin(1, &start);
    for _ in 0..2 {
        let pair =
            generator.generate_window(&mut both, Some(&[own.clone(), partner.clone()]), &sampling).unwrap();
        let single =
            generator.generate_window(&mut alone, Some(&[first.clone(), second.clone()]), &sampling).unwrap();
        let (pair, single) = (values(pair.motion), values(single.motion));
        assert!(largest_difference(&pair[..single.len()], &single) < 1e-4);
        assert!(largest_difference(&pair[single.len()..], &single) > 1e-2, "participants should differ");
    }
}

#[test]
fn sampler_probabilities() {
    let golden = Golden::open("gen.safetensors");
    let sampling = Sampling::default();
    let logits = golden.values("sampler.logits");
    let ours: Vec<f32> =
        logits.chunks_exact(2).flat_map(|pair| sampling.probabilities([pair[0], pair[1]])).collect();
    golden.check_values("sampler.probs", &ours, PROBABILITY);
    let zeros = |values: &[f32]| values.iter().filter(|&&p| p == 0.0).count();
    assert_eq!(zeros(&ours), zeros(&golden.values("sampler.probs")), "dropped classes");
}
