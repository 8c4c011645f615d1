//! What a request says in its body, with the leniency that existing clients rely on.

use std::collections::BTreeMap;

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderName, header},
};
use serde_json::{Map, Value, value::RawValue};

use super::{
    body::WholeBody,
    error::{ApiError, Result},
};

/// Members of a form.
const MAX_MEMBERS: usize = 1000;

/// The members of a body: of a JSON object, or of a form. An empty body has none.
#[derive(Clone, Debug, Default)]
pub(super) struct Payload {
    pub(super) members: Map<String, Value>,
    json: WholeBody,
}

impl<S: Send + Sync> FromRequest<S> for Payload {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let kind = only(request.headers(), &header::CONTENT_TYPE)?;
        let kind = kind.map(|k| k.split(';').next().unwrap_or(&k).trim().to_ascii_lowercase());
        // A few bytes that are packed could be any number.
        let coding = only(request.headers(), &header::CONTENT_ENCODING)?;
        if let Some(coding) = coding.filter(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(ApiError::MediaType(coding));
        }
        let (parts, body) = request.into_parts();
        let body = WholeBody::read(body, &parts.extensions).await?;
        if body.bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        match kind.as_deref() {
            None | Some("application/json") => Self::from_json(body),
            Some("application/x-www-form-urlencoded") => Self::from_form(&body),
            Some(other) => Err(ApiError::MediaType(other.to_owned())),
        }
    }
}

/// The value of a header that says what a body is. Two would say two things.
fn only(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>> {
    let mut values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    match (values.next(), values.next()) {
        (first, None) => Ok(first.map(std::borrow::Cow::into_owned)),
        (first, Some(second)) => Err(ApiError::MediaType(format!("{}, {second}", first.unwrap_or_default()))),
    }
}

impl Payload {
    fn from_json(json: WholeBody) -> Result<Self> {
        match super::json::parse(&json.bytes) {
            Ok(Value::Object(members)) => Ok(Self { members, json }),
            Ok(other) => {
                let text = format!("Invalid data. Expected a dictionary, but got {}.", python_type(&other));
                Err(ApiError::field("non_field_errors", text))
            }
            Err(error) => Err(ApiError::Bad(format!("JSON parse error - {error}"))),
        }
    }

    fn from_form(form: &WholeBody) -> Result<Self> {
        if form_urlencoded::parse(&form.bytes).nth(MAX_MEMBERS).is_some() {
            return Err(ApiError::Bad(format!("more than {MAX_MEMBERS} members in one form")));
        }
        let pairs = form_urlencoded::parse(&form.bytes);
        let members = pairs.map(|(key, value)| (key.into_owned(), Value::String(value.into_owned())));
        Ok(Self { members: members.collect(), json: WholeBody::default() })
    }

    /// The members of a JSON body as they were written: numbers keep all their digits.
    pub(super) fn as_written(&self) -> BTreeMap<String, Box<RawValue>> {
        serde_json::from_slice(&self.json.bytes).unwrap_or_default()
    }

    /// A text that must be there.
    pub(super) fn required(&self, field: &str) -> Result<String> {
        self.optional(field)?.ok_or_else(|| ApiError::field(field, "This field is required."))
    }

    /// A text that may be missing, but not null or blank. White space around it goes.
    pub(super) fn optional(&self, field: &str) -> Result<Option<String>> {
        if !self.members.contains_key(field) {
            return Ok(None);
        }
        Ok(Some(self.untrimmed(field)?.trim().to_owned()))
    }

    /// A text that must be there and not be blank, with the white space around it.
    pub(super) fn untrimmed(&self, field: &str) -> Result<String> {
        let value =
            self.members.get(field).ok_or_else(|| ApiError::field(field, "This field is required."))?;
        let text = text(field, value)?;
        if text.trim().is_empty() {
            return Err(ApiError::field(field, "This field may not be blank."));
        }
        Ok(text)
    }

    /// A password: taken as it is, white space too.
    pub(super) fn password(&self, field: &str) -> Result<String> {
        let value =
            self.members.get(field).ok_or_else(|| ApiError::field(field, "This field is required."))?;
        let text = text(field, value)?;
        if text.is_empty() {
            return Err(ApiError::field(field, "This field may not be blank."));
        }
        at_most(field, &text, 128)?;
        Ok(text)
    }

    /// A text that may be missing, null or empty.
    pub(super) fn lenient(&self, field: &str) -> Result<String> {
        match self.members.get(field) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(value) => Ok(text(field, value)?.trim().to_owned()),
        }
    }
}

