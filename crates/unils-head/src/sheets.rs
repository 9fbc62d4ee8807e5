//! Contact sheets: what the head looks like in every shape, in combinations and in both looks.

use std::path::Path;

use unils::face::BlendshapeRig;
use unils::motion::{Space, Unit};
use unils::{Error, Result};
use unils_render::raster::{Background, FaceRenderer, Focus, RenderOptions, View, frame_of};
use unils_render::{Image, text};

use crate::GeneratedHead;

/// One picture of a sheet: its label, the channels that are not 0, and from where.
struct Cell {
    label: String,
    values: Vec<(String, f32)>,
    view: View,
    look: usize,
}

/// Height of the line of text under each picture.
const LABEL: usize = 20;

const PAPER: [u8; 4] = [24, 26, 32, 255];
const INK: [u8; 4] = [214, 219, 228, 255];

/// Height of a line of the labels, pixels.
const TEXT: f32 = 15.0;

/// Writes both sheets into a folder.
///
/// # Errors
/// Those of the renderer, and [`Error::Io`] if a file cannot be written.
pub fn write_all(head: &GeneratedHead, folder: &Path) -> Result<()> {
    let shapes = sheet(head, &shape_cells(), 11, 164)?;
    write_png(&folder.join("head_shapes.png"), &shapes)?;
    let combinations = sheet(head, &combination_cells(6), 6, 224)?;
    write_png(&folder.join("head_combinations.png"), &combinations)
}

/// The face without the crown and the shoulders, from a little to the person's left.
fn close(yaw: f32) -> View {
    let focus = Focus::Point { center: [0.0, -0.022, 0.03], height: 0.225 };
    View { yaw, focus, ..View::default() }
}

fn bust(yaw: f32) -> View {
    let focus = Focus::Point { center: [0.0, -0.044, 0.0], height: 0.40 };
    View { yaw, pitch: 0.02, focus, ..View::default() }
}

fn shape_cells() -> Vec<Cell> {
    let mut cells: Vec<Cell> = [("neutral", 0.0), ("three quarters", 0.62), ("side", 1.5)]
        .into_iter()
        .map(|(label, yaw)| Cell { label: label.to_owned(), values: vec![], view: bust(yaw), look: 0 })
        .collect();
    for channel in Space::Arkit55.channels().iter().filter(|channel| channel.unit == Unit::Coefficient) {
        // mouthClose is meant for an open jaw.
        let (label, values) = if channel.name == "mouthClose" {
            (
                "mouthClose + jawOpen".to_owned(),
                vec![(channel.name.to_owned(), 1.0), ("jawOpen".to_owned(), 1.0)],
            )
        } else {
            (channel.name.to_owned(), vec![(channel.name.to_owned(), 1.0)])
        };
        cells.push(Cell { label, values, view: close(0.2), look: 0 });
    }
    cells
}

