//! Full-text search, as far as both stores must agree on it.
//!
//! A search is a list of terms, separated by white space. A record is found when its text contains every term, letter
//! case and compatibility forms aside. "Contains" needs no word boundaries, so it works alike for languages that write
//! none, such as Chinese and Japanese. A store may narrow the candidates with any index it has; what decides is that the
//! normalised text contains the normalised term.

use unicode_normalization::UnicodeNormalization;

use crate::text;
use crate::violation::Violation;

/// The form in which text is indexed and compared: NFKC, lower case.
///
/// ```
/// use mosaic_domain::search::normalise;
/// assert_eq!(normalise("Ｗｏｒｌｄ"), "world");
/// assert_eq!(normalise("ÜBER"), normalise("über"));
/// ```
pub fn normalise(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

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

    /// Whether a text, not normalised yet, is found.
    pub fn find_in(&self, text: &str) -> bool {
        let text = normalise(text);
        self.iter().all(|term| text.contains(term))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(query: &str, text: &str) -> bool {
        SearchTerms::parse(query).unwrap().find_in(text)
    }

    #[test]
    fn every_term_must_be_contained_and_case_does_not_matter() {
        assert!(finds("hello WORLD", "World, hello!"));
        assert!(!finds("hello moon", "World, hello!"));
        assert!(finds("  ", "anything"));
    }

    #[test]
    fn text_without_spaces_between_words_is_found_by_its_parts() {
        assert!(finds("天气", "今天天气很好"));
        assert!(finds("日記", "毎日日記を書く"));
        assert!(finds("ﾆｯｷ", "ニッキ"));
        assert!(!finds("天気", "今天天气很好"));
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
