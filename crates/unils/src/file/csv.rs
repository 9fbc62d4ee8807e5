//! Motion as a table: one row a participant and frame, facts in `#` lines above the header.
//!
//! Numbers have the fewest digits that read back as the same f32. A table that is read may have its channels in
//! any order, matched by name; `participant`, `frame` and `time_s` may be missing, the `#` lines too. A table of the
//! Live Link Face app is known by its header ([`live_link`]).

use std::io::{self, BufRead, Read, Write};

use serde_json::{Map, Value};

use super::facts::{Facts, at};
use super::{ReadOptions, live_link, read_fault};
use crate::motion::{Motion, Space, shorten};
use crate::{Error, Result};

const PARTICIPANT: &str = "participant";
const FRAME: &str = "frame";
const TIME: &str = "time_s";

/// Bytes of the longest line that is read.
const MAX_LINE_BYTES: u64 = 1 << 20;

pub(super) fn write(writer: &mut impl Write, motion: &Motion) -> io::Result<()> {
    writeln!(writer, "# motion: a row per participant and frame, a column per channel, {TIME} in seconds")?;
    let mut facts = Facts::of(motion);
    let channels = std::mem::take(&mut facts.channels);
    if let Value::Object(facts) = serde_json::to_value(&facts)? {
        facts.iter().try_for_each(|(key, value)| writeln!(writer, "# {key}: {value}"))?;
    }
    writeln!(writer, "{PARTICIPANT},{FRAME},{TIME},{}", channels.join(","))?;
    let mut line = Vec::new();
    for (row, frame) in motion.values().chunks_exact(motion.space().width()).enumerate() {
        let (participant, index) = (row / motion.frames(), row % motion.frames());
        line.clear();
        write!(line, "{participant},{index},{}", index as f64 / motion.fps())?;
        for value in frame {
            line.push(b',');
            serde_json::to_writer(&mut line, value)?;
        }
        line.push(b'\n');
        writer.write_all(&line)?;
    }
    Ok(())
}

pub(super) fn read(reader: impl BufRead, place: &str, options: &ReadOptions) -> Result<Motion> {
    let mut lines = Lines { reader, place, text: Vec::new(), number: 0, ended: false };
    let (facts, header) = read_head(&mut lines)?;
    if live_link::is_live_link(&header) {
        return live_link::read(&mut lines, &header, place, options);
    }
    let (columns, space) = Columns::parse(&header, &facts, options, place)?;
    let mut table = Table { columns, values: Vec::new(), row: vec![0.0; space.width()], clips: Vec::new() };
    while let Some(line) = lines.next()? {
        if !line.is_empty() && !line.starts_with('#') {
            table.add(line).map_err(|error| at(&lines.here(), error))?;
        }
    }
    if facts.shape.is_some() && !lines.ended {
        return Err(Error::motion(
            lines.here(),
            "the last line does not end: the last number may lack digits",
        )
        .with_hint("the file was cut short; if not, end its last line"));
    }
    let uneven = table.clips.windows(2).find(|pair| pair[0].frames != pair[1].frames);
    if let Some([first, second]) = uneven.and_then(|pair| pair.first_chunk::<2>()) {
        let what = format!("participants of {} and {} frames", first.frames, second.frames);
        return Err(Error::motion(place, what).with_hint("each participant needs the same number of rows"));
    }
    if table.values.is_empty() {
        return Err(Error::motion(place, "0 frames: the table has no rows"));
    }
    facts.into_motion(space, table.clips.len(), table.values, options, place)
}

/// The lines of a table, counted from 1.
pub(super) struct Lines<'p, R> {
    reader: R,
    place: &'p str,
    text: Vec<u8>,
    /// Number of the last line read.
    number: usize,
    /// Whether that line had an end.
    ended: bool,
}

impl<R: BufRead> Lines<'_, R> {
    /// The next line without its end and the blanks around it.
    pub(super) fn next(&mut self) -> Result<Option<&str>> {
        self.text.clear();
        let got = self.reader.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut self.text);
        let got = got.map_err(|error| read_fault(self.place, error))?;
        if got == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.ended = self.text.ends_with(b"\n");
        if got as u64 > MAX_LINE_BYTES {
            return Err(Error::motion(self.here(), "more than 1 MiB long: not a motion table"));
        }
        match std::str::from_utf8(&self.text) {
            Ok(line) => Ok(Some(line.trim_start_matches('\u{feff}').trim())),
            Err(_) => Err(Error::motion(self.here(), "is not text: not a motion table")
                .with_hint("expected UTF-8 text, as docs/formats.md describes")),
        }
    }

    /// The file and the last line read.
    pub(super) fn here(&self) -> String {
        format!("{}, line {}", self.place, self.number)
    }
}

