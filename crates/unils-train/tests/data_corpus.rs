//! Our corpus form: written, read, gone on with, damaged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking"
)]

mod data_support;

use unils::motion::Space;
use unils_train::data::{
    AudioDepth, CorpusOptions, CorpusStore, CorpusWriter, Element, Entry, Phoneme, Recording, Samples, Split,
    Store, Track, Want,
};

use data_support::{DYADS, Folder, MOTION, corpus, dyad, fixture_store, noise, track};

const RAW: Want = Want { audio: true, centred: false };

fn text(error: unils::Error) -> String {
    format!("{error} | {}", error.hint().unwrap_or("no hint"))
}

#[test]
fn recordings_come_back_as_they_were() {
    let folder = Folder::new();
    let writer = CorpusWriter::create(&folder.0, Space::Arkit55, CorpusOptions::default()).unwrap();
    let mut two = dyad("Zoë & Bob", 1, 123);
    two.tracks[0].phonemes = vec![Phoneme { symbol: "p".into(), start_s: 0.1, end_s: 0.175 }];
    two.tracks[1].speech = None;
    let one = Recording::new("alone", Space::Arkit55, vec![Track::new("x", noise(3, 7 * 55))]);
    writer.add(Split::Test, &two).unwrap();
    writer.add(Split::Val, &one).unwrap();
    // Readable while it is written.
    let store = CorpusStore::open(&folder.0).unwrap();
    let entries: Vec<_> =
        store.entries().iter().map(|entry| (entry.name.as_str(), entry.split, entry.frames)).collect();
    assert_eq!(entries, [("Zoë & Bob", Split::Test, 123), ("alone", Split::Val, 7)]);
    assert_eq!(store.entries()[0].participants[1].speaker.as_deref(), Some("Zoë & Bob-b"));
    assert_eq!(store.read(0, RAW).unwrap(), two);
    assert_eq!(store.read(1, RAW).unwrap(), one);
    let silent = store.read(0, Want { audio: false, ..RAW }).unwrap();
    assert!(silent.tracks.iter().all(|track| track.audio.is_none()));
    assert!(store.read(2, RAW).is_err());
}

#[test]
fn audio_is_fitted_to_the_motion_and_kept_as_exactly_as_asked() {
    let folder = Folder::new();
    let make = |name: &str, depth| {
        let writer =
            CorpusWriter::create(folder.join(name), Space::Arkit55, CorpusOptions { depth }).unwrap();
        let fine: Vec<f32> = (0..700).map(|at| (at as f32 + 0.5) / 8_388_608.0 * 1024.0).collect();
        let tracks = vec![
            Track::new("a", vec![0.0; 2 * 55]).with_audio(Samples::F32(fine)),
            Track::new("b", vec![0.0; 2 * 55]).with_audio(Samples::F32(vec![1.5; 2000])),
        ];
        let added = writer.add(Split::Train, &Recording::new("r", Space::Arkit55, tracks)).unwrap();
        assert_eq!((added.frames, added.clipped_samples), (2, 1280));
        let recording = CorpusStore::open(folder.join(name)).unwrap().read(0, RAW).unwrap();
        recording.tracks.iter().map(|track| track.audio.as_ref().unwrap().to_f32()).collect::<Vec<_>>()
    };
    for (name, depth, bits) in [("coarse", AudioDepth::Bits16, 16), ("fine", AudioDepth::Exact, 24)] {
        let tracks = make(name, depth);
        let step = 0.5_f32.powi(bits - 1);
        for (at, &sample) in tracks[0].iter().enumerate() {
            let expected = if at < 700 { (at as f32 + 0.5) / 8192.0 } else { 0.0 };
            assert!((sample - expected).abs() <= step / 2.0, "{name} {at}: {sample} {expected}");
            assert!(bits == 16 || sample == expected);
        }
        assert!(tracks[1].iter().all(|&sample| sample == 1.0 - step));
    }
}

