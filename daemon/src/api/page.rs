//! Lists in pages: `limit`, `offset`, and links to the pages beside this one.

use axum::{extract::FromRequestParts, http::request::Parts};
use deis_core::{PageQuery, service::Page};

use super::url::Query;
use crate::{dto::PageDto, proxy::ClientInfo};

/// The part of a list that a request asks for, and where it was asked.
#[derive(Clone, Debug)]
pub(super) struct Paging {
    query: PageQuery,
    url: String,
}

const USUAL: usize = 100;

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let query = Query::from_request_parts(parts, state).await?;
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
        let limit = number("limit").filter(|n| *n > 0).unwrap_or(USUAL);
        let url = format!("{}{}", origin(parts), parts.uri.path());
        Ok(Self { query: PageQuery { offset: number("offset").unwrap_or(0), limit }, url })
    }
}

/// Scheme, host and port as the client asked for them: only a trusted proxy can say that these are others than our own.
fn origin(parts: &Parts) -> String {
    let own = parts.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let client = parts.extensions.get::<ClientInfo>();
    client.map_or_else(|| format!("http://{own}"), |client| client.origin(own))
}

impl Paging {
    pub(super) fn query(&self) -> PageQuery {
        self.query
    }

    /// A page that the engine has cut already.
    pub(super) fn page<T, U>(&self, page: Page<T>, dto: impl FnMut(T) -> U) -> PageDto<U> {
        let PageQuery { offset, limit } = self.query;
        let link = |offset: usize| match offset {
            0 => format!("{}?limit={limit}", self.url),
            n => format!("{}?limit={limit}&offset={n}", self.url),
        };
        PageDto {
            count: page.total,
            next: Some(offset.saturating_add(limit)).filter(|next| *next < page.total).map(link),
            previous: (offset > 0).then(|| link(offset.saturating_sub(limit))),
            results: page.items.into_iter().map(dto).collect(),
        }
    }

    /// The asked-for part of a whole list.
    pub(super) fn cut<T, U>(&self, all: Vec<T>, dto: impl FnMut(T) -> U) -> PageDto<U> {
        let total = all.len();
        let items = all.into_iter().skip(self.query.offset).take(self.query.limit).collect();
        self.page(Page { items, total }, dto)
    }
}
