use std::path::{Path, PathBuf};

use crate::support::*;
use unils::motion::Space;
use unils_train::data::{CorpusOptions, CorpusWriter, Recording, Samples, Split, Track};

/// A corpus of dyads: `count` to test on and one to train on, of so many seconds.
fn corpus(folder: &Folder, space: Space, count: usize, seconds: f64) -> PathBuf {
    let path = folder.file("corpus");
    let writer = CorpusWriter::create(&path, space, CorpusOptions::default()).unwrap();
    let frames = (seconds * 25.0) as usize;
    let width = space.width();
    for number in 0..=count {
        let track = |person: usize| {
            let seed = (2 * number + person) as f32;
            let motion = (0..frames * width).map(|index| {
                let (t, channel) = ((index / width) as f32 / 25.0, (index % width) as f32);
                0.2 + 0.1 * ((1.0 + 0.3 * (channel + seed).sin()) * 3.0 * t + channel).sin()
            });
            let audio = voice(16_000, seconds, 150.0 + 20.0 * f64::from(seed));
            let mut track =
                Track::new(format!("{number}-{person}"), motion.collect()).with_audio(Samples::F32(audio));
            track.speech = Some((0..frames).map(|frame| (frame / 30 + person).is_multiple_of(2)).collect());
            track
        };
        let recording = Recording::new(format!("r{number}"), space, vec![track(0), track(1)]);
        writer.add(if number == count { Split::Train } else { Split::Test }, &recording).unwrap();
    }
    path
}

fn model() -> String {
    let (checkpoint, encoder) = (fixture("checkpoints/gen_tiny.pt"), fixture("hf_wav2vec2_tiny"));
    format!("{} --encoder {}", checkpoint.display(), encoder.display())
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[test]
fn baselines_are_scored_on_our_own_head() {
    let folder = Folder::new();
    corpus(&folder, Space::Arkit55, 2, 5.0);
    let summary = run(&folder, "--json evaluate --predict truth --data corpus -o t.json", &[]).json();
    let mean = |summary: &serde_json::Value, metric: &str| {
        let scores = summary["report"]["means"].as_array().unwrap();
        scores.iter().find(|score| score["metric"] == metric).and_then(|score| score["value"].as_f64())
    };
    assert_eq!((mean(&summary, "S-LVE"), mean(&summary, "L-FDD")), (Some(0.0), Some(0.0)));
    assert_eq!(summary["report"]["system"], "truth");
    let face = summary["report"]["settings"]["face"].as_str().unwrap();
    assert!(face.starts_with("default head"), "{face}");
    assert_eq!((&summary["outputs"][0], &summary["resumed"]), (&"t.json".into(), &0.into()));
    let written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.file("t.json")).unwrap()).unwrap();
    assert_eq!(written, summary["report"]);
    for predict in ["mean", "rest", "other"] {
        let summary = run(&folder, &format!("--json evaluate --predict {predict} --data corpus"), &[]).json();
        assert!(mean(&summary, "S-LVE").unwrap() > 0.1, "{predict}: {summary}");
    }
    // Nothing is left behind where no output was named.
    assert_eq!(folder.names(), ["corpus", "t.json", "t.recordings.jsonl"]);
}

