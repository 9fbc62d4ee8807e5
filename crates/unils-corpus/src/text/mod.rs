//! What is said: sentences of our own, from a grammar and word lists.
//!
//! A rule's text is one of its alternatives, drawn, with the rules that it names in braces expanded, so that a few hundred
//! words give thousands of different sentences with all sounds of the language. Sense does not matter, sounds, lengths and
//! melodies do: statements fall, questions rise, fillers hesitate, acknowledgements are short. No text is copied from
//! anywhere.
//!
//! ```
//! use unils_corpus::{Dice, text::{Kind, sentence}, voices::Language};
//! let mut dice = Dice::new(1, 0, "text");
//! assert!(sentence(Language::English, Kind::Question, &mut dice).ends_with('?'));
//! ```

mod english;
mod english_words;
mod german;
mod made_up;

use crate::dice::Dice;
use crate::voices::Language;

/// What a sentence does in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Tells something.
    Statement,
    /// Asks something.
    Question,
    /// Begins an answer.
    Answer,
    /// Shows that one listens, in a word or two.
    Acknowledgement,
}

/// A rule: its name and its alternatives.
type Rule = (&'static str, &'static [&'static str]);

/// Rules within rules beyond this depth are dropped; the grammars need 6.
const DEPTH: usize = 12;

/// A new sentence. Statements and answers sometimes begin with a filler.
pub fn sentence(language: Language, kind: Kind, dice: &mut Dice) -> String {
    let (rules, fillers) = match language {
        Language::English => ([english::RULES, english_words::WORDS], 0.14),
        Language::German => ([german::RULES, &[]], 0.1),
        Language::MadeUp => ([made_up::RULES, &[]], 0.1),
    };
    let name = match kind {
        Kind::Statement => "statement",
        Kind::Question => "question",
        Kind::Answer => "answer",
        Kind::Acknowledgement => "acknowledgement",
    };
    let mut text = String::new();
    if kind == Kind::Statement && dice.chance(fillers) {
        expand(&rules, "filler", dice, 0, &mut text);
        text.push(' ');
    }
    expand(&rules, name, dice, 0, &mut text);
    capitalise(&text)
}

fn expand(rules: &[&[Rule]; 2], name: &str, dice: &mut Dice, depth: usize, text: &mut String) {
    let rule = rules.iter().copied().flatten().find(|(known, _)| *known == name);
    let Some(mut rest) = rule.and_then(|(_, choices)| dice.pick(choices)).copied().filter(|_| depth < DEPTH)
    else {
        return;
    };
    while let Some((before, behind)) = rest.split_once('{') {
        text.push_str(before);
        let (inner, after) = behind.split_once('}').unwrap_or((behind, ""));
        expand(rules, inner, dice, depth + 1, text);
        rest = after;
    }
    text.push_str(rest);
}

fn capitalise(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::voices::is_plain;

    #[test]
    fn sentences_are_plain_many_and_of_their_kind() {
        for language in [Language::English, Language::German, Language::MadeUp] {
            let mut dice = Dice::new(3, 1, "sentences");
            // Two made-up words may be a sentence.
            let shortest = if language == Language::MadeUp { 2 } else { 3 };
            for (kind, least, words) in [
                (Kind::Statement, 1900, shortest..32),
                (Kind::Question, 900, 2..24),
                (Kind::Answer, 300, 1..24),
                (Kind::Acknowledgement, 8, 1..4),
            ] {
                let mut seen = HashSet::new();
                for _ in 0..2000 {
                    let text = sentence(language, kind, &mut dice);
                    assert!(is_plain(&text) && !text.contains("  ") && !text.contains(" ,"), "{text:?}");
                    assert!(words.contains(&text.split(' ').count()), "{text:?}");
                    assert_eq!(text.ends_with('?'), kind == Kind::Question, "{text:?}");
                    assert!(text.ends_with(['.', '?', '!']), "{text:?}");
                    seen.insert(text);
                }
                assert!(seen.len() >= least, "{language:?} {kind:?}: {} different", seen.len());
            }
        }
    }

    #[test]
    fn every_rule_exists_and_is_used() {
        for rules in
            [[english::RULES, english_words::WORDS].concat(), german::RULES.to_vec(), made_up::RULES.to_vec()]
        {
            let mut named: HashSet<&str> =
                ["statement", "question", "answer", "acknowledgement", "filler"].into();
            for (name, choices) in &rules {
                for choice in *choices {
                    for part in choice.split('{').skip(1) {
                        let inner = part.split_once('}').unwrap().0;
                        assert!(rules.iter().any(|(rule, _)| *rule == inner), "{name} names {inner}");
                        named.insert(inner);
                    }
                }
            }
            for (name, choices) in &rules {
                assert!(named.contains(name) && !choices.is_empty(), "{name} is not used");
            }
        }
    }
}
