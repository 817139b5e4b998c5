//! A Unix socket in the file system: made where nobody listens, for the owner and the group, and removed at the end.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, fchmod, flock};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

use super::BACKLOG;

/// The file of a socket that this process made.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and number: by these it is known again.
    file: (u64, u64),
}

impl SocketFile {
    /// Listens there, for those whom the mode lets in. A socket that somebody left behind is replaced.
    ///
    /// # Errors
    /// Somebody listens there, something else is there, or the folder isn't, or can't be written.
    pub(crate) fn bind(path: &Path, mode: u32) -> io::Result<(UnixListener, Self)> {
        let _alone = alone_in_folder_of(path)?;
        make_room(path)?;
        let socket = stream_socket(SocketFlags::CLOEXEC)?;
        // Nobody may connect before its mode is right: a file is made with what this leaves of the mask.
        fchmod(&socket, Mode::empty())?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        let file = Self {
            path: path.to_owned(),
            file: number(&fs::symlink_metadata(path)?),
        };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        listen(&socket, BACKLOG)?;
        Ok((socket.into(), file))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Where somebody else is just making a socket there, the file is theirs.
        let Ok(_alone) = alone_in_folder_of(&self.path) else {
            return;
        };
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|found| number(&found) == self.file);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the socket can not be removed");
        }
    }
}

fn number(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Of two servers that look at a socket and then replace it, each would remove that of the other.
fn alone_in_folder_of(path: &Path) -> io::Result<File> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let opened = File::open(folder).map_err(|error| in_folder(folder, &error))?;
    match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(io::Error::other("somebody else makes a socket in that folder")),
        locked => Ok(locked.map(|()| opened)?),
    }
}

fn in_folder(folder: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the folder {}: {error}", folder.display()))
}

/// Removes a socket on which nobody listens, and nothing else.
fn make_room(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            Err(io::Error::other("what is there is no socket, and is not touched"))
        }
        Ok(_) if is_listened_at(path)? => Err(io::Error::other("somebody listens there already")),
        Ok(_) => fs::remove_file(path),
    }
}

fn is_listened_at(path: &Path) -> io::Result<bool> {
    let socket = stream_socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        // The latter: so many wait there that one more would have to wait for that.
        Ok(()) | Err(Errno::AGAIN) => Ok(true),
        Err(Errno::CONNREFUSED) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn stream_socket(flags: SocketFlags) -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_is_for_owner_and_group_and_goes_with_whoever_made_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let (listener, file) = SocketFile::bind(&path, 0o660).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        UnixStream::connect(&path).unwrap();
        assert!(
            SocketFile::bind(&path, 0o660)
                .unwrap_err()
                .to_string()
                .contains("somebody listens")
        );
        fs::remove_file(&path).unwrap();
        let (newer, newer_file) = SocketFile::bind(&path, 0o660).unwrap();
        drop((listener, file));
        UnixStream::connect(&path).expect("somebody else's by now, it stays");
        // A process that is killed leaves the file.
        drop(newer);
        std::mem::forget(newer_file);
        let (_newest, newest_file) = SocketFile::bind(&path, 0o660).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(newest_file);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "mine").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for path in [&path, &link] {
            assert!(
                SocketFile::bind(path, 0o660)
                    .unwrap_err()
                    .to_string()
                    .contains("no socket")
            );
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        let nowhere = SocketFile::bind(&folder.path().join("nowhere/a.sock"), 0o660).unwrap_err();
        assert!(nowhere.to_string().contains("nowhere"), "{nowhere}");
    }
}
