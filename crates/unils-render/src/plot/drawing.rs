//! Lines, areas and labels, written as SVG or drawn as pixels: one drawing, two outputs.

use std::fmt::Write;

use tiny_skia::{FillRule, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, Transform};
use unils::{Error, Result};

use crate::image::{Image, check_size};
use crate::text;

/// sRGB and opacity.
pub(super) type Color = [u8; 4];

/// Where a label stands in relation to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn svg(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }

    /// The part of the label's width that stands before its place.
    fn share(self) -> f32 {
        match self {
            Self::Start => 0.0,
            Self::Middle => 0.5,
            Self::End => 1.0,
        }
    }
}

/// One thing that is drawn; coordinates in pixels from the upper left.
#[derive(Debug, Clone, PartialEq)]
enum Item {
    Area {
        points: Vec<[f32; 2]>,
        color: Color,
    },
    Line {
        points: Vec<[f32; 2]>,
        color: Color,
        width: f32,
    },
    /// `place` is on the base line.
    Label {
        place: [f32; 2],
        text: String,
        size: f32,
        anchor: Anchor,
        color: Color,
    },
}

/// A drawing of a fixed size, on white.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Drawing {
    width: f32,
    height: f32,
    /// What it shows, for those who cannot see it.
    title: String,
    items: Vec<Item>,
}

impl Drawing {
    pub(super) fn new(width: f32, height: f32, title: &str) -> Self {
        Self { width, height, title: title.to_owned(), items: Vec::new() }
    }

    pub(super) fn rect(&mut self, [left, top]: [f32; 2], [right, bottom]: [f32; 2], color: Color) {
        self.area(vec![[left, top], [right, top], [right, bottom], [left, bottom]], color);
    }

    pub(super) fn area(&mut self, points: Vec<[f32; 2]>, color: Color) {
        self.items.push(Item::Area { points, color });
    }

    pub(super) fn line(&mut self, points: Vec<[f32; 2]>, color: Color, width: f32) {
        self.items.push(Item::Line { points, color, width });
    }

    pub(super) fn label(&mut self, place: [f32; 2], text: &str, size: f32, anchor: Anchor, color: Color) {
        self.items.push(Item::Label { place, text: text.to_owned(), size, anchor, color });
    }

    /// The drawing as an SVG file: labels stay text.
    pub(super) fn svg(&self) -> String {
        let (width, height) = (self.width, self.height);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"Helvetica, Arial, sans-serif\" role=\"img\">\n\
             <title>{}</title>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
            escaped(&self.title)
        );
        for item in &self.items {
            // Writing to a string cannot fail.
            let _ = match item {
                Item::Area { points, color } => {
                    writeln!(svg, "<path d=\"{}Z\"{}/>", path_data(points), paint("fill", *color))
                }
                Item::Line { points, color, width } => writeln!(
                    svg,
                    "<path d=\"{}\" fill=\"none\"{} stroke-width=\"{width}\" stroke-linejoin=\"round\"/>",
                    path_data(points),
                    paint("stroke", *color)
                ),
                Item::Label { place: [x, y], text, size, anchor, color } => writeln!(
                    svg,
                    "<text x=\"{}\" y=\"{}\" font-size=\"{size}\" text-anchor=\"{}\"{}>{}</text>",
                    short(*x),
                    short(*y),
                    anchor.svg(),
                    paint("fill", *color),
                    escaped(text)
                ),
            };
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// The drawing as pixels, `scale` of them for one of its own.
    pub(super) fn image(&self, scale: f32) -> Result<Image> {
        let side = |length: f32| (length * scale).round().max(0.0) as usize;
        let (width, height) = (side(self.width), side(self.height));
        check_size(width, height)?;
        let too_large = || Error::argument("picture size", format!("{width} x {height} pixels are too many"));
        // The check above keeps both within u32.
        let mut pixels = Pixmap::new(width as u32, height as u32).ok_or_else(too_large)?;
        pixels.fill(tiny_skia::Color::WHITE);
        let transform = Transform::from_scale(scale, scale);
        for item in &self.items {
            match item {
                Item::Area { points, color } => {
                    if let Some(path) = path(points, true) {
                        pixels.fill_path(&path, &paint_of(*color), FillRule::Winding, transform, None);
                    }
                }
                Item::Line { points, color, width } => {
                    if let Some(path) = path(points, false) {
                        let stroke =
                            Stroke { width: *width, line_join: LineJoin::Round, ..Stroke::default() };
                        pixels.stroke_path(&path, &paint_of(*color), &stroke, transform, None);
                    }
                }
                Item::Label { .. } => {}
            }
        }
        let mut image = Image::new(width, height)?;
        // White below everything makes all of it opaque: premultiplied and straight are the same.
        image.rgba.copy_from_slice(pixels.data());
        for item in &self.items {
            if let Item::Label { place: [x, y], text, size, anchor, color } = item {
                let label_width = text::width(text, size * LETTERS) * anchor.share();
                // The letters' base line stands 14 of a line's 19 units below its top.
                let top = y - size * LETTERS * 14.0 / 19.0;
                let place = [(x - label_width) * scale, top * scale];
                text::draw(&mut image, text, place, size * LETTERS * scale, *color);
            }
        }
        Ok(image)
    }
}

/// Height of a line of drawn letters for a font's size of 1, so that both look the same size.
const LETTERS: f32 = 1.15;

fn path(points: &[[f32; 2]], is_closed: bool) -> Option<Path> {
    let (first, rest) = points.split_first()?;
    let mut builder = PathBuilder::new();
    builder.move_to(first[0], first[1]);
    rest.iter().for_each(|point| builder.line_to(point[0], point[1]));
    if is_closed {
        builder.close();
    }
    builder.finish()
}

fn paint_of([r, g, b, a]: Color) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(r, g, b, a);
    paint
}

