//! What a JSON text becomes before it is laid out: a flat tree that knows each distinct string.
//!
//! The width of the slots depends on the size of the whole, so nothing can be written before
//! everything was read. The tape is that everything, without a heap allocation per node.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::encoder::EncodeError;
use super::layout::{self, Width};

/// Strings up to this length are looked up for sharing; longer ones hardly ever repeat.
const SHARED: usize = 64;

#[derive(Clone, Copy)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    Big(u64),
    Float(f64),
    Str(u32),
    /// Index into `containers`.
    Array(u32),
    /// Index into `containers`.
    Map(u32),
}

/// A range of `children`: an array's items, or a map's keys and values in turn.
struct Container {
    start: u32,
    len: u32,
    is_map: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Tape {
    text: Vec<u8>,
    /// Where each string ends in `text`.
    ends: Vec<u32>,
    /// Hash of a shared string → its index; verified on a hit, so a collision costs sharing only.
    shared: HashMap<u64, u32, std::hash::BuildHasherDefault<Identity>>,
    hasher: RandomState,
    children: Vec<Node>,
    /// In the order in which they were finished: children before parents.
    containers: Vec<Container>,
}

/// The map's keys are hashes already.
#[derive(Default)]
pub(super) struct Identity(u64);

impl std::hash::Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

impl Tape {
    fn str(&self, index: u32) -> &[u8] {
        let index = index as usize;
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before).copied().unwrap_or(0),
        };
        let end = self.ends.get(index).copied().unwrap_or(start);
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }

    pub(super) fn string(&mut self, s: &str) -> Result<Node, EncodeError> {
        let hash = (s.len() <= SHARED).then(|| self.hasher.hash_one(s));
        if let Some(hash) = hash
            && let Some(&index) = self.shared.get(&hash)
            && self.str(index) == s.as_bytes()
        {
            return Ok(Node::Str(index));
        }
        self.text.extend_from_slice(s.as_bytes());
        let end = u32::try_from(self.text.len()).map_err(|_| EncodeError::TooLarge)?;
        let index = self.ends.len() as u32;
        self.ends.push(end);
        if let Some(hash) = hash {
            self.shared.insert(hash, index);
        }
        Ok(Node::Str(index))
    }

    pub(super) fn array(&mut self, items: &[Node]) -> Node {
        Node::Array(self.container(items, false))
    }

    /// A map of key-value pairs in any order; of equal keys the last one stays.
    pub(super) fn map(&mut self, pairs: &mut [(u32, Node)]) -> Node {
        // Stable, so that among equal keys the order of the text is kept.
        pairs.sort_by(|a, b| self.str(a.0).cmp(self.str(b.0)));
        let mut kept: Vec<Node> = Vec::with_capacity(pairs.len() * 2);
        let mut last: Option<u32> = None;
        for &(key, value) in pairs.iter() {
            if last.is_some_and(|last| last == key || self.str(last) == self.str(key)) {
                kept.truncate(kept.len() - 2);
            }
            kept.push(Node::Str(key));
            kept.push(value);
            last = Some(key);
        }
        Node::Map(self.container(&kept, true))
    }

    fn container(&mut self, nodes: &[Node], is_map: bool) -> u32 {
        let start = self.children.len() as u32;
        self.children.extend_from_slice(nodes);
        self.containers.push(Container { start, len: nodes.len() as u32, is_map });
        self.containers.len() as u32 - 1
    }

    /// Lays the tape out with the narrowest slots that reach everything.
    pub(super) fn finish(&self, root: Node) -> Result<Vec<u8>, EncodeError> {
        // A string that only a dropped duplicate key used stays; that is not worth a pass.
        self.write(root, Width::Narrow).or_else(|_| self.write(root, Width::Wide))
    }

    fn size_hint(&self, width: Width) -> usize {
        let strings = self.text.len() + self.ends.len() * 2;
        let slots = self.children.len() * width.bytes() + self.containers.len() * 2;
        layout::HEADER + strings + slots + width.bytes()
    }

    fn write(&self, root: Node, width: Width) -> Result<Vec<u8>, EncodeError> {
        if self.text.len() > width.reach() {
            return Err(EncodeError::TooLarge);
        }
        let mut out = Writer { bytes: Vec::with_capacity(self.size_hint(width) + 16), width };
        out.bytes.push(layout::MAGIC);
        out.bytes.push(width.bytes() as u8);
        let mut strings = Vec::with_capacity(self.ends.len());
        for index in 0..self.ends.len() as u32 {
            let text = self.str(index);
            strings.push(out.align()?);
            layout::put_leb(&mut out.bytes, text.len());
            out.bytes.extend_from_slice(text);
        }
        let mut offsets: Vec<u32> = Vec::with_capacity(self.containers.len());
        let mut slots = Vec::new();
        for container in &self.containers {
            let range = container.start as usize..(container.start + container.len) as usize;
            for (i, &node) in self.children.get(range).unwrap_or_default().iter().enumerate() {
                slots.push(match node {
                    Node::Str(key) if container.is_map && i % 2 == 0 => find(&strings, key),
                    node => out.slot(node, &strings, &offsets)?,
                });
            }
            offsets.push(out.align()?);
            let count = if container.is_map { slots.len() / 2 } else { slots.len() };
            layout::put_leb(&mut out.bytes, count);
            slots.drain(..).for_each(|slot| out.put(slot));
        }
        let root = out.slot(root, &strings, &offsets)?;
        out.put(root);
        Ok(out.bytes)
    }
}

fn find(offsets: &[u32], index: u32) -> u32 {
    offsets.get(index as usize).copied().unwrap_or(0)
}

struct Writer {
    bytes: Vec<u8>,
    width: Width,
}

impl Writer {
    /// Pads to the unit, and gives the offset in units.
    fn align(&mut self) -> Result<u32, EncodeError> {
        while !self.bytes.len().is_multiple_of(layout::UNIT) {
            self.bytes.push(0);
        }
        if self.bytes.len() >= self.width.reach() {
            return Err(EncodeError::TooLarge);
        }
        Ok((self.bytes.len() / layout::UNIT) as u32)
    }

    fn put(&mut self, slot: u32) {
        match self.width {
            Width::Narrow => self.bytes.extend_from_slice(&(slot as u16).to_le_bytes()),
            Width::Wide => self.bytes.extend_from_slice(&slot.to_le_bytes()),
        }
    }

    fn scalar(&mut self, bytes: [u8; 8]) -> Result<u32, EncodeError> {
        let at = self.align()?;
        self.bytes.extend_from_slice(&bytes);
        Ok(at)
    }

    fn slot(&mut self, node: Node, strings: &[u32], containers: &[u32]) -> Result<u32, EncodeError> {
        let (tag, payload) = match node {
            Node::Null => (layout::TAG_CONST, 0),
            Node::Bool(value) => (layout::TAG_CONST, 1 + u32::from(value)),
            Node::Int(value) if self.width.holds(value) => {
                (layout::TAG_INT, value as u32 & ((1 << self.width.payload_bits()) - 1))
            }
            Node::Int(value) => (layout::TAG_I64, self.scalar(value.to_le_bytes())?),
            Node::Big(value) => (layout::TAG_U64, self.scalar(value.to_le_bytes())?),
            Node::Float(value) => (layout::TAG_F64, self.scalar(value.to_le_bytes())?),
            Node::Str(index) => (layout::TAG_STR, find(strings, index)),
            Node::Array(index) => (layout::TAG_ARRAY, find(containers, index)),
            Node::Map(index) => (layout::TAG_MAP, find(containers, index)),
        };
        Ok(tag | payload << layout::TAG_BITS)
    }
}
