//! Secrets, signatures and their check, as Standard Webhooks has them.
//!
//! A secret is 24 to 64 random bytes, written as `whsec_` and base64. What is signed is
//! `id.timestamp.body`, by HMAC-SHA256; a signature is written as `v1,` and base64, several are
//! separated by spaces: while a secret is being replaced there is one with each.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
const VERSION: &str = "v1,";
/// Bytes of a secret.
const BYTES_MIN: usize = 24;
const BYTES_MAX: usize = 64;
/// How far a receiver lets the time of a signature be from its own, in seconds.
const TOLERANCE_S: u64 = 5 * 60;

/// What an endpoint's signatures are made with. Prints nothing of itself.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

/// A text is not a secret. It is not repeated here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a signing secret: one is {PREFIX} and the base64 of {BYTES_MIN} to {BYTES_MAX} random bytes"
)]
pub struct SecretError;

/// A delivery is not what its signature says, or not of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("none of the signatures fits")]
    Signature,
    #[error("it is older than {TOLERANCE_S} seconds")]
    Old,
    #[error("it is more than {TOLERANCE_S} seconds ahead of now")]
    Ahead,
}

impl SigningSecret {
    /// The secret of these bytes.
    pub fn new(bytes: Vec<u8>) -> Result<Self, SecretError> {
        if (BYTES_MIN..=BYTES_MAX).contains(&bytes.len()) {
            return Ok(Self(bytes));
        }
        Err(SecretError)
    }

    /// The secret that [`Self::text`] wrote.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretError)?;
        Self::new(STANDARD.decode(encoded).map_err(|_| SecretError)?)
    }

    /// `whsec_` and base64: what a receiver is given.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// `None` never happens: HMAC takes keys of every length.
    fn mac(&self, id: &str, timestamp: u64, body: &str) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(id.as_bytes());
        mac.update(format!(".{timestamp}.").as_bytes());
        mac.update(body.as_bytes());
        Some(mac)
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[signing secret]")
    }
}

/// The header `webhook-signature` with one signature for each secret, in their order. `timestamp` is
/// that of the attempt, in Unix seconds.
#[must_use]
pub fn signature(secrets: &[SigningSecret], id: &str, timestamp: u64, body: &str) -> String {
    let one = |secret: &SigningSecret| {
        let mac = secret.mac(id, timestamp, body)?;
        let bytes = mac.finalize().into_bytes();
        Some(format!("{VERSION}{}", STANDARD.encode(bytes)))
    };
    secrets.iter().filter_map(one).collect::<Vec<_>>().join(" ")
}

/// Check a delivery as a receiver does, at `now` in Unix seconds: one of the signatures fits, and
/// `timestamp` is at most five minutes from now.
pub fn verify(
    secret: &SigningSecret,
    id: &str,
    timestamp: u64,
    body: &str,
    signatures: &str,
    now: u64,
) -> Result<(), VerifyError> {
    if timestamp.saturating_add(TOLERANCE_S) < now {
        return Err(VerifyError::Old);
    }
    if timestamp > now.saturating_add(TOLERANCE_S) {
        return Err(VerifyError::Ahead);
    }
    let encoded = signatures
        .split(' ')
        .filter_map(|one| one.strip_prefix(VERSION));
    let mut candidates = encoded.filter_map(|one| STANDARD.decode(one).ok());
    // `verify_slice` takes the same time whatever differs.
    let fits = |bytes: Vec<u8>| {
        let mac = secret.mac(id, timestamp, body);
        mac.is_some_and(|mac| mac.verify_slice(&bytes).is_ok())
    };
    if candidates.any(fits) {
        Ok(())
    } else {
        Err(VerifyError::Signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_a_length() {
        for (bytes, fine) in [(0, false), (23, false), (24, true), (64, true), (65, false)] {
            let secret = SigningSecret::new(vec![7; bytes]);
            assert_eq!(secret.is_ok(), fine, "{bytes}");
            if let Ok(secret) = secret {
                assert_eq!(SigningSecret::parse(&secret.text()), Ok(secret));
            }
        }
        let good = SigningSecret::new(vec![7; 24]).unwrap().text();
        for bad in ["", "whsec_", "whsec_????", &good[6..], &format!("{good}=")] {
            assert_eq!(SigningSecret::parse(bad), Err(SecretError), "{bad}");
        }
    }

    #[test]
    fn any_signature_of_several_may_fit() {
        let secrets: Vec<_> = [1u8, 2]
            .map(|byte| SigningSecret::new(vec![byte; 24]).unwrap())
            .into();
        let both = signature(&secrets, "evt_1", 1000, "{}");
        assert_eq!(both.split(' ').count(), 2);
        for secret in &secrets {
            assert_eq!(verify(secret, "evt_1", 1000, "{}", &both, 1300), Ok(()));
            let odd = format!("v1a,AAAA v2 {both} v1,%");
            assert_eq!(verify(secret, "evt_1", 1000, "{}", &odd, 1300), Ok(()));
        }
        let other = SigningSecret::new(vec![3; 24]).unwrap();
        let wrong =
            |secret, id, timestamp, body, now| verify(secret, id, timestamp, body, &both, now);
        let own = &secrets[0];
        let rows = [
            (
                wrong(&other, "evt_1", 1000, "{}", 1000),
                VerifyError::Signature,
            ),
            (
                wrong(own, "evt_2", 1000, "{}", 1000),
                VerifyError::Signature,
            ),
            (
                wrong(own, "evt_1", 1001, "{}", 1000),
                VerifyError::Signature,
            ),
            (
                wrong(own, "evt_1", 1000, "{} ", 1000),
                VerifyError::Signature,
            ),
            (wrong(own, "evt_1", 1000, "{}", 1301), VerifyError::Old),
            (wrong(own, "evt_1", 1000, "{}", 699), VerifyError::Ahead),
        ];
        for (row, (got, want)) in rows.into_iter().enumerate() {
            assert_eq!(got, Err(want), "row {row}");
        }
    }
}
