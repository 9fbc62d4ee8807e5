//! Between light and the numbers in a picture: the sRGB transfer, exact in both directions.
//!
//! Everything is lit, blended and filtered in linear light; only the finished picture is sRGB.

use std::sync::LazyLock;

/// Linear light of an sRGB byte.
pub fn linear(byte: u8) -> f32 {
    TABLES.linear[byte as usize]
}

/// Linear RGB of an sRGB colour.
pub fn linear_rgb(rgb: [u8; 3]) -> [f32; 3] {
    rgb.map(linear)
}

/// The sRGB byte nearest to a linear value; below 0 is 0, above 1 and NaN are 255.
pub fn srgb(value: f32) -> u8 {
    TABLES.srgb(value)
}

/// The tables behind [`srgb`], held by loops that convert many values.
pub(crate) fn tables() -> &'static Tables {
    &TABLES
}

static TABLES: LazyLock<Tables> = LazyLock::new(Tables::new);

/// Bits of the smallest value that is told from 0: 2^-13 is under half a step of sRGB.
const FIRST: u32 = (127 - 13) << 23;

/// Bits of a float below those that choose a bucket: 128 buckets an octave, each shorter than a step of sRGB.
const SHIFT: u32 = 23 - 7;

/// What [`linear`] and [`srgb`] look up.
pub(crate) struct Tables {
    linear: [f32; 256],
    /// For each bucket of floats the byte at its beginning, and the value from which on it is the next byte.
    buckets: Vec<(f32, u8)>,
}

impl Tables {
    fn new() -> Self {
        let linear = std::array::from_fn(|byte| to_linear(byte as f64 / 255.0) as f32);
        // The value where rounding goes over to the next byte, for each byte.
        let limits: [f32; 256] = std::array::from_fn(|byte| match byte {
            255 => f32::INFINITY,
            _ => to_linear((byte as f64 + 0.5) / 255.0) as f32,
        });
        let count = ((1.0_f32.to_bits() - FIRST) >> SHIFT) as usize + 1;
        let buckets = (0..count as u32)
            .map(|bucket| {
                let start = f32::from_bits(FIRST + (bucket << SHIFT));
                let byte = limits.partition_point(|&limit| limit <= start);
                (limits[byte], byte as u8)
            })
            .collect();
        Self { linear, buckets }
    }

    #[inline]
    pub(crate) fn srgb(&self, value: f32) -> u8 {
        // The order of the arguments makes 1 of NaN.
        let value = value.min(1.0).max(f32::from_bits(FIRST));
        let (limit, byte) = self.buckets[((value.to_bits() - FIRST) >> SHIFT) as usize];
        if value >= limit { byte + 1 } else { byte }
    }
}

/// IEC 61966-2-1.
fn to_linear(value: f64) -> f64 {
    if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        for byte in 0..=255 {
            assert_eq!(srgb(linear(byte)), byte);
        }
    }

    #[test]
    fn known_values() {
        // Half the light is 188 in sRGB; 18 % grey is 118.
        assert_eq!([srgb(0.5), srgb(0.18), srgb(0.0), srgb(1.0)], [188, 118, 0, 255]);
        assert_eq!([srgb(-1.0), srgb(2.0), srgb(f32::INFINITY), srgb(f32::NAN)], [0, 255, 255, 255]);
        assert!((linear(188) - 0.502_886).abs() < 1e-5);
    }

    #[test]
    fn rounds_where_the_formula_rounds() {
        let mut value = 0.0_f32;
        while value < 1.0 {
            let exact = if value <= 0.003_130_8 {
                12.92 * f64::from(value)
            } else {
                1.055 * f64::from(value).powf(1.0 / 2.4) - 0.055
            };
            // Values within 1e-4 of the middle of a step may go either way.
            let scaled = exact * 255.0;
            if (scaled.fract() - 0.5).abs() > 1e-4 {
                assert_eq!(srgb(value), scaled.round() as u8, "{value}");
            }
            value += 7.3e-5;
        }
    }
}
