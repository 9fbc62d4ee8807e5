//! Builds a corpus: recordings in parallel, gone on with where it stopped.
//!
//! Recording `i` is a function of the seed and of `i` (and of the synthesisers that are installed), so that threads and
//! interruptions change nothing. What was begun with is kept in `build.json` beside the index; going on with another seed
//! or other synthesisers is refused. A larger number of hours adds to a corpus.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use unils::file::write_whole;
use unils::motion::{FPS, Space};
use unils::{Error, Result};
use unils_train::data::{CorpusOptions, CorpusStore, CorpusWriter, Recording, Store};

use crate::conversation::{record, split_of};
use crate::voices::{Casting, Engine, Studio, installed};

/// Mean length of a recording, which the number of recordings follows from, seconds.
const MEAN_S: f64 = 85.0;
/// Other draws of a recording if its synthesiser fails.
const ATTEMPTS: u64 = 4;
/// How often the caller may stop the work.
const POLL: Duration = Duration::from_millis(200);
/// Changes when the same seed makes other recordings.
const VERSION: u32 = 3;

/// What is built.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Folder of the corpus.
    pub root: PathBuf,
    /// Length of the whole, about.
    pub hours: f64,
    /// The seed.
    pub seed: u64,
    /// Threads; 0 for one a core.
    pub threads: usize,
    /// Command line of the process that [`serve`](crate::voices::espeak::serve)s espeak-ng.
    pub worker: Vec<OsString>,
}

/// How far the work is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Recordings that are written.
    pub recordings: usize,
    /// Recordings in the end.
    pub total: usize,
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BuildReport {
    /// Recordings in the corpus.
    pub recordings: usize,
    /// Those that were there before.
    pub resumed: usize,
    /// Hours of recordings in the corpus.
    pub hours: f64,
    /// Synthesisers that were used.
    pub engines: Vec<String>,
    /// Those that are not installed, with the command that installs them.
    pub missing: Vec<String>,
    /// Other draws that were needed because a synthesiser failed; each leaves its recording with other voices.
    pub failures: usize,
    /// The last such failure.
    pub last_failure: Option<String>,
}

/// What a corpus was begun with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Begun {
    version: u32,
    seed: u64,
    engines: Vec<String>,
}

impl fmt::Display for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} and {} (rules {})", self.seed, self.engines.join(", "), self.version)
    }
}

/// Recordings that make about so many hours.
pub fn recordings(hours: f64) -> usize {
    (hours * 3600.0 / MEAN_S).ceil().max(1.0) as usize
}

/// Builds a corpus or goes on with one; `progress` is asked some times a second whether to go on.
///
/// # Errors
/// [`Error::Argument`] for hours out of range, without a synthesiser for training, or if the folder holds a corpus of
/// another seed or of other synthesisers; [`Error::Interrupted`] if `progress` stops (what is written stays); what
/// synthesisers and [`CorpusWriter`] report.
pub fn build(
    options: &BuildOptions,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<BuildReport> {
    if !(options.hours > 0.0 && options.hours <= 10_000.0) {
        return Err(Error::argument("hours", format!("expected 0 to 10000, got {}", options.hours)));
    }
    let engines = installed(&options.worker);
    let missing: Vec<Engine> = Engine::ALL.into_iter().filter(|engine| !engines.contains(engine)).collect();
    let casting = Casting::new(&engines)?;
    let begun = Begun {
        version: VERSION,
        seed: options.seed,
        engines: engines.iter().map(|engine| engine.name().to_owned()).collect(),
    };
    let writer = CorpusWriter::open(&options.root, Space::Arkit55, CorpusOptions::default())?;
    let there: HashSet<u64> = CorpusStore::open(&options.root)?
        .entries()
        .iter()
        .filter_map(|entry| number_of(&entry.name))
        .collect();
    check_begun(&options.root.join("build.json"), &begun, writer.is_empty())?;
    let total = recordings(options.hours);
    let todo: Vec<u64> = (0..total as u64).filter(|number| !there.contains(number)).collect();
    let failures = Mutex::new((0, None));
    let make = |number: u64| {
        let recording = attempt(&casting, options, number, &failures)?;
        writer.add(split_of(number), &recording).map(|_| ())
    };
    let mut step = |done: usize| progress(&Progress { recordings: total - todo.len() + done, total });
    in_parallel(&todo, options.threads, &make, &mut step)?;
    writer.sync()?;
    let store = CorpusStore::open(&options.root)?;
    let frames: usize = store.entries().iter().map(|entry| entry.frames).sum();
    let (failures, last_failure) = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(BuildReport {
        recordings: store.entries().len(),
        resumed: there.len(),
        hours: frames as f64 / FPS / 3600.0,
        engines: begun.engines,
        missing: missing.iter().map(|engine| format!("{engine}: {}", engine.install())).collect(),
        failures,
        last_failure,
    })
}

/// A recording, with other draws if a synthesiser fails at these.
fn attempt(
    casting: &Casting,
    options: &BuildOptions,
    number: u64,
    failures: &Mutex<(usize, Option<String>)>,
) -> Result<Recording> {
    let mut last = Error::Interrupted;
    for attempt in 0..ATTEMPTS {
        match record(casting, &mut Studio::new(&options.worker), options.seed, number, attempt) {
            Err(error @ Error::Audio(_)) => {
                let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                *failures = (failures.0 + 1, Some(error.to_string()));
                last = error;
            }
            other => return other,
        }
    }
    Err(last)
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("range-").unwrap_or(name).parse().ok()
}

/// Whether the corpus was begun with the same; writes it down for a new one.
fn check_begun(path: &Path, begun: &Begun, is_new: bool) -> Result<()> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let before: Begun = serde_json::from_slice(&bytes)
                .map_err(|error| Error::argument(path.display(), format!("cannot be read: {error}")))?;
            if before != *begun {
                let what = format!("the corpus was begun with {before}, now it is {begun}");
                return Err(Error::argument(path.display(), what)
                    .with_hint("go on with the same seed and synthesisers, or name another folder"));
            }
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && is_new => {
            let json = serde_json::to_vec(begun).map_err(|error| Error::io("write", path, error.into()))?;
            write_whole(path, &json)
        }
        Err(error) => Err(Error::io("read", path, error)),
    }
}

