//! FLAME and ARKit fitted on models whose answer is known.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests fail by panicking")]

mod flame_common;
mod scratch;

use flame_common::{VERTICES, flame, noise};
use scratch::Scratch;
use unils::face::flame::{Flame, FlameFace};
use unils::face::transfer::{Correspondence, FitOptions, Transfer, fit};
use unils::face::{BlendshapeRig, Face, Mesh, Part, Shape, Vec3};
use unils::motion::{Group, Motion, MotionMeta, Space};

/// Radians of the jaw in the head's `jawOpen`.
const JAW_OPEN: f32 = 0.2;

/// ARKit's shapes that are fitted, in Apple's order.
fn names() -> Vec<&'static str> {
    let channels = Space::Arkit55.channels()[..52].iter();
    channels.filter(|c| !matches!(c.group, Group::Eyes | Group::Tongue)).map(|c| c.name).collect()
}

/// The two expressions that shape number `index` is made of, and how much of each.
fn recipe(index: usize) -> [(usize, f32); 2] {
    [(2 * index, 1.0 + noise(100 + index)), (2 * index + 1, 1.5 * noise(200 + index) - 2.0)]
}

fn shape(name: &str, displacement: impl Fn(usize) -> Vec3) -> Shape {
    let (vertices, deltas) = (0..VERTICES).map(|vertex| (vertex as u32, displacement(vertex))).unzip();
    Shape { name: name.to_owned(), vertices, deltas }
}

/// Shapes that are combinations of FLAME's directions; `jawOpen` is FLAME's jaw at [`JAW_OPEN`].
fn shapes(flame: &Flame) -> Vec<Shape> {
    let directions: Vec<Vec<Vec3>> = (300..400).map(|index| flame.direction(index).collect()).collect();
    let mut frame = vec![0.0; 108];
    frame[103] = JAW_OPEN;
    let mut jaw = Vec::new();
    FlameFace::new(flame, &[]).unwrap().pose(&frame, &mut jaw);
    let make = |(index, name): (usize, &&str)| match *name {
        "jawOpen" => shape(name, |v| std::array::from_fn(|i| jaw[v][i] - flame.template()[v][i])),
        name => shape(name, |v| {
            let [(a, x), (b, y)] = recipe(index);
            std::array::from_fn(|i| x * directions[a][v][i] + y * directions[b][v][i])
        }),
    };
    names().iter().enumerate().map(make).collect()
}

fn mesh(positions: Vec<Vec3>, triangles: Vec<[u32; 3]>) -> Mesh {
    let part = Part { name: "face".to_owned(), triangles: 0..triangles.len(), material: Default::default() };
    Mesh { positions, triangles, parts: vec![part], ..Mesh::default() }
}

fn head_of(flame: &Flame, shapes: Vec<Shape>) -> BlendshapeRig {
    let mesh = mesh(flame.template().to_vec(), flame.triangles().to_vec());
    BlendshapeRig::new(mesh, shapes, [0.0; 3], Vec::new(), Vec::new(), "test head").unwrap()
}

/// Options without any bias, for answers that are exact.
fn exact() -> FitOptions {
    FitOptions {
        correspondence: Correspondence::SameOrder,
        ridge: 1e-9,
        sparsity: 0.0,
        opposites: 0.0,
        expression_ridge: 0.0,
        ..FitOptions::default()
    }
}

/// The FLAME frame that the shapes' recipes make of coefficients.
fn flame_frame(coefficients: &[f32]) -> Vec<f32> {
    let mut frame = vec![0.0; 108];
    for (index, name) in names().iter().enumerate() {
        let value = coefficients[Space::Arkit55.index(name).unwrap()];
        if *name == "jawOpen" {
            frame[103] = value * JAW_OPEN;
        } else {
            recipe(index).iter().for_each(|(expression, amount)| frame[*expression] += value * amount);
        }
    }
    frame
}

fn motion(space: Space, values: Vec<f32>) -> Motion {
    Motion::new(space, 25.0, 1, values, MotionMeta::new()).unwrap()
}

fn arkit_frame(values: &[(&str, f32)]) -> Vec<f32> {
    let mut frame = vec![0.0; 55];
    values.iter().for_each(|(name, value)| frame[Space::Arkit55.index(name).unwrap()] = *value);
    frame
}

fn to_arkit(transfer: &Transfer, frame: Vec<f32>) -> Vec<f32> {
    transfer.arkit_from_flame(&motion(Space::Flame108, frame)).unwrap().into_values()
}

