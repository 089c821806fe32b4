//! Real proxies, that `tests/setup.sh` fetched.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use diesel::{MysqlConnection, prelude::*};
use tempfile::TempDir;
use url::Url;

use testkit::{clusters::low_port, world::*};

/// A proxy before a server, gone with this process however that ends.
pub struct Proxy {
    port: u16,
    process: Child,
    _folder: TempDir,
}

impl Proxy {
    /// The configuration is made from the proxy's port, a folder of its own and the addresses of the servers.
    pub fn start(program: &str, configuration: impl Fn(u16, &Path) -> String) -> Self {
        let (port, folder) = (low_port(), tempfile::tempdir().expect("a folder"));
        let file = folder.path().join("proxy.conf");
        fs::write(&file, configuration(port, folder.path())).expect("a configuration");
        let option = if program == "haproxy" { "-f" } else { "-c" };
        // Ends the proxy when the other end of the pipe is closed, which the kernel does for a process that is killed.
        let process = Command::new("/bin/sh")
            .args(["-c", r#"log=$1; shift; "$@" </dev/null >"$log" 2>&1 & read -r _; kill -9 $!"#, "keeper"])
            .arg(folder.path().join("log"))
            .arg(unpacked().join("bin").join(program))
            .args([Path::new(option), &file])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("a shell");
        let proxy = Self { port, process, _folder: folder };
        wait_until(&format!("{program} to lead to the server"), || MysqlConnection::establish(&proxy.url()).is_ok());
        proxy
    }

    /// Not encrypted, so that the proxy reads along.
    pub fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}/test?ssl_mode=disabled", self.port)
    }

    pub fn connect(&self) -> MysqlConnection {
        MysqlConnection::establish(&self.url()).expect("a connection through the proxy")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Closes the pipe first.
        let _ = self.process.wait();
    }
}

/// `127.0.0.1:3306`, of the shared server.
pub fn upstream() -> String {
    let url = Url::parse(server().tcp_url()).expect("a URL");
    format!("127.0.0.1:{}", url.port().expect("a port"))
}

/// Where the packages of the proxies are.
pub fn unpacked() -> PathBuf {
    let program = std::env::current_exe().expect("a path");
    let folder = program.ancestors().map(|target| target.join("proxies")).find(|folder| folder.join("bin").exists());
    folder.expect("HAProxy and MySQL Router: run `tests/run` once, which fetches them")
}
