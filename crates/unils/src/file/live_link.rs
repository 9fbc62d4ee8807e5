//! Motion as the table that Epic's Live Link Face app records: one participant, 61 columns by name.
//!
//! Columns: `Timecode` as `HH:MM:SS:FF.fff` (frames and their fraction), `BlendShapeCount` (61), the 52 coefficients
//! under Apple's names with a capital, then angles in radians: `HeadYaw`, `HeadPitch`, `HeadRoll`, and yaw, pitch and
//! roll of each eye. A variant that programs decode from the app's stream has `frame`, `sub_frame` and `fps` instead
//! of the first two. Columns are matched by name: files differ in the order of `JawLeft` and `MouthLeft`.
//!
//! # Axes
//!
//! Neither Epic nor Apple writes down which way the angles count. Sure, from the app's recordings, where the
//! `eyeLook` coefficients tell what the eyes do: all angles are radians; an eye's yaw is positive to the person's
//! right (-0.61 rad for a left eye's `eyeLookOut` of 1), its pitch positive down (+0.55 to +0.61 rad). The head's:
//! yaw is positive to the person's left: eyes that hold a point while the head swings turn against it, and in a
//! recording they do so at 0.9 of its angle; programs that send to Unreal (MeFaMo) and that receive from the app
//! (three-vrm viewers) take it so too. Pitch is positive up and roll tilts the crown to the person's right in the
//! same programs; in the recording the eyes support the pitch weakly and say nothing of the roll. The order in which
//! the three are applied is not known and taken as ours. So our `headPitch` changes its sign and the others do not.

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use super::csv::Lines;
use super::{AtomicFile, ReadOptions};
use crate::motion::{Motion, MotionMeta, Space, Unit, between, shorten};
use crate::{Error, Result};

/// Radians that the app's eyes turn for a coefficient of 1.
const EYE_ANGLE: f32 = 0.61;

/// Timecode rates, for files of less than a second, which do not show theirs.
const DEFAULT_RATE: f64 = 60.0;

/// Rates that clocks have: a measured one is taken as the nearest of these, if it is within 1 %.
const COMMON_RATES: [f64; 9] = [24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 90.0, 100.0, 120.0];

/// The coefficients as the app orders them, but for their capitals: Apple's order with two pairs exchanged.
fn columns() -> Vec<&'static str> {
    let channels = Space::Arkit55.channels().iter().filter(|channel| channel.unit == Unit::Coefficient);
    let mut names: Vec<&str> = channels.map(|channel| channel.name).collect();
    for pair in [["jawLeft", "jawRight"], ["mouthLeft", "mouthRight"]] {
        if let [Some(a), Some(b)] = pair.map(|name| names.iter().position(|known| *known == name)) {
            names.swap(a, b);
        }
    }
    names
}

/// The angles after the coefficients.
const ANGLES: [&str; 9] = [
    "HeadYaw",
    "HeadPitch",
    "HeadRoll",
    "LeftEyeYaw",
    "LeftEyePitch",
    "LeftEyeRoll",
    "RightEyeYaw",
    "RightEyePitch",
    "RightEyeRoll",
];

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// Whether a path asks for this format: `NAME.livelink.csv`, in any case.
pub fn is_live_link_path(path: impl AsRef<Path>) -> bool {
    let name = path.as_ref().file_name().map(|name| name.to_string_lossy().to_lowercase());
    name.is_some_and(|name| name.ends_with(".livelink.csv"))
}

