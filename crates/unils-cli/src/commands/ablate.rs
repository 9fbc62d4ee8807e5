//! `unils ablate`: the variants of the recipe, trained, scored and set side by side.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;
use unils::file::write_whole;
use unils::generator::Sampling;
use unils::metrics::paper::{self, METRICS};
use unils::metrics::report::{Better, Report, comparison};
use unils::{Error, Result};
use unils_render::plot::{Chart, ScoreRow, Scores};
use unils_train::ablate::{Ablated, Ablation, Difference, Happening, Variant};
use unils_train::evaluate::{People, Protocol};
use unils_train::recipe::{Recipe, Stage, caveat};
use unils_train::run::{DataConfig, find_checkpoint};
use unils_train::trainer::TrainerOptions;

use super::train::{Watch, model_and_recipe};
use super::{Context, limit_threads};
use crate::args::Ablate;
use crate::interrupt::{self, Graceful};
use crate::output;
use crate::progress::{Meter, Unit};

/// What the paper lacks, in the order of the second table.
const OTHERS: [(&str, Better); 12] = [
    ("nods ratio, shifted", Better::Higher),
    ("nods ratio, swapped", Better::Higher),
    ("rPCC head", Better::Higher),
    ("lips r voice", Better::Higher),
    ("lips offset, frames", Better::Neither),
    ("lips open in silence", Better::Lower),
    ("lips spread / true", Better::Neither),
    ("blinks / true", Better::Neither),
    ("head spread / true", Better::Neither),
    ("head power > 3.5 Hz / true", Better::Neither),
    ("frozen 5 s stretches", Better::Neither),
    ("seam", Better::Neither),
];

/// The result, for `--json`.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    variants: &'a [Report],
    bounds: &'a [Report],
    /// The full system minus each other.
    differences: &'a [Difference],
    written: Vec<PathBuf>,
}

/// Trains, scores, writes the table.
pub fn run(arguments: &Ablate, context: Context) -> anyhow::Result<()> {
    limit_threads(&arguments.compute)?;
    let ablation = ablation(arguments)?;
    let Recipe { audio_free, dual_track, .. } = &ablation.recipe;
    if let Some(caveat) = [audio_free, dual_track].iter().find_map(|recipe| caveat(&ablation.model, recipe)) {
        context.reporter.note(format_args!("note: {caveat}"));
    }
    let _graceful = Graceful::begin();
    let mut watch = Progress { context, training: None, scoring: None, folder: arguments.out.clone() };
    let done = ablation.run(&mut |happening| watch.see(happening));
    drop(watch);
    if matches!(done, Err(Error::Interrupted)) {
        context.reporter.note("what is done is kept: repeat the command to go on");
    }
    let ablated = done?;
    let differences = ablated.differences(&ablation.protocol)?;
    let written = write(arguments, &ablation, &ablated, &differences)?;
    if context.is_json {
        let Ablated { variants, bounds } = &ablated;
        return output::print_json(&Summary { variants, bounds, differences: &differences, written });
    }
    output::print(&table(&ablated))?;
    for path in &written {
        context.reporter.note(format_args!("wrote {}", path.display()));
    }
    Ok(())
}

fn ablation(arguments: &Ablate) -> anyhow::Result<Ablation> {
    let (model, mut recipe) = model_and_recipe(&arguments.preset, &arguments.files)?;
    let sampling = as_learnt(model.sampling);
    let stages = [
        (Stage::Codec, &mut recipe.codec),
        (Stage::AudioFree, &mut recipe.audio_free),
        (Stage::DualTrack, &mut recipe.dual_track),
    ];
    for (stage, numbers) in stages {
        for setting in &arguments.settings {
            let of_one = Stage::ALL
                .into_iter()
                .find_map(|named| Some((named, setting.strip_prefix(named.name())?.strip_prefix('.')?)));
            let (of, setting) = of_one.unwrap_or((stage, setting));
            if of == stage {
                *numbers = numbers.with(setting)?;
            }
        }
    }
    let variants = if arguments.only.is_empty() {
        Variant::ALL.to_vec()
    } else {
        arguments.only.iter().map(|&name| name.into()).collect()
    };
    let absolute =
        |path: &PathBuf| std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()));
    let encoder = arguments.encoder.as_deref().map(find_checkpoint).transpose()?;
    let release = Protocol::release();
    Ok(Ablation {
        folder: absolute(&arguments.out)?,
        model,
        recipe,
        data: DataConfig {
            path: absolute(&arguments.data)?,
            metadata: arguments.metadata.as_ref().map(absolute).transpose()?,
        },
        codec: arguments.codec.as_ref().map(absolute).transpose()?,
        encoder: encoder.as_ref().map(absolute).transpose()?,
        flame: arguments.flame.as_ref().map(absolute).transpose()?,
        seed: arguments.seed,
        variants,
        protocol: Protocol {
            limit: arguments.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            people: if arguments.both { People::All } else { release.people },
            sampling,
            ..release
        },
        options: TrainerOptions {
            device: arguments.compute.device,
            workers: arguments.workers,
            ..TrainerOptions::default()
        },
    })
}

