//! Pictures in files, read back by decoders.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::File;
use std::path::PathBuf;

use unils_render::Image;
use unils_render::picture::{GifWriter, PngSequence, encode_png, write_png};

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("unils-render-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A gradient with a disc that moves.
fn scene(step: usize, tint: [u8; 3]) -> Image {
    let mut image = Image::new(90, 60).unwrap();
    for (index, pixel) in image.rgba.chunks_exact_mut(4).enumerate() {
        let (x, y) = (index % 90, index / 90);
        let inside = x.abs_diff(10 + step).pow(2) + y.abs_diff(30).pow(2) < 64;
        let base = [40 + x as u8 / 2, 44 + y as u8 / 2, 60];
        pixel[..3].copy_from_slice(if inside { &tint } else { &base });
        pixel[3] = 255;
    }
    image
}

fn read_png(path: PathBuf) -> Image {
    let mut decoder = png::Decoder::new(std::io::BufReader::new(File::open(path).unwrap()));
    decoder.set_transformations(png::Transformations::ALPHA);
    let mut reader = decoder.read_info().unwrap();
    let mut rgba = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut rgba).unwrap();
    Image { width: info.width as usize, height: info.height as usize, rgba }
}

/// Frames as a viewer shows them, and their delays.
fn read_gif(path: PathBuf) -> (Vec<Image>, Vec<u16>) {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(File::open(path).unwrap()).unwrap();
    let mut canvas = Image::new(usize::from(decoder.width()), usize::from(decoder.height())).unwrap();
    let (mut frames, mut delays) = (Vec::new(), Vec::new());
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        let (left, top) = (usize::from(frame.left), usize::from(frame.top));
        let width = usize::from(frame.width);
        for (index, pixel) in frame.buffer.chunks(4).enumerate().filter(|(_, pixel)| pixel[3] > 0) {
            let at = ((top + index / width) * canvas.width + left + index % width) * 4;
            canvas.rgba[at..at + 4].copy_from_slice(pixel);
        }
        frames.push(canvas.clone());
        delays.push(frame.delay);
        if frame.dispose == gif::DisposalMethod::Background {
            canvas.fill([0; 4]);
        }
    }
    assert!(matches!(decoder.repeat(), gif::Repeat::Infinite));
    (frames, delays)
}

/// Mean difference a channel.
fn difference(a: &Image, b: &Image) -> f64 {
    let sum: u64 = a.rgba.iter().zip(&b.rgba).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.rgba.len() as f64
}

#[test]
fn stills_come_back_exactly() {
    let folder = Folder::new("still");
    let mut image = scene(20, [250, 20, 30]);
    write_png(folder.0.join("opaque.png"), &image).unwrap();
    assert_eq!(read_png(folder.0.join("opaque.png")), image);
    image.rgba[3] = 0;
    image.rgba[7] = 77;
    write_png(folder.0.join("clear.png"), &image).unwrap();
    assert_eq!(read_png(folder.0.join("clear.png")), image);
    assert_eq!(folder.files(), ["clear.png", "opaque.png"]);
    let broken = Image { width: 10, height: 10, rgba: vec![0; 7] };
    assert!(write_png(folder.0.join("no.png"), &broken).is_err());
    assert!(encode_png(Vec::new(), &broken).is_err());
    assert!(write_png(folder.0.join("no/such/folder.png"), &image).is_err());
}

#[test]
fn sequences_are_numbered() {
    let folder = Folder::new("sequence");
    let mut sequence = PngSequence::new(folder.0.join("talk.png"));
    for step in 0..3 {
        sequence.push(&scene(step * 10, [255; 3])).unwrap();
    }
    assert_eq!(sequence.count(), 3);
    assert_eq!(folder.files(), ["talk-000000.png", "talk-000001.png", "talk-000002.png"]);
    assert_eq!(read_png(sequence.path_of(2)), scene(20, [255; 3]));
}

