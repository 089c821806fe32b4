//! A database of its own for a test.

use diesel::{
    MysqlConnection,
    connection::SimpleConnection,
    prelude::*,
    r2d2::{ConnectionManager, Pool},
};
use url::Url;

use crate::world::{self, Manager, fresh, number, server};

pub struct Database {
    pub name: String,
    pub url: String,
}

pub fn database() -> Database {
    database_named(fresh("own"))
}

pub fn database_named(name: String) -> Database {
    world::connect().batch_execute(&format!("CREATE DATABASE {name}")).expect("CREATE DATABASE");
    let mut url = Url::parse(server().url()).expect("the server's URL");
    url.set_path(&name);
    Database { name, url: url.into() }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = world::connect().batch_execute(&format!("DROP DATABASE {}", self.name));
    }
}

impl Database {
    pub fn tcp_url(&self) -> String {
        let mut url = Url::parse(server().tcp_url()).expect("the server's URL");
        url.set_path(&self.name);
        url.into()
    }

    pub fn connect(&self) -> MysqlConnection {
        MysqlConnection::establish(&self.url).expect("a connection to the test's database")
    }

    pub fn pool_of_one(&self) -> Pool<Manager> {
        Pool::builder().max_size(1).build(ConnectionManager::new(&self.url)).expect("a pool")
    }

    pub fn has_table(&self, table: &str) -> bool {
        let query = format!(
            "SELECT COUNT(*) AS number FROM information_schema.TABLES
             WHERE TABLE_SCHEMA = '{}' AND TABLE_NAME = '{table}'",
            self.name
        );
        number(&mut world::connect(), &query) == Some(1)
    }
}
