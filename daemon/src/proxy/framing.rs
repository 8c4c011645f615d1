//! Where messages end: whatever two parsers could read differently is refused.

use http::{HeaderMap, header};

/// Whether a request's body ends at one place only. The parser has refused lengths that are none and codings that do
/// not end with `chunked`; `has_length` says whether it dropped a length in favour of a coding.
pub(super) fn is_plain_request(headers: &HeaderMap, has_length: bool) -> bool {
    // A second coding, another spelling, or a length beside a coding: some parser takes each for another end (RFC 9112,
    // 6.3 and 11.2).
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding == "chunked" && !has_length,
        (Some(_), Some(_)) => false,
    }
}

/// Whether an app's answer ends at one place only.
pub(super) fn is_plain_answer(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let coding = (codings.next(), codings.next());
    let length = (lengths.next(), lengths.next());
    match (coding, length) {
        // A list of lengths has one end only if all members are the same, which not every client looks at.
        ((None, _), (Some(length), None)) => length.as_bytes().iter().all(u8::is_ascii_digit),
        ((None, _), (None, _)) => true,
        // Apps are less exact in their spelling than attackers are, and nobody stands between the app and us.
        ((Some(coding), None), (None, _)) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}