/// Writes motion as Live Link Face records it, a file a participant: the path itself for one, else
/// `NAME.0.livelink.csv`, `NAME.1.livelink.csv` ... for `NAME.livelink.csv`. Returns the paths.
///
/// # Errors
/// [`Error::Motion`] if it is not [`Space::Arkit55`]; [`Error::Io`] if a file cannot be written.
pub fn write_live_link(path: impl AsRef<Path>, motion: &Motion) -> Result<Vec<PathBuf>> {
    let path = path.as_ref();
    check_space(motion, &path.display().to_string())?;
    let paths: Vec<PathBuf> = match motion.participants() {
        1 => vec![path.to_owned()],
        count => (0..count).map(|participant| numbered(path, participant)).collect(),
    };
    let mut files = Vec::new();
    for (participant, path) in paths.iter().enumerate() {
        let mut file = AtomicFile::create(path)?;
        write_live_link_to(&mut file, motion, participant)
            .map_err(|error| Error::io("write", path, error))?;
        files.push(file);
    }
    files.into_iter().try_for_each(AtomicFile::commit)?;
    Ok(paths)
}

fn check_space(motion: &Motion, place: &str) -> Result<()> {
    if motion.space() == Space::Arkit55 {
        return Ok(());
    }
    Err(Error::motion(place, format!("is {} motion, Live Link Face needs arkit55", motion.space()))
        .with_hint("convert it to ARKit's shapes first, or write .npz, .csv or .json"))
}

/// `NAME.livelink.csv` with a number behind the name.
fn numbered(path: &Path, participant: usize) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let at = name.to_lowercase().rfind(".livelink.csv").or_else(|| name.rfind('.')).unwrap_or(name.len());
    // Lower case may change lengths in other scripts: an end inside a letter falls back to the last point.
    let (stem, ending) = name.split_at_checked(at).unwrap_or((&name, ""));
    path.with_file_name(format!("{stem}.{participant}{ending}"))
}

/// Writes one participant's motion as Live Link Face records it; give it a buffered writer.
///
/// # Errors
/// Those of the writer; `InvalidInput` for motion of another space or a participant that is not there.
pub fn write_live_link_to(mut writer: impl Write, motion: &Motion, participant: usize) -> io::Result<()> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    if motion.space() != Space::Arkit55 {
        return Err(invalid("Live Link Face needs arkit55 motion"));
    }
    let rows = motion.participant(participant).ok_or_else(|| invalid("there is no such participant"))?;
    let columns = columns();
    let indices: Vec<usize> = columns.iter().filter_map(|name| Space::Arkit55.index(name)).collect();
    let names: Vec<String> = columns.iter().map(|name| capitalised(name)).collect();
    writeln!(writer, "Timecode,BlendShapeCount,{},{}", names.join(","), ANGLES.join(","))?;
    let mut line = Vec::new();
    for (index, frame) in rows.chunks_exact(Space::Arkit55.width()).enumerate() {
        line.clear();
        write!(line, "{},{}", timecode(index, motion.fps()), columns.len() + ANGLES.len())?;
        for &index in &indices {
            write!(line, ",{:.10}", frame[index])?;
        }
        for angle in angles(frame) {
            write!(line, ",{angle:.10}")?;
        }
        line.push(b'\n');
        writer.write_all(&line)?;
    }
    writer.flush()
}

/// The time of a frame in frames of the nearest whole rate and thousandths of them.
fn timecode(index: usize, fps: f64) -> String {
    let rate = fps.round().max(1.0);
    let thousandths = (index as f64 * rate / fps * 1000.0).round() as u64;
    let (frames, fraction, rate) = (thousandths / 1000, thousandths % 1000, rate as u64);
    let (seconds, frame) = (frames / rate, frames % rate);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    format!("{:02}:{:02}:{:02}:{frame:02}.{fraction:03}", hours, minutes % 60, seconds % 60)
}

/// The nine angles of a frame.
fn angles(frame: &[f32]) -> [f32; 9] {
    let value =
        |name: &str| Space::Arkit55.index(name).and_then(|index| frame.get(index)).copied().unwrap_or(0.0);
    let right = |side: &str, outward: f32| {
        (value(&format!("eyeLookOut{side}")) - value(&format!("eyeLookIn{side}"))) * outward * EYE_ANGLE
    };
    let down =
        |side: &str| (value(&format!("eyeLookDown{side}")) - value(&format!("eyeLookUp{side}"))) * EYE_ANGLE;
    [
        value("headYaw"),
        -value("headPitch"),
        value("headRoll"),
        right("Left", -1.0),
        down("Left"),
        0.0,
        right("Right", 1.0),
        down("Right"),
        0.0,
    ]
    // A zero has no sign in the file.
    .map(|angle| angle + 0.0)
}

