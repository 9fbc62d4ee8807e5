//! Reads LMDB files: the key-value store that holds the release's recordings.
//!
//! Own code, small and read-only, and not a binding of the C library (as `heed`, which the tests write with), because
//! of what the files go through. Data sets are copied between machines, mounted read-only and sometimes still being
//! written. The C library ends the process (SIGBUS) on a file that is cut short; it needs a lock file beside the data,
//! which a read-only folder refuses; lock files of its versions differ, so that `heed` cannot share a file with the
//! writer that Python's package embeds (MDB_VERSION_MISMATCH); and without the lock it may read pages that are just
//! being written. Here every page is read by position and checked, and there is no lock: LMDB never changes a page
//! of a commit before two further commits, so a read is consistent if by its end at most one commit has happened, and
//! is done again on the newest commit otherwise.
//!
//! Format: LMDB 0.9 (data version 1) of 64-bit little-endian machines, the only one in common use; one unnamed
//! database. Layout from `mdb.c` of <https://git.openldap.org/openldap/openldap>: pages with a header of 16
//! bytes; two meta pages, the one with the larger transaction number counts; a B+tree of branch and leaf pages whose
//! nodes are found by 16-bit offsets; values that do not fit stand in runs of overflow pages.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use unils::{Error, Result};

use super::lmdb_page::{BIG, HEADER, Node, Page, PageFile, u16_at, u32_at, u64_at};

const MAGIC: u32 = 0xBEEF_C0DE;
const DATA_VERSION: u32 = 1;
/// Bytes of a meta record, up to and with the transaction number.
const META: usize = 136;
/// "No page".
const NONE: u64 = u64::MAX;
const OVERFLOW: u16 = 0x04;
/// Databases whose keys are not plain sorted bytes: reversed, duplicates, integers.
const UNUSUAL: u16 = 0x02 | 0x04 | 0x08;
/// LMDB's own limit of the tree's depth.
const MAX_DEPTH: usize = 32;
/// Reads that are tried on ever newer commits.
const TRIES: usize = 8;

/// An LMDB opened for reading. Reads are safe from many threads at once and see whole commits.
pub struct Lmdb {
    file: PageFile,
    path: PathBuf,
    page_size: usize,
    snapshot: Mutex<Snapshot>,
}

/// One commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Snapshot {
    transaction: u64,
    root: u64,
    last_page: u64,
    entries: u64,
    page_size: usize,
}

