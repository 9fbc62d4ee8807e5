//! Motion as curves over time: `unils plot`; and [`Chart`]s of other numbers.
//!
//! For each participant, one below the other on one clock: the voice's level, how far the mouth is open, how far the
//! lids are closed with a mark a blink, and the head's three angles; pale bands show when the participant talks. The
//! same drawing becomes SVG (labels stay text) or pixels. Long motion is reduced to the least and largest value of
//! each column of pixels, so that an hour makes a file of the size of a minute's. Colours are those of Okabe and Ito
//! (2008), which colour-blind people can tell apart.
//!
//! ```
//! use unils::motion::{FPS, Motion, MotionMeta, Space};
//! use unils_render::plot::Plot;
//! let motion = Motion::new(Space::Arkit55, FPS, 1, vec![0.1; 50 * 55], MotionMeta::new())?;
//! let plot = Plot::new(&motion);
//! assert!(plot.svg()?.starts_with("<svg"));
//! assert_eq!(plot.image(2.0)?.width, 2 * 1000);
//! # Ok::<(), unils::Error>(())
//! ```

mod axis;
mod chart;
mod drawing;
mod series;
mod voice;

use std::ops::Range;
use std::path::Path;

use unils::file::write_whole;
use unils::motion::{Motion, Space};
use unils::{Error, Result};

pub use self::chart::{Chart, Lines, ScoreRow, Scores, Series};
use self::drawing::{Anchor, Color, Drawing};
use self::series::polyline;
pub use self::voice::Voice;
use crate::image::Image;
use crate::picture::write_png;

/// Width of the drawing, pixels.
const WIDTH: f32 = 1000.0;
/// Left and right edges of the panels.
const LEFT: f32 = 64.0;
const RIGHT: f32 = WIDTH - 20.0;
/// Room for a participant's name, above a panel for its label, and below the last for the time axis.
const NAME: f32 = 34.0;
const CAPTION: f32 = 25.0;
const FOOT: f32 = 44.0;
const TOP: f32 = 12.0;

const INK: Color = [0x22, 0x22, 0x22, 255];
const FAINT: Color = [0x66, 0x66, 0x66, 255];
const GRID: Color = [0xdd, 0xdd, 0xdd, 255];
const TALK: Color = [0xf0, 0xe4, 0x42, 70];
const BLUE: Color = [0x00, 0x72, 0xb2, 255];
const VERMILION: Color = [0xd5, 0x5e, 0x00, 255];
const GREEN: Color = [0x00, 0x9e, 0x73, 255];
const PURPLE: Color = [0xaa, 0x4a, 0x86, 255];
const GREY: Color = [0x8a, 0x8a, 0x8a, 255];

/// How many pixels a PNG file has for one of the drawing.
const PNG_SCALE: f32 = 2.0;

/// A plot of a clip of motion.
#[derive(Debug, Clone)]
pub struct Plot<'a> {
    motion: &'a Motion,
    voices: Vec<Option<&'a Voice>>,
    title: Option<String>,
}

/// One set of axes: its curves and what they mean.
struct Panel {
    caption: &'static str,
    height: f32,
    low: f32,
    high: f32,
    ticks: Vec<(f32, String)>,
    curves: Vec<Curve>,
    /// Times that get a mark at the top.
    marks: Vec<f64>,
    mark_name: Option<String>,
}

struct Curve {
    name: &'static str,
    color: Color,
    values: Vec<f32>,
    /// Seconds between values.
    step: f64,
    is_filled: bool,
}

impl<'a> Plot<'a> {
    /// A plot of motion in any space. In FLAME-108 there is no panel of the lids: their motion is a part of the
    /// expression.
    pub fn new(motion: &'a Motion) -> Self {
        Self { motion, voices: vec![None; motion.participants()], title: None }
    }

