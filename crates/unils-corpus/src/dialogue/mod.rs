//! Who speaks when: turns, pauses, overlaps, monologues and silence.
//!
//! After the voices: [`converse`] lets two [`Speaker`]s talk and lays what they say on one clock, a [`Side`] each.
//!
//! * The offset from one turn to the next is about normal, with a mode near 200 ms and some 40 % overlaps, mostly short
//!   (Stivers et al. 2009; Heldner & Edlund 2010); now and then somebody comes in early and both go on for a while.
//! * Pauses within a turn are log-normal with a median of about half a second (Campione & Véronis 2002); they are longer
//!   than the gaps between turns.
//! * Turns differ by the kind of talk: a chat, an interview, a story with a listener. A turn is a few sentences up to a
//!   monologue of half a minute; questions hand over the floor.
//! * Sometimes nobody speaks for seconds.
//!
//! Acknowledgements, which do not take the floor, come later: they answer cues
//! ([`backchannels`](crate::motion::backchannels)).

use unils::Result;
use unils::motion::SAMPLE_RATE;

use crate::dice::Dice;
use crate::phones::Segment;
use crate::text::Kind;
use crate::voices::Spoken;

/// Somebody who says things of a kind.
pub trait Speaker {
    /// Says something new, at the person's usual level.
    ///
    /// # Errors
    /// What the synthesiser reports.
    fn say(&mut self, kind: Kind) -> Result<Spoken>;
}

/// A stretch of speech: a sentence of a turn, or an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spurt {
    /// Begin, seconds.
    pub start_s: f64,
    /// End, seconds.
    pub end_s: f64,
    /// What it is.
    pub kind: Kind,
}

/// The floor held by one person.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// Who: 0 or 1.
    pub who: usize,
    /// Begin, seconds.
    pub start_s: f64,
    /// End, seconds.
    pub end_s: f64,
}

/// What one person says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Side {
    /// 16 kHz, from the conversation's start; silence is zeros, what is behind the end is silence.
    pub samples: Vec<f32>,
    /// The sounds, in order.
    pub phones: Vec<Segment>,
    /// The stretches of speech, in order.
    pub spurts: Vec<Spurt>,
}

impl Side {
    /// Puts something said at a time; nothing changes if the person speaks then already.
    pub fn put(&mut self, spoken: &Spoken, kind: Kind, start_s: f64, gain: f32) -> bool {
        let end_s = start_s + spoken.seconds();
        if start_s < 0.0 || self.spurts.iter().any(|spurt| spurt.start_s < end_s && start_s < spurt.end_s) {
            return false;
        }
        let first = (start_s * f64::from(SAMPLE_RATE)).round() as usize;
        let past = first + spoken.samples.len();
        if self.samples.len() < past {
            self.samples.resize(past, 0.0);
        }
        self.samples[first..past].iter_mut().zip(&spoken.samples).for_each(|(to, from)| *to += gain * from);
        let at = self.spurts.partition_point(|spurt| spurt.start_s < start_s);
        self.spurts.insert(at, Spurt { start_s, end_s, kind });
        let at = self.phones.partition_point(|phone| phone.start_s < start_s);
        self.phones.splice(at..at, spoken.phones.iter().map(|phone| phone.later(start_s)));
        true
    }

    /// Whether the person speaks at some time of a span.
    pub fn speaks_within(&self, from_s: f64, to_s: f64) -> bool {
        self.spurts.iter().any(|spurt| spurt.start_s < to_s && from_s < spurt.end_s)
    }
}

/// Two people's speech on one clock.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dialogue {
    /// What each says.
    pub sides: [Side; 2],
    /// Who holds the floor, in order of beginning.
    pub turns: Vec<Turn>,
    /// Length, whole frames at 25 a second.
    pub seconds: f64,
}

/// The kind of a conversation.
#[derive(Debug, Clone, Copy)]
enum Talk {
    /// Short turns on both sides.
    Chat,
    /// The first asks, the second tells.
    Interview,
    /// The first tells for a long time.
    Story,
}