impl fmt::Debug for Lmdb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lmdb").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Lmdb {
    /// Opens the environment in a folder (its `data.mdb`), or the data file itself. Nothing is created or locked.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::Motion`] if it is no LMDB, of a kind that is not read, or cut
    /// short.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let mut path = path.as_ref().to_owned();
        let metadata = std::fs::metadata(&path).map_err(|error| Error::io("open", &path, error))?;
        if metadata.is_dir() {
            path.push("data.mdb");
            if !path.exists() {
                return Err(Error::motion(path.display(), "there is no such file")
                    .with_hint("name the folder that holds data.mdb, or the LMDB file itself"));
            }
        }
        let file = File::open(&path).map_err(|error| Error::io("open", &path, error))?;
        let file = PageFile::new(file);
        let first = first_page_size(&file, &path)?;
        let snapshot = Snapshot { transaction: 0, root: NONE, last_page: 0, entries: 0, page_size: first };
        let lmdb = Self { file, path, page_size: first, snapshot: Mutex::new(snapshot) };
        let newest = lmdb.newest()?;
        lmdb.set_snapshot(newest);
        let needed = (newest.last_page.saturating_add(1)).saturating_mul(first as u64);
        if lmdb.length()? < needed {
            // The last pages of a commit may be unused and never written: what counts is whether a record is missing.
            lmdb.consistent(|lmdb, snapshot| lmdb.walk(snapshot, &mut |node| lmdb.check_extent(node)))?;
        }
        Ok(lmdb)
    }

    /// The data file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of records in the commit that was last read.
    pub fn len(&self) -> u64 {
        self.snapshot().entries
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a key, `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Io`] if reading fails; [`Error::Motion`] if the file is damaged or cut short, or written to faster
    /// than it can be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let found = self.consistent(|lmdb, snapshot| lmdb.find(snapshot, key))?;
        if found.is_some() {
            return Ok(found);
        }
        // It may have come with the one commit that need not be looked at otherwise.
        let newest = self.newest()?;
        if newest == self.snapshot() {
            return Ok(None);
        }
        self.set_snapshot(newest);
        self.consistent(|lmdb, snapshot| lmdb.find(snapshot, key))
    }

    /// All keys, ascending.
    ///
    /// # Errors
    /// As for [`Lmdb::get`].
    pub fn keys(&self) -> Result<Vec<Vec<u8>>> {
        self.consistent(|lmdb, snapshot| {
            let mut keys = Vec::new();
            lmdb.walk(snapshot, &mut |node| {
                keys.push(node.key.to_vec());
                Ok(())
            })?;
            Ok(keys)
        })
    }

    fn snapshot(&self) -> Snapshot {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_snapshot(&self, snapshot: Snapshot) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    /// Runs a read until no page of its commit can have been used again meanwhile.
    fn consistent<T>(&self, read: impl Fn(&Self, Snapshot) -> Result<T>) -> Result<T> {
        for _ in 0..TRIES {
            let snapshot = self.snapshot();
            let result = read(self, snapshot);
            let newest = self.newest()?;
            if newest.transaction <= snapshot.transaction.saturating_add(1) {
                return result;
            }
            self.set_snapshot(newest);
        }
        Err(self
            .fault("is being written to faster than it can be read")
            .with_hint("wait until the writer has finished, or copy the file with mdb_copy"))
    }

    /// The newest commit. A meta page may be in the middle of being written: it counts once it reads twice the same.
    fn newest(&self) -> Result<Snapshot> {
        for _ in 0..TRIES {
            let read = || -> Result<[Option<Snapshot>; 2]> {
                Ok([self.meta(0)?, self.meta(self.page_size as u64)?])
            };
            let metas = read()?;
            if metas == read()? {
                let valid = metas.into_iter().flatten().filter(|meta| meta.page_size == self.page_size);
                return valid
                    .max_by_key(|meta| meta.transaction)
                    .ok_or_else(|| self.damaged("no valid meta page"));
            }
        }
        Err(self
            .fault("is being written to faster than it can be read")
            .with_hint("wait until the writer has finished, or copy the file with mdb_copy"))
    }

    fn meta(&self, offset: u64) -> Result<Option<Snapshot>> {
        let mut bytes = [0; HEADER + META];
        self.read(&mut bytes, offset)?;
        let meta = &bytes[HEADER..];
        if (u32_at(meta, 0), u32_at(meta, 4)) != (Some(MAGIC), Some(DATA_VERSION)) {
            return Ok(None);
        }
        let flags = u16_at(meta, 76).unwrap_or(0);
        if flags & UNUSUAL != 0 {
            return Err(self
                .fault("holds sorted duplicates or integer keys, expected one value a name")
                .with_hint("is this the release's data set?"));
        }
        let long = |at| u64_at(meta, at).unwrap_or(NONE);
        Ok(Some(Snapshot {
            page_size: u32_at(meta, 24).unwrap_or(0) as usize,
            entries: long(104),
            root: long(112),
            last_page: long(120),
            transaction: long(128),
        }))
    }

    fn length(&self) -> Result<u64> {
        self.file.length().map_err(|error| Error::io("read", &self.path, error))
    }

    fn read(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_at(bytes, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.cut_short(offset.saturating_add(bytes.len() as u64)),
            _ => Error::io("read", &self.path, error),
        })
    }

    /// A page of the tree, checked as far as a page alone can be.
    fn page(&self, number: u64, snapshot: Snapshot) -> Result<Page> {
        if number > snapshot.last_page {
            return Err(self.damaged(&format!("refers to page {number} of {}", snapshot.last_page)));
        }
        let mut bytes = vec![0; self.page_size];
        self.read(&mut bytes, self.offset(number)?)?;
        Page::new(bytes, number).ok_or_else(|| self.damaged(&format!("page {number} is no page of the tree")))
    }

    fn offset(&self, page: u64) -> Result<u64> {
        page.checked_mul(self.page_size as u64)
            .ok_or_else(|| self.damaged(&format!("refers to page {page}, beyond any file")))
    }

    fn find(&self, snapshot: Snapshot, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut number = snapshot.root;
        if number == NONE {
            return Ok(None);
        }
        for _ in 0..MAX_DEPTH {
            let page = self.page(number, snapshot)?;
            let bad_node = || self.damaged(&format!("page {number} has a node outside of itself"));
            if page.leaf {
                let Ok(index) = page.search(0, key).ok_or_else(bad_node)? else {
                    return Ok(None);
                };
                return self.value(page.node(index).ok_or_else(bad_node)?).map(Some);
            }
            // The first key of a branch stands for everything smaller.
            let index = match page.search(1, key).ok_or_else(bad_node)? {
                Ok(index) => index,
                Err(index) => index - 1,
            };
            number = page.node(index).ok_or_else(bad_node)?.child();
        }
        Err(self.damaged("its tree is deeper than any"))
    }

    /// Visits every record, in the order of the keys.
    fn walk<'l>(&'l self, snapshot: Snapshot, visit: &mut dyn FnMut(Node<'_>) -> Result<()>) -> Result<()> {
        let mut pending = vec![(snapshot.root, 0_usize)];
        let mut visited = 0;
        while let Some((number, depth)) = pending.pop() {
            if number == NONE {
                continue;
            }
            visited += 1;
            if depth >= MAX_DEPTH || visited > snapshot.last_page {
                return Err(self.damaged("its tree has a loop"));
            }
            let page = self.page(number, snapshot)?;
            let node = |index: usize| {
                page.node(index)
                    .ok_or_else(|| self.damaged(&format!("page {number} has a node outside of itself")))
            };
            if page.leaf {
                (0..page.nodes).try_for_each(|index| visit(node(index)?))?;
            } else {
                for index in (0..page.nodes).rev() {
                    pending.push((node(index)?.child(), depth + 1));
                }
            }
        }
        Ok(())
    }

    /// The page number of a large value's first page.
    fn overflow(&self, node: Node<'_>) -> Result<u64> {
        u64_at(node.data, 0).ok_or_else(|| self.damaged("a large value without its place"))
    }

    /// Whether a record's value lies within the file.
    fn check_extent(&self, node: Node<'_>) -> Result<()> {
        if node.flags & BIG == 0 {
            return Ok(());
        }
        let end = self.offset(self.overflow(node)?)?.saturating_add((HEADER + node.size) as u64);
        if end > self.length()? {
            let name = String::from_utf8_lossy(node.key).into_owned();
            return Err(super::store::within(&format!("record {name:?}"), self.cut_short(end)));
        }
        Ok(())
    }

    fn value(&self, node: Node<'_>) -> Result<Vec<u8>> {
        match node.flags {
            0 => Ok(node.data.to_vec()),
            BIG => {
                let number = self.overflow(node)?;
                let offset = self.offset(number)?;
                // Before memory is taken for a length that only the file states.
                self.check_extent(node)?;
                let mut header = [0; HEADER];
                self.read(&mut header, offset)?;
                let pages = u64::from(u32_at(&header, 12).unwrap_or(0));
                let room = pages.saturating_mul(self.page_size as u64);
                let own = u64_at(&header, 0) == Some(number) && u16_at(&header, 10) == Some(OVERFLOW);
                if !own || room < (HEADER + node.size) as u64 {
                    return Err(self.damaged(&format!("page {number} does not begin a large value")));
                }
                let mut value = vec![0; node.size];
                self.read(&mut value, offset.saturating_add(HEADER as u64))?;
                Ok(value)
            }
            _ => Err(self
                .fault("holds named databases or duplicates where a record is expected")
                .with_hint("is this the release's data set?")),
        }
    }

    fn fault(&self, what: &str) -> Error {
        Error::motion(self.path.display(), what)
    }

    fn damaged(&self, what: &str) -> Error {
        self.fault(&format!("damaged LMDB: {what}"))
            .with_hint("copy the file again; if it is being written, wait until that has finished")
    }

    fn cut_short(&self, needed: u64) -> Error {
        let there = self.length().unwrap_or(0);
        self.fault(&format!("the file is cut short: {there} bytes, at least {needed} are needed"))
            .with_hint("the copy or download did not finish: get it again")
    }
}

