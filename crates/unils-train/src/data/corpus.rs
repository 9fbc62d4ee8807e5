//! Our own corpus form: a folder that any preset can be trained on.
//!
//! ```text
//! corpus/
//!   index.jsonl          a line about the whole, then one line a recording
//!   motion/NAME.npz      (participants, frames, channels), any motion space, 25 frames a second
//!   audio/NAME.flac      16 kHz, one channel a participant, 640 samples a frame; none for motion alone
//!   labels/NAME.json     where someone speaks and which phonemes, where that is known
//! ```
//!
//! The index's lines are JSON objects, the whole's and then each recording's:
//!
//! ```text
//! {"format":"unils-corpus","version":1,"space":"arkit55","fps":25.0,"sample_rate":16000}
//! {"name":"talk","split":"train","frames":250,"participants":[{"name":"a","speaker":"ann"},{"name":"b"}],
//!  "motion":"motion/talk.npz","audio":"audio/talk.flac","labels":"labels/talk.json"}
//! ```
//!
//! `speaker`, `audio` and `labels` may be missing; a participant with `"float16":true` was recorded in float16, in which
//! its head is then centred. A file of labels has a list entry a participant: `speech`, spans of frames `[first, one
//! after the last]` or `null` where that is not known, and `phonemes`, `{"symbol":"p","start_s":0.12,"end_s":0.18}` in
//! order. Files lie inside the folder; names are unique regardless of case. Recordings are listed in the order of their
//! names, however many threads wrote them.

use std::path::{Path, PathBuf};

use unils::file::{ReadOptions, read_motion};
use unils::motion::{FPS, SAMPLES_PER_FRAME, Space};
use unils::{Error, Result};

use super::corpus_index::{INDEX, Index, Labels, Line, inside, mask};
use super::flac;
use super::store::{Element, Entry, Participant, Recording, Store, Track, entry_of, record_place, within};

/// A corpus opened for reading. It sees what the index held when it was opened.
#[derive(Debug)]
pub struct CorpusStore {
    root: PathBuf,
    place: String,
    space: Space,
    lines: Vec<Line>,
    entries: Vec<Entry>,
}

impl CorpusStore {
    /// Opens the folder of a corpus.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no index; [`Error::Motion`] naming the line if it is malformed, of an unknown
    /// version, lists two recordings of one name, or a file outside of the folder.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref().to_owned();
        let index = Index::read(&root.join(INDEX))?;
        let mut lines = index.lines;
        lines.sort_by(|a, b| a.name.cmp(&b.name));
        let entries = lines.iter().map(|line| Entry {
            name: line.name.clone(),
            split: line.split,
            frames: line.frames,
            has_audio: line.audio.is_some(),
            participants: line
                .participants
                .iter()
                .map(|person| Participant { name: person.name.clone(), speaker: person.speaker.clone() })
                .collect(),
        });
        let entries = entries.collect();
        Ok(Self { place: root.display().to_string(), root, space: index.head.space, lines, entries })
    }

    fn read_labels(&self, line: &Line, tracks: &mut [Track], place: &str) -> Result<()> {
        let Some(file) = &line.labels else {
            return Ok(());
        };
        let labels = Labels::read(&inside(&self.root, file, place)?, place)?;
        for (track, spans) in tracks.iter_mut().zip(labels.speech) {
            if let Some(spans) = spans {
                let speech = mask(&spans, line.frames).ok_or_else(|| {
                    let what = format!("{}: speech outside of its {} frames", track.name, line.frames);
                    Error::motion(place, what).with_hint("spans are [first frame, one after the last]")
                })?;
                track.speech = Some(speech);
            }
        }
        for (track, phonemes) in tracks.iter_mut().zip(labels.phonemes) {
            track.phonemes = phonemes;
        }
        Ok(())
    }
}

impl Store for CorpusStore {
    fn place(&self) -> &str {
        &self.place
    }

    fn space(&self) -> Space {
        self.space
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read_raw(&self, index: usize, audio: bool) -> Result<Recording> {
        let entry = entry_of(&self.place, &self.entries, index)?;
        let line = &self.lines[index];
        let place = record_place(&self.place, &entry.name);
        let options = ReadOptions { space: Some(self.space), fps: Some(FPS) };
        let motion = read_motion(inside(&self.root, &line.motion, &place)?, &options)
            .map_err(|error| within(&place, error))?;
        let shape = [line.participants.len(), line.frames, self.space.width()];
        if motion.shape() != shape || motion.fps() != FPS {
            let what = format!(
                "motion of shape {:?} at {} frames a second, the index says {shape:?} at {FPS}",
                motion.shape(),
                motion.fps()
            );
            return Err(Error::motion(place, what).with_hint("index and files do not belong together"));
        }
        let numbers = motion.into_values();
        let mut tracks: Vec<Track> = line
            .participants
            .iter()
            .zip(numbers.chunks_exact(line.frames * self.space.width()))
            .map(|(person, motion)| Track {
                speaker: person.speaker.clone(),
                element: if person.float16 { Element::F16 } else { Element::F32 },
                ..Track::new(&person.name, motion.to_vec())
            })
            .collect();
        self.read_labels(line, &mut tracks, &place)?;
        if let Some(file) = line.audio.as_ref().filter(|_| audio) {
            let length = line.frames * SAMPLES_PER_FRAME;
            let path = inside(&self.root, file, &place)?;
            let samples =
                flac::decode(&path, tracks.len(), length, &place).map_err(|error| within(&place, error))?;
            tracks.iter_mut().zip(samples).for_each(|(track, samples)| track.audio = Some(samples));
        }
        Ok(Recording::new(&entry.name, self.space, tracks))
    }
}
