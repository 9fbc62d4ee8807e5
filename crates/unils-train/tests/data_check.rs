//! The check finds what is wrong, names it, and finds nothing in good data; the statistics are NumPy's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking"
)]

mod data_support;

use unils::Error;
use unils::motion::{Space, Stats};
use unils_train::data::{
    CheckOptions, CheckReport, CorpusOptions, CorpusStore, CorpusWriter, FindingKind, Recording, Samples,
    Severity, Split, Store, Track, View, check, motion_stats, open_store, write_stats,
};

use data_support::{DYADS, Folder, MOTION, corpus, dyad, fixture_store, lmdb, noise, npz, record};

fn found(report: &CheckReport, kind: FindingKind) -> Vec<String> {
    report
        .of_kind(kind)
        .map(|finding| format!("{} {}: {}", finding.split, finding.record, finding.what))
        .collect()
}

fn check_all(store: &dyn Store) -> CheckReport {
    check(store, &CheckOptions::default(), |_, _| true).unwrap()
}

#[test]
fn good_data_gives_no_findings() {
    let folder = Folder::new();
    corpus(&folder.0, &[150, 90, 200]);
    let report = check_all(&CorpusStore::open(&folder.0).unwrap());
    assert!(report.findings.is_empty(), "{report}");
    let train = &report.splits[&Split::Train];
    assert_eq!((train.recordings, train.dyads, train.tracks, train.speakers), (3, 3, 6, 6));
    assert_eq!((train.frames, train.too_short, train.shortest, train.longest), (440, 1, 90, 200));
    assert_eq!(train.audio_samples, 2 * 440 * 640);
    assert!((train.hours() - 440.0 / 25.0 / 3600.0).abs() < 1e-12);
    assert!(report.to_string().ends_with("0 errors, 0 warnings"), "{report}");
}

#[test]
fn each_fault_is_found_and_named() {
    let folder = Folder::new();
    let writer = CorpusWriter::create(&folder.0, Space::Arkit55, CorpusOptions::default()).unwrap();
    let add = |name: &str, split, seed, change: &dyn Fn(&mut Vec<Track>)| {
        let mut recording = dyad(name, seed, 120);
        change(&mut recording.tracks);
        writer.add(split, &recording).unwrap();
    };
    add("fine", Split::Train, 1, &|_| ());
    add("silent", Split::Train, 2, &|tracks| tracks[1].audio = Some(Samples::I16(vec![3; 76_800])));
    add("clipped", Split::Train, 3, &|tracks| {
        let samples = (0..76_800).map(|at| if at % 100 < 5 { 32_767 } else { 0 });
        tracks[0].audio = Some(Samples::I16(samples.collect()));
    });
    add("frozen", Split::Train, 4, &|tracks| {
        let row = tracks[0].motion[20 * 55..21 * 55].to_vec();
        (20..80).for_each(|frame| tracks[0].motion[frame * 55..(frame + 1) * 55].copy_from_slice(&row));
    });
    add("range", Split::Train, 5, &|tracks| tracks[1].motion[7 * 55 + 17] = 40.0);
    add("copy", Split::Train, 1, &|tracks| tracks.iter_mut().for_each(|track| track.speaker = None));
    add("leak", Split::Test, 1, &|tracks| tracks.iter_mut().for_each(|track| track.speaker = None));
    add("speaker", Split::Val, 6, &|tracks| tracks[0].speaker = Some("fine-a".into()));
    add("damaged", Split::Train, 7, &|_| ());
    std::fs::write(folder.join("audio/damaged.flac"), b"nothing").unwrap();
    let report = check_all(&CorpusStore::open(&folder.0).unwrap());
    let of = |kind| found(&report, kind);
    assert_eq!(of(FindingKind::Silent), ["train silent: silent-b: -81 dBFS"]);
    assert_eq!(of(FindingKind::Clipped), ["train clipped: clipped-a: 3840 samples (5.00 %)"]);
    assert_eq!(of(FindingKind::Frozen), ["train frozen: frozen-a: 60 frames from frame 20 on are the same"]);
    assert_eq!(of(FindingKind::OutOfRange), ["train range: range-b: frame 7, jawOpen is 40"]);
    let duplicates = of(FindingKind::Duplicate);
    assert_eq!(duplicates.len(), 2, "{duplicates:?}");
    assert_eq!(duplicates[0], "train fine: fine-a holds the same as copy-a of train copy");
    let leaks = of(FindingKind::SplitLeak);
    assert_eq!(leaks.len(), 3, "{leaks:?}");
    assert!(
        leaks.iter().any(|leak| leak == "val speaker: speaker fine-a is in train too (fine)"),
        "{leaks:?}"
    );
    assert!(leaks.iter().any(|leak| leak.contains("test leak: leak-a holds the same as")), "{leaks:?}");
    let unreadable = of(FindingKind::Unreadable);
    assert!(unreadable.len() == 1 && unreadable[0].starts_with("train damaged: "), "{unreadable:?}");
    assert_eq!((report.count(Severity::Error), report.count(Severity::Warning)), (4, 6), "{report}");
    let text = report.to_string();
    assert!(
        text.contains("error: cannot be read (1)\n  train damaged: ") && text.contains("warning: silent (1)"),
        "{text}"
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["splits"]["val"]["recordings"], 1);
    assert_eq!(json["findings"][0]["kind"], "unreadable");
    assert!(report.findings.is_sorted_by_key(|finding| (finding.severity, finding.kind)));
}

