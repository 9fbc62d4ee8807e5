//! The fit itself: from two models to the matrices of a [`Transfer`].

use rayon::prelude::*;

use super::linear::{self, BoxedLeastSquares};
use super::points::{Correspondences, correspond, shape_columns};
use super::report::{Measured, measure};
use super::{Correspondence, FitOptions, JAW, SHAPES, Transfer, UNKNOWNS};
use crate::face::BlendshapeRig;
use crate::face::flame::{EXPRESSIONS, Flame, FlameFace};
use crate::motion::{Group, Space};
use crate::{Error, Result};

/// Jaw angles at which FLAME is sampled, radians. At a fixed angle vertices are linear in the expressions; between two
/// of these they differ from the straight line by a tenth of a millimetre.
const JAW_ANGLES: [f32; 12] = [-0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8];

/// Position of the closed jaw in the list, and of the opening whose secant stands for all in the linear direction.
const CLOSED: usize = 2;
const SECANT: usize = 6;

/// Spread of the jaw's angle, radians, where that of an expression coefficient is 1.
const JAW_SPREAD: f64 = 0.2;

/// Shapes that undo each other: at most one of a pair should act.
const OPPOSITES: [(&str, &str); 14] = [
    ("jawLeft", "jawRight"),
    ("mouthLeft", "mouthRight"),
    ("mouthSmileLeft", "mouthFrownLeft"),
    ("mouthSmileRight", "mouthFrownRight"),
    ("eyeBlinkLeft", "eyeWideLeft"),
    ("eyeBlinkRight", "eyeWideRight"),
    ("eyeSquintLeft", "eyeWideLeft"),
    ("eyeSquintRight", "eyeWideRight"),
    ("browDownLeft", "browOuterUpLeft"),
    ("browDownRight", "browOuterUpRight"),
    ("mouthStretchLeft", "mouthPucker"),
    ("mouthStretchRight", "mouthPucker"),
    ("mouthRollUpper", "mouthShrugUpper"),
    ("mouthRollLower", "mouthShrugLower"),
];

/// FLAME at the matched points, millimetres: (3 per match) for each expression and the jaw alone at each angle.
struct Movements {
    /// By angle; 101 columns each, the last that of the jaw alone.
    by_angle: Vec<Vec<Vec<f64>>>,
}

/// Fits the conversion between a FLAME model and an ARKit head.
///
/// # Errors
/// [`Error::Argument`] for options out of range or a correspondence that does not fit the heads; [`Error::Face`] if
/// the heads cannot be laid on each other (the hint says what helps), or if none of the head's shapes moves the part
/// of the face that they share.
pub fn fit(flame: &Flame, head: &BlendshapeRig, options: &FitOptions) -> Result<Transfer> {
    check(options)?;
    let correspondences = correspond(flame, head, options)?;
    let columns = shape_columns(head, &correspondences);
    let face = FlameFace::new(flame, &correspondences.identity)?;
    let movements = Movements::new(&face, &correspondences)?;
    let points = correspondences.matches.len() as f64;
    let gram = products(&columns, &columns, points);
    let solver = solver(gram, options)?;
    let mut cross = Vec::with_capacity(JAW_ANGLES.len() * SHAPES * UNKNOWNS);
    for columns_at in &movements.by_angle {
        cross.extend(products(&columns, columns_at, points).iter().map(|&value| value as f32));
    }
    let flame_from_arkit = ridge(&movements, &columns, options, points)?;
    let mut transfer = Transfer {
        solver,
        jaw_angles: JAW_ANGLES.to_vec(),
        products: cross,
        flame_from_arkit,
        identity: correspondences.identity.clone(),
        report: super::Report::default(),
    };
    let mut missing: Vec<String> = head.missing().into_iter().map(str::to_owned).collect();
    missing.sort();
    let measured =
        Measured { flame, face: &face, correspondences: &correspondences, columns: &columns, missing };
    transfer.report = measure(&transfer, &measured, options.seed)?;
    Ok(transfer)
}

fn check(options: &FitOptions) -> Result<()> {
    let costs = [
        ("ridge", options.ridge),
        ("sparsity", options.sparsity),
        ("opposites", options.opposites),
        ("expression ridge", options.expression_ridge),
    ];
    for (name, value) in costs {
        if !(0.0..=1e3).contains(&value) {
            return Err(Error::argument(name, format!("{value}, expected a number from 0 to 1000")));
        }
    }
    if !(options.largest_gap_mm > 0.0 && options.largest_gap_mm.is_finite()) {
        let what = format!("{}, expected a positive number of millimetres", options.largest_gap_mm);
        return Err(Error::argument("largest gap", what));
    }
    if let Correspondence::Closest { landmarks, .. } = &options.correspondence
        && (landmarks.iter().flat_map(|(a, b)| a.iter().chain(b)).any(|value| !value.is_finite())
            || (1..3).contains(&landmarks.len()))
    {
        let what = format!("{} pairs, expected none, or three or more of finite numbers", landmarks.len());
        return Err(Error::argument("landmarks", what));
    }
    Ok(())
}

