use super::*;

fn parsed(args: &[&str]) -> Invocation {
    parse(std::iter::once(&"mosaic").chain(args)).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(args: &[&str]) -> String {
    parse(std::iter::once(&"mosaic").chain(args))
        .unwrap_err()
        .to_string()
}

fn anna() -> Username {
    "anna".parse().unwrap()
}

#[test]
fn the_definition_is_consistent() {
    command().debug_assert();
}

#[test]
fn no_command_means_serve() {
    assert_eq!(parsed(&[]).command, Command::Serve { no_migrate: false });
    assert_eq!(parsed(&["serve"]).command, Command::Serve { no_migrate: false });
}

#[test]
fn every_command_is_understood() {
    assert_eq!(
        parsed(&["migrate"]).command,
        Command::Migrate {
            check: false,
            distribute: None
        }
    );
    assert_eq!(
        parsed(&["migrate", "--check"]).command,
        Command::Migrate {
            check: true,
            distribute: None
        }
    );
    for (args, list, running) in [
        (&["config"][..], false, false),
        (&["config", "--list"], true, false),
        (&["config", "--running"], false, true),
    ] {
        assert_eq!(parsed(args).command, Command::Config { list, running });
    }
    assert_eq!(parsed(&["log-level"]).command, Command::LogLevel { level: None });
    let level = Some("mosaic_server=debug".parse().unwrap());
    assert_eq!(
        parsed(&["log-level", "mosaic_server=debug"]).command,
        Command::LogLevel { level }
    );
    assert_eq!(parsed(&["purge"]).command, Command::Purge);
    for (args, quick, accept_storage) in [
        (&["doctor"][..], false, false),
        (&["doctor", "--quick"], true, false),
        (&["doctor", "--accept-storage"], false, true),
    ] {
        let expected = Command::Doctor {
            quick,
            accept_storage,
        };
        assert_eq!(parsed(args).command, expected);
    }
    assert_eq!(
        parsed(&["epoch", "show"]).command,
        Command::Epoch(EpochCommand::Show)
    );
    assert_eq!(
        parsed(&["epoch", "renew"]).command,
        Command::Epoch(EpochCommand::Renew)
    );
    let file = || PathBuf::from("file");
    for (args, expected, to, keep) in [
        (&["backup", "file"][..], Some(file()), None, None),
        (&["backup", "--to", "file"], None, Some(file()), None),
        (
            &["backup", "--to", "file", "--keep", "3"],
            None,
            Some(file()),
            NonZeroU32::new(3),
        ),
    ] {
        let file = expected;
        assert_eq!(parsed(args).command, Command::Backup { file, to, keep });
    }
    for (args, yes) in [
        (&["restore", "file"][..], false),
        (&["restore", "file", "--yes"], true),
    ] {
        assert_eq!(parsed(args).command, Command::Restore { file: file(), yes });
    }
    assert_eq!(
        parsed(&["export", "--user", "anna"]).command,
        Command::Export {
            user: anna(),
            output: None
        }
    );
    assert_eq!(
        parsed(&["export", "--user", "anna", "--output", "file"]).command,
        Command::Export {
            user: anna(),
            output: Some(file())
        }
    );
    assert_eq!(
        parsed(&["import", "--user", "anna", "file"]).command,
        Command::Import {
            user: anna(),
            file: file()
        }
    );
    assert_eq!(parsed(&["openapi"]).command, Command::Openapi);
    assert_eq!(parsed(&["dev"]).command, Command::Dev);
    assert_eq!(
        parsed(&["check-client", "--only", "epoch", "--json", "--", "node", "--x"]).command,
        Command::CheckClient {
            only: vec!["epoch".into()],
            list: false,
            json: true,
            command: vec!["node".into(), "--x".into()],
        }
    );
}

#[test]
fn what_is_done_with_accounts_is_understood() {
    let user = |args: &[&str]| match parsed(&[&["user"], args].concat()).command {
        Command::User(command) => command,
        other => panic!("{other:?}"),
    };
    assert_eq!(user(&["list"]), UserCommand::List);
    assert_eq!(
        user(&["disable", "anna"]),
        UserCommand::Disable { username: anna() }
    );
    assert_eq!(
        user(&["enable", "anna"]),
        UserCommand::Enable { username: anna() }
    );
    for (args, yes) in [
        (&["delete", "anna"][..], false),
        (&["delete", "--yes", "anna"], true),
    ] {
        let username = anna();
        assert_eq!(user(args), UserCommand::Delete { username, yes });
    }
    assert_eq!(
        user(&["passwd", "anna", "--password-stdin"]),
        UserCommand::Passwd {
            username: anna(),
            password_stdin: true
        }
    );
    assert_eq!(
        user(&["add", "--admin", "anna"]),
        UserCommand::Add {
            username: anna(),
            admin: true,
            password_stdin: false
        }
    );
}

#[test]
fn configuration_flags_stand_before_or_after_the_command() {
    for args in [["--listen", "[::]:80", "serve"], ["serve", "--listen", "[::]:80"]] {
        let invocation = parsed(&args);
        assert_eq!(invocation.command, Command::Serve { no_migrate: false });
        assert_eq!(
            invocation.flags,
            BTreeMap::from([("listen", "[::]:80".to_owned())])
        );
    }
    let invocation = parsed(&["user", "list", "--data-dir", "/data", "--config", "x.toml"]);
    assert_eq!(invocation.flags["data_dir"], "/data");
    assert_eq!(invocation.config_file, Some(PathBuf::from("x.toml")));
}

#[test]
fn every_key_but_secrets_has_its_flag() {
    for spec in KEYS {
        match spec.flag() {
            Some(flag) => {
                let invocation = parsed(&[&format!("--{flag}=-1")]);
                assert_eq!(invocation.flags, BTreeMap::from([(spec.key, "-1".to_owned())]));
            }
            None => {
                assert!(refused(&[&format!("--{}=x", spec.key.replace('_', "-"))]).contains("unexpected"));
            }
        }
    }
}

#[test]
fn a_switch_needs_no_value_and_swallows_no_command() {
    let invocation = parsed(&["--http-trust-proxy", "config"]);
    assert_eq!(
        invocation.command,
        Command::Config {
            list: false,
            running: false
        }
    );
    assert_eq!(invocation.flags["http.trust_proxy"], "true");
    assert_eq!(
        parsed(&["--http-trust-proxy=false"]).flags["http.trust_proxy"],
        "false"
    );
}

#[test]
fn nothing_is_set_that_was_not_given() {
    assert!(parsed(&["config"]).flags.is_empty());
}

#[test]
fn wrong_arguments_are_refused() {
    assert!(refused(&["user", "add", "two words"]).contains("white space"));
    assert!(refused(&["user", "add"]).contains("<USERNAME>"));
    assert!(refused(&["user"]).contains("Usage"));
    assert!(refused(&["epoch"]).contains("Usage"));
    assert!(refused(&["backup"]).contains("<FILE>"));
    assert!(refused(&["restore", "--yes"]).contains("<FILE>"));
    assert!(refused(&["export"]).contains("--user <NAME>"));
    assert!(refused(&["export", "--user", "two words"]).contains("white space"));
    assert!(refused(&["import", "--user", "anna"]).contains("<FILE>"));
    assert!(refused(&["import", "file"]).contains("--user <NAME>"));
    assert!(refused(&["check-client"]).contains("<COMMAND>"));
    assert!(refused(&["check-client", "--only", "epoc", "--", "x"]).contains("epoch"));
    assert!(refused(&["serv"]).contains("serve"));
    assert!(refused(&["--lisen", "x"]).contains("--listen"));
}

/// Every boolean key, each way that people write it.
#[test]
fn a_switch_with_a_value_behind_it_says_how() {
    let switches = KEYS.iter().filter(|spec| matches!(spec.kind, Kind::Bool));
    for flag in switches.filter_map(|spec| spec.flag()) {
        for value in ["true", "false"] {
            for args in [
                &[&format!("--{flag}"), value][..],
                &["serve", &format!("--{flag}"), value],
            ] {
                let said = refused(args);
                assert!(
                    said.contains(&format!(
                        "tip: the value of a switch follows a `=`: --{flag}={value}"
                    )),
                    "{said}"
                );
            }
        }
    }
    assert!(!refused(&["serve", "nothing"]).contains("switch"));
}

fn helps(command: &clap::Command, name: &str, found: &mut Vec<(String, String)>) {
    found.push((name.to_owned(), command.clone().render_long_help().to_string()));
    // The help of `help` is made by clap, and has no settings.
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        helps(sub, &format!("{name} {}", sub.get_name()), found);
    }
}

