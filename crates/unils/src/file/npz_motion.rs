//! Motion as NumPy files: `.npz` with everything that is known, `.npy` with the numbers alone.

use std::borrow::Cow;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::facts::Facts;
use super::npy::{Array, Data, Source};
use super::npz::{Npz, NpzWriter};
use super::{ReadOptions, read_fault};
use crate::motion::{Motion, RELEASE_COLUMNS, RELEASE_MIN_COLUMNS, Space};
use crate::{Error, Result};

/// The key of our motion.
const MOTION: &str = "motion";
/// Bytes of the largest array that is taken for facts.
const MAX_FACT_BYTES: u64 = 1 << 20;
/// The key of the release's dataset rows.
const MOTIONCODE: &str = "motioncode";

pub(super) fn write_npy(writer: &mut impl Write, motion: &Motion) -> io::Result<()> {
    motion_array(motion)?.write(writer)
}

pub(super) fn write_npz(writer: &mut impl Write, motion: &Motion) -> io::Result<()> {
    let facts = Facts::of(motion);
    let mut npz = NpzWriter::new(writer);
    npz.add(MOTION, &motion_array(motion)?)?;
    npz.add("fps", &scalar(vec![motion.fps()].into())?)?;
    for (key, texts) in
        [("channels", facts.channels), ("units", facts.units), ("participants", facts.participants)]
    {
        if !texts.is_empty() {
            npz.add(key, &array(&[texts.len()], texts.into())?)?;
        }
    }
    let options = (!facts.options.is_empty()).then(|| serde_json::to_string(&facts.options)).transpose()?;
    for (key, text) in [
        ("space", facts.space),
        ("preset", facts.preset),
        ("program", facts.program),
        ("version", facts.version),
        ("options", options),
    ] {
        if let Some(text) = text {
            npz.add(key, &scalar(vec![text].into())?)?;
        }
    }
    if let Some(seed) = facts.seed {
        npz.add("seed", &scalar(vec![seed].into())?)?;
    }
    npz.finish()
}

fn motion_array(motion: &Motion) -> io::Result<Array<'_>> {
    array(&motion.shape(), motion.values().into())
}

fn scalar(data: Data<'_>) -> io::Result<Array<'_>> {
    array(&[], data)
}

fn array<'a>(shape: &[usize], data: Data<'a>) -> io::Result<Array<'a>> {
    Array::new(shape, data).map_err(io::Error::other)
}

pub(super) fn read_npy(mut reader: impl Read + Seek, place: &str, options: &ReadOptions) -> Result<Motion> {
    let length = reader.seek(SeekFrom::End(0)).map_err(|error| read_fault(place, error))?;
    reader.rewind().map_err(|error| read_fault(place, error))?;
    let mut source = Source::new(reader, place, length)?;
    let shape = source.header().shape().to_vec();
    let facts = Facts::default();
    let ([participants, _, width], space) = layout(&shape, &facts, options, place)?;
    debug_assert_eq!(width, space.width(), "layout checks the width");
    let values = source.f32_values()?;
    facts.into_motion(space, participants, values, options, place)
}

pub(super) fn read_npz(reader: impl Read + Seek, place: &str, options: &ReadOptions) -> Result<Motion> {
    let mut npz = Npz::new(reader, place)?;
    let key = motion_key(&mut npz, place)?;
    let key_place = format!("{place}[{key:?}]");
    let facts = read_facts(&mut npz)?;
    let shape = npz.header(&key)?.shape().to_vec();
    if key == MOTIONCODE && shape.last().is_some_and(|&width| width >= RELEASE_MIN_COLUMNS) {
        return read_release_rows(npz, facts, options, &key_place);
    }
    let ([participants, ..], space) = layout(&shape, &facts, options, &key_place)?;
    let (_, values) = npz.f32_values(&key)?;
    facts.into_motion(space, participants, values, options, &key_place)
}

