//! Imports: from stores, from folders by name and by manifest; interrupted, stopped, with bad recordings.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking"
)]

mod data_support;

use std::path::{Path, PathBuf};

use unils::Error;
use unils::file::{write_live_link, write_motion};
use unils::motion::{FPS, Motion, MotionMeta, Space};
use unils_train::data::{
    CorpusOptions, CorpusStore, CorpusWriter, FolderImport, ImportOptions, ImportReport, Split, SplitRule,
    Store, Want, import_folder, import_store,
};

use data_support::{DYADS, Folder, corpus, fixture_store, lmdb, noise, record};

const RAW: Want = Want { audio: true, centred: false };
const ONE: ImportOptions = ImportOptions { threads: 1 };

fn writer(folder: &Path, space: Space) -> CorpusWriter {
    CorpusWriter::open(folder, space, CorpusOptions::default()).unwrap()
}

/// A mono or stereo WAV file of 16 bits; every channel is a ramp of its own.
fn wav(path: &Path, rate: u32, channels: u16, samples: u32) {
    let bytes = samples * u32::from(channels) * 2;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + bytes).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate * u32::from(channels) * 2).to_le_bytes());
    file.extend((channels * 2).to_le_bytes());
    file.extend(b"\x10\0data");
    file.extend(bytes.to_le_bytes());
    for sample in 0..samples {
        for channel in 0..channels {
            file.extend(((sample % 100) as i16 * 10 + channel as i16 * 5000).to_le_bytes());
        }
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, file).unwrap();
}

fn motion(path: &Path, seed: u64, frames: usize, fps: f64) -> Vec<f32> {
    let values = noise(seed, frames * 55);
    let motion = Motion::new(Space::Arkit55, fps, 1, values.clone(), MotionMeta::new()).unwrap();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_motion(path, &motion).unwrap();
    values
}

fn reasons(report: &ImportReport) -> Vec<(&str, &str)> {
    report.skipped.iter().map(|skipped| (skipped.name.as_str(), skipped.why.as_str())).collect()
}

