//! The crate distributed-lock-mysql, on sqlx and tokio.

use std::time::{Duration, Instant};

use distributed_lock_core::prelude::*;
use distributed_lock_mysql::MySqlLockProvider;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlSslMode};
use tokio::runtime;

use crate::contenders::Contender;

/// In its own best use: a lock that is made once, a pool that doesn't test at check-out (at check-in it always does), one
/// thread, no TLS.
pub fn contender(socket: &str) -> Contender {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let options = MySqlConnectOptions::new().username("root").socket(socket).ssl_mode(MySqlSslMode::Disabled);
    let pool = MySqlPoolOptions::new().max_connections(1).test_before_acquire(false).connect_with(options);
    let lock = runtime.block_on(async {
        let pool = pool.await.expect("a pool");
        let provider = MySqlLockProvider::builder().pool(pool).build().await.expect("a provider");
        provider.create_lock("bench:distributed-lock-mysql")
    });
    let sections = move |count| {
        runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..count {
                let held = lock.acquire(Some(Duration::from_secs(10))).await.expect("the lock");
                held.release().await.expect("the release");
            }
            start.elapsed()
        })
    };
    Contender { title: "distributed-lock-mysql 0.2", batch: 25, sections: Box::new(sections) }
}
