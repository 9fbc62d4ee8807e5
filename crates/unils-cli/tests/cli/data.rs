//! `unils data`: import, check, stats.

use std::path::Path;

use crate::support::*;
use unils::file::{write_live_link, write_motion};
use unils::motion::{FPS, Motion, MotionMeta, Space, Stats};

const LMDB: &str = "dataset/lmdb";

/// ARKit motion that moves in every channel but the first.
fn moving(frames: usize, seed: u32) -> Motion {
    let mut state = seed;
    let values = (0..frames * 55).map(|index| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if index % 55 == 0 { 0.0 } else { state as f32 / u32::MAX as f32 * 0.5 }
    });
    Motion::new(Space::Arkit55, FPS, 1, values.collect(), MotionMeta::new()).unwrap()
}

/// Audio and motion of the same name, in the folder `takes`.
fn take(folder: &Folder, name: &str, seconds: f64, seed: u32) {
    let path = folder.file("takes").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let sound = wav(16_000, &[voice(16_000, seconds, 150.0 + f64::from(seed))]);
    std::fs::write(path.with_extension("wav"), sound).unwrap();
    write_motion(path.with_extension("npz"), &moving((seconds * FPS) as usize, seed)).unwrap();
}

fn corpus_of_takes(folder: &Folder) {
    take(folder, "one", 5.0, 1);
    take(folder, "two", 6.0, 2);
    take(folder, "val/three", 5.0, 3);
    run(folder, "data import takes -o corpus", &[]).succeeds();
}

#[test]
fn the_release_s_lmdb_becomes_a_corpus_and_a_second_import_goes_on() {
    let folder = Folder::new();
    let lmdb = fixture(LMDB);
    let first = run(&folder, "--json data import -o corpus", &[&lmdb]).json();
    assert_eq!(first["space"], "flame108");
    let (added, skipped) = (first["added"].as_u64().unwrap(), first["skipped"].as_array().unwrap());
    // The fixture holds three of the seven dyads that its metadata list.
    assert_eq!((added, skipped.len() as u64, &first["recordings"]), (3, 4, &first["added"]), "{first}");
    let whys: Vec<_> = skipped.iter().map(|skipped| skipped["why"].as_str().unwrap()).collect();
    assert!(whys.iter().any(|why| why.contains("no such record")), "{whys:?}");
    let second = run(&folder, "data import -o corpus", &[&lmdb]);
    assert!(second.succeeds().out.contains("3 already there"), "{}", second.out);
    assert!(second.out.contains("4 skipped\n  "), "{}", second.out);

    let motion = run(&folder, "--json data import --motion -o motion", &[&lmdb]).json();
    assert!(motion["added"].as_u64().unwrap() > 0, "{motion}");
    let metadata = fixture("dataset/talk_motion.json");
    let line = format!("--json data import --metadata {} -o named", metadata.display());
    let named = run(&folder, &line, &[&lmdb]).json();
    assert_eq!(named["added"], motion["added"]);
    // A corpus is imported like any store.
    let copied = run(&folder, "--json data import corpus -o copy", &[]).json();
    assert_eq!(copied["added"], first["added"]);
    run(&folder, "data import takes --dyads -o corpus", &[]).fails(2, "not an LMDB");
}

