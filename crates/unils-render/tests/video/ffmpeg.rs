//! What ffmpeg makes of a video. Skipped, loudly, where it is not installed.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use unils_render::video::{AudioOptions, Mp4Writer, VideoOptions};

use crate::support::*;

/// Colours of the patches, and their number in a row.
const PATCHES: [[u8; 3]; 8] = [
    [255, 255, 255],
    [0, 0, 0],
    [128, 128, 128],
    [230, 180, 150],
    [200, 30, 40],
    [30, 160, 60],
    [40, 60, 190],
    [90, 90, 20],
];

/// Standard output of a program that must succeed without a word on standard error.
fn run(program: &str, arguments: &[&str], file: &Path) -> Option<Vec<u8>> {
    let arguments = arguments.iter().map(|argument| match *argument {
        "FILE" => file.as_os_str().to_owned(),
        other => other.into(),
    });
    let Ok(output) = Command::new(program).args(["-v", "warning"]).args(arguments).output() else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {program} is not installed, so our videos were not read by another program"
        );
        return None;
    };
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && words.is_empty(), "{program}: {words}");
    Some(output.stdout)
}

#[test]
fn ffmpeg_reads_rate_length_colour_and_time() {
    let scratch = Scratch::new("ffmpeg");
    let path = scratch.file("test.mp4");
    let (frames, flash) = (75, 40);
    let (width, height) = (512, 64);
    let options = VideoOptions { expected_frames: Some(frames as u64), ..VideoOptions::new(width, height) };
    let mut video = Mp4Writer::create(&path, &options, Some(&AudioOptions::new(1))).unwrap();
    let sound = burst(frames * 1920, flash * 1920);
    let patches: Vec<u8> = (0..width * height)
        .flat_map(|index| {
            let [r, g, b] = PATCHES[(index % width / 64) as usize];
            [r, g, b, 255]
        })
        .collect();
    for frame in 0..frames {
        let white = flat(width, height, [255; 3]);
        video.push_frame(if frame == flash { &white } else { &patches }).unwrap();
        video.push_audio(&sound[frame * 1920..(frame + 1) * 1920]).unwrap();
    }
    assert!(video.commit().unwrap().index_first);

    let entries = "stream=codec_name,profile,width,height,pix_fmt,color_range,color_space,color_transfer,\
                   color_primaries,r_frame_rate,avg_frame_rate,nb_read_frames,start_time,duration,has_b_frames";
    let arguments = ["-count_frames", "-show_entries", entries, "-of", "default=noprint_wrappers=1", "FILE"];
    let Some(facts) = run("ffprobe", &arguments, &path) else { return };
    let facts = String::from_utf8(facts).unwrap();
    for fact in [
        "codec_name=h264",
        "profile=Constrained Baseline",
        "width=512",
        "height=64",
        "has_b_frames=0",
        "pix_fmt=yuv420p",
        "color_range=tv",
        "color_space=bt709",
        "color_transfer=bt709",
        "color_primaries=bt709",
        "r_frame_rate=25/1",
        "avg_frame_rate=25/1",
        "nb_read_frames=75",
        "start_time=0.000000",
        "duration=3.000000",
        "codec_name=opus",
    ] {
        assert!(facts.lines().any(|line| line == fact), "{fact} is not in\n{facts}");
    }
    let times = ["-select_streams", "v", "-show_entries", "packet=pts_time", "-of", "csv=p=0", "FILE"];
    let times = String::from_utf8(run("ffprobe", &times, &path).unwrap()).unwrap();
    let times: Vec<f64> = times.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect();
    assert_eq!(times.len(), frames);
    assert!(times.iter().enumerate().all(|(n, time)| (time - n as f64 / 25.0).abs() < 1e-5));

    // Colours of all frames and the flash, as ffmpeg shows them.
    let pictures = ["-i", "FILE", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"];
    let pictures = run("ffmpeg", &pictures, &path).unwrap();
    let size = (3 * width * height) as usize;
    assert_eq!(pictures.len(), frames * size);
    let mut worst = 0;
    for (frame, picture) in pictures.chunks_exact(size).enumerate().filter(|(frame, _)| *frame != flash) {
        for (patch, colour) in PATCHES.iter().enumerate() {
            let pixel = 3 * (32 * width as usize + 64 * patch + 32);
            for (got, want) in picture[pixel..pixel + 3].iter().zip(colour) {
                worst = worst.max(got.abs_diff(*want));
                assert!(got.abs_diff(*want) <= 2, "frame {frame}, patch {patch}: {got}, not {want}");
            }
        }
    }
    eprintln!("ffmpeg: colours within {worst} of 255");
    let seen = pictures
        .chunks_exact(size)
        .position(|picture| picture[3 * 100..3 * 101].iter().all(|value| *value > 200))
        .unwrap();
    assert_eq!(seen, flash);

    // Sound by ffmpeg's own clock: gaps or a late start would show as silence.
    let sound = ["-i", "FILE", "-af", "aresample=async=1:first_pts=0", "-f", "f32le", "-ac", "1", "-"];
    let sound = run("ffmpeg", &sound, &path).unwrap();
    let sound: Vec<f32> = sound.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    assert_eq!(sound.len(), frames * 1920);
    let heard = onset(&sound) as f64 / 48_000.0;
    let seen = times[seen];
    eprintln!("ffmpeg: seen at {seen} s, heard at {heard} s");
    assert!((heard - seen).abs() < 0.001, "seen at {seen} s, heard at {heard} s");
}
