//! What an operator sees and can do, on real servers, with what is in the way really in the way.
//!
//! `TEST_SERVER=mariadb` (the default) or `TEST_SERVER=mysql`.

mod breaking;
mod clusters;
mod families;
mod galera;
mod group;
mod haproxy;
mod killed;
mod listing;
mod privileges;
mod proxies;
mod proxy;
mod report;
mod router;
mod stage;
mod switched_off;
