//! Pictures in files: PNG stills, numbered PNG sequences, animated GIFs.
//!
//! Where the renderer's [`Image`]s end when no video is wanted. Sequences and animations take one picture after the
//! other and hold only a few, so an hour costs no more memory than a second. Every file is written under a
//! temporary name and renamed when it is complete ([`AtomicFile`]).
//!
//! ```
//! use unils_render::Image;
//! use unils_render::picture::{GifWriter, write_png};
//! # let folder = std::env::temp_dir().join(format!("unils-picture-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! let mut image = Image::new(64, 48)?;
//! image.fill([200, 120, 90, 255]);
//! write_png(folder.join("still.png"), &image)?;
//! let mut gif = GifWriter::create(folder.join("moving.gif"), 64, 48, 25.0)?;
//! gif.push(&image)?;
//! gif.finish()?;
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<(), unils::Error>(())
//! ```

mod gif;
mod palette;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use unils::file::AtomicFile;
use unils::{Error, Result};

pub use self::gif::GifWriter;
use crate::image::{Image, check_size};

/// Writes a PNG file, whole or not at all.
///
/// # Errors
/// [`Error::Argument`] for a picture whose pixels do not fit its size, [`Error::Io`] if it cannot be written.
pub fn write_png(path: impl AsRef<Path>, image: &Image) -> Result<()> {
    write_png_with(path.as_ref(), image, png::Compression::Balanced)
}

fn write_png_with(path: &Path, image: &Image, compression: png::Compression) -> Result<()> {
    check(image)?;
    let mut file = AtomicFile::create(path)?;
    encode(&mut file, image, compression).map_err(|error| Error::io("write", path, error))?;
    file.commit()
}

/// Writes a PNG picture to any writer; without an alpha channel if it is opaque.
///
/// # Errors
/// Those of the writer, and `InvalidInput` for a picture whose pixels do not fit its size.
pub fn encode_png(writer: impl Write, image: &Image) -> io::Result<()> {
    encode(writer, image, png::Compression::Balanced)
}

fn encode(writer: impl Write, image: &Image, compression: png::Compression) -> io::Result<()> {
    check(image).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let opaque = image.rgba.chunks_exact(4).all(|pixel| pixel[3] == 255);
    let mut encoder = png::Encoder::new(writer, image.width as u32, image.height as u32);
    encoder.set_color(if opaque { png::ColorType::Rgb } else { png::ColorType::Rgba });
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
    encoder.set_compression(compression);
    let mut writer = encoder.write_header()?;
    if opaque {
        let rgb: Vec<u8> =
            image.rgba.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        writer.write_image_data(&rgb)?;
    } else {
        writer.write_image_data(&image.rgba)?;
    }
    writer.finish()?;
    Ok(())
}

/// Checks that a picture made by anyone holds the pixels that its size says.
fn check(image: &Image) -> Result<()> {
    check_size(image.width, image.height)?;
    let expected = image.width * image.height * 4;
    if image.rgba.len() != expected {
        let what = format!("{} bytes of pixels: expected {expected}", image.rgba.len());
        return Err(Error::argument("picture", what));
    }
    Ok(())
}

/// Writes numbered PNG files: `talk.png` becomes `talk-000000.png`, `talk-000001.png` and so on.
#[derive(Debug)]
pub struct PngSequence {
    path: PathBuf,
    count: usize,
}

impl PngSequence {
    /// A sequence named after a path with the ending `.png`; its folder must exist.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), count: 0 }
    }

    /// The file of the picture at an index, counted from 0.
    pub fn path_of(&self, index: usize) -> PathBuf {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!("{stem}-{index:06}.png"))
    }

    /// Pictures written so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Writes the next picture.
    ///
    /// # Errors
    /// As for [`write_png`]; files written before stay.
    pub fn push(&mut self, image: &Image) -> Result<()> {
        write_png_with(&self.path_of(self.count), image, png::Compression::Fast)?;
        self.count += 1;
        Ok(())
    }
}
