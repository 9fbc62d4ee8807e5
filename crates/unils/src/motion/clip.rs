//! A clip of motion with the facts that belong to it, checked when it is made.

use std::collections::BTreeMap;

use super::{Group, Smoother, Space};
use crate::{Error, Result};

/// Where a clip comes from. Everything is optional: foreign files know little.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MotionMeta {
    /// Names of the participants' sources (audio files), in their order; empty if not known.
    pub participants: Vec<String>,
    /// The preset that made it.
    pub preset: Option<String>,
    /// The seed that it was sampled with.
    pub seed: Option<u64>,
    /// The program that wrote it.
    pub program: Option<String>,
    /// That program's version.
    pub version: Option<String>,
    /// Further settings that shaped it: name to value.
    pub options: BTreeMap<String, String>,
}

impl MotionMeta {
    /// Nothing but this program's name and version.
    pub fn new() -> Self {
        Self {
            program: Some("unils".to_owned()),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            ..Self::default()
        }
    }
}

/// Motion of one or more participants on one clock: finite numbers, (participants, frames, channels), row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Motion {
    space: Space,
    fps: f64,
    participants: usize,
    frames: usize,
    values: Vec<f32>,
    meta: MotionMeta,
}

impl Motion {
    /// A clip from its numbers, `values` being (participants, frames, channels) row-major; the number of frames
    /// follows from the length.
    ///
    /// # Errors
    /// [`Error::Motion`] if there are no participants or frames, if the length is not a whole number of frames
    /// for each, if a number is NaN or infinite (the message says where), if `fps` is not a positive number, or
    /// if the participants are named but not each.
    pub fn new(
        space: Space,
        fps: f64,
        participants: usize,
        values: Vec<f32>,
        meta: MotionMeta,
    ) -> Result<Self> {
        if !(fps.is_finite() && fps > 0.0) {
            return Err(Error::motion("fps", format!("expected a positive frame rate, got {fps}")));
        }
        let width = space.width();
        let per_frame = participants.checked_mul(width).filter(|&numbers| numbers > 0);
        let Some(per_frame) = per_frame else {
            return Err(Error::motion("motion", format!("{participants} participants: expected 1 or more")));
        };
        if values.is_empty() {
            return Err(Error::motion("motion", "0 frames: expected 1 or more"));
        }
        if !values.len().is_multiple_of(per_frame) {
            let what = format!(
                "{} numbers are not whole frames of {participants} x {width} ({space})",
                values.len()
            );
            return Err(Error::motion("motion", what));
        }
        if !(meta.participants.is_empty() || meta.participants.len() == participants) {
            let what = format!("{} names for {participants} participants", meta.participants.len());
            return Err(Error::motion("participants", what));
        }
        let motion = Self { space, fps, participants, frames: values.len() / per_frame, values, meta };
        match motion.values.iter().position(|value| !value.is_finite()) {
            None => Ok(motion),
            Some(index) => {
                let what = format!("{}, expected a finite number", motion.values[index]);
                Err(Error::motion(motion.place(index), what)
                    .with_hint("motion must be free of NaN and infinity: repair or cut those frames"))
            }
        }
    }

    /// Where the number at a flat index stands: participant, frame, channel.
    fn place(&self, index: usize) -> String {
        let width = self.space.width();
        let (row, channel) = (index / width, index % width);
        let (participant, frame) = (row / self.frames, row % self.frames);
        format!("participant {participant}, frame {frame}, channel {}", self.space.channels()[channel].name)
    }

    /// The motion space.
    pub fn space(&self) -> Space {
        self.space
    }

    /// Frames a second.
    pub fn fps(&self) -> f64 {
        self.fps
    }

    /// Number of participants.
    pub fn participants(&self) -> usize {
        self.participants
    }

    /// Number of frames of each participant.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Participants, frames, channels.
    pub fn shape(&self) -> [usize; 3] {
        [self.participants, self.frames, self.space.width()]
    }

    /// Length in seconds.
    pub fn duration_s(&self) -> f64 {
        self.frames as f64 / self.fps
    }

    /// Where it comes from.
    pub fn meta(&self) -> &MotionMeta {
        &self.meta
    }

    /// The same motion with another description.
    ///
    /// # Errors
    /// [`Error::Motion`] if the participants are named but not each.
    pub fn with_meta(self, meta: MotionMeta) -> Result<Self> {
        Self::new(self.space, self.fps, self.participants, self.values, meta)
    }

