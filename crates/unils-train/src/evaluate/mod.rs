//! Evaluation: a system's motion for whole recordings, scored by every metric there is.
//!
//! The last part of training. A [`Predictor`] (a model, its codec alone, a baseline, or the truth itself) makes motion
//! for the recordings of a split, one at a time, as the [`Protocol`] says; each is scored against the true motion, and
//! [`evaluate`] sums up: the release's metrics (arXiv 2512.09327), Fréchet distances, responsiveness, residual Pearson
//! correlation, lip sync, liveliness and seams, with intervals by bootstrap over recordings. The metrics themselves are
//! [`unils::metrics`]; here is what goes into them.
//!
//! What a recording lacks (audio, a partner, phonemes, a face) leaves its metrics out and is said in
//! [`Evaluated::notices`]; nothing is made up. Speech masks that the data lack are found in the voices, which the
//! report's settings say. Results of single recordings are kept in a file if wanted: a second run with the same settings
//! goes on where the first one stopped, and gives the same report to the last bit.
//!
//! ```
//! use std::ops::ControlFlow;
//! use unils::motion::Space;
//! use unils_train::data::{
//!     CorpusOptions, CorpusStore, CorpusWriter, Recording, Split, Track,
//! };
//! use unils_train::evaluate::{Baseline, MeasuredFace, Protocol, evaluate};
//! # let folder = std::env::temp_dir().join(format!("unils-doc-evaluate-{}", std::process::id()));
//! let writer = CorpusWriter::create(&folder, Space::Arkit55, CorpusOptions::default())?;
//! let motion = (0..150 * 55).map(|index| (index as f32 * 0.01).sin()).collect();
//! let mut track = Track::new("ann", motion);
//! track.speech = Some((0..150).map(|frame| frame < 80).collect());
//! writer.add(Split::Test, &Recording::new("talk", Space::Arkit55, vec![track]))?;
//!
//! let store = CorpusStore::open(&folder)?;
//! let head = MeasuredFace::default_head()?;
//! let done = evaluate(&store, &mut Baseline::Truth, Some(&head), &Protocol::release(), None, &mut |_| {
//!     ControlFlow::Continue(())
//! })?;
//! assert_eq!(done.report.mean("S-LVE"), Some(0.0));
//! # drop(writer);
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<(), unils::Error>(())
//! ```

mod items;
mod measured_face;
mod predict;
mod protocol;
mod results;
mod score;
mod summary;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use unils::metrics::report::Report;
use unils::metrics::responsiveness::{Gesture, ResponseOptions, Responsiveness};
use unils::metrics::voice::Voice;
use unils::motion::Motion;
use unils::{Error, Result};

pub use measured_face::MeasuredFace;
pub use predict::{Baseline, CodecPredictor, FramesDone, ModelPredictor, Predictor, Take};
pub use protocol::{Partner, People, Previous, Protocol, Style};

use self::items::{Item, Loaded, repeated, seed_of};
use self::results::Results;
use self::score::{Person, PersonScores, Scored, Scorer};
use crate::data::{ClipRule, Split, Store, record_place, within};

/// How far an evaluation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The recording being worked on; empty when all are done.
    pub recording: &'a str,
    /// Recordings done, those of an earlier run among them.
    pub recordings_done: usize,
    /// Recordings in all.
    pub recordings: usize,
    /// Frames of this recording that are predicted.
    pub frames_done: usize,
    /// Frames of this recording.
    pub frames: usize,
}

/// What an evaluation gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// All scores.
    pub report: Report,
    /// What was left out and why.
    pub notices: Vec<String>,
    /// Recordings that an earlier run had scored.
    pub resumed: usize,
    scored: Vec<Scored>,
}

impl Evaluated {
    /// How much more often this system answers the true partner's cues than another run over the same recordings:
    /// usually the same system after [`Partner::Shuffled`]. What is left above 1 comes from hearing the partner.
    ///
    /// # Errors
    /// [`Error::Argument`] for other recordings, none with a partner's voice, or options out of range.
    pub fn answers_against(
        &self,
        shuffled: &Self,
        gesture: Gesture,
        options: &ResponseOptions,
    ) -> Result<Responsiveness> {
        summary::between(&self.scored, &shuffled.scored, gesture, options)
    }
}

