//! A picture in memory: what the renderer draws into and what the writers of files take.

use unils::{Error, Result};

/// The longest side of a picture, pixels: bounds the memory that a wrong option can ask for.
pub const MAX_SIDE: usize = 4096;

/// Pixels of eight bits a channel: sRGB with straight (not premultiplied) alpha.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green, blue and alpha of each pixel, row by row from the upper left.
    pub rgba: Vec<u8>,
}

impl Image {
    /// A transparent black picture.
    ///
    /// # Errors
    /// [`Error::Argument`] for a side of 0 or of more than [`MAX_SIDE`].
    pub fn new(width: usize, height: usize) -> Result<Self> {
        check_size(width, height)?;
        Ok(Self { width, height, rgba: vec![0; width * height * 4] })
    }

    /// Makes it a picture of that size, keeping its memory where it can. What the pixels then hold is unspecified.
    ///
    /// # Errors
    /// As for [`Self::new`]; the picture is unchanged then.
    pub fn resize(&mut self, width: usize, height: usize) -> Result<()> {
        check_size(width, height)?;
        (self.width, self.height) = (width, height);
        self.rgba.resize(width * height * 4, 0);
        Ok(())
    }

    /// Red, green, blue and alpha of a pixel; transparent black outside.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 4] {
        if x >= self.width || y >= self.height {
            return [0; 4];
        }
        let at = (y * self.width + x) * 4;
        match self.rgba.get(at..at + 4) {
            Some(&[r, g, b, a]) => [r, g, b, a],
            _ => [0; 4],
        }
    }

    /// Fills it with one colour.
    pub fn fill(&mut self, rgba: [u8; 4]) {
        for pixel in self.rgba.chunks_exact_mut(4) {
            pixel.copy_from_slice(&rgba);
        }
    }

    /// Copies another picture to (x, y), alpha included; what stands over the edge is cut.
    pub fn paste(&mut self, other: &Self, x: usize, y: usize) {
        let columns = other.width.min(self.width.saturating_sub(x)) * 4;
        if columns == 0 || other.rgba.len() < other.width * other.height * 4 {
            return;
        }
        let rows = self.rgba.chunks_exact_mut(self.width * 4).skip(y);
        for (row, source) in rows.zip(other.rgba.chunks_exact(other.width * 4)) {
            row[x * 4..x * 4 + columns].copy_from_slice(&source[..columns]);
        }
    }
}

/// Checks the size of a picture.
///
/// # Errors
/// [`Error::Argument`] for a side of 0 or of more than [`MAX_SIDE`].
pub fn check_size(width: usize, height: usize) -> Result<()> {
    if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
        let what = format!("{width} x {height} pixels: expected 1 to {MAX_SIDE} a side");
        return Err(Error::argument("picture", what).with_hint("512 x 512 a face is the usual size"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bounded() {
        for (width, height) in [(0, 5), (5, 0), (MAX_SIDE + 1, 1), (1, usize::MAX)] {
            assert!(Image::new(width, height).is_err());
            assert!(Image::default().resize(width, height).is_err());
        }
    }

    #[test]
    fn pasting_cuts_at_the_edge() {
        let (mut large, mut small) = (Image::new(4, 3).unwrap(), Image::new(3, 3).unwrap());
        small.fill([9, 8, 7, 255]);
        large.paste(&small, 2, 1);
        assert_eq!(large.pixel(2, 1), [9, 8, 7, 255]);
        assert_eq!([large.pixel(1, 1), large.pixel(2, 0), large.pixel(4, 1)], [[0; 4]; 3]);
        assert_eq!(large.pixel(0, usize::MAX), [0; 4]);
        assert_eq!(large.rgba.chunks(4).filter(|p| p[3] == 255).count(), 4);
        large.paste(&small, 4, 0);
        large.paste(&small, 0, 9);
        assert_eq!(large.rgba.chunks(4).filter(|p| p[3] == 255).count(), 4);
    }
}
