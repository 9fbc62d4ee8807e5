//! One conversation: cast, spoken, acted, recorded. A function of the corpus's seed and the recording's number.

use std::cell::RefCell;

use unils::metrics::cues::find_cues;
use unils::metrics::voice::Voice as Heard;
use unils::motion::{FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, Space};
use unils::{Error, Result};
use unils_train::data::{Phoneme, Recording, Samples, Split, Track};

use crate::audio;
use crate::dialogue::{Dialogue, Side, Speaker, converse};
use crate::dice::Dice;
use crate::motion::backchannels::{Answer, Gesture, answers};
use crate::motion::person::Person;
use crate::motion::{Scene, perform, range, smiles};
use crate::prosody::Prosody;
use crate::text::{Kind, sentence};
use crate::voices::{Casting, Manner, Spoken, Studio, Voice};

/// Seconds of a conversation before its last turn runs out.
const SECONDS: (f64, f64) = (60.0, 112.0);
/// One recording in so many is a passage of range of motion.
const PASSAGE_EVERY: u64 = 32;
/// Pauses between sounds up to this are speech, seconds.
const JOIN_S: f64 = 0.2;

/// What is said and done in a conversation, before the audio is treated.
#[derive(Debug, Clone, PartialEq)]
pub struct Acted {
    /// What both say, acknowledgements included.
    pub dialogue: Dialogue,
    /// What each answers.
    pub answers: [Vec<Answer>; 2],
    /// Each person's motion, (frames, 55).
    pub motion: [Vec<f32>; 2],
    /// Length.
    pub frames: usize,
}

/// The part of the corpus that a recording belongs to: 3 in 25 are for validation and testing.
pub fn split_of(number: u64) -> Split {
    match number % 25 {
        7 => Split::Val,
        15 | 22 => Split::Test,
        _ => Split::Train,
    }
}

/// Makes a recording.
///
/// # Errors
/// What the synthesisers report.
pub fn record(
    casting: &Casting,
    studio: &mut Studio,
    seed: u64,
    number: u64,
    attempt: u64,
) -> Result<Recording> {
    let mut dice = Dice::new(seed, number, &format!("recording {attempt}"));
    let name = format!("{number:06}");
    let split = split_of(number);
    if split == Split::Train && number % PASSAGE_EVERY == PASSAGE_EVERY - 1 {
        let frames = (dice.range(SECONDS.0, SECONDS.1) * FPS) as usize;
        let motion = range::passage(frames, &mut dice.split("passage")).into_motion();
        return Ok(Recording::new(format!("range-{name}"), Space::Arkit55, vec![Track::new("a", motion)]));
    }
    let Some(cast) = casting.pair(split, &mut dice) else {
        return Err(Error::argument("speech synthesis", "no voice is installed"));
    };
    let studio = RefCell::new(studio);
    let [mut first, mut second] =
        cast.map(|(voice, manner)| Actor { voice, manner, studio: &studio, text: dice.split("text") });
    let acted = act(&mut [&mut first, &mut second], &mut dice)?;
    finish(name, acted, cast.map(|(voice, _)| voice.to_string()), &mut dice)
}

/// A voice that says sentences of its own.
struct Actor<'a> {
    voice: &'a Voice,
    manner: Manner,
    studio: &'a RefCell<&'a mut Studio>,
    text: Dice,
}

impl Speaker for Actor<'_> {
    fn say(&mut self, kind: Kind) -> Result<Spoken> {
        let text = sentence(self.voice.language, kind, &mut self.text);
        self.studio.borrow_mut().say(&text, self.voice, self.manner)
    }
}

