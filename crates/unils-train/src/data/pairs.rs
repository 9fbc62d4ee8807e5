//! Which files of a folder belong together: by name, or by a manifest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use unils::{Error, Result};

use super::import::{Planned, Skipped};
use super::import_folder::SplitRule;
use super::store::{Split, within};

/// Endings of audio and of motion files.
const AUDIO: [&str; 9] = ["wav", "flac", "mp3", "ogg", "opus", "m4a", "mp4", "mov", "aac"];
const MOTION: [&str; 4] = ["npz", "npy", "csv", "json"];
/// What comes before the ending of tables in Live Link Face's layout.
const LIVE_LINK: &str = ".livelink";
/// Deepest folder that is looked into.
const MAX_DEPTH: usize = 16;
/// Ends of the base names of a dyad's two people.
const PERSONS: [&str; 2] = ["__a", "__b"];

/// One person's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub speaker: Option<String>,
    pub audio: Option<PathBuf>,
    /// The channel of the audio that is this person, counted from 0; all are mixed if there is none.
    pub channel: Option<usize>,
    pub motion: PathBuf,
}

pub(super) type Plan = (Vec<Planned<Vec<Source>>>, Vec<Skipped>);

/// The files of one base name.
#[derive(Debug, Default)]
struct Files {
    audio: Vec<PathBuf>,
    motion: Vec<PathBuf>,
}

/// Pairs audio and motion files of the same base name in a folder and those below it.
pub(super) fn by_name(folder: &Path, rule: SplitRule, need_audio: bool) -> Result<Plan> {
    let mut files = BTreeMap::new();
    collect(folder, &mut Vec::new(), &mut files)?;
    let mut skipped = Vec::new();
    let mut recordings: BTreeMap<(Option<Split>, String), [Option<Source>; 2]> = BTreeMap::new();
    let mut dyads = std::collections::BTreeSet::new();
    for ((split, base), files) in files {
        match files.source(need_audio) {
            Err(why) => skipped.push(Skipped { name: base, why: why.to_owned() }),
            Ok(source) => {
                let person = PERSONS.iter().position(|end| base.to_ascii_lowercase().ends_with(end));
                let name =
                    person.map_or(base.as_str(), |_| &base[..base.len() - PERSONS[0].len()]).to_owned();
                let key = (split, name);
                dyads.extend(person.map(|_| key.clone()));
                let slot = &mut recordings.entry(key).or_default()[person.unwrap_or(0)];
                if slot.replace(source).is_some() {
                    skipped.push(Skipped {
                        name: base,
                        why: "another file stands for the same person".to_owned(),
                    });
                }
            }
        }
    }
    let mut planned = Vec::new();
    for ((split, name), people) in recordings {
        let dyad = dyads.contains(&(split, name.clone()));
        let source: Vec<Source> = people.into_iter().flatten().collect();
        if dyad && source.len() != 2 {
            let why = "only one of the two people (__A, __B) has usable files".to_owned();
            skipped.push(Skipped { name, why });
            continue;
        }
        let split = split.unwrap_or_else(|| rule.split(&name, None));
        planned.push(Planned { name, split, source });
    }
    Ok((planned, skipped))
}

impl Files {
    fn source(self, need_audio: bool) -> Result<Source, &'static str> {
        let [motion] = <[PathBuf; 1]>::try_from(self.motion).map_err(|motion| match motion.len() {
            0 => "there is no motion file of that name",
            _ => "there are several motion files of that name",
        })?;
        let mut audio = self.audio;
        match audio.len() {
            0 if need_audio => Err("there is no audio file of that name"),
            0 | 1 => Ok(Source { speaker: None, audio: audio.pop(), channel: None, motion }),
            _ => Err("there are several audio files of that name"),
        }
    }
}

