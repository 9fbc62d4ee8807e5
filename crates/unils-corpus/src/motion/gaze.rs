//! Where somebody looks: fixations joined by saccades.
//!
//! * Listeners look at the partner most of the time (about 75 %), speakers about half of it (Argyle & Cook 1976).
//! * Speakers look away when they begin a long turn and back when they are about to end it (Kendon 1967).
//! * On the partner's face the eyes jump between eyes and mouth, by a few degrees, some two times a second; away they look
//!   aside or down, for a second.
//! * Saccades take 21 ms and 2.2 ms a degree (Bahill, Clark & Stark 1975), less than two frames. The eyes turn against the
//!   head (vestibulo-ocular reflex), so that a nod does not move the gaze; of a large shift the head takes a part, later
//!   ([`head`](super::head)).
//! * Lids follow the gaze: down with it, wide with a look up (Evinger et al. 1994).
//!
//! Written as the `eyeLook` coefficients of both eyes.

use unils::motion::{FPS, look_from_gaze};

use super::curve::{frame_time, min_jerk};
use super::person::{Person, sides};
use super::sheet::Sheet;
use crate::dialogue::{Side, Turn};
use crate::dice::Dice;

/// Turns from this length on begin with a look away, seconds.
const LONG_TURN_S: f64 = 2.2;
/// How often they do.
const AWAY_AT_START: f64 = 0.7;
/// How often the speaker looks back before the end.
const BACK_AT_END: f64 = 0.85;

/// The eyes on one place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fixation {
    /// Begin, seconds.
    pub start_s: f64,
    /// To the person's left, radians; the partner is at 0.
    pub yaw: f64,
    /// Down, radians.
    pub pitch: f64,
    /// Whether it is off the partner.
    pub is_away: bool,
}

/// All fixations of one person, in order, the first at 0.
pub fn plan(
    person: &Person,
    own: &Side,
    turns: &[Turn],
    who: usize,
    seconds: f64,
    dice: &mut Dice,
) -> Vec<Fixation> {
    let mut fixations = Vec::new();
    let mut asides = asides(person, own, turns, who, seconds, dice);
    asides.retain(|(from, to)| to - from > 0.2);
    let mut time_s = 0.0;
    for (from, to) in asides {
        on_partner(time_s, from, dice, &mut fixations);
        away(from.max(time_s), to, dice, &mut fixations);
        time_s = to.max(time_s);
    }
    on_partner(time_s, seconds, dice, &mut fixations);
    fixations
}

/// Spans of time off the partner, in order, not overlapping.
fn asides(
    person: &Person,
    own: &Side,
    turns: &[Turn],
    who: usize,
    seconds: f64,
    dice: &mut Dice,
) -> Vec<(f64, f64)> {
    let mut asides: Vec<(f64, f64)> = Vec::new();
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for turn in turns.iter().filter(|turn| turn.who == who && turn.end_s - turn.start_s >= LONG_TURN_S) {
        if dice.chance(AWAY_AT_START) {
            let from = turn.start_s - dice.range(0.0, 0.45);
            asides
                .push((from, from + dice.log_normal(1.5, 0.4).clamp(0.6, 0.7 * (turn.end_s - turn.start_s))));
        }
        if dice.chance(BACK_AT_END) {
            kept.push((turn.end_s - dice.range(0.4, 1.1), turn.end_s + 0.5));
        }
    }
    // Elsewhere looks away come as they do, in the share that the person has of them.
    let mut time_s = 0.0;
    while time_s < seconds {
        let speaking = own.speaks_within(time_s - 0.2, time_s + 0.2);
        let share = person.on_partner[usize::from(speaking)];
        let length = dice.log_normal(0.95, 0.45).clamp(0.3, 3.5);
        time_s += dice.exponential(1.08 * share / (1.0 - share)).max(0.5);
        let span = (time_s, time_s + length);
        let free =
            |list: &[(f64, f64)]| list.iter().all(|other| other.1 + 0.3 < span.0 || span.1 + 0.3 < other.0);
        if free(&asides) && free(&kept) {
            asides.push(span);
            time_s += length;
        }
    }
    for aside in &mut asides {
        aside.0 = aside.0.max(0.0);
        for back in kept.iter().filter(|back| back.0 > aside.0) {
            aside.1 = aside.1.min(back.0);
        }
    }
    asides.sort_by(|a, b| a.0.total_cmp(&b.0));
    asides
}

/// Jumps on the partner's face.
fn on_partner(from_s: f64, to_s: f64, dice: &mut Dice, fixations: &mut Vec<Fixation>) {
    let mut start_s = from_s;
    while start_s < to_s {
        // The left eye, the right eye, the mouth.
        let (yaw, pitch) =
            [(0.028, -0.012), (-0.028, -0.012), (0.0, 0.045)][dice.weighted(&[0.38, 0.38, 0.24])];
        let (yaw, pitch) = (yaw + dice.normal(0.0, 0.008), pitch + dice.normal(0.0, 0.008));
        fixations.push(Fixation { start_s, yaw, pitch, is_away: false });
        start_s += dice.log_normal(0.55, 0.5).clamp(0.18, 2.5);
    }
}