#[test]
fn a_model_is_scored_and_set_beside_the_paper() {
    let folder = Folder::new();
    corpus(&folder, Space::Flame108, 2, 4.5);
    let line = format!("evaluate {} --data corpus --against paper -o a.md -o b.json", model());
    let done = run(&folder, &line, &[]);
    done.succeeds();
    assert!(done.out.contains("| S-PDD |") && done.out.contains("paper: UniLS"), "{}", done.out);
    for what in ["need FLAME: name its file with --flame", "LVE, MHD and FDD are left out", "wrote b.json"] {
        assert!(done.err.contains(what), "{what}: {}", done.err);
    }
    let text = std::fs::read_to_string(folder.file("a.md")).unwrap();
    for what in ["# Evaluation", "* seed: 42", "* partner: true", "## Against the paper", "Seamless"] {
        assert!(text.contains(what), "{what}: {text}");
    }
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.file("b.json")).unwrap()).unwrap();
    assert!(report["settings"]["encoder"].as_str().unwrap().contains("wav2vec2"), "{report}");
    assert_eq!(lines(&folder.file("a.recordings.jsonl")), 3);

    // The same again takes what is kept; other settings are not mixed with it.
    let again = run(&folder, &line, &[]);
    assert!(again.succeeds().err.contains("2 recordings were done already"), "{}", again.err);
    assert_eq!(again.out, done.out);
    assert_eq!(std::fs::read_to_string(folder.file("a.md")).unwrap(), text);
    for (option, what) in [
        ("--seed 7", "seed was 42, is 7"),
        ("--cfg 1", "cfg was 1.5, is 1"),
        ("--shuffle-partner", "partner was true, is shuffled"),
        ("--own-voice-only", "partner was true, is absent"),
        ("--both", "people was first, is all"),
        ("--smooth", "smooth was false, is true"),
        ("--no-style", "style was middle, is zero"),
        ("--previous-clip", "previous was zero, is middle"),
        ("--predict codec", "system was model, is codec"),
        ("--split train", "split was test, is train"),
    ] {
        run(&folder, &format!("{line} {option}"), &[]).fails(2, what).hints("name another output");
    }
    let summary = run(&folder, &format!("--json {line} --limit 1"), &[]).json();
    assert_eq!(summary["report"]["recordings"].as_array().unwrap().len(), 1);
    let paper = &summary["paper"];
    assert_eq!((&paper["method"], &paper["scores"][0]["paper"]), (&"UniLS".into(), &5.83.into()));
    let pdd = &paper["scores"][3];
    let difference = pdd["ours"].as_f64().unwrap() - pdd["paper"].as_f64().unwrap();
    assert_eq!((&pdd["metric"], pdd["difference"].as_f64()), (&"S-PDD".into(), Some(difference)));
    let caveats = paper["caveats"].to_string();
    assert!(caveats.contains("only the first recordings") && caveats.contains("FLAME"), "{caveats}");
}

#[test]
fn two_evaluations_are_set_side_by_side() {
    let folder = Folder::new();
    corpus(&folder, Space::Arkit55, 3, 4.5);
    let line = "evaluate --data corpus --predict";
    run(&folder, &format!("{line} rest -o rest.json"), &[]).succeeds();
    let done = run(&folder, &format!("{line} truth --against rest.json -o truth.md -o truth.json"), &[]);
    // The truth has no errors: every one of the other's is a difference.
    assert!(done.succeeds().out.contains("| S-LVE | 0.000 |"), "{}", done.out);
    let text = std::fs::read_to_string(folder.file("truth.md")).unwrap();
    assert!(text.contains("## Against ") && text.contains("| difference | 95 % interval |"), "{text}");
    assert!(!text.contains("What does not compare"), "{text}");
    let summary =
        run(&folder, &format!("--json {line} rest --limit 2 --seed 7 --against truth.json"), &[]).json();
    let against = &summary["against"];
    assert_eq!(against["recordings"], 2, "{against}");
    let lve = &against["scores"].as_array().unwrap().iter().find(|score| score["metric"] == "S-LVE").unwrap();
    assert_eq!((lve["theirs"].as_f64(), &lve["ours"]), (Some(0.0), &lve["difference"]["estimate"]), "{lve}");
    assert!(lve["difference"]["low"].as_f64().unwrap() > 0.0, "{lve}");
    let caveats = against["caveats"].to_string();
    assert!(
        caveats.contains("2 of 3 recordings") && caveats.contains("seed is 7 here, 42 there"),
        "{caveats}"
    );
    assert_eq!(summary["paper"], serde_json::Value::Null);
    // What cannot be read is told before the work begins.
    folder.with("no.json", b"{}");
    run(&folder, &format!("{line} truth --against no.json -o x.json"), &[])
        .fails(2, "not an evaluation report");
    run(&folder, &format!("{line} truth --against none.json -o x.json"), &[]).fails(4, "none.json");
    assert!(!folder.file("x.json").exists());
}

