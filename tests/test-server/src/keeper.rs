//! Keeps a server alive as long as this process, and not an instant longer than it can help.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use crate::folder::Folder;
use crate::recipe::Recipe;

/// Making a data folder takes seconds; at load 50, more than two minutes.
const INIT_LIMIT: Duration = Duration::from_secs(300);

/// A small shell process that owns one server and its folder.
///
/// It is no thread or `Drop` of this process, because those don't run after `kill -9`. It waits for the end of a pipe whose
/// other end we hold, then kills the server and removes the folder. It has a process group of its own, so that a
/// Ctrl-C meant for us doesn't reach it or the server.
pub(crate) struct Keeper {
    process: Child,
    server: Mutex<Receiver<u32>>,
}

impl Keeper {
    /// Starts the keeper, which is the owner of the folder from here on.
    pub(crate) fn start(folder: &Folder, recipe: &Recipe) -> io::Result<Keeper> {
        let mut process = Command::new("/bin/sh")
            .args(["-c", include_str!("keeper.sh"), "keeper"])
            .env("FOLDER", folder.name())
            .env("INIT", quoted(&recipe.init))
            .env("SERVE", quoted(&recipe.serve))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;

        let mut output = BufReader::new(process.stdout.take().expect("stdout is piped"));
        let (sender, server) = channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = output.read_line(&mut line);
            if let Ok(pid) = line.trim().parse() {
                let _ = sender.send(pid);
            }
            // The channel closes when the output does, which is when the server ends.
            let _ = output.read_to_end(&mut Vec::new());
            drop(sender);
        });
        Ok(Keeper { process, server: Mutex::new(server) })
    }

    /// Waits until the data folder is made, and gives the server's process id.
    pub(crate) fn server_pid(&self) -> io::Result<u32> {
        self.next_word_within(INIT_LIMIT).map_err(|error| match error {
            RecvTimeoutError::Timeout => io::Error::other("making the data folder takes too long"),
            RecvTimeoutError::Disconnected => io::Error::other("the data folder can't be made"),
        })
    }

    /// Whether the server ends within this time.
    pub(crate) fn server_ends_within(&self, limit: Duration) -> bool {
        self.next_word_within(limit) == Err(RecvTimeoutError::Disconnected)
    }

    /// The keeper's next word: first the server's process id, then that the server has ended.
    fn next_word_within(&self, limit: Duration) -> Result<u32, RecvTimeoutError> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(limit)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // `wait` closes the pipe first.
        let _ = self.process.wait();
    }
}

/// A command line as the shell reads it.
fn quoted(command_line: &[String]) -> String {
    let words = command_line.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''")));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_reads_back_what_was_quoted() {
        let words = ["printf", "<%s>", "it's", "a b", "$HOME `x` \"y\" \\", "", "ä*"].map(String::from);
        let output = Command::new("sh").args(["-c", &quoted(&words)]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "<it's><a b><$HOME `x` \"y\" \\><><ä*>");
    }
}
