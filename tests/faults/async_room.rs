//! A part of a stage: a runtime, and an async pool of one.

use std::{future::pending, time::Duration};

use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::{
    AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection,
    pooled_connection::{AsyncDieselConnectionManager, bb8},
};
use diesel_named_lock::{
    NamedLockError, Section,
    nonblocking::{NamedLock, pool::NamedLockPool},
};
use tokio::{
    runtime::{Builder, Runtime},
    select,
    time::{sleep, timeout},
};

use crate::{
    scenario::Outcome,
    sql::PATIENCE,
    stage::{Stage, Work},
};

type Manager = AsyncDieselConnectionManager<AsyncMysqlConnection>;
pub type Conn = bb8::PooledConnection<'static, AsyncMysqlConnection>;

pub struct Room<'s> {
    stage: &'s Stage,
    runtime: Runtime,
    pool: bb8::Pool<AsyncMysqlConnection>,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

async fn number(conn: &mut Conn, query: &str) -> i64 {
    sql_query(query).get_result::<Number>(conn).await.unwrap_or_else(|error| panic!("{query}: {error}")).number
}

impl<'s> Room<'s> {
    pub fn on(stage: &'s Stage) -> Self {
        Self::at(stage, stage.server.tcp_url())
    }

    pub fn at(stage: &'s Stage, url: &str) -> Self {
        Self::of(Builder::new_multi_thread().worker_threads(2).enable_all().build(), stage, url)
    }

    pub fn with_a_clock_to_stop(stage: &'s Stage, url: &str) -> Self {
        Self::of(Builder::new_current_thread().enable_all().build(), stage, url)
    }

    fn of(runtime: std::io::Result<Runtime>, stage: &'s Stage, url: &str) -> Self {
        let runtime = runtime.expect("a runtime");
        // Otherwise mysql_async leaves a network on this host for the server's socket. What else stands there is for the C library.
        let url = format!("{}?prefer_socket=false", url.split('?').next().unwrap_or(url));
        let builder = bb8::Pool::builder().max_size(1).connection_timeout(PATIENCE);
        let pool = runtime.block_on(builder.build(Manager::new(url))).expect("a pool");
        Self { stage, runtime, pool }
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// With a second connection, to kill the session of the first.
    pub fn locks(&self) -> NamedLockPool<bb8::Pool<AsyncMysqlConnection>> {
        NamedLockPool::new(self.pool.clone())
    }

    /// A connection from the pool, which will be known again.
    pub fn checkout(&self) -> (Conn, u64) {
        self.block_on(async {
            let mut conn = self.pool.get_owned().await.expect("a checkout");
            conn.batch_execute("SET @known = 1").await.expect("a working connection");
            let id = number(&mut conn, "SELECT CONNECTION_ID() AS number").await;
            (conn, u64::try_from(id).expect("a connection id"))
        })
    }

    /// Runs a section whose closure does this, and notes what its caller sees.
    pub fn section(&self, conn: &mut Conn, meanwhile: impl FnOnce() + Send) {
        let lock = NamedLock::from(self.stage.lock());
        let work = async move |_: &mut Conn| -> Work {
            meanwhile();
            Ok(())
        };
        self.saw(self.block_on(lock.section(conn, work)));
    }

    pub fn saw(&self, ended: Result<Section<Work>, NamedLockError>) {
        self.stage.saw(match ended {
            Err(error) | Ok(Section { value: Err(error), .. } | Section { error: Some(error), .. }) => {
                Outcome::of(&error)
            }
            Ok(_) => Outcome::Ok,
        });
    }

    /// A section that does not end.
    pub fn pending(&self, conn: &mut Conn) -> impl Future<Output = Result<Section<Work>, NamedLockError>> + Send {
        let lock = NamedLock::from(self.stage.lock());
        lock.section(conn, async |_| pending::<Work>().await)
    }

    /// Polls a section until it is so, and drops it.
    pub fn drop_when<T>(&self, what: &str, is_so: impl Fn() -> bool, section: impl Future<Output = T>) {
        let until = async {
            while !is_so() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        self.block_on(async {
            select! {
                _ = section => panic!("it ended before {what}"),
                until = timeout(PATIENCE, until) => until.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for {what}")),
            }
        });
        self.stage.saw(Outcome::Dropped);
    }

    /// Checks in, looks whether the lock is free, then what the pool serves.
    pub fn free_and_serves(&self, conn: Conn) {
        self.stage.free_now();
        self.serves_after(conn);
    }

    pub fn serves_after(&self, conn: Conn) {
        self.block_on(async { drop(conn) });
        self.serves();
    }

    /// Notes which connection the pool serves. It has to work, and to hold nothing.
    pub fn serves(&self) {
        self.block_on(async {
            let mut conn = self.pool.get_owned().await.expect("a checkout after the fault");
            let known = number(&mut conn, "SELECT @known IS NOT NULL AS number").await == 1;
            let lock = NamedLock::from(self.stage.lock().no_wait());
            let outcome: Work = lock
                .run_transaction(&mut conn, async |conn| {
                    sql_query("SELECT 1").execute(conn).await?;
                    Ok(())
                })
                .await;
            self.stage.check(outcome.is_ok(), &format!("a section on what the pool serves: {outcome:?}"));
            self.stage.served(known);
        });
    }
}