/// Expressions, sounds of speech and hard cases: channels that end in `*` are meant on both sides.
const COMBINATIONS: [(&str, &[(&str, f32)]); 24] = [
    ("smile", &[("mouthSmile*", 0.8), ("cheekSquint*", 0.5)]),
    ("laugh", &[("mouthSmile*", 0.9), ("cheekSquint*", 0.8), ("eyeSquint*", 0.4), ("jawOpen", 0.55)]),
    ("sad", &[("mouthFrown*", 0.8), ("browInnerUp", 0.9), ("mouthShrugLower", 0.4)]),
    ("angry", &[("browDown*", 1.0), ("mouthPress*", 0.7), ("eyeSquint*", 0.5)]),
    ("surprise", &[("browOuterUp*", 0.9), ("browInnerUp", 0.9), ("eyeWide*", 0.9), ("jawOpen", 0.6)]),
    (
        "doubt",
        &[("browOuterUpLeft", 1.0), ("browDownRight", 0.8), ("mouthLeft", 0.5), ("mouthDimpleLeft", 0.6)],
    ),
    ("speech: ah", &[("jawOpen", 0.7), ("mouthLowerDown*", 0.15)]),
    (
        "speech: ee",
        &[
            ("jawOpen", 0.15),
            ("mouthStretch*", 0.4),
            ("mouthSmile*", 0.35),
            ("mouthUpperUp*", 0.4),
            ("mouthLowerDown*", 0.4),
        ],
    ),
    ("speech: oh", &[("jawOpen", 0.4), ("mouthFunnel", 0.7)]),
    ("speech: oo", &[("jawOpen", 0.12), ("mouthPucker", 0.8), ("mouthFunnel", 0.2)]),
    ("speech: m", &[("mouthPress*", 0.5), ("mouthRollLower", 0.3), ("mouthRollUpper", 0.3)]),
    ("speech: f", &[("jawOpen", 0.08), ("mouthRollLower", 0.6), ("mouthUpperUp*", 0.3)]),
    ("jawOpen + close", &[("jawOpen", 1.0), ("mouthClose", 1.0)]),
    ("jawOpen + funnel", &[("jawOpen", 1.0), ("mouthFunnel", 1.0)]),
    ("jawOpen + pucker", &[("jawOpen", 1.0), ("mouthPucker", 1.0)]),
    ("jawOpen + smile", &[("jawOpen", 1.0), ("mouthSmile*", 1.0)]),
    ("jawOpen + tongue", &[("jawOpen", 0.5), ("tongueOut", 1.0)]),
    ("half blink", &[("eyeBlink*", 0.5)]),
    ("blink", &[("eyeBlink*", 1.0)]),
    ("blink + squint", &[("eyeBlink*", 1.0), ("eyeSquint*", 1.0)]),
    ("blink + wide", &[("eyeBlink*", 1.0), ("eyeWide*", 1.0)]),
    ("blink + look down", &[("eyeBlink*", 1.0), ("eyeLookDown*", 1.0)]),
    ("turned", &[("headYaw", 0.6), ("headPitch", 0.1)]),
    ("tilted", &[("headRoll", 0.35), ("headPitch", -0.25)]),
];

/// Both looks from three sides, then the combinations, a row in the one look and a row in the other.
fn combination_cells(columns: usize) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (look, name) in [(0, "look a"), (1, "look b")] {
        for (yaw, from) in [(0.0, ""), (0.62, ", left"), (-0.62, ", right")] {
            cells.push(Cell { label: format!("{name}{from}"), values: vec![], view: bust(yaw), look });
        }
    }
    for (label, values) in COMBINATIONS {
        let look = (cells.len() / columns) % 2;
        let values = values.iter().flat_map(|&(name, value)| both_sides(name, value)).collect();
        cells.push(Cell { label: label.to_owned(), values, view: close(0.12), look });
    }
    cells
}

fn both_sides(name: &str, value: f32) -> Vec<(String, f32)> {
    match name.strip_suffix('*') {
        Some(stem) => vec![(format!("{stem}Left"), value), (format!("{stem}Right"), value)],
        None => vec![(name.to_owned(), value)],
    }
}

fn sheet(head: &GeneratedHead, cells: &[Cell], columns: usize, side: usize) -> Result<Image> {
    let rigs: Vec<BlendshapeRig> =
        head.looks.iter().map(|look| look.apply(&head.rig, "unils")).collect::<Result<_>>()?;
    let rows = cells.len().div_ceil(columns);
    let mut page = Image::new(columns * side, rows * (side + LABEL))?;
    page.fill(PAPER);
    for (i, cell) in cells.iter().enumerate() {
        let rig = &rigs[cell.look];
        // One colour: all of the palette is for the face.
        let background = Background::Color([62, 68, 80]);
        let options = RenderOptions {
            width: side,
            height: side,
            view: cell.view.clone(),
            background,
            ..RenderOptions::default()
        };
        let values: Vec<(&str, f32)> =
            cell.values.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let mut image = Image::default();
        FaceRenderer::new(rig, &options)?.render(&frame_of(rig, &values)?, &mut image)?;
        let (x, y) = ((i % columns) * side, (i / columns) * (side + LABEL));
        page.paste(&image, x, y);
        let middle = (x + side / 2) as f32 - 0.5 * text::width(&cell.label, TEXT);
        text::draw(&mut page, &cell.label, [middle, (y + side + 2) as f32], TEXT, INK);
    }
    Ok(page)
}

/// Writes a picture with a palette of its own, which makes it a third of the size.
fn write_png(path: &Path, image: &Image) -> Result<()> {
    let bytes = crate::palette::png(image).map_err(|error| Error::io("encode", path, error))?;
    unils::file::write_whole(path, &bytes)
}