fn largest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Coefficients of the fitted shapes without the jaw, at random.
fn random_coefficients(seed: usize) -> Vec<f32> {
    let mut frame = vec![0.0; 55];
    for (i, name) in names().iter().enumerate().filter(|(_, name)| **name != "jawOpen") {
        frame[Space::Arkit55.index(name).unwrap()] = noise(1000 * seed + i);
    }
    frame
}

#[test]
fn shapes_made_of_expressions_are_recovered() {
    let flame = flame();
    let transfer = fit(&flame, &head_of(&flame, shapes(&flame)), &exact()).unwrap();
    eprintln!("{}", transfer.report());
    for seed in 0..5 {
        let expected = random_coefficients(seed);
        let error = largest(&to_arkit(&transfer, flame_frame(&expected)), &expected);
        assert!(error < 2e-3, "coefficients off by {error}");
        let back = transfer.flame_from_arkit(&motion(Space::Arkit55, expected.clone())).unwrap();
        let error = largest(back.values(), &flame_frame(&expected));
        assert!(error < 2e-3, "FLAME coefficients off by {error}");
    }
    let open = to_arkit(&transfer, flame_frame(&arkit_frame(&[("jawOpen", 1.0)])));
    assert!(largest(&open, &arkit_frame(&[("jawOpen", 1.0)])) < 2e-3);
    let back = transfer.flame_from_arkit(&motion(Space::Arkit55, arkit_frame(&[("jawOpen", 1.0)]))).unwrap();
    assert!((back.values()[103] - JAW_OPEN).abs() < 1e-3);
    assert_eq!(transfer.fitted_channels().len(), names().len());
    assert_eq!(transfer.report().points, VERTICES);
    // the shapes reach less than half of the expressions, but FLAME reaches all of the shapes
    assert!(
        transfer.report().flame_from_arkit[0].mean_mm
            < 0.05 * transfer.report().flame_from_arkit[0].motion_mm
    );
    assert_eq!(transfer.report().missing.len(), 9);
}

#[test]
fn coefficients_stay_between_their_bounds() {
    let flame = flame();
    let transfer = fit(&flame, &head_of(&flame, shapes(&flame)), &exact()).unwrap();
    let wanted = arkit_frame(&[("mouthPucker", 1.8), ("browInnerUp", -0.7), ("cheekPuff", 0.4)]);
    let found = to_arkit(&transfer, flame_frame(&wanted));
    assert!(found.iter().all(|value| (0.0..=1.0).contains(value)));
    let at = |name: &str| found[Space::Arkit55.index(name).unwrap()];
    assert_eq!((at("mouthPucker"), at("browInnerUp")), (1.0, 0.0));
    // no other choice within the bounds fits better: the objective rises from here in every direction
    let space = Space::Arkit55;
    let shapes = shapes(&flame);
    let miss = |coefficients: &[f32]| -> f64 {
        let mut squares = 0.0;
        for vertex in 0..VERTICES {
            for axis in 0..3 {
                let sum: f64 = shapes
                    .iter()
                    .map(|s| {
                        f64::from(
                            wanted[space.index(&s.name).unwrap()]
                                - coefficients[space.index(&s.name).unwrap()],
                        ) * f64::from(s.deltas[vertex][axis])
                    })
                    .sum();
                squares += sum * sum;
            }
        }
        squares
    };
    let best = miss(&found);
    for name in names() {
        for step in [-0.02, 0.02] {
            let mut moved = found.clone();
            let value = &mut moved[space.index(name).unwrap()];
            *value = (*value + step).clamp(0.0, 1.0);
            assert!(miss(&moved) >= best * (1.0 - 1e-4), "{name} {step}");
        }
    }
}

#[test]
fn duplicate_shapes_share_and_missing_ones_stay_away() {
    let flame = flame();
    let mut list = shapes(&flame);
    let at = |name: &str, list: &[Shape]| list.iter().position(|shape| shape.name == name).unwrap();
    let twin = list[at("browInnerUp", &list)].clone();
    let other = at("browOuterUpLeft", &list);
    (list[other].vertices, list[other].deltas) = (twin.vertices, twin.deltas);
    list.remove(at("mouthPucker", &list));
    let nothing = at("noseSneerLeft", &list);
    list[nothing].deltas.fill([0.0; 3]);
    let options = FitOptions { ridge: 1e-5, ..exact() };
    let transfer = fit(&flame, &head_of(&flame, list), &options).unwrap();
    let frame = flame_frame(&arkit_frame(&[("browInnerUp", 0.8), ("mouthLeft", 0.5)]));
    let found = to_arkit(&transfer, frame);
    let expected = arkit_frame(&[("browInnerUp", 0.4), ("browOuterUpLeft", 0.4), ("mouthLeft", 0.5)]);
    assert!(largest(&found, &expected) < 0.01, "{:?}", largest(&found, &expected));
    assert!(transfer.report().missing.contains(&"mouthPucker".to_owned()));
    for name in ["mouthPucker", "noseSneerLeft"] {
        let channel = Space::Arkit55.index(name).unwrap();
        assert!(!transfer.fitted_channels().contains(&channel) && found[channel] == 0.0);
    }
}

