//! Programs that are run for one sentence, within a time limit and a folder of their own.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use unils::audio::AudioReader;
use unils::{Error, Result};

use super::LIMIT;

/// A temporary folder that goes when it is dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn create() -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("unils-corpus-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| Error::io("create", &path, error))?;
        Ok(Self(path))
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing can be done about a folder that does not go.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The same command in a process group of its own: Ctrl-C is for this program, which then stops after whole recordings.
pub(super) fn apart(command: &mut Command) -> &mut Command {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    command
}

/// Runs a program without a shell and gives what it printed; `install` is the hint if it is not there.
pub(super) fn run(command: &mut Command, install: &str) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let fail = |what: String| Error::audio(&name, what);
    let spawned = apart(command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = spawned.map_err(|error| {
        fail(format!("cannot be started: {error}")).with_hint(format!("install it: {install}"))
    })?;
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(2)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(fail(format!("did not end within {} s", LIMIT.as_secs())));
            }
        }
    };
    let mut printed = String::new();
    if let Some(output) = child.stdout.take() {
        // What the programs print is far below what a pipe holds, so it was all written before they ended.
        let read = output.take(1 << 20).read_to_string(&mut printed);
        read.map_err(|error| fail(format!("its output cannot be read: {error}")))?;
    }
    if status.success() { Ok(printed) } else { Err(fail(format!("ended with {status}"))) }
}

/// The first channel of an audio file, and its samples a second.
pub(super) fn read_wav(path: &Path) -> Result<(Vec<f32>, u32)> {
    let mut reader = AudioReader::open(path)?;
    let rate = reader.info().sample_rate;
    let mut samples = Vec::new();
    while let Some(block) = reader.next_block()? {
        samples.extend_from_slice(block.channel(0));
    }
    Ok((samples, rate))
}
