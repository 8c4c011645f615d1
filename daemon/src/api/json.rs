//! JSON as a request may hold it: no name twice, no more of anything than a request can mean.

use std::{cell::Cell, fmt};

use deis_core::model::shown;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Most members of one object, and elements of one list.
const MAX_ENTRIES: usize = 1000;
/// Most values in all: each costs far more in memory than the two bytes that it may have as text.
const MAX_VALUES: usize = 20_000;
/// Most objects and lists inside each other.
const MAX_DEPTH: usize = 64;
/// Longest name of a member, in bytes.
const MAX_NAME: usize = 1024;

/// Parses a text.
///
/// # Errors
///
/// What is wrong and where, as the parser says it; also where a name stands twice, which parsers elsewhere take in
/// silence.
pub(super) fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth: 0, values: &Cell::new(0) }.deserialize(&mut parser).map_err(plain)?;
    parser.end()?;
    Ok(value)
}

/// The parser takes one half of a surrogate pair for an escape that is cut short, and speaks of `hex`.
fn plain(error: serde_json::Error) -> serde_json::Error {
    if !error.to_string().contains("hex escape") {
        return error;
    }
    let (line, column) = (error.line(), error.column());
    serde_json::Error::custom(format!(
        "a \\u escape is one half of a surrogate pair without the other, at line {line} column {column}"
    ))
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    values: &'a Cell<usize>,
}

impl Strict<'_> {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > MAX_DEPTH {
            return Err(E::custom(format!("it is nested more than {MAX_DEPTH} deep")));
        }
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Value, D::Error> {
        self.values.set(self.values.get() + 1);
        if self.values.get() > MAX_VALUES {
            return Err(D::Error::custom(format!("it has more than {MAX_VALUES} values")));
        }
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = self.inner::<A::Error>()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inner)? {
            if values.len() == MAX_ENTRIES {
                return Err(A::Error::custom(format!("a list has more than {MAX_ENTRIES} elements")));
            }
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let inner = self.inner::<A::Error>()?;
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            if members.len() == MAX_ENTRIES {
                return Err(A::Error::custom(format!("an object has more than {MAX_ENTRIES} members")));
            }
            if name.len() > MAX_NAME {
                let text = format!("the name \"{}\" is longer than {MAX_NAME} bytes", shown(&name));
                return Err(A::Error::custom(text));
            }
            if members.contains_key(&name) {
                return Err(A::Error::custom(format!("duplicate key \"{}\"", shown(&name))));
            }
            let value = object.next_value_seed(inner)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_other_parsers_make_of_them() {
        for text in [
            r#"{"a":[1,-2,3.5,1e3,true,null,"ü\n"],"b":{}}"#,
            "18446744073709551615",
            "123456789012345678901234567890",
            r#""\ud83d\ude00""#,
            " [ ] ",
        ] {
            assert_eq!(
                parse(text.as_bytes()).unwrap(),
                serde_json::from_str::<Value>(text).unwrap(),
                "{text}"
            );
        }
    }

    #[test]
    fn what_says_too_much_is_refused_with_a_reason() {
        let object = |n: usize| {
            let members: Vec<String> = (0..n).map(|i| format!("\"k{i}\":1")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(parse(object(1000).as_bytes()).is_ok());
        let list = format!("[{}1]", "1,".repeat(1000));
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(deep(64).as_bytes()).is_ok());
        let many = format!("[{}[]]", format!("[{}1],", "1,".repeat(999)).repeat(20));
        let long = format!("{{\"{}\":1}}", "k".repeat(2000));
        for (text, reason) in [
            (r#"{"web":1,"web":100}"#, "duplicate key \"web\""),
            (r#"{"a":{"b":1,"\u0062":2}}"#, "duplicate key \"b\""),
            (&object(1001), "more than 1000 members"),
            (&list, "more than 1000 elements"),
            (&many, "more than 20000 values"),
            (&deep(65), "nested more than 64 deep"),
            (&deep(100_000), "nested more than 64 deep"),
            (&long, "longer than 1024 bytes"),
            ("{} x", "trailing characters"),
            ("{", "EOF"),
            ("\u{feff}{}", "expected value"),
            (r#""\ud800""#, "one half of a surrogate pair"),
            (r#"{"a":"\udc00"}"#, "one half of a surrogate pair"),
            ("1e400", "out of range"),
            ("NaN", "expected value"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason) && error.len() < 400, "{error}");
        }
        assert!(parse(b"\"\xff\"").is_err());
    }
}
