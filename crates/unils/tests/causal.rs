//! The block-causal layout: what a stream makes step by step is what one pass over the whole clip gives, whoever else is
//! in the batch; nothing is seen before its time; memory does not grow.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use burn::tensor::{Device, Tensor, TensorData};
use unils::codec::{CodecConfig, PartConfig};
use unils::generator::{
    CausalConfig, CausalGenerator, CausalInputs, CausalStream, GeneratorConfig, Hearing, Sampling,
    StreamStart,
};
use unils::model::ModelConfig;
use unils::motion::Group;
use unils::nn::{Loader, RandomWeights};

mod common;

use common::{largest_difference, values};

const AUDIO: usize = 12;
const WINDOWS: usize = 14;

fn codec_config() -> CodecConfig {
    let part = |name: &str, groups: &[Group], width, code_width| PartConfig {
        name: name.to_owned(),
        groups: groups.to_vec(),
        width,
        code_width,
    };
    CodecConfig {
        motion_dim: 55,
        width: 24,
        heads: 2,
        depth: 2,
        code_width: 11,
        schedule: vec![1, 2],
        past: Some(3),
        gains: vec![1.0, 0.5],
        parts: vec![
            part("mouth", &[Group::Jaw, Group::Mouth, Group::CheeksNose, Group::Tongue], 24, 5),
            part("eyes", &[Group::Lids, Group::Eyes, Group::Brows], 16, 4),
            part("head", &[Group::Head], 12, 2),
        ],
    }
}

fn generator_with(audio_dim: Option<usize>, bit_units: usize, pack: bool) -> CausalGenerator {
    let causal = CausalConfig {
        past: 4,
        look_ahead: 2,
        own_past: 5,
        partner_past: 9,
        bit_units,
        head_hz: 0.0,
        mouth_hz: 0.0,
        gaze_join: 0.0,
        blink_gain: 1.0,
        head_gain: 1.0,
    };
    let config = GeneratorConfig {
        width: 24,
        heads: 2,
        depth: 3,
        audio_dim,
        hearing: Hearing::Both,
        causal: Some(causal),
    };
    let source = RandomWeights { seed: 5 };
    let loader = Loader::new(&source, &Device::flex(), pack);
    CausalGenerator::load(&config, &codec_config(), &loader).unwrap()
}

fn generator(pack: bool) -> CausalGenerator {
    generator_with(Some(AUDIO), 3, pack)
}

fn noise(shape: [usize; 3], seed: usize) -> Tensor<3> {
    let count = shape.iter().product();
    let number = |i: usize| (((i + seed * 977) * 7919 % 2003) as f32 / 1000.0 - 1.0) * 1.5;
    Tensor::from_data(TensorData::new((0..count).map(number).collect::<Vec<f32>>(), shape), &Device::flex())
}

/// The voices of person `person`, `(1, frames, A)` each.
fn voices(person: usize, frames: usize) -> [Tensor<3>; 2] {
    [noise([1, frames, AUDIO], 2 * person + 1), noise([1, frames, AUDIO], 2 * person + 2)]
}

fn style(person: usize) -> Vec<f32> {
    values(noise([1, 3, 55], 50 + person)).into_iter().map(|x| x.abs() * 0.1).collect()
}

/// Motion of each window, `(2, 55)` each, of a stream that is stepped together with `others`.
fn stream(
    generator: &CausalGenerator,
    person: usize,
    sampling: Sampling,
    others: &mut [(CausalStream, usize)],
) -> Vec<Vec<f32>> {
    let start = StreamStart {
        style: Some(style(person)),
        is_guided: sampling.is_guided(),
        seed: 3,
        participant: person as u64,
    };
    let mut own = generator.begin_stream(&start).unwrap();
    let mut made = Vec::new();
    for window in 0..WINDOWS {
        hear(generator, &mut own, person, window);
        for (other, person) in others.iter_mut() {
            let window = other.window() as usize;
            hear(generator, other, *person, window);
        }
        let mut streams: Vec<&mut CausalStream> =
            std::iter::once(&mut own).chain(others.iter_mut().map(|(other, _)| other)).collect();
        let samplings = vec![sampling; streams.len()];
        let motion = generator.step(&mut streams, &samplings).unwrap();
        made.push(motion[..2 * 55].to_vec());
    }
    made
}

