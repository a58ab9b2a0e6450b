//! Fuzzing on stable: URLs that pass the gate lead nowhere forbidden, and headers never panic.
//!
//! Each target runs for a second, or for `TIDEGATE_FUZZ_SECONDS`. Inputs are made of pieces that
//! the grammar knows and of characters that it doesn't, so that they get further than noise would.

use std::net::{IpAddr, ToSocketAddrs};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};

use crate::common::policy;
use bolero::{TypeGenerator, check};
use http::{HeaderMap, HeaderName, HeaderValue};
use tidegate_egress::{AddressPolicy, Gate, GateOptions, Policy, Proxy, RateLimitHints};
use tidegate_engine::grant::HostPattern;
use url::{Host, Url};

/// How long each target runs.
fn time() -> Duration {
    let seconds = std::env::var("TIDEGATE_FUZZ_SECONDS").ok();
    Duration::from_secs(seconds.map_or(1, |text| text.parse().unwrap()))
}

/// A part of an input: one of the grammar's, a character, a byte or a number.
#[derive(Debug, Clone, TypeGenerator)]
enum Piece {
    Known(u8),
    Char(char),
    Ascii(u8),
    Number(u32),
    Hex(u32),
    Octal(u32),
}

fn text(pieces: &[Piece], known: &[&str]) -> String {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Known(index) => text.push_str(known[usize::from(*index) % known.len()]),
            Piece::Char(char) => text.push(*char),
            Piece::Ascii(byte) => text.push(char::from(byte & 0x7f)),
            Piece::Number(number) => text.push_str(&number.to_string()),
            Piece::Hex(number) => text.push_str(&format!("0x{number:x}")),
            Piece::Octal(number) => text.push_str(&format!("0{number:o}")),
        }
    }
    text
}

const URLS: &[&str] = &[
    "http://",
    "https://",
    "//",
    "/",
    "\\",
    "..",
    ".",
    "?",
    "#",
    "@",
    ":",
    "[",
    "]",
    "::",
    "::1",
    "::ffff:",
    "64:ff9b::",
    "2002:",
    "2001:0:",
    "fe80::1",
    "fd00::",
    "%",
    "%2e",
    "%25eth0",
    "127.0.0.1",
    "169.254.169.254",
    "10.0.0.1",
    "127.1",
    "2130706433",
    "0x7f",
    "0177",
    "a9fe:a9fe",
    "7f00:1",
    "api.example",
    "base.example",
    "localhost",
    "xn--",
    "。",
    "１２７",
    "\u{ad}",
    ":7070",
    ":80",
    ":443",
    "user:pw@",
    "v1",
];

