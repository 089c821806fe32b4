//! A terminal, with a program on it.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
    process::Command,
};

use rustix::{
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use testkit::program::Program;

pub struct Terminal(File);

impl Terminal {
    /// Starts a program whose terminal it is. Whatever the program writes is its standard output here.
    pub fn start(command: &Command) -> (Self, Program) {
        Self::start_sized(command, 24, 80)
    }

    pub fn start_sized(command: &Command, lines: u16, columns: u16) -> (Self, Program) {
        let (ours, theirs) = pair().expect("a pseudo-terminal");
        let terminal = Self(ours);
        terminal.resize(lines, columns);
        let stream = || theirs.try_clone().expect("one more descriptor");
        let mut on_terminal = Command::new("setsid");
        on_terminal.arg("--ctty").arg(command.get_program()).args(command.get_args());
        on_terminal.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        on_terminal.stdin(stream()).stdout(stream()).stderr(stream());
        let process = on_terminal.spawn().expect("setsid, of util-linux");
        let screen = terminal.0.try_clone().expect("one more descriptor");
        (terminal, Program::new(process, screen, io::empty()))
    }

    /// The program on it is told, too.
    pub fn resize(&self, lines: u16, columns: u16) {
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.0, size).expect("a terminal");
    }

    /// Whether it shows what is typed in.
    pub fn echoes(&self) -> bool {
        tcgetattr(&self.0).expect("a terminal").local_modes.contains(LocalModes::ECHO)
    }

    pub fn type_in(&mut self, keys: &str) {
        self.0.write_all(keys.as_bytes()).expect("a terminal");
    }
}

fn pair() -> rustix::io::Result<(File, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let theirs = ioctl_tiocgptpeer(&ours, flags)?;
    Ok((ours.into(), theirs))
}
