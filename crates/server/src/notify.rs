//! Tells systemd how the server is (`sd_notify(3)`), where it asks to be told: `Type=notify`.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// It listens, and what it stores is as this version has it.
pub(crate) const READY: &str = "READY=1";
/// It finishes what is in flight.
pub(crate) const STOPPING: &str = "STOPPING=1";

/// Says this, never waiting for anybody to listen.
pub(crate) fn notify(state: &str) {
    if let Some(place) = env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(&place, state)
    {
        tracing::warn!(%error, place = %place.display(), "systemd can not be told {state} (NOTIFY_SOCKET)");
    }
}

fn send(place: &OsStr, state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address(place)?).map(drop)
}

/// A path, or, after an `@`, a name that is in no folder.
fn address(place: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = place.as_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt as _;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(place)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_to_paths_and_to_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("@{}", path.display());
        for place in [path.as_os_str(), OsStr::new(&name)] {
            let systemd = UnixDatagram::bind_addr(&address(place).unwrap()).unwrap();
            send(place, READY).unwrap();
            let mut said = [0; 64];
            let length = systemd.recv(&mut said).unwrap();
            assert_eq!(said[..length], *READY.as_bytes());
        }
        assert!(send(folder.path().join("nobody").as_os_str(), READY).is_err());
    }
}
