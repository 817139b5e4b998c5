//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use mosaic_client::domain::DiaryDate;
use mosaic_client::domain::entity::MoodKey;

/// A diary that is kept offline, on any number of machines, and synced by a Mosaic server.
#[derive(Debug, Parser)]
#[command(name = "mosaic-cli", version)]
pub(crate) struct Arguments {
    /// Where the data is; else the variable `MOSAIC_HOME` says, or it is `mosaic` in the folder for data
    #[arg(long, global = true)]
    pub(crate) home: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log in; the password is asked for, or in the variable `MOSAIC_PASSWORD`
    Login {
        /// The server's address, like `https://mosaic.example.org`
        server: String,
        username: String,
        /// What you call this machine
        #[arg(long)]
        device: Option<String>,
    },
    /// End the login; the data stays
    Logout,
    /// Choose another password
    Password,
    /// Write a note; without words, what standard input says
    Note {
        text: Vec<String>,
        #[arg(long = "tag")]
        tags: Vec<String>,
        /// The day that it is filed under, like `2026-05-16`
        #[arg(long)]
        day: Option<DiaryDate>,
    },
    /// Write another text in the place of a note's
    Edit {
        /// The note's id, or its end
        id: String,
        text: Vec<String>,
    },
    /// Delete a note
    Rm { id: String },
    /// Show a whole note, and its files
    Show { id: String },
    /// List notes, days or files, the newest first
    Ls {
        #[arg(default_value = "notes")]
        what: What,
    },
    /// List the notes that have all these words
    Search {
        #[arg(required = true)]
        query: Vec<String>,
    },
    /// Write of a day, today unless it is named; with nothing to write, show it
    Diary {
        text: Vec<String>,
        #[arg(long)]
        day: Option<DiaryDate>,
        /// joy, calm, neutral, sadness, anxiety, anger, focus or tired
        #[arg(long)]
        mood: Option<MoodKey>,
        /// How strong it was: 1 to 10
        #[arg(long)]
        score: Option<i64>,
    },
    /// Attach a file; it is sent by the next sync
    Attach {
        file: PathBuf,
        /// The note that it belongs to
        #[arg(long)]
        to: Option<String>,
    },
    /// Fetch a file
    Get {
        /// The file's id, or its end
        id: String,
        /// Where to; else to its own name, here. What is there already stays
        to: Option<PathBuf>,
    },
    /// Send what was written here, and fetch what was elsewhere
    Sync,
    /// Sync whenever something changes, until it is interrupted
    Watch,
    /// Say what is not synced, and what the server did not take
    Status,
}

/// What is listed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum What {
    Notes,
    Days,
    Files,
}
