//! Pictures on surfaces: decoded once, with smaller copies so that they do not shimmer from afar.

use std::io::Cursor;

use unils::face::{Mesh, Texture};
use unils::{Error, Result};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::color;

/// The longest side of a texture that is decoded, texels: bounds the memory that a file can ask for.
const MAX_SIDE: usize = 4096;

/// The longest side that is kept: more is not seen in pictures of the sizes made here.
const KEPT_SIDE: usize = 2048;

/// A texture, ready for use.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    /// The picture and its copies, each half the size of the one before, down to one texel.
    levels: Vec<Level>,
    /// Whether anything shines through.
    pub see_through: bool,
}

/// Straight alpha, sRGB.
#[derive(Debug, Clone, PartialEq)]
struct Level {
    width: usize,
    height: usize,
    texels: Vec<[u8; 4]>,
}

/// Decodes the textures of a mesh, each once: the pictures, and which of them each part has.
///
/// # Errors
/// [`Error::Face`] for a texture that cannot be decoded or is too large, or a mesh without texture coordinates.
pub(super) fn decode_all(mesh: &Mesh) -> Result<(Vec<Picture>, Vec<Option<usize>>)> {
    let mut pictures = Vec::new();
    let mut seen: Vec<&Texture> = Vec::new();
    let mut of_parts = Vec::new();
    for part in &mesh.parts {
        let Some(texture) = &part.material.texture else {
            of_parts.push(None);
            continue;
        };
        let place = format!("texture of {:?}", part.material.name);
        if mesh.uvs.is_empty() {
            return Err(Error::face(place, "the mesh has no texture coordinates"));
        }
        let known = seen.iter().position(|&other| other == texture);
        of_parts.push(Some(known.unwrap_or(pictures.len())));
        if known.is_none() {
            seen.push(texture);
            pictures.push(Picture::decode(texture).map_err(|what| {
                Error::face(place, what).with_hint("textures are PNG or JPEG pictures of at most 4096 a side")
            })?);
        }
    }
    Ok((pictures, of_parts))
}

impl Picture {
    fn decode(texture: &Texture) -> std::result::Result<Self, String> {
        let level = match texture.mime.as_str() {
            "image/png" => decode_png(&texture.bytes),
            "image/jpeg" => decode_jpeg(&texture.bytes),
            other => Err(format!("{other:?} is not a kind of picture known here")),
        }?;
        Ok(Self::new(level))
    }

    fn new(mut level: Level) -> Self {
        let see_through = level.texels.iter().any(|texel| texel[3] < 255);
        let mut levels = Vec::new();
        while level.texels.len() > 1 {
            let next = level.half();
            if level.width.max(level.height) <= KEPT_SIDE {
                levels.push(level);
            }
            level = next;
        }
        levels.push(level);
        Self { levels, see_through }
    }

    /// Linear RGB and opacity at texture coordinates, of which one pixel of the picture covers `area`.
    pub(super) fn sample(&self, uv: [f32; 2], area: f32) -> [f32; 4] {
        let first = &self.levels[0];
        let texels = area * (first.width * first.height) as f32;
        // Half the binary logarithm, its fraction a straight line between whole numbers.
        let level = if texels > 1.0 && texels.is_finite() {
            let bits = texels.to_bits();
            ((bits >> 23) as f32 - 127.0 + (bits & 0x7f_ffff) as f32 / 8_388_608.0) * 0.5
        } else {
            0.0
        };
        let last = self.levels.len() - 1;
        let whole = (level as usize).min(last);
        let share = (level - whole as f32).clamp(0.0, 1.0);
        let fine = self.levels[whole].sample(uv);
        if share == 0.0 || whole == last {
            return fine;
        }
        let coarse = self.levels[whole + 1].sample(uv);
        std::array::from_fn(|i| fine[i] + (coarse[i] - fine[i]) * share)
    }
}

impl Level {
    /// The picture at half the size: means of four texels, in linear light.
    fn half(&self) -> Self {
        let (width, height) = ((self.width / 2).max(1), (self.height / 2).max(1));
        let mut texels = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let at = |dx: usize, dy: usize| {
                    let (x, y) = ((2 * x + dx).min(self.width - 1), (2 * y + dy).min(self.height - 1));
                    self.texels[y * self.width + x]
                };
                let four = [at(0, 0), at(1, 0), at(0, 1), at(1, 1)];
                let alpha: f32 = four.iter().map(|texel| f32::from(texel[3])).sum();
                let channel = |i: usize| {
                    // What is clear has no say in the colour.
                    let sum: f32 = four.iter().map(|t| color::linear(t[i]) * f32::from(t[3])).sum();
                    if alpha > 0.0 { color::srgb(sum / alpha) } else { 0 }
                };
                texels.push([channel(0), channel(1), channel(2), (alpha / 4.0 + 0.5) as u8]);
            }
        }
        Self { width, height, texels }
    }

    /// Between the four texels around, repeating beyond the edges.
    fn sample(&self, [u, v]: [f32; 2]) -> [f32; 4] {
        let axis = |value: f32, size: usize| {
            let place = (value - value.floor()) * size as f32 - 0.5;
            let low = place.floor();
            // Not a number counts as 0.
            let index = (low as i64).rem_euclid(size as i64) as usize;
            (index, (index + 1) % size, place - low)
        };
        let ((left, right, across), (top, bottom, down)) = (axis(u, self.width), axis(v, self.height));
        let texel = |x: usize, y: usize| {
            let [r, g, b, a] = self.texels[y * self.width + x];
            [color::linear(r), color::linear(g), color::linear(b), f32::from(a) / 255.0]
        };
        let (a, b) = (texel(left, top), texel(right, top));
        let (c, d) = (texel(left, bottom), texel(right, bottom));
        std::array::from_fn(|i| {
            let (above, below) = (a[i] + (b[i] - a[i]) * across, c[i] + (d[i] - c[i]) * across);
            above + (below - above) * down
        })
    }
}

