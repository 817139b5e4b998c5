//! The text of refresh tokens, which is kept nowhere.
//!
//! A token is a key, the same in all tokens of its login, and a secret of its own; 32 bytes each, in hexadecimal. The key finds
//! the login, so that a store keeps nothing of tokens that were spent long ago and still knows one when it sees it. The next
//! token is derived from the text of the one before and a random seed that the store keeps: so it can be given out again,
//! but only to who has that text.

use mosaic_domain::login::{NewRefreshToken, PresentedToken, TokenHash, TokenSeed};
use sha2::{Digest, Sha256};

use mosaic_domain::UnixMillis;

/// The characters of a key, and of a secret.
const PART: usize = 64;

/// A refresh token.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RefreshToken(String);

impl RefreshToken {
    /// What somebody sent.
    pub(crate) fn given(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The first one of a login, from two secrets.
    pub(crate) fn first(key: [u8; 32], secret: [u8; 32]) -> Self {
        Self(hex(&key) + &hex(&secret))
    }

    /// The one that comes after this one.
    pub(crate) fn next(&self, seed: TokenSeed) -> Self {
        // A token of a version before has no key: this begins one.
        let key = self
            .key()
            .map_or_else(|| hex(&self.derive("key", seed)), str::to_owned);
        Self(key + &hex(&self.derive("secret", seed)))
    }

    /// The part that all tokens of its login share; none in a token of a version before.
    pub(crate) fn key(&self) -> Option<&str> {
        key_of(&self.0)
    }

    /// What a store looks for.
    pub(crate) fn presented(&self) -> PresentedToken {
        PresentedToken {
            key: hash(self.key().unwrap_or(&self.0)),
            hash: hash(&self.0),
        }
    }

    /// What a store keeps.
    pub(crate) fn to_keep(
        &self,
        seed: TokenSeed,
        issued_at: UnixMillis,
        expires_at: UnixMillis,
    ) -> NewRefreshToken {
        let PresentedToken { key, hash } = self.presented();
        NewRefreshToken {
            key,
            hash,
            seed,
            issued_at,
            expires_at,
        }
    }

    /// The text, for its device.
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// Both of what goes in has a fixed length or is the last: no two of them are alike.
    fn derive(&self, part: &str, seed: TokenSeed) -> [u8; 32] {
        let mut derived = Sha256::new();
        derived.update(b"mosaic refresh token ");
        derived.update(seed.0);
        derived.update(part.as_bytes());
        derived.update(b" ");
        derived.update(self.0.as_bytes());
        derived.finalize().into()
    }
}

/// The key in the text of a token.
pub(crate) fn key_of(text: &str) -> Option<&str> {
    (text.len() == 2 * PART).then(|| text.get(..PART)).flatten()
}

/// What a store keeps of a token.
pub(crate) fn hash(text: &str) -> TokenHash {
    TokenHash(Sha256::digest(text.as_bytes()).into())
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: TokenSeed = TokenSeed([9; 32]);

    #[test]
    fn all_tokens_of_a_login_have_its_key() {
        let first = RefreshToken::first([1; 32], [2; 32]);
        let second = first.next(SEED);
        let third = second.next(SEED);
        assert_eq!(first.0, "01".repeat(32) + &"02".repeat(32));
        assert_eq!(first.key(), second.key());
        assert_eq!(first.presented().key, third.presented().key);
        let texts = [&first.0, &second.0, &third.0];
        assert!(texts.iter().all(|text| text.len() == 128));
        assert!(first.0 != second.0 && second.0 != third.0);
    }

    #[test]
    fn the_next_token_is_the_same_again_and_another_one_for_another_seed() {
        let token = RefreshToken::first([1; 32], [2; 32]);
        assert!(token.next(SEED) == token.next(SEED));
        assert!(token.next(SEED) != token.next(TokenSeed([8; 32])));
    }

    #[test]
    fn a_token_of_a_version_before_is_found_by_its_hash_and_begins_a_key() {
        let earlier = RefreshToken::given(&"ab".repeat(32));
        assert_eq!(earlier.key(), None);
        let PresentedToken { key, hash } = earlier.presented();
        assert_eq!(key, hash);
        let next = earlier.next(SEED);
        assert!(next == earlier.next(SEED));
        assert_eq!(next.key(), next.next(SEED).key());
        assert_ne!(next.key(), None);
    }

    #[test]
    fn what_is_no_token_is_looked_for_all_the_same() {
        let long = "x".repeat(5_000);
        let letters = "日".repeat(64);
        for text in ["", "x", long.as_str(), letters.as_str()] {
            let token = RefreshToken::given(text);
            assert_eq!(token.key(), None);
            assert_eq!(token.presented().hash, hash(text));
        }
        let split = "日".repeat(42) + "xx";
        assert_eq!((split.len(), RefreshToken::given(&split).key()), (128, None));
    }
}
