//! Progress on standard error: a bar on a terminal, a plain line now and then otherwise, nothing with `--quiet`.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// Time between two plain lines.
const INTERVAL: Duration = Duration::from_secs(5);

/// How progress is shown.
#[derive(Debug, Clone, Copy)]
pub struct Reporter {
    is_quiet: bool,
    is_terminal: bool,
}

impl Reporter {
    /// Looks at standard error.
    pub fn new(is_quiet: bool) -> Self {
        Self { is_quiet, is_terminal: std::io::stderr().is_terminal() }
    }

    /// Whether only errors and results are shown.
    pub fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// A line for the user; not with `--quiet`.
    pub fn note(&self, text: impl std::fmt::Display) {
        if !self.is_quiet {
            // Progress that nobody can read is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// Begins a measured piece of work of `total` steps, if that is known.
    pub fn meter(&self, label: &str, total: Option<u64>, unit: Unit) -> Meter {
        let look = match (self.is_quiet, self.is_terminal) {
            (true, _) => Look::Silent,
            (false, true) => Look::Bar(bar(label, total, unit)),
            (false, false) => Look::Lines { last: Instant::now() },
        };
        Meter {
            look,
            label: label.to_owned(),
            total,
            unit,
            begun: Instant::now(),
            first: None,
            said: String::new(),
        }
    }
}

/// What a meter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Motion frames.
    Frames,
    /// Bytes of a file.
    Bytes,
    /// Recordings of a data set.
    Recordings,
    /// Steps of a training.
    Steps,
}

impl Unit {
    fn show(self, count: u64) -> String {
        match self {
            Self::Frames | Self::Recordings | Self::Steps => count.to_string(),
            Self::Bytes => output::bytes(count),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Frames => " frames",
            Self::Bytes => "",
            Self::Recordings => " recordings",
            Self::Steps => " steps",
        }
    }
}

enum Look {
    Silent,
    Bar(ProgressBar),
    Lines { last: Instant },
}

/// Progress of one piece of work. Leaves the terminal clean when dropped.
pub struct Meter {
    look: Look,
    label: String,
    total: Option<u64>,
    unit: Unit,
    begun: Instant,
    /// Steps that were done before the work began, as in a resumed download.
    first: Option<u64>,
    said: String,
}

impl Meter {
    /// A line for the user above the progress; not with `--quiet`.
    pub fn note(&self, text: impl std::fmt::Display) {
        let write = || {
            let _ = writeln!(std::io::stderr(), "{text}");
        };
        match &self.look {
            Look::Silent => {}
            Look::Bar(bar) => bar.suspend(write),
            Look::Lines { .. } => write(),
        }
    }

    /// What is said behind the count from now on.
    pub fn say(&mut self, text: String) {
        if let Look::Bar(bar) = &self.look {
            bar.set_message(format!("{}: {text}", self.label));
        }
        self.said = text;
    }

    /// Shows that `done` steps are done.
    pub fn set(&mut self, done: u64) {
        let first = *self.first.get_or_insert(done);
        match &mut self.look {
            Look::Silent => {}
            Look::Bar(bar) => bar.set_position(done),
            Look::Lines { last } => {
                if last.elapsed() < INTERVAL {
                    return;
                }
                *last = Instant::now();
                let line = line(&self.label, done, self.total, first, self.unit, self.begun.elapsed());
                let said = if self.said.is_empty() { String::new() } else { format!(", {}", self.said) };
                let _ = writeln!(std::io::stderr(), "{line}{said}");
            }
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Look::Bar(bar) = &self.look {
            bar.finish_and_clear();
        }
    }
}

/// `animate: 250 of 500 frames (50 %), 3.1 s left`.
fn line(label: &str, done: u64, total: Option<u64>, first: u64, unit: Unit, elapsed: Duration) -> String {
    let shown = unit.show(done);
    let Some(total) = total.filter(|&total| total > 0) else {
        return format!("{label}: {shown}{}", unit.name());
    };
    let percent = 100.0 * done as f64 / total as f64;
    let mut line = format!("{label}: {shown} of {}{} ({percent:.0} %)", unit.show(total), unit.name());
    if done > first {
        let left = elapsed.as_secs_f64() / (done - first) as f64 * total.saturating_sub(done) as f64;
        line += &format!(", {} left", output::duration(left));
    }
    line
}

fn bar(label: &str, total: Option<u64>, unit: Unit) -> ProgressBar {
    let count = match unit {
        Unit::Frames => "{pos}/{len} frames",
        Unit::Recordings => "{pos}/{len} recordings",
        Unit::Steps => "{pos}/{len} steps",
        Unit::Bytes => "{decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}",
    };
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), format!("{{msg}} [{{bar:30}}] {count}, {{eta}} left")),
        None => (ProgressBar::no_length(), format!("{{spinner}} {{msg}} {}", count.replace("/{len}", ""))),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(label.to_owned());
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_how_far_and_how_long() {
        let second = Duration::from_secs(1);
        assert_eq!(
            line("animate", 250, Some(500), 0, Unit::Frames, second),
            "animate: 250 of 500 frames (50 %), 1.0 s left"
        );
        assert_eq!(line("animate", 250, None, 0, Unit::Frames, second), "animate: 250 frames");
        // What was there before a download was resumed does not count as speed.
        assert_eq!(
            line("a.pt", 6_000_000, Some(10_000_000), 4_000_000, Unit::Bytes, second),
            "a.pt: 6.00 MB of 10 MB (60 %), 2.0 s left"
        );
    }
}
