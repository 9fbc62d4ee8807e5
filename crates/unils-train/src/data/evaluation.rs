//! Whole recordings in order, for validation and test.

use std::sync::Arc;

use unils::Result;

use super::clip::{ClipRule, Item, View, Whole};
use super::store::{Split, Store, Want, record_place, within};

/// Goes through the recordings of a split, in the store's order; each is read when it is asked for. An item that
/// cannot be read is an error, after which the next one follows.
#[derive(Debug)]
pub struct Evaluation {
    store: Arc<dyn Store>,
    rule: ClipRule,
    view: View,
    items: std::vec::IntoIter<Item>,
}

impl Evaluation {
    /// The recordings of `split` that the rule keeps: each participant alone, or dyads with their audio. Use
    /// [`Split::Val`] or [`Split::Test`]; of [`Split::Train`] every recording is taken once, too.
    pub fn new(store: Arc<dyn Store>, rule: ClipRule, view: View, split: Split) -> Self {
        let mut items = rule.items(store.entries(), split, view);
        items.retain(|item| item.start == 0);
        Self { store, rule, view, items: items.into_iter() }
    }
}

impl Iterator for Evaluation {
    type Item = Result<Whole>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.items.next()?;
        let want = Want { audio: self.view.audio(), centred: true };
        let read = self.store.read(item.entry, want).and_then(|recording| {
            let place = record_place(self.store.place(), &recording.name);
            self.rule.whole(&recording, item.people, self.view).map_err(|error| within(&place, error))
        });
        Some(read)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl ExactSizeIterator for Evaluation {}
