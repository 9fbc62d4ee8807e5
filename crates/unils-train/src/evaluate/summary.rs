//! From the recordings' scores to a report: means with intervals, and what only all of them together give.

use std::collections::BTreeMap;

use unils::metrics::bootstrap::{BootstrapOptions, bootstrap};
use unils::metrics::frechet::{Recording, pooled, pooled_interval};
use unils::metrics::report::Report;
use unils::metrics::responsiveness::{
    Exchange, Gesture, ResponseOptions, Responsiveness, responsiveness, responsiveness_against, swap_partners,
};
use unils::{Error, Result};

use super::score::{Lack, Scored};

/// Draws of the interval of a pooled Fréchet distance: each takes some tens of milliseconds.
const FRECHET_DRAWS: usize = 200;

/// Values whose mean is set beside the true one's, as a ratio.
const RATIOS: [(&str, &str); 5] = [
    ("lips spread, speaking", "lips spread / true"),
    ("head spread, rad", "head spread / true"),
    ("head power > 3.5 Hz", "head power > 3.5 Hz / true"),
    ("blinks/min", "blinks / true"),
    ("nods/min", "nods / true"),
];

/// The report of all recordings, in their order.
pub(super) fn report(
    system: String,
    data: String,
    settings: BTreeMap<String, String>,
    scored: &[Scored],
    options: &BootstrapOptions,
) -> Result<Report> {
    let mut report = Report::new(system, data);
    report.settings = settings;
    for scored in scored {
        let values = scored.values.iter().map(|(name, value)| (name.as_str(), *value));
        report.add(&scored.name, values)?;
    }
    report.summarise(options)?;
    let draws = BootstrapOptions { resamples: FRECHET_DRAWS.min(options.resamples), ..*options };
    let expression: Vec<Recording> = scored.iter().map(|scored| scored.expression.clone()).collect();
    let head: Vec<Recording> = scored.iter().map(|scored| scored.head.clone()).collect();
    for (name, recordings) in [("F-FID pooled", expression), ("P-FID pooled", head)] {
        report.add_overall(name, pooled(&recordings)?, pooled_interval(&recordings, &draws)?)?;
    }
    for (name, ratio) in RATIOS {
        add_ratio(&mut report, scored, name, ratio, options)?;
    }
    for (gesture, name) in [(Gesture::Nod, "nods"), (Gesture::BrowRaise, "brow raises")] {
        add_answers(&mut report, scored, gesture, name, options)?;
    }
    Ok(report)
}

/// The ratio of the mean of a value over that of the true motion, over recordings that have both.
fn add_ratio(
    report: &mut Report,
    scored: &[Scored],
    name: &str,
    ratio: &str,
    options: &BootstrapOptions,
) -> Result<()> {
    let truth = format!("true {name}");
    let value = |scored: &Scored, name: &str| {
        scored.values.iter().find(|(known, _)| known == name).and_then(|(_, value)| *value)
    };
    let pairs = scored.iter().filter_map(|scored| value(scored, name).zip(value(scored, &truth)));
    let pairs: Vec<(f64, f64)> = pairs.collect();
    let of = |drawn: &[usize]| {
        let (made, real) = drawn.iter().fold((0.0, 0.0), |(a, b), &i| (a + pairs[i].0, b + pairs[i].1));
        (real > 0.0).then(|| made / real)
    };
    let all: Vec<usize> = (0..pairs.len()).collect();
    if let Some(value) = of(&all) {
        let interval = bootstrap(pairs.len(), options, of)?;
        report.add_overall(ratio, value, interval)?;
    }
    Ok(())
}

/// Answers to cues: the predicted motion's against two shuffled partners, and the true motion's.
fn add_answers(
    report: &mut Report,
    scored: &[Scored],
    gesture: Gesture,
    name: &str,
    options: &BootstrapOptions,
) -> Result<()> {
    let answers = scored.iter().flat_map(|scored| &scored.answers).filter(|a| a.gesture == gesture);
    let (made, real): (Vec<Exchange>, Vec<Exchange>) =
        answers.map(|answers| (answers.predicted.clone(), answers.truth.clone())).unzip();
    if made.is_empty() {
        return Ok(());
    }
    let options = ResponseOptions { bootstrap: *options, ..ResponseOptions::default() };
    for (prefix, exchanges) in [("", &made), ("true ", &real)] {
        let Responsiveness { rate, shuffled_rate, ratio, interval, p_value, .. } =
            responsiveness(exchanges, &options)?;
        let mut add = |what: &str, value: Option<f64>, interval| match value {
            Some(value) => report.add_overall(&format!("{prefix}{name} {what}"), value, interval),
            None => Ok(()),
        };
        add("after cues", rate, None)?;
        add("after shifted cues", shuffled_rate, None)?;
        add("ratio, shifted", ratio, interval)?;
        add("ratio, shifted, p", p_value.filter(|_| ratio.is_some()), None)?;
        if exchanges.len() > 1 {
            let swapped = responsiveness_against(exchanges, &swap_partners(exchanges)?, &options)?;
            add("ratio, swapped", swapped.ratio, swapped.interval)?;
        }
    }
    Ok(())
}

/// What recordings lacked, for people, with how many of them.
pub(super) fn notices(scored: &[Scored]) -> Vec<String> {
    let mut counts: BTreeMap<Lack, usize> = BTreeMap::new();
    scored.iter().flat_map(|scored| &scored.lacks).for_each(|&lack| *counts.entry(lack).or_default() += 1);
    let all = scored.len();
    let of = |count: usize| if count == all { "all".to_owned() } else { format!("{count} of {all}") };
    counts.into_iter().map(|(lack, count)| format!("{} recordings are {}", of(count), lack.text())).collect()
}

/// Where the speech masks came from.
pub(super) fn mask_source(scored: &[Scored]) -> String {
    let masked = scored.iter().filter(|scored| !scored.lacks.contains(&Lack::SpeechMask)).count();
    match scored.iter().filter(|scored| scored.mask_from_voice).count() {
        _ if masked == 0 => "none".to_owned(),
        0 => "of the data".to_owned(),
        derived if derived == scored.len() => "from the voices".to_owned(),
        derived => format!("of the data; from the voices in {derived} recordings"),
    }
}

/// How nods after cues differ between two runs over the same recordings, such as a system that heard the true partner and
/// the same one that heard a shuffled one.
///
/// # Errors
/// As [`responsiveness_against`].
pub(super) fn between(
    heard: &[Scored],
    shuffled: &[Scored],
    gesture: Gesture,
    options: &ResponseOptions,
) -> Result<Responsiveness> {
    let pick = |scored: &[Scored]| -> Vec<Exchange> {
        let answers = scored.iter().flat_map(|scored| &scored.answers).filter(|a| a.gesture == gesture);
        answers.map(|answers| answers.predicted.clone()).collect()
    };
    let names = |scored: &[Scored]| scored.iter().map(|scored| scored.name.clone()).collect::<Vec<_>>();
    if names(heard) != names(shuffled) {
        return Err(Error::argument("evaluations", "are not of the same recordings"));
    }
    responsiveness_against(&pick(heard), &pick(shuffled), options)
}
