//! Which server is meant, and with which password.

use std::{collections::HashSet, fs, path::PathBuf};

use clap::Args;

use crate::{failure::Failure, url::Address};

const NO_SERVER: &str = "no server is named: give --url, or set DATABASE_URL, such as mysql://user@host/database";
// Without what was given: it may be a URL with a password.
const NO_NODE: &str = "a node is its name and its URL, such as --node db-1=mysql://user@host/database";

#[derive(Args)]
pub struct Server {
    /// The server, such as mysql://user:password@host:3306/database. ps(1) shows a password that is given here; not so one in
    /// DATABASE_URL, in a file or typed in
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, help_heading = "Server")]
    url: Option<String>,

    #[command(flatten)]
    password: Password,
}

#[derive(Args)]
pub struct Password {
    /// A file whose first line is the password
    #[arg(long, value_name = "FILE", conflicts_with = "ask_password", help_heading = "Server")]
    password_file: Option<PathBuf>,

    /// Ask for the password on the terminal
    #[arg(long, help_heading = "Server")]
    ask_password: bool,
}

/// A node of a quorum.
pub struct Node {
    pub name: String,
    pub address: Address,
}

impl Server {
    /// Asks for the password if that is wanted; no other I/O but for its file.
    pub fn address(&self) -> Result<Address, Failure> {
        let url = self.url.as_deref().filter(|url| !url.is_empty()).ok_or_else(|| Failure::usage(NO_SERVER))?;
        Ok(address(url)?.with_any_password(self.password.get()?))
    }
}

/// Those of `NAME=URL`, all with one password if one is given.
pub fn nodes(given: &[String], password: &Password) -> Result<Vec<Node>, Failure> {
    let split = given.iter().map(|given| given.split_once('=').ok_or_else(|| Failure::usage(NO_NODE)));
    let split = split.collect::<Result<Vec<_>, _>>()?;
    if split.len() < 3 {
        return Err(Failure::usage(format!("a quorum has three nodes or more, not {}", split.len())));
    }
    let mut names = HashSet::new();
    if let Some((name, _)) = split.iter().find(|(name, _)| !names.insert(name)) {
        return Err(Failure::usage(format!("two nodes have the name `{name}`: give each node its own")));
    }
    let addresses = split.iter().map(|(_, url)| address(url)).collect::<Result<Vec<_>, _>>()?;
    let password = password.get()?;
    let names = split.into_iter().map(|(name, _)| name.to_owned());
    let nodes = names.zip(addresses);
    Ok(nodes.map(|(name, address)| Node { name, address: address.with_any_password(password.clone()) }).collect())
}

fn address(url: &str) -> Result<Address, Failure> {
    Address::parse(url).map_err(Failure::usage)
}

impl Password {
    fn get(&self) -> Result<Option<String>, Failure> {
        if let Some(file) = &self.password_file {
            let text = fs::read_to_string(file)
                .map_err(|error| Failure::usage(format!("the password file {}: {error}", file.display())))?;
            return Ok(Some(text.lines().next().unwrap_or_default().to_owned()));
        }
        if self.ask_password {
            let asked = rpassword::prompt_password("Password: ");
            let no_terminal = |error| format!("there is no terminal to ask for the password: {error}");
            return asked.map(Some).map_err(no_terminal).map_err(Failure::usage);
        }
        Ok(None)
    }
}
