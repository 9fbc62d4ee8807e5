//! Looks through a data set for what would stop a training or spoil its result.
//!
//! Every record is read once, on several threads; what is wrong becomes a [`Finding`] that names it, and the check
//! goes on. Duplicates are found by a hash of motion and audio, leaks by content and speaker.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};

use unils::motion::{SAMPLES_PER_FRAME, Space};
use unils::{Error, Result};

use super::clip::ClipRule;
use super::findings::{CheckReport, Finding, FindingKind, SplitSummary};
use super::parallel;
use super::store::{Entry, Recording, Samples, Split, Store, Track};

/// Samples this large are at full scale, and this many in a row are clipped.
const FULL_SCALE: (f32, usize) = (0.999, 3);

/// Level of digital silence, in decibels below full scale.
const FLOOR_DBFS: f64 = -200.0;

/// What the check takes for wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CheckOptions {
    /// The rule by which recordings are too short.
    pub rule: ClipRule,
    /// Read and check the audio too.
    pub audio: bool,
    /// Audio with a level (root mean square) below this is silent, in decibels below full scale.
    pub silence_dbfs: f64,
    /// Frames by which audio may be longer or shorter than motion.
    pub length_frames: f64,
    /// Clipped samples that are let pass, as a part of all.
    pub clipped_part: f64,
    /// Frames in a row that may be the same.
    pub frozen_frames: usize,
    /// How far a number may lie outside of its channel's usual range, in widths of the range.
    pub range_margin: f32,
    /// Threads that read; all cores if 0.
    pub threads: usize,
}

impl Default for CheckOptions {
    /// The release's clips of 100 frames; -60 dBFS, 2 frames, 0.1 % clipped, 2 s of the same, one width of the range.
    fn default() -> Self {
        Self {
            rule: ClipRule::release(100),
            audio: true,
            silence_dbfs: -60.0,
            length_frames: 2.0,
            clipped_part: 1e-3,
            frozen_frames: 50,
            range_margin: 1.0,
            threads: 0,
        }
    }
}

/// Checks all recordings of a store. `progress` is called with the recordings done and in all, and stops the check by
/// returning `false`.
///
/// # Errors
/// [`Error::Interrupted`] if stopped. What is wrong with the data is no error but in the report.
pub fn check(
    store: &dyn Store,
    options: &CheckOptions,
    mut progress: impl FnMut(usize, usize) -> bool,
) -> Result<CheckReport> {
    let entries = store.entries();
    let mut facts: Vec<Facts> = Vec::new();
    facts.resize_with(entries.len(), Facts::default);
    let mut done = 0;
    let look = |number: usize| Facts::of(store, number, options);
    parallel::for_each(entries.len(), options.threads, "check", look, |number, found| {
        facts[number] = found;
        done += 1;
        if progress(done, entries.len()) { Ok(()) } else { Err(Error::Interrupted) }
    })?;
    let mut report = CheckReport {
        place: store.place().to_owned(),
        space: store.space(),
        splits: BTreeMap::new(),
        findings: Vec::new(),
    };
    let mut speakers: BTreeMap<Split, std::collections::BTreeSet<&str>> = BTreeMap::new();
    for (entry, facts) in entries.iter().zip(&facts) {
        let summary = report.splits.entry(entry.split).or_default();
        count(summary, entry, facts, &options.rule);
        let known = entry.participants.iter().filter_map(|person| person.speaker.as_deref());
        speakers.entry(entry.split).or_default().extend(known);
        for (kind, what) in &facts.wrong {
            report.findings.push(finding(*kind, entry, what.clone()));
        }
    }
    for (split, speakers) in speakers {
        report.splits.entry(split).or_default().speakers = speakers.len();
    }
    leaks_and_duplicates(entries, &facts, &mut report.findings);
    report.findings.sort_by_key(|finding| (finding.severity, finding.kind));
    Ok(report)
}

fn finding(kind: FindingKind, entry: &Entry, what: String) -> Finding {
    Finding { kind, severity: kind.severity(), split: entry.split, record: entry.name.clone(), what }
}

fn count(summary: &mut SplitSummary, entry: &Entry, facts: &Facts, rule: &ClipRule) {
    summary.shortest =
        if summary.recordings == 0 { entry.frames } else { summary.shortest.min(entry.frames) };
    summary.longest = summary.longest.max(entry.frames);
    summary.recordings += 1;
    summary.dyads += usize::from(entry.participants.len() == 2);
    summary.tracks += entry.participants.len();
    summary.frames += entry.frames as u64;
    summary.too_short += usize::from(!rule.keeps(entry.frames));
    summary.audio_samples += facts.audio_samples;
}

