//! `unils completions`: scripts that let a shell complete commands and options.

use clap::CommandFactory;

use crate::args::{Arguments, Completions};
use crate::output;

/// Prints the script.
pub fn run(arguments: &Completions) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "unils", &mut script);
    output::print(&String::from_utf8(script)?)
}
