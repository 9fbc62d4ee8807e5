//! Several faces in one picture, side by side: the participants of a conversation.

use rayon::prelude::*;
use unils::face::Face;
use unils::{Error, Result};

use super::{FaceRenderer, RenderOptions};
use crate::image::{Image, check_size};

/// Draws faces side by side, the first at the left.
pub struct Stage<'a> {
    renderers: Vec<FaceRenderer<'a>>,
    width: usize,
    height: usize,
}

impl<'a> Stage<'a> {
    /// A stage of faces, each with a picture of the size in `options`. `turn` is how far the heads at the sides are
    /// seen turned towards the middle, radians; those between are turned less.
    ///
    /// # Errors
    /// [`Error::Argument`] for no faces or a picture that is too wide, otherwise as for [`FaceRenderer::new`].
    pub fn new(faces: &[&'a dyn Face], options: &RenderOptions, turn: f32) -> Result<Self> {
        if faces.is_empty() {
            return Err(Error::argument("faces", "none: expected one or more"));
        }
        let width = options.width.saturating_mul(faces.len());
        check_size(width, options.height)?;
        let last = (faces.len() - 1).max(1) as f32;
        let renderers = faces.iter().enumerate().map(|(index, &face)| {
            let mut options = options.clone();
            // Turning a head to the picture's right is standing further round to its other side.
            let side = if faces.len() > 1 { 1.0 - 2.0 * index as f32 / last } else { 0.0 };
            options.view.yaw -= side * turn;
            FaceRenderer::new(face, &options)
        });
        Ok(Self { renderers: renderers.collect::<Result<_>>()?, width, height: options.height })
    }

    /// Width and height of its pictures.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Draws one frame of each face; `image` gets the stage's size.
    ///
    /// # Errors
    /// [`Error::Motion`] for another number of frames than faces, otherwise as for [`FaceRenderer::render`].
    pub fn render(&mut self, frames: &[&[f32]], image: &mut Image) -> Result<()> {
        if frames.len() != self.renderers.len() {
            let what = format!("{} frames for {} faces", frames.len(), self.renderers.len());
            return Err(Error::motion("stage", what));
        }
        image.resize(self.width, self.height)?;
        self.renderers.par_iter_mut().zip(frames).try_for_each(|(renderer, frame)| renderer.pose(frame))?;
        let mut left = 0;
        for renderer in &self.renderers {
            renderer.draw(image, left);
            left += renderer.size().0;
        }
        Ok(())
    }
}
