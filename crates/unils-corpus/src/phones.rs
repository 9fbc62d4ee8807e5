//! The speech sounds that all synthesisers' symbols are brought to.
//!
//! An inventory of 44: ARPAbet's for English (the alphabet of flite and festival) without stress, two front rounded
//! vowels and the velar fricative for other languages. [`Phone::from_arpabet`] reads flite and festival,
//! [`Phone::from_ipa`] espeak-ng, whose events may hold several sounds. The symbols are the corpus's phoneme labels.
//!
//! ```
//! use unils_corpus::Phone;
//! assert_eq!(Phone::from_arpabet("hh"), Some(Phone::H));
//! assert_eq!(Phone::from_ipa("əl"), [Phone::Ax, Phone::L]);
//! assert!(Phone::M.is_bilabial() && Phone::Ey.is_vowel());
//! ```

macro_rules! phones {
    ($($(#[$doc:meta])* $name:ident $symbol:literal),* $(,)?) => {
        /// A speech sound.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Phone { $($(#[$doc])* $name),* }

        impl Phone {
            /// All sounds.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The label: ARPAbet in lower case, or as described at the variant.
            pub fn symbol(self) -> &'static str {
                match self { $(Self::$name => $symbol),* }
            }
        }
    };
}

phones! {
    /// f*a*ther
    Aa "aa",
    /// c*a*t
    Ae "ae",
    /// c*u*p
    Ah "ah",
    /// l*aw*
    Ao "ao",
    /// *a*bout
    Ax "ax",
    /// b*e*d
    Eh "eh",
    /// b*ir*d
    Er "er",
    /// b*i*t
    Ih "ih",
    /// b*ee*
    Iy "iy",
    /// b*oo*k
    Uh "uh",
    /// b*oo*t
    Uw "uw",
    /// French t*u*, German *ü*ber
    Ue "ue",
    /// French p*eu*, German sch*ö*n
    Oe "oe",
    /// n*ow*
    Aw "aw",
    /// m*y*
    Ay "ay",
    /// d*ay*
    Ey "ey",
    /// g*o*
    Ow "ow",
    /// b*oy*
    Oy "oy",
    /// *p*ea
    P "p",
    /// *b*ee
    B "b",
    /// *m*e
    M "m",
    /// *f*ee
    F "f",
    /// *v*ow
    V "v",
    /// *th*in
    Th "th",
    /// *th*is
    Dh "dh",
    /// *t*ea
    T "t",
    /// *d*o
    D "d",
    /// *n*o
    N "n",
    /// *s*ee
    S "s",
    /// *z*oo
    Z "z",
    /// *l*ow
    L "l",
    /// *r*ow
    R "r",
    /// *sh*e
    Sh "sh",
    /// mea*s*ure
    Zh "zh",
    /// *ch*in
    Ch "ch",
    /// *j*oy
    Jh "jh",
    /// *k*ey
    K "k",
    /// *g*o
    G "g",
    /// si*ng*
    Ng "ng",
    /// Scottish lo*ch*
    X "x",
    /// *h*e
    H "h",
    /// *w*e
    W "w",
    /// *y*es
    Y "y",
    /// The breath before a vowel that begins a word in German
    Glottal "q",
}

impl Phone {
    /// The sound of an ARPAbet symbol as flite and festival write it; none for pauses and unknown symbols.
    pub fn from_arpabet(symbol: &str) -> Option<Self> {
        match symbol {
            "hh" | "hv" => Some(Self::H),
            "axr" => Some(Self::Er),
            "ix" => Some(Self::Ih),
            "dx" => Some(Self::D),
            "nx" | "en" => Some(Self::N),
            "el" => Some(Self::L),
            "em" => Some(Self::M),
            _ => Self::ALL.iter().copied().find(|phone| phone.symbol() == symbol),
        }
    }

    /// The sounds of an IPA symbol as espeak-ng reports it, marks of length and stress left out; empty for pauses.
    /// A name in parentheses says in which language it goes on, and is no sound.
    pub fn from_ipa(symbol: &str) -> Vec<Self> {
        if symbol.starts_with('(') {
            return Vec::new();
        }
        let letters: Vec<char> = symbol.chars().collect();
        let (mut phones, mut at) = (Vec::new(), 0);
        while at < letters.len() {
            let pair = letters.get(at + 1).map(|&next| [letters[at], next]);
            if let Some(found) = pair.and_then(of_pair) {
                phones.extend_from_slice(found);
                at += 2;
            } else {
                phones.extend(of_letter(letters[at]));
                at += 1;
            }
        }
        phones
    }

    /// Whether both lips close for it.
    pub fn is_bilabial(self) -> bool {
        matches!(self, Self::P | Self::B | Self::M)
    }

    /// Whether it is a vowel, single or gliding.
    pub fn is_vowel(self) -> bool {
        (self as usize) <= (Self::Oy as usize)
    }

    /// Whether the breath is stopped first: synthesisers that stamp it at its release leave the closure unlabelled.
    pub fn is_stop(self) -> bool {
        matches!(self, Self::P | Self::B | Self::T | Self::D | Self::K | Self::G | Self::Ch | Self::Jh)
    }

    /// Where a gliding vowel begins and ends; none for other sounds.
    pub fn glide(self) -> Option<[Self; 2]> {
        match self {
            Self::Aw => Some([Self::Aa, Self::Uh]),
            Self::Ay => Some([Self::Aa, Self::Ih]),
            Self::Ey => Some([Self::Eh, Self::Iy]),
            Self::Ow => Some([Self::Ao, Self::Uh]),
            Self::Oy => Some([Self::Ao, Self::Ih]),
            _ => None,
        }
    }
}

fn of_pair(pair: [char; 2]) -> Option<&'static [Phone]> {
    Some(match pair {
        ['e' | 'ɛ' | 'ə', 'ɪ' | 'i'] => &[Phone::Ey],
        ['a', 'ɪ' | 'i'] | ['ɑ', 'ɪ'] | ['ʌ', 'ɪ'] => &[Phone::Ay],
        ['a' | 'ɑ' | 'æ', 'ʊ' | 'u'] => &[Phone::Aw],
        ['o' | 'ə' | 'ɐ' | 'ʌ', 'ʊ' | 'u' | 'ʉ'] => &[Phone::Ow],
        ['ɔ' | 'o', 'ɪ' | 'ø' | 'ʏ' | 'i'] => &[Phone::Oy],
        ['a', 'a'] => &[Phone::Aa],
        ['?', '?'] => &[Phone::Glottal],
        ['t', 'ʃ' | 'ɕ'] => &[Phone::Ch],
        ['d', 'ʒ' | 'ʑ'] => &[Phone::Jh],
        _ => return None,
    })
}

