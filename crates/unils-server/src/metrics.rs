//! What the server counts, in Prometheus' text form.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the step time's buckets, seconds.
const BUCKETS: [f64; 14] =
    [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12];

/// Counts and gauges of one server. Cheap to raise from anywhere.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Sessions there are.
    pub sessions: AtomicU64,
    /// Of them, those without a connection.
    pub sessions_detached: AtomicU64,
    /// Sessions begun.
    pub sessions_total: AtomicU64,
    /// Sessions refused for lack of room.
    pub refused_total: AtomicU64,
    /// Connections there are.
    pub connections: AtomicU64,
    /// Frames of motion made.
    pub frames_total: AtomicU64,
    /// Frames dropped for slow clients.
    pub frames_dropped_total: AtomicU64,
    /// Samples (16 kHz) counted as silence.
    pub samples_missing_total: AtomicU64,
    /// Samples dropped as too late.
    pub samples_late_total: AtomicU64,
    /// Messages and frames that could not be read.
    pub bad_messages_total: AtomicU64,
    /// Samples (16 kHz) that wait, over all sessions.
    pub samples_waiting: AtomicU64,
    /// Windows that were due when the engine last looked.
    pub windows_due: AtomicU64,
    /// Whole files that wait or are made.
    pub files: AtomicU64,
    /// Millionths of the last seconds that the engine computed.
    pub busy_millionths: AtomicU64,
    steps: [AtomicU64; BUCKETS.len() + 1],
    step_nanos: AtomicU64,
    /// Seconds of motion made, in frames, to set against `step_nanos`.
    stepped_frames: AtomicU64,
}

impl Metrics {
    /// Adds to a count.
    pub(crate) fn add(count: &AtomicU64, amount: u64) {
        count.fetch_add(amount, Ordering::Relaxed);
    }

    /// Sets a gauge.
    pub(crate) fn set(gauge: &AtomicU64, value: u64) {
        gauge.store(value, Ordering::Relaxed);
    }

    /// Notes one batch.
    pub(crate) fn step(&self, time: Duration, frames: u64) {
        let seconds = time.as_secs_f64();
        let bucket = BUCKETS.iter().position(|&bound| seconds <= bound).unwrap_or(BUCKETS.len());
        Self::add(&self.steps[bucket], 1);
        Self::add(&self.step_nanos, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        Self::add(&self.stepped_frames, frames);
        Self::add(&self.frames_total, frames);
    }

    /// Prometheus' text.
    pub fn text(&self) -> String {
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let mut text = String::new();
        let mut put = |name: &str, kind: &str, help: &str, value: f64| {
            let _ = writeln!(
                text,
                "# HELP unils_{name} {help}\n# TYPE unils_{name} {kind}\nunils_{name} {value}"
            );
        };
        for (name, help, value) in [
            ("sessions", "Sessions there are.", &self.sessions),
            (
                "sessions_detached",
                "Sessions that wait for their client to come back.",
                &self.sessions_detached,
            ),
            ("connections", "Open WebSockets.", &self.connections),
            ("samples_waiting", "Samples at 16 kHz that wait for their window.", &self.samples_waiting),
            ("windows_due", "Windows that were due at the last look.", &self.windows_due),
            ("files", "Whole files that wait or are made.", &self.files),
        ] {
            put(name, "gauge", help, read(value) as f64);
        }
        for (name, help, value) in [
            ("sessions_total", "Sessions begun.", &self.sessions_total),
            ("refused_total", "Sessions refused for lack of room.", &self.refused_total),
            ("frames_total", "Frames of motion made.", &self.frames_total),
            ("frames_dropped_total", "Frames dropped for slow clients.", &self.frames_dropped_total),
            ("samples_missing_total", "Samples counted as silence.", &self.samples_missing_total),
            ("samples_late_total", "Samples dropped as too late.", &self.samples_late_total),
            ("bad_messages_total", "Messages that could not be read.", &self.bad_messages_total),
        ] {
            put(name, "counter", help, read(value) as f64);
        }
        let busy = read(&self.busy_millionths) as f64 / 1e6;
        put("engine_busy_ratio", "gauge", "Share of the last seconds that the engine computed.", busy);
        let seconds = read(&self.step_nanos) as f64 / 1e9;
        let made = read(&self.stepped_frames) as f64 / unils::motion::FPS;
        let factor = if made > 0.0 { seconds / made } else { 0.0 };
        put("real_time_factor", "gauge", "Seconds computed for a second of one face.", factor);
        let name = "unils_step_seconds";
        let _ = writeln!(text, "# HELP {name} Time of a batch of windows.\n# TYPE {name} histogram");
        let mut sum = 0;
        for (bound, count) in BUCKETS.iter().map(f64::to_string).chain(["+Inf".to_owned()]).zip(&self.steps) {
            sum += read(count);
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {sum}");
        }
        let _ = writeln!(text, "{name}_sum {seconds}\n{name}_count {sum}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up() {
        let metrics = Metrics::default();
        metrics.step(Duration::from_millis(3), 4);
        metrics.step(Duration::from_millis(3), 4);
        metrics.step(Duration::from_secs(60), 2);
        let text = metrics.text();
        for line in [
            "unils_step_seconds_bucket{le=\"0.002\"} 0",
            "unils_step_seconds_bucket{le=\"0.004\"} 2",
            "unils_step_seconds_bucket{le=\"5.12\"} 2",
            "unils_step_seconds_bucket{le=\"+Inf\"} 3",
            "unils_step_seconds_count 3",
            "unils_frames_total 10",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
