//! Memory and load of this machine and memory of this process, where the system tells (Linux does).

use serde::Serialize;

/// Main memory in bytes; `None` where the system does not say (it does on Linux).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Installed.
    pub total: Option<u64>,
    /// Free for programs without swapping.
    pub available: Option<u64>,
}

/// Looks at main memory.
pub fn memory() -> Memory {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    Memory { total: field(&text, "MemTotal:"), available: field(&text, "MemAvailable:") }
}

/// The most memory that this process has had resident, in bytes.
pub fn peak_memory() -> Option<u64> {
    field(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// The memory that this process has resident now, in bytes.
pub fn resident_memory() -> Option<u64> {
    field(&std::fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// Programs that wanted to compute during the last minute, on average.
pub fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The value of `name  123 kB` in a table of `/proc`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_or_not() {
        let text = "MemTotal:       24576 kB\nMemFree:        1 kB\n";
        assert_eq!(field(text, "MemTotal:"), Some(24_576 * 1024));
        assert_eq!(field(text, "MemAvailable:"), None);
        assert_eq!(field("MemTotal: many kB", "MemTotal:"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory() {
        assert!(peak_memory().unwrap() > 100_000);
        assert!(load_average().unwrap() >= 0.0);
        assert!(memory().total.unwrap() >= memory().available.unwrap());
    }
}
