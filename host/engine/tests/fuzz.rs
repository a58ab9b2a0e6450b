//! Fuzzing on stable: what comes from outside is parsed, and never panics or means two things.
//!
//! Each target runs for a second, or for `TIDEGATE_FUZZ_SECONDS`. Inputs are made of pieces that
//! the grammar knows and of characters that it doesn't, so that they get further than noise would.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test ends by panicking, helpers included"
)]

use std::time::Duration;

use bolero::{TypeGenerator, check};
use serde_json::{Map, Value};
use tidegate_engine::canonical;
use tidegate_engine::cursor::Cursor;
use tidegate_engine::grant::{FeedGrant, HostPattern, HostRequest, RateLimit};
use tidegate_engine::manifest::Manifest;
use url::{Host, Url};

/// How long each target runs.
fn time() -> Duration {
    let seconds = std::env::var("TIDEGATE_FUZZ_SECONDS").ok();
    Duration::from_secs(seconds.map_or(1, |text| text.parse().unwrap()))
}

/// A part of an input: one of the grammar's, a character or a number.
#[derive(Debug, Clone, TypeGenerator)]
enum Piece {
    Known(u8),
    Char(char),
    Ascii(u8),
    Number(u32),
}

fn text(pieces: &[Piece], known: &[&str]) -> String {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Known(index) => text.push_str(known[usize::from(*index) % known.len()]),
            Piece::Char(char) => text.push(*char),
            Piece::Ascii(byte) => text.push(char::from(byte & 0x7f)),
            Piece::Number(number) => text.push_str(&number.to_string()),
        }
    }
    text
}

#[rustfmt::skip] // pieces, few lines
const ORIGINS: &[&str] = &[
    "https://", "http://", "*", "*.", ".", "..", ":", "/", "//", "@", "[", "]", "::", "::1", "fd00::",
    "::ffff:", "127.0.0.1", "10.0.0.0", "0.0.0.0", "/8", "/0", "/128", ":443", ":80", ":0", "example",
    "com", "xn--", "xn--a", "0x7f", "%2e", "%00", "base-url", "?", "#", "\\", "ß", "。", "\u{ad}",
];

#[test]
fn grants() {
    let inputs = check!().with_test_time(time());
    let inputs = inputs.with_type::<(u8, Vec<Piece>, Vec<Piece>)>();
    inputs.for_each(|(start, grant, url)| {
        let start = ["", "https://", "http://", "http://[", "https://*."][usize::from(*start) % 5];
        let grant = format!("{start}{}", text(grant, ORIGINS));
        let _ = grant.parse::<FeedGrant>();
        let _ = HostRequest::try_from(grant.clone());
        let narrow = grant.parse::<HostPattern>();
        let Ok(pattern) = HostPattern::parse_wide(&grant) else {
            assert!(narrow.is_err(), "{grant:?} is narrow and not wide");
            return;
        };
        let spelled = pattern.to_string();
        let any_host = spelled.strip_prefix("https://*");
        let is_any_host = any_host.is_some_and(|port| port.is_empty() || port.starts_with(':'));
        assert_eq!(narrow.is_err(), is_any_host, "{grant:?}");
        let again = HostPattern::parse_wide(&spelled);
        assert_eq!(
            again.as_ref(),
            Ok(&pattern),
            "{grant:?} is spelled {pattern}"
        );
        // What it matches has its scheme, and can be granted alone.
        let Ok(url) = Url::parse(&format!("http://{}", text(url, ORIGINS))) else {
            return;
        };
        if let Some(own) = HostPattern::of_origin(&url) {
            assert!(own.matches(&url), "{own} {url}");
            assert_eq!(own.to_string().parse(), Ok(own), "{url}");
        }
        if pattern.matches(&url) {
            assert!(spelled.starts_with("http://"), "{pattern} {url}");
            let address = matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_)));
            assert!(!(address && is_any_host), "{pattern} {url}");
        }
    });
}

