//! Speech with phoneme times, from the synthesisers that are installed.
//!
//! First in the pipeline. Three programs are driven, each through a [`Synthesiser`]: [espeak-ng](espeak) (formant
//! synthesis, many accents, languages and variants), [`flite`] and [`festival`] (recorded voices). Their
//! symbols come as [`Phone`]s, their audio at 16 kHz. A [`Manner`] varies a voice: its rate, its pitch and, by playing
//! the audio faster or slower with the other two compensated, the size of its vocal tract.
//!
//! Text never passes through a shell, and only letters, spaces and plain punctuation reach a program. A program that
//! hangs is ended after [`LIMIT`].
//!
//! [`casting`] says which voices there are and which are held out for validation and testing.

pub mod casting;
pub mod espeak;
pub mod festival;
pub mod flite;
mod process;
mod trim;

use std::fmt;
use std::time::Duration;

use unils::{Error, Result};

pub use casting::{Casting, Language, Voice};

use crate::phones::{Phone, Segment};

/// The longest that a synthesiser may take for a sentence.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A program that speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Engine {
    /// espeak-ng, through its library.
    EspeakNg,
    /// flite.
    Flite,
    /// Festival.
    Festival,
}

impl Engine {
    /// All programs.
    pub const ALL: [Self; 3] = [Self::EspeakNg, Self::Flite, Self::Festival];

    /// Its name, also that of its Debian package.
    pub fn name(self) -> &'static str {
        match self {
            Self::EspeakNg => "espeak-ng",
            Self::Flite => "flite",
            Self::Festival => "festival",
        }
    }

    /// The command that installs it on Debian and Ubuntu.
    pub fn install(self) -> &'static str {
        match self {
            Self::EspeakNg => "apt-get install espeak-ng",
            Self::Flite => "apt-get install flite",
            Self::Festival => "apt-get install festival festvox-kallpc16k festvox-kdlpc16k",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a voice speaks; 1 is as usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Manner {
    /// Speaking rate.
    pub rate: f64,
    /// Pitch.
    pub pitch: f64,
    /// Size of the vocal tract: formants lie that much lower.
    pub size: f64,
}

impl Default for Manner {
    fn default() -> Self {
        Self { rate: 1.0, pitch: 1.0, size: 1.0 }
    }
}

impl Manner {
    /// What the synthesiser must be asked for, so that rate and pitch come out right after the audio was stretched by
    /// the size.
    fn before_resizing(self) -> Self {
        Self { rate: self.rate * self.size, pitch: self.pitch * self.size, size: 1.0 }
    }
}

/// What a synthesiser said, as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    /// One channel, full scale at -1 and 1.
    pub samples: Vec<f32>,
    /// Samples a second.
    pub rate: u32,
    /// The sounds; pauses are not among them.
    pub phones: Vec<Segment>,
}

/// Something said: audio at 16 kHz that begins and ends with speech, and its sounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Spoken {
    /// One channel, 16 kHz.
    pub samples: Vec<f32>,
    /// The sounds, in order.
    pub phones: Vec<Segment>,
}

impl Spoken {
    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(unils::motion::SAMPLE_RATE)
    }
}

/// A program that speaks with phoneme times.
pub trait Synthesiser {
    /// Speaks a text that [`is_plain`] in one of its voices.
    ///
    /// # Errors
    /// [`Error::Audio`] if the program fails, hangs, or gives something unexpected.
    fn say(&mut self, text: &str, voice: &Voice, manner: Manner) -> Result<Raw>;
}

/// The synthesisers of one recording. Everything they say depends on what this object said before at most, so that
/// recordings do not depend on each other.
pub struct Studio {
    espeak: espeak::Espeak,
    flite: flite::Flite,
    festival: festival::Festival,
}

impl fmt::Debug for Studio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Studio").finish_non_exhaustive()
    }
}

impl Studio {
    /// A studio whose espeak-ng runs in the process that this command line starts (see [`espeak::serve`]).
    pub fn new(worker: &[std::ffi::OsString]) -> Self {
        Self {
            espeak: espeak::Espeak::new(worker),
            flite: flite::Flite::default(),
            festival: festival::Festival::default(),
        }
    }

    /// Speaks.
    ///
    /// # Errors
    /// [`Error::Argument`] for a text that is not plain; [`Error::Audio`] as [`Synthesiser::say`], and if nothing
    /// was said.
    pub fn say(&mut self, text: &str, voice: &Voice, manner: Manner) -> Result<Spoken> {
        if !is_plain(text) {
            return Err(Error::argument("text", format!("{text:?} is more than letters and punctuation")));
        }
        let asked = manner.before_resizing();
        let raw = match voice.engine {
            Engine::EspeakNg => self.espeak.say(text, voice, asked),
            Engine::Flite => self.flite.say(text, voice, asked),
            Engine::Festival => self.festival.say(text, voice, asked),
        }?;
        trim::finish(raw, manner.size)
            .map_err(|error| error.with_hint(format!("{voice} could not say {text:?}")))
    }
}

/// Whether a text holds nothing but letters, spaces and the punctuation `. , ? ! ' -`, and some letter.
pub fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_alphabetic() || matches!(c, ' ' | '.' | ',' | '?' | '!' | '\'' | '-');
    // A leading dash would be taken for an option.
    text.len() <= 2000 && text.chars().all(plain) && text.chars().next().is_some_and(char::is_alphabetic)
}

/// The programs that are there, each tried with a word.
pub fn installed(worker: &[std::ffi::OsString]) -> Vec<Engine> {
    let works = |engine: &Engine| {
        let mut studio = Studio::new(worker);
        let voices = casting::voices_of(*engine);
        voices.first().is_some_and(|voice| studio.say("Hello.", voice, Manner::default()).is_ok())
    };
    Engine::ALL.into_iter().filter(works).collect()
}

/// Sounds from the ends of symbols, as flite and festival give them; what is no sound is a pause.
fn from_ends(symbols: impl IntoIterator<Item = (String, f64)>) -> Vec<Segment> {
    let mut start_s = 0.0;
    let mut phones = Vec::new();
    for (symbol, end_s) in symbols {
        if let Some(phone) = Phone::from_arpabet(&symbol).filter(|_| end_s > start_s) {
            phones.push(Segment { phone, start_s, end_s });
        }
        start_s = f64::max(start_s, end_s);
    }
    phones
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_text_is_spoken() {
        for text in ["Hello there.", "Ich möchte fünf Äpfel, bitte!", "It's half-past."] {
            assert!(is_plain(text), "{text}");
        }
        for text in ["", "-o file", "a; rm", "a\"b", "(a)", "`a`", "$a", "<speak>", "a\nb", "7 days"] {
            assert!(!is_plain(text), "{text}");
        }
        let error =
            Studio::new(&[]).say("(exit)", &casting::voices_of(Engine::Festival)[0], Manner::default());
        assert!(matches!(error, Err(Error::Argument(_))));
    }

    #[test]
    fn ends_become_spans() {
        let symbols = [("pau", 0.2), ("m", 0.25), ("ey", 0.41), ("pau", 0.6), ("b", 0.7)];
        let phones = from_ends(symbols.map(|(symbol, end)| (symbol.to_owned(), end)));
        let spans: Vec<_> = phones.iter().map(|p| (p.phone, p.start_s, p.end_s)).collect();
        assert_eq!(spans, [(Phone::M, 0.2, 0.25), (Phone::Ey, 0.25, 0.41), (Phone::B, 0.6, 0.7)]);
    }
}