/// What one recording showed.
#[derive(Debug, Default)]
struct Facts {
    wrong: Vec<(FindingKind, String)>,
    /// A hash of each track's content.
    contents: Vec<u64>,
    audio_samples: u64,
}

impl Facts {
    fn of(store: &dyn Store, number: usize, options: &CheckOptions) -> Self {
        let mut facts = Self::default();
        match (store.read_raw(number, options.audio), store.entries().get(number)) {
            (Ok(recording), Some(entry)) => facts.look(&recording, entry, options),
            (Err(error), _) => facts.wrong.push((FindingKind::Unreadable, error.to_string())),
            (Ok(_), None) => {}
        }
        facts
    }

    fn look(&mut self, recording: &Recording, entry: &Entry, options: &CheckOptions) {
        if let Some(what) = recording.first_not_finite() {
            self.wrong.push((FindingKind::NotFinite, what));
        }
        let with_audio = recording.tracks.iter().filter(|track| track.audio.is_some()).count();
        if !(with_audio == 0 || with_audio == recording.tracks.len()) {
            let what = format!("{with_audio} of {} participants have audio", recording.tracks.len());
            self.wrong.push((FindingKind::AudioMissing, what));
        }
        for track in &recording.tracks {
            self.contents.push(content(track));
            self.look_at_motion(track, recording.space, entry.frames, options);
            if let Some(audio) = &track.audio {
                self.look_at_audio(audio, track, recording.space, options);
            }
        }
    }

    fn look_at_motion(&mut self, track: &Track, space: Space, listed: usize, options: &CheckOptions) {
        let width = space.width();
        let frames = track.motion.len() / width;
        let name = &track.name;
        if let Some(speech) = track.speech.as_ref().filter(|speech| speech.len() < frames.min(listed)) {
            let what = format!("{name}: a mask of {} frames for {frames}", speech.len());
            self.wrong.push((FindingKind::SpeechMask, what));
        }
        if frames < listed {
            let what = format!("{name}: {frames} frames of motion, listed are {listed}");
            self.wrong.push((FindingKind::TooFewFrames, what));
        } else if frames > listed {
            let what = format!("{name}: {frames} frames, {listed} are listed and used");
            self.wrong.push((FindingKind::UnusedFrames, what));
        }
        let (start, length) = longest_stand(&track.motion, width);
        if length > options.frozen_frames {
            let what = format!("{name}: {length} frames from frame {start} on are the same");
            self.wrong.push((FindingKind::Frozen, what));
        }
        if let Some((frame, channel, value)) = furthest_outside(&track.motion, space, options.range_margin) {
            let what = format!("{name}: frame {frame}, {} is {value}", space.channels()[channel].name);
            self.wrong.push((FindingKind::OutOfRange, what));
        }
    }

    fn look_at_audio(&mut self, audio: &Samples, track: &Track, space: Space, options: &CheckOptions) {
        let name = &track.name;
        let samples = audio.to_f32();
        self.audio_samples += samples.len() as u64;
        if let Some(at) = samples.iter().position(|sample| !sample.is_finite()) {
            self.wrong
                .push((FindingKind::NotFinite, format!("{name}: audio sample {at} is {}", samples[at])));
            return;
        }
        let frames = (track.motion.len() / space.width()) as f64;
        let audio_frames = samples.len() as f64 / SAMPLES_PER_FRAME as f64;
        if (audio_frames - frames).abs() > options.length_frames {
            let what = format!("{name}: {audio_frames:.1} frames of audio, {frames} of motion");
            self.wrong.push((FindingKind::AudioLength, what));
        }
        let energy: f64 = samples.iter().map(|&sample| f64::from(sample) * f64::from(sample)).sum();
        let level = (10.0 * (energy / samples.len().max(1) as f64).log10()).max(FLOOR_DBFS);
        if level <= options.silence_dbfs {
            self.wrong.push((FindingKind::Silent, format!("{name}: {level:.0} dBFS")));
        }
        let clipped = clipped(&samples);
        if clipped as f64 > options.clipped_part * samples.len() as f64 {
            let part = 100.0 * clipped as f64 / samples.len() as f64;
            self.wrong.push((FindingKind::Clipped, format!("{name}: {clipped} samples ({part:.2} %)")));
        }
    }
}

