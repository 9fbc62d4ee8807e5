//! Heads made by others: glTF by hand, ICT's sparse form, and everything that can be wrong with them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod face_common;

use std::path::{Path, PathBuf};

use face_common::{skip, small_head};
use serde_json::{Value, json};
use unils::face::glb::{GlbFace, GlbOptions, read_glb, read_gltf, write_glb};
use unils::face::sparse::read_sparse_bytes;
use unils::face::{Face, Head, Vec3, open_head};

const HEADS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/heads");

/// The bits that quantised positions keep, metres.
const QUANTISED: f32 = 5e-6;

fn vectors(value: &Value) -> Vec<Vec3> {
    serde_json::from_value(value.clone()).unwrap()
}

fn assert_near(what: &str, got: &[Vec3], expected: &[Vec3], tolerance: f32) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        for axis in 0..3 {
            let error = (got[axis] - expected[axis]).abs();
            assert!(error <= tolerance, "{what} {index}: {got:?}, expected {expected:?}");
        }
    }
}

/// Compares a head with what the script that made it says.
fn check(head: &Head, name: &str, tolerance: f32) -> Value {
    let text = std::fs::read_to_string(Path::new(HEADS).join(name)).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let rig = &head.rig;
    assert_near("position", &rig.mesh().positions, &vectors(&expected["positions"]), tolerance);
    let triangles: Vec<[u32; 3]> = serde_json::from_value(expected["triangles"].clone()).unwrap();
    assert!(same_triangles(&rig.mesh().triangles, &triangles), "{:?}", rig.mesh().triangles);
    let shapes = expected["shapes"].as_object().unwrap();
    assert_eq!(
        rig.shapes().len(),
        shapes.len(),
        "{:?}",
        rig.shapes().iter().map(|s| &s.name).collect::<Vec<_>>()
    );
    for (name, expected) in shapes {
        let shape = rig.shape(name).unwrap_or_else(|| panic!("no {name}"));
        let vertices: Vec<u32> = serde_json::from_value(expected["vertices"].clone()).unwrap();
        assert_eq!(shape.vertices, vertices, "{name}");
        assert_near(name, &shape.deltas, &vectors(&expected["deltas"]), tolerance);
    }
    let weights: Vec<f32> = serde_json::from_value(expected["weights"].clone()).unwrap();
    assert_eq!(rig.head_weights().len(), weights.len());
    for (got, expected) in rig.head_weights().iter().zip(&weights) {
        assert!((got - expected).abs() < 1e-6, "weight {got}, expected {expected}");
    }
    let parts: Vec<&str> = rig.mesh().parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(json!(parts), expected["parts"]);
    assert_eq!(json!(rig.missing().len()), expected["missing"]);
    assert_eq!(rig.eyes().len(), expected["eyes"].as_array().unwrap().len());
    for (eye, expected) in rig.eyes().iter().zip(expected["eyes"].as_array().unwrap()) {
        assert_eq!(json!(eye.is_left), expected["is_left"]);
        assert_eq!(json!(eye.vertices), expected["vertices"]);
        assert_near("eye", &[eye.center], &vectors(&json!([expected["center"]])), 1e-6);
    }
    expected
}

/// The same triangles in the same order, each from any of its corners.
fn same_triangles(got: &[[u32; 3]], expected: &[[u32; 3]]) -> bool {
    let turned = |corners: &[u32; 3]| {
        let mut corners = *corners;
        let least = corners.iter().enumerate().min_by_key(|(_, corner)| **corner).unwrap().0;
        corners.rotate_left(least);
        corners
    };
    got.iter().map(turned).eq(expected.iter().map(turned))
}

#[test]
fn a_quantised_skinned_avatar_is_read() {
    let head = open_head(Path::new(HEADS).join("skinned.glb")).unwrap();
    let expected = check(&head, "skinned.json", QUANTISED);
    assert_near("pivot", &[head.rig.pivot()], &vectors(&json!([expected["pivot"]])), 1e-6);
    assert_eq!(head.name, "skinned");
    let skin = &head.rig.mesh().parts[0].material;
    assert_eq!((skin.name.as_str(), skin.color), ("Skin", [0.5, 0.25, 0.125, 1.0]));
    assert_eq!(head.rig.mesh().colors[0].map(|value| (value * 255.0).round()), [255.0, 51.0, 0.0]);
    assert_eq!(head.rig.mesh().colors.last(), Some(&[1.0; 3]), "parts without colours are white");
    assert_eq!(head.report.extra, ["viseme_aa"]);
    let notes = head.report.notes.join("; ");
    assert!(
        notes.contains("\"Glass\" is hidden") && notes.contains("\"Head_Collider\" is hidden"),
        "{notes}"
    );
}

