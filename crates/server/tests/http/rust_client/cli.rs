//! `mosaic-cli`: a person keeps a diary on two laptops.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::harness::{ADMIN_PASSWORD, Server};

/// A laptop with the program on it.
struct Laptop(TempDir);

impl Laptop {
    async fn logged_in(server: &Server) -> Self {
        let laptop = Self(tempfile::tempdir().unwrap());
        assert_eq!(
            laptop
                .run(&["login", &server.url, "admin", "--device", "a laptop"])
                .await,
            "logged in as admin\n"
        );
        laptop
    }

    /// What the program says, which must succeed.
    async fn run(&self, arguments: &[&str]) -> String {
        self.try_to(arguments)
            .await
            .unwrap_or_else(|failure| panic!("{arguments:?}: {failure}"))
    }

    async fn try_to(&self, arguments: &[&str]) -> Result<String, mosaic_cli::Failure> {
        let mut out = Vec::new();
        self.write_to(&mut out, arguments).await?;
        Ok(String::from_utf8(out).unwrap())
    }

    async fn write_to(
        &self,
        out: &mut (impl Write + Send),
        arguments: &[&str],
    ) -> Result<(), mosaic_cli::Failure> {
        let home = self.0.path().to_str().unwrap();
        let line = [&["mosaic-cli", "--home", home], arguments].concat();
        let variables = |name: &str| (name == "MOSAIC_PASSWORD").then(|| OsString::from(ADMIN_PASSWORD));
        mosaic_cli::run(line, &variables, out).await
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diary_is_kept_on_two_laptops() {
    let server = Server::start();
    let (home, work) = (Laptop::logged_in(&server).await, Laptop::logged_in(&server).await);
    let note = home
        .run(&["note", "Buy figs", "--tag", "food", "--day", "2026-05-16"])
        .await;
    let note = note.trim();
    home.run(&["diary", "--day", "2026-05-16", "--mood", "calm", "figs, at last"])
        .await;
    let picture = home.file("figs.txt");
    std::fs::write(&picture, "a picture of figs").unwrap();
    let attached = home.run(&["attach", &picture, "--to", note]).await;
    assert!(
        home.run(&["status"])
            .await
            .ends_with("2 edits and 1 file to send\n")
    );
    assert_eq!(home.run(&["sync"]).await, "in sync: 1 came, 3 sent\n");
    assert!(
        home.run(&["status"])
            .await
            .ends_with("0 edits and 0 files to send\n")
    );

    assert_eq!(work.run(&["sync"]).await, "in sync: 3 came, 0 sent\n");
    let notes = work.run(&["ls"]).await;
    assert!(
        notes.starts_with(note) && notes.ends_with("Buy figs #food\n"),
        "{notes}"
    );
    assert_eq!(work.run(&["search", "FIGS"]).await, notes);
    assert_eq!(
        work.run(&["ls", "days"]).await,
        "2026-05-16  calm 5: figs, at last\n"
    );
    assert!(work.run(&["ls", "files"]).await.contains("17 bytes"));
    assert!(work.run(&["show", note]).await.contains("figs.txt"));
    let fetched = work.file("fetched.txt");
    work.run(&["get", attached.trim(), &fetched]).await;
    let again = work.try_to(&["get", attached.trim(), &fetched]).await;
    assert!(matches!(again, Err(mosaic_cli::Failure::Exists(_))), "{again:?}");
    assert_eq!(std::fs::read(Path::new(&fetched)).unwrap(), b"a picture of figs");

    work.run(&["diary", "--day", "2026-05-16", "--score", "9"]).await;
    home.run(&["diary", "--day", "2026-05-16", "and bread"]).await;
    work.run(&["edit", note, "Buy bread"]).await;
    for laptop in [&work, &home, &work] {
        laptop.run(&["sync"]).await;
    }
    let day = "2026-05-16  calm 9\nand bread\n";
    for laptop in [&work, &home] {
        assert_eq!(laptop.run(&["diary", "--day", "2026-05-16"]).await, day);
        assert!(laptop.run(&["ls"]).await.ends_with("Buy bread #food\n"));
    }

    work.run(&["logout"]).await;
    let failure = work.try_to(&["sync"]).await.unwrap_err();
    assert_eq!(failure.to_string(), "nobody is logged in");
    assert!(work.run(&["status"]).await.contains(", logged out\n"));
    assert!(
        work.run(&["ls"]).await.ends_with("Buy bread #food\n"),
        "the data stays"
    );
}

/// What is written, as it comes.
struct Written(UnboundedSender<String>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        self.0.send(text).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_has_what_others_write_as_soon_as_it_is_there() {
    let server = Server::start();
    let (home, work) = (Laptop::logged_in(&server).await, Laptop::logged_in(&server).await);
    let (written, mut lines) = unbounded_channel();
    let mut written = Written(written);
    let mut said = String::new();
    let writing = async {
        for text in ["Buy figs", "Buy dates"] {
            home.run(&["note", text]).await;
            home.run(&["sync"]).await;
            said.clear();
            while !said.contains("1 came, 0 sent\n") {
                said += &lines.recv().await.unwrap();
            }
            assert!(work.run(&["ls"]).await.contains(text));
        }
    };
    tokio::select! {
        ended = work.write_to(&mut written, &["watch"]) => panic!("{ended:?}"),
        () = writing => {}
    }
}
