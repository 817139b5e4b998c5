//! Password hashing: argon2id, off the async workers, and no more at once than there are cores.
//!
//! A hash costs 19 MiB and tens of milliseconds of a core on purpose. So two things must hold. Hashing runs on the
//! blocking pool, never on an async worker (rule 10 of the house). And a flood of logins must not take all memory or
//! starve the pool that the stores work on: whoever finds every core busy waits in line, in the order of arrival.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use argon2::password_hash::Error as HashError;
use argon2::{
    ARGON2ID_IDENT, Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
};
use async_trait::async_trait;
use mosaic_domain::account::{Password, PasswordHash};
use mosaic_ports::{BoxError, PasswordHasher};
use tokio::sync::Semaphore;
use tokio::task;

/// A hash in PHC form, taken apart.
type Phc = argon2::PasswordHash;

/// Memory of one hash in KiB. With [`PASSES`] and [`LANES`] the first choice of OWASP's password storage cheat sheet.
const MEMORY_KIB: u32 = 19 * 1024;
/// How often the memory is passed over.
const PASSES: u32 = 2;
/// Threads of one hash.
const LANES: u32 = 1;
/// Bytes of a hash.
const HASH_BYTES: usize = 32;

/// What is stored for an account was not made by an [`Argon2Hasher`]. Says nothing about its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored password hash is not a complete argon2id hash in PHC form")]
struct ForeignHash;

/// Hashes passwords with argon2id: 19 MiB, 2 passes, 1 lane, a fresh salt of 16 bytes, in PHC form.
///
/// The parameters are part of the hash, so hashes that were made with others still verify. Its methods must be called
/// within a tokio runtime.
pub struct Argon2Hasher {
    engine: Argon2<'static>,
    cores: Arc<Semaphore>,
    /// What passwords are held against when there is no such account, so that the answer takes as long.
    dummy: Phc,
}

impl Argon2Hasher {
    /// A hasher that keeps at most all cores busy.
    ///
    /// # Errors
    /// Never with the parameters above.
    pub fn new() -> Result<Self, BoxError> {
        Self::with_limit(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    fn with_limit(at_once: NonZeroUsize) -> Result<Self, BoxError> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES))?;
        let engine = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        // Not made by hashing, which takes 19 MiB that a server at rest would go on to hold. No password has this hash.
        let (salt, hash) = ("A".repeat(22), "A".repeat(43));
        let dummy = Phc::new(&format!(
            "${ARGON2ID_IDENT}$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${hash}"
        ))?;
        Ok(Self {
            engine,
            cores: Arc::new(Semaphore::new(at_once.get())),
            dummy,
        })
    }

    /// Runs `work` on the blocking pool once a core is free for it.
    ///
    /// The permit moves into the work: a caller who gives up does not free the core that still computes for it.
    async fn on_a_core<T, F>(&self, work: F) -> Result<T, BoxError>
    where
        T: Send + 'static,
        F: FnOnce(&Argon2<'static>) -> Result<T, HashError> + Send + 'static,
    {
        let engine = self.engine.clone();
        let permit = Arc::clone(&self.cores).acquire_owned().await?;
        let task = task::spawn_blocking(move || {
            let outcome = work(&engine);
            drop(permit);
            outcome
        });
        Ok(task.await??)
    }
}

#[async_trait]
impl PasswordHasher for Argon2Hasher {
    async fn hash(&self, password: Password) -> Result<PasswordHash, BoxError> {
        let hash = self
            .on_a_core(move |engine| engine.hash_password(password.expose().as_bytes()))
            .await?;
        Ok(PasswordHash::new(hash.to_string()))
    }

    async fn verify(&self, password: Password, hash: Option<PasswordHash>) -> Result<bool, BoxError> {
        let known = hash.is_some();
        let hash = hash.map_or_else(|| Ok(self.dummy.clone()), |hash| take_apart(&hash))?;
        let matches = self
            .on_a_core(move |engine| matches(engine, &password, &hash))
            .await?;
        Ok(known && matches)
    }
}

