//! Resources: the records of attachments. The bytes are kept elsewhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{EntityType, Facets, Fields, KeptObject, Missing, Patched as _, fields, names};
use crate::id::MemoId;
use crate::text::{Label, misleads};
use crate::violation::Violation;

names! {
    /// Where the bytes are.
    StorageType {
        /// In the server's own folder.
        Local = "local",
        /// In S3-compatible storage.
        S3 = "s3",
    }
}

names! {
    /// What an attachment is to a person; always the one that its MIME type says.
    ResourceKind {
        /// A picture.
        Image = "image",
        /// A video.
        Video = "video",
        /// A recording.
        Audio = "audio",
        /// Anything else.
        File = "file",
    }
}

/// A MIME type without parameters, `type/subtype` in lower case, up to 127 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MimeType(String);

impl MimeType {
    /// The most characters a type may have.
    pub const MAX_CHARS: usize = 127;
    /// What says nothing about the bytes.
    pub const UNKNOWN: &str = "application/octet-stream";

    /// The type of bytes of which nothing is known.
    pub fn unknown() -> Self {
        Self(Self::UNKNOWN.to_owned())
    }

    /// Reads a MIME type that came from outside.
    ///
    /// # Errors
    /// `invalid_mime_type`, or what is wrong with any short text.
    pub fn new(value: &str) -> Result<Self, Violation> {
        crate::text::check_label(value, Self::MAX_CHARS)?;
        let token = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
        };
        match value.split_once('/') {
            Some((kind, subtype)) if token(kind) && token(subtype) => Ok(Self(value.to_ascii_lowercase())),
            _ => Err(Violation::new(
                "invalid_mime_type",
                "must be a MIME type, like image/jpeg",
            )),
        }
    }

    /// The type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether smaller pictures can be made of it: JPEG, PNG, WebP and GIF.
    pub fn has_variants(&self) -> bool {
        matches!(
            self.as_str(),
            "image/jpeg" | "image/png" | "image/webp" | "image/gif"
        )
    }

    /// What a person would call it.
    pub fn kind(&self) -> ResourceKind {
        match self.0.split('/').next() {
            Some("image") => ResourceKind::Image,
            Some("video") => ResourceKind::Video,
            Some("audio") => ResourceKind::Audio,
            _ => ResourceKind::File,
        }
    }
}

impl TryFrom<String> for MimeType {
    type Error = Violation;
    fn try_from(value: String) -> Result<Self, Violation> {
        Self::new(&value)
    }
}

impl From<MimeType> for String {
    fn from(mime: MimeType) -> String {
        mime.0
    }
}

/// The SHA-256 of an attachment's bytes, in lower-case hexadecimal on the wire and in documents.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The hash with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Sha256 {
    type Err = Violation;
    fn from_str(digits: &str) -> Result<Self, Violation> {
        let invalid = || Violation::new("invalid_sha256", "must be 64 hexadecimal digits");
        if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&digits[pair..pair + 2], 16).map_err(|_| invalid())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Sha256 {
    type Error = Violation;
    fn try_from(digits: String) -> Result<Self, Violation> {
        digits.parse()
    }
}

