//! The release's own metrics: lip and mesh errors, and differences in how much face, head and jaw move.
//!
//! All vertices are without head rotation, errors in millimetres. In each part of a recording:
//!
//! | metric | definition |
//! |---|---|
//! | LVE | per frame the largest squared error of the lip vertices; mean over frames; square root (mm) |
//! | MHD | square root of the mean over frames and vertices of the squared vertex error (mm) |
//! | FDD | for each upper-face vertex the standard deviation over time (unbiased) of x + y + z in mm, predicted minus true; mean absolute value; x 100 |
//! | PDD | the same difference of standard deviations on the head's rotation channels (rad); mean absolute value; x 100 |
//! | JDD | the same on the jaw's channel (rad in FLAME-108, the coefficient of jawOpen in ARKit-55); x 100 |
//!
//! *Speaking* scores (`S-`) use the frames in which the person's own speech mask is 1, *listening* scores (`L-`: FDD,
//! PDD, JDD) the others. A part of fewer than two frames has no scores and is left out of the mean over recordings,
//! which is unweighted. Vertices that a list names twice count twice. Lower is better. Source: the release of UniLS
//! (arXiv 2512.09327); FDD after Xing et al. 2023 (CodeTalker), but on x + y + z instead of lengths of motion.
//!
//! The lists are arguments: FLAME's published ones (`face::flame`'s `LIP_VERTICES` and `UPPER_FACE_VERTICES`, which keep
//! the repeated numbers), or the regions of any rig that labels lips and upper face ([`VertexLists::of`], where every
//! vertex counts once). Those of different heads do not compare.
//!
//! ```
//! use unils::metrics::release::{PartScorer, VertexLists};
//! let lists = VertexLists { lips: &[1], upper_face: &[0] };
//! let mut scorer = PartScorer::new(2, lists, 0, 0)?;
//! let truth = [[0.0; 3], [0.0; 3]];
//! let open = [[0.0; 3], [0.0, -0.003, 0.0]]; // the lip is 3 mm off
//! scorer.push(&open, &truth, (&[], &[]), (&[], &[]))?;
//! scorer.push(&truth, &truth, (&[], &[]), (&[], &[]))?;
//! let scores = scorer.scores().unwrap();
//! assert!((scores.lve_mm.powi(2) - 4.5).abs() < 1e-5); // the mean of 9 and 0 square millimetres
//! # Ok::<(), unils::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::curves::without_head;
use super::signal::{Moments, check_finite, check_length, check_rows};
use crate::face::mesh::MAX_VERTICES;
use crate::face::{Face, Region, Vec3};
use crate::motion::{Group, Space};
use crate::{Error, Result};

/// Metres to millimetres.
const MM: f64 = 1000.0;

/// The vertices that the metrics look at; a number that stands twice counts twice.
#[derive(Debug, Clone, Copy)]
pub struct VertexLists<'a> {
    /// The lips, for LVE.
    pub lips: &'a [u32],
    /// The upper face, for FDD.
    pub upper_face: &'a [u32],
}

impl<'a> VertexLists<'a> {
    /// The regions that a face labels.
    ///
    /// # Errors
    /// [`Error::Face`] if it does not label lips or upper face.
    pub fn of(face: &'a dyn Face) -> Result<Self> {
        let mesh = face.mesh();
        let region = |region: Region| match mesh.region(region) {
            [] => Err(Error::face("evaluation", format!("the face labels no region {:?}", region.name()))
                .with_hint("use a head with labelled regions, such as the default head or FLAME")),
            list => Ok(list),
        };
        Ok(Self { lips: region(Region::Lips)?, upper_face: region(Region::UpperFace)? })
    }

    fn check(self, vertices: usize) -> Result<()> {
        for (name, list) in [("lips", self.lips), ("upper face", self.upper_face)] {
            if list.is_empty() {
                return Err(Error::argument(format!("list of the {name}"), "names no vertices"));
            }
            if let Some(vertex) = list.iter().find(|&&vertex| vertex as usize >= vertices) {
                let what = format!("names vertex {vertex} of {vertices}");
                return Err(Error::argument(format!("list of the {name}"), what)
                    .with_hint("the list belongs to another mesh"));
            }
        }
        Ok(())
    }
}

/// The scores of one part of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PartScores {
    /// Frames in the part.
    pub frames: u64,
    /// Lip vertex error, mm.
    pub lve_mm: f64,
    /// Mean head distance, mm.
    pub mhd_mm: f64,
    /// Upper-face dynamics deviation, mm x 100.
    pub fdd: f64,
    /// Head pose dynamics deviation, rad x 100; none without head channels.
    pub pdd: Option<f64>,
    /// Jaw dynamics deviation x 100; none without a jaw channel.
    pub jdd: Option<f64>,
}

/// Predicted and true spread of one signal.
#[derive(Debug, Clone, Copy, Default)]
struct Spread {
    predicted: Moments,
    truth: Moments,
}