#[test]
fn rates() {
    const KNOWN: &[&str] = &[
        "/", "1", "0", "60", "ms", "s", "m", "h", " burst ", "-", "9999999",
    ];
    let inputs = check!().with_test_time(time()).with_type::<Vec<Piece>>();
    inputs.for_each(|pieces| {
        let text = text(pieces, KNOWN);
        if let Ok(rate) = text.parse::<RateLimit>() {
            assert_eq!(rate.to_string().parse(), Ok(rate), "{text:?}");
            assert!(
                rate.burst() > 0 && rate.interval() <= Duration::from_secs(86_400),
                "{text:?}"
            );
        }
    });
}

#[rustfmt::skip] // pieces, few lines
const MANIFEST: &[&str] = &[
    "{", "}", "[", "]", ":", ",", "\"", "null", "true", "1", "\"name\":\"a\"", "\"syncs\":[", "\"models\":",
    "\"actions\":[", "\"*\"", "\"each\":\"/a\"", "\"capabilities\":{", "\"hosts\":[\"base-url\"]",
    "\"limits\":{\"cpu_ms\":1}", "\"auth\":[", "\"rate_limit\":{\"requests\":1,\"per_ms\":1}",
    "{\"kind\":\"bearer\",\"token\":\"t\"}", "\"schedule\":{\"every\":\"1h\"}", "{\"name\":\"a\"}",
    "{\"name\":\"a\",\"models\":[\"a\"]}", "\"config\":", "\"description\":",
];

#[test]
fn manifests() {
    let inputs = check!()
        .with_test_time(time())
        .with_type::<(u8, Vec<Piece>)>();
    inputs.for_each(|(frame, pieces)| {
        let mut text = text(pieces, MANIFEST);
        // Most of what pieces make is not JSON; some of this is.
        let base = "\"manifest\":1,\"name\":\"a\",\"version\":\"0.1.0\"";
        match frame % 4 {
            0 => {}
            1 => text = format!("{{{base},{text}}}"),
            2 => text = format!("{{{base},\"models\":[{{\"name\":\"a\"}}],\"syncs\":[{text}]}}"),
            _ => text = format!("{{{base},\"capabilities\":{{{text}}}}}"),
        }
        match Manifest::parse(&text) {
            Ok(manifest) => {
                let again = Manifest::parse(&serde_json::to_string(&manifest).unwrap()).unwrap();
                assert_eq!(bare(again), bare(manifest), "{text}");
            }
            Err(error) => assert!(error.to_string().len() < 4000, "{error}"),
        }
    });
}

/// Without its schemas, in which serde_json may read a float a last bit off.
fn bare(mut manifest: Manifest) -> Manifest {
    manifest.config = Value::Null;
    for model in &mut manifest.models {
        model.schema = Value::Null;
    }
    for action in &mut manifest.actions {
        (action.input, action.output) = (Value::Null, Value::Null);
    }
    manifest
}

#[test]
fn cursors() {
    let inputs = check!().with_test_time(time());
    let inputs = inputs.with_type::<([u64; 4], u8, u8, Vec<Piece>)>();
    inputs.for_each(|(parts, from, drop, put)| {
        let [store, feed, seq, pruned] = *parts;
        let cursor = Cursor {
            store,
            feed,
            seq,
            pruned,
        };
        let whole = cursor.to_string();
        assert_eq!(whole.parse(), Ok(cursor));
        let from = usize::from(*from) % (whole.len() + 1);
        let to = (from + usize::from(*drop) % 8).min(whole.len());
        let put = text(put, &["c1_", "A", "_", "-", "="]);
        let damaged = format!("{}{put}{}", &whole[..from], &whole[to..]);
        if let Ok(other) = damaged.parse::<Cursor>() {
            // There is one spelling of a cursor, and nothing else is one.
            assert_eq!(other.to_string(), damaged);
        }
    });
}

#[rustfmt::skip] // pieces, few lines
const JSON: &[&str] = &[
    "{", "}", "[", "]", ":", ",", "\"", "\"a\"", "\"b\":", "null", "true", "false", "0", "-0", "1e5", "1E+2",
    "-1.50", "1e-400", "1e400", "9007199254740993", "\"\\u0041\"", "\"\\ud83d\\ude00\"", "\\ud83d", "\\n", "\\/",
    " ", "\t", "\n", "\u{feff}", "é", "{\"a\":1,\"a\":2}", "[[[[[[[[", "]]]]]]]]",
];