#[test]
fn what_cannot_be_kept_is_refused_by_name() {
    let folder = Folder::new();
    let writer = CorpusWriter::create(&folder.0, Space::Arkit55, CorpusOptions::default()).unwrap();
    let good = dyad("good", 1, 10);
    let refused = |name: &str, change: &dyn Fn(&mut Recording), expected: &str| {
        let mut recording = Recording { name: name.to_owned(), ..good.clone() };
        change(&mut recording);
        let error = text(writer.add(Split::Train, &recording).unwrap_err());
        assert!(error.contains(expected) && error.contains(&format!("record {name:?}")), "{error}");
        assert!(!writer.contains(name) && writer.is_empty());
    };
    refused("../x", &|_| (), "cannot have the name");
    refused("r", &|r| r.tracks.clear(), "0 participants");
    refused("r", &|r| r.tracks.push(track("c", 3, 10)), "3 participants");
    refused("r", &|r| r.space = Space::Flame108, "is flame108 motion");
    refused("r", &|r| r.tracks[1].motion.truncate(9 * 55), "tracks of 10 and 9 frames");
    refused("r", &|r| r.tracks[0].motion.truncate(9), "not whole frames");
    refused("r", &|r| r.tracks[0].motion.clear(), "not whole frames");
    refused("r", &|r| r.tracks[1].motion[60] = f32::INFINITY, "participant 1, frame 1");
    refused("r", &|r| r.tracks[1].audio = None, "the other has none");
    refused("r", &|r| r.tracks[1].audio = Some(Samples::F32(vec![0.0, f32::NAN])), "sample 1 is NaN");
    refused("r", &|r| r.tracks[1].speech = Some(vec![true; 9]), "a speech mask of 9 frames");
    writer.add(Split::Train, &good).unwrap();
    let error = text(writer.add(Split::Val, &Recording { name: "GOOD".into(), ..good.clone() }).unwrap_err());
    assert!(error.contains("there is a recording of that name"), "{error}");
    assert_eq!(CorpusStore::open(&folder.0).unwrap().read(0, RAW).unwrap(), good);
}

#[test]
fn many_threads_write_one_corpus() {
    let folder = Folder::new();
    let writer = CorpusWriter::create(&folder.0, Space::Arkit55, CorpusOptions::default()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let writer = &writer;
            scope.spawn(move || {
                for number in 0..10 {
                    let name = format!("r{:02}", number * 4 + thread);
                    writer.add(Split::Train, &dyad(&name, 7, 3)).unwrap();
                    // All want this one: it is written once.
                    let _ = writer.add(Split::Train, &dyad("shared", 7, 3));
                }
            });
        }
    });
    assert_eq!(writer.len(), 41);
    let store = CorpusStore::open(&folder.0).unwrap();
    assert!(store.entries().is_sorted_by(|a, b| a.name < b.name));
    assert!((0..41).all(|number| store.read(number, RAW).is_ok()));
}

#[test]
fn an_interrupted_corpus_is_gone_on_with() {
    let folder = Folder::new();
    corpus(&folder.0, &[5, 6]);
    let index = folder.join("index.jsonl");
    let whole = std::fs::read(&index).unwrap();
    for cut in 1..40 {
        // The last line is not finished: a write was cut off.
        std::fs::write(&index, &whole[..whole.len() - cut]).unwrap();
        // Without its line's end only, the line is whole.
        let left = if cut == 1 { 2 } else { 1 };
        assert_eq!(CorpusStore::open(&folder.0).unwrap().entries().len(), left, "{cut}");
        let writer = CorpusWriter::open(&folder.0, Space::Arkit55, CorpusOptions::default()).unwrap();
        assert_eq!((writer.len(), writer.contains("r1")), (left, left == 2));
        if left == 1 {
            writer.add(Split::Train, &dyad("r1", 1, 6)).unwrap();
        }
        writer.add(Split::Train, &dyad("r2", 2, 7)).unwrap();
        let store = CorpusStore::open(&folder.0).unwrap();
        assert_eq!(store.entries().len(), 3);
        assert_eq!(store.read(1, RAW).unwrap(), dyad("r1", 1, 6));
    }
    assert!(
        text(CorpusWriter::create(&folder.0, Space::Arkit55, CorpusOptions::default()).unwrap_err())
            .contains("a corpus already")
    );
    let other = CorpusWriter::open(&folder.0, Space::Flame108, CorpusOptions::default()).unwrap_err();
    assert!(text(other).contains("is a corpus of arkit55 motion"));
}

