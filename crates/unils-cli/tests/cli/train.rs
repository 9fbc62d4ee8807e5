//! `unils train` and `unils ablate`.

#[path = "../../../unils-train/tests/conversations/mod.rs"]
mod conversations;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use self::conversations::write_corpus;
use crate::support::*;

const CODEC: &str =
    "train codec --preset tiny --data corpus --set steps=60 --set check_every=20 --set log_every=1";

/// The metrics without what the clock says.
fn metrics(folder: &Folder, run: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.file(run).join("metrics.jsonl")).unwrap();
    let line = |line: &str| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        if let Some(step) = record["step"].as_object_mut() {
            step.remove("step_ms");
            step.remove("wait_ms");
        }
        record
    };
    text.lines().map(line).collect()
}

fn bytes(folder: &Folder, run: &str, name: &str) -> Vec<u8> {
    std::fs::read(folder.file(run).join(name)).unwrap()
}

/// Waits until a file is there, at most two minutes.
fn await_file(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{} does not come", path.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let folder = Folder::new();
    write_corpus(&folder.file("corpus"), 3, 160);
    let whole = run(&folder, &format!("--json {CODEC} --out whole"), &[]).json();
    assert_eq!((&whole["is_done"], &whole["step"]), (&true.into(), &60.into()));
    // Without warning after the first saved state, then by Ctrl-C, which saves.
    for (name, signal_name, code) in [("killed", "-KILL", None), ("stopped", "-INT", Some(130))] {
        let line = format!("{CODEC} --out {name}");
        let mut command = program(&folder);
        command.args(line.split_whitespace()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        await_file(&folder.file(name).join("state.safetensors"));
        signal(&child, signal_name);
        let ended = child.wait().unwrap();
        assert_eq!(ended.code(), code, "{name}: {ended}");
        if code.is_some() {
            let told = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
            assert!(told.contains("--resume"), "{told}");
        }
        let rest = run(&folder, &format!("--json train codec --out {name} --resume"), &[]).json();
        assert_eq!((&rest["is_done"], &rest["step"]), (&true.into(), &60.into()), "{rest}");
        for file in ["state.safetensors", "last.safetensors", "best.safetensors"] {
            assert!(bytes(&folder, name, file) == bytes(&folder, "whole", file), "{name}: {file} differs");
        }
        assert_eq!(metrics(&folder, name).len(), metrics(&folder, "whole").len());
        assert_eq!(metrics(&folder, name), metrics(&folder, "whole"), "{name}");
    }
    let curves = String::from_utf8(bytes(&folder, "whole", "curves.svg")).unwrap();
    assert!(curves.contains("terms of the loss") && curves.contains("mesh"), "{curves}");
}

#[test]
fn three_stages_make_a_model_that_animates() {
    let folder = Folder::new();
    write_corpus(&folder.file("corpus"), 3, 160);
    run(&folder, &format!("{CODEC} --set sample_every=60 --out codec"), &[]).succeeds();
    assert!(folder.file("codec/samples/step_00000060.png").exists());
    let later = |stage: &str, from: &str, out: &str| {
        let line = format!(
            "train {stage} --preset tiny --data corpus --from {from} --out {out} --set steps=4 --set batch=2"
        );
        run(&folder, &line, &[])
    };
    later("audio_free", "codec", "prior").succeeds();
    later("dual_track", "prior", "dual").succeeds();
    // The adapters are folded in: the checkpoint has the tensors of a released one.
    folder.with("talk.wav", &wav(16_000, &[voice(16_000, 2.0, 150.0)]));
    run(&folder, "animate talk.wav -o talk.npz --checkpoint dual/best.safetensors", &[]).succeeds();
    let facts = run(&folder, "--json inspect dual/best.safetensors", &[]).succeeds().out.clone();
    assert!(!facts.contains("lora"), "{facts}");
    later("dual_track", "codec", "wrong").fails(5, "starts from a generator").hints("audio-free");
}

#[test]
fn two_processes_share_a_run() {
    let folder = Folder::new();
    write_corpus(&folder.file("corpus"), 3, 160);
    let line = |rank: usize| {
        format!("{CODEC} --set batch=4 --out shared --rank {rank} --of 2 --meet 127.0.0.1:29873")
    };
    let mut second = program(&folder);
    let mut second = second.args(line(1).split_whitespace()).stderr(Stdio::null()).spawn().unwrap();
    run(&folder, &line(0), &[]).succeeds();
    assert!(second.wait().unwrap().success());
    // Twice the batch for half the steps.
    assert_eq!(metrics(&folder, "shared").iter().filter(|record| record["step"].is_object()).count(), 30);
    run(&folder, "train codec --out shared --resume", &[]).fails(2, "begun on 2 devices");
}

#[test]
fn bad_command_lines_say_what_is_wrong() {
    let folder = Folder::new();
    write_corpus(&folder.file("corpus"), 3, 160);
    let fails = |line: &str, what: &str| {
        let ran = run(&folder, line, &[]);
        assert_ne!(ran.code, 0, "{line}");
        assert!(ran.err.contains(what) && !ran.err.contains("panicked"), "{line}: {}", ran.err);
    };
    fails("train codec --preset tiny --out run", "--data");
    fails("train codec --data corpus --out run", "--preset");
    fails("train codec --preset tiny --data nowhere --out run", "nowhere");
    fails(&format!("{CODEC} --set stepz=3 --out run"), "no such number");
    fails(&format!("{CODEC} --set steps=many --out run"), "steps=many");
    fails(&format!("{CODEC} --from corpus --out run"), "first stage");
    fails(&format!("{CODEC} --single-stage --out run"), "no stage to leave out");
    fails("train codec --preset paper --data corpus --out run", "preset of the data's space");
    let stats = fixture("talk_motion_stats.json");
    fails(&format!("{CODEC} --stats {} --out run", stats.display()), "108 channels");
    fails("train codec --out run --resume", "no training here");
    assert!(!folder.file("run").exists());
    run(&folder, &format!("{CODEC} --set steps=2 --out run"), &[]).succeeds();
    fails(&format!("{CODEC} --out run"), "--resume");
    fails("train codec --preset paper --out run --resume", "preset is tiny, not paper");
    fails("train audio_free --out run --resume", "stage is codec, not audio_free");
    fails("train codec --out run --resume --set steps=9", "keeps its recipe");
    fails("train codec --out run --resume --seed 5", "seed is 0, not 5");
    std::fs::write(folder.file("run/state.safetensors"), b"half").unwrap();
    fails("train codec --out run --resume", "state.safetensors");
}

#[test]
fn an_ablation_writes_its_table() {
    let folder = Folder::new();
    write_corpus(&folder.file("corpus"), 2, 160);
    let line = "--json ablate --preset tiny --data corpus --out abl --only full,single_stage --set steps=3 --set batch=2";
    let summary = run(&folder, line, &[]).json();
    assert_eq!(summary["variants"].as_array().unwrap().len(), 2, "{summary}");
    let table = std::fs::read_to_string(folder.file("abl/table.md")).unwrap();
    for part in ["| full |", "| single_stage |", "mean motion", "| paper: ", "## Settings", "steps=3"] {
        assert!(table.contains(part), "no {part} in {table}");
    }
    let page = std::fs::read_to_string(folder.file("abl/table.html")).unwrap();
    assert!(page.contains("<td>full</td>") && page.contains("<svg"));
}

#[test]
fn an_ablation_shares_a_codec_that_is_there_and_sets_numbers_of_one_stage() {
    let folder = Folder::new();
    write_corpus(&folder.file("corpus"), 2, 160);
    run(&folder, "train codec --preset tiny --data corpus --out codec --set steps=3", &[]).succeeds();
    let line = "ablate --preset tiny --data corpus --out abl --only single_stage --codec codec --set steps=3 \
                --set dual_track.steps=2 --set batch=2";
    run(&folder, line, &[]).succeeds();
    let names = std::fs::read_dir(folder.file("abl")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!names.into_iter().any(|name| name == "codec"), "none is trained");
    let config = std::fs::read_to_string(folder.file("abl/single_stage/run.toml")).unwrap();
    assert!(config.contains("steps = 2"), "{config}");
    run(&folder, "ablate --preset tiny --data corpus --out no --codec codec --set dual_track.speed=2", &[])
        .fails(5, "there is no such number");
}

#[test]
fn an_ablation_takes_sizes_and_numbers_of_ones_own() {
    let folder = Folder::new();
    write_corpus(&folder.file("corpus"), 2, 160);
    let preset = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs").join(name);
        std::fs::read_to_string(path).unwrap()
    };
    let model = preset("tiny.toml").replace("depth = 2", "depth = 3");
    std::fs::write(folder.file("deep.toml"), model).unwrap();
    let recipe = preset("training/tiny.toml").replace("warmup = 20", "warmup = 7");
    std::fs::write(folder.file("fast.toml"), recipe).unwrap();
    let line = "ablate --preset tiny --data corpus --out abl --only single_stage --model deep.toml --recipe fast.toml \
                --set steps=2 --set batch=2";
    run(&folder, line, &[]).succeeds();
    let config = std::fs::read_to_string(folder.file("abl/single_stage/run.toml")).unwrap();
    assert!(config.contains("depth = 3") && config.contains("warmup = 7"), "{config}");
    let table = std::fs::read_to_string(folder.file("abl/table.md")).unwrap();
    for part in ["* model: deep.toml", "* recipe: fast.toml", "codec 2, audio_free"] {
        assert!(table.contains(part), "no {part} in {table}");
    }
    std::fs::write(folder.file("no.toml"), "preset = \"tiny\"").unwrap();
    let line = "ablate --preset tiny --data corpus --out no";
    run(&folder, &format!("{line} --model no.toml"), &[]).fails(5, "no.toml");
    run(&folder, &format!("{line} --recipe no.toml"), &[]).fails(5, "no.toml");
    run(&folder, &format!("{line} --model none.toml"), &[]).fails(4, "none.toml");
    assert!(!folder.file("no").exists());
}