impl fmt::Debug for Argon2Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Argon2Hasher")
            .field("free_cores", &self.cores.available_permits())
            .finish_non_exhaustive()
    }
}

/// Reads a stored hash. One without salt or output would be held against nothing, and is refused as well.
fn take_apart(hash: &PasswordHash) -> Result<Phc, ForeignHash> {
    Phc::new(hash.expose())
        .ok()
        .filter(|phc| phc.algorithm == ARGON2ID_IDENT && phc.salt.is_some() && phc.hash.is_some())
        .ok_or(ForeignHash)
}

/// Computes the password's hash with the parameters of the stored one and compares the two in constant time; in each form
/// that the stored one may be of.
fn matches(engine: &Argon2<'_>, password: &Password, hash: &Phc) -> Result<bool, HashError> {
    for spelling in password.spellings() {
        match engine.verify_password(spelling.as_bytes(), hash) {
            Ok(()) => return Ok(true),
            Err(HashError::PasswordInvalid) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn hasher(at_once: usize) -> Argon2Hasher {
        Argon2Hasher::with_limit(NonZeroUsize::new(at_once).unwrap()).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::given(text.to_owned()).unwrap()
    }

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_only() {
        let hasher = hasher(1);
        let hash = hasher.hash(password("correct horse")).await.unwrap();
        assert!(
            hasher
                .verify(password("correct horse"), Some(hash.clone()))
                .await
                .unwrap()
        );
        for wrong in [
            "correct horsf",
            "correct hors",
            "correct horse ",
            "Correct horse",
            "",
        ] {
            assert!(
                !hasher.verify(password(wrong), Some(hash.clone())).await.unwrap(),
                "{wrong:?}"
            );
        }
    }

    #[tokio::test]
    async fn hashes_of_what_was_typed_still_verify() {
        let hasher = hasher(1);
        let typed = "Pa\u{308}ssword\u{a0}1";
        let before: Phc = hasher.engine.hash_password(typed.as_bytes()).unwrap();
        let before = PasswordHash::new(before.to_string());
        assert!(hasher.verify(password(typed), Some(before)).await.unwrap());
        let now = hasher.hash(password("P\u{e4}ssword 1")).await.unwrap();
        assert!(hasher.verify(password(typed), Some(now)).await.unwrap());
    }

    #[tokio::test]
    async fn every_byte_of_a_long_password_counts() {
        let hasher = hasher(1);
        let long = "é".repeat(Password::MAX_BYTES / 2);
        let hash = hasher.hash(password(&long)).await.unwrap();
        let mut other = long.clone();
        other.pop();
        other.push('è');
        assert!(hasher.verify(password(&long), Some(hash.clone())).await.unwrap());
        assert!(!hasher.verify(password(&other), Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn hashes_say_their_parameters_and_have_a_fresh_salt() {
        let hasher = hasher(1);
        let first = hasher.hash(password("same")).await.unwrap();
        let second = hasher.hash(password("same")).await.unwrap();
        assert!(first.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_ne!(first, second);
        let phc = take_apart(&first).unwrap();
        assert_eq!((phc.salt.unwrap().len(), phc.hash.unwrap().len()), (16, 32));
    }

    #[tokio::test]
    async fn hashes_with_older_parameters_still_verify() {
        let weaker = Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(4_096, 3, 2, Some(24)).unwrap(),
        );
        let old: Phc = weaker.hash_password(b"old secret").unwrap();
        let old = PasswordHash::new(old.to_string());
        let hasher = hasher(1);
        assert!(
            hasher
                .verify(password("old secret"), Some(old.clone()))
                .await
                .unwrap()
        );
        assert!(!hasher.verify(password("new secret"), Some(old)).await.unwrap());
    }

    #[tokio::test]
    async fn without_a_hash_the_same_work_is_done_and_the_answer_is_no() {
        let hasher = hasher(1);
        let own = hasher.hash(password("anything")).await.unwrap();
        let own = take_apart(&own).unwrap();
        assert_eq!(
            hasher.dummy.params, own.params,
            "the dummy must cost what a hash costs"
        );
        assert_eq!(hasher.dummy.algorithm, own.algorithm);
        assert!(!hasher.verify(password("anything"), None).await.unwrap());
    }

    #[tokio::test]
    async fn without_a_hash_even_the_password_behind_the_dummy_is_refused() {
        let mut hasher = hasher(1);
        hasher.dummy = hasher.engine.hash_password(b"known").unwrap();
        assert!(!hasher.verify(password("known"), None).await.unwrap());
    }

    #[tokio::test]
    async fn hashes_that_are_not_ours_are_errors_that_do_not_show_them() {
        let salt_and_hash = "c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
        let foreign = [
            String::new(),
            "plain text".to_owned(),
            "$argon2id$v=19$m=19456,t=2,p=1".to_owned(),
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0".to_owned(),
            format!("$argon2i$v=19$m=19456,t=2,p=1${salt_and_hash}"),
            format!("$scrypt$ln=17,r=8,p=1${salt_and_hash}"),
            format!("$argon2id$v=19$m=1,t=0,p=1${salt_and_hash}"),
            format!("$argon2id$v=99$m=19456,t=2,p=1${salt_and_hash}"),
        ];
        let hasher = hasher(1);
        for text in foreign {
            let stored = PasswordHash::new(text.clone());
            let error = hasher.verify(password("x"), Some(stored)).await.expect_err(&text);
            assert!(
                !format!("{error:?} {error}").contains("c2FsdHNhbHRzYWx0"),
                "{text}"
            );
        }
        assert!(!hasher.verify(password("x"), None).await.unwrap(), "it works on");
    }

    #[test]
    fn hashing_leaves_the_worker_free() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let hasher = hasher(1);
            // The one thread for such work is taken: only the async worker itself could be done at once.
            let (free, is_free) = mpsc::channel();
            let busy = task::spawn_blocking(move || is_free.recv());
            let mut hash = hasher.hash(password("slow"));
            let first_poll = timeout(Duration::ZERO, &mut hash).await;
            assert!(
                first_poll.is_err(),
                "the only worker would have waited for the hash"
            );
            free.send(()).unwrap();
            busy.await.unwrap().unwrap();
            assert!(hash.await.is_ok());
        });
    }

    #[tokio::test]
    async fn who_finds_every_core_busy_waits() {
        let hasher = hasher(2);
        let busy = hasher.cores.acquire_many(2).await.unwrap();
        let mut waiting = hasher.hash(password("patient"));
        assert!(timeout(Duration::from_millis(300), &mut waiting).await.is_err());
        drop(busy);
        assert!(waiting.await.is_ok());
        assert_eq!(hasher.cores.available_permits(), 2);
    }

    #[tokio::test]
    async fn a_caller_who_gives_up_does_not_free_the_core_that_still_computes() {
        let hasher = hasher(1);
        let (finish, may_finish) = mpsc::channel::<()>();
        let mut given_up = Box::pin(hasher.on_a_core(move |_| {
            let _ = may_finish.recv();
            Ok(())
        }));
        assert!(timeout(Duration::ZERO, &mut given_up).await.is_err());
        drop(given_up);
        assert_eq!(hasher.cores.available_permits(), 0);
        finish.send(()).unwrap();
        let freed = timeout(Duration::from_mins(1), hasher.cores.acquire()).await;
        assert!(freed.unwrap().is_ok(), "and it is free once the work is done");
    }

    #[tokio::test]
    async fn a_hash_that_panics_is_an_error_and_frees_its_core() {
        let hasher = hasher(1);
        let outcome: Result<(), _> = hasher.on_a_core(|_| panic!("as a bug would")).await;
        assert!(outcome.is_err());
        assert_eq!(hasher.cores.available_permits(), 1);
    }

    #[test]
    fn debug_shows_no_hash() {
        assert_eq!(format!("{:?}", hasher(3)), "Argon2Hasher { free_cores: 3, .. }");
    }
}