#[test]
fn animations_play_as_they_were_drawn() {
    let folder = Folder::new("gif");
    let path = folder.0.join("talk.gif");
    let scenes: Vec<Image> = (0..60).map(|step| scene(step, [230, 60, 50])).collect();
    let mut writer = GifWriter::create(&path, 90, 60, 25.0).unwrap();
    scenes.iter().for_each(|scene| writer.push(scene).unwrap());
    writer.finish().unwrap();
    let (frames, delays) = read_gif(path.clone());
    assert_eq!(frames.len(), 60);
    assert!(delays.iter().all(|&delay| delay == 4), "{delays:?}");
    for (frame, scene) in frames.iter().zip(&scenes) {
        assert!(difference(frame, scene) < 2.0, "{}", difference(frame, scene));
    }
    // Dither stands still where nothing moves.
    assert!((0..60).all(|i| frames[i].pixel(80, 5) == frames[0].pixel(80, 5)));
    // The parts that change are small, and so is the file.
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < 40_000, "{size} bytes");
}

#[test]
fn times_add_up_at_any_rate() {
    let folder = Folder::new("rates");
    for (fps, total) in [(30.0, 300), (24.0, 375), (50.0, 180), (12.5, 720)] {
        let path = folder.0.join("rate.gif");
        let mut writer = GifWriter::create(&path, 90, 60, fps).unwrap();
        (0..90).for_each(|step| writer.push(&scene(step % 40, [9, 200, 30])).unwrap());
        writer.finish().unwrap();
        let (frames, delays) = read_gif(path);
        assert_eq!((frames.len(), delays.iter().map(|&d| u32::from(d)).sum::<u32>()), (90, total), "{fps}");
    }
    for fps in [0.0, -3.0, 51.0, f64::NAN] {
        assert!(GifWriter::create(folder.0.join("no.gif"), 90, 60, fps).is_err());
    }
}

#[test]
fn colours_that_come_late_are_right_too() {
    let folder = Folder::new("late");
    let path = folder.0.join("late.gif");
    let mut writer = GifWriter::create(&path, 90, 60, 25.0).unwrap();
    let tint = |step: usize| if step < 40 { [70, 70, 70] } else { [20, 240, 30] };
    let mut scenes = Vec::new();
    for step in 0..50 {
        let mut image = scene(30, tint(step));
        // Still pictures but for one, and a large patch of the new colour.
        if step >= 40 {
            (0..90 * 40).for_each(|i| image.rgba[i * 4..i * 4 + 3].copy_from_slice(&tint(step)));
        }
        writer.push(&image).unwrap();
        scenes.push(image);
    }
    writer.finish().unwrap();
    let (frames, _) = read_gif(path);
    for (frame, scene) in frames.iter().zip(&scenes) {
        assert!(difference(frame, scene) < 2.0, "{}", difference(frame, scene));
    }
}

#[test]
fn clear_pictures_leave_nothing_behind() {
    let folder = Folder::new("clear");
    let path = folder.0.join("clear.gif");
    let mut writer = GifWriter::create(&path, 40, 30, 25.0).unwrap();
    let patch = |step: usize| {
        let mut image = Image::new(40, 30).unwrap();
        (0..10)
            .for_each(|x| image.rgba[(600 + step * 5 + x) * 4..][..4].copy_from_slice(&[200, 100, 50, 255]));
        image
    };
    // An opaque one first.
    let mut first = Image::new(40, 30).unwrap();
    first.fill([60, 70, 80, 255]);
    writer.push(&first).unwrap();
    (0..4).for_each(|step| writer.push(&patch(step)).unwrap());
    writer.finish().unwrap();
    let (mut frames, _) = read_gif(path);
    assert_eq!(frames.remove(0).pixel(0, 0)[3], 255);
    for (step, frame) in frames.iter().enumerate() {
        let inked: Vec<usize> = (0..1200).filter(|i| frame.rgba[i * 4 + 3] > 0).collect();
        assert_eq!(inked, (600 + step * 5..610 + step * 5).collect::<Vec<_>>());
    }
}

#[test]
fn unfinished_and_empty_animations_leave_no_file() {
    let folder = Folder::new("unfinished");
    let path = folder.0.join("talk.gif");
    let mut writer = GifWriter::create(&path, 90, 60, 25.0).unwrap();
    assert!(writer.push(&Image::new(91, 60).unwrap()).is_err());
    (0..40).for_each(|step| writer.push(&scene(step, [1, 2, 3])).unwrap());
    drop(writer);
    assert!(GifWriter::create(&path, 90, 60, 25.0).unwrap().finish().is_err());
    assert!(GifWriter::create(&path, 0, 60, 25.0).is_err());
    assert!(folder.files().is_empty(), "{:?}", folder.files());
}