#[test]
fn pairs_are_matched_by_name() {
    let source = Folder::new();
    let at = |name: &str| source.join(name);
    wav(&at("talk.wav"), 16_000, 1, 64_000);
    let talk = motion(&at("talk.csv"), 1, 102, FPS);
    wav(&at("val/meeting__A.wav"), 48_000, 2, 192_000);
    wav(&at("val/meeting__B.wav"), 16_000, 1, 64_640);
    motion(&at("val/meeting__A.npz"), 2, 100, FPS);
    let partner = motion(&at("val/meeting__b.json"), 3, 101, FPS);
    std::fs::rename(at("val/meeting__B.wav"), at("val/meeting__b.wav")).unwrap();
    wav(&at("day1/deep/talk.wav"), 16_000, 1, 64_000);
    motion(&at("day1/deep/talk.npy"), 4, 100, FPS);
    // What cannot be used.
    wav(&at("lonely.wav"), 16_000, 1, 64_000);
    motion(&at("mute.npz"), 5, 100, FPS);
    wav(&at("short.wav"), 16_000, 1, 32_000);
    motion(&at("short.npz"), 6, 100, FPS);
    wav(&at("twice.wav"), 16_000, 1, 64_000);
    motion(&at("twice.npz"), 7, 100, FPS);
    motion(&at("twice.csv"), 7, 100, FPS);
    wav(&at("half__A.wav"), 16_000, 1, 64_000);
    motion(&at("half__A.npz"), 8, 100, FPS);
    source.write("noise.wav", b"nonsense");
    motion(&at("noise.npz"), 9, 100, FPS);
    source.write("notes.txt", b"not looked at");
    source.write(".hidden.csv", b"not looked at");
    let target = Folder::new();
    let writer = writer(&target.0, Space::Arkit55);
    let mut calls = Vec::new();
    let report = import_folder(&FolderImport::new(&source.0), &writer, &ONE, |progress| {
        calls.push((progress.done, progress.total, progress.name.to_owned()));
        true
    })
    .unwrap();
    assert_eq!((report.added, report.present, report.frames), (3, 0, 300), "{report}");
    assert_eq!(calls.len(), 5);
    assert_eq!((calls[4].0, calls[4].1), (5, 5));
    let expected = [
        ("half", "only one of the two people"),
        ("lonely", "no motion file"),
        ("mute", "no audio file"),
        ("noise", "no audio that can be read"),
        ("short", "short.wav: 2.00 s, but"),
        ("twice", "several motion files"),
    ];
    let got = reasons(&report);
    assert_eq!(got.len(), expected.len(), "{got:?}");
    for ((name, why), (expected_name, expected_why)) in got.iter().zip(expected) {
        assert!(*name == expected_name && why.contains(expected_why), "{name}: {why}");
    }
    assert!(report.to_string().contains("6 skipped\n  half: only one"), "{report}");

    let store = CorpusStore::open(&target.0).unwrap();
    let entries: Vec<_> =
        store.entries().iter().map(|entry| (entry.name.as_str(), entry.split, entry.frames)).collect();
    let expected =
        [("day1-deep-talk", Split::Train, 100), ("meeting", Split::Val, 100), ("talk", Split::Train, 100)];
    assert_eq!(entries, expected);
    let meeting = store.read(1, RAW).unwrap();
    assert_eq!(meeting.tracks[1].motion, partner[..100 * 55]);
    // Of the stereo file both channels are mixed, and resampled.
    let mixed = meeting.tracks[0].audio.as_ref().unwrap().to_f32();
    assert!((mixed[1000..60_000].iter().sum::<f32>() / 59_000.0 - 2995.0 / 32768.0).abs() < 1e-3);
    let alone = store.read(2, RAW).unwrap();
    assert_eq!(alone.tracks[0].motion, talk[..100 * 55]);
    assert_eq!(alone.tracks[0].audio.as_ref().unwrap().to_f32()[7], 70.0 / 32768.0);

    // A second time there is nothing to do.
    let again = import_folder(&FolderImport::new(&source.0), &writer, &ONE, |_| true).unwrap();
    assert_eq!((again.added, again.present, again.skipped.len()), (0, 3, 6));
    let folder = FolderImport { need_audio: false, ..FolderImport::new(&source.0) };
    let silent = import_folder(&folder, &writer, &ONE, |_| true).unwrap();
    assert_eq!((silent.added, silent.present), (1, 3), "{silent}");
}

#[test]
fn recordings_of_the_app_are_brought_to_our_rate() {
    let source = Folder::new();
    // A straight line in time is the same line at any rate; coefficients have few digits in the app's table.
    let ramp = (0..600 * 55).map(|index| (index / 55) as f32 / 600.0).collect();
    let phone = Motion::new(Space::Arkit55, 60.0, 1, ramp, MotionMeta::new()).unwrap();
    write_live_link(source.join("Take_1.livelink.csv"), &phone).unwrap();
    std::fs::rename(source.join("Take_1.livelink.csv"), source.join("plain.csv")).unwrap();
    write_live_link(source.join("Take_2.LiveLink.csv"), &phone).unwrap();
    wav(&source.join("plain.wav"), 48_000, 1, 480_000);
    wav(&source.join("Take_2.wav"), 44_100, 1, 441_000);
    let target = Folder::new();
    let report =
        import_folder(&FolderImport::new(&source.0), &writer(&target.0, Space::Arkit55), &ONE, |_| true)
            .unwrap();
    assert_eq!((report.added, report.skipped.len(), report.frames), (2, 0, 500), "{report}");
    let store = CorpusStore::open(&target.0).unwrap();
    for number in 0..2 {
        let recording = store.read(number, RAW).unwrap();
        assert_eq!(recording.frames(), 250);
        for frame in 0..249 {
            let value = recording.tracks[0].motion[frame * 55 + 17];
            assert!((value - frame as f32 * 2.4 / 600.0).abs() < 1e-4, "{frame}: {value}");
        }
    }
}