impl Talk {
    /// Sentences of a turn.
    fn sentences(self, who: usize, dice: &mut Dice) -> usize {
        let (least, mean) = match (self, who) {
            (Self::Chat, _) => (1, 1.6),
            (Self::Interview, 0) => (1, 0.5),
            (Self::Interview, _) => (2, 3.0),
            (Self::Story, 0) => (4, 5.0),
            (Self::Story, _) => (1, 0.7),
        };
        (least + dice.exponential(mean) as usize).min(12)
    }

    /// How often a turn ends with a question.
    fn questions(self, who: usize) -> f64 {
        match (self, who) {
            (Self::Interview, 0) => 0.85,
            (Self::Story, 1) => 0.5,
            (Self::Chat, _) => 0.25,
            _ => 0.08,
        }
    }
}

/// From the end of one turn to the beginning of the next, seconds; negative where they overlap.
pub fn transfer_offset(dice: &mut Dice) -> f64 {
    if dice.chance(0.06) {
        return -dice.range(0.5, 1.6);
    }
    if dice.chance(0.12) {
        return dice.log_normal(0.9, 0.4).min(2.5);
    }
    dice.normal(0.13, 0.3).clamp(-0.6, 1.2)
}

/// A pause between sentences of one turn, seconds.
pub fn inner_pause(dice: &mut Dice) -> f64 {
    dice.log_normal(0.52, 0.5).clamp(0.12, 2.5)
}

