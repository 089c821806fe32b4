//! A connection that moves with its section.

use std::ops::{Deref, DerefMut};

pub(crate) struct Owned<C>(pub(crate) C);

impl<C> Deref for Owned<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.0
    }
}

impl<C> DerefMut for Owned<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.0
    }
}
