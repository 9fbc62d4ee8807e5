//! What must hold for the generated head in any picture: names, symmetry, lids that close, lips that meet, teeth
//! behind them.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use glam::{DVec3, dvec3};
use unils::face::{Face, Region};
use unils::motion::{Space, Unit};
use unils_head::builder::{Body, Builder, Surface, Vertex};
use unils_head::form::{EYE_CENTER, EYE_RADIUS, LID_THICKNESS};
use unils_head::{GeneratedHead, build, eyes, generate, glb, shapes};

type Shapes = BTreeMap<String, Vec<DVec3>>;

/// The model in centimetres, built once for all tests.
fn model() -> &'static (Builder, Shapes) {
    static MODEL: OnceLock<(Builder, Shapes)> = OnceLock::new();
    MODEL.get_or_init(|| {
        let builder = build().unwrap();
        let list = shapes::displacements(&builder);
        (builder, list.into_iter().map(|shape| (shape.name, shape.deltas)).collect())
    })
}

/// The finished head, generated once for all tests.
fn head() -> &'static GeneratedHead {
    static HEAD: OnceLock<GeneratedHead> = OnceLock::new();
    HEAD.get_or_init(|| generate().unwrap())
}

fn posed(builder: &Builder, shapes: &Shapes, weights: &[(&str, f64)]) -> Vec<DVec3> {
    let mut positions: Vec<DVec3> = builder.vertices.iter().map(|vertex| vertex.at).collect();
    for (name, weight) in weights {
        for (position, delta) in positions.iter_mut().zip(&shapes[*name]) {
            *position += *delta * *weight;
        }
    }
    positions
}

#[test]
fn all_shapes_of_arkit_are_there_and_move_something() {
    let head = head();
    assert_eq!(head.rig.missing(), Vec::<&str>::new());
    let channels = Space::Arkit55.channels();
    let names: Vec<&str> = channels.iter().filter(|c| c.unit == Unit::Coefficient).map(|c| c.name).collect();
    assert_eq!(names.len(), 52);
    // In Apple's order, then the looks' own.
    let found: Vec<&str> = head.rig.shapes().iter().map(|shape| shape.name.as_str()).collect();
    assert_eq!(found[..52], names[..]);
    assert_eq!(found[52..], ["lookB"]);
    for shape in head.rig.shapes() {
        let most = shape.deltas.iter().map(|d| unils::face::mesh::length(*d)).fold(0.0, f32::max);
        // The tongue comes out by more than 3 cm, nothing moves further.
        assert!((0.0015..0.04).contains(&most), "{} moves by up to {most} m", shape.name);
    }
    assert!(head.rig.mesh().positions.len() < 13_000);
}

#[test]
fn left_and_right_are_mirror_images() {
    let head = head();
    let positions = &head.rig.mesh().positions;
    let flip = |[x, y, z]: [f32; 3]| [-x, y, z];
    for (i, twin) in head.mirrored.iter().enumerate() {
        if let Some(j) = twin {
            assert_eq!(flip(positions[i]), positions[*j as usize]);
        }
    }
    let dense = |name: &str| {
        let shape = head.rig.shape(name).unwrap();
        let mut all = vec![[0.0_f32; 3]; positions.len()];
        for (&vertex, &delta) in shape.vertices.iter().zip(&shape.deltas) {
            all[vertex as usize] = delta;
        }
        all
    };
    for shape in head.rig.shapes().iter().take(52) {
        let name = &shape.name;
        let other = match (name.strip_suffix("Left"), name.strip_suffix("Right")) {
            (Some(stem), _) => format!("{stem}Right"),
            (_, Some(stem)) => format!("{stem}Left"),
            _ => name.clone(),
        };
        let (this, other) = (dense(name), dense(&other));
        for (i, twin) in head.mirrored.iter().enumerate() {
            if let Some(j) = twin {
                assert_eq!(flip(this[i]), other[*j as usize], "{name}, vertex {i}");
            }
        }
    }
}

/// The front of the left eye's lid edges by column: upper and lower vertex.
fn lid_edges(builder: &Builder) -> Vec<(f64, usize, usize)> {
    let edge = |vertex: &Vertex| {
        let lid = vertex.lid.filter(|lid| lid.distance == 0.0 && lid.height > 0.5 * LID_THICKNESS);
        lid.filter(|_| vertex.body == Body::Face && vertex.at.x > 0.0)
    };
    let all: Vec<(usize, f64, bool)> = builder
        .vertices
        .iter()
        .enumerate()
        .filter_map(|(i, vertex)| edge(vertex).map(|lid| (i, lid.q, lid.upper)))
        .collect();
    let lower = |q: f64| all.iter().find(|other| !other.2 && (other.1 - q).abs() < 1e-9);
    all.iter().filter(|e| e.2).filter_map(|&(i, q, _)| lower(q).map(|l| (q, i, l.0))).collect()
}

