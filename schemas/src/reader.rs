//! Reading the payload layout: each number, text and option is taken from a slice of bytes as serde asks for it.
//!
//! The layout is bincode's and is written with bincode; this reader exists because replaying a ledger is mostly
//! reading payloads. It takes about two thirds of bincode's time, never allocates on the word of a length it has not
//! checked, and refuses a number in more bytes than it needs, so that a payload that can be read is the payload that
//! would be written.

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use std::borrow::Cow;
use std::fmt;

/// The first byte of a number that takes the two bytes after it. A lower byte is the number itself.
pub(crate) const TWO_BYTES: u8 = 251;
/// The first byte of a number that takes the four bytes after it.
pub(crate) const FOUR_BYTES: u8 = 252;
/// The first byte of a number that takes the eight bytes after it.
pub(crate) const EIGHT_BYTES: u8 = 253;
/// The first byte of a number that takes the sixteen bytes after it.
pub(crate) const SIXTEEN_BYTES: u8 = 254;

/// Why bytes cannot be read, in words. Boxed, so that results stay small enough for registers.
#[derive(Debug)]
pub(crate) struct Unreadable(Box<Cow<'static, str>>);

impl Unreadable {
    #[cold]
    fn because(reason: &'static str) -> Self {
        Self(Box::new(Cow::Borrowed(reason)))
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

impl de::Error for Unreadable {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(Box::new(Cow::Owned(message.to_string())))
    }
}

/// What is left of the bytes.
pub(crate) struct Reader<'de> {
    rest: &'de [u8],
}

impl<'de> Reader<'de> {
    pub(crate) const fn new(bytes: &'de [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes nobody has asked for.
    pub(crate) const fn left(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Unreadable> {
        let (first, rest) = self.rest.split_first().ok_or_else(Self::end)?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (first, rest) = self.rest.split_first_chunk::<N>().ok_or_else(Self::end)?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'de [u8], Unreadable> {
        let length = self.length()?;
        let (first, rest) = self.rest.split_at_checked(length).ok_or_else(Self::end)?;
        self.rest = rest;
        Ok(first)
    }

    #[inline]
    fn text(&mut self) -> Result<&'de str, Unreadable> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Unreadable::because("a text is not UTF-8"))
    }

    #[inline]
    fn length(&mut self) -> Result<usize, Unreadable> {
        usize::try_from(self.number()?).map_err(|_| Self::end())
    }

    /// A length of elements. Every element takes a byte at least.
    #[inline]
    fn count(&mut self) -> Result<usize, Unreadable> {
        let count = self.length()?;
        if count > self.left() {
            return Err(Unreadable::because("a list is longer than the bytes that are left"));
        }
        Ok(count)
    }

    #[inline]
    fn number(&mut self) -> Result<u64, Unreadable> {
        let first = self.byte()?;
        if first < TWO_BYTES {
            return Ok(u64::from(first));
        }
        let (value, needed_above) = match first {
            TWO_BYTES => (u64::from(u16::from_le_bytes(self.array()?)), u64::from(TWO_BYTES) - 1),
            FOUR_BYTES => (u64::from(u32::from_le_bytes(self.array()?)), u64::from(u16::MAX)),
            EIGHT_BYTES => (u64::from_le_bytes(self.array()?), u64::from(u32::MAX)),
            _ => return Err(Self::too_large()),
        };
        if value <= needed_above {
            return Err(Self::overlong());
        }
        Ok(value)
    }

    #[inline]
    fn wide_number(&mut self) -> Result<u128, Unreadable> {
        if self.rest.first() != Some(&SIXTEEN_BYTES) {
            return self.number().map(u128::from);
        }
        self.byte()?;
        let value = u128::from_le_bytes(self.array()?);
        if value <= u128::from(u64::MAX) {
            return Err(Self::overlong());
        }
        Ok(value)
    }

    /// A signed number: 0, −1, 1, −2, 2… are written as 0, 1, 2, 3, 4…
    #[inline]
    fn signed(&mut self) -> Result<i64, Unreadable> {
        let zigzag = self.number()?;
        Ok((zigzag >> 1).cast_signed() ^ (zigzag & 1).cast_signed().wrapping_neg())
    }

    #[inline]
    fn wide_signed(&mut self) -> Result<i128, Unreadable> {
        let zigzag = self.wide_number()?;
        Ok((zigzag >> 1).cast_signed() ^ (zigzag & 1).cast_signed().wrapping_neg())
    }

    #[inline]
    fn flag(&mut self) -> Result<bool, Unreadable> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Unreadable::because("a yes or no is neither 0 nor 1")),
        }
    }

    #[cold]
    fn end() -> Unreadable {
        Unreadable::because("the bytes end too early")
    }

    #[cold]
    fn too_large() -> Unreadable {
        Unreadable::because("a number is too large for its field")
    }

    #[cold]
    fn overlong() -> Unreadable {
        Unreadable::because("a number takes more bytes than it needs")
    }
}