    /// Adds the participants' voices, in their order; where there is none, nothing is known about the talk.
    ///
    /// # Errors
    /// [`Error::Argument`] unless there is one for each participant.
    pub fn with_voices(mut self, voices: &[Option<&'a Voice>]) -> Result<Self> {
        let (got, expected) = (voices.len(), self.motion.participants());
        if got != expected {
            return Err(Error::argument("voices", format!("{got} for {expected} participants")));
        }
        self.voices = voices.to_vec();
        Ok(self)
    }

    /// Puts a title above it.
    #[must_use]
    pub fn with_title(mut self, title: &str) -> Self {
        self.title = Some(title.to_owned());
        self
    }

    /// The plot as an SVG file's text.
    ///
    /// # Errors
    /// [`Error::Argument`] for more participants than fit a picture.
    pub fn svg(&self) -> Result<String> {
        Ok(self.draw()?.svg())
    }

    /// The plot as pixels, `scale` of them for one of its 1000 columns.
    ///
    /// # Errors
    /// [`Error::Argument`] if that makes too large a picture.
    pub fn image(&self, scale: f32) -> Result<Image> {
        self.draw()?.image(scale)
    }

    /// Writes the plot; the path's ending chooses `.svg` or `.png`. The file is there whole or not at all.
    ///
    /// # Errors
    /// [`Error::Argument`] for another ending, [`Error::Io`] if it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write_drawing(path.as_ref(), &self.draw()?)
    }

    fn draw(&self) -> Result<Drawing> {
        let people = self.motion.participants();
        if people > MOST_PARTICIPANTS {
            return Err(Error::argument(
                "participants",
                format!("{people}, a plot holds {MOST_PARTICIPANTS}"),
            )
            .with_hint("select some of them"));
        }
        let panels: Vec<Vec<Panel>> = (0..people).map(|participant| self.panels(participant)).collect();
        let title_height = if self.title.is_some() { 26.0 } else { 0.0 };
        let inner: f32 = panels.iter().flatten().map(|panel| panel.height + CAPTION).sum();
        let height = TOP + title_height + inner + people as f32 * NAME + FOOT;
        let title = self.title.clone().unwrap_or_else(|| "facial motion over time".to_owned());
        let mut drawing = Drawing::new(WIDTH, height, &title);
        let mut y = TOP;
        if let Some(title) = &self.title {
            drawing.label([LEFT, y + 15.0], title, 16.0, Anchor::Start, INK);
            y += title_height;
        }
        let legend_y = y + 25.0;
        for (participant, panels) in panels.iter().enumerate() {
            let name = self.motion.meta().participants.get(participant).cloned();
            let name = name.unwrap_or_else(|| format!("Participant {participant}"));
            drawing.label([LEFT, y + 25.0], &name, 15.0, Anchor::Start, INK);
            y += NAME;
            let talk = self.voices[participant].map(Voice::talk).unwrap_or_default();
            for panel in panels {
                y += CAPTION;
                self.draw_panel(&mut drawing, panel, &talk, y);
                y += panel.height;
            }
        }
        if self.voices.iter().any(Option::is_some) {
            let left = RIGHT - label_width("talking");
            drawing.rect([left - 20.0, legend_y - 9.0], [left - 6.0, legend_y + 1.0], TALK);
            drawing.label([left, legend_y], "talking", 11.0, Anchor::Start, FAINT);
        }
        self.draw_times(&mut drawing, y);
        Ok(drawing)
    }

    /// Where a second stands.
    fn x(&self, second: f64) -> f32 {
        let share = (second / self.motion.duration_s()).clamp(0.0, 1.0);
        LEFT + (RIGHT - LEFT) * share as f32
    }

    fn panels(&self, participant: usize) -> Vec<Panel> {
        let motion = self.motion;
        let step = 1.0 / motion.fps();
        let curve = |name, color, values| Curve { name, color, values, step, is_filled: false };
        let mut panels = Vec::new();
        if let Some(voice) = self.voices[participant] {
            let values = voice.levels().to_vec();
            panels.push(Panel {
                ticks: ticks(&[-60.0, -30.0, 0.0]),
                curves: vec![Curve { name: "", color: GREY, values, step: 0.01, is_filled: true }],
                ..Panel::new("Voice level (dBFS)", 52.0, voice::FLOOR_DB, 0.0)
            });
        }
        let mouth = series::mouth(motion, participant);
        let (caption, least, unit) = match motion.space() {
            Space::Arkit55 => ("Mouth opening (jawOpen, 0 to 1)", 0.5, 0.25),
            Space::Flame108 => ("Mouth opening (jaw angle, degrees)", 10.0, 10.0),
        };
        let top = axis::from_zero(mouth.iter().copied(), least, unit);
        let low = mouth.iter().copied().fold(0.0, f32::min);
        panels.push(Panel {
            ticks: ticks(&[0.0, top / 2.0, top]),
            curves: vec![curve("", VERMILION, mouth)],
            ..Panel::new(caption, 72.0, low, top)
        });
        if let Some(lids) = series::lids(motion, participant) {
            let blinks = series::blinks(&lids);
            let minutes = motion.duration_s() / 60.0;
            let mark_name = format!("{} blinks, {:.0} a minute", blinks.len(), blinks.len() as f64 / minutes);
            let (low, high) =
                lids.iter().fold((0.0_f32, 1.0_f32), |(low, high), &v| (low.min(v), high.max(v)));
            panels.push(Panel {
                ticks: ticks(&[0.0, 1.0]),
                marks: blinks.iter().map(|&frame| frame as f64 * step).collect(),
                mark_name: Some(mark_name),
                curves: vec![curve("", PURPLE, lids)],
                ..Panel::new("Lids closed (eyeBlink, mean of both eyes)", 52.0, low, high)
            });
        }
        let head = series::head(motion, participant);
        let (limit, marks) = axis::symmetric(head.iter().flatten().copied(), 10.0);
        let names = [("yaw (+ left)", BLUE), ("pitch (+ down)", VERMILION), ("roll (+ right)", GREEN)];
        let curves = head.into_iter().zip(names).map(|(values, (name, color))| curve(name, color, values));
        panels.push(Panel {
            ticks: ticks(&marks),
            curves: curves.collect(),
            ..Panel::new("Head angles (degrees)", 92.0, -limit, limit)
        });
        panels
    }

