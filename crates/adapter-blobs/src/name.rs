//! How the names of blobs are spelled, the same way everywhere.

use mosaic_domain::UserId;
use mosaic_ports::BlobName;
use uuid::Uuid;

/// `{user}/{id}`, whose order as text is the order of the names.
pub(crate) fn key(name: BlobName) -> String {
    format!("{}/{}", name.user, name.id.as_hyphenated())
}

/// The name that is spelled exactly like this; `None` for everything else.
pub(crate) fn parse_key(key: &str) -> Option<BlobName> {
    let (user, id) = key.split_once('/')?;
    Some(BlobName {
        user: UserId::new(parse_uuid(user)?),
        id: parse_uuid(id)?,
    })
}

/// A UUID in the one spelling that we write: hyphenated, in lower case.
pub(crate) fn parse_uuid(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (id.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back() {
        let name = BlobName {
            user: UserId::new(Uuid::from_u128(1)),
            id: Uuid::from_u128(0xABC),
        };
        assert_eq!(
            key(name),
            "00000000-0000-0000-0000-000000000001/00000000-0000-0000-0000-000000000abc"
        );
        assert_eq!(parse_key(&key(name)), Some(name));
    }

    #[test]
    fn other_spellings_are_no_names() {
        let user = "00000000-0000-0000-0000-000000000001";
        for id in [
            "",
            "x",
            "00000000-0000-0000-0000-000000000ABC",
            "00000000000000000000000000000abc",
            "{00000000-0000-0000-0000-000000000abc}",
            "00000000-0000-0000-0000-000000000abc/",
            "00000000-0000-0000-0000-000000000abc.part",
        ] {
            assert_eq!(parse_key(&format!("{user}/{id}")), None, "{id}");
        }
        assert_eq!(parse_key(user), None);
    }

    #[test]
    fn keys_are_ordered_as_names_are() {
        let names: Vec<_> = [(1, 0xFF00), (1, 0x1_0000), (2, 1), (0xA000, 0), (u128::MAX, 7)]
            .map(|(user, id)| BlobName {
                user: UserId::new(Uuid::from_u128(user)),
                id: Uuid::from_u128(id),
            })
            .into();
        assert!(names.is_sorted());
        assert!(names.iter().map(|name| key(*name)).is_sorted());
    }
}