fn hear(generator: &CausalGenerator, stream: &mut CausalStream, person: usize, window: usize) {
    let (from, end) = (stream.heard() as usize, 2 * (window + 1) + 2);
    let [own, partner] = voices(person, 200);
    let cut = |voice: Tensor<3>| voice.narrow(1, from, end - from);
    generator.hear(&mut [stream], &[cut(own), cut(partner)]).unwrap();
}

fn greedy(cfg: f32) -> Sampling {
    Sampling { cfg, top_p: 1.0, greedy: true, ..Sampling::default() }
}

/// Reads off the bits that the motion was decoded from, by trying both values of each in one pass over the clip: a greedy
/// stream's bits are those that the whole clip's logits prefer, given the bits before. A soft mouth is decoded from its
/// bits' probabilities, given the same.
#[test]
fn a_stream_is_the_pass_over_the_whole_clip() {
    for (pack, bit_units, softness) in [(false, 3, 0.0), (true, 3, 0.0), (true, 0, 0.0), (true, 3, 0.7)] {
        let generator = generator_with(Some(AUDIO), bit_units, pack);
        let codec = generator.codec();
        let quantizer = codec.quantizer();
        let (tokens, width) = (quantizer.schedule().tokens(), quantizer.code_width());
        // The whole clip, bit by bit, from the teacher-forced pass alone.
        let mut bits = vec![0.0f32; WINDOWS * tokens * width];
        let mut shown = bits.clone();
        let tensor = |bits: &[f32], shape: [usize; 3]| {
            Tensor::<3>::from_data(TensorData::new(bits.to_vec(), shape), &Device::flex())
        };
        let feature = tensor(&style(1), [1, 3, 55]);
        for at in 0..bits.len() {
            let by_window = tensor(&bits, [WINDOWS, tokens, width]);
            let inputs = CausalInputs {
                style: generator.style_feature(feature.clone()),
                sums: quantizer.sum(by_window.clone()).reshape([1, WINDOWS * 2, width]),
                accumulated_next: quantizer.accumulated_next(by_window),
                bits: tensor(&bits, [1, WINDOWS * tokens, width]),
                voices: Some(voices(1, 2 * WINDOWS + 2)),
            };
            let logits = values(generator.forward(&inputs, &[]));
            let more = logits[2 * at + 1] - logits[2 * at];
            bits[at] = f32::from(u8::from(more > 0.0));
            let is_soft = softness > 0.0 && at % width < codec_config().parts[0].code_width;
            shown[at] = if is_soft { 1.0 / (1.0 + (-more / softness).exp()) } else { bits[at] };
        }
        let sums = quantizer.sum(tensor(&shown, [WINDOWS, tokens, width])).reshape([1, WINDOWS * 2, width]);
        let whole = values(codec.decode(sums));
        let sampling = Sampling { mouth_softness: softness, ..greedy(1.0) };
        let ours = stream(&generator, 1, sampling, &mut []).concat();
        let error = largest_difference(&ours, &whole);
        assert!(error < 2e-4, "packed {pack}, {bit_units} units a bit, softness {softness}: {error:.1e}");
        assert!(bits.contains(&1.0) && bits.contains(&0.0));
    }
}

