//! The time of a live session: which sample is being said now.
//!
//! Sources have clocks of their own, which drift from this machine's by some 50 millionths: seconds in a day. So the
//! time follows the voice that arrives in real time: of what arrived of a voice during the last 10 to 20 seconds,
//! whatever was least late tells how the source's index and this machine's clock lie to each other. Of two voices the
//! one that is less far ahead is the live one: speech that is synthesised comes in bursts, often in small pieces.

use std::time::{Duration, Instant};

use unils::audio::MODEL_RATE;
use unils::session::Voice;

/// Two of these are looked back.
const SPAN: Duration = Duration::from_secs(10);
/// No live voice gets further ahead within a span.
const LEAD: i64 = MODEL_RATE as i64 / 4;
/// Voices that are further behind tell nothing about now.
const LAG: i64 = 2 * MODEL_RATE as i64;

/// The time of one session.
#[derive(Debug, Clone)]
pub(super) struct LiveClock {
    /// When the session's first sample came.
    started: Option<Instant>,
    /// Sample of now, less the samples since `started`, by each voice: of the time span before, and of this one.
    offsets: [[Option<i64>; 2]; 2],
    /// The same when this span began.
    base: i64,
    span_began: Instant,
    /// The time stands still at this sample.
    paused_at: Option<u64>,
}

impl LiveClock {
    pub(super) fn new(now: Instant) -> Self {
        Self { started: None, offsets: [[None; 2]; 2], base: 0, span_began: now, paused_at: None }
    }

    /// Hears that samples `[start, end)` of a voice have arrived.
    pub(super) fn hear(&mut self, voice: Voice, start: u64, end: u64, now: Instant) {
        let length = (end as i64 - start as i64).min(LEAD);
        let Some(started) = self.started else {
            self.begin(start as i64 + length, now);
            self.offsets[voice.index()][1] = Some(self.base);
            return;
        };
        if now.duration_since(self.span_began) > SPAN {
            self.base = self.offset();
            self.offsets = self.offsets.map(|[_, last]| [last, None]);
            self.span_began = now;
        }
        let offset = end as i64 - samples(now.duration_since(started));
        // Measured from the span's beginning, or many small pieces would each get a little further ahead.
        if (-LAG..=LEAD).contains(&(offset - self.base)) {
            let last = &mut self.offsets[voice.index()][1];
            *last = (*last).max(Some(offset));
        }
    }

    fn begin(&mut self, sample: i64, now: Instant) {
        self.started = Some(now);
        self.offsets = [[None; 2]; 2];
        self.base = sample;
        self.span_began = now;
    }

    fn offset(&self) -> i64 {
        let voices = self.offsets.iter().filter_map(|[before, last]| (*before).max(*last));
        voices.min().unwrap_or(self.base)
    }

    /// The sample of now; `None` before anything was heard.
    pub(super) fn sample(&self, now: Instant) -> Option<u64> {
        let started = self.started?;
        let running = || (samples(now.saturating_duration_since(started)) + self.offset()).max(0) as u64;
        Some(self.paused_at.unwrap_or_else(running))
    }

    /// Stops the time.
    pub(super) fn pause(&mut self, now: Instant) {
        self.paused_at = self.sample(now);
    }

    /// Lets it run on from where it stopped.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Some(sample) = self.paused_at.take() {
            self.begin(sample as i64, now);
        }
    }
}

fn samples(time: Duration) -> i64 {
    (time.as_nanos() * u128::from(MODEL_RATE) / 1_000_000_000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A voice at `rate` samples a second in packets of 20 ms, for `seconds`; packets are late by up to 60 ms.
    fn run(clock: &mut LiveClock, begin: Instant, rate: f64, seconds: u64) -> (Instant, u64) {
        let (mut now, mut end) = (begin, 0);
        for packet in 0..seconds * 50 {
            end = (packet + 1) * 320;
            let late = (packet * 7919 % 60) as f64 / 1000.0;
            now = begin + Duration::from_secs_f64(end as f64 / rate + late);
            clock.hear(Voice::Partner, packet * 320, end, now);
        }
        (now, end)
    }

    #[test]
    fn the_time_follows_a_drifting_voice_both_ways() {
        for rate in [16_000.0, 16_008.0, 15_992.0] {
            let begin = Instant::now();
            let mut clock = LiveClock::new(begin);
            assert_eq!(clock.sample(begin), None);
            let (now, end) = run(&mut clock, begin, rate, 3600);
            let lead = clock.sample(now).unwrap() as i64 - end as i64;
            // Late packets are less than 60 ms late, and the last 20 s drifted by 10 ms at most.
            assert!((-200..1200).contains(&lead), "{rate}: {lead}");
        }
    }

    #[test]
    fn bursts_do_not_move_the_time_and_pauses_stop_it() {
        let begin = Instant::now();
        let mut clock = LiveClock::new(begin);
        clock.hear(Voice::Own, 0, 160_000, begin);
        assert_eq!(clock.sample(begin), Some(4000));
        clock.hear(Voice::Own, 160_000, 320_000, begin);
        let later = begin + Duration::from_secs(1);
        assert_eq!(clock.sample(later), Some(20_000));
        clock.pause(later);
        let much_later = later + Duration::from_secs(100);
        assert_eq!(clock.sample(much_later), Some(20_000));
        clock.resume(much_later);
        assert_eq!(clock.sample(much_later + Duration::from_millis(10)), Some(20_160));
    }

    #[test]
    fn bursts_of_small_pieces_do_not_move_the_time_either() {
        let begin = Instant::now();
        let mut clock = LiveClock::new(begin);
        let mut own = 0;
        for packet in 0..3000_u64 {
            let now = begin + Duration::from_millis(20 * packet);
            clock.hear(Voice::Partner, packet * 320, (packet + 1) * 320, now);
            // A second of speech at once, and again when it has been said.
            for piece in 0..if packet % 50 == 0 { 10 } else { 0 } {
                let start = own.max(packet * 320) + piece * 1600;
                clock.hear(Voice::Own, start, start + 1600, now);
            }
            own = own.max(packet * 320 + 16_000);
            let lead = clock.sample(now).unwrap() as i64 - (packet as i64 + 1) * 320;
            assert!((-320..=320).contains(&lead), "packet {packet}: {lead}");
        }
    }
}
