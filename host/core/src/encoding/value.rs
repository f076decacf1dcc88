//! Reading in place.

use std::cmp::Ordering;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::layout::{self, Width};

/// A value inside an encoded buffer: 24 bytes, copied freely, nothing parsed.
///
/// No method panics, on any bytes; where a buffer makes no sense, it reads as `null` or as absent.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    bytes: &'a [u8],
    slot: u32,
    width: Width,
}

/// A container's slots.
#[derive(Clone, Copy)]
struct Slots<'a> {
    /// The whole buffer, cut off where this container starts: what is inside points before it.
    bytes: &'a [u8],
    /// The slots alone.
    slots: &'a [u8],
    width: Width,
}

impl<'a> Value<'a> {
    /// The root of a buffer.
    pub fn root(bytes: &'a [u8]) -> Self {
        const NULL: Value<'static> = Value { bytes: &[], slot: layout::TAG_CONST, width: Width::Narrow };
        let width = match bytes {
            [layout::MAGIC, 2, ..] => Width::Narrow,
            [layout::MAGIC, 4, ..] => Width::Wide,
            _ => return NULL,
        };
        let Some(at) = bytes.len().checked_sub(width.bytes()) else { return NULL };
        let Some((body, slot)) = bytes.split_at_checked(at) else { return NULL };
        Self { bytes: body, slot: read_slot(slot, 0, width).unwrap_or(layout::TAG_CONST), width }
    }

    #[inline]
    fn tag(self) -> u32 {
        self.slot & ((1 << layout::TAG_BITS) - 1)
    }

    #[inline]
    fn payload(self) -> u32 {
        self.slot >> layout::TAG_BITS
    }

    #[inline]
    fn offset(self) -> usize {
        self.payload() as usize * layout::UNIT
    }

    fn scalar(self) -> Option<[u8; 8]> {
        self.bytes.get(self.offset()..)?.first_chunk::<8>().copied()
    }

    fn slots(self, per_entry: usize) -> Option<Slots<'a>> {
        let (bytes, _) = self.bytes.split_at_checked(self.offset())?;
        let (count, at) = layout::get_leb(self.bytes, self.offset())?;
        let len = count.checked_mul(per_entry * self.width.bytes())?;
        let slots = self.bytes.get(at..at.checked_add(len)?)?;
        Some(Slots { bytes, slots, width: self.width })
    }

    fn array(self) -> Option<Slots<'a>> {
        if self.tag() == layout::TAG_ARRAY { self.slots(1) } else { None }
    }

    fn map(self) -> Option<Slots<'a>> {
        if self.tag() == layout::TAG_MAP { self.slots(2) } else { None }
    }

    /// Whether it is JSON's `null`.
    pub fn is_null(self) -> bool {
        self.slot == layout::TAG_CONST
    }

    /// A boolean.
    pub fn as_bool(self) -> Option<bool> {
        match (self.tag(), self.payload()) {
            (layout::TAG_CONST, 1) => Some(false),
            (layout::TAG_CONST, 2) => Some(true),
            _ => None,
        }
    }

    /// An integer that fits.
    pub fn as_i64(self) -> Option<i64> {
        match self.tag() {
            layout::TAG_INT => {
                let unused = 32 - self.width.payload_bits();
                Some(i64::from((self.payload() << unused) as i32 >> unused))
            }
            layout::TAG_I64 => self.scalar().map(i64::from_le_bytes),
            _ => None,
        }
    }

    /// An integer that is not negative.
    pub fn as_u64(self) -> Option<u64> {
        match self.tag() {
            layout::TAG_U64 => self.scalar().map(u64::from_le_bytes),
            _ => self.as_i64().and_then(|n| u64::try_from(n).ok()),
        }
    }

    /// Any number.
    pub fn as_f64(self) -> Option<f64> {
        match self.tag() {
            layout::TAG_F64 => self.scalar().map(f64::from_le_bytes),
            layout::TAG_U64 => self.as_u64().map(|n| n as f64),
            _ => self.as_i64().map(|n| n as f64),
        }
    }

    /// A float that was written as one (`1.0`, not `1`).
    pub(super) fn as_float(self) -> Option<f64> {
        if self.tag() == layout::TAG_F64 { self.as_f64() } else { None }
    }

    /// A string.
    pub fn as_str(self) -> Option<&'a str> {
        if self.tag() == layout::TAG_STR {
            // The encoder wrote it from a `&str`; the check is what bytes from elsewhere cost.
            std::str::from_utf8(read_bytes(self.bytes, self.offset())?).ok()
        } else {
            None
        }
    }

    /// Whether it is an array.
    pub fn is_array(self) -> bool {
        self.tag() == layout::TAG_ARRAY
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.tag() == layout::TAG_MAP
    }

    /// An object's field: a binary search. `None` if absent; JSON's `null` is present.
    pub fn get(self, field: &str) -> Option<Value<'a>> {
        let map = self.map()?;
        let (mut low, mut high) = (0, map.len() / 2);
        while low < high {
            let mid = low.midpoint(high);
            match map.key(mid)?.cmp(field.as_bytes()) {
                Ordering::Equal => return map.value(2 * mid + 1),
                Ordering::Less => low = mid + 1,
                Ordering::Greater => high = mid,
            }
        }
        None
    }

    /// A field of a field of a field: `at(&["spec", "nodeName"])`.
    pub fn at(self, fields: &[&str]) -> Option<Value<'a>> {
        fields.iter().try_fold(self, |value, field| value.get(field))
    }

    /// An array's item.
    pub fn index(self, index: usize) -> Option<Value<'a>> {
        self.array()?.value(index)
    }

    /// An array's items; none of anything else.
    pub fn items(self) -> Items<'a> {
        Items { slots: self.array(), next: 0 }
    }

    /// An object's fields in the order of their names' bytes; none of anything else.
    pub fn entries(self) -> Entries<'a> {
        Entries { slots: self.map(), next: 0 }
    }

    /// How many items or fields there are.
    pub fn len(self) -> usize {
        self.map().map(|m| m.len() / 2).or_else(|| self.array().map(|a| a.len())).unwrap_or(0)
    }

    /// Whether there are no items or fields.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The value as JSON text.
    pub fn to_json(self) -> String {
        // Serialising to memory fails only for keys that are no strings, which these are.
        serde_json::to_string(&self).unwrap_or_else(|_| "null".to_owned())
    }

    /// The value as a `serde_json` tree.
    pub fn to_value(self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or(serde_json::Value::Null)
    }
}

