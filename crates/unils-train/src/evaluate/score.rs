//! The scores of one recording: everything that does not need the others.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use unils::face::{Face, Mesh, Vec3};
use unils::metrics::curves::Curves;
use unils::metrics::frechet::{Gaussian, expression_channels, frechet_distance, head_channels};
use unils::metrics::gestures::{NodOptions, RiseOptions, find_nods, find_rises};
use unils::metrics::lipsync::{
    ClosedAt, ClosureRecall, PhonemeInterval, closure_recall, correlation, lip_sync,
};
use unils::metrics::liveliness::liveliness;
use unils::metrics::release::{ReleaseScores, VertexLists, score_recording};
use unils::metrics::responsiveness::{Centring, Exchange, Gesture, residual_pearson};
use unils::metrics::voice::Voice;
use unils::motion::{FPS, Motion, MotionMeta, Space};
use unils::{Error, Result};

use super::measured_face::MeasuredFace;
use crate::data::{Phoneme, Track};

/// Values by name, in the order of the report; none where the recording does not have one.
pub(super) type Values = Vec<(String, Option<f64>)>;

/// Frames around a phoneme in which a closure counts too.
const CLOSURE_MARGIN: usize = 1;

/// What a recording lacks for some metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Lack {
    Audio,
    SpeechMask,
    PartnerAudio,
    PartnerMotion,
    Phonemes,
    Mouth,
    Lids,
    Brows,
}

impl Lack {
    /// What is missing, and what is left out for it.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Audio => "without audio: lip sync is left out",
            Self::SpeechMask => "without speech mask and audio: speaking and listening scores are left out",
            Self::PartnerAudio => "without a partner's audio: responsiveness is left out",
            Self::PartnerMotion => "without a partner's motion: the residual Pearson correlation is left out",
            Self::Phonemes => "without phonemes: closures at p, b and m are left out",
            Self::Mouth => "without a measured mouth opening (FLAME needs its model): lip sync is left out",
            Self::Lids => "without measured lids: blinks are left out",
            Self::Brows => "without measured brows: raised brows are left out",
        }
    }
}

/// A gesture as an answer to the partner's cues: predicted and true.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answers {
    pub gesture: Gesture,
    pub predicted: Exchange,
    pub truth: Exchange,
}

/// One recording's scores, as they are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scored {
    pub entry: usize,
    pub name: String,
    pub frames: usize,
    /// Seeds of its predictions.
    pub seeds: Vec<u64>,
    pub values: Values,
    /// Predicted and true frames of all scored participants: expression, head.
    pub expression: (Gaussian, Gaussian),
    pub head: (Gaussian, Gaussian),
    pub answers: Vec<Answers>,
    pub lacks: BTreeSet<Lack>,
    /// Whether speech masks were found in the voices.
    pub mask_from_voice: bool,
}

/// What one participant's motion is held against.
#[derive(Debug)]
pub(super) struct Person<'a> {
    pub track: &'a Track,
    pub own_voice: Option<&'a Voice>,
    pub partner_voice: Option<&'a Voice>,
    pub partner_motion: Option<&'a [f32]>,
}

/// How all recordings of an evaluation are scored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scorer<'a> {
    pub space: Space,
    pub face: Option<&'a MeasuredFace>,
    /// Frames between the seams that are scored.
    pub window: usize,
}

/// One participant's scores.
#[derive(Debug)]
pub(super) struct PersonScores {
    pub values: Values,
    pub expression: (Gaussian, Gaussian),
    pub head: (Gaussian, Gaussian),
    pub answers: Vec<Answers>,
    pub lacks: BTreeSet<Lack>,
    pub mask_from_voice: bool,
}

