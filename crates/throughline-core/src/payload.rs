//! Any value as JSON. What JSON lacks is written in the nearest way, and what can't be written is marked where it is; a
//! field that is odd leaves the others alone.

use std::fmt::{self, Display, Write};

use serde::Serialize;
use serde::ser::{self, Error as _};
use serde_json::{Error, Map, Number, Value};

/// How deep values nest, including those that leave no trace in JSON: the walk must not exhaust the stack. Redaction cuts
/// earlier.
const DEPTH: usize = 128;
const TOO_DEEP: &str = "[cut: nested too deep]";
/// What the structs begin with that stand for JSON within JSON, if serde_json has been built to keep any number or text.
const VERBATIM: &str = "$serde_json::private::";

/// A value as the JSON that events keep of it, as input, output or other payload.
///
/// Unlike [`serde_json::to_value`] this always succeeds. A part that refuses to be serialised becomes a text that says so.
/// Integers of more than 64 bits become a text of their digits, `NaN` and the infinities their names, and keys of maps that
/// are no texts the JSON of the key.
pub fn to_payload(value: &(impl Serialize + ?Sized)) -> Value {
    payload_at(0, value)
}

fn payload_at(depth: usize, value: &(impl Serialize + ?Sized)) -> Value {
    if depth >= DEPTH {
        return TOO_DEEP.into();
    }
    value
        .serialize(Payload { depth })
        .unwrap_or_else(|error| Value::String(format!("[not serialisable: {error}]")))
}

/// Makes JSON of one value.
#[derive(Clone, Copy)]
struct Payload {
    depth: usize,
}

impl Payload {
    fn inner(self, value: &(impl Serialize + ?Sized)) -> Value {
        payload_at(self.depth + 1, value)
    }

    fn items(self, length: Option<usize>, variant: Option<&'static str>) -> Items {
        // The length is only a hint, and may be more than there is memory for.
        let items = Vec::with_capacity(length.unwrap_or(0).min(1024));
        Items { payload: self, items, variant }
    }

    fn fields(self, variant: Option<&'static str>) -> Fields {
        Fields { payload: self, fields: Map::new(), key: String::new(), variant, is_verbatim: false }
    }
}

fn float(float: f64) -> Value {
    Number::from_f64(float).map_or_else(
        || match float {
            f64::INFINITY => "Infinity".into(),
            f64::NEG_INFINITY => "-Infinity".into(),
            _ => "NaN".into(),
        },
        Value::Number,
    )
}

fn of_variant(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(variant) => Value::Object(Map::from_iter([(variant.to_owned(), value)])),
        None => value,
    }
}

impl ser::Serializer for Payload {
    type Ok = Value;
    type Error = Error;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Fields;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Fields;

    fn serialize_bool(self, value: bool) -> Result<Value, Error> {
        Ok(value.into())
    }

