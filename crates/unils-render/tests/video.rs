//! Videos read back: by a reader of our own, by OpenH264's and Opus's decoders, and by ffmpeg.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking, and say what they skip"
)]

#[path = "video/bad_input.rs"]
mod bad_input;
#[path = "video/ffmpeg.rs"]
mod ffmpeg;
#[path = "video/mix.rs"]
mod mix;
#[path = "video/reader.rs"]
mod reader;
#[path = "video/support.rs"]
mod support;

use reader::*;
use support::*;
use unils::audio::AudioReader;
use unils_render::video::{AudioOptions, Mp4Writer, VideoOptions};

#[test]
fn tables_say_what_was_pushed() {
    let frames = 60;
    let options = VideoOptions { keyframe_interval: 25, ..VideoOptions::new(64, 48) };
    let sound = vec![0.1; frames * 1920];
    for expected_frames in [None, Some(60), Some(1000), Some(3)] {
        let options = VideoOptions { expected_frames, ..options.clone() };
        let (file, summary) = record(&options, frames, |n| flat(64, 48, colour(n)), Some(&sound));
        assert_eq!((summary.frames, summary.seconds, summary.audio_seconds), (60, 2.4, 2.4));
        assert_eq!(summary.bytes, file.len() as u64);

        assert!(summary.table_bytes < 2048, "{}", summary.table_bytes);

        let order: Vec<String> = boxes(&file).into_iter().map(|found| found.0).collect();
        let index_first = matches!(expected_frames, Some(60 | 1000));
        assert_eq!(summary.index_first, index_first, "{expected_frames:?}: {order:?}");
        match expected_frames {
            None => assert_eq!(order, ["ftyp", "mdat", "moov"]),
            Some(3) => assert_eq!(order, ["ftyp", "free", "mdat", "moov"]),
            _ => assert_eq!(order, ["ftyp", "moov", "free", "mdat"]),
        }

        let movie = read(&file);
        assert_eq!((movie.scale, movie.duration), (48_000, 60 * 1920));
        let [video, audio] = &movie.tracks[..] else { panic!("two tracks") };

        assert_eq!((video.kind.as_str(), video.size), ("vide", [64, 48]));
        assert_eq!((video.scale, video.duration), (25 * 512, 60 * 512));
        assert_eq!(video.ticks, [512; 60], "constant frame rate");
        assert_eq!(video.keys, [1, 26, 51]);
        assert!(video.edits.is_empty());
        assert_eq!(video.tables, ["stsd", "stts", "stss", "stsc", "stsz", "stco"], "no reordering (ctts)");
        assert_eq!((u16_at(&video.description, 24), u16_at(&video.description, 26)), (64, 48));
        let colour = find(&video.description[78..], &["colr"]).unwrap();
        assert_eq!(colour, b"nclx\0\x01\0\x01\0\x01\0", "BT.709, limited range");
        let config = find(&video.description[78..], &["avcC"]).unwrap();
        assert_eq!((config[0], config[4], config[5]), (1, 0xff, 0xe1));
        assert_eq!(config[1..4], config[9..12], "profile and level as in the parameter set");
        assert_eq!(config[1], 66, "baseline profile");

        assert_eq!((audio.kind.as_str(), audio.scale), ("soun", 48_000));
        assert_eq!(audio.ticks, [960; 120]);
        assert_eq!(audio.duration as usize, frames * 1920);
        // Nothing to skip, in neither of the two ways that players understand differently.
        assert!(audio.edits.is_empty());
        let head = find(&audio.description[28..], &["dOps"]).unwrap();
        // Version, channels, samples to skip, rate of the input, gain, family.
        assert_eq!(head, [0, 1, 0, 0, 0, 0, 0xbb, 0x80, 0, 0, 0]);
        assert!(audio.tables.contains(&"sgpd".to_owned()) && audio.tables.contains(&"sbgp".to_owned()));

        // The samples of both tracks fill the media box, without a gap or an overlap.
        let mut places: Vec<_> = movie.tracks.iter().flat_map(|track| track.samples.clone()).collect();
        places.sort_by_key(|place| place.start);
        let media = boxes(&file).into_iter().find(|found| found.0 == "mdat").unwrap().1;
        assert_eq!(places[0].start, media.start);
        assert!(places.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!(places.last().unwrap().end, media.end);
    }
}

#[test]
fn every_frame_decodes_in_order() {
    let frames = 80;
    let options = VideoOptions::new(64, 64);
    let (file, _) = record(&options, frames, |n| flat(64, 64, colour(n)), None);
    let movie = read(&file);
    assert_eq!(movie.tracks.len(), 1);
    let pictures = movie.pictures();
    assert_eq!(pictures.len(), frames);
    for (frame, picture) in pictures.iter().enumerate() {
        assert_eq!((picture.width, picture.height), (64, 64));
        for (got, want) in means(picture).into_iter().zip(yuv(colour(frame))) {
            assert!(
                (got - want).abs() < 1.5,
                "frame {frame}: {:?}, {:?}",
                means(picture),
                yuv(colour(frame))
            );
        }
    }
}

/// Decoded luma against the luma of the picture, in decibels.
fn psnr(picture: &Picture, rgba: &[u8]) -> f64 {
    let error: f64 = picture.planes[0]
        .iter()
        .zip(rgba.as_chunks::<4>().0)
        .map(|(got, [r, g, b, _])| (f64::from(*got) - yuv([*r, *g, *b])[0]).powi(2))
        .sum();
    10.0 * (255.0_f64.powi(2) * picture.planes[0].len() as f64 / error).log10()
}

#[test]
fn quality_follows_the_quantiser_at_any_even_size() {
    // The second size is no multiple of a block in either direction, and standing; the third is a single block.
    let floors =
        [(256, 128, [52.0, 47.5, 41.0]), (98, 130, [50.0, 44.5, 38.0]), (16, 16, [43.5, 37.0, 29.0])];
    for (width, height, floors) in floors {
        let mut last = (f64::INFINITY, u64::MAX);
        for (quantizer, floor) in [14, 22, 32].into_iter().zip(floors) {
            let options = VideoOptions { quantizer, ..VideoOptions::new(width, height) };
            let (file, summary) = record(&options, 30, |n| disc(width, height, n), None);
            let pictures = read(&file).pictures();
            assert_eq!((pictures[29].width, pictures[29].height), (width as usize, height as usize));
            let worst =
                pictures.iter().enumerate().map(|(n, picture)| psnr(picture, &disc(width, height, n)));
            let worst = worst.fold(f64::INFINITY, f64::min);
            assert!(worst > floor, "{width}x{height} at {quantizer}: {worst} dB");
            assert!(
                worst < last.0 && summary.bytes < last.1,
                "{quantizer}: {worst} dB, {} bytes",
                summary.bytes
            );
            last = (worst, summary.bytes);
        }
    }
}

#[test]
fn a_flash_and_a_click_come_together() {
    let (frames, flash) = (50, 30);
    let sound = burst(frames * 1920, flash * 1920);
    let picture = |n: usize| flat(64, 64, if n >= flash { [255; 3] } else { [0; 3] });
    let scratch = Scratch::new("flash");
    let path = scratch.file("flash.mp4");
    let mut video =
        Mp4Writer::create(&path, &VideoOptions::new(64, 64), Some(&AudioOptions::new(1))).unwrap();
    // Sound in pieces that have nothing to do with frames.
    let mut pieces = sound.chunks(1777);
    for frame in 0..frames {
        video.push_frame(&picture(frame)).unwrap();
        pieces.next().map_or(Ok(()), |piece| video.push_audio(piece)).unwrap();
    }
    pieces.for_each(|piece| video.push_audio(piece).unwrap());
    assert!(!path.exists(), "the name is taken only at the end");
    video.commit().unwrap();

    let movie = Movie::read(std::fs::read(&path).unwrap());
    let track = &movie.tracks[0];
    let seen = movie.pictures().iter().position(|picture| means(picture)[0] > 128.0).unwrap();
    let seen = track.ticks[..seen].iter().sum::<u32>() as f64 / f64::from(track.scale);
    let decoded = movie.sound();
    assert_eq!(decoded.len(), sound.len());
    let heard = onset(&decoded) as f64 / 48_000.0;
    assert!((heard - seen).abs() < 0.001, "seen at {seen} s, heard at {heard} s");

    // Another demuxer, with its own reading of the tables.
    let mut reader = AudioReader::open(&path).unwrap();
    assert_eq!((reader.info().codec.as_str(), reader.info().sample_rate), ("opus", 48_000));
    let mut other = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        other.extend(block.channel(0));
    }
    assert_eq!(other.len(), sound.len());
    assert!(reader.warnings().is_empty(), "{:?}", reader.warnings());
    assert_eq!(onset(&other), onset(&decoded));
}