/// Lets two people talk, and gives them faces.
///
/// # Errors
/// What the speakers report.
pub fn act(speakers: &mut [&mut dyn Speaker; 2], dice: &mut Dice) -> Result<Acted> {
    let people = [Person::draw(&mut dice.split("person")), Person::draw(&mut dice.split("person"))];
    let seconds = dice.range(SECONDS.0, SECONDS.1);
    let mut dialogue = converse(speakers, seconds, &mut dice.split("dialogue"))?;
    let frames = (dialogue.seconds * FPS).round() as usize;
    for side in &mut dialogue.sides {
        side.samples.resize(frames * SAMPLES_PER_FRAME, 0.0);
    }
    let heard = [Heard::analyse(&dialogue.sides[0].samples)?, Heard::analyse(&dialogue.sides[1].samples)?];
    let mut answered = [Vec::new(), Vec::new()];
    for (who, answered) in answered.iter_mut().enumerate() {
        let (own, partner) = (&dialogue.sides[who], &dialogue.sides[1 - who]);
        *answered =
            answers(&find_cues(&heard[1 - who]), own, partner, &people[who], &mut dice.split("answers"));
    }
    for (who, answered) in answered.iter().enumerate() {
        for answer in answered.iter().filter(|answer| answer.gesture == Gesture::Voice) {
            let spoken = speakers[who].say(Kind::Acknowledgement)?;
            if answer.time_s + spoken.seconds() < dialogue.seconds {
                let quieter = 10.0_f64.powf(dice.range(-8.0, -1.0) / 20.0) as f32;
                dialogue.sides[who].put(&spoken, Kind::Acknowledgement, answer.time_s, quieter);
            }
        }
    }
    let motion = faces(&dialogue, &people, &answered, &heard, frames, dice);
    Ok(Acted { dialogue, answers: answered, motion, frames })
}

/// The motion of both.
fn faces(
    dialogue: &Dialogue,
    people: &[Person; 2],
    answered: &[Vec<Answer>; 2],
    heard: &[Heard; 2],
    frames: usize,
    dice: &mut Dice,
) -> [Vec<f32>; 2] {
    let mut dice = dice.split("faces");
    let own_smiles: [Vec<smiles::Smile>; 2] = std::array::from_fn(|who| {
        smiles::plan(&people[who], &answered[who], dialogue.seconds, &mut dice.split("smiles"))
    });
    std::array::from_fn(|who| {
        let (own, partner) = (&dialogue.sides[who], &dialogue.sides[1 - who]);
        let mut smiles = own_smiles[who].clone();
        smiles.extend(smiles::returned(
            &own_smiles[1 - who],
            &people[who],
            &mut dice.split("returned smiles"),
        ));
        let scene = Scene {
            person: &people[who],
            own,
            partner,
            who,
            turns: &dialogue.turns,
            prosody: &Prosody::of(own, &heard[who]),
            answers: &answered[who],
            smiles: &smiles,
            frames,
        };
        perform(&scene, &mut dice.split("motion"))
    })
}

/// The recording: treated audio, motion and labels.
fn finish(name: String, acted: Acted, speakers: [String; 2], dice: &mut Dice) -> Result<Recording> {
    let Acted { dialogue, motion, frames, .. } = acted;
    let labels = [0, 1].map(|who: usize| labels(&dialogue.sides[who], frames));
    let [first, second] = dialogue.sides;
    let mut dice = dice.split("audio");
    let audio = audio::treat([first.samples, second.samples], &mut dice)?;
    let tracks = ["a", "b"].into_iter().zip(motion).zip(audio).zip(speakers).zip(labels);
    let tracks = tracks.map(|((((name, motion), audio), speaker), (speech, phonemes))| Track {
        speech: Some(speech),
        phonemes,
        ..Track::new(name, motion).with_audio(Samples::F32(audio)).with_speaker(speaker)
    });
    Ok(Recording::new(name, Space::Arkit55, tracks.collect()))
}

/// Where somebody speaks, frame by frame, and the sounds.
fn labels(side: &Side, frames: usize) -> (Vec<bool>, Vec<Phoneme>) {
    let mut speech = vec![false; frames];
    let mut last_end: Option<f64> = None;
    for phone in &side.phones {
        let start = last_end.filter(|end| phone.start_s - end < JOIN_S).unwrap_or(phone.start_s);
        let first = ((start * FPS) as usize).min(frames);
        let past = ((phone.end_s * FPS).ceil() as usize).clamp(first, frames);
        speech[first..past].fill(true);
        last_end = Some(phone.end_s);
    }
    let end_s = frames as f64 / FPS;
    let phonemes = side.phones.iter().filter(|phone| phone.start_s < end_s).map(|phone| Phoneme {
        symbol: phone.phone.symbol().to_owned(),
        start_s: phone.start_s,
        end_s: phone.end_s.min(end_s),
    });
    (speech, phonemes.collect())
}

const _: () = assert!(SAMPLE_RATE as usize == 25 * SAMPLES_PER_FRAME, "25 frames a second");

