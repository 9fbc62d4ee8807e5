//! The release's metadata files: which records make up each split, with how many frames.
//!
//! Two forms, told apart by their content and kept in the file's order, which is the order of training lists:
//!
//! * motion only: `{"train": [["key", 131], ...], "val": ...}`; a key may be listed more than once;
//! * dyads: `{"train": {"name": ["path/to/key_a", "path/to/key_b", 131], ...}, ...}`; a key of the store is the last
//!   part of its path. Two of one name are an error: a JSON reader that keeps the last would hide a recording.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use unils::{Error, Result};

use super::store::{Entry, Participant, Split};

/// Largest file that is read: 1 GiB, some ten million recordings.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// Longest key that LMDB takes.
const MAX_KEY_BYTES: usize = 511;
/// Most frames of one recording: eleven days.
const MAX_FRAMES: u64 = 24_000_000;

/// Which of the two forms a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataForm {
    /// One person a recording.
    Motion,
    /// Two people a recording.
    Dyads,
}

/// A metadata file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    form: MetadataForm,
    entries: Vec<Entry>,
}

impl Metadata {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, otherwise as for [`Metadata::from_json`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        let mut json = Vec::new();
        file.take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut json)
            .map_err(|error| Error::io("read", path, error))?;
        if json.len() as u64 > MAX_FILE_BYTES {
            return Err(Error::motion(path.display(), "larger than 1 GiB: not a metadata file"));
        }
        Self::from_json(&json, &path.display().to_string())
    }

    /// Reads JSON text; `place` names it in messages.
    ///
    /// # Errors
    /// [`Error::Motion`] naming split and record for anything else than the two forms, for unknown splits, for two
    /// dyads of one name, and for absurd names and lengths.
    pub fn from_json(json: &[u8], place: &str) -> Result<Self> {
        let Splits(splits) = serde_json::from_slice(json).map_err(|error| {
            Error::motion(place, format!("not a metadata file: {error}")).with_hint(
                "expected {split: [[key, frames], ...]} or {split: {name: [path_a, path_b, frames], ...}}",
            )
        })?;
        let mut seen = HashSet::new();
        let (mut form, mut entries) = (None, Vec::new());
        for (name, listing) in splits {
            let split: Split = name.parse().map_err(|error| super::store::within(place, error))?;
            let this = match &listing {
                Listing::Motion(_) => MetadataForm::Motion,
                Listing::Dyads(_) => MetadataForm::Dyads,
            };
            if !seen.insert(split) {
                return Err(Error::motion(place, format!("the split {name:?} stands there twice")));
            }
            if form.replace(this).is_some_and(|form| form != this) {
                return Err(Error::motion(place, "mixes single recordings and dyads")
                    .with_hint("keep the two in files of their own"));
            }
            listing.add_to(&mut entries, split, place)?;
        }
        let Some(form) = form else {
            return Err(Error::motion(place, "lists no split").with_hint("expected train, val or test"));
        };
        Ok(Self { form, entries })
    }

    /// The file's form.
    pub fn form(&self) -> MetadataForm {
        self.form
    }

    /// All recordings, in the file's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All recordings, given away.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}

/// The splits in the file's order.
struct Splits(Vec<(String, Listing)>);

enum Listing {
    Motion(Vec<(String, u64)>),
    Dyads(Vec<(String, (String, String, u64))>),
}

impl Listing {
    fn add_to(self, entries: &mut Vec<Entry>, split: Split, place: &str) -> Result<()> {
        let mut push = |name: String, keys: Vec<String>, frames: u64| {
            let frames = check_frames(frames, &name, split, place)?;
            let participants = keys
                .into_iter()
                .map(|key| check_key(&key, &name, split, place).map(participant))
                .collect::<Result<Vec<_>>>()?;
            entries.push(Entry { name, split, frames, participants, has_audio: true });
            Ok(())
        };
        match self {
            Self::Motion(list) => {
                list.into_iter().try_for_each(|(key, frames)| push(key.clone(), vec![key], frames))
            }
            Self::Dyads(list) => {
                let mut names = HashSet::new();
                list.into_iter().try_for_each(|(name, (first, second, frames))| {
                    if !names.insert(name.clone()) {
                        let what = format!("{split}: two recordings have the name {name:?}");
                        return Err(Error::motion(place, what).with_hint("give one of them another name"));
                    }
                    push(name, vec![last_part(first), last_part(second)], frames)
                })
            }
        }
    }
}

/// The key of a path: its last part.
fn last_part(mut path: String) -> String {
    let start = path.rfind(['/', '\\']).map_or(0, |slash| slash + 1);
    path.split_off(start)
}

