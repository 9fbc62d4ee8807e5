//! One picture of one expression: for contact sheets, tests and people who make heads.

use unils::face::Face;
use unils::{Error, Result};

use super::{FaceRenderer, RenderOptions};
use crate::image::Image;

/// The frame in which the named channels have the given values and all others are 0.
///
/// # Errors
/// [`Error::Argument`] for a name that the face's space does not have.
pub fn frame_of(face: &dyn Face, values: &[(&str, f32)]) -> Result<Vec<f32>> {
    let space = face.space();
    let mut frame = vec![0.0; space.width()];
    for &(name, value) in values {
        let index = space.index(name).ok_or_else(|| {
            Error::argument("channel", format!("{space} has no {name:?}"))
                .with_hint("names are spelled as in the motion space: jawOpen in arkit55, jaw in flame108")
        })?;
        frame[index] = value;
    }
    Ok(frame)
}

/// A picture of a face in which the named channels have the given values.
///
/// # Errors
/// As for [`FaceRenderer::new`], [`FaceRenderer::render`] and [`frame_of`].
pub fn look(face: &dyn Face, values: &[(&str, f32)], options: &RenderOptions) -> Result<Image> {
    let mut image = Image::default();
    FaceRenderer::new(face, options)?.render(&frame_of(face, values)?, &mut image)?;
    Ok(image)
}
