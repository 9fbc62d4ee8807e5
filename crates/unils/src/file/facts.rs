//! What a motion file says besides its numbers, and how a clip follows from both: the same for all formats.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ReadOptions;
use crate::motion::{FPS, Motion, MotionMeta, Space, shorten};
use crate::{Error, Result};

/// The facts under the names that all formats use. What is not known is left out.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Facts {
    /// Name of the motion space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// Frames a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Participants, frames, channels: shows when a text file has been cut short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<[usize; 3]>,
    /// Names of the channels, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// Units of the channels, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
    /// Names of the participants, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub participants: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

impl Facts {
    pub(super) fn of(motion: &Motion) -> Self {
        let channels = motion.space().channels();
        let meta = motion.meta().clone();
        Self {
            space: Some(motion.space().name().to_owned()),
            fps: Some(motion.fps()),
            shape: Some(motion.shape()),
            channels: channels.iter().map(|channel| channel.name.to_owned()).collect(),
            units: channels.iter().map(|channel| channel.unit.symbol().to_owned()).collect(),
            participants: meta.participants,
            preset: meta.preset,
            seed: meta.seed,
            program: meta.program,
            version: meta.version,
            options: meta.options,
        }
    }

    /// The space of motion that is `width` channels wide.
    pub(super) fn space(&self, width: usize, options: &ReadOptions, place: &str) -> Result<Space> {
        let named =
            self.space.as_deref().map(Space::from_name).transpose().map_err(|error| at(place, error))?;
        let space = match (named, options.space) {
            (Some(named), Some(needed)) if named != needed => {
                let what = format!("is {named} motion, expected {needed}");
                return Err(Error::motion(place, what)
                    .with_hint("use motion of the space that the checkpoint was trained on"));
            }
            (named, needed) => named.or(needed).or(Space::from_width(width)),
        };
        let Some(space) = space.filter(|space| space.width() == width) else {
            let expected = match space {
                Some(space) => format!("{} ({space})", space.width()),
                None => "108 (flame108) or 55 (arkit55)".to_owned(),
            };
            return Err(Error::motion(place, format!("{width} channels a frame, expected {expected}"))
                .with_hint("rows are frames, columns are channels: docs/formats.md lists them"));
        };
        let names = space.channels().iter().map(|channel| channel.name);
        if !self.channels.is_empty() && !names.clone().eq(self.channels.iter()) {
            let wrong = names.zip(&self.channels).position(|(name, given)| name != given);
            let what = match wrong {
                Some(index) => {
                    let given = shorten(&self.channels[index]);
                    format!("channel {index} is {given:?}, expected {:?}", space.channels()[index].name)
                }
                None => format!("{} channel names for {width} channels", self.channels.len()),
            };
            return Err(Error::motion(place, what)
                .with_hint(format!("bring the channels to the order of {space}: docs/formats.md")));
        }
        Ok(space)
    }

    /// The clip of these facts and of numbers, (participants, frames, channels) row-major.
    pub(super) fn into_motion(
        self,
        space: Space,
        participants: usize,
        values: Vec<f32>,
        options: &ReadOptions,
        place: &str,
    ) -> Result<Motion> {
        let fps = self.fps.or(options.fps).unwrap_or(FPS);
        let per_frame = participants.saturating_mul(space.width());
        let shape = [participants, values.len().checked_div(per_frame).unwrap_or(0), space.width()];
        if let Some(stated) = self.shape.filter(|&stated| stated != shape) {
            let what = format!("holds motion of shape {shape:?}, but says {stated:?}");
            return Err(Error::motion(place, what).with_hint(
                "the file was cut short; if frames were taken out on purpose, take its \"shape\" out too",
            ));
        }
        let meta = MotionMeta {
            participants: self.participants,
            preset: self.preset,
            seed: self.seed,
            program: self.program,
            version: self.version,
            options: self.options,
        };
        Motion::new(space, fps, participants, values, meta).map_err(|error| at(place, error))
    }
}

/// The same fault with the file's name in front of its place.
pub(super) fn at(place: &str, error: Error) -> Error {
    match error {
        Error::Motion(mut fault) | Error::Argument(mut fault) => {
            fault.place =
                if fault.place.is_empty() { place.to_owned() } else { format!("{place}: {}", fault.place) };
            Error::Motion(fault)
        }
        other => other,
    }
}
