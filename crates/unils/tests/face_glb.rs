//! Heads in glTF files: what is written comes back, other programs accept it, and damaged files are refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod face_common;

use std::path::{Path, PathBuf};
use std::process::Command;

use face_common::{skip, small_head, small_motion};
use unils::face::glb::{GlbFace, read_glb, write_glb};
use unils::face::{Face, Head, Shape};
use unils::motion::{Motion, MotionMeta, Space};

fn bytes_of(head: &Head) -> Vec<u8> {
    write_glb(&[GlbFace { looks: &head.looks, ..GlbFace::new(&head.name, &head.rig) }]).unwrap()
}

/// The JSON chunk.
fn json_of(bytes: &[u8]) -> serde_json::Value {
    let length = u32::from_le_bytes(*bytes[12..].first_chunk().unwrap()) as usize;
    serde_json::from_slice(&bytes[20..20 + length]).unwrap()
}

#[test]
fn heads_come_back_equal() {
    for (has_torso, has_eyes) in [(true, true), (true, false), (false, true), (false, false)] {
        let head = small_head(has_torso, has_eyes);
        let back = read_glb(&bytes_of(&head), "small.glb").unwrap();
        assert_eq!(back.rig.mesh(), head.rig.mesh(), "torso {has_torso} eyes {has_eyes}");
        assert!(back == head, "torso {has_torso} eyes {has_eyes}");
    }
}

#[test]
fn bytes_are_the_same_every_time() {
    let (head, motion) = (small_head(true, true), small_motion(1, 20));
    let write =
        || write_glb(&[GlbFace { motion: Some((&motion, 0)), ..GlbFace::new("a", &head.rig) }]).unwrap();
    assert_eq!(write(), write());
}

#[test]
fn vertices_of_no_triangle_are_left_out() {
    let head = small_head(true, true);
    let mut mesh = head.rig.mesh().clone();
    // The last eye loses its triangles.
    mesh.triangles.truncate(mesh.triangles.len() - 4);
    mesh.parts.pop();
    let lonely = head.rig.clone().with_mesh(mesh, "lonely").unwrap();
    let back = read_glb(&write_glb(&[GlbFace::new("lonely", &lonely)]).unwrap(), "lonely.glb").unwrap();
    assert_eq!(back.rig.mesh().positions, head.rig.mesh().positions[..148]);
    assert_eq!(back.rig.eyes(), &head.rig.eyes()[..1]);
    let has_vertices = |shape: &&Shape| !shape.vertices.is_empty();
    assert!(back.rig.shapes().iter().eq(head.rig.shapes().iter().filter(has_vertices)));
}

/// The skin, nodes and weights of the file at a frame, followed as glTF says, give the rig's own vertices.
#[test]
fn animation_and_skin_move_as_the_rig_does() {
    for (has_torso, has_eyes) in [(true, true), (false, false)] {
        let (head, motion) = (small_head(has_torso, has_eyes), small_motion(2, 30));
        let face = GlbFace {
            motion: Some((&motion, 1)),
            offset: [0.5, 0.0, 0.0],
            ..GlbFace::new("second", &head.rig)
        };
        let bytes = write_glb(&[face]).unwrap();
        let file = gltf_by_hand::File::new(&bytes);
        for frame in [0, 7, 29] {
            let mut expected = Vec::new();
            head.rig.pose(motion.frame(1, frame).unwrap(), &mut expected);
            let mut worst = 0.0_f32;
            for (vertex, position) in file.posed(frame) {
                let expected = expected[vertex];
                for axis in 0..3 {
                    let offset = if axis == 0 { 0.5 } else { 0.0 };
                    worst = worst.max((position[axis] - expected[axis] - offset).abs());
                }
            }
            assert!(worst < 5e-7, "torso {has_torso}, frame {frame}: {worst} m");
        }
    }
}

#[test]
fn two_faces_share_a_scene() {
    let (head, motion) = (small_head(true, true), small_motion(2, 12));
    let other = head.look("b").unwrap();
    let faces = [
        GlbFace { motion: Some((&motion, 0)), offset: [-0.2, 0.0, 0.0], ..GlbFace::new("left", &head.rig) },
        GlbFace { motion: Some((&motion, 1)), offset: [0.2, 0.0, 0.0], ..GlbFace::new("right", &other) },
    ];
    let json = json_of(&write_glb(&faces).unwrap());
    assert_eq!(json["meshes"].as_array().unwrap().len(), 2);
    assert_eq!(json["animations"].as_array().unwrap().len(), 1);
    // Weights, head and two eyes of each.
    assert_eq!(json["animations"][0]["channels"].as_array().unwrap().len(), 8);
    assert_eq!(json["images"].as_array().unwrap().len(), 1, "one picture for both");
}

