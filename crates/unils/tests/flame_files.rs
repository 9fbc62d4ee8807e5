//! FLAME files in every form that is read, and files that are not what they should be.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests fail by panicking")]

mod flame_common;
mod scratch;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use flame_common::{VERTICES, arrays};
use scratch::Scratch;
use unils::checkpoint::{StoredAs, TensorFile, write_safetensors};
use unils::face::flame::{Flame, FlameArrays};
use unils::file::npy::{Array, Data};
use unils::file::npz::NpzWriter;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/flame")).join(name)
}

/// Name, shape and numbers of an array.
type Named = (&'static str, Vec<usize>, Vec<f32>);

/// The arrays of a model under the names of the files, with their shapes.
fn named(arrays: &FlameArrays) -> Vec<Named> {
    let (v, f) = (arrays.v_template.len() / 3, arrays.f.len() / 3);
    let mut parents: Vec<f32> =
        arrays.parents.iter().map(|parent| parent.map_or(4_294_967_295.0, |parent| parent as f32)).collect();
    parents.extend([0.0, 1.0, 2.0, 3.0, 4.0]);
    vec![
        ("v_template", vec![v, 3], arrays.v_template.clone()),
        ("f", vec![f, 3], arrays.f.iter().map(|&vertex| vertex as f32).collect()),
        ("shapedirs", vec![v, 3, 400], arrays.shapedirs.clone()),
        ("posedirs", vec![v, 3, 36], arrays.posedirs.clone()),
        ("J_regressor", vec![5, v], arrays.j_regressor.clone()),
        ("weights", vec![v, 5], arrays.weights.clone()),
        ("kintree_table", vec![2, 5], parents),
    ]
}

fn npz(tensors: &[Named]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = NpzWriter::new(&mut bytes);
    for (name, shape, values) in tensors {
        writer.add(name, &Array::new(shape, Data::from(&values[..])).unwrap()).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

#[test]
fn pickles_of_python_2_and_3_hold_the_same_model() {
    let expected = TensorFile::open(fixture("generic_model_small_expected.safetensors")).unwrap();
    let read = |name: &str| expected.read_f32(name).unwrap();
    for name in
        ["generic_model_small.pkl", "generic_model_small_py3.pkl", "generic_model_small_expected.safetensors"]
    {
        let flame = Flame::open(fixture(name)).unwrap();
        assert_eq!(flame.vertices(), 24);
        assert_eq!(flame.template().as_flattened(), read("v_template"), "{name}");
        assert_eq!(flame.weights().as_flattened(), read("weights"), "{name}");
        let triangles: Vec<f32> = flame.triangles().as_flattened().iter().map(|&v| v as f32).collect();
        assert_eq!(triangles, read("f"), "{name}");
        let directions = read("shapedirs");
        for index in [0, 299, 300, 399] {
            let column: Vec<f32> = directions.iter().skip(index).step_by(400).copied().collect();
            assert_eq!(flame.direction(index).flatten().collect::<Vec<_>>(), column, "{name}");
        }
        assert_eq!(flame.direction(400).count(), 0);
        let regressor = read("J_regressor");
        for (joint, row) in flame.joints(&[], &[]).iter().zip(regressor.chunks(24)) {
            for (axis, &value) in joint.iter().enumerate() {
                let sum: f64 =
                    row.iter().zip(flame.template()).map(|(r, v)| f64::from(*r) * f64::from(v[axis])).sum();
                assert!((f64::from(value) - sum).abs() < 1e-8, "{name}");
            }
        }
    }
    let two = Flame::open(fixture("generic_model_small.pkl")).unwrap();
    assert_eq!(two, Flame::open(fixture("generic_model_small_py3.pkl")).unwrap());
    assert_eq!(two, Flame::open(fixture("generic_model_small_expected.safetensors")).unwrap());
}

#[test]
fn npz_and_safetensors_hold_the_same_model() {
    let scratch = Scratch::new("flame-files");
    let expected = flame_common::flame();
    let tensors = named(&arrays());
    let path = scratch.path("model.npz");
    std::fs::write(&path, npz(&tensors)).unwrap();
    assert_eq!(Flame::open(&path).unwrap(), expected);
    let path = scratch.path("model.safetensors");
    let list = tensors.iter().map(|(name, shape, values)| (*name, &shape[..], &values[..], StoredAs::F32));
    write_safetensors(&path, list, &BTreeMap::new()).unwrap();
    assert_eq!(Flame::open(&path).unwrap(), expected);
}

/// Files as NumPy itself writes them, in every protocol; needs python3 with numpy.
#[test]
fn pickles_of_the_numpy_that_is_here() {
    const SCRIPT: &str = r#"
import pickle, sys, numpy as np
a = dict(np.load(sys.argv[1]))
a["f"] = a["f"].astype(np.uint32)
a["kintree_table"] = a["kintree_table"].astype(np.int64)
a["weights"] = np.asfortranarray(a["weights"].astype(">f8"))
a["bs_type"] = "lrotmin"
for protocol in range(6):
    with open(f"{sys.argv[2]}/p{protocol}.pkl", "wb") as out:
        pickle.dump(a, out, protocol=protocol)
np.savez_compressed(f"{sys.argv[2]}/packed.npz", **{k: v for k, v in a.items() if k != "bs_type"})
"#;
    let scratch = Scratch::new("flame-numpy");
    let source = scratch.path("source.npz");
    std::fs::write(&source, npz(&named(&arrays()))).unwrap();
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let folder = source.parent().unwrap().to_owned();
    let run = Command::new(&python).args(["-c", SCRIPT]).arg(&source).arg(&folder).output();
    let Some(run) = run.ok().filter(|run| run.status.success()) else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {python} with numpy is not there; set PYTHON to one that has it"
        );
        return;
    };
    drop(run);
    let expected = flame_common::flame();
    for name in ["p0.pkl", "p1.pkl", "p2.pkl", "p3.pkl", "p4.pkl", "p5.pkl", "packed.npz"] {
        let flame = Flame::open(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(flame, expected, "{name}");
    }
}

#[test]
fn a_missing_file_says_where_to_get_it() {
    let error = Flame::open("nowhere/generic_model.pkl").unwrap_err();
    assert_eq!(error.to_string(), "nowhere/generic_model.pkl: there is no such file");
    let hint = error.hint().unwrap();
    assert!(hint.contains("https://flame.is.tue.mpg.de") && hint.contains("licence"), "{hint}");
    assert!(Flame::open(fixture("")).unwrap_err().to_string().contains("is not a file"));
}

/// Each fault with what its message must say.
#[test]
fn faults_are_named() {
    let good = named(&arrays());
    let refused = |change: &dyn Fn(&mut Vec<Named>), expected: &str| {
        let mut tensors = good.clone();
        change(&mut tensors);
        let error = Flame::from_bytes(npz(&tensors), "model.npz").unwrap_err();
        assert!(error.to_string().contains(expected), "{error} does not say {expected:?}");
    };
    refused(&|t| drop(t.remove(2)), "lacks shapedirs");
    refused(&|t| t.truncate(1), "lacks f, shapedirs, posedirs");
    refused(&|t| t[0].1 = vec![3, VERTICES], "v_template: shape [3, 1440], expected (vertices, 3)");
    refused(&|t| (t[2].1, t[2].2) = (vec![VERTICES, 3, 10], vec![0.0; 30 * VERTICES]), "shapedirs: shape");
    refused(&|t| t[3].1 = vec![36, 3 * VERTICES], "posedirs: shape");
    refused(&|t| (t[5].1, t[5].2) = (vec![VERTICES, 4], vec![0.25; 4 * VERTICES]), "weights: shape");
    refused(&|t| t[1].2[7] = VERTICES as f32, "f: triangle 2 names vertex 1440, expected 0 to 1439");
    refused(&|t| t[1].2[7] = -1.0, "triangle 2 names vertex -1");
    refused(&|t| t[1].2[7] = f32::NAN, "triangle 2 names vertex NaN");
    refused(&|t| t[2].2[4] = f32::NAN, "shapedirs: number 4 is NaN");
    refused(&|t| t[4].2[0] = f32::INFINITY, "J_regressor: number 0 is inf");
    refused(&|t| t[5].2[0] += 0.5, "those of vertex 0 add up to");
    refused(&|t| t[6].2[2] = 3.0, "joint 2 hangs from Some(3)");
    refused(&|t| t[6].2[1] = 4_294_967_295.0, "joint 1 hangs from None");
    refused(&|t| (t[0].1, t[0].2) = (vec![0, 3], Vec::new()), "0 vertices");
    let short = FlameArrays { weights: vec![1.0; 5], ..arrays() };
    assert!(Flame::new(short, "x").unwrap_err().to_string().contains("weights: 5 numbers, expected 7200"));
    let flame = flame_common::flame();
    assert!(flame.identity(&[0.0; 301]).is_err());
    assert!(flame.identity(&[f32::NAN]).is_err());
}

#[test]
fn other_files_are_refused_politely() {
    let refused = |bytes: &[u8], expected: &str| {
        let error = Flame::from_bytes(bytes.to_vec(), "file").unwrap_err();
        assert!(error.to_string().contains(expected), "{error} does not say {expected:?}");
        assert!(error.hint().is_some(), "{error} has no hint");
    };
    refused(b"", "empty");
    refused(b"\x80\x02]q\x00.", "expected a dictionary");
    refused(b"\x80\x02}q\x00.", "lacks v_template, f,");
    refused(b"\x80\x02cos\nsystem\nU\x04true\x85R.", "os.system");
    refused(b"<!DOCTYPE html><html>", "web page");
    // a chumpy expression instead of an array
    refused(b"\x80\x02}(U\x0av_templatecchumpy.reordering\nSelect\n)\x81U\x01fK\x01U\x09shapedirsNU\x08posedirsNU\x0bJ_regressorNU\x07weightsNU\x0dkintree_tableNu.",
        "v_template: is an object chumpy.reordering.Select");
    refused(b"\x80\x02}(U\x0av_templateK\x01U\x01fK\x01U\x09shapedirsNU\x08posedirsNU\x0bJ_regressorNU\x07weightsNU\x0dkintree_tableNu.",
        "v_template: is an integer");
    let model = std::fs::read(fixture("../weights/codec_tiny.safetensors")).unwrap();
    refused(&model, "is no FLAME model");
}

/// Truncated and altered pickles are models or errors, never a panic.
#[test]
fn damaged_pickles_never_panic() {
    for name in ["generic_model_small.pkl", "generic_model_small_py3.pkl"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        // densely where the structure is, in steps through the numbers
        for length in (0..4000).chain((4000..bytes.len()).step_by(997)) {
            assert!(Flame::from_bytes(bytes[..length].to_vec(), name).is_err(), "{name} cut at {length}");
        }
        for round in 0..3000_usize {
            let mut altered = bytes.clone();
            for change in 0..3 {
                let random = flame_common::noise(10 * round + change);
                // nine of ten changes hit the first and the last bytes, where the records are
                let at = match (round + change) % 10 {
                    0 => (random * bytes.len() as f32) as usize,
                    1..=5 => (random * 3000.0) as usize,
                    _ => bytes.len() - 1 - (random * 3000.0) as usize,
                };
                altered[at.min(bytes.len() - 1)] =
                    (flame_common::noise(10 * round + change + 5) * 256.0) as u8;
            }
            if let Err(error) = Flame::from_bytes(altered, name) {
                assert!(error.to_string().len() < 2000);
            }
        }
    }
}
