//! The name of a lock, checked once.

mod folding;
mod text;

use std::{borrow::Cow, fmt, str::FromStr};

use sha2::{Digest, Sha256};

pub(crate) use self::folding::folded;
use self::text::Text;

/// The name of a lock, checked once and cheap to clone.
///
/// A name has 1 to 64 characters, none of them above U+FFFF (emoji, for one) and none NUL. Those are the names
/// that MySQL and MariaDB both take, and take for different locks: MySQL refuses the others, MariaDB cuts a name
/// at a NUL (our test `every_name_that_is_accepted_is_one_lock_on_the_server`).
///
/// The name reaches the server exactly as given, so a program in another language that calls `GET_LOCK` with the same
/// string meets this lock.
///
/// ```
/// use diesel_named_lock::LockName;
///
/// let name: LockName = "nightly-report".parse()?;
/// assert_eq!(name.as_str(), "nightly-report");
/// assert!(LockName::new("").is_err());
/// # Ok::<_, diesel_named_lock::InvalidName>(())
/// ```
///
/// # What a name does not promise
///
/// * **Letter case.** MySQL takes `Report` and `report` for one lock, MariaDB for two (as measured on MySQL 9.7 and
///   MariaDB 10.11). Keep to lower case, or use [`LockName::hashed`].
/// * **A scope.** Named locks are server-wide: two applications, or two databases on one server, that use the same
///   name share the lock. [`LockName::scoped`] puts a scope before it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockName(Text);

/// Why a string, or a set of names, can't name a lock. Found before any I/O.
///
/// ```
/// use diesel_named_lock::{InvalidName, LockName};
///
/// assert_eq!(LockName::new(""), Err(InvalidName::Empty));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// The name is empty.
    #[error("a lock's name must not be empty")]
    Empty,
    /// The name has more than 64 characters.
    #[non_exhaustive]
    #[error("lock name {name:?} has {chars} characters, at most 64 fit: shorten it, or use `LockName::hashed`")]
    TooLong {
        /// The name as given.
        name: String,
        /// How many characters it has.
        chars: usize,
    },
    /// The name has a character that the server does not take in a name.
    #[non_exhaustive]
    #[error(
        "lock name {name:?} contains {character:?}: NUL and characters above U+FFFF can't be in a name; \
         use `LockName::hashed` for arbitrary text"
    )]
    Character {
        /// The name as given.
        name: String,
        /// The first character that can't be in a name.
        character: char,
    },
    /// The scope of [`LockName::scoped`] is empty or contains the separator `:`.
    #[non_exhaustive]
    #[error("scope {scope:?} can't scope a lock name: it must not be empty or contain `:`")]
    Scope {
        /// The scope as given.
        scope: String,
    },
    /// [`NamedLock::all_of`](crate::NamedLock::all_of) was given no name.
    #[error("a section over several locks needs at least one name")]
    NoNames,
    /// Two names for [`NamedLock::all_of`](crate::NamedLock::all_of) differ only in letter case.
    #[error("lock names `{0}` and `{1}` differ only in letter case: one lock on MySQL, two on MariaDB; rename one")]
    DifferOnlyInCase(LockName, LockName),
}

impl LockName {
    /// The most characters that a name may have.
    pub const MAX_CHARS: usize = 64;