#[test]
fn canonical_json_is_json() {
    let inputs = check!()
        .with_test_time(time())
        .with_type::<(u8, Vec<Piece>)>();
    inputs.for_each(|(frame, pieces)| {
        let mut body = text(pieces, JSON);
        match frame % 3 {
            0 => {}
            1 => body = format!("{{\"a\":{body}}}"),
            _ => body = format!("{{\"a\":[\"{body}\"]}}"),
        }
        let parsed = serde_json::from_str::<Value>(&body);
        match (canonical::hash(&body), parsed) {
            // Space around it means nothing.
            (Ok(hash), Ok(Value::Object(_))) => {
                assert_eq!(canonical::hash(&format!(" \n{body}\t")), Ok(hash), "{body}");
            }
            // Numbers beyond 64-bit floats are exact here, and refused there.
            (Ok(_), Err(error)) if error.to_string().contains("number out of range") => {}
            // Exponents have a bound here, and become 0 or infinite there.
            (Err(error), Ok(_)) if format!("{error:?}").contains("NumberRange") => {}
            (Err(_), Ok(Value::Object(_))) if depth(&body) > canonical::DEPTH_MAX => {}
            (Err(_), Ok(value)) if !value.is_object() => {}
            (Err(_), Err(_)) => {}
            (ours, theirs) => panic!("{body}: {ours:?}, serde_json: {theirs:?}"),
        }
    });
}

/// How deep brackets outside of texts nest.
fn depth(body: &str) -> usize {
    let (mut now, mut most, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in body.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => now += 1,
            b'}' | b']' if !quoted => now = now.saturating_sub(1),
            _ => {}
        }
        most = most.max(now);
    }
    most
}

/// A JSON value.
#[derive(Debug, Clone, TypeGenerator)]
enum Leaf {
    Null,
    Bool(bool),
    Int(i64),
    Big(u64),
    Text(String),
    List(Vec<i32>),
    Nested(Vec<(String, u8)>),
}

impl Leaf {
    fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Big(value) => (*value).into(),
            Self::Text(value) => value.as_str().into(),
            Self::List(values) => values.clone().into(),
            Self::Nested(pairs) => {
                let pairs = pairs
                    .iter()
                    .map(|(key, value)| (key.clone(), (*value).into()));
                Value::Object(pairs.collect())
            }
        }
    }
}

#[test]
fn spellings_of_one_object_have_one_hash() {
    let inputs = check!()
        .with_test_time(time())
        .with_type::<Vec<(String, Leaf)>>();
    inputs.for_each(|pairs| {
        let pairs = pairs.iter().map(|(key, leaf)| (key.clone(), leaf.value()));
        let object: Map<String, Value> = pairs.collect();
        let plain = Value::Object(object.clone()).to_string();
        let hash = canonical::hash(&plain);
        assert!(hash.is_ok(), "{plain}: {hash:?}");
        // Indented, with its keys in reverse.
        let lines = object.iter().rev().map(|(key, value)| {
            let key = Value::from(key.as_str());
            format!("  {key}  : {value:#}")
        });
        let indented = format!("{{\n{}\r\n}}", lines.collect::<Vec<_>>().join("\t,\n"));
        assert_eq!(canonical::hash(&indented), hash, "{plain}");
        // With each character of its texts escaped.
        let escaped = escape(&Value::Object(object.clone()));
        assert_eq!(canonical::hash(&escaped), hash, "{plain} as {escaped}");
        // And another object has another hash.
        let mut other = object;
        let replaced = other.insert("one more".to_owned(), Value::Null);
        let hash_of_other = canonical::hash(&Value::Object(other).to_string());
        assert_eq!(
            hash_of_other == hash,
            replaced == Some(Value::Null),
            "{plain}"
        );
    });
}

fn escape(value: &Value) -> String {
    let quoted = |text: &str| {
        let units = text.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
        format!("\"{}\"", units.collect::<String>())
    };
    match value {
        Value::String(text) => quoted(text),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(escape).collect();
            format!("[{}]", values.join(","))
        }
        Value::Object(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(key, value)| format!("{}:{}", quoted(key), escape(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}