impl Scorer<'_> {
    /// Scores a prediction of one participant.
    pub(super) fn person(&self, predicted: &Motion, person: &Person<'_>) -> Result<PersonScores> {
        let mut lacks = BTreeSet::new();
        let frames = predicted.frames();
        let truth = Motion::new(self.space, FPS, 1, person.track.motion.clone(), MotionMeta::new())?;
        let (made, real) = (predicted.values(), truth.values());
        let mask_from_voice = person.track.speech.is_none() && person.own_voice.is_some();
        let listened = person.own_voice.map(|voice| voice.speaking_frames(frames));
        let speaking = person.track.speech.clone().or(listened);
        if speaking.is_none() {
            lacks.insert(Lack::SpeechMask);
        }
        let mut values: Values = Vec::new();
        if let Some(speaking) = &speaking {
            extend(&mut values, "", self.release(made, real, speaking)?.entries());
        }
        let gaussians = |channels: &[usize]| -> Result<(Gaussian, Gaussian)> {
            let of = |motion| Gaussian::of_channels(motion, self.space.width(), channels);
            Ok((of(made)?, of(real)?))
        };
        let expression = gaussians(&expression_channels(self.space))?;
        let head = gaussians(&head_channels(self.space))?;
        for (name, (made, real)) in [("F-FID", &expression), ("P-FID", &head)] {
            values.push((name.to_owned(), Some(frechet_distance(made, real)?)));
        }
        extend(&mut values, "", self.residual(made, real, person, &mut lacks)?);
        let curves = [self.curves(predicted)?, self.curves(&truth)?];
        for (prefix, curves) in ["", "true "].into_iter().zip(&curves) {
            extend(&mut values, prefix, lips(curves, person, speaking.as_deref(), &mut lacks)?);
        }
        let [made_mouth, true_mouth] = curves.each_ref().map(|curves| curves.mouth_opening.as_slice());
        if let Some(speaking) = speaking.as_deref().filter(|_| !made_mouth.is_empty()) {
            let r = correlation(made_mouth, true_mouth, Some(speaking))?;
            values.push(("lips r truth, speaking".to_owned(), r));
        }
        let window = Some(self.window).filter(|&window| window > 1);
        for ((prefix, curves), motion) in ["", "true "].into_iter().zip(&curves).zip([predicted, &truth]) {
            extend(&mut values, prefix, liveliness(motion, 0, curves, window)?.entries());
            extend(&mut values, prefix, gestures(curves, &mut lacks)?);
        }
        if curves[0].blink.is_empty() {
            lacks.insert(Lack::Lids);
        }
        let answers = answers(&curves, person.partner_voice, &mut lacks)?;
        Ok(PersonScores { values, expression, head, answers, lacks, mask_from_voice })
    }

    /// The release's metrics; without a face those on channels alone.
    fn release(&self, made: &[f32], real: &[f32], speaking: &[bool]) -> Result<ReleaseScores> {
        if let Some(face) = self.face {
            return score_recording(face.face(), face.lists(), made, real, speaking);
        }
        let face = Point::new(self.space);
        let scores =
            score_recording(&face, VertexLists { lips: &[0], upper_face: &[0] }, made, real, speaking)?;
        Ok(ReleaseScores { s_lve: None, s_mhd: None, s_fdd: None, l_fdd: None, ..scores })
    }

    /// ARKit names what the curves show; FLAME's are measured on its face.
    fn curves(&self, motion: &Motion) -> Result<Curves> {
        match self.face.filter(|_| self.space == Space::Flame108) {
            Some(face) => Curves::of_face(motion, 0, face.face()),
            None => Curves::of_channels(motion, 0),
        }
    }

    fn residual(
        &self,
        made: &[f32],
        real: &[f32],
        person: &Person<'_>,
        lacks: &mut BTreeSet<Lack>,
    ) -> Result<Vec<(&'static str, Option<f64>)>> {
        let Some(partner) = person.partner_motion else {
            lacks.insert(Lack::PartnerMotion);
            return Ok(Vec::new());
        };
        let sets = [expression_channels(self.space), head_channels(self.space)];
        let names = [["rPCC expression", "rPCC expression, centred"], ["rPCC head", "rPCC head, centred"]];
        let mut values = Vec::new();
        for (channels, names) in sets.iter().zip(names) {
            let [made, real, partner] = [made, real, partner].map(|m| columns(m, self.space, channels));
            for (name, centring) in names.into_iter().zip([Centring::AsPublished, Centring::PerChannel]) {
                values.push((name, residual_pearson(&made, &real, &partner, channels.len(), centring)?));
            }
        }
        Ok(values)
    }
}

/// The mean of several participants, name by name, each over those that have the value.
pub(super) fn average(people: &[Values]) -> Values {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in people.iter().flatten() {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mean = |name: &str| {
        let values = people.iter().flatten().filter(|(known, _)| known == name);
        let values: Vec<f64> = values.filter_map(|(_, value)| *value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    names.into_iter().map(|name| (name.to_owned(), mean(name))).collect()
}

fn extend<'n>(values: &mut Values, prefix: &str, more: impl IntoIterator<Item = (&'n str, Option<f64>)>) {
    values.extend(more.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)));
}

fn columns(motion: &[f32], space: Space, channels: &[usize]) -> Vec<f32> {
    let rows = motion.chunks_exact(space.width());
    rows.flat_map(|row| channels.iter().map(|&channel| row[channel])).collect()
}

/// Lip sync and closures of one motion.
fn lips(
    curves: &Curves,
    person: &Person<'_>,
    speaking: Option<&[bool]>,
    lacks: &mut BTreeSet<Lack>,
) -> Result<Vec<(&'static str, Option<f64>)>> {
    let opening = curves.mouth_opening.as_slice();
    if opening.is_empty() {
        lacks.insert(Lack::Mouth);
        return Ok(Vec::new());
    }
    let Some(speaking) = speaking else { return Ok(Vec::new()) };
    let mut values = Vec::new();
    match person.own_voice {
        Some(voice) => {
            let loudness = voice.loudness_frames(opening.len());
            values.extend(lip_sync(opening, curves.fps, &loudness, speaking)?.entries());
        }
        None => {
            lacks.insert(Lack::Audio);
        }
    }
    let phonemes = &person.track.phonemes;
    if phonemes.is_empty() {
        lacks.insert(Lack::Phonemes);
        return Ok(values);
    }
    let bilabials: Vec<PhonemeInterval> = phonemes
        .iter()
        .filter(|phoneme| is_bilabial(phoneme))
        .map(|&Phoneme { start_s, end_s, .. }| PhonemeInterval { start_s, end_s })
        .collect();
    let closed_at = ClosedAt::default();
    let recall: ClosureRecall =
        closure_recall(opening, curves.fps, speaking, &bilabials, CLOSURE_MARGIN, closed_at)?;
    values.push(("closures at p b m", recall.recall()));
    values.push(("closed elsewhere in speech", recall.elsewhere));
    Ok(values)
}