#[test]
fn a_training_s_folder_stands_for_its_best_checkpoint() {
    let folder = Folder::new();
    corpus(&folder, Space::Flame108, 1, 4.5);
    std::fs::create_dir(folder.file("run")).unwrap();
    let evaluate = "evaluate run --predict codec --data corpus";
    folder.with("run/run.toml", b"");
    run(&folder, evaluate, &[]).fails(2, "saved no checkpoint yet");
    for name in ["last", "best"] {
        let line = format!("convert {} run/{name}.safetensors", fixture("checkpoints/gen_tiny.pt").display());
        run(&folder, &line, &[]).succeeds();
        let summary = run(&folder, &format!("--json {evaluate}"), &[]).json();
        assert_eq!(summary["report"]["system"], format!("run/{name}.safetensors, codec alone"));
    }
    // A codec has no generator to be scored, but can be looked at alone.
    let codec = fixture("checkpoints/codec_tiny.pt");
    let line = format!("evaluate {} --data corpus", codec.display());
    run(&folder, &line, &[]).fails(5, "a motion codec alone");
    let done = run(&folder, &format!("{line} --predict codec"), &[]);
    assert!(done.succeeds().out.contains("F-FID"), "{}", done.out);
}

#[test]
fn what_cannot_be_evaluated_is_told() {
    let folder = Folder::new();
    corpus(&folder, Space::Arkit55, 1, 4.5);
    let truth = "evaluate --predict truth --data corpus";
    run(&folder, "evaluate --data corpus", &[]).fails(2, "no checkpoint was named").hints("--predict mean");
    run(&folder, &format!("{truth} -o a.txt"), &[]).fails(2, "a.txt").hints(".json");
    run(&folder, "evaluate --predict truth --data nowhere", &[]).fails(4, "nowhere");
    run(&folder, &format!("{truth} --metadata a.json"), &[]).fails(2, "needs no metadata");
    run(&folder, &format!("{truth} --split val"), &[]).fails(3, "\"val\" is empty").hints("train, test");
    run(&folder, "evaluate --predict other --data corpus", &[]).fails(2, "only one of that split");
    let flame = fixture("flame/generic_model_small.pkl");
    run(&folder, &format!("{truth} --flame {}", flame.display()), &[]).fails(3, "5023");
    let head = fixture("heads/skinned.glb");
    run(&folder, &format!("{truth} --head {}", head.display()), &[])
        .fails(3, "labels no region")
        .hints("labelled regions");
    run(&folder, &format!("evaluate {} --data corpus", model()), &[])
        .fails(2, "the recordings are arkit55 motion, the model makes flame108");
    let bare = format!("evaluate {} --data corpus", fixture("checkpoints/gen_tiny.pt").display());
    run(&folder, &bare, &[]).fails(5, "facebook/wav2vec2-xls-r-300m").hints("unils fetch");
    std::fs::write(folder.file("corpus/audio/r0.flac"), "no flac").unwrap();
    run(&folder, truth, &[]).fails(3, "\"r0\"");
    assert_eq!(folder.names(), ["corpus"]);
}

#[test]
#[cfg(unix)]
fn ctrl_c_keeps_what_is_done() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    let folder = Folder::new();
    corpus(&folder, Space::Flame108, 6, 30.0);
    let line = |output: &str| format!("evaluate {} --data corpus -o {output}", model());
    let mut command = program(&folder);
    command.args(line("a.json").split_whitespace()).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    let kept = folder.file("a.recordings.jsonl");
    while lines(&kept) < 3 {
        assert!(begun.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, "-INT");
    assert_eq!(wait(&mut child), 130);
    let told = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert!(told.contains("kept in a.recordings.jsonl: repeat the command to go on"), "{told}");
    let done = lines(&kept);
    assert!((3..7).contains(&done), "{done}");
    assert!(!folder.file("a.json").exists());
    let rest = run(&folder, &line("a.json"), &[]);
    assert!(
        rest.succeeds().err.contains(&format!("{} recordings were done already", done - 1)),
        "{}",
        rest.err
    );
    run(&folder, &line("b.json"), &[]).succeeds();
    let bytes = |name| std::fs::read(folder.file(name)).unwrap();
    assert_eq!(bytes("a.json"), bytes("b.json"));
}