#[test]
fn a_manifest_says_everything() {
    let source = Folder::new();
    wav(&source.join("meeting.wav"), 16_000, 2, 64_000);
    motion(&source.join("m/ann.csv"), 1, 100, FPS);
    motion(&source.join("m/bob.npz"), 2, 100, FPS);
    let import = |table: &str| {
        let manifest = source.write("manifest.csv", table);
        let target = Folder::new();
        let folder = FolderImport { manifest: Some(manifest), ..FolderImport::new("nowhere") };
        let report = import_folder(&folder, &writer(&target.0, Space::Arkit55), &ONE, |_| true)?;
        Ok::<_, Error>((report, CorpusStore::open(&target.0).unwrap(), target))
    };
    let (report, store, _folder) = import(
        "recording, split, speaker, audio, channel, motion\n\
         meeting,test,ann,meeting.wav,0,m/ann.csv\n\
         \"meeting\",test,bob,meeting.wav,1,m/bob.npz\n\
         alone,,ann,meeting.wav,,m/ann.csv\n",
    )
    .unwrap();
    assert_eq!(report.added, 2, "{report}");
    let meeting = store.read(1, RAW).unwrap();
    assert_eq!((store.entries()[1].split, store.entries()[0].split), (Split::Test, Split::Train));
    let speakers: Vec<_> = meeting.tracks.iter().map(|track| track.speaker.as_deref()).collect();
    assert_eq!(speakers, [Some("ann"), Some("bob")]);
    let first: Vec<_> =
        meeting.tracks.iter().map(|track| track.audio.as_ref().unwrap().to_f32()[3]).collect();
    assert_eq!(first, [30.0 / 32768.0, 5030.0 / 32768.0]);
    for (table, expected) in [
        ("", "columns \"recording\" and \"motion\" are needed"),
        ("a,b\n", "columns \"recording\" and \"motion\" are needed"),
        ("recording,motion,audio\nx,m/ann.csv\n", "not a table"),
        ("recording,motion,audio\n,m/ann.csv,meeting.wav\n", "row 2: recording or motion is empty"),
        ("recording,motion,audio\nx,m/ann.csv,\n", "row 2: audio is empty"),
        ("recording,motion,audio,channel\nx,m/ann.csv,meeting.wav,left\n", "row 2: channel is not a number"),
        ("recording,motion,audio,split\nx,m/ann.csv,meeting.wav,all\n", "row 2: split: \"all\" is not known"),
        (
            "recording,motion,audio,split\nx,m/ann.csv,meeting.wav,val\nx,m/bob.npz,meeting.wav,test\n",
            "row 3: the recording's",
        ),
        ("recording,motion,audio\nx,m/a,w\nx,m/b,w\nx,m/c,w\n", "row 4: a third participant"),
    ] {
        let error = import(table).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("manifest.csv"), "{expected}: {error}");
    }
    let (report, ..) = import(
        "recording,motion,audio,channel\nx,m/ann.csv,meeting.wav,2\n../y,m/ann.csv,meeting.wav,0\nz,m/nothing.csv,meeting.wav,0\n",
    )
    .unwrap();
    let got = reasons(&report);
    for (why, expected) in
        got.iter().map(|(_, why)| *why).zip(["cannot have the name", "channel 2 was named", "cannot open"])
    {
        assert!(why.contains(expected), "{why}");
    }
    assert_eq!(got.len(), 3);
}

