//! Brows: accents, questions, surprise, thought.
//!
//! * Raised on some stressed syllables, together with the head or alone (Ekman 1979 calls them batons; Cavé et al. 1996),
//!   and over the last part of questions.
//! * Raised by listeners as an answer.
//! * Drawn together slowly while thinking of what to say.

use super::backchannels::{Answer, Gesture};
use super::curve::{Hold, frame_time, wander};
use super::person::{Person, channel, sides};
use super::sheet::Sheet;
use crate::dialogue::Side;
use crate::dice::Dice;
use crate::prosody::Accent;
use crate::text::Kind;

/// Writes brows, and the lids that widen with them.
pub fn write(
    sheet: &mut Sheet,
    person: &Person,
    own: &Side,
    accents: &[Accent],
    answers: &[Answer],
    dice: &mut Dice,
) {
    for accent in accents {
        if dice.chance(person.accents[1] * (0.5 + accent.strength)) {
            let start_s = accent.time_s - 0.1 + dice.normal(0.0, 0.04);
            raise(sheet, start_s, dice.range(0.05, 0.3), person.brows * dice.range(0.2, 0.5), dice);
        }
    }
    for spurt in own.spurts.iter().filter(|spurt| spurt.kind == Kind::Question) {
        if dice.chance(0.6) {
            let length = spurt.end_s - spurt.start_s;
            let start_s = spurt.end_s - dice.range(0.3, 0.9) * length.min(2.0);
            let hold_s = spurt.end_s - start_s + dice.range(-0.1, 0.3);
            raise(sheet, start_s, hold_s.max(0.1), person.brows * dice.range(0.3, 0.65), dice);
        }
    }
    for answer in answers.iter().filter(|answer| answer.gesture == Gesture::Brows) {
        raise(sheet, answer.time_s, dice.range(0.15, 0.6), person.brows * dice.range(0.35, 0.7), dice);
    }
    for spurt in own.spurts.iter().filter(|spurt| spurt.end_s - spurt.start_s > 1.5) {
        if dice.chance(0.14) {
            let start_s = spurt.start_s - dice.range(0.0, 0.5);
            lower(sheet, start_s, person.brows * dice.range(0.1, 0.35), dice);
        }
    }
    drift(sheet, person, dice);
}

/// Up, held, down again; the inner or the outer ends more.
fn raise(sheet: &mut Sheet, start_s: f64, hold_s: f64, size: f64, dice: &mut Dice) {
    let (inner, outer) = (channel("browInnerUp"), sides("browOuterUp"));
    let wide = sides("eyeWide");
    let hold = Hold { start_s, rise_s: dice.range(0.12, 0.22), hold_s, fall_s: dice.range(0.2, 0.45) };
    let (inside, outside) = (dice.range(0.6, 1.1), dice.range(0.7, 1.1));
    let uneven = dice.normal_within(0.0, 0.08, 0.25);
    for frame in hold.frames(sheet.frames()) {
        let height = size.min(0.85) * hold.at(frame_time(frame));
        sheet.add(frame, inner, inside * height);
        for (side, sign) in [(0, 1.0), (1, -1.0)] {
            sheet.add(frame, outer[side], outside * (1.0 + sign * uneven) * height);
            sheet.add(frame, wide[side], 0.22 * height);
        }
    }
}

/// Slowly together and down.
fn lower(sheet: &mut Sheet, start_s: f64, size: f64, dice: &mut Dice) {
    let (down, squint) = (sides("browDown"), sides("eyeSquint"));
    let hold = Hold {
        start_s,
        rise_s: dice.range(0.25, 0.5),
        hold_s: dice.range(0.4, 1.6),
        fall_s: dice.range(0.4, 0.9),
    };
    for frame in hold.frames(sheet.frames()) {
        let height = size * hold.at(frame_time(frame));
        for side in 0..2 {
            sheet.add(frame, down[side], height);
            sheet.add(frame, squint[side], 0.35 * height);
        }
    }
}

/// Brows are never quite still.
fn drift(sheet: &mut Sheet, person: &Person, dice: &mut Dice) {
    let (inner, outer) = (channel("browInnerUp"), sides("browOuterUp"));
    let wandering = wander(sheet.frames(), 1.2, dice);
    for (frame, value) in wandering.into_iter().enumerate() {
        let height = (0.02 * person.brows * (value + 1.2)).max(0.0);
        sheet.add(frame, inner, height);
        outer.into_iter().for_each(|side| sheet.add(frame, side, 0.8 * height));
    }
}

#[cfg(test)]
mod tests {
    use unils::metrics::gestures::{RiseOptions, find_rises};
    use unils::motion::FPS;

    use super::*;
    use crate::dialogue::tests::babble;

    fn raised(sheet: &Sheet) -> Vec<f32> {
        let (inner, outer) = (channel("browInnerUp"), sides("browOuterUp"));
        let curves = [sheet.curve(inner), sheet.curve(outer[0]), sheet.curve(outer[1])];
        (0..sheet.frames()).map(|k| 0.5 * curves[0][k] + 0.25 * (curves[1][k] + curves[2][k])).collect()
    }

    /// Starts of rises, those of one movement once.
    fn starts(sheet: &Sheet) -> Vec<f64> {
        let rises = find_rises(&raised(sheet), FPS, &RiseOptions::default()).unwrap();
        let mut starts: Vec<f64> = rises.iter().map(|rise| rise.start_s).collect();
        starts.dedup_by(|next, last| *next - *last < 1.0);
        starts
    }

    #[test]
    fn answers_raise_the_brows_in_time() {
        let mut dice = Dice::new(3, 0, "brows");
        let person = Person { brows: 1.0, ..Person::draw(&mut dice) };
        let answers: Vec<Answer> =
            (0..40).map(|k| Answer { time_s: 3.0 + 4.0 * f64::from(k), gesture: Gesture::Brows }).collect();
        let mut sheet = Sheet::new(25 * 165);
        write(&mut sheet, &person, &Side::default(), &[], &answers, &mut dice);
        let rises = starts(&sheet);
        let hits = answers.iter().filter(|a| rises.iter().any(|rise| (rise - a.time_s).abs() < 0.6)).count();
        assert!(hits >= 38 && rises.len() <= 43, "{hits} hits, {} rises", rises.len());
    }

    #[test]
    fn speakers_raise_them_now_and_then() {
        let (mut rises, mut minutes) = (0.0, 0.0);
        for seed in 0..20 {
            let dialogue = babble(seed, 90.0);
            let own = &dialogue.sides[0];
            let accents: Vec<Accent> = own
                .phones
                .iter()
                .filter(|phone| phone.seconds() > 0.16)
                .map(|phone| Accent { time_s: phone.start_s, strength: 0.6 })
                .collect();
            let mut dice = Dice::new(seed, 0, "brows");
            let person = Person::draw(&mut dice);
            let mut sheet = Sheet::new((dialogue.seconds * FPS) as usize);
            write(&mut sheet, &person, own, &accents, &[], &mut dice);
            rises += starts(&sheet).len() as f64;
            minutes += own.spurts.iter().map(|spurt| spurt.end_s - spurt.start_s).sum::<f64>() / 60.0;
        }
        assert!((4.0..22.0).contains(&(rises / minutes)), "{} a minute of speech", rises / minutes);
    }
}