#[test]
fn a_mirrored_head_in_centimetres_is_read() {
    let head = open_head(Path::new(HEADS).join("split.gltf")).unwrap();
    check(&head, "split.json", 1e-6);
    assert_eq!(head.report.duplicates, [("JAWOPEN".to_owned(), "jawOpen")]);
    let notes = head.report.notes.join("; ");
    assert!(notes.contains("centimetres") && notes.contains("estimated"), "{notes}");
    let text = head.report.to_string();
    assert!(text.starts_with("4 of ARKit's 52 shapes"), "{text}");
}

#[test]
fn what_was_read_can_be_written_and_read_again() {
    for name in ["skinned.glb", "split.gltf"] {
        let head = open_head(Path::new(HEADS).join(name)).unwrap();
        let bytes = write_glb(&[GlbFace::new(&head.name, &head.rig)]).unwrap();
        assert_eq!(read_glb(&bytes, "again").unwrap().rig, head.rig, "{name}");
    }
}

/// The JSON of `split.gltf`, changed, read again.
fn changed(change: impl FnOnce(&mut Value)) -> Result<Head, (String, String)> {
    let text = std::fs::read_to_string(Path::new(HEADS).join("split.gltf")).unwrap();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    change(&mut json);
    read_glb(json.to_string().as_bytes(), "changed.gltf")
        .map_err(|error| (error.to_string(), error.hint().unwrap_or_default().to_owned()))
}

/// What is done to a sound file.
type Change = Box<dyn FnOnce(&mut Value)>;

#[test]
fn faulty_files_are_refused_with_a_hint() {
    fn primitive(json: &mut Value) -> &mut Value {
        &mut json["meshes"][0]["primitives"][0]
    }
    let cases: Vec<(&str, &str, Change)> = vec![
        (
            "no morph targets",
            "shape keys",
            Box::new(|j| drop(primitive(j).as_object_mut().unwrap().remove("targets"))),
        ),
        ("have no names", "targetNames", Box::new(|j| primitive(j)["extras"] = json!({}))),
        (
            "7 morph targets is one of ARKit's",
            "ARFaceAnchor",
            Box::new(|j| {
                primitive(j)["extras"] = json!({"targetNames": ["a", "b", "c", "d", "e", "f", "g"]});
            }),
        ),
        (
            "6 names for 7 morph targets",
            "export",
            Box::new(|j| {
                primitive(j)["extras"]["targetNames"].as_array_mut().unwrap().pop();
            }),
        ),
        (
            "accessor 99: there are",
            "export",
            Box::new(|j| primitive(j)["attributes"]["POSITION"] = json!(99)),
        ),
        (
            "has 5 displacements for 25",
            "export",
            Box::new(|j| primitive(j)["targets"][0]["POSITION"] = json!(9)),
        ),
        ("of type \"SCALAR\"", "export", Box::new(|j| primitive(j)["attributes"]["POSITION"] = json!(1))),
        ("node 44 of 2", "export", Box::new(|j| j["scenes"][0]["nodes"] = json!([44]))),
        ("mesh 7 of 2", "export", Box::new(|j| j["nodes"][0]["mesh"] = json!(7))),
        ("skin 3 of 0", "export", Box::new(|j| j["nodes"][0]["skin"] = json!(3))),
        ("material 3 of 0", "", Box::new(|j| primitive(j)["material"] = json!(3))),
        ("elements of 12 bytes", "export", Box::new(|j| j["accessors"][0]["count"] = json!(26))),
        ("more than any head has", "export", Box::new(|j| j["accessors"][0]["count"] = json!(u64::MAX))),
        ("bytes from", "cut short", Box::new(|j| j["bufferViews"][0]["byteOffset"] = json!(u64::MAX))),
        ("buffer 5 of 1", "cut short", Box::new(|j| j["bufferViews"][0]["buffer"] = json!(5))),
        ("not valid base64", "cut short", Box::new(|j| j["buffers"][0]["uri"] = json!("data:x;base64,@@"))),
        ("is not inside it", "own folder", Box::new(|j| j["buffers"][0]["uri"] = json!("head.bin"))),
        ("has no bytes", "cut short", Box::new(|j| j["buffers"][0] = json!({}))),
        (
            "Draco-compressed",
            "gltf-transform",
            Box::new(|j| {
                j["extensionsRequired"] = json!(["KHR_draco_mesh_compression"]);
            }),
        ),
        (
            "Draco-compressed",
            "Blender",
            Box::new(|j| {
                primitive(j)["extensions"] = json!({"KHR_draco_mesh_compression": {"bufferView": 0}});
                j["accessors"][0].as_object_mut().unwrap().remove("bufferView");
            }),
        ),
        (
            "meshopt-compressed",
            "gltf-transform",
            Box::new(|j| {
                j["extensionsRequired"] = json!(["KHR_mesh_quantization", "EXT_meshopt_compression"]);
            }),
        ),
        ("\"EXT_other\"", "without", Box::new(|j| j["extensionsRequired"] = json!(["EXT_other"]))),
        ("glTF \"1.0\"", "2.0", Box::new(|j| j["asset"]["version"] = json!("1.0"))),
        ("glTF \"\"", "2.0", Box::new(|j| *j = json!([]))),
        ("not finite", "", Box::new(|j| j["nodes"][0]["matrix"][12] = json!(1e300))),
        ("no visible mesh", "mesh", Box::new(|j| j["scenes"][0]["nodes"] = json!([]))),
    ];
    for (what, hint, change) in cases {
        let (message, hints) = changed(change).map(|_| ()).expect_err(what);
        assert!(message.contains(what), "{what}: {message}");
        assert!(hints.contains(hint), "{what}: {hints}");
    }
}

