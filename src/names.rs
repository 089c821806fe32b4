//! The names of the locks of one section.

use std::{fmt, slice, sync::Arc};

use crate::{
    error::NamedLockError,
    name::{LockName, in_locking_order},
};

/// At least one name, each once, in the order in which they are acquired. Cheap to clone. A single name, the usual case, allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Names {
    One(LockName),
    Several(Arc<[LockName]>),
}

impl Names {
    pub(crate) fn in_locking_order(names: Vec<LockName>) -> Result<Self, NamedLockError> {
        Ok(in_locking_order(names)?.into())
    }

    pub(crate) fn as_slice(&self) -> &[LockName] {
        match self {
            Self::One(name) => slice::from_ref(name),
            Self::Several(names) => names,
        }
    }

    pub(crate) fn first(&self) -> &LockName {
        &self.as_slice()[0]
    }
}

/// There must be a name.
impl From<Vec<LockName>> for Names {
    fn from(mut names: Vec<LockName>) -> Self {
        if names.len() == 1 { Self::One(names.swap_remove(0)) } else { Self::Several(names.into()) }
    }
}

/// The first ten.
impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        write!(f, "named lock")?;
        let names = self.as_slice();
        for (index, name) in names.iter().take(SHOWN).enumerate() {
            write!(f, "{}`{name}`", if index == 0 { " " } else { ", " })?;
        }
        match names.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            others => write!(f, ", and {others} more"),
        }
    }
}
