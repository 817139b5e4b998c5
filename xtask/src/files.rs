//! The files of the repository, as its checks read them.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// The text of a file.
///
/// # Errors
/// When it can't be read.
pub(crate) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Failure(format!("{}: {error}", path.display())))
}

/// All files below a folder whose names end like this, in order.
///
/// # Errors
/// When a folder can't be read.
pub(crate) fn below(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let unreadable = |error| Failure(format!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            found.extend(below(&path, extension)?);
        } else if path.extension().is_some_and(|ending| ending == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is longer is more than one thing.
    const LONGEST: usize = 500;

    #[test]
    fn no_source_is_longer_than_one_can_see_whole() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let sources = ["crates", "xtask"].map(|folder| below(&root.join(folder), "rs").unwrap());
        let long = |path: &PathBuf| read(path).unwrap().lines().count() > LONGEST;
        let long: Vec<_> = sources.concat().into_iter().filter(long).collect();
        assert!(long.is_empty(), "more than {LONGEST} lines: {long:#?}");
    }
}
