//! Voices on one clock: files, channels, padding, summaries and notices.

use unils::Error;
use unils::audio::{Conversation, ConversationOptions, MODEL_RATE, resample};

use super::support::*;

#[test]
fn two_files_become_two_tracks() {
    let (own, partner) = (sweep(44_100), noise(12_000, 2));
    let files = || vec![wav16(44_100, 1, &own), wav_f32(16_000, 1, &partner)];
    let mut whole = conversation(files(), &ConversationOptions::default()).unwrap();
    assert_eq!(
        (whole.voices(), whole.sample_rate(), whole.expected_samples()),
        (2, MODEL_RATE, Some(12_000))
    );
    let tracks = read_tracks(&mut whole, 20_000);
    assert_eq!((tracks[0].len(), tracks[1].len()), (12_000, 12_000));
    assert_eq!(tracks[1], partner, "16 kHz passes unchanged");
    let quantised = read_all(&mut open(wav16(44_100, 1, &own)).unwrap()).unwrap();
    let resampled = resample(&quantised[0], 44_100, 16_000).unwrap();
    assert_eq!(tracks[0][..6400], resampled);
    assert!(tracks[0][6400..].iter().all(|x| *x == 0.0), "padded with zeros");
    assert_eq!(whole.notices(), ["a.wav is 0.35 s shorter than b.wav: padded with silence"]);

    for window in [1, 2, 3, 639, 640, 641, 4097, 11_999, 12_000, 12_001] {
        let mut cut = conversation(files(), &ConversationOptions::default()).unwrap();
        assert!(read_tracks(&mut cut, window) == tracks, "windows of {window}");
        assert_eq!(cut.summary(), whole.summary());
        assert_eq!(cut.notices(), whole.notices());
    }
}