#[test]
fn files_beside_a_document_are_read_and_no_others() {
    let folder = std::env::temp_dir().join(format!("unils-gltf-{}", std::process::id()));
    let inside = folder.join("inside");
    std::fs::create_dir_all(&inside).unwrap();
    let text = std::fs::read_to_string(Path::new(HEADS).join("split.gltf")).unwrap();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    let uri = json["buffers"][0]["uri"].as_str().unwrap().to_owned();
    let data = base64_decoded(uri.split_once(',').unwrap().1);
    std::fs::write(inside.join("my head.bin"), &data).unwrap();
    std::fs::write(folder.join("outside.bin"), &data).unwrap();
    let mut read = |uri: &str| {
        json["buffers"][0]["uri"] = json!(uri);
        let path = inside.join("head.gltf");
        std::fs::write(&path, json.to_string()).unwrap();
        read_gltf(&path, &GlbOptions::default()).map(|head| head.rig).map_err(|error| error.to_string())
    };
    let whole = open_head(Path::new(HEADS).join("split.gltf")).unwrap();
    assert!(read("my%20head.bin").unwrap() == whole.rig);
    let absolute = folder.join("outside.bin");
    for uri in ["../outside.bin", absolute.to_str().unwrap(), "inside/../../outside.bin", "missing.bin"] {
        let error = read(uri).map(|_| ()).unwrap_err();
        assert!(error.contains("names the file"), "{uri}: {error}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&absolute, inside.join("link.bin")).unwrap();
        assert!(read("link.bin").map(|_| ()).unwrap_err().contains("link out of its folder"));
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn base64_decoded(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[test]
fn damaged_bytes_never_panic() {
    let bytes = std::fs::read(Path::new(HEADS).join("skinned.glb")).unwrap();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..4000 {
        let mut damaged = bytes.clone();
        for _ in 0..3 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            damaged[(state % bytes.len() as u64) as usize] = (state >> 40) as u8;
        }
        let _ = read_glb(&damaged, "damaged");
    }
    for end in 0..bytes.len() {
        assert!(read_glb(&bytes[..end], "cut").is_err());
    }
}

#[test]
fn other_files_are_no_heads() {
    for (path, what) in [("split.json", "not a head"), ("none.glb", "cannot open"), ("none", "not a head")] {
        let error = open_head(Path::new(HEADS).join(path)).unwrap_err();
        assert!(error.to_string().contains(what) && error.hint().is_some(), "{error}");
    }
    let folder = std::env::temp_dir().join(format!("unils-heads-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    assert!(open_head(&folder).unwrap_err().to_string().contains("holds no head"));
    let head = small_head(false, false);
    for name in ["a.glb", "b.glb"] {
        std::fs::write(folder.join(name), write_glb(&[GlbFace::new("small", &head.rig)]).unwrap()).unwrap();
        let opened = open_head(&folder);
        assert_eq!(opened.is_ok(), name == "a.glb");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn sparse_displacements_beside_an_obj_are_read() {
    let folder = Path::new(HEADS).join("sparse");
    let head = open_head(&folder).unwrap();
    let mesh = head.rig.mesh();
    // Twenty places, of which the seam's counts twice; the lashes are hidden.
    assert_eq!((mesh.positions.len(), mesh.triangles.len()), (21, 25));
    assert_near("seam", &mesh.positions[..2], &[[-0.07, -0.1, 0.05], [-0.07, -0.1, 0.05]], 1e-6);
    assert_eq!(mesh.uvs[..2], [[0.0, 1.0], [0.99, 0.99]]);
    let jaw = head.rig.shape("jawOpen").unwrap();
    assert_eq!(jaw.vertices, [0, 1, 2, 7], "both sides of the seam move");
    assert_near("jaw", &jaw.deltas, &[[0.0, -0.02, 0.0]; 4], 1e-7);
    let brows = head.rig.shape("browInnerUp").unwrap();
    assert_near("brows", &brows.deltas, &[[0.0, 0.01, 0.0], [0.0, 0.02, 0.0], [0.0, 0.01, 0.0]], 1e-7);
    let shown = mesh.parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>();
    assert_eq!(shown, ["M_Face", "M_Teeth"]);

    let obj = std::fs::read_to_string(folder.join("neutral.obj")).unwrap();
    let npz = std::fs::read(folder.join("shapes.npz")).unwrap();
    let read = |obj: &str, npz: &[u8]| {
        let head = read_sparse_bytes(obj.as_bytes(), npz, ["a.obj", "a.npz"], &[]);
        head.map_err(|error| error.to_string())
    };
    assert_eq!(read(&obj, &npz).unwrap().rig.mesh().parts.len(), 3, "nothing is hidden unless asked for");
    let error = |result: Result<Head, String>| result.map(|_| ()).unwrap_err();
    assert!(
        error(read(&obj.replacen("v ", "v 1 1 1\nv ", 1), &npz)).contains("25 vertices, but its .obj has 26")
    );
    assert!(error(read(&obj, &npz[..npz.len() / 2])).starts_with("a.npz"));
    assert!(error(read("f 1 2 3", &npz)).starts_with("a.obj, line 1"));
}

/// The folder of the ICT head, which is not part of the repository.
fn ict() -> Option<PathBuf> {
    let places = ["shared/data/heads/ict", "../shared/data/heads/ict"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let found = places.into_iter().map(|place| root.join(place)).find(|path| path.is_dir());
    let found = found.or_else(|| std::env::var_os("UNILS_ICT_HEAD").map(PathBuf::from));
    if found.is_none() {
        skip("the ICT head is not there (UNILS_ICT_HEAD): its sparse form was not read");
    }
    found
}

#[test]
fn the_ict_head_is_read() {
    let Some(folder) = ict() else { return };
    let head = open_head(&folder).unwrap();
    assert_eq!(head.report.missing, ["tongueOut"]);
    assert_eq!(head.report.extra.len(), 4, "{:?}", head.report.extra);
    assert!(head.report.duplicates.is_empty());
    let mesh = head.rig.mesh();
    let names: Vec<&str> = mesh.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "M_Face",
            "M_BackHead",
            "M_GumsTongue",
            "M_Teeth",
            "M_ScleraLeft",
            "M_IrisLeft",
            "M_ScleraRight",
            "M_IrisRight"
        ]
    );
    // Centimetres became metres: a head of some 30 cm with its neck.
    let (low, high) =
        mesh.positions.iter().fold((f32::MAX, f32::MIN), |(low, high), p| (low.min(p[1]), high.max(p[1])));
    assert!((0.25..0.4).contains(&(high - low)), "{low} {high}");
    assert_eq!(mesh.uvs.len(), mesh.positions.len());
    // Both halves of the brows move.
    let brows = head.rig.shape("browInnerUp").unwrap();
    let side = |sign: f32| brows.vertices.iter().any(|&v| mesh.positions[v as usize][0] * sign > 0.02);
    assert!(side(1.0) && side(-1.0));
    let bytes = write_glb(&[GlbFace::new("ict", &head.rig)]).unwrap();
    assert!(read_glb(&bytes, "ict.glb").unwrap().rig == head.rig);
}
