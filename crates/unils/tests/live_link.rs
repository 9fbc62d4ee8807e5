//! Live Link Face's tables: ours come back, the app's own are read, and faulty ones are refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod face_common;
mod scratch;

use std::path::{Path, PathBuf};

use face_common::{skip, small_motion};
use scratch::Scratch;
use unils::file::{
    MotionFormat, ReadOptions, read_motion, read_motion_bytes, write_live_link, write_live_link_to,
    write_motion,
};
use unils::motion::{Motion, MotionMeta, Space};

fn text_of(motion: &Motion, participant: usize) -> String {
    let mut bytes = Vec::new();
    write_live_link_to(&mut bytes, motion, participant).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn read(text: &str) -> Result<Motion, String> {
    read_motion_bytes(MotionFormat::Csv, text.as_bytes(), "t.csv", &ReadOptions::default())
        .map_err(|error| error.to_string())
}

fn assert_same(got: &Motion, expected: &[f32], tolerance: f32) {
    assert_eq!(got.values().len(), expected.len());
    for (index, (a, b)) in got.values().iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance, "{index}: {a} {b}");
    }
}

#[test]
fn what_is_written_comes_back() {
    let motion = small_motion(2, 130);
    let back = read(&text_of(&motion, 1)).unwrap();
    assert_eq!((back.space(), back.fps(), back.shape()), (Space::Arkit55, 25.0, [1, 130, 55]));
    assert!(!back.meta().options.contains_key("timecodes"));
    // Ten decimals.
    assert_same(&back, motion.participant(1).unwrap(), 6e-8);
    for fps in [30.0, 29.97, 59.94, 24.0] {
        let values = motion.participant(0).unwrap().to_vec();
        let other = Motion::new(Space::Arkit55, fps, 1, values, MotionMeta::new()).unwrap();
        let back = read(&text_of(&other, 0)).unwrap();
        assert!((back.fps() / fps - 1.0).abs() < 2e-3, "{fps}: {}", back.fps());
        assert_same(&back, other.values(), 6e-8);
    }
}

#[test]
fn the_layout_is_the_app_s() {
    let mut values = vec![0.0; 55];
    let mut set = |name: &str, value| values[Space::Arkit55.index(name).unwrap()] = value;
    set("jawLeft", 0.25);
    set("mouthRight", 0.5);
    set("eyeLookOutLeft", 1.0);
    set("eyeLookUpRight", 0.5);
    set("headYaw", 0.1);
    set("headPitch", 0.2);
    set("headRoll", -0.3);
    let motion = Motion::new(Space::Arkit55, 25.0, 1, values, MotionMeta::new()).unwrap();
    let text = text_of(&motion, 0);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((lines.len(), lines[0].len(), lines[1].len()), (2, 63, 63));
    let value = |name: &str| lines[1][lines[0].iter().position(|known| *known == name).unwrap()];
    assert_eq!(value("Timecode"), "00:00:00:00.000");
    assert_eq!(value("BlendShapeCount"), "61");
    assert_eq!(lines[0][16..19], ["JawForward", "JawRight", "JawLeft"]);
    assert_eq!((value("JawLeft"), value("MouthRight")), ("0.2500000000", "0.5000000000"));
    // Left eye outwards: to the person's left, which the app counts negative; right eye up: negative as well.
    assert_eq!((value("LeftEyeYaw"), value("RightEyePitch")), ("-0.6100000143", "-0.3050000072"));
    assert_eq!((value("HeadYaw"), value("HeadPitch")), ("0.1000000015", "-0.2000000030"));
    assert_eq!((value("HeadRoll"), value("LeftEyeRoll")), ("-0.3000000119", "0.0000000000"));
}

#[test]
fn a_file_a_participant() {
    let folder = Scratch::new("live-link");
    let path = folder.path("talk.livelink.csv");
    let motion = small_motion(2, 30);
    let paths = write_live_link(&path, &motion).unwrap();
    assert_eq!(paths, [folder.path("talk.0.livelink.csv"), folder.path("talk.1.livelink.csv")]);
    for (participant, path) in paths.iter().enumerate() {
        let back = read_motion(path, &ReadOptions::default()).unwrap();
        assert_same(&back, motion.participant(participant).unwrap(), 6e-8);
    }
    write_motion(&path, &motion.select(0).unwrap()).unwrap();
    assert!(path.exists());
    let flame = Motion::new(Space::Flame108, 25.0, 1, vec![0.0; 108], MotionMeta::new()).unwrap();
    let error = write_motion(&path, &flame).unwrap_err();
    assert!(error.to_string().contains("flame108") && error.hint().is_some());
    let options = ReadOptions { space: Some(Space::Flame108), ..ReadOptions::default() };
    assert!(read_motion(&path, &options).unwrap_err().to_string().contains("expected flame108"));
}

