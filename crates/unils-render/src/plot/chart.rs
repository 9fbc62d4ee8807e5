//! Numbers against numbers: a training's curves, and scores of several systems with their intervals.
//!
//! A [`Chart`] is a stack of panels. In a panel of [`Lines`] each series is a polyline over a common horizontal axis,
//! long ones reduced as those of motion are; [`Scores`] are one dot a system with a bar from the low to the high end
//! of its interval.
//!
//! ```
//! use unils_render::plot::{Chart, Lines, Series};
//! let loss = Series::new("training", (1..100).map(|step| (f64::from(step), 1.0 / f64::from(step))).collect());
//! let chart = Chart::new("losses").with_lines(Lines { caption: "loss".into(), series: vec![loss], is_log: true });
//! assert!(chart.svg().starts_with("<svg"));
//! ```

use std::path::Path;

use unils::Result;

use super::drawing::{Anchor, Drawing};
use super::{
    BLUE, CAPTION, Color, FAINT, FOOT, GREEN, GREY, GRID, INK, LEFT, PURPLE, RIGHT, TOP, VERMILION, WIDTH,
};
use super::{label_width, write_drawing};
use crate::image::Image;

const ORANGE: Color = [0xe6, 0x9f, 0x00, 255];
const SKY: Color = [0x56, 0xb4, 0xe9, 255];
const COLORS: [Color; 7] = [BLUE, VERMILION, GREEN, PURPLE, GREY, ORANGE, SKY];
/// Height of a panel of lines, and of a system's row.
const HEIGHT: f32 = 150.0;
const ROW: f32 = 20.0;
/// Room for the title, and for the systems' names.
const TITLE: f32 = 26.0;
const NAMES: f32 = 230.0;

/// A curve of a panel.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    name: String,
    points: Vec<(f64, f64)>,
}

impl Series {
    /// A named curve through points in rising order of their first number; what is not finite is left out.
    pub fn new(name: impl Into<String>, mut points: Vec<(f64, f64)>) -> Self {
        points.retain(|(x, y)| x.is_finite() && y.is_finite());
        Self { name: name.into(), points }
    }
}

/// A panel of curves.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    /// What the vertical axis shows.
    pub caption: String,
    /// The curves.
    pub series: Vec<Series>,
    /// Whether the vertical axis is logarithmic; values of 0 and less are then left out.
    pub is_log: bool,
}

/// A panel of systems' scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// What is scored.
    pub caption: String,
    /// A row a system.
    pub rows: Vec<ScoreRow>,
}

/// A system's score.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreRow {
    /// The system.
    pub name: String,
    /// Its score, if it was measured.
    pub value: Option<f64>,
    /// The ends of its interval, where that is known.
    pub interval: Option<(f64, f64)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Panel {
    Lines(Lines),
    Scores(Scores),
}

/// A stack of panels.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    title: String,
    axis: String,
    panels: Vec<Panel>,
}

impl Chart {
    /// A chart without panels.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), axis: String::new(), panels: Vec::new() }
    }

    /// Names the horizontal axis of the panels of lines.
    #[must_use]
    pub fn with_axis(mut self, axis: impl Into<String>) -> Self {
        self.axis = axis.into();
        self
    }

    /// Adds a panel of curves.
    #[must_use]
    pub fn with_lines(mut self, lines: Lines) -> Self {
        self.panels.push(Panel::Lines(lines));
        self
    }

    /// Adds a panel of scores.
    #[must_use]
    pub fn with_scores(mut self, scores: Scores) -> Self {
        self.panels.push(Panel::Scores(scores));
        self
    }

    /// The chart as an SVG file's text.
    pub fn svg(&self) -> String {
        self.draw().svg()
    }

    /// The chart as pixels, `scale` of them for one of its 1000 columns.
    ///
    /// # Errors
    /// [`unils::Error::Argument`] if that makes too large a picture.
    pub fn image(&self, scale: f32) -> Result<Image> {
        self.draw().image(scale)
    }

    /// Writes the chart; the path's ending chooses `.svg` or `.png`. The file is there whole or not at all.
    ///
    /// # Errors
    /// [`unils::Error::Argument`] for another ending, [`unils::Error::Io`] if it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write_drawing(path.as_ref(), &self.draw())
    }

    fn draw(&self) -> Drawing {
        let room = |panel: &Panel| match panel {
            Panel::Lines(_) => CAPTION + HEIGHT + FOOT,
            Panel::Scores(scores) => CAPTION + ROW * scores.rows.len() as f32 + FOOT,
        };
        let height = TOP + TITLE + self.panels.iter().map(room).sum::<f32>();
        let mut drawing = Drawing::new(WIDTH, height, &self.title);
        drawing.label([LEFT, TOP + 15.0], &self.title, 16.0, Anchor::Start, INK);
        let mut top = TOP + TITLE;
        for panel in &self.panels {
            match panel {
                Panel::Lines(lines) => draw_lines(&mut drawing, lines, &self.axis, top + CAPTION),
                Panel::Scores(scores) => draw_scores(&mut drawing, scores, top + CAPTION),
            }
            top += room(panel);
        }
        drawing
    }
}

