//! Motion files: numbers and facts through every format, files of NumPy, and files that are not what they claim.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

#[path = "fuzz/motion.rs"]
mod fuzz;
mod motion_common;

mod scratch;

use std::fs;
use std::io::{self, Write};

use motion_common::{bits, clip, fixture, numbers};
use scratch::Scratch;
use unils::file::npy::{Array, Data};
use unils::file::npz::{Npz, NpzWriter};
use unils::file::{
    AtomicFile, MotionFormat, ReadOptions, read_motion, read_motion_bytes, write_motion, write_motion_to,
};
use unils::motion::{FPS, Motion, MotionMeta, Space};
use unils::{Error, Result};

fn bytes_of(format: MotionFormat, motion: &Motion) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_motion_to(format, &mut bytes, motion).unwrap();
    bytes
}

fn read(format: MotionFormat, bytes: &[u8]) -> Result<Motion> {
    read_motion_bytes(format, bytes, "input", &ReadOptions::default())
}

/// The message of an error that must come with a hint.
fn refusal<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert!(error.hint().is_some(), "no hint: {error}");
    error.to_string()
}

/// An npz file of f32 arrays.
fn npz(arrays: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = NpzWriter::new(&mut bytes);
    for (name, shape, values) in arrays {
        writer.add(name, &Array::new(shape, Data::from(*values)).unwrap()).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

#[test]
fn every_format_keeps_every_bit_and_fact() {
    let folder = Scratch::new("motion_files");
    for (space, participants, frames) in
        [(Space::Flame108, 2, 7), (Space::Arkit55, 1, 1), (Space::Arkit55, 3, 40)]
    {
        let motion = clip(space, participants, frames);
        for format in MotionFormat::ALL {
            let path = folder.folder().join(format!("Talk.{}", format.ending().to_uppercase()));
            write_motion(&path, &motion).unwrap();
            let back = read_motion(&path, &ReadOptions::default()).unwrap();
            assert_eq!(bits(back.values()), bits(motion.values()), "{format}");
            match format {
                MotionFormat::Npy => assert_eq!((back.shape(), back.fps()), (motion.shape(), FPS)),
                _ => assert_eq!(back, motion, "{format}"),
            }
            assert_eq!(fs::read(&path).unwrap(), bytes_of(format, &motion), "the same bytes each time");
        }
    }
    assert_eq!(fs::read_dir(folder.folder()).unwrap().count(), 4);
}

#[test]
fn facts_that_are_not_known_are_left_out() {
    let motion = Motion::new(Space::Arkit55, 29.97, 1, vec![0.5; 110], MotionMeta::default()).unwrap();
    for format in [MotionFormat::Npz, MotionFormat::Csv, MotionFormat::Json] {
        assert_eq!(read(format, &bytes_of(format, &motion)).unwrap(), motion, "{format}");
    }
}

#[test]
fn numpy_s_element_types_and_orders_are_read() {
    let mut npz = Npz::open(fixture("numpy_arrays.npz")).unwrap();
    let expected: Vec<f32> = (0..24_u8).map(f32::from).collect();
    let mut read = 0;
    for name in npz.names().map(str::to_owned).collect::<Vec<_>>() {
        if name.ends_with("_C") || name.ends_with("_F") {
            assert_eq!(npz.f32_values(&name).unwrap(), (vec![2, 3, 4], expected.clone()), "{name}");
            let array = npz.array(&name).unwrap();
            let wide: Vec<f64> = match array.data() {
                Data::F16(values) => values.iter().map(|value| value.to_f64()).collect(),
                Data::F32(values) => values.iter().map(|&value| f64::from(value)).collect(),
                Data::F64(values) => values.to_vec(),
                Data::I64(values) => values.iter().map(|&value| value as f64).collect(),
                Data::U64(values) => values.iter().map(|&value| value as f64).collect(),
                Data::Text(_) => panic!("{name} is not text"),
            };
            assert!(wide.iter().enumerate().all(|(index, &value)| value == index as f64), "{name}");
            read += 1;
        }
    }
    assert_eq!(read, 11 * 2 * 2);
    let texts: Vec<String> = (0..24).map(|index| index.to_string()).collect();
    for name in ["U", "U_big", "S"] {
        assert_eq!(npz.array(name).unwrap(), Array::new(&[24], texts.clone().into()).unwrap(), "{name}");
    }
    assert_eq!(npz.array("b1").unwrap().data(), &Data::from([0_u64, 1].repeat(12)));
    assert_eq!(npz.array("scalar").unwrap(), Array::new(&[], vec![0.5_f64].into()).unwrap());
    assert!(refusal(npz.array("objects")).contains("pickled Python objects"));
    assert!(refusal(npz.array("record")).contains("records"));
    assert!(refusal(npz.array("complex")).contains("\"<c8\" are not read"));
    assert!(refusal(npz.array("nothing")).contains("no array of that name"));
}

#[test]
fn all_npy_versions_are_read() {
    for version in 1..=3 {
        let bytes = fs::read(fixture(&format!("version{version}.npy"))).unwrap();
        assert_eq!(bytes[6], version);
        let array = Array::from_bytes(&bytes, "x").unwrap();
        let expected: Vec<f32> = (0..6_u8).map(f32::from).collect();
        assert_eq!(array, Array::new(&[2, 3], expected.into()).unwrap());
        for end in 0..bytes.len() {
            assert!(Array::from_bytes(&bytes[..end], "x").is_err(), "cut at {end}");
        }
    }
}

#[test]
fn records_of_the_release_are_cut_to_flame_108() {
    let path = fixture("release_record.npz");
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes[18..26], [0xff; 8], "the local header leaves its sizes to the ZIP64 field");
    let motion = read_motion(&path, &ReadOptions::default()).unwrap();
    assert_eq!((motion.space(), motion.shape()), (Space::Flame108, [1, 12, 108]));
    for (frame, row) in motion.values().chunks_exact(108).enumerate() {
        let columns = (0..104).chain([106, 107, 109, 110]);
        let expected = columns.map(|column| (frame * 113 + column) as f32 / 64.0);
        assert!(row.iter().copied().eq(expected), "frame {frame}");
    }
    let mut record = Npz::from_bytes(&bytes, "record").unwrap();
    assert!(matches!(record.array("motioncode").unwrap().data(), Data::F16(_)), "the stored element type");
    assert_eq!(record.array("speech_mask").unwrap().shape(), [12]);
    assert_eq!(record.header("audio").unwrap().shape(), [640]);
}

#[test]
fn foreign_arrays_are_taken_where_it_is_clear_what_they_are() {
    let values = numbers(2 * 3 * 55);
    let flat = npz(&[("anything", &[6, 55], &values), ("loss", &[2], &[0.0; 2])]);
    assert_eq!(read(MotionFormat::Npz, &flat).unwrap().shape(), [1, 6, 55]);
    let deep = npz(&[("motion", &[2, 3, 55], &values), ("other", &[6, 55], &values)]);
    assert_eq!(read(MotionFormat::Npz, &deep).unwrap().shape(), [2, 3, 55]);
    let two = npz(&[("a", &[6, 55], &values), ("b", &[6, 55], &values)]);
    assert!(refusal(read(MotionFormat::Npz, &two)).contains("2 arrays that could be it"));
    let options = ReadOptions { fps: Some(30.0), ..ReadOptions::default() };
    assert_eq!(read_motion_bytes(MotionFormat::Npz, &flat, "x", &options).unwrap().fps(), 30.0);
    let table = "\u{feff}\"tongueOut\",";
    let names: Vec<&str> = Space::Arkit55.channels().iter().map(|channel| channel.name).collect();
    let others: Vec<&str> = names.iter().copied().filter(|&name| name != "tongueOut").collect();
    let table =
        format!("{table}{}\r\n1.5{}\r\n\r\n2.5{}", others.join(","), ",0".repeat(54), ",0".repeat(54));
    let motion = read(MotionFormat::Csv, table.as_bytes()).unwrap();
    assert_eq!((motion.shape(), motion.frame(0, 1).unwrap()[51]), ([1, 2, 55], 2.5));
}

#[test]
fn another_space_or_shape_is_refused() {
    let arkit = clip(Space::Arkit55, 1, 4);
    let needs_flame = ReadOptions { space: Some(Space::Flame108), ..ReadOptions::default() };
    for format in MotionFormat::ALL {
        let message = refusal(read_motion_bytes(format, &bytes_of(format, &arkit), "clip", &needs_flame));
        let expected = match format {
            MotionFormat::Npy => "clip: 55 channels a frame, expected 108 (flame108)",
            MotionFormat::Npz => "clip[\"motion\"]: is arkit55 motion, expected flame108",
            _ => "clip: is arkit55 motion, expected flame108",
        };
        assert_eq!(message, expected, "{format}");
    }
    let values = vec![0.0; 108 * 100];
    let transposed = npz(&[("motion", &[108, 100], &values)]);
    let error = read(MotionFormat::Npz, &transposed).unwrap_err();
    assert!(error.hint().unwrap().contains("transposed"), "{error}");
    assert!(read(MotionFormat::Npz, &npz(&[("motion", &[10800], &values)])).is_err());
    assert!(read(MotionFormat::Npz, &npz(&[("motion", &[0, 108], &[])])).is_err());
    assert!(read(MotionFormat::Npz, &npz(&[("motioncode", &[100, 110], &[0.0; 11_000])])).is_err());
}

#[test]
fn nan_is_refused_with_its_place() {
    let mut values = vec![0.0; 2 * 3 * 55];
    values[4 * 55 + 17] = f32::NAN;
    let bytes = npz(&[("motion", &[2, 3, 55], &values)]);
    let message = refusal(read(MotionFormat::Npz, &bytes));
    assert!(message.contains("participant 1, frame 1, channel jawOpen: NaN"), "{message}");
    let table = String::from_utf8(bytes_of(MotionFormat::Csv, &clip(Space::Arkit55, 1, 1))).unwrap();
    let (head, last) = table.trim_end().rsplit_once(',').unwrap();
    assert!(refusal(read(MotionFormat::Csv, format!("{head},nan\n").as_bytes())).contains("headRoll: NaN"));
    assert!(
        refusal(read(MotionFormat::Csv, format!("{head},{last}e99\n").as_bytes())).contains("headRoll: ")
    );
    let json = br#"{"motion": [[[1e39, 0]]]}"#;
    assert!(read(MotionFormat::Json, json).is_err());
}

#[test]
fn files_that_are_something_else_say_so() {
    let text = b"dear diary,\n";
    assert!(refusal(read(MotionFormat::Npz, text)).contains("not an npz archive"));
    assert!(refusal(read(MotionFormat::Npy, text)).contains("not a NumPy array"));
    assert!(refusal(read(MotionFormat::Json, text)).contains("not a motion file"));
    assert!(refusal(read(MotionFormat::Csv, text)).contains("2 channels a frame"));
    for format in MotionFormat::ALL {
        assert!(refusal(read(format, b"")).starts_with("input"), "empty {format}");
    }
    let npy = bytes_of(MotionFormat::Npy, &clip(Space::Arkit55, 1, 1));
    let error = read(MotionFormat::Npz, &npy).unwrap_err();
    assert!(error.hint().unwrap().contains(".npy"), "{error}");
    assert!(refusal(read(MotionFormat::Csv, &npy)).contains("not text"));
    let error = MotionFormat::from_path("out/talk.mp3").unwrap_err();
    assert_eq!(error.to_string(), "out/talk.mp3: the ending .mp3 names no motion format");
    assert!(error.hint().unwrap().contains(".npz, .npy, .csv or .json"));
    assert!(refusal(MotionFormat::from_path("talk")).contains("no ending"));
}

#[test]
fn tables_with_faults_name_the_line() {
    let table = String::from_utf8(bytes_of(MotionFormat::Csv, &clip(Space::Arkit55, 2, 2))).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    let rows = lines.iter().position(|line| line.starts_with("0,0,")).unwrap();
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        change(&mut lines);
        read(MotionFormat::Csv, (lines.join("\n") + "\n").as_bytes())
    };
    assert!(with(&|_| ()).is_ok());
    let at = |row: usize| format!("input, line {}", rows + row + 1);
    let swapped = refusal(with(&|lines| lines.swap(rows, rows + 1)));
    assert!(swapped.starts_with(&at(1)) && swapped.contains("frame 0, expected 2"), "{swapped}");
    let missing = refusal(with(&|lines| drop(lines.remove(rows + 3))));
    assert!(missing.contains("participants of 2 and 1 frames"), "{missing}");
    let cut = refusal(with(&|lines| lines.truncate(rows + 2)));
    assert!(cut.contains("of shape [1, 2, 55], but says [2, 2, 55]"), "{cut}");
    let order = refusal(with(&|lines| lines.swap(rows + 1, rows + 2)));
    assert!(order.starts_with(&at(2)) && order.contains("participant 0 is out of order"), "{order}");
    let word = with(&|lines| lines[rows] = lines[rows].replacen(",0,0,", ",0,zero,", 1)).unwrap();
    assert_eq!(word.frames(), 2, "time_s is not needed");
    let word = with(&|lines| lines[rows + 1] = format!("0,1,0.04,one{}", ",0".repeat(54))).unwrap_err();
    assert_eq!(word.to_string(), format!("{}: column 4: \"one\" is not a number", at(1)));
    let short = with(&|lines| lines[rows + 1] = "0,1,0.04".to_owned()).unwrap_err();
    assert!(short.to_string().ends_with("3 columns, expected 58"), "{short}");
    let name = refusal(with(&|lines| lines[rows - 1] = lines[rows - 1].replace("jawOpen", "JawOpen")));
    assert!(name.contains("column \"JawOpen\" is not a channel of arkit55"), "{name}");
    let twice = with(&|lines| lines[rows - 1] = lines[rows - 1].replace("jawOpen", "jawLeft")).unwrap_err();
    assert!(twice.to_string().contains("two columns \"jawLeft\""), "{twice}");
    let semicolons = read(MotionFormat::Csv, table.replace(',', ";").as_bytes());
    assert!(semicolons.is_err());
    let endless = vec![b'1'; (1 << 20) + 2];
    assert!(read(MotionFormat::Csv, &endless).unwrap_err().to_string().contains("1 MiB"));
}