/// Does the work on several threads; `step` is called with how much of it is done, and may stop it.
fn in_parallel(
    todo: &[u64],
    threads: usize,
    make: &(impl Fn(u64) -> Result<()> + Sync),
    step: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<()> {
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (sender, results) = channel();
        for _ in 0..threads.min(todo.len()) {
            let (sender, next, stop) = (sender.clone(), &next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let Some(&number) = todo.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                    if sender.send(make(number)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut done = 0;
        let mut work = || loop {
            let result = results.recv_timeout(POLL);
            if step(done + usize::from(matches!(result, Ok(Ok(()))))).is_break() {
                return Err(Error::Interrupted);
            }
            match result {
                Ok(made) => {
                    made?;
                    done += 1;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        };
        let worked = work();
        stop.store(true, Ordering::Relaxed);
        worked
    })
}

#[cfg(test)]
mod tests {
    use unils_train::data::Split;

    use super::*;

    #[test]
    fn everything_is_made_once_and_stops_are_heard() {
        let todo: Vec<u64> = (5..60).collect();
        let made = Mutex::new(Vec::new());
        let make = |number| {
            made.lock().unwrap().push(number);
            Ok(())
        };
        let mut most = 0;
        let mut step = |done| {
            most = most.max(done);
            ControlFlow::Continue(())
        };
        in_parallel(&todo, 3, &make, &mut step).unwrap();
        let mut made = made.into_inner().unwrap();
        made.sort_unstable();
        assert_eq!((made, most), (todo.clone(), 55));
        let slow = |_| {
            std::thread::sleep(Duration::from_millis(1));
            Ok(())
        };
        let stopped = in_parallel(&todo, 2, &slow, &mut |_| ControlFlow::Break(()));
        assert!(matches!(stopped, Err(Error::Interrupted)));
        let failing = |number| if number == 20 { Err(Error::audio("x", "y")) } else { Ok(()) };
        let failed = in_parallel(&todo, 2, &failing, &mut |_| ControlFlow::Continue(()));
        assert!(matches!(failed, Err(Error::Audio(_))));
    }

    #[test]
    fn a_corpus_keeps_its_seed() {
        let folder = std::env::temp_dir().join(format!("unils-corpus-begun-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("build.json");
        let begun = Begun { version: VERSION, seed: 7, engines: vec!["flite".into()] };
        check_begun(&path, &begun, true).unwrap();
        check_begun(&path, &begun, false).unwrap();
        let other = Begun { seed: 8, ..begun };
        assert!(check_begun(&path, &other, false).unwrap_err().hint().unwrap().contains("same seed"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn splits_have_their_shares() {
        let count = |split| (0..1000).filter(|&number| split_of(number) == split).count();
        assert_eq!([Split::Train, Split::Val, Split::Test].map(count), [880, 40, 80]);
        assert_eq!((recordings(1.0), recordings(0.001)), (43, 1));
        assert_eq!(
            (number_of("range-000031"), number_of("000007"), number_of("x")),
            (Some(31), Some(7), None)
        );
    }
}
