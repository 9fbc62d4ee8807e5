//! The release's metrics against its own numbers, against NumPy's, and with bad input.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking and skip loudly"
)]

use std::io::Write as _;
use std::path::PathBuf;

use unils::checkpoint::TensorFile;
use unils::face::flame::{Flame, FlameFace, LIP_VERTICES, UPPER_FACE_VERTICES};
use unils::face::{BlendshapeRig, Face, Mesh, Part, Region, Shape, Vec3};
use unils::metrics::release::{
    PartScorer, PartScores, ReleaseScores, VertexLists, score_recording, speaking_from_mask,
};
use unils::motion::Space;

/// The FLAME model that the golden metrics were made with (27 MB, not in the repository): `$UNILS_GOLDEN/flame/`, or
/// `shared/golden/flame/` in or beside the checkout.
fn golden_flame() -> Option<PathBuf> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let named = std::env::var_os("UNILS_GOLDEN").map(PathBuf::from);
    let folders = named.into_iter().chain([root.join("shared/golden"), root.join("../shared/golden")]);
    let found = folders.map(|folder| folder.join("flame/flame_2020.pt")).find(|path| path.is_file());
    if found.is_none() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no golden flame/flame_2020.pt; set UNILS_GOLDEN to the golden folder to check the metrics"
        );
    }
    found
}

struct Golden(TensorFile);

impl Golden {
    fn open() -> Self {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/metrics.safetensors"));
        Self(TensorFile::open(path).unwrap())
    }

    fn values(&self, name: &str) -> Vec<f32> {
        self.0.read_f32(name).unwrap()
    }

    /// Relative tolerance 1e-6, ten times the measured difference: the reference sums in f32.
    fn check(&self, name: &str, ours: Option<f64>) {
        let theirs = f64::from(self.values(name)[0]);
        let ours = ours.unwrap_or_else(|| panic!("{name} is missing"));
        assert!((ours / theirs - 1.0).abs() < 1e-6, "{name}: {ours}, expected {theirs}");
    }
}

fn lists() -> (Vec<u32>, Vec<u32>) {
    (LIP_VERTICES.map(u32::from).to_vec(), UPPER_FACE_VERTICES.map(u32::from).to_vec())
}

#[test]
fn the_releases_numbers_come_out() {
    let Some(path) = golden_flame() else { return };
    let golden = Golden::open();
    let face = FlameFace::new(&Flame::open(path).unwrap(), &[]).unwrap();
    let (lips, upper_face) = lists();
    let integers = |name: &str| -> Vec<u32> {
        let bytes = golden.0.read_bytes(name).unwrap();
        bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as u32).collect()
    };
    assert_eq!((&integers("lip_indices"), &integers("upper_indices")), (&lips, &upper_face));
    let lists = VertexLists { lips: &lips, upper_face: &upper_face };
    let predicted = golden.values("pred_motion_code");
    let truth = golden.values("gt_motion_code")[..60 * 108].to_vec();
    let speaking = speaking_from_mask(&golden.values("speech_mask")[..60]).unwrap();
    let scores = score_recording(&face, lists, &predicted, &truth, &speaking).unwrap();
    for (name, value) in scores.entries() {
        golden.check(&name.replace('-', "_"), value);
    }

    let scores = score_recording(&face, lists, &predicted, &truth, &[true; 60]).unwrap();
    golden.check("all.LVE", scores.s_lve);
    golden.check("all.MHD", scores.s_mhd);
    golden.check("all.FDD", scores.s_fdd);
    for ((name, ours), theirs) in scores.entries().into_iter().zip(golden.values("all_speaking")) {
        match ours {
            Some(ours) => assert!((ours / f64::from(theirs) - 1.0).abs() < 1e-5, "{name}: {ours} {theirs}"),
            None => assert!(theirs.is_nan(), "{name}: {theirs}"),
        }
    }
}

/// A made recording: vertices and channels by formula, the same in NumPy.
fn made(stretch: f64) -> Vec<Vec<Vec3>> {
    let vertex = |t: usize, v: usize, k: usize| {
        let (t, v, k) = (t as f64, v as f64, k as f64);
        (0.01 * (0.9 * t * (1.0 + stretch) + 1.3 * v + 2.1 * k).sin() + 0.05 * v) as f32
    };
    (0..9).map(|t| (0..7).map(|v| [0, 1, 2].map(|k| vertex(t, v, k))).collect()).collect()
}

