//! Files and arguments that are wrong: an error with a hint, or what can be used of them, never a panic.

use unils::Error;
use unils::audio::{AudioReader, Conversation, ConversationOptions};

use super::fuzz;
use super::support::*;

#[test]
fn empty_and_foreign_files() {
    expect_error(open(Vec::new()), "empty");
    for (bytes, what) in [
        (&b"this is a text about audio, not audio, and it goes on for a while"[..], "no audio"),
        (&[0; 5000], "no audio"),
        (b"\x89PNG\r\n\x1a\n0123456789", "PNG image"),
        (b"\x1a\x45\xdf\xa3 webm or mkv ....", "WebM"),
        (b"#!AMR\n0123456789abcdef", "AMR"),
        (b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42", "index"),
        (b"RIFF", "no audio"),
        (b"x", "no audio"),
    ] {
        expect_error(open(bytes.to_vec()), what);
    }
    let error = AudioReader::open("no such file.wav").unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.hint().is_some());
    let error = AudioReader::open(fixtures()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.hint().is_some(), "{error}");
    let path = std::env::temp_dir().join(format!("unils-audio-empty-{}.wav", std::process::id()));
    std::fs::write(&path, []).unwrap();
    let error = expect_error(AudioReader::open(&path), "empty");
    std::fs::remove_file(&path).unwrap();
    assert!(error.to_string().contains("unils-audio-empty"), "names the file: {error}");
}

#[test]
fn no_sample_and_one_sample() {
    expect_error(open(wav16(16_000, 1, &[])), "no samples");
    // An empty data chunk with a chunk behind it is empty, not unfinished.
    let mut file = wav16(16_000, 1, &[]);
    file.extend(b"LIST\x04\0\0\0INFO");
    expect_error(open(file), "no samples");
    for rate in [8000, 16_000, 44_100] {
        let file = wav16(rate, 1, &[0.5]);
        assert_eq!(read_all(&mut open(file.clone()).unwrap()).unwrap(), [[0.5]]);
        let mut conversation = conversation(vec![file], &ConversationOptions::default()).unwrap();
        let [own, partner] = read_tracks(&mut conversation, 640);
        assert_eq!(own.len(), if rate == 8000 { 2 } else { 1 });
        assert_eq!(own.len(), partner.len());
    }
}

#[test]
fn absurd_headers() {
    let data = [0; 4000];
    for rate in [0, 1, 999, 384_001, u32::MAX] {
        expect_error(open(wav(1, 16, rate, 1, &data)), if rate == 0 { "" } else { "Hz" });
    }
    for channels in [0, 65, 255, u16::MAX] {
        expect_error(open(wav(1, 16, 16_000, channels, &data)), "");
    }
    for (tag, bits) in [(1, 0), (1, 7), (1, 128), (3, 16), (0, 16), (999, 16)] {
        expect_error(open(wav(tag, bits, 16_000, 1, &data)), "");
    }
    // A channel mask without room for more channels.
    let mut file = wav_extensible(1, 16, 16_000, 2, &data);
    file[40..44].copy_from_slice(&[0, 0, 0, 0x80]);
    let _ = open(file).map(|mut reader| read_all(&mut reader));
}

#[test]
fn not_a_number_is_named() {
    for (value, what) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let mut samples = noise(6000, 5);
        samples[2 * 2500 + 1] = value;
        let mut reader = open(wav_f32(16_000, 2, &samples)).unwrap();
        let error = expect_error(
            read_all(&mut reader),
            &format!("sample 2500 of channel 1 (counted from 0) is {what}"),
        );
        assert!(matches!(error, Error::Audio(_)));
        assert!(reader.next_block().unwrap().is_none(), "at its end after an error");
        let mut conversation =
            conversation(vec![wav_f32(16_000, 2, &samples)], &ConversationOptions::default()).unwrap();
        expect_error(conversation.read(16_000), "sample 2500");
        assert!(conversation.read(16_000).unwrap().is_none());
        expect_error(
            Conversation::from_samples(vec![0.0], Some(vec![0.0, value]), 16_000),
            "partner: sample 1",
        );
    }
}