fn check_size(width: usize, height: usize) -> std::result::Result<(), String> {
    if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
        return Err(format!("{width} x {height} texels: expected 1 to {MAX_SIDE} a side"));
    }
    Ok(())
}

fn decode_png(bytes: &[u8]) -> std::result::Result<Level, String> {
    let limits = png::Limits { bytes: MAX_SIDE * MAX_SIDE * 8 + (1 << 20) };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    check_size(width, height)?;
    let size = reader.output_buffer_size().ok_or("too large")?;
    let mut data = vec![0; size];
    let frame = reader.next_frame(&mut data).map_err(|error| error.to_string())?;
    let channels = frame.color_type.samples();
    let texel = |values: &[u8]| match *values {
        [grey] => [grey, grey, grey, 255],
        [grey, alpha] => [grey, grey, grey, alpha],
        [r, g, b] => [r, g, b, 255],
        [r, g, b, a, ..] => [r, g, b, a],
        [] => [0; 4],
    };
    let texels: Vec<_> = data[..frame.buffer_size()].chunks_exact(channels).map(texel).collect();
    if texels.len() != width * height {
        return Err("is not one whole picture".to_owned());
    }
    Ok(Level { width, height, texels })
}

fn decode_jpeg(bytes: &[u8]) -> std::result::Result<Level, String> {
    let options = DecoderOptions::default()
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    let info = decoder.info().ok_or("has no header")?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    check_size(width, height)?;
    let data = decoder.decode().map_err(|error| error.to_string())?;
    let texels: Vec<_> = data.chunks_exact(3).map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect();
    if texels.len() != width * height {
        return Err("is not one whole picture".to_owned());
    }
    Ok(Level { width, height, texels })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Picture {
        let texels = (0..16 * 16).map(|i| if (i + i / 16) % 2 == 0 { [255; 4] } else { [0, 0, 0, 255] });
        Picture::new(Level { width: 16, height: 16, texels: texels.collect() })
    }

    #[test]
    fn near_shows_texels_and_far_their_mean() {
        let picture = checks();
        assert_eq!(picture.levels.len(), 5);
        assert_eq!(picture.sample([0.5 / 16.0, 0.5 / 16.0], 0.0), [1.0; 4]);
        assert_eq!(picture.sample([1.5 / 16.0, 0.5 / 16.0], 0.0)[0], 0.0);
        // Half way between a white and a black texel, and wrapped round by whole numbers.
        assert_eq!(picture.sample([1.0 / 16.0, 0.5 / 16.0], 0.0)[0], 0.5);
        assert_eq!(picture.sample([3.0 + 1.0 / 16.0, -2.0 + 0.5 / 16.0], 0.0)[0], 0.5);
        // Half the light, not half of sRGB.
        for area in [4.0 / 256.0, 64.0 / 256.0, 1.0, 1e9, f32::INFINITY] {
            let far = picture.sample([0.3, 0.7], area)[0];
            let expected =
                if area.is_finite() { color::linear(188) } else { picture.sample([0.3, 0.7], 0.0)[0] };
            assert!((far - expected).abs() < 1e-5, "{area}: {far}");
        }
        assert!(
            picture.sample([f32::NAN, f32::INFINITY], f32::NAN).iter().all(|v| v.is_finite() || v.is_nan())
        );
    }

    #[test]
    fn damaged_and_huge_pictures_are_refused() {
        let mut huge = Vec::new();
        let encoder = png::Encoder::new(&mut huge, 5000, 1);
        encoder.write_header().unwrap().write_image_data(&[0; 5000]).unwrap();
        for (mime, bytes) in [
            ("image/png", &b"\x89PNG\r\n\x1a\n"[..]),
            ("image/png", &huge),
            ("image/jpeg", &[0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0xff, 0xff, 0xff, 0xff, 1, 1, 0x11, 0]),
            ("image/jpeg", &[]),
            ("image/webp", &[1, 2, 3]),
        ] {
            let texture = Texture { mime: mime.to_owned(), bytes: bytes.to_vec() };
            assert!(Picture::decode(&texture).is_err(), "{mime} of {} bytes", bytes.len());
        }
    }
}