    fn draw_panel(&self, drawing: &mut Drawing, panel: &Panel, talk: &[Range<f32>], top: f32) {
        let bottom = top + panel.height;
        let columns = (RIGHT - LEFT) as usize;
        let y = |value: f32| {
            let share = (value - panel.low) / (panel.high - panel.low).max(1e-9);
            bottom - panel.height * share.clamp(0.0, 1.0)
        };
        for span in talk {
            let (start, end) = (self.x(f64::from(span.start)), self.x(f64::from(span.end)));
            if end > start {
                drawing.rect([start, top], [end, bottom], TALK);
            }
        }
        for (value, label) in &panel.ticks {
            drawing.line(vec![[LEFT, y(*value)], [RIGHT, y(*value)]], GRID, 0.8);
            drawing.label([LEFT - 6.0, y(*value) + 3.5], label, 10.0, Anchor::End, FAINT);
        }
        drawing.label([LEFT, top - 7.0], panel.caption, 11.0, Anchor::Start, INK);
        for curve in &panel.curves {
            let points =
                polyline(&curve.values, curve.step, columns, |second, value| [self.x(second), y(value)]);
            if curve.is_filled {
                draw_filled(drawing, points, bottom, curve.color);
            } else if points.len() == 1 {
                drawing.rect(
                    [points[0][0] - 1.5, points[0][1] - 1.5],
                    [points[0][0] + 1.5, points[0][1] + 1.5],
                    curve.color,
                );
            } else {
                drawing.line(points, curve.color, 1.2);
            }
        }
        for &mark in &panel.marks {
            let x = self.x(mark);
            drawing.area(vec![[x - 3.0, top], [x + 3.0, top], [x, top + 5.0]], INK);
        }
        self.draw_legend(drawing, panel, top - 7.0);
        drawing.line(vec![[LEFT, top], [LEFT, bottom], [RIGHT, bottom]], FAINT, 0.8);
    }

    /// Names of curves and marks, each behind its key, from the right.
    fn draw_legend(&self, drawing: &mut Drawing, panel: &Panel, y: f32) {
        let mut x = RIGHT;
        if let Some(name) = &panel.mark_name {
            x -= label_width(name);
            drawing.label([x, y], name, 11.0, Anchor::Start, FAINT);
            drawing.area(vec![[x - 11.0, y - 7.0], [x - 5.0, y - 7.0], [x - 8.0, y - 2.0]], INK);
        }
        for curve in panel.curves.iter().rev().filter(|curve| !curve.name.is_empty()) {
            x -= label_width(curve.name);
            drawing.label([x, y], curve.name, 11.0, Anchor::Start, FAINT);
            drawing.line(vec![[x - 24.0, y - 3.5], [x - 6.0, y - 3.5]], curve.color, 2.0);
            x -= 36.0;
        }
    }

    fn draw_times(&self, drawing: &mut Drawing, y: f32) {
        let seconds = self.motion.duration_s();
        for (time, label) in axis::time_ticks(seconds, 10) {
            let x = self.x(time);
            drawing.line(vec![[x, y], [x, y + 4.0]], FAINT, 0.8);
            drawing.label([x, y + 16.0], &label, 10.0, Anchor::Middle, FAINT);
        }
        let unit = if seconds < 120.0 { "Time (s)" } else { "Time (min:s)" };
        drawing.label([0.5 * (LEFT + RIGHT), y + 34.0], unit, 11.0, Anchor::Middle, INK);
    }
}

