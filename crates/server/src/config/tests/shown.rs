//! What is shown of a configuration, and that secrets are not.

use mosaic_domain::account::Password;

use super::*;

const PASSWORD: &str = "correct horse battery";
const TOKEN_SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn secrets_are_never_shown() {
    let env = [
        ("MOSAIC_ADMIN_PASSWORD", PASSWORD),
        ("MOSAIC_TOKEN_SECRET", TOKEN_SECRET),
    ];
    let loaded = loaded(&[], &env, "");
    assert_eq!(
        loaded.config.server.admin_password.as_ref().map(Password::expose),
        Some(PASSWORD)
    );
    assert_eq!(
        loaded
            .config
            .server
            .token_secret
            .as_ref()
            .map(|key| key.expose()[1]),
        Some(0x11)
    );
    for shown in [
        loaded.values.to_string(),
        format!("{loaded:?}"),
        format!("{:?}", loaded.config),
    ] {
        assert!(!shown.contains("horse") && !shown.contains("0011"), "{shown}");
    }
    assert!(
        loaded
            .values
            .to_string()
            .contains("# admin_password is set, and hidden  # MOSAIC_ADMIN_PASSWORD")
    );
    let error = refused(
        &[],
        &[
            ("MOSAIC_ADMIN_PASSWORD", "hunter2"),
            ("MOSAIC_TOKEN_SECRET", "0011"),
        ],
        "",
    );
    assert!(!error.contains("hunter2") && !error.contains("0011"), "{error}");
    assert!(
        error.contains("admin_password is a hidden value (MOSAIC_ADMIN_PASSWORD)"),
        "{error}"
    );
}

#[test]
fn a_secret_of_the_wrong_type_is_not_shown_either() {
    let error = refused(&[], &[], "admin_password = 12345678");
    assert!(!error.contains("1234"), "{error}");
}

#[test]
fn what_is_shown_says_where_it_comes_from() {
    let shown = loaded(
        &[("log.level", "debug")],
        &[("MOSAIC_LISTEN", "[::]:80")],
        "[http]\nworkers = 3",
    )
    .values
    .to_string();
    assert!(
        shown.contains("listen = \"[::]:80\"  # MOSAIC_LISTEN\n"),
        "{shown}"
    );
    assert!(
        shown.contains("\n[log]\nformat = \"pretty\"  # default\nlevel = \"debug\"  # --log-level\n"),
        "{shown}"
    );
    assert!(shown.contains("workers = 3  # mosaic.toml\n"), "{shown}");
    assert!(
        shown.contains("# admin_password is not set: a random one, printed once\n"),
        "{shown}"
    );
    assert!(
        shown.contains("database_url = \"sqlite://./mosaic-data/mosaic.db\"  # default\n"),
        "{shown}"
    );
}

#[test]
fn what_is_shown_can_be_used_as_a_file() {
    let flags = [
        ("cors.allowed_origins", "https://a.example,https://b.example"),
        ("data_dir", "a \"b\" \\c"),
        ("listen", "127.0.0.1:1,unix:/a \"b\""),
    ];
    let first = loaded(&flags, &[], "");
    let second = loaded(&[], &[], &first.values.to_string());
    let values = |loaded: &Loaded| {
        loaded
            .values
            .0
            .iter()
            .map(|value| value.shown.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&first), values(&second));
    assert_eq!(values(&first).len(), KEYS.len(), "every key is shown");
}

#[test]
fn choices_and_defaults_of_the_table_are_accepted() {
    for spec in KEYS {
        if let Kind::Choice(words) = spec.kind {
            for word in words {
                assert!(
                    load(&sources(&[(spec.key, word)], &[], None)).is_ok(),
                    "{} = {word}",
                    spec.key
                );
            }
        }
        if let DefaultValue::Is(text) = spec.default {
            assert!(
                load(&sources(&[(spec.key, text)], &[], None)).is_ok(),
                "{} = {text}",
                spec.key
            );
        }
    }
}

/// What docs/configuration.md says of the keys is made from the code. `UPDATE_DOCS=1 cargo test -p mosaic-server` writes it.
#[test]
fn the_documentation_says_of_the_keys_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let text = std::fs::read_to_string(&path).expect("docs/configuration.md");
    let (begin, end) = ("<!-- keys: begin -->\n", "<!-- keys: end -->");
    let start = text.find(begin).expect("the mark where the keys begin") + begin.len();
    let stop = text.find(end).expect("the mark where the keys end");
    let keys = format!("\n{}\n\n", markdown_reference());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let updated = format!("{}{keys}{}", &text[..start], &text[stop..]);
        std::fs::write(&path, updated).expect("docs/configuration.md can be written");
        return;
    }
    assert!(
        text[start..stop] == keys,
        "docs/configuration.md is not what the code says. Update it with: UPDATE_DOCS=1 cargo test -p mosaic-server"
    );
}

#[test]
fn the_file_of_comments_has_every_key_with_its_default() {
    let file = commented_file();
    assert!(
        loaded(&[], &[], &file)
            .values
            .0
            .iter()
            .all(|value| value.origin == Origin::Default)
    );
    let said: Vec<_> = file
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|key| !key.starts_with(' '))
                .unwrap_or(line)
        })
        .filter(|line| !line.ends_with('='))
        .collect();
    let (all, defaults) = (loaded(&[], &[], &said.join("\n")), loaded(&[], &[], ""));
    let shown = |loaded: &Loaded| {
        loaded
            .values
            .0
            .iter()
            .map(|value| value.shown.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&all), shown(&defaults));
    let keys = file
        .lines()
        .filter(|line| line.starts_with('#') && !line.starts_with("# "))
        .count();
    assert_eq!(keys, KEYS.len());
}