macro_rules! numbers {
    ($($method:ident, $visit:ident, $read:ident;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
            let value = self.$read()?;
            visitor.$visit(value.try_into().map_err(|_| Reader::too_large())?)
        }
    )*};
}

macro_rules! undescribed {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Unreadable> {
            Err(Unreadable::because("a payload does not describe itself: its type must be known"))
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Unreadable;

    fn is_human_readable(&self) -> bool {
        false
    }

    undescribed! { deserialize_any deserialize_identifier deserialize_ignored_any }

    numbers! {
        deserialize_u16, visit_u16, number;
        deserialize_u32, visit_u32, number;
        deserialize_u64, visit_u64, number;
        deserialize_u128, visit_u128, wide_number;
        deserialize_i16, visit_i16, signed;
        deserialize_i32, visit_i32, signed;
        deserialize_i64, visit_i64, signed;
        deserialize_i128, visit_i128, wide_signed;
    }

    #[inline]
    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_u8(self.byte()?)
    }

    #[inline]
    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_i8(self.byte()?.cast_signed())
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_bool(self.flag()?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_f32(f32::from_le_bytes(self.array()?))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_f64(f64::from_le_bytes(self.array()?))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        let width = match self.rest.first() {
            Some(0xf0..) => 4,
            Some(0xe0..) => 3,
            Some(0xc0..) => 2,
            _ => 1,
        };
        let (first, rest) = self.rest.split_at_checked(width).ok_or_else(Reader::end)?;
        self.rest = rest;
        let letter = std::str::from_utf8(first).ok().and_then(|text| text.chars().next());
        visitor.visit_char(letter.ok_or_else(|| Unreadable::because("a letter is not UTF-8"))?)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_borrowed_str(self.text()?)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_borrowed_str(self.text()?)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        if self.flag()? { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        let left = self.count()?;
        visitor.visit_seq(Elements { reader: self, left })
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, count: usize, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_seq(Elements { reader: self, left: count })
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_seq(Elements { reader: self, left: count })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        let left = self.count()?;
        visitor.visit_map(Elements { reader: self, left })
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_seq(Elements { reader: self, left: fields.len() })
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_enum(self)
    }
}

struct Elements<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Unreadable;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unreadable> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Elements<'_, 'de> {
    type Error = Unreadable;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Unreadable> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unreadable> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> EnumAccess<'de> for &mut Reader<'de> {
    type Error = Unreadable;
    type Variant = Self;

    #[inline]
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Unreadable> {
        let index = u32::try_from(self.number()?).map_err(|_| Reader::too_large())?;
        let variant = seed.deserialize(IntoDeserializer::<Unreadable>::into_deserializer(index))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Reader<'de> {
    type Error = Unreadable;

    #[inline]
    fn unit_variant(self) -> Result<(), Unreadable> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Unreadable> {
        seed.deserialize(self)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, count: usize, visitor: V) -> Result<V::Value, Unreadable> {
        self.deserialize_tuple(count, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        self.deserialize_tuple(fields.len(), visitor)
    }
}

#[cfg(test)]
mod tests {
    use crate::codec::{CodecError, decode, encode_unbounded};
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeMap;

    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    enum Shape {
        Unit,
        New(i16),
        Pair(u8, char),
        Fields { yes: bool, text: String },
    }

    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Marker;

    /// One of everything that serde can ask for.
    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Everything {
        unsigned: (u8, u16, u32, u64, u128),
        signed: (i8, i16, i32, i64, i128),
        floats: (f32, f64),
        letter: char,
        text: Box<str>,
        shapes: Vec<Shape>,
        map: BTreeMap<String, Option<u32>>,
        nothing: ((), Marker, Option<Box<Shape>>),
        hash: [u8; 4],
    }

    fn shapes() -> impl Strategy<Value = Shape> {
        prop_oneof![
            Just(Shape::Unit),
            any::<i16>().prop_map(Shape::New),
            any::<(u8, char)>().prop_map(|(a, b)| Shape::Pair(a, b)),
            any::<(bool, String)>().prop_map(|(yes, text)| Shape::Fields { yes, text }),
        ]
    }

    prop_compose! {
        fn everything()(
            unsigned in any::<(u8, u16, u32, u64, u128)>(), signed in any::<(i8, i16, i32, i64, i128)>(),
            floats in (-1e30f32..1e30, -1e300f64..1e300), letter in any::<char>(), text in any::<String>(),
            shapes in prop::collection::vec(shapes(), 0..4),
            map in prop::collection::btree_map(any::<String>(), any::<Option<u32>>(), 0..4),
            nothing in prop::option::of(shapes()), hash in any::<[u8; 4]>(),
        ) -> Everything {
            let nothing = ((), Marker, nothing.map(Box::new));
            Everything { unsigned, signed, floats, letter, text: text.into(), shapes, map, nothing, hash }
        }
    }

    proptest! {
        #[test]
        fn whatever_bincode_writes_is_read_back(value in everything()) {
            let bytes = encode_unbounded(&value).unwrap();
            prop_assert_eq!(decode::<Everything>(&bytes), Ok(value));
        }

        #[test]
        fn no_bytes_panic_and_what_reads_is_what_would_be_written(
            value in everything(), flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..4)
        ) {
            let mut bytes = encode_unbounded(&value).unwrap();
            for (at, bit) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            // A flip may swap or repeat the keys of a map; payloads of events have no maps.
            if let Ok(read) = decode::<Everything>(&bytes) && read.map.is_empty() {
                prop_assert_eq!(encode_unbounded(&read).unwrap(), bytes);
            }
        }

        #[test]
        fn numbers_of_every_width_read_as_they_were_written(shift in 0u32..128, low in any::<u128>()) {
            let number = (1u128 << shift) | (low & ((1 << shift) - 1));
            prop_assert_eq!(decode::<u128>(&encode_unbounded(&number).unwrap()), Ok(number));
            let signed = number.cast_signed();
            prop_assert_eq!(decode::<i128>(&encode_unbounded(&signed).unwrap()), Ok(signed));
        }
    }

    fn reason<T: for<'a> Deserialize<'a> + std::fmt::Debug>(bytes: &[u8]) -> String {
        match decode::<T>(bytes) {
            Err(CodecError::Malformed(reason)) => reason,
            other => panic!("{bytes:?} gave {other:?}"),
        }
    }

    #[test]
    fn a_number_in_more_bytes_than_it_needs_is_refused() {
        assert_eq!(decode::<u64>(&[250]), Ok(250));
        assert_eq!(decode::<u64>(&[251, 251, 0]), Ok(251));
        for overlong in [&[251, 250, 0][..], &[252, 255, 255, 0, 0], &[253, 255, 255, 255, 255, 0, 0, 0, 0]] {
            assert!(reason::<u64>(overlong).contains("more bytes than it needs"), "{overlong:?}");
        }
        let mut wide = vec![254; 17];
        wide[9..].fill(0);
        assert!(reason::<u128>(&wide).contains("more bytes than it needs"));
        assert!(reason::<u16>(&[252, 0, 0, 1, 0]).contains("too large"));
        assert!(reason::<u64>(&[255]).contains("too large"));
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused_before_anything_is_allocated() {
        let huge = [253, 255, 255, 255, 255, 255, 255, 255, 255];
        assert!(reason::<String>(&huge).contains("end too early"));
        assert!(reason::<Vec<u32>>(&huge).contains("longer than the bytes"));
        assert!(reason::<BTreeMap<u8, u8>>(&huge).contains("longer than the bytes"));
        assert!(reason::<bool>(&[2]).contains("neither 0 nor 1"));
        assert!(reason::<String>(&[1, 0xff]).contains("not UTF-8"));
        assert!(reason::<char>(&[0xff]).contains("end too early"));
        assert!(reason::<Shape>(&[4]).contains("variant"));
    }
}
