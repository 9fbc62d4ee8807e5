//! Animated GIFs: 255 colours chosen from the first frames, ordered dither that stands still, only what changes.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use gif::{DisposalMethod, Encoder, EncodingError, Frame, Repeat};
use unils::file::AtomicFile;
use unils::{Error, Result};

use super::check;
use super::palette::{Histogram, Palette};
use crate::image::{Image, check_size};

/// Frames that are held to choose the colours from.
const LOOK_AHEAD: usize = 25;

/// Bytes of frames that are held at most (but one frame at least).
const HELD_BYTES: usize = 64 << 20;

/// A frame whose colours are met this much worse than those of the first frames gets colours of its own.
const TOLERANCE: f32 = 2.0;

/// Pixels apart at which the error is measured.
const ERROR_STEP: usize = 7;

/// Palette entry for a pixel that is clear or stays as it was.
const CLEAR: u8 = 255;

/// Writes an animated GIF that repeats for ever, frame by frame.
///
/// The format counts time in hundredths of a second: at 25 frames/s every frame has 4; other rates get frames of
/// differing lengths that keep the time on the whole.
pub struct GifWriter {
    path: PathBuf,
    width: usize,
    height: usize,
    fps: f64,
    held: VecDeque<Image>,
    /// Begun once the colours are chosen; until then the file alone.
    file: Option<AtomicFile>,
    encoder: Option<Encoder<AtomicFile>>,
    palette: Palette,
    /// Whether the palette is another than the file's.
    local: bool,
    /// The error of the frames that the palette was made from.
    usual_error: f32,
    last: Image,
    /// Whether pictures are clear in places: every frame is then whole, and goes before the next.
    clear: bool,
    count: u64,
}

impl GifWriter {
    /// Begins a file of pictures of one size.
    ///
    /// # Errors
    /// [`Error::Argument`] for a size or rate out of range, [`Error::Io`] if the file cannot be created.
    pub fn create(path: impl AsRef<Path>, width: usize, height: usize, fps: f64) -> Result<Self> {
        let path = path.as_ref();
        check_size(width, height)?;
        if !(0.1..=50.0).contains(&fps) {
            return Err(Error::argument("frames a second", format!("{fps}: expected 0.1 to 50 for a GIF"))
                .with_hint("viewers slow down GIFs of more than 50 frames a second: write an MP4"));
        }
        Ok(Self {
            path: path.to_owned(),
            width,
            height,
            fps,
            held: VecDeque::new(),
            file: Some(AtomicFile::create(path)?),
            encoder: None,
            palette: Palette::new(&Histogram::new()),
            local: false,
            usual_error: 0.0,
            last: Image::default(),
            clear: false,
            count: 0,
        })
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// [`Error::Argument`] for a picture of another size, [`Error::Io`] if the file cannot be written.
    pub fn push(&mut self, image: &Image) -> Result<()> {
        check(image)?;
        if (image.width, image.height) != (self.width, self.height) {
            let what =
                format!("{} x {}: expected {} x {}", image.width, image.height, self.width, self.height);
            return Err(Error::argument("picture", what));
        }
        if self.encoder.is_some() {
            return self.write(image);
        }
        self.held.push_back(image.clone());
        if self.held.len() >= LOOK_AHEAD || self.held.len() * image.rgba.len() >= HELD_BYTES {
            self.begin()?;
        }
        Ok(())
    }

    /// Completes the file.
    ///
    /// # Errors
    /// [`Error::Argument`] if there was no frame, [`Error::Io`] if the file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        if self.encoder.is_none() {
            if self.held.is_empty() {
                return Err(Error::argument(self.path.display(), "no frames: expected one or more"));
            }
            self.begin()?;
        }
        match self.encoder.take() {
            Some(encoder) => encoder.into_inner().map_err(|error| fault(&self.path, error))?.commit(),
            None => Ok(()),
        }
    }

    /// Chooses the colours from the frames held, and writes them.
    fn begin(&mut self) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        self.clear = held.iter().any(is_clear);
        self.choose(held.iter());
        let Some(file) = self.file.take() else { return Ok(()) };
        let colors = self.table();
        let encoder = Encoder::new(file, self.width as u16, self.height as u16, &colors);
        let mut encoder = encoder.map_err(|error| fault(&self.path, error))?;
        encoder.set_repeat(Repeat::Infinite).map_err(|error| fault(&self.path, error))?;
        self.encoder = Some(encoder);
        held.iter().try_for_each(|image| self.write(image))
    }

    fn choose<'i>(&mut self, images: impl Iterator<Item = &'i Image> + Clone) {
        let mut histogram = Histogram::new();
        images.clone().for_each(|image| histogram.add(&image.rgba));
        self.palette = Palette::new(&histogram);
        let errors = images.map(|image| self.palette.error(&image.rgba, ERROR_STEP));
        self.usual_error = errors.fold(0.0, f32::max);
    }

    fn write(&mut self, image: &Image) -> Result<()> {
        // A floor, so that a still wall does not make everything after it an outlier.
        if self.palette.error(&image.rgba, ERROR_STEP) > TOLERANCE * self.usual_error.max(4.0) {
            self.choose(std::iter::once(image));
            self.local = true;
            self.last = Image::default();
        }
        self.clear |= is_clear(image);
        let clear = self.clear;
        let area = if clear { Area::all(image) } else { Area::changed(&self.last, image) };
        let mut indices = Vec::with_capacity((area.right - area.left) * (area.bottom - area.top));
        for y in area.top..area.bottom {
            for x in area.left..area.right {
                let pixel = image.pixel(x, y);
                let same = !self.last.rgba.is_empty() && self.last.pixel(x, y) == pixel;
                let [r, g, b, a] = pixel;
                indices.push(if a < 128 || same { CLEAR } else { self.palette.index([r, g, b], x, y) });
            }
        }
        let colors = self.local.then(|| self.table());
        let frame = Frame {
            delay: self.delay(),
            // What a clear picture leaves behind must go; otherwise the next frame changes what is there.
            dispose: if clear { DisposalMethod::Background } else { DisposalMethod::Keep },
            transparent: Some(CLEAR),
            left: area.left as u16,
            top: area.top as u16,
            width: (area.right - area.left) as u16,
            height: (area.bottom - area.top) as u16,
            palette: colors,
            buffer: Cow::Owned(indices),
            ..Frame::default()
        };
        if let Some(encoder) = &mut self.encoder {
            encoder.write_frame(&frame).map_err(|error| fault(&self.path, error))?;
        }
        self.count += 1;
        if clear {
            self.last = Image::default();
        } else {
            self.last.clone_from(image);
        }
        Ok(())
    }

    /// The colours as the file wants them: 256, so that [`CLEAR`] is one of them.
    fn table(&self) -> Vec<u8> {
        let mut colors = self.palette.colors.concat();
        colors.resize(256 * 3, 0);
        colors
    }

    /// Hundredths of a second of the frame that is next: the ends of all frames are where the rate puts them.
    fn delay(&self) -> u16 {
        let end = |count: u64| (count as f64 * 100.0 / self.fps).round();
        (end(self.count + 1) - end(self.count)).clamp(2.0, f64::from(u16::MAX)) as u16
    }
}

