//! The command line: `mosaic [serve]`, and the commands that work on a store ([`Command`]).
//!
//! The flags of the configuration are made from the table of keys, so that flags, variables, file and documentation
//! can't disagree. Here they are only collected, as text; [`crate::config::load`] judges them.

mod users;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use mosaic_domain::DiaryDate;
use mosaic_domain::account::Username;
use mosaic_domain::activity::ActivityKind;

use crate::check_client;
use crate::config::{
    AttachmentsConfig, CONFIG_ENV, DEFAULT_FILE, DatabaseUrl, DefaultValue, INSTALLED_FILE, KEYS, KeySpec,
    Kind, LogFilter, RetentionConfig, ServerConfig,
};

pub use self::users::UserCommand;

/// What was asked for on the command line.
#[derive(Debug)]
pub struct Invocation {
    /// The command; `serve` when none was given.
    pub command: Command,
    /// The configuration file, if one was named with `--config`.
    pub config_file: Option<PathBuf>,
    /// The configuration flags that were given, by key.
    pub flags: BTreeMap<&'static str, String>,
    /// All arguments as they were given, without the name of the process.
    pub args: Vec<OsString>,
}

/// Mosaic sync: a self-hosted server for the notes and diaries of your phones.
#[derive(Debug, Parser)]
#[command(name = "mosaic", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

/// What spreads a database over machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// The extension of PostgreSQL
    Citus,
}

