//! RGB pixels to the three planes that the encoder takes.
//!
//! BT.709 at limited range (luma 16 to 235, chroma 16 to 240), as the stream declares: ITU-R BT.709-6, 3.2 to 3.5.
//! Colour is halved in both directions (4:2:0). A chroma sample lies on the even luma column and between two rows,
//! where decoders look for it when H.264 says nothing else, so it is the mean of three columns (1 2 1) and two rows.
//!
//! The pixels are sRGB-coded and stay so: players show BT.709 video without touching its curve.

/// Bits after the point of the coefficients.
const BITS: u32 = 15;
/// Chroma sums hold eight pixels: three more bits.
const CHROMA_BITS: u32 = BITS + 3;
/// Weights of red, green and blue in luma.
const LUMA: [f64; 3] = [0.2126, 0.7152, 0.0722];

/// Luma at full, blue and red difference at half size.
#[derive(Debug, Clone)]
pub(super) struct Planes {
    width: usize,
    height: usize,
    pub luma: Vec<u8>,
    pub blue: Vec<u8>,
    pub red: Vec<u8>,
    weights: [[i32; 3]; 3],
}

impl Planes {
    /// Planes for an even size.
    pub fn new(width: usize, height: usize) -> Self {
        let quarter = width * height / 4;
        Self {
            width,
            height,
            luma: vec![0; width * height],
            blue: vec![0; quarter],
            red: vec![0; quarter],
            weights: weights(),
        }
    }

    /// Width and height of the picture.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Converts a picture of `height` rows of `width` RGBA pixels. Alpha is not looked at.
    pub fn set(&mut self, rgba: &[u8]) {
        let (row, half) = (4 * self.width, self.width / 2);
        let rows = rgba.chunks_exact(2 * row).zip(self.luma.chunks_exact_mut(2 * self.width));
        let chroma = self.blue.chunks_exact_mut(half).zip(self.red.chunks_exact_mut(half));
        for ((pixels, luma), (blue, red)) in rows.zip(chroma) {
            set_luma(pixels, luma, &self.weights[0]);
            let (upper, lower) = pixels.split_at(row);
            set_chroma(upper, lower, blue, red, &self.weights);
        }
    }
}

/// Fixed-point weights of R, G and B in Y, Cb and Cr: each row sums to the exact range of that plane.
fn weights() -> [[i32; 3]; 3] {
    let [_, _, luma_blue] = LUMA;
    let [luma_red, ..] = LUMA;
    let fixed = |row: [f64; 3], range: f64| {
        let scale = range / 255.0 * f64::from(1_u32 << BITS);
        let mut row = row.map(|weight| (weight * scale).round() as i32);
        // Rounding must not tint grey: green, the largest weight, takes up the difference.
        let sum = if range == 219.0 { scale.round() as i32 } else { 0 };
        row[1] += sum - row.iter().sum::<i32>();
        row
    };
    let difference = |channel: usize, own: f64| {
        let mut row = LUMA.map(|weight| -weight / (2.0 * (1.0 - own)));
        row[channel] += 1.0 / (2.0 * (1.0 - own));
        row
    };
    [fixed(LUMA, 219.0), fixed(difference(2, luma_blue), 224.0), fixed(difference(0, luma_red), 224.0)]
}

fn set_luma(pixels: &[u8], luma: &mut [u8], weights: &[i32; 3]) {
    let offset = (16 << BITS) + (1 << (BITS - 1));
    for (pixel, y) in pixels.as_chunks::<4>().0.iter().zip(luma) {
        let [r, g, b, _] = pixel.map(i32::from);
        *y = ((r * weights[0] + g * weights[1] + b * weights[2] + offset) >> BITS) as u8;
    }
}

/// One row of chroma from two rows of pixels.
fn set_chroma(upper: &[u8], lower: &[u8], blue: &mut [u8], red: &mut [u8], weights: &[[i32; 3]; 3]) {
    let (upper, lower) = (upper.as_chunks::<8>().0, lower.as_chunks::<8>().0);
    let column = |above: &[u8], below: &[u8]| -> [i32; 3] {
        [0, 1, 2].map(|channel| i32::from(above[channel]) + i32::from(below[channel]))
    };
    // Left of the first column it repeats.
    let mut left = match (upper.first(), lower.first()) {
        (Some(above), Some(below)) => column(above, below),
        _ => return,
    };
    let offset = (128 << CHROMA_BITS) + (1 << (CHROMA_BITS - 1));
    for ((above, below), (blue, red)) in upper.iter().zip(lower).zip(blue.iter_mut().zip(red)) {
        let (centre, right) = (column(&above[..4], &below[..4]), column(&above[4..], &below[4..]));
        let sum = [0, 1, 2].map(|channel| left[channel] + 2 * centre[channel] + right[channel]);
        let plane = |weights: &[i32; 3]| {
            let value = sum[0] * weights[0] + sum[1] * weights[1] + sum[2] * weights[2] + offset;
            (value >> CHROMA_BITS) as u8
        };
        (*blue, *red) = (plane(&weights[1]), plane(&weights[2]));
        left = right;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The standard's formulas, unrounded.
    fn reference([r, g, b]: [u8; 3]) -> [f64; 3] {
        let [r, g, b] = [r, g, b].map(|value| f64::from(value) / 255.0);
        let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
        [16.0 + 219.0 * y, 128.0 + 224.0 * (b - y) / 1.8556, 128.0 + 224.0 * (r - y) / 1.5748]
    }

    fn flat(colour: [u8; 3]) -> [u8; 3] {
        let mut planes = Planes::new(4, 2);
        planes.set(&[colour[0], colour[1], colour[2], 255].repeat(8));
        assert!(planes.luma.iter().all(|y| *y == planes.luma[0]));
        assert!(planes.blue.iter().all(|y| *y == planes.blue[0]));
        [planes.luma[0], planes.blue[0], planes.red[0]]
    }

    #[test]
    fn colours_follow_the_standard() {
        assert_eq!(flat([255; 3]), [235, 128, 128]);
        assert_eq!(flat([0; 3]), [16, 128, 128]);
        assert_eq!(flat([255, 0, 0]), [63, 102, 240]);
        assert_eq!(flat([0, 0, 255]), [32, 240, 118]);
        for level in 0..=255 {
            let [_, blue, red] = flat([level; 3]);
            assert_eq!((blue, red), (128, 128), "grey {level} is tinted");
        }
        let mut worst: f64 = 0.0;
        for code in (0..1 << 24).step_by(4099) {
            let [b, g, r, _] = u32::to_le_bytes(code);
            let exact = reference([r, g, b]);
            for (got, want) in flat([r, g, b]).into_iter().zip(exact) {
                worst = worst.max((f64::from(got) - want).abs());
            }
        }
        assert!(worst < 0.51, "{worst}");
    }

    #[test]
    fn chroma_sits_on_even_columns_between_rows() {
        // A red column in black, once at an even and once at an odd place.
        let red_at = |column: usize| {
            let mut planes = Planes::new(8, 2);
            let mut pixels = [0, 0, 0, 255].repeat(16);
            for row in 0..2 {
                pixels[4 * (8 * row + column)] = 255;
            }
            planes.set(&pixels);
            planes.red.iter().map(|value| i32::from(*value) - 128).collect::<Vec<_>>()
        };
        assert_eq!(red_at(4), [0, 0, 56, 0]);
        assert_eq!(red_at(5), [0, 0, 28, 28]);
        // The picture's edge repeats: three of the first sample's four parts.
        assert_eq!(red_at(0), [84, 0, 0, 0]);
    }
}
