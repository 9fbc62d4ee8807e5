//! `unils convert`: checkpoints of others into our own form.

use unils::model::{Blend, ConvertOptions, convert};

use super::Context;
use crate::args::Convert;
use crate::output::{self, Facts};

/// Converts and prints what was written.
pub fn run(arguments: &Convert, context: Context) -> anyhow::Result<()> {
    let blend = arguments.blend.clone().map(|with| Blend { with, share: arguments.share });
    let options = ConvertOptions { half: arguments.half, preset: arguments.preset.clone(), blend };
    context.reporter.note(format_args!("converting {}", arguments.source.display()));
    let report = convert(&arguments.source, &arguments.target, &options)?;
    if context.is_json {
        return output::print_json(&report);
    }
    let mut facts = Facts::default();
    facts
        .add("weights", format_args!("{} ({})", report.weights.display(), output::bytes(report.bytes)))
        .add("configuration", report.config_file.display())
        .add("preset", &report.config.preset)
        .add("tensors", report.report.loaded)
        .add("parameters", output::grouped(report.report.parameters as u64));
    for name in &report.report.unused {
        facts.add("left out", name);
    }
    output::print(&facts.text())
}
