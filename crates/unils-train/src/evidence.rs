//! What a model does on voices that it never heard, measured on whole recordings: the figures of docs/evidence.md.
//!
//! Two kinds of recordings. With true motion and sounds ([`of_corpus`]): the test split of a corpus, whose voices, one
//! synthesiser and one language are in no other split. Without ([`of_recording`]): anybody's voices, where the mouth is
//! held against the voice itself: as they are, in noise, and with the partner's voice in one's own microphone
//! ([`Heard`]). [`evaluate`](crate::evaluate) scores the same motion by the paper's measures; here is what the paper does
//! not measure.

use std::ops::ControlFlow;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::Serialize;
use unils::animate::{AnimateOptions, animate};
use unils::audio::Conversation;
use unils::metrics::curves::Curves;
use unils::metrics::lipsync::{
    ClosedAt, OFFSET_REACH, PhonemeInterval, best_offset, closure_recall, correlation, lip_sync,
};
use unils::metrics::liveliness::liveliness;
use unils::metrics::responsiveness::{Exchange, Gesture, ResponseOptions, responsiveness};
use unils::metrics::voice::Voice;
use unils::model::Model;
use unils::motion::{FPS, Motion, MotionMeta, SAMPLE_RATE, SAMPLES_PER_FRAME, Space, rest_pose};
use unils::{Error, Result};

use crate::data::{Entry, Split, Store, Track, Want};

/// Frames around a sound in which its closure counts.
const MARGIN: usize = 1;

/// Means over what was measured; none where nothing was found to measure.
#[derive(Debug, Clone, Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn push(&mut self, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.sum += value;
            self.count += 1;
        }
    }

    fn get(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

/// Named means in the order in which they were first met.
#[derive(Debug, Clone, Default)]
pub struct Figures(Vec<(String, Mean)>);

impl Figures {
    fn push(&mut self, name: &str, value: Option<f64>) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, mean)) => mean.push(value),
            None => {
                let mut mean = Mean::default();
                mean.push(value);
                self.0.push((name.to_owned(), mean));
            }
        }
    }

    /// Adds another's values to these.
    pub fn absorb(&mut self, other: &Self) {
        for (name, mean) in &other.0 {
            match self.0.iter_mut().find(|(known, _)| known == name) {
                Some((_, mine)) => {
                    mine.sum += mean.sum;
                    mine.count += mean.count;
                }
                None => self.0.push((name.clone(), mean.clone())),
            }
        }
    }

    /// Names and means.
    pub fn entries(&self) -> impl Iterator<Item = (&str, Option<f64>)> {
        self.0.iter().map(|(name, mean)| (name.as_str(), mean.get()))
    }
}

impl Serialize for Figures {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.entries())
    }
}

/// What may stop a measurement: called with recordings done and in all.
pub type Watch<'w> = dyn FnMut(usize, usize) -> ControlFlow<()> + 'w;

/// Both faces of two voices at 16 kHz.
fn made(model: &Model, voices: &[Vec<f32>; 2], style: Option<Motion>, seed: u64) -> Result<Motion> {
    let mut conversation =
        Conversation::from_samples(voices[0].clone(), Some(voices[1].clone()), SAMPLE_RATE)?;
    let options = AnimateOptions { seed, style, participants: Some(2), ..AnimateOptions::of(model) };
    animate(model, &mut conversation, &options, &mut |_| ControlFlow::Continue(()))
}

/// How alive a face is.
fn push_lively(
    figures: &mut Figures,
    motion: &Motion,
    participant: usize,
    curves: &Curves,
    window: usize,
) -> Result<()> {
    for (name, value) in liveliness(motion, participant, curves, Some(window))?.entries() {
        figures.push(name, value);
    }
    Ok(())
}

/// How voices are heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Heard {
    /// As they are.
    Plainly,
    /// With white noise so many decibels below the speech.
    InNoise(f64),
    /// With the partner's voice in the own microphone, so many decibels below the own one.
    WithPartner(f64),
}

