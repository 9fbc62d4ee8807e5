//! The index of a corpus: `index.jsonl`, one line a recording behind a line about the whole.
//!
//! Lines are only ever appended, each with one write, after the files that it names are complete. A line at the
//! end that is not finished belongs to a write that was cut off: it is left aside.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use unils::motion::{FPS, SAMPLE_RATE, Space};
use unils::{Error, Result};

use super::store::{Phoneme, Split};

/// The index's name in the corpus folder.
pub(super) const INDEX: &str = "index.jsonl";
/// The first line's mark and version.
const FORMAT: &str = "unils-corpus";
const VERSION: u32 = 1;
/// Bytes of the longest line that is read.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// Bytes of the largest file of labels that is read.
const MAX_LABEL_BYTES: u64 = 1 << 26;
/// Bytes of the longest name of a recording.
const MAX_NAME_BYTES: usize = 120;

/// The first line: what all recordings have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    format: String,
    version: u32,
    pub space: Space,
    fps: f64,
    sample_rate: u32,
}

impl Head {
    pub(super) fn new(space: Space) -> Self {
        Self { format: FORMAT.to_owned(), version: VERSION, space, fps: FPS, sample_rate: SAMPLE_RATE }
    }

    fn check(&self, place: &str) -> Result<()> {
        if (self.format.as_str(), self.version) != (FORMAT, VERSION) {
            let what = format!(
                "is of format {:?}, version {}; version {VERSION} of {FORMAT:?} is read",
                self.format, self.version
            );
            return Err(
                Error::motion(place, what).with_hint("a newer version of this program may have written it")
            );
        }
        if (self.fps, self.sample_rate) != (FPS, SAMPLE_RATE) {
            let what = format!(
                "{} frames and {} samples a second, expected {FPS} and {SAMPLE_RATE}",
                self.fps, self.sample_rate
            );
            return Err(Error::motion(place, what));
        }
        Ok(())
    }
}

/// A recording's line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub name: String,
    pub split: Split,
    pub frames: usize,
    pub participants: Vec<Person>,
    pub motion: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
}

/// A participant in a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Person {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    /// The motion was recorded in float16 and is centred in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub float16: bool,
}

/// A file of labels: one entry a participant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Labels {
    /// Spans of frames, `[first, one after the last]`, in which the person speaks; `null` where that is not known.
    #[serde(default)]
    pub speech: Vec<Option<Vec<[usize; 2]>>>,
    #[serde(default)]
    pub phonemes: Vec<Vec<Phoneme>>,
}

impl Labels {
    pub(super) fn read(path: &Path, place: &str) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        let mut json = Vec::new();
        file.take(MAX_LABEL_BYTES + 1)
            .read_to_end(&mut json)
            .map_err(|error| Error::io("read", path, error))?;
        if json.len() as u64 > MAX_LABEL_BYTES {
            return Err(Error::motion(place, format!("{}: more than 64 MiB of labels", path.display())));
        }
        serde_json::from_slice(&json).map_err(|error| {
            Error::motion(place, format!("{}: not a file of labels: {error}", path.display()))
        })
    }
}

/// Spans of `true`.
pub(super) fn spans(mask: &[bool]) -> Vec<[usize; 2]> {
    let mut spans: Vec<[usize; 2]> = Vec::new();
    for (frame, _) in mask.iter().enumerate().filter(|(_, speaks)| **speaks) {
        match spans.last_mut() {
            Some([_, end]) if *end == frame => *end += 1,
            _ => spans.push([frame, frame + 1]),
        }
    }
    spans
}

/// The mask of spans; `None` if one lies outside of the frames.
pub(super) fn mask(spans: &[[usize; 2]], frames: usize) -> Option<Vec<bool>> {
    let mut mask = vec![false; frames];
    for &[start, end] in spans {
        mask.get_mut(start..end)?.fill(true);
    }
    Some(mask)
}

/// What an index file holds.
#[derive(Debug)]
pub(super) struct Index {
    pub head: Head,
    pub lines: Vec<Line>,
    /// Bytes up to the end of the last finished line.
    pub finished_bytes: u64,
}

