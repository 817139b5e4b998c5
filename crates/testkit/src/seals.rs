//! What may stand beside a document and in it, and what a pull makes of it. How it gets there is a matter of each store's tests.

use mosaic_domain::entity::{Document, seal};
use mosaic_domain::pull::PulledState;
use mosaic_domain::{Content, EntityType};

use crate::memo;

/// The row of a live memo, and how it is shown.
#[derive(Debug, Clone)]
pub struct SealedMemo {
    /// What happened.
    pub about: &'static str,
    /// Its document.
    pub document: String,
    /// Its seal.
    pub seal: Option<i64>,
    /// What a pull says.
    pub shown: PulledState,
}

/// Every way in which a document and a seal may meet.
pub fn memos() -> Vec<SealedMemo> {
    let content = Content::Memo(memo("x"));
    let written = content.to_document();
    // It can be read, and is not what anybody would write of it.
    let by_hand = written.replace(':', ": ");
    let sealed = |document: &str| seal(EntityType::Memo, document.as_bytes());
    let as_stored = |document: &str| {
        let whole = Document::sealed(EntityType::Memo, document.as_bytes(), sealed(document));
        PulledState::Live(whole.unwrap())
    };
    let anew = PulledState::live(&content);
    let case = |about, document: &str, seal, shown: &PulledState| SealedMemo {
        about,
        document: document.to_owned(),
        seal,
        shown: shown.clone(),
    };
    vec![
        case("as it is written", &written, Some(sealed(&written)), &anew),
        case(
            "what fits is not read",
            &by_hand,
            Some(sealed(&by_hand)),
            &as_stored(&by_hand),
        ),
        case("a version before seals", &by_hand, None, &anew),
        case(
            "changed by hand, or by an older version beside this one",
            &by_hand,
            Some(sealed(&written)),
            &anew,
        ),
        case(
            "the seal of a diary",
            &by_hand,
            Some(seal(EntityType::Diary, by_hand.as_bytes())),
            &anew,
        ),
        case("damaged", "{", Some(sealed(&written)), &PulledState::Unreadable),
    ]
}
