//! A page of objects as one contiguous buffer: count, ends, objects (see the WIT's `page`).

use std::ops::Range;

use super::{Object, Value};

/// Puts a page together.
#[derive(Default)]
pub struct PageBuilder {
    objects: Vec<Object>,
    bytes: usize,
}

impl PageBuilder {
    /// Adds an object.
    pub fn push(&mut self, object: Object) {
        self.bytes += object.as_bytes().len();
        self.objects.push(object);
    }

    /// How large the page's buffer would be now, in bytes.
    pub fn size(&self) -> usize {
        4 + 4 * self.objects.len() + self.bytes
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The page's buffer. Beyond 4 GiB, which no page reaches, ends would saturate.
    pub fn finish(self) -> Vec<u8> {
        let word = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        let mut out = Vec::with_capacity(self.size());
        out.extend_from_slice(&word(self.objects.len()));
        let mut end = 0;
        for object in &self.objects {
            end += object.as_bytes().len();
            out.extend_from_slice(&word(end));
        }
        for object in &self.objects {
            out.extend_from_slice(object.as_bytes());
        }
        out
    }
}

/// Reads a page's buffer in place.
#[derive(Clone, Copy)]
pub struct ListReader<'a> {
    ends: &'a [u8],
    objects: &'a [u8],
}

impl<'a> ListReader<'a> {
    /// Reads the head; a buffer that makes no sense is an empty page.
    pub fn new(page: &'a [u8]) -> Self {
        Self::parse(page).unwrap_or(Self { ends: &[], objects: &[] })
    }

    fn parse(page: &'a [u8]) -> Option<Self> {
        let (count, rest) = page.split_first_chunk::<4>()?;
        let (ends, objects) = rest.split_at_checked((u32::from_le_bytes(*count) as usize).checked_mul(4)?)?;
        Some(Self { ends, objects })
    }

    /// How many objects there are.
    pub fn len(self) -> usize {
        self.ends.len() / 4
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.ends.is_empty()
    }

    fn end(self, index: usize) -> Option<usize> {
        self.ends.get(index * 4..)?.first_chunk::<4>().map(|end| u32::from_le_bytes(*end) as usize)
    }

    /// Where one object is among the objects' bytes.
    fn span(self, index: usize) -> Option<Range<usize>> {
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => self.end(before)?,
        };
        Some(start..self.end(index)?)
    }

    /// The encoded bytes of one object.
    pub fn bytes(self, index: usize) -> Option<&'a [u8]> {
        self.objects.get(self.span(index)?)
    }

    /// Where one object is in the page's buffer: for a reader that keeps the buffer elsewhere.
    pub fn range(self, index: usize) -> Option<Range<usize>> {
        let head = 4 + self.ends.len();
        let span = self.span(index).filter(|span| self.objects.get(span.clone()).is_some())?;
        Some(head + span.start..head + span.end)
    }

    /// One object.
    pub fn get(self, index: usize) -> Option<Value<'a>> {
        self.bytes(index).map(Value::root)
    }

    /// All of them, in the page's order.
    pub fn iter(self) -> impl Iterator<Item = Value<'a>> {
        (0..self.len()).map_while(move |index| self.get(index))
    }
}
