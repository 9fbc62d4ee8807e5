//! Left and right exchanged: the motion of a face seen in a mirror.

use super::{Group, Motion, Space};
use crate::{Error, Result};

impl Space {
    /// Mirrors a frame of motion: what the left side does, the right side does afterwards, and the head turns and
    /// tilts the other way. Twice is once not.
    ///
    /// ```
    /// use unils::motion::Space;
    /// let mut frame = vec![0.0; 55];
    /// frame[Space::Arkit55.index("jawLeft").unwrap()] = 0.5;
    /// Space::Arkit55.mirror(&mut frame)?;
    /// assert_eq!(frame[Space::Arkit55.index("jawRight").unwrap()], 0.5);
    /// # Ok::<(), unils::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] if `frame` is not as wide as the space. [`Error::Motion`] for FLAME-108 with expression:
    /// its components are those of a statistical model, and which of them are mirror images only the model can say.
    pub fn mirror(self, frame: &mut [f32]) -> Result<()> {
        if frame.len() != self.width() {
            let what = format!("{} numbers, expected {} ({self})", frame.len(), self.width());
            return Err(Error::argument("frame to mirror", what));
        }
        match self {
            Self::Arkit55 => {
                for (index, channel) in self.channels().iter().enumerate() {
                    let Some(side) = channel.name.strip_suffix("Left") else { continue };
                    if let Some(other) = self.index(&format!("{side}Right")) {
                        frame.swap(index, other);
                    }
                }
                self.negate(frame, &["headYaw", "headRoll"]);
            }
            Self::Flame108 => {
                if self.group_indices(Group::Expression).iter().any(|&index| frame[index] != 0.0) {
                    return Err(Error::motion(
                        "flame108",
                        "its expression cannot be mirrored by its numbers alone",
                    )
                    .with_hint("convert it to arkit55 and mirror that"));
                }
                for axis in ["x", "y"] {
                    let eye = |side: &str| self.index(&format!("eye_{side}_{axis}"));
                    if let (Some(left), Some(right)) = (eye("left"), eye("right")) {
                        frame.swap(left, right);
                    }
                }
                self.negate(frame, &["head_y", "head_z", "eye_left_y", "eye_right_y"]);
            }
        }
        Ok(())
    }

    fn negate(self, frame: &mut [f32], names: &[&str]) {
        for index in names.iter().filter_map(|name| self.index(name)) {
            frame[index] = -frame[index];
        }
    }
}

impl Motion {
    /// The motion mirrored, frame by frame: see [`Space::mirror`].
    ///
    /// # Errors
    /// As for [`Space::mirror`].
    pub fn mirrored(&self) -> Result<Self> {
        let mut values = self.values().to_vec();
        for frame in values.chunks_exact_mut(self.space().width()) {
            self.space().mirror(frame)?;
        }
        Self::new(self.space(), self.fps(), self.participants(), values, self.meta().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::motion::MotionMeta;

    #[test]
    fn every_channel_has_its_mirror_image() {
        let space = Space::Arkit55;
        for (index, channel) in space.channels().iter().enumerate() {
            let mut frame = vec![0.0; 55];
            frame[index] = 0.5;
            space.mirror(&mut frame).unwrap();
            let name = channel.name;
            let (other, value) = match name {
                "headYaw" | "headRoll" => (name.to_owned(), -0.5),
                _ if name.ends_with("Left") => (name.replace("Left", "Right"), 0.5),
                _ => (name.replace("Right", "Left"), 0.5),
            };
            assert_eq!(frame[space.index(&other).unwrap()], value, "{name}");
            assert_eq!(frame.iter().filter(|value| **value != 0.0).count(), 1, "{name}");
        }
    }

    #[test]
    fn twice_is_once_not() {
        let values: Vec<f32> = (0..2 * 3 * 55).map(|index| index as f32).collect();
        let motion = Motion::new(Space::Arkit55, 25.0, 2, values, MotionMeta::new()).unwrap();
        let mirrored = motion.mirrored().unwrap();
        assert_ne!(mirrored, motion);
        assert_eq!(mirrored.mirrored().unwrap(), motion);
    }

    #[test]
    fn flame_s_angles_mirror_and_its_expression_does_not() {
        let mut frame = vec![0.0; 108];
        frame[100..].copy_from_slice(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]);
        Space::Flame108.mirror(&mut frame).unwrap();
        assert_eq!(frame[100..], [0.1, -0.2, -0.3, 0.4, 0.7, -0.8, 0.5, -0.6]);
        frame[3] = 1.0;
        assert!(Space::Flame108.mirror(&mut frame).unwrap_err().hint().is_some());
        assert!(Space::Flame108.mirror(&mut frame[..55]).is_err());
    }
}
