//! Pictures of accounts and of bots.

use bytes::Bytes;
use mosaic_application::AppError;
use mosaic_application::attachments::AttachmentLimits;
use mosaic_domain::AvatarId;
use mosaic_domain::entity::Bot;
use mosaic_domain::text::Label;
use mosaic_testkit::{BlobCall, BlobFailure, EditExt as _, blobs, bot, bot_key, put};
use uuid::Uuid;

use super::world::{DAY_MS, LIMITS, World, file, mime, plain, png, sha256};

impl World {
    async fn add_avatar(&self, bytes: &Bytes) -> Result<AvatarId, AppError> {
        let mut ingest = self.attachments.receive_avatar(self.user).await?;
        ingest.write(bytes.clone()).await?;
        let declared = Some(mime("image/png"));
        self.attachments
            .add_avatar(declared, file("me.png").filename, ingest)
            .await
    }

    async fn avatar(&self, id: AvatarId) -> Result<Bytes, AppError> {
        let file = self.attachments.avatar(self.user, id).await?;
        assert_eq!(
            (file.filename.as_ref(), file.mime_type.as_str()),
            (None, "image/png")
        );
        self.bytes_of(&file).await
    }
}

fn pictured(id: AvatarId) -> Bot {
    Bot {
        avatar_url: Some(Label::new(format!("/avatars/{id}/download")).unwrap()),
        ..bot("Mo")
    }
}

#[tokio::test]
async fn an_avatar_comes_back_to_its_user() {
    let w = World::new().await;
    let (me, again) = (
        w.add_avatar(&png("me")).await.unwrap(),
        w.add_avatar(&png("me")).await.unwrap(),
    );
    assert_ne!(me, again, "each has an address of its own");
    for id in [me, again] {
        assert_eq!(w.avatar(id).await.unwrap(), png("me"));
        let named = w.attachments.avatar(w.user, id).await.unwrap();
        assert_eq!(named.tag, sha256(&png("me")).to_string());
    }
    let other = w.another_user().await;
    assert!(matches!(other.avatar(me).await, Err(AppError::NotFound)));
    assert!(matches!(
        w.avatar(AvatarId::new(Uuid::from_u128(1))).await,
        Err(AppError::NotFound)
    ));
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn an_avatar_is_a_picture() {
    let w = World::new().await;
    let refused = w.add_avatar(&plain("me")).await;
    assert!(matches!(refused, Err(AppError::NotAPicture)), "{refused:?}");
    w.assert_clean_with(0).await;
}

#[tokio::test]
async fn an_avatar_has_only_so_many_bytes_and_counts_as_a_file() {
    let w = World::with(AttachmentLimits {
        user_bytes: 1_500,
        ..LIMITS
    })
    .await;
    let sized = |size: usize| Bytes::from([&b"PNG "[..], &blobs::bytes(1, size - 4)].concat());
    let refused = w.add_avatar(&sized(1_001)).await;
    assert!(
        matches!(refused, Err(AppError::FileTooLarge { limit: 1_000 })),
        "{refused:?}"
    );
    w.assert_clean_with(0).await;
    w.add_avatar(&sized(1_000)).await.unwrap();
    let refused = w.add_avatar(&sized(501)).await;
    assert!(
        matches!(
            refused,
            Err(AppError::QuotaExceeded {
                used: 1_000,
                quota: 1_500
            })
        ),
        "{refused:?}"
    );
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn a_storage_that_fails_makes_no_avatar() {
    let w = World::new().await;
    for call in [BlobCall::Create, BlobCall::Write, BlobCall::Finish] {
        w.blobs.fail_next(call, BlobFailure::Unavailable);
        assert!(matches!(w.add_avatar(&png("me")).await, Err(AppError::Blobs(_))));
    }
    assert_eq!(w.h.stores.avatars.avatars(w.user).await.unwrap(), []);
    w.assert_clean_with(0).await;
}

#[tokio::test]
async fn an_avatar_stays_for_as_long_as_a_bot_names_it() {
    let w = World::new().await;
    let (named, unnamed) = (
        w.add_avatar(&png("mo")).await.unwrap(),
        w.add_avatar(&png("me")).await.unwrap(),
    );
    w.h.write(w.user, [put(bot_key(1), pictured(named)).at(10)]).await;
    w.h.clock.advance(DAY_MS);
    assert_eq!(w.collect_garbage().await, 0);
    w.h.clock.advance(1);
    assert_eq!(w.collect_garbage().await, 1);
    assert!(matches!(w.avatar(unnamed).await, Err(AppError::NotFound)));
    assert_eq!(w.avatar(named).await.unwrap(), png("mo"));

    // Also where only an older version names it: it may be restored.
    w.h.write(w.user, [put(bot_key(1), bot("Mo")).at(20)]).await;
    assert_eq!(w.collect_garbage().await, 0);
    assert_eq!(w.avatar(named).await.unwrap(), png("mo"));
    w.assert_clean_with(1).await;
    w.h.stores
        .retention
        .purge(w.user, mosaic_testkit::at(w.h.clock.ms() + 1), 100)
        .await
        .unwrap();
    assert_eq!(w.collect_garbage().await, 1);
    w.assert_clean_with(0).await;
}

#[tokio::test]
async fn a_user_has_only_so_many_avatars_until_those_that_nothing_names_go() {
    let w = World::new().await;
    for _ in 0..100 {
        w.add_avatar(&png("me")).await.unwrap();
    }
    let refused = w.add_avatar(&png("me")).await;
    assert!(matches!(refused, Err(AppError::TooManyAvatars)), "{refused:?}");
    w.another_user().await.add_avatar(&png("me")).await.unwrap();
    w.h.clock.advance(DAY_MS + 1);
    w.collect_garbage().await;
    w.add_avatar(&png("me")).await.unwrap();
}
