//! Results of single recordings in a file, so that an interrupted evaluation is gone on with.
//!
//! JSON lines: the first names the settings that shaped the results, each other one is a recording, appended with one
//! write when it is scored. A line at the end that is not finished belongs to a write that was cut off; it is taken
//! off. Results of other settings are never mixed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unils::{Error, Result};

use super::score::Scored;

const FORMAT: &str = "unils-evaluation";
const VERSION: u32 = 1;

/// Bytes of the longest line that is read: a recording has some 0.2 MB.
const MAX_LINE_BYTES: u64 = 1 << 26;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: String,
    version: u32,
    settings: BTreeMap<String, String>,
}

/// A file of results, open for more.
#[derive(Debug)]
pub(super) struct Results {
    path: PathBuf,
    /// Locked while the evaluation runs.
    file: File,
    bytes: u64,
}

impl Results {
    /// Opens or begins a file and gives what it holds.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is something else, was made with other settings or is in use; [`Error::Io`].
    pub(super) fn open(path: &Path, settings: &BTreeMap<String, String>) -> Result<(Self, Vec<Scored>)> {
        let fail = |error| Error::io("open", path, error);
        let mut options = OpenOptions::new();
        let mut file =
            options.create(true).truncate(false).read(true).write(true).open(path).map_err(fail)?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            // Some network file systems have no locks: that is no reason to refuse them.
            return Err(Error::argument(path.display(), "another evaluation is writing to this file")
                .with_hint("wait for it, or name another file"));
        }
        let (scored, bytes) = read(&file, path, settings)?;
        file.set_len(bytes).map_err(fail)?;
        file.seek(SeekFrom::Start(bytes)).map_err(fail)?;
        let mut results = Self { path: path.to_owned(), file, bytes };
        if bytes == 0 {
            let settings = settings.clone();
            results.write(&Head { format: FORMAT.to_owned(), version: VERSION, settings })?;
        }
        Ok((results, scored))
    }

    /// Appends a recording.
    ///
    /// # Errors
    /// [`Error::Io`]; the file stays as it was.
    pub(super) fn append(&mut self, scored: &Scored) -> Result<()> {
        self.write(scored)
    }

    fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let fail = |error| Error::io("write", &self.path, error);
        let mut bytes = serde_json::to_vec(line).map_err(|error| fail(error.into()))?;
        bytes.push(b'\n');
        if let Err(error) = self.file.write_all(&bytes) {
            // If this fails too, the unfinished line is taken off when the file is opened again.
            let end = self.bytes;
            let _ = self.file.set_len(end).and_then(|()| self.file.seek(SeekFrom::Start(end)));
            return Err(fail(error));
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// What the file holds, and where its last finished line ends.
fn read(file: &File, path: &Path, settings: &BTreeMap<String, String>) -> Result<(Vec<Scored>, u64)> {
    let mut reader = BufReader::new(file);
    let (mut scored, mut bytes, mut finished) = (Vec::new(), Vec::new(), 0);
    for number in 1.. {
        bytes.clear();
        let got = reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes);
        let got = got.map_err(|error| Error::io("read", path, error))? as u64;
        let torn = !bytes.ends_with(b"\n") && got < MAX_LINE_BYTES;
        // A first line that is not finished is told from another file by how it begins.
        if got == 0 || (torn && (number > 1 || bytes.starts_with(b"{\"format\":\"unils-e"))) {
            break;
        }
        let malformed = |error: serde_json::Error| {
            let what = format!("line {number} is not of evaluation results: {error}");
            Error::argument(path.display(), what)
                .with_hint("name another file, or delete this one to begin anew")
        };
        if number == 1 {
            check(&serde_json::from_slice(&bytes).map_err(malformed)?, path, settings)?;
        } else {
            scored.push(serde_json::from_slice(&bytes).map_err(malformed)?);
        }
        finished += got;
    }
    Ok((scored, finished))
}

fn check(head: &Head, path: &Path, settings: &BTreeMap<String, String>) -> Result<()> {
    if head.format != FORMAT || head.version != VERSION {
        let what = format!("is of form {:?}, version {}", head.format, head.version);
        return Err(Error::argument(path.display(), what).with_hint("name another file"));
    }
    let names: std::collections::BTreeSet<&String> = settings.keys().chain(head.settings.keys()).collect();
    let value = |of: &BTreeMap<String, String>, name: &String| {
        of.get(name).cloned().unwrap_or_else(|| "nothing".to_owned())
    };
    let differ: Vec<String> = names
        .into_iter()
        .filter(|name| settings.get(*name) != head.settings.get(*name))
        .map(|name| format!("{name} was {}, is {}", value(&head.settings, name), value(settings, name)))
        .collect();
    if differ.is_empty() {
        return Ok(());
    }
    let what = format!("results of other settings: {}", differ.join("; "));
    Err(Error::argument(path.display(), what)
        .with_hint("repeat the settings to go on, name another output, or delete the file to begin anew"))
}
