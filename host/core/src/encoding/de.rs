//! Typed structs from encoded bytes, by serde: strings are borrowed, nothing is copied twice.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    self, DeserializeOwned, Deserializer, EnumAccess, IntoDeserializer, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::{Object, Value};

/// A field was missing or not of the type that the struct wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

impl de::Error for DecodeError {
    fn custom<T: std::fmt::Display>(msg: T) -> Self {
        Self(msg.to_string())
    }
}

impl Object {
    /// Makes a typed struct of the object.
    ///
    /// # Errors
    /// If a field that the type requires is missing or of another type.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        T::deserialize(self.value())
    }
}

impl<'de> Value<'de> {
    /// Makes a typed struct of the value; strings may be borrowed.
    ///
    /// # Errors
    /// If a field that the type requires is missing or of another type.
    pub fn to<T: de::Deserialize<'de>>(self) -> Result<T, DecodeError> {
        T::deserialize(self)
    }

    fn unexpected(self) -> Unexpected<'de> {
        if let Some(text) = self.as_str() {
            Unexpected::Str(text)
        } else if self.is_object() {
            Unexpected::Map
        } else if self.is_array() {
            Unexpected::Seq
        } else if let Some(value) = self.as_bool() {
            Unexpected::Bool(value)
        } else if let Some(value) = self.as_float() {
            Unexpected::Float(value)
        } else if let Some(value) = self.as_i64() {
            Unexpected::Signed(value)
        } else if let Some(value) = self.as_u64() {
            Unexpected::Unsigned(value)
        } else {
            Unexpected::Unit
        }
    }
}

impl<'de> IntoDeserializer<'de, DecodeError> for Value<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if let Some(text) = self.as_str() {
            visitor.visit_borrowed_str(text)
        } else if self.is_object() {
            let mut map = MapDeserializer::new(self.entries());
            let value = visitor.visit_map(&mut map)?;
            map.end()?;
            Ok(value)
        } else if self.is_array() {
            let mut seq = SeqDeserializer::new(self.items());
            let value = visitor.visit_seq(&mut seq)?;
            seq.end()?;
            Ok(value)
        } else if let Some(value) = self.as_bool() {
            visitor.visit_bool(value)
        } else if let Some(value) = self.as_float() {
            visitor.visit_f64(value)
        } else if let Some(value) = self.as_u64() {
            visitor.visit_u64(value)
        } else if let Some(value) = self.as_i64() {
            visitor.visit_i64(value)
        } else {
            visitor.visit_unit()
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if let Some(variant) = self.as_str() {
            return visitor.visit_enum(Variant { name: variant, value: None });
        }
        let mut entries = self.entries();
        match (entries.next(), entries.next()) {
            (Some((name, value)), None) => visitor.visit_enum(Variant { name, value: Some(value) }),
            _ => Err(de::Error::invalid_type(self.unexpected(), &"a string or an object with one field")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier
    }
}

/// An externally tagged enum: its variant's name, and what is in it.
struct Variant<'de> {
    name: &'de str,
    value: Option<Value<'de>>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), DecodeError> {
        let name: de::value::BorrowedStrDeserializer<'de, DecodeError> =
            de::value::BorrowedStrDeserializer::new(self.name);
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> Variant<'de> {
    fn content(self) -> Result<Value<'de>, DecodeError> {
        self.value.ok_or_else(|| de::Error::invalid_type(Unexpected::UnitVariant, &"a variant with content"))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        match self.value {
            None => Ok(()),
            Some(value) => Err(de::Error::invalid_type(value.unexpected(), &"a variant without content")),
        }
    }

    fn newtype_variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, DecodeError> {
        seed.deserialize(self.content()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.content()?.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.content()?.deserialize_any(visitor)
    }
}
