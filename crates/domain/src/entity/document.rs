//! Documents as they are stored, and the seals by which they are known to be whole.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use super::{Content, Entity, EntityType};

/// The form of the documents that this version writes. Whoever changes it, or what can be read of it, raises the number: what
/// was sealed before is read and written anew then, as what nobody sealed.
pub const FORM: u64 = 1;

/// A content as this version writes it: its fields are on the wire as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document(String);

impl Document {
    /// The document of a content; `None` where that can't be read.
    pub fn of(content: &Content) -> Option<Self> {
        (!content.is_unreadable()).then(|| Self(content.to_document()))
    }

    /// A stored document with the seal beside it; `None` where the two do not go together.
    pub fn sealed(entity_type: EntityType, document: &[u8], beside: i64) -> Option<Self> {
        let is_whole = seal(entity_type, document) == beside;
        let text = std::str::from_utf8(document).ok().filter(|_| is_whole)?;
        Some(Self(text.to_owned()))
    }

    /// The document, as the stores keep it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its fields as members of an object, without the braces around them.
    pub fn members(&self) -> &str {
        let opened = self.0.strip_prefix('{').unwrap_or(&self.0);
        opened.strip_suffix('}').unwrap_or(opened)
    }

    /// Reads the fields.
    ///
    /// # Errors
    /// It is the document of another type.
    pub fn read<E: Entity>(&self) -> Result<E, serde_json::Error> {
        serde_json::from_str(&self.0)
    }
}

/// What stands beside a document that this version wrote: a hash of its form, its type and its bytes. It tells accidents from
/// documents; it is no secret, and keeps nobody from writing both.
pub fn seal(entity_type: EntityType, document: &[u8]) -> i64 {
    // A document begins with what is in no name.
    let mut hasher = SipHasher13::new_with_keys(FORM, 0);
    hasher.write(entity_type.name().as_bytes());
    hasher.write(document);
    hasher.finish().cast_signed()
}