#[test]
fn every_help_fits_a_screen_and_says_where_all_settings_are() {
    let mut found = Vec::new();
    helps(&command(), "mosaic", &mut found);
    assert!(found.len() >= 23, "{}", found.len());
    for (name, help) in found {
        assert!(help.lines().count() <= 60, "{name}:\n{help}");
        let takes_none = ["mosaic dev", "mosaic check-client", "mosaic openapi"].contains(&name.as_str());
        assert_eq!(
            help.contains("mosaic config --list"),
            !takes_none,
            "{name}:\n{help}"
        );
        assert!(!help.contains("--sqlite-readers"), "{name}:\n{help}");
    }
    let of = |name: &str| {
        command()
            .find_subcommand(name)
            .unwrap()
            .clone()
            .render_long_help()
            .to_string()
    };
    for (name, shown, hidden) in [
        ("serve", "--listen", "--retention-days"),
        ("purge", "--retention-days", "--listen"),
        ("doctor", "--attachments-folder", "--retention-days"),
        ("backup", "--data-dir", "--listen"),
        ("dev", "--listen", "--config"),
        ("openapi", "--help", "--data-dir"),
    ] {
        let help = of(name);
        assert!(help.contains(shown) && !help.contains(hidden), "{name}:\n{help}");
    }
}

#[test]
fn the_list_of_settings_has_all_of_them() {
    let list = crate::config::plain_reference();
    for spec in KEYS {
        assert!(
            list.contains(&format!("{}\n", spec.key)) && list.contains(&spec.env()),
            "{}",
            spec.key
        );
    }
    assert!(list.lines().all(|line| line.chars().count() <= 100), "{list}");
}