#[inline]
fn read_slot(slots: &[u8], index: usize, width: Width) -> Option<u32> {
    match width {
        Width::Narrow => {
            slots.get(index * 2..)?.first_chunk::<2>().map(|b| u32::from(u16::from_le_bytes(*b)))
        }
        Width::Wide => slots.get(index * 4..)?.first_chunk::<4>().map(|b| u32::from_le_bytes(*b)),
    }
}

#[inline]
fn read_bytes(bytes: &[u8], offset: usize) -> Option<&[u8]> {
    let (len, at) = layout::get_leb(bytes, offset)?;
    bytes.get(at..at.checked_add(len)?)
}

impl<'a> Slots<'a> {
    fn len(self) -> usize {
        self.slots.len() / self.width.bytes()
    }

    #[inline]
    fn key(self, entry: usize) -> Option<&'a [u8]> {
        let offset = read_slot(self.slots, 2 * entry, self.width)?;
        read_bytes(self.bytes, offset as usize * layout::UNIT)
    }

    #[inline]
    fn value(self, index: usize) -> Option<Value<'a>> {
        let slot = read_slot(self.slots, index, self.width)?;
        Some(Value { bytes: self.bytes, slot, width: self.width })
    }
}

/// See [`Value::items`].
#[derive(Clone)]
pub struct Items<'a> {
    slots: Option<Slots<'a>>,
    next: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let value = self.slots?.value(self.next)?;
        self.next += 1;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.slots.map_or(0, |s| s.len() - self.next);
        (left, Some(left))
    }
}

/// See [`Value::entries`].
#[derive(Clone)]
pub struct Entries<'a> {
    slots: Option<Slots<'a>>,
    next: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let slots = self.slots?;
        let key = std::str::from_utf8(slots.key(self.next)?).ok()?;
        let value = slots.value(2 * self.next + 1)?;
        self.next += 1;
        Some((key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.slots.map_or(0, |s| s.len() / 2 - self.next);
        (left, Some(left))
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(text) = self.as_str() {
            serializer.serialize_str(text)
        } else if self.is_object() {
            let mut map = serializer.serialize_map(Some(self.len()))?;
            for (key, value) in self.entries() {
                map.serialize_entry(key, &value)?;
            }
            map.end()
        } else if self.is_array() {
            let mut seq = serializer.serialize_seq(Some(self.len()))?;
            for item in self.items() {
                seq.serialize_element(&item)?;
            }
            seq.end()
        } else if let Some(value) = self.as_bool() {
            serializer.serialize_bool(value)
        } else if let Some(value) = self.as_float() {
            serializer.serialize_f64(value)
        } else if let Some(value) = self.as_i64() {
            serializer.serialize_i64(value)
        } else if let Some(value) = self.as_u64() {
            serializer.serialize_u64(value)
        } else {
            serializer.serialize_unit()
        }
    }
}

impl PartialEq for Value<'_> {
    /// Equal as JSON: the layout (width, sharing, order of strings) does not count.
    fn eq(&self, other: &Self) -> bool {
        if self.is_object() {
            other.is_object() && self.len() == other.len() && self.entries().eq(other.entries())
        } else if self.is_array() {
            other.is_array() && self.len() == other.len() && self.items().eq(other.items())
        } else if let Some(text) = self.as_str() {
            other.as_str() == Some(text)
        } else if let Some(value) = self.as_float() {
            other.as_float() == Some(value)
        } else {
            (self.as_bool(), self.as_i64(), self.as_u64())
                == (other.as_bool(), other.as_i64(), other.as_u64())
                && self.is_null() == other.is_null()
                && other.as_str().is_none()
                && other.as_float().is_none()
                && !other.is_object()
                && !other.is_array()
        }
    }
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_json())
    }
}
