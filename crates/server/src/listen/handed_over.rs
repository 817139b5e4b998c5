//! Sockets that were opened by whoever started this process, as `sd_listen_fds(3)` has it: they stay open while one server
//! ends and the next one starts, and clients wait in them.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::{env, io, process};

use listenfd::ListenFd;
use mosaic_adapter_http::Listener;
use rustix::net::sockopt::socket_acceptconn;

/// The most sockets that are taken.
const MOST: usize = 64;
/// The first of them, by the protocol.
const FIRST: usize = 3;

/// Takes them, all.
///
/// # Errors
/// None was handed over to this process, or one that nobody can connect to.
pub(super) fn take() -> io::Result<Vec<Listener>> {
    let variable = |name| env::var(name).ok();
    let count = count(variable("LISTEN_PID"), variable("LISTEN_FDS"), process::id());
    let count = count.map_err(io::Error::other)?;
    let mut sockets = ListenFd::from_env();
    let mut listeners = Vec::new();
    for place in 0..count {
        let tcp = sockets.take_tcp_listener(place).ok().flatten().map(Listener::Tcp);
        let unix = sockets
            .take_unix_listener(place)
            .ok()
            .flatten()
            .map(Listener::Unix);
        let listener = tcp.or(unix).filter(is_listening);
        listeners.push(listener.ok_or_else(|| {
            io::Error::other(format!(
                "the file descriptor {} that was handed over is no socket that takes connections (TCP or unix, \
                 ListenStream=, Accept=no)",
                FIRST + place
            ))
        })?);
    }
    Ok(listeners)
}

fn is_listening(listener: &Listener) -> bool {
    let socket: BorrowedFd<'_> = match listener {
        Listener::Tcp(listener) => listener.as_fd(),
        Listener::Unix(listener) => listener.as_fd(),
    };
    socket_acceptconn(socket).unwrap_or(false)
}

/// How many there are for the process of this id.
fn count(pid: Option<String>, fds: Option<String>, own: u32) -> Result<usize, String> {
    let (Some(pid), Some(fds)) = (pid, fds) else {
        return Err(
            "no socket was handed over (LISTEN_PID and LISTEN_FDS are not set): have systemd start the \
                    server for a socket unit"
                .to_owned(),
        );
    };
    if pid.parse() != Ok(own) {
        return Err(format!(
            "the sockets were handed over to another process: LISTEN_PID is {pid:?}, and this is {own}"
        ));
    }
    match fds.parse() {
        Ok(count @ 1..=MOST) => Ok(count),
        _ => Err(format!(
            "LISTEN_FDS is {fds:?}, and must be a number from 1 to {MOST}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_taken_only_where_they_are_meant() {
        let count = |pid: &str, fds: &str| {
            let given = |text: &str| (text != "-").then(|| text.to_owned());
            count(given(pid), given(fds), 7)
        };
        assert_eq!(count("7", "2"), Ok(2));
        for (pid, fds, why) in [
            ("-", "-", "not set"),
            ("7", "-", "not set"),
            ("-", "1", "not set"),
            ("8", "1", "another process"),
            ("x", "1", "another process"),
            ("7", "0", "from 1 to"),
            ("7", "-1", "from 1 to"),
            ("7", "65", "from 1 to"),
        ] {
            assert!(count(pid, fds).unwrap_err().contains(why), "{pid} {fds}");
        }
    }
}
