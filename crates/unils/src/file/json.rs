//! Motion as JSON: one object of facts and of the numbers, `motion[participant][frame][channel]`.
//!
//! Numbers have the fewest digits that read back as the same f32; a frame is a line of the file.

use std::fmt;
use std::io::{self, BufRead, Write};

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::facts::Facts;
use super::{ReadOptions, read_fault};
use crate::motion::Motion;
use crate::{Error, Result};

pub(super) fn write(writer: &mut impl Write, motion: &Motion) -> io::Result<()> {
    let facts = serde_json::to_string(&Facts::of(motion))?;
    let open = facts.strip_suffix('}').unwrap_or(&facts);
    write!(writer, "{open},\n\"motion\":[")?;
    let mut line = Vec::new();
    for (row, frame) in motion.values().chunks_exact(motion.space().width()).enumerate() {
        let separator: &[u8] = match (row, row % motion.frames()) {
            (0, _) => b"[\n",
            (_, 0) => b"\n],[\n",
            _ => b",\n",
        };
        line.clear();
        line.extend_from_slice(separator);
        serde_json::to_writer(&mut line, frame)?;
        writer.write_all(&line)?;
    }
    writer.write_all(b"\n]]}\n")
}

pub(super) fn read(reader: impl BufRead, place: &str, options: &ReadOptions) -> Result<Motion> {
    let mut json = serde_json::Deserializer::from_reader(reader);
    let content = json.deserialize_map(FileVisitor).and_then(|content| json.end().map(|()| content));
    let (facts, numbers) = content.map_err(|error| match error.classify() {
        serde_json::error::Category::Io => read_fault(place, error.into()),
        _ => Error::motion(place, format!("not a motion file: {error}"))
            .with_hint("expected the JSON object that docs/formats.md describes"),
    })?;
    let Some(Numbers { values, participants, width, .. }) = numbers else {
        return Err(Error::motion(place, "has no field \"motion\"")
            .with_hint("expected \"motion\" as lists of participants, frames and channels"));
    };
    if values.is_empty() {
        return Err(Error::motion(place, "0 frames: \"motion\" is empty"));
    }
    let space = facts.space(width, options, place)?;
    facts.into_motion(space, participants, values, options, place)
}

/// The numbers of a file and how they lay in it.
#[derive(Default)]
struct Numbers {
    values: Vec<f32>,
    participants: usize,
    /// Frames of each participant, once the first has ended.
    frames: usize,
    /// Channels of each frame, once the first has ended.
    width: usize,
}

struct FileVisitor;

impl<'de> Visitor<'de> for FileVisitor {
    type Value = (Facts, Option<Numbers>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the field \"motion\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut facts, mut numbers) = (Facts::default(), None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "motion" if numbers.is_some() => return Err(de::Error::duplicate_field("motion")),
                "motion" => {
                    let mut found = Numbers::default();
                    map.next_value_seed(Participants(&mut found))?;
                    numbers = Some(found);
                }
                "space" => facts.space = map.next_value()?,
                "fps" => facts.fps = map.next_value()?,
                "shape" => facts.shape = map.next_value()?,
                "channels" => facts.channels = map.next_value()?,
                "participants" => facts.participants = map.next_value()?,
                "preset" => facts.preset = map.next_value()?,
                "seed" => facts.seed = map.next_value()?,
                "program" => facts.program = map.next_value()?,
                "version" => facts.version = map.next_value()?,
                "options" => facts.options = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok((facts, numbers))
    }
}

/// Implements reading a list whose items are appended to the same [`Numbers`].
macro_rules! list_of {
    ($list:ident, $expecting:literal, |$numbers:ident, $seq:ident| $body:block) => {
        struct $list<'n>(&'n mut Numbers);

        impl<'de> DeserializeSeed<'de> for $list<'_> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_seq(self)
            }
        }

        impl<'de> Visitor<'de> for $list<'_> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($expecting)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut $seq: A) -> Result<(), A::Error> {
                let $numbers = self.0;
                $body
            }
        }
    };
}

list_of!(Participants, "a list of participants, each a list of frames", |numbers, seq| {
    while seq.next_element_seed(Frames(&mut *numbers))?.is_some() {
        numbers.participants += 1;
    }
    Ok(())
});

list_of!(Frames, "a list of frames, each a list of numbers", |numbers, seq| {
    let mut frames = 0;
    while seq.next_element_seed(Frame(&mut *numbers))?.is_some() {
        frames += 1;
    }
    if numbers.participants == 0 {
        numbers.frames = frames;
    }
    check_length::<A::Error>("participant", numbers.participants, "frames", frames, numbers.frames)
});

list_of!(Frame, "a list of numbers", |numbers, seq| {
    let start = numbers.values.len();
    while let Some(value) = seq.next_element()? {
        numbers.values.push(value);
    }
    let width = numbers.values.len() - start;
    if width == 0 {
        return Err(de::Error::custom("a frame without numbers"));
    }
    if start == 0 {
        numbers.width = width;
    }
    check_length::<A::Error>("frame", start / numbers.width, "channels", width, numbers.width)
});

fn check_length<E: de::Error>(
    list: &str,
    index: usize,
    items: &str,
    got: usize,
    expected: usize,
) -> Result<(), E> {
    if got == expected {
        return Ok(());
    }
    Err(E::custom(format!("{list} {index} has {got} {items}, the first has {expected}")))
}
