//! Frames drawn on this thread and encoded on another.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::thread;

use unils::file::AtomicFile;
use unils::motion::{FPS, Motion};
use unils::{Error, Result};

use super::{Cast, ExportOptions, Format};
use crate::image::Image;
use crate::picture::{GifWriter, PngSequence};
use crate::raster::Stage;
use crate::video::{AUDIO_RATE, AudioOptions, Mp4Writer, VideoOptions, VoiceMix};

/// Pictures drawn ahead of the encoder.
const AHEAD: usize = 2;

/// Samples of sound that belong to a frame.
const FRAME_SAMPLES: usize = AUDIO_RATE as usize / FPS as usize;

/// The writers of a run.
pub(super) struct Pictures {
    writers: Vec<Writer>,
}

enum Writer {
    Mp4 { path: PathBuf, writer: Box<Mp4Writer<AtomicFile>>, sounds: bool },
    Gif { path: PathBuf, writer: Box<GifWriter> },
    Png(PngSequence),
}

/// One picture and the sound of its time.
struct Frame {
    image: Image,
    sound: Vec<f32>,
}

impl Pictures {
    /// Draws every frame of `acted` (a motion a face, 25 frames a second) and writes it to every output.
    pub(super) fn draw(
        outputs: &[(PathBuf, Format)],
        cast: &Cast,
        acted: &[Motion],
        mut voices: Option<VoiceMix>,
        options: &ExportOptions,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Vec<PathBuf>> {
        let faces: Vec<_> = cast.actors().iter().map(super::Actor::face).collect();
        let mut stage = Stage::new(&faces, &options.render, options.turn)?;
        let frames = acted.iter().map(Motion::frames).min().unwrap_or(0);
        let channels = voices.as_ref().map(VoiceMix::channels);
        let mut pictures = Self::begin(outputs, stage.size(), frames, channels, options)?;
        let (send, receive) = sync_channel::<Frame>(AHEAD);
        let (give_back, spare) = sync_channel::<Image>(AHEAD + 1);
        thread::scope(|scope| {
            let encoder = thread::Builder::new().name("encoder".to_owned());
            let encoder = encoder.spawn_scoped(scope, move || -> Result<Self> {
                while let Ok(frame) = receive.recv() {
                    pictures.push(&frame)?;
                    // A picture that is not taken up again is dropped.
                    let _ = give_back.try_send(frame.image);
                }
                Ok(pictures)
            });
            let encoder = encoder.map_err(|source| Error::io("start a thread for", "encoding", source))?;
            let mut drawn = Ok(());
            for frame in 0..frames {
                let mut image = spare.try_recv().unwrap_or_default();
                let rows: Vec<&[f32]> = acted.iter().filter_map(|motion| motion.frame(0, frame)).collect();
                let sound = voices.as_mut().map_or(Ok(Vec::new()), |voices| voices.read(FRAME_SAMPLES));
                drawn = stage.render(&rows, &mut image).and(sound).and_then(|sound| {
                    // The encoder has failed: it says why when it is joined.
                    send.send(Frame { image, sound }).map_err(|_| Error::Interrupted)
                });
                if drawn.is_ok() && progress(frame as u64 + 1).is_break() {
                    drawn = Err(Error::Interrupted);
                }
                if drawn.is_err() {
                    break;
                }
            }
            drop(send);
            let pictures = match encoder.join() {
                Ok(pictures) => pictures?,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            drawn?;
            pictures.finish()
        })
    }

    fn begin(
        outputs: &[(PathBuf, Format)],
        (width, height): (usize, usize),
        frames: usize,
        channels: Option<usize>,
        options: &ExportOptions,
    ) -> Result<Self> {
        let writer = |(path, format): &(PathBuf, Format)| {
            let path = path.clone();
            Ok(match format {
                Format::Mp4 => {
                    let video = VideoOptions {
                        quantizer: options.quantizer,
                        expected_frames: Some(frames as u64),
                        ..VideoOptions::new(width as u32, height as u32)
                    };
                    let audio = channels.map(AudioOptions::new);
                    let writer = Box::new(Mp4Writer::create(&path, &video, audio.as_ref())?);
                    Writer::Mp4 { path, writer, sounds: channels.is_some() }
                }
                Format::Gif => {
                    let writer = Box::new(GifWriter::create(&path, width, height, FPS)?);
                    Writer::Gif { path, writer }
                }
                _ => Writer::Png(PngSequence::new(&path)),
            })
        };
        Ok(Self { writers: outputs.iter().map(writer).collect::<Result<_>>()? })
    }

    fn push(&mut self, frame: &Frame) -> Result<()> {
        self.writers.iter_mut().try_for_each(|writer| match writer {
            Writer::Mp4 { writer, sounds, .. } => {
                writer.push_frame(&frame.image.rgba)?;
                if *sounds { writer.push_audio(&frame.sound) } else { Ok(()) }
            }
            Writer::Gif { writer, .. } => writer.push(&frame.image),
            Writer::Png(sequence) => sequence.push(&frame.image),
        })
    }

    fn finish(self) -> Result<Vec<PathBuf>> {
        let mut written = Vec::new();
        for writer in self.writers {
            match writer {
                Writer::Mp4 { path, writer, .. } => {
                    writer.commit()?;
                    written.push(path);
                }
                Writer::Gif { path, writer } => {
                    writer.finish()?;
                    written.push(path);
                }
                Writer::Png(sequence) => {
                    written.extend((0..sequence.count()).map(|index| sequence.path_of(index)));
                }
            }
        }
        Ok(written)
    }
}