fn path_data(points: &[[f32; 2]]) -> String {
    let mut data = String::with_capacity(points.len() * 12);
    for (index, [x, y]) in points.iter().enumerate() {
        data.push(if index == 0 { 'M' } else { 'L' });
        data.push_str(&short(*x));
        data.push(' ');
        data.push_str(&short(*y));
    }
    data
}

/// A coordinate to a tenth of a pixel, without needless zeros.
fn short(value: f32) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn paint(what: &str, [r, g, b, a]: Color) -> String {
    let opacity =
        if a == 255 { String::new() } else { format!(" {what}-opacity=\"{:.2}\"", f32::from(a) / 255.0) };
    format!(" {what}=\"#{r:02x}{g:02x}{b:02x}\"{opacity}")
}

/// Text that XML takes; characters that it cannot hold are replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn svg_is_short_and_escaped() {
        let mut drawing = Drawing::new(10.0, 8.0, "a < b");
        drawing.line(vec![[0.0, 1.0], [2.25, -0.04]], [0, 0x72, 0xb2, 255], 1.5);
        drawing.label([1.0, 2.0], "R&D \u{1}", 9.0, Anchor::End, [0, 0, 0, 128]);
        let svg = drawing.svg();
        assert!(svg.contains("<title>a &lt; b</title>"));
        assert!(
            svg.contains("<path d=\"M0 1L2.2 0\" fill=\"none\" stroke=\"#0072b2\" stroke-width=\"1.5\""),
            "{svg}"
        );
        assert!(
            svg.contains(
                "text-anchor=\"end\" fill=\"#000000\" fill-opacity=\"0.50\">R&amp;D \u{fffd}</text>"
            )
        );
    }

    #[test]
    fn pixels_are_where_the_drawing_says() {
        let mut drawing = Drawing::new(10.0, 8.0, "");
        drawing.rect([2.0, 2.0], [5.0, 4.0], [255, 0, 0, 255]);
        let image = drawing.image(2.0).unwrap();
        assert_eq!((image.width, image.height), (20, 16));
        assert_eq!(image.pixel(4, 4), [255, 0, 0, 255]);
        assert_eq!(image.pixel(9, 7), [255, 0, 0, 255]);
        assert_eq!(image.pixel(10, 8), [255, 255, 255, 255]);
        assert!(Drawing::new(1e9, 8.0, "").image(1.0).is_err());
    }
}