fn check_key(key: &str, name: &str, split: Split, place: &str) -> Result<String> {
    if (1..=MAX_KEY_BYTES).contains(&key.len()) {
        return Ok(key.to_owned());
    }
    let what = format!("{split}: {name:?} has a key of {} bytes, expected 1 to {MAX_KEY_BYTES}", key.len());
    Err(Error::motion(place, what))
}

fn check_frames(frames: u64, name: &str, split: Split, place: &str) -> Result<usize> {
    let absurd = || {
        let what = format!("{split}: {name:?} has {frames} frames, expected 1 to {MAX_FRAMES}");
        Error::motion(place, what)
    };
    let frames = Some(frames).filter(|frames| (1..=MAX_FRAMES).contains(frames)).ok_or_else(absurd)?;
    usize::try_from(frames).map_err(|_| absurd())
}

/// Keys of the release's dyads end in the person's number: `V00_S0001_I00000101_P0002`.
fn participant(name: String) -> Participant {
    let speaker = name.rsplit_once("_P").map(|(_, number)| number);
    let known =
        speaker.filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    Participant { speaker: known.map(|number| format!("P{number}")), name }
}

impl<'de> Deserialize<'de> for Splits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs("an object of splits", PhantomData)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Listing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListingVisitor)
    }
}

struct ListingVisitor;

impl<'de> Visitor<'de> for ListingVisitor {
    type Value = Listing;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of [key, frames] or an object of {name: [path_a, path_b, frames]}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Listing, A::Error> {
        let mut list = Vec::new();
        while let Some(pair) = sequence.next_element()? {
            list.push(pair);
        }
        Ok(Listing::Motion(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Listing, A::Error> {
        Pairs("an object of {name: [path_a, path_b, frames]}", PhantomData).visit_map(map).map(Listing::Dyads)
    }
}

/// A JSON object as pairs in the file's order, equal names included.
struct Pairs<V>(&'static str, PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Pairs<V> {
    type Value = Vec<(String, V)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Metadata> {
        Metadata::from_json(json.as_bytes(), "m.json")
    }

    #[test]
    fn both_forms_keep_the_file_s_order() {
        let motion = parse(r#"{"val": [["b", 7], ["a", 9], ["b", 8]], "train": []}"#).unwrap();
        let names: Vec<_> =
            motion.entries().iter().map(|entry| (entry.name.as_str(), entry.frames)).collect();
        assert_eq!((motion.form(), names), (MetadataForm::Motion, vec![("b", 7), ("a", 9), ("b", 8)]));
        let dyads = parse(r#"{"test": {"z": ["x/k_P01", "k_P2", 5], "y": ["k_Q", "_P", 6]}}"#).unwrap();
        assert_eq!(dyads.form(), MetadataForm::Dyads);
        let first = &dyads.entries()[0];
        assert_eq!((first.name.as_str(), first.split, first.frames), ("z", Split::Test, 5));
        let people: Vec<_> = dyads.entries().iter().flat_map(|entry| &entry.participants).collect();
        let names: Vec<_> = people.iter().map(|who| who.name.as_str()).collect();
        assert_eq!(names, ["k_P01", "k_P2", "k_Q", "_P"]);
        let speakers: Vec<_> = people.iter().map(|who| who.speaker.as_deref()).collect();
        assert_eq!(speakers, [Some("P01"), Some("P2"), None, None]);
    }

    #[test]
    fn anything_else_is_refused_with_its_place() {
        for (json, expected) in [
            ("", "not a metadata file"),
            ("[]", "not a metadata file"),
            ("{}", "lists no split"),
            (r#"{"train": 3}"#, "a list of [key, frames]"),
            (r#"{"train": [["a", 3], ["b"]]}"#, "not a metadata file"),
            (r#"{"train": [["a", -3]]}"#, "not a metadata file"),
            (r#"{"train": [["a", 0]]}"#, "\"a\" has 0 frames"),
            (r#"{"train": [["a", 1e30]]}"#, "not a metadata file"),
            (r#"{"train": [["a", 99999999999]]}"#, "has 99999999999 frames"),
            (r#"{"train": [["", 3]]}"#, "key of 0 bytes"),
            (r#"{"learn": []}"#, "\"learn\" is not known"),
            (r#"{"train": [], "train": []}"#, "stands there twice"),
            (r#"{"train": [], "val": {}}"#, "mixes"),
            (r#"{"val": {"n": ["a", "b", 9], "n": ["a", "b", 9]}}"#, "two recordings have the name \"n\""),
        ] {
            let error = parse(json).unwrap_err().to_string();
            assert!(error.starts_with("m.json") && error.contains(expected), "{json}: {error}");
        }
    }
}
