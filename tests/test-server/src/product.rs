use std::fmt;
use std::str::FromStr;

/// The servers that the tests run on. All speak the MySQL protocol and have named locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Product {
    /// MariaDB Server, the system's.
    MariaDb,
    /// MariaDB Server 10.5, from Debian 11.
    MariaDb10_5,
    /// MariaDB Server 11.8, from Debian 13.
    MariaDb11_8,
    /// Oracle's MySQL Server.
    MySql,
}

/// What `TEST_SERVER` calls them.
const NAMES: [(&str, Product); 4] = [
    ("mariadb", Product::MariaDb),
    ("mariadb-10.5", Product::MariaDb10_5),
    ("mariadb-11.8", Product::MariaDb11_8),
    ("mysql", Product::MySql),
];

impl Product {
    /// The product that the environment variable `TEST_SERVER` names: `mariadb`, the default, `mariadb-10.5`,
    /// `mariadb-11.8` or `mysql`.
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

    /// Whether it is any release of MariaDB.
    pub fn is_mariadb(self) -> bool {
        self != Product::MySql
    }

    /// The folder that the set-up script unpacks a release of MariaDB into, if it is not the system's.
    pub(crate) fn folder(self) -> Option<&'static str> {
        let (name, _) = NAMES.into_iter().find(|(_, product)| *product == self)?;
        matches!(self, Product::MariaDb10_5 | Product::MariaDb11_8).then_some(name)
    }

    /// Tells MariaDB and MySQL apart by what a server answers to `SELECT VERSION()`.
    pub(crate) fn of_version(version: &str) -> Product {
        if version.contains("MariaDB") { Product::MariaDb } else { Product::MySql }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_mariadb() { "MariaDB" } else { "MySQL" })
    }
}

impl FromStr for Product {
    type Err = String;

    fn from_str(name: &str) -> Result<Product, String> {
        let found = NAMES.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, product)| product).ok_or_else(|| {
            let [names @ .., last] = NAMES.map(|(known, _)| format!("`{known}`"));
            format!("no server product {name:?}: {} or {last}", names.join(", "))
        })
    }
}
