//! Shape names of heads made by others, matched to ARKit's 52.
//!
//! Exporters and artists spell them in many ways: `EyeBlinkLeft`, `eyeBlink_L`, `eye-blink.l`,
//! `blendShape1.eyeBlink_Left`, `ARKit_eyeBlinkLeft`, `Fcl_EyeBlink_L`. A name matches if, its case and separators
//! aside, it is one of Apple's with the side written `Left`, `Right`, `L` or `R`, alone or behind a prefix that ends
//! in a separator. Some heads split `browInnerUp` and `cheekPuff` into a left and a right half: both halves belong to
//! the one shape.
//!
//! ```
//! use unils::face::names::match_names;
//! let matches = match_names(&["head_EyeBlink_L", "cheekPuff.L", "cheekPuff.R", "viseme_aa"]);
//! assert_eq!(matches.shapes, [Some("eyeBlinkLeft"), Some("cheekPuff"), Some("cheekPuff"), None]);
//! ```

use std::fmt;
use std::sync::LazyLock;

use super::BlendshapeRig;
use crate::motion::{Space, Unit};

/// Shapes that ARKit has once and some heads have as two halves.
const SPLIT: [&str; 2] = ["browInnerUp", "cheekPuff"];

/// More words than any of Apple's names has.
const MOST_WORDS: usize = 6;

/// How the names of a file became ARKit's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShapeReport {
    /// Names of the file and the shapes of ARKit that they are, in the file's order.
    pub matched: Vec<(String, &'static str)>,
    /// Names of shapes that are none of ARKit's; the rig has them under these.
    pub extra: Vec<String>,
    /// Names left out because another name of the same mesh says the same shape more exactly, or first.
    pub duplicates: Vec<(String, &'static str)>,
    /// ARKit's shapes that the head lacks, in Apple's order: motion of these is not seen.
    pub missing: Vec<&'static str>,
    /// What else the reader assumed or left out, a sentence each.
    pub notes: Vec<String>,
}

impl ShapeReport {
    /// That of a rig whose shapes have Apple's names or their own.
    pub fn of_rig(rig: &BlendshapeRig) -> Self {
        let mut report = Self { missing: rig.missing(), ..Self::default() };
        for shape in rig.shapes() {
            match coefficients().find(|&name| name == shape.name) {
                Some(name) => report.matched.push((shape.name.clone(), name)),
                None => report.extra.push(shape.name.clone()),
            }
        }
        report
    }

    /// Adds the names of a mesh; those known already are not repeated.
    pub(super) fn add(&mut self, names: &[String], matches: &NameMatches) {
        fn once<T: PartialEq>(list: &mut Vec<T>, item: T) {
            if !list.contains(&item) {
                list.push(item);
            }
        }
        for (index, (name, shape)) in names.iter().zip(&matches.shapes).enumerate() {
            let duplicate = matches.duplicates.iter().find(|(at, _)| *at == index);
            match (shape, duplicate) {
                (Some(shape), _) => once(&mut self.matched, (name.clone(), *shape)),
                (None, Some((_, shape))) => once(&mut self.duplicates, (name.clone(), *shape)),
                (None, None) => once(&mut self.extra, name.clone()),
            }
        }
    }
}

impl fmt::Display for ShapeReport {
    /// A few lines for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shapes: Vec<&str> = self.matched.iter().map(|(_, shape)| *shape).collect();
        shapes.sort_unstable();
        shapes.dedup();
        write!(f, "{} of ARKit's 52 shapes", shapes.len())?;
        let list = |f: &mut fmt::Formatter<'_>, what: &str, names: &[&str]| match names {
            [] => Ok(()),
            _ => write!(f, "\n{what}: {}", names.join(", ")),
        };
        list(f, "missing", &self.missing)?;
        let extra: Vec<&str> = self.extra.iter().map(String::as_str).collect();
        list(f, "not ARKit's", &extra)?;
        for (name, shape) in &self.duplicates {
            write!(f, "\n{name} left out: there is another {shape}")?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "\n{note}"))
    }
}

/// What the names of one mesh stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameMatches {
    /// For each name the shape of ARKit that it is, or a half of.
    pub shapes: Vec<Option<&'static str>>,
    /// Names that would be a shape which another name is already, by their place; their `shapes` are none.
    pub duplicates: Vec<(usize, &'static str)>,
}

/// Matches the shape names of one mesh.
pub fn match_names<S: AsRef<str>>(names: &[S]) -> NameMatches {
    let candidates: Vec<Option<Candidate>> = names.iter().map(|name| Candidate::of(name.as_ref())).collect();
    let mut matches = NameMatches { shapes: vec![None; names.len()], duplicates: Vec::new() };
    for (index, candidate) in candidates.iter().enumerate() {
        let Some(candidate) = candidate else { continue };
        let rivals = candidates.iter().enumerate().filter_map(|(at, rival)| Some((at, rival.as_ref()?)));
        let beaten = rivals
            .filter(|(_, rival)| rival.collides(candidate))
            .any(|(at, rival)| (rival.distance, at) < (candidate.distance, index));
        if beaten {
            matches.duplicates.push((index, candidate.shape));
        } else {
            matches.shapes[index] = Some(candidate.shape);
        }
    }
    matches
}