#[test]
fn summary_measures_the_recording() {
    let mut quiet =
        conversation(vec![wav16(8000, 1, &[0.25; 4000])], &ConversationOptions::default()).unwrap();
    read_tracks(&mut quiet, 640);
    let summary = &quiet.summary()[0];
    assert_eq!((summary.name.as_str(), summary.source_rate, summary.channels), ("a.wav", 8000, 1));
    assert_eq!(
        (summary.seconds, summary.peak, summary.clipped_samples, summary.silent),
        (0.5, 0.25, 0, false)
    );
    assert!((summary.rms_dbfs + 12.0412).abs() < 1e-3);
    let json = serde_json::to_value(summary).unwrap();
    let mut fields: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    let expected = [
        "channel",
        "channels",
        "clipped_samples",
        "name",
        "peak",
        "rms_dbfs",
        "seconds",
        "silent",
        "source_rate",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn one_stereo_file_is_two_voices() {
    let (left, right) = (noise(3000, 1), noise(3000, 2));
    let stereo: Vec<f32> = left.iter().zip(&right).flat_map(|(l, r)| [*l, *r]).collect();
    let file = wav_f32(16_000, 2, &stereo);
    let mut both = conversation(vec![file.clone()], &ConversationOptions::default()).unwrap();
    assert_eq!(read_tracks(&mut both, 500), [left.clone(), right.clone()]);
    assert_eq!(both.notices(), [""; 0]);
    assert_eq!(both.summary()[1].channel, Some(1));

    let swap = ConversationOptions { channels: Some([1, 0]), ..Default::default() };
    let mut swapped = conversation(vec![file.clone()], &swap).unwrap();
    assert_eq!(read_tracks(&mut swapped, 500), [right.clone(), left.clone()]);

    let mix = ConversationOptions { mixdown: true, ..Default::default() };
    let mut mixed = conversation(vec![file], &mix).unwrap();
    assert_eq!(mixed.voices(), 1);
    let mean: Vec<f32> = left.iter().zip(&right).map(|(l, r)| (l + r) * 0.5).collect();
    assert_eq!(read_tracks(&mut mixed, 500), [mean, vec![0.0; 3000]]);
    assert!(has(mixed.notices(), "2 channels mixed") && has(mixed.notices(), "partner is silent"));
}

#[test]
fn mono_file_has_a_silent_partner() {
    let own = noise(2000, 8);
    let mut one = conversation(vec![wav_f32(16_000, 1, &own)], &ConversationOptions::default()).unwrap();
    assert_eq!((one.voices(), one.summary().len()), (1, 1));
    assert_eq!(read_tracks(&mut one, 640), [own, vec![0.0; 2000]]);
    assert_eq!(one.notices(), ["a.wav: one voice, so the partner is silent"]);
}

#[test]
fn eight_channels_need_a_choice() {
    let voices: Vec<Vec<f32>> = (0..8).map(|seed| noise(900, seed)).collect();
    let interleaved: Vec<f32> = (0..900).flat_map(|i| voices.iter().map(move |voice| voice[i])).collect();
    let file = wav_f32(16_000, 8, &interleaved);
    assert_eq!(read_all(&mut open(file.clone()).unwrap()).unwrap(), voices);
    let open_with = |options| conversation(vec![file.clone()], &options);
    expect_error(open_with(ConversationOptions::default()), "8 channels");
    let chosen = ConversationOptions { channels: Some([6, 2]), ..Default::default() };
    assert_eq!(read_tracks(&mut open_with(chosen).unwrap(), 640), [voices[6].clone(), voices[2].clone()]);
    expect_error(
        open_with(ConversationOptions { channels: Some([0, 8]), ..Default::default() }),
        "channel 8",
    );
    expect_error(
        open_with(ConversationOptions { channels: Some([3, 3]), ..Default::default() }),
        "both voices",
    );
    expect_error(
        open_with(ConversationOptions { channels: Some([3, 4]), mixdown: true, ..Default::default() }),
        "also mixing",
    );
    // Two files: each mixed down, or the chosen channel of each.
    let mut pair =
        conversation(vec![file.clone(), wav_f32(16_000, 1, &voices[0])], &Default::default()).unwrap();
    assert!(has(pair.notices(), "a.wav: 8 channels mixed"));
    let tracks = read_tracks(&mut pair, 640);
    let mean: Vec<f32> = (0..900).map(|i| voices.iter().map(|voice| voice[i]).sum::<f32>() / 8.0).collect();
    assert!(max_difference(&tracks[0], &mean) < 1e-7);
    let chosen = ConversationOptions { channels: Some([5, 0]), ..Default::default() };
    let mut pair = conversation(vec![file.clone(), wav_f32(16_000, 1, &voices[0])], &chosen).unwrap();
    assert_eq!(read_tracks(&mut pair, 640), [voices[5].clone(), voices[0].clone()]);
}

#[test]
fn silent_clipped_same_and_unscaled_are_noticed() {
    let notices = |file| {
        let mut conversation = conversation(vec![file], &ConversationOptions::default()).unwrap();
        read_tracks(&mut conversation, 640);
        (conversation.notices().to_vec(), conversation.summary())
    };
    let (told, summary) = notices(wav16(16_000, 1, &[0.0; 5000]));
    assert!(has(&told, "a.wav: silent") && summary[0].silent && summary[0].rms_dbfs == -120.0, "{told:?}");

    let loud: Vec<f32> = sweep(16_000).iter().map(|x| (x * 4.0).clamp(-1.0, 1.0)).collect();
    let (told, summary) = notices(wav16(16_000, 1, &loud));
    assert!(has(&told, "clipped samples") && summary[0].clipped_samples > 1000, "{told:?}");

    let (told, _) =
        notices(wav16(16_000, 2, &sweep(16_000).iter().flat_map(|x| [*x, *x]).collect::<Vec<_>>()));
    assert!(has(&told, "same voice"), "{told:?}");

    let (told, _) =
        notices(wav_f32(16_000, 1, &sweep(16_000).iter().map(|x| x * 32768.0).collect::<Vec<_>>()));
    assert!(has(&told, "far above full scale"), "{told:?}");

    let mut cut = wav16(16_000, 1, &sweep(16_000));
    cut.truncate(5000);
    assert!(has(&notices(cut).0, "a.wav: truncated"));
}

#[test]
fn conversation_arguments() {
    let paths: [&str; 0] = [];
    expect_error(Conversation::open(&paths, &Default::default()), "0 recordings");
    expect_error(Conversation::open(&["a", "b", "c"], &Default::default()), "3 recordings");
    expect_error(Conversation::from_samples(vec![], None, 16_000), "own: holds no samples");
    expect_error(Conversation::from_samples(vec![0.0], None, 0), "0 Hz");
    let mut one = Conversation::from_samples(vec![0.5; 3], None, 16_000).unwrap();
    assert!(matches!(one.read(0), Err(Error::Argument(_))));
    assert!(matches!(one.read(usize::MAX), Err(Error::Argument(_))));
    assert_eq!(one.read(2).unwrap().unwrap().valid, 2);
    // One empty file of two is named.
    let error = expect_error(
        conversation(vec![wav16(16_000, 1, &[0.1; 10]), wav16(16_000, 1, &[])], &Default::default()),
        "no samples",
    );
    assert!(error.to_string().starts_with("b.wav"));
}

#[test]
fn recordings_of_one_scene_in_two_formats_stay_aligned() {
    let files = ["tone.flac", "tone.m4a"].map(|name| fixtures().join("audio").join(name));
    let mut pair = Conversation::open(&files, &ConversationOptions::default()).unwrap();
    assert_eq!(pair.expected_samples(), Some(6400));
    let [a, b] = read_tracks(&mut pair, 640);
    let best = (-20..=20).max_by(|x, y| correlation(&a, &b, *x).total_cmp(&correlation(&a, &b, *y)));
    assert_eq!(best, Some(0));
    let clean = resample(&sweep(44_100), 44_100, 16_000).unwrap();
    assert!(correlation(&a, &clean, 0) > 0.999_999);
    let other_rate = ConversationOptions { sample_rate: 24_000, ..Default::default() };
    let mut at_24k = Conversation::open(&files[..1], &other_rate).unwrap();
    assert_eq!((at_24k.sample_rate(), read_tracks(&mut at_24k, 960)[0].len()), (24_000, 9600));
}
