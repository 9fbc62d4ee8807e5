//! `unils evidence`: what a model does on voices that it never heard.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::Path;

use serde::Serialize;
use unils::audio::{Conversation, ConversationOptions};
use unils::file::write_whole;
use unils::model::SHIPPED;
use unils::{Error, Result};
use unils_train::data::{View, open_store};
use unils_train::evidence::{Choice, Figures, Heard, of_corpus, of_recording};

use super::{Context, animate, limit_threads};
use crate::args::Evidence;
use crate::interrupt;
use crate::output;
use crate::progress::Unit;

/// Everything that was measured.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    /// Latency from sound to motion by the model's windows, milliseconds.
    latency_ms: f64,
    /// Figures of the model and of the truth on a corpus.
    #[serde(skip_serializing_if = "Option::is_none")]
    corpus: Option<[Figures; 2]>,
    /// Means over all recordings, as they are, in noise and with the partner's voice in the own microphone.
    #[serde(skip_serializing_if = "Option::is_none")]
    recordings: Option<[Figures; 3]>,
    /// Each recording's, by name.
    single: BTreeMap<String, [Figures; 3]>,
    noise_db: f64,
    leak_db: f64,
}

pub fn run(arguments: &Evidence, context: Context) -> anyhow::Result<()> {
    if arguments.data.is_none() && arguments.talk.is_empty() {
        let error = Error::argument("evidence", "nothing to measure on");
        return Err(error.with_hint("name a corpus with --data, or recordings with --talk").into());
    }
    for path in &arguments.outputs {
        check_ending(path)?;
    }
    limit_threads(&arguments.compute)?;
    let files = animate::locate(&arguments.model)?;
    let model = animate::open(files.as_ref(), arguments.compute.device)?;
    let corpus = arguments.data.as_ref().map(|path| {
        let store = open_store(path, None, View::Dyad)?;
        let mut meter = context.reporter.meter("conversations", None, Unit::Recordings);
        let Evidence { split, limit, .. } = *arguments;
        let choice = Choice { split, speakers: &arguments.speakers, limit };
        of_corpus(&model, store.as_ref(), &choice, &mut |done, _| {
            meter.set(done as u64);
            watch()
        })
    });
    let corpus = corpus.transpose()?;
    let mut means = <[Figures; 3]>::default();
    let mut single = BTreeMap::new();
    let mut meter = context.reporter.meter("recordings", Some(arguments.talk.len() as u64), Unit::Recordings);
    for (done, talk) in arguments.talk.iter().enumerate() {
        meter.set(done as u64);
        if watch().is_break() {
            return Err(Error::Interrupted.into());
        }
        let voices = read(talk)?;
        let ways = [Heard::Plainly, Heard::InNoise(arguments.noise), Heard::WithPartner(arguments.leak)];
        let [clean, noisy, leaking] = ways.map(|heard| of_recording(&model, &voices, heard, 0));
        let measured = [clean?, noisy?, leaking?];
        means.iter_mut().zip(&measured).for_each(|(mean, figures)| mean.absorb(figures));
        single.insert(talk.clone(), measured);
    }
    let timing = unils::session::Timing::of(&model);
    let frames = timing.window_frames + timing.look_ahead_frames;
    let report = Report {
        model: files.map_or_else(|| SHIPPED.to_owned(), |files| files.checkpoint.display().to_string()),
        latency_ms: frames as f64 / unils::motion::FPS * 1000.0,
        corpus,
        recordings: (!single.is_empty()).then_some(means),
        single,
        noise_db: arguments.noise,
        leak_db: arguments.leak,
    };
    for path in &arguments.outputs {
        let text = match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => serde_json::to_string_pretty(&report)? + "\n",
            _ => markdown(&report)?,
        };
        write_whole(path, text.as_bytes())?;
    }
    if context.is_json { output::print_json(&report) } else { output::print(&markdown(&report)?) }
}

fn watch() -> ControlFlow<()> {
    if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

fn check_ending(path: &Path) -> Result<()> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("md" | "json") => Ok(()),
        _ => Err(Error::argument(path.display(), "expected a name ending in .md or .json")),
    }
}

/// Both voices of a recording at 16 kHz.
fn read(talk: &str) -> Result<[Vec<f32>; 2]> {
    let paths: Vec<&str> = talk.split(',').collect();
    let mut conversation = Conversation::open(&paths, &ConversationOptions::default())?;
    let mut voices = [Vec::new(), Vec::new()];
    while let Some(part) = conversation.read(1 << 16)? {
        for (voice, track) in voices.iter_mut().zip(&part.tracks) {
            voice.extend_from_slice(&track[..part.valid]);
        }
    }
    Ok(voices)
}

fn markdown(report: &Report) -> anyhow::Result<String> {
    let mut text = format!("Model: {}; {:.0} ms from sound to motion.\n", report.model, report.latency_ms);
    if let Some([ours, truth]) = &report.corpus {
        table(&mut text, "on conversations with true motion", &[("model", ours), ("truth", truth)])?;
    }
    let noise = format!("noise at {} dB", report.noise_db);
    let leak = format!("partner at {} dB", report.leak_db);
    let mut three = |name: &str, plainly, [clean, noisy, leaking]: &[Figures; 3]| {
        table(&mut text, name, &[(plainly, clean), (&noise, noisy), (&leak, leaking)])
    };
    if let Some(means) = &report.recordings {
        three("on real recordings, mean", "as they are", means)?;
    }
    for (name, figures) in &report.single {
        three(name, "as it is", figures)?;
    }
    Ok(text)
}

/// Figures side by side, those that the first column has.
fn table(text: &mut String, name: &str, columns: &[(&str, &Figures)]) -> anyhow::Result<()> {
    let heads: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
    writeln!(text, "\n| {name} | {} |\n|---|{}", heads.join(" | "), "---|".repeat(heads.len()))?;
    let Some((_, first)) = columns.first() else {
        return Ok(());
    };
    for (name, _) in first.entries() {
        let value = |figures: &Figures| {
            let mean = figures.entries().find(|(other, _)| *other == name).and_then(|(_, mean)| mean);
            mean.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
        };
        let values: Vec<String> = columns.iter().map(|(_, figures)| value(figures)).collect();
        writeln!(text, "| {name} | {} |", values.join(" | "))?;
    }
    Ok(())
}
