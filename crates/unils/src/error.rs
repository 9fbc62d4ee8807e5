//! The library's one error type: what failed, where, and what to do next.
//!
//! Leaf module: everything may use it, it uses nothing. A [`Fault`] carries the place (a path, a tensor, a
//! sample), what was expected and what came, and, where there is one, a hint for the person at the keyboard.
//!
//! ```
//! use unils::Error;
//! let error = Error::audio("talk.wav", "0 samples").with_hint("record at least one frame (40 ms)");
//! assert_eq!(error.to_string(), "talk.wav: 0 samples");
//! assert_eq!(error.hint(), Some("record at least one frame (40 ms)"));
//! ```

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The library's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where something is wrong, what is wrong, and what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// File, tensor, channel or option that the fault is about; empty when `what` says it.
    pub place: String,
    /// What was expected and what came.
    pub what: String,
    /// The next step for a person, if there is one.
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            f.write_str(&self.what)
        } else {
            write!(f, "{}: {}", self.place, self.what)
        }
    }
}

/// Everything that can go wrong in this library. Nothing from outside makes it panic.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The verb: `open`, `read`, `write`, `create`, `rename` ...
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// An audio file or stream cannot be used.
    #[error("{0}")]
    Audio(Fault),
    /// A motion file or value cannot be used.
    #[error("{0}")]
    Motion(Fault),
    /// A face model, head or rig cannot be used.
    #[error("{0}")]
    Face(Fault),
    /// A checkpoint, tensor file or model directory cannot be used.
    #[error("{0}")]
    Checkpoint(Fault),
    /// A configuration contradicts itself or the checkpoint.
    #[error("{0}")]
    Config(Fault),
    /// A call's arguments are out of range.
    #[error("{0}")]
    Argument(Fault),
    /// The device asked for is not there or failed.
    #[error("{0}")]
    Device(Fault),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $variant:ident),* $(,)?) => {
        $($(#[$doc])*
        pub fn $name(place: impl fmt::Display, what: impl fmt::Display) -> Self {
            Self::$variant(Fault { place: place.to_string(), what: what.to_string(), hint: None })
        })*
    };
}

impl Error {
    constructors! {
        /// An audio fault at `place`.
        audio => Audio,
        /// A motion fault at `place`.
        motion => Motion,
        /// A fault of a face at `place`.
        face => Face,
        /// A checkpoint fault at `place`.
        checkpoint => Checkpoint,
        /// A configuration fault at `place`.
        config => Config,
        /// An argument fault at `place`.
        argument => Argument,
        /// A device fault at `place`.
        device => Device,
    }

    /// A file operation that the operating system refused: `Error::io("open", path, source)`.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source }
    }

    /// The same error with a next step. Has no effect on [`Error::Io`] and [`Error::Interrupted`], which know theirs.
    #[must_use]
    pub fn with_hint(mut self, hint: impl fmt::Display) -> Self {
        if let Self::Audio(fault)
        | Self::Motion(fault)
        | Self::Face(fault)
        | Self::Checkpoint(fault)
        | Self::Config(fault)
        | Self::Argument(fault)
        | Self::Device(fault) = &mut self
        {
            fault.hint = Some(hint.to_string());
        }
        self
    }

    /// The next step, if the error knows one.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Some("check the spelling of the path and the folder you are in"),
                io::ErrorKind::PermissionDenied => Some("check who may read or write there"),
                io::ErrorKind::StorageFull => Some("the disk is full: free some space or write elsewhere"),
                io::ErrorKind::IsADirectory => Some("name a file, not a folder"),
                _ => None,
            },
            Self::Audio(fault)
            | Self::Motion(fault)
            | Self::Face(fault)
            | Self::Checkpoint(fault)
            | Self::Config(fault)
            | Self::Argument(fault)
            | Self::Device(fault) => fault.hint.as_deref(),
            Self::Interrupted => None,
        }
    }
}