/// Measures what a model makes of two voices that come with nothing else. Nothing is found of voices heard with their
/// partner's where one of them never speaks.
///
/// # Errors
/// What animating gives; [`Error::Audio`] for voices of different lengths.
pub fn of_recording(model: &Model, voices: &[Vec<f32>; 2], heard: Heard, seed: u64) -> Result<Figures> {
    let clean = [Voice::analyse(&voices[0])?, Voice::analyse(&voices[1])?];
    let mut figures = Figures::default();
    let voices = match heard {
        Heard::Plainly => voices.clone(),
        Heard::InNoise(db) => {
            [noisy(&voices[0], &clean[0], db, seed), noisy(&voices[1], &clean[1], db, seed + 1)]
        }
        Heard::WithPartner(_)
            if voices.iter().zip(&clean).any(|(voice, clean)| spoken(voice, clean) == 0.0) =>
        {
            return Ok(figures);
        }
        Heard::WithPartner(db) => {
            let [first, second] = [0, 1].map(|who| (voices[who].as_slice(), &clean[who]));
            [with_partner(first, second, db), with_partner(second, first, db)]
        }
    };
    let motion = made(model, &voices, None, seed)?;
    let frames = motion.frames();
    for (participant, voice) in clean.iter().enumerate() {
        let curves = Curves::of_channels(&motion, participant)?;
        let speaking = voice.speaking_frames(frames);
        if speaking.iter().filter(|&&speaks| speaks).count() > MOST_SILENT {
            let lips = lip_sync(&curves.mouth_opening, FPS, &voice.loudness_frames(frames), &speaking)?;
            for (name, value) in lips.entries() {
                figures.push(name, value);
            }
        }
        push_lively(&mut figures, &motion, participant, &curves, model.codec().window())?;
    }
    Ok(figures)
}

/// Frames of speech below which a voice is not scored: a second.
const MOST_SILENT: usize = 25;

/// Mean power of a voice where it speaks; 0 for one that hardly does.
fn spoken(voice: &[f32], analysed: &Voice) -> f64 {
    let speaking = analysed.speaking_frames(voice.len() / SAMPLES_PER_FRAME);
    let frames = voice.chunks_exact(SAMPLES_PER_FRAME).zip(&speaking).filter(|(_, speaks)| **speaks);
    let powers = frames.map(|(frame, _)| frame.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>());
    let powers: Vec<f64> = powers.collect();
    if powers.len() <= MOST_SILENT {
        return 0.0;
    }
    powers.iter().sum::<f64>() / (powers.len() * SAMPLES_PER_FRAME) as f64
}

/// A voice and, `db` below the level of its speech, the partner's, 30 ms late and through a low-pass of 3 kHz.
fn with_partner((own, clean): (&[f32], &Voice), (partner, other): (&[f32], &Voice), db: f64) -> Vec<f32> {
    let keeps = (-std::f64::consts::TAU * 3000.0 / f64::from(SAMPLE_RATE)).exp();
    let gain = (spoken(own, clean) / spoken(partner, other) * 10f64.powf(-db / 10.0)).sqrt();
    let mut heard = own.to_vec();
    let mut passed = 0.0;
    for (sample, &sound) in heard.iter_mut().skip(SAMPLE_RATE as usize * 3 / 100).zip(partner) {
        passed = keeps * passed + (1.0 - keeps) * f64::from(sound);
        *sample += (gain * passed) as f32;
    }
    heard
}

/// A voice with white noise `db` below the level of its speech.
fn noisy(voice: &[f32], analysed: &Voice, db: f64, seed: u64) -> Vec<f32> {
    // Uniform in -1 .. 1 has a power of a third.
    let gain = (3.0 * spoken(voice, analysed) * 10f64.powf(-db / 10.0)).sqrt() as f32;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = || (rng.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0;
    voice.iter().map(|sample| sample + gain * draw()).collect()
}

/// Which conversations of a corpus are measured.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// The part of the corpus.
    pub split: Split,
    /// Parts of speakers' names: both speakers' names hold one of them. With none, anybody speaks.
    pub speakers: &'a [String],
    /// Only so many, from the first on.
    pub limit: usize,
}

impl Choice<'_> {
    fn takes(&self, entry: &Entry) -> bool {
        let is_known = |name: &str| self.speakers.iter().any(|part| name.contains(part.as_str()));
        let mut people = entry.participants.iter();
        entry.split == self.split
            && entry.participants.len() == 2
            && (self.speakers.is_empty()
                || people.all(|person| person.speaker.as_deref().is_some_and(is_known)))
    }
}

