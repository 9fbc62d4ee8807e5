//! Small labels in pictures: letters drawn as strokes, so that no font file has to be shipped.
//!
//! For the names under faces and the cells of contact sheets. Printable ASCII; anything else is an empty box.
//!
//! ```
//! use unils_render::{Image, text};
//! let mut image = Image::new(120, 24)?;
//! image.fill([20, 20, 24, 255]);
//! let width = text::width("jawOpen 0.7", 16.0);
//! text::draw(&mut image, "jawOpen 0.7", [60.0 - width / 2.0, 4.0], 16.0, [235, 235, 235, 255]);
//! # Ok::<(), unils::Error>(())
//! ```

use crate::color;
use crate::image::Image;

/// A line's height in units of the letters' grid: 12 above the base line, 4 below it, and room between lines.
const LINE: f32 = 19.0;

/// Half the width of a stroke, in units.
const PEN: f32 = 0.85;

/// Between two letters, in units.
const GAP: f32 = 3.2;

/// Width of a blank, in units.
const BLANK: f32 = 4.0;

/// Strokes of a letter: points of a digit (x) and a letter (y: `e` is the base line, `m` the height of an x, `q`
/// that of a capital), strokes apart by blanks; `~` marks a stroke whose corners are rounded.
fn strokes(letter: char) -> &'static str {
    match letter {
        'A' => "0e4q8e 1i7i",
        'B' => "0e0q ~0q5q7p7l5k0k ~0k5k8j8f5e0e",
        'C' => "~8o6q2q0n0h2e6e8g",
        'D' => "0e0q ~0q4q8o8g4e0e",
        'E' => "7e0e0q7q 0k6k",
        'F' => "0e0q7q 0k6k",
        'G' => "~8o6q2q0n0h2e6e8g8k 8k5k",
        'H' => "0e0q 8e8q 0k8k",
        'I' => "0e0q",
        'J' => "~5q5h4e2e0f0h",
        'K' => "0e0q 0j7q 2l7e",
        'L' => "0q0e6e",
        'M' => "0e0q4i8q8e",
        'N' => "0e0q8e8q",
        'O' => "~2q0n0h2e6e8h8n6q2q",
        'P' => "0e0q ~0q5q8p8l5k0k",
        'Q' => "~2q0n0h2e6e8h8n6q2q 5h8e",
        'R' => "0e0q ~0q5q8p8l5k0k 4k8e",
        'S' => "~8o6q2q0o0m2k6k8i8g6e2e0g",
        'T' => "0q8q 4q4e",
        'U' => "~0q0h2e6e8h8q",
        'V' => "0q4e8q",
        'W' => "0q2e4o6e8q",
        'X' => "0q8e 0e8q",
        'Y' => "0q4k8q 4k4e",
        'Z' => "0q8q0e8e",
        'a' => "6m6e ~6k4m2m0k0g2e4e6g",
        'b' => "0q0e ~0k2m4m6k6g4e2e0g",
        'c' => "~6l4m2m0k0g2e4e6f",
        'd' => "6q6e ~6k4m2m0k0g2e4e6g",
        'e' => "0i6i ~6i6k4m2m0k0g2e4e6f",
        'f' => "~5q3q2o2m2e 0m4m",
        'g' => "~6k4m2m0k0g2e4e6g ~6m6c4a2a0b",
        'h' => "0q0e ~0k2m4m6k6e",
        'i' => "0m0e 0p0p",
        'j' => "~2m2c1a0a 2p2p",
        'k' => "0q0e 0h5m 2j6e",
        'l' => "~0q0g1e2e",
        'm' => "0m0e ~0k2m3m4k4e ~4k6m7m8k8e",
        'n' => "0m0e ~0k2m4m6k6e",
        'o' => "~2m0k0g2e4e6g6k4m2m",
        'p' => "0m0a ~0k2m4m6k6g4e2e0g",
        'q' => "6m6a ~6k4m2m0k0g2e4e6g",
        'r' => "0m0e ~0j2m4m",
        's' => "~5l4m1m0l0k1i4i5h5f4e1e0f",
        't' => "~2p2g3e5e 0m5m",
        'u' => "~0m0g2e4e6g 6m6e",
        'v' => "0m3e6m",
        'w' => "0m2e4l6e8m",
        'x' => "0m6e 0e6m",
        'y' => "0m3e 6m2a0a",
        'z' => "0m6m0e6e",
        '0' => "~2q0n0h2e5e7h7n5q2q",
        '1' => "0n3q3e",
        '2' => "~0n2q5q7o7m5j0e 0e7e",
        '3' => "~0o2q5q7o7m5k3k ~3k5k7i7g5e2e0g",
        '4' => "5e5q0h7h",
        '5' => "6q1q0k ~0k2l5l7j7g5e2e0f",
        '6' => "~6p4q2p0m0h2e5e7g7j5l2l0j",
        '7' => "0q7q2e",
        '8' => "~3k1l1p3q4q6p6l4k3k ~3k0j0f2e5e7f7j4k3k",
        '9' => "~1f3e5f7i7n5q2q0o0l2j5j7l",
        '.' => "0e0e",
        ',' => "1e0c",
        ':' => "0e0e 0l0l",
        ';' => "1e0c 1l1l",
        '!' => "0q0i 0e0e",
        '?' => "~0o2q4q6o6m3k3i 3e3e",
        '-' => "0j4j",
        '_' => "0d7d",
        '+' => "0j6j 3m3g",
        '=' => "0l6l 0h6h",
        '*' => "2p2l 0o4m 0m4o",
        '/' => "0d5q",
        '\\' => "0q5d",
        '|' => "0q0c",
        '(' => "~3q0n0g3c",
        ')' => "~0q3n3g0c",
        '[' => "3q0q0c3c",
        ']' => "0q3q3c0c",
        '{' => "~4q2q2k0j 0j0j ~0j2i2c4c",
        '}' => "~0q2q2k4j 4j4j ~4j2i2c0c",
        '<' => "6n0j6f",
        '>' => "0n6j0f",
        '\'' => "0q0n",
        '"' => "0q0n 3q3n",
        '`' => "0q2o",
        '^' => "0m3q6m",
        '~' => "~0i1k3k4i6i7k",
        '%' => "0e8q ~1q0p0n1m2m3n3p2q1q ~6i5h5f6e7e8f8h7i6i",
        '#' => "2e3q 6e7q 0i8i 1m9m",
        '&' => "~8e2m2p3q5q6p6n0i0f2e4e8j",
        '$' => "~8o6p2p0n0m2k6k8i8h6f2f0g 4q4e",
        '@' => "~6i5k3j3h5g6i ~6k6h8h8m6p2p0m0g2d7d",
        ' ' => "",
        _ => "0e0q7q7e0e",
    }
}