fn of_letter(letter: char) -> Option<Phone> {
    Some(match letter {
        'ɑ' | 'a' | 'ɐ' | 'ɒ' => Phone::Aa,
        'æ' => Phone::Ae,
        'ʌ' => Phone::Ah,
        'ɔ' | 'o' | 'ɤ' => Phone::Ao,
        'ə' | 'ɵ' | 'ɘ' => Phone::Ax,
        'ɛ' | 'e' => Phone::Eh,
        'ɜ' | 'ɚ' | 'ɝ' | 'ɞ' => Phone::Er,
        'ɪ' | 'ᵻ' | 'ɨ' => Phone::Ih,
        'i' => Phone::Iy,
        'ʊ' | 'ᵿ' => Phone::Uh,
        'u' | 'ʉ' | 'ɯ' => Phone::Uw,
        'y' | 'ʏ' => Phone::Ue,
        'ø' | 'œ' => Phone::Oe,
        'p' | 'ɸ' => Phone::P,
        'b' | 'β' => Phone::B,
        'm' | 'ɱ' => Phone::M,
        'f' => Phone::F,
        'v' | 'ʋ' => Phone::V,
        'θ' => Phone::Th,
        'ð' => Phone::Dh,
        't' | 'ʈ' => Phone::T,
        'd' | 'ɖ' | 'ɾ' => Phone::D,
        'n' | 'ɲ' | 'ɳ' => Phone::N,
        's' => Phone::S,
        'z' => Phone::Z,
        'l' | 'ɫ' | 'ʎ' | 'ɭ' => Phone::L,
        'ɹ' | 'r' | 'ʁ' | 'ʀ' | 'ɻ' => Phone::R,
        'ʃ' | 'ɕ' | 'ʂ' => Phone::Sh,
        'ʒ' | 'ʑ' | 'ʐ' => Phone::Zh,
        'k' | 'q' | 'c' => Phone::K,
        'ɡ' | 'g' | 'ɟ' => Phone::G,
        'ŋ' => Phone::Ng,
        'x' | 'χ' | 'ç' | 'ɣ' => Phone::X,
        'h' | 'ɦ' => Phone::H,
        'w' | 'ʍ' | 'ɥ' => Phone::W,
        'j' | 'ʝ' | 'ʲ' => Phone::Y,
        'ʔ' => Phone::Glottal,
        _ => return None,
    })
}

/// A speech sound with its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// The sound.
    pub phone: Phone,
    /// Begin, seconds.
    pub start_s: f64,
    /// End, seconds.
    pub end_s: f64,
}

impl Segment {
    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        self.end_s - self.start_s
    }

    /// The same, so much later.
    #[must_use]
    pub fn later(self, seconds: f64) -> Self {
        Self { start_s: self.start_s + seconds, end_s: self.end_s + seconds, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_unique_and_read_back() {
        for (index, phone) in Phone::ALL.iter().enumerate() {
            assert_eq!(Phone::from_arpabet(phone.symbol()), Some(*phone));
            assert!(Phone::ALL[..index].iter().all(|other| other.symbol() != phone.symbol()));
        }
        let symbols: Vec<&str> = Phone::ALL.iter().map(|phone| phone.symbol()).collect();
        assert_eq!(symbols, unils_train::data::SOUNDS, "what the speech stage learns");
        assert_eq!(Phone::ALL.iter().filter(|phone| phone.is_vowel()).count(), 18);
        assert_eq!(Phone::from_arpabet("pau"), None);
    }

    #[test]
    fn espeak_s_symbols_are_taken_apart() {
        use Phone::*;
        for (symbol, phones) in [
            ("eɪ", vec![Ey]),
            ("aɪə", vec![Ay, Ax]),
            ("iː", vec![Iy]),
            ("pf", vec![P, F]),
            ("ts", vec![T, S]),
            ("tʃ", vec![Ch]),
            ("ɔø", vec![Oy]),
            ("ɑːɹ", vec![Aa, R]),
            ("ʊɹ", vec![Uh, R]),
            ("n̩", vec![N]),
            ("əʊ", vec![Ow]),
            ("ʲ", vec![Y]),
            ("", vec![]),
            ("(en)", vec![]),
        ] {
            assert_eq!(Phone::from_ipa(symbol), phones, "{symbol}");
        }
    }
}