    /// All numbers, (participants, frames, channels) row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All numbers, given away.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// One participant's numbers, (frames, channels) row-major; `None` past the last.
    pub fn participant(&self, participant: usize) -> Option<&[f32]> {
        self.values.chunks_exact(self.frames * self.space.width()).nth(participant)
    }

    /// One frame of one participant; `None` past the last of either.
    pub fn frame(&self, participant: usize, frame: usize) -> Option<&[f32]> {
        self.participant(participant)?.chunks_exact(self.space.width()).nth(frame)
    }

    /// One participant alone, with its name.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such participant.
    pub fn select(&self, participant: usize) -> Result<Self> {
        let Some(values) = self.participant(participant) else {
            let what = format!("there is no number {participant}, the clip has {}", self.participants);
            return Err(Error::argument("participant", what).with_hint("participants are counted from 0"));
        };
        let mut meta = self.meta.clone();
        meta.participants = self.meta.participants.get(participant).cloned().into_iter().collect();
        Ok(Self { values: values.to_vec(), participants: 1, meta, ..*self })
    }

    /// The motion smoothed along time, each participant for itself.
    pub fn smoothed(&self, smoother: &Smoother) -> Self {
        let width = self.space.width();
        let mut values = Vec::with_capacity(self.values.len());
        for clip in self.values.chunks_exact(self.frames * width) {
            smoother.smooth_rows(clip, width, &mut values);
        }
        Self { values, meta: self.meta.clone(), ..*self }
    }

    /// Takes each participant's mean head rotation out, per channel, as the release does with whole recordings
    /// before it uses them.
    pub fn centre_head(&mut self) {
        let width = self.space.width();
        for clip in self.values.chunks_exact_mut(self.frames * width) {
            for channel in self.space.group_indices(Group::Head) {
                let sum: f64 = clip.iter().skip(channel).step_by(width).map(|&value| f64::from(value)).sum();
                let mean = (sum / self.frames as f64) as f32;
                clip.iter_mut().skip(channel).step_by(width).for_each(|value| *value -= mean);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(participants: usize, frames: usize) -> Motion {
        let values = (0..participants * frames * 55).map(|index| index as f32 * 1e-3).collect();
        Motion::new(Space::Arkit55, 25.0, participants, values, MotionMeta::new()).unwrap()
    }

    #[test]
    fn slices_are_where_they_should_be() {
        let motion = ramp(2, 3);
        assert_eq!(motion.shape(), [2, 3, 55]);
        assert_eq!(motion.frame(1, 2).unwrap(), &motion.values()[5 * 55..]);
        assert!(motion.frame(0, 3).is_none() && motion.frame(2, 0).is_none());
        assert_eq!(motion.select(1).unwrap().values(), motion.participant(1).unwrap());
        assert!(motion.select(2).is_err());
    }

    #[test]
    fn bad_numbers_are_refused_with_their_place() {
        let mut values = ramp(2, 3).into_values();
        values[55 * 4 + 17] = f32::NAN;
        let error = Motion::new(Space::Arkit55, 25.0, 2, values, MotionMeta::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "participant 1, frame 1, channel jawOpen: NaN, expected a finite number"
        );
    }

    #[test]
    fn bad_shapes_are_refused() {
        let make = |fps, participants, length| {
            Motion::new(Space::Arkit55, fps, participants, vec![0.0; length], MotionMeta::default()).is_ok()
        };
        assert!(make(25.0, 1, 55));
        for (fps, participants, length) in
            [(0.0, 1, 55), (f64::NAN, 1, 55), (25.0, 0, 55), (25.0, 1, 0), (25.0, 2, 55), (25.0, 1, 54)]
        {
            assert!(!make(fps, participants, length), "{fps} {participants} {length}");
        }
        assert!(!make(25.0, usize::MAX, 55));
        let meta = MotionMeta { participants: vec!["a".into()], ..MotionMeta::default() };
        assert!(ramp(2, 1).with_meta(meta).is_err());
    }

    #[test]
    fn centring_takes_the_mean_of_the_head_only() {
        let mut motion = ramp(2, 5);
        let before = motion.clone();
        motion.centre_head();
        let column = |motion: &Motion, channel: usize| -> Vec<f32> {
            (0..5).map(|frame| motion.frame(1, frame).unwrap()[channel]).collect()
        };
        assert!(column(&motion, 53).iter().sum::<f32>().abs() < 1e-6);
        assert_eq!(column(&motion, 51), column(&before, 51));
    }
}