#[test]
fn closed_lids_leave_no_gap() {
    let (builder, shapes) = model();
    let edges = lid_edges(builder);
    assert_eq!(edges.len(), eyes::LID_COLUMNS - 1);
    let mut worst = f64::NEG_INFINITY;
    for with in
        [None, Some("eyeSquintLeft"), Some("eyeLookDownLeft"), Some("eyeLookUpLeft"), Some("eyeWideLeft")]
    {
        for weight in [0.5, 1.0] {
            let mut weights = vec![("eyeBlinkLeft", 1.0)];
            weights.extend(with.map(|name| (name, weight)));
            let positions = posed(builder, shapes, &weights);
            for &(q, upper, lower) in &edges {
                let gap = (positions[upper].y - positions[lower].y) / eyes::opening_height();
                assert!(gap <= 0.02, "{with:?}: {gap} of the opening at {q}");
                // The upper lid lies in front of the lower one that it covers.
                let front = positions[upper].z - positions[lower].z;
                assert!(gap > -0.02 || front > -0.35, "{with:?}: {front} cm at {q}");
                worst = worst.max(gap);
            }
        }
    }
    eprintln!("widest gap of closed lids: {:.2} % of the opening", 100.0 * worst);
}

#[test]
fn the_eyeball_stays_behind_its_lids() {
    let (builder, shapes) = model();
    let is_front = |vertex: &Vertex| {
        vertex.at.x > 0.0
            && vertex.body == Body::Face
            && vertex.lid.is_some_and(|lid| lid.height > 0.7 * LID_THICKNESS && lid.distance < 1.2)
    };
    let skin: Vec<[u32; 3]> = builder
        .triangles
        .iter()
        .filter(|(s, c)| *s == Surface::Skin && c.iter().all(|&i| is_front(&builder.vertices[i as usize])))
        .map(|(_, corners)| *corners)
        .collect();
    assert!(skin.len() > 200);
    let mut least = f64::INFINITY;
    for with in
        [None, Some("eyeSquintLeft"), Some("eyeLookDownLeft"), Some("eyeLookUpLeft"), Some("eyeWideLeft")]
    {
        for step in 0..=20 {
            let mut weights = vec![("eyeBlinkLeft", f64::from(step) / 20.0)];
            weights.extend(with.map(|name| (name, 1.0)));
            let positions = posed(builder, shapes, &weights);
            for corners in &skin {
                let points = corners.map(|i| positions[i as usize]);
                let middle = (points[0] + points[1] + points[2]) / 3.0;
                let clear = (middle - EYE_CENTER).length() - EYE_RADIUS;
                assert!(clear > 0.0, "{weights:?}: the lid is {clear} cm under the eyeball's surface");
                least = least.min(clear);
            }
        }
    }
    eprintln!("least distance of lid and eyeball: {least:.3} cm");
}

#[test]
fn the_second_look_leaves_the_eyes_alone() {
    let (builder, _) = model();
    let moves = |vertex: &&Vertex| unils_head::looks::proportions(vertex) != DVec3::ZERO;
    let is_eye = |v: &&Vertex| v.lid.is_some() || matches!(v.body, Body::Eye | Body::Glint | Body::Lash);
    assert_eq!(builder.vertices.iter().filter(is_eye).filter(moves).count(), 0);
    assert!(builder.vertices.iter().filter(moves).count() > 3000);
}

/// The lips' line: upper and lower vertex by u.
fn lip_line(builder: &Builder) -> Vec<(f64, usize, usize)> {
    let on_line = |lower: f64| {
        let all = builder.vertices.iter().enumerate();
        all.filter_map(move |(i, v)| {
            v.mouth.filter(|m| m.across == 0.0 && m.lower == lower).map(|m| (m.u, i))
        })
        .collect::<Vec<_>>()
    };
    let below = on_line(1.0);
    let twin = |u: f64| below.iter().min_by(|a, b| (a.0 - u).abs().total_cmp(&(b.0 - u).abs())).unwrap().1;
    on_line(0.0).into_iter().map(|(u, i)| (u, i, twin(u))).collect()
}

