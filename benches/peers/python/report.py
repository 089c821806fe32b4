"""Figures on standard input, a line of JSON each, become docs/benchmark.md and its charts: unless they can't be believed."""

import json
import sys
from collections import defaultdict
from itertools import chain
from pathlib import Path

from chart import draw_peers, draw_scale
from machine import facts

# Of a ratio, in parts of it: how far apart the middle half of the rounds may be.
SPREAD = 0.25

HEAD = """# Benchmark

Written by `benches/run`. Look at the ratios: the times are this machine's.

![How long an uncontended section takes](benchmark.svg)
"""

NOTES = """## Cost against size

![What it costs to have many threads in line, sessions in line, and names in use](benchmark-scale.svg)

## How to read it

* **Whether to believe it**: `benches/run` writes nothing if others used more than a tenth of a processor while a case was timed, or
  if the rounds of a pinned case disagree. Instructions and round trips are counted and the same on any machine.
* **Uncontended section**: the server and all clients share one CPU and talk through the Unix socket. The contenders take
  turns in 301 rounds, in an order that is new each time; the tables have the medians, those of the ratios too. *Ours* is
  `conn.with_named_lock`.
* **C client, same questions**: prepared statements whose text, parameters and columns are those that this crate sends. *Bare* has
  nothing but `GET_LOCK(?, ?)` and `RELEASE_LOCK(?)`.
* **Each peer in its own best use**: a lock that is made once and a connection that stays open, where the peer can do so;
  no TLS; the fastest driver. PyMySQLLock connects for each section; as it comes, its driver reads the system's
  certificates each time.
* **async**: on diesel-async, all on one thread. Each question of this crate has a number, which its answer repeats; what that costs is
  the difference between Diesel's typed queries and *the same, numbered*.
* **Threads**: unpinned, the work is one `SELECT`; medians of 15 rounds in which the rows take turns. Looked at from inside
  the sections, at most two connections are in use for the lock: the holder's, and that of one waiter. The benchmark
  asserts it. Every `Ok` is confirmed by the server, with `group_confirmation`, too. CPU is that of the client's process and of the
  server's.
* **Half a millisecond of network**: a proxy that holds each message back for half of that.
* **Two processes**: default options, a pool of 4 each.
* **Several locks**: in one section, or in one section inside another.
* **Permits**: sections of 5 ms (a sleep), for ten seconds, unpinned, one connection for each session. The counter is read `FOR UPDATE`
  and counted up and down in transactions; a row is locked until its transaction ends. Sessions that find no permit there look again after
  2 ms. A turn is one section.
* **Client CPU**: instructions outside the kernel, counted by callgrind, 600 sections less 100.
* **Cost against size**: processor time of client and server, for *sessions in line* of the server alone. The sessions in line all
  wait before the first has its turn. The names in use are held by other sessions, 50 each.

## What stands in the way of the aims that are missed

* **The C client, `sql_query` by hand, and the instructions.** What makes a section safe are two columns and four parameters more
  than bare `GET_LOCK` and `RELEASE_LOCK` have. Diesel allocates and binds a buffer for each of them, and looks at the columns'
  types, at each execution: that is most of the difference between *Diesel's typed queries*, the least that it can do, and ours, and two to
  three times what the C client needs for them. What this crate itself takes has its own column: without all of it, the
  aim for instructions would still be missed. One column less, by arithmetic in the statement, saves the client what it costs the
  server.
* **`NamedLockPool` on a network.** A section on a connection that each thread checks out holds the lock for its own statement and
  the round trip of the release. By default `NamedLockPool` asks whether the lock is still held before it hands it on, so
  that it holds it for as long. `group_confirmation` hands on first.
* **A fencing token, a job that runs.** A token is acquire, `COMMIT`, `INSERT`, the question for the token, release. A job is `COMMIT` and a
  look at the ledger, acquire, the look under the lock, the start, the question whether the lock is held, the end, `COMMIT`, release.
  The first `COMMIT` is for a transaction that raw SQL may have begun, so that a failure undoes nothing of the application's and the look
  is not stale. MySQL has no variable that says whether there is one. The look without the lock costs a job that runs two round trips, and
  saves a job that is not due, which is the more frequent one, two round trips and the lock.
* **CPU of a section of `NamedLockPool`.** Less than half of that with connections that are checked out, but above the aims. It was not
  profiled. The statement in the closure is in it, too, and a thread is woken for each hand-off.
* **PyMySQLLock.** A fiftieth of its time, in its best use, would be less than half of the C client's.
"""


