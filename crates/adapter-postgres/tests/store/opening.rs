//! Opening a database: migrations, and what is refused.

use futures_util::future::join_all;
use mosaic_adapter_postgres::{OpenError, PostgresSettings, pending_migrations};
use mosaic_ports::{Health as _, StoreError, in_words};
use mosaic_testkit::postgres::{PgBouncer, Server, Template, TestDatabase};

use crate::support::{open, settings};
use crate::{Test, chain, yes};

#[tokio::test(flavor = "multi_thread")]
async fn eight_instances_that_start_at_once_migrate_once() {
    let database = TestDatabase::create(&Template::empty()).await;
    let settings = settings(&database.url());
    let opened = join_all((0..8).map(|_| open(settings.clone()))).await;
    let sql = database.connect().await;
    assert!(yes(&sql, "count(*) = 14 FROM refinery_schema_history").await);
    assert!(yes(&sql, "count(*) = 1 FROM meta").await);
    for store in opened {
        let store = store.unwrap();
        store.check().await.unwrap();
        store.close().await;
    }
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_behind_a_pooler_is_migrated_too() {
    let database = TestDatabase::create(&Template::empty()).await;
    let bouncer = PgBouncer::start(&database.url()).await;
    let settings = PostgresSettings {
        prepared_statements: false,
        ..settings(&bouncer.url())
    };
    for opened in join_all((0..2).map(|_| open(settings.clone()))).await {
        let store = opened.unwrap();
        store.check().await.unwrap();
        store.close().await;
    }
    drop(bouncer);
    database.remove().await;
}

#[tokio::test]
async fn without_leave_to_migrate_a_database_that_misses_migrations_is_refused() {
    let database = TestDatabase::create(&Template::empty()).await;
    let settings = PostgresSettings {
        migrate: false,
        ..settings(&database.url())
    };
    let refused = open(settings.clone()).await.unwrap_err();
    let asked = pending_migrations(&settings).await.unwrap_err();
    for refused in [refused, asked] {
        assert!(matches!(refused, OpenError::Absent(_)), "{refused:?}");
    }
    let sql = database.connect().await;
    assert!(
        yes(&sql, "to_regclass('records') IS NULL").await,
        "nothing was made"
    );

    let migrating = PostgresSettings {
        migrate: true,
        ..settings.clone()
    };
    open(migrating).await.unwrap().close().await;
    assert_eq!(pending_migrations(&settings).await.unwrap(), []);
    open(settings.clone()).await.unwrap().close().await;

    let older = "DELETE FROM refinery_schema_history WHERE version = 14";
    sql.batch_execute(older).await.unwrap();
    let pending = pending_migrations(&settings).await.unwrap();
    assert_eq!(in_words(pending), "V14 invites");
    let refused = open(settings).await.unwrap_err();
    let OpenError::Pending { missing, .. } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(missing, pending);
    database.remove().await;
}

#[tokio::test]
async fn an_instance_waits_for_another_one_s_migrations_only_so_long() {
    let database = TestDatabase::create(&Template::empty()).await;
    let other = database.connect().await;
    let key = 0x6d6f_7361_6963_i64;
    other
        .query_one("SELECT pg_try_advisory_lock($1)", &[&key])
        .await
        .unwrap();
    let settings = PostgresSettings {
        migration_timeout: std::time::Duration::ZERO,
        ..settings(&database.url())
    };
    let refused = open(settings).await.unwrap_err();
    assert!(matches!(refused, OpenError::Migrating { .. }), "{refused:?}");
    database.remove().await;
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let test = Test::new().await;
    let newer = "INSERT INTO refinery_schema_history SELECT 999, 'later', applied_on, checksum \
                 FROM refinery_schema_history WHERE version = 1";
    test.sql().await.batch_execute(newer).await.unwrap();
    let refused = open(settings(&test.fixture.database.url())).await.unwrap_err();
    assert!(matches!(refused, OpenError::Migration { .. }), "{refused:?}");
    assert!(chain(&refused).contains("newer version"), "{}", chain(&refused));
    test.stop().await;
}

#[tokio::test]
async fn an_encoding_that_can_not_hold_every_text_is_refused() {
    let server = Server::shared().await;
    let admin = server.connect().await;
    let name = format!("mosaic_ascii_{}", std::process::id());
    let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'");
    admin.batch_execute(&create).await.unwrap();
    let refused = open(settings(&server.url(&name))).await.unwrap_err();
    assert!(
        matches!(refused, OpenError::Unsupported { wanted: "UTF8", .. }),
        "{refused:?}"
    );
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    admin.batch_execute(&drop).await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named_without_its_password() {
    let refused = open(settings("postgres://anna:topsecret@127.0.0.1:1/mosaic"))
        .await
        .unwrap_err();
    assert!(matches!(refused, OpenError::Connect { .. }), "{refused:?}");
    let shown = format!("{} {refused:?}", chain(&refused));
    assert!(shown.contains("anna@127.0.0.1:1/mosaic"), "{shown}");
    assert!(!shown.contains("topsecret"), "{shown}");
}

#[tokio::test]
async fn a_closed_store_is_not_available() {
    let test = Test::new().await;
    test.fixture.store.close().await;
    let refused = test.fixture.store.check().await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    test.stop().await;
}