/// What the binary can do.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Command {
    /// Run the server (this is also what happens without a command)
    Serve {
        /// Refuse to start unless the store has the schema of this version
        #[arg(long)]
        no_migrate: bool,
    },
    /// Manage accounts
    #[command(subcommand)]
    User(UserCommand),
    /// Show what happened to accounts: logins, those that failed, changes, exports, and who did it from where
    ///
    /// The newest come last. Without NAME those of all accounts and of the server itself: accounts that were removed, backups that
    /// were restored. Of each account and kind the newest 1,000 are kept, for retention.activity_days.
    Audit {
        /// Of this account alone
        username: Option<Username>,
        /// Of this kind alone: login, login_failed, password_changed, ...
        #[arg(long, value_name = "KIND", value_parser = ActivityKind::from_str)]
        kind: Option<ActivityKind>,
        /// Of this day and later, like 2026-05-16, by the clocks of time_zone
        #[arg(long, value_name = "DAY", value_parser = DiaryDate::from_str)]
        since: Option<DiaryDate>,
        /// The newest so many
        #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Bring the store to the schema of this version, and exit
    ///
    /// `mosaic serve` does the same when it starts.
    Migrate {
        /// Change nothing; exit with 1 if there is anything to do
        #[arg(long)]
        check: bool,
        /// Then spread the users over the machines of a distributed PostgreSQL, all rows of a user on one of them
        ///
        /// Stop all servers first. What is spread already stays as it is, so an interrupted run goes on when the same
        /// command is run again. Migrations of later versions spread what they add by themselves.
        #[arg(long, value_name = "ENGINE", conflicts_with = "check")]
        distribute: Option<Engine>,
    },
    /// Move a whole installation from one store to another, for example from SQLite to PostgreSQL
    ///
    /// Stop the server first. Stamps, cursors, edit times, revisions and logins stay as they are, so devices just go on
    /// with the new server. A copy that was interrupted goes on when the same command is run again. At the end both stores
    /// are compared, record by record.
    ///
    /// The files of attachments stay where they are: give the new server the same folder or bucket (attachments.folder,
    /// attachments.s3_bucket), or move the folder as it is. Never start a server on the old store with them again: it would
    /// purge what only the new one knows. Uploads that are not finished begin again.
    Copy {
        /// The store to read: sqlite://PATH or postgres://...
        #[arg(long, value_parser = DatabaseUrl::from_str)]
        from: DatabaseUrl,
        /// The store to write, empty or begun by the same command
        #[arg(long, value_parser = DatabaseUrl::from_str)]
        to: DatabaseUrl,
    },
    /// Save the embedded store, also while the server runs
    ///
    /// With --to, the files of attachments are saved, too: a new folder in FOLDER has both, and is opened and compared before it
    /// gets its name. Files that the last backup in FOLDER has are linked, so that they take no room again. A server does the same
    /// once a day where backup.folder says so. A FILE has the database alone. PostgreSQL has its own tools.
    Backup {
        /// The file to write, which must not be there yet
        #[arg(required_unless_present = "to")]
        file: Option<PathBuf>,
        /// Save the store and its attachments in a new folder in this one
        #[arg(long, value_name = "FOLDER", conflicts_with = "file")]
        to: Option<PathBuf>,
        /// How many backups stay in FOLDER [default: backup.keep]
        #[arg(long, value_name = "NUMBER", requires = "to")]
        keep: Option<NonZeroU32>,
    },
    /// Put a backup in the place of the embedded store
    ///
    /// Stop the server first. The backup is checked before anything is touched, and what was there before is kept under
    /// another name. The store gets a new epoch, so devices fetch everything again; edits that they have not sent yet stay.
    ///
    /// No file of an attachment is removed or replaced; those that a folder of `mosaic backup --to` has and the storage has not
    /// are put there. `mosaic doctor` says whether all are there. For 7 days the server purges nothing, so that files which only
    /// the newer store named can still be wanted back.
    Restore {
        /// The file, or the folder, that `mosaic backup` wrote
        file: PathBuf,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Write everything of one account as lines of JSON
    Export {
        /// Whose data
        #[arg(long, value_name = "NAME")]
        user: Username,
        /// The file to write, which must not be there yet [default: standard output]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Bring an export into an account
    ///
    /// The whole file is checked before anything is imported. Nothing that is newer is overwritten, and the same import can
    /// be repeated. With the embedded store the server must be stopped. Exits with 1 if anything was refused.
    Import {
        /// Into whose account, which must be there
        #[arg(long, value_name = "NAME")]
        user: Username,
        /// The file that `mosaic export` or `GET /account/export` wrote
        file: PathBuf,
    },
    /// Forget what is older than retention.days: revisions, and the content of deleted records
    ///
    /// The files of attachments that nothing names any more go too, a day after they came at the earliest; so do uploads that
    /// were given up, and the files of accounts that were removed. A running server does all this once a day, but not within 7
    /// days after `mosaic restore` or `mosaic epoch renew`.
    Purge,
    /// Check that every record has its attachment, and that the attachments are as they were stored
    ///
    /// Changes nothing. Reads every file, which takes its time. Says of each finding whose it is and what can be done, and
    /// exits with 1 if an attachment is lost or damaged.
    Doctor {
        /// Look only whether the files are there and have the right size
        #[arg(long)]
        quick: bool,
        /// Before that, take the configured folder or bucket for the one that the store belongs to
        ///
        /// A server uses no other: a drive that is not mounted would look like attachments that are all lost. This is for one
        /// that was lost for good, or moved without the file that proves its name.
        #[arg(long)]
        accept_storage: bool,
    },
    /// Show or renew the name of the history that the store holds
    #[command(subcommand)]
    Epoch(EpochCommand),
    /// Ask the server that runs with this configuration whether it is ready, and exit with 0 or 1: for containers
    ///
    /// It is asked at the first place of `listen`, by HTTPS where a certificate is configured, and has 5 seconds to answer. What
    /// it answers is printed.
    Healthcheck,
    /// Run a server for developers of apps, never for production: any password is right, and nothing is kept
    ///
    /// A login with an unknown name makes the account. `POST /dev/clock` moves the clock, `POST /dev/faults` has requests
    /// fail, `POST /dev/backup` and `POST /dev/restore` set the server back (one backup is kept, the last), and the page `/dev`
    /// shows what each device sent and got. Reads no configuration but flags; those that name a store have no effect.
    Dev,
    /// Take a client through what goes wrong in the lives of apps, and say which rules of the protocol it keeps
    ///
    /// COMMAND starts a driver of the client, which reads a line of JSON for each thing that its devices are to do and writes
    /// one when that is done: docs/check-client.md has them. Each scenario has a server of its own, as `mosaic dev`, and a
    /// driver of its own. Exits with 1 if the client does not pass one.
    CheckClient {
        /// Only this scenario; may be given several times
        #[arg(long, value_name = "NAME", value_parser = check_client::names())]
        only: Vec<String>,
        /// List the scenarios with their rules
        #[arg(long)]
        list: bool,
        /// Report one JSON object per line
        #[arg(long)]
        json: bool,
        /// The driver, and its arguments
        #[arg(last = true, required_unless_present = "list")]
        command: Vec<OsString>,
    },
    /// Print the configuration in force and where each value comes from, without secrets
    ///
    /// The output can be used as mosaic.toml.
    Config {
        /// List every setting instead: what it does, its flag, its variable, its default and what it accepts
        #[arg(long)]
        list: bool,
        /// Print what the running server has in force
        #[arg(long, conflicts_with = "list")]
        running: bool,
    },
    /// Show what the running server logs, or change it until it ends
    LogLevel {
        /// As log.level: off, error, warn, info, debug or trace, or several like info,mosaic_server=debug
        #[arg(value_parser = LogFilter::from_str)]
        level: Option<LogFilter>,
    },
    /// Print the OpenAPI document of the server's API
    Openapi,
}

impl Command {
    /// Whether it ends early, and in order, when somebody wants it to.
    pub fn can_stop(&self) -> bool {
        matches!(self, Self::Export { .. } | Self::Purge | Self::Doctor { .. })
    }

    /// Whether it is about a running server, not about a store.
    pub fn is_of_server(&self) -> bool {
        matches!(self, Self::LogLevel { .. } | Self::Config { running: true, .. })
    }
}

/// What can be done with the name of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum EpochCommand {
    /// Print it
    Show,
    /// Give it a new one: after a backup was restored by other means than `mosaic restore`
    ///
    /// Devices notice with their next pull: they fetch everything again, and keep the edits that they have not sent yet. For 7
    /// days the servers purge nothing by themselves, so that files of attachments which only the newer store named can still
    /// be wanted back.
    Renew,
}

/// Parses the arguments of the process, the first of which is its name.
///
/// # Errors
/// Wrong arguments; `--help` and `--version` too, which [`clap::Error::exit`] prints.
pub fn parse(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Invocation, clap::Error> {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let parsed = command().try_get_matches_from(&args);
    let mut matches = parsed.map_err(|error| with_hint(error, &args))?;
    let flags = KEYS
        .iter()
        .filter_map(|spec| Some((spec.key, given(spec, &matches)?)))
        .collect();
    let config_file = matches.remove_one("config");
    let cli = Cli::from_arg_matches_mut(&mut matches)?;
    Ok(Invocation {
        command: cli.command.unwrap_or(Command::Serve { no_migrate: false }),
        config_file,
        flags,
        args: args.into_iter().skip(1).collect(),
    })
}

/// Says how a switch is given a value, where one was put behind it.
fn with_hint(mut error: clap::Error, args: &[OsString]) -> clap::Error {
    let switches = KEYS.iter().filter(|spec| matches!(spec.kind, Kind::Bool));
    let switches: Vec<_> = switches.filter_map(|spec| spec.flag()).collect();
    let is_switch = |arg: &str| {
        arg.strip_prefix("--")
            .is_some_and(|arg| switches.iter().any(|flag| flag == arg))
    };
    let pairs = args
        .windows(2)
        .filter_map(|pair| Some((pair[0].to_str()?, pair[1].to_str()?)));
    for (flag, value) in pairs {
        if is_switch(flag) && ["true", "false"].contains(&value) {
            let tip = format!("the value of a switch follows a `=`: {flag}={value}");
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
        }
    }
    error
}

fn given(spec: &KeySpec, matches: &ArgMatches) -> Option<String> {
    spec.flag()?;
    matches.get_one::<String>(spec.key).cloned()
}

/// The whole command line, for parsing and for help.
pub fn command() -> clap::Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .global(true)
        .help_heading(HEADING)
        .help(format!(
            "The configuration file [env: {CONFIG_ENV}] [default: {DEFAULT_FILE}, or /{INSTALLED_FILE} of an installed \
             program, if it is there]"
        ));
    let flags = KEYS.iter().filter_map(|spec| flag(spec));
    let mut command = Cli::command().arg(config).args(flags);
    // The subcommands have the flags of the configuration from here on.
    command.build();
    let command = with_short_help(command, shown("serve").as_deref());
    names(&command).iter().fold(command, |command, name| {
        command.mut_subcommand(name, |sub| with_short_help(sub, shown(name).as_deref()))
    })
}

/// What the settings are shown under.
const HEADING: &str = "Configuration (each also as a variable and in mosaic.toml)";

/// The keys that the help of a command shows, of all that it takes; none where it takes no configuration.
fn shown(command: &str) -> Option<Vec<&'static str>> {
    let (listen, folder, days) = (
        ServerConfig::listen.key,
        AttachmentsConfig::folder.key,
        RetentionConfig::days.key,
    );
    let store = [ServerConfig::data_dir.key, ServerConfig::database_url.key];
    match command {
        "dev" | "healthcheck" => Some(vec![listen]),
        "serve" => Some([&[listen], &store[..]].concat()),
        "doctor" => Some([&store[..], &[folder]].concat()),
        "purge" => Some([&store[..], &[folder, days]].concat()),
        "config" | "copy" => Some(Vec::new()),
        "check-client" | "help" | "openapi" => None,
        _ => Some(store.into()),
    }
}

