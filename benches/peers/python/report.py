"""Figures on standard input, a line of JSON each, become docs/benchmark.md, docs/benchmark.svg and a part of README.md."""

import json
import re
import sys
import textwrap
from collections import defaultdict
from itertools import chain
from pathlib import Path

from chart import draw
from machine import facts

HEAD = """# Benchmark

Written by `benches/run`. Look at the ratios: the times are this machine's.

![How long an uncontended section takes](benchmark.svg)
"""

NOTES = """## How to read it

* **Uncontended section**: the server and all clients share one CPU and talk through the Unix socket. The contenders take
  turns in 301 rounds, in an order that is new each time; the tables have the medians, those of the ratios too. *Ours* is
  `conn.with_named_lock`.
* **Each peer in its own best use**: a lock that is made once and a connection that stays open, where the peer can do so;
  no TLS; the fastest driver. PyMySQLLock connects for each section; as it comes, its driver reads the system's
  certificates each time.
* **async**: on diesel-async, all on one thread. Each question of ours has a number, which its answer repeats; what that costs is
  the difference between Diesel's typed queries and *the same, numbered*.
* **Threads**: unpinned, the work is one `SELECT`; medians of 15 rounds in which the rows take turns. Looked at from inside
  the sections, at most two connections are in use for the lock: the holder's, and that of one waiter. The benchmark
  asserts it.
* **Two processes**: default options, a pool of 4 each.
* **Client CPU**: instructions outside the kernel, counted by callgrind, 600 sections less 100.

## What stands in the way of the aims that are missed

* **The C client and `sql_query` by hand.** Some two fifths of what ours takes beyond the C client are Diesel's own:
  *Diesel's typed queries*, bare `GET_LOCK` and `RELEASE_LOCK`, are the least that it can do. The rest is, in the server and
  on the way through Diesel, for what else the same two statements ask and answer: whether the session has held the lock
  before, which session it is, and whether it holds the lock still. Without these answers a section would not be safe.
  What this crate itself takes has its own column in the table of instructions.
* **`NamedLockPool`, where it is below 2.** At each hand-off the server is asked whether the lock is still held, so that `Ok`
  means what it always means; then the next thread is woken. Both are on the way of every section, and both wake a
  processor that sleeps, which on this virtual machine takes longer than the work: while one thread works, the other
  processor has nothing to do. (Checked-out connections keep both busy.) `unconfirmed_hand_offs` is the same without the
  question. With everything on one CPU, where nobody sleeps (`taskset -c 0 target/peers/release/peers threads`, the same day),
  `NamedLockPool` has 2.0 to 2.1 times the throughput on both servers, without the question 3.5 to 3.7, and 64 threads have
  0.95 to 1.01 of that of 16. Waking the next thread ahead, while the question is out, was tried: it is slower.
* **PyMySQLLock.** A fiftieth of its time, in its best use, would be less than half of the C client's.
"""


def main():
    cases = defaultdict(list)
    for line in sys.stdin:
        figure = json.loads(line)
        cases[figure["case"]].append(figure)
    first = next(iter(cases.values()))
    measured = facts()

    docs = Path("docs")
    docs.mkdir(exist_ok=True)
    draw(first, docs / "benchmark.svg")
    machine = "\n".join(f"* {name}: {fact}" for name, fact in measured.items())
    tables = [f"## {case}\n\n{table(figures)}" for case, figures in cases.items()]
    text = "\n\n".join([HEAD.strip(), machine, *tables, NOTES.strip()])
    (docs / "benchmark.md").write_text(text + "\n")

    readme = Path("README.md")
    source = textwrap.fill("; ".join(f"{name}: {fact}" for name, fact in measured.items()) + ".", 120)
    # Whether an aim is met matters only to those who work on it.
    part = f"\n{table([figure | {'aim': None} for figure in first])}\n\n{source}\n\n"
    place = re.compile("(?<=<!-- written by benches/run -->\n).*(?=<!-- end -->)", re.DOTALL)
    readme.write_text(place.sub(lambda _: part, readme.read_text()))


def table(figures):
    return table_of_parts(figures) if figures[0]["parts"] else table_of_ratios(figures)


def table_of_ratios(figures):
    """A row for each contender, with its figures on all servers."""
    servers = list(dict.fromkeys(figure["server"] for figure in figures))
    rows = defaultdict(list)
    for figure in figures:
        rows[figure["contender"]].append(figure)
    aims = ["aim"] if any(figure["aim"] for figure in figures) else []
    head = ["", *(name for server in servers for name in (server, figures[0]["ratio_of"])), *aims]
    lines = ([row, *chain.from_iterable(map(cells, on)), *(aim(on) for _ in aims)] for row, on in rows.items())
    return markdown(head, lines)


def table_of_parts(figures):
    """A row for each contender on each server."""
    head = ["", "", "", figures[0]["ratio_of"], *(name for name, _ in figures[0]["parts"])]
    parts = ([f"{round(value):,}" for _, value in figure["parts"]] for figure in figures)
    return markdown(head, [[f["contender"], f["server"], *cells(f), *made_of] for f, made_of in zip(figures, parts)])


def markdown(head, rows):
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells(figure):
    value = figure["value"]
    return [f"{value:,.{0 if value >= 1000 else 1}f} {figure['unit']}", f"{figure['ratio']:,.2f}"]


def aim(figures):
    """The aim of a row, and where it was missed."""
    aim = figures[0]["aim"]
    if aim is None:
        return ""
    missed = [figure["server"].split()[0] for figure in figures if round(figure["ratio"], 2) < round(aim, 2)]
    return f"≥ {aim:.2f}, " + (f"**missed** on {' and '.join(missed)}" if missed else "met")


if __name__ == "__main__":
    main()
