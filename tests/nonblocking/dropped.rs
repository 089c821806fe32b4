//! Sections whose future is dropped.

use diesel_named_lock::{NamedLockError, nonblocking::NamedLockExt};
use testkit::world::{SOON, assert_free_soon, fresh, holder};

use crate::world::{LONG, connect, drop_once};

#[tokio::test]
async fn in_the_closure_the_session_is_killed_and_the_lock_is_free() {
    let (name, mut conn) = (fresh("dropped"), connect().await);
    let section = conn.with_named_lock(&*name, SOON, async |_| {
        tokio::time::sleep(LONG).await;
        Ok::<_, NamedLockError>(())
    });
    drop_once(section, "the lock is held", || holder(&name).is_some()).await;
    assert_free_soon(&name);
    let refused = conn.with_named_lock(&*name, SOON, async |_| Ok::<_, NamedLockError>(())).await;
    assert!(matches!(refused, Err(NamedLockError::Broken { .. })), "{refused:?}");
}