    /// Checks `name`, without I/O. [`FromStr`] and [`TryFrom`] do the same.
    ///
    /// ```
    /// use diesel_named_lock::{InvalidName, LockName};
    ///
    /// assert!(LockName::new("nightly-report").is_ok());
    /// assert!(matches!(LockName::new("x".repeat(65)), Err(InvalidName::TooLong { chars: 65, .. })));
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidName`] where `name` is empty, has more than 64 characters, or contains NUL or a character above U+FFFF.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let name = name.as_ref();
        check(name)?;
        Ok(Self(name.into()))
    }

    /// Checks `name` when it is compiled: for a `static` or a `const`.
    ///
    /// ```
    /// use diesel_named_lock::LockName;
    ///
    /// static REPORT: LockName = LockName::from_static("nightly-report");
    /// assert_eq!(REPORT, LockName::new("nightly-report")?);
    /// # Ok::<_, diesel_named_lock::InvalidName>(())
    /// ```
    ///
    /// ```compile_fail
    /// # use diesel_named_lock::LockName;
    /// const EMPTY: LockName = LockName::from_static("");
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if [`new`](Self::new) would return an error. In a `static` or a `const`, that is an error of the compiler.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        let (mut at, mut chars) = (0, 0);
        while at < bytes.len() {
            assert!(bytes[at] != 0, "a lock's name must not contain NUL");
            assert!(bytes[at] < 0xF0, "a lock's name must not contain a character above U+FFFF");
            // All but the continuation bytes of UTF-8.
            chars += (bytes[at] & 0xC0 != 0x80) as usize;
            at += 1;
        }
        assert!(chars > 0, "a lock's name must not be empty");
        assert!(chars <= Self::MAX_CHARS, "a lock's name must have at most 64 characters");
        Self(Text::Static(name))
    }

    /// Makes any text, of any length, the name of a lock.
    ///
    /// The name is a readable prefix of the text, `#`, and half of its SHA-256 (128 bits) in hexadecimal. The same
    /// text gives the same name in every version of this crate (golden values stand in our tests). Texts that
    /// differ, if only in letter case, give names that differ on MySQL and on MariaDB, as far as 128 bits go.
    ///
    /// ```
    /// use diesel_named_lock::LockName;
    ///
    /// let name = LockName::hashed("Invoice 2026/11 of Überseehandel & Söhne");
    /// assert_eq!(name.as_str(), "invoice-2026/11-of--berseehande#5a44c6ef780f7debbe6a9d0cf38a9253");
    /// ```
    #[must_use]
    pub fn hashed(text: &str) -> Self {
        const DIGEST_BYTES: usize = 16;
        const PREFIX_CHARS: usize = LockName::MAX_CHARS - 2 * DIGEST_BYTES - 1;

        let readable = |c: char| match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9' | '-' | '_' | '.' | '/' | ':') => c,
            _ => '-',
        };
        let mut name: String = text.chars().take(PREFIX_CHARS).map(readable).collect();
        name.push('#');
        for byte in &Sha256::digest(text)[..DIGEST_BYTES] {
            name.push_str(&format!("{byte:02x}"));
        }
        Self(name.into())
    }

    /// `scope:name`, since named locks are server-wide: the scope is the database or the application, say.
    ///
    /// Different pairs give different names. Pairs that differ only in letter case are one lock on MySQL. For a scope before
    /// a long name, hash both: `LockName::hashed(&format!("shop:{title}"))`.
    ///
    /// ```
    /// use diesel_named_lock::LockName;
    ///
    /// assert_eq!(LockName::scoped("shop", "stock")?.as_str(), "shop:stock");
    /// # Ok::<_, diesel_named_lock::InvalidName>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidName`] where `scope` is empty or contains `:`, `name` is empty, or the whole is not a valid name
    /// (64 characters include scope and `:`).
    pub fn scoped(scope: &str, name: &str) -> Result<Self, InvalidName> {
        if scope.is_empty() || scope.contains(':') {
            return Err(InvalidName::Scope { scope: scope.to_owned() });
        }
        if name.is_empty() {
            return Err(InvalidName::Empty);
        }
        Self::new(format!("{scope}:{name}"))
    }

    /// The name as the server gets it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(name: &str) -> Result<(), InvalidName> {
    if name.is_empty() {
        return Err(InvalidName::Empty);
    }
    if let Some(character) = name.chars().find(|&c| c == '\0' || c > '\u{FFFF}') {
        return Err(InvalidName::Character { name: name.to_owned(), character });
    }
    match name.chars().count() {
        ..=LockName::MAX_CHARS => Ok(()),
        chars => Err(InvalidName::TooLong { name: name.to_owned(), chars }),
    }
}

/// Puts names in the order in which every section takes them, so that no two sections wait for each other in a circle.
///
/// Letter case comes second: where MySQL takes two names for one lock, both sections take it at the same place.
pub(crate) fn in_locking_order(mut names: Vec<LockName>) -> Result<Vec<LockName>, InvalidName> {
    names.sort_by_cached_key(|name| (folded(name.as_str()), name.clone()));
    names.dedup();
    if names.is_empty() {
        return Err(InvalidName::NoNames);
    }
    match names.windows(2).find(|pair| folded(pair[0].as_str()) == folded(pair[1].as_str())) {
        Some(pair) => Err(InvalidName::DifferOnlyInCase(pair[0].clone(), pair[1].clone())),
        None => Ok(names),
    }
}

impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LockName({:?})", &*self.0)
    }
}

impl PartialEq<str> for LockName {
    fn eq(&self, name: &str) -> bool {
        self.as_str() == name
    }
}

impl PartialEq<&str> for LockName {
    fn eq(&self, name: &&str) -> bool {
        self.as_str() == *name
    }
}

impl AsRef<str> for LockName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for LockName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        Self::new(name)
    }
}

/// What a name may be given as, wherever one is taken.
macro_rules! try_from {
    ($($text:ty),*) => {$(
        impl TryFrom<$text> for LockName {
            type Error = InvalidName;

            fn try_from(name: $text) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }
    )*};
}

try_from!(&str, &&str, String, &String, Cow<'_, str>);

impl From<&LockName> for LockName {
    fn from(name: &LockName) -> Self {
        name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_static_name_is_refused_exactly_if_another_one_is() {
        let long = "ä".repeat(65);
        let names = ["", "a", "a\0", "é", "\u{FFFF}", "\u{10000}", &long[2..], &long];
        for name in names {
            let name: &'static str = name.to_owned().leak();
            let of_static = std::panic::catch_unwind(|| LockName::from_static(name));
            assert_eq!(of_static.ok(), LockName::new(name).ok(), "{name:?}");
        }
    }
}
