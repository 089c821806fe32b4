//! The exit statuses of this program. Those of `sysexits.h` if it has one, those of monitors for `doctor`, and those of shells for a
//! command.

pub const OK: u8 = 0;
/// The answer is no: nobody holds the lock, or it was not to be broken.
pub const NO: u8 = 1;
/// `EX_USAGE`.
pub const USAGE: u8 = 64;
/// `EX_UNAVAILABLE`.
pub const UNAVAILABLE: u8 = 69;
/// `EX_IOERR`.
pub const OUTPUT: u8 = 74;
/// `EX_TEMPFAIL`.
pub const NOT_ACQUIRED: u8 = 75;
/// `EX_PROTOCOL`.
pub const LOST: u8 = 76;

pub const NOT_EXECUTABLE: u8 = 126;
pub const NOT_FOUND: u8 = 127;

/// For monitors: 0 is fine, 1 a warning, 2 critical.
pub const WARNING: u8 = 1;
pub const CRITICAL: u8 = 2;
pub const UNKNOWN: u8 = 3;

pub const OF_TOOL: &str = "\
Exit status (`run` and `doctor` have others: see their --help):
   0  done
   1  no: `holder` found none, `break` broke none, `quorum` found no majority
  64  the command line is wrong, or names no server
  69  the server can't be reached, or refused
  74  the output can't be written";

pub const OF_RUN: &str = "\
Exit status: that of the command, 128 + N if signal N killed it, or
  64  not run: the command line is wrong, or names no server
  69  not run: the server can't be reached, refused, or broke off the wait
  75  not run: the lock was not free in time (--conflict-exit-code)
  76  run, but perhaps not alone: the lock was lost
 126  the command can't be executed
 127  the command was not found";

pub const OF_DOCTOR: &str = "\
Exit status, as monitors want it:
   0  OK: named locks are safe on this server
   1  WARNING: locks are exclusive, but some will fail that need not; or something could not be found out
   2  CRITICAL: locks may not be exclusive here
   3  UNKNOWN: the server can't be reached, or the command line is wrong";

pub const OF_HOLDER: &str = "\
Exit status:
   0  it is held
   1  it is free
  64  the command line is wrong, or names no server
  69  the server can't be reached, or refused";

pub const OF_QUORUM: &str = "\
Exit status:
   0  it is held on a majority of the nodes
   1  it is not, since it is free on a majority of the nodes
  64  the command line is wrong, or two nodes are one server
  69  too few nodes can be reached to tell";

pub const OF_BREAK: &str = "\
Exit status:
   0  the session that held the lock was killed
   1  nothing was done: nobody held the lock, or the answer was no
  64  the command line is wrong, or names no server
  69  the server can't be reached, or refused";
