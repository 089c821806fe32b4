//! The in-process queue under loom: each model runs once for every order in which its threads can come to the queue's
//! mutex, time out and be called. Loom ends a run with a panic if all threads wait: a wake-up was lost.
//!
//! Bounded to three preemptions; `LOOM_MAX_PREEMPTIONS` sets another bound. With fewer, not all outcomes are reached.

#[path = "../../../src/queue/group.rs"]
mod group;
#[path = "../../../src/queue/line.rs"]
mod queue;
mod sync;
mod world;

mod batons;
mod circles;
mod proofs;
mod turns;