#[test]
fn folders_of_pairs_become_a_corpus() {
    let folder = Folder::new();
    take(&folder, "one", 2.0, 1);
    take(&folder, "meeting__A", 2.0, 2);
    take(&folder, "meeting__B", 2.0, 3);
    take(&folder, "test/other", 2.0, 4);
    // Live Link Face's table in place of an npz.
    let takes = folder.file("takes");
    std::fs::remove_file(takes.join("one.npz")).unwrap();
    write_live_link(takes.join("one.livelink.csv"), &moving(50, 1)).unwrap();
    take(&folder, "mute", 2.0, 5);
    std::fs::remove_file(takes.join("mute.wav")).unwrap();
    take(&folder, "late", 2.0, 6);
    std::fs::write(takes.join("late.wav"), wav(16_000, &[voice(16_000, 3.0, 200.0)])).unwrap();
    let report = run(&folder, "--json data import takes -o corpus", &[]).json();
    assert_eq!((report["added"].as_u64(), report["frames"].as_u64()), (Some(3), Some(150)), "{report}");
    assert_eq!(report["skipped"][0]["name"], "late");
    assert!(report["skipped"][1]["why"].as_str().unwrap().contains("no audio file"), "{report}");
    let index = std::fs::read_to_string(folder.file("corpus/index.jsonl")).unwrap();
    assert!(index.contains("\"name\":\"other\",\"split\":\"test\""), "{index}");
    assert!(index.contains("\"name\":\"one\",\"split\":\"train\""), "{index}");
    // What was left out comes in with other options, beside what is there.
    let line = "--json data import takes -o corpus --without-audio --tolerance 2 --split-by val --threads 2";
    let more = run(&folder, line, &[]).json();
    assert_eq!((more["added"].as_u64(), more["present"].as_u64()), (Some(2), Some(3)), "{more}");
    let index = std::fs::read_to_string(folder.file("corpus/index.jsonl")).unwrap();
    assert!(index.contains("\"name\":\"mute\",\"split\":\"val\""), "{index}");

    let table = "recording,split,speaker,audio,motion\ntalk,test,ann,takes/one.wav,takes/one.livelink.csv\n";
    let table = folder.with("table.csv", table.as_bytes());
    let by_table = run(&folder, "--json data import -o tabled --manifest", &[&table]).json();
    assert_eq!(by_table["added"], 1, "{by_table}");
    let index = std::fs::read_to_string(folder.file("tabled/index.jsonl")).unwrap();
    assert!(index.contains("\"speaker\":\"ann\""), "{index}");
}

#[test]
fn nothing_to_import_is_no_success() {
    let folder = Folder::new();
    std::fs::create_dir(folder.file("empty")).unwrap();
    run(&folder, "data import empty -o corpus", &[]).fails(3, "nothing to import").hints("same name");
    std::fs::write(folder.file("empty/a.wav"), b"nonsense").unwrap();
    let none = run(&folder, "data import empty -o corpus", &[]);
    none.fails(3, "none of 1 recordings can be used");
    assert!(none.out.contains("a: there is no motion file of that name"), "{}", none.out);
    run(&folder, "data import gone -o other", &[]).fails(4, "gone");
    assert!(!folder.file("other").exists());
    take(&folder, "one", 1.0, 1);
    run(&folder, "data import takes -o here", &[]).succeeds();
    run(&folder, "data import takes --space flame108 -o here", &[]).fails(2, "arkit55");
}

#[test]
fn a_check_counts_and_fails_on_errors_only() {
    let folder = Folder::new();
    corpus_of_takes(&folder);
    let fine = run(&folder, "data check corpus", &[]);
    fine.succeeds();
    assert!(fine.out.contains("train ") && fine.out.contains("0 errors"), "{}", fine.out);
    let report = run(&folder, "--json data check corpus --clip 130", &[]).json();
    let train = &report["splits"]["train"];
    assert_eq!((train["recordings"].as_u64(), train["frames"].as_u64()), (Some(2), Some(275)), "{report}");
    assert_eq!((train["shortest"].as_u64(), train["too_short"].as_u64()), (Some(125), Some(1)), "{report}");
    assert_eq!(report["findings"], serde_json::json!([]));

    // A silent track is a warning.
    std::fs::write(folder.file("takes/quiet.wav"), wav(16_000, &[vec![0.0; 80_000]])).unwrap();
    write_motion(folder.file("takes/quiet.npz"), &moving(125, 9)).unwrap();
    run(&folder, "data import takes -o corpus", &[]).succeeds();
    let silent = run(&folder, "data check corpus", &[]);
    assert!(silent.succeeds().out.contains("warning: silent (1)"), "{}", silent.out);
    assert!(!run(&folder, "data check corpus --no-audio", &[]).out.contains("silent"));

    // A record that is gone is an error, and so are the fixture's missing ones.
    std::fs::remove_file(folder.file("corpus/motion/two.npz")).unwrap();
    let broken = run(&folder, "data check corpus", &[]);
    broken.fails(1, "the check found 1 error");
    assert!(broken.out.contains("error: cannot be read (1)\n  train two"), "{}", broken.out);
    let lmdb = run(&folder, "--json data check", &[&fixture(LMDB)]);
    lmdb.fails(1, "error");
    let report: serde_json::Value = serde_json::from_str(&lmdb.out).unwrap();
    let kinds = report["findings"].as_array().unwrap().iter().map(|finding| &finding["kind"]);
    assert_eq!(kinds.filter(|kind| *kind == "unreadable").count(), 4, "{report}");
    run(&folder, "data check takes", &[]).fails(2, "neither a corpus nor an LMDB");
}