/// Width of a text of that height of line, pixels.
pub fn width(text: &str, size: f32) -> f32 {
    let units: f32 = text.chars().map(advance).sum();
    (units - GAP).max(0.0) * size / LINE
}

fn advance(letter: char) -> f32 {
    let last = strokes(letter).bytes().filter(u8::is_ascii_digit).max();
    last.map_or(BLANK, |digit| f32::from(digit - b'0')) + GAP
}

/// Draws a line of text: `place` is its upper left corner and `size` its height, pixels. What stands over the edge is
/// cut; the pixels' own alpha stays.
pub fn draw(image: &mut Image, text: &str, place: [f32; 2], size: f32, rgba: [u8; 4]) {
    let unit = size / LINE;
    let whole = image.rgba.len() >= image.width.saturating_mul(image.height).saturating_mul(4);
    if !(whole && unit > 0.0 && unit < 1e3 && place.iter().all(|value| value.abs() < 1e6)) {
        return;
    }
    let base = place[1] + 14.0 * unit;
    let mut left = place[0] + PEN * unit;
    for letter in text.chars() {
        if left > image.width as f32 {
            break;
        }
        let mut segments = Vec::new();
        for stroke in strokes(letter).split(' ').filter(|stroke| !stroke.is_empty()) {
            let points = points(stroke);
            let place = |point: &[f32; 2]| [left + point[0] * unit, base - point[1] * unit];
            segments.extend(points.windows(2).map(|pair| [place(&pair[0]), place(&pair[1])]));
        }
        draw_letter(image, &segments, (PEN * unit).max(0.5), rgba);
        left += advance(letter) * unit;
    }
}

/// The points of a stroke in units above the base line.
fn points(stroke: &str) -> Vec<[f32; 2]> {
    let round = stroke.starts_with('~');
    let bytes = stroke.trim_start_matches('~').as_bytes();
    let point = |pair: &[u8]| [f32::from(pair[0]) - f32::from(b'0'), f32::from(pair[1]) - f32::from(b'e')];
    let mut points: Vec<_> = bytes.chunks_exact(2).map(point).collect();
    if round {
        let closed = points.first() == points.last();
        for _ in 0..3 {
            points = cut_corners(&points, closed);
        }
    }
    points
}