/// Opposite shapes that cancel are not both used, and shapes that hardly help stay out.
#[test]
fn regularisation_settles_what_vertices_do_not() {
    let flame = flame();
    let mut list = shapes(&flame);
    let at = |name: &str, list: &[Shape]| list.iter().position(|shape| shape.name == name).unwrap();
    let (left, right) = (at("jawLeft", &list), at("jawRight", &list));
    list[right].deltas = list[left].deltas.iter().map(|d| d.map(|x| -x)).collect();
    let options = FitOptions { correspondence: Correspondence::SameOrder, ..FitOptions::default() };
    let transfer = fit(&flame, &head_of(&flame, list), &options).unwrap();
    let found = to_arkit(&transfer, flame_frame(&arkit_frame(&[("jawLeft", 0.6)])));
    assert!(largest(&found, &arkit_frame(&[("jawLeft", 0.6)])) < 0.08);
    assert_eq!(found[Space::Arkit55.index("jawRight").unwrap()], 0.0);
    assert!(to_arkit(&transfer, vec![0.0; 108]).iter().all(|&value| value == 0.0), "rest stays rest");
}

/// Head and eyes are converted, lids that the eyes' shapes move are not counted twice.
#[test]
fn joints_pass_through() {
    let flame = flame();
    let mut list = shapes(&flame);
    let blink = list.iter().find(|shape| shape.name == "eyeBlinkLeft").unwrap().clone();
    let half = blink.deltas.iter().map(|d| d.map(|x| 0.5 * x)).collect();
    list.push(Shape { name: "eyeLookDownLeft".to_owned(), deltas: half, ..blink });
    let transfer = fit(&flame, &head_of(&flame, list), &exact()).unwrap();
    let mut frame = flame_frame(&arkit_frame(&[("eyeBlinkLeft", 0.8)]));
    frame[100..103].copy_from_slice(&[0.1, -0.5, 0.2]);
    frame[104] = unils::face::EYE_PITCH;
    let found = transfer.arkit_from_flame(&motion(Space::Flame108, frame.clone())).unwrap();
    let at = |name: &str| found.values()[Space::Arkit55.index(name).unwrap()];
    assert!((at("eyeLookDownLeft") - 1.0).abs() < 1e-5);
    assert!(
        (at("eyeBlinkLeft") - 0.3).abs() < 2e-3,
        "half of the lid's way is the look's: {}",
        at("eyeBlinkLeft")
    );
    assert_eq!(found.meta().options["converted_from"], "flame108");
    let back = transfer.flame_from_arkit(&found).unwrap();
    assert!(largest(&back.values()[100..103], &frame[100..103]) < 1e-5);
    assert!(largest(&back.values()[104..], &frame[104..]) < 1e-5);
    assert!(
        transfer
            .arkit_from_flame(&found)
            .unwrap_err()
            .to_string()
            .contains("is in arkit55, expected flame108")
    );
}

