//! Takes a variant of an enum apart as it is written: its name, and what it holds as JSON.

use serde::ser::{Impossible, SerializeStructVariant, SerializeTupleVariant, Serializer};
use serde::{Serialize, ser};

use crate::event::EncodeError;

/// A variant in serde's default form: its name, and what it holds as JSON (`null` for nothing).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tagged {
    pub(crate) name: &'static str,
    pub(crate) contents: Vec<u8>,
}

impl Tagged {
    /// The variant that `value` is.
    pub(crate) fn of<T: Serialize>(value: &T) -> Result<Self, EncodeError> {
        value.serialize(Writer)
    }
}

/// Takes variants and nothing else.
struct Writer;

/// What a variant with several fields holds, as far as it is written.
struct Fields {
    name: &'static str,
    contents: Vec<u8>,
    end: u8,
}

impl Fields {
    fn begin(name: &'static str, [begin, end]: [u8; 2]) -> Self {
        Self {
            name,
            contents: vec![begin],
            end,
        }
    }

    /// Puts a comma behind the field before this one.
    fn next(&mut self) {
        if self.contents.len() > 1 {
            self.contents.push(b',');
        }
    }

    fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        serde_json::to_writer(&mut self.contents, value).map_err(EncodeError::Json)
    }

    fn finish(mut self) -> Tagged {
        self.contents.push(self.end);
        Tagged {
            name: self.name,
            contents: self.contents,
        }
    }
}

impl SerializeTupleVariant for Fields {
    type Ok = Tagged;
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.next();
        self.write(value)
    }

    fn end(self) -> Result<Tagged, EncodeError> {
        Ok(self.finish())
    }
}

impl SerializeStructVariant for Fields {
    type Ok = Tagged;
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.next();
        self.write(key)?;
        self.contents.push(b':');
        self.write(value)
    }

    fn end(self) -> Result<Tagged, EncodeError> {
        Ok(self.finish())
    }
}

impl ser::Error for EncodeError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Json(ser::Error::custom(message))
    }
}

/// Methods for what is no variant.
macro_rules! refuse {
    ($($method:ident($($of:ty),*) -> $kind:ty;)*) => {
        $(fn $method(self, $(_: $of),*) -> Result<$kind, EncodeError> {
            Err(EncodeError::NotAVariant)
        })*
    };
}

type Never = Impossible<Tagged, EncodeError>;

impl Serializer for Writer {
    type Ok = Tagged;
    type Error = EncodeError;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Fields;
    type SerializeMap = Never;
    type SerializeStruct = Never;
    type SerializeStructVariant = Fields;

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
    ) -> Result<Tagged, EncodeError> {
        let contents = b"null".to_vec();
        Ok(Tagged { name, contents })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<Tagged, EncodeError> {
        let contents = serde_json::to_vec(value).map_err(EncodeError::Json)?;
        Ok(Tagged { name, contents })
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Fields, EncodeError> {
        Ok(Fields::begin(name, *b"[]"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Fields, EncodeError> {
        Ok(Fields::begin(name, *b"{}"))
    }

    /// A type around an enum is written as the enum.
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Tagged, EncodeError> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Tagged, EncodeError> {
        Err(EncodeError::NotAVariant)
    }

    refuse! {
        serialize_bool(bool) -> Tagged;
        serialize_i8(i8) -> Tagged;
        serialize_i16(i16) -> Tagged;
        serialize_i32(i32) -> Tagged;
        serialize_i64(i64) -> Tagged;
        serialize_u8(u8) -> Tagged;
        serialize_u16(u16) -> Tagged;
        serialize_u32(u32) -> Tagged;
        serialize_u64(u64) -> Tagged;
        serialize_f32(f32) -> Tagged;
        serialize_f64(f64) -> Tagged;
        serialize_char(char) -> Tagged;
        serialize_str(&str) -> Tagged;
        serialize_bytes(&[u8]) -> Tagged;
        serialize_none() -> Tagged;
        serialize_unit() -> Tagged;
        serialize_unit_struct(&'static str) -> Tagged;
        serialize_seq(Option<usize>) -> Never;
        serialize_tuple(usize) -> Never;
        serialize_tuple_struct(&'static str, usize) -> Never;
        serialize_map(Option<usize>) -> Never;
        serialize_struct(&'static str, usize) -> Never;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Serialize)]
    enum Every {
        Unit,
        #[serde(rename = "an\"other")]
        Newtype(Vec<String>),
        Tuple(u8, Option<String>, ()),
        Empty(),
        Struct {
            #[serde(rename = "k\n")]
            key: BTreeMap<String, i64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            none: Option<u8>,
            nested: Box<Self>,
        },
        Nothing {},
    }

    #[derive(Serialize)]
    struct Around(Every);

    fn every() -> impl Strategy<Value = Every> {
        let leaf = prop_oneof![
            Just(Every::Unit),
            Just(Every::Empty()),
            Just(Every::Nothing {}),
            prop::collection::vec(any::<String>(), 0..3).prop_map(Every::Newtype),
            (any::<u8>(), any::<Option<String>>()).prop_map(|(number, text)| Every::Tuple(
                number,
                text,
                ()
            )),
        ];
        leaf.prop_recursive(3, 8, 1, |nested| {
            let key = prop::collection::btree_map(any::<String>(), any::<i64>(), 0..3);
            (key, any::<Option<u8>>(), nested).prop_map(|(key, none, nested)| Every::Struct {
                key,
                none,
                nested: Box::new(nested),
            })
        })
    }

    proptest! {
        /// The two parts are those of what serde writes by default, byte for byte.
        #[test]
        fn a_variant_is_written_as_serde_writes_it(event in every()) {
            let whole = serde_json::to_string(&event).unwrap();
            let Tagged { name, contents } = Tagged::of(&event).unwrap();
            let name = serde_json::to_string(name).unwrap();
            let contents = String::from_utf8(contents).unwrap();
            if whole.starts_with('"') {
                prop_assert_eq!((whole, "null"), (name, contents.as_str()));
            } else {
                prop_assert_eq!(whole, format!("{{{name}:{contents}}}"));
            }
            prop_assert_eq!(Tagged::of(&event).unwrap(), Tagged::of(&Around(event)).unwrap());
        }
    }

    #[test]
    fn what_is_no_variant_is_refused() {
        let one = BTreeMap::from([("Key", 1)]);
        assert!(matches!(Tagged::of(&one), Err(EncodeError::NotAVariant)));
        assert!(matches!(Tagged::of(&"Unit"), Err(EncodeError::NotAVariant)));
        assert!(matches!(
            Tagged::of(&Some(Every::Unit)),
            Err(EncodeError::NotAVariant)
        ));
    }

    #[test]
    fn what_cannot_be_json_is_told_as_such() {
        let keys = BTreeMap::from([(vec![1], 1)]);
        #[derive(Serialize)]
        enum Wrong {
            Keys(BTreeMap<Vec<i32>, i32>),
        }
        let told = Tagged::of(&Wrong::Keys(keys));
        assert!(matches!(told, Err(EncodeError::Json(_))), "{told:?}");
    }
}