/// How all variants draw bits: as the release, but for top-p. What else a preset tunes, it tunes on the full recipe, which
/// that would favour.
fn as_learnt(own: Sampling) -> Sampling {
    Sampling { top_p: own.top_p, greedy: own.greedy, ..Sampling::default() }
}

/// Shows what is going on.
struct Progress {
    context: Context,
    training: Option<(String, Watch)>,
    scoring: Option<(String, Meter)>,
    folder: PathBuf,
}

impl Progress {
    fn see(&mut self, happening: Happening<'_>) -> ControlFlow<()> {
        match happening {
            Happening::Training(name, _, steps) => {
                let meter = self.context.reporter.meter(&format!("train {name}"), Some(steps), Unit::Steps);
                self.training = Some((name.to_owned(), Watch::new(meter, self.folder.join(name))));
            }
            Happening::Step(_, event) => {
                if let Some((_, watch)) = &mut self.training {
                    return watch.see(event);
                }
            }
            Happening::Scoring(name, progress) => {
                self.training = None;
                if self.scoring.as_ref().is_none_or(|(there, _)| there != name) {
                    let all = Some(progress.recordings as u64);
                    let meter = self.context.reporter.meter(&format!("score {name}"), all, Unit::Recordings);
                    self.scoring = Some((name.to_owned(), meter));
                }
                if let Some((_, meter)) = &mut self.scoring {
                    meter.set(progress.recordings_done as u64);
                }
            }
        }
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The paper's scores of all systems, with the paper's own rows below.
fn table(ablated: &Ablated) -> String {
    let metrics = METRICS.map(|metric| (metric, Better::Lower));
    comparison(&ablated.variants, &ablated.bounds, &metrics, paper::Table::Ablation.rows())
}

/// Writes `table.md`, `scores.svg` and `table.html`.
fn write(
    arguments: &Ablate,
    ablation: &Ablation,
    ablated: &Ablated,
    differences: &[Difference],
) -> Result<Vec<PathBuf>> {
    let at = |name: &str| arguments.out.join(name);
    let chart = chart(ablated);
    chart.write(at("scores.svg"))?;
    let markdown = markdown(arguments, ablation, ablated, differences);
    write_whole(at("table.md"), markdown.as_bytes())?;
    write_whole(at("table.html"), html(&markdown, &chart.svg()).as_bytes())?;
    Ok(vec![at("table.md"), at("table.html"), at("scores.svg")])
}

fn markdown(
    arguments: &Ablate,
    ablation: &Ablation,
    ablated: &Ablated,
    differences: &[Difference],
) -> String {
    let mut text = format!("# Ablation of the recipe: {}\n\n", arguments.preset);
    let mut line = |line: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    };
    line("Lower is better; the best variant of each column is bold. Below the variants: the codec's reconstruction of the".into());
    line("truth, which no generator on it surpasses, and a face that stands still. Rows of the paper are for reading: their".into());
    line("data, face and sizes are others, so that only directions compare.\n".into());
    line(table(ablated));
    line("## What the paper does not measure\n".into());
    line(comparison(&ablated.variants, &ablated.bounds, &OTHERS, &[]));
    if !differences.is_empty() {
        line("## The full recipe against each variant\n".into());
        line("Full minus other, with the interval of a bootstrap over recordings. Below 0 the full recipe is better; where".into());
        line("the interval holds 0, the recordings do not tell.\n".into());
        line("| against | score | difference | interval | full is lower in |".into());
        line("| --- | --- | --: | --: | --: |".into());
        for Difference { system, metric, paired } in differences {
            let interval = paired.difference;
            line(format!(
                "| {system} | {metric} | {:.4} | {:.4} to {:.4} | {:.0} % of draws |",
                interval.estimate,
                interval.low,
                interval.high,
                100.0 * paired.share_lower
            ));
        }
    }
    let settings = ablated.variants.first().map(|report| report.settings.clone()).unwrap_or_default();
    line(format!("\n## Settings\n\n* data: {}", arguments.data.display()));
    for (what, file) in [("model", &arguments.files.model), ("recipe", &arguments.files.recipe)] {
        if let Some(file) = file {
            line(format!("* {what}: {}, not the preset's", file.display()));
        }
    }
    let Recipe { codec, audio_free, dual_track, .. } = &ablation.recipe;
    line(format!(
        "* steps: codec {}, audio_free {}, dual_track {} (changed by --set: {})",
        codec.steps,
        audio_free.steps,
        dual_track.steps,
        if arguments.settings.is_empty() { "nothing".to_owned() } else { arguments.settings.join(", ") }
    ));
    line(format!("* seed: {}", arguments.seed));
    for (name, value) in settings.iter().filter(|(name, _)| !["system", "weights"].contains(&name.as_str())) {
        line(format!("* {name}: {value}"));
    }
    text
}

/// The paper's scores with their intervals.
fn chart(ablated: &Ablated) -> Chart {
    let mut chart = Chart::new("Scores of the variants with their intervals (lower is better)");
    for metric in METRICS {
        let row = |report: &Report| {
            let interval = report.means.iter().chain(&report.overall).find(|score| score.metric == metric);
            let interval =
                interval.and_then(|score| score.interval).map(|interval| (interval.low, interval.high));
            ScoreRow { name: report.system.clone(), value: report.mean(metric), interval }
        };
        let rows: Vec<_> = ablated.variants.iter().chain(&ablated.bounds).map(row).collect();
        if rows.iter().any(|row| row.value.is_some()) {
            chart = chart.with_scores(Scores { caption: metric.to_owned(), rows });
        }
    }
    chart
}

/// The Markdown as a page of its own, with the picture inside.
fn html(markdown: &str, svg: &str) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let cell = |text: &str| {
        let text = escape(text.trim());
        match text.strip_prefix("**").and_then(|text| text.strip_suffix("**")) {
            Some(best) => format!("<b>{best}</b>"),
            None => text,
        }
    };
    let mut body = String::new();
    let mut is_table = false;
    for line in markdown.lines() {
        let is_row = line.starts_with('|');
        if is_table && !is_row {
            body += "</table>\n";
        }
        match line {
            _ if is_row && line.starts_with("| ---") => {}
            _ if is_row => {
                let tag = if is_table { "td" } else { "th" };
                let cells =
                    line.trim_matches('|').split('|').map(|text| format!("<{tag}>{}</{tag}>", cell(text)));
                let open = if is_table { "" } else { "<table>\n" };
                body += &format!("{open}<tr>{}</tr>\n", cells.collect::<String>());
            }
            "" => {}
            _ if line.starts_with("# ") => body += &format!("<h1>{}</h1>\n", escape(&line[2..])),
            _ if line.starts_with("## ") => body += &format!("<h2>{}</h2>\n", escape(&line[3..])),
            _ if line.starts_with("* ") => body += &format!("<div>{}</div>\n", escape(&line[2..])),
            _ => body += &format!("<span>{}</span>\n", escape(line)),
        }
        is_table = is_row;
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Ablation</title>\n<style>\n\
         body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}\n\
         table {{ border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }}\n\
         td, th {{ padding: .2rem .6rem; border-bottom: 1px solid #ddd; text-align: right }}\n\
         td:first-child, th:first-child {{ text-align: left }}\n svg {{ max-width: 100%; height: auto }}\n</style>\n\
         {body}\n{svg}</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_table_and_no_foreign_tags() {
        let page = html("# A\n\n| a | b |\n| --- | --: |\n| <x> | **1** |\n\ntext\n* point\n", "<svg/>");
        assert!(page.contains("<h1>A</h1>") && page.contains("<th>a</th><th>b</th>"));
        assert!(page.contains("<td>&lt;x&gt;</td><td><b>1</b></td>"), "{page}");
        assert!(page.contains("</table>\n<span>text</span>") && page.contains("<div>point</div>"));
    }
}