/// Each bit that is redrawn is what the whole clip's logits, given the true windows before and the bits redrawn before it,
/// say of its uniform number.
#[test]
fn windows_are_redrawn_after_the_true_ones_before_them() {
    for bit_units in [0, 3] {
        let generator = generator_with(Some(AUDIO), bit_units, true);
        let quantizer = generator.codec().quantizer();
        let (tokens, width) = (quantizer.schedule().tokens(), quantizer.code_width());
        let style = Tensor::from_data(TensorData::new(style(1), [1, 3, 55]), &Device::flex());
        let truth = quantizer.quantize(noise([WINDOWS, 2, width], 9));
        let inputs = CausalInputs {
            style: generator.style_feature(style),
            sums: truth.sum.reshape([1, WINDOWS * 2, width]),
            accumulated_next: quantizer.accumulated_next(truth.bits.clone()),
            bits: truth.bits.clone().reshape([1, WINDOWS * tokens, width]),
            voices: Some(voices(1, 2 * WINDOWS + 2)),
        };
        let uniform: Vec<f32> =
            (0..WINDOWS * tokens * width).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
        let drawn = generator.redraw(&inputs, &uniform).unwrap();
        let given = CausalInputs {
            accumulated_next: quantizer.accumulated_next(drawn.clone()),
            bits: drawn.clone().reshape([1, WINDOWS * tokens, width]),
            ..inputs
        };
        let logits = values(generator.forward(&given, &[]));
        let drawn = values(drawn);
        for (at, (pair, bit)) in logits.chunks_exact(2).zip(&drawn).enumerate() {
            let share = 1.0 / (1.0 + (pair[0] - pair[1]).exp());
            let is_close = (share - uniform[at]).abs() < 1e-4;
            assert!(is_close || (uniform[at] < share) == (*bit == 1.0), "bit {at}: {share}, {}", uniform[at]);
        }
        assert_ne!(drawn, values(truth.bits), "they are not the truth");
    }
}

#[test]
fn who_else_is_in_the_batch_and_where_they_stand_does_not_matter() {
    let generator = generator(true);
    let sampling = Sampling { cfg: 1.7, top_p: 1.0, ..Sampling::default() };
    let alone = stream(&generator, 1, sampling, &mut []);
    let begin = |participant| {
        let start = StreamStart { is_guided: true, seed: 9, participant, ..StreamStart::default() };
        (generator.begin_stream(&start).unwrap(), participant as usize)
    };
    let mut others = [begin(4), begin(5)];
    // One of them has gone ahead.
    for window in 0..6 {
        hear(&generator, &mut others[1].0, 5, window);
        generator.step(&mut [&mut others[1].0], &[sampling]).unwrap();
    }
    let together = stream(&generator, 1, sampling, &mut others);
    let error = largest_difference(&alone.concat(), &together.concat());
    assert!(error < 1e-4, "{error:.1e}");
    let another = stream(&generator, 2, sampling, &mut []);
    assert!(largest_difference(&alone.concat(), &another.concat()) > 1e-2, "voices and style count");
}

/// Guidance is away from what a face of that manner does without voices: who hears none is not guided at all, and the
/// mouth's share of guidance counts as far as there is any.
#[test]
fn guidance_strengthens_voices_and_not_manners() {
    let deaf = generator_with(None, 3, true);
    let of_two = |sampling| [1, 2].map(|person| stream(&deaf, person, sampling, &mut []).concat());
    let [plain, guided] = [1.0, 4.0].map(|cfg| of_two(greedy(cfg)));
    assert!(largest_difference(&plain.concat(), &guided.concat()) < 1e-5);
    assert!(largest_difference(&plain[0], &plain[1]) > 1e-2, "manners count");

    let generator = generator(true);
    let [alone, together, mouth, neither] =
        [(1.0, 1.0), (4.0, 1.0), (4.0, 0.0), (1.0, 5.0)].map(|(cfg, mouth_guidance)| {
            stream(&generator, 1, Sampling { mouth_guidance, ..greedy(cfg) }, &mut []).concat()
        });
    assert!(largest_difference(&alone, &together) > 1e-2);
    assert!(largest_difference(&together, &mouth) > 1e-2);
    assert_eq!(alone, neither);
}

