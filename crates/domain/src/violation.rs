//! What is wrong with a value that came from outside, in a form that a person and a program can both use.

use std::borrow::Cow;
use std::fmt;

/// One thing that is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field, as the client wrote it: `content`, `tags[3]`, `cursors.memo`. Empty for the value itself.
    pub path: String,
    /// Stable and snake_case, for programs: `too_long`, `nul`, `unknown_value`.
    pub code: &'static str,
    /// For people, in English, without the offending value.
    pub message: Cow<'static, str>,
}

impl Violation {
    /// A violation of the value itself; whoever knows the field's name adds it with [`Violation::at`].
    pub fn new(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            path: String::new(),
            code,
            message: message.into(),
        }
    }

    /// The same violation, seen from one level further out.
    ///
    /// ```
    /// use mosaic_domain::Violation;
    /// let v = Violation::new("too_long", "too long").at("[3]").at("tags");
    /// assert_eq!(v.path, "tags[3]");
    /// ```
    #[must_use]
    pub fn at(mut self, outer: &str) -> Self {
        self.path = match self.path.as_str() {
            "" => outer.to_owned(),
            inner if inner.starts_with('[') => format!("{outer}{inner}"),
            inner => format!("{outer}.{inner}"),
        };
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "{}", self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl std::error::Error for Violation {}

/// Everything that is wrong with one input: never empty when it is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Nothing wrong so far.
    pub fn none() -> Self {
        Self::default()
    }

    /// Notes what is wrong with a field and goes on, so that a client hears everything at once.
    pub fn check<T>(&mut self, path: &str, parsed: Result<T, Violation>) -> Option<T> {
        parsed.map_err(|violation| self.push(violation.at(path))).ok()
    }

    /// So many are told, at most: whoever has more wrong mends these first.
    pub const MAX_TOLD: usize = 100;

    /// Notes a violation whose path is already complete.
    pub fn push(&mut self, violation: Violation) {
        if self.0.len() < Self::MAX_TOLD {
            self.0.push(violation);
        }
    }

    /// `Ok` when nothing was noted.
    ///
    /// # Errors
    /// Itself, when anything was.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// The violations, in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Violation> {
        self.0.iter()
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Violations {
    type Item = &'a Violation;
    type IntoIter = std::slice::Iter<'a, Violation>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Violation> for Violations {
    fn from(violation: Violation) -> Self {
        Self(vec![violation])
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, violation) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{violation}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

#[cfg(test)]
mod tests {
    use super::*;

    fn long() -> Violation {
        Violation::new("too_long", "must be shorter")
    }

    #[test]
    fn a_path_leads_from_the_outside_to_what_is_wrong() {
        for (inner, path) in [("", "memo"), ("[3]", "memo[3]"), ("tags[3]", "memo.tags[3]")] {
            assert_eq!(long().at(inner).at("memo").path, path);
        }
        assert_eq!(long().to_string(), "must be shorter");
        assert_eq!(long().at("tags").to_string(), "tags: must be shorter");
    }

    #[test]
    fn all_that_is_wrong_is_told_in_order_up_to_a_hundred() {
        let mut found = Violations::none();
        assert!(found.is_empty() && found.clone().into_result().is_ok());
        assert_eq!(found.check("name", Ok(7)), Some(7));
        assert_eq!(found.check::<u8>("content", Err(long())), None);
        assert!(!found.is_empty() && found.clone().into_result().is_err());
        found.push(long());
        assert_eq!(found.to_string(), "content: must be shorter; must be shorter");
        let paths: Vec<_> = (&found).into_iter().map(|found| &*found.path).collect();
        assert_eq!(paths, ["content", ""]);
        for _ in 0..Violations::MAX_TOLD {
            found.push(long());
        }
        assert_eq!(found.iter().count(), 100);
        assert_eq!(Violations::from(long()).iter().collect::<Vec<_>>(), [&long()]);
    }
}