/// Whether a table's header is one of Live Link Face.
pub(super) fn is_live_link(header: &str) -> bool {
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let has = |name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    (has("Timecode") || (has("frame") && has("fps"))) && has("EyeBlinkLeft")
}

/// What a column is.
#[derive(Clone, Copy, PartialEq)]
enum Column {
    Timecode,
    Frame,
    Fps,
    /// A channel and the factor to our sign.
    Channel(usize, f32),
    Other,
}

/// Reads the rows after the header. Rows without values (the face was out of sight) are bridged; uneven times are
/// brought onto a regular clock, which `options["timecodes"]` of the motion then says.
pub(super) fn read<R: BufRead>(
    lines: &mut Lines<'_, R>,
    header: &str,
    place: &str,
    options: &ReadOptions,
) -> Result<Motion> {
    if let Some(space) = options.space.filter(|&space| space != Space::Arkit55) {
        return Err(Error::motion(place, format!("is arkit55 motion, expected {space}"))
            .with_hint("use motion of the space that the checkpoint was trained on"));
    }
    let columns = parse_header(header, place)?;
    let mut rows = Rows { columns, values: Vec::new(), clocks: Vec::new(), rate: None, blank: 0 };
    while let Some(line) = lines.next()? {
        if !line.is_empty() {
            rows.add(line).map_err(|what| Error::motion(lines.here(), what))?;
        }
    }
    if rows.clocks.is_empty() {
        return Err(Error::motion(place, "0 frames: no row holds a face"));
    }
    rows.into_motion(place, options)
}

fn parse_header(header: &str, place: &str) -> Result<Vec<Column>> {
    let channel = |name: &str| {
        let known = Space::Arkit55.channels().iter().position(|known| known.name.eq_ignore_ascii_case(name));
        known.map(|index| {
            Column::Channel(index, if name.eq_ignore_ascii_case("HeadPitch") { -1.0 } else { 1.0 })
        })
    };
    let columns: Vec<Column> = header
        .split(',')
        .map(|name| match name.trim() {
            name if name.eq_ignore_ascii_case("timecode") => Column::Timecode,
            name if name.eq_ignore_ascii_case("frame") => Column::Frame,
            name if name.eq_ignore_ascii_case("fps") => Column::Fps,
            name => channel(name).unwrap_or(Column::Other),
        })
        .collect();
    for (index, known) in Space::Arkit55.channels().iter().enumerate() {
        let count =
            columns.iter().filter(|column| matches!(column, Column::Channel(at, _) if *at == index)).count();
        // Older recordings have no head or tongue: those stay at rest.
        let may_lack = known.unit == Unit::Radian || known.name == "tongueOut";
        if count > 1 || (count == 0 && !may_lack) {
            let what = format!("{count} columns {:?}, expected 1", capitalised(known.name));
            return Err(
                Error::motion(place, what).with_hint("expected the table that Live Link Face records")
            );
        }
    }
    Ok(columns)
}

/// When a row was recorded.
#[derive(Clone, Copy)]
enum Clock {
    /// Seconds of the day, then frames of an unknown rate.
    Timecode { seconds: u64, frames: f64 },
    /// A frame counted at the file's rate.
    Frame(u64),
}

struct Rows {
    columns: Vec<Column>,
    values: Vec<f32>,
    clocks: Vec<Clock>,
    /// The rate that the rows state.
    rate: Option<f64>,
    /// Rows without a face.
    blank: usize,
}

