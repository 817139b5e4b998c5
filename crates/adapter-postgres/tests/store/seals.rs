//! Documents that go out as they are stored, and those that do not.

use mosaic_domain::EntityType;
use mosaic_domain::entity::seal;
use mosaic_testkit::{delete, memo, memo_key, patch_memo, put, seals};

use crate::Test;

#[tokio::test]
async fn p8_a_document_goes_out_as_it_is_stored_only_under_its_own_seal() {
    let test = Test::new().await;
    let (h, sql) = (&test.h, test.sql().await);
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("before"))]).await;
    for case in seals::memos() {
        let plant = "UPDATE records SET document = $1, seal = $2";
        sql.execute(plant, &[&case.document, &case.seal]).await.unwrap();
        let device = h.fresh_device(user).await;
        assert_eq!(device.records()[0].state, case.shown, "{}", case.about);
    }
    test.stop().await;
}

#[tokio::test]
async fn what_lives_is_sealed_each_time_that_it_is_written() {
    let test = Test::new().await;
    let (h, sql) = (&test.h, test.sql().await);
    let user = h.user().await;
    let row = async || {
        let row = sql
            .query_one("SELECT document, seal FROM records", &[])
            .await
            .unwrap();
        (row.get::<_, String>(0), row.get::<_, Option<i64>>(1))
    };
    for edit in [
        put(memo_key(1), memo("one")),
        patch_memo(1, "two"),
        patch_memo(1, "three"),
    ] {
        h.write(user, [edit]).await;
        let (document, beside) = row().await;
        assert_eq!(
            beside,
            Some(seal(EntityType::Memo, document.as_bytes())),
            "{document}"
        );
    }
    h.write(user, [delete(memo_key(1))]).await;
    assert_eq!(row().await.1, None);
    test.stop().await;
}