/// Whether a phoneme closes the lips: p, b or m in IPA, ARPAbet or SAMPA, with diacritics, length, stress and release
/// (`pʰ`, `m:`, `ph`, `pf`) but not another symbol that begins so (`pau`, `brth`).
fn is_bilabial(phoneme: &Phoneme) -> bool {
    let mut letters = phoneme.symbol.trim().chars().flat_map(char::to_lowercase);
    let first = letters.next();
    let rest: String = letters.filter(char::is_ascii_alphabetic).collect();
    matches!(first, Some('p' | 'b' | 'm')) && matches!(rest.as_str(), "" | "h" | "f" | "j" | "w")
}

fn gestures(curves: &Curves, lacks: &mut BTreeSet<Lack>) -> Result<Vec<(&'static str, Option<f64>)>> {
    let minutes = curves.frames() as f64 / curves.fps / 60.0;
    let nods = find_nods(&curves.head_pitch, curves.fps, &NodOptions::default())?;
    let mut values = vec![("nods/min", Some(nods.len() as f64 / minutes))];
    if curves.brow_raise.is_empty() {
        lacks.insert(Lack::Brows);
    } else {
        let rises = find_rises(&curves.brow_raise, curves.fps, &RiseOptions::default())?;
        values.push(("brow raises/min", Some(rises.len() as f64 / minutes)));
    }
    Ok(values)
}

fn answers(
    curves: &[Curves; 2],
    partner: Option<&Voice>,
    lacks: &mut BTreeSet<Lack>,
) -> Result<Vec<Answers>> {
    let Some(partner) = partner else {
        lacks.insert(Lack::PartnerAudio);
        return Ok(Vec::new());
    };
    let [made, real] = curves;
    let gestures = [Gesture::Nod, Gesture::BrowRaise];
    let there = gestures.into_iter().filter(|g| *g != Gesture::BrowRaise || !made.brow_raise.is_empty());
    there
        .map(|gesture| {
            Ok(Answers {
                gesture,
                predicted: Exchange::observe(partner, made, gesture)?,
                truth: Exchange::observe(partner, real, gesture)?,
            })
        })
        .collect()
}

/// A face of one vertex that never moves, for metrics that look at channels alone.
struct Point {
    space: Space,
    mesh: Mesh,
}

impl Point {
    fn new(space: Space) -> Self {
        let mesh = Mesh {
            positions: vec![[0.0; 3]],
            colors: Vec::new(),
            uvs: Vec::new(),
            triangles: Vec::new(),
            parts: Vec::new(),
            regions: std::collections::BTreeMap::new(),
        };
        Self { space, mesh }
    }
}

impl Face for Point {
    fn space(&self) -> Space {
        self.space
    }

    fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    fn pose(&self, _frame: &[f32], positions: &mut Vec<Vec3>) {
        positions.clear();
        positions.push([0.0; 3]);
    }
}

/// Both distributions of all participants of a recording.
pub(super) fn merged(pairs: &[(Gaussian, Gaussian)]) -> Result<(Gaussian, Gaussian)> {
    let Some(((made, real), rest)) = pairs.split_first() else {
        return Err(Error::argument("evaluation", "a recording without participants"));
    };
    let (mut made, mut real) = (made.clone(), real.clone());
    for (other_made, other_real) in rest {
        made.merge(other_made)?;
        real.merge(other_real)?;
    }
    Ok((made, real))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bilabials_of_all_notations_and_no_pauses() {
        let is = |symbol: &str| is_bilabial(&Phoneme { symbol: symbol.to_owned(), start_s: 0.0, end_s: 0.1 });
        for symbol in ["p", "B", "m", "pʰ", "ph", "mː", "m:", "b_0", "M", "pf", "bj", "p2"] {
            assert!(is(symbol), "{symbol}");
        }
        for symbol in ["", "pau", "brth", "f", "v", "blank", "n", "sil", "ɱ", "β"] {
            assert!(!is(symbol), "{symbol}");
        }
    }

    #[test]
    fn people_are_averaged_over_those_that_have_a_value() {
        let values = |a, b| vec![("a".to_owned(), a), ("b".to_owned(), b)];
        let mut second = values(None, None);
        second.push(("c".to_owned(), Some(4.0)));
        let mean = average(&[values(Some(1.0), None), second]);
        assert_eq!(mean, [("a".to_owned(), Some(1.0)), ("b".to_owned(), None), ("c".to_owned(), Some(4.0))]);
    }
}
