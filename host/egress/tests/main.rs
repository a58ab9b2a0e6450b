//! The gate from outside, beside servers on loopback: one program, as each links an HTTP client and TLS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod common;

mod addresses;
mod connections;
mod credentials;
mod deliver;
mod fuzz;
mod gate;
mod hostile;
mod http2;
mod manners;
mod only_client;
mod proxy;
mod retries;
mod tls;
mod tokens;
mod urls;