#[test]
fn speakers_in_two_splits_are_found() {
    let folder = Folder::new();
    take(&folder, "one", 5.0, 1);
    take(&folder, "two", 5.0, 2);
    let row = |name: &str, split: &str| format!("{name},{split},ann,takes/{name}.wav,takes/{name}.npz\n");
    let table =
        format!("recording,split,speaker,audio,motion\n{}{}", row("one", "train"), row("two", "test"));
    folder.with("table.csv", table.as_bytes());
    run(&folder, "data import --manifest table.csv -o corpus", &[]).succeeds();
    let leak = run(&folder, "data check corpus", &[]);
    leak.fails(1, "1 error");
    assert!(leak.out.contains("speaker ann is in train too (one)"), "{}", leak.out);
}

#[test]
fn statistics_are_those_that_the_program_takes() {
    let folder = Folder::new();
    corpus_of_takes(&folder);
    let report = run(&folder, "--json data stats corpus -o stats.json", &[]).json();
    assert_eq!((&report["recordings"], &report["still"]), (&2.into(), &serde_json::json!(["eyeBlinkLeft"])));
    let stats = Stats::read(folder.file("stats.json")).unwrap();
    assert_eq!(stats.mean().len(), 55);
    // Uniform from 0 to 0.5; angles are centred.
    assert!((stats.mean()[7] - 0.25).abs() < 0.03 && (stats.std()[7] - 0.144).abs() < 0.02);
    assert!(stats.mean()[53].abs() < 1e-6 && stats.std()[0] == 0.0);
    let floored = run(&folder, "data stats corpus -o floored.json --split val --floor 0.01", &[]);
    assert!(floored.succeeds().out.contains("arkit55, 1 recordings of val"), "{}", floored.out);
    assert_eq!(Stats::read(folder.file("floored.json")).unwrap().std()[0], 0.01);
    run(&folder, "data stats corpus -o no.json --split test", &[]).fails(3, "\"test\" is empty");
    assert!(!folder.file("no.json").exists());

    // The release's data gives a file for the release's models.
    run(&folder, "data import -o dyads", &[&fixture(LMDB)]).succeeds();
    let split =
        |name: &str| run(&folder, &format!("data stats dyads --split {name} -o dyads.json"), &[]).code == 0;
    assert!(["train", "val", "test"].into_iter().any(split));
    folder.with("talk.wav", &wav(16_000, &[voice(16_000, 1.0, 180.0)]));
    run(&folder, &format!("animate talk.wav {} --stats dyads.json -o a.npz", tiny()), &[]).succeeds();
}

#[test]
#[cfg(unix)]
fn an_import_that_was_stopped_goes_on() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    const TAKES: usize = 40;
    let folder = Folder::new();
    take(&folder, "r00", 120.0, 1);
    let takes = folder.file("takes");
    let name = |number: usize, ending: &str| takes.join(format!("r{number:02}.{ending}"));
    for number in 1..TAKES {
        for ending in ["wav", "npz"] {
            std::fs::hard_link(name(0, ending), name(number, ending)).unwrap();
        }
    }
    let lines = || {
        let index = std::fs::read_to_string(folder.file("corpus/index.jsonl")).unwrap_or_default();
        index.lines().count().saturating_sub(1)
    };
    let mut command = program(&folder);
    command.args(["data", "import", "takes", "-o", "corpus", "--threads", "1"]);
    let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while lines() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the import does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, "-INT");
    assert_eq!(wait(&mut child), 130);
    let done = lines();
    assert!((1..TAKES).contains(&done), "{done} of {TAKES}");
    let motions = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
    assert_eq!(motions(&folder.file("corpus/motion")), done, "files of listed recordings only");
    // Two more are enough to see that it goes on.
    for number in done + 2..TAKES {
        ["wav", "npz"].into_iter().for_each(|ending| std::fs::remove_file(name(number, ending)).unwrap());
    }
    let rest = run(&folder, "--json data import takes -o corpus", &[]).json();
    let count = |key: &str| rest[key].as_u64().unwrap() as usize;
    assert_eq!(
        (count("present"), count("present") + count("added")),
        (done, (done + 2).min(TAKES)),
        "{rest}"
    );
}
