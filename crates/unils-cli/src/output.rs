//! Results on standard output: text for people or JSON for scripts. Everything else goes to standard error.

use std::io::Write;

use serde::Serialize;

/// Prints a result as indented JSON.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    print(&text)
}

/// Prints text as it is.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|source| unils::Error::io("write", "standard output", source).into())
}

/// Lines of names and values, aligned.
#[derive(Debug, Default)]
pub struct Facts(Vec<(String, String)>);

impl Facts {
    /// Adds a line.
    pub fn add(&mut self, name: impl Into<String>, value: impl std::fmt::Display) -> &mut Self {
        self.0.push((name.into(), value.to_string()));
        self
    }

    /// Adds a line if there is a value.
    pub fn add_some(&mut self, name: impl Into<String>, value: Option<impl std::fmt::Display>) -> &mut Self {
        if let Some(value) = value {
            self.add(name, value);
        }
        self
    }

    /// The lines.
    pub fn text(&self) -> String {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        self.0.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
    }
}

/// A table with a header; the first column is set left, the others right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let count = |text: &str| text.chars().count();
    let widths: Vec<usize> = header
        .iter()
        .enumerate()
        .map(|(column, name)| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| count(cell));
            cells.max().unwrap_or(0).max(count(name))
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    let mut text = line(&mut header.iter().copied());
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

/// Bytes for people, in decimal units as file managers and the hub show them.
pub fn bytes(count: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let mut value = count as f64 / 1000.0;
    if value < 1.0 {
        return format!("{count} B");
    }
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if value < 9.995 { format!("{value:.2} {}", units[unit]) } else { format!("{value:.0} {}", units[unit]) }
}

/// Large counts for people: `12 345 678`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A duration for people: `41.2 s`, `3 min 05 s`, `1 h 02 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        0..=59 if seconds < 59.95 => format!("{seconds:.1} s"),
        0..=3599 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_269_737_156), "1.27 GB");
        assert_eq!(bytes(24_300_000), "24 MB");
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(315_438_720), "315 438 720");
        assert_eq!(duration(0.04), "0.0 s");
        assert_eq!(duration(59.97), "1 min 00 s");
        assert_eq!(duration(3725.0), "1 h 02 min");
    }

    #[test]
    fn tables_are_aligned() {
        let text = table(
            &["stage", "s"],
            &[vec!["encoder".into(), "1.5".into()], vec!["all".into(), "12.0".into()]],
        );
        assert_eq!(text, "stage       s\nencoder   1.5\nall      12.0\n");
    }
}
