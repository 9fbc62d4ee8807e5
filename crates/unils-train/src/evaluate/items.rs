//! Which recordings are evaluated, and what else of the data each needs.

use std::collections::HashMap;

use unils::Result;
use unils::motion::SAMPLES_PER_FRAME;

use crate::data::{ClipRule, Entry, Recording, Split, Store, View, Want, record_place, within};

/// A recording to evaluate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Its number in the store.
    pub entry: usize,
    /// Its name, made unique among all.
    pub name: String,
    /// The recording that stands in for it where another one is wanted; none if there is only one.
    pub another: Option<usize>,
}

/// The recordings of a split that the rule keeps, in the store's order.
///
/// The other recording is the next one in which none of these speakers is heard, as far as speakers are known, the
/// first following the last; the next one if there is no such. It does not depend on how many are evaluated.
pub(super) fn items(entries: &[Entry], split: Split, rule: &ClipRule) -> Vec<Item> {
    let kept =
        entries.iter().enumerate().filter(|(_, entry)| entry.split == split && rule.keeps(entry.frames));
    let kept: Vec<usize> = kept.map(|(index, _)| index).collect();
    let mut count: HashMap<&str, usize> = HashMap::new();
    kept.iter().for_each(|&index| *count.entry(&entries[index].name).or_default() += 1);
    let speakers = |index: usize| entries[index].participants.iter().filter_map(|p| p.speaker.as_deref());
    let strangers = |a: usize, b: usize| speakers(a).all(|speaker| speakers(b).all(|other| other != speaker));
    let another = |at: usize| {
        let mut others = (1..kept.len()).map(|step| kept[(at + step) % kept.len()]);
        let next = others.clone().next();
        others.find(|&other| strangers(kept[at], other)).or(next)
    };
    let item = |(at, &entry): (usize, &usize)| {
        let name = &entries[entry].name;
        // The release's metadata may list a name twice.
        let unique = count.get(name.as_str()).is_none_or(|&count| count == 1);
        let name = if unique { name.clone() } else { format!("{name} #{entry}") };
        Item { entry, name, another: another(at) }
    };
    kept.iter().enumerate().map(item).collect()
}

/// What tells this selection from others: how many, how long, and a checksum over names and lengths.
pub(super) fn identity(entries: &[Entry], items: &[Item]) -> String {
    let frames: usize = items.iter().map(|item| entries[item.entry].frames).sum();
    let text = items.iter().flat_map(|item| {
        let line = format!("{}\0{}\n", item.name, entries[item.entry].frames);
        line.into_bytes()
    });
    format!("{} recordings, {frames} frames, {:016x}", items.len(), fnv(text))
}

/// FNV-1a of 64 bits.
pub(super) fn fnv(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The seed of one person of a recording: far from those of all others (SplitMix64).
pub(super) fn seed_of(seed: u64, entry: usize, person: usize) -> u64 {
    let mix = |state: u64| {
        let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^ (state >> 31)
    };
    mix(seed.wrapping_add(mix((2 * entry as u64 + person as u64).wrapping_add(0x9e37_79b9_7f4a_7c15))))
}

/// A recording with what is evaluated of it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub recording: Recording,
    /// The middle clip of each participant, (style, channels).
    pub styles: Vec<Vec<f32>>,
    /// Each participant's voice, 640 samples a frame; none without audio.
    pub voices: Vec<Option<Vec<f32>>>,
}

impl Loaded {
    pub(super) fn read(store: &dyn Store, entry: usize, rule: &ClipRule) -> Result<Self> {
        let recording = store.read(entry, Want { audio: true, centred: true })?;
        let place = record_place(store.place(), &recording.name);
        let people = recording.tracks.len();
        let whole = rule.whole(&recording, 0..people, View::Motion).map_err(|error| within(&place, error))?;
        let length = (whole.style.len() / people.max(1)).max(1);
        let styles = whole.style.chunks_exact(length).map(<[f32]>::to_vec).collect();
        let voices = recording.tracks.iter().map(|track| {
            let mut samples = vec![0.0; whole.frames * SAMPLES_PER_FRAME];
            let audio = track.audio.as_ref()?;
            audio.copy_to(0, &mut samples);
            Some(samples)
        });
        let voices: Vec<Option<Vec<f32>>> = voices.collect();
        for (track, voice) in recording.tracks.iter().zip(&voices) {
            if let Some(at) = voice.as_ref().and_then(|v| v.iter().position(|sample| !sample.is_finite())) {
                let what = format!("{}: sample {at} is not a finite number", track.name);
                return Err(unils::Error::audio(place, what)
                    .with_hint("`unils data check` lists all such recordings"));
            }
        }
        Ok(Self { styles, voices, recording })
    }

    pub(super) fn frames(&self) -> usize {
        self.recording.frames()
    }
}

/// `length` numbers from the beginning of a list, which is repeated if it is shorter.
pub(super) fn repeated(values: &[f32], length: usize) -> Vec<f32> {
    values.iter().copied().cycle().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Participant;

    fn entry(name: &str, speakers: [&str; 2]) -> Entry {
        let participant = |speaker: &&str| Participant {
            name: "x".to_owned(),
            speaker: (!speaker.is_empty()).then(|| (*speaker).to_owned()),
        };
        let participants = speakers.iter().map(participant).collect();
        Entry { name: name.to_owned(), split: Split::Test, frames: 200, participants, has_audio: true }
    }

    #[test]
    fn the_other_recording_is_one_of_strangers() {
        let entries = [
            entry("a", ["ann", "bob"]),
            entry("b", ["bob", "eve"]),
            entry("c", ["ann", "eve"]),
            entry("d", ["tom", ""]),
            entry("d", ["", ""]),
        ];
        let items = items(&entries, Split::Test, &ClipRule::release(100));
        let others: Vec<_> = items.iter().map(|item| item.another).collect();
        assert_eq!(others, [Some(3), Some(3), Some(3), Some(4), Some(0)]);
        let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d #3", "d #4"]);
        let few = super::items(&entries[..2], Split::Test, &ClipRule::release(100));
        assert_eq!(few[0].another, Some(1), "the next one where no strangers are");
        assert_eq!(super::items(&entries[..1], Split::Test, &ClipRule::release(100))[0].another, None);
    }

    #[test]
    fn seeds_differ() {
        let mut seeds: Vec<u64> =
            (0..100).flat_map(|entry| [42, 43].map(|seed| seed_of(seed, entry, entry % 2))).collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 200);
    }
}