/// The page size that the file's first meta page states: what tells an LMDB from anything else.
fn first_page_size(file: &PageFile, path: &Path) -> Result<usize> {
    let fault = |what: &str| Error::motion(path.display(), what);
    let length = file.length().map_err(|error| Error::io("read", path, error))?;
    if length == 0 {
        return Err(fault("the file is empty (0 bytes)").with_hint("the copy or download did not finish"));
    }
    let mut start = [0; HEADER + META];
    let there = start.len().min(usize::try_from(length).unwrap_or(usize::MAX));
    file.read_at(&mut start[..there], 0).map_err(|error| Error::io("read", path, error))?;
    let magic = |at: usize| u32_at(&start, at);
    if magic(HEADER) != Some(MAGIC) {
        let kind =
            if magic(HEADER) == Some(MAGIC.swap_bytes()) || magic(HEADER - 4) == Some(MAGIC.swap_bytes()) {
                "an LMDB of a big-endian machine, which is not read"
            } else if magic(HEADER - 4) == Some(MAGIC) {
                "an LMDB of a 32-bit machine, which is not read"
            } else {
                return Err(fault("not an LMDB (its first bytes differ)")
                    .with_hint("name the folder that holds data.mdb, or the LMDB file itself"));
            };
        return Err(fault(kind).with_hint("dump it there with mdb_dump and load it here with mdb_load"));
    }
    if let Some(version) = u32_at(&start, HEADER + 4).filter(|&version| version != DATA_VERSION) {
        let what = format!("an LMDB of data version {version}, version {DATA_VERSION} is read");
        return Err(fault(&what).with_hint("write it with LMDB 0.9"));
    }
    let page_size = u32_at(&start, HEADER + 24).unwrap_or(0) as usize;
    if !(page_size.is_power_of_two() && (512..=65_536).contains(&page_size)) {
        return Err(fault(&format!("damaged LMDB: pages of {page_size} bytes"))
            .with_hint("the file is damaged: get it again"));
    }
    if length < 2 * page_size as u64 {
        let what = format!("the file is cut short: {length} bytes, at least {} are needed", 2 * page_size);
        return Err(fault(&what).with_hint("the copy or download did not finish: get it again"));
    }
    Ok(page_size)
}