#[test]
fn what_cannot_be_written_is_refused() {
    let head = small_head(false, false);
    assert!(write_glb(&[]).is_err());
    let flame = Motion::new(Space::Flame108, 25.0, 1, vec![0.0; 108], MotionMeta::new()).unwrap();
    let motion = small_motion(1, 3);
    for (motion, participant) in [(&flame, 0), (&motion, 1)] {
        let face = GlbFace { motion: Some((motion, participant)), ..GlbFace::new("a", &head.rig) };
        let error = write_glb(&[face]).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
    }
    let fast = Motion::new(Space::Arkit55, 1e9, 1, vec![0.0; 55 * 9000], MotionMeta::new()).unwrap();
    assert!(write_glb(&[GlbFace { motion: Some((&fast, 0)), ..GlbFace::new("a", &head.rig) }]).is_ok());
    let faster = Motion::new(Space::Arkit55, 1e50, 1, vec![0.0; 55 * 2], MotionMeta::new()).unwrap();
    assert!(write_glb(&[GlbFace { motion: Some((&faster, 0)), ..GlbFace::new("a", &head.rig) }]).is_err());
    let mut mesh = head.rig.mesh().clone();
    mesh.uvs.clear();
    let bare = head.rig.clone().with_mesh(mesh, "bare").unwrap();
    assert!(write_glb(&[GlbFace::new("a", &bare)]).unwrap_err().to_string().contains("texture"));
    let mut mesh = head.rig.mesh().clone();
    mesh.colors[3] = [0.0, 2.0, 0.0];
    let bright = head.rig.clone().with_mesh(mesh, "bright").unwrap();
    assert!(write_glb(&[GlbFace::new("a", &bright)]).unwrap_err().to_string().contains("vertex 3"));
}

