//! The Debian package: installed into a folder by the real dpkg, upgraded, removed and purged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

#[path = "../../examples/manual.rs"]
mod manual;

const CONFIG: &str = "etc/mosaic/mosaic.toml";
const ENABLED: &str = "etc/systemd/system/multi-user.target.wants/mosaic.service";

/// A system with nothing in it, and packages of two versions.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        let scratch = Self(tempfile::tempdir().unwrap());
        for folder in ["updates", "info"] {
            fs::create_dir_all(scratch.path("root/var/lib/dpkg").join(folder)).unwrap();
        }
        fs::write(scratch.path("root/var/lib/dpkg/status"), "").unwrap();
        manual::write(&scratch.path("manual")).unwrap();
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn in_root(&self, name: &str) -> PathBuf {
        self.path("root").join(name)
    }

    /// Builds a package of that version.
    fn package(&self, version: &str) -> PathBuf {
        let package = self.path(&format!("mosaic_{version}.deb"));
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/debian/build");
        let mut command = Command::new(build);
        command
            .args([Path::new(env!("CARGO_BIN_EXE_mosaic")), &self.path("manual")])
            .arg(version)
            .arg(&package)
            // What is not optimised is large.
            .env("DEB_COMPRESSION", "none");
        succeeds(&mut command);
        package
    }

    /// Has dpkg do something in the folder, as whom it takes for root.
    fn dpkg(&self, args: &[&str]) -> String {
        let mut command = Command::new("unshare");
        command
            .args([
                "--map-root-user",
                "dpkg",
                "--force-depends",
                "--force-script-chrootless",
            ])
            .arg(format!("--root={}", self.path("root").display()))
            .arg(format!("--log={}", self.path("log").display()))
            .args(args);
        String::from_utf8(succeeds(&mut command).stdout).unwrap()
    }

    /// What the installed program shows of its configuration.
    fn config(&self) -> String {
        let mut command = Command::new(self.in_root("usr/bin/mosaic"));
        let shown = succeeds(command.arg("config").env_clear().current_dir("/"));
        String::from_utf8(shown.stdout).unwrap()
    }
}

#[track_caller]
fn succeeds(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

#[test]
fn a_package_is_installed_upgraded_removed_and_purged() {
    let scratch = Scratch::new();
    let there = |name: &str| scratch.in_root(name).symlink_metadata().is_ok();
    let text = |name: &str| fs::read_to_string(scratch.in_root(name)).unwrap();

    scratch.dpkg(&["--install", scratch.package("0.1.0").to_str().unwrap()]);
    assert!(text("etc/passwd").contains("mosaic:x:"), "{}", text("etc/passwd"));
    assert!(there(ENABLED));
    for name in [
        "usr/share/man/man1/mosaic.1.gz",
        "usr/share/man/man1/mosaic-user-add.1.gz",
        "usr/share/bash-completion/completions/mosaic",
        "usr/share/zsh/vendor-completions/_mosaic",
        "usr/share/fish/vendor_completions.d/mosaic.fish",
        "usr/lib/systemd/system/mosaic.socket",
        "etc/mosaic/environment",
        "usr/share/doc/mosaic/mosaic.toml",
    ] {
        assert!(there(name), "{name}");
    }
    // The program finds what was installed with it, wherever it is called, and the unit says nothing else.
    let data_dir = |path: &str| format!("data_dir = \"{path}\"  # {}\n", scratch.in_root(CONFIG).display());
    let shown = scratch.config();
    assert!(shown.contains(&data_dir("/var/lib/mosaic")), "{shown}");
    assert!(!text("usr/lib/systemd/system/mosaic.service").contains("MOSAIC_"));

    fs::write(scratch.in_root(CONFIG), "data_dir = \"/srv/mosaic\"\n").unwrap();
    fs::create_dir_all(scratch.in_root("var/lib/mosaic")).unwrap();
    fs::write(scratch.in_root("var/lib/mosaic/mosaic.db"), "what people wrote").unwrap();
    scratch.dpkg(&["--remove", "mosaic"]);
    assert!(!there("usr/bin/mosaic") && there(CONFIG));
    let next = scratch.package("0.1.1");
    scratch.dpkg(&["--install", next.to_str().unwrap()]);
    assert!(there(ENABLED));
    assert!(scratch.config().contains(&data_dir("/srv/mosaic")));
    fs::remove_file(scratch.in_root(ENABLED)).unwrap();
    scratch.dpkg(&["--install", next.to_str().unwrap()]);
    assert_eq!(text(CONFIG), "data_dir = \"/srv/mosaic\"\n");
    // Who disabled it wants it disabled.
    assert!(!there(ENABLED));
    fs::write(scratch.in_root("etc/mosaic/key.pem"), "a key").unwrap();
    let said = scratch.dpkg(&["--purge", "mosaic"]);
    assert!(!there(CONFIG));
    assert!(said.contains("/var/lib/mosaic is kept"), "{said}");
    assert_eq!(text("etc/mosaic/key.pem"), "a key");
    assert_eq!(text("var/lib/mosaic/mosaic.db"), "what people wrote");
}
