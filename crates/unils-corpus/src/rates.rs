//! Measures a corpus with the metrics that models are measured with: what a model that learnt it perfectly would get.

use serde::Serialize;
use unils::metrics::curves::Curves;
use unils::metrics::lipsync::{ClosedAt, ClosureRecall, PhonemeInterval, closure_recall, lip_sync};
use unils::metrics::liveliness::liveliness;
use unils::metrics::responsiveness::{Exchange, Gesture, ResponseOptions, responsiveness};
use unils::metrics::voice::Voice;
use unils::motion::{FPS, Motion, MotionMeta};
use unils::{Error, Result};
use unils_train::data::{Store, Track, Want};

/// Means over the participants of a corpus; none where nothing was found to measure.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Conversations that were measured.
    pub conversations: usize,
    /// Blinks a minute.
    pub blinks_per_minute: Option<f64>,
    /// Length of a blink at half of its height, seconds.
    pub blink_s: Option<f64>,
    /// Share of blinks that close the eyes.
    pub blinks_shut: Option<f64>,
    /// Spread of the head's angles, radians.
    pub head_spread_rad: Option<f64>,
    /// Share of the head's velocity power above 3.5 Hz.
    pub head_fast_share: Option<f64>,
    /// Share of 5 s stretches without motion.
    pub frozen_share: Option<f64>,
    /// Correlation of the mouth's opening with the voice's loudness, whole recordings.
    pub lips_whole: Option<f64>,
    /// The same while speaking.
    pub lips_speaking: Option<f64>,
    /// Frames by which the mouth is late.
    pub lips_offset: Option<f64>,
    /// Opening in silence over that in speech.
    pub lips_in_silence: Option<f64>,
    /// Share of p, b, m for which the lips close.
    pub closures: Option<f64>,
    /// Share of other frames of speech in which they are as closed.
    pub closed_elsewhere: Option<f64>,
    /// Share of cues that a nod answers.
    pub nods_after_cues: Option<f64>,
    /// The same for shuffled partners.
    pub nods_after_shuffled: Option<f64>,
    /// Nods a minute.
    pub nods_per_minute: Option<f64>,
    /// Share of frames in which somebody speaks.
    pub speaking: Option<f64>,
}

/// Sums of what was found.
#[derive(Default)]
struct Mean(f64, f64);

impl Mean {
    fn push(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.0 += value;
            self.1 += 1.0;
        }
    }

    fn get(&self) -> Option<f64> {
        (self.1 > 0.0).then(|| self.0 / self.1)
    }
}

#[derive(Default)]
struct Sums {
    means: [Mean; 11],
    closures: ClosureRecall,
    elsewhere: Mean,
    exchanges: Vec<Exchange>,
}

/// Measures up to `limit` conversations of a store that have audio and labels.
///
/// # Errors
/// What the store reports; [`Error::Argument`] if it holds no such conversation.
pub fn measure(store: &dyn Store, limit: usize) -> Result<Rates> {
    let mut sums = Sums::default();
    let mut conversations = 0;
    let pairs = (0..store.entries().len()).filter(|&index| store.entries()[index].participants.len() == 2);
    for index in pairs.take(limit) {
        let recording = store.read(index, Want { audio: true, centred: false })?;
        let mut voices = Vec::new();
        for track in &recording.tracks {
            let audio = track.audio.as_ref().map(|audio| audio.to_f32()).unwrap_or_default();
            voices.push(Voice::analyse(&audio)?);
        }
        for (who, track) in recording.tracks.iter().enumerate() {
            let motion = Motion::new(recording.space, FPS, 1, track.motion.clone(), MotionMeta::new())?;
            let curves = Curves::of_channels(&motion, 0)?;
            add(&mut sums, track, &motion, &curves, &voices[who])?;
            sums.exchanges.push(Exchange::observe(&voices[1 - who], &curves, Gesture::Nod)?);
        }
        conversations += 1;
    }
    if conversations == 0 {
        return Err(Error::argument(store.place(), "holds no conversation of two"));
    }
    let nods = responsiveness(&sums.exchanges, &ResponseOptions::default())?;
    let seconds: f64 = sums.exchanges.iter().map(|exchange| exchange.seconds).sum();
    let [blinks, length, shut, spread, fast, frozen, whole, speaking, offset, silence, talk] =
        sums.means.each_ref().map(Mean::get);
    Ok(Rates {
        conversations,
        blinks_per_minute: blinks,
        blink_s: length,
        blinks_shut: shut,
        head_spread_rad: spread,
        head_fast_share: fast,
        frozen_share: frozen,
        lips_whole: whole,
        lips_speaking: speaking,
        lips_offset: offset,
        lips_in_silence: silence,
        closures: sums.closures.recall(),
        closed_elsewhere: sums.elsewhere.get(),
        nods_after_cues: nods.rate,
        nods_after_shuffled: nods.shuffled_rate,
        nods_per_minute: (seconds > 0.0).then(|| 60.0 * nods.responses as f64 / seconds),
        speaking: talk,
    })
}

fn add(sums: &mut Sums, track: &Track, motion: &Motion, curves: &Curves, voice: &Voice) -> Result<()> {
    let frames = motion.frames();
    let lively = liveliness(motion, 0, curves, None)?;
    let speech = track.speech.clone().unwrap_or_else(|| voice.speaking_frames(frames));
    let lips = lip_sync(&curves.mouth_opening, FPS, &voice.loudness_frames(frames), &speech)?;
    let spoken = speech.iter().filter(|&&speaks| speaks).count() as f64 / frames.max(1) as f64;
    let found = [
        lively.blinks.map(|blinks| blinks.per_minute),
        lively.blinks.and_then(|blinks| blinks.duration_s),
        lively.blinks.and_then(|blinks| blinks.full_share),
        lively.head_spread_rad,
        lively.head_fast_share,
        lively.stillness.frozen_share,
        lips.whole,
        lips.speaking,
        lips.offset.map(|offset| offset.frames),
        lips.silence.map(|silence| silence.opening_ratio),
        Some(spoken),
    ];
    sums.means.iter_mut().zip(found).for_each(|(mean, value)| mean.push(value));
    let bilabials =
        track.phonemes.iter().filter(|phoneme| matches!(phoneme.symbol.as_str(), "p" | "b" | "m"));
    let bilabials: Vec<PhonemeInterval> =
        bilabials.map(|phoneme| PhonemeInterval { start_s: phoneme.start_s, end_s: phoneme.end_s }).collect();
    let closed = closure_recall(&curves.mouth_opening, FPS, &speech, &bilabials, 1, ClosedAt::default())?;
    sums.closures.due += closed.due;
    sums.closures.closed += closed.closed;
    sums.elsewhere.push(closed.elsewhere);
    Ok(())
}
