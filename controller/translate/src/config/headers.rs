//! Keys about header fields: references to ConfigMaps, and names.

use super::key::Problem;
use super::written::Written;
use crate::ObjectKey;
use crate::annotations::response;
use crate::annotations::value::{self, Fault};

/// Syntax of a reference, for people.
pub(super) const REFERENCE: &str = "`namespace/name` of a ConfigMap";

pub(super) fn add_headers(written: &mut Written, text: &str) -> Result<(), Problem> {
    written.add_headers = reference(text)?;
    Ok(())
}

pub(super) fn proxy_set_headers(written: &mut Written, text: &str) -> Result<(), Problem> {
    written.proxy_set_headers = reference(text)?;
    Ok(())
}

fn reference(text: &str) -> Result<Option<ObjectKey>, Fault> {
    match text.trim() {
        "" => Ok(None),
        text => ObjectKey::parse(text).map(Some).ok_or(Fault::not(REFERENCE)),
    }
}

/// Names that are none are left out, as their spelling could never be that of a header.
pub(super) fn allowed(written: &mut Written, text: &str) -> Result<(), Problem> {
    let (names, others): (Vec<&str>, Vec<&str>) = value::list(text).partition(|name| is_name(name));
    written.allowed_response_headers = names.into_iter().map(str::to_owned).collect();
    match others.len() {
        0 => Ok(()),
        count => Err(super::supported::left_out("a list of names of headers", count)),
    }
}

/// Letters, digits, `-` and `_`.
pub(crate) fn is_name(text: &str) -> bool {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_".contains(&octet);
    !text.is_empty() && text.bytes().all(plain)
}

pub(super) fn cookie_domain(written: &mut Written, text: &str) -> Result<(), Problem> {
    written.response.cookie_domain = response::cookie_domain(text.trim())?;
    Ok(())
}

pub(super) fn cookie_path(written: &mut Written, text: &str) -> Result<(), Problem> {
    written.response.cookie_path = response::cookie_path(text.trim())?;
    Ok(())
}

pub(super) fn redirect_from(written: &mut Written, text: &str) -> Result<(), Problem> {
    written.response.redirect_from = response::redirect_from(text.trim())?;
    Ok(())
}

pub(super) fn redirect_to(written: &mut Written, text: &str) -> Result<(), Problem> {
    written.response.redirect_to = response::redirect_to(text.trim())?;
    Ok(())
}
