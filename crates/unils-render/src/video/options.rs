//! What a video is to be like, and what of that can be encoded.

use unils::{Error, Result};

/// Frames a second of motion, and of video unless asked otherwise.
const FRAMES_PER_SECOND: u32 = 25;
/// Largest picture that OpenH264 encodes, lying or standing.
const LARGEST: (u32, u32) = (3840, 2160);
/// Smallest side: one block of pixels.
const SMALLEST: u32 = 16;
/// Quantisers that the encoder keeps to.
const QUANTIZERS: std::ops::RangeInclusive<u8> = 12..=51;
/// Frame rates that the encoder takes.
const RATES: std::ops::RangeInclusive<u32> = 1..=60;

/// Pictures of a video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoOptions {
    /// Width in pixels: even, from 16.
    pub width: u32,
    /// Height in pixels: even, from 16. The longer side is at most 3840, the shorter at most 2160.
    pub height: u32,
    /// Frames a second, 1 to 60; 25 unless asked otherwise.
    pub frames_per_second: u32,
    /// The constant quantiser of H.264, 12 to 51: 18 looks like the original, 22 (default) nearly so, every 6 more
    /// halve the size.
    pub quantizer: u8,
    /// Frames from one picture that decoding can start at to the next: 50, two seconds, unless asked otherwise.
    pub keyframe_interval: u32,
    /// Number of frames, if it is known: the index then goes to the front of the file, and a browser can start to
    /// play before it has all of it. Other numbers of frames may be pushed all the same.
    pub expected_frames: Option<u64>,
}

impl VideoOptions {
    /// Pictures of a size in pixels, and defaults for the rest.
    pub fn new(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            frames_per_second: FRAMES_PER_SECOND,
            quantizer: 22,
            keyframe_interval: 2 * FRAMES_PER_SECOND,
            expected_frames: None,
        }
    }

    /// Refuses what cannot be encoded.
    pub(super) fn check(&self) -> Result<()> {
        let Self { width, height, .. } = *self;
        let refuse = |what: String| Err(Error::argument("video", what));
        if width % 2 != 0 || height % 2 != 0 {
            let (even_width, even_height) = (width.next_multiple_of(2), height.next_multiple_of(2));
            return Err(Error::argument(
                "video",
                format!("a size of {width}x{height}; expected even numbers"),
            )
            .with_hint(format!(
                "video stores colour for two by two pixels: choose {even_width}x{even_height}"
            )));
        }
        let (long, short) = (width.max(height), width.min(height));
        if short < SMALLEST || long > LARGEST.0 || short > LARGEST.1 {
            let what = format!(
                "a size of {width}x{height}; expected {SMALLEST}x{SMALLEST} to {}x{}",
                LARGEST.0, LARGEST.1
            );
            return Err(Error::argument("video", what)
                .with_hint("choose a smaller size, or save single pictures (png) instead"));
        }
        if !RATES.contains(&self.frames_per_second) {
            let rate = self.frames_per_second;
            return refuse(format!("{rate} frames a second; expected {} to {}", RATES.start(), RATES.end()));
        }
        if !QUANTIZERS.contains(&self.quantizer) {
            let (low, high) = (QUANTIZERS.start(), QUANTIZERS.end());
            return Err(Error::argument(
                "video",
                format!("a quantiser of {}; expected {low} to {high}", self.quantizer),
            )
            .with_hint("smaller is better and larger in bytes; 22 is usual"));
        }
        if self.keyframe_interval == 0 {
            return refuse("0 frames between key frames; expected 1 or more".to_owned());
        }
        Ok(())
    }
}

/// Sound of a video: Opus at 48 kHz.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioOptions {
    /// Channels: 1, or 2 (left and right).
    pub channels: usize,
    /// Bits a second, on average.
    pub bits_per_second: u32,
}

impl AudioOptions {
    /// One or two channels at 64 kbit/s each, at which speech and most music sound like the original.
    pub fn new(channels: usize) -> Self {
        Self { channels, bits_per_second: if channels == 2 { 128_000 } else { 64_000 } }
    }

    /// Refuses what cannot be encoded.
    pub(super) fn check(&self) -> Result<()> {
        if !(1..=2).contains(&self.channels) {
            let what = format!("{} channels of sound; expected 1 or 2", self.channels);
            return Err(Error::argument("video", what));
        }
        if !(6_000..=510_000).contains(&self.bits_per_second) {
            let what = format!("{} bits a second of sound; expected 6000 to 510000", self.bits_per_second);
            return Err(Error::argument("video", what).with_hint("64000 is usual for a channel"));
        }
        Ok(())
    }
}

impl Default for AudioOptions {
    /// One channel at 64 kbit/s.
    fn default() -> Self {
        Self::new(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_cannot_be_are_refused_with_a_way_out() {
        for (width, height) in [(512, 512), (16, 16), (3840, 2160), (2160, 3840)] {
            VideoOptions::new(width, height).check().unwrap();
        }
        let odd = VideoOptions::new(511, 512).check().unwrap_err();
        assert_eq!(odd.to_string(), "video: a size of 511x512; expected even numbers");
        assert!(odd.hint().unwrap().ends_with("choose 512x512"));
        for (width, height) in [(3842, 2160), (3840, 2162), (4096, 16), (14, 16), (0, 0), (u32::MAX - 1, 2)] {
            let error = VideoOptions::new(width, height).check().unwrap_err();
            assert!(error.to_string().contains("expected 16x16 to 3840x2160"), "{error}");
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn other_options_out_of_range_are_refused() {
        let good = VideoOptions::new(64, 64);
        for bad in [
            VideoOptions { frames_per_second: 0, ..good.clone() },
            VideoOptions { frames_per_second: 61, ..good.clone() },
            VideoOptions { quantizer: 11, ..good.clone() },
            VideoOptions { quantizer: 52, ..good.clone() },
            VideoOptions { keyframe_interval: 0, ..good },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        assert!(AudioOptions::new(2).check().is_ok());
        assert!(AudioOptions::new(0).check().is_err());
        assert!(AudioOptions::new(3).check().is_err());
        assert!(AudioOptions { channels: 1, bits_per_second: 5_999 }.check().is_err());
    }
}