/// The head with every triangle cut into four, its vertices in another order, turned, scaled and moved.
fn moved_head(flame: &Flame, factor: f32, turn: [Vec3; 3], shift: Vec3) -> BlendshapeRig {
    let mut list = shapes(flame);
    let mut positions = flame.template().to_vec();
    let mut triangles = Vec::new();
    let mut middles = std::collections::HashMap::new();
    for &[a, b, c] in flame.triangles() {
        let mut middle = |a: u32, b: u32| {
            *middles.entry((a.min(b), a.max(b))).or_insert_with(|| {
                let half = |list: &[Vec3]| -> Vec3 {
                    std::array::from_fn(|i| 0.5 * (list[a as usize][i] + list[b as usize][i]))
                };
                let new = half(&positions);
                positions.push(new);
                for shape in &mut list {
                    let new = half(&shape.deltas);
                    shape.deltas.push(new);
                }
                positions.len() as u32 - 1
            })
        };
        let (ab, bc, ca) = (middle(a, b), middle(b, c), middle(c, a));
        triangles.extend([[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]);
    }
    let count = positions.len();
    let turned =
        |v: Vec3| -> Vec3 { turn.map(|row| factor * (row[0] * v[0] + row[1] * v[1] + row[2] * v[2])) };
    // last vertex first
    let place = |vertex: u32| count as u32 - 1 - vertex;
    let positions =
        positions.into_iter().rev().map(|p| std::array::from_fn(|i| turned(p)[i] + shift[i])).collect();
    let triangles = triangles.into_iter().map(|corners| corners.map(place)).collect();
    for shape in &mut list {
        shape.vertices = (0..count as u32).collect();
        shape.deltas = shape.deltas.iter().rev().map(|&d| turned(d)).collect();
    }
    BlendshapeRig::new(mesh(positions, triangles), list, [0.0; 3], Vec::new(), Vec::new(), "moved head")
        .unwrap()
}

const TURN: [Vec3; 3] = [[0.8, 0.0, 0.6], [0.36, 0.8, -0.48], [-0.48, 0.6, 0.64]];

#[test]
fn a_turned_head_of_other_triangles_is_found() {
    let flame = flame();
    let upright = fit(&flame, &head_of(&flame, shapes(&flame)), &exact()).unwrap();
    for (factor, turn, shift, components) in [
        (1.7, TURN, [0.3, -1.2, 0.05], 0),
        (100.0, [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]], [0.0, 5.0, 160.0], 20),
    ] {
        let options = FitOptions {
            correspondence: Correspondence::Closest { landmarks: Vec::new(), align: true },
            identity_components: components,
            ..exact()
        };
        let transfer = fit(&flame, &moved_head(&flame, factor, turn, shift), &options).unwrap();
        let report = transfer.report();
        eprintln!("{report}");
        assert!(
            (report.scale - f64::from(factor)).abs() < 0.002 * f64::from(factor),
            "scale {}",
            report.scale
        );
        assert!(report.gap_mm < 0.05, "{} mm apart", report.gap_mm);
        // of the moving points alone, so in relation to how far they move
        let share = |transfer: &Transfer| {
            let errors = &transfer.report().arkit_from_flame[0];
            errors.mean_mm / errors.motion_mm
        };
        assert!(share(&transfer) < 1.3 * share(&upright), "{} and {}", share(&transfer), share(&upright));
        for seed in 0..3 {
            let expected = random_coefficients(seed);
            let error = largest(&to_arkit(&transfer, flame_frame(&expected)), &expected);
            assert!(error < 0.05, "coefficients off by {error}");
        }
    }
}

/// A head of another identity: found by making FLAME resemble it.
#[test]
fn another_identity_is_approached() {
    let flame = flame();
    let identity: Vec<f32> = (0..20).map(|i| 3.0 * noise(i) - 1.5).collect();
    let list = shapes(&flame);
    let positions = flame.identity(&identity).unwrap();
    let head = BlendshapeRig::new(
        mesh(positions, flame.triangles().to_vec()),
        list,
        [0.0; 3],
        Vec::new(),
        Vec::new(),
        "another",
    )
    .unwrap();
    let gap = |components: usize| {
        let correspondence = Correspondence::Closest { landmarks: Vec::new(), align: true };
        let options = FitOptions { correspondence, identity_components: components, ..FitOptions::default() };
        let transfer = fit(&flame, &head, &options).unwrap();
        assert_eq!(transfer.identity().len(), components);
        transfer.report().gap_mm
    };
    let (mean, own) = (gap(0), gap(20));
    eprintln!("{mean} mm apart with the mean face, {own} mm with its own");
    assert!(own < 0.5 * mean, "{mean} mm with the mean face, {own} mm with its own");
}

