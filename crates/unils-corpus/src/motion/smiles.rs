//! Smiles: slow, with the cheeks.
//!
//! Smiles in conversation take half a second to form, last for a few and fade slower than they come (Schmidt, Cohn &
//! Tian 2003); felt ones raise the cheeks and narrow the eyes (Duchenne; Ekman, Davidson & Friesen 1990). They come on their
//! own, with greetings, and as a listener's answer; a partner's smile is sometimes returned.

use unils::motion::FPS;

use super::backchannels::{Answer, Gesture};
use super::curve::{Hold, frame_time};
use super::person::{Person, sides};
use super::sheet::Sheet;
use crate::dice::Dice;

/// A smile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Smile {
    /// Its course.
    pub hold: Hold,
    /// Its height, 0 to 1.
    pub size: f64,
    /// How much the cheeks go along, 0 to 1.
    pub cheeks: f64,
    /// Left minus right, a share.
    pub uneven: f64,
}

impl Smile {
    fn draw(start_s: f64, person: &Person, dice: &mut Dice) -> Self {
        let hold = Hold {
            start_s,
            rise_s: dice.range(0.35, 0.8),
            hold_s: dice.log_normal(1.3, 0.6).clamp(0.3, 6.0),
            fall_s: dice.range(0.6, 1.5),
        };
        let size = (person.smile_size * dice.log_normal(1.0, 0.3)).clamp(0.15, 0.95);
        Self { hold, size, cheeks: dice.range(0.3, 0.9), uneven: dice.normal_within(0.0, 0.06, 0.2) }
    }
}

/// Smiles that come on their own, and those that answer, in order.
pub fn plan(person: &Person, answers: &[Answer], seconds: f64, dice: &mut Dice) -> Vec<Smile> {
    let mut starts: Vec<f64> =
        answers.iter().filter(|a| a.gesture == Gesture::Smile).map(|answer| answer.time_s).collect();
    if dice.chance(0.35) {
        starts.push(dice.range(0.0, 2.0));
    }
    let mut time = dice.exponential(60.0 / person.smiles_per_minute);
    while time < seconds {
        starts.push(time);
        time += dice.exponential(60.0 / person.smiles_per_minute);
    }
    starts.sort_by(f64::total_cmp);
    starts.into_iter().map(|start_s| Smile::draw(start_s, person, dice)).collect()
}

/// The partner's smiles that are returned, half a second to a second later.
pub fn returned(partner: &[Smile], person: &Person, dice: &mut Dice) -> Vec<Smile> {
    let again = partner.iter().filter(|smile| smile.size > 0.35 && dice.chance(0.4));
    let starts: Vec<f64> = again.map(|smile| smile.hold.start_s).collect();
    starts.into_iter().map(|start_s| Smile::draw(start_s + dice.range(0.5, 1.2), person, dice)).collect()
}

/// Writes smiles and the smile that somebody has at rest.
pub fn write(sheet: &mut Sheet, person: &Person, smiles: &[Smile]) {
    let [mouth, dimples, cheeks, squints] =
        ["mouthSmile", "mouthDimple", "cheekSquint", "eyeSquint"].map(sides);
    let mut heights = vec![[0.0_f64; 2]; sheet.frames()];
    let mut raised = vec![0.0_f64; sheet.frames()];
    for smile in smiles {
        for frame in smile.hold.frames(sheet.frames()) {
            let height = smile.size * smile.hold.at(frame_time(frame));
            for (side, sign) in [(0, 1.0), (1, -1.0)] {
                // Of smiles that meet, the larger one shows.
                heights[frame][side] = heights[frame][side].max(height * (1.0 + sign * smile.uneven));
            }
            raised[frame] = raised[frame].max(smile.cheeks * height);
        }
    }
    for frame in 0..sheet.frames() {
        for side in 0..2 {
            let smile = person.smile_rest + heights[frame][side];
            sheet.add(frame, mouth[side], smile);
            sheet.add(frame, dimples[side], 0.15 * heights[frame][side]);
            sheet.add(frame, cheeks[side], 0.75 * raised[frame]);
            sheet.add(frame, squints[side], 0.35 * raised[frame]);
        }
    }
}

/// Share of the time in which somebody smiles by a quarter or more.
pub fn share(smiles: &[Smile], frames: usize) -> f64 {
    let smiling = |frame: &usize| smiles.iter().any(|s| s.size * s.hold.at(*frame as f64 / FPS) > 0.25);
    (0..frames).filter(smiling).count() as f64 / frames.max(1) as f64
}

#[cfg(test)]
mod tests {
    use unils::metrics::gestures::{RiseOptions, find_rises};

    use super::*;

    #[test]
    fn smiles_form_slowly_and_answer_in_time() {
        let mut dice = Dice::new(9, 0, "smiles");
        let person = Person { smiles_per_minute: 0.01, smile_size: 0.5, ..Person::draw(&mut dice) };
        let answers: Vec<Answer> =
            (0..30).map(|k| Answer { time_s: 5.0 + 10.0 * f64::from(k), gesture: Gesture::Smile }).collect();
        let smiles = plan(&person, &answers, 300.0, &mut dice);
        let mut sheet = Sheet::new(25 * 310);
        write(&mut sheet, &person, &smiles);
        let curve = sheet.curve(sides("mouthSmile")[0]);
        let rises = find_rises(&curve, FPS, &RiseOptions::default()).unwrap();
        let hits =
            answers.iter().filter(|a| rises.iter().any(|r| (r.start_s - a.time_s).abs() < 0.3)).count();
        assert!(hits >= 26, "{hits}, {} rises", rises.len());
        let steepest = curve.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 0.2, "{steepest} a frame");
        assert!(sheet.curve(sides("cheekSquint")[1]).iter().any(|&cheek| cheek > 0.15));
    }

    #[test]
    fn people_smile_some_of_the_time() {
        let mut dice = Dice::new(9, 1, "smiles");
        let shares: Vec<f64> = (0..60)
            .map(|_| {
                let person = Person::draw(&mut dice);
                share(&plan(&person, &[], 90.0, &mut dice), 25 * 90)
            })
            .collect();
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        assert!((0.03..0.2).contains(&mean), "{mean}");
    }
}
