//! How well a fit went, in millimetres.

use std::fmt;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

use super::points::Correspondences;
use super::{JAW, SHAPES, Transfer};
use crate::Result;
use crate::face::Region;
use crate::face::flame::{EXPRESSIONS, Flame, FlameFace};
use crate::motion::{FPS, Motion, MotionMeta, Space};

/// Random expressions of each direction.
const SAMPLES: usize = 100;

/// Spread of the random FLAME coefficients, and the widest of the random jaw angles, radians.
const SPREAD: f32 = 0.7;
const WIDEST: f32 = 0.35;

/// Share of the ARKit shapes that act in a random expression.
const ACTIVE: f32 = 0.15;

/// Distances between where points are and where they should be, over points and random expressions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// `all`, or the name of a region.
    pub region: String,
    /// Points of the region.
    pub points: usize,
    /// How far the points move from rest, mean: what the errors are to be compared with.
    pub motion_mm: f64,
    /// Mean error.
    pub mean_mm: f64,
    /// The error that 95 of 100 stay below.
    pub p95_mm: f64,
    /// The largest error.
    pub max_mm: f64,
}

/// What a fit found. Millimetres are FLAME's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Vertices of FLAME.
    pub flame_vertices: usize,
    /// Vertices of FLAME that have a point on the head.
    pub points: usize,
    /// The head's size over FLAME's.
    pub scale: f64,
    /// Mean distance between the two surfaces at these points, after the alignment.
    pub gap_mm: f64,
    /// Errors of motion from FLAME shown on the ARKit head.
    pub arkit_from_flame: Vec<Errors>,
    /// Errors of motion from the ARKit head shown on FLAME.
    pub flame_from_arkit: Vec<Errors>,
    /// ARKit's shapes that the head does not have.
    pub missing: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { points, flame_vertices, gap_mm, .. } = self;
        writeln!(f, "{points} of {flame_vertices} FLAME vertices matched, surfaces {gap_mm:.2} mm apart")?;
        for (name, list) in
            [("FLAME on ARKit", &self.arkit_from_flame), ("ARKit on FLAME", &self.flame_from_arkit)]
        {
            for Errors { region, motion_mm, mean_mm, p95_mm, max_mm, .. } in list {
                writeln!(
                    f,
                    "{name}, {region}: mean {mean_mm:.2} mm, 95 % {p95_mm:.2} mm, largest {max_mm:.2} mm of \
                     {motion_mm:.2} mm mean movement"
                )?;
            }
        }
        if self.missing.is_empty() {
            Ok(())
        } else {
            writeln!(f, "not on the head: {}", self.missing.join(", "))
        }
    }
}

/// What the errors are measured on.
pub(super) struct Measured<'a> {
    pub(super) flame: &'a Flame,
    pub(super) face: &'a FlameFace,
    pub(super) correspondences: &'a Correspondences,
    /// (3 per match) for each of the head's shapes, millimetres.
    pub(super) columns: &'a [Vec<f64>],
    pub(super) missing: Vec<String>,
}

/// Converts random expressions each way and compares where the points end up.
pub(super) fn measure(transfer: &Transfer, on: &Measured<'_>, seed: u64) -> Result<Report> {
    let Correspondences { similarity, matches, gaps_mm, .. } = on.correspondences;
    let mut random = Random(ChaCha8Rng::seed_from_u64(seed));
    let flame: Vec<f32> = (0..SAMPLES).flat_map(|_| random.flame()).collect();
    let arkit: Vec<f32> = (0..SAMPLES).flat_map(|_| random.arkit(&transfer.solver.free)).collect();
    let motion = |space, values| Motion::new(space, FPS, 1, values, MotionMeta::default());
    let shown_on_head = transfer.arkit_from_flame(&motion(Space::Flame108, flame.clone())?)?;
    let shown_on_flame = transfer.flame_from_arkit(&motion(Space::Arkit55, arkit.clone())?)?;
    Ok(Report {
        flame_vertices: on.flame.vertices(),
        points: matches.len(),
        scale: similarity.scale,
        gap_mm: gaps_mm.iter().sum::<f64>() / gaps_mm.len().max(1) as f64,
        arkit_from_flame: on.errors(&flame, shown_on_head.values(), false)?,
        flame_from_arkit: on.errors(shown_on_flame.values(), &arkit, true)?,
        missing: on.missing.clone(),
    })
}

