//! What is left of a lock if this program is killed (`kill -9`) while its command runs.
//!
//! As with flock(1), the command inherits what holds the lock: here, the connection. So the lock stays held until the command, too,
//! has ended. The driver's sockets are not inherited, and don't show their numbers. So the system is asked.

/// The sockets that this process has, by their numbers.
pub use system::Sockets;

#[cfg(target_os = "linux")]
mod system {
    use std::{collections::BTreeSet, fs, os::fd::OwnedFd};

    use rustix::{
        io::{FdFlags, fcntl_setfd},
        net::{Shutdown, shutdown},
        process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open},
    };

    pub struct Sockets(BTreeSet<i32>);

    /// What the next program that is started inherits.
    pub struct Inherited(Option<OwnedFd>);

    impl Sockets {
        pub fn now() -> Self {
            let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
            let sockets =
                open.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:")));
            Self(sockets.filter_map(|fd| fd.file_name().to_str()?.parse().ok()).collect())
        }

        /// The one socket that there was not before. If there are more, or the system does not allow it, nothing.
        pub fn added_since(&self, before: &Self) -> Inherited {
            let mut added = self.0.difference(&before.0);
            match (added.next(), added.next()) {
                (Some(&socket), None) => Inherited(inheritable(socket).ok()),
                _ => Inherited(None),
            }
        }
    }

    impl Inherited {
        /// Ends the connection, also for a process that has inherited it.
        pub fn close(self) {
            if let Some(socket) = self.0 {
                // If the server was first, there is nothing to end.
                let _ = shutdown(socket, Shutdown::Both);
            }
        }
    }

    /// Another descriptor of the same connection, which a program that is started inherits.
    fn inheritable(socket: i32) -> rustix::io::Result<OwnedFd> {
        let this_process = pidfd_open(getpid(), PidfdFlags::empty())?;
        let socket = pidfd_getfd(&this_process, socket, PidfdGetfdFlags::empty())?;
        fcntl_setfd(&socket, FdFlags::empty())?;
        Ok(socket)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub struct Sockets;

    pub struct Inherited;

    impl Inherited {
        pub fn close(self) {}
    }

    impl Sockets {
        pub fn now() -> Self {
            Self
        }

        pub fn added_since(&self, _before: &Self) -> Inherited {
            Inherited
        }
    }
}
