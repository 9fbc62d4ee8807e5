//! `unils corpus`: build, go on, measure, preview. Needs a synthesiser, and says so loudly where there is none.

use std::io::Write as _;

use crate::support::*;

/// Whether a program for training voices is there: espeak-ng or flite.
fn can_speak() -> bool {
    let there = ["espeak-ng", "flite"].iter().any(|program| {
        let asked = std::process::Command::new(program).arg("--version").output();
        asked.is_ok()
    });
    if !there {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: neither espeak-ng nor flite is installed (apt-get install espeak-ng flite)"
        );
    }
    there
}

#[test]
fn a_corpus_is_made_gone_on_with_and_shown() {
    if !can_speak() {
        return;
    }
    let folder = Folder::new();
    let first = run(&folder, "--json corpus build -o made --hours 0.001 --seed 5", &[]).json();
    assert_eq!((first["recordings"].as_u64(), first["resumed"].as_u64()), (Some(1), Some(0)));
    let motion = std::fs::read(folder.file("made/motion/000000.npz")).unwrap();
    let second = run(&folder, "--json corpus build -o made --hours 0.047 --seed 5 --threads 2", &[]).json();
    assert_eq!((second["recordings"].as_u64(), second["resumed"].as_u64()), (Some(2), Some(1)));
    assert_eq!(std::fs::read(folder.file("made/motion/000000.npz")).unwrap(), motion);
    // The same seed makes the same recording, synthesisers included.
    run(&folder, "corpus build -o again --hours 0.001 --seed 5", &[]).succeeds();
    for file in ["motion/000000.npz", "audio/000000.flac", "labels/000000.json"] {
        let [a, b] = ["made", "again"].map(|corpus| std::fs::read(folder.file(corpus).join(file)).unwrap());
        assert!(a == b, "{file} differs");
    }
    run(&folder, "corpus build -o made --hours 0.001 --seed 6", &[])
        .fails(2, "begun with")
        .hints("same seed");
    run(&folder, "data check made --clip 100", &[]).succeeds();

    let rates = run(&folder, "--json corpus rates made", &[]).json();
    let rate = |name: &str| rates[name].as_f64().unwrap_or_else(|| panic!("no {name} in {rates}"));
    assert!(rate("closures") > 0.95 && rate("closed_elsewhere") < 0.15, "{rates}");
    assert!(rate("lips_whole") > 0.5 && rate("lips_in_silence") < 0.05, "{rates}");
    assert!((-2.0..=0.2).contains(&rate("lips_offset")), "{rates}");
    assert!((5.0..40.0).contains(&rate("blinks_per_minute")), "{rates}");

    run(&folder, "corpus preview made -o shown --count 1 --seconds 1 --size 64", &[]).succeeds();
    let shown: Vec<_> = ["000000.mp4", "000000.png"].map(|name| folder.file("shown").join(name)).into();
    assert!(shown.iter().all(|path| path.metadata().unwrap().len() > 1000));
    run(&folder, "corpus preview made -o shown --name nobody", &[]).fails(2, "no recording");
}

#[test]
fn what_is_no_corpus_is_refused() {
    let folder = Folder::new();
    run(&folder, "corpus rates nowhere", &[]).fails(4, "nowhere");
    run(&folder, "corpus build -o made --hours 0", &[]).fails(2, "hours");
}
