//! The names of the locks of one section.

use std::{fmt, slice, sync::Arc};

use crate::{
    error::NamedLockError,
    name::{LockName, in_locking_order},
};

/// In locking order, each once, at least one. Cheap to clone; one alone, the usual case, allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Names {
    One(LockName),
    Several(Arc<[LockName]>),
}

impl Names {
    pub(crate) fn in_locking_order(names: Vec<LockName>) -> Result<Self, NamedLockError> {
        let mut names = in_locking_order(names)?;
        Ok(if names.len() == 1 { Self::One(names.swap_remove(0)) } else { Self::Several(names.into()) })
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

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "named lock")?;
        for (index, name) in self.as_slice().iter().enumerate() {
            write!(f, "{}`{name}`", if index == 0 { " " } else { ", " })?;
        }
        Ok(())
    }
}
