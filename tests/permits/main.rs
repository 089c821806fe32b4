//! Several holders at once: permits, and locks that are shared or exclusive.

mod cost;
mod holders;
mod in_a_pool;
mod interrupted;
mod invalid;
mod many;
mod nonblocking;
mod refused;
mod shared;
mod stage;
mod waiting;
