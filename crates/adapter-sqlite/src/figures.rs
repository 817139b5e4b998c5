//! What the store counts, and how large its files are.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use mosaic_ports::{Figure, Figures};

use crate::SqliteStore;
use crate::settings::Location;

impl Figures for SqliteStore {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = self.writer.figures();
        figures.extend(self.readers.figures());
        if let Location::File(path) = &self.location {
            figures.extend(sizes(path));
        }
        figures
    }
}

/// The database, and its write-ahead log. Those that are not there are left out.
fn sizes(path: &Path) -> impl Iterator<Item = Figure> {
    let mut log = OsString::from(path);
    log.push("-wal");
    let figure = |name, help, path: &Path| {
        let size = fs::metadata(path).ok()?.len();
        Some(Figure::gauge(name, help, size))
    };
    let figures = [
        figure(
            "mosaic_sqlite_database_bytes",
            "How large the file of the database is",
            path,
        ),
        figure(
            "mosaic_sqlite_log_bytes",
            "How large the write-ahead log beside it is",
            Path::new(&log),
        ),
    ];
    figures.into_iter().flatten()
}