/// Refuses a text that is too long for its field.
pub(super) fn at_most(field: &str, text: &str, characters: usize) -> Result<()> {
    if text.chars().count() <= characters {
        return Ok(());
    }
    Err(ApiError::field(field, format!("Ensure this field has no more than {characters} characters.")))
}

/// A text, or a number as one.
fn text(field: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null => Err(ApiError::field(field, "This field may not be null.")),
        _ => Err(ApiError::field(field, "Not a valid string.")),
    }
}

/// What is wrong with the fields of a request: all of it, so that a form is mended in one go.
#[derive(Debug, Default)]
pub(super) struct Wrong(BTreeMap<String, Vec<String>>);

impl Wrong {
    /// A field's value; `None` where the field is wrong, which is remembered.
    pub(super) fn take<T>(&mut self, checked: Result<T>) -> Result<Option<T>> {
        match checked {
            Ok(value) => Ok(Some(value)),
            Err(ApiError::Fields(texts)) => {
                for (field, texts) in texts {
                    self.0.entry(field).or_default().extend(texts);
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl From<Wrong> for ApiError {
    fn from(wrong: Wrong) -> Self {
        Self::Fields(wrong.0)
    }
}

fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn whole(text: &str) -> WholeBody {
        WholeBody::of(text.to_owned())
    }

    fn payload(json: &str) -> Payload {
        Payload::from_json(whole(json)).unwrap()
    }

    #[test]
    fn texts_are_taken_as_the_contract_has_them() {
        let given = payload(r#"{"n":12345,"b":"  ","list":[1],"null":null,"text":" x ","empty":""}"#);
        assert_eq!(given.required("n").unwrap(), "12345");
        assert_eq!(given.required("text").unwrap(), "x");
        assert_eq!(given.password("n").unwrap(), "12345");
        assert_eq!(given.password("b").unwrap(), "  ", "a password is not trimmed");
        assert_eq!(given.lenient("null").unwrap(), "");
        assert_eq!(given.lenient("missing").unwrap(), "");
        for (checked, text) in [
            (given.required("b"), "This field may not be blank."),
            (given.required("missing"), "This field is required."),
            (given.required("null"), "This field may not be null."),
            (given.required("list"), "Not a valid string."),
            (given.password("empty"), "This field may not be blank."),
            (given.lenient("list"), "Not a valid string."),
        ] {
            assert!(matches!(checked, Err(ApiError::Fields(f)) if f.values().eq([&[text]])), "{text}");
        }
    }

    #[test]
    fn a_body_is_said_to_be_one_thing() {
        let of = |values: &[&'static str]| {
            let values = values.iter().map(|v| (header::CONTENT_TYPE, HeaderValue::from_static(v)));
            only(&values.collect(), &header::CONTENT_TYPE)
        };
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&["text/json"]).unwrap().as_deref(), Some("text/json"));
        assert!(matches!(of(&["a/b", "c/d"]), Err(ApiError::MediaType(both)) if both == "a/b, c/d"));
    }

    #[test]
    fn forms_are_as_good_as_json() {
        let form = Payload::from_form(&whole("username=ann&password=a+b%21&username=bob")).unwrap();
        assert_eq!(form.required("username").unwrap(), "bob", "the last one wins");
        assert_eq!(form.required("password").unwrap(), "a b!");
    }

    #[test]
    fn members_keep_their_digits() {
        let given = payload(r#"{"values": {"N":123456789012345678901234567890}}"#);
        assert_eq!(given.as_written()["values"].get(), r#"{"N":123456789012345678901234567890}"#);
        assert!(!given.as_written().contains_key("other"));
    }
}