#[test]
fn lips_meet_over_an_open_jaw() {
    let (builder, shapes) = model();
    let line = lip_line(builder);
    assert!(line.len() > 25);
    let gap = |weights: &[(&str, f64)]| {
        let positions = posed(builder, shapes, weights);
        line.iter().map(|&(_, a, b)| (positions[a] - positions[b]).length()).fold(0.0, f64::max)
    };
    assert!(gap(&[]) < 1e-9);
    let open = gap(&[("jawOpen", 1.0)]);
    assert!(open > 2.0, "{open}");
    for weight in [0.25, 0.5, 1.0] {
        let closed = gap(&[("jawOpen", weight), ("mouthClose", weight)]);
        assert!(closed < 0.01 * open, "{closed} cm of {open}");
    }
}

/// Shapes that keep the lips together.
const CLOSED: [&str; 16] = [
    "mouthPucker",
    "mouthLeft",
    "mouthRight",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthDimpleLeft",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthPressLeft",
    "mouthPressRight",
    "cheekPuff",
    "jawForward",
    "jawLeft",
    "noseSneerLeft",
    "cheekSquintLeft",
    "mouthDimpleRight",
];

#[test]
fn lips_do_not_cross() {
    let (builder, shapes) = model();
    let line = lip_line(builder);
    for name in shapes.keys() {
        let positions = posed(builder, shapes, &[(name, 1.0)]);
        let least =
            line.iter().map(|&(_, a, b)| positions[a].y - positions[b].y).fold(f64::INFINITY, f64::min);
        // mouthClose alone brings lips together that are already closed.
        assert!(name == "mouthClose" || least > -0.14, "{name}: by {least} cm");
    }
}

#[test]
fn teeth_are_behind_closed_lips() {
    let (builder, shapes) = model();
    let cover: Vec<[u32; 3]> =
        builder.triangles.iter().filter(|(s, _)| *s == Surface::Skin).map(|(_, corners)| *corners).collect();
    let poses = std::iter::once(vec![]).chain(CLOSED.iter().map(|name| vec![(*name, 1.0)]));
    for weights in poses {
        let positions = posed(builder, shapes, &weights);
        let near: Vec<[DVec3; 3]> = cover
            .iter()
            .map(|c| c.map(|i| positions[i as usize]))
            .filter(|t| t.iter().all(|p| p.z > 3.0 && (-10.0..-3.0).contains(&p.y)))
            .collect();
        let teeth = builder
            .vertices
            .iter()
            .zip(&positions)
            .filter(|(v, p)| matches!(v.body, Body::UpperTeeth | Body::LowerTeeth) && p.x.abs() < 2.0);
        for (_, tooth) in teeth {
            let first = near.iter().filter_map(|t| depth_at(t, *tooth)).fold(f64::NEG_INFINITY, f64::max);
            assert!(first > tooth.z + 0.05, "{weights:?}: a tooth at {tooth} with skin at {first}");
        }
    }
}

