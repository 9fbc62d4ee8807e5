//! The commands, a module each.

mod ablate;
mod animate;
mod bench;
mod bench_live;
mod beside;
mod completions;
mod convert;
mod corpus;
mod data;
mod doctor;
mod evaluate;
mod evidence;
mod faces;
mod fetch;
mod fit;
mod head_facts;
mod inspect;
mod plot;
mod render;
mod serve;
mod train;

use crate::args::{Arguments, Command, ComputeArguments};
use crate::progress::Reporter;

/// What every command knows.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Results as JSON.
    pub is_json: bool,
    /// Progress and notes.
    pub reporter: Reporter,
}

/// Does what the command line asks.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let context = Context { is_json: arguments.json, reporter: Reporter::new(arguments.quiet) };
    match arguments.command {
        Command::Animate(arguments) => animate::run(&arguments, context),
        Command::Render(arguments) => render::run(&arguments, context),
        Command::Serve(arguments) => serve::run(&arguments, context),
        Command::Plot(arguments) => plot::run(&arguments, context),
        Command::Fit(arguments) => fit::run(&arguments, context),
        Command::Corpus(arguments) => corpus::run(&arguments, context),
        Command::Data(arguments) => data::run(&arguments, context),
        Command::Train(arguments) => train::run(&arguments, context),
        Command::Evaluate(arguments) => evaluate::run(&arguments, context),
        Command::Evidence(arguments) => evidence::run(&arguments, context),
        Command::Ablate(arguments) => ablate::run(&arguments, context),
        Command::Inspect(arguments) => inspect::run(&arguments, context),
        Command::Convert(arguments) => convert::run(&arguments, context),
        Command::Fetch(arguments) => fetch::run(&arguments, context),
        Command::Bench(arguments) => bench::run(&arguments, context),
        Command::Doctor(arguments) => doctor::run(&arguments, context),
        Command::Completions(arguments) => completions::run(&arguments),
    }
}

/// Limits the threads, if asked to.
fn limit_threads(arguments: &ComputeArguments) -> unils::Result<()> {
    arguments.threads.map_or(Ok(()), unils::device::set_threads)
}
