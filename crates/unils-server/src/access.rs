//! Who may connect: hosts and origins against pages of strangers, the token against everybody else.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};

use crate::Shared;
use crate::protocol::{Fault, FaultCode};

/// That a request names a host of ours, and comes from a page of ours if it comes from a page.
///
/// A browser sends requests of any page to any address. `Origin` tells which page; `Host` tells which name the page
/// used, so that a stranger's name that points to this machine is no way in.
pub(crate) fn check_origin(headers: &HeaderMap, shared: &Shared) -> Result<(), Fault> {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let host = text(HOST).unwrap_or_default();
    let origin = text(ORIGIN);
    if origin.is_some_and(|origin| shared.options.origins.iter().any(|allowed| allowed == origin)) {
        return Ok(());
    }
    let refuse = |what: String| {
        Err(Fault::new(FaultCode::Unauthorized, what)
            .with_hint("allow the page's origin when the server is started (--allow-origin)")
            .fatal())
    };
    if shared.address.ip().is_loopback() && !is_local(host) {
        return refuse(format!("the host {host:?} is not this machine"));
    }
    match origin {
        Some(origin) if host_of(origin) != Some(host) => {
            refuse(format!("pages of {origin:?} may not connect"))
        }
        _ => Ok(()),
    }
}

/// That a token is the server's, if it asks for one.
pub(crate) fn check_token(given: Option<&str>, shared: &Shared) -> Result<(), Fault> {
    match &shared.options.token {
        Some(token) if !given.is_some_and(|given| same(given, token)) => {
            let what = if given.is_some() { "the token is wrong" } else { "a token is asked for" };
            Err(Fault::new(FaultCode::Unauthorized, what).with_hint("send the server's token").fatal())
        }
        _ => Ok(()),
    }
}

/// The token of an `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn host_of(origin: &str) -> Option<&str> {
    origin.split_once("://").map(|(_, host)| host)
}

fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// Equality that takes as long for any two names of one length.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_s_names() {
        for host in ["localhost:8730", "localhost", "127.0.0.1:80", "[::1]:8730", "127.0.0.2"] {
            assert!(is_local(host), "{host}");
        }
        for host in
            ["", "example.org:8730", "127.0.0.1.example.org", "[2001:db8::1]:80", "localhost.example.org"]
        {
            assert!(!is_local(host), "{host}");
        }
        assert_eq!(host_of("http://localhost:8730"), Some("localhost:8730"));
        assert_eq!(host_of("null"), None);
    }
}
