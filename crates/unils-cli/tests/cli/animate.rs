use std::path::Path;
use std::time::Duration;

use crate::support::*;
use unils::file::{ReadOptions, read_motion};

/// Stereo, two seconds and a bit: windows of 20 frames, the last one padded.
fn talk(folder: &Folder) -> std::path::PathBuf {
    folder.with("talk.wav", &wav(16_000, &[voice(16_000, 2.1, 180.0), voice(16_000, 2.1, 240.0)]))
}

#[test]
fn two_voices_become_motion_in_every_format() {
    let folder = Folder::new();
    talk(&folder);
    let line = format!("animate talk.wav {} --seed 7 -o a.npz -o a.npy -o a.csv -o a.json", tiny());
    let done = run(&folder, &line, &[]);
    done.succeeds();
    assert_eq!(done.out, "", "results are the files");
    assert!(done.err.contains("real-time factor") && done.err.contains("a.json"), "{}", done.err);
    assert_eq!(folder.names(), ["a.csv", "a.json", "a.npy", "a.npz", "talk.wav"]);

    let read = |name| read_motion(folder.file(name), &ReadOptions::default()).unwrap();
    let motion = read("a.npz");
    // 2.1 s are 52.5 frames.
    assert_eq!((motion.shape(), motion.fps()), ([2, 53, 108], 25.0));
    assert_eq!(motion.meta().seed, Some(7));
    assert_eq!(motion.meta().version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    for name in ["a.npy", "a.csv", "a.json"] {
        assert_eq!(read(name).values(), motion.values(), "{name}");
    }
    // The two faces differ: they are the two sides of a conversation.
    assert_ne!(motion.participant(0), motion.participant(1));
}

#[test]
fn the_summary_as_json_tells_what_was_done() {
    let folder = Folder::new();
    let own = folder.with("own.wav", &wav(22_050, &[voice(22_050, 1.0, 200.0)]));
    let partner = folder.with("partner.wav", &wav(8_000, &[voice(8_000, 0.5, 150.0)]));
    let line = format!("--json animate {} --cfg 2 --temperature 0.9 -o out.npz", tiny());
    let summary = run(&folder, &line, &[&own, &partner]).json();
    assert_eq!(summary["outputs"][0], "out.npz");
    assert_eq!((summary["participants"].as_u64(), summary["frames"].as_u64()), (Some(2), Some(25)));
    assert_eq!((summary["sampling"]["cfg"].as_f64(), summary["seed"].as_u64()), (Some(2.0), Some(0)));
    assert_eq!(summary["voices"][1]["source_rate"], 8000);
    assert!(summary["notices"][0].as_str().unwrap().contains("0.50 s shorter"), "{summary}");
    assert_eq!(summary["loaded"]["encoder"]["missing"], serde_json::json!([]));
    assert!(
        summary["times"]["encoder"].as_f64().unwrap() > 0.0
            && summary["real_time_factor"].as_f64().unwrap() > 0.0
    );
}

#[test]
fn controls_shape_the_frames() {
    let folder = Folder::new();
    talk(&folder);
    let head = |name: &str, options: &str| -> Vec<f32> {
        run(&folder, &format!("animate talk.wav {} --greedy {options} -o {name}.npz", tiny()), &[])
            .succeeds();
        let motion = read_motion(folder.file(&format!("{name}.npz")), &ReadOptions::default()).unwrap();
        motion.values().chunks_exact(108).map(|frame| frame[101]).collect()
    };
    let plain = head("plain", "");
    let still = head("still", "--liveliness 0 --gaze -20,0");
    assert!(plain.iter().any(|yaw| yaw.abs() > 1e-4));
    let turned = 0.4 * (-20f32).to_radians();
    assert!(still.iter().all(|yaw| (yaw - turned).abs() < 1e-4), "two fifths of the turn are the head's");
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_does_not() {
    let folder = Folder::new();
    talk(&folder);
    for (name, options) in [
        ("a", "--seed 3"),
        ("b", "--seed 3 --threads 1"),
        ("c", "--seed 4"),
        ("d", "--greedy"),
        ("e", "--greedy --seed 9"),
    ] {
        run(&folder, &format!("animate talk.wav {} {options} -o {name}.npy", tiny()), &[]).succeeds();
    }
    run(&folder, &format!("animate talk.wav {} --seed 3 -o a.npz", tiny()), &[]).succeeds();
    run(&folder, &format!("animate talk.wav {} --seed 3 -o b.npz", tiny()), &[]).succeeds();
    let bytes = |name| std::fs::read(folder.file(name)).unwrap();
    assert_eq!(bytes("a.npz"), bytes("b.npz"));
    assert_eq!(bytes("a.npy"), bytes("b.npy"));
    assert_ne!(bytes("a.npy"), bytes("c.npy"));
    assert_eq!(bytes("d.npy"), bytes("e.npy"), "greedy draws nothing");
}

#[test]
fn options_change_what_they_say() {
    let folder = Folder::new();
    talk(&folder);
    let animate = |name: &str, options: &str| {
        run(&folder, &format!("animate talk.wav {} {options} -o {name}", tiny()), &[]).succeeds();
        read_motion(folder.file(name), &ReadOptions::default()).unwrap()
    };
    let plain = animate("plain.npz", "");
    assert_eq!(animate("one.npz", "--participants 1").values(), plain.participant(0).unwrap());
    assert_eq!(animate("mixed.npz", "--mix").shape(), [1, 53, 108]);
    // Swapped channels swap the people; each keeps the randomness of its place, so only the order of a
    // deterministic run is swapped.
    let (greedy, swapped) = (animate("g.npz", "--greedy"), animate("s.npz", "--greedy --channels 1,0"));
    assert_eq!(greedy.participant(0), swapped.participant(1));
    assert_ne!(animate("raw.npz", "--no-smooth").values(), plain.values());
    assert_ne!(animate("style.npz", "--style plain.npz").values(), plain.values());
    assert_ne!(animate("previous.npz", "--previous plain.npz").values(), plain.values());
    let stats = fixture("talk_motion_stats.json");
    animate("stats.npz", &format!("--stats {}", stats.display()));
}

#[test]
fn the_released_model_comes_from_the_cache() {
    let folder = Folder::new();
    talk(&folder);
    let line = "animate talk.wav -o a.npz --checkpoint released";
    run(&folder, line, &[]).fails(5, "the cache has none").hints("unils fetch --accept-license CC-BY-NC-4.0");
    let weights = folder.file("cache/weights");
    std::fs::create_dir_all(&weights).unwrap();
    std::fs::copy(fixture("checkpoints/gen_tiny.pt"), weights.join("gen.pt")).unwrap();
    run(&folder, line, &[]).fails(5, "no facebook/wav2vec2-xls-r-300m").hints("unils fetch encoder");
    let encoder = folder.file("cache/encoders/facebook--wav2vec2-xls-r-300m");
    std::fs::create_dir_all(&encoder).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("hf_wav2vec2_tiny").join(name), encoder.join(name)).unwrap();
    }
    run(&folder, line, &[]).succeeds();
    std::fs::copy(fixture("checkpoints/gen_tiny.pt"), weights.join("other.pt")).unwrap();
    run(&folder, line, &[]).fails(5, "the cache has 2").hints("other.pt");
}

