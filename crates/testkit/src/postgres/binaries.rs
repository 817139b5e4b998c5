//! Where the programs of an installed PostgreSQL are.

use std::env;
use std::path::{Path, PathBuf};

/// What a cluster is made with; all three come with the server.
const NEEDED: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// The folder with the server's programs: on the `PATH`, or the highest version where Debian puts them.
///
/// # Panics
/// If there is none, saying what to install.
pub(crate) fn server_programs() -> PathBuf {
    first_complete(on_the_path().chain(of_debian(Path::new("/usr/lib/postgresql")))).unwrap_or_else(|| {
        panic!(
            "the PostgreSQL server is missing: install it (on Debian: apt-get install postgresql), or set \
             MOSAIC_TEST_DATABASE_URL to a server that is already there"
        )
    })
}

/// The folder with `program`: on the `PATH`, or where Debian puts the programs of services.
pub(crate) fn folder_of(program: &str) -> Option<PathBuf> {
    on_the_path()
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
        .find(|folder| folder.join(program).is_file())
}

fn on_the_path() -> impl Iterator<Item = PathBuf> {
    env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .collect::<Vec<_>>()
        .into_iter()
}

/// `VERSION/bin` below `folder`, the highest version first.
fn of_debian(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = folder
        .read_dir()
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, bin)| bin)
}

fn first_complete(mut folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    folders.find(|folder| NEEDED.iter().all(|program| folder.join(program).is_file()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_highest_complete_version_is_taken() {
        let root = env::temp_dir().join(format!("mosaic-binaries-{}", std::process::id()));
        for (version, programs) in [("9", &NEEDED[..]), ("15", &NEEDED[..]), ("17", &NEEDED[..1])] {
            let bin = root.join(version).join("bin");
            fs::create_dir_all(&bin).unwrap();
            for program in programs {
                fs::write(bin.join(program), "").unwrap();
            }
        }
        fs::create_dir(root.join("common")).unwrap();
        let found = first_complete(of_debian(&root));
        fs::remove_dir_all(&root).unwrap();
        // 17 has a client only, and 9 is not more than 15.
        assert_eq!(found, Some(root.join("15/bin")));
    }

    #[test]
    fn a_folder_that_is_not_there_holds_nothing() {
        assert_eq!(first_complete(of_debian(Path::new("/no/such/folder"))), None);
    }
}
