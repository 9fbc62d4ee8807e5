//! What `animate` and `render` share: faces for a motion, and all outputs under the user's eyes.

use std::ops::ControlFlow;
use std::path::PathBuf;

use unils::Result;
use unils::face::transfer::Transfer;
use unils::motion::Motion;
use unils_render::export::{Cast, ExportOptions, Format, export};
use unils_render::raster::RenderOptions;
use unils_render::video::VoiceMix;

use super::Context;
use crate::args::FaceArguments;
use crate::interrupt::{self, Graceful};
use crate::progress::Unit;

/// The faces that the arguments name, for a motion of so many participants, if a format shows faces.
pub fn cast(arguments: &FaceArguments, formats: &[Format], participants: usize) -> Result<Cast> {
    let shows = formats.iter().any(|format| format.shows_faces());
    let cast =
        if shows { Cast::open(&arguments.faces, participants) } else { Cast::open(&[] as &[&str], 0) }?;
    let transfer = arguments.transfer.as_ref().map(Transfer::open).transpose()?;
    Ok(cast.with_transfer(transfer))
}

/// Writes motion to all outputs; Ctrl-C stops after a frame. Returns the files.
pub fn write(
    motion: &Motion,
    outputs: &[PathBuf],
    cast: &Cast,
    voices: Option<VoiceMix>,
    arguments: &FaceArguments,
    context: Context,
) -> Result<Vec<PathBuf>> {
    let [width, height] = arguments.size;
    let background = arguments.background;
    let options = ExportOptions {
        render: RenderOptions { width, height, background, ..RenderOptions::default() },
        quantizer: arguments.quantizer,
        ..ExportOptions::default()
    };
    let _graceful = Graceful::begin();
    let frames = (motion.duration_s() * unils::motion::FPS).round() as u64;
    let mut meter = context.reporter.meter("render", Some(frames), Unit::Frames);
    export(motion, outputs, cast, voices, &options, &mut |done| {
        meter.set(done);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}