/// Everything up to the header: the facts of the `#` lines, `# key: value` with the value in JSON or plain.
fn read_head<R: BufRead>(lines: &mut Lines<'_, R>) -> Result<(Facts, String)> {
    let mut facts = Map::new();
    while let Some(line) = lines.next()? {
        match line.strip_prefix('#').map(|comment| comment.split_once(':')) {
            Some(Some((key, value))) => {
                let value = value.trim();
                let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
                facts.insert(key.trim().to_owned(), value);
            }
            Some(None) => {}
            None if line.is_empty() => {}
            None => {
                let header = line.to_owned();
                let facts = serde_json::from_value(Value::Object(facts)).map_err(|error| {
                    Error::motion(lines.place, format!("a # line has another kind of value: {error}"))
                })?;
                return Ok((facts, header));
            }
        }
    }
    Err(Error::motion(lines.place, "the table is empty")
        .with_hint("expected a line of column names and rows"))
}

/// What each column is.
struct Columns {
    roles: Vec<Role>,
    numbers_frames: bool,
    numbers_participants: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Participant,
    Frame,
    Time,
    Channel(usize),
}

impl Columns {
    fn parse(header: &str, facts: &Facts, options: &ReadOptions, place: &str) -> Result<(Self, Space)> {
        let names: Vec<&str> = header.split(',').map(|name| name.trim().trim_matches('"')).collect();
        let channels = names.iter().filter(|name| ![PARTICIPANT, FRAME, TIME].contains(name)).count();
        if names.len() == 1 && header.contains([';', '\t']) {
            return Err(Error::motion(place, "columns are not separated by commas")
                .with_hint("save the table with commas between columns and points in numbers"));
        }
        let space = facts.space(channels, options, place)?;
        let mut roles = Vec::with_capacity(names.len());
        for name in names {
            let role = match name {
                PARTICIPANT => Role::Participant,
                FRAME => Role::Frame,
                TIME => Role::Time,
                _ => Role::Channel(space.index(name).ok_or_else(|| {
                    let what = format!("column {:?} is not a channel of {space}", shorten(name));
                    Error::motion(place, what).with_hint("docs/formats.md lists the channels")
                })?),
            };
            if roles.contains(&role) {
                return Err(Error::motion(place, format!("there are two columns {name:?}")));
            }
            roles.push(role);
        }
        let numbers_frames = roles.contains(&Role::Frame);
        let numbers_participants = roles.contains(&Role::Participant);
        Ok((Self { roles, numbers_frames, numbers_participants }, space))
    }
}

/// The rows of one participant.
struct Clip {
    first_frame: u64,
    frames: u64,
}

/// The rows so far.
struct Table {
    columns: Columns,
    values: Vec<f32>,
    row: Vec<f32>,
    clips: Vec<Clip>,
}

impl Table {
    fn add(&mut self, line: &str) -> Result<()> {
        let (mut participant, mut frame) = (0, 0);
        let mut fields = line.split(',');
        for &role in &self.columns.roles {
            let Some(field) = fields.next().map(str::trim) else {
                let (got, expected) = (line.split(',').count(), self.columns.roles.len());
                return Err(Error::motion("", format!("{got} columns, expected {expected}")));
            };
            match role {
                Role::Participant => participant = whole_number(PARTICIPANT, field)?,
                Role::Frame => frame = whole_number(FRAME, field)?,
                Role::Time => {}
                Role::Channel(index) => {
                    self.row[index] = field.parse().map_err(|_| {
                        let column = self.columns.roles.iter().position(|&known| known == role).unwrap_or(0);
                        Error::motion(
                            format!("column {}", column + 1),
                            format!("{:?} is not a number", shorten(field)),
                        )
                    })?;
                }
            }
        }
        if fields.next().is_some() {
            return Err(Error::motion("", format!("more than the {} columns", self.columns.roles.len())));
        }
        self.count(participant, frame)?;
        self.values.extend_from_slice(&self.row);
        Ok(())
    }

    /// Rows come participant by participant, frame by frame.
    fn count(&mut self, participant: u64, frame: u64) -> Result<()> {
        let begins = if self.columns.numbers_participants {
            participant == self.clips.len() as u64
        } else {
            self.clips.is_empty()
        };
        if begins {
            self.clips.push(Clip { first_frame: frame, frames: 0 });
        }
        let current = (self.clips.len() as u64).checked_sub(1);
        if self.columns.numbers_participants && current != Some(participant) {
            let what = format!("participant {participant} is out of order");
            return Err(
                Error::motion("", what).with_hint("sort the rows by participant, then by frame, from 0")
            );
        }
        if let Some(clip) = self.clips.last_mut() {
            if self.columns.numbers_frames && clip.first_frame.checked_add(clip.frames) != Some(frame) {
                let what =
                    format!("frame {frame}, expected {}", clip.first_frame.saturating_add(clip.frames));
                return Err(Error::motion("", what)
                    .with_hint("sort the rows by participant, then by frame; no frame may be missing"));
            }
            clip.frames += 1;
        }
        Ok(())
    }
}

fn whole_number(column: &str, field: &str) -> Result<u64> {
    field
        .parse()
        .map_err(|_| Error::motion("", format!("{column} {:?} is not a whole number from 0", shorten(field))))
}
