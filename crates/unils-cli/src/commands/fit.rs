//! `unils fit`: the way between FLAME and a head with ARKit's shapes, solved once.

use serde::Serialize;
use unils::face::flame::Flame;
use unils::face::transfer::{Correspondence, FitOptions, Report, fit};
use unils::{Error, Result};
use unils_render::export::Actor;

use super::Context;
use crate::args::Fit;
use crate::output;

/// Mean error, as a share of the mean movement, from which on a fit is of little use.
const POOR: f64 = 0.6;

/// What was found, for `--json`.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    written: &'a std::path::Path,
    report: &'a Report,
}

/// Fits, prints the errors in millimetres, and writes.
pub fn run(arguments: &Fit, context: Context) -> anyhow::Result<()> {
    let output = &arguments.output;
    if output.extension().is_none_or(|ending| ending != "safetensors") {
        return Err(Error::argument(output.display(), "expected a name ending in .safetensors").into());
    }
    let flame = Flame::open(&arguments.flame)?;
    let head = head(&arguments.head, context)?;
    let mut options = FitOptions::default();
    if arguments.same_vertices {
        options.correspondence = Correspondence::SameOrder;
    }
    context.reporter.note("fitting");
    let transfer = fit(&flame, &head, &options)?;
    transfer.save(output)?;
    let poor =
        transfer.report().arkit_from_flame.iter().any(|errors| errors.mean_mm > POOR * errors.motion_mm);
    if poor {
        context.reporter.note(
            "note: the errors are of the size of the movement: are both models faces, upright, looking the same way?",
        );
    }
    if context.is_json {
        return output::print_json(&Summary { written: output, report: transfer.report() });
    }
    output::print(&format!("{}written {}\n", transfer.report(), output.display()))
}

fn head(name: &str, context: Context) -> Result<unils::face::BlendshapeRig> {
    let (actor, notices) = Actor::open(name)?;
    for notice in notices {
        context.reporter.note(format_args!("note: {notice}"));
    }
    match actor {
        Actor::Rig(rig) => Ok(*rig),
        Actor::Flame(_) => {
            Err(Error::argument(name, "is a FLAME model, expected a head with ARKit's shapes")
                .with_hint("FLAME comes first, then the head: a, b, or a .glb"))
        }
    }
}