#[test]
fn landmarks_and_lists_fix_the_correspondence() {
    let flame = flame();
    let head = moved_head(&flame, 1.0, TURN, [0.0, 1.6, 0.0]);
    let count = head.mesh().positions.len() as u32;
    let list: Vec<_> =
        (0..VERTICES as u32).map(|vertex| (vertex % 3 == 0).then_some(count - 1 - vertex)).collect();
    let options = FitOptions { correspondence: Correspondence::Indices(list.clone()), ..exact() };
    let transfer = fit(&flame, &head, &options).unwrap();
    assert_eq!(transfer.report().points, VERTICES / 3);
    assert!(transfer.report().gap_mm < 1e-3);
    let expected = random_coefficients(1);
    assert!(largest(&to_arkit(&transfer, flame_frame(&expected)), &expected) < 0.01);

    let landmark =
        |vertex: usize| (flame.template()[vertex], head.mesh().positions[count as usize - 1 - vertex]);
    let landmarks = [400, 700, 900, 1100].map(landmark).to_vec();
    for align in [false, true] {
        let correspondence = Correspondence::Closest { landmarks: landmarks.clone(), align };
        let transfer =
            fit(&flame, &head, &FitOptions { correspondence, identity_components: 0, ..exact() }).unwrap();
        assert!(transfer.report().gap_mm < 0.01, "{}", transfer.report().gap_mm);
    }
    let refused = |correspondence: Correspondence, expected: &str| {
        let error = fit(&flame, &head, &FitOptions { correspondence, ..exact() }).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    refused(Correspondence::SameOrder, "expected FLAME's 1440");
    refused(Correspondence::Indices(list[1..].to_vec()), "1439 numbers");
    refused(
        Correspondence::Indices(vec![Some(count); VERTICES]),
        &format!("is given vertex {count} of {count}"),
    );
    refused(Correspondence::Indices(vec![None; VERTICES]), "0 pairs do not fix");
    refused(Correspondence::Closest { landmarks: landmarks[..2].to_vec(), align: true }, "2 pairs");
}

#[test]
fn heads_that_do_not_overlap_are_refused_with_a_hint() {
    let flame = flame();
    let far = moved_head(&flame, 1.0, TURN, [0.0, 1.6, 0.0]);
    let correspondence = Correspondence::Closest { landmarks: Vec::new(), align: false };
    let error = fit(&flame, &far, &FitOptions { correspondence, ..exact() }).unwrap_err();
    assert!(error.to_string().contains("do not overlap"), "{error}");
    assert!(error.hint().unwrap().contains("landmarks"));
    let still: Vec<_> =
        shapes(&flame).into_iter().map(|s| Shape { deltas: vec![[0.0; 3]; VERTICES], ..s }).collect();
    for correspondence in [Correspondence::SameOrder, FitOptions::default().correspondence] {
        let options = FitOptions { correspondence, ..exact() };
        assert!(fit(&flame, &head_of(&flame, still.clone()), &options).unwrap_err().hint().is_some());
    }
    for options in [
        FitOptions { ridge: -1.0, ..exact() },
        FitOptions { sparsity: f64::NAN, ..exact() },
        FitOptions { largest_gap_mm: 0.0, ..exact() },
    ] {
        assert!(fit(&flame, &head_of(&flame, shapes(&flame)), &options).is_err());
    }
}

/// A saved fit is the same fit, and converts long clips as it converts frames.
#[test]
fn files_and_clips() {
    let scratch = Scratch::new("transfer");
    let path = scratch.path("fit.safetensors");
    let flame = flame();
    let options = FitOptions { identity_components: 3, ..FitOptions::default() };
    let transfer = fit(&flame, &head_of(&flame, shapes(&flame)), &options).unwrap();
    transfer.save(&path).unwrap();
    let again = Transfer::open(&path).unwrap();
    assert_eq!(again, transfer);
    assert_eq!(again.identity().len(), 3);

    let clip: Vec<f32> = (0..300).flat_map(|i| flame_frame(&random_coefficients(i / 10))).collect();
    let whole = to_arkit(&again, clip.clone());
    for (frame, expected) in clip.chunks(108).zip(whole.chunks(55)) {
        assert!(largest(&to_arkit(&transfer, frame.to_vec()), expected) < 1e-3);
    }
    let two = Motion::new(Space::Flame108, 30.0, 2, clip, MotionMeta::new()).unwrap();
    let two = again.arkit_from_flame(&two).unwrap();
    assert_eq!((two.shape(), two.fps()), ([2, 150, 55], 30.0));
    assert!(largest(two.values(), &whole) < 1e-3);

    let bytes = std::fs::read(&path).unwrap();
    let damaged = scratch.path("damaged.safetensors");
    for length in (0..bytes.len()).step_by(bytes.len() / 60) {
        std::fs::write(&damaged, &bytes[..length]).unwrap();
        assert!(Transfer::open(&damaged).is_err());
    }
    let change = |from: &str, to: &str| {
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut bytes = bytes.clone();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&damaged, &bytes).unwrap();
        Transfer::open(&damaged).unwrap_err().to_string()
    };
    assert!(change("flame-arkit transfer", "other-arkit transfer").contains("is no conversion"));
    assert!(change("\"version\":\"1\"", "\"version\":\"7\"").contains("version \"7\""));
    assert!(change("\"jaw_angles\"", "\"jew_angles\"").contains("0 jaw angles"));
    assert!(change("\"flame_from_arkit\"", "\"other_from_arkit\"").contains("flame_from_arkit: shape None"));
    let mut bytes = bytes.clone();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&damaged, &bytes).unwrap();
    assert!(Transfer::open(&damaged).unwrap_err().to_string().contains("is NaN"));
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/weights/codec_tiny.safetensors");
    assert!(Transfer::open(other).unwrap_err().to_string().contains("is no conversion"));
}