/// Writes a drawing as the path's ending says.
fn write_drawing(path: &Path, drawing: &Drawing) -> Result<()> {
    match path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).as_deref() {
        Some("svg") => write_whole(path, drawing.svg().as_bytes()),
        Some("png") => write_png(path, &drawing.image(PNG_SCALE)?),
        _ => Err(Error::argument(path.display(), "is not a kind of picture that plots are written as")
            .with_hint("plots end in .svg or .png")),
    }
}

/// More participants than a plot has room for.
const MOST_PARTICIPANTS: usize = 16;

impl Panel {
    fn new(caption: &'static str, height: f32, low: f32, high: f32) -> Self {
        Self {
            caption,
            height,
            low,
            high,
            ticks: Vec::new(),
            curves: Vec::new(),
            marks: Vec::new(),
            mark_name: None,
        }
    }
}

/// A curve with the area below it.
fn draw_filled(drawing: &mut Drawing, mut points: Vec<[f32; 2]>, bottom: f32, color: Color) {
    if let (Some(&[first, _]), Some(&[last, _])) = (points.first(), points.last()) {
        points.push([last, bottom]);
        points.push([first, bottom]);
        drawing.area(points, color);
    }
}

fn ticks(values: &[f32]) -> Vec<(f32, String)> {
    values.iter().map(|&value| (value, value.to_string())).collect()
}

/// Room for a legend's label: a viewer's letters may be wider than ours.
fn label_width(label: &str) -> f32 {
    1.2 * crate::text::width(label, 11.0 * 1.15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use unils::motion::MotionMeta;

    fn motion(space: Space, participants: usize, frames: usize) -> Motion {
        let width = space.width();
        let values = (0..participants * frames * width).map(|i| 0.3 * (i as f32 * 0.37).sin()).collect();
        let meta = MotionMeta { participants: vec!["<anna>".into(); participants], ..MotionMeta::new() };
        Motion::new(space, 25.0, participants, values, meta).unwrap()
    }

    #[test]
    fn every_participant_has_its_panels() {
        let talk = motion(Space::Arkit55, 2, 500);
        let svg = Plot::new(&talk).svg().unwrap();
        for (text, count) in
            [("&lt;anna&gt;", 2), ("Mouth opening", 2), ("Lids closed", 2), ("Head angles", 2)]
        {
            assert_eq!(svg.matches(text).count(), count, "{text}");
        }
        assert_eq!(svg.matches("Voice level").count(), 0);
        let flame = motion(Space::Flame108, 1, 500);
        let svg = Plot::new(&flame).svg().unwrap();
        assert!(svg.contains("jaw angle") && !svg.contains("Lids"));
    }

    #[test]
    fn voices_add_a_panel_and_bands() {
        let talk = motion(Space::Arkit55, 2, 100);
        let mut voice = Voice::new(16_000).unwrap();
        voice.push(&[0.5; 32_000]);
        let plot = Plot::new(&talk).with_voices(&[Some(&voice), None]).unwrap().with_title("Two people");
        let svg = plot.svg().unwrap();
        assert_eq!(svg.matches("Voice level").count(), 1);
        assert_eq!(
            svg.matches("fill=\"#f0e442\"").count(),
            4 + 1,
            "a band in each of four panels, one in the legend"
        );
        assert!(svg.contains(">Two people</text>"));
        assert!(Plot::new(&talk).with_voices(&[None]).is_err());
    }

    #[test]
    fn an_hour_is_no_larger_than_some_minutes() {
        let hour = motion(Space::Arkit55, 1, 90_000);
        let svg = Plot::new(&hour).svg().unwrap();
        assert!(svg.len() < 200_000, "{} bytes", svg.len());
        let one = motion(Space::Arkit55, 1, 1);
        assert!(Plot::new(&one).image(1.0).is_ok());
    }

    #[test]
    fn endings_choose_the_file() {
        let talk = motion(Space::Arkit55, 1, 10);
        let error = Plot::new(&talk).write("talk.pdf").unwrap_err();
        assert!(error.hint().unwrap().contains(".svg"));
        let many = motion(Space::Arkit55, 17, 1);
        assert!(Plot::new(&many).svg().is_err());
    }
}
