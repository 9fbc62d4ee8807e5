//! `unils plot`: motion and voices over time as a picture.

use serde::Serialize;
use unils::audio::{Conversation, MODEL_RATE};
use unils::file::{ReadOptions, read_motion};
use unils_render::plot::{self, Voice};

use super::Context;
use crate::args::{Plot, VoiceArguments};
use crate::output;

/// Samples read at a time.
const PIECE: usize = 64_000;

/// What was written, for `--json`.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    written: &'a [std::path::PathBuf],
}

/// Draws and writes.
pub fn run(arguments: &Plot, context: Context) -> anyhow::Result<()> {
    let motion = read_motion(&arguments.motion, &ReadOptions::default())?;
    let voices = if arguments.voices.audio.is_empty() { Vec::new() } else { voices(&arguments.voices)? };
    let mut picture = plot::Plot::new(&motion);
    if !voices.is_empty() {
        // A second voice may have no face here, and a second face no voice.
        let each: Vec<_> = (0..motion.participants()).map(|participant| voices.get(participant)).collect();
        picture = picture.with_voices(&each)?;
    }
    arguments.outputs.iter().try_for_each(|path| picture.write(path))?;
    if context.is_json {
        return output::print_json(&Summary { written: &arguments.outputs });
    }
    for path in &arguments.outputs {
        context.reporter.note(format_args!("written {}", path.display()));
    }
    Ok(())
}

/// Levels of the voices that were recorded.
fn voices(arguments: &VoiceArguments) -> unils::Result<Vec<Voice>> {
    let mut conversation = Conversation::open(&arguments.audio, &arguments.options())?;
    let mut voices = vec![Voice::new(MODEL_RATE)?; conversation.voices()];
    while let Some(window) = conversation.read(PIECE)? {
        voices.iter_mut().zip(&window.tracks).for_each(|(voice, track)| voice.push(track));
    }
    Ok(voices)
}