/// Lets two people talk for about so long.
///
/// # Errors
/// What the speakers report.
pub fn converse(speakers: &mut [&mut dyn Speaker; 2], seconds: f64, dice: &mut Dice) -> Result<Dialogue> {
    let talk = [Talk::Chat, Talk::Chat, Talk::Interview, Talk::Story][dice.below(4)];
    let mut dialogue = Dialogue::default();
    let mut clock = dice.range(0.5, 2.5);
    // Who the roles of an interview and a story fall to.
    let first = dice.below(2);
    let (mut role, mut asked) = (0, false);
    while clock < seconds - 2.0 {
        let who = (first + role) % 2;
        let count = talk.sentences(role, dice);
        let question = dice.chance(talk.questions(role));
        let start_s = clock.max(0.0);
        let mut end_s = start_s;
        for number in 0..count {
            let kind = match (number, question && number + 1 == count) {
                (_, true) => Kind::Question,
                (0, _) if asked => Kind::Answer,
                _ => Kind::Statement,
            };
            let spoken = speakers[who].say(kind)?;
            let loudness = 10.0_f64.powf(dice.normal_within(0.0, 1.5, 4.0) / 20.0) as f32;
            let mut at = if number == 0 { start_s } else { end_s + inner_pause(dice) };
            // Who comes in while finishing an earlier turn of their own waits for its end.
            while !dialogue.sides[who].put(&spoken, kind, at, loudness) {
                at += 0.2;
            }
            end_s = at + spoken.seconds();
            if end_s > seconds {
                break;
            }
        }
        dialogue.turns.push(Turn { who, start_s, end_s });
        clock = end_s + transfer_offset(dice);
        if dice.chance(0.07) {
            clock = end_s + dice.range(2.5, 7.0);
        }
        asked = question;
        // After a turn without a question the same person may go on, but rarely.
        if question || !dice.chance(0.08) {
            role = 1 - role;
        }
    }
    let end = dialogue.sides.iter().flat_map(|side| side.spurts.last()).map(|s| s.end_s).fold(0.0, f64::max);
    dialogue.seconds = ((end + dice.range(0.8, 2.0)) * unils::motion::FPS).ceil() / unils::motion::FPS;
    Ok(dialogue)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::phones::Phone;

    /// Speaks made-up syllables with true times: a buzz for voice, hiss for s, silence for stops.
    pub(crate) struct Babbler(pub(crate) Dice);

    impl Speaker for Babbler {
        fn say(&mut self, kind: Kind) -> Result<Spoken> {
            let dice = &mut self.0;
            let count = if kind == Kind::Acknowledgement { 2 } else { 6 + dice.below(14) };
            let consonants =
                [Phone::B, Phone::M, Phone::P, Phone::S, Phone::T, Phone::F, Phone::W, Phone::L, Phone::N];
            let vowels = [Phone::Aa, Phone::Iy, Phone::Uw, Phone::Eh, Phone::Ax, Phone::Ao];
            let (mut samples, mut phones, mut phase) = (Vec::new(), Vec::new(), 0.0_f64);
            for syllable in 0..count {
                for (phone, seconds) in [
                    (consonants[dice.below(consonants.len())], dice.range(0.06, 0.1)),
                    (vowels[dice.below(vowels.len())], dice.range(0.07, 0.2)),
                ] {
                    let start_s = samples.len() as f64 / 16e3;
                    let pitch = 140.0 - 40.0 * f64::from(syllable as u32) / f64::from(count as u32);
                    for _ in 0..(seconds * 16e3) as usize {
                        phase += pitch / 16e3;
                        let buzz = 0.25 * (1.0 - 2.0 * phase.fract());
                        samples.push(match phone {
                            Phone::S | Phone::F => dice.normal(0.0, 0.02),
                            Phone::T | Phone::P => 0.0,
                            phone if phone.is_vowel() => buzz,
                            _ => 0.4 * buzz,
                        } as f32);
                    }
                    phones.push(Segment { phone, start_s, end_s: samples.len() as f64 / 16e3 });
                }
            }
            Ok(Spoken { samples, phones })
        }
    }

    /// A conversation of babblers.
    pub(crate) fn babble(seed: u64, seconds: f64) -> Dialogue {
        let [mut a, mut b] = ["a", "b"].map(|name| Babbler(Dice::new(seed, 0, name)));
        converse(&mut [&mut a, &mut b], seconds, &mut Dice::new(seed, 0, "dialogue")).unwrap()
    }

    #[test]
    fn offsets_and_pauses_are_those_of_people() {
        let mut dice = Dice::new(1, 0, "offsets");
        let mut offsets: Vec<f64> = (0..10_000).map(|_| transfer_offset(&mut dice)).collect();
        offsets.sort_by(f64::total_cmp);
        let overlaps = offsets.partition_point(|&x| x < 0.0) as f64 / 1e4;
        assert!((0.3..0.42).contains(&overlaps), "{overlaps}");
        assert!((0.1..0.25).contains(&offsets[5000]), "{}", offsets[5000]);
        let mut pauses: Vec<f64> = (0..10_000).map(|_| inner_pause(&mut dice)).collect();
        pauses.sort_by(f64::total_cmp);
        assert!((0.48..0.56).contains(&pauses[5000]));
    }

    #[test]
    fn both_speak_overlap_and_fall_silent() {
        let (mut speech, mut both, mut nobody, mut seconds) = ([0.0; 2], 0.0, 0.0, 0.0);
        for seed in 0..30 {
            let dialogue = babble(seed, 90.0);
            assert!((70.0..130.0).contains(&dialogue.seconds), "{}", dialogue.seconds);
            for side in &dialogue.sides {
                assert!(side.spurts.windows(2).all(|pair| pair[0].end_s <= pair[1].start_s));
                assert!(side.phones.windows(2).all(|pair| pair[0].start_s <= pair[1].start_s));
                assert!(side.samples.len() as f64 <= dialogue.seconds * 16e3);
            }
            let steps = (dialogue.seconds * 10.0) as usize;
            for step in 0..steps {
                let at = step as f64 / 10.0;
                let [a, b] = [0, 1].map(|who: usize| dialogue.sides[who].speaks_within(at, at + 0.05));
                speech[0] += f64::from(u8::from(a)) / 10.0;
                speech[1] += f64::from(u8::from(b)) / 10.0;
                both += f64::from(u8::from(a && b)) / 10.0;
                nobody += f64::from(u8::from(!a && !b)) / 10.0;
            }
            seconds += dialogue.seconds;
        }
        let [share_both, share_nobody] = [both / seconds, nobody / seconds];
        assert!((0.005..0.06).contains(&share_both), "{share_both}");
        assert!((0.1..0.4).contains(&share_nobody), "{share_nobody}");
        assert!(speech.iter().all(|speech| speech / seconds > 0.2), "{speech:?}");
    }
}
