//! Motion to faces, plots and fits.

use crate::support::*;
use unils::file::{ReadOptions, read_motion, write_motion};
use unils::motion::{FPS, Motion, MotionMeta, Space};

/// Faces that open and close their mouths and nod.
fn motion(folder: &Folder, name: &str, space: Space, people: usize, frames: usize) {
    let (jaw, pitch) = match space {
        Space::Arkit55 => ("jawOpen", "headPitch"),
        Space::Flame108 => ("jaw", "head_x"),
    };
    let (jaw, pitch) = (space.index(jaw).unwrap(), space.index(pitch).unwrap());
    let mut values = vec![0.0; people * frames * space.width()];
    for (row, frame) in values.chunks_exact_mut(space.width()).enumerate() {
        frame[jaw] = 0.25 + 0.25 * (row as f32 * 0.7).sin();
        frame[pitch] = 0.1 * (row as f32 * 0.2).sin();
    }
    let motion = Motion::new(space, FPS, people, values, MotionMeta::new()).unwrap();
    write_motion(folder.file(name), &motion).unwrap();
}

/// Whether a file begins with these bytes at an offset.
fn begins(folder: &Folder, name: &str, at: usize, bytes: &[u8]) -> bool {
    std::fs::read(folder.file(name)).unwrap()[at..].starts_with(bytes)
}