impl Spread {
    fn push(&mut self, predicted: f64, truth: f64) {
        self.predicted.push(predicted);
        self.truth.push(truth);
    }

    /// Absolute difference of the deviations.
    fn difference(&self) -> Option<f64> {
        Some((self.predicted.deviation()? - self.truth.deviation()?).abs())
    }
}

/// 100 times the mean absolute difference; none of no signals.
fn deviation_difference(spreads: &[Spread]) -> Option<f64> {
    let differences = spreads.iter().map(Spread::difference).collect::<Option<Vec<_>>>()?;
    Moments::of(differences).mean().map(|mean| 100.0 * mean)
}

/// Sums over the frames of one part; memory does not grow with them.
#[derive(Debug, Clone)]
pub struct PartScorer {
    vertices: usize,
    lips: Vec<u32>,
    upper_face: Vec<u32>,
    frames: u64,
    worst_lips: f64,
    errors: f64,
    upper: Vec<Spread>,
    head: Vec<Spread>,
    jaw: Vec<Spread>,
}

impl PartScorer {
    /// For meshes of `vertices` vertices and `head` and `jaw` motion channels (0 for none).
    ///
    /// # Errors
    /// [`Error::Argument`] if a list is empty or names a vertex that is not there, or for absurd counts.
    pub fn new(vertices: usize, lists: VertexLists<'_>, head: usize, jaw: usize) -> Result<Self> {
        lists.check(vertices)?;
        if vertices > MAX_VERTICES || head.max(jaw) > 1000 {
            let what = format!("{vertices} vertices, {head} head and {jaw} jaw channels are too many");
            return Err(Error::argument("metrics", what));
        }
        Ok(Self {
            vertices,
            lips: lists.lips.to_vec(),
            upper_face: lists.upper_face.to_vec(),
            frames: 0,
            worst_lips: 0.0,
            errors: 0.0,
            upper: vec![Spread::default(); lists.upper_face.len()],
            head: vec![Spread::default(); head],
            jaw: vec![Spread::default(); jaw],
        })
    }

    /// One frame: vertices without head rotation in metres, then the head's and the jaw's channels.
    ///
    /// # Errors
    /// [`Error::Argument`] for other numbers of vertices or channels, [`Error::Motion`] for NaN and infinity; the
    /// frame is then not counted.
    pub fn push(
        &mut self,
        predicted: &[Vec3],
        truth: &[Vec3],
        head: (&[f32], &[f32]),
        jaw: (&[f32], &[f32]),
    ) -> Result<()> {
        for (place, vertices) in [("predicted vertices", predicted), ("true vertices", truth)] {
            check_length(vertices.len(), self.vertices, place, "vertices")?;
            check_finite(vertices.as_flattened(), place)?;
        }
        for (place, (a, b), spreads) in
            [("head channels", head, &self.head), ("jaw channels", jaw, &self.jaw)]
        {
            for values in [a, b] {
                check_length(values.len(), spreads.len(), place, "channels")?;
                check_finite(values, place)?;
            }
        }
        let squared = |vertex: usize| -> f64 {
            let pairs = predicted[vertex].iter().zip(&truth[vertex]);
            pairs.map(|(a, b)| (MM * (f64::from(*a) - f64::from(*b))).powi(2)).sum()
        };
        self.frames += 1;
        self.errors += (0..self.vertices).map(squared).sum::<f64>() / self.vertices as f64;
        self.worst_lips += self.lips.iter().map(|&vertex| squared(vertex as usize)).fold(0.0, f64::max);
        for (&vertex, spread) in self.upper_face.iter().zip(&mut self.upper) {
            let sum = |vertices: &[Vec3]| vertices[vertex as usize].iter().map(|&x| MM * f64::from(x)).sum();
            spread.push(sum(predicted), sum(truth));
        }
        for ((a, b), spreads) in [(head, &mut self.head), (jaw, &mut self.jaw)] {
            for ((&a, &b), spread) in a.iter().zip(b).zip(spreads) {
                spread.push(f64::from(a), f64::from(b));
            }
        }
        Ok(())
    }

    /// Frames so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The scores; none below two frames.
    pub fn scores(&self) -> Option<PartScores> {
        let frames = self.frames as f64;
        Some(PartScores {
            frames: self.frames,
            lve_mm: (self.worst_lips / frames).sqrt(),
            mhd_mm: (self.errors / frames).sqrt(),
            fdd: deviation_difference(&self.upper)?,
            pdd: deviation_difference(&self.head),
            jdd: deviation_difference(&self.jaw),
        })
    }
}

/// The release's eight scores of a recording, or their means; none where a part has fewer than two frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseScores {
    /// LVE while speaking, mm.
    pub s_lve: Option<f64>,
    /// MHD while speaking, mm.
    pub s_mhd: Option<f64>,
    /// FDD while speaking.
    pub s_fdd: Option<f64>,
    /// PDD while speaking.
    pub s_pdd: Option<f64>,
    /// JDD while speaking.
    pub s_jdd: Option<f64>,
    /// FDD while listening.
    pub l_fdd: Option<f64>,
    /// PDD while listening.
    pub l_pdd: Option<f64>,
    /// JDD while listening.
    pub l_jdd: Option<f64>,
}

