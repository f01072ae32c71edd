//! Requests that could not be read: nothing is decided about them, but they leave a line, a count, and an answer of ours.

use std::rc::Rc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use portcullis_model::Reason;

use super::answer::Answer;
use super::exchange::Exchange;
use super::response_fields::ResponseFields;
use crate::respond;
use crate::server::ClientConnection;

/// A request that was refused before it could be read: it leaves a line and a count.
pub(crate) fn note_unread(connection: &Rc<ClientConnection>, status: StatusCode, reason: Reason) {
    let worker = connection.worker();
    let table = worker.table();
    let settings = table.settings();
    let began = connection.request_began(&settings.client, false);
    let mut exchange = Exchange::begin(connection, worker.log_format(settings), began);
    exchange.note_unread_request();
    exchange.note_reason(reason);
    exchange.note_response(status, &HeaderMap::new());
}

/// The answer to such a request as HTTP/1.1 writes it. The connection ends with it.
pub(crate) fn refuse_unread(connection: &Rc<ClientConnection>, answer: &Answer) -> Vec<u8> {
    let table = connection.worker().table();
    let page = respond::page(answer.status, answer.reason);
    let mut headers = HeaderMap::with_capacity(8);
    if let Ok(date) = HeaderValue::try_from(jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()) {
        headers.insert(header::DATE, date);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(respond::CONTENT_TYPE));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(page.len()));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // What `add-headers` says of a request cannot be said of one that was not read.
    ResponseFields { settings: table.settings(), hsts: false, policy: None, added: &[] }.decorate(&mut headers);
    let mut octets = format!("HTTP/1.1 {}\r\n", answer.status).into_bytes();
    for (name, value) in &headers {
        octets.extend_from_slice(name.as_str().as_bytes());
        octets.extend_from_slice(b": ");
        octets.extend_from_slice(value.as_bytes());
        octets.extend_from_slice(b"\r\n");
    }
    octets.extend_from_slice(b"\r\n");
    octets.extend_from_slice(&page);
    octets
}
