//! Round trips, counted by the server itself. No timing.

use diesel::{QueryableByName, sql_query, sql_types::Text};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
use diesel_named_lock::{
    NamedLockError,
    nonblocking::{NamedLock, NamedLockConnection, NamedLockExt, pool::NamedLockPool},
};
use testkit::world::{SOON, fresh, hold_elsewhere};
use tokio::join;

use crate::world::{LONG, bb8_of, connect, until};

#[derive(QueryableByName)]
struct Counter {
    #[diesel(sql_type = Text, column_name = Value)]
    value: String,
}

/// What a session has asked its server: statements executed, each of them a round trip; those prepared and those closed, each
/// one more; and sessions killed.
type Asked = [i64; 4];

async fn asked<C: NamedLockConnection>(conn: &mut C) -> Asked {
    let mut asked = [0; 4];
    for (name, count) in ["Questions", "Com_stmt_prepare", "Com_stmt_close", "Com_kill"].into_iter().zip(&mut asked) {
        let query = sql_query(format!("SHOW SESSION STATUS LIKE '{name}'"));
        *count = query.get_result::<Counter>(conn).await.expect("a counter").value.parse().expect("a number");
    }
    asked
}

/// What happened between the last two, besides what the counting itself adds.
fn besides_counting([first, second, third]: [Asked; 3]) -> Asked {
    std::array::from_fn(|index| third[index] - second[index] - (second[index] - first[index]))
}

/// How much `work` adds, on a connection that it has been on before.
async fn asked_by(work: impl AsyncFn(AsyncMysqlConnection) -> AsyncMysqlConnection) -> Asked {
    let mut conn = work(connect().await).await;
    let counting = [asked(&mut conn).await, asked(&mut conn).await];
    let mut conn = work(conn).await;
    besides_counting([counting[0], counting[1], asked(&mut conn).await])
}

#[tokio::test]
async fn a_section_on_a_warm_connection_is_two_round_trips_and_no_prepare() {
    let section = async |mut conn: AsyncMysqlConnection| {
        conn.with_named_lock(fresh("cost"), SOON, async |_| Ok::<_, NamedLockError>(())).await.unwrap();
        conn
    };
    assert_eq!(asked_by(section).await, [2, 0, 0, 0]);
}

#[tokio::test]
async fn a_section_with_a_transaction_is_four_round_trips() {
    let section = async |mut conn: AsyncMysqlConnection| {
        let ran = conn.with_named_lock_transaction(fresh("cost"), SOON, async |_| Ok::<_, NamedLockError>(()));
        ran.await.unwrap();
        conn
    };
    assert_eq!(asked_by(section).await, [4, 0, 0, 0]);
}

#[tokio::test]
async fn trying_in_vain_is_one_round_trip_and_trying_with_success_is_two() {
    let (busy, free) = (fresh("cost_busy"), fresh("cost_free"));
    let _elsewhere = hold_elsewhere(&busy);
    for (name, ran, round_trips) in [(&busy, None, 1), (&free, Some(()), 2)] {
        let try_it = async |mut conn: AsyncMysqlConnection| {
            let tried = conn.try_with_named_lock(&**name, async |_| Ok::<_, NamedLockError>(())).await;
            assert_eq!(tried.unwrap(), ran);
            conn
        };
        assert_eq!(asked_by(try_it).await, [round_trips, 0, 0, 0], "{name}");
    }
}

#[tokio::test]
async fn a_guard_is_two_round_trips() {
    let lock = NamedLock::new(fresh("cost_guard")).unwrap();
    let guard = async |conn: AsyncMysqlConnection| lock.acquire(conn).await.unwrap().release().await.unwrap();
    assert_eq!(asked_by(guard).await, [2, 0, 0, 0]);
}

#[tokio::test]
async fn ten_locks_are_acquired_by_one_round_trip_and_released_by_another() {
    for (count, round_trips) in [(2, 2), (10, 2), (11, 4), (100, 20)] {
        let lock = NamedLock::all_of((0..count).map(|_| fresh("many"))).unwrap().timeout(SOON + SOON / 3);
        let section = async |mut conn: AsyncMysqlConnection| {
            lock.run(&mut conn, async |_| Ok::<_, NamedLockError>(())).await.unwrap();
            conn
        };
        assert_eq!(asked_by(section).await, [round_trips, 0, 0, 0], "{count}");
    }
}

#[tokio::test]
async fn a_lock_that_is_handed_on_is_one_round_trip() {
    // On a busy machine, two sections may take longer than the lock goes from task to task by default.
    let locks = NamedLockPool::builder(bb8_of(1).await).max_hand_off_time(LONG).build();
    let name = fresh("cost_hand_off");
    // Each of them counts inside of its closure; between two, the lock is handed on.
    let section = async |followers: usize| {
        let section = locks.with_named_lock(&*name, SOON, async |conn| {
            let counting = [asked(conn).await, asked(conn).await];
            until("the others to wait", || locks.total_waiting() == followers).await;
            Ok::<_, NamedLockError>(counting)
        });
        section.await.unwrap()
    };
    // The first hand-off prepares its question.
    let (_, [first, second], [third, _]) = join!(section(2), section(1), section(0));
    assert_eq!(besides_counting([first, second, third]), [1, 0, 0, 0]);
}
