//! Reading a pickle's bytes: every length is checked against what is left.

use crate::checkpoint::shown;
use crate::{Error, Result};

/// A position in the pickle.
pub(super) struct Input<'a, 'p> {
    bytes: &'a [u8],
    at: usize,
    place: &'p str,
}

impl<'a, 'p> Input<'a, 'p> {
    pub(super) fn new(bytes: &'a [u8], place: &'p str) -> Self {
        Self { bytes, at: 0, place }
    }

    pub(super) fn place(&self) -> &'p str {
        self.place
    }

    pub(super) fn consumed(&self) -> usize {
        self.at
    }

    /// An error about what was just read.
    pub(super) fn fault(&self, what: impl std::fmt::Display) -> Error {
        Error::checkpoint(shown(self.place), format!("{what} (pickle, before byte {})", self.at))
    }

    fn truncated(&self, wanted: usize) -> Error {
        let left = self.bytes.len() - self.at;
        self.fault(format!("the pickle ends early: {wanted} more bytes announced, {left} left"))
            .with_hint("the file is truncated or damaged: download or copy it again")
    }

    /// Whether `count` more bytes are there.
    pub(super) fn require(&self, count: usize) -> Result<()> {
        if count > self.bytes.len() - self.at { Err(self.truncated(count)) } else { Ok(()) }
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        self.require(count)?;
        let start = self.at;
        self.at += count;
        Ok(&self.bytes[start..self.at])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn length4(&mut self) -> Result<usize> {
        let length = u32::from_le_bytes(self.array()?);
        usize::try_from(length).map_err(|_| self.fault("a length beyond this machine's memory"))
    }

    pub(super) fn length8(&mut self) -> Result<usize> {
        let length = u64::from_le_bytes(self.array()?);
        usize::try_from(length).map_err(|_| self.fault("a length beyond this machine's memory"))
    }

    /// The rest of a line, without its end.
    pub(super) fn line(&mut self) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(self.truncated(rest.len() + 1));
        };
        self.at += length + 1;
        let line = &rest[..length];
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    pub(super) fn text_line(&mut self) -> Result<&'a str> {
        let line = self.line()?;
        std::str::from_utf8(line).map_err(|_| self.fault("a name is not UTF-8"))
    }
}
