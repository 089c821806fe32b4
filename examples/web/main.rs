//! A web service that sells from one stock, in two processes, while a third of its clients hang up: by a named lock.
//!
//! A request reads the stock and writes it back, one less, with a sale. That is the classic race, and the classic leak: a handler's
//! future is dropped if its client hangs up. `service.rs` is the application.
//!
//! `examples/run web` runs it on a private server, started for it; with `DATABASE_URL` set, it runs on that one.

#![allow(missing_docs, reason = "for what Diesel's macros make")]

use std::{env, error::Error};

mod clients;
mod demonstration;
mod service;

diesel::table! {
    diesel_named_lock_stock (id) {
        id -> Integer,
        amount -> Integer,
    }
}

diesel::table! {
    diesel_named_lock_sales (id) {
        id -> Integer,
        left_in_stock -> Integer,
    }
}

const LOCK: &str = "example:web:stock";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match env::args().nth(1) {
        None => demonstration::run().await,
        Some(_) => service::serve(&env::var("DATABASE_URL")?).await,
    }
}
