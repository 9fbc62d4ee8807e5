//! Recordings in, batches of clips out.
//!
//! The first part of training. A [`Store`] is a set of recordings of one or two people: motion at 25 frames a
//! second, audio at 16 kHz (640 samples a frame), who was speaking when. Two forms of it are read: the release's
//! LMDB with its metadata files ([`ReleaseStore`]) and our own [corpus](CorpusStore), a folder of FLAC and npz files
//! with one index, which [`CorpusWriter`] writes and [`import_store`] and [`import_folder`] fill. [`check`] looks for
//! what would spoil a training, [`motion_stats`] makes the statistics file. A [`Loader`] cuts seeded clips by the
//! release's rules ([`ClipRule`]) on several threads; [`Evaluation`] goes through whole recordings.
//!
//! Nothing here depends on the framework that trains: batches are plain `Vec<f32>`.
//!
//! ```
//! use std::sync::Arc;
//! use unils::motion::Space;
//! use unils_train::data::{
//!     ClipRule, CorpusOptions, CorpusStore, CorpusWriter, Loader, LoaderOptions, Recording, Split, Track, View,
//! };
//! # let folder = std::env::temp_dir().join(format!("unils-doc-data-{}", std::process::id()));
//! let writer = CorpusWriter::create(&folder, Space::Arkit55, CorpusOptions::default())?;
//! let motion = (0..200 * 55).map(|index| (index as f32 * 0.01).sin()).collect();
//! let recording = Recording::new("talk", Space::Arkit55, vec![Track::new("ann", motion)]);
//! writer.add(Split::Train, &recording)?;
//!
//! let store = Arc::new(CorpusStore::open(&folder)?);
//! let options = LoaderOptions { batch: 4, ..LoaderOptions::new(ClipRule::release(100), View::Motion) };
//! let batch = Loader::new(store, options)?.next_batch()?;
//! assert_eq!(batch.motion.len(), 4 * 100 * 55);
//! # drop(writer);
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<(), unils::Error>(())
//! ```

mod cache;
mod calibrated;
mod centre;
mod chance;
mod check;
mod clip;
mod corpus;
mod corpus_index;
mod corpus_writer;
mod evaluation;
mod findings;
mod flac;
mod import;
mod import_folder;
mod lmdb;
mod lmdb_page;
mod loader;
mod metadata;
mod open;
mod pairs;
mod parallel;
mod release;
mod rows;
mod sounds;
mod stats;
mod store;

pub use calibrated::Calibrated;
pub use check::{CheckOptions, check};
pub use clip::{Clip, ClipRule, Draw, Item, View, Whole};
pub use corpus::CorpusStore;
pub use corpus_writer::{Added, AudioDepth, CorpusOptions, CorpusWriter};
pub use evaluation::Evaluation;
pub use findings::{CheckReport, Finding, FindingKind, Severity, SplitSummary};
pub use import::{ImportOptions, ImportReport, Progress, Skipped, import_store};
pub use import_folder::{FolderImport, FolderMotion, MotionFiles, SplitRule, import_folder};
pub use lmdb::Lmdb;
pub(crate) use loader::items_of;
pub use loader::{BadRecords, Batch, Loader, LoaderOptions, Shard};
pub use metadata::{Metadata, MetadataForm};
pub use open::{is_store, open_store};
pub use release::ReleaseStore;
pub use sounds::{PAUSE, SOUNDS, UNKNOWN, sound_number};
pub use stats::{motion_stats, write_stats};
pub use store::{
    Element, Entry, Participant, Person, Phoneme, Recording, Samples, Split, Store, Track, Want,
};
pub(crate) use store::{record_place, within};