fn made_channels(speed: f64, size: f32) -> Vec<[f32; 4]> {
    (0..9)
        .map(|t| [0, 1, 2, 3].map(|j| ((speed * f64::from(t) + f64::from(j)).sin()) as f32 * size))
        .collect()
}

fn made_parts() -> [PartScores; 2] {
    let lists = VertexLists { lips: &[1, 1, 2, 6], upper_face: &[0, 3, 3, 5, 0] };
    let empty = PartScorer::new(7, lists, 3, 1).unwrap();
    let mut parts = [empty.clone(), empty];
    let (predicted, truth) = (made(0.0), made(0.25));
    let (a, b) = (made_channels(0.5, 0.1), made_channels(0.8, 0.2));
    for (t, speaking) in [1, 1, 0, 0, 1, 1, 0, 1, 1].into_iter().enumerate() {
        let head = (&a[t][..3], &b[t][..3]);
        parts[1 - speaking].push(&predicted[t], &truth[t], head, (&a[t][3..], &b[t][3..])).unwrap();
    }
    parts.map(|part| part.scores().unwrap())
}

/// Expected numbers by NumPy in f64 on the same f32 input: `sqrt(e[:, lips].max(1).mean())` and so on, with
/// `std(axis=0, ddof=1)`.
#[test]
fn numpys_numbers_come_out() {
    let expected = [
        [
            12.677_763_190_039_965,
            12.655_965_247_157_464,
            2.610_093_599_784_936,
            7.016_163_521_150_526,
            3.878_397_578_453_565_6,
        ],
        [
            10.519_749_670_318_369,
            10.488_047_256_401_092,
            3.860_412_892_992_719,
            9.159_937_709_805_627,
            18.272_505_326_491_572,
        ],
    ];
    for (part, expected) in made_parts().into_iter().zip(expected) {
        let ours = [part.lve_mm, part.mhd_mm, part.fdd, part.pdd.unwrap(), part.jdd.unwrap()];
        for (ours, expected) in ours.into_iter().zip(expected) {
            assert!((ours / expected - 1.0).abs() < 1e-7, "{ours}, expected {expected}: {part:?}");
        }
    }
}

#[test]
fn short_parts_are_left_out_of_the_mean() {
    let [speaking, listening] = made_parts();
    let both = ReleaseScores::of_parts(Some(speaking), Some(listening));
    let silent = ReleaseScores::of_parts(None, Some(PartScores { fdd: listening.fdd + 2.0, ..listening }));
    let mean = ReleaseScores::mean(&[both, silent]);
    assert_eq!(mean.s_lve, Some(speaking.lve_mm));
    assert!((mean.l_fdd.unwrap() - listening.fdd - 1.0).abs() < 1e-12);
    assert_eq!(ReleaseScores::mean(&[]), ReleaseScores::default());

    let lists = VertexLists { lips: &[0], upper_face: &[0] };
    let mut one = PartScorer::new(1, lists, 0, 0).unwrap();
    one.push(&[[0.0; 3]], &[[0.0; 3]], (&[], &[]), (&[], &[])).unwrap();
    assert!(one.scores().is_none());
}

/// A rig of three vertices: lip, brow, nape; the head turns all of them.
fn rig() -> BlendshapeRig {
    let mesh = Mesh {
        positions: vec![[0.0, -0.05, 0.1], [0.0, 0.05, 0.1], [0.0, 0.0, -0.1]],
        triangles: vec![[0, 1, 2]],
        parts: vec![Part { name: "face".into(), triangles: 0..1, material: Default::default() }],
        regions: [(Region::Lips.name().to_owned(), vec![0]), (Region::UpperFace.name().to_owned(), vec![1])]
            .into(),
        ..Mesh::default()
    };
    let shape = |name: &str, vertex: u32, delta: f32| Shape {
        name: name.into(),
        vertices: vec![vertex],
        deltas: vec![[0.0, delta, 0.0]],
    };
    let shapes = vec![shape("jawOpen", 0, -0.04), shape("browInnerUp", 1, 0.01)];
    BlendshapeRig::new(mesh, shapes, [0.0; 3], vec![], vec![], "rig").unwrap()
}

fn motion(
    frames: usize,
    jaw: impl Fn(usize) -> f32,
    brow: impl Fn(usize) -> f32,
    yaw: impl Fn(usize) -> f32,
) -> Vec<f32> {
    let index = |name| Space::Arkit55.index(name).unwrap();
    let mut motion = vec![0.0; frames * 55];
    for (t, row) in motion.chunks_exact_mut(55).enumerate() {
        row[index("jawOpen")] = jaw(t);
        row[index("browInnerUp")] = brow(t);
        row[index("headYaw")] = yaw(t);
    }
    motion
}