/// A table of `count` rows at 60 frames/s whose `jawOpen` is its time in seconds; `keep` says which rows stand in it.
fn ramp(count: usize, keep: impl Fn(usize) -> bool) -> String {
    let values = (0..count).flat_map(|t| [t as f32 / 60.0; 55]).collect();
    let motion = Motion::new(Space::Arkit55, 60.0, 1, values, MotionMeta::new()).unwrap();
    let text = text_of(&motion, 0);
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let rows = lines.enumerate().filter(|(index, _)| keep(*index)).map(|(_, line)| line);
    std::iter::once(header).chain(rows).collect::<Vec<_>>().join("\n")
}

#[test]
fn gaps_are_bridged_and_said() {
    let motion = read(&ramp(150, |row| !(50..60).contains(&row))).unwrap();
    assert_eq!((motion.fps(), motion.frames()), (60.0, 150));
    for frame in 0..150 {
        let jaw = motion.frame(0, frame).unwrap()[17];
        assert!((jaw - frame as f32 / 60.0).abs() < 1e-5, "{frame}: {jaw}");
    }
    assert!(motion.meta().options["timecodes"].contains("140 rows brought to 150 frames"));
    // A face out of sight: the row ends after a count of 0.
    let text: Vec<String> = ramp(150, |_| true)
        .lines()
        .enumerate()
        .map(
            |(at, line)| {
                if at == 31 { line.split(',').next().unwrap().to_owned() + ",0" } else { line.to_owned() }
            },
        )
        .collect();
    let motion = read(&text.join("\n")).unwrap();
    assert_eq!(motion.frames(), 150);
    assert!((motion.frame(0, 30).unwrap()[17] - 0.5).abs() < 1e-5);
    assert!(motion.meta().options["timecodes"].contains("1 rows without a face"));
    let error = read(&ramp(8000, |row| !(20..7990).contains(&row))).unwrap_err();
    assert!(error.contains("30 rows over"), "{error}");
}

#[test]
fn midnight_and_other_columns() {
    let text = ramp(100, |_| true).replace("00:00:00:", "23:59:59:").replace("00:00:01:", "00:00:00:");
    assert_eq!(read(&text).unwrap().frames(), 100);
    let text = ramp(100, |_| true).replace(",TongueOut", ",Extra").replace("HeadYaw", "Something");
    let motion = read(&text).unwrap();
    assert_eq!(motion.frame(0, 60).unwrap()[51..53], [0.0, 0.0]);
}

#[test]
fn faulty_tables_are_refused() {
    let good = ramp(100, |_| true);
    for (from, to, what) in [
        ("JawOpen", "JawShut", "0 columns \"JawOpen\""),
        ("BrowInnerUp", "BrowInner", "0 columns \"BrowInnerUp\""),
        ("BrowInnerUp", "JawOpen", "2 columns \"JawOpen\""),
        (",HeadYaw", ",HeadRoll", "2 columns \"HeadRoll\""),
        ("00:00:00:02.000", "00:00:00", "line 4: \"00:00:00\" is not a timecode"),
        ("00:00:00:02.000", "00:61:00:02.000", "not a timecode"),
        ("00:00:00:02.000", "00:00:00:01.000", "row 3 is not later"),
        ("00:00:00:02.000,61,", "00:00:00:02.000,61,x", "line 4: \"x0.0333333351\" is not a number"),
        ("00:00:00:02.000,61,", "00:00:00:02.000,61,nan,", "line 4: 64 columns, expected 63"),
        ("00:00:00:02.000,61,0.0333333351", "00:00:00:02.000,61,inf", "expected a finite number"),
    ] {
        let error = read(&good.replacen(from, to, 1)).map(|_| ()).expect_err(what);
        assert!(error.contains(what), "{what}: {error}");
    }
    assert!(read(good.lines().next().unwrap()).unwrap_err().contains("0 frames"));
}

/// The recordings, which are not part of the repository.
fn recordings() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let places = ["shared/data/face_capture", "../shared/data/face_capture"].map(|place| root.join(place));
    let named = std::env::var_os("UNILS_FACE_CAPTURE").map(PathBuf::from);
    let found = places.into_iter().chain(named).find(|path| path.is_dir());
    if found.is_none() {
        skip("the Live Link Face recordings are not there (UNILS_FACE_CAPTURE): they were not read");
    }
    found
}

#[test]
fn the_app_s_own_recordings_are_read() {
    let Some(folder) = recordings() else { return };
    let motion = read_motion(folder.join("alex_rom_3.csv"), &ReadOptions::default()).unwrap();
    // 4030 rows: the app lost a frame, and its clock another.
    assert_eq!((motion.frames(), motion.fps()), (4032, 30.0));
    assert!(motion.meta().options["timecodes"].contains("4030 rows"));
    let first = motion.frame(0, 0).unwrap();
    let value = |name: &str| first[Space::Arkit55.index(name).unwrap()];
    assert_eq!((value("jawRight"), value("jawLeft"), value("jawOpen")), (0.018_503_606, 0.0, 0.019_058_17));
    let motion = read_motion(folder.join("dao.csv"), &ReadOptions::default()).unwrap();
    assert_eq!(motion.fps(), 60.0);
    let first = motion.frame(0, 0).unwrap();
    assert_eq!(first[52..], [0.059_838, -0.018_487, -0.113_728]);
}
