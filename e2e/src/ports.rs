//! Ports of this machine for the servers of tests, which nobody else is given meanwhile.
//!
//! A port that the kernel chooses it gives again as soon as nobody listens there: to the near end of any connection,
//! or to another program of stories. Whatever begins later than it was told where, or begins again where it was, would
//! find its place taken. So ours lie below those that kernels choose, and a lock on a file holds each until the program
//! of stories ends. Nor is one given twice in the life of a program: the operator remembers what lies at an address,
//! and how long its server wants to be left alone.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Linux chooses from 32768 on.
const PORTS: std::ops::Range<u16> = 20_000..32_768;

/// The locks of what this program was given.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Ports of the loopback address at which nobody listens.
///
/// # Errors
/// If locks cannot be written, or everything is taken.
pub(crate) fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let folder = folder();
    std::fs::create_dir_all(&folder)?;
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let mut candidates = PORTS.cycle().skip(begin(held.len())).take(PORTS.len());
    let mut ports = [0; N];
    for port in &mut ports {
        let taken =
            candidates.find_map(|port| take(&folder, port).transpose().map(|lock| (port, lock)));
        let (free, lock) = taken.ok_or_else(|| io::Error::other("every port is taken"))?;
        held.push(lock?);
        *port = free;
    }
    Ok(ports)
}

/// Listens at such a port.
///
/// # Errors
/// As for the ports, or if somebody who asks for no locks was faster.
pub(crate) fn listen() -> io::Result<TcpListener> {
    let [port] = free_ports()?;
    TcpListener::bind(("127.0.0.1", port))
}

/// Programs begin at places of their own, so that they seldom meet.
fn begin(held: usize) -> usize {
    (std::process::id() as usize)
        .wrapping_mul(97)
        .wrapping_add(held)
        % PORTS.len()
}

/// The lock of a port, if it can be had and nobody listens there.
fn take(folder: &Path, port: u16) -> io::Result<Option<File>> {
    let file = File::create(folder.join(port.to_string()))?;
    let is_free = file.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok();
    Ok(is_free.then_some(file))
}

/// Where the locks are of whoever runs these tests.
fn folder() -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    std::env::temp_dir().join(format!("charttrust-ports-{user}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_given_to_nobody_else() {
        let mut all: Vec<_> = (0..50).flat_map(|_| free_ports::<4>().unwrap()).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 200);
        for port in all {
            assert!(PORTS.contains(&port), "{port}");
            // Nobody listens there, and yet no other program gets it.
            assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
            assert!(take(&folder(), port).unwrap().is_none(), "{port}");
        }
    }

    #[test]
    fn where_somebody_listens_is_not_free() {
        let [port] = free_ports().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(take(elsewhere.path(), port).unwrap().is_some());
        let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert!(take(elsewhere.path(), port).unwrap().is_none());
    }
}