impl Rows {
    fn add(&mut self, line: &str) -> Result<(), String> {
        let mut row = vec![0.0; Space::Arkit55.width()];
        let (mut clock, mut has_values) = (None, false);
        let fields = line.split(',').count();
        for (field, column) in line.split(',').map(str::trim).zip(&self.columns) {
            let number = || field.parse::<f64>().map_err(|_| format!("{:?} is not a number", shorten(field)));
            match column {
                Column::Timecode => clock = Some(parse_timecode(field)?),
                Column::Frame => {
                    let frame = field.parse().map_err(|_| format!("frame {:?}", shorten(field)))?;
                    clock = Some(Clock::Frame(frame));
                }
                Column::Fps => self.rate = Some(number()?),
                Column::Channel(index, sign) if !field.is_empty() => {
                    row[*index] = number()? as f32 * sign + 0.0;
                    has_values = true;
                }
                Column::Channel(..) | Column::Other => {}
            }
        }
        let clock = clock.ok_or("has no time")?;
        if !has_values {
            self.blank += 1;
            return Ok(());
        }
        if fields != self.columns.len() {
            return Err(format!("{fields} columns, expected {}", self.columns.len()));
        }
        self.clocks.push(clock);
        self.values.extend(row);
        Ok(())
    }

    /// The frames of a second, by what is missing from one to the next; nothing if no second ends.
    fn timecode_rate(&self) -> Option<f64> {
        let codes: Vec<(u64, f64)> = self
            .clocks
            .iter()
            .filter_map(|clock| match clock {
                Clock::Timecode { seconds, frames } => Some((*seconds, *frames)),
                Clock::Frame(_) => None,
            })
            .collect();
        let pairs = || codes.windows(2).map(|pair| (pair[0], pair[1]));
        let step = median(pairs().filter(|(a, b)| a.0 == b.0).map(|(a, b)| b.1 - a.1).collect())?;
        let rate = median(pairs().filter(|(a, b)| a.0 + 1 == b.0).map(|(a, b)| a.1 + step - b.1).collect())?;
        let largest = codes.iter().map(|code| code.1.floor()).fold(0.0, f64::max);
        Some(rate.round().max(largest + 1.0))
    }

    /// Seconds since the first row.
    fn times(&self, options: &ReadOptions) -> Vec<f64> {
        let stated = self.rate.filter(|rate| rate.is_finite() && *rate > 0.0);
        let guess = stated.or_else(|| self.timecode_rate()).or(options.fps).unwrap_or(DEFAULT_RATE);
        let mut days = 0.0;
        let mut last = f64::NEG_INFINITY;
        let mut times: Vec<f64> = Vec::with_capacity(self.clocks.len());
        for clock in &self.clocks {
            let mut time = days
                + match *clock {
                    Clock::Timecode { seconds, frames } => seconds as f64 + frames / guess,
                    Clock::Frame(frame) => frame as f64 / guess,
                };
            // Midnight passed.
            if last - time > 43_200.0 {
                days += 86_400.0;
                time += 86_400.0;
            }
            last = time;
            times.push(time);
        }
        let first = times.first().copied().unwrap_or(0.0);
        times.iter_mut().for_each(|time| *time -= first);
        times
    }

    fn into_motion(self, place: &str, options: &ReadOptions) -> Result<Motion> {
        let times = self.times(options);
        if let Some(at) = times.windows(2).position(|pair| pair[1] <= pair[0]) {
            let what = format!("row {} is not later than the one before it", at + 2);
            return Err(Error::motion(place, what).with_hint("sort the rows by their timecode"));
        }
        let steps = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let fps = median(steps).map_or(options.fps.unwrap_or(DEFAULT_RATE), |step| common_rate(1.0 / step));
        let is_even = times.iter().enumerate().all(|(index, time)| (time * fps - index as f64).abs() < 0.5);
        let mut meta = MotionMeta { program: Some("Live Link Face".to_owned()), ..MotionMeta::default() };
        let values = if is_even {
            self.values
        } else {
            let (values, note) = self.on_a_clock(&times, fps, place)?;
            meta.options.insert("timecodes".to_owned(), note);
            values
        };
        Motion::new(Space::Arkit55, fps, 1, values, meta).map_err(|error| super::facts::at(place, error))
    }