#[test]
fn any_rig_with_regions_is_scored_without_its_head_rotation() {
    let rig = rig();
    let face: &dyn Face = &rig;
    let lists = VertexLists::of(face).unwrap();
    let flip = |t: usize| if t.is_multiple_of(2) { 0.0 } else { 1.0 };
    let truth = motion(10, |_| 0.0, |_| 0.0, |_| 0.0);
    let made = motion(10, |_| 0.1, flip, |t| 0.3 * flip(t));
    let scores = score_recording(face, lists, &made, &truth, &[true; 10]).unwrap();
    // The lip is 4 mm off in every frame, the brow 10 mm in every other one; yaw moves nothing.
    assert!((scores.s_lve.unwrap() - 4.0).abs() < 1e-5, "{scores:?}");
    assert!((scores.s_mhd.unwrap() - ((16.0 + 50.0) / 3.0_f64).sqrt()).abs() < 1e-5);
    let deviation = (10.0 / 9.0_f64).sqrt() / 2.0; // of 0, 1, 0, 1 ...
    assert!((scores.s_fdd.unwrap() / (100.0 * 10.0 * deviation) - 1.0).abs() < 1e-5);
    assert!((scores.s_pdd.unwrap() / (100.0 * 0.3 * deviation / 3.0) - 1.0).abs() < 1e-5);
    assert!(scores.s_jdd.unwrap() < 1e-9);
    assert_eq!(scores.l_fdd, None);

    // Equal motion scores zero, and swapping prediction and truth changes nothing.
    let same = score_recording(face, lists, &made, &made, &[true; 10]).unwrap();
    assert!(same.entries()[..5].iter().all(|(_, value)| *value == Some(0.0)));
    assert_eq!(score_recording(face, lists, &truth, &made, &[true; 10]).unwrap(), scores);
}

#[test]
fn bad_input_is_refused() {
    let rig = rig();
    let lists = VertexLists::of(&rig).unwrap();
    let truth = motion(4, |_| 0.0, |_| 0.0, |_| 0.0);
    let score = |made: &[f32], truth: &[f32], mask: usize| {
        score_recording(&rig, lists, made, truth, &vec![true; mask]).unwrap_err().to_string()
    };
    assert_eq!(
        score(&truth[55..], &truth, 4),
        "predicted motion: expected 220 numbers, as in the true motion, got 165"
    );
    assert_eq!(score(&truth, &truth, 3), "speech mask: expected 4 frames, got 3");
    assert!(score(&truth[1..], &truth[1..], 4).contains("not whole frames of 55 channels"));
    assert!(score(&[], &[], 0).contains("not whole frames"));
    let mut bad = truth.clone();
    bad[60] = f32::NAN;
    assert_eq!(score(&bad, &truth, 4), "predicted motion: number 60 is NaN: not finite");
    assert_eq!(score(&truth, &bad, 4), "true motion: number 60 is NaN: not finite");
    assert!(speaking_from_mask(&[1.0, f32::INFINITY]).is_err());

    let far = VertexLists { lips: &[3], upper_face: &[0] };
    let error = PartScorer::new(3, far, 0, 0).unwrap_err();
    assert_eq!(error.to_string(), "list of the lips: names vertex 3 of 3");
    assert!(error.hint().is_some());
    assert!(PartScorer::new(3, VertexLists { lips: &[0], upper_face: &[] }, 0, 0).is_err());
    let mut scorer = PartScorer::new(3, lists, 0, 0).unwrap();
    assert!(scorer.push(&[[0.0; 3]; 2], &[[0.0; 3]; 3], (&[], &[]), (&[], &[])).is_err());
    assert!(scorer.push(&[[f32::NAN; 3]; 3], &[[0.0; 3]; 3], (&[], &[]), (&[], &[])).is_err());
    assert!(scorer.push(&[[0.0; 3]; 3], &[[0.0; 3]; 3], (&[0.0], &[]), (&[], &[])).is_err());
    assert_eq!(scorer.frames(), 0);
    let mut unlabelled = Face::mesh(&rig).clone();
    unlabelled.regions.clear();
    let unlabelled = rig.clone().with_mesh(unlabelled, "rig").unwrap();
    assert!(VertexLists::of(&unlabelled).unwrap_err().hint().is_some());
}
