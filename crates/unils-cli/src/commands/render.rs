//! `unils render`: motion to faces, or to another format.

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;
use unils::file::{ReadOptions, read_motion};
use unils::motion::Motion;
use unils_render::export::{Format, check_outputs};
use unils_render::video::{MixOptions, VoiceMix};

use super::{Context, faces};
use crate::args::Render;
use crate::output::{self, Facts};

/// What a run did, for `--json`.
#[derive(Debug, Serialize)]
struct Summary {
    written: Vec<PathBuf>,
    space: String,
    participants: usize,
    frames: usize,
    fps: f64,
    /// Length of the motion.
    seconds: f64,
    notices: Vec<String>,
    /// Seconds of work.
    time: f64,
}

/// Checks everything that can be checked, then draws and writes.
pub fn run(arguments: &Render, context: Context) -> anyhow::Result<()> {
    let formats = check_outputs(&arguments.outputs)?;
    let motion = read(arguments)?;
    let cast = faces::cast(&arguments.faces, &formats, motion.participants())?;
    let mut notices = cast.notices(motion.space());
    let voices = match arguments.voices.audio.as_slice() {
        [] => None,
        paths => {
            let mix = MixOptions { spread: arguments.faces.spread };
            Some(VoiceMix::open(paths, &arguments.voices.options(), &mix)?)
        }
    };
    if voices.is_some() && !formats.contains(&Format::Mp4) {
        notices.push("only .mp4 has sound: --audio is not used".to_owned());
    }
    for notice in &notices {
        context.reporter.note(format_args!("note: {notice}"));
    }
    let started = Instant::now();
    let written = faces::write(&motion, &arguments.outputs, &cast, voices, &arguments.faces, context)?;
    let summary = Summary {
        written,
        space: motion.space().to_string(),
        participants: motion.participants(),
        frames: motion.frames(),
        fps: motion.fps(),
        seconds: motion.duration_s(),
        notices,
        time: started.elapsed().as_secs_f64(),
    };
    if context.is_json {
        return output::print_json(&summary);
    }
    let mut facts = Facts::default();
    let Summary { participants, frames, fps, space, .. } = &summary;
    facts.add("motion", format_args!("{participants} x {frames} frames at {fps}/s, {space}"));
    facts.add("time", output::duration(summary.time));
    add_written(&mut facts, &summary.written);
    context.reporter.note(facts.text().trim_end());
    Ok(())
}

/// The files that were written, a long list in short.
pub fn add_written(facts: &mut Facts, written: &[PathBuf]) {
    /// Files named one by one.
    const NAMED: usize = 8;
    for path in written.iter().take(NAMED) {
        facts.add("written", path.display());
    }
    if let Some(last) = written.get(NAMED..).and_then(<[_]>::last) {
        facts.add("written", format_args!("... {} more, to {}", written.len() - NAMED, last.display()));
    }
}

fn read(arguments: &Render) -> unils::Result<Motion> {
    let options = ReadOptions { fps: arguments.fps, ..ReadOptions::default() };
    let mut motion = read_motion(&arguments.motion, &options)?;
    if let Some(participant) = arguments.participant {
        motion = motion.select(participant)?;
    }
    if arguments.mirror { motion.mirrored() } else { Ok(motion) }
}