/// Evaluates a system on a store's recordings, one at a time.
///
/// `face` is what vertices are measured on; without one, the scores on vertices are left out. `keep` names a file of
/// single results that is begun or gone on with. `progress` is called after each window of a model and each
/// recording; [`ControlFlow::Break`] stops, with what is done kept.
///
/// # Errors
/// [`Error::Argument`] if system, face and data are of different motion spaces, or `keep` is of other settings;
/// [`Error::Motion`] if the split has no recordings long enough, and naming the record for predictions that are not
/// finite; [`Error::Audio`] naming the record if the system hears and it has no audio; what reading gives;
/// [`Error::Interrupted`] after a break.
pub fn evaluate(
    store: &dyn Store,
    predictor: &mut dyn Predictor,
    face: Option<&MeasuredFace>,
    protocol: &Protocol,
    keep: Option<&Path>,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<Evaluated> {
    check_spaces(store, predictor, face)?;
    protocol.sampling.validate()?;
    let window = predictor.window().unwrap_or(protocol.window);
    let rule = ClipRule { style: predictor.style_frames().unwrap_or(window), ..ClipRule::release(window) };
    let mut items = items::items(store.entries(), protocol.split, &rule);
    let identity = items::identity(store.entries(), &items);
    items.truncate(protocol.limit.unwrap_or(usize::MAX));
    if items.is_empty() {
        return Err(nothing_to_do(store, protocol.split, &rule));
    }
    let settings = settings(predictor, face, protocol, window, identity);
    let (mut kept, earlier) = match keep.map(|path| Results::open(path, &settings)).transpose()? {
        Some((results, earlier)) => (Some(results), earlier),
        None => (None, Vec::new()),
    };
    let mut earlier: BTreeMap<usize, Scored> =
        earlier.into_iter().map(|scored| (scored.entry, scored)).collect();
    let mut run =
        Run { store, predictor, protocol, rule, scorer: Scorer { space: store.space(), face, window } };
    let (recordings, mut resumed, mut scored) = (items.len(), 0, Vec::with_capacity(items.len()));
    for (recordings_done, item) in items.iter().enumerate() {
        if let Some(done) = earlier.remove(&item.entry) {
            resumed += 1;
            scored.push(done);
            continue;
        }
        let frames = store.entries()[item.entry].frames;
        let mut step = |frames_done: usize| {
            progress(Progress { recording: &item.name, recordings_done, recordings, frames_done, frames })
        };
        if step(0).is_break() {
            return Err(Error::Interrupted);
        }
        let new = run.recording(item, &mut step)?;
        if let Some(kept) = &mut kept {
            kept.append(&new)?;
        }
        scored.push(new);
    }
    let done = Progress { recording: "", recordings_done: recordings, recordings, frames_done: 0, frames: 0 };
    // Everything is scored: there is nothing to stop any more.
    let _ = progress(done);
    let mut facts = settings;
    facts.insert("speech mask".to_owned(), summary::mask_source(&scored));
    facts.insert("recordings scored".to_owned(), recordings.to_string());
    let data = format!("{} ({})", store.place(), protocol.split);
    let report = summary::report(run.predictor.name(), data, facts, &scored, &protocol.bootstrap)?;
    let mut notices = summary::notices(&scored);
    if face.is_none() {
        notices.insert(0, "no face was named: LVE, MHD and FDD are left out".to_owned());
    }
    Ok(Evaluated { report, notices, resumed, scored })
}

fn check_spaces(store: &dyn Store, predictor: &dyn Predictor, face: Option<&MeasuredFace>) -> Result<()> {
    let space = store.space();
    if let Some(made) = predictor.space().filter(|&made| made != space) {
        let what = format!("the recordings are {space} motion, the model makes {made}");
        return Err(Error::argument(store.place(), what).with_hint("name data of the model's own kind"));
    }
    match face.map(|face| (face.name(), face.face().space())) {
        Some((name, shown)) if shown != space => {
            let what = format!("shows {shown} motion, the recordings are {space}");
            Err(Error::argument(name, what)
                .with_hint("FLAME shows flame108, heads with ARKit's shapes arkit55"))
        }
        _ => Ok(()),
    }
}

fn nothing_to_do(store: &dyn Store, split: Split, rule: &ClipRule) -> Error {
    let there = store.entries().iter().filter(|entry| entry.split == split).count();
    let error = |what: String| Error::motion(store.place(), what);
    if there == 0 {
        let names = Split::ALL.into_iter().filter(|&s| store.entries().iter().any(|entry| entry.split == s));
        let names: Vec<&str> = names.map(Split::name).collect();
        return error(format!("the split {:?} is empty", split.name()))
            .with_hint(format!("there are recordings in: {}", names.join(", ")));
    }
    let least = rule.shortest.max(rule.clip).max(rule.style) + 2;
    error(format!("none of the {there} recordings of {:?} is long enough", split.name()))
        .with_hint(format!("recordings need {least} frames or more ({:.1} s)", least as f64 / 25.0))
}

/// What shapes a recording's scores; a kept file is of exactly these.
fn settings(
    predictor: &dyn Predictor,
    face: Option<&MeasuredFace>,
    protocol: &Protocol,
    window: usize,
    identity: String,
) -> BTreeMap<String, String> {
    let mut settings = protocol.settings();
    settings.extend(predictor.settings());
    let face = face.map_or("none".to_owned(), |face| {
        format!("{}, {} vertices", face.name(), face.face().mesh().positions.len())
    });
    settings.extend(
        [
            ("face", face),
            ("window", window.to_string()),
            ("data", identity),
            ("program", format!("unils {}", env!("CARGO_PKG_VERSION"))),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    settings
}

/// One evaluation at work.
struct Run<'a> {
    store: &'a dyn Store,
    predictor: &'a mut dyn Predictor,
    protocol: &'a Protocol,
    rule: ClipRule,
    scorer: Scorer<'a>,
}

impl Run<'_> {
    fn recording(&mut self, item: &Item, step: &mut dyn FnMut(usize) -> ControlFlow<()>) -> Result<Scored> {
        let place = record_place(self.store.place(), &item.name);
        let loaded = Loaded::read(self.store, item.entry, &self.rule)?;
        let shuffled = self.protocol.partner == Partner::Shuffled && self.predictor.hears();
        let another = item.another.filter(|_| shuffled || self.predictor.wants_another());
        let another = another.map(|entry| Loaded::read(self.store, entry, &self.rule)).transpose()?;
        let people = match self.protocol.people {
            People::First => 1,
            People::All => loaded.recording.tracks.len(),
        };
        // Two people who hear each other are generated as one batch; otherwise each has a conversation of its own.
        let groups: Vec<std::ops::Range<usize>> = if self.protocol.partner == Partner::True {
            std::iter::once(0..people).collect()
        } else {
            (0..people).map(|person| person..person + 1).collect()
        };
        let (mut motions, mut seeds) = (Vec::new(), Vec::new());
        for (number, group) in groups.iter().enumerate() {
            let before = number * loaded.frames();
            let mut done = |frames: usize| step((before + frames) / groups.len());
            let seed = seed_of(self.protocol.seed, item.entry, group.start);
            let motion = self.predict(&loaded, another.as_ref(), group.clone(), seed, &mut done, &place)?;
            seeds.push(seed);
            for person in 0..group.len() {
                motions.push(motion.select(person)?);
            }
        }
        self.score(item, &loaded, &motions, seeds).map_err(|error| within(&place, error))
    }

    fn predict(
        &mut self,
        loaded: &Loaded,
        another: Option<&Loaded>,
        group: std::ops::Range<usize>,
        seed: u64,
        done: &mut FramesDone<'_>,
        place: &str,
    ) -> Result<Motion> {
        let frames = loaded.frames();
        let length = frames * self.store.space().width();
        let tracks = &loaded.recording.tracks[group.clone()];
        let truth: Vec<f32> = tracks.iter().flat_map(|track| track.motion.iter().copied()).collect();
        let style = loaded.styles[group.clone()].concat();
        let voices = if self.predictor.hears() {
            Some(self.voices(loaded, another, group.start, place)?)
        } else {
            None
        };
        let wanted = another.filter(|_| self.predictor.wants_another());
        let other: Option<Vec<f32>> = wanted.map(|other| {
            let last = other.recording.tracks.len() - 1;
            let motion = |person: usize| repeated(&other.recording.tracks[person.min(last)].motion, length);
            group.clone().flat_map(motion).collect()
        });
        let take = Take {
            protocol: self.protocol,
            space: self.store.space(),
            people: group.len(),
            frames,
            truth: &truth,
            style: &style,
            voices: voices.as_ref(),
            another: other.as_deref(),
            seed,
        };
        let values = self.predictor.predict(&take, done).map_err(|error| within(place, error))?;
        predict::accept(values, &take, place)
    }

    /// The voices that one person hears: the own one, and the partner's as the protocol has it.
    fn voices(
        &self,
        loaded: &Loaded,
        another: Option<&Loaded>,
        person: usize,
        place: &str,
    ) -> Result<[Vec<f32>; 2]> {
        let none = |place: &str| {
            Error::audio(place, "has no audio, which the system hears")
                .with_hint("evaluate on recordings with audio, or an audio-free system")
        };
        let own = loaded.voices[person].clone().ok_or_else(|| none(place))?;
        let silence = || vec![0.0; own.len()];
        let partner = match self.protocol.partner {
            Partner::Absent => silence(),
            Partner::True => match loaded.voices.get(1 - person) {
                None => silence(),
                Some(voice) => voice.clone().ok_or_else(|| none(place))?,
            },
            Partner::Shuffled => {
                let Some(another) = another else {
                    return Err(Error::argument(place, "there is no other recording to take a partner from")
                        .with_hint("shuffling partners needs two recordings or more"));
                };
                let last = another.voices.len() - 1;
                let voice = another.voices[(1 - person).min(last)].as_ref();
                repeated(voice.ok_or_else(|| none(&another.recording.name))?, own.len())
            }
        };
        Ok([own, partner])
    }

    fn score(&self, item: &Item, loaded: &Loaded, motions: &[Motion], seeds: Vec<u64>) -> Result<Scored> {
        let analyse = |voice: &Option<Vec<f32>>| voice.as_deref().map(Voice::analyse).transpose();
        let voices: Vec<Option<Voice>> = loaded.voices.iter().map(analyse).collect::<Result<_>>()?;
        let tracks = &loaded.recording.tracks;
        let partner = |person: usize| (tracks.len() == 2).then(|| 1 - person);
        let scores = motions.iter().enumerate().map(|(person, motion)| {
            let partner = partner(person);
            let person = Person {
                track: &tracks[person],
                own_voice: voices[person].as_ref(),
                partner_voice: partner.and_then(|partner| voices[partner].as_ref()),
                partner_motion: partner.map(|partner| tracks[partner].motion.as_slice()),
            };
            self.scorer.person(motion, &person)
        });
        let scores: Vec<PersonScores> = scores.collect::<Result<_>>()?;
        let pairs = |pick: fn(&PersonScores) -> &unils::metrics::frechet::Recording| {
            score::merged(&scores.iter().map(|scores| pick(scores).clone()).collect::<Vec<_>>())
        };
        let values: Vec<score::Values> = scores.iter().map(|scores| scores.values.clone()).collect();
        Ok(Scored {
            entry: item.entry,
            name: item.name.clone(),
            frames: loaded.frames(),
            seeds,
            values: score::average(&values),
            expression: pairs(|scores| &scores.expression)?,
            head: pairs(|scores| &scores.head)?,
            mask_from_voice: scores.iter().any(|scores| scores.mask_from_voice),
            lacks: scores.iter().flat_map(|scores| scores.lacks.iter().copied()).collect(),
            answers: scores.into_iter().flat_map(|scores| scores.answers).collect(),
        })
    }
}
