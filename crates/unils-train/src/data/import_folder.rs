//! Fills a corpus from folders of audio and motion files.
//!
//! Files belong together by their base name: `talk.wav` and `talk.csv` (or `talk.livelink.csv`). The two people of a dyad have base names that
//! end in `__A` and `__B`: `meeting__A.wav`, `meeting__A.npz`, `meeting__B.wav`, `meeting__B.npz` become the recording `meeting`.
//! Folders below are looked into and become part of the name (`day1/talk.wav` is `day1-talk`); first folders named
//! `train`, `val` and `test` decide the split and do not.
//!
//! Anything else is said by a manifest, a CSV table with a row a participant and the columns `recording`, `motion`, and
//! optionally `audio`, `channel` (of the audio, from 0; all are mixed without), `speaker` and `split`. Rows of the same
//! `recording` make a dyad; paths are relative to the manifest:
//!
//! ```text
//! recording,split,speaker,audio,channel,motion
//! meeting,train,ann,meeting.wav,0,ann.csv
//! meeting,train,bob,meeting.wav,1,bob.csv
//! ```
//!
//! Audio of any format and rate becomes one channel at 16 kHz, motion of any rate 25 frames a second. Motion and audio are cut to the shortest of them; if
//! they differ by more than half a second they do not belong together and are skipped.

use std::fmt;
use std::path::{Path, PathBuf};

use unils::audio::{AudioReader, MODEL_RATE, Resampler};
use unils::file::{ReadOptions, read_motion};
use unils::motion::{FPS, Motion, SAMPLES_PER_FRAME, Space};
use unils::{Error, Result};

use super::corpus_writer::CorpusWriter;
use super::import::{self, ImportOptions, ImportReport, Progress};
use super::pairs::{self, Source};
use super::store::{Recording, Samples, Split, Track};

/// How recordings whose split nothing says are divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SplitRule {
    /// All into one.
    All(Split),
    /// By a hash of the speaker (of the recording's name where that is not known): the parts that go into validation
    /// and test, each 0 to 1. The same speaker is always in the same split, also in a later import.
    Hash {
        /// Part for validation.
        val: f64,
        /// Part for test.
        test: f64,
    },
}

impl SplitRule {
    pub(super) fn split(self, name: &str, speaker: Option<&str>) -> Split {
        match self {
            Self::All(split) => split,
            Self::Hash { val, test } => {
                // FNV-1a and a final mix (of SplitMix64): stable for ever, unlike the standard library's hashes.
                let mut hash =
                    speaker.unwrap_or(name).bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                    });
                hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
                let part = (hash >> 11) as f64 / (1_u64 << 53) as f64;
                if part < test {
                    Split::Test
                } else if part < test + val {
                    Split::Val
                } else {
                    Split::Train
                }
            }
        }
    }
}

/// Reads the motion files of a folder: for formats beyond those of [`MotionFiles`].
pub trait FolderMotion: Sync + fmt::Debug {
    /// One participant's motion in `space` at 25 frames a second.
    ///
    /// # Errors
    /// Any: the recording is skipped and the error becomes the reason.
    fn read(&self, path: &Path, space: Space) -> Result<Motion>;
}

/// The motion files that the library reads: npz, npy, CSV (Live Link Face's too) and JSON. Other rates than 25 frames a
/// second are resampled.
#[derive(Debug, Clone, Copy, Default)]
pub struct MotionFiles;

impl FolderMotion for MotionFiles {
    fn read(&self, path: &Path, space: Space) -> Result<Motion> {
        let motion = read_motion(path, &ReadOptions { space: Some(space), fps: None })?;
        if motion.fps() == FPS { Ok(motion) } else { motion.resampled(FPS) }
    }
}

/// A folder, and how it becomes a corpus.
#[derive(Debug, Clone)]
pub struct FolderImport<'r> {
    /// The folder; ignored where there is a manifest.
    pub folder: PathBuf,
    /// The table that says what belongs together, in place of the names.
    pub manifest: Option<PathBuf>,
    /// How the splits are made where nothing says them.
    pub split: SplitRule,
    /// Skip what has no audio. Without it, motion alone is imported too.
    pub need_audio: bool,
    /// Seconds by which motion and audio, or two participants, may differ.
    pub tolerance_s: f64,
    /// Reader of the motion files.
    pub motion: &'r dyn FolderMotion,
}

impl FolderImport<'_> {
    /// A folder whose files are matched by name, all for training, half a second of tolerance.
    pub fn new(folder: impl AsRef<Path>) -> Self {
        Self {
            folder: folder.as_ref().to_owned(),
            manifest: None,
            split: SplitRule::All(Split::Train),
            need_audio: true,
            tolerance_s: 0.5,
            motion: &MotionFiles,
        }
    }
}

