//! The nodes of one page of a tree.

use super::{Damage, Data, PAGE_HEAD, TABLE_BYTES, Tree, damage};

const NODE_HEAD: usize = 8;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const BIG: u16 = 1;
const SUBTABLE: u16 = 2;

/// A branch or leaf page whose nodes were all found within it.
pub struct Nodes {
    pub number: u64,
    pub is_branch: bool,
    page: Vec<u8>,
    offsets: Vec<usize>,
}

impl Nodes {
    pub fn read(number: u64, page: Vec<u8>) -> Result<Self, Damage> {
        let said = u64_at(&page, 0);
        let flags = u16_at(&page, 10).unwrap_or_default();
        if said != Some(number) || !matches!(flags, BRANCH | LEAF) {
            return damage(number, "is no page of a tree");
        }
        let is_branch = flags == BRANCH;
        let lower = usize::from(u16_at(&page, 12).unwrap_or_default());
        let upper = usize::from(u16_at(&page, 14).unwrap_or_default());
        if lower < PAGE_HEAD || lower > upper || upper > page.len() || lower % 2 != 0 {
            return damage(number, "has its nodes nowhere");
        }
        let offsets: Option<Vec<usize>> =
            (PAGE_HEAD..lower).step_by(2).map(|at| u16_at(&page, at).map(usize::from)).collect();
        let nodes = Self { number, is_branch, page, offsets: offsets.unwrap_or_default() };
        let mut taken = 0;
        for at in 0..nodes.len() {
            let inside = nodes.offsets.get(at).is_some_and(|&offset| offset >= upper);
            match nodes.size(at) {
                Some(size) if inside => taken += size.next_multiple_of(2),
                _ => return damage(number, format!("its node {at} reaches out of the page")),
            }
        }
        // Nodes are packed without gaps, so that a wrong length or place shows.
        if upper + taken != nodes.page.len() {
            return damage(number, "its nodes do not fill their place");
        }
        Ok(nodes)
    }

    /// A node's bytes in the page; none when it is not whole.
    fn size(&self, at: usize) -> Option<usize> {
        let head_and_key = NODE_HEAD + self.key(at)?.len();
        if self.is_branch {
            return self.child(at).map(|_| head_and_key);
        }
        Some(
            head_and_key
                + match self.data(at)? {
                    Data::Inline(bytes) => bytes.len(),
                    Data::Big { .. } => 8,
                    Data::Table(_) => TABLE_BYTES,
                },
        )
    }

    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    fn node(&self, at: usize) -> Option<(&[u8], u32, u16)> {
        let node = self.page.get(*self.offsets.get(at)?..)?;
        let low = u32::from(u16_at(node, 0)?) | u32::from(u16_at(node, 2)?) << 16;
        Some((node, low, u16_at(node, 4)?))
    }

    pub fn key(&self, at: usize) -> Option<&[u8]> {
        let (node, ..) = self.node(at)?;
        let len = usize::from(u16_at(node, 6)?);
        node.get(NODE_HEAD..NODE_HEAD + len)
    }

    pub fn child(&self, at: usize) -> Option<u64> {
        let (_, low, high) = self.node(at)?;
        Some(u64::from(low) | u64::from(high) << 32)
    }

    pub fn data(&self, at: usize) -> Option<Data<'_>> {
        let (node, len, flags) = self.node(at)?;
        let start = NODE_HEAD + usize::from(u16_at(node, 6)?);
        match flags {
            0 => node.get(start..start.checked_add(len as usize)?).map(Data::Inline),
            BIG => Some(Data::Big { page: u64_at(node, start)?, len: u64::from(len) }),
            SUBTABLE if len as usize == TABLE_BYTES => tree_at(node, start).map(Data::Table),
            _ => None,
        }
    }
}

pub fn tree_at(bytes: &[u8], at: usize) -> Option<Tree> {
    let flags = u16_at(bytes, at + 4)?;
    Some(Tree { entries: u64_at(bytes, at + 32)?, root: u64_at(bytes, at + 40)?, flags })
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}
