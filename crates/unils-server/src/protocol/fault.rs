//! What can be wrong with what a client says, and with everything else that it is told about.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::VERSION;

/// What is wrong, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultCode {
    /// A binary frame that cannot be read.
    BadFrame,
    /// A message that cannot be read.
    BadMessage,
    /// A message that does not fit where the connection is.
    OutOfOrder,
    /// Another version of the protocol.
    Version,
    /// No token, or a wrong one.
    Unauthorized,
    /// Audio that cannot be taken: rate, numbers, jump, too much ahead.
    Audio,
    /// A setting out of range.
    Argument,
    /// No such session, or its time is over.
    UnknownSession,
    /// No room for another session.
    Overloaded,
    /// Too many messages.
    Rate,
    /// The client does not read.
    TooSlow,
    /// Nothing was said for too long.
    Idle,
    /// Another connection goes on with the session.
    TakenOver,
    /// The server stops.
    Shutdown,
    /// The model or its device failed.
    Internal,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// For programs.
    pub code: FaultCode,
    /// What was expected and what came.
    pub what: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// True if the connection ends.
    pub fatal: bool,
}

impl Fault {
    /// A fault after which things go on.
    pub fn new(code: FaultCode, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), hint: None, fatal: false }
    }

    pub(crate) fn bad_frame(what: String) -> Self {
        Self::new(FaultCode::BadFrame, what)
    }

    /// The same with a next step.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, ending the connection.
    #[must_use]
    pub fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    /// Of another version.
    pub fn version(version: u8) -> Self {
        Self::new(FaultCode::Version, format!("version {version}, this server speaks {VERSION}")).fatal()
    }
}

impl From<unils::Error> for Fault {
    fn from(error: unils::Error) -> Self {
        let code = match &error {
            unils::Error::Audio(_) => FaultCode::Audio,
            unils::Error::Argument(_) | unils::Error::Motion(_) => FaultCode::Argument,
            _ => FaultCode::Internal,
        };
        Self { code, what: error.to_string(), hint: error.hint().map(str::to_owned), fatal: false }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}
