//! The name of a lock.

mod folding;
mod text;

use std::{
    borrow::Cow,
    fmt, process,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
    time::UNIX_EPOCH,
};

use sha2::{Digest, Sha256};

pub(crate) use self::folding::folded;
use self::text::Text;

/// The name of a lock, checked once and cheap to clone.
///
/// A name has 1 to 64 characters, none of them NUL or above U+FFFF (such as emoji). These are the names that both MySQL and MariaDB
/// accept, and treat as different locks. MySQL refuses the others, and MariaDB cuts a name at a NUL.
///
/// The name reaches the server exactly as given. So a program in another language that calls `GET_LOCK` with the same string uses the
/// same lock.
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
/// * **Letter case.** `Report` and `report` are one lock on MySQL and two on MariaDB. Use lower case, or [`LockName::hashed`].
/// * **A scope.** Named locks are server-wide. Two applications, or two databases on one server, that use the same name share the
///   lock. [`LockName::scoped`] prefixes a scope.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockName(Text);

/// The error of a string, or a set of names, that can't name a lock. No I/O took place.
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
    #[error("lock name is empty: it must have 1 to 64 characters")]
    Empty,
    /// The name has more than 64 characters.
    #[non_exhaustive]
    #[error("lock name {name:?} has {chars} characters, more than 64: shorten it, or use `LockName::hashed`")]
    TooLong {
        /// The name as given.
        name: String,
        /// The number of its characters.
        chars: usize,
    },
    /// The name has a character that the server does not accept in a name.
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
    #[error("scope {scope:?} of a lock name is not valid: it must not be empty or contain `:`")]
    Scope {
        /// The scope as given.
        scope: String,
    },
    /// [`NamedLock::all_of`](crate::NamedLock::all_of) got no name.
    #[error("list of lock names is empty: a section over several locks needs at least one name")]
    NoNames,
    /// Two names for [`NamedLock::all_of`](crate::NamedLock::all_of) differ only in letter case.
    #[error("lock names `{0}` and `{1}` differ only in letter case: one lock on MySQL, two on MariaDB; rename one")]
    DifferOnlyInCase(LockName, LockName),
}

impl LockName {
    /// The maximum number of characters of a name.
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
    /// Returns [`InvalidName`] if `name` is empty, has more than 64 characters, or contains NUL or a character above U+FFFF.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let name = name.as_ref();
        check(name)?;
        Ok(Self(name.into()))
    }

    /// Creates a name for a `static` or a `const`, and checks it at compile time.
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
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at] != 0, "a lock's name must not contain NUL");
            assert!(bytes[at] < 0xF0, "a lock's name must not contain a character above U+FFFF");
            at += 1;
        }
        assert!(at > 0, "a lock's name must not be empty");
        assert!(count_chars(name) <= Self::MAX_CHARS, "a lock's name must have at most 64 characters");
        Self(Text::Static(name))
    }

    /// Creates a name from any text of any length.
    ///
    /// The name is a readable prefix of the text, `#`, and half of its SHA-256 (128 bits) in hexadecimal. The same text gives the same
    /// name in every version of this crate. Different texts, even if they differ only in letter case, give different names on MySQL and
    /// on MariaDB, as far as 128 bits go.
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

    /// A name that no other session uses.
    pub(crate) fn unused(purpose: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        Self::hashed(&format!("diesel-named-lock {purpose} {} {count} {now}", process::id()))
    }

    /// Creates the name `scope:name`. The scope is, for example, the application or the database, since named locks are server-wide.
    ///
    /// Different pairs give different names. Pairs that differ only in letter case are one lock on MySQL. To scope a long name, hash both:
    /// `LockName::hashed(&format!("shop:{title}"))`.
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
    /// Returns [`InvalidName`] if `scope` is empty or contains `:`, if `name` is empty, or if the result is not a valid name. The 64
    /// characters include the scope and `:`.
    pub fn scoped(scope: &str, name: &str) -> Result<Self, InvalidName> {
        if scope.is_empty() || scope.contains(':') {
            return Err(InvalidName::Scope { scope: scope.to_owned() });
        }
        if name.is_empty() {
            return Err(InvalidName::Empty);
        }
        Self::new(format!("{scope}:{name}"))
    }

    /// Returns the name as the server gets it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns the number of characters, at compile time, too.
pub(crate) const fn count_chars(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut chars) = (0, 0);
    while at < bytes.len() {
        // All but the continuation bytes of UTF-8.
        chars += (bytes[at] & 0xC0 != 0x80) as usize;
        at += 1;
    }
    chars
}

fn check(name: &str) -> Result<(), InvalidName> {
    if name.is_empty() {
        return Err(InvalidName::Empty);
    }
    if let Some(character) = name.chars().find(|&c| c == '\0' || c > '\u{FFFF}') {
        return Err(InvalidName::Character { name: name.to_owned(), character });
    }
    match count_chars(name) {
        ..=LockName::MAX_CHARS => Ok(()),
        chars => Err(InvalidName::TooLong { name: name.to_owned(), chars }),
    }
}

/// Puts names in the order in which every section acquires them, so that no two sections wait for each other in a circle.
///
/// Letter case comes second: if two names are one lock on MySQL, both sections acquire it at the same place.
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

/// The types that a parameter for a name accepts.
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
