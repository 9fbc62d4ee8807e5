//! `inspect`, `convert`, `doctor`, `completions`, `help` and `bench`.

use crate::support::*;

#[test]
fn inspect_knows_every_kind_of_file() {
    let folder = Folder::new();
    let inspect = |path: std::path::PathBuf| {
        let json = run(&folder, "inspect --json", &[&path]).json();
        let text = run(&folder, "inspect", &[&path]);
        assert!(text.succeeds().out.contains("kind"), "{}", text.out);
        (json, text.out)
    };
    let stereo = folder.with("talk.wav", &wav(44_100, &[voice(44_100, 0.5, 200.0), vec![0.0; 22_050]]));
    let (json, text) = inspect(stereo);
    assert_eq!(
        (&json["holds"], &json["sample_rate"], &json["channels"]),
        (&"audio".into(), &44_100.into(), &2.into())
    );
    assert_eq!(json["levels"][1]["silent"], true);
    assert!(text.contains("44100 Hz") && text.contains("silent"), "{text}");
    for name in ["tone.flac", "tone.mp3", "tone.ogg", "tone.opus", "tone.m4a"] {
        let (json, _) = inspect(fixture("audio").join(name));
        assert!((json["seconds"].as_f64().unwrap() - 0.4).abs() < 0.1, "{json}");
    }
    for name in ["talk.npz", "talk.npy", "talk.csv", "talk.json"] {
        let (json, text) = inspect(fixture("fuzz/motion").join(name));
        assert_eq!((&json["holds"], &json["space"]), (&"motion".into(), &"arkit55".into()), "{name}");
        assert!(text.contains("head"), "{text}");
    }
    let (json, text) = inspect(fixture("checkpoints/gen_tiny.pt"));
    assert_eq!(json["config"]["generator"]["width"], 32);
    assert!(text.contains("dual-track") && text.contains("facebook/wav2vec2-xls-r-300m"), "{text}");
    let (_, text) = inspect(fixture("checkpoints/freegen_tiny.pt"));
    assert!(text.contains("audio-free"), "{text}");
    let (_, text) = inspect(fixture("checkpoints/codec_tiny.pt"));
    assert!(text.contains("a codec alone"), "{text}");
    let (json, _) = inspect(fixture("hf_wav2vec2_tiny"));
    assert_eq!((&json["holds"], &json["config"]), (&"checkpoint".into(), &serde_json::Value::Null));
    let (json, _) = inspect(fixture("hf_wav2vec2_tiny/config.json"));
    assert_eq!(json["model_type"], "wav2vec2");
    let (json, _) = inspect(fixture("talk_motion_stats.json"));
    assert_eq!((&json["holds"], &json["channels"]), (&"statistics".into(), &108.into()));
    let (json, _) = inspect(fixture("../configs/paper.toml"));
    assert_eq!(json["config"]["codec"]["width"], 512);
    let listed = run(&folder, "inspect --tensors", &[&fixture("checkpoints/gen_tiny.pt")]);
    assert!(listed.out.contains("base_codec.motion_mean") && listed.out.contains("[108]"), "{}", listed.out);
    folder.with("broken.toml", b"preset = 3");
    run(&folder, "inspect broken.toml", &[]).fails(5, "broken.toml");
    folder.with("broken.json", b"{");
    run(&folder, "inspect broken.json", &[]).fails(5, "broken.json");
    run(&folder, "inspect gone", &[]).fails(4, "gone");
}

#[test]
fn converted_checkpoints_give_the_same_motion() {
    let folder = Folder::new();
    folder.with("talk.wav", &wav(16_000, &[voice(16_000, 1.0, 200.0)]));
    let source = fixture("checkpoints/gen_tiny.pt");
    let report = run(&folder, "convert --json", &[&source, "own.safetensors".as_ref()]).json();
    assert!(report["report"]["loaded"].as_u64().unwrap() > 50, "{report}");
    assert_eq!(folder.names(), ["own.safetensors", "own.toml", "talk.wav"]);
    let half = run(&folder, "convert --half", &[&source, "half.safetensors".as_ref()]);
    assert!(half.succeeds().out.contains("half.toml"), "{}", half.out);
    let size = |name| std::fs::metadata(folder.file(name)).unwrap().len();
    assert!(size("half.safetensors") < size("own.safetensors") * 2 / 3);
    let encoder = fixture("hf_wav2vec2_tiny");
    let animate = |checkpoint: &std::path::Path, name: &str| {
        let encoder = encoder.display();
        run(&folder, &format!("animate talk.wav --encoder {encoder} -o {name} --checkpoint"), &[checkpoint])
            .succeeds();
        std::fs::read(folder.file(name)).unwrap()
    };
    assert_eq!(animate(&source, "a.npy"), animate("own.safetensors".as_ref(), "b.npy"));
    animate("half.safetensors".as_ref(), "c.npy");

    run(&folder, "convert", &[&source, "own.pt".as_ref()]).fails(2, "own.pt");
    run(&folder, "convert", &[&source, "gone/own.safetensors".as_ref()]).fails(4, "gone");
    run(&folder, "convert talk.wav x.safetensors", &[]).fails(5, "audio file");
    run(&folder, "convert --preset paper", &[&source, "x.safetensors".as_ref()]).fails(5, "does not fit");
    assert!(!folder.file("x.safetensors").exists() && !folder.file("x.toml").exists());
}

