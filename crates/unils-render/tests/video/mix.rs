//! Both voices as one sound.

use unils::audio::{Conversation, ConversationOptions};
use unils::checkpoint::TensorFile;
use unils_render::video::{AudioOptions, MixOptions, Mp4Writer, VideoOptions, VoiceMix};

use crate::support::*;

/// A WAV file of 32-bit floats.
fn wav(rate: u32, channels: u16, samples: &[f32]) -> Vec<u8> {
    let bytes = 4 * samples.len() as u32;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + bytes).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x03\0");
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate * 4 * u32::from(channels)).to_le_bytes());
    file.extend((4 * channels).to_le_bytes());
    file.extend(b"\x20\0data");
    file.extend(bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

fn tone(samples: usize, frequency: f32, rate: f32, amplitude: f32) -> Vec<f32> {
    let step = std::f32::consts::TAU * frequency / rate;
    (0..samples).map(|n| amplitude * (n as f32 * step).sin()).collect()
}

fn peak(sound: &[f32]) -> f32 {
    sound.iter().fold(0.0, |peak: f32, x| peak.max(x.abs()))
}

#[test]
fn usual_levels_are_added_and_nothing_else() {
    let scratch = Scratch::new("added");
    let (a, b) = (tone(48_000, 220.0, 48e3, 0.4), tone(30_000, 330.0, 48e3, 0.4));
    let paths = [scratch.file("a.wav"), scratch.file("b.wav")];
    std::fs::write(&paths[0], wav(48_000, 1, &a)).unwrap();
    std::fs::write(&paths[1], wav(48_000, 1, &b)).unwrap();
    let open = || VoiceMix::open(&paths, &ConversationOptions::default(), &MixOptions::default()).unwrap();
    let mut mix = open();
    assert_eq!(mix.channels(), 1);
    let whole = mix.read(60_000).unwrap();
    let sum = (0..60_000).map(|n| a.get(n).unwrap_or(&0.0) + b.get(n).unwrap_or(&0.0));
    // Bit for bit: no gain, no delay, silence behind the end.
    assert!(whole.iter().copied().eq(sum));
    assert_eq!(mix.read(7).unwrap(), [0.0; 7]);
    assert!(mix.notices().iter().any(|notice| notice.contains("shorter")), "{:?}", mix.notices());

    let mut cut = open();
    let mut pieces = Vec::new();
    for size in [1, 0, 1919, 1920, 5000, 51_160] {
        pieces.extend(cut.read(size).unwrap());
    }
    assert!(pieces == whole);
}

/// The released code returns the sum of its two tracks, which are well below full scale.
#[test]
fn the_release_adds_in_the_same_way() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/gen.safetensors");
    let golden = TensorFile::open(golden).unwrap();
    let tracks = golden.read_f32("infer.audio").unwrap();
    let scratch = Scratch::new("golden");
    let paths = [scratch.file("a.wav"), scratch.file("b.wav")];
    for (path, track) in paths.iter().zip(tracks.chunks(tracks.len() / 2)) {
        std::fs::write(path, wav(48_000, 1, track)).unwrap();
    }
    let mut mix = VoiceMix::open(&paths, &ConversationOptions::default(), &MixOptions::default()).unwrap();
    assert!(mix.read(tracks.len() / 2).unwrap() == golden.read_f32("infer.mixed_audio").unwrap());
}

#[test]
fn loud_voices_do_not_clip_not_even_decoded() {
    let scratch = Scratch::new("loud");
    // One stereo file with a voice a channel: both at full scale, then in peace.
    let loud = |n: usize| if n < 40_000 { 1.0 } else { 0.05 };
    let voice = tone(66_150, 150.0, 44.1e3, 1.0);
    let stereo: Vec<f32> = voice.iter().enumerate().flat_map(|(n, x)| [x * loud(n); 2]).collect();
    let path = scratch.file("both.wav");
    std::fs::write(&path, wav(44_100, 2, &stereo)).unwrap();
    let mut mix = VoiceMix::open(&[path], &ConversationOptions::default(), &MixOptions::default()).unwrap();
    let sound = mix.read(72_000).unwrap();
    assert!(peak(&sound) <= 0.891 && peak(&sound[..40_000]) > 0.88, "{}", peak(&sound));
    // The quiet end has its own level again.
    assert!((peak(&sound[65_000..71_000]) - 0.1).abs() < 0.01, "{}", peak(&sound[65_000..71_000]));

    let mut video = Mp4Writer::new(
        std::io::Cursor::new(Vec::new()),
        &VideoOptions::new(16, 16),
        Some(&AudioOptions::new(1)),
    )
    .unwrap();
    video.push_frame(&flat(16, 16, [0; 3])).unwrap();
    video.push_audio(&sound).unwrap();
    let (file, _) = video.finish().unwrap();
    let decoded = read(file.get_ref()).sound();
    assert!(peak(&decoded) < 0.999, "{}", peak(&decoded));
}

#[test]
fn voices_of_other_rates_stay_in_time() {
    let scratch = Scratch::new("rates");
    for rate in [8_000, 16_000, 22_050, 44_100, 96_000_u32] {
        let mut sound = vec![0.0; rate as usize];
        let start = rate as usize / 2;
        sound[start..start + rate as usize / 50].fill(0.5);
        let path = scratch.file(&format!("{rate}.wav"));
        std::fs::write(&path, wav(rate, 1, &sound)).unwrap();
        let mut mix =
            VoiceMix::open(&[path], &ConversationOptions::default(), &MixOptions::default()).unwrap();
        let mixed = mix.read(48_000).unwrap();
        let edge = mixed.iter().position(|x| *x > 0.25).unwrap();
        assert!(edge.abs_diff(24_000) <= 6, "{rate}: {edge}");
        assert!((mixed[24_400] - 0.5).abs() < 0.02);
    }
}

#[test]
fn samples_in_memory_and_sides() {
    let conversation =
        || Conversation::from_samples(vec![0.2; 16_000], Some(vec![0.4; 16_000]), 16_000).unwrap();
    for (spread, sides) in [(0.0, vec![0.6]), (1.0, vec![0.2, 0.4]), (0.25, vec![0.5, 0.55])] {
        let mut mix = VoiceMix::new(conversation(), &MixOptions { spread }).unwrap();
        assert_eq!(mix.channels(), sides.len());
        let sound = mix.read(48_000).unwrap();
        assert_eq!(sound.len(), 48_000 * sides.len());
        for (got, want) in sound[24_000 * sides.len()..].iter().zip(&sides) {
            assert!((got - want).abs() < 2e-3, "{spread}: {got}, {want}");
        }
    }
    for spread in [-0.1, 1.1, f32::NAN] {
        assert!(VoiceMix::new(conversation(), &MixOptions { spread }).is_err());
    }
    let mut mix = VoiceMix::new(conversation(), &MixOptions::default()).unwrap();
    assert!(mix.read(usize::MAX).is_err());
    assert_eq!(mix.read(10).unwrap().len(), 10);
}
