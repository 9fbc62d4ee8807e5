//! Motion from FLAME to ARKit and back: solved once for a FLAME model and an ARKit head, kept as matrices.
//!
//! Beside the pipeline: the released models speak FLAME-108, heads and engines speak ARKit. [`fit`] lays the user's
//! FLAME on an ARKit head, finds which point of the head each vertex of FLAME is, and compares how FLAME's expressions
//! and jaw move these points with how the head's blend shapes move them. The [`Transfer`] then converts motion without
//! either model: expressions to coefficients by regularised least squares between 0 and 1 for each frame, coefficients
//! to expressions by one matrix (ridge regression). Head and eyes are converted as rotations, exactly
//! ([`motion`](crate::motion)); the tongue has no counterpart.
//!
//! Millimetres are FLAME's, whatever units the head is in.
//!
//! ```no_run
//! use unils::face::flame::Flame;
//! use unils::face::transfer::{FitOptions, Transfer, fit};
//! # fn head() -> unils::face::BlendshapeRig { unimplemented!() }
//! # fn motion() -> unils::motion::Motion { unimplemented!() }
//! let flame = Flame::open("flame2023_Open.pkl")?;
//! let transfer = fit(&flame, &head(), &FitOptions::default())?;
//! println!("{}", transfer.report());
//! transfer.save("flame_arkit.safetensors")?;
//!
//! let arkit = Transfer::open("flame_arkit.safetensors")?.arkit_from_flame(&motion())?;
//! # Ok::<(), unils::Error>(())
//! ```

mod align;
mod fitting;
mod linear;
mod points;
mod report;
mod store;
mod surface;

use rayon::prelude::*;

pub use fitting::fit;
pub use report::{Errors, Report};

use self::linear::BoxedLeastSquares;
use super::Vec3;
use crate::face::flame::EXPRESSIONS;
use crate::motion::{Motion, Space, arkit_joints_from_flame, flame_joints_from_arkit};
use crate::{Error, Result};

/// ARKit's blend shapes: the first channels of [`Space::Arkit55`].
const SHAPES: usize = 52;

/// FLAME's expressions and the jaw.
const UNKNOWNS: usize = EXPRESSIONS + 1;

/// The jaw's channel in FLAME-108.
const JAW: usize = 103;

/// Frames that are solved one after the other, each from the solution before it.
const BLOCK: usize = 128;

/// How [`fit`] gets the point of the head for each vertex of FLAME.
#[derive(Debug, Clone, PartialEq)]
pub enum Correspondence {
    /// The head has FLAME's vertices in FLAME's order.
    SameOrder,
    /// For each of FLAME's vertices the head's, or none.
    Indices(Vec<Option<u32>>),
    /// Found as the closest points of the surfaces.
    Closest {
        /// Points of FLAME's template and of the head at rest that are the same; three or more fix the start, none
        /// leaves it to be found.
        landmarks: Vec<(Vec3, Vec3)>,
        /// Whether the heads are moved onto each other; off if they lie on each other already.
        align: bool,
    },
}

/// Settings of [`fit`].
#[derive(Debug, Clone, PartialEq)]
pub struct FitOptions {
    /// Where correspondences come from.
    pub correspondence: Correspondence,
    /// How many of FLAME's identity directions are used to make it resemble the head before closest points are taken;
    /// 0 for its mean.
    pub identity_components: usize,
    /// Points farther from the head's surface than this are left out, FLAME's millimetres.
    pub largest_gap_mm: f64,
    /// Cost of squared coefficients, as a share of an average shape's own square: settles shapes that do the same.
    pub ridge: f64,
    /// Cost of coefficients, in the same unit: keeps shapes out that hardly help.
    pub sparsity: f64,
    /// Cost of opposite shapes together (left and right jaw, smile and frown), as a share of what they do.
    pub opposites: f64,
    /// Cost of a squared FLAME coefficient in millimetres squared, mean over the points.
    pub expression_ridge: f64,
    /// Seed of the random expressions that errors are measured on.
    pub seed: u64,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            correspondence: Correspondence::Closest { landmarks: Vec::new(), align: true },
            identity_components: 50,
            largest_gap_mm: 15.0,
            ridge: 0.003,
            sparsity: 0.002,
            opposites: 0.1,
            expression_ridge: 0.004,
            seed: 1,
        }
    }
}

/// The solved conversion between FLAME-108 and ARKit-55 motion.
#[derive(Debug, Clone, PartialEq)]
pub struct Transfer {
    /// Squares of the head's shapes (52, 52), mean over the points, mm²: with the regularisation.
    solver: BoxedLeastSquares,
    /// Jaw angles, ascending, radians.
    jaw_angles: Vec<f32>,
    /// For each jaw angle the products of the head's shapes with FLAME's expressions and, last, with what the jaw does
    /// alone: (angles, 52, 101).
    products: Vec<f32>,
    /// ARKit's coefficients to expressions and jaw: (101, 52).
    flame_from_arkit: Vec<f32>,
    /// FLAME's identity that resembles the head.
    identity: Vec<f32>,
    report: Report,
}

