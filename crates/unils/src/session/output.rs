//! The way of frames out of a session: smoothing, shaping, the closing of an interrupted mouth, and what was given out
//! last, so that it can be given out again otherwise.

use std::collections::VecDeque;

use super::controls::{Closing, Controls, Shaper};
use super::{Chunk, Voices};
use crate::error::Result;
use crate::motion::{SAMPLES_PER_FRAME, SmoothStream, Smoother, Space};

/// A frame whose samples' root mean square is above this (-50 dBFS) is heard as speech.
const SPEECH_RMS: f32 = 3.16e-3;
/// Frames that a voice still counts as speaking after it was heard: pauses of 0.3 s are part of speech.
const HANGOVER: u8 = 8;
/// Frames that can be given out again, beyond two windows: a second.
const KEPT: usize = 25;

/// Who is heard to speak, frame by frame.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Talk {
    left: [u8; 2],
}

impl Talk {
    /// The next frame's voices, from its samples of both tracks and the share of each one's power that is its own
    /// voice's.
    pub(super) fn hear(&mut self, tracks: [&[f32]; 2], shares: [f32; 2]) -> Voices {
        let mut voices = Voices::default();
        let each = self.left.iter_mut().zip(tracks).zip(shares);
        for (((left, track), share), speaks) in each.zip(&mut voices.speaks) {
            let energy: f32 = track.iter().map(|sample| sample * sample).sum();
            let is_heard = share * energy > SPEECH_RMS * SPEECH_RMS * SAMPLES_PER_FRAME as f32;
            *left = if is_heard { HANGOVER + 1 } else { left.saturating_sub(1) };
            *speaks = *left > 0;
        }
        voices
    }
}

/// Frames between the model and the caller.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    channels: usize,
    speech: Vec<usize>,
    smoothers: Option<Vec<SmoothStream>>,
    shapers: Vec<Shaper>,
    closing: Option<Closing>,
    /// Of frames that are made and not given out: those that the smoother holds.
    voices: VecDeque<Voices>,
    /// The frame that is given out next.
    next: u64,
    /// Frames given out last, all participants' numbers in a row, and their voices.
    recent: VecDeque<(Voices, Vec<f32>)>,
    kept: usize,
}

impl Output {
    pub(crate) fn new(
        space: Space,
        participants: usize,
        window: usize,
        smooth: bool,
        controls: &Controls,
    ) -> Result<Self> {
        let smoother = |_| Smoother::default().stream(space.width());
        Ok(Self {
            channels: space.width(),
            speech: space.speech_indices(),
            smoothers: smooth.then(|| (0..participants).map(smoother).collect()).transpose()?,
            shapers: (0..participants).map(|participant| Shaper::new(space, participant, controls)).collect(),
            closing: None,
            voices: VecDeque::new(),
            next: 0,
            recent: VecDeque::new(),
            kept: 2 * window + KEPT,
        })
    }

    /// Takes a window's first `voices.len()` frames of `motion`, (participants, frames, channels), and gives what is
    /// ready; `is_last` also what was held back. There may be no frames.
    pub(crate) fn push(
        &mut self,
        motion: &[f32],
        voices: &[Voices],
        controls: &Controls,
        is_last: bool,
    ) -> Result<Chunk> {
        self.voices.extend(voices);
        let participants = self.shapers.len();
        let mut ready = Vec::with_capacity(participants);
        for participant in 0..participants {
            let start = participant * (motion.len() / participants);
            let frames = &motion[start..start + voices.len() * self.channels];
            ready.push(match &mut self.smoothers {
                None => frames.to_vec(),
                Some(smoothers) => {
                    let mut smoothed = Vec::new();
                    smoothers[participant].push(frames, &mut smoothed)?;
                    if is_last {
                        smoothers[participant].clone().finish(&mut smoothed);
                    }
                    smoothed
                }
            });
        }
        Ok(self.give_out(ready, controls))
    }

    fn give_out(&mut self, mut ready: Vec<Vec<f32>>, controls: &Controls) -> Chunk {
        let count = ready.first().map_or(0, |frames| frames.len() / self.channels);
        let voices: Vec<Voices> = self.voices.drain(..count).collect();
        for (participant, (frames, shaper)) in ready.iter_mut().zip(&mut self.shapers).enumerate() {
            let numbered = (self.next..).zip(frames.chunks_exact_mut(self.channels)).zip(&voices);
            for ((number, frame), &voices) in numbered {
                shaper.shape(frame, voices, controls);
                if let Some(closing) = self.closing.filter(|_| participant == 0) {
                    closing.apply(number, frame, &self.speech);
                }
            }
        }
        for (index, &voices) in voices.iter().enumerate() {
            // A ring: the oldest frame's memory is the newest's.
            let is_full = self.recent.len() >= self.kept;
            let (_, mut row) = if is_full { self.recent.pop_front() } else { None }.unwrap_or_default();
            row.clear();
            let at = index * self.channels..(index + 1) * self.channels;
            ready.iter().for_each(|frames| row.extend_from_slice(&frames[at.clone()]));
            self.recent.push_back((voices, row));
        }
        let start_frame = self.next;
        self.next += count as u64;
        self.closing = self.closing.filter(|closing| !closing.is_over(self.next));
        Chunk {
            start_frame,
            participants: ready.len(),
            values: ready.concat(),
            voices,
            missing: [0; 2],
            is_revision: false,
        }
    }

    /// Closes the first participant's mouth from frame `from` on; see [`Closing`]. Frames from there on that are out
    /// already come once more.
    pub(super) fn close(&mut self, from: u64, silent_from: u64) -> Option<Chunk> {
        let oldest = self.next - self.recent.len() as u64;
        let from = from.max(oldest);
        let closing = Closing::begin(from, silent_from, self.closing);
        self.closing = Some(closing);
        let skipped = usize::try_from(from - oldest).ok().filter(|&skipped| skipped < self.recent.len())?;
        let mut voices = Vec::new();
        let mut values = vec![Vec::new(); self.shapers.len()];
        for (number, (heard, row)) in (from..).zip(self.recent.iter_mut().skip(skipped)) {
            closing.apply(number, &mut row[..self.channels], &self.speech);
            voices.push(*heard);
            values
                .iter_mut()
                .zip(row.chunks_exact(self.channels))
                .for_each(|(all, frame)| all.extend_from_slice(frame));
        }
        Some(Chunk {
            start_frame: from,
            participants: self.shapers.len(),
            values: values.concat(),
            voices,
            missing: [0; 2],
            is_revision: true,
        })
    }

    /// Frames that smoothing holds back.
    pub(super) fn delay_frames(&self) -> usize {
        self.smoothers.iter().flatten().map(SmoothStream::delay_frames).max().unwrap_or(0)
    }

    /// The frame that is given out next.
    pub(super) fn next_frame(&self) -> u64 {
        self.next
    }
}
