//! What faces do beyond the rules, so that a codec learns faces and not rules.
//!
//! Rule-made motion lies in few directions: a codec that saw nothing else reconstructs captures of people badly. So
//! * every person has gains and offsets of their own on all channels ([`Range`]);
//! * every face makes small movements that no rule asks for ([`write()`]): single channels and pairs, seldom, of any length,
//!   those of the jaw and of rounding only in passages;
//! * some recordings are passages of range of motion ([`passage`]): all channels alone and in random combinations, through
//!   their whole range, as in a capture session. They have no audio, so that only stages that learn motion alone see them.

use unils::motion::{FPS, Group, Space};

use super::curve::{Hold, frame_time, wander};
use super::sheet::Sheet;
use crate::dice::Dice;

/// A person's gains and offsets.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// Factor of each of the 55 channels.
    pub gains: Vec<f64>,
    /// What is added to each.
    pub offsets: Vec<f64>,
    /// Movements a minute that no rule asks for.
    pub events_per_minute: f64,
}

impl Range {
    /// Somebody's.
    pub fn draw(dice: &mut Dice) -> Self {
        let mut gains = Vec::new();
        let mut offsets = Vec::new();
        // The lips' closure goes with the jaw: what the rules make of both must stay together.
        let [jaw, close] = ["jawOpen", "mouthClose"].map(|name| Space::Arkit55.index(name));
        for (index, channel) in Space::Arkit55.channels().iter().enumerate() {
            let (spread, offset) = match channel.group {
                Group::Head => (0.0, 0.0),
                Group::Eyes => (0.05, 0.0),
                Group::Lids => (0.0, 0.03),
                Group::Jaw | Group::Tongue => (0.12, 0.01),
                _ => (0.25, 0.035),
            };
            // What shapes sounds differs less.
            let shapes =
                ["mouthPucker", "mouthFunnel", "mouthStretch", "mouthUpperUp", "mouthLowerDown", "mouthRoll"];
            let spread =
                if shapes.iter().any(|shape| channel.name.starts_with(shape)) { 0.12 } else { spread };
            let tied = Some(index) == jaw || Some(index) == close || channel.name.starts_with("eyeBlink");
            gains.push(if tied { 1.0 } else { dice.log_normal(1.0, spread).clamp(0.5, 1.8) });
            let rests_off = dice.chance(0.35);
            let rest = (offset * dice.normal(0.0, 1.0)).abs();
            offsets.push(if rests_off && !tied { rest.min(0.1) } else { 0.0 });
        }
        Self { gains, offsets, events_per_minute: dice.log_normal(5.0, 0.5).clamp(1.5, 14.0) }
    }
}

/// Channels of an event: one, or both sides of a pair; without jaw, gaze, lids, closure, rounding, tongue and head.
fn free_channels() -> Vec<Vec<usize>> {
    let bound = ["mouthClose", "mouthFunnel", "mouthPucker", "mouthLowerDown", "mouthUpperUp", "cheekPuff"];
    groups(|name, group| {
        matches!(group, Group::Mouth | Group::Brows | Group::CheeksNose | Group::Lids)
            && !name.starts_with("eyeBlink")
            && !bound.iter().any(|bound| name.starts_with(bound))
    })
}

/// Channels by twos where they are the two sides of a pair.
fn groups(wanted: impl Fn(&str, Group) -> bool) -> Vec<Vec<usize>> {
    let channels = Space::Arkit55.channels();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, channel) in
        channels.iter().enumerate().filter(|(_, channel)| wanted(channel.name, channel.group))
    {
        let pair =
            channel.name.strip_suffix("Right").and_then(|stem| Space::Arkit55.index(&format!("{stem}Left")));
        match groups.iter_mut().find(|group| pair.is_some_and(|pair| group.as_slice() == [pair])) {
            Some(group) if channel.name != "jawRight" && channel.name != "mouthRight" => group.push(index),
            _ => groups.push(vec![index]),
        }
    }
    groups
}

/// Gains, offsets and free movements on top of the rules.
pub fn write(sheet: &mut Sheet, range: &Range, dice: &mut Dice) {
    for frame in 0..sheet.frames() {
        for (channel, (gain, offset)) in range.gains.iter().zip(&range.offsets).enumerate() {
            let value = sheet.get(frame, channel);
            sheet.set(frame, channel, value * gain + offset);
        }
    }
    let free = free_channels();
    let seconds = sheet.frames() as f64 / FPS;
    let mut time = dice.exponential(60.0 / range.events_per_minute);
    while time < seconds {
        if let Some(group) = dice.pick(&free) {
            let both = group.len() == 1 || dice.chance(0.7);
            let only = dice.below(group.len());
            let channels = group.iter().enumerate().filter(|(at, _)| both || *at == only).map(|(_, &c)| c);
            let hold = Hold {
                start_s: time,
                rise_s: dice.log_normal(0.25, 0.4),
                hold_s: dice.exponential(0.5),
                fall_s: dice.log_normal(0.4, 0.4),
            };
            let size = dice.log_normal(0.16, 0.55).clamp(0.04, 0.6);
            for channel in channels {
                for frame in hold.frames(sheet.frames()) {
                    sheet.add(frame, channel, size * hold.at(frame_time(frame)));
                }
            }
        }
        time += dice.exponential(60.0 / range.events_per_minute);
    }
}