impl Movements {
    fn new(face: &FlameFace, correspondences: &Correspondences) -> Result<Self> {
        let mut out = Vec::new();
        let mut at = |frames: &[f32]| -> Result<Vec<Vec<f64>>> {
            face.positions(frames, false, &mut out)?;
            let pick = |frame: &[f32]| -> Vec<f64> {
                let point = |m: &super::points::Match| &frame[3 * m.vertex as usize..][..3];
                correspondences.matches.iter().flat_map(point).map(|&x| 1e3 * f64::from(x)).collect()
            };
            Ok(out.chunks_exact(3 * face.vertices()).map(pick).collect())
        };
        let channels = Space::Flame108.width();
        let rest = at(&vec![0.0; channels])?.swap_remove(0);
        let less = |mut column: Vec<f64>, base: &[f64]| {
            column.iter_mut().zip(base).for_each(|(value, base)| *value -= base);
            column
        };
        let mut by_angle = Vec::with_capacity(JAW_ANGLES.len());
        for angle in JAW_ANGLES {
            let mut frames = vec![0.0; UNKNOWNS * channels];
            for (unknown, frame) in frames.chunks_exact_mut(channels).enumerate() {
                frame[JAW] = angle;
                if unknown < EXPRESSIONS {
                    frame[unknown] = 1.0;
                }
            }
            let mut columns = at(&frames)?;
            let jaw = columns.pop().unwrap_or_default();
            let mut columns: Vec<_> = columns.into_iter().map(|column| less(column, &jaw)).collect();
            columns.push(less(jaw, &rest));
            by_angle.push(columns);
        }
        Ok(Self { by_angle })
    }
}

/// Scalar products of columns, divided by the number of points: (rows, columns), row-major; empty columns give 0.
fn products(rows: &[Vec<f64>], columns: &[Vec<f64>], points: f64) -> Vec<f64> {
    let row = |a: &Vec<f64>| columns.iter().map(|b| linear::product(a, b) / points).collect::<Vec<_>>();
    rows.par_iter().map(row).collect::<Vec<_>>().concat()
}

/// The regularised problem of the 52 coefficients.
fn solver(mut hessian: Vec<f64>, options: &FitOptions) -> Result<BoxedLeastSquares> {
    let space = Space::Arkit55;
    let held: Vec<usize> =
        [Group::Eyes, Group::Tongue].into_iter().flat_map(|group| space.group_indices(group)).collect();
    let free: Vec<usize> =
        (0..SHAPES).filter(|&i| !held.contains(&i) && hessian[i * SHAPES + i] > 1e-12).collect();
    if free.is_empty() {
        return Err(Error::face(
            "ARKit head",
            "none of its shapes moves the part of the face that FLAME has",
        )
        .with_hint("check the correspondence: with closest points, give landmarks on both heads"));
    }
    let average = free.iter().map(|&i| hessian[i * SHAPES + i]).sum::<f64>() / free.len() as f64;
    for (a, b) in OPPOSITES {
        let pair = space.index(a).zip(space.index(b)).filter(|(a, b)| free.contains(a) && free.contains(b));
        let Some((a, b)) = pair else { continue };
        let size = (hessian[a * SHAPES + a] * hessian[b * SHAPES + b]).sqrt();
        // no more than keeps the two a convex problem
        let cost = (options.opposites * size).min(size - hessian[a * SHAPES + b]).max(0.0);
        hessian[a * SHAPES + b] += cost;
        hessian[b * SHAPES + a] += cost;
    }
    for &i in &free {
        hessian[i * SHAPES + i] += options.ridge * average;
    }
    // in the precision of the file, so that a saved fit is the same fit
    let stored = |value: f64| f64::from(value as f32);
    hessian.iter_mut().for_each(|value| *value = stored(*value));
    Ok(BoxedLeastSquares { hessian, free, l1: stored(options.sparsity * average) })
}

/// The matrix from coefficients to expressions and jaw: (101, 52).
fn ridge(movements: &Movements, columns: &[Vec<f64>], options: &FitOptions, points: f64) -> Result<Vec<f32>> {
    let mut unknowns = movements.by_angle[CLOSED][..EXPRESSIONS].to_vec();
    let angle = f64::from(JAW_ANGLES[SECANT]);
    unknowns.push(movements.by_angle[SECANT][EXPRESSIONS].iter().map(|value| value / angle).collect());
    let mut matrix = products(&unknowns, &unknowns, points);
    let largest = (0..UNKNOWNS).map(|i| matrix[i * UNKNOWNS + i]).fold(0.0, f64::max);
    for i in 0..UNKNOWNS {
        let spread = if i < EXPRESSIONS { 1.0 } else { JAW_SPREAD };
        // at least what keeps rounding from deciding
        matrix[i * UNKNOWNS + i] += (options.expression_ridge / (spread * spread)).max(1e-12 * largest);
    }
    let right = products(&unknowns, columns, points);
    let solution = linear::solve(matrix, right, UNKNOWNS, SHAPES).ok_or_else(|| {
        Error::face("FLAME", "its expressions do not move the part of the face that the head has")
            .with_hint("check the correspondence: with closest points, give landmarks on both heads")
    })?;
    Ok(solution.iter().map(|&value| value as f32).collect())
}
