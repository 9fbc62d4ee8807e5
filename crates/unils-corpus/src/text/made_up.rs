//! Words made up of syllables, which espeak-ng reads by the rules of many languages, and flite by those of English: their
//! sounds without their senses.
//!
//! Two fifths of the onsets are made with the lips, half of the vowels are written as rounded ones. Letters are few and
//! common; where a word happens to look foreign, espeak-ng says it in English and names the language in its events. flite
//! leaves out letters beyond a to z, and their sounds with them.

use super::Rule;

pub(super) const RULES: &[Rule] = &[
    ("statement", &["{words}.", "{words}, {words}.", "{words} {short} {words}.", "{word} {words}, {words}."]),
    ("question", &["{words}?", "{short} {words}?", "{word}, {words}?"]),
    ("answer", &["{short}, {words}.", "{word}, {words}.", "{words}."]),
    ("acknowledgement", &["{open}.", "{vowel}{open}.", "{open} {open}.", "m{vowel}."]),
    ("filler", &["{open},", "{vowel}{open},"]),
    ("words", &["{word} {word}", "{word} {short} {word}", "{word} {word} {word}", "{short} {word} {word}"]),
    (
        "word",
        &[
            "{open}{syllable}",
            "{syllable}{open}",
            "{open}{open}",
            "{open}{open}{open}",
            "{open}{syllable}{open}",
            "{vowel}{open}{syllable}",
        ],
    ),
    ("short", &["{open}", "{vowel}{coda}", "{syllable}"]),
    ("syllable", &["{onset}{vowel}{coda}"]),
    ("open", &["{onset}{vowel}"]),
    (
        "onset",
        &[
            "p", "b", "m", "p", "b", "m", "f", "v", "t", "d", "n", "s", "z", "l", "r", "k", "g", "h", "j",
            "ch", "pl", "br", "tr", "st", "fl", "gr",
        ],
    ),
    ("vowel", &["a", "e", "i", "o", "u", "a", "e", "i", "o", "u", "ö", "ü", "ou", "ai"]),
    ("coda", &["n", "l", "r", "s", "t", "m", "p", "k", "f"]),
];
