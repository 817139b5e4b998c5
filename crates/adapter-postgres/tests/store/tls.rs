//! Encryption: what each `sslmode` takes and refuses.

use std::path::Path;

use mosaic_adapter_postgres::OpenError;
use mosaic_testkit::postgres::{Cluster, ClusterOptions, TestDatabase, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::chain;
use crate::support::{open, plain, settings};

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn server_certificate(authority: &CertifiedIssuer<'static, KeyPair>) -> Tls {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    Tls {
        certificate: params.signed_by(&key, authority).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

/// What became of opening with those options.
async fn opened(url: &str, options: &str) -> Result<(), String> {
    match open(settings(&format!("{url}?{options}"))).await {
        Ok(store) => {
            store.close().await;
            Ok(())
        }
        Err(error) => Err(chain(&error)),
    }
}

fn with_root(mode: &str, root: &Path) -> String {
    format!("sslmode={mode}&sslrootcert={}", root.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mode_takes_and_refuses_what_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (authority(), authority());
    let [our_root, their_root] = [("ours", &ours), ("theirs", &theirs)].map(|(name, authority)| {
        let path = folder.path().join(name);
        std::fs::write(&path, authority.pem()).unwrap();
        path
    });
    let options = ClusterOptions {
        tls: Some(server_certificate(&ours)),
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(options).await;
    let database = TestDatabase::create_on(cluster.server(), &plain()).await;
    let url = database.url();
    let by_name = url.replace("127.0.0.1", "localhost");

    assert_eq!(opened(&url, "sslmode=prefer").await, Ok(()));
    assert_eq!(opened(&url, "sslmode=require").await, Ok(()));
    for mode in ["require", "verify-ca", "verify-full"] {
        assert_eq!(opened(&url, &with_root(mode, &our_root)).await, Ok(()), "{mode}");
        let refused = opened(&url, &with_root(mode, &their_root)).await.unwrap_err();
        assert!(
            refused.contains("UnknownIssuer") || refused.contains("BadSignature"),
            "{mode}: {refused}"
        );
    }
    assert_eq!(opened(&by_name, &with_root("verify-ca", &our_root)).await, Ok(()));
    let refused = opened(&by_name, &with_root("verify-full", &our_root))
        .await
        .unwrap_err();
    assert!(refused.contains("not valid for name"), "{refused}");
    let refused = opened(&url, "sslmode=disable").await.unwrap_err();
    assert!(refused.contains("28000"), "{refused}");
    let nowhere = with_root("verify-full", &folder.path().join("nowhere"));
    let refused = open(settings(&format!("{url}?{nowhere}"))).await.unwrap_err();
    assert!(matches!(refused, OpenError::Tls { .. }), "{refused:?}");
    database.remove().await;
}
