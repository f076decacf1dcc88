//! The constants of the buffer layout, and the one place that packs and unpacks slots.

/// First byte of every buffer: the encoding and its version.
pub(super) const MAGIC: u8 = 0xE1;
/// Bytes before the strings.
pub(super) const HEADER: usize = 2;

/// `null`, `false`, `true` by payload 0, 1, 2.
pub(super) const TAG_CONST: u32 = 0;
/// A signed integer in the payload.
pub(super) const TAG_INT: u32 = 1;
/// Offset of 8 bytes.
pub(super) const TAG_I64: u32 = 2;
/// Offset of 8 bytes, for what is above `i64::MAX`.
pub(super) const TAG_U64: u32 = 3;
/// Offset of 8 bytes.
pub(super) const TAG_F64: u32 = 4;
/// Offset of a string.
pub(super) const TAG_STR: u32 = 5;
/// Offset of an array.
pub(super) const TAG_ARRAY: u32 = 6;
/// Offset of a map.
pub(super) const TAG_MAP: u32 = 7;

pub(super) const TAG_BITS: u32 = 3;
/// Offsets are counted in units of this many bytes.
pub(super) const UNIT: usize = 2;

/// How many bytes a slot has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Width {
    Narrow,
    Wide,
}

impl Width {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Narrow => 2,
            Self::Wide => 4,
        }
    }

    /// Bits of a slot's payload.
    pub(super) const fn payload_bits(self) -> u32 {
        self.bytes() as u32 * 8 - TAG_BITS
    }

    /// One past the largest offset that a slot can hold, in bytes.
    pub(super) const fn reach(self) -> usize {
        (1usize << self.payload_bits()) * UNIT
    }

    /// Whether an integer fits a slot's payload (two's complement).
    pub(super) const fn holds(self, value: i64) -> bool {
        let half = 1i64 << (self.payload_bits() - 1);
        -half <= value && value < half
    }
}

/// Appends a LEB128 length.
pub(super) fn put_leb(out: &mut Vec<u8>, mut n: usize) {
    while n >= 0x80 {
        out.push((n as u8) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Reads a LEB128 length at `at`; the length and the offset after it.
#[inline]
pub(super) fn get_leb(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let first = *bytes.get(at)?;
    if first < 0x80 {
        return Some((first as usize, at + 1));
    }
    let mut value = usize::from(first & 0x7f);
    for i in 1..5 {
        let byte = *bytes.get(at + i)?;
        value |= usize::from(byte & 0x7f).checked_shl(7 * i as u32)?;
        if byte < 0x80 {
            return Some((value, at + i + 1));
        }
    }
    None
}
