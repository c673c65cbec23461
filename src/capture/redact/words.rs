//! Words for words: the same one for the same one, of the same length, and beginning alike where the words began alike.
//!
//! Enters: words. Leaves: words of letters for letters and digits for digits. Never: can be turned back without the key.
//!
//! GKE cuts long names at their ends; because a cut word becomes the cut form of what the whole word becomes, such names still belong
//! together.

use std::cell::RefCell;
use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// What a character may become.
#[derive(Clone, Copy)]
enum Kind {
    /// In a hexadecimal number, a hexadecimal digit.
    Hex,
    /// A letter for a letter, a digit for a digit.
    Plain,
}

/// The words that were given out.
pub(super) struct Words {
    key: [u8; 32],
    given: RefCell<BTreeMap<String, String>>,
}

impl Words {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, given: RefCell::default() }
    }

    /// The word for a word.
    pub(super) fn replace(&self, word: &str) -> String {
        if let Some(known) = self.given.borrow().get(word) {
            return known.clone();
        }
        let replaced = self.spell(word);
        self.given.borrow_mut().insert(word.to_owned(), replaced.clone());
        replaced
    }

    /// How many of the words that were replaced, of four characters or more, another key would make into one of them: somebody could
    /// take the one for the other.
    pub(super) fn clashes(&self, key: [u8; 32]) -> usize {
        let (given, other) = (self.given.borrow(), Self::new(key));
        given.keys().filter(|word| word.len() > 3 && given.contains_key(&other.replace(word))).count()
    }

    fn spell(&self, word: &str) -> String {
        let lower = word.to_lowercase();
        let hex = lower.len() >= 6
            && lower.bytes().all(|byte| byte.is_ascii_hexdigit())
            && lower.bytes().any(|byte| byte.is_ascii_digit());
        let kind = if hex && !lower.bytes().all(|byte| byte.is_ascii_digit()) { Kind::Hex } else { Kind::Plain };
        let mut spelled = String::with_capacity(word.len());
        let mut before = String::new();
        for c in word.chars() {
            let small = c.to_lowercase().next().unwrap_or(c);
            let new = self.letter(kind, &before, small);
            spelled.push(if c.is_uppercase() { new.to_ascii_uppercase() } else { new });
            before.push(small);
        }
        spelled
    }

    /// The character for a character, which depends on those before it.
    fn letter(&self, kind: Kind, before: &str, c: char) -> char {
        let alphabet: &[u8] = match kind {
            Kind::Hex => b"0123456789abcdef",
            Kind::Plain if c.is_ascii_digit() => b"0123456789",
            Kind::Plain => b"abcdefghijklmnopqrstuvwxyz",
        };
        let marks = [kind as u8, alphabet.len() as u8];
        let digest = Sha256::new().chain_update(self.key).chain_update(marks).chain_update(before).finalize();
        // What is no ASCII letter is not told apart from those that share its place.
        let at = u8::try_from(c)
            .ok()
            .and_then(|c| alphabet.iter().position(|letter| *letter == c))
            .unwrap_or(c as usize % alphabet.len());
        let mut order = alphabet.to_vec();
        for (last, byte) in (1..order.len()).rev().zip(digest) {
            order.swap(last, usize::from(byte) % (last + 1));
        }
        char::from(order[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_word_becomes_the_cut_word() {
        let words = Words::new([7; 32]);
        for word in ["inventory", "web1a2", "3fa1c9d27be40516", "2026"] {
            let new = words.replace(word);
            assert_eq!(new.len(), word.len());
            assert_ne!(new, word);
            let cut = word.len() - 1;
            assert_eq!(words.replace(&word[..cut]), new[..cut], "{word}");
            let classes = |word: &str| word.chars().map(|c| c.is_ascii_digit()).collect::<Vec<_>>();
            assert!(word.len() > 9 || classes(word) == classes(&new), "{word} {new}");
            assert!(new.len() < 16 || new.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
        assert_eq!(words.replace("Shop").to_lowercase(), words.replace("shop"));
        assert_ne!(words.replace("shop"), words.replace("shoq"));
        assert_ne!(Words::new([8; 32]).replace("inventory"), words.replace("inventory"));
        assert_eq!(words.replace("日本").chars().count(), 2);
    }
}
