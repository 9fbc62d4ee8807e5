//! The release's data set: an LMDB of npz records and a metadata file that lists them.
//!
//! A record holds one person: `motioncode` (frames, 111 columns or more), of which the 108 of FLAME-108 are cut
//! ([`RELEASE_COLUMNS`]), `audio` (16 kHz) and `speech_mask` (frames). Element types differ from record to record;
//! motion recorded in float16 stays marked so, for it is centred in that type.

use std::path::Path;

use unils::file::npy::{Array, Data};
use unils::file::npz::Npz;
use unils::motion::{RELEASE_COLUMNS, RELEASE_MIN_COLUMNS, Space};
use unils::{Error, Result};

use super::lmdb::Lmdb;
use super::metadata::Metadata;
use super::store::{
    Element, Entry, Participant, Recording, Samples, Store, Track, entry_of, record_place, within,
};

/// Columns of the widest row that is taken: more is no motion.
const MAX_COLUMNS: usize = 4096;

/// The release's data set, opened for reading.
#[derive(Debug)]
pub struct ReleaseStore {
    lmdb: Lmdb,
    place: String,
    entries: Vec<Entry>,
}

impl ReleaseStore {
    /// Opens an LMDB (its folder or file) with one of its metadata files. Records are looked up when they are read.
    ///
    /// # Errors
    /// As for [`Lmdb::open`] and [`Metadata::read`]; [`Error::Motion`] if the LMDB holds no record.
    pub fn open(lmdb: impl AsRef<Path>, metadata: impl AsRef<Path>) -> Result<Self> {
        Self::new(Lmdb::open(lmdb)?, Metadata::read(metadata)?)
    }

    /// The records of an open LMDB that `metadata` lists.
    ///
    /// # Errors
    /// [`Error::Motion`] if the LMDB holds no record.
    pub fn new(lmdb: Lmdb, metadata: Metadata) -> Result<Self> {
        let place = lmdb.path().display().to_string();
        if lmdb.is_empty() {
            return Err(Error::motion(place, "the LMDB holds no record")
                .with_hint("nothing was committed to it yet, or it is another file than meant"));
        }
        Ok(Self { lmdb, place, entries: metadata.into_entries() })
    }

    /// The LMDB.
    pub fn lmdb(&self) -> &Lmdb {
        &self.lmdb
    }

    fn track(&self, participant: &Participant, audio: bool) -> Result<Track> {
        let place = record_place(&self.place, &participant.name);
        let value = self.lmdb.get(participant.name.as_bytes()).map_err(|error| within(&place, error))?;
        let Some(value) = value else {
            return Err(Error::motion(place, "there is no such record in the LMDB")
                .with_hint("metadata and LMDB do not belong together, or the LMDB is not complete"));
        };
        let mut npz = Npz::from_bytes(&value, &place)?;
        let (motion, element) = motion(npz.array("motioncode")?, &place)?;
        let mut track =
            Track { speaker: participant.speaker.clone(), element, ..Track::new(&participant.name, motion) };
        if npz.contains("speech_mask") {
            track.speech = Some(speech(npz.array("speech_mask")?, &place)?);
        }
        if audio && npz.contains("audio") {
            track.audio = Some(samples(npz.array("audio")?, &place)?);
        }
        Ok(track)
    }
}

impl Store for ReleaseStore {
    fn place(&self) -> &str {
        &self.place
    }

    fn space(&self) -> Space {
        Space::Flame108
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read_raw(&self, index: usize, audio: bool) -> Result<Recording> {
        let entry = entry_of(&self.place, &self.entries, index)?;
        let tracks = entry.participants.iter().map(|participant| self.track(participant, audio));
        Ok(Recording::new(&entry.name, Space::Flame108, tracks.collect::<Result<_>>()?))
    }
}

/// The columns of FLAME-108 as f32, and the type they were stored in.
fn motion(array: Array<'_>, place: &str) -> Result<(Vec<f32>, Element)> {
    let columns = match *array.shape() {
        [_, columns] if (RELEASE_MIN_COLUMNS..=MAX_COLUMNS).contains(&columns) => columns,
        ref shape => {
            let what = format!(
                "motioncode has the shape {shape:?}, expected (frames, {RELEASE_MIN_COLUMNS} or more)"
            );
            return Err(Error::motion(place, what));
        }
    };
    match array.data() {
        Data::F16(values) => Ok((cut(values, columns, |value| value.to_f32()), Element::F16)),
        Data::F32(values) => Ok((cut(values, columns, |value| *value), Element::F32)),
        Data::F64(values) => Ok((cut(values, columns, |value| *value as f32), Element::F32)),
        _ => Err(Error::motion(place, "motioncode holds no floating-point numbers")),
    }
}

fn cut<T>(values: &[T], columns: usize, convert: impl Fn(&T) -> f32) -> Vec<f32> {
    let mut cut = Vec::with_capacity(values.len() / columns * Space::Flame108.width());
    for row in values.chunks_exact(columns) {
        for range in RELEASE_COLUMNS {
            cut.extend(row[range].iter().map(&convert));
        }
    }
    cut
}

fn samples(array: Array<'_>, place: &str) -> Result<Samples> {
    let shape = array.shape().to_vec();
    // One channel, also as (1, samples) or (samples, 1).
    if shape.iter().filter(|&&length| length != 1).count() > 1 || shape.is_empty() {
        return Err(Error::audio(place, format!("audio has the shape {shape:?}, expected (samples)")));
    }
    let scaled = |values: &[i64]| values.iter().all(|value| i16::try_from(*value).is_ok());
    match array.into_data() {
        Data::F16(values) => Ok(Samples::F16(values.into_owned())),
        Data::F32(values) => Ok(Samples::F32(values.into_owned())),
        Data::F64(values) => Ok(Samples::F32(values.iter().map(|&value| value as f32).collect())),
        Data::I64(values) if scaled(&values) => {
            Ok(Samples::I16(values.iter().map(|&value| value as i16).collect()))
        }
        _ => Err(Error::audio(place, "audio holds neither floating-point numbers nor 16 bit integers")),
    }
}

fn speech(array: Array<'_>, place: &str) -> Result<Vec<bool>> {
    let shape = array.shape().to_vec();
    if shape.iter().filter(|&&length| length != 1).count() > 1 || shape.is_empty() {
        return Err(Error::motion(place, format!("speech_mask has the shape {shape:?}, expected (frames)")));
    }
    match array.data() {
        Data::F16(values) => Ok(values.iter().map(|value| value.to_f32() > 0.5).collect()),
        Data::F32(values) => Ok(values.iter().map(|&value| value > 0.5).collect()),
        Data::F64(values) => Ok(values.iter().map(|&value| value > 0.5).collect()),
        Data::I64(values) => Ok(values.iter().map(|&value| value > 0).collect()),
        Data::U64(values) => Ok(values.iter().map(|&value| value > 0).collect()),
        Data::Text(_) => Err(Error::motion(place, "speech_mask holds text, expected numbers")),
    }
}
