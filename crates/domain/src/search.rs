//! Full-text search, as far as both stores must agree on it.
//!
//! A search is a list of terms, separated by white space. A record is found when its text contains every term, letter
//! case and compatibility forms aside. "Contains" needs no word boundaries, so it works alike for languages that write
//! none, such as Chinese and Japanese. A store may narrow the candidates with any index it has; what decides is that the
//! normalised text contains the normalised term.

use unicode_normalization::UnicodeNormalization;

use crate::text;
use crate::violation::Violation;

/// The form in which text is indexed and compared: NFKC, with letter case folded in full.
///
/// Lower, upper and lower case again, letter by letter, comes to the full case folding of Unicode: all sigmas are one, and
/// `ß` is `ss`. Beyond it the dotless `ı` is an `i`, since `I` is the capital of both.
///
/// The form is stored: changing it takes a step that makes it anew, as [`REFOLDED`] does for the one before.
///
/// ```
/// use mosaic_domain::search::normalise;
/// assert_eq!(normalise("Ｗｏｒｌｄ"), "world");
/// assert_eq!(normalise("ÜBER"), normalise("über"));
/// assert_eq!(normalise("ΚΟΣΜΟΣ"), normalise("κοσμος"));
/// ```
pub fn normalise(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let folded = text.nfkc().flat_map(|letter| {
        letter
            .to_lowercase()
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase)
    });
    folded.nfkc().collect()
}

/// The form that was stored before: NFKC, lower case. [`normalise`] of it is that of the text itself.
pub fn normalise_before(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

/// The letters by which a text in the form of before is told to need another one now. Any of them is enough.
pub const REFOLDED: &str = "ßı\u{345}ςᲀᲁᲂᲃᲄᲅᲆᲇᲈᾀ\
    ᾁᾂᾃᾄᾅᾆᾇᾐᾑᾒᾓᾔᾕᾖᾗᾠᾡᾢᾣᾤᾥᾦᾧᾲᾳᾴᾷῂῃῄῇῲῳῴῷ";

/// The terms of a search: normalised, none empty, at most [`SearchTerms::MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchTerms(Vec<String>);

impl SearchTerms {
    /// The most terms one search may have.
    pub const MAX: usize = 32;
    /// The most characters a search may have.
    pub const MAX_CHARS: usize = 1_000;

    /// Reads what a person typed. A search without terms finds everything.
    ///
    /// # Errors
    /// `nul`, `control_character`, `too_long` or `too_many`.
    pub fn parse(query: &str) -> Result<Self, Violation> {
        if query.is_empty() {
            return Ok(Self::default());
        }
        let line = query.replace(['\t', '\r', '\n'], " ");
        text::check_label(&line, Self::MAX_CHARS)?;
        let terms: Vec<String> = normalise(&line).split_whitespace().map(str::to_owned).collect();
        if terms.len() > Self::MAX {
            return Err(Violation::new(
                "too_many",
                format!("must be at most {} terms", Self::MAX),
            ));
        }
        Ok(Self(terms))
    }

    /// The terms.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(query: &str, text: &str) -> bool {
        let text = normalise(text);
        let terms = SearchTerms::parse(query).unwrap();
        terms.iter().all(|term| text.contains(term))
    }

    #[test]
    fn every_term_must_be_contained_and_case_does_not_matter() {
        assert!(finds("hello WORLD", "World, hello!"));
        assert!(!finds("hello moon", "World, hello!"));
        assert!(finds("  ", "anything"));
        assert!(SearchTerms::parse("  ").unwrap().is_empty());
        assert!(!SearchTerms::parse("x").unwrap().is_empty());
    }

    #[test]
    fn a_search_has_so_many_terms_and_no_more() {
        let terms = |count: usize| SearchTerms::parse(&vec!["x"; count].join(" "));
        assert_eq!(terms(SearchTerms::MAX).unwrap().iter().count(), 32);
        assert_eq!(terms(SearchTerms::MAX + 1).unwrap_err().code, "too_many");
    }

    #[test]
    fn text_without_spaces_between_words_is_found_by_its_parts() {
        assert!(finds("天气", "今天天气很好"));
        assert!(finds("日記", "毎日日記を書く"));
        assert!(finds("ﾆｯｷ", "ニッキ"));
        assert!(!finds("天気", "今天天气很好"));
    }

    #[test]
    fn letter_case_is_folded_in_full() {
        for (query, text) in [
            ("ΚΟΣΜΟΣ", "ο μικρός κοσμος"),
            ("κοσμος", "ΜΙΚΡΟΣ ΚΟΣΜΟΣ"),
            ("σας", "ΓΕΙΑ ΣΑΣ"),
            ("STRASSE", "die Straße"),
            ("straße", "DIE STRASSE"),
            ("ẞ", "strasse"),
            ("ISPARTA", "ısparta"),
            ("ﬁg", "FIG"),
        ] {
            assert!(finds(query, text), "{query} in {text}");
        }
        assert!(!finds("κοσμοσ", "κόσμος"), "accents count");
    }

    /// Beyond these no letter has a case.
    fn letters() -> impl Iterator<Item = char> {
        '\u{1}'..='\u{1ffff}'
    }

    #[test]
    fn every_letter_folds_as_its_capital_and_its_small_letter_do() {
        for letter in letters() {
            let text = letter.to_string();
            let folded = normalise(&text);
            assert_eq!(normalise(&folded), folded, "{letter:?} once more");
            assert_eq!(normalise(&text.to_uppercase()), folded, "{letter:?}, its capital");
            assert_eq!(
                normalise(&text.to_lowercase()),
                folded,
                "{letter:?}, its small letter"
            );
            assert_eq!(
                normalise(&normalise_before(&text)),
                folded,
                "{letter:?}, from the form before"
            );
        }
    }

    #[test]
    fn what_has_another_form_now_is_told_by_its_letters() {
        let is_told = |letter: char| {
            normalise_before(&letter.to_string()) == letter.to_string() && {
                normalise(&letter.to_string()) != letter.to_string()
            }
        };
        assert_eq!(
            letters().filter(|letter| is_told(*letter)).collect::<String>(),
            REFOLDED
        );
    }

    #[test]
    fn too_much_is_refused() {
        assert_eq!(
            SearchTerms::parse(&"x".repeat(1_001)).unwrap_err().code,
            "too_long"
        );
        assert_eq!(SearchTerms::parse(&"x ".repeat(33)).unwrap_err().code, "too_many");
        assert_eq!(SearchTerms::parse("a\0").unwrap_err().code, "nul");
    }
}
