//! Output files that are there whole or not at all.
//!
//! An [`AtomicFile`] is written under a temporary name in the target's own folder and takes the target's name
//! only when it is complete and on the disk. An error, a dropped value or a panic leaves nothing behind, and an
//! older file of that name untouched. A program that handles Ctrl-C calls [`remove_unfinished`] before it exits.
//!
//! ```
//! use std::io::Write;
//! use unils::file::AtomicFile;
//! let path = std::env::temp_dir().join(format!("unils-doc-{}.csv", std::process::id()));
//! let mut file = AtomicFile::create(&path)?;
//! file.write_all(b"frame,jaw\n").unwrap();
//! assert!(!path.exists());
//! file.commit()?;
//! assert!(path.exists());
//! # std::fs::remove_file(&path).unwrap();
//! # Ok::<(), unils::Error>(())
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Error, Result};

/// Temporary names of this process that are neither finished nor removed.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Tells apart the temporary names of one process.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Bytes gathered before they go to the system.
const BUFFER_BYTES: usize = 1 << 18;

fn unfinished() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    // The set stays meaningful if a holder panicked: every change to it is a single call.
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Proof that the unfinished files are gone: while it lives, no other is begun or finished.
#[must_use = "keep it until the process exits, or a thread may begin another file"]
#[derive(Debug)]
pub struct Removed {
    count: usize,
    _hold: MutexGuard<'static, BTreeSet<PathBuf>>,
}

impl Removed {
    /// Number of files that were removed.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// Removes every file that this process has begun and not finished, and keeps threads from beginning or finishing
/// others while the result lives. For the thread that handles Ctrl-C:
/// `let _removed = remove_unfinished(); std::process::exit(130)`.
///
/// It takes a lock and uses the file system: call it from a thread, not inside a POSIX signal handler.
pub fn remove_unfinished() -> Removed {
    let mut paths = unfinished();
    let count = paths.iter().filter(|path| fs::remove_file(path).is_ok()).count();
    paths.clear();
    Removed { count, _hold: paths }
}

/// A file that appears under its name only when it is complete: see the module's text.
#[derive(Debug)]
pub struct AtomicFile {
    /// The name asked for, for messages.
    path: PathBuf,
    /// The file that is replaced: `path`, or what it links to.
    target: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
}

impl AtomicFile {
    /// Begins a file. Its folder must exist; a file of that name stays as it is until [`AtomicFile::commit`] and
    /// passes its permissions on; a symbolic link stays one and its target is replaced.
    ///
    /// # Errors
    /// [`Error::Io`] if the name is a folder, a device or a read-only file, or nothing can be created there.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let fail = |error| Error::io("create", path, error);
        let target = match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_symlink() => fs::canonicalize(path).map_err(fail)?,
            _ => path.to_owned(),
        };
        let known = fs::metadata(&target).ok();
        if let Some(metadata) = &known {
            check_replaceable(metadata).map_err(fail)?;
        }
        let Some(name) = target.file_name() else {
            return Err(fail(io::Error::new(ErrorKind::IsADirectory, "is a folder")));
        };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{}.part", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
        let temporary = target.with_file_name(hidden);
        // Held over both steps, so that a removal sees the file and its entry or neither.
        let mut paths = unfinished();
        let file = OpenOptions::new().write(true).create_new(true).open(&temporary).map_err(fail)?;
        paths.insert(temporary.clone());
        drop(paths);
        if let Some(metadata) = known {
            // A file system without permissions may refuse; the content is what matters.
            let _ = file.set_permissions(metadata.permissions());
        }
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(Self { path: path.to_owned(), target, temporary, file })
    }

    /// The name that the file will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Completes the file: brings it to the disk and gives it its name, replacing an older one.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses (a full disk shows here at the latest), [`Error::Interrupted`] if
    /// [`remove_unfinished`] was quicker; nothing is left behind.
    pub fn commit(mut self) -> Result<()> {
        let fail = |error| Error::io("write", &self.path, error);
        self.file.flush().map_err(fail)?;
        self.file.get_ref().sync_all().map_err(fail)?;
        let mut paths = unfinished();
        if !paths.contains(&self.temporary) {
            return Err(Error::Interrupted);
        }
        fs::rename(&self.temporary, &self.target).map_err(|error| Error::io("create", &self.path, error))?;
        paths.remove(&self.temporary);
        drop(paths);
        sync_folder(&self.target);
        Ok(())
    }
}

/// Writes a whole file from memory: it is there with all of `bytes`, or not at all.
///
/// # Errors
/// As [`AtomicFile::create`] and [`AtomicFile::commit`]; an older file of that name then stays as it was.
pub fn write_whole(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(|error| Error::io("write", path, error))?;
    file.commit()
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if unfinished().remove(&self.temporary) {
            // Nothing can be done about a failure here, and the error that led here is already on its way.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

/// Whether what stands under the target's name may be replaced by a file.
fn check_replaceable(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        return Err(io::Error::new(ErrorKind::IsADirectory, "is a folder"));
    }
    if !metadata.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "is not a regular file"));
    }
    if metadata.permissions().readonly() {
        return Err(io::Error::new(ErrorKind::PermissionDenied, "is read-only"));
    }
    Ok(())
}

/// Brings the new name itself to the disk, where the system has such a thing.
fn sync_folder(target: &Path) {
    #[cfg(unix)]
    if let Some(folder) = target.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        // The file is complete either way: a folder that cannot be synced is no reason to fail.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    #[cfg(not(unix))]
    let _ = target;
}