/// Adds the recordings of a folder to a corpus; what the corpus has already is left as it is. `progress` is called
/// after each and stops the import by returning `false`; what was added by then stays.
///
/// # Errors
/// [`Error::Io`] if folder or manifest cannot be read or the corpus not written; [`Error::Motion`] naming the row for a
/// malformed manifest; [`Error::Interrupted`]. Recordings that cannot be used are no error but in the report.
pub fn import_folder(
    folder: &FolderImport<'_>,
    writer: &CorpusWriter,
    options: &ImportOptions,
    progress: impl FnMut(Progress<'_>) -> bool,
) -> Result<ImportReport> {
    let (planned, skipped) = match &folder.manifest {
        Some(manifest) => pairs::by_manifest(manifest, folder.split, folder.need_audio)?,
        None => pairs::by_name(&folder.folder, folder.split, folder.need_audio)?,
    };
    let report = ImportReport { skipped, ..ImportReport::default() };
    let load = |people: &Vec<Source>| load(people, folder, writer.space());
    import::run(planned, report, writer, options, load, progress)
}

/// A recording of its people's files; its name is given by the import.
fn load(people: &[Source], folder: &FolderImport<'_>, space: Space) -> Result<Recording> {
    let mut tracks = Vec::with_capacity(people.len());
    // Lengths in frames, with what they are of.
    let mut lengths: Vec<(f64, String)> = Vec::new();
    for (number, source) in people.iter().enumerate() {
        let motion = one_participant(folder.motion.read(&source.motion, space)?, &source.motion, space)?;
        lengths.push((motion.frames() as f64, source.motion.display().to_string()));
        let name = source.speaker.clone().unwrap_or_else(|| ["a", "b"][number.min(1)].to_owned());
        let mut track = Track { speaker: source.speaker.clone(), ..Track::new(name, motion.into_values()) };
        if let Some(path) = &source.audio {
            let samples = read_audio(path, source.channel)?;
            lengths.push((samples.len() as f64 / SAMPLES_PER_FRAME as f64, path.display().to_string()));
            track.audio = Some(Samples::F32(samples));
        }
        tracks.push(track);
    }
    let by_length = |a: &&(f64, String), b: &&(f64, String)| a.0.total_cmp(&b.0);
    let (Some(short), Some(long)) = (lengths.iter().min_by(by_length), lengths.iter().max_by(by_length))
    else {
        return Err(Error::motion("", "no files"));
    };
    if long.0 - short.0 > folder.tolerance_s * FPS {
        let what = format!("{:.2} s, but {} has {:.2} s", short.0 / FPS, long.1, long.0 / FPS);
        return Err(Error::motion(&short.1, what).with_hint("do they belong together?"));
    }
    // A last frame that has half of its audio is kept: the rest of it is padded.
    let frames = short.0.round() as usize;
    tracks.iter_mut().for_each(|track| track.motion.truncate(frames * space.width()));
    Ok(Recording::new("", space, tracks))
}

fn one_participant(motion: Motion, path: &Path, space: Space) -> Result<Motion> {
    let place = path.display();
    if motion.participants() != 1 {
        let what = format!("{} participants, expected one a file", motion.participants());
        return Err(Error::motion(place, what));
    }
    if motion.space() != space || motion.fps() != FPS {
        let what = format!(
            "{} motion at {} frames a second, expected {space} at {FPS}",
            motion.space(),
            motion.fps()
        );
        return Err(Error::motion(place, what).with_hint("convert the motion first"));
    }
    Ok(motion)
}

/// One channel, or the mean of all, at 16 kHz.
fn read_audio(path: &Path, channel: Option<usize>) -> Result<Vec<f32>> {
    let mut reader = AudioReader::open(path)?;
    let (rate, channels) = (reader.info().sample_rate, reader.info().channels);
    if let Some(channel) = channel.filter(|&channel| channel >= channels) {
        let what = format!("channel {channel} was named, but there are {channels}");
        return Err(Error::audio(reader.name(), what).with_hint("channels are counted from 0"));
    }
    let mut resampler = Resampler::new(rate, MODEL_RATE)?;
    let (mut samples, mut mixed) = (Vec::new(), Vec::new());
    while let Some(block) = reader.next_block()? {
        match channel {
            Some(channel) => resampler.push(block.channel(channel), &mut samples),
            None => {
                mixed.clear();
                mixed.extend_from_slice(block.channel(0));
                for channel in 1..channels {
                    mixed.iter_mut().zip(block.channel(channel)).for_each(|(sum, sample)| *sum += sample);
                }
                mixed.iter_mut().for_each(|sample| *sample /= channels as f32);
                resampler.push(&mixed, &mut samples);
            }
        }
    }
    resampler.finish(&mut samples);
    if let Some(warning) = reader.warnings().first() {
        return Err(Error::audio(path.display(), warning).with_hint("repair the recording, or leave it out"));
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashed_splits_have_their_parts_and_keep_speakers_together() {
        let rule = SplitRule::Hash { val: 0.1, test: 0.2 };
        let mut counts = [0; 3];
        for number in 0..10_000 {
            counts[rule.split(&format!("talk_{number}"), None) as usize] += 1;
        }
        // Standard deviations 46, 30, 40.
        assert!((6770..7230).contains(&counts[0]) && (850..1150).contains(&counts[1]), "{counts:?}");
        assert_eq!(rule.split("x", Some("ann")), rule.split("y", Some("ann")));
        // Pinned: a later version must not move speakers to another split.
        let pinned: Vec<_> = (0..12).map(|number| rule.split(&number.to_string(), None) as u8).collect();
        assert_eq!(pinned, [0, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    }
}