#[test]
fn two_writers_at_once_are_refused() {
    let folder = Folder::new();
    let first = CorpusWriter::create(&folder.0, Space::Arkit55, CorpusOptions::default()).unwrap();
    let second = CorpusWriter::open(&folder.0, Space::Arkit55, CorpusOptions::default());
    assert!(text(second.unwrap_err()).contains("another process is writing"));
    drop(first);
    CorpusWriter::open(&folder.0, Space::Arkit55, CorpusOptions::default()).unwrap();
}

#[test]
fn bad_indexes_are_refused_with_their_line() {
    let folder = Folder::new();
    corpus(&folder.0, &[5]);
    let index = std::fs::read_to_string(folder.join("index.jsonl")).unwrap();
    let (head, line) = index.split_once('\n').unwrap();
    let line = line.trim_end();
    for (content, expected) in [
        (String::new(), "the file is empty"),
        ("hello\n".into(), "line 1: not a line"),
        (format!("{line}\n"), "line 1: not a line"),
        (format!("{}\n{line}\n", head.replace(":1,", ":2,")), "version 2; version 1"),
        (format!("{}\n{line}\n", head.replace("25.0", "30.0")), "30 frames and 16000 samples"),
        (format!("{head}\n{line}\n{line}\n"), "line 3: a second recording of the name \"r0\""),
        (format!("{head}\n{line}\n{}\n", line.replace("\"r0\"", "\"R0\"")), "line 3: a second recording"),
        (format!("{head}\n{}\n{line}\n", &line[..50]), "line 2: not a line"),
        (format!("{head}\n{}\n", line.replace("motion/r0", "../r0")), "leads out of the corpus"),
        (format!("{head}\n{}\n", line.replace("audio/r0", "/etc/r0")), "leads out of the corpus"),
        (format!("{head}\n{}\n", line.replace("labels/r0", "labels\\\\r0")), "leads out of the corpus"),
        (format!("{head}\n{}\n", line.replace("\"r0\"", "\"../r0\"")), "cannot have the name"),
        (format!("{head}\n{}\n", line.replace(":5,", ":0,")), "0 frames"),
        (format!("{head}\n{}\n", line.replace("\"train\"", "\"learn\"")), "unknown variant `learn`"),
        (format!("{head}\n{}\n", " ".repeat(2 << 20)), "line 2: not a line"),
    ] {
        std::fs::write(folder.join("index.jsonl"), content).unwrap();
        let error = text(CorpusStore::open(&folder.0).unwrap_err());
        assert!(error.contains(expected) && error.contains("index.jsonl"), "{expected}: {error}");
    }
    let nothing = Folder::new();
    assert!(text(CorpusStore::open(&nothing.0).unwrap_err()).contains("index.jsonl"));
}

