//! Waking another CPU takes longer than the server's work: unpinned, the same section takes 40 µs or 160, by chance.

use std::{fs, process::Command};

/// Pins this process, and what it starts from now on, to one of the CPUs that it may use.
pub fn to_one_cpu() -> Result<u32, String> {
    let cpu = last_allowed().ok_or("the CPUs to choose from stand in /proc/self/status, on Linux")?;
    let output = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", &cpu.to_string(), &std::process::id().to_string()])
        .output()
        .map_err(|error| format!("taskset, of the package util-linux: {error}"))?;
    match output.status.success() {
        true => Ok(cpu),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// The last, since the first has most of the interrupts.
fn last_allowed() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    list.trim().rsplit([',', '-']).next()?.parse().ok()
}
