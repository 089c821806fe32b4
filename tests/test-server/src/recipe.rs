//! How a server is made and run.

use crate::folder::Folder;

/// One command line: the program, then its arguments.
pub(crate) type CommandLine = Vec<String>;

/// Two commands: the first fills the data folder and ends, the second is the server.
pub(crate) struct Recipe {
    pub(crate) init: CommandLine,
    pub(crate) serve: CommandLine,
}

impl Recipe {
    /// For a data folder that is filled already.
    pub(crate) fn without_init(self) -> Recipe {
        Recipe { init: vec!["true".into()], ..self }
    }
}

/// What is the same for every product.
pub(crate) struct Setting<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) port: u16,
    /// What the caller wants besides.
    pub(crate) options: &'a [String],
}

impl Setting<'_> {
    /// The socket's path.
    pub(crate) fn socket(&self) -> String {
        format!("{}/socket", self.folder.name())
    }

    /// The data folder's path.
    pub(crate) fn data(&self) -> String {
        format!("{}/data", self.folder.name())
    }

    /// What both commands are told. A test server may lose its data in a crash, so it never waits for a disk.
    pub(crate) fn common(&self) -> CommandLine {
        let folder = self.folder.name();
        let mut options = vec![
            format!("--datadir={}", self.data()),
            // A server removes what looks left over in its folder for temporary files, so that two would hurt each other.
            format!("--tmpdir={folder}"),
            "--innodb-buffer-pool-size=32M".into(),
            "--loose-innodb-flush-method=nosync".into(),
            "--innodb-doublewrite=OFF".into(),
        ];
        if self.folder.of_root() {
            options.push("--user=root".into());
        }
        options
    }

    /// What the server is told besides. Of an option given twice, a server takes the last.
    pub(crate) fn serving(&self) -> CommandLine {
        let folder = self.folder.name();
        let mut options = vec![
            format!("--socket={folder}/socket"),
            format!("--pid-file={folder}/pid"),
            format!("--init-file={folder}/init.sql"),
            format!("--port={}", self.port),
            "--bind-address=127.0.0.1".into(),
            "--max-connections=500".into(),
            "--performance-schema=ON".into(),
            "--skip-log-bin".into(),
            "--innodb-flush-log-at-trx-commit=2".into(),
        ];
        options.extend_from_slice(self.options);
        options
    }
}

/// Its parts, one after the other.
pub(crate) fn command_line(parts: impl IntoIterator<Item = CommandLine>) -> CommandLine {
    parts.into_iter().flatten().collect()
}
