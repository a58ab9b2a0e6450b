//! The proxy that all requests go through, if the operator wants one.

use tidegate_egress::Proxy;

use crate::problem::{Problem, Result};

/// The proxy that the operator wants all requests to go through.
pub fn egress_proxy() -> Result<Option<Proxy>> {
    const VARIABLE: &str = "TIDEGATE_EGRESS_PROXY";
    match std::env::var(VARIABLE) {
        Ok(url) if !url.is_empty() => {
            let proxy = url.parse::<Proxy>().map(Some);
            proxy.map_err(|error| Problem::invalid(error).at(VARIABLE))
        }
        _ => Ok(None),
    }
}