def main():
    cases, others = defaultdict(list), []
    for line in sys.stdin:
        figure = json.loads(line)
        if "others" in figure:
            others.append(figure)
        else:
            cases[figure["case"]].append(figure)
    if doubts := list(chain(busy(others), unsteady(chain(*cases.values())))):
        sys.exit("Nothing was written: this machine was too busy to be believed.\n" + "\n".join(doubts))

    docs = Path("docs")
    draw_peers(next(iter(cases.values())), docs / "benchmark.svg")
    draw_scale({case: figures for case, figures in cases.items() if figures[0]["size"]}, docs / "benchmark-scale.svg")
    measured = facts() | {"others": f"used at most {most(others):.2f} CPUs while a case was timed"}
    machine = "\n".join(f"* {name}: {fact}" for name, fact in measured.items())
    tables = [f"## {case}\n\n{table(figures)}" for case, figures in cases.items()]
    text = "\n\n".join([HEAD.strip(), machine, *tables, NOTES.strip()])
    (docs / "benchmark.md").write_text(text + "\n")


def busy(others):
    if most(others) > others[0]["limit"]:
        yield f"While a case was timed, others used {most(others):.2f} CPUs, and may use {others[0]['limit']}."


def most(others):
    return max(case["others"] for case in others)


def unsteady(figures):
    for figure in figures:
        spread = (figure["ratio"] or {}).get("spread")
        if spread and spread > SPREAD:
            yield (
                f"{figure['server']}, {figure['case']}, {figure['contender']}: the middle half of the rounds is {spread:.0%} "
                f"of the ratio apart, and may be {SPREAD:.0%}."
            )


def table(figures):
    return table_of_parts(figures) if figures[0]["parts"] else table_of_servers(figures)


def table_of_servers(figures):
    """A row for each contender, with its figures on all servers."""
    servers = list(dict.fromkeys(figure["server"] for figure in figures))
    rows = defaultdict(list)
    for figure in figures:
        rows[figure["contender"]].append(figure)
    head = ["", *(name for server in servers for name in (server, *ratio_of(figures))), *aim_of(figures)]
    lines = ([row, *chain.from_iterable(cells(f, figures) for f in on), *aim(on, figures)] for row, on in rows.items())
    return markdown(head, lines)


def table_of_parts(figures):
    """A row for each contender on each server."""
    head = ["", "", "", *ratio_of(figures), *(name for name, _ in figures[0]["parts"]), *aim_of(figures)]
    parts = ([f"{round(value):,}" for _, value in figure["parts"]] for figure in figures)
    rows = ([f["contender"], f["server"], *cells(f, figures), *made_of, *aim([f], figures)] for f, made_of in zip(figures, parts))
    return markdown(head, rows)


def markdown(head, rows):
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def ratio_of(figures):
    return list(dict.fromkeys(figure["ratio"]["of"] for figure in figures if figure["ratio"]))


def aim_of(figures):
    return ["aim"] if any(figure["aim"] for figure in figures) else []


def cells(figure, figures):
    value = figure["value"]
    is_whole = value >= 1000 or not figure["unit"]
    ratio = f"{figure['ratio']['value']:,.2f}" if figure["ratio"] else ""
    return [f"{value:,.{0 if is_whole else 1}f} {figure['unit']}".strip(), *(ratio for _ in ratio_of(figures))]


def aim(row, figures):
    """The aim of a row, and where it was missed."""
    if not aim_of(figures):
        return []
    if not row[0]["aim"]:
        return [""]
    aims = list(dict.fromkeys(said(figure["aim"]) for figure in row))
    missed = [figure["server"].split()[0] for figure in row if not is_met(figure)]
    return [", ".join([" / ".join(aims), f"**missed** on {' and '.join(missed)}" if missed else "met"])]


def said(aim):
    [(kind, bound)] = aim.items()
    return f"≥ {bound:.2f}" if kind == "RatioAtLeast" else f"≤ {bound:,.0f}"


def is_met(figure):
    [(kind, bound)] = figure["aim"].items()
    return round(figure["ratio"]["value"], 2) >= round(bound, 2) if kind == "RatioAtLeast" else figure["value"] <= bound


if __name__ == "__main__":
    main()