#[test]
fn the_same_input_makes_the_same_bytes() {
    let options = VideoOptions { expected_frames: Some(40), ..VideoOptions::new(128, 64) };
    let sound = burst(40 * 1920, 3000);
    let make = || record(&options, 40, |n| disc(128, 64, n), Some(&sound)).0;
    let first = make();
    // On other threads, and at the same time.
    let others = [std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    })]
    .concat();
    assert!(others.iter().all(|other| *other == first));
}

#[test]
fn other_rates_and_stereo() {
    for rate in [24, 30, 50, 60, 7] {
        let options = VideoOptions { frames_per_second: rate, ..VideoOptions::new(32, 32) };
        let (file, summary) = record(&options, 20, |n| flat(32, 32, colour(n)), None);
        let movie = read(&file);
        assert_eq!((movie.tracks[0].scale, movie.tracks[0].duration), (rate * 512, 20 * 512));
        assert_eq!(movie.duration, 20 * 48_000 / rate);
        assert!((summary.seconds - 20.0 / f64::from(rate)).abs() < 1e-9);
        assert_eq!(movie.pictures().len(), 20);
    }
    let options = VideoOptions::new(32, 32);
    let file = std::io::Cursor::new(Vec::new());
    let mut video = Mp4Writer::new(file, &options, Some(&AudioOptions::new(2))).unwrap();
    video.push_frame(&flat(32, 32, colour(0))).unwrap();
    let tone = |n: usize| 0.5 * (n as f32 * 0.05).sin();
    let sound: Vec<f32> = (0..4800).flat_map(|n| [tone(n), 0.0]).collect();
    video.push_audio(&sound).unwrap();
    let (file, summary) = video.finish().unwrap();
    assert_eq!((summary.frames, summary.audio_seconds), (1, 0.1));
    let decoded = read(file.get_ref()).sound();
    assert_eq!(decoded.len(), sound.len());
    let energy = |channel: usize| decoded.iter().skip(channel).step_by(2).map(|x| x * x).sum::<f32>();
    assert!(energy(0) > 300.0 && energy(1) < 1.0, "{} {}", energy(0), energy(1));
}