/// Everything is granted but the addresses that never are: what is judged allowed is public, on
/// another port than ours, and the same for the next parser.
#[test]
fn urls() {
    const OWN: u16 = 7070;
    let gate = Gate::new(GateOptions {
        own_addresses: vec![format!("8.8.8.8:{OWN}").parse().unwrap()],
        ..GateOptions::default()
    });
    let wide = |text: &str| HostPattern::parse_wide(text).unwrap();
    let mut granted = vec![
        wide("https://*"),
        wide("http://api.example"),
        wide("http://localhost"),
    ];
    // The halves of all addresses: none of the patterns is refused as "everything".
    for range in ["0.0.0.0/1", "128.0.0.0/1", "[::/1]", "[8000::/1]"] {
        for (scheme, port) in [("http", ""), ("https", ""), ("http", ":7070")] {
            granted.push(wide(&format!("{scheme}://{range}{port}")));
        }
    }
    let requested = granted
        .iter()
        .map(|pattern| pattern.to_string().try_into().unwrap())
        .collect();
    let policy = Policy {
        requested,
        granted,
        private: Vec::new(),
        ..policy("https://base.example/v1")
    };
    // A panic leaves neither of them half changed: both are only read.
    let (gate, policy) = (AssertUnwindSafe(gate), AssertUnwindSafe(policy));
    let closed = AddressPolicy::new(Vec::new(), Vec::new());
    check!()
        .with_test_time(time())
        .with_type::<(u8, Vec<Piece>)>()
        .for_each(|(start, pieces)| {
            let start = ["", "/", "http://", "https://", "http://[", "https://[::"]
                [usize::from(*start) % 6];
            let text = format!("{start}{}", text(pieces, URLS));
            let Ok(url) = gate.judge(&policy, &text) else {
                return;
            };
            assert!(matches!(url.scheme(), "http" | "https"), "{text:?}");
            assert!(
                url.username().is_empty() && url.password().is_none(),
                "{text:?}"
            );
            assert_eq!(Url::parse(url.as_str()).as_ref(), Ok(&url), "{text:?}");
            match url.host().unwrap() {
                Host::Ipv4(ip) => assert!(closed.judge(ip.into()).is_ok(), "{text:?}"),
                Host::Ipv6(ip) => assert!(closed.judge(ip.into()).is_ok(), "{text:?}"),
                // A name must not be a literal to anybody else: not to the standard library, and not
                // to the system's parser, which takes short and octal forms too.
                Host::Domain(name) => {
                    assert!(name.parse::<IpAddr>().is_err(), "{text:?}: {name}");
                    let digits = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
                    assert!(
                        !digits || (name, 80).to_socket_addrs().is_err(),
                        "{text:?}: {name}"
                    );
                }
            }
            let api = HostPattern::of_origin(&url).unwrap();
            assert!(api.matches(&url), "{text:?}");
            // What the client sends to is what was judged.
            let uri: http::Uri = url
                .as_str()
                .parse()
                .unwrap_or_else(|e| panic!("{text:?}: {url}: {e}"));
            assert_eq!(uri.host(), url.host_str(), "{text:?}");
            assert_eq!(uri.port_u16(), url.port(), "{text:?}");
            if !text.contains("://") && !text.contains(':') {
                assert_eq!(url.host_str(), Some("base.example"), "{text:?}");
                assert!(
                    url.path() == "/v1" || url.path().starts_with("/v1/"),
                    "{text:?}"
                );
            }
        });
}

#[test]
fn pace_headers() {
    const NAMES: [&str; 9] = [
        "retry-after",
        "date",
        "ratelimit",
        "ratelimit-remaining",
        "ratelimit-reset",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-rate-limit-remaining",
        "x-rate-limit-reset",
    ];
    const KNOWN: &[&str] = &[
        "\"",
        "\\",
        "\"a\"",
        ";r=0",
        ";t=30",
        ",",
        ";",
        "=",
        "limit=1",
        "remaining=0",
        "reset=5",
        "0",
        "1",
        "9999999999999",
        ".",
        "-",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        " ",
        "e9",
        "inf",
        "nan",
    ];
    check!()
        .with_test_time(time())
        .with_type::<(Vec<(u8, Vec<Piece>)>, u32)>()
        .for_each(|(lines, now)| {
            let mut headers = HeaderMap::new();
            for (name, pieces) in lines.iter().take(20) {
                let name = HeaderName::from_static(NAMES[usize::from(*name) % NAMES.len()]);
                if let Ok(value) = HeaderValue::from_bytes(text(pieces, KNOWN).as_bytes()) {
                    headers.append(name, value);
                }
            }
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(*now));
            let said = RateLimitHints::read(&headers, now);
            assert!(said.retry_after.is_none() || headers.contains_key("retry-after"));
            assert!(
                said.quota.is_none() || headers.keys().any(|name| name.as_str().contains("limit"))
            );
            // The order of different headers means nothing.
            let mut turned = HeaderMap::new();
            for name in NAMES.iter().rev() {
                for value in headers.get_all(*name) {
                    turned.append(HeaderName::from_static(name), value.clone());
                }
            }
            assert_eq!(RateLimitHints::read(&turned, now), said);
        });
}

#[test]
fn proxies() {
    check!()
        .with_test_time(time())
        .with_type::<Vec<Piece>>()
        .for_each(|pieces| {
            let text = format!("http://{}", text(pieces, URLS));
            match text.parse::<Proxy>() {
                Ok(proxy) => assert!(
                    proxy.to_string().parse::<Proxy>().is_ok(),
                    "{text:?}: {proxy}"
                ),
                Err(error) => assert!(!error.to_string().contains("user:pw"), "{error}"),
            }
        });
}