/// A range of numbers on a range of pixels.
struct Axis {
    low: f64,
    high: f64,
    is_log: bool,
    from: f32,
    to: f32,
}

impl Axis {
    /// The axis that holds all values, with some air.
    fn of(values: impl Iterator<Item = f64>, is_log: bool, from: f32, to: f32) -> Self {
        let seen = values.filter(|&value| value.is_finite() && (!is_log || value > 0.0));
        let (low, high) =
            seen.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = match (low.is_finite(), is_log) {
            (false, _) => (1.0, 10.0),
            (true, true) => (low / 1.15, high * 1.15),
            (true, false) => {
                let air = 0.06 * (high - low).max(1e-9 + 0.02 * high.abs());
                (low - air, high + air)
            }
        };
        Self { low, high, is_log, from, to }
    }

    fn place(&self, value: f64) -> f32 {
        let scale = |value: f64| if self.is_log { value.max(1e-300).ln() } else { value };
        let share = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low));
        self.from + (self.to - self.from) * share.clamp(0.0, 1.0) as f32
    }

    /// Round numbers on it.
    fn ticks(&self) -> Vec<f64> {
        if self.is_log {
            let decades = (self.high / self.low).log10();
            let factors: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
            let exponents = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
            let all = exponents.flat_map(|exponent| factors.iter().map(move |f| f * 10_f64.powi(exponent)));
            return all.filter(|tick| (self.low..=self.high).contains(tick)).collect();
        }
        let rough = (self.high - self.low) / 5.0;
        let decade = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|f| f * decade)
            .find(|&step| step >= rough)
            .unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|count| count as f64 * step).collect()
    }
}