#[test]
fn splits_without_a_word_follow_the_rule() {
    let source = Folder::new();
    for number in 0..12 {
        motion(&source.join(&format!("r{number}.npz")), number, 30, FPS);
    }
    let split = SplitRule::Hash { val: 0.3, test: 0.3 };
    let folder = FolderImport { split, need_audio: false, ..FolderImport::new(&source.0) };
    let (first, second) = (Folder::new(), Folder::new());
    let splits = |target: &Folder| {
        import_folder(&folder, &writer(&target.0, Space::Arkit55), &ImportOptions::default(), |_| true)
            .unwrap();
        let store = CorpusStore::open(&target.0).unwrap();
        store.entries().iter().map(|entry| entry.split).collect::<Vec<_>>()
    };
    let expected = splits(&first);
    assert_eq!(splits(&second), expected);
    assert!(Split::ALL.iter().all(|split| expected.contains(split)), "{expected:?}");
}

#[test]
fn a_stopped_import_is_gone_on_with() {
    let source = Folder::new();
    corpus(&source.0, &[40, 50, 60, 70, 80]);
    let store = CorpusStore::open(&source.0).unwrap();
    let target = Folder::new();
    let stopped =
        import_store(&store, &writer(&target.0, Space::Arkit55), &ONE, |progress| progress.done < 2);
    assert!(matches!(stopped, Err(Error::Interrupted)));
    let there = CorpusStore::open(&target.0).unwrap().entries().len();
    assert!((2..5).contains(&there), "{there}");
    let mut dones = Vec::new();
    let report =
        import_store(&store, &writer(&target.0, Space::Arkit55), &ImportOptions::default(), |progress| {
            dones.push(progress.done);
            true
        })
        .unwrap();
    assert_eq!((report.added, report.present), (5 - there, there));
    assert_eq!(dones, (there + 1..=5).collect::<Vec<_>>());
    let copy = CorpusStore::open(&target.0).unwrap();
    for number in 0..5 {
        assert_eq!(copy.read(number, RAW).unwrap(), store.read(number, RAW).unwrap());
    }
    assert!(import_store(&store, &writer(&target.join("x"), Space::Flame108), &ONE, |_| true).is_err());
}

#[test]
fn what_the_release_lacks_is_listed() {
    let target = Folder::new();
    let report =
        import_store(&fixture_store(DYADS), &writer(&target.0, Space::Flame108), &ONE, |_| true).unwrap();
    assert_eq!((report.added, report.skipped.len()), (3, 4), "{report}");
    assert!(report.skipped.iter().all(|skipped| skipped.why.contains("no such record")));
    assert!(serde_json::to_string(&report).unwrap().contains("\"skipped\":[{"));

    let source = Folder::new();
    let mut bad = record(2, 150);
    bad.truncate(9000);
    lmdb(&source.0, &[("good", &record(1, 150)), ("bad", &bad)]);
    let json = br#"{"train": [["good", 150], ["bad", 150], ["good", 120], ["GOOD", 9]]}"#;
    let metadata = unils_train::data::Metadata::from_json(json, "m").unwrap();
    let lmdb = unils_train::data::Lmdb::open(&source.0).unwrap();
    let store = unils_train::data::ReleaseStore::new(lmdb, metadata).unwrap();
    let target = Folder::new();
    let report = import_store(&store, &writer(&target.0, Space::Flame108), &ONE, |_| true).unwrap();
    let names: Vec<_> = reasons(&report).into_iter().map(|(name, _)| name).collect();
    assert_eq!((report.added, names), (1, vec!["GOOD", "bad", "good"]), "{report}");
}

/// A full disk, as far as a test can make one: the corpus cannot be written, which is no fault of a recording.
#[cfg(unix)]
#[test]
fn a_corpus_that_cannot_be_written_stops_the_import() {
    let source = Folder::new();
    corpus(&source.0, &[40, 50]);
    let store = CorpusStore::open(&source.0).unwrap();
    let target = Folder::new();
    let writer = writer(&target.0, Space::Arkit55);
    std::fs::remove_dir(target.join("motion")).unwrap();
    let error = import_store(&store, &writer, &ONE, |_| true).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(writer.is_empty());
    let unused: PathBuf = target.join("audio");
    assert_eq!(std::fs::read_dir(unused).unwrap().count(), 0);
}