#[test]
fn nothing_is_heard_before_its_time_or_after_it_is_past() {
    let generator = generator(true);
    let quantizer = generator.codec().quantizer();
    let (tokens, width) = (quantizer.schedule().tokens(), quantizer.code_width());
    let bits = Tensor::zeros([WINDOWS, tokens, width], &Device::flex());
    let logits = |voices: [Tensor<3>; 2]| {
        let inputs = CausalInputs {
            style: Tensor::zeros([1, 1, 3 * 55], &Device::flex()),
            sums: quantizer.sum(bits.clone()).reshape([1, WINDOWS * 2, width]),
            accumulated_next: quantizer.accumulated_next(bits.clone()),
            bits: bits.clone().reshape([1, WINDOWS * tokens, width]),
            voices: Some(voices),
        };
        values(generator.forward(&inputs, &[]))
    };
    let frames = 2 * WINDOWS + 2;
    let [own, partner] = voices(1, frames);
    let plain = logits([own.clone(), partner.clone()]);
    let row = tokens * 2 * width;
    for frame in 0..frames {
        let mut changed = values(own.clone());
        changed[frame * AUDIO] += 1.0;
        let changed = Tensor::from_data(TensorData::new(changed, [1, frames, AUDIO]), &Device::flex());
        let other = logits([changed, partner.clone()]);
        let first = (0..WINDOWS).find(|&window| {
            largest_difference(&other[window * row..][..row], &plain[window * row..][..row]) > 1e-6
        });
        // Window k hears the frames up to 2 (k + 1) + 2.
        assert_eq!(first, Some((frame / 2).saturating_sub(1).min(WINDOWS - 1)), "frame {frame}");
    }
}

#[test]
fn the_past_takes_no_more_memory_than_stated() {
    let generator = generator(true);
    let mut stream = generator.begin_stream(&StreamStart::default()).unwrap();
    let bytes = stream.bytes();
    for window in 0..40 {
        hear(&generator, &mut stream, 1, window);
        generator.step(&mut [&mut stream], &[greedy(1.0)]).unwrap();
        assert_eq!(stream.bytes(), bytes);
    }
    assert!(bytes < 60_000, "{bytes}");
}

#[test]
fn misuse_is_told() {
    let generator = generator(true);
    let mut stream = generator.begin_stream(&StreamStart::default()).unwrap();
    let error = generator.step(&mut [&mut stream], &[greedy(1.0)]).unwrap_err().to_string();
    assert!(error.contains("needs 4 frames heard, got 0"), "{error}");
    hear(&generator, &mut stream, 1, 0);
    let error = generator.step(&mut [&mut stream], &[greedy(2.0)]).unwrap_err().to_string();
    assert!(error.contains("without guidance"), "{error}");
    let start = StreamStart { style: Some(vec![0.0; 5]), ..StreamStart::default() };
    let error = generator.begin_stream(&start).unwrap_err().to_string();
    assert!(error.contains("5 numbers, expected 3 rows of 55"), "{error}");
    let preset = include_str!("../../../configs/live.toml");
    let text = preset.replace("head_gain = 1", "head_gain = 2");
    let error = ModelConfig::from_toml(&text, "here").unwrap_err().to_string();
    assert!(error.contains("head_gain 2.25 (0.5 to 2)"), "{error}");
}

#[test]
fn a_causal_codec_decodes_step_by_step_what_it_decodes_at_once() {
    let generator = generator(true);
    let codec = generator.codec();
    let bits = noise([2 * 9, 3, 11], 7).greater_elem(0.0).float();
    let sums = codec.quantizer().sum(bits).reshape([2, 18, 11]);
    let whole = codec.decode(sums.clone());
    let mut states = [codec.begin_decoding(), codec.begin_decoding()];
    let mut parts = Vec::new();
    for window in 0..9 {
        let [a, b] = &mut states;
        let firsts = [2 * window as u64; 2];
        parts.push(codec.decode_step(sums.clone().narrow(1, 2 * window, 2), &firsts, &mut [a, b]).unwrap());
    }
    let error = largest_difference(&values(Tensor::cat(parts, 1)), &values(whole));
    assert!(error < 1e-4, "{error:.1e}");
    // A part's bits move its own channels only.
    let mut other = values(sums.clone());
    other.iter_mut().skip(10).step_by(11).for_each(|value| *value = -*value);
    let other = Tensor::from_data(TensorData::new(other, [2, 18, 11]), &Device::flex());
    let change = values((codec.decode(other) - codec.decode(sums)).abs().max_dim(1));
    assert!(
        change[..52].iter().all(|&moved| moved == 0.0) && change[52..55].iter().any(|&moved| moved > 0.0)
    );
}