/// A number for an axis: no more digits than it needs.
fn label(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e6).contains(&value.abs()) {
        return format!("{value:.0e}");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn draw_lines(drawing: &mut Drawing, lines: &Lines, axis: &str, top: f32) {
    let bottom = top + HEIGHT;
    let points = || lines.series.iter().flat_map(|series| series.points.iter().copied());
    let x = Axis::of(points().map(|(x, _)| x), false, LEFT, RIGHT);
    let y = Axis::of(points().map(|(_, y)| y), lines.is_log, bottom, top);
    for tick in y.ticks() {
        let place = y.place(tick);
        drawing.line(vec![[LEFT, place], [RIGHT, place]], GRID, 0.8);
        drawing.label([LEFT - 6.0, place + 3.5], &label(tick), 10.0, Anchor::End, FAINT);
    }
    draw_ticks(drawing, &x, bottom);
    drawing.label([LEFT, top - 7.0], &lines.caption, 11.0, Anchor::Start, INK);
    let mut legend = RIGHT;
    for (index, series) in lines.series.iter().enumerate().rev() {
        let color = COLORS[index % COLORS.len()];
        let shown = series.points.iter().filter(|(_, y)| !lines.is_log || *y > 0.0);
        let places: Vec<[f32; 2]> = shown.map(|&(a, b)| [x.place(a), y.place(b)]).collect();
        drawing.line(reduced(places), color, 1.3);
        if !series.name.is_empty() {
            legend -= label_width(&series.name);
            drawing.label([legend, top - 7.0], &series.name, 11.0, Anchor::Start, FAINT);
            drawing.line(vec![[legend - 24.0, top - 10.5], [legend - 6.0, top - 10.5]], color, 2.0);
            legend -= 36.0;
        }
    }
    drawing.line(vec![[LEFT, top], [LEFT, bottom], [RIGHT, bottom]], FAINT, 0.8);
    drawing.label([0.5 * (LEFT + RIGHT), bottom + 32.0], axis, 11.0, Anchor::Middle, INK);
}

/// At most the first, least, greatest and last point of each column of pixels.
fn reduced(points: Vec<[f32; 2]>) -> Vec<[f32; 2]> {
    let mut kept: Vec<[f32; 2]> = Vec::new();
    for column in points.chunk_by(|a, b| a[0].floor() == b[0].floor()) {
        if column.len() <= 4 {
            kept.extend_from_slice(column);
            continue;
        }
        let by_height = |a: &&[f32; 2], b: &&[f32; 2]| a[1].total_cmp(&b[1]);
        let ends =
            [column.first(), column.iter().min_by(by_height), column.iter().max_by(by_height), column.last()];
        kept.extend(ends.into_iter().flatten());
    }
    kept
}

fn draw_ticks(drawing: &mut Drawing, axis: &Axis, bottom: f32) {
    for tick in axis.ticks() {
        let place = axis.place(tick);
        drawing.line(vec![[place, bottom], [place, bottom + 4.0]], FAINT, 0.8);
        drawing.label([place, bottom + 16.0], &label(tick), 10.0, Anchor::Middle, FAINT);
    }
}

fn draw_scores(drawing: &mut Drawing, scores: &Scores, top: f32) {
    let bottom = top + ROW * scores.rows.len() as f32;
    let left = LEFT + NAMES;
    let ends = |row: &ScoreRow| {
        let interval = row.interval.map(|(low, high)| [low, high]);
        row.value.iter().copied().chain(interval.into_iter().flatten()).collect::<Vec<_>>()
    };
    let axis = Axis::of(scores.rows.iter().flat_map(ends), false, left, RIGHT);
    for tick in axis.ticks() {
        let place = axis.place(tick);
        drawing.line(vec![[place, top], [place, bottom]], GRID, 0.8);
    }
    draw_ticks(drawing, &axis, bottom);
    drawing.label([LEFT, top - 7.0], &scores.caption, 11.0, Anchor::Start, INK);
    for (row, ScoreRow { name, value, interval }) in scores.rows.iter().enumerate() {
        let y = top + ROW * (row as f32 + 0.5);
        drawing.label([left - 8.0, y + 3.5], name, 11.0, Anchor::End, INK);
        if let Some((low, high)) = interval {
            drawing.line(vec![[axis.place(*low), y], [axis.place(*high), y]], BLUE, 2.0);
        }
        if let Some(value) = value {
            let x = axis.place(*value);
            drawing.rect([x - 3.5, y - 3.5], [x + 3.5, y + 3.5], VERMILION);
        } else {
            drawing.label([left + 4.0, y + 3.5], "not measured", 10.0, Anchor::Start, FAINT);
        }
    }
    drawing.line(vec![[left, top], [left, bottom], [RIGHT, bottom]], FAINT, 0.8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = |low, high, is_log| Axis { low, high, is_log, from: 0.0, to: 100.0 };
        assert_eq!(axis(0.0, 10.0, false).ticks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(axis(0.8, 30.0, true).ticks(), [1.0, 2.0, 5.0, 10.0, 20.0]);
        assert_eq!(axis(1.0, 100.0, true).place(10.0), 50.0);
        assert_eq!(label(0.25), "0.25");
        assert_eq!(label(2_000_000.0), "2e6");
    }

    #[test]
    fn long_curves_keep_their_peaks() {
        let mut points: Vec<[f32; 2]> = (0..10_000).map(|i| [i as f32 / 1000.0, 5.0]).collect();
        points[5_500][1] = 9.0;
        let kept = reduced(points);
        assert!(kept.len() <= 40 && kept.iter().any(|point| point[1] == 9.0));
    }

    #[test]
    fn odd_numbers_draw() {
        let series = Series::new("a", vec![(0.0, f64::NAN), (1.0, 0.0), (2.0, -1.0)]);
        let empty = Series::new("b", Vec::new());
        let lines = Lines { caption: "loss".into(), series: vec![series, empty], is_log: true };
        let rows = vec![
            ScoreRow { name: "x".into(), value: None, interval: None },
            ScoreRow { name: "y".into(), value: Some(1.0), interval: Some((0.5, 2.0)) },
        ];
        let chart = Chart::new("t").with_lines(lines).with_scores(Scores { caption: "s".into(), rows });
        assert!(!chart.svg().contains("NaN"));
        assert!(chart.image(1.0).is_ok());
    }
}