impl Measured<'_> {
    /// Compares FLAME's frames with ARKit's, by region; `truth_is_arkit` says whose movement is the wanted one.
    fn errors(&self, flame: &[f32], arkit: &[f32], truth_is_arkit: bool) -> Result<Vec<Errors>> {
        let (matches, vertices) = (&self.correspondences.matches, self.face.vertices());
        let mut positions = Vec::new();
        self.face.positions(flame, false, &mut positions)?;
        let rest = self.face.rest();
        let (mut errors, mut motions) = (Vec::new(), Vec::new());
        for (frame, arkit) in
            positions.chunks_exact(3 * vertices).zip(arkit.chunks_exact(Space::Arkit55.width()))
        {
            let mut head = vec![0.0; 3 * matches.len()];
            for (column, &value) in self.columns.iter().zip(&arkit[..SHAPES]) {
                head.iter_mut().zip(column).for_each(|(sum, x)| *sum += f64::from(value) * x);
            }
            for (m, head) in matches.iter().zip(head.as_chunks::<3>().0) {
                let (v, at) = (m.vertex as usize, rest[m.vertex as usize]);
                let ours: [f64; 3] = std::array::from_fn(|i| 1e3 * f64::from(frame[3 * v + i] - at[i]));
                let truth = if truth_is_arkit { *head } else { ours };
                let length = |v: [f64; 3]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
                motions.push(length(truth));
                errors.push(length(std::array::from_fn(|i| ours[i] - head[i])));
            }
        }
        let mut regions = vec![("all", (0..matches.len()).collect::<Vec<_>>())];
        for region in [Region::Lips, Region::UpperFace] {
            let list = self.face_region(region);
            let points = (0..matches.len()).filter(|&i| list.binary_search(&matches[i].vertex).is_ok());
            regions.push((region.name(), points.collect()));
        }
        regions.retain(|(_, points)| !points.is_empty());
        Ok(regions
            .into_iter()
            .map(|(name, points)| summary(name, &points, &errors, &motions, matches.len()))
            .collect())
    }

    fn face_region(&self, region: Region) -> &[u32] {
        use crate::face::Face;
        self.face.mesh().region(region)
    }
}

fn summary(name: &str, points: &[usize], errors: &[f64], motions: &[f64], stride: usize) -> Errors {
    let pick = |values: &[f64]| -> Vec<f64> {
        values.chunks_exact(stride).flat_map(|frame| points.iter().map(move |&point| frame[point])).collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let mut picked = pick(errors);
    picked.sort_by(f64::total_cmp);
    let last = picked.len().saturating_sub(1);
    Errors {
        region: name.to_owned(),
        points: points.len(),
        motion_mm: mean(&pick(motions)),
        mean_mm: mean(&picked),
        p95_mm: picked.get(last * 95 / 100).copied().unwrap_or(0.0),
        max_mm: picked.last().copied().unwrap_or(0.0),
    }
}

struct Random(ChaCha8Rng);

impl Random {
    /// From 0 up to 1.
    fn uniform(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// Normally distributed (Box and Muller).
    fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f32::consts::TAU * self.uniform()).cos()
    }

    fn flame(&mut self) -> Vec<f32> {
        let mut frame = vec![0.0; Space::Flame108.width()];
        frame[..EXPRESSIONS].fill_with(|| SPREAD * self.normal());
        frame[JAW] = WIDEST * self.uniform();
        frame
    }

    fn arkit(&mut self, channels: &[usize]) -> Vec<f32> {
        let mut frame = vec![0.0; Space::Arkit55.width()];
        for &channel in channels {
            let (chosen, value) = (self.uniform() < ACTIVE, self.uniform());
            frame[channel] = if chosen { value } else { 0.0 };
        }
        frame
    }
}
