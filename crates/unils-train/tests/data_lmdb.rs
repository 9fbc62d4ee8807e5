//! The reader of LMDB files against LMDB itself, against files that are being written and against damaged ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking"
)]

mod data_support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use heed::types::Bytes;
use unils_train::data::{Lmdb, Metadata, ReleaseStore, Store, Want};

use data_support::{Folder, fixtures, lmdb, noise, put, record, writer};

fn text(error: unils::Error) -> String {
    format!("{error} | {}", error.hint().unwrap_or("no hint"))
}

/// Values from nothing to several pages, by keys of different lengths, in an order of their own.
fn records(count: usize) -> BTreeMap<String, Vec<u8>> {
    let size = |number: usize| match number % 5 {
        0 => number % 3,
        1 => 100 + number,
        2 => 2000,
        3 => 4080 + number % 40,
        _ => 9000 + number * 13,
    };
    let value = |number: usize| {
        noise(number as u64, size(number)).iter().map(|value| (value * 127.0) as u8).collect()
    };
    (0..count)
        .map(|number| (format!("key-{:x}", number * 7919 % count * (1 + number % 3)), value(number)))
        .collect()
}

#[test]
fn everything_that_lmdb_wrote_is_read() {
    for count in [1, 2, 40, 3000] {
        let folder = Folder::new();
        let records = records(count);
        let pairs: Vec<(&str, &[u8])> =
            records.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect();
        let env = writer(&folder.0);
        // Several commits, so that pages are copied and used again.
        pairs.chunks(700).for_each(|pairs| put(&env, pairs));
        let read = Lmdb::open(&folder.0).unwrap();
        assert_eq!(read.len(), records.len() as u64);
        let keys: Vec<_> = records.keys().map(|key| key.clone().into_bytes()).collect();
        assert_eq!(read.keys().unwrap(), keys);
        for (key, value) in &records {
            assert_eq!(read.get(key.as_bytes()).unwrap().as_ref(), Some(value), "{key}");
        }
        for missing in ["", "a", "key-", "key-zzz", "zz"] {
            assert!(read.get(missing.as_bytes()).unwrap().is_none(), "{missing}");
        }
        env.prepare_for_closing().wait();
    }
}

#[test]
fn a_new_lmdb_is_empty_and_gets_its_first_records() {
    let folder = Folder::new();
    let env = writer(&folder.0);
    let read = Lmdb::open(folder.join("data.mdb")).unwrap();
    assert!(read.is_empty() && read.keys().unwrap().is_empty() && read.get(b"a").unwrap().is_none());
    put(&env, &[("a", b"1")]);
    assert_eq!(read.get(b"a").unwrap().unwrap(), b"1", "the one commit since must be seen");
    let metadata = br#"{"train": [["a", 200]]}"#;
    let other = Folder::new();
    let empty = writer(&other.0);
    let store = ReleaseStore::new(Lmdb::open(&other.0).unwrap(), Metadata::from_json(metadata, "m").unwrap());
    assert!(text(store.unwrap_err()).contains("holds no record"));
    empty.prepare_for_closing().wait();
    env.prepare_for_closing().wait();
}

struct StopOnDrop<'s>(&'s AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A writer that overwrites and deletes without pause: what is read is always one commit's value, whole.
#[test]
fn a_file_that_is_being_written_is_read_consistently() {
    let folder = Folder::new();
    let env = writer(&folder.0);
    let value = |round: u8| vec![round; 20_000 + usize::from(round) * 100];
    put(&env, &[("a", &value(0)), ("b", &value(0)), ("steady", b"here")]);
    let stop = AtomicBool::new(false);
    let (mut reads, mut whole, mut seen) = (0, 0, std::collections::BTreeSet::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0_u8;
            while !stop.load(Ordering::Relaxed) {
                round = round.wrapping_add(1) % 100;
                let mut transaction = env.write_txn().unwrap();
                let database = env.open_database::<Bytes, Bytes>(&transaction, None).unwrap().unwrap();
                for key in [b"a", b"b"] {
                    database.delete(&mut transaction, key).unwrap();
                    database.put(&mut transaction, key, &value(round)).unwrap();
                }
                transaction.commit().unwrap();
                std::thread::sleep(std::time::Duration::from_micros(50));
            }
        });
        // Also when an assertion fails.
        let _stop = StopOnDrop(&stop);
        let read = Lmdb::open(&folder.0).unwrap();
        let since = std::time::Instant::now();
        for number in 0.. {
            if since.elapsed().as_secs() >= 2 {
                break;
            }
            reads += 1;
            let key: &[u8] = if number % 2 == 0 { b"a" } else { b"b" };
            match read.get(key) {
                Ok(Some(bytes)) => {
                    assert_eq!(bytes, value(bytes[0]), "torn");
                    seen.insert(bytes[0]);
                    whole += 1;
                }
                Ok(None) => panic!("the record is in every commit"),
                Err(error) => assert!(text(error).contains("faster than it can be read")),
            }
            if number % 100 == 0 {
                assert_eq!(read.get(b"steady").unwrap().unwrap(), b"here");
            }
        }
    });
    assert!(whole * 2 > reads && seen.len() > 10, "{whole} of {reads} reads, {} commits seen", seen.len());
    env.prepare_for_closing().wait();
}