/// A hash of a track's motion and audio.
fn content(track: &Track) -> u64 {
    let mut hasher = DefaultHasher::new();
    track.motion.iter().for_each(|value| hasher.write_u32(value.to_bits()));
    match &track.audio {
        None => {}
        Some(Samples::F16(samples)) => samples.iter().for_each(|sample| hasher.write_u16(sample.to_bits())),
        Some(Samples::F32(samples)) => samples.iter().for_each(|sample| hasher.write_u32(sample.to_bits())),
        Some(Samples::I16(samples)) => samples.iter().for_each(|&sample| hasher.write_i16(sample)),
    }
    hasher.finish()
}

/// First frame and length of the longest run of equal frames.
fn longest_stand(motion: &[f32], width: usize) -> (usize, usize) {
    let mut longest = (0, 0);
    let mut start = 0;
    for frame in 1..=motion.len() / width {
        let row = |frame: usize| motion.get(frame * width..(frame + 1) * width);
        if row(frame) != row(start) {
            if frame - start > longest.1 {
                longest = (start, frame - start);
            }
            start = frame;
        }
    }
    longest
}

/// Frame, channel and value of the number that lies furthest outside of its range, if one lies outside by more than
/// `margin` widths of it.
fn furthest_outside(motion: &[f32], space: Space, margin: f32) -> Option<(usize, usize, f32)> {
    let width = space.width();
    let mut worst = (margin, None);
    for (index, &value) in motion.iter().enumerate() {
        let (low, high) = space.channels()[index % width].range;
        let outside = (low - value).max(value - high) / (high - low);
        if outside > worst.0 {
            worst = (outside, Some((index / width, index % width, value)));
        }
    }
    worst.1
}

/// Samples in runs at full scale, of one sign.
fn clipped(samples: &[f32]) -> usize {
    let (level, run) = FULL_SCALE;
    let same = |a: &f32, b: &f32| a.abs() >= level && b.abs() >= level && (*a > 0.0) == (*b > 0.0);
    samples.chunk_by(same).map(<[f32]>::len).filter(|&length| length >= run).sum()
}

/// The same content or speaker at two places.
fn leaks_and_duplicates(entries: &[Entry], facts: &[Facts], findings: &mut Vec<Finding>) {
    let mut contents: HashMap<u64, (&Entry, &str)> = HashMap::new();
    let mut speakers: HashMap<(&str, Split), &Entry> = HashMap::new();
    for (entry, facts) in entries.iter().zip(facts) {
        for (index, person) in entry.participants.iter().enumerate() {
            let name = person.name.as_str();
            if let Some(speaker) = person.speaker.as_deref() {
                speakers.entry((speaker, entry.split)).or_insert(entry);
            }
            let Some(&content) = facts.contents.get(index) else { continue };
            if let Some((other, other_name)) = contents.insert(content, (entry, name)) {
                let kind = leak_or(other, entry);
                let what = format!("{name} holds the same as {other_name} of {} {}", other.split, other.name);
                findings.push(finding(kind, entry, what));
            }
        }
    }
    let mut shared: Vec<_> = speakers.iter().filter(|((_, split), _)| *split != Split::Train).collect();
    shared.sort_by_key(|((speaker, split), _)| (*speaker, *split));
    for ((speaker, split), entry) in shared {
        for other in Split::ALL.into_iter().filter(|other| other < split) {
            if let Some(first) = speakers.get(&(*speaker, other)) {
                let what = format!("speaker {speaker} is in {other} too ({})", first.name);
                findings.push(finding(FindingKind::SplitLeak, entry, what));
            }
        }
    }
}

fn leak_or(other: &Entry, entry: &Entry) -> FindingKind {
    if other.split == entry.split { FindingKind::Duplicate } else { FindingKind::SplitLeak }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_and_runs() {
        let motion = [0.0, 1.0, 0.0, 1.0, 0.0, 2.0, 0.0, 2.0, 0.0, 2.0];
        assert_eq!(longest_stand(&motion, 2), (2, 3));
        assert_eq!(longest_stand(&motion[..2], 2), (0, 1));
        assert_eq!(longest_stand(&[], 2), (0, 0));
        assert_eq!(clipped(&[0.0, 1.0, 1.0, 0.2, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 1.0]), 7);
        assert_eq!(clipped(&[]), 0);
    }

    #[test]
    fn ranges_have_a_margin() {
        let mut motion = vec![0.5; 2 * 55];
        motion[55 + 17] = 1.9;
        assert_eq!(furthest_outside(&motion, Space::Arkit55, 1.0), None);
        motion[55 + 17] = 2.1;
        motion[3] = -1.5;
        assert_eq!(furthest_outside(&motion, Space::Arkit55, 1.0), Some((0, 3, -1.5)));
    }
}
