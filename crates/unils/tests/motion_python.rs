//! Motion files as Python sees them, and `docs/formats.md`: its snippets are run, its tables compared.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod motion_common;

mod scratch;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use motion_common::{bits, clip};
use scratch::Scratch;
use unils::file::{MotionFormat, ReadOptions, read_motion, write_motion};
use unils::motion::{Motion, Space};

/// Python with NumPy: `$UNILS_PYTHON`, else `python3`; without it the caller says loudly that it checks nothing.
fn python_with_numpy() -> Option<std::process::Command> {
    let name = std::env::var_os("UNILS_PYTHON").unwrap_or_else(|| "python3".into());
    let works = python_runs(std::process::Command::new(&name).args(["-c", "import numpy"]));
    works.then(|| std::process::Command::new(name))
}

fn python_runs(command: &mut std::process::Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn write_talk(folder: &Path) -> Motion {
    let motion = clip(Space::Flame108, 2, 50);
    for format in MotionFormat::ALL {
        write_motion(folder.join(format!("talk.{format}")), &motion).unwrap();
    }
    motion
}

#[test]
fn python_reads_the_same_numbers() {
    let Some(mut python) = python_with_numpy() else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no python3 with NumPy; set UNILS_PYTHON to check the files against it"
        );
        return;
    };
    let folder = Scratch::new("motion_python");
    let motion = write_talk(folder.folder());
    let raw: Vec<u8> = motion.values().iter().flat_map(|value| value.to_le_bytes()).collect();
    fs::write(folder.path("raw.f32"), raw).unwrap();
    let script = r##"
import csv, json, math, numpy as np
expected = np.fromfile("raw.f32", dtype="<f4").reshape(2, 50, 108)
same = lambda a: np.asarray(a).astype("<f4").tobytes() == expected.tobytes()
npz = np.load("talk.npz")
assert npz["motion"].dtype == np.float32 and same(npz["motion"])
assert npz["fps"].shape == () and float(npz["fps"]) == 25.0 and str(npz["space"]) == "flame108"
assert npz["channels"].shape == (108,) and npz["channels"][103] == "jaw" and npz["units"][103] == "rad"
assert list(npz["participants"]) == [f'Frau Müller, "{i}" #1\n.wav' for i in range(2)]
assert str(npz["preset"]) == "paper" and int(npz["seed"]) == 2**64 - 1
assert str(npz["program"]) == "unils" and str(npz["version"])
assert json.loads(str(npz["options"])) == {"cfg": "1.5", "prompt": "a: b, # {c}"}
assert same(np.load("talk.npy"))
with open("talk.json", encoding="utf-8") as file:
    talk = json.load(file)
assert same(talk["motion"]) and talk["shape"] == [2, 50, 108] and talk["seed"] == 2**64 - 1
assert talk["channels"] == list(npz["channels"]) and talk["options"]["cfg"] == "1.5"
with open("talk.csv", newline="", encoding="utf-8") as file:
    lines = list(file)
rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
assert same([[float(row[name]) for name in talk["channels"]] for row in rows])
assert [(int(row["participant"]), int(row["frame"])) for row in rows] == [(p, k) for p in range(2) for k in range(50)]
assert all(math.isclose(float(row["time_s"]), int(row["frame"]) / 25) for row in rows)
facts = dict(line[1:].strip().split(": ", 1) for line in lines if line.startswith("#"))
assert json.loads(facts["seed"]) == 2**64 - 1 and json.loads(facts["participants"]) == talk["participants"]
np.savez_compressed("back.npz", motion=expected[0].astype(np.float64), fps=30)
np.save("back.npy", np.asfortranarray(expected))
"##;
    let output = python.current_dir(folder.folder()).args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let back = read_motion(folder.path("back.npz"), &ReadOptions::default()).unwrap();
    assert_eq!((bits(back.values()), back.fps()), (bits(motion.participant(0).unwrap()), 30.0));
    let back = read_motion(folder.path("back.npy"), &ReadOptions::default()).unwrap();
    assert_eq!(bits(back.values()), bits(motion.values()));
}

fn formats_document() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/formats.md")).unwrap()
}

#[test]
fn the_document_s_python_runs() {
    let Some(_) = python_with_numpy() else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no python3 with NumPy; set UNILS_PYTHON to run the document's snippets"
        );
        return;
    };
    let folder = Scratch::new("motion_python");
    write_talk(folder.folder());
    let document = formats_document();
    let snippets: Vec<&str> =
        document.split("```python\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(snippets.len(), 6);
    for snippet in snippets {
        let mut python = python_with_numpy().unwrap();
        if snippet.contains("pandas")
            && !python_runs(python_with_numpy().unwrap().args(["-c", "import pandas"]))
        {
            let _ =
                writeln!(std::io::stderr(), "SKIPPED: no pandas; the document's pandas snippet was not run");
            continue;
        }
        let output = python.current_dir(folder.folder()).args(["-c", snippet]).output().unwrap();
        assert!(output.status.success(), "{snippet}\n{}", String::from_utf8_lossy(&output.stderr));
        println!("{}", String::from_utf8_lossy(&output.stdout));
    }
    let style = read_motion(folder.path("style.npz"), &ReadOptions::default()).unwrap();
    assert_eq!(style.shape(), [1, 30, 108]);
}

#[test]
fn the_document_lists_every_channel() {
    let document = formats_document();
    for space in Space::ALL {
        let heading = format!("### {space}\n");
        let section = document.split(heading.as_str()).nth(1).unwrap().split("###").next().unwrap();
        for (index, channel) in space.channels().iter().enumerate() {
            let (unit, group) = (channel.unit.symbol(), channel.group.name());
            let (low, high) = channel.range;
            let row = if channel.name.starts_with("expression_") {
                format!(
                    "| 0 .. 99 | `expression_000` .. `expression_099` | {unit} | {low} .. {high} | {group} |\n"
                )
            } else {
                format!("| {index} | `{}` | {unit} | {low} .. {high} | {group} |\n", channel.name)
            };
            assert!(section.contains(&row), "{row}");
        }
    }
}