/// What one name may be.
#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    shape: &'static str,
    /// The side, if it is a half of a shape that ARKit has whole.
    half: Option<Side>,
    /// 0 for Apple's spelling, 1 for another, 2 behind a prefix; halves come after wholes.
    distance: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Candidate {
    fn of(name: &str) -> Option<Self> {
        let whole = Key::of(name);
        if let Some(found) = whole.find() {
            let distance = u8::from(name != found.shape);
            return Some(found.further(distance));
        }
        // Prefixes are cut at each of the last separators in turn, the longest first: no name of Apple's has more
        // words.
        let separators = name.char_indices().rev().filter(|(_, c)| !c.is_alphanumeric()).take(MOST_WORDS);
        let rests = separators.map(|(at, c)| &name[at + c.len_utf8()..]);
        rests
            .filter(|rest| !rest.is_empty())
            .find_map(|rest| Key::of(rest).find())
            .map(|found| found.further(2))
    }

    fn further(mut self, distance: u8) -> Self {
        self.distance = distance + if self.half.is_some() { 3 } else { 0 };
        self
    }

    /// Whether both cannot be used: two halves of one shape can.
    fn collides(&self, other: &Self) -> bool {
        self.shape == other.shape && (self.half.is_none() || other.half.is_none() || self.half == other.half)
    }
}

/// ARKit's names with their keys.
static KNOWN: LazyLock<Vec<(&'static str, Key)>> =
    LazyLock::new(|| coefficients().map(|name| (name, Key::of(name))).collect());

/// A name without case and separators, its side apart.
#[derive(PartialEq, Eq)]
struct Key {
    base: String,
    side: Option<Side>,
}

impl Key {
    fn of(name: &str) -> Self {
        let letters: Vec<char> = name.chars().filter(|c| c.is_alphanumeric()).collect();
        let plain: String = letters.iter().flat_map(|c| c.to_lowercase()).collect();
        for (word, side) in [("left", Side::Left), ("right", Side::Right)] {
            if let Some(base) = plain.strip_suffix(word) {
                return Self { base: base.to_owned(), side: Some(side) };
            }
        }
        // A single letter is a side only where it stands out: `_L`, `.l`, or a capital behind a small letter.
        let mut ends = name.chars().rev();
        let (last, before) = (ends.next(), ends.next());
        let side = match last {
            Some('L' | 'l') => Some(Side::Left),
            Some('R' | 'r') => Some(Side::Right),
            _ => None,
        };
        let stands_out = before.is_some_and(|c| {
            !c.is_alphanumeric() || (c.is_lowercase() && last.is_some_and(char::is_uppercase))
        });
        match side.filter(|_| stands_out) {
            Some(side) => {
                let base = plain[..plain.len().saturating_sub(1)].to_owned();
                Self { base, side: Some(side) }
            }
            None => Self { base: plain, side: None },
        }
    }

    fn find(&self) -> Option<Candidate> {
        let whole = KNOWN.iter().find(|(_, key)| key == self);
        if let Some(&(shape, _)) = whole {
            return Some(Candidate { shape, half: None, distance: 0 });
        }
        let split = |&&(shape, ref key): &&(&str, Key)| SPLIT.contains(&shape) && key.base == self.base;
        let &(shape, _) = KNOWN.iter().find(split)?;
        Some(Candidate { shape, half: Some(self.side?), distance: 0 })
    }
}

/// ARKit's names, in Apple's order.
pub(super) fn coefficients() -> impl Iterator<Item = &'static str> {
    let channels = Space::Arkit55.channels().iter();
    channels.filter(|channel| channel.unit == Unit::Coefficient).map(|channel| channel.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_all_shapes_are_known() {
        let spellings: [fn(&str) -> String; 8] = [
            |name| name.to_owned(),
            |name| name[..1].to_uppercase() + &name[1..],
            str::to_uppercase,
            |name| name.replace("Left", "_L").replace("Right", "_R"),
            |name| format!("ARKit_{}", name.replace("Left", ".L").replace("Right", ".R")),
            |name| format!("blendShape1.{}", name.replace("Left", "_left").replace("Right", "_right")),
            |name| name.replace("Left", "L").replace("Right", "R"),
            |name| {
                let spaced = name.chars().flat_map(|c| [c.is_uppercase().then_some('-'), Some(c)]);
                format!("Fcl:{}", spaced.flatten().collect::<String>().to_lowercase())
            },
        ];
        for spelling in spellings {
            for name in coefficients() {
                let spelled = spelling(name);
                assert_eq!(match_names(&[&spelled]).shapes, [Some(name)], "{spelled}");
            }
        }
    }

    #[test]
    fn other_names_stay_others() {
        for name in
            ["", "L", "_", "viseme_aa", "jawOpenExtra", "smile", "eyeBlink", "tallL", "jawOpen.001", "éyeL"]
        {
            assert_eq!(match_names(&[name]).shapes, [None], "{name}");
        }
    }

    #[test]
    fn the_nearer_of_two_names_wins() {
        let matches = match_names(&["low_jawOpen", "JawOpen", "jawOpen", "jaw_open"]);
        assert_eq!(matches.shapes, [None, None, Some("jawOpen"), None]);
        assert_eq!(matches.duplicates, [(0, "jawOpen"), (1, "jawOpen"), (3, "jawOpen")]);
    }

    #[test]
    fn halves_are_used_together_and_only_without_the_whole() {
        let halves = ["browInnerUp_L", "browInnerUp_R", "browInnerUpLeft"];
        let matches = match_names(&halves);
        assert_eq!(matches.shapes, [Some("browInnerUp"), Some("browInnerUp"), None]);
        let matches = match_names(&[halves[0], halves[1], "x_BrowInnerUp"]);
        assert_eq!(matches.shapes, [None, None, Some("browInnerUp")]);
    }
}