/// Chaikin's corner cutting (1974); open strokes keep their ends.
fn cut_corners(points: &[[f32; 2]], closed: bool) -> Vec<[f32; 2]> {
    let mix = |a: [f32; 2], b: [f32; 2], share: f32| [0, 1].map(|i| a[i] + (b[i] - a[i]) * share);
    let mut cut = Vec::with_capacity(points.len() * 2 + 1);
    for (index, pair) in points.windows(2).enumerate() {
        let (first, last) = (index == 0, index + 2 == points.len());
        cut.push(if first && !closed { pair[0] } else { mix(pair[0], pair[1], 0.25) });
        cut.push(if last && !closed { pair[1] } else { mix(pair[0], pair[1], 0.75) });
    }
    if let (true, Some(&first)) = (closed, cut.first()) {
        cut.push(first);
    }
    cut
}

/// Blends a letter over the picture, every pixel once however many strokes meet there.
fn draw_letter(image: &mut Image, segments: &[[[f32; 2]; 2]], pen: f32, [r, g, b, a]: [u8; 4]) {
    let reach = pen + 1.0;
    let range = |axis: usize, size: usize| {
        let values = segments.iter().flatten().map(|point| point[axis]);
        let low = values.clone().fold(f32::INFINITY, f32::min) - reach;
        let high = values.fold(f32::NEG_INFINITY, f32::max) + reach;
        (low.max(0.0) as usize, (high.max(0.0) as usize).min(size))
    };
    let ((left, right), (top, bottom)) = (range(0, image.width), range(1, image.height));
    let ink = color::linear_rgb([r, g, b]);
    for y in top..bottom {
        for x in left..right {
            let point = [x as f32 + 0.5, y as f32 + 0.5];
            let near = segments.iter().map(|segment| distance2(point, segment)).fold(f32::INFINITY, f32::min);
            let share = (pen + 0.5 - near.sqrt()).clamp(0.0, 1.0) * f32::from(a) / 255.0;
            if share > 0.0 {
                let at = (y * image.width + x) * 4;
                for (byte, ink) in image.rgba[at..at + 3].iter_mut().zip(ink) {
                    let below = color::linear(*byte);
                    *byte = color::srgb(below + (ink - below) * share);
                }
            }
        }
    }
}

/// From a point to a segment, squared.
fn distance2(point: [f32; 2], [from, to]: &[[f32; 2]; 2]) -> f32 {
    let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
    let (px, py) = (point[0] - from[0], point[1] - from[1]);
    let length2 = dx * dx + dy * dy;
    let along = if length2 > 0.0 { ((px * dx + py * dy) / length2).clamp(0.0, 1.0) } else { 0.0 };
    let (x, y) = (px - along * dx, py - along * dy);
    x * x + y * y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printable_letter_has_strokes_within_the_line() {
        let unknown = strokes('\u{4e00}');
        for letter in '!'..='~' {
            let all = strokes(letter);
            assert_ne!(all, unknown, "{letter}");
            for stroke in all.split(' ') {
                let points = points(stroke);
                assert!(points.len() >= 2, "{letter}");
                assert!(points.iter().all(|p| (0.0..=9.0).contains(&p[0]) && (-4.0..=12.0).contains(&p[1])));
            }
        }
    }

    #[test]
    fn ink_stays_within_the_width_and_the_picture() {
        let mut image = Image::new(100, 20).unwrap();
        image.fill([0, 0, 0, 255]);
        draw(&mut image, "Hg_", [10.0, 0.0], 19.0, [255; 4]);
        let inked: Vec<usize> = (0..2000).filter(|i| image.rgba[i * 4] > 0).map(|i| i % 100).collect();
        let end = 10.0 + width("Hg_", 19.0) + 2.0 * PEN;
        assert!(*inked.iter().min().unwrap() >= 9 && (*inked.iter().max().unwrap() as f32) <= end);
        // The H's left stem runs straight down, fully inked.
        assert_eq!(image.pixel(10, 8)[0], 255);
        for place in [[-50.0, -7.0], [95.0, 15.0], [f32::NAN, 0.0], [1e9, 0.0]] {
            draw(&mut image, "edge", place, 19.0, [255; 4]);
        }
        draw(&mut image, "none", [0.0, 0.0], 0.0, [255; 4]);
    }
}