#[test]
fn the_khronos_validator_finds_nothing() {
    let folder = std::env::temp_dir().join(format!("unils-glb-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (motion, mut paths) = (small_motion(2, 50), Vec::new());
    for (index, (has_torso, has_eyes)) in
        [(true, true), (true, false), (false, true), (false, false)].into_iter().enumerate()
    {
        let head = small_head(has_torso, has_eyes);
        let still = bytes_of(&head);
        let moving = [
            GlbFace { motion: Some((&motion, 0)), ..GlbFace::new("a", &head.rig) },
            GlbFace { motion: Some((&motion, 1)), offset: [0.3, 0.0, 0.0], ..GlbFace::new("b", &head.rig) },
        ];
        for (name, bytes) in [("still", still), ("moving", write_glb(&moving).unwrap())] {
            let path = folder.join(format!("{name}{index}.glb"));
            std::fs::write(&path, bytes).unwrap();
            paths.push(path);
        }
    }
    if let Some(reports) = validate(&paths) {
        assert_eq!(reports.len(), paths.len());
        for (report, path) in reports.iter().zip(&paths) {
            let issues = &report["issues"];
            assert_eq!(issues["numErrors"], 0, "{}: {issues:#}", path.display());
            assert_eq!(issues["numWarnings"], 0, "{}: {issues:#}", path.display());
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The validator's reports, if it is installed.
fn validate(paths: &[PathBuf]) -> Option<Vec<serde_json::Value>> {
    let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/validate_gltf.cjs"));
    let Ok(output) = Command::new("node").arg(script).args(paths).output() else {
        skip("node is not installed: the Khronos validator did not check our .glb files");
        return None;
    };
    if output.status.code() == Some(3) {
        skip(
            "the npm package gltf-validator is not found: the Khronos validator did not check our .glb files",
        );
        return None;
    }
    let lines = String::from_utf8(output.stdout).unwrap();
    Some(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn cuts_and_flips_never_panic() {
    let head = small_head(true, true);
    let bytes = bytes_of(&head);
    for end in (0..bytes.len()).step_by(bytes.len() / 300) {
        assert!(read_glb(&bytes[..end], "cut").is_err(), "{end} of {}", bytes.len());
    }
    let json_end = 20 + u32::from_le_bytes(*bytes[12..].first_chunk().unwrap()) as usize;
    let mut state = 88_172_645_463_325_252_u64;
    for _ in 0..3000 {
        let mut damaged = bytes.clone();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let at = 12 + (state % (json_end as u64 - 12)) as usize;
        damaged[at] = (state >> 32) as u8;
        if let Ok(head) = read_glb(&damaged, "flipped") {
            head.rig.mesh().check("flipped").unwrap();
        }
    }
}

#[test]
fn changed_facts_are_noticed() {
    let head = small_head(true, true);
    let bytes = bytes_of(&head);
    let changed = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut changed = bytes.clone();
        changed[at..at + to.len()].copy_from_slice(to.as_bytes());
        read_glb(&changed, "changed.glb").map(|_| ()).map_err(|error| error.to_string())
    };
    let error = |result: Result<(), String>| result.unwrap_err();
    assert!(error(changed("\"version\":1", "\"version\":9")).contains("another version"));
    assert!(error(changed("\"version\":\"2.0\"", "\"version\":\"1.0\"")).contains("glTF"));
    assert!(error(changed("\"vertices\":152", "\"vertices\":153")).contains("none of its parts"));
    assert!(error(changed("\"vertices\":152", "\"vertices\":151")).contains("not there"));
    assert!(error(changed("\"is_left\"", "\"is_Left\"")).contains("facts"));
    assert!(error(changed("\"jawOpen\"", "\"jawLeft\"")).contains("two shapes"));
}

/// A program that passes our file through and drops what belongs to parts: read as any other head.
#[test]
fn a_file_that_another_program_wrote_again_is_read() {
    let head = small_head(true, false);
    let bytes = bytes_of(&head);
    let mut json = json_of(&bytes);
    for primitive in json["meshes"][0]["primitives"].as_array_mut().unwrap() {
        primitive.as_object_mut().unwrap().remove("extras");
    }
    let length = u32::from_le_bytes(*bytes[12..].first_chunk().unwrap()) as usize;
    let mut text = json.to_string().into_bytes();
    text.resize(length, b' ');
    let again = [&bytes[..20], &text, &bytes[20 + length..]].concat();
    let back = read_glb(&again, "again.glb").unwrap();
    assert!(back.report.notes.iter().any(|note| note.contains("regions and looks are lost")));
    assert_eq!(back.rig.mesh().triangles.len(), head.rig.mesh().triangles.len());
    assert_eq!(back.rig.pivot(), head.rig.pivot());
    // Both parts have their own copy of the row that they shared.
    assert_eq!(back.rig.mesh().positions.len(), head.rig.mesh().positions.len() + 12);
}

/// A second reader, as plain as the format's text: for the numbers that the library's reader passes over.
mod gltf_by_hand {
    use serde_json::Value;

    type Matrix = [[f64; 4]; 4];

    pub struct File {
        json: Value,
        bin: Vec<u8>,
    }

    impl File {
        pub fn new(bytes: &[u8]) -> Self {
            let json = super::json_of(bytes);
            let length = u32::from_le_bytes(*bytes[12..].first_chunk().unwrap()) as usize;
            Self { json, bin: bytes[28 + length..].to_vec() }
        }

        fn view(&self, place: &Value, offset: usize, length: usize) -> &[u8] {
            let view = &self.json["bufferViews"][place["bufferView"].as_u64().unwrap() as usize];
            let start = view["byteOffset"].as_u64().unwrap() as usize
                + place["byteOffset"].as_u64().unwrap_or(0) as usize
                + offset;
            &self.bin[start..start + length]
        }

        /// Numbers of an accessor, its kind's width apart.
        fn numbers(&self, index: &Value) -> Vec<Vec<f64>> {
            let accessor = &self.json["accessors"][index.as_u64().unwrap() as usize];
            let width = match accessor["type"].as_str().unwrap() {
                "SCALAR" => 1,
                "VEC3" => 3,
                "VEC4" => 4,
                "MAT4" => 16,
                other => panic!("{other}"),
            };
            let count = accessor["count"].as_u64().unwrap() as usize;
            let mut all = vec![vec![0.0; width]; count];
            let kind = accessor["componentType"].as_u64().unwrap();
            if accessor.get("bufferView").is_some() {
                for (at, element) in all.iter_mut().enumerate() {
                    *element = self.element(accessor, kind, at, width);
                }
            }
            if let Some(sparse) = accessor.get("sparse") {
                for at in 0..sparse["count"].as_u64().unwrap() as usize {
                    let kind_of_index = sparse["indices"]["componentType"].as_u64().unwrap();
                    let index = self.element(&sparse["indices"], kind_of_index, at, 1)[0] as usize;
                    all[index] = self.element(&sparse["values"], kind, at, width);
                }
            }
            all
        }

        fn element(&self, place: &Value, kind: u64, at: usize, width: usize) -> Vec<f64> {
            let size = match kind {
                5121 => 1,
                5123 => 2,
                _ => 4,
            };
            let bytes = self.view(place, at * width * size, width * size);
            bytes
                .chunks(size)
                .map(|bytes| match kind {
                    5126 => f64::from(f32::from_le_bytes(bytes.try_into().unwrap())),
                    5121 => f64::from(bytes[0]),
                    5123 => f64::from(u16::from_le_bytes(bytes.try_into().unwrap())),
                    _ => f64::from(u32::from_le_bytes(bytes.try_into().unwrap())),
                })
                .collect()
        }

        /// What the animation sets at a frame: a node's property.
        fn animated(&self, node: usize, path: &str, frame: usize) -> Option<Vec<f64>> {
            let animation = &self.json["animations"][0];
            let channel = animation["channels"]
                .as_array()
                .unwrap()
                .iter()
                .find(|channel| channel["target"]["node"] == node && channel["target"]["path"] == path)?;
            let sampler = &animation["samplers"][channel["sampler"].as_u64().unwrap() as usize];
            let times = self.numbers(&sampler["input"]);
            assert!((times[frame][0] - frame as f64 / 25.0).abs() < 1e-6);
            let values = self.numbers(&sampler["output"]);
            let each = values.len() / times.len();
            Some(values[frame * each..(frame + 1) * each].concat())
        }

        fn world(&self, node: usize, frame: usize) -> Matrix {
            let nodes = self.json["nodes"].as_array().unwrap();
            let own = &nodes[node];
            let list = |key: &str| -> Option<Vec<f64>> {
                Some(own[key].as_array()?.iter().map(|value| value.as_f64().unwrap()).collect())
            };
            let rotation = self.animated(node, "rotation", frame).or_else(|| list("rotation"));
            let rotation = rotation.unwrap_or_else(|| vec![0.0, 0.0, 0.0, 1.0]);
            let [x, y, z, w] = rotation[..] else { panic!("a quaternion has four numbers") };
            let t = list("translation").unwrap_or_else(|| vec![0.0; 3]);
            let matrix = [
                [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w), t[0]],
                [2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w), t[1]],
                [2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y), t[2]],
                [0.0, 0.0, 0.0, 1.0],
            ];
            let is_parent = |other: &Value| {
                other["children"].as_array().is_some_and(|list| list.iter().any(|child| *child == node))
            };
            match nodes.iter().position(is_parent) {
                Some(parent) => product(&self.world(parent, frame), &matrix),
                None => matrix,
            }
        }

        /// Every vertex by its number in the rig, at a frame.
        pub fn posed(&self, frame: usize) -> Vec<(usize, [f32; 3])> {
            let nodes = self.json["nodes"].as_array().unwrap();
            let node = nodes.iter().position(|node| node.get("mesh").is_some()).unwrap();
            let weights = self.animated(node, "weights", frame).unwrap();
            let joints: Option<Vec<Matrix>> = nodes[node].get("skin").map(|skin| {
                let skin = &self.json["skins"][skin.as_u64().unwrap() as usize];
                let binds = self.numbers(&skin["inverseBindMatrices"]);
                let joints = skin["joints"].as_array().unwrap().iter().zip(binds);
                joints
                    .map(|(joint, bind)| {
                        let bind = std::array::from_fn(|i| std::array::from_fn(|j| bind[4 * j + i]));
                        product(&self.world(joint.as_u64().unwrap() as usize, frame), &bind)
                    })
                    .collect()
            });
            let mut posed = Vec::new();
            for primitive in self.json["meshes"][0]["primitives"].as_array().unwrap() {
                let attribute = |name: &str| self.numbers(&primitive["attributes"][name]);
                let mut positions = attribute("POSITION");
                for (target, weight) in primitive["targets"].as_array().unwrap().iter().zip(&weights) {
                    for (position, delta) in positions.iter_mut().zip(self.numbers(&target["POSITION"])) {
                        position.iter_mut().zip(delta).for_each(|(value, delta)| *value += weight * delta);
                    }
                }
                let runs = primitive["extras"]["vertices"].as_array().unwrap();
                let numbers = runs.chunks(2).flat_map(|run| {
                    let first = run[0].as_u64().unwrap() as usize;
                    first..first + run[1].as_u64().unwrap() as usize
                });
                let skin =
                    joints.as_ref().map(|joints| (joints, attribute("JOINTS_0"), attribute("WEIGHTS_0")));
                for ((index, position), number) in positions.iter().enumerate().zip(numbers) {
                    let matrix = match &skin {
                        None => self.world(node, frame),
                        Some((joints, which, weights)) => {
                            let mut sum = [[0.0; 4]; 4];
                            for (joint, weight) in which[index].iter().zip(&weights[index]) {
                                for (row, add) in sum.iter_mut().zip(&joints[*joint as usize]) {
                                    row.iter_mut().zip(add).for_each(|(value, add)| *value += weight * add);
                                }
                            }
                            sum
                        }
                    };
                    let row =
                        |i: usize| (0..3).map(|j| matrix[i][j] * position[j]).sum::<f64>() + matrix[i][3];
                    posed.push((number, [row(0) as f32, row(1) as f32, row(2) as f32]));
                }
            }
            posed
        }
    }

    fn product(a: &Matrix, b: &Matrix) -> Matrix {
        std::array::from_fn(|i| std::array::from_fn(|j| (0..4).map(|k| a[i][k] * b[k][j]).sum()))
    }
}
