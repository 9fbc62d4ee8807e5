//! Writes a corpus, recording by recording, from any number of threads; an interrupted one is gone on with.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use unils::file::{write_motion, write_whole};
use unils::motion::{FPS, Motion, MotionMeta, SAMPLES_PER_FRAME, Space};
use unils::{Error, Result};

use super::corpus_index::{Head, INDEX, Index, Labels, Line, Person, check_name, spans};
use super::flac;
use super::store::{Element, Recording, Split, record_place, within};

/// Keeps a second process from writing to the same corpus.
const LOCK: &str = ".writer.lock";

/// Bits a sample of the audio is written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AudioDepth {
    /// 16: enough for anything recorded or synthesised, half the size of 24.
    #[default]
    Bits16,
    /// 16 where that loses nothing, otherwise 24: float16 samples keep all but the last bit of those below 2^-13.
    Exact,
}

/// How a corpus is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CorpusOptions {
    /// Resolution of the audio.
    pub depth: AudioDepth,
}

/// What became of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added {
    /// Its length.
    pub frames: usize,
    /// Audio samples beyond full scale, which were cut to it.
    pub clipped_samples: usize,
}

/// A corpus being written. All methods take `&self`: share it between threads.
///
/// A recording's files are written first, each atomically, then its line is appended to the index: whatever happens,
/// the index names complete files only, and a corpus is readable at any time.
#[derive(Debug)]
pub struct CorpusWriter {
    root: PathBuf,
    space: Space,
    options: CorpusOptions,
    state: Mutex<State>,
    /// Held while the writer lives.
    _lock: File,
}

#[derive(Debug)]
struct State {
    index: File,
    /// Bytes of finished lines.
    bytes: u64,
    /// Names in lower case, those in the making included.
    names: HashSet<String>,
    /// Recordings in the index.
    count: usize,
}

impl CorpusWriter {
    /// Begins a corpus; the folder is made if there is none.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is a corpus already; [`Error::Io`].
    pub fn create(root: impl AsRef<Path>, space: Space, options: CorpusOptions) -> Result<Self> {
        let root = root.as_ref();
        if root.join(INDEX).exists() {
            return Err(Error::argument(root.display(), "there is a corpus already")
                .with_hint("go on with it by resuming, or name another folder"));
        }
        Self::open(root, space, options)
    }

    /// Goes on with a corpus, or begins one. A line that an interruption left unfinished is taken off the index.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is of another motion space or another process is writing to it; otherwise as for
    /// [`CorpusStore::open`](super::CorpusStore::open); [`Error::Io`].
    pub fn open(root: impl AsRef<Path>, space: Space, options: CorpusOptions) -> Result<Self> {
        let root = root.as_ref().to_owned();
        for folder in ["motion", "audio", "labels"] {
            let folder = root.join(folder);
            std::fs::create_dir_all(&folder).map_err(|error| Error::io("create", &folder, error))?;
        }
        let lock = lock(&root)?;
        let path = root.join(INDEX);
        if !path.exists() {
            let mut line = json_line(&Head::new(space), &path)?;
            line.push(b'\n');
            write_whole(&path, &line)?;
        }
        let Index { head, lines, finished_bytes } = Index::read(&path)?;
        if head.space != space {
            let what = format!("is a corpus of {} motion, expected {space}", head.space);
            return Err(Error::argument(root.display(), what).with_hint("name another folder"));
        }
        let fail = |error| Error::io("write", &path, error);
        let mut index = OpenOptions::new().read(true).write(true).open(&path).map_err(fail)?;
        index.set_len(finished_bytes).map_err(fail)?;
        let mut bytes = index.seek(SeekFrom::End(0)).map_err(fail)?;
        if !ends_line(&path)? {
            index.write_all(b"\n").map_err(fail)?;
            bytes += 1;
        }
        let names = lines.iter().map(|line| line.name.to_lowercase()).collect();
        let state = Mutex::new(State { index, bytes, names, count: lines.len() });
        Ok(Self { root, space, options, state, _lock: lock })
    }

    /// The corpus folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the motion's channels mean.
    pub fn space(&self) -> Space {
        self.space
    }

    /// Recordings in the index.
    pub fn len(&self) -> usize {
        self.state().count
    }

    /// Whether there is no recording yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is a recording of that name, regardless of case, or one in the making.
    pub fn contains(&self, name: &str) -> bool {
        self.state().names.contains(&name.to_lowercase())
    }

    /// Adds a recording: motion of one or two participants, audio (16 kHz; cut or padded with zeros to the motion's
    /// length) of all of them or none, labels where there are any.
    ///
    /// # Errors
    /// [`Error::Motion`] or [`Error::Audio`] naming the record, if its name is taken or not possible, tracks are of
    /// unequal length, or something is not finite; [`Error::Io`]. The corpus stays as it was.
    pub fn add(&self, split: Split, recording: &Recording) -> Result<Added> {
        let place = record_place(&self.root.display().to_string(), &recording.name);
        check_name(&recording.name, &place)?;
        if !self.state().names.insert(recording.name.to_lowercase()) {
            return Err(Error::motion(place, "there is a recording of that name")
                .with_hint("names differ in more than upper and lower case"));
        }
        let added = self.write(split, recording, &place);
        if added.is_err() {
            self.state().names.remove(&recording.name.to_lowercase());
        }
        added
    }