#[test]
fn truncated_files_give_what_they_hold() {
    let mut files: Vec<(&str, Vec<u8>, Vec<f32>)> = TONES
        .into_iter()
        .map(|(name, ..)| (name, tone(name), read_all(&mut open(tone(name)).unwrap()).unwrap().remove(0)))
        .collect();
    let signal = sweep(16_000);
    files.push((
        "tone.wav",
        wav16(16_000, 1, &signal),
        read_all(&mut open(wav16(16_000, 1, &signal)).unwrap()).unwrap().remove(0),
    ));
    for (name, file, whole) in files {
        // Vorbis begins with 3 kB of codebooks.
        let start = if name == "tone.ogg" { 3200 } else { 0 };
        let mut reader = open(file[..start + (file.len() - start) * 3 / 4].to_vec()).unwrap();
        let samples = read_all(&mut reader).unwrap().remove(0);
        assert!(samples.len() > whole.len() / 3 && samples.len() < whole.len(), "{name}: {}", samples.len());
        // The last packet may lack its overlap with the next one.
        let sound = samples.len().saturating_sub(2400);
        assert!(max_difference(&samples[..sound], &whole[..sound]) < 1e-6, "{name}");
        assert!(has(reader.warnings(), "truncated"), "{name}: {:?}", reader.warnings());
        assert_eq!(reader.warnings().len(), 1, "{name}: {:?}", reader.warnings());
    }
}

#[test]
fn unfinished_wav_header_is_repaired() {
    let signal = noise(4000, 9);
    let mut file = wav16(16_000, 1, &signal);
    let whole = read_all(&mut open(file.clone()).unwrap()).unwrap();
    file[4..8].fill(0);
    file[40..44].fill(0);
    let mut reader = open(file).unwrap();
    assert_eq!(read_all(&mut reader).unwrap(), whole);
    assert!(has(reader.warnings(), "never finished"));
}

#[test]
fn forged_fragment_of_mp4_is_refused() {
    let boxed =
        |kind: &[u8; 4], body: &[u8]| [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat();
    let run = boxed(b"trun", &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    let fragment = boxed(b"moof", &boxed(b"traf", &run));
    let file = [boxed(b"ftyp", b"M4A \0\0\0\0"), boxed(b"moov", &[]), fragment].concat();
    expect_error(open(file), "more samples than the file has bytes");
}

#[test]
fn damaged_packets_keep_the_clock() {
    for (name, from) in [("tone.flac", 4000), ("tone.ogg", 3600), ("tone.opus", 1600)] {
        let whole = read_all(&mut open(tone(name)).unwrap()).unwrap().remove(0);
        let mut file = tone(name);
        file[from..from + 200].fill(0x55);
        let mut reader = open(file).unwrap();
        let samples = read_all(&mut reader).unwrap().remove(0);
        assert_eq!(samples.len(), whole.len(), "{name}");
        let silent = samples.iter().zip(&whole).filter(|(a, b)| **a == 0.0 && b.abs() > 0.01).count();
        assert!(silent > 1000, "{name}: the damage is heard as silence");
        // Opus predicts from packet to packet and recovers slowly; the others decode the end as before.
        let tail = whole.len() - if name == "tone.opus" { 0 } else { 2000 };
        assert!(max_difference(&samples[tail..], &whole[tail..]) < 1e-2, "{name}: the end is in its place");
        assert!(has(reader.warnings(), "replaced by silence"), "{name}: {:?}", reader.warnings());
    }
    // MP3 frames carry no time: what cannot be found again is missing.
    let mut file = tone("tone.mp3");
    file[1800..2000].fill(0x55);
    let mut reader = open(file).unwrap();
    assert!(read_all(&mut reader).unwrap()[0].len() > 10_000);
    assert!(!reader.warnings().is_empty());
}

#[test]
fn any_cut_and_any_byte_is_survived() {
    let mut files: Vec<Vec<u8>> = TONES.into_iter().map(|(name, ..)| tone(name)).collect();
    files.push(wav_extensible(1, 24, 16_000, 2, &[7; 600]));
    files.push(wav_f32(8000, 1, &noise(300, 4)));
    for file in &files {
        for cut in (0..file.len()).step_by(211) {
            fuzz::audio(&file[..cut]);
        }
        for (step, byte) in [(97, 0xff), (89, 0), (83, 0x55)] {
            for at in (0..file.len().min(2000)).step_by(step) {
                let mut broken = file.clone();
                broken[at] ^= byte;
                broken[(at * 7 + 3) % file.len()] = byte;
                fuzz::audio(&broken);
            }
        }
    }
}