/// Whether something of what is behind a picture is to be seen.
fn is_clear(image: &Image) -> bool {
    image.rgba.chunks_exact(4).any(|pixel| pixel[3] < 128)
}

/// A part of a picture, ends excluded; never empty.
struct Area {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Area {
    fn all(image: &Image) -> Self {
        Self { left: 0, top: 0, right: image.width, bottom: image.height }
    }

    /// The pixels that differ from the picture before; all if there is none.
    fn changed(before: &Image, image: &Image) -> Self {
        if before.rgba.is_empty() {
            return Self::all(image);
        }
        let stride = image.width * 4;
        let (mut area, mut any) = (Self { left: image.width, top: 0, right: 0, bottom: 0 }, false);
        for (y, (old, new)) in
            before.rgba.chunks_exact(stride).zip(image.rgba.chunks_exact(stride)).enumerate()
        {
            let different = |(old, new): (&[u8], &[u8])| old != new;
            let mut pairs = old.chunks_exact(4).zip(new.chunks_exact(4));
            let Some(first) = pairs.position(different) else { continue };
            let last = old.chunks_exact(4).zip(new.chunks_exact(4)).rposition(different).unwrap_or(first);
            area.top = if any { area.top } else { y };
            any = true;
            (area.left, area.right) = (area.left.min(first), area.right.max(last + 1));
            area.bottom = y + 1;
        }
        // A frame must have a pixel, to have a time.
        if any { area } else { Self { left: 0, top: 0, right: 1, bottom: 1 } }
    }
}

fn fault(path: &Path, error: EncodingError) -> Error {
    match error {
        EncodingError::Io(error) => Error::io("write", path, error),
        other => Error::io("write", path, std::io::Error::other(other)),
    }
}