#[test]
fn the_release_s_records_are_checked_as_they_are() {
    let folder = Folder::new();
    let mut nan = noise(1, 150 * 112);
    nan[9 * 112 + 103] = f32::NAN;
    let mut infinite = noise(3, 150 * 640);
    infinite[777] = f32::NEG_INFINITY;
    let motion = noise(2, 150 * 112);
    let sound = noise(4, 150 * 640 + 1400);
    lmdb(
        &folder.0,
        &[
            ("good_P1", &record(10, 150)),
            ("nan_P2", &npz(&[("motioncode", &[150, 112], nan.into())])),
            (
                "infinite_P1",
                &npz(&[
                    ("motioncode", &[150, 112], motion.clone().into()),
                    ("audio", &[150 * 640], infinite.into()),
                ]),
            ),
            (
                "long_P5",
                &npz(&[
                    ("speech_mask", &[100], vec![1_u64; 100].into()),
                    ("motioncode", &[150, 112], noise(5, 150 * 112).into()),
                    ("audio", &[150 * 640 + 1400], sound.into()),
                ]),
            ),
        ],
    );
    let json = br#"{"train": {
        "one": ["x/good_P1", "x/nan_P2", 150], "two": ["x/good_P1", "x/absent_P3", 150], "three": ["long_P5", "infinite_P1", 151]},
        "val": {"four": ["long_P5", "long_P5", 140]}}"#;
    let metadata = unils_train::data::Metadata::from_json(json, "m").unwrap();
    let lmdb = unils_train::data::Lmdb::open(&folder.0).unwrap();
    let store = unils_train::data::ReleaseStore::new(lmdb, metadata).unwrap();
    for threads in [1, 3] {
        let options = CheckOptions { threads, ..CheckOptions::default() };
        let report = check(&store, &options, |_, _| true).unwrap();
        let of = |kind| found(&report, kind);
        let finite = of(FindingKind::NotFinite);
        assert_eq!(finite.len(), 2, "{report}");
        assert_eq!(finite[0], "train one: nan_P2, frame 9, channel jaw: NaN");
        assert_eq!(finite[1], "train three: infinite_P1: audio sample 777 is -inf");
        assert_eq!(of(FindingKind::AudioMissing), ["train one: 1 of 2 participants have audio"]);
        assert!(of(FindingKind::Unreadable)[0].contains("no such record"));
        assert_eq!(of(FindingKind::TooFewFrames).len(), 2);
        assert!(of(FindingKind::TooFewFrames)[0].contains("150 frames of motion, listed are 151"));
        assert_eq!(
            of(FindingKind::AudioLength)[0],
            "train three: long_P5: 152.2 frames of audio, 150 of motion"
        );
        assert_eq!(
            of(FindingKind::UnusedFrames)[0],
            "val four: long_P5: 150 frames, 140 are listed and used"
        );
        assert_eq!(of(FindingKind::SpeechMask)[0], "train three: long_P5: a mask of 100 frames for 150");
        assert_eq!(of(FindingKind::Duplicate), ["val four: long_P5 holds the same as long_P5 of val four"]);
        let leaks = of(FindingKind::SplitLeak);
        assert!(leaks.contains(&"val four: speaker P5 is in train too (three)".to_owned()), "{leaks:?}");
        assert!(
            leaks.contains(&"val four: long_P5 holds the same as long_P5 of train three".to_owned()),
            "{leaks:?}"
        );
    }
    let stopped = check(&store, &CheckOptions::default(), |done, _| done < 2);
    assert!(matches!(stopped, Err(Error::Interrupted)));
}