/// Measures a model on conversations of a corpus, as each person's manner is shown by the person's own recording; the
/// truth's own figures come beside it.
///
/// # Errors
/// What reading and animating give; [`Error::Motion`] if there are no conversations; [`Error::Interrupted`].
pub fn of_corpus(
    model: &Model,
    store: &dyn Store,
    choice: &Choice<'_>,
    watch: &mut Watch<'_>,
) -> Result<[Figures; 2]> {
    let pairs = store.entries().iter().enumerate();
    let pairs = pairs.filter(|(_, entry)| choice.takes(entry));
    let pairs: Vec<usize> = pairs.map(|(index, _)| index).take(choice.limit).collect();
    if pairs.is_empty() {
        let of_whom = if choice.speakers.is_empty() { "" } else { " between these speakers" };
        let what = format!("no conversations{of_whom} in the split {:?}", choice.split.name());
        return Err(Error::motion(store.place(), what));
    }
    let (mut ours, mut truths) = (Figures::default(), Figures::default());
    let mut exchanges: [Vec<Exchange>; 2] = [Vec::new(), Vec::new()];
    for (done, &index) in pairs.iter().enumerate() {
        if watch(done, pairs.len()).is_break() {
            return Err(Error::Interrupted);
        }
        let recording = store.read(index, Want { audio: true, centred: true })?;
        let tracks = [&recording.tracks[0], &recording.tracks[1]];
        let voices = tracks.map(|track| track.audio.as_ref().map(|audio| audio.to_f32()).unwrap_or_default());
        let frames = recording.frames();
        let values = |track: &Track| track.motion[..frames * recording.space.width()].to_vec();
        let truth = [values(tracks[0]), values(tracks[1])].concat();
        let truth = Motion::new(recording.space, FPS, 2, truth, MotionMeta::new())?;
        let motion = made(model, &voices, Some(truth.clone()), index as u64)?;
        for (who, track) in tracks.iter().enumerate() {
            let partner = Voice::analyse(&voices[1 - who])?;
            for (side, motion) in [&motion, &truth].into_iter().enumerate() {
                let curves = Curves::of_channels(motion, who)?;
                let figures = if side == 0 { &mut ours } else { &mut truths };
                push_lively(figures, motion, who, &curves, model.codec().window())?;
                push_lips(figures, track, motion, &truth, who, &curves)?;
                exchanges[side].push(Exchange::observe(&partner, &curves, Gesture::Nod)?);
            }
        }
    }
    for (figures, exchanges) in [&mut ours, &mut truths].into_iter().zip(&exchanges) {
        let nods = responsiveness(exchanges, &ResponseOptions::default())?;
        figures.push("cues answered by a nod", nods.rate);
        figures.push("the same, shuffled partner", nods.shuffled_rate);
    }
    Ok([ours, truths])
}