/// A look aside, of one or a few fixations.
fn away(from_s: f64, to_s: f64, dice: &mut Dice, fixations: &mut Vec<Fixation>) {
    let aside = dice.sign();
    let mut start_s = from_s;
    while start_s < to_s {
        let yaw = aside * dice.log_normal(0.18, 0.4).clamp(0.07, 0.4);
        let pitch = if dice.chance(0.62) { dice.range(0.03, 0.26) } else { -dice.range(0.0, 0.2) };
        fixations.push(Fixation { start_s, yaw, pitch, is_away: true });
        start_s += dice.log_normal(0.7, 0.5).clamp(0.25, 2.5);
    }
}

/// Seconds that a saccade of that many radians takes.
fn saccade_s(radians: f64) -> f64 {
    0.021 + 0.0022 * radians.to_degrees()
}

/// Writes eyes and lids for fixations, given the head's yaw and pitch.
pub fn write(sheet: &mut Sheet, fixations: &[Fixation], head: [&[f64]; 2]) {
    let looks = ["eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp"].map(sides);
    let [lids, wide] = ["eyeBlink", "eyeWide"].map(sides);
    let mut at = 0;
    let heads = head[0].iter().zip(head[1]);
    for (frame, (head_yaw, head_pitch)) in heads.enumerate().take(sheet.frames()) {
        let time = frame_time(frame);
        while fixations.get(at + 1).is_some_and(|next| next.start_s <= time + 0.5 / FPS) {
            at += 1;
        }
        let Some(now) = fixations.get(at) else { return };
        let before = fixations[at.saturating_sub(1)];
        let way = saccade_s((now.yaw - before.yaw).hypot(now.pitch - before.pitch));
        let done = min_jerk((time - now.start_s) / way);
        let toward = |from: f64, to: f64| from + (to - from) * done;
        let yaw = (toward(before.yaw, now.yaw) - head_yaw).clamp(-0.4, 0.4);
        let pitch = (toward(before.pitch, now.pitch) - head_pitch).clamp(-0.3, 0.36);
        for eye in 0..2 {
            // Both eyes meet at the partner, a metre and a half away.
            let inward = if eye == 0 { -0.02 } else { 0.02 };
            let look = look_from_gaze([(yaw + inward) as f32, pitch as f32], eye == 0);
            looks.iter().zip(look).for_each(|(pair, value)| sheet.add(frame, pair[eye], f64::from(value)));
            sheet.add(frame, lids[eye], (0.75 * pitch).clamp(0.0, 0.3));
            sheet.add(frame, wide[eye], (-0.8 * pitch).clamp(0.0, 0.25));
        }
    }
}

#[cfg(test)]
mod tests {
    use unils::motion::gaze_from_look;

    use super::*;
    use crate::dialogue::tests::babble;

    #[test]
    fn listeners_look_more_and_turns_begin_with_a_look_away() {
        let (mut on, mut all) = ([0.0; 2], [0.0; 2]);
        let (mut away_at_start, mut away_at_end, mut long) = (0.0, 0.0, 0.0);
        for seed in 0..30 {
            let dialogue = babble(seed, 100.0);
            let mut dice = Dice::new(seed, 0, "gaze");
            let person = Person::draw(&mut dice);
            let own = &dialogue.sides[0];
            let fixations = plan(&person, own, &dialogue.turns, 0, dialogue.seconds, &mut dice);
            assert!(fixations.windows(2).all(|pair| pair[0].start_s < pair[1].start_s));
            let is_away = |time: f64| {
                let at = fixations.partition_point(|fixation| fixation.start_s <= time);
                at > 0 && fixations[at - 1].is_away
            };
            for step in 0..(dialogue.seconds * 10.0) as usize {
                let time = step as f64 / 10.0;
                let speaking = usize::from(own.speaks_within(time, time + 0.05));
                on[speaking] += f64::from(u8::from(!is_away(time)));
                all[speaking] += 1.0;
            }
            for turn in dialogue.turns.iter().filter(|turn| turn.who == 0 && turn.end_s - turn.start_s > 4.0)
            {
                long += 1.0;
                away_at_start += f64::from(u8::from(is_away(turn.start_s + 0.3)));
                away_at_end += f64::from(u8::from(is_away(turn.end_s - 0.1)));
            }
        }
        let [listening, speaking] = [on[0] / all[0], on[1] / all[1]];
        assert!((0.66..0.86).contains(&listening), "{listening}");
        assert!((0.42..0.68).contains(&speaking), "{speaking}");
        assert!(
            away_at_start / long > 0.5 && away_at_end / long < 0.25,
            "{away_at_start} {away_at_end} {long}"
        );
    }

    #[test]
    fn eyes_stay_on_the_partner_while_the_head_nods() {
        let frames = 50;
        let pitch: Vec<f64> = (0..frames).map(|k| 0.1 * (k as f64 * 0.4).sin()).collect();
        let mut sheet = Sheet::new(frames);
        let fixation = Fixation { start_s: 0.0, yaw: 0.0, pitch: 0.0, is_away: false };
        write(&mut sheet, &[fixation], [&vec![0.0; frames], &pitch]);
        let looks = ["eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp"].map(sides);
        for (frame, head) in pitch.iter().enumerate() {
            let look = looks.map(|pair| sheet.get(frame, pair[0]) as f32);
            let [_, eye] = gaze_from_look(look, true);
            assert!((f64::from(eye) + head).abs() < 1e-6);
        }
    }
}
