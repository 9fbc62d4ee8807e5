//! How values of the command line are read: what is expected is said of what is not.

use unils::device::DeviceKind;
use unils_train::data::Split;

pub(super) fn device(text: &str) -> Result<DeviceKind, String> {
    text.parse().map_err(|error: unils::Error| error.to_string())
}

pub(super) fn channel_pair(text: &str) -> Result<[usize; 2], String> {
    let parse = |part: &str| part.trim().parse().ok().filter(|&channel: &usize| channel < 65_536);
    let pair = text.split_once(',').and_then(|(own, partner)| Some([parse(own)?, parse(partner)?]));
    pair.ok_or_else(|| "expected two channels counted from 0, like 0,1".to_owned())
}

pub(super) fn number(text: &str, expected: &str, is_allowed: impl Fn(f64) -> bool) -> Result<f64, String> {
    let number = text.parse().ok().filter(|&number: &f64| number.is_finite() && is_allowed(number));
    number.ok_or_else(|| format!("expected {expected}"))
}

/// A number within bounds.
fn within(text: &str, least: f64, most: f64) -> Result<f32, String> {
    number(text, &format!("a number from {least} to {most}"), |x| (least..=most).contains(&x))
        .map(|x| x as f32)
}

pub(super) fn guidance(text: &str) -> Result<f32, String> {
    within(text, 0.0, 100.0)
}

pub(super) fn softness(text: &str) -> Result<f32, String> {
    within(text, 0.0, 10.0)
}

pub(super) fn twice(text: &str) -> Result<f32, String> {
    within(text, 0.0, 2.0)
}

pub(super) fn part(text: &str) -> Result<f32, String> {
    within(text, 0.0, 1.0)
}

pub(super) fn direction(text: &str) -> Result<[f32; 2], String> {
    let expected = "degrees to the left (-45 to 45) and up (-30 to 30), like 20,0";
    let (left, up) = text.split_once(',').ok_or_else(|| format!("expected {expected}"))?;
    let angle = |text: &str, most: f64| number(text.trim(), expected, |x| x.abs() <= most).map(|x| x as f32);
    Ok([angle(left, 45.0)?, angle(up, 30.0)?])
}

pub(super) fn positive(text: &str) -> Result<f32, String> {
    within(text, 0.001, 1000.0)
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    number(text, "a number above 0, at most 1", |x| x > 0.0 && x <= 1.0)
}

pub(super) fn thread_count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=1024).contains(count));
    count.ok_or_else(|| "expected a number from 1 to 1024".to_owned())
}

/// `owner/name`, of the characters that the hub allows.
pub(super) fn repository(text: &str) -> Result<String, String> {
    let is_name = |part: &str| {
        let is_plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        !part.is_empty() && is_plain && !part.starts_with('.')
    };
    match text.split_once('/') {
        Some((owner, name)) if is_name(owner) && is_name(name) => Ok(text.to_owned()),
        _ => Err("expected owner/name".to_owned()),
    }
}

pub(super) fn revision(text: &str) -> Result<String, String> {
    let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
    if !text.is_empty() && is_plain && !text.contains("..") {
        return Ok(text.to_owned());
    }
    Err("expected a branch, tag or commit".to_owned())
}

pub(super) fn split(text: &str) -> Result<Split, String> {
    text.parse().map_err(|_| "expected train, val or test".to_owned())
}
