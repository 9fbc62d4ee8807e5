//! Which voices there are, and which of them are kept for validation and testing.
//!
//! What is kept apart, from easy to hard: espeak-ng's variants (timbres) that no other split has; flite's `kal16`, which
//! is Festival's `kal`; Festival as a whole; German. A person whom two synthesisers have is never in two splits: flite's
//! `slt` is that of Festival's `cmu_us_slt_arctic_hts`, which is therefore not used.

use std::fmt;

use unils::{Error, Result};
use unils_train::data::Split;

use super::{Engine, Manner};
use crate::dice::Dice;

/// A language that sentences can be made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// English: all splits.
    English,
    /// German: the test split alone.
    German,
    /// [Words that nobody knows](crate::text), read in an accent of English or as if they were of one of
    /// `ACCENTS_ABROAD`: training alone.
    MadeUp,
}

/// One voice of a synthesiser.
#[derive(Debug, Clone, PartialEq)]
pub struct Voice {
    /// The program that has it.
    pub engine: Engine,
    /// Its name there.
    pub name: String,
    /// What it speaks.
    pub language: Language,
    /// Its usual pitch, Hz, where the program must be told.
    pub pitch_hz: f64,
    /// The only split that it is used in.
    pub split: Split,
}

impl fmt::Display for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.engine, self.name)
    }
}

/// espeak-ng's accents of English; `gmw/en` is British, which the name `en-gb` does not find.
const ACCENTS: [&str; 8] = [
    "en-us",
    "gmw/en",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-rp",
    "en-gb-x-gbcwmd",
    "en-029",
    "en-us-nyc",
];

/// Languages in which espeak-ng reads words that are made up: those whose sounds have places among
/// [our 44](crate::Phone), German not among them.
const ACCENTS_ABROAD: [&str; 26] = [
    "it", "fr", "nl", "sv", "nb", "pl", "fi", "hu", "tr", "cs", "id", "et", "sl", "sw", "ro", "hr", "sk",
    "lv", "lt", "af", "cy", "sq", "mt", "az", "ms", "ht",
];

/// Share of a split's conversations that are in German or in made-up words, if it has such voices. Half of training is in
/// words that nobody knows: who hears the same few hundred words all the time guesses sounds by the ones before.
fn other_share(split: Split) -> f64 {
    if split == Split::Train { 0.5 } else { 0.25 }
}

/// espeak-ng's variants that sound like people, for training.
const TRAIN_VARIANTS: [&str; 48] = [
    "f1", "f2", "f4", "m1", "m2", "m4", "m5", "m6", "m8", "adam", "Alex", "Alicia", "Andrea", "Annie",
    "antonio", "aunty", "benjamin", "boris", "caleb", "david", "Denis", "ed", "edward", "edward2", "Gene",
    "grandma", "Henrique", "Hugo", "iven", "iven2", "Jacky", "john", "klatt", "klatt2", "Lee", "linda",
    "Marco", "max", "Michael", "miguel", "Nguyen", "norbert", "pablo", "quincy", "rob", "shelby", "steph",
    "victor",
];

/// Those for validation.
const VAL_VARIANTS: [&str; 6] = ["f3", "m3", "belinda", "mike", "steph2", "travis"];

/// Those for testing.
const TEST_VARIANTS: [&str; 9] = ["f5", "m7", "anika", "Andy", "klatt4", "Diogo", "paul", "steph3", "sandro"];

/// All voices of a program, first one that is always installed with it.
pub fn voices_of(engine: Engine) -> Vec<Voice> {
    let voice = |name: &str, language, pitch_hz, split| Voice {
        engine,
        name: name.to_owned(),
        language,
        pitch_hz,
        split,
    };
    match engine {
        Engine::EspeakNg => {
            let lists: [(&[&str], Split); 3] =
                [(&TRAIN_VARIANTS, Split::Train), (&VAL_VARIANTS, Split::Val), (&TEST_VARIANTS, Split::Test)];
            let mut voices = Vec::new();
            for (variants, split) in lists {
                for accent in ACCENTS {
                    let names = variants.iter().map(|variant| format!("{accent}+{variant}"));
                    voices.extend(names.map(|name| voice(&name, Language::English, 0.0, split)));
                }
            }
            let german = TEST_VARIANTS.iter().map(|variant| format!("de+{variant}"));
            voices.extend(german.map(|name| voice(&name, Language::German, 0.0, Split::Test)));
            for accent in ACCENTS.into_iter().chain(ACCENTS_ABROAD) {
                let names = TRAIN_VARIANTS.iter().map(|variant| format!("{accent}+{variant}"));
                voices.extend(names.map(|name| voice(&name, Language::MadeUp, 0.0, Split::Train)));
            }
            voices
        }
        Engine::Flite => {
            let train = [("slt", 172.0), ("rms", 92.0), ("awb", 118.0)];
            let of_train =
                |language| train.map(|(name, pitch_hz)| voice(name, language, pitch_hz, Split::Train));
            let mut voices = of_train(Language::English).to_vec();
            voices.extend(of_train(Language::MadeUp));
            voices.push(voice("kal16", Language::English, 105.0, Split::Test));
            voices
        }
        Engine::Festival => ["voice_kal_diphone", "voice_ked_diphone"]
            .map(|name| voice(name, Language::English, 105.0, Split::Test))
            .to_vec(),
    }
}

