//! What stands around every stored value: of which kind it is and in which version, so that a later program reads what
//! an earlier one wrote, and no program takes one record for another.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// A type of stored value. Implemented where all kinds are listed, so that each has its kept examples.
pub trait StoredKind: Serialize + DeserializeOwned {
    /// Its name in the envelope; never changes.
    const KIND: &'static str;
    /// The version that this program writes.
    const VERSION: u32;

    /// Turns the data of version `from` into that of version `from + 1`. Called once a step, oldest first.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong with the old data.
    fn upgrade(from: u32, data: serde_json::Value) -> Result<serde_json::Value, String>;
}

/// A stored value that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// It is no JSON, or not of the shape that its kind has.
    #[error("the record is not readable as {kind:?}")]
    Json {
        /// The kind that was expected.
        kind: &'static str,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// Something else is stored there.
    #[error("the record is of kind {found:?} where {expected:?} belongs")]
    Kind {
        /// The kind that is there.
        found: String,
        /// The kind that was expected.
        expected: &'static str,
    },
    /// A newer program wrote it.
    #[error("the record is {kind:?} in version {found}; the newest that this program reads is {newest}")]
    TooNew {
        /// Its kind.
        kind: &'static str,
        /// Its version.
        found: u32,
        /// The version that this program writes.
        newest: u32,
    },
    /// An older record cannot be brought to the present version.
    #[error("the record, {kind:?} in version {from}, cannot be upgraded: {reason}")]
    Upgrade {
        /// Its kind.
        kind: &'static str,
        /// The version at which it failed.
        from: u32,
        /// Why.
        reason: String,
    },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    kind: std::borrow::Cow<'a, str>,
    v: u32,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Reads a value out of its envelope.
///
/// # Errors
///
/// See [`EnvelopeError`]; nothing is guessed.
pub fn open<T: StoredKind>(bytes: &[u8]) -> Result<T, EnvelopeError> {
    let json = |source| EnvelopeError::Json { kind: T::KIND, source };
    // Nearly all records are as this program writes them. A parser that looks for the members first would read the data
    // twice, and lists of a thousand records would take twice as long.
    if let Some(data) = present_data::<T>(bytes) {
        return serde_json::from_slice(data).map_err(json);
    }
    let Envelope { kind, v, data } = serde_json::from_slice(bytes).map_err(json)?;
    if kind != T::KIND {
        return Err(EnvelopeError::Kind { found: kind.into_owned(), expected: T::KIND });
    }
    if v == T::VERSION {
        return serde_json::from_str(data.get()).map_err(json);
    }
    if v > T::VERSION {
        return Err(EnvelopeError::TooNew { kind: T::KIND, found: v, newest: T::VERSION });
    }
    let mut value: serde_json::Value = serde_json::from_str(data.get()).map_err(json)?;
    for from in v..T::VERSION {
        value = T::upgrade(from, value).map_err(|reason| EnvelopeError::Upgrade {
            kind: T::KIND,
            from,
            reason,
        })?;
    }
    serde_json::from_value(value).map_err(json)
}

/// Puts a value into its envelope.
///
/// # Errors
///
/// [`EnvelopeError::Json`] for a value that JSON cannot hold.
pub fn seal<T: StoredKind>(value: &T) -> Result<Vec<u8>, EnvelopeError> {
    let mut bytes = head::<T>().into_bytes();
    serde_json::to_writer(&mut bytes, value)
        .map_err(|source| EnvelopeError::Json { kind: T::KIND, source })?;
    bytes.push(b'}');
    Ok(bytes)
}

/// The data of a record that is as [`seal`] writes it now.
fn present_data<T: StoredKind>(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(br#"{"kind":""#)?.strip_prefix(T::KIND.as_bytes())?;
    let rest = rest.strip_prefix(br#"","v":"#)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let version: u32 = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    let data = rest[digits..].strip_prefix(br#","data":"#)?.strip_suffix(b"}")?;
    (version == T::VERSION).then_some(data)
}

/// What stands in front of the data of a value that is written now.
fn head<T: StoredKind>() -> String {
    format!(r#"{{"kind":"{}","v":{},"data":"#, T::KIND, T::VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Third {
        names: Vec<String>,
    }

    impl StoredKind for Third {
        const KIND: &'static str = "third";
        const VERSION: u32 = 3;

        fn upgrade(from: u32, mut data: serde_json::Value) -> Result<serde_json::Value, String> {
            let map = data.as_object_mut().ok_or("no object")?;
            match from {
                1 => drop(map.remove("name").and_then(|name| map.insert("first".to_owned(), name))),
                2 => {
                    let first = map.remove("first").ok_or("no first name")?;
                    map.insert("names".to_owned(), serde_json::json!([first]));
                }
                other => return Err(format!("version {other} never was")),
            }
            Ok(data)
        }
    }

    #[test]
    fn old_versions_are_upgraded_step_by_step() {
        let third = Third { names: vec!["a".to_owned()] };
        for old in [
            r#"{"kind":"third","v":1,"data":{"name":"a"}}"#,
            r#"{"kind":"third","v":2,"data":{"first":"a"}}"#,
            r#"{"kind":"third","v":3,"data":{"names":["a"]}}"#,
        ] {
            assert_eq!(open::<Third>(old.as_bytes()).unwrap(), third, "{old}");
        }
        assert_eq!(open::<Third>(&seal(&third).unwrap()).unwrap(), third);
    }

    #[test]
    fn what_is_not_ours_to_read_is_refused() {
        let error = |text: &str| open::<Third>(text.as_bytes()).unwrap_err().to_string();
        assert!(error(r#"{"kind":"first","v":3,"data":{"names":[]}}"#).contains("of kind \"first\""));
        assert!(error(r#"{"kind":"third","v":4,"data":{"names":[]}}"#).contains("version 4"));
        assert!(error(r#"{"kind":"third","v":2,"data":{}}"#).contains("no first name"));
        assert!(error(r#"{"kind":"third","v":0,"data":{}}"#).contains("never was"));
        assert!(error(r#"{"v":3,"data":{"names":[]}}"#).contains("not readable"));
        assert!(error(r#"{"kind":"third","v":3,"data":{}}"#).contains("not readable"));
    }
}
