//! Makes the samples of a training: sample number in, cut clip out, whoever asks and in whatever order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use unils::{Error, Result};

use super::cache::Cache;
use super::chance::{Chance, Purpose};
use super::clip::{Clip, ClipRule, Draw, Item, View};
use super::loader::BadRecords;
use super::store::{Recording, Store, Want, record_place};

/// Draws in place of bad records before a sample is given up.
const TRIES: usize = 64;

/// The samples of a training, made on any thread.
#[derive(Debug)]
pub(super) struct Rows {
    store: Arc<dyn Store>,
    rule: ClipRule,
    view: View,
    seed: u64,
    bad: BadRecords,
    items: Vec<Item>,
    cache: Cache,
    /// Orders of the last two epochs: threads are in neighbouring ones at most.
    orders: Mutex<Vec<(u64, Arc<Vec<u32>>)>>,
    /// What was wrong with records that cannot be used.
    faults: Mutex<HashMap<usize, String>>,
}

/// A sample and how it came about.
#[derive(Debug)]
pub(super) struct Row {
    pub clip: Clip,
    pub item: Item,
    pub draw: Draw,
    /// Bad records that were drawn before, with what is wrong with them.
    pub skipped: Vec<(usize, String)>,
}

impl Rows {
    pub(super) fn new(
        store: Arc<dyn Store>,
        rule: ClipRule,
        view: View,
        (seed, bad): (u64, BadRecords),
        items: Vec<Item>,
        cache_bytes: usize,
    ) -> Self {
        let cache = Cache::new(cache_bytes);
        Self {
            store,
            rule,
            view,
            seed,
            bad,
            items,
            cache,
            orders: Mutex::default(),
            faults: Mutex::default(),
        }
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The sample of that number: item number `sample` of the seeded order of its epoch, cut at seeded starts.
    pub(super) fn row(&self, sample: u64) -> Result<Row> {
        let count = self.items.len() as u64;
        let order = self.order(sample / count);
        let mut number = order[(sample % count) as usize] as usize;
        let mut chance = Chance::new(self.seed, Purpose::Clip, sample);
        let mut skipped = Vec::new();
        for _ in 0..TRIES {
            let item = &self.items[number];
            match self.cut(item, &mut chance) {
                Ok((clip, draw)) => return Ok(Row { clip, item: item.clone(), draw, skipped }),
                Err(error) if self.bad == BadRecords::Stop || !is_fault(&error) => return Err(error),
                Err(error) => skipped.push((item.entry, error.to_string())),
            }
            number = chance.below(self.items.len());
        }
        let last = skipped.pop().map_or_else(String::new, |(_, what)| what);
        Err(Error::motion(self.store.place(), format!("{TRIES} bad records in a row, the last: {last}"))
            .with_hint("`unils data check` lists them: repair the data or take them out of the listing"))
    }

    fn cut(&self, item: &Item, chance: &mut Chance) -> Result<(Clip, Draw)> {
        let entry = &self.store.entries()[item.entry];
        let draw = self.rule.draw(item, entry.frames, chance);
        let recording = self.recording(item.entry)?;
        self.rule
            .cut(&recording, item.people.clone(), &draw, self.view)
            .map(|clip| (clip, draw))
            .map_err(|error| super::store::within(&record_place(self.store.place(), &entry.name), error))
    }

    fn recording(&self, number: usize) -> Result<Arc<Recording>> {
        if let Some(recording) = self.cache.get(number) {
            return Ok(recording);
        }
        if let Some(what) = self.faults.lock().unwrap_or_else(PoisonError::into_inner).get(&number) {
            // Known to be bad: not read again.
            return Err(Error::motion("", what));
        }
        match self.store.read(number, Want { audio: self.view.audio(), centred: true }) {
            Ok(recording) => {
                let recording = Arc::new(recording);
                self.cache.put(number, &recording);
                Ok(recording)
            }
            Err(error) => {
                if self.bad == BadRecords::Skip && is_fault(&error) {
                    let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
                    faults.insert(number, error.to_string());
                }
                Err(error)
            }
        }
    }

    /// The order of an epoch's items.
    fn order(&self, epoch: u64) -> Arc<Vec<u32>> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, order)) = orders.iter().find(|(known, _)| *known == epoch) {
            return Arc::clone(order);
        }
        let order = Arc::new(Chance::new(self.seed, Purpose::Order, epoch).order(self.items.len() as u32));
        if orders.len() == 2 {
            orders.sort_by_key(|(known, _)| *known);
            orders.remove(0);
        }
        orders.push((epoch, Arc::clone(&order)));
        order
    }
}

/// Whether the record is to blame, and not the system.
fn is_fault(error: &Error) -> bool {
    match error {
        Error::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        Error::Interrupted => false,
        _ => true,
    }
}