#[test]
fn json_with_faults_is_refused() {
    for (json, expected) in [
        (&br#"{"motion": [[[1, 2], [1]]]}"#[..], "frame 1 has 1 channels, the first has 2"),
        (br#"{"motion": [[[1]], []]}"#, "participant 1 has 0 frames, the first has 1"),
        (br#"{"motion": [[1]]}"#, "expected a list of numbers"),
        (br#"{"motion": [[[]]]}"#, "without numbers"),
        (br#"{"motion": [[["1"]]]}"#, "expected f32"),
        (br#"{"motion": []}"#, "0 frames"),
        (br#"{"motion": [[[1]]], "motion": [[[1]]]}"#, "duplicate field"),
        (br#"{"space": "flame108"}"#, "no field \"motion\""),
        (br#"{"motion": [[[1]]], "space": "smpl"}"#, "\"smpl\" is not known"),
        (br#"{"motion": [[[1]]]"#, "EOF"),
        (br#"{"motion": [[[1]]]} x"#, "trailing"),
        (br#"[]"#, "expected an object"),
    ] {
        let error = read(MotionFormat::Json, json).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let deep = "[".repeat(100_000);
    assert!(read(MotionFormat::Json, format!("{{\"x\": {deep}").as_bytes()).is_err());
    assert!(read(MotionFormat::Json, format!("{{\"motion\": {deep}").as_bytes()).is_err());
    let mut names = clip(Space::Arkit55, 1, 1);
    names = names.with_meta(MotionMeta::default()).unwrap();
    let json = String::from_utf8(bytes_of(MotionFormat::Json, &names)).unwrap();
    let message = refusal(read(MotionFormat::Json, json.replacen("jawLeft", "jawRight", 1).as_bytes()));
    assert!(message.contains("channel 15 is \"jawRight\", expected \"jawLeft\""), "{message}");
}

#[test]
fn truncated_and_damaged_files_are_refused() {
    let motion = clip(Space::Arkit55, 1, 3);
    for format in MotionFormat::ALL {
        let bytes = bytes_of(format, &motion);
        // What JSON lacks without its last byte is a line's end.
        let last = bytes.len() - 1 - usize::from(format == MotionFormat::Json);
        for end in (0..last).step_by(7).chain(last - 60..=last) {
            assert!(read(format, &bytes[..end]).is_err(), "{format} cut at {end} of {}", bytes.len());
        }
    }
    let good = bytes_of(MotionFormat::Npz, &motion);
    for place in (60..700).step_by(13) {
        let mut bytes = good.clone();
        bytes[place] ^= 0x10;
        assert!(refusal(read(MotionFormat::Npz, &bytes)).contains("input"), "checksum at {place}");
    }
}

#[test]
fn declared_sizes_are_held_against_the_bytes_that_are_there() {
    // Both would allocate for hours if they were believed.
    let header = |shape: &str| {
        let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes
    };
    assert!(refusal(read(MotionFormat::Npy, &header("(4000000, 108)"))).contains("does not have them"));
    assert!(read(MotionFormat::Npy, &header("(40000000000, 108)")).is_err());
    assert!(read(MotionFormat::Npy, &header("(1152921504606846976, 108)")).is_err());
    assert!(read(MotionFormat::Npy, &header("(0, 9223372036854775808, 108)")).is_err());
    let mut long = b"\x93NUMPY\x02\x00".to_vec();
    long.extend(u32::MAX.to_le_bytes());
    assert!(read(MotionFormat::Npy, &long).unwrap_err().to_string().contains("header of 4294967295 bytes"));

    // An entry whose sizes are a lie: in both headers of the archive, 2 GiB where there are some bytes.
    let mut bytes = npz(&[("motion", &[1, 55], &[0.0; 55])]);
    let central = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    for (header, offset) in [(0, 18), (central, 20)] {
        bytes[header + offset..header + offset + 8].copy_from_slice(&[0, 0, 0, 0x7f, 0, 0, 0, 0x7f]);
    }
    assert!(refusal(read(MotionFormat::Npz, &bytes)).contains("input"));
}

#[test]
fn entries_end_where_their_data_does() {
    let mut packed = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    packed.start_file("motion.npy", options).unwrap();
    packed.write_all(&bytes_of(MotionFormat::Npy, &clip(Space::Arkit55, 1, 1))).unwrap();
    let good = packed.finish_into_readable().unwrap().into_inner().into_inner();
    assert_eq!(read(MotionFormat::Npz, &good).unwrap().frames(), 1);
    let mut packed = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    packed.start_file("motion.npy", options).unwrap();
    packed.write_all(&bytes_of(MotionFormat::Npy, &clip(Space::Arkit55, 1, 1))).unwrap();
    packed.write_all(b"x").unwrap();
    let long = packed.finish_into_readable().unwrap().into_inner().into_inner();
    assert!(refusal(read(MotionFormat::Npz, &long)).contains("goes on after the end of its data"));
}

#[test]
fn paths_inside_an_archive_are_only_names() {
    let folder = Scratch::new("motion_files");
    let path = folder.path("inner/tricks.npz");
    fs::create_dir(path.parent().unwrap()).unwrap();
    let values = [0.0; 55];
    let bytes = npz(&[("../../evil", &[1, 55], &values), ("/etc/motion", &[2], &values[..2])]);
    fs::write(&path, bytes).unwrap();
    assert_eq!(read_motion(&path, &ReadOptions::default()).unwrap().frames(), 1);
    assert_eq!(fs::read_dir(folder.folder()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn two_entries_of_one_name_are_refused() {
    let mut bytes = npz(&[("motion", &[1, 55], &[0.0; 55]), ("notion", &[1, 55], &[1.0; 55])]);
    while let Some(place) = bytes.windows(6).position(|window| window == b"notion") {
        bytes[place] = b'm';
    }
    assert!(refusal(read(MotionFormat::Npz, &bytes)).contains("input"));
    let mut twice = NpzWriter::new(Vec::new());
    let array = Array::new(&[], vec![1_u64].into()).unwrap();
    twice.add("a", &array).unwrap();
    assert_eq!(twice.add("a", &array).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert!(Array::new(&[2], vec![1_u64].into()).is_err());
}

#[test]
fn places_that_cannot_be_read_or_written_are_errors() {
    let folder = Scratch::new("motion_files");
    let motion = clip(Space::Arkit55, 1, 1);
    let entries = || fs::read_dir(folder.folder()).unwrap().count();
    let missing = folder.path("no/such/talk.npz");
    assert!(refusal(write_motion(&missing, &motion)).starts_with("cannot create "));
    assert!(refusal(read_motion(&missing, &ReadOptions::default())).starts_with("cannot open "));
    let directory = folder.path("folder.npz");
    fs::create_dir(&directory).unwrap();
    assert!(refusal(write_motion(&directory, &motion)).contains("is a folder"));
    assert!(refusal(read_motion(&directory, &ReadOptions::default())).contains("is a folder"));
    let locked = folder.path("locked.npz");
    fs::write(&locked, "kept").unwrap();
    let mut permissions = fs::metadata(&locked).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&locked, permissions).unwrap();
    assert!(refusal(write_motion(&locked, &motion)).contains("is read-only"));
    assert_eq!(fs::read(&locked).unwrap(), b"kept");
    assert!(refusal(write_motion(folder.path("talk.wav"), &motion)).contains(".wav"));
    assert!(write_motion(locked.join("below.npz"), &motion).is_err());
    assert_eq!(entries(), 2, "nothing is left behind");
}

#[cfg(unix)]
#[test]
fn sockets_and_links_are_left_what_they_are() {
    use std::os::unix::fs::FileTypeExt;

    let folder = Scratch::new("motion_files");
    let motion = clip(Space::Arkit55, 1, 1);
    // Stands for every device, and is one that a failing test may destroy.
    let socket = folder.path("socket.npz");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(write_motion(&socket, &motion).unwrap_err().to_string().contains("not a regular file"));
    assert!(refusal(read_motion(&socket, &ReadOptions::default())).contains("not a regular file"));
    assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
    let (target, link) = (folder.path("target.npz"), folder.path("link.npz"));
    fs::write(&target, "old").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    write_motion(&link, &motion).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(read_motion(&target, &ReadOptions::default()).unwrap(), motion);
}

/// A disk that is full after so many bytes.
struct FullDisk(usize);

impl Write for FullDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let take = bytes.len().min(self.0);
        self.0 -= take;
        if take == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(take) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_reported_wherever_it_comes() {
    let motion = clip(Space::Arkit55, 1, 2);
    for format in MotionFormat::ALL {
        let length = bytes_of(format, &motion).len();
        for room in (0..length).step_by(41).chain([length - 1]) {
            let error = write_motion_to(format, FullDisk(room), &motion).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{format} {room}");
        }
        write_motion_to(format, FullDisk(length), &motion).unwrap();
    }
    let error = Error::io("write", "talk.npz", io::ErrorKind::StorageFull.into());
    assert!(error.hint().unwrap().contains("disk is full"));
}

#[test]
fn an_abandoned_file_leaves_the_old_one() {
    let folder = Scratch::new("motion_files");
    let path = folder.path("talk.csv");
    fs::write(&path, "old").unwrap();
    let mut file = AtomicFile::create(&path).unwrap();
    assert_eq!(file.path(), path);
    file.write_all(b"half of the new").unwrap();
    drop(file);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(fs::read_dir(folder.folder()).unwrap().count(), 1);
    let panicked = std::panic::catch_unwind(|| {
        let _file = AtomicFile::create(&path).unwrap();
        panic!("in the middle");
    });
    assert!(panicked.is_err());
    assert_eq!(fs::read_dir(folder.folder()).unwrap().count(), 1);
}

#[test]
fn the_fuzz_entry_holds_for_real_files_and_their_neighbours() {
    let motion = clip(Space::Arkit55, 1, 2);
    let files: Vec<Vec<u8>> = MotionFormat::ALL.iter().map(|&format| bytes_of(format, &motion)).collect();
    for bytes in &files {
        fuzz::motion(bytes);
        for place in (0..bytes.len()).step_by(29) {
            let mut changed = bytes.clone();
            changed[place] = changed[place].wrapping_add(1 + place as u8 % 7);
            fuzz::motion(&changed);
            fuzz::motion(&bytes[..place]);
        }
    }
    for name in ["numpy_arrays.npz", "release_record.npz", "version3.npy"] {
        fuzz::motion(&fs::read(fixture(name)).unwrap());
    }
}