#[test]
fn motion_becomes_every_kind_of_file() {
    let folder = Folder::new();
    motion(&folder, "talk.npz", Space::Arkit55, 2, 6);
    folder.with("talk.wav", &wav(16_000, &[voice(16_000, 0.24, 180.0), voice(16_000, 0.24, 240.0)]));
    let line = "--json render talk.npz --audio talk.wav --size 64 -o a.mp4 -o a.gif -o a.png -o a.glb -o a.json \
                -o a.livelink.csv";
    let summary = run(&folder, line, &[]).json();
    let mut names = vec!["a.mp4", "a.gif", "a.glb", "a.json", "a.0.livelink.csv", "a.1.livelink.csv"];
    let pictures: Vec<String> = (0..6).map(|frame| format!("a-{frame:06}.png")).collect();
    names.extend(pictures.iter().map(String::as_str));
    names.extend(["talk.npz", "talk.wav"]);
    names.sort_unstable();
    assert_eq!(folder.names(), names);
    assert_eq!(summary["written"].as_array().unwrap().len(), names.len() - 2);
    assert_eq!((summary["frames"].as_u64(), summary["fps"].as_f64()), (Some(6), Some(25.0)));
    assert!(begins(&folder, "a.mp4", 4, b"ftyp") && begins(&folder, "a.gif", 0, b"GIF89a"));
    assert!(begins(&folder, "a.glb", 0, b"glTF") && begins(&folder, "a-000005.png", 1, b"PNG"));
    // The video's sound can be read again, and is as long as the motion.
    let sound = run(&folder, "--json inspect a.mp4", &[]).json();
    assert!((sound["seconds"].as_f64().unwrap() - 0.24).abs() < 0.03, "{sound}");
    let read = |name| read_motion(folder.file(name), &ReadOptions::default()).unwrap();
    assert_eq!(read("a.json").values(), read("talk.npz").values());
    let table = read("a.1.livelink.csv");
    let expected = read("talk.npz").select(1).unwrap();
    let error = table.values().iter().zip(expected.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(error < 1e-6, "{error}");
}

#[test]
fn one_participant_another_rate_and_a_mirror() {
    let folder = Folder::new();
    let width = Space::Arkit55.width();
    let mut values = vec![0.0; 2 * 12 * width];
    let yaw = Space::Arkit55.index("headYaw").unwrap();
    values.chunks_exact_mut(width).for_each(|frame| frame[yaw] = 0.2);
    let motion = Motion::new(Space::Arkit55, 50.0, 2, values, MotionMeta::new()).unwrap();
    write_motion(folder.file("fast.npz"), &motion).unwrap();
    run(&folder, "render fast.npz --participant 1 --mirror --size 32 -o one.npz -o one.png", &[]).succeeds();
    let one = read_motion(folder.file("one.npz"), &ReadOptions::default()).unwrap();
    assert_eq!((one.shape(), one.fps()), ([1, 12, 55], 50.0));
    assert_eq!(one.frame(0, 3).unwrap()[yaw], -0.2);
    let pictures = folder.names().iter().filter(|name| name.ends_with(".png")).count();
    assert_eq!(pictures, 6, "0.24 s at 25 frames a second");
    run(&folder, "render fast.npz --participant 2 -o x.npz", &[]).fails(2, "participant");
}

#[test]
fn voices_become_a_video_in_one_step() {
    let folder = Folder::new();
    folder.with("talk.wav", &wav(16_000, &[voice(16_000, 0.8, 180.0), voice(16_000, 0.8, 240.0)]));
    let ran = run(&folder, &format!("animate talk.wav {} --size 64 -o talk.mp4 -o talk.npz", tiny()), &[]);
    ran.succeeds();
    assert!(ran.err.contains("unils fit"), "FLAME motion on our head needs a fit: {}", ran.err);
    assert_eq!(folder.names(), ["talk.mp4", "talk.npz", "talk.wav"]);
    let sound = run(&folder, "--json inspect talk.mp4", &[]).json();
    assert!((sound["seconds"].as_f64().unwrap() - 0.8).abs() < 0.03, "{sound}");
}

#[test]
fn plots_of_motion_and_voices() {
    let folder = Folder::new();
    motion(&folder, "talk.npz", Space::Arkit55, 2, 50);
    folder.with("talk.wav", &wav(16_000, &[voice(16_000, 2.0, 180.0), voice(16_000, 2.0, 240.0)]));
    run(&folder, "plot talk.npz --audio talk.wav -o talk.svg -o talk.png", &[]).succeeds();
    let svg = std::fs::read_to_string(folder.file("talk.svg")).unwrap();
    assert_eq!(svg.matches("Voice level").count(), 2);
    assert!(begins(&folder, "talk.png", 1, b"PNG"));
    run(&folder, "plot talk.npz -o talk.pdf", &[]).fails(2, "talk.pdf");
}

#[test]
fn flame_and_our_head_are_fitted_and_motion_goes_both_ways() {
    let folder = Folder::new();
    let model = fixture("flame/generic_model_small.pkl");
    let ran = run(&folder, "fit", &[&model]);
    ran.fails(2, "required");
    run(&folder, "fit x.pkl a -o fit.safetensors", &[]).fails(3, "https://flame.is.tue.mpg.de");
    // Two dozen vertices lie nowhere near a face.
    let ran = run(&folder, "fit --json -o fit.safetensors", &[&model, std::path::Path::new("a")]);
    assert!(ran.code == 3 && ran.err.contains("hint: ") || ran.code == 0, "{}", ran.err);
}

#[test]
fn faces_that_cannot_be_used() {
    let folder = Folder::new();
    motion(&folder, "talk.npz", Space::Arkit55, 1, 2);
    folder.with("empty.glb", b"");
    folder.with("text.glb", b"this is no head");
    let glb = std::fs::read(fixture("../crates/unils/assets/head.glb")).unwrap();
    folder.with("cut.glb", &glb[..glb.len() / 2]);
    folder.with("bad.pkl", b"\x80\x02cposix\nsystem\n(S'touch owned'\ntR.");
    for (face, code, what) in [
        ("c", 2, "there is no face"),
        ("missing.glb", 2, "missing.glb"),
        ("empty.glb", 3, "empty.glb"),
        ("text.glb", 3, "text.glb"),
        ("cut.glb", 3, "cut.glb"),
        ("talk.npz", 3, "talk.npz"),
        ("bad.pkl", 5, "bad.pkl"),
    ] {
        let ran = run(&folder, &format!("render talk.npz --face {face} -o out.mp4"), &[]);
        assert!([code, 3].contains(&ran.code), "{face}: {} {}", ran.code, ran.err);
        assert!(ran.err.contains(what) && ran.err.contains("hint: "), "{face}: {}", ran.err);
        assert!(!ran.err.contains("panicked") && !folder.file("out.mp4").exists(), "{face}: {}", ran.err);
    }
    assert!(!folder.file("owned").exists(), "nothing of a pickle is executed");
    run(&folder, "render talk.npz --face a --face b -o out.mp4", &[]).fails(2, "2 faces for 1");
    run(&folder, "render talk.npz --size 65 -o out.mp4", &[]).fails(2, "even");
    run(&folder, "render talk.npz -o nowhere/out.mp4", &[]).fails(4, "nowhere");
    run(&folder, "render talk.npz -o out.avi", &[]).fails(2, ".mp4");
    assert!(!folder.names().iter().any(|name| name.starts_with("out")), "{:?}", folder.names());
}

#[test]
fn a_head_is_inspected() {
    let folder = Folder::new();
    let head = fixture("../crates/unils/assets/head.glb");
    let facts = run(&folder, "--json inspect", &[&head]).json();
    assert_eq!((facts["holds"].as_str(), facts["missing"].as_array().map(Vec::len)), (Some("head"), Some(0)));
    assert_eq!(facts["looks"], serde_json::json!(["a", "b"]));
    let ran = run(&folder, "inspect", &[&head]);
    assert!(ran.succeeds().out.contains("52 of ARKit's 52"), "{}", ran.out);
}