/// Where a triangle is met by the ray along z through a point.
fn depth_at([a, b, c]: &[DVec3; 3], p: DVec3) -> Option<f64> {
    let area = (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
    if area.abs() < 1e-12 {
        return None;
    }
    let wb = ((p.x - a.x) * (c.y - a.y) - (p.y - a.y) * (c.x - a.x)) / area;
    let wc = ((b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x)) / area;
    let wa = 1.0 - wb - wc;
    [wa, wb, wc].iter().all(|w| *w >= -1e-9).then_some(wa * a.z + wb * b.z + wc * c.z)
}

#[test]
fn shapes_do_what_apple_says() {
    let (builder, shapes) = model();
    let mean = |name: &str, choose: &dyn Fn(&Vertex) -> bool| {
        let chosen: Vec<DVec3> =
            builder.vertices.iter().zip(&shapes[name]).filter(|(v, _)| choose(v)).map(|(_, d)| *d).collect();
        assert!(!chosen.is_empty());
        chosen.iter().sum::<DVec3>() / chosen.len() as f64
    };
    let iris = |v: &Vertex| v.body == Body::Eye && v.at.x > 0.0 && v.at.z > EYE_CENTER.z + 0.95 * EYE_RADIUS;
    assert!(mean("eyeLookInLeft", &iris).x < -0.9);
    assert!(mean("eyeLookOutLeft", &iris).x > 0.9);
    assert!(mean("eyeLookUpLeft", &iris).y > 0.8);
    assert!(mean("eyeLookDownLeft", &iris).y < -0.8);
    let chin = |v: &Vertex| v.body == Body::Face && v.at.y < -8.5 && v.at.z > 6.0;
    assert!(mean("jawOpen", &chin).y < -1.5);
    assert!(mean("jawLeft", &chin).x > 0.5 && mean("jawRight", &chin).x < -0.5);
    assert!(mean("jawForward", &chin).z > 0.5);
    assert!(mean("mouthShrugLower", &chin).y > 0.08);
    let lips = |v: &Vertex| v.mouth.is_some_and(|m| (0.0..=1.0).contains(&m.across));
    assert!(mean("mouthLeft", &lips).x > 0.5 && mean("mouthRight", &lips).x < -0.5);
    assert!(mean("mouthPucker", &lips).z > 0.4 && mean("mouthFunnel", &lips).z > 0.4);
    let corner = |v: &Vertex| v.mouth.is_some_and(|m| m.across == 0.0 && m.u > 0.95);
    assert!(mean("mouthSmileLeft", &corner).y > 0.5 && mean("mouthFrownLeft", &corner).y < -0.4);
    assert!(mean("mouthSmileRight", &corner).length() < 0.01);
    assert!(mean("mouthStretchLeft", &corner).x > 0.4 && mean("mouthDimpleLeft", &corner).z < -0.2);
    let brow = |v: &Vertex| v.body == Body::Brow && v.at.x > 0.0;
    assert!(mean("browDownLeft", &brow).y < -0.2 && mean("browDownRight", &brow).length() < 0.05);
    assert!(mean("browInnerUp", &brow).y > 0.2 && mean("browOuterUpLeft", &brow).y > 0.2);
    let cheek = |v: &Vertex| v.body == Body::Face && (v.at - dvec3(4.9, -5.6, 5.0)).length() < 1.8;
    assert!(mean("cheekPuff", &cheek).dot(dvec3(0.7, 0.0, 0.7)) > 0.4);
    let tip = |v: &Vertex| v.body == Body::Tongue && v.at.z > 5.8;
    assert!(mean("tongueOut", &tip).z > 2.0);
    let wing = |v: &Vertex| v.body == Body::Face && (v.at - dvec3(1.2, -3.5, 8.0)).length() < 0.7;
    assert!(mean("noseSneerLeft", &wing).y > 0.1);
}

#[test]
fn surfaces_are_sound() {
    let (builder, _) = model();
    let mut edges: HashMap<(Surface, u32, u32), i32> = HashMap::new();
    for (surface, corners) in &builder.triangles {
        let [a, b, c] = corners.map(|i| builder.vertices[i as usize].at);
        let area = 0.5 * (b - a).cross(c - a).length();
        assert!(area > 1e-7, "{surface:?} {corners:?} has an area of {area}");
        for k in 0..3 {
            *edges.entry((*surface, corners[k], corners[(k + 1) % 3])).or_default() += 1;
        }
    }
    // Every edge is walked once in each direction; those walked once only border on something hidden.
    for (&(surface, a, b), &count) in &edges {
        assert_eq!(count, 1, "{surface:?}: an edge of {count} triangles that face the same way");
        let is_closed = edges.contains_key(&(surface, b, a));
        let ends = [a, b].map(|i| builder.vertices[i as usize]);
        if is_closed || surface != Surface::Skin || ends.iter().all(|v| v.body == Body::Ear) {
            continue;
        }
        let hidden = ends.iter().all(|v| {
            let behind_lid = v.lid.is_some_and(|lid| lid.distance == 0.0 && lid.height < 0.1);
            let in_mouth = v.mouth.is_some_and(|m| m.across < 0.0);
            behind_lid || in_mouth || v.at.y < -14.5 || v.at.y > 9.0
        });
        assert!(hidden, "the skin has a hole at {}", ends[0].at);
    }
}

#[test]
fn regions_run_from_corner_to_corner() {
    let head = head();
    let mesh = head.rig.mesh();
    for region in [Region::UpperInnerLip, Region::LowerInnerLip] {
        let xs: Vec<f32> = mesh.region(region).iter().map(|&v| mesh.positions[v as usize][0]).collect();
        let (least, most) =
            (xs.iter().copied().fold(f32::MAX, f32::min), xs.iter().copied().fold(f32::MIN, f32::max));
        assert_eq!(least, -most);
        assert!(most > 0.02 && xs.len() == 33, "{} vertices to {most}", xs.len());
    }
    assert_eq!(mesh.region(Region::Lids).len(), 4 * eyes::LID_COLUMNS);
    assert!(mesh.region(Region::UpperFace).len() > 300);
}

#[test]
fn the_shipped_asset_is_what_is_generated() {
    let head = head();
    let bytes = glb(head).unwrap();
    assert!(bytes.len() <= 3 * 1024 * 1024, "{} bytes", bytes.len());
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../unils/assets/head.glb");
    let shipped = std::fs::read(place).unwrap();
    let back = unils::face::glb::read_glb(&shipped, "head.glb").unwrap();
    assert_eq!(back.looks, head.looks);
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        assert!(bytes == shipped, "cargo run --release -p unils-head writes the asset anew");
    }
}