impl From<Sha256> for String {
    fn from(hash: Sha256) -> String {
        hash.to_string()
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

names! {
    /// A smaller picture that is made of an attachment.
    Variant {
        /// For lists: 320 pixels on the longer side at most.
        Thumb = "thumb",
        /// For the screen of a phone: 1,600 pixels on the longer side at most.
        Opt = "opt",
    }
}

impl Variant {
    /// How many pixels the longer side has at most.
    pub const fn longest_side(self) -> u32 {
        match self {
            Self::Thumb => 320,
            Self::Opt => 1600,
        }
    }
}

fields! {
    /// The fields of a resource.
    Resource, edited by ResourcePatch {
        /// The memo that it belongs to: a live one of the same user (W9).
        memo_id: Option<MemoId>,
        /// A name, 1 to 255 characters, never a path.
        filename: Filename,
        /// What the bytes are. Says what kind of resource it is.
        mime_type: MimeType,
        /// How many bytes.
        file_size: FileSize,
        /// The hash of the bytes; none until they are uploaded.
        sha256: Option<Sha256>,
        /// Where the bytes are.
        storage_type: StorageType,
        /// Its place among the memo's resources.
        sort_order: i64,
        /// Width, height, duration and whatever else the app keeps, up to 16 KiB.
        metadata: KeptObject,
    }
}

impl Resource {
    /// What the metadata says where the server could not make smaller pictures of the bytes when they came.
    pub const NO_THUMBNAIL: (&str, &str) = ("thumbnail", "none");

    /// Whether there are smaller pictures of it, as far as anybody knows.
    pub fn has_thumbnail(&self) -> bool {
        let (name, none) = Self::NO_THUMBNAIL;
        self.sha256.is_some() && self.mime_type.has_variants() && !self.metadata.says(name, none)
    }
}

crate::time::safe_integer! {
    /// A size in bytes.
    FileSize
}

/// A file's name, 1 to 255 characters: no control characters, no separators, not `.` or `..`. What is invisible and would
/// let a name look like another one is left out, on every road alike: `gpj.exe` after U+202E is shown as `exe.jpg`. A name
/// of nothing else is `_`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Filename(Label<{ Filename::MAX_CHARS }>);

impl Filename {
    /// The most characters a name may have.
    pub const MAX_CHARS: usize = 255;

    /// Reads a file name that came from outside.
    ///
    /// # Errors
    /// `not_a_name` when it is a path, or what is wrong with any name.
    pub fn new(mut value: String) -> Result<Self, Violation> {
        if value.contains(['/', '\\']) || value == "." || value == ".." {
            return Err(Violation::new("not_a_name", "must be a file name, not a path"));
        }
        let is_named = !value.is_empty();
        value.retain(|letter| !misleads(letter));
        if is_named && value.is_empty() {
            value.push('_');
        }
        if value == "." || value == ".." {
            return Err(Violation::new("not_a_name", "must be a file name, not a path"));
        }
        Label::new(value).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for Filename {
    type Error = Violation;
    fn try_from(value: String) -> Result<Self, Violation> {
        Self::new(value)
    }
}

impl From<Filename> for String {
    fn from(name: Filename) -> String {
        name.0.into()
    }
}

impl Fields for Resource {
    const PARENT: Option<EntityType> = Some(EntityType::Memo);

    fn from_patch(patch: &ResourcePatch) -> Result<Self, Missing> {
        let (Some(filename), Some(file_size)) = (patch.filename.clone(), patch.file_size) else {
            return Err(Missing::of(&[
                ("filename", patch.filename.is_some()),
                ("fileSize", patch.file_size.is_some()),
            ]));
        };
        let new = Self {
            memo_id: None,
            filename,
            mime_type: MimeType::unknown(),
            file_size,
            sha256: None,
            storage_type: StorageType::Local,
            sort_order: 0,
            metadata: KeptObject::default(),
        };
        Ok(new.patched(patch))
    }

    fn names_place(patch: &ResourcePatch) -> bool {
        patch.sort_order.is_some()
    }

    fn facets(&self) -> Facets {
        Facets {
            parent: self.memo_id,
            sort_order: Some(self.sort_order),
            attachment: self.sha256,
            ..Facets::default()
        }
    }

    fn with_sort_order(self, sort_order: i64) -> Self {
        Self { sort_order, ..self }
    }

    fn detached(self) -> Self {
        Self {
            memo_id: None,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_never_a_path() {
        for bad in ["../x", "a/b", "a\\b", "..", "."] {
            assert_eq!(Filename::new(bad.into()).unwrap_err().code, "not_a_name", "{bad}");
        }
        assert_eq!(Filename::new(String::new()).unwrap_err().code, "empty");
        assert_eq!(
            Filename::new("a\u{7}".into()).unwrap_err().code,
            "control_character"
        );
        assert!(Filename::new("日記.pdf".into()).is_ok());
        assert_eq!(Filename::new(".\u{200b}.".into()).unwrap_err().code, "not_a_name");
    }

    #[test]
    fn a_file_name_shows_what_it_is() {
        for (given, kept) in [
            ("photo\u{202e}gpj.exe", "photogpj.exe"),
            ("\u{2067}a\u{2069}.txt", "a.txt"),
            ("a\u{200b}b\u{feff}\u{2060}.txt", "ab.txt"),
            ("a\u{2028}b.txt", "ab.txt"),
            ("\u{202e}", "_"),
            ("👩\u{200d}👧 ❤\u{fe0f}.png", "👩\u{200d}👧 ❤\u{fe0f}.png"),
            ("می\u{200c}خواهم.pdf", "می\u{200c}خواهم.pdf"),
        ] {
            assert_eq!(Filename::new(given.into()).unwrap().as_str(), kept, "{given:?}");
        }
        // What was stored before reads the same.
        let stored: Filename = serde_json::from_str("\"a\u{202e}b\"").unwrap();
        assert_eq!(stored.as_str(), "ab");
    }

    #[test]
    fn a_hash_is_read_in_either_case_and_printed_in_lower_case() {
        let hash: Sha256 = "0aF1".repeat(16).parse().unwrap();
        assert_eq!(hash.to_string(), "0af1".repeat(16));
        assert_eq!(Sha256::from_bytes(*hash.as_bytes()), hash);
        for bad in ["", "0a", &"zz".repeat(32), &"+a".repeat(32), &"ä".repeat(32)] {
            assert_eq!(bad.parse::<Sha256>().unwrap_err().code, "invalid_sha256", "{bad}");
        }
    }

    #[test]
    fn smaller_pictures_are_of_pictures_whose_bytes_are_there_and_can_be_read() {
        assert_eq!(
            [Variant::Thumb, Variant::Opt].map(Variant::longest_side),
            [320, 1_600]
        );
        let hash = Some(Sha256::from_bytes([1; 32]));
        for (sha256, mime_type, metadata, shown) in [
            (hash, "image/png", "{}", true),
            (hash, "image/png", r#"{"thumbnail":"some"}"#, true),
            (hash, "image/png", r#"{"thumbnail":"none"}"#, false),
            (hash, "application/pdf", "{}", false),
            (None, "image/png", "{}", false),
        ] {
            let resource = Resource {
                memo_id: None,
                filename: Filename::new("a".into()).unwrap(),
                mime_type: MimeType::new(mime_type).unwrap(),
                file_size: FileSize::clamped(1),
                sha256,
                storage_type: StorageType::Local,
                sort_order: 0,
                metadata: serde_json::from_str(metadata).unwrap(),
            };
            assert_eq!(resource.has_thumbnail(), shown, "{mime_type} {metadata}");
        }
    }

    #[test]
    fn the_mime_type_says_the_kind() {
        for (given, kept, kind, has_variants) in [
            ("IMAGE/PNG", "image/png", ResourceKind::Image, true),
            ("image/heic", "image/heic", ResourceKind::Image, false),
            ("video/mp4", "video/mp4", ResourceKind::Video, false),
            ("audio/mpeg", "audio/mpeg", ResourceKind::Audio, false),
            ("application/pdf", "application/pdf", ResourceKind::File, false),
        ] {
            let mime = MimeType::new(given).unwrap();
            assert_eq!((mime.as_str(), mime.kind()), (kept, kind));
            assert_eq!(mime.has_variants(), has_variants, "{given}");
        }
        for bad in ["png", "image/", "/png", "image/png; q=1", "im age/png"] {
            assert_eq!(MimeType::new(bad).unwrap_err().code, "invalid_mime_type", "{bad}");
        }
    }
}
