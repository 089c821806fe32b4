//! `man` and `completions`.

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{exit_status, failure::Failure, options::NamedLockTool, output::print};

pub fn man(command: Option<&str>) -> Result<u8, Failure> {
    let mut tool = NamedLockTool::command();
    // Fills in what the commands inherit, their full names above all.
    tool.build();
    let tool = match command {
        None => tool,
        Some(name) => tool
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| Failure::usage(format!("there is no command `{name}`: see named-lock --help")))?,
    };
    let mut page = Vec::new();
    let source = concat!("named-lock ", env!("CARGO_PKG_VERSION"));
    Man::new(tool).source(source).render(&mut page).map_err(Failure::unavailable)?;
    print(page)?;
    Ok(exit_status::OK)
}

pub fn completions(shell: Shell) -> Result<u8, Failure> {
    // Not to standard output itself: if that is closed, it would panic.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut NamedLockTool::command(), "named-lock", &mut script);
    print(script)?;
    Ok(exit_status::OK)
}
