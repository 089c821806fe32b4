//! Where connections come from.

use diesel_async::{
    AsyncMysqlConnection,
    pooled_connection::{bb8, deadpool},
};
use diesel_named_lock::nonblocking::OwnedConnection;

use crate::world::connect;

pub trait Source: Send + Sync + 'static {
    type Conn: OwnedConnection;

    fn get(&self) -> impl Future<Output = Self::Conn> + Send;
}

pub struct Plain;

impl Source for Plain {
    type Conn = AsyncMysqlConnection;

    async fn get(&self) -> Self::Conn {
        connect().await
    }
}

impl Source for bb8::Pool<AsyncMysqlConnection> {
    type Conn = bb8::PooledConnection<'static, AsyncMysqlConnection>;

    async fn get(&self) -> Self::Conn {
        self.get_owned().await.expect("a connection of bb8")
    }
}

impl Source for deadpool::Pool<AsyncMysqlConnection> {
    type Conn = deadpool::Object<AsyncMysqlConnection>;

    async fn get(&self) -> Self::Conn {
        self.get().await.expect("a connection of deadpool")
    }
}