#[test]
fn doctor_says_what_is_missing() {
    let folder = Folder::new();
    let json = run(&folder, "doctor --json", &[]).json();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["device"]["problem"], serde_json::Value::Null);
    assert!(json["cpu"]["threads"].as_u64().unwrap() >= 1);
    // The model that ships needs nothing else.
    assert_eq!(
        (&json["shipped"], &json["next_steps"]),
        (&"live (shipped)".into(), &serde_json::json!([])),
        "{json}"
    );
    let steps = json["optional_steps"].to_string();
    assert!(steps.contains("unils fetch weights --accept-license"), "{steps}");
    assert!(steps.contains("unils fetch encoder"), "{steps}");
    let weights = folder.file("cache/weights");
    std::fs::create_dir_all(&weights).unwrap();
    std::fs::copy(fixture("checkpoints/gen_tiny.pt"), weights.join("gen.pt")).unwrap();
    std::fs::write(weights.join("broken.pt"), b"").unwrap();
    let text = run(&folder, "doctor", &[]);
    assert!(text.succeeds().out.contains("gen.pt: UniLSLoRAGenTiny"), "{}", text.out);
    assert!(text.out.contains("broken.pt: it cannot be used"), "{}", text.out);
    assert!(!text.out.contains("fetch weights"), "{}", text.out);
    run(&folder, "doctor --device vulkan:9", &[]).succeeds();
}

#[test]
fn completions_and_help() {
    let folder = Folder::new();
    for (shell, mark) in [
        ("bash", "_unils"),
        ("zsh", "#compdef unils"),
        ("fish", "complete -c unils"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion"),
    ] {
        let script = run(&folder, &format!("completions {shell}"), &[]);
        assert!(script.succeeds().out.contains(mark), "{shell}");
    }
    let help = run(&folder, "help", &[]);
    assert!(help.succeeds().out.contains("Exit codes:") && help.out.contains("130"), "{}", help.out);
    for command in ["animate", "evaluate", "inspect", "convert", "fetch", "bench", "doctor", "completions"] {
        let help = run(&folder, &format!("{command} --help"), &[]);
        assert!(help.succeeds().out.contains("Example"), "{command}: {}", help.out);
    }
    assert_eq!(run(&folder, "--version", &[]).out, format!("unils {}\n", env!("CARGO_PKG_VERSION")));
}

/// The documents name every command, option and exit code.
#[test]
fn the_manual_is_complete() {
    let folder = Folder::new();
    let manual = std::fs::read_to_string(fixture("../docs/cli.md")).unwrap();
    for command in ["animate", "evaluate", "inspect", "convert", "fetch", "bench", "doctor", "completions"] {
        assert!(manual.contains(&format!("## unils {command}")), "{command}");
        let help = run(&folder, &format!("{command} --help"), &[]).out;
        let words = help
            .split_whitespace()
            .map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-'));
        for option in words.filter(|word| word.starts_with("--") && word.len() > 2) {
            assert!(manual.contains(option), "docs/cli.md says nothing of {option} of {command}");
        }
    }
    for code in ["0", "1", "2", "3", "4", "5", "6", "7", "130"] {
        assert!(manual.contains(&format!("| {code} |")), "{code}");
    }
}

/// The encoder is of full size: without optimisation this takes minutes.
#[test]
#[cfg_attr(debug_assertions, ignore = "needs an optimised build: cargo test --release")]
fn bench_measures_each_thread_count() {
    let folder = Folder::new();
    let line = "bench --preset paper_small --seconds 0.2 --repeat 1 --threads 1,2 --json";
    let report = run(&folder, line, &[]).json();
    let runs = report["runs"].as_array().unwrap();
    assert_eq!(runs.iter().map(|run| run["threads"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    for run in runs {
        let times = &run["fastest"];
        let time = |name: &str| times[name].as_f64().unwrap();
        let stages = time("encoder") + time("generator") + time("codec");
        assert!(time("encoder") > 0.0 && stages <= time("total") && stages > 0.5 * time("total"), "{times}");
    }
    assert!(report["operations"]["encoder"].as_f64().unwrap() > 1e11);
    let text = run(&folder, "bench --preset paper_small --seconds 0.2 --repeat 1 --threads 1", &[]);
    assert!(text.succeeds().out.contains("GFLOP/s") && text.out.contains("real-time factor"), "{}", text.out);
}
