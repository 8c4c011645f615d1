//! What a request says in its URL. Nothing here refuses: a segment that is no text names nothing that exists.

use std::{collections::BTreeMap, convert::Infallible};

use axum::{
    extract::{FromRequestParts, MatchedPath},
    http::request::Parts,
};
use percent_encoding::percent_decode_str;

/// The named segments of a path, decoded.
#[derive(Debug, Default)]
pub(super) struct Segments(BTreeMap<String, String>);

impl Segments {
    fn new(route: &str, path: &str) -> Self {
        let mut segments = BTreeMap::new();
        let mut parts = path.split('/');
        for place in route.split('/') {
            let name = place.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
            if let Some(name) = name.and_then(|name| name.strip_prefix('*')) {
                let rest = parts.by_ref().collect::<Vec<_>>().join("/");
                segments.insert(name.to_owned(), decode(rest.strip_suffix('/').unwrap_or(&rest)));
            } else if let (part, Some(name)) = (parts.next().unwrap_or_default(), name) {
                segments.insert(name.to_owned(), decode(part));
            }
        }
        Self(segments)
    }

    /// The segment that the route has this name for.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The same without this one.
    pub(super) fn without(&self, name: &str) -> Self {
        Self(self.0.iter().filter(|(key, _)| *key != name).map(|(k, v)| (k.clone(), v.clone())).collect())
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl<S: Send + Sync> FromRequestParts<S> for Segments {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        Ok(Self::new(route, parts.uri.path()))
    }
}

/// The members of a query; of several with one name the last one counts.
#[derive(Debug, Default)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn new(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::new(parts.uri.query().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_found_by_name() {
        let found = Segments::new("/v2/apps/{app}/pods/{type}/", "/v2/apps/a%2Db/pods/we%20b/");
        assert_eq!((found.get("app"), found.get("type")), (Some("a-b"), Some("we b")));
        assert_eq!(found.get("name"), None);
        let broken = Segments::new("/v2/apps/{app}", "/v2/apps/%ff");
        assert_eq!(broken.get("app"), Some("\u{fffd}"));
    }

    #[test]
    fn the_rest_of_a_path_keeps_its_slashes_but_one_at_its_end() {
        let id = |path: &str| Segments::new("/v2/keys/{*id}", path).get("id").map(str::to_owned);
        assert_eq!(id("/v2/keys/a/b.c").as_deref(), Some("a/b.c"));
        assert_eq!(id("/v2/keys/a%2Fb.c").as_deref(), Some("a/b.c"));
        assert_eq!(id("/v2/keys/k1/").as_deref(), Some("k1"));
        assert_eq!(id("/v2/keys/k1%2F").as_deref(), Some("k1/"));
    }

    #[test]
    fn the_last_of_a_query_counts() {
        let query = Query::new("limit=1&offset=a+b&limit=2&bad=%ff");
        assert_eq!((query.get("limit"), query.get("offset")), (Some("2"), Some("a b")));
    }
}
