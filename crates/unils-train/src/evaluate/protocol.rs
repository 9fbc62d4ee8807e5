//! What is evaluated and how: everything that shapes the numbers, apart from the system itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use unils::generator::Sampling;
use unils::metrics::bootstrap::BootstrapOptions;

use crate::data::Split;

/// The motion that a system is shown as the person's manner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// The clip of a window from the middle of the same recording.
    Middle,
    /// None: zero motion.
    Zero,
}

/// The motion before the first window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Previous {
    /// Zero motion.
    Zero,
    /// The middle clip, its head rotation reduced to a tenth, as the release's inference over a dataset does it.
    Middle,
}

/// Whose motion is predicted and scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum People {
    /// The first participant of each recording.
    First,
    /// All participants; a recording's value is the mean of theirs.
    All,
}

/// The partner that a system hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partner {
    /// The one who was there.
    True,
    /// The voice of another recording's participant in the same place, from its beginning, repeated if it is shorter.
    Shuffled,
    /// Silence: the system hears the own voice alone.
    Absent,
}

/// How systems are evaluated. [`Protocol::release`] is the release's way.
#[derive(Debug, Clone, PartialEq)]
pub struct Protocol {
    /// The recordings.
    pub split: Split,
    /// How bits are drawn.
    pub sampling: Sampling,
    /// Seed of all draws: each recording's own seed follows from it and the recording's place in the data.
    pub seed: u64,
    /// Whether predictions go through the Savitzky-Golay filter.
    pub smooth: bool,
    /// The manner shown.
    pub style: Style,
    /// The motion before the start.
    pub previous: Previous,
    /// Whose motion is scored.
    pub people: People,
    /// The partner that is heard.
    pub partner: Partner,
    /// Only the first recordings.
    pub limit: Option<usize>,
    /// Frames of a style clip and of the windows whose seams are scored, for systems that have no window of their own.
    pub window: usize,
    /// Intervals of the means.
    pub bootstrap: BootstrapOptions,
}

impl Protocol {
    /// The release's evaluation: whole test recordings, their first participant, one sample each (guidance 1.5,
    /// temperature 1, seed 42), style from the middle of the same recording, zero previous motion, unsmoothed.
    pub fn release() -> Self {
        Self {
            split: Split::Test,
            sampling: Sampling::default(),
            seed: 42,
            smooth: false,
            style: Style::Middle,
            previous: Previous::Zero,
            people: People::First,
            partner: Partner::True,
            limit: None,
            window: 100,
            bootstrap: BootstrapOptions::default(),
        }
    }

    /// Where this is not the release's way, a sentence each; numbers compare with the paper's only without any. The
    /// seed does not count.
    pub fn departures(&self) -> Vec<String> {
        let release = Self::release();
        let mut found = Vec::new();
        let mut note = |differs: bool, text: String| {
            if differs {
                found.push(text);
            }
        };
        note(self.split != release.split, format!("the recordings are those of {}, not of test", self.split));
        note(self.limit.is_some(), "only the first recordings are scored".to_owned());
        note(self.sampling != release.sampling, "bits are drawn in another way".to_owned());
        note(self.smooth, "predictions are smoothed".to_owned());
        note(self.style != release.style, "no style clip is shown".to_owned());
        note(self.previous != release.previous, "a clip is shown as previous motion".to_owned());
        note(self.people != release.people, "all participants are scored, not only the first".to_owned());
        note(self.partner != release.partner, "the true partner is not heard".to_owned());
        found
    }

    /// What shaped each recording's numbers, by name.
    pub(super) fn settings(&self) -> BTreeMap<String, String> {
        let own = [
            ("split", self.split.to_string()),
            ("seed", self.seed.to_string()),
            ("smooth", self.smooth.to_string()),
            ("style", self.style.name().to_owned()),
            ("previous", self.previous.name().to_owned()),
            ("people", self.people.name().to_owned()),
            ("partner", self.partner.name().to_owned()),
        ];
        own.into_iter().chain(self.sampling.facts()).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl Style {
    fn name(self) -> &'static str {
        match self {
            Self::Middle => "middle",
            Self::Zero => "zero",
        }
    }
}

impl Previous {
    fn name(self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Middle => "middle",
        }
    }
}

impl People {
    fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::All => "all",
        }
    }
}

impl Partner {
    fn name(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::Shuffled => "shuffled",
            Self::Absent => "absent",
        }
    }
}