impl Transfer {
    /// How well the fit went.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The coefficients of FLAME's first identity directions with which it resembles the head; empty for its mean.
    pub fn identity(&self) -> &[f32] {
        &self.identity
    }

    /// Indices of the channels that the fit gives; the other of the 52 are zero, or the eyes' directions.
    pub fn fitted_channels(&self) -> &[usize] {
        &self.solver.free
    }

    /// FLAME-108 motion as ARKit-55. Coefficients lie between 0 and 1, except where the eyes look farther than ARKit
    /// goes. A shape that the head does not have, and the tongue, stay 0.
    ///
    /// # Errors
    /// [`Error::Motion`] if the motion is in another space.
    pub fn arkit_from_flame(&self, motion: &Motion) -> Result<Motion> {
        convert(motion, Space::Flame108, Space::Arkit55, |from, to| self.arkit_frames(from, to))
    }

    /// ARKit-55 motion as FLAME-108.
    ///
    /// # Errors
    /// [`Error::Motion`] if the motion is in another space.
    pub fn flame_from_arkit(&self, motion: &Motion) -> Result<Motion> {
        convert(motion, Space::Arkit55, Space::Flame108, |from, to| {
            let frames = from.chunks_exact(Space::Arkit55.width());
            for (from, to) in frames.zip(to.chunks_exact_mut(Space::Flame108.width())) {
                let row = |unknown: usize| {
                    let row = &self.flame_from_arkit[unknown * SHAPES..(unknown + 1) * SHAPES];
                    row.iter().zip(from).map(|(a, b)| a * b).sum::<f32>()
                };
                (0..EXPRESSIONS).for_each(|unknown| to[unknown] = row(unknown));
                to[JAW] = row(EXPRESSIONS);
                flame_joints_from_arkit(from, to);
            }
        })
    }

    /// Converts frames that follow each other.
    fn arkit_frames(&self, from: &[f32], to: &mut [f32]) {
        let mut coefficients = vec![0.0; SHAPES];
        let frames = from.chunks_exact(Space::Flame108.width());
        for (from, to) in frames.zip(to.chunks_exact_mut(Space::Arkit55.width())) {
            arkit_joints_from_flame(from, to);
            // Directions of the eyes also move lids: they are held, and the others fit what is left.
            for (index, value) in coefficients.iter_mut().enumerate() {
                if !self.solver.free.contains(&index) {
                    *value = f64::from(to[index]);
                }
            }
            self.solver.solve(&self.linear_term(from), &mut coefficients);
            to.iter_mut().zip(&coefficients).for_each(|(to, &value)| *to = value as f32);
        }
    }

    /// The products of the head's shapes with what a frame does on FLAME, between the jaw angles around the frame's.
    fn linear_term(&self, frame: &[f32]) -> Vec<f64> {
        let jaw = frame[JAW];
        let after =
            self.jaw_angles.partition_point(|&angle| angle <= jaw).clamp(1, self.jaw_angles.len() - 1);
        let (low, high) = (self.jaw_angles[after - 1], self.jaw_angles[after]);
        let share = f64::from(((jaw - low) / (high - low)).clamp(0.0, 1.0));
        let sample = |angle: usize, shape: usize| {
            let row = &self.products[(angle * SHAPES + shape) * UNKNOWNS..][..UNKNOWNS];
            let moved = row.iter().zip(&frame[..EXPRESSIONS]).map(|(a, b)| f64::from(*a) * f64::from(*b));
            moved.sum::<f64>() + f64::from(row[EXPRESSIONS])
        };
        (0..SHAPES)
            .map(|shape| (1.0 - share) * sample(after - 1, shape) + share * sample(after, shape))
            .collect()
    }
}

/// Converts a motion block by block, so that the result does not depend on the number of threads.
fn convert(
    motion: &Motion,
    from: Space,
    to: Space,
    frames: impl Fn(&[f32], &mut [f32]) + Sync,
) -> Result<Motion> {
    if motion.space() != from {
        return Err(Error::motion("motion", format!("is in {}, expected {from}", motion.space())).with_hint(
            if motion.space() == to {
                "it is in the wanted space already"
            } else {
                "convert it to that space first"
            },
        ));
    }
    let mut values = vec![0.0; motion.participants() * motion.frames() * to.width()];
    let participants = motion.values().chunks_exact(motion.frames() * from.width());
    for (source, target) in participants.zip(values.chunks_exact_mut(motion.frames() * to.width())) {
        let blocks = target.par_chunks_mut(BLOCK * to.width()).zip(source.par_chunks(BLOCK * from.width()));
        blocks.for_each(|(target, source)| frames(source, target));
    }
    let mut meta = motion.meta().clone();
    meta.options.insert("converted_from".to_owned(), from.name().to_owned());
    Motion::new(to, motion.fps(), motion.participants(), values, meta)
}
