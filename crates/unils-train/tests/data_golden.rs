//! What our loader reads against what the release's own loaders returned, to the last bit.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking"
)]

mod data_support;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use safetensors::SafeTensors;
use unils::motion::SAMPLES_PER_FRAME;
use unils_train::data::{ClipRule, Draw, ReleaseStore, Split, Store, View, Want};

use data_support::{DYADS, MOTION, fixtures};

/// A case of the loaders: its name, the record, the split's entry number, the start and the styles' starts.
type Case<'c> = (&'c str, usize, &'c [usize], usize);

struct Golden {
    bytes: Vec<u8>,
    checked: usize,
}

impl Golden {
    fn open(path: &Path) -> Self {
        Self { bytes: std::fs::read(path).unwrap(), checked: 0 }
    }

    fn values(&self, name: &str) -> Option<Vec<f32>> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = tensors.tensor(name).ok()?;
        Some(tensor.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    }

    /// Compares what is there under the name; bits, not values.
    fn check(&mut self, name: &str, values: &[f32]) {
        let Some(expected) = self.values(name) else { return };
        assert_eq!(expected.len(), values.len(), "{name}");
        let wrong = expected
            .iter()
            .zip(values)
            .position(|(a, b)| a.to_bits() != b.to_bits() && !(*a == 0.0 && *b == 0.0));
        if let Some(index) = wrong {
            panic!("{name}[{index}]: {}, expected {}", values[index], expected[index]);
        }
        self.checked += 1;
    }

    /// Of each of two tracks `length` samples from the front and the back.
    fn check_audio(&mut self, name: &str, audio: &[f32]) {
        self.check(&format!("{name}.audio"), audio);
        let tracks = audio.chunks_exact(audio.len() / 2);
        for (part, front) in [("head", true), ("tail", false)] {
            let name = format!("{name}.audio_{part}");
            let length = self.values(&name).map_or(0, |values| values.len() / 2);
            let ends = tracks
                .clone()
                .flat_map(|track| if front { &track[..length] } else { &track[track.len() - length..] });
            self.check(&name, &ends.copied().collect::<Vec<_>>());
        }
        if let Some(sums) = self.values(&format!("{name}.audio_sum")) {
            for (track, expected) in tracks.zip(sums) {
                let sum: f64 = track.iter().map(|&sample| f64::from(sample)).sum();
                // The expected sum was rounded to float32 on the way.
                assert!((sum - f64::from(expected)).abs() < 1e-3, "{name}: {sum} {expected}");
            }
            self.checked += 1;
        }
    }
}

fn entry_of(store: &ReleaseStore, key: &str) -> usize {
    let has = |entry: &unils_train::data::Entry| entry.participants[0].name == key;
    store.entries().iter().position(has).unwrap()
}