#[test]
fn quiet_says_nothing() {
    let folder = Folder::new();
    talk(&folder);
    let done = run(&folder, &format!("-q animate talk.wav {} -o a.npz", tiny()), &[]);
    done.succeeds();
    assert_eq!((done.out.as_str(), done.err.as_str()), ("", ""));
}

#[test]
#[cfg(unix)]
fn ctrl_c_leaves_no_partial_file_and_the_older_one() {
    use std::process::Stdio;

    let folder = Folder::new();
    // An hour of one voice takes the tiny model far longer than the test waits.
    let path = folder.file("long.wav");
    let header = wav_of(1, 16, 8000, 1, &[]);
    let bytes = 3600 * 8000 * 2_u32;
    std::fs::write(&path, &header).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(44 + u64::from(bytes)).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &(bytes + 36).to_le_bytes(), 4).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes.to_le_bytes(), 40).unwrap();
    folder.with("out.npz", b"older");
    for (presses, name) in [(1, "-INT"), (2, "-INT"), (1, "-TERM")] {
        let mut command = program(&folder);
        command
            .arg("animate")
            .arg(Path::new("long.wav"))
            .args(tiny().split(' '))
            .args(["-o", "out.npz", "-o", "out.csv"]);
        let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it was stopped");
        for _ in 0..presses {
            signal(&child, name);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(wait(&mut child), 130);
        assert_eq!(folder.names(), ["long.wav", "out.npz"]);
        assert_eq!(std::fs::read(folder.file("out.npz")).unwrap(), b"older");
    }
}

#[test]
fn the_shipped_model_needs_nothing_and_runs_faster_than_real_time() {
    let folder = Folder::new();
    let talk = wav(16_000, &[voice(16_000, 4.1, 180.0), voice(16_000, 4.1, 240.0)]);
    folder.with("talk.wav", &talk);
    let summary = run(&folder, "--json animate talk.wav -o talk.npz -o talk.csv", &[]).json();
    assert_eq!((summary["preset"].as_str(), summary["space"].as_str()), (Some("live"), Some("arkit55")));
    // 4.1 s are 102.5 frames.
    assert_eq!((summary["participants"].as_u64(), summary["frames"].as_u64()), (Some(2), Some(103)));
    assert_eq!(summary["smooth"], false, "its windows meet without seams");
    assert!(summary["real_time_factor"].as_f64().unwrap() < 1.0, "{summary}");
    let motion = read_motion(folder.file("talk.npz"), &ReadOptions::default()).unwrap();
    assert_ne!(motion.participant(0), motion.participant(1));
    let coefficients = motion.values().chunks_exact(55).flat_map(|frame| &frame[..52]);
    assert!(coefficients.clone().all(|value| (0.0..=1.0).contains(value)));
    let refused = run(&folder, "animate talk.wav -o b.npz --preset paper", &[]);
    refused.fails(2, "the shipped model has its own").hints("--checkpoint released");
}
