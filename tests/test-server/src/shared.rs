use std::env;
use std::sync::OnceLock;

use crate::{Product, Server};

impl Server {
    /// The one server of this process, started at the first call.
    ///
    /// With `DATABASE_URL` set it is that one, otherwise a private one of the [product wanted](Product::wanted).
    ///
    /// # Panics
    ///
    /// When there is none to be had; the message says what to do.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| match env::var("DATABASE_URL").ok().filter(|url| !url.is_empty()) {
            Some(url) => Server::at(&url)
                .unwrap_or_else(|error| panic!("no server behind DATABASE_URL: {error}; unset it to have one started")),
            None => Server::start(Product::wanted()).unwrap_or_else(|error| panic!("{error}")),
        })
    }
}