    fn serialize_i8(self, value: i8) -> Result<Value, Error> {
        Ok(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<Value, Error> {
        Ok(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<Value, Error> {
        Ok(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<Value, Error> {
        Ok(value.into())
    }

    fn serialize_i128(self, value: i128) -> Result<Value, Error> {
        Ok(Number::from_i128(value).map_or_else(|| value.to_string().into(), Value::Number))
    }

    fn serialize_u8(self, value: u8) -> Result<Value, Error> {
        Ok(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<Value, Error> {
        Ok(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<Value, Error> {
        Ok(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<Value, Error> {
        Ok(value.into())
    }

    fn serialize_u128(self, value: u128) -> Result<Value, Error> {
        Ok(Number::from_u128(value).map_or_else(|| value.to_string().into(), Value::Number))
    }

    fn serialize_f32(self, value: f32) -> Result<Value, Error> {
        Ok(float(value.into()))
    }

    fn serialize_f64(self, value: f64) -> Result<Value, Error> {
        Ok(float(value))
    }

    fn serialize_char(self, value: char) -> Result<Value, Error> {
        Ok(value.to_string().into())
    }

    fn serialize_str(self, value: &str) -> Result<Value, Error> {
        Ok(value.into())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Value, Error> {
        Ok(value.into())
    }

    fn serialize_none(self) -> Result<Value, Error> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Error> {
        Ok(self.inner(value))
    }

    fn serialize_unit(self) -> Result<Value, Error> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, Error> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Value, Error> {
        Ok(variant.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Value, Error> {
        Ok(self.inner(value))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Error> {
        Ok(of_variant(Some(variant), self.inner(value)))
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Items, Error> {
        Ok(self.items(length, None))
    }

    fn serialize_tuple(self, length: usize) -> Result<Items, Error> {
        Ok(self.items(Some(length), None))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Items, Error> {
        Ok(self.items(Some(length), None))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Items, Error> {
        Ok(self.items(Some(length), Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Fields, Error> {
        Ok(self.fields(None))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Fields, Error> {
        Ok(Fields { is_verbatim: name.starts_with(VERBATIM), ..self.fields(None) })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields, Error> {
        Ok(self.fields(Some(variant)))
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<Value, Error> {
        let mut text = String::new();
        write!(text, "{value}").map_err(|fmt::Error| Error::custom("it has no text"))?;
        Ok(text.into())
    }
}

/// Makes an array, item by item.
struct Items {
    payload: Payload,
    items: Vec<Value>,
    variant: Option<&'static str>,
}

impl Items {
    fn add(&mut self, value: &(impl Serialize + ?Sized)) {
        self.items.push(self.payload.inner(value));
    }

    fn done(self) -> Value {
        of_variant(self.variant, self.items.into())
    }
}

impl ser::SerializeSeq for Items {
    type Ok = Value;
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.add(value);
        Ok(())
    }

    fn end(self) -> Result<Value, Error> {
        Ok(self.done())
    }
}

impl ser::SerializeTuple for Items {
    type Ok = Value;
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.add(value);
        Ok(())
    }

    fn end(self) -> Result<Value, Error> {
        Ok(self.done())
    }
}

impl ser::SerializeTupleStruct for Items {
    type Ok = Value;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.add(value);
        Ok(())
    }

    fn end(self) -> Result<Value, Error> {
        Ok(self.done())
    }
}

impl ser::SerializeTupleVariant for Items {
    type Ok = Value;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.add(value);
        Ok(())
    }

    fn end(self) -> Result<Value, Error> {
        Ok(self.done())
    }
}

/// Makes an object, field by field.
struct Fields {
    payload: Payload,
    fields: Map<String, Value>,
    /// The key of a map whose value is still to come.
    key: String,
    variant: Option<&'static str>,
    /// Whether its one field has the JSON that it stands for.
    is_verbatim: bool,
}

impl Fields {
    fn done(self) -> Value {
        of_variant(self.variant, self.fields.into())
    }
}

impl ser::SerializeMap for Fields {
    type Ok = Value;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key = match self.payload.inner(key) {
            Value::String(key) => key,
            key => key.to_string(),
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let key = std::mem::take(&mut self.key);
        let mut unique = key.clone();
        // Keys that differ may have the same text.
        for count in 2.. {
            if !self.fields.contains_key(&unique) {
                break;
            }
            unique = format!("{key} ({count})");
        }
        self.fields.insert(unique, self.payload.inner(value));
        Ok(())
    }

    fn end(self) -> Result<Value, Error> {
        Ok(self.done())
    }
}

impl ser::SerializeStruct for Fields {
    type Ok = Value;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.fields.insert(key.to_owned(), self.payload.inner(value));
        Ok(())
    }

    fn end(self) -> Result<Value, Error> {
        match self.fields.values().next() {
            Some(Value::String(json)) if self.is_verbatim => serde_json::from_str(json),
            _ => Ok(self.done()),
        }
    }
}

impl ser::SerializeStructVariant for Fields {
    type Ok = Value;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.fields.insert(key.to_owned(), self.payload.inner(value));
        Ok(())
    }

    fn end(self) -> Result<Value, Error> {
        Ok(self.done())
    }
}

#[cfg(test)]
mod tests;