/// Files by split (that of a first folder named train, val or test) and base name (folders joined by `-`).
fn collect(
    folder: &Path,
    below: &mut Vec<String>,
    files: &mut BTreeMap<(Option<Split>, String), Files>,
) -> Result<()> {
    let fail = |error| Error::io("read", folder, error);
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let path = entry.path();
        let Some(name) =
            path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.'))
        else {
            continue;
        };
        // A link to a folder is not followed: it may lead in a circle.
        if entry.file_type().map_err(fail)?.is_dir() {
            if below.len() < MAX_DEPTH {
                below.push(name.to_owned());
                collect(&path, below, files)?;
                below.pop();
            }
            continue;
        }
        let (Some(stem), Some(ending)) = (path.file_stem().and_then(|stem| stem.to_str()), path.extension())
        else {
            continue;
        };
        let ending = ending.to_string_lossy().to_ascii_lowercase();
        let split: Option<Split> = below.first().and_then(|first| first.parse().ok());
        let folders = below.iter().skip(usize::from(split.is_some()));
        let plain = stem.len().checked_sub(LIVE_LINK.len()).and_then(|end| stem.split_at_checked(end));
        let stem =
            plain.filter(|(_, end)| end.eq_ignore_ascii_case(LIVE_LINK)).map_or(stem, |(stem, _)| stem);
        let base = folders.map(String::as_str).chain([stem]).collect::<Vec<_>>().join("-");
        if AUDIO.contains(&ending.as_str()) {
            files.entry((split, base)).or_default().audio.push(path);
        } else if MOTION.contains(&ending.as_str()) {
            files.entry((split, base)).or_default().motion.push(path);
        }
    }
    Ok(())
}

/// The recordings that a manifest lists: a CSV table with a row a participant.
pub(super) fn by_manifest(manifest: &Path, rule: SplitRule, need_audio: bool) -> Result<Plan> {
    let place = manifest.display().to_string();
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let fault = |row: usize, what: &str| Error::motion(format!("{place}: row {row}"), what);
    let malformed = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(error) => Error::io("read", manifest, error),
        kind => Error::motion(&place, format!("not a table: {:?}", kind))
            .with_hint("expected comma-separated values"),
    };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(manifest).map_err(malformed)?;
    let header = reader.headers().map_err(malformed)?.clone();
    let column = |name: &str| header.iter().position(|title| title.eq_ignore_ascii_case(name));
    let (Some(recording), Some(motion)) = (column("recording"), column("motion")) else {
        return Err(Error::motion(&place, "the columns \"recording\" and \"motion\" are needed")
            .with_hint("columns: recording, motion, audio, channel, speaker, split"));
    };
    let mut order = Vec::new();
    let mut recordings: BTreeMap<String, (Option<Split>, Vec<Source>)> = BTreeMap::new();
    for (index, record) in reader.records().enumerate() {
        let row = index + 2;
        let record = record.map_err(malformed)?;
        let at = |column: Option<usize>| column.and_then(|at| record.get(at)).filter(|cell| !cell.is_empty());
        let (Some(name), Some(motion)) = (at(Some(recording)), at(Some(motion))) else {
            return Err(fault(row, "recording or motion is empty"));
        };
        let audio = at(column("audio")).map(|audio| folder.join(audio));
        if audio.is_none() && need_audio {
            return Err(fault(row, "audio is empty"));
        }
        let channel = at(column("channel")).map(str::parse).transpose();
        let channel = channel.map_err(|_| fault(row, "channel is not a number counted from 0"))?;
        let split = at(column("split"))
            .map(str::parse)
            .transpose()
            .map_err(|error| within(&format!("{place}: row {row}"), error))?;
        let speaker = at(column("speaker")).map(str::to_owned);
        let (known, people) = recordings.entry(name.to_owned()).or_insert_with(|| {
            order.push(name.to_owned());
            (split, Vec::new())
        });
        if *known != split {
            return Err(fault(row, "the recording's participants are in different splits"));
        }
        people.push(Source { speaker, audio, channel, motion: folder.join(motion) });
        if people.len() > 2 {
            return Err(fault(row, "a third participant of the recording; one or two are possible"));
        }
    }
    let planned = order.into_iter().filter_map(|name| {
        let (split, source) = recordings.remove(&name)?;
        let split =
            split.unwrap_or_else(|| rule.split(&name, source.first().and_then(|who| who.speaker.as_deref())));
        Some(Planned { name, split, source })
    });
    Ok((planned.collect(), Vec::new()))
}
