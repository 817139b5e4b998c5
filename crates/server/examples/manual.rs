//! What belongs to an installed program besides the program: pages for `man`, completions for shells, and a configuration
//! file that says what can be set. `cargo xtask package` puts them into the Debian package.
//!
//! `manual FOLDER` writes `man1/*.1`, `mosaic.bash`, `_mosaic`, `mosaic.fish` and `mosaic.toml` there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap_complete::{Shell, generate_to};
use mosaic_server::{cli, config};

/// Writes all of it into a folder, which is made where it is missing.
///
/// # Errors
/// A folder or a file that can't be made.
pub fn write(folder: &Path) -> io::Result<()> {
    let pages = folder.join("man1");
    fs::create_dir_all(&pages)?;
    clap_mangen::generate_to(cli::command(), &pages)?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        generate_to(shell, &mut cli::command(), "mosaic", folder)?;
    }
    fs::write(folder.join(config::DEFAULT_FILE), config::commented_file())
}

#[cfg_attr(test, expect(dead_code, reason = "a test calls what is above"))]
fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    write(&folder.ok_or_else(|| io::Error::other("usage: manual FOLDER"))?)
}
