//! Exit codes, and how an error reaches the person at the keyboard.
//!
//! The codes are a contract with scripts: `docs/cli.md` and `unils help` list them.

use std::fmt;
use std::io::{ErrorKind, IsTerminal, Write};

/// Everything went well.
pub const OK: u8 = 0;
/// Something that should not happen.
pub const UNEXPECTED: u8 = 1;
/// A check did its work and found errors: as with other checkers, the same code.
pub const FINDINGS: u8 = 1;
/// The command line asks for something impossible.
pub const USAGE: u8 = 2;
/// An audio or motion file cannot be used.
pub const INPUT: u8 = 3;
/// The file system refused: a path that is not there, no permission, a full disk.
pub const FILES: u8 = 4;
/// A checkpoint, encoder or configuration cannot be used.
pub const MODEL: u8 = 5;
/// The device is not there or failed.
pub const DEVICE: u8 = 6;
/// The network or the server failed, or what came is not what was asked for.
pub const NETWORK: u8 = 7;
/// Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// The table of codes for `unils help`.
pub const HELP: &str = "\
Exit codes:
  0    success
  1    unexpected error; of `data check`: errors were found
  2    usage: wrong or contradictory arguments
  3    input: an audio or motion file cannot be used
  4    file system: path not found, no permission, disk full
  5    model: a checkpoint, encoder or configuration cannot be used
  6    device: not built in, not there, or failed
  7    network: no connection, refused, or wrong checksum
  130  interrupted by Ctrl-C; no half-written file is left";

/// A failed exchange with a server.
#[derive(Debug)]
pub struct NetworkError {
    /// What failed, and for what.
    pub what: String,
    /// The next step.
    pub hint: Option<String>,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for NetworkError {}

/// A check that found errors.
#[derive(Debug)]
pub struct Findings {
    /// What was checked.
    pub place: String,
    /// How many.
    pub errors: usize,
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.errors == 1 { "" } else { "s" };
        write!(f, "{}: the check found {} error{plural}", self.place, self.errors)
    }
}

impl std::error::Error for Findings {}

/// The exit code of an error.
pub fn code(error: &anyhow::Error) -> u8 {
    if error.is::<Findings>() {
        return FINDINGS;
    }
    if error.is::<NetworkError>() {
        return NETWORK;
    }
    match error.downcast_ref::<unils::Error>() {
        // `unils inspect x | head`: the reader has seen enough.
        Some(unils::Error::Io { source, .. }) if source.kind() == ErrorKind::BrokenPipe => OK,
        Some(unils::Error::Io { .. }) => FILES,
        Some(unils::Error::Audio(_) | unils::Error::Motion(_) | unils::Error::Face(_)) => INPUT,
        Some(unils::Error::Checkpoint(_) | unils::Error::Config(_)) => MODEL,
        Some(unils::Error::Argument(_)) => USAGE,
        Some(unils::Error::Device(_)) => DEVICE,
        Some(unils::Error::Interrupted) => INTERRUPTED,
        _ => UNEXPECTED,
    }
}

/// Prints `error:` and `hint:` on standard error.
pub fn report(error: &anyhow::Error) {
    let hint = match (error.downcast_ref::<unils::Error>(), error.downcast_ref::<NetworkError>()) {
        (Some(error), _) => error.hint(),
        (_, Some(error)) => error.hint.as_deref(),
        (None, None) => None,
    };
    let (red, blue, plain) =
        if is_coloured() { ("\x1b[1;31m", "\x1b[1;36m", "\x1b[0m") } else { ("", "", "") };
    let mut stderr = std::io::stderr().lock();
    // Standard error that is closed leaves nobody to tell.
    let _ = writeln!(stderr, "{red}error:{plain} {}", message(error));
    if let Some(hint) = hint {
        let _ = writeln!(stderr, "{blue}hint:{plain} {hint}");
    }
}

/// The error and its causes, without those that the text before them quotes already.
fn message(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| match cause.to_string() {
        cause if text.contains(&cause) => text,
        cause if text.is_empty() => cause,
        cause => format!("{text}: {cause}"),
    })
}

fn is_coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once() {
        let io = || unils::Error::io("open", "x", std::io::Error::other("it is gone"));
        assert_eq!(message(&io().into()), "cannot open x: it is gone");
        let outer = anyhow::Error::from(io()).context("while testing");
        assert_eq!(message(&outer), "while testing: cannot open x: it is gone");
    }

    #[test]
    fn each_kind_of_error_has_its_code() {
        let io = |kind: ErrorKind| unils::Error::io("write", "x", kind.into());
        let cases = [
            (anyhow::anyhow!("?"), UNEXPECTED),
            (unils::Error::argument("a", "b").into(), USAGE),
            (unils::Error::audio("a", "b").into(), INPUT),
            (unils::Error::motion("a", "b").into(), INPUT),
            (unils::Error::face("a", "b").into(), INPUT),
            (io(ErrorKind::StorageFull).into(), FILES),
            (io(ErrorKind::BrokenPipe).into(), OK),
            (unils::Error::checkpoint("a", "b").into(), MODEL),
            (unils::Error::config("a", "b").into(), MODEL),
            (unils::Error::device("a", "b").into(), DEVICE),
            (NetworkError { what: "a".into(), hint: None }.into(), NETWORK),
            (unils::Error::Interrupted.into(), INTERRUPTED),
            (Findings { place: "a".into(), errors: 2 }.into(), FINDINGS),
        ];
        for (error, expected) in cases {
            assert_eq!(code(&error), expected, "{error}");
            // Context in front changes the text and not the code.
            assert_eq!(code(&error.context("while testing")), expected);
        }
    }
}