#[test]
fn a_writer_can_go_to_another_thread() {
    fn sent<T: Send>() {}
    sent::<Mp4Writer<unils::file::AtomicFile>>();
    sent::<unils_render::video::VoiceMix>();
}

#[test]
fn a_track_of_sound_without_samples_is_left_out() {
    let audio = AudioOptions::default();
    let file = std::io::Cursor::new(Vec::new());
    let mut video = Mp4Writer::new(file, &VideoOptions::new(16, 16), Some(&audio)).unwrap();
    video.push_frame(&flat(16, 16, [90; 3])).unwrap();
    let (file, summary) = video.finish().unwrap();
    let movie = read(file.get_ref());
    assert_eq!((movie.tracks.len(), summary.audio_seconds), (1, 0.0));
    assert_eq!(movie.duration, 1920);
}

#[test]
fn sound_of_any_length_ends_where_it_should() {
    for samples in [1_usize, 311, 313, 960, 961, 5000] {
        let file = std::io::Cursor::new(Vec::new());
        let mut video =
            Mp4Writer::new(file, &VideoOptions::new(16, 16), Some(&AudioOptions::new(1))).unwrap();
        video.push_frame(&flat(16, 16, [90; 3])).unwrap();
        let tone: Vec<f32> = (0..samples).map(|n| 0.5 * (n as f32 * 0.1).sin()).collect();
        tone.chunks(7).for_each(|piece| video.push_audio(piece).unwrap());
        let (file, summary) = video.finish().unwrap();
        let movie = read(file.get_ref());
        let track = &movie.tracks[1];
        assert_eq!(track.ticks.len(), samples.div_ceil(960), "{samples}");
        assert_eq!(track.ticks.iter().sum::<u32>() as usize, samples);
        assert!((summary.audio_seconds - samples as f64 / 48e3).abs() < 1e-12);
        let sound = movie.sound();
        assert_eq!(sound.len(), samples);
        // Behind the silent start the sound is what was pushed, to its end.
        let error: f32 = (600..samples).map(|n| (sound[n] - tone[n]).powi(2)).sum();
        let energy: f32 = (600..samples).map(|n| tone[n].powi(2)).sum();
        assert!(error <= 0.01 * energy, "{samples}: {error} of {energy}");
    }
}