impl Index {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let place = path.display().to_string();
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        let mut reader = BufReader::new(file);
        let (mut head, mut lines, mut finished_bytes) = (None, Vec::new(), 0);
        let mut names = HashSet::new();
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.clear();
            let got = reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes);
            let got = got.map_err(|error| Error::io("read", path, error))?;
            if got == 0 {
                break;
            }
            let complete = bytes.ends_with(b"\n");
            let place = format!("{place}: line {number}");
            let malformed = |error: serde_json::Error| {
                Error::motion(&place, format!("not a line of a corpus index: {error}"))
                    .with_hint("is this the folder of a corpus?")
            };
            if head.is_none() {
                let first: Head = serde_json::from_slice(&bytes).map_err(malformed)?;
                first.check(&place)?;
                head = Some(first);
            } else {
                match serde_json::from_slice::<Line>(&bytes) {
                    Err(_) if !complete && (got as u64) < MAX_LINE_BYTES => break,
                    Err(error) => return Err(malformed(error)),
                    Ok(line) => {
                        line.check(&place)?;
                        if !names.insert(line.name.to_lowercase()) {
                            let what = format!("a second recording of the name {:?}", line.name);
                            return Err(Error::motion(place, what).with_hint(
                                "names differ in more than upper and lower case: take one line out",
                            ));
                        }
                        lines.push(line);
                    }
                }
            }
            finished_bytes += got as u64;
        }
        let head = head.ok_or_else(|| {
            Error::motion(&place, "the file is empty")
                .with_hint("the corpus was never begun, or its copy not finished")
        })?;
        Ok(Self { head, lines, finished_bytes })
    }
}

impl Line {
    fn check(&self, place: &str) -> Result<()> {
        check_name(&self.name, place)?;
        if !(1..=2).contains(&self.participants.len()) || self.frames == 0 {
            let what = format!(
                "{:?} has {} participants and {} frames, expected 1 or 2 and more than 0",
                self.name,
                self.participants.len(),
                self.frames
            );
            return Err(Error::motion(place, what));
        }
        [Some(&self.motion), self.audio.as_ref(), self.labels.as_ref()]
            .into_iter()
            .flatten()
            .try_for_each(|file| inside(Path::new(""), file, place).map(|_| ()))
    }
}

/// A file of the corpus by the name in the index, which must not lead out of the folder.
pub(super) fn inside(root: &Path, file: &str, place: &str) -> Result<PathBuf> {
    let path = Path::new(file);
    let plain = path.components().all(|component| matches!(component, Component::Normal(_)));
    if plain && !file.is_empty() && !file.contains(['\\', ':', '\0']) {
        return Ok(root.join(path));
    }
    let short: String = file.chars().take(80).collect();
    Err(Error::motion(place, format!("the file name {short:?} leads out of the corpus folder"))
        .with_hint("files are named relative to the folder, without \"..\", \"\\\" and \":\""))
}

/// Whether a recording may have that name: it becomes part of file names on any system.
pub(super) fn check_name(name: &str, place: &str) -> Result<()> {
    let forbidden = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
    let ends_badly = name.ends_with(['.', ' ']) || name.starts_with(['.', ' ']);
    if !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains(forbidden) && !ends_badly {
        return Ok(());
    }
    let short: String = name.chars().take(80).collect();
    Err(Error::motion(place, format!("a recording cannot have the name {short:?}")).with_hint(format!(
        "names have 1 to {MAX_NAME_BYTES} bytes, none of / \\ : * ? \" < > |, and no dot or blank at their ends"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_and_spans_are_the_same() {
        let speech = [false, true, true, false, true];
        assert_eq!(spans(&speech), [[1, 3], [4, 5]]);
        assert_eq!(mask(&spans(&speech), 5).unwrap(), speech);
        assert!(spans(&[false; 3]).is_empty());
        for bad in [[4, 6], [3, 2], [6, 6]] {
            assert!(mask(&[bad], 5).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn names_stay_in_the_folder() {
        let root = Path::new("corpus");
        assert_eq!(inside(root, "audio/a b.flac", "x").unwrap(), Path::new("corpus/audio/a b.flac"));
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "./x", "a\\..\\x", "C:x", "a\0"] {
            assert!(inside(root, bad, "x").is_err(), "{bad:?}");
        }
        for good in ["a", "Ann 1", "été_2", "a.b"] {
            check_name(good, "x").unwrap();
        }
        for bad in ["", ".", "..", ".a", "a.", "a ", "a/b", "a:b", "a\nb", &"a".repeat(121)] {
            assert!(check_name(bad, "x").is_err(), "{bad:?}");
        }
    }
}