/// The array that holds the motion.
fn motion_key<R: Read + Seek>(npz: &mut Npz<R>, place: &str) -> Result<String> {
    if let Some(key) = [MOTION, MOTIONCODE].into_iter().find(|key| npz.contains(key)) {
        return Ok(key.to_owned());
    }
    let names: Vec<String> = npz.names().map(str::to_owned).collect();
    let (mut found, mut refused) = (Vec::new(), None);
    for name in names {
        match npz.header(&name) {
            Ok(header) if matches!(header.shape().len(), 2 | 3) => found.push(name),
            Ok(_) => {}
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match (<[String; 1]>::try_from(found), refused) {
        (Ok([name]), _) => Ok(name),
        (Err(found), Some(error)) if found.is_empty() => Err(error),
        (Err(found), _) => {
            let what = format!("no array named \"motion\", and {} arrays that could be it", found.len());
            let hint = format!("the file holds {}: name the motion \"motion\"", npz.listing());
            Err(Error::motion(place, what).with_hint(hint))
        }
    }
}

/// Participants, frames and channels of an array's shape, and the space that they are in.
fn layout(shape: &[usize], facts: &Facts, options: &ReadOptions, place: &str) -> Result<([usize; 3], Space)> {
    let shape = match *shape {
        [frames, channels] => [1, frames, channels],
        [participants, frames, channels] => [participants, frames, channels],
        _ => {
            let what =
                format!("shape {shape:?}, expected (frames, channels) or (participants, frames, channels)");
            return Err(Error::motion(place, what));
        }
    };
    let [_, frames, channels] = shape;
    let space = facts.space(channels, options, place).map_err(|error| {
        if Space::from_width(frames).is_some() && Space::from_width(channels).is_none() {
            error.with_hint(format!("shape {shape:?} looks transposed: frames come before channels"))
        } else {
            error
        }
    })?;
    Ok((shape, space))
}

/// Rows of the release's dataset: the columns that make FLAME-108.
fn read_release_rows<R: Read + Seek>(
    mut npz: Npz<R>,
    facts: Facts,
    options: &ReadOptions,
    place: &str,
) -> Result<Motion> {
    let space = facts.space(Space::Flame108.width(), options, place)?;
    let (shape, mut values) = npz.f32_values(MOTIONCODE)?;
    let [rows, columns] = *shape else {
        let what = format!("shape {shape:?}, expected (frames, columns)");
        return Err(Error::motion(place, what));
    };
    // In place, front to back: a row never gets wider.
    let mut end = 0;
    for row in 0..rows {
        for range in RELEASE_COLUMNS {
            let start = row * columns + range.start;
            values.copy_within(start..start + range.len(), end);
            end += range.len();
        }
    }
    values.truncate(end);
    facts.into_motion(space, 1, values, options, place)
}

/// The facts of our files; in foreign ones the keys may be missing or mean something else, and are left aside.
fn read_facts<R: Read + Seek>(npz: &mut Npz<R>) -> Result<Facts> {
    let options = texts(npz, "options")?.pop().and_then(|text| serde_json::from_str(&text).ok());
    Ok(Facts {
        space: texts(npz, "space")?.pop(),
        fps: number(npz, "fps")?,
        channels: texts(npz, "channels")?,
        participants: texts(npz, "participants")?,
        preset: texts(npz, "preset")?.pop(),
        seed: seed(npz)?,
        program: texts(npz, "program")?.pop(),
        version: texts(npz, "version")?.pop(),
        options: options.unwrap_or_default(),
        ..Facts::default()
    })
}

/// A scalar or list of texts; empty if there is no such key or it holds no text.
fn texts<R: Read + Seek>(npz: &mut Npz<R>, key: &str) -> Result<Vec<String>> {
    match small(npz, key)? {
        Some(Data::Text(texts)) => Ok(Cow::into_owned(texts)),
        _ => Ok(Vec::new()),
    }
}

fn number<R: Read + Seek>(npz: &mut Npz<R>, key: &str) -> Result<Option<f64>> {
    Ok(match small(npz, key)? {
        Some(Data::F16(values)) => values.first().map(|value| value.to_f64()),
        Some(Data::F32(values)) => values.first().map(|&value| f64::from(value)),
        Some(Data::F64(values)) => values.first().copied(),
        Some(Data::I64(values)) => values.first().map(|&value| value as f64),
        Some(Data::U64(values)) => values.first().map(|&value| value as f64),
        _ => None,
    })
}

fn seed<R: Read + Seek>(npz: &mut Npz<R>) -> Result<Option<u64>> {
    Ok(match small(npz, "seed")? {
        Some(Data::I64(values)) => values.first().and_then(|&value| u64::try_from(value).ok()),
        Some(Data::U64(values)) => values.first().copied(),
        _ => None,
    })
}

/// A scalar or list of facts, if there is one that can be read and is small.
fn small<R: Read + Seek>(npz: &mut Npz<R>, key: &str) -> Result<Option<Data<'static>>> {
    match npz.contains(key).then(|| npz.header(key)) {
        Some(Ok(header)) if header.shape().len() < 2 && header.data_bytes() <= MAX_FACT_BYTES => {
            npz.array(key).map(|array| Some(array.into_data()))
        }
        _ => Ok(None),
    }
}