#[cfg(test)]
mod tests {
    use unils::metrics::curves::Curves;
    use unils::metrics::gestures::{NodOptions, find_nods};
    use unils::metrics::lipsync::{ClosedAt, PhonemeInterval, closure_recall, lip_sync};
    use unils::motion::{Motion, MotionMeta};

    use super::*;
    use crate::dialogue::tests::Babbler;

    fn talk(seed: u64) -> Acted {
        let [mut a, mut b] = ["a", "b"].map(|name| Babbler(Dice::new(seed, 0, name)));
        act(&mut [&mut a, &mut b], &mut Dice::new(seed, 0, "talk")).unwrap()
    }

    fn curves(acted: &Acted, who: usize) -> Curves {
        let motion =
            Motion::new(Space::Arkit55, FPS, 1, acted.motion[who].clone(), MotionMeta::new()).unwrap();
        Curves::of_channels(&motion, 0).unwrap()
    }

    #[test]
    fn lips_close_follow_the_voice_and_rest() {
        let (mut due, mut closed, mut whole, mut offset, mut silence, mut count) = (0, 0, 0.0, 0.0, 0.0, 0.0);
        for seed in 0..6 {
            let acted = talk(seed);
            for who in 0..2 {
                let side = &acted.dialogue.sides[who];
                let opening = curves(&acted, who).mouth_opening;
                let (speech, _) = labels(side, acted.frames);
                let bilabials: Vec<PhonemeInterval> = side
                    .phones
                    .iter()
                    .filter(|phone| phone.phone.is_bilabial())
                    .map(|phone| PhonemeInterval { start_s: phone.start_s, end_s: phone.end_s })
                    .collect();
                let recall =
                    closure_recall(&opening, FPS, &speech, &bilabials, 1, ClosedAt::default()).unwrap();
                (due, closed) = (due + recall.due, closed + recall.closed);
                assert!(recall.elsewhere.unwrap() < 0.3, "closed elsewhere: {:?}", recall.elsewhere);
                let loudness = Heard::analyse(&side.samples).unwrap().loudness_frames(acted.frames);
                let sync = lip_sync(&opening, FPS, &loudness, &speech).unwrap();
                whole += sync.whole.unwrap();
                offset += sync.offset.unwrap().frames;
                silence += sync.silence.unwrap().opening_ratio;
                count += 1.0;
            }
        }
        let recall = closed as f64 / due as f64;
        assert!(due > 300 && recall > 0.95, "{closed} of {due} closures");
        assert!(whole / count > 0.6, "correlation with the voice {}", whole / count);
        assert!((-2.0..0.2).contains(&(offset / count)), "offset {} frames", offset / count);
        assert!(silence / count < 0.04, "opening in silence over speech {}", silence / count);
    }

    #[test]
    fn nods_follow_cues() {
        let (mut planned, mut seen) = (0, 0);
        for seed in 10..16 {
            let acted = talk(seed);
            for who in 0..2 {
                let nods = find_nods(&curves(&acted, who).head_pitch, FPS, &NodOptions::default()).unwrap();
                let times = acted.answers[who].iter().filter(|a| matches!(a.gesture, Gesture::Nod { .. }));
                for answer in times {
                    planned += 1;
                    seen += usize::from(nods.iter().any(|nod| (nod.start_s - answer.time_s).abs() < 0.3));
                }
            }
        }
        assert!(planned > 20 && seen as f64 > 0.65 * f64::from(planned), "{seen} of {planned}");
    }

    #[test]
    fn motion_is_whole_finite_and_the_same_again() {
        let acted = talk(3);
        assert_eq!(acted, talk(3));
        for who in 0..2 {
            assert_eq!(acted.motion[who].len(), acted.frames * 55);
            assert!(acted.motion[who].iter().all(|value| value.is_finite()));
        }
        let recording =
            finish("x".into(), acted, ["p".into(), "q".into()], &mut Dice::new(0, 0, "finish")).unwrap();
        assert_eq!(recording.tracks.len(), 2);
        for track in &recording.tracks {
            assert!(track.phonemes.windows(2).all(|pair| pair[0].start_s <= pair[1].start_s));
            assert!(track.speech.as_ref().unwrap().iter().any(|&speaks| speaks));
            assert_eq!(track.audio.as_ref().unwrap().len(), recording.frames() * SAMPLES_PER_FRAME);
        }
    }
}