#[test]
fn bad_files_are_refused_with_their_record() {
    let fresh = || {
        let folder = Folder::new();
        corpus(&folder.0, &[50]);
        folder
    };
    let refused = |folder: &Folder, expected: &str| {
        let error = CorpusStore::open(&folder.0).unwrap().read(0, RAW).map(|_| ()).map_err(text);
        let error = error.expect_err(expected);
        assert!(error.contains(expected) && error.contains("r0"), "{expected}: {error}");
    };
    for (file, expected) in [
        ("motion/r0.npz", "cannot open"),
        ("audio/r0.flac", "cannot open"),
        ("labels/r0.json", "cannot open"),
    ] {
        let folder = fresh();
        std::fs::remove_file(folder.join(file)).unwrap();
        refused(&folder, expected);
    }
    for (file, expected) in [
        ("motion/r0.npz", "damaged"),
        ("audio/r0.flac", "truncated"),
        ("labels/r0.json", "not a file of labels"),
    ] {
        let folder = fresh();
        let bytes = std::fs::read(folder.join(file)).unwrap();
        folder.write(file, &bytes[..bytes.len() * 2 / 3]);
        refused(&folder, expected);
    }
    let other = fresh();
    corpus(&other.join("other"), &[100]);
    for (file, expected) in [
        ("motion/r0.npz", "motion of shape [2, 100, 55]"),
        ("audio/r0.flac", "samples of audio"),
        ("labels/r0.json", "speech outside"),
    ] {
        let folder = fresh();
        std::fs::copy(other.join("other").join(file), folder.join(file)).unwrap();
        // Longer audio is cut by the reader, so it is the shorter that must show.
        if file != "audio/r0.flac" {
            refused(&folder, expected);
        }
    }
    let folder = fresh();
    corpus(&other.join("short"), &[40]);
    std::fs::copy(other.join("short/audio/r0.flac"), folder.join("audio/r0.flac")).unwrap();
    refused(&folder, "25600 samples of audio, the motion needs 32000");
}

/// The release's records through a corpus: motion to the last bit, also centred in float16; audio to half a step of 24
/// bits.
#[test]
fn the_release_s_records_pass_through_a_corpus() {
    for metadata in [DYADS, MOTION] {
        let folder = Folder::new();
        let release = fixture_store(metadata);
        let options = CorpusOptions { depth: AudioDepth::Exact };
        let writer = CorpusWriter::create(&folder.0, Space::Flame108, options).unwrap();
        let report =
            unils_train::data::import_store(&release, &writer, &Default::default(), |_| true).unwrap();
        // Two dyads are whole, and one is in the listing twice; of single records six are there, two are doubled.
        assert_eq!(report.added, if metadata == DYADS { 3 } else { 6 }, "{report}");
        let store = CorpusStore::open(&folder.0).unwrap();
        let mut halves = 0;
        for (number, entry) in store.entries().iter().enumerate() {
            let known = release.entries().iter().position(|known| known.name == entry.name).unwrap();
            // The release's listing does not say which records have audio; a corpus knows.
            let listed = Entry { has_audio: entry.has_audio, ..release.entries()[known].clone() };
            assert_eq!(&listed, entry);
            // Frames beyond the listed ones are not imported, so they are not in the mean either.
            let longer = entry.name.ends_with("_short");
            for centred in if longer { vec![false] } else { vec![false, true] } {
                let want = Want { audio: true, centred };
                let (ours, theirs) = (store.read(number, want).unwrap(), release.read(known, want).unwrap());
                for (ours, theirs) in ours.tracks.iter().zip(&theirs.tracks) {
                    assert!(ours.motion == theirs.motion && ours.speech == theirs.speech, "{}", entry.name);
                    halves += usize::from(ours.element == Element::F16);
                    assert_eq!(ours.audio.is_some(), theirs.audio.is_some());
                    assert_eq!(ours.audio.is_some(), entry.has_audio);
                    let (Some(ours), Some(theirs)) = (&ours.audio, &theirs.audio) else { continue };
                    let mut expected = vec![0.0; entry.frames * 640];
                    theirs.copy_to(0, &mut expected);
                    let worst =
                        ours.to_f32().iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert!(worst <= 0.5_f32.powi(24), "{}: {worst:e}", entry.name);
                }
            }
        }
        assert_eq!(halves > 0, metadata == MOTION);
    }
}