/// Mean and deviation of all frames in float64, the heads of each recording centred before.
#[test]
fn statistics_are_those_of_a_plain_formula() {
    let folder = Folder::new();
    let writer = CorpusWriter::create(&folder.0, Space::Arkit55, CorpusOptions::default()).unwrap();
    let mut all = Vec::new();
    for (number, frames) in [(1, 120), (2, 57), (3, 301)] {
        let mut motion = noise(number, frames * 55);
        motion.iter_mut().skip(20).step_by(55).for_each(|value| *value = 0.25);
        motion.iter_mut().skip(53).step_by(55).for_each(|value| *value += number as f32);
        let track = Track::new("a", motion.clone());
        writer.add(Split::Train, &Recording::new(format!("r{number}"), Space::Arkit55, vec![track])).unwrap();
        let mean =
            motion.iter().skip(53).step_by(55).map(|&value| f64::from(value)).sum::<f64>() / frames as f64;
        motion.iter_mut().skip(53).step_by(55).for_each(|value| *value -= mean as f32);
        for channel in [52, 54] {
            let mean = motion.iter().skip(channel).step_by(55).map(|&value| f64::from(value)).sum::<f64>()
                / frames as f64;
            motion.iter_mut().skip(channel).step_by(55).for_each(|value| *value -= mean as f32);
        }
        all.extend(motion);
    }
    writer.add(Split::Val, &dyad("other", 9, 100)).unwrap();
    let store = CorpusStore::open(&folder.0).unwrap();
    let mut calls = Vec::new();
    let stats = motion_stats(&store, Split::Train, None, |done, total| {
        calls.push((done, total));
        true
    })
    .unwrap();
    assert_eq!(calls, [(0, 3), (1, 3), (2, 3), (3, 3)]);
    let count = (all.len() / 55) as f64;
    for channel in 0..55 {
        let values = || all.iter().skip(channel).step_by(55).map(|&value| f64::from(value));
        let mean = values().sum::<f64>() / count;
        let deviation = (values().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        // Float32 rounding of the centred heads and of the result.
        assert!((f64::from(stats.mean()[channel]) - mean).abs() < 2e-7, "{channel}");
        assert!((f64::from(stats.std()[channel]) - deviation).abs() < 1e-6, "{channel}");
    }
    assert_eq!((stats.mean()[20], stats.std()[20]), (0.25, 0.0));
    let floored = motion_stats(&store, Split::Train, Some(0.01), |_, _| true).unwrap();
    assert_eq!((floored.std()[20], floored.std()[0]), (0.01, stats.std()[0]));
    let path = folder.join("stats.json");
    write_stats(&path, &stats).unwrap();
    assert_eq!(Stats::read(&path).unwrap(), stats);
    assert!(
        motion_stats(&store, Split::Test, None, |_, _| true)
            .unwrap_err()
            .to_string()
            .contains("\"test\" is empty")
    );
    assert!(motion_stats(&store, Split::Train, Some(f32::NAN), |_, _| true).is_err());
    assert!(matches!(motion_stats(&store, Split::Train, None, |_, _| false), Err(Error::Interrupted)));
}

#[test]
fn statistics_of_the_release_are_in_its_form() {
    let store = fixture_store(MOTION);
    let error = motion_stats(&store, Split::Train, None, |_, _| true).unwrap_err();
    assert!(error.to_string().contains("no such record"), "{error}");
    let dyads = fixture_store(DYADS);
    let report = check_all(&dyads);
    assert_eq!(report.splits.len(), 3);
    // Three of seven dyads are in the shortened LMDB; one of them stands there twice.
    assert_eq!(found(&report, FindingKind::Unreadable).len(), 4, "{report}");
    assert_eq!(found(&report, FindingKind::Duplicate).len(), 2, "{report}");
}

#[test]
fn a_path_is_opened_as_what_it_is() {
    let fixtures = data_support::fixtures();
    let open = |path: &std::path::Path, metadata: Option<&str>, view| {
        let metadata = metadata.map(|name| fixtures.join(name));
        open_store(path, metadata.as_deref(), view).map(|store| (store.entries().len(), store.space()))
    };
    for path in [fixtures.clone(), fixtures.join("lmdb"), fixtures.join("lmdb/data.mdb")] {
        assert_eq!(open(&path, None, View::Motion).unwrap(), (15, Space::Flame108));
        assert_eq!(open(&path, None, View::Dyad).unwrap(), (7, Space::Flame108));
        assert_eq!(open(&path, Some(DYADS), View::Motion).unwrap(), (7, Space::Flame108));
    }
    let folder = Folder::new();
    let refused = |metadata| open(&folder.0, metadata, View::Dyad).unwrap_err().to_string();
    assert!(refused(None).contains("neither a corpus nor an LMDB"));
    std::fs::copy(fixtures.join("lmdb/data.mdb"), folder.join("data.mdb")).unwrap();
    assert!(refused(None).contains("there is no seamless_interaction_pairs.json"));
    assert!(matches!(open(&folder.join("nothing"), None, View::Dyad), Err(Error::Io { .. })));
    corpus(&folder.0, &[30]);
    assert_eq!(open(&folder.0, None, View::Dyad).unwrap(), (1, Space::Arkit55));
    assert!(refused(Some(MOTION)).contains("needs no metadata"));
}