#[cfg(unix)]
#[test]
fn a_read_only_folder_needs_no_lock_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    std::fs::copy(fixtures().join("lmdb/data.mdb"), folder.join("data.mdb")).unwrap();
    let mode = |mode| std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o555);
    assert_eq!(Lmdb::open(&folder.0).unwrap().len(), 6);
    mode(0o755);
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "nothing may be left behind");
}

#[test]
fn what_is_no_lmdb_says_so() {
    let folder = Folder::new();
    let open = |name: &str, bytes: &[u8]| text(Lmdb::open(folder.write(name, bytes)).unwrap_err());
    assert!(open("empty", b"").contains("the file is empty"));
    assert!(open("text", &[b'x'; 9000]).contains("not an LMDB"));
    assert!(open("short", b"PK").contains("not an LMDB"));
    assert!(text(Lmdb::open(&folder.0).unwrap_err()).contains("data.mdb: there is no such file"));
    assert!(text(Lmdb::open(folder.join("nothing")).unwrap_err()).contains("cannot open"));
    let good = std::fs::read(fixtures().join("lmdb/data.mdb")).unwrap();
    assert!(open("first page", &good[..4096]).contains("cut short: 4096 bytes, at least 8192"));
    let changed = |at: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    assert!(open("version", &changed(20, &[2])).contains("data version 2"));
    assert!(open("big-endian", &changed(16, &0xBEEF_C0DE_u32.to_be_bytes())).contains("big-endian"));
    let mut narrow = vec![0; 9000];
    narrow[12..16].copy_from_slice(&0xBEEF_C0DE_u32.to_le_bytes());
    assert!(open("32 bit", &narrow).contains("32-bit"));
    assert!(open("page size", &changed(40, &[1, 2, 3, 4])).contains("pages of"));
    let mut flags = changed(16 + 76, &[4]);
    flags[4096 + 16 + 76] = 4;
    assert!(open("duplicates", &flags).contains("sorted duplicates"));
}

#[test]
fn a_file_that_is_cut_short_says_so_when_opened() {
    let folder = Folder::new();
    let good = std::fs::read(fixtures().join("lmdb/data.mdb")).unwrap();
    for kept in [1, 2, 3, 5, 8, 9] {
        let path = folder.write("data.mdb", &good[..good.len() / 10 * kept]);
        let error = text(Lmdb::open(&path).unwrap_err());
        assert!(error.contains("cut short") && error.contains("get it again"), "{kept}: {error}");
    }
}