fn check_clips(
    folder: &Path,
    metadata: &str,
    file: &str,
    key_cases: &[(&str, &[Case<'_>])],
    audio: bool,
) -> usize {
    let store = ReleaseStore::open(folder.join("lmdb"), folder.join(metadata)).unwrap();
    let mut golden = Golden::open(&folder.join(file));
    let view = if audio { View::Dyad } else { View::Motion };
    for (key, cases) in key_cases {
        let recording = match store.read(entry_of(&store, key), Want { audio, centred: true }) {
            Ok(recording) => recording,
            Err(error) => panic!("{error}"),
        };
        for &(case, start, style, clip) in *cases {
            let rule = ClipRule::release(clip);
            let draw = Draw { start, style: style.to_vec() };
            let cut = rule.cut(&recording, 0..style.len(), &draw, view).unwrap();
            golden.check(&format!("{case}.motion_code"), &cut.motion);
            golden.check(&format!("{case}.prev_motion_code"), &cut.previous);
            golden.check(&format!("{case}.style_motion_code"), &cut.style);
            if audio {
                golden.check_audio(case, &cut.audio);
            }
        }
    }
    golden.checked
}

fn check_whole(
    folder: &Path,
    metadata: &str,
    file: &str,
    cases: &[(&str, &str, usize)],
    audio: bool,
) -> usize {
    let store = ReleaseStore::open(folder.join("lmdb"), folder.join(metadata)).unwrap();
    let mut golden = Golden::open(&folder.join(file));
    let view = if audio { View::Dyad } else { View::Motion };
    for &(case, key, style) in cases {
        let recording = store.read(entry_of(&store, key), Want { audio, centred: true }).unwrap();
        let whole = ClipRule::release(style).whole(&recording, 0..recording.tracks.len(), view).unwrap();
        assert_eq!(whole.frames, recording.frames());
        golden.check(&format!("{case}.motion_code"), &whole.motion);
        golden.check(&format!("{case}.style_motion_code"), &whole.style);
        if audio {
            assert_eq!(whole.audio.len(), 2 * whole.frames * SAMPLES_PER_FRAME);
            golden.check_audio(case, &whole.audio);
        }
        let mask = whole.speech.iter().flatten().flatten().map(|&speaks| f32::from(u8::from(speaks)));
        golden.check(&format!("{case}.speech_mask"), &mask.collect::<Vec<_>>());
    }
    golden.checked
}

const PAIR_1: &str = "V00_S0001_I00000101_P0002";
const PAIR_4: &str = "V00_S0004_I00000104_P0008";
const PAIR_5: &str = "V00_S0005_I00000105_P0010";
const DYAD_CASES: &[Case<'_>] = &[
    ("train20.start0", 0, &[5, 11], 20),
    ("train20.start7", 7, &[3, 2], 20),
    ("train20.mid", 83, &[30, 17], 20),
    ("train100.clamped", 31, &[0, 31], 100),
];

#[test]
fn training_clips_are_those_of_the_release() {
    let dyads = check_clips(&fixtures(), DYADS, "loader_dyads.safetensors", &[(PAIR_1, DYAD_CASES)], true);
    assert_eq!(dyads, 10);
    let f16: &[Case<'_>] = &[("train20.f16", 5, &[2], 20)];
    let cases: &[(&str, &[Case<'_>])] = &[("V00_S0002_I00000102_P0004", f16)];
    assert_eq!(check_clips(&fixtures(), MOTION, "loader_motion.safetensors", cases, false), 3);
}

#[test]
fn whole_recordings_are_those_of_the_release() {
    let dyads = check_whole(&fixtures(), DYADS, "loader_dyads.safetensors", &[("val20.0", PAIR_4, 20)], true);
    assert_eq!(dyads, 6);
    let cases = [("val20.4", "clip_00001", 20)];
    assert_eq!(check_whole(&fixtures(), MOTION, "loader_motion.safetensors", &cases, false), 2);
}

#[test]
fn all_golden_records_are_equal() {
    let Some(golden) = std::env::var_os("UNILS_GOLDEN") else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: set UNILS_GOLDEN to the folder of the golden data to compare all of its loader records"
        );
        return;
    };
    let folder = Path::new(&golden).join("dataset");
    let clips = check_clips(&folder, DYADS, "loader_dyads.safetensors", &[(PAIR_1, DYAD_CASES)], true);
    let first: &[Case<'_>] = &[("train20.start0", 0, &[9], 20), ("train20.start12", 12, &[4], 20)];
    let f16: &[Case<'_>] = &[("train20.f16", 5, &[2], 20)];
    let cases = [(PAIR_1, first), ("V00_S0002_I00000102_P0004", f16)];
    let motion = check_clips(&folder, MOTION, "loader_motion.safetensors", &cases, false);
    let cases = [
        ("val20.0", PAIR_4, 20),
        ("val20.1", PAIR_5, 20),
        ("val100.0", PAIR_4, 100),
        ("val100.1", PAIR_5, 100),
    ];
    let whole = check_whole(&folder, DYADS, "loader_dyads.safetensors", &cases, true);
    let cases = [("val20.0", PAIR_4, 20), ("val20.4", "clip_00001", 20)];
    let alone = check_whole(&folder, MOTION, "loader_motion.safetensors", &cases, false);
    assert_eq!((clips, motion, whole, alone), (17, 9, 14, 4));
}

#[test]
fn listings_are_those_of_the_release() {
    let json = std::fs::read(fixtures().join("listing.json")).unwrap();
    let listing: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&json).unwrap();
    let mut checked = 0;
    for (name, expected) in listing.iter().filter(|(name, _)| *name != "about") {
        let parts: Vec<&str> = name.split('.').collect();
        let [form, split, clip] = parts[..] else { panic!("{name}") };
        let (view, file) = if form == "dyads" { (View::Dyad, DYADS) } else { (View::Motion, MOTION) };
        let store = data_support::fixture_store(file);
        let rule = ClipRule::release(clip.strip_prefix("clip").unwrap().parse().unwrap());
        let items =
            rule.items(store.entries(), split.parse::<Split>().unwrap(), view).into_iter().map(|item| {
                let entry = &store.entries()[item.entry];
                let keys = entry.participants[item.people].iter().map(|person| person.name.clone().into());
                let numbers = [entry.frames.into(), item.start.into()];
                serde_json::Value::Array(keys.chain(numbers).collect())
            });
        assert_eq!(&serde_json::Value::Array(items.collect()), expected, "{name}");
        checked += 1;
    }
    assert_eq!(checked, 10);
}
