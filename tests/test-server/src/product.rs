use std::fmt;
use std::str::FromStr;

/// The two kinds of server that speak the MySQL protocol and have named locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Product {
    /// MariaDB Server.
    MariaDb,
    /// Oracle's MySQL Server.
    MySql,
}

impl Product {
    /// The product that the environment variable `TEST_SERVER` names: `mariadb`, the default, or `mysql`.
    ///
    /// # Panics
    ///
    /// When it names something else.
    pub fn wanted() -> Product {
        let name = std::env::var("TEST_SERVER").unwrap_or_default();
        match name.as_str() {
            "" => Product::MariaDb,
            name => name.parse().unwrap_or_else(|error| panic!("TEST_SERVER: {error}")),
        }
    }

    /// Tells the product by what a server answers to `SELECT VERSION()`.
    pub(crate) fn of_version(version: &str) -> Product {
        if version.contains("MariaDB") { Product::MariaDb } else { Product::MySql }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Product::MariaDb => "MariaDB",
            Product::MySql => "MySQL",
        })
    }
}

impl FromStr for Product {
    type Err = String;

    fn from_str(name: &str) -> Result<Product, String> {
        match name.to_ascii_lowercase().as_str() {
            "mariadb" => Ok(Product::MariaDb),
            "mysql" => Ok(Product::MySql),
            _ => Err(format!("no server product {name:?}: `mariadb` or `mysql`")),
        }
    }
}