/// The voices that there are, for casting conversations.
#[derive(Debug, Clone)]
pub struct Casting {
    voices: Vec<Voice>,
}

impl Casting {
    /// The voices of these programs.
    ///
    /// # Errors
    /// [`Error::Argument`] without espeak-ng and flite: nothing is left to train on. The hint says how to install them.
    pub fn new(engines: &[Engine]) -> Result<Self> {
        let voices: Vec<Voice> = engines.iter().flat_map(|&engine| voices_of(engine)).collect();
        if !voices.iter().any(|voice| voice.split == Split::Train) {
            return Err(Error::argument(
                "speech synthesis",
                "no program with voices for training is installed",
            )
            .with_hint(Engine::ALL.map(Engine::install).join("; ")));
        }
        Ok(Self { voices })
    }

    /// Two different voices of one language for a recording of the split. Programs have their share whatever the
    /// number of their voices; a split without voices of its own is cast from those of training.
    pub fn pair(&self, split: Split, dice: &mut Dice) -> Option<[(&Voice, Manner); 2]> {
        let of_split = |split| self.voices.iter().filter(move |voice| voice.split == split);
        let split = if of_split(split).next().is_some() { split } else { Split::Train };
        let mut languages = of_split(split).map(|voice| voice.language);
        let other = languages.find(|&language| language != Language::English);
        let language = other.filter(|_| dice.chance(other_share(split))).unwrap_or(Language::English);
        let choices: Vec<&Voice> = of_split(split).filter(|voice| voice.language == language).collect();
        let first = draw(&choices, dice)?;
        let others: Vec<&Voice> = choices.into_iter().filter(|voice| **voice != *first).collect();
        let second = draw(&others, dice).unwrap_or(first);
        Some([(first, manner(dice)), (second, manner(dice))])
    }
}

/// A voice of a program that is drawn first.
fn draw<'a>(voices: &[&'a Voice], dice: &mut Dice) -> Option<&'a Voice> {
    let has = |engine: &Engine| voices.iter().any(|voice| voice.engine == *engine);
    let engines: Vec<Engine> = Engine::ALL.into_iter().filter(has).collect();
    let weights: Vec<f64> =
        engines.iter().map(|engine| if *engine == Engine::EspeakNg { 0.6 } else { 0.4 }).collect();
    let engine = *engines.get(dice.weighted(&weights))?;
    let choices: Vec<&Voice> = voices.iter().filter(|voice| voice.engine == engine).copied().collect();
    dice.pick(&choices).copied()
}

/// How a person speaks: drawn once a recording.
fn manner(dice: &mut Dice) -> Manner {
    Manner {
        rate: dice.log_normal(1.0, 0.12).clamp(0.75, 1.35),
        pitch: dice.log_normal(1.0, 0.12).clamp(0.75, 1.35),
        size: dice.normal_within(1.0, 0.07, 0.15),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn no_timbre_is_in_two_splits() {
        let mut splits: HashMap<String, Split> = HashMap::new();
        for voice in Engine::ALL.into_iter().flat_map(voices_of) {
            let timbre = match voice.name.split_once('+') {
                Some((_, variant)) => format!("espeak {variant}"),
                None => voice.name.clone(),
            };
            assert_eq!(*splits.entry(timbre).or_insert(voice.split), voice.split, "{voice}");
            assert!(voice.language != Language::German || voice.split == Split::Test, "{voice}");
            assert!(voice.language != Language::MadeUp || voice.split == Split::Train, "{voice}");
            assert!(voice.engine != Engine::Festival || voice.split == Split::Test);
        }
        assert_eq!(splits["kal16"], splits["voice_kal_diphone"]);
    }

    #[test]
    fn pairs_are_cast_from_what_is_there() {
        let mut dice = Dice::new(0, 0, "casting");
        let casting = Casting::new(&Engine::ALL).unwrap();
        let (mut german, mut made_up, mut flite) = (0, 0, 0);
        for _ in 0..400 {
            for split in [Split::Train, Split::Val, Split::Test] {
                let [(a, _), (b, manner)] = casting.pair(split, &mut dice).unwrap();
                assert!(a.split == split && b.split == split && a != b && a.language == b.language);
                assert!((0.8..1.2).contains(&manner.size));
                german += usize::from(a.language == Language::German);
                made_up += usize::from(a.language == Language::MadeUp);
                flite += usize::from(split == Split::Train && a.engine == Engine::Flite);
            }
        }
        assert!((60..140).contains(&german), "{german}");
        assert!((160..240).contains(&made_up), "{made_up}");
        assert!((120..200).contains(&flite), "{flite}");
        assert!(
            Casting::new(&[Engine::Festival]).unwrap_err().hint().unwrap().contains("apt-get install flite")
        );
        let flite = Casting::new(&[Engine::Flite]).unwrap();
        assert!(flite.pair(Split::Val, &mut dice).unwrap()[0].0.split == Split::Train);
    }
}