    /// The rows at `k / fps`, interpolated, with a sentence about it.
    fn on_a_clock(&self, times: &[f64], fps: f64, place: &str) -> Result<(Vec<f32>, String)> {
        let rows = times.len();
        let last = times.last().copied().unwrap_or(0.0);
        let frames = (last * fps + 1e-6).floor() + 1.0;
        // Whoever recorded this did not look away four times as long as they looked.
        if frames > (4 * rows + 1000) as f64 {
            let what = format!("{rows} rows over {last:.1} s, expected some {frames}");
            return Err(Error::motion(place, what).with_hint("cut the recording where the face is lost"));
        }
        let width = Space::Arkit55.width();
        let row = |index: usize| &self.values[index * width..(index + 1) * width];
        let mut values = Vec::with_capacity(frames as usize * width);
        let mut at = 0;
        for frame in 0..frames as usize {
            let time = frame as f64 / fps;
            while at + 2 < rows && times[at + 1] <= time {
                at += 1;
            }
            let next = (at + 1).min(rows - 1);
            let part = (time - times[at]) / (times[next] - times[at]).max(1e-9);
            between(Space::Arkit55, row(at), row(next), part.clamp(0.0, 1.0) as f32, &mut values);
        }
        let blank =
            if self.blank > 0 { format!(", {} rows without a face", self.blank) } else { String::new() };
        Ok((values, format!("uneven{blank}: {rows} rows brought to {frames} frames at {fps} frames/s")))
    }
}

/// The nearest rate of a clock, if it is near.
fn common_rate(measured: f64) -> f64 {
    let near = |rate: f64| (measured / rate - 1.0).abs() < 0.01;
    COMMON_RATES.into_iter().find(|&rate| near(rate)).unwrap_or(measured)
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}

/// `HH:MM:SS:FF.fff`; the fraction may be missing, and `;` may stand before the frames.
fn parse_timecode(text: &str) -> Result<Clock, String> {
    let fail = || format!("{:?} is not a timecode HH:MM:SS:FF.fff", shorten(text));
    let fields: Vec<&str> = text.split([':', ';']).collect();
    let [hours, minutes, seconds, frames] = fields[..] else { return Err(fail()) };
    let number = |text: &str, limit: u64| text.parse().ok().filter(|&n: &u64| n < limit).ok_or_else(fail);
    let (hours, minutes, seconds) = (number(hours, 1 << 20)?, number(minutes, 60)?, number(seconds, 60)?);
    let frames =
        frames.parse().ok().filter(|frames: &f64| (0.0..1000.0).contains(frames)).ok_or_else(fail)?;
    Ok(Clock::Timecode { seconds: (hours * 60 + minutes) * 60 + seconds, frames })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timecodes_count_frames() {
        assert_eq!(timecode(0, 25.0), "00:00:00:00.000");
        assert_eq!(timecode(24, 25.0), "00:00:00:24.000");
        assert_eq!(timecode(25 * 3725 + 3, 25.0), "01:02:05:03.000");
        assert_eq!(timecode(1, 29.97), "00:00:00:01.001");
        assert_eq!(timecode(2997, 29.97), "00:01:40:00.000");
    }

    #[test]
    fn paths_and_names() {
        assert!(is_live_link_path("a/talk.livelink.csv") && is_live_link_path("Talk.LiveLink.CSV"));
        assert!(!is_live_link_path("talk.csv") && !is_live_link_path("livelink.csv/talk"));
        assert_eq!(numbered(Path::new("a/talk.livelink.csv"), 1), Path::new("a/talk.1.livelink.csv"));
        let columns = columns();
        assert_eq!(columns.len(), 52);
        assert_eq!(columns[15..17], ["jawRight", "jawLeft"]);
        assert_eq!(columns[21..23], ["mouthRight", "mouthLeft"]);
    }
}
