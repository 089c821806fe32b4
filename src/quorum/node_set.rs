//! A set of nodes, by their places in the order of their names.

use std::ops::{BitAnd, BitOr, Sub};

/// At most 64 nodes, of which the lowest comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeSet(u64);

impl NodeSet {
    pub const MAX: usize = u64::BITS as usize;

    pub fn first(count: usize) -> Self {
        (0..count).collect()
    }

    pub fn only(node: usize) -> Self {
        Self(1 << node)
    }

    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn contains(self, node: usize) -> bool {
        self.0 & 1 << node != 0
    }

    pub fn insert(&mut self, node: usize) {
        *self = *self | Self::only(node);
    }

    pub fn remove(&mut self, node: usize) {
        *self = *self - Self::only(node);
    }

    pub fn lowest(self) -> Option<usize> {
        self.iter().next()
    }

    pub fn highest(self) -> Option<usize> {
        self.iter().last()
    }

    /// The nodes of the set that come after this one.
    pub fn above(self, node: usize) -> Self {
        self - Self::first(node + 1)
    }

    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..Self::MAX).filter(move |node| self.contains(*node))
    }
}

impl FromIterator<usize> for NodeSet {
    fn from_iter<I: IntoIterator<Item = usize>>(nodes: I) -> Self {
        nodes.into_iter().map(Self::only).fold(Self::default(), BitOr::bitor)
    }
}

impl BitOr for NodeSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for NodeSet {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for NodeSet {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}
