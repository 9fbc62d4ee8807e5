//! Recordings with each person's rest pose taken out.
//!
//! What the block-causal models are trained on: see [`unils::motion::rest_pose`].

use std::sync::Arc;

use unils::Result;
use unils::motion::{Space, manner, remove_rest, rest_pose};

use super::store::{Entry, Person, Recording, Store, Want};

/// A store whose recordings, as they are read for training, have no rest pose and know their people's manner.
#[derive(Debug)]
pub struct Calibrated(Arc<dyn Store>);

impl Calibrated {
    /// The recordings of `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }
}

impl Store for Calibrated {
    fn place(&self) -> &str {
        self.0.place()
    }

    fn space(&self) -> Space {
        self.0.space()
    }

    fn entries(&self) -> &[Entry] {
        self.0.entries()
    }

    fn read_raw(&self, index: usize, audio: bool) -> Result<Recording> {
        self.0.read_raw(index, audio)
    }

    fn read(&self, index: usize, want: Want) -> Result<Recording> {
        let mut recording = self.0.read(index, want)?;
        let space = recording.space;
        for track in &mut recording.tracks {
            let rest = rest_pose(&track.motion, space);
            remove_rest(&mut track.motion, &rest);
            let manner = manner(&track.motion, space.width());
            track.person = Some(Person { rest, manner });
        }
        Ok(recording)
    }
}