/// Hides the settings that a command, and those below it, need not show, and says where all of them are listed.
fn with_short_help(command: clap::Command, shown: Option<&[&str]>) -> clap::Command {
    let is_dev = command.get_name() == "dev";
    let takes_file = shown.is_some() && !is_dev;
    let command = command.mut_args(|arg| {
        let is_shown = match arg.get_id().as_str() {
            "config" => takes_file,
            key => shown.is_some_and(|shown| shown.contains(&key)),
        };
        let hidden = arg.is_global_set() && !is_shown;
        // It reads flags alone.
        if is_dev && arg.get_id() == ServerConfig::listen.key {
            arg.help("Where the server listens [default: 127.0.0.1:8080]")
                .help_heading(None)
        } else {
            arg.hide(hidden)
        }
    });
    let command = names(&command).iter().fold(command, |command, name| {
        command.mut_subcommand(name, |sub| with_short_help(sub, shown))
    });
    command.after_help(if takes_file { ALL_SETTINGS } else { "" })
}

fn names(command: &clap::Command) -> Vec<String> {
    command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect()
}

/// Where the settings are that no help shows.
const ALL_SETTINGS: &str =
    "`mosaic config --list` lists every setting. Each is a flag of every command, too.";

/// The flag of a key.
fn flag(spec: &'static KeySpec) -> Option<Arg> {
    let default = match spec.default {
        DefaultValue::Is("") => "empty",
        DefaultValue::Is(text) | DefaultValue::Otherwise(text) => text,
    };
    let arg = Arg::new(spec.key)
        .long(spec.flag()?)
        .global(true)
        .allow_hyphen_values(true)
        .help_heading(HEADING)
        .help(format!(
            "{} [env: {}] [default: {default}]",
            spec.help,
            spec.env()
        ));
    Some(match spec.kind {
        // `--http-trust-proxy` alone means yes, and must not swallow the command that follows.
        Kind::Bool => arg
            .value_name("BOOL")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        Kind::Integer(..) => arg.value_name("NUMBER"),
        Kind::Choice(words) => arg.value_name(words.join("|")),
        Kind::Text(_) => arg.value_name("VALUE"),
        Kind::List(_) => arg.value_name("LIST"),
    })
}

#[cfg(test)]
mod tests;