/// How the lips follow the truth's, and the sounds.
fn push_lips(
    figures: &mut Figures,
    track: &Track,
    motion: &Motion,
    truth: &Motion,
    participant: usize,
    curves: &Curves,
) -> Result<()> {
    let frames = motion.frames().min(truth.frames());
    let Some(speech) = track.speech.clone().map(|mut speech| {
        speech.resize(frames, false);
        speech
    }) else {
        return Ok(());
    };
    let channel = |motion: &Motion, name: &str| -> Vec<f32> {
        let index = Space::Arkit55.index(name).unwrap_or_default();
        let values = motion.participant(participant).unwrap_or_default();
        values.iter().skip(index).step_by(Space::Arkit55.width()).take(frames).copied().collect()
    };
    let closed = |motion: &Motion| -> Vec<f32> {
        let pairs = channel(motion, "jawOpen").into_iter().zip(channel(motion, "mouthClose"));
        pairs.map(|(jaw, close)| (jaw - close).max(0.0)).collect()
    };
    let both = ["jawOpen", "mouthPucker", "mouthFunnel"];
    for name in both {
        let r = correlation(&channel(motion, name), &channel(truth, name), Some(&speech))?;
        figures.push(&format!("{name} r truth, speaking"), r);
    }
    let (opening, true_opening) = (closed(motion), closed(truth));
    figures.push("lips' gap r truth, speaking", correlation(&opening, &true_opening, Some(&speech))?);
    let offset = best_offset(&opening, &true_opening, OFFSET_REACH)?;
    figures.push("gap's offset to truth, frames", offset.map(|offset| offset.frames));
    let bilabials =
        track.phonemes.iter().filter(|phoneme| matches!(phoneme.symbol.as_str(), "p" | "b" | "m"));
    let bilabials: Vec<PhonemeInterval> =
        bilabials.map(|phoneme| PhonemeInterval { start_s: phoneme.start_s, end_s: phoneme.end_s }).collect();
    // A person's mouth may never quite close: the rest pose is zero.
    let rest = rest_pose(motion.participant(participant).unwrap_or_default(), Space::Arkit55);
    let at_rest = Space::Arkit55.index("jawOpen").map_or(0.0, |jaw| rest[jaw])
        - Space::Arkit55.index("mouthClose").map_or(0.0, |close| rest[close]);
    let calm: Vec<f32> =
        curves.mouth_opening.iter().take(frames).map(|gap| (gap - at_rest).max(0.0)).collect();
    let found = closure_recall(&calm, FPS, &speech, &bilabials, MARGIN, ClosedAt::default())?;
    figures.push("lips closed at p b m", found.recall());
    figures.push("closed elsewhere in speech", found.elsewhere);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Participant;

    #[test]
    fn noise_lies_as_far_below_speech_as_it_should() {
        let tone = |i: usize| {
            let is_loud = (8_000..40_000).contains(&i);
            if is_loud { 0.3 * (i as f32 * 0.06).sin() * (1.0 + 0.4 * (i as f32 * 0.002).sin()) } else { 0.0 }
        };
        let voice: Vec<f32> = (0..48_000).map(tone).collect();
        let analysed = Voice::analyse(&voice).unwrap();
        let heard = noisy(&voice, &analysed, 10.0, 3);
        let power = |from: &[f32]| from.iter().map(|x| f64::from(x * x)).sum::<f64>() / from.len() as f64;
        let difference: Vec<f32> = heard.iter().zip(&voice).map(|(a, b)| a - b).collect();
        let ratio = 10.0 * (power(&voice[8_000..40_000]) / power(&difference)).log10();
        assert!((ratio - 10.0).abs() < 1.0, "{ratio}");
    }

    #[test]
    fn a_partner_lies_as_far_below_speech_and_comes_later() {
        // Syllables of a tone, while the other is silent.
        let voice = |hz: f32, rms: f32, speaks: std::ops::Range<usize>| -> Vec<f32> {
            let at = |i: usize| {
                let syllable = 1.0 + 0.4 * (i as f32 * 0.002).sin();
                rms * 2f32.sqrt() * syllable * (std::f32::consts::TAU * hz * i as f32 / 16e3).sin()
            };
            (0..96_000).map(|i| if speaks.contains(&i) { at(i) } else { 0.0 }).collect()
        };
        let (own, partner) = (voice(200.0, 0.02, 56_000..88_000), voice(150.0, 0.1, 8_000..40_000));
        let [clean, other] = [&own, &partner].map(|voice| Voice::analyse(voice).unwrap());
        let heard = with_partner((&own, &clean), (&partner, &other), 20.0);
        let leak: Vec<f32> = heard.iter().zip(&own).map(|(heard, own)| heard - own).collect();
        let starts = leak.iter().position(|sample| *sample != 0.0).unwrap();
        // A tone's first sample is zero but for rounding.
        assert!(starts.abs_diff(8_000 + 480) < 2, "{starts}");
        let power = |from: &[f32]| from.iter().map(|x| f64::from(x * x)).sum::<f64>() / from.len() as f64;
        let ratio = 10.0 * (power(&own[56_000..88_000]) / power(&leak[8_480..40_480])).log10();
        assert!((ratio - 20.0).abs() < 0.5, "{ratio}");
        assert!(spoken(&vec![0.0; 96_000], &Voice::analyse(&[0.0; 96_000]).unwrap()) == 0.0);
    }

    #[test]
    fn conversations_are_chosen_by_split_and_both_speakers() {
        let entry = |split, speakers: &[Option<&str>]| {
            let person = |speaker: &Option<&str>| Participant {
                name: "a".into(),
                speaker: speaker.map(str::to_owned),
            };
            Entry {
                name: "x".into(),
                split,
                frames: 100,
                participants: speakers.iter().map(person).collect(),
                has_audio: true,
            }
        };
        let takes = |parts: &[&str], entry: &Entry| {
            let speakers: Vec<String> = parts.iter().map(|&part| part.to_owned()).collect();
            Choice { split: Split::Test, speakers: &speakers, limit: 1 }.takes(entry)
        };
        let mixed = entry(Split::Test, &[Some("flite:kal16"), Some("espeak-ng:de+f5")]);
        assert!(takes(&[], &mixed) && takes(&["kal", "de+"], &mixed));
        assert!(!takes(&["kal"], &mixed) && !takes(&["x"], &mixed));
        let unknown = entry(Split::Test, &[Some("flite:kal16"), None]);
        assert!(takes(&[], &unknown) && !takes(&["kal"], &unknown));
        assert!(!takes(&[], &entry(Split::Val, &[None, None])) && !takes(&[], &entry(Split::Test, &[None])));
    }

    #[test]
    fn figures_are_means_by_name() {
        let mut figures = Figures::default();
        figures.push("a", Some(1.0));
        figures.push("b", None);
        let mut other = Figures::default();
        other.push("a", Some(3.0));
        other.push("a", Some(f64::NAN));
        figures.absorb(&other);
        assert_eq!(figures.entries().collect::<Vec<_>>(), [("a", Some(2.0)), ("b", None)]);
    }
}
