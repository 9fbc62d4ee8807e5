//! Audio files, resampling and conversations: formats, bad input, streaming, and the reference's numbers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

use unils::audio::AudioReader;

#[path = "audio/bad_input.rs"]
mod bad_input;
#[path = "audio/conversations.rs"]
mod conversations;
#[path = "fuzz/audio.rs"]
mod fuzz;
#[path = "audio/resampling.rs"]
mod resampling;
#[path = "audio/support.rs"]
mod support;

use support::*;

#[test]
fn wav_of_every_sample_format() {
    let signal = noise(3000, 1);
    let quantised = |scale: f64| signal.iter().map(move |x| (f64::from(*x) * scale).round() as i64);
    let i8s: Vec<u8> = quantised(128.0).map(|x| (x + 128) as u8).collect();
    let i16s: Vec<u8> = quantised(32768.0).flat_map(|x| (x as i16).to_le_bytes()).collect();
    let i24s: Vec<u8> =
        quantised(8_388_608.0).flat_map(|x| [x as u8, (x >> 8) as u8, (x >> 16) as u8]).collect();
    let i32s: Vec<u8> = quantised(2_147_483_648.0).flat_map(|x| (x as i32).to_le_bytes()).collect();
    let f32s: Vec<u8> = signal.iter().flat_map(|x| x.to_le_bytes()).collect();
    let f64s: Vec<u8> = signal.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect();
    for (tag, bits, data, codec, step) in [
        (1, 8, i8s, "pcm_u8", 1.0 / 128.0),
        (1, 16, i16s, "pcm_s16le", 1.0 / 32768.0),
        (1, 24, i24s, "pcm_s24le", 1.0 / 8_388_608.0),
        (1, 32, i32s, "pcm_s32le", 1.0 / 16_777_216.0),
        (3, 32, f32s, "pcm_f32le", 0.0),
        (3, 64, f64s, "pcm_f64le", 0.0),
    ] {
        for file in [wav(tag, bits, 22_050, 2, &data), wav_extensible(tag, bits, 22_050, 2, &data)] {
            let mut reader = open(file).unwrap();
            let info = reader.info().clone();
            assert_eq!((info.format.as_str(), info.codec.as_str()), ("wav", codec));
            assert_eq!((info.sample_rate, info.channels, info.frames), (22_050, 2, Some(1500)));
            assert_eq!(info.bits_per_sample, Some(u32::from(bits)));
            let planes = read_all(&mut reader).unwrap();
            for (channel, plane) in planes.iter().enumerate() {
                let expected: Vec<f32> = signal.iter().skip(channel).step_by(2).copied().collect();
                let error = max_difference(plane, &expected);
                assert!(error <= 0.51 * step, "{codec}: {error}");
            }
            assert!(reader.warnings().is_empty());
            assert!(reader.next_block().unwrap().is_none(), "stays at its end");
        }
    }
}

#[test]
fn compressed_files_are_sample_exact() {
    for ((name, format, codec, rate), least) in
        TONES.into_iter().zip([0.999_999_9, 0.999_99, 0.9972, 0.9965, 0.9995])
    {
        // The name says nothing: contents decide.
        let mut reader = AudioReader::from_bytes(tone(name), "recording.txt").unwrap();
        let info = reader.info().clone();
        assert_eq!((info.format.as_str(), info.codec.as_str()), (format, codec));
        let expected = sweep(rate);
        assert_eq!((info.sample_rate, info.channels, info.frames), (rate, 1, Some(expected.len() as u64)));
        let planes = read_all(&mut reader).unwrap();
        assert_eq!(planes[0].len(), expected.len(), "{name}: delay and padding are cut");
        assert!(reader.warnings().is_empty(), "{name}: {:?}", reader.warnings());

        let best = (-300..=300)
            .map(|lag| (correlation(&planes[0], &expected, lag), lag))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let (similarity, lag) = best.unwrap();
        // The Opus encoder's own filters add up to two samples (0.04 ms).
        assert!(
            if codec == "opus" { (-2..=0).contains(&lag) } else { lag == 0 },
            "{name}: {lag} samples off"
        );
        assert!(similarity > least, "{name}: {similarity}");
    }
}

#[test]
fn files_and_bytes_give_the_same() {
    for (name, ..) in TONES {
        let mut file = AudioReader::open(fixtures().join("audio").join(name)).unwrap();
        let mut bytes = open(tone(name)).unwrap();
        assert!(file.name().ends_with(name));
        assert_eq!(file.info(), bytes.info());
        assert_eq!(read_all(&mut file).unwrap(), read_all(&mut bytes).unwrap());
    }
}

#[test]
fn info_serialises_with_its_field_names() {
    let json = serde_json::to_value(open(tone("tone.flac")).unwrap().info()).unwrap();
    let expected = serde_json::json!({
        "format": "flac", "codec": "flac", "sample_rate": 44_100, "channels": 1, "frames": 17_640, "bits_per_sample": 16
    });
    assert_eq!(json, expected);
}

#[test]
fn long_and_streamed_wav_lengths() {
    let signal = noise(5000, 3);
    let plain = wav16(16_000, 1, &signal);
    let expected = read_all(&mut open(plain.clone()).unwrap()).unwrap();
    // A pipe could not go back to fill in the lengths.
    let mut streamed = plain.clone();
    streamed[4..8].copy_from_slice(&[0xff; 4]);
    streamed[40..44].copy_from_slice(&[0xff; 4]);
    // RF64 keeps them in a chunk of its own.
    let mut long = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
    long.extend(10_000_u64.to_le_bytes());
    long.extend(10_000_u64.to_le_bytes());
    long.extend([0; 12]);
    long.extend(&plain[12..40]);
    long.extend([0xff; 4]);
    long.extend(&plain[44..]);
    long.extend(b"LIST\x04\0\0\0INFO");
    for file in [streamed, long] {
        let mut reader = open(file).unwrap();
        assert_eq!(reader.info().frames, Some(5000));
        assert_eq!(read_all(&mut reader).unwrap(), expected);
        assert!(reader.warnings().is_empty());
    }
}
