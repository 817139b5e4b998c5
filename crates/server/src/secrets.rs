//! Secrets that the server makes for itself and keeps in the data folder.
//!
//! A key file holds 32 random bytes, belongs to the server's user alone (mode 0600), and comes into being whole or not at
//! all: a server that is killed while making it leaves no half key, and of two that start together both use the same one.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::atomic_file::AtomicFile;

/// 32 secret bytes. `Debug` hides them.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey([u8; SecretKey::BYTES]);

impl SecretKey {
    /// The length of a key, in bytes.
    pub const BYTES: usize = 32;

    /// A key of these bytes.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// A key from 64 hexadecimal digits; none for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut key = [0; Self::BYTES];
        if text.len() != 2 * Self::BYTES || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (index, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(Self(key))
    }

    /// The bytes, for whoever signs with them.
    pub fn expose(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(hidden)")
    }
}

/// Why a secret can't be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file or its folder can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds no key.
    #[error(
        "{} is not a key: a key file has exactly 32 bytes. Restore it from a backup; or remove it, and a new key is \
         made, which ends what was signed with the old one",
        path.display()
    )]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// Others can read or change the file.
    #[error(
        "{path} can be read or changed by others (mode {mode:04o}). Make it yours alone with: chmod 600 {path}",
        path = path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl SecretError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Makes a folder, for its owner only, unless it is there.
///
/// # Errors
/// [`SecretError::Io`].
pub fn create_private_dir(path: &Path) -> Result<(), SecretError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    let is_new = !path.exists();
    builder.create(path).map_err(SecretError::io(path))?;
    if is_new {
        mosaic_adapter_sqlite::belong_to_folder(path);
    }
    Ok(())
}

/// The key in this file; if there is no file, a new one with the bytes that `generate` gives. Its folder must be there.
///
/// # Errors
/// A file that is no key, that others can read, or that can't be read or made.
pub fn load_or_create(
    path: &Path,
    generate: impl FnOnce() -> io::Result<[u8; SecretKey::BYTES]>,
) -> Result<SecretKey, SecretError> {
    match File::open(path) {
        Ok(file) => read(path, &file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let bytes = generate().map_err(SecretError::io(path))?;
            create(path, &bytes).map_err(SecretError::io(path))?;
            // Read back what is there: another server may have been first.
            read(path, &File::open(path).map_err(SecretError::io(path))?)
        }
        Err(error) => Err(SecretError::io(path)(error)),
    }
}

fn read(path: &Path, file: &File) -> Result<SecretKey, SecretError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file
            .metadata()
            .map_err(SecretError::io(path))?
            .permissions()
            .mode()
            & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SecretError::Exposed {
                path: path.to_owned(),
                mode,
            });
        }
    }
    let mut bytes = Vec::new();
    let limit = SecretKey::BYTES as u64 + 1;
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(SecretError::io(path))?;
    let key = bytes.try_into().map_err(|_| SecretError::NotAKey {
        path: path.to_owned(),
    })?;
    Ok(SecretKey(key))
}

/// Puts the key there, unless another server was first: its key stays.
fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = AtomicFile::of(path)?;
    draft.write_all(bytes)?;
    match draft.put() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        put => put,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never() -> io::Result<[u8; 32]> {
        panic!("the key is there")
    }

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        let made = load_or_create(&path, || Ok([7; 32])).unwrap();
        assert_eq!(made.expose(), &[7; 32]);
        assert_eq!(load_or_create(&path, never).unwrap(), made);
        let names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["token.key"], "no draft is left");
    }

    #[test]
    #[cfg(unix)]
    fn folder_and_key_belong_to_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/b");
        create_private_dir(&data).unwrap();
        create_private_dir(&data).unwrap();
        let path = data.join("token.key");
        load_or_create(&path, || Ok([7; 32])).unwrap();
        assert_eq!(mode(&data), 0o700);
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    #[cfg(unix)]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        load_or_create(&path, || Ok([7; 32])).unwrap();
        for exposed in [0o640, 0o604, 0o660, 0o644] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(exposed)).unwrap();
            let error = load_or_create(&path, never).unwrap_err().to_string();
            assert!(
                error.contains(&format!("mode {exposed:04o}")) && error.contains("chmod 600"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_file_of_another_size_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        for size in [0, 31, 33, 4096] {
            std::fs::remove_file(&path).ok();
            create(&path, &vec![7; size]).unwrap();
            let error = load_or_create(&path, never).unwrap_err();
            assert!(matches!(error, SecretError::NotAKey { .. }), "{error}");
            assert_eq!(std::fs::metadata(&path).unwrap().len(), size as u64);
        }
    }

    #[test]
    fn the_first_of_two_servers_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        let second = load_or_create(&path, || {
            load_or_create(&path, || Ok([1; 32])).unwrap();
            Ok([2; 32])
        });
        assert_eq!(second.unwrap().expose(), &[1; 32]);
    }

    #[test]
    fn a_draft_that_was_left_behind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        let draft = path.with_extension(format!("{}.new", std::process::id()));
        std::fs::write(draft, [0; 5]).unwrap();
        assert_eq!(load_or_create(&path, || Ok([3; 32])).unwrap().expose(), &[3; 32]);
    }

    #[test]
    fn failures_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nowhere/token.key");
        assert!(
            load_or_create(&path, || Ok([3; 32]))
                .unwrap_err()
                .to_string()
                .contains("nowhere/token.key")
        );
        let path = folder.path().join("token.key");
        let error = load_or_create(&path, || Err(io::Error::other("no randomness"))).unwrap_err();
        assert!(error.to_string().ends_with("no randomness"), "{error}");
        assert!(!path.exists());
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(create_private_dir(&folder.path().join("file")).is_err());
    }

    #[test]
    fn hexadecimal_digits() {
        let digits = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
        let bytes: Vec<u8> = (0..32).collect();
        assert_eq!(SecretKey::from_hex(digits).unwrap().expose().as_slice(), bytes);
        for wrong in [
            "",
            &digits[1..],
            &format!("{digits}0"),
            &digits.replace('0', "g"),
            &"é".repeat(32),
            &"+1".repeat(32),
        ] {
            assert_eq!(SecretKey::from_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn debug_hides_the_key() {
        assert_eq!(format!("{:?}", SecretKey::new([7; 32])), "SecretKey(hidden)");
    }
}
