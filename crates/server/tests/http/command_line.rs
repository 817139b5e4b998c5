//! The binary as a person starts it: what it prints, where, and with which exit code.

use std::path::Path;
use std::process::{Command, Output};

/// `mosaic ARGS` in an empty folder, with these variables and no others.
fn mosaic(folder: &Path, env: &[(&str, &str)], args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mosaic"))
        .current_dir(folder)
        .env_clear()
        .envs(env.iter().copied())
        .args(args)
        .output()
        .expect("the binary starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn config_prints_what_is_in_force_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mosaic.toml"), "[http]\nworkers = 3\n").unwrap();
    let env = [
        ("MOSAIC_ADMIN_PASSWORD", "correct horse battery"),
        ("MOSAIC_REGISTRATON", "open"),
    ];
    let output = mosaic(folder.path(), &env, &["config", "--listen", "[::1]:1"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(out.contains("listen = \"[::1]:1\"  # --listen\n"), "{out}");
    assert!(out.contains("workers = 3  # mosaic.toml\n"), "{out}");
    assert!(!out.contains("horse"), "{out}");
    assert!(
        err.starts_with("warning: ") && err.contains("Did you mean MOSAIC_REGISTRATION?"),
        "{err}"
    );
    assert!(
        !folder.path().join("mosaic-data").exists(),
        "looking at the configuration makes no data folder"
    );
}

#[test]
fn the_file_may_be_named_by_flag_or_variable_and_must_then_exist() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("one.toml"), "listen = '127.0.0.1:1'").unwrap();
    std::fs::write(folder.path().join("two.toml"), "listen = '127.0.0.1:2'").unwrap();
    let env = [("MOSAIC_CONFIG", "two.toml")];
    let listens = |env: &[(&str, &str)], args: &[&str]| {
        text(&mosaic(folder.path(), env, args).stdout)
            .lines()
            .next()
            .map(str::to_owned)
    };
    assert_eq!(
        listens(&env, &["config"]).unwrap(),
        "listen = \"127.0.0.1:2\"  # two.toml"
    );
    assert_eq!(
        listens(&env, &["--config", "one.toml", "config"]).unwrap(),
        "listen = \"127.0.0.1:1\"  # one.toml"
    );
    let missing = mosaic(folder.path(), &[], &["config", "--config", "three.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(
        text(&missing.stderr).starts_with("error: three.toml: "),
        "{missing:?}"
    );
}

#[test]
fn a_wrong_value_stops_the_start_and_names_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let commands: [&[&str]; 11] = [
        &[],
        &["serve"],
        &["migrate"],
        &["user", "list"],
        &["config"],
        &["backup", "saved.db"],
        &["restore", "saved.db", "--yes"],
        &["export", "--user", "anna"],
        &["import", "--user", "anna", "anna.jsonl"],
        &["purge"],
        &["epoch", "show"],
    ];
    for args in commands {
        let output = mosaic(folder.path(), &[("MOSAIC_LISTEN", "everywhere")], args);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(
            text(&output.stderr).contains("listen is \"everywhere\" (MOSAIC_LISTEN)"),
            "{output:?}"
        );
        assert!(output.stdout.is_empty());
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing was made"
    );
}

#[test]
fn help_and_version_need_no_configuration() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mosaic.toml"), "no toml").unwrap();
    let help = mosaic(folder.path(), &[], &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(
        text(&help.stdout).contains("mosaic [OPTIONS] [COMMAND]"),
        "{help:?}"
    );
    let version = mosaic(folder.path(), &[], &["--version"]);
    assert_eq!(
        text(&version.stdout),
        format!("mosaic {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn wrong_arguments_exit_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let output = mosaic(folder.path(), &[], &["--lisen", "x"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--listen"), "{output:?}");
}
