"""On what, and with what, it was measured."""

import datetime
import platform
import re
import subprocess
from pathlib import Path

from importlib.metadata import version


def facts():
    lock = Path("benches/peers/Cargo.lock").read_text()
    crates = {name: crate(lock, name) for name in ("diesel", "distributed-lock-mysql", "sqlx", "tokio")}
    return {
        "command": "`benches/run`",
        "date": datetime.date.today().isoformat(),
        "commit": output("git", "describe", "--always", "--dirty"),
        "machine": f"{processor()}, {output('nproc')} CPUs, {memory()}",
        "system": f"{system()}, Linux {platform.release()}",
        "client library": client_library(),
        "Rust": ", ".join([output("rustc", "--version").split(" (")[0], *(f"{n} {v}" for n, v in crates.items())]),
        "Python": f"{platform.python_version()}, SQLAlchemy {version('SQLAlchemy')}",
    }


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def crate(lock, name):
    return re.search(rf'^name = "{name}"\nversion = "(.*)"', lock, re.MULTILINE)[1]


def processor():
    found = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def memory():
    kilobytes = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())[1])
    return f"{kilobytes / 2**20:.0f} GiB of memory"


def system():
    return platform.freedesktop_os_release()["PRETTY_NAME"]


def client_library():
    for name in ("mysqlclient", "libmariadb"):
        found = subprocess.run(["pkg-config", "--modversion", name], capture_output=True, text=True)
        if found.returncode == 0:
            return f"{name} {found.stdout.strip()}"
    return "unknown"
