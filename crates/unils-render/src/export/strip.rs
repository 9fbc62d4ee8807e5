//! A few frames of motion side by side: one picture to judge a clip by.
//!
//! A row a participant of each motion, in the order given, and a column a moment; moments are evenly spaced.

use unils::motion::Motion;
use unils::{Error, Result};

use super::Cast;
use crate::image::Image;
use crate::raster::{FaceRenderer, RenderOptions};

/// Draws `columns` moments of motions of the same length, which have as many participants as the cast has faces.
/// `options` are those of one face's picture.
///
/// # Errors
/// [`Error::Argument`] without motion or columns, or for too large a picture; [`Error::Motion`] for another number of
/// participants than faces.
pub fn strip(motions: &[&Motion], cast: &Cast, columns: usize, options: &RenderOptions) -> Result<Image> {
    let rows = motions.len() * cast.actors().len();
    if rows == 0 || columns == 0 {
        return Err(Error::argument("strip", format!("{rows} rows of {columns} pictures: nothing to draw")));
    }
    let (width, height) = (options.width, options.height);
    let mut strip = Image::new(width.saturating_mul(columns), height.saturating_mul(rows))?;
    let mut picture = Image::default();
    for (index, motion) in motions.iter().enumerate() {
        for (person, acted) in cast.act(motion)?.iter().enumerate() {
            let mut renderer = FaceRenderer::new(cast.actors()[person].face(), options)?;
            for column in 0..columns {
                let frame = column * acted.frames().saturating_sub(1) / (columns - 1).max(1);
                let channels = acted.space().width();
                let values = acted.values().get(frame * channels..(frame + 1) * channels).unwrap_or_default();
                renderer.render(values, &mut picture)?;
                let row = index * cast.actors().len() + person;
                strip.paste(&picture, column * width, row * height);
            }
        }
    }
    Ok(strip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use unils::motion::{MotionMeta, Space};

    #[test]
    fn rows_are_participants_and_columns_moments() {
        let mut values = vec![0.0; 2 * 10 * 55];
        // The second person's mouth is open in the last frame.
        values[19 * 55 + 17] = 1.0;
        let motion = Motion::new(Space::Arkit55, 25.0, 2, values, MotionMeta::new()).unwrap();
        let cast = Cast::open(&["a", "a"], 2).unwrap();
        let options = RenderOptions { width: 48, height: 48, ..RenderOptions::default() };
        let image = strip(&[&motion], &cast, 3, &options).unwrap();
        assert_eq!((image.width, image.height), (144, 96));
        let tile = |column: usize, row: usize| -> Vec<[u8; 4]> {
            (0..48 * 48).map(|at| image.pixel(column * 48 + at % 48, row * 48 + at / 48)).collect()
        };
        assert!(tile(0, 0) == tile(2, 0) && tile(0, 1) == tile(1, 1));
        assert!(tile(2, 1) != tile(0, 1));
        assert!(strip(&[], &cast, 3, &options).is_err());
    }
}