/// A passage of range of motion.
pub fn passage(frames: usize, dice: &mut Dice) -> Sheet {
    let mut sheet = Sheet::new(frames);
    let all = groups(|name, group| group != Group::Head && name != "mouthClose");
    let opposite = |channel: usize| {
        // Eyes do not look up and down, or in and out, at once.
        let name = Space::Arkit55.channels()[channel].name;
        [("Down", "Up"), ("Up", "Down"), ("In", "Out"), ("Out", "In")].into_iter().find_map(|(from, to)| {
            let rest = name.strip_prefix("eyeLook")?.strip_prefix(from)?;
            Space::Arkit55.index(&format!("eyeLook{to}{rest}"))
        })
    };
    let mut busy_until = vec![0.0; all.len()];
    let mut time = 0.3;
    while time < frames as f64 / FPS {
        let count = 1 + dice.weighted(&[0.4, 0.3, 0.2, 0.1]);
        for _ in 0..count {
            let at = dice.below(all.len());
            let hold = Hold {
                start_s: time + dice.range(0.0, 0.3),
                rise_s: dice.log_normal(0.3, 0.5).clamp(0.08, 1.0),
                hold_s: dice.exponential(0.4).min(2.0),
                fall_s: dice.log_normal(0.4, 0.5).clamp(0.1, 1.5),
            };
            if busy_until[at] > hold.start_s {
                continue;
            }
            busy_until[at] = hold.end_s();
            let size = dice.range(0.3, 1.0);
            for (side, &channel) in all[at].iter().enumerate() {
                let uneven = if side == 0 { 1.0 } else { dice.range(0.6, 1.0) };
                for frame in hold.frames(frames) {
                    let height = size * uneven * hold.at(frame_time(frame));
                    sheet.add(frame, channel, height);
                    if let Some(other) = opposite(channel) {
                        let value = sheet.get(frame, other);
                        sheet.set(frame, other, (value - height).max(0.0));
                    }
                }
            }
        }
        time += dice.range(0.4, 1.6);
    }
    // The lips close over the open jaw now and then, and the head turns all the while.
    let [jaw, close] = ["jawOpen", "mouthClose"].map(super::person::channel);
    let closing = wander(frames, 0.4, dice);
    for (frame, value) in closing.iter().enumerate() {
        let open = sheet.get(frame, jaw).min(1.0);
        sheet.set(frame, close, open * (0.6 * value).clamp(0.0, 1.0));
    }
    for (angle, size) in
        ["headYaw", "headPitch", "headRoll"].map(super::person::channel).into_iter().zip([0.22, 0.14, 0.1])
    {
        let turning = wander(frames, dice.range(0.35, 0.9), dice);
        turning.into_iter().enumerate().for_each(|(frame, value)| sheet.add(frame, angle, size * value));
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passages_move_everything() {
        let width = Space::Arkit55.width();
        let motion = passage(25 * 240, &mut Dice::new(1, 0, "passage")).into_motion();
        for (index, channel) in Space::Arkit55.channels().iter().enumerate() {
            let top = motion.iter().skip(index).step_by(width).copied().fold(f32::MIN, f32::max);
            let least = if channel.group == Group::Head { 0.15 } else { 0.35 };
            assert!(top > least, "{}: {top}", channel.name);
        }
    }

    #[test]
    fn ties_are_kept_and_events_come_at_their_rate() {
        let mut dice = Dice::new(1, 0, "range");
        let jaw = super::super::person::channel("jawOpen");
        let mut peaks = 0;
        for _ in 0..20 {
            let range = Range { events_per_minute: 6.0, offsets: vec![0.0; 55], ..Range::draw(&mut dice) };
            assert_eq!(range.gains[jaw], 1.0);
            let mut sheet = Sheet::new(25 * 60);
            write(&mut sheet, &range, &mut dice);
            assert!(sheet.curve(jaw).iter().all(|&value| value == 0.0));
            for group in free_channels() {
                // Of a pair often one side alone moves.
                let moving = |frame: usize| group.iter().any(|&channel| sheet.get(frame, channel) > 0.0);
                peaks += (1..sheet.frames()).filter(|&frame| !moving(frame - 1) && moving(frame)).count();
            }
        }
        assert!((80..150).contains(&peaks), "{peaks} in 20 minutes");
    }

    #[test]
    fn pairs_are_found() {
        let all = groups(|_, _| true);
        assert_eq!(all.iter().map(Vec::len).sum::<usize>(), 55);
        assert!(all.contains(&super::super::person::sides("mouthSmile").to_vec()));
        assert!(all.contains(&vec![super::super::person::channel("jawRight")]));
    }
}
