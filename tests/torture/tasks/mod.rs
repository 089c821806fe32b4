//! The tasks of a worker process: sections on async connections, whose futures are dropped now and then.

pub mod dropping;
mod performer;
mod pools;

use std::thread;

use diesel_named_lock::nonblocking::pool::NamedLockPool;
use tokio::runtime::Runtime;

use self::{
    performer::TaskPerformer,
    pools::{Bb8, Deadpool},
};
use crate::{
    control::Control,
    performer::Performer,
    worker::{Orders, Teller, Watch},
    workload::Planner,
};

/// A runtime, and a pool of either kind.
pub struct Tasks {
    runtime: Runtime,
    bb8: NamedLockPool<Bb8>,
    deadpool: NamedLockPool<Deadpool>,
}

impl Tasks {
    pub fn new(orders: &Orders) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let bb8 = runtime.block_on(pools::bb8(orders));
        let deadpool = pools::deadpool(orders);
        Self {
            bb8: NamedLockPool::builder(bb8).event_handler(Box::new(Teller)).build(),
            deadpool: NamedLockPool::builder(deadpool).event_handler(Box::new(Teller)).build(),
            runtime,
        }
    }

    /// Each future is polled, and perhaps dropped, on this thread.
    pub fn run_sections(&self, orders: &Orders, thread: u8, control: &Control, watch: &Watch) {
        let Orders { process, life, locking, .. } = *orders;
        let performer = Performer { process, life, thread, locking, locks: None };
        let mut planner = Planner::new(orders, thread);
        while control.may_go_on() {
            let (plan, manner) = (planner.next_plan(), planner.next_manner());
            watch.begin(thread, plan.number);
            let task = TaskPerformer { performer, runtime: &self.runtime, url: &orders.url, plan: &plan, manner };
            if manner.deadpool {
                task.perform(&self.deadpool);
            } else {
                task.perform(&self.bb8);
            }
            watch.end(thread);
            planner.pause().into_iter().for_each(thread::sleep);
        }
    }
}