impl ReleaseScores {
    /// Of the two parts.
    pub fn of_parts(speaking: Option<PartScores>, listening: Option<PartScores>) -> Self {
        Self {
            s_lve: speaking.map(|part| part.lve_mm),
            s_mhd: speaking.map(|part| part.mhd_mm),
            s_fdd: speaking.map(|part| part.fdd),
            s_pdd: speaking.and_then(|part| part.pdd),
            s_jdd: speaking.and_then(|part| part.jdd),
            l_fdd: listening.map(|part| part.fdd),
            l_pdd: listening.and_then(|part| part.pdd),
            l_jdd: listening.and_then(|part| part.jdd),
        }
    }

    /// The scores under the names of the paper's tables, in their order.
    pub fn entries(&self) -> [(&'static str, Option<f64>); 8] {
        [
            ("S-LVE", self.s_lve),
            ("S-MHD", self.s_mhd),
            ("S-FDD", self.s_fdd),
            ("S-PDD", self.s_pdd),
            ("S-JDD", self.s_jdd),
            ("L-FDD", self.l_fdd),
            ("L-PDD", self.l_pdd),
            ("L-JDD", self.l_jdd),
        ]
    }

    /// The unweighted means over recordings, each over those that have the score.
    pub fn mean(recordings: &[Self]) -> Self {
        let mean = |score: fn(&Self) -> Option<f64>| Moments::of(recordings.iter().filter_map(score)).mean();
        Self {
            s_lve: mean(|scores| scores.s_lve),
            s_mhd: mean(|scores| scores.s_mhd),
            s_fdd: mean(|scores| scores.s_fdd),
            s_pdd: mean(|scores| scores.s_pdd),
            s_jdd: mean(|scores| scores.s_jdd),
            l_fdd: mean(|scores| scores.l_fdd),
            l_pdd: mean(|scores| scores.l_pdd),
            l_jdd: mean(|scores| scores.l_jdd),
        }
    }
}

/// The speech mask of a dataset record as flags: 1 is speaking, everything else is not.
///
/// # Errors
/// [`Error::Motion`] for NaN and infinity.
pub fn speaking_from_mask(mask: &[f32]) -> Result<Vec<bool>> {
    check_finite(mask, "speech mask")?;
    Ok(mask.iter().map(|&value| value == 1.0).collect())
}

/// Scores one participant's recording: motion as (frames, channels) of the face's space, one flag a frame.
///
/// The face gives the vertices, frame by frame, with the head's rotation set to zero; two frames of vertices are
/// kept at a time.
///
/// # Errors
/// [`Error::Argument`] if the recordings or the mask differ in length or the lists do not fit the face,
/// [`Error::Motion`] for NaN and infinity.
pub fn score_recording(
    face: &dyn Face,
    lists: VertexLists<'_>,
    predicted: &[f32],
    truth: &[f32],
    speaking: &[bool],
) -> Result<ReleaseScores> {
    let space = face.space();
    let width = space.width();
    let frames = check_rows(truth, width, "true motion")?;
    check_length(predicted.len(), truth.len(), "predicted motion", "numbers, as in the true motion")?;
    check_length(speaking.len(), frames, "speech mask", "frames")?;
    check_finite(predicted, "predicted motion")?;
    check_finite(truth, "true motion")?;
    let (head, jaw) = (space.group_indices(Group::Head), jaw_channel(space));
    let empty = PartScorer::new(face.mesh().positions.len(), lists, head.len(), jaw.len())?;
    let mut parts = [empty.clone(), empty];
    let (mut a, mut b, mut frame) = (Vec::new(), Vec::new(), Vec::new());
    let rows = predicted.chunks_exact(width).zip(truth.chunks_exact(width)).zip(speaking);
    for ((predicted, truth), &speaking) in rows {
        without_head(face, predicted, &mut frame, &mut a);
        without_head(face, truth, &mut frame, &mut b);
        let pick =
            |row: &[f32], channels: &[usize]| -> Vec<f32> { channels.iter().map(|&c| row[c]).collect() };
        let head = (pick(predicted, &head), pick(truth, &head));
        let jaw = (pick(predicted, &jaw), pick(truth, &jaw));
        parts[usize::from(!speaking)].push(&a, &b, (&head.0, &head.1), (&jaw.0, &jaw.1))?;
    }
    Ok(ReleaseScores::of_parts(parts[0].scores(), parts[1].scores()))
}

/// The channel that opens the jaw.
fn jaw_channel(space: Space) -> Vec<usize> {
    let name = match space {
        Space::Flame108 => "jaw",
        Space::Arkit55 => "jawOpen",
    };
    space.index(name).into_iter().collect()
}
