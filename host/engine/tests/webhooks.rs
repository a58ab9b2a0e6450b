//! Signatures are those of the reference implementations: `tests/vectors/standard-webhooks.json` holds
//! what they signed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test ends by panicking, helpers included"
)]

use serde::Deserialize;
use tidegate_engine::webhook::{SigningSecret, VerifyError, signature, verify};

#[derive(Deserialize)]
struct Vector {
    secret: String,
    id: String,
    timestamp: u64,
    body: String,
    signature: String,
}

#[test]
fn every_vector_is_signed_and_verified() {
    let vectors = include_str!("vectors/standard-webhooks.json");
    let vectors: Vec<Vector> = serde_json::from_str(vectors).unwrap();
    assert!(vectors.len() >= 5);
    for Vector {
        secret,
        id,
        timestamp,
        body,
        signature: want,
    } in vectors
    {
        let secret = SigningSecret::parse(&secret).unwrap();
        assert_eq!(
            signature(std::slice::from_ref(&secret), &id, timestamp, &body),
            want,
            "{id}"
        );
        assert_eq!(
            verify(&secret, &id, timestamp, &body, &want, timestamp + 60),
            Ok(()),
            "{id}"
        );
        let other = format!("{body} ");
        let error = verify(&secret, &id, timestamp, &other, &want, timestamp);
        assert_eq!(error, Err(VerifyError::Signature), "{id}");
    }
}
