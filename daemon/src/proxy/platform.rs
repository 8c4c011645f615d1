//! Requests for the platform's own hosts.

use axum::body::Body;
use futures_util::StreamExt as _;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use serde_json::json;
use tower_service::Service as _;

use super::{
    Asking, Bound, Shared,
    body::{StallTimeoutBody, full},
    headers::tell_client,
};
use crate::api::CODE;

/// Gives a request to the platform's handlers, with what is known of the client as an extension and as headers.
pub(super) async fn answer(
    shared: &Shared,
    asking: &Asking<'_>,
    request: Request<Incoming>,
) -> Response<Body> {
    // Known before the request is given away; a followed log is the only answer without an end.
    let is_get = request.method() == Method::GET;
    let stall = shared.options.stall_timeout;
    let mut request =
        request.map(|body| Body::new(StallTimeoutBody::new(body, stall, asking.unread.clone())));
    tell_client(request.headers_mut(), &asking.client);
    request.extensions_mut().insert(asking.client.clone());
    let response = match shared.platform.clone().call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    // Whoever only reads can ask again, and whoever follows something would be followed for ever.
    if is_get && response.body().size_hint().exact().is_none() {
        let stop = asking.stop.clone().cancelled_owned();
        return response.map(|body| Body::from_stream(body.into_data_stream().take_until(stop)));
    }
    response
}

/// Says which bound keeps a request out, in the form of the API's errors.
pub(super) fn refuse(bound: Bound) -> Response<Body> {
    let text = json!({"detail": bound.text(), "code": bound.name()}).to_string();
    let mut response = Response::new(full(text));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CODE, HeaderValue::from_static(bound.name()));
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