    fn write(&self, split: Split, recording: &Recording, place: &str) -> Result<Added> {
        let frames = self.check(recording, place)?;
        let name = &recording.name;
        let tracks = &recording.tracks;
        let values = tracks.iter().flat_map(|track| track.motion.iter().copied()).collect();
        let participants = tracks.iter().map(|track| track.name.clone()).collect();
        let meta = MotionMeta { participants, ..MotionMeta::new() };
        let motion =
            Motion::new(self.space, FPS, tracks.len(), values, meta).map_err(|error| within(place, error))?;
        let mut line = Line {
            name: name.clone(),
            split,
            frames,
            participants: tracks
                .iter()
                .map(|track| Person {
                    name: track.name.clone(),
                    speaker: track.speaker.clone(),
                    float16: track.element == Element::F16,
                })
                .collect(),
            motion: format!("motion/{name}.npz"),
            audio: None,
            labels: None,
        };
        write_motion(self.root.join(&line.motion), &motion)?;
        let mut clipped_samples = 0;
        if tracks.iter().all(|track| track.audio.is_some()) {
            let file = format!("audio/{name}.flac");
            clipped_samples = self.write_audio(recording, frames, &file, place)?;
            line.audio = Some(file);
        }
        if tracks.iter().any(|track| track.speech.is_some() || !track.phonemes.is_empty()) {
            let labels = Labels {
                speech: tracks.iter().map(|track| track.speech.as_deref().map(spans)).collect(),
                phonemes: tracks.iter().map(|track| track.phonemes.clone()).collect(),
            };
            let file = format!("labels/{name}.json");
            let path = self.root.join(&file);
            write_whole(&path, &json_line(&labels, &path)?)?;
            line.labels = Some(file);
        }
        self.append(&line)?;
        Ok(Added { frames, clipped_samples })
    }

    /// Frames of every track.
    fn check(&self, recording: &Recording, place: &str) -> Result<usize> {
        let fault = |what: String| Err(Error::motion(place, what));
        if recording.space != self.space {
            return fault(format!("is {} motion, the corpus holds {}", recording.space, self.space));
        }
        let tracks = &recording.tracks;
        if !(1..=2).contains(&tracks.len()) {
            return fault(format!("{} participants, expected 1 or 2", tracks.len()));
        }
        let numbers = tracks[0].motion.len();
        let frames = numbers / self.space.width();
        if frames == 0 || !numbers.is_multiple_of(self.space.width()) {
            return fault(format!(
                "{numbers} numbers are not whole frames of {} channels",
                self.space.width()
            ));
        }
        if let Some(track) = tracks.iter().find(|track| track.motion.len() != numbers) {
            let other = track.motion.len() / self.space.width();
            return fault(format!("tracks of {frames} and {other} frames, expected equal lengths"));
        }
        for track in tracks {
            if let Some(speech) = track.speech.as_ref().filter(|speech| speech.len() != frames) {
                return fault(format!(
                    "{}: a speech mask of {} frames for {frames}",
                    track.name,
                    speech.len()
                ));
            }
            if track.audio.is_some() != tracks[0].audio.is_some() {
                return Err(Error::audio(place, "one participant has audio and the other has none"));
            }
        }
        Ok(frames)
    }

    /// Writes the audio and gives the number of samples beyond full scale.
    fn write_audio(&self, recording: &Recording, frames: usize, file: &str, place: &str) -> Result<usize> {
        let mut tracks = Vec::with_capacity(recording.tracks.len());
        for track in &recording.tracks {
            let mut samples = vec![0.0; frames * SAMPLES_PER_FRAME];
            if let Some(audio) = &track.audio {
                audio.copy_to(0, &mut samples);
            }
            if let Some(index) = samples.iter().position(|sample| !sample.is_finite()) {
                let what =
                    format!("{}: sample {index} is {}, expected a finite number", track.name, samples[index]);
                return Err(Error::audio(place, what));
            }
            tracks.push(samples);
        }
        let bits = match self.options.depth {
            AudioDepth::Bits16 => 16,
            AudioDepth::Exact if flac::fits_16_bits(&tracks) => 16,
            AudioDepth::Exact => 24,
        };
        let (bytes, clipped) = flac::encode(&tracks, bits, place)?;
        write_whole(self.root.join(file), &bytes)?;
        Ok(clipped)
    }

    /// Appends a line with one write; what a failed write left is taken off again.
    fn append(&self, line: &Line) -> Result<()> {
        let path = self.root.join(INDEX);
        let mut bytes = json_line(line, &path)?;
        bytes.push(b'\n');
        let mut state = self.state();
        let end = state.bytes;
        if let Err(error) = state.index.write_all(&bytes) {
            // If this fails too, the unfinished line is left aside by readers.
            let _ = state.index.set_len(end).and_then(|()| state.index.seek(SeekFrom::Start(end)));
            return Err(Error::io("write", &path, error));
        }
        state.bytes += bytes.len() as u64;
        state.count += 1;
        Ok(())
    }

    /// Brings the index to the disk. What was added is in the index either way; this guards against a loss of power.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<()> {
        self.state().index.sync_all().map_err(|error| Error::io("write", self.root.join(INDEX), error))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before the next can fail.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(root: &Path) -> Result<File> {
    let path = root.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| Error::io("create", &path, error))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(Error::argument(root.display(), "another process is writing to this corpus")
                .with_hint("wait for it, or let each process write a corpus of its own"))
        }
        // Some network file systems have no locks: that is no reason to refuse them.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// Whether the file's last byte is a line's end.
fn ends_line(path: &Path) -> Result<bool> {
    let mut file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    let mut last = [0];
    let read = file.seek(SeekFrom::End(-1)).and_then(|_| std::io::Read::read_exact(&mut file, &mut last));
    read.map_err(|error| Error::io("read", path, error))?;
    Ok(last == *b"\n")
}

fn json_line(value: &impl serde::Serialize, path: &Path) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::io("write", path, error.into()))
}
