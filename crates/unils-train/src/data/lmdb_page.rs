//! Pages of an LMDB file: taken apart with every offset checked, and read by position.

use std::cmp::Ordering;
use std::fs::File;
use std::io;
#[cfg(not(unix))]
use std::sync::{Mutex, PoisonError};

/// Bytes of a page's header, also of an overflow run's.
pub(super) const HEADER: usize = 16;
/// Flag of a node whose value stands in overflow pages.
pub(super) const BIG: u16 = 0x01;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;

/// A branch or leaf page.
pub(super) struct Page {
    bytes: Vec<u8>,
    /// Whether its nodes are records.
    pub leaf: bool,
    /// Number of its nodes.
    pub nodes: usize,
}

/// A node of a page; a branch's holds a page number in place of size and flags.
#[derive(Clone, Copy)]
pub(super) struct Node<'p> {
    /// Bytes of the value.
    pub size: usize,
    pub flags: u16,
    pub key: &'p [u8],
    /// The value, or the number of the page where it begins; empty in a branch.
    pub data: &'p [u8],
}

impl Page {
    /// `None` if it is not the page of that number or has no nodes.
    pub(super) fn new(bytes: Vec<u8>, number: u64) -> Option<Self> {
        let leaf = match u16_at(&bytes, 10)? {
            LEAF => true,
            BRANCH => false,
            _ => return None,
        };
        let (lower, upper) = (usize::from(u16_at(&bytes, 12)?), usize::from(u16_at(&bytes, 14)?));
        let sound =
            u64_at(&bytes, 0) == Some(number) && lower > HEADER && lower <= upper && upper <= bytes.len();
        sound.then(|| Self { nodes: (lower - HEADER) / 2, leaf, bytes })
    }

    pub(super) fn node(&self, index: usize) -> Option<Node<'_>> {
        if index >= self.nodes {
            return None;
        }
        let at = usize::from(u16_at(&self.bytes, HEADER + 2 * index)?);
        let low = u16_at(&self.bytes, at)?;
        let high = u16_at(&self.bytes, at + 2)?;
        let flags = u16_at(&self.bytes, at + 4)?;
        let key_end = at + 8 + usize::from(u16_at(&self.bytes, at + 6)?);
        let key = self.bytes.get(at + 8..key_end)?;
        let size = usize::from(low) | usize::from(high) << 16;
        let data = match (self.leaf, flags & BIG != 0) {
            (false, _) => &[][..],
            (true, true) => self.bytes.get(key_end..key_end + 8)?,
            (true, false) => self.bytes.get(key_end..key_end.checked_add(size)?)?,
        };
        Some(Node { size, flags, key, data })
    }

    /// The node of that key among those from `first` on, or where it would stand; `None` if a node is damaged.
    pub(super) fn search(&self, first: usize, key: &[u8]) -> Option<std::result::Result<usize, usize>> {
        let (mut low, mut high) = (first, self.nodes);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.node(middle)?.key.cmp(key) {
                Ordering::Equal => return Some(Ok(middle)),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Some(Err(low))
    }
}

impl Node<'_> {
    /// The page that a branch's node leads to.
    pub(super) fn child(&self) -> u64 {
        self.size as u64 | u64::from(self.flags) << 32
    }
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at).map(u16::from_le_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes_at(bytes, at).map(u64::from_le_bytes)
}

/// A file that is read by position from many threads.
pub(super) struct PageFile {
    #[cfg(unix)]
    file: File,
    #[cfg(not(unix))]
    file: Mutex<File>,
}

impl PageFile {
    pub(super) fn new(file: File) -> Self {
        #[cfg(unix)]
        return Self { file };
        #[cfg(not(unix))]
        return Self { file: Mutex::new(file) };
    }

    pub(super) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_exact_at(&self.file, bytes, offset);
        #[cfg(not(unix))]
        {
            use std::io::{Read, Seek, SeekFrom};
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(bytes)
        }
    }

    pub(super) fn length(&self) -> io::Result<u64> {
        #[cfg(unix)]
        return self.file.metadata().map(|metadata| metadata.len());
        #[cfg(not(unix))]
        return self
            .file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .metadata()
            .map(|metadata| metadata.len());
    }
}