/// Bytes changed anywhere: an error or other content, but never a panic, a loop or a bomb.
#[test]
fn damage_anywhere_is_survived() {
    let folder = Folder::new();
    let value: Vec<u8> = (0..6000).map(|at| at as u8).collect();
    let pairs: Vec<(String, &[u8])> = (0..300).map(|at| (format!("k{at}"), &value[..at * 20])).collect();
    let pairs: Vec<(&str, &[u8])> = pairs.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    lmdb(&folder.join("db"), &pairs);
    let good = std::fs::read(folder.join("db/data.mdb")).unwrap();
    let mut refused = 0;
    for round in 0..400 {
        let mut bad = good.clone();
        let places = noise(round, 6);
        for place in places {
            // Mostly headers of pages and their first nodes: the values do not matter here.
            let at = ((place * 0.5 + 0.5) * bad.len() as f32) as usize % bad.len();
            let at = if round % 2 == 0 { (at & !4095) | (at % 48) } else { at };
            bad[at] = bad[at].wrapping_add(1 + (round % 255) as u8);
        }
        let path = folder.write("bad.mdb", &bad);
        match Lmdb::open(&path).and_then(|lmdb| {
            lmdb.keys()?;
            pairs.iter().try_for_each(|(key, _)| lmdb.get(key.as_bytes()).map(|_| ()))
        }) {
            Ok(()) => {}
            Err(error) => {
                assert!(error.hint().is_some(), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

fn read(folder: &Path, json: &str) -> unils::Result<unils_train::data::Recording> {
    let metadata = Metadata::from_json(json.as_bytes(), "m.json")?;
    ReleaseStore::new(Lmdb::open(folder)?, metadata)?.read(0, Want { audio: true, centred: true })
}

#[test]
fn bad_records_are_named() {
    use unils::file::npy::Data;
    let folder = Folder::new();
    let good = record(1, 150);
    let motion = noise(1, 150 * 112);
    let mut with_nan = motion.clone();
    with_nan[7 * 112 + 107] = f32::NAN;
    let rows = |values: &[f32], columns: usize| {
        let (frames, values) = (values.len() / columns, values.to_vec());
        data_support::npz(&[("motioncode", &[frames, columns], values.into())])
    };
    let mask = vec![1_u64; 120];
    let whole = vec![1_u64; 150 * 112];
    let flipped: Vec<u8> = good.iter().enumerate().map(|(at, &byte)| byte ^ u8::from(at == 5000)).collect();
    let records: Vec<(&str, Vec<u8>)> = vec![
        ("good", good.clone()),
        ("no motion", data_support::npz(&[("audio", &[640], noise(1, 640).into())])),
        ("narrow", rows(&motion[..150 * 108], 108)),
        ("flat", data_support::npz(&[("motioncode", &[150 * 112], motion.clone().into())])),
        ("integers", data_support::npz(&[("motioncode", &[150, 112], whole.into())])),
        ("nan", rows(&with_nan, 112)),
        (
            "short mask",
            data_support::npz(&[
                ("motioncode", &[150, 112], motion.clone().into()),
                ("speech_mask", &[120], mask.into()),
            ]),
        ),
        (
            "stereo",
            data_support::npz(&[
                ("motioncode", &[150, 112], motion.clone().into()),
                ("audio", &[2, 300], noise(1, 600).into()),
            ]),
        ),
        ("text", data_support::npz(&[("motioncode", &[1], Data::from(vec!["x".to_owned()]))])),
        ("less", record(2, 120)),
        ("no npz", b"hello".to_vec()),
        ("nothing", Vec::new()),
        ("cut", good[..good.len() / 2].to_vec()),
        ("flipped", flipped),
    ];
    let pairs: Vec<(&str, &[u8])> = records.iter().map(|(key, value)| (*key, value.as_slice())).collect();
    lmdb(&folder.0, &pairs);
    assert_eq!(read(&folder.0, r#"{"train": [["good", 150]]}"#).unwrap().frames(), 150);
    assert_eq!(read(&folder.0, r#"{"train": [["good", 149]]}"#).unwrap().frames(), 149);
    for (key, frames, expected) in [
        ("absent", 150, "no such record"),
        ("good", 151, "150 frames of motion, listed with 151"),
        ("no motion", 150, "no array of that name"),
        ("narrow", 150, "shape [150, 108]"),
        ("flat", 150, "shape [16800]"),
        ("integers", 150, "no floating-point numbers"),
        ("nan", 150, "frame 7, channel eye_left_y: NaN"),
        ("stereo", 150, "audio has the shape [2, 300]"),
        ("text", 150, "shape [1]"),
        ("no npz", 150, "not an npz archive"),
        ("nothing", 150, "the file is empty"),
        ("cut", 150, "damaged"),
        ("flipped", 150, "damaged"),
    ] {
        let error = text(read(&folder.0, &format!(r#"{{"train": [["{key}", {frames}]]}}"#)).unwrap_err());
        assert!(error.contains(expected), "{key}: {error}");
        assert!(error.contains(&format!("record \"{key}\"")), "{key}: {error}");
    }
    // A mask that ends too early is gone on with: nobody speaks.
    let masked = read(&folder.0, r#"{"train": [["short mask", 150]]}"#).unwrap();
    let speech = masked.tracks[0].speech.as_ref().unwrap();
    assert!(speech.len() == 150 && speech[119] && !speech[120]);
    let unequal = r#"{"train": {"pair": ["x/good", "x/less", 150]}}"#;
    let error = text(read(&folder.0, unequal).unwrap_err());
    assert!(error.contains("record \"pair\": less: 120 frames of motion, listed with 150"), "{error}");
}
