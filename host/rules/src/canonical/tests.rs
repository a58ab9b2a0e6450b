//! The scanner against tables and against serde_json.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

#[test]
fn spelling_does_not_matter() {
    let rows: &[&[&str]] = &[
        &["{}", " { \r\n\t} "],
        &[
            r#"{"a":1,"b":2}"#,
            r#"{ "b" : 2 , "a" : 1 }"#,
            r#"{"b":0,"a":1,"b":2}"#,
        ],
        &[
            r#"{"a":1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":1e0}"#,
            r#"{"a":10E-1}"#,
            r#"{"a":0.1e+1}"#,
        ],
        &[
            r#"{"a":0}"#,
            r#"{"a":-0}"#,
            r#"{"a":0.00}"#,
            r#"{"a":0e99}"#,
            r#"{"a":-0.0e-9}"#,
        ],
        &[
            r#"{"a":0.1}"#,
            r#"{"a":0.10}"#,
            r#"{"a":1e-1}"#,
            r#"{"a":100e-3}"#,
        ],
        &[r#"{"a":100}"#, r#"{"a":1e2}"#, r#"{"a":1.00e2}"#],
        &[
            r#"{"a":"é/\n\"\\"}"#,
            r#"{"a":"\u00e9\/\u000a\u0022\u005C"}"#,
        ],
        &[r#"{"a":"😀"}"#, r#"{"\u0061":"\ud83d\uDE00"}"#],
        &[
            r#"{"b":{"y":1,"x":[{"q":1,"p":2}]},"a":null}"#,
            r#"{"a":null,"b":{"x":[{"p":2,"q":1}],"y":1}}"#,
        ],
    ];
    let mut seen = Vec::new();
    for row in rows {
        let hashes: Vec<BodyHash> = row.iter().map(|text| hash(text).unwrap()).collect();
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{row:?}");
        assert!(!seen.contains(&hashes[0]), "{row:?}");
        seen.push(hashes[0]);
    }
}

#[test]
fn no_change_is_hidden() {
    let rows = [
        (r#"{"a":9007199254740992}"#, r#"{"a":9007199254740993}"#),
        (r#"{"a":0.1}"#, r#"{"a":0.1000000000000000000001}"#),
        (r#"{"a":1e-400}"#, r#"{"a":0}"#),
        (r#"{"a":1}"#, r#"{"a":-1}"#),
        (r#"{"a":1}"#, r#"{"a":"1"}"#),
        (r#"{"a":12}"#, r#"{"a":120}"#),
        (r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#),
        (r#"{"a":[12]}"#, r#"{"a":[1,2]}"#),
        (r#"{"a":[]}"#, r#"{"a":{}}"#),
        (r#"{"a":null}"#, r#"{}"#),
        (r#"{"a":"\u0000"}"#, r#"{"a":""}"#),
        (r#"{"a":"\\n"}"#, r#"{"a":"\n"}"#),
        (r#"{"a":"","b":1}"#, r#"{"a":"\",\"b\":1"}"#),
    ];
    for (left, right) in rows {
        assert_ne!(hash(left).unwrap(), hash(right).unwrap(), "{left} {right}");
    }
}

#[test]
fn what_is_no_object_is_refused() {
    let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(hash(&deep(63)).is_ok());
    let rows: &[(&str, &str)] = &[
        ("", "must start with '{', at byte 0"),
        ("[]", "must start with '{'"),
        ("\"a\"", "must start with '{'"),
        ("\u{feff}{}", "must start with '{'"),
        ("{} x", "text after the object, at byte 3"),
        ("{,}", "expected a key"),
        ("{\"a\":1,}", "expected a key"),
        ("{\"a\" 1}", "expected ':'"),
        ("{\"a\":1 \"b\":2}", "expected ',' or '}'"),
        ("{\"a\":[1 2]}", "expected ',' or ']'"),
        ("{\"a\":[1,]}", "expected a value"),
        ("{\"a\":tru}", "expected a value"),
        ("{\"a\":\"b", "ends too early"),
        ("{\"a\":\"\\", "ends too early"),
        ("{\"a\":\"\\u00", "ends too early"),
        ("{\"a\":\"\n\"}", "control character"),
        ("{\"a\":\"\\x\"}", "unknown escape"),
        ("{\"a\":\"\\u00g0\"}", "unknown escape"),
        ("{\"a\":\"\\ud800\"}", "surrogate"),
        ("{\"a\":\"\\ud800\\u0041\"}", "surrogate"),
        ("{\"a\":\"\\udc00\"}", "surrogate"),
        ("{\"a\":01}", "number"),
        ("{\"a\":-}", "number"),
        ("{\"a\":1.}", "number"),
        ("{\"a\":.5}", "expected a value"),
        ("{\"a\":1e}", "number"),
        ("{\"a\":+1}", "expected a value"),
        ("{\"a\":1e309}", "out of range"),
        ("{\"a\":1e-1000000000000000000}", "out of range"),
        (&deep(64), "json_depth"),
    ];
    for (text, message) in rows {
        let error = hash(text).unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn what_is_stored_is_what_is_hashed() {
    for (body, stored) in [
        (r#"{"id":"d","a":1,"a":2}"#, r#"{"id":"d","a":2}"#),
        (r#"{"a":1,"b":0,"a":2}"#, r#"{"b":0,"a":2}"#),
        (r#"{"a":1,"\u0061":2.50}"#, r#"{"a":2.50}"#),
        (
            r#"{ "l" : [ 1, {"x":1,"x":[{"y":1,"y":2}]} ] , "z" : "\u00e9" }"#,
            r#"{"l":[1,{"x":[{"y":2}]}],"z":"\u00e9"}"#,
        ),
        (
            r#"{"a":{"b":1,"b":2},"a":{"c":1,"c":2},"":0,"":1}"#,
            r#"{"a":{"c":2},"":1}"#,
        ),
        (r#"{"a":"cut \ud83d"}"#, r#"{"a":"cut \ufffd"}"#),
        (r#"{"\ud83d":1,"\udc00":2}"#, "{\"\u{fffd}\":2}"),
        // Nothing is repeated, so nothing is touched.
        (
            r#"{ "b": 1.50, "a": {"b": 2} }"#,
            r#"{ "b": 1.50, "a": {"b": 2} }"#,
        ),
    ] {
        let mut text = body.to_owned();
        let settled = settle(&mut text).unwrap();
        assert_eq!(text, stored);
        assert_eq!(hash(stored).unwrap(), settled, "{body}");
        if let Ok(hashed) = hash(body) {
            assert_eq!(hashed, settled, "{body}");
        }
    }
}

/// A value of JSON whose numbers are integers that floats hold exactly, so that equality of
/// `Value`s is equality of the texts' meaning.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1_000_000i64..1_000_000).prop_map(Value::from),
        "[a-c\"\\\\\u{1}é😀\n]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-c\"é]{0,3}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-c\"é]{0,3}", value(), 0..6)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

/// Another text of the same value: other key order, whitespace, escapes and number spelling.
fn respell(value: &Value, salt: &mut u64, out: &mut String) {
    let mut coin = || {
        *salt = salt.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *salt >> 62
    };
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            if coin() < 2 {
                members.reverse();
            }
            let turn = members.len().min(usize::try_from(coin()).unwrap());
            members.rotate_left(turn);
            out.push_str("{ ");
            for (index, (key, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push_str(" ,\n");
                }
                respell(&Value::from(key.as_str()), salt, out);
                out.push_str("\t: ");
                respell(value, salt, out);
            }
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                respell(value, salt, out);
                out.push(' ');
            }
            out.push(']');
        }
        Value::String(text) => {
            out.push('"');
            for char in text.chars() {
                if coin() == 0 || char < ' ' || char == '"' || char == '\\' {
                    for unit in char.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04X}"));
                    }
                } else {
                    out.push(char);
                }
            }
            out.push('"');
        }
        Value::Number(number) => match coin() {
            0 => out.push_str(&format!("{number}.000")),
            1 => out.push_str(&format!("{number}0e-1")),
            2 => out.push_str(&format!("{number}E+0")),
            _ => out.push_str(&number.to_string()),
        },
        other => out.push_str(&other.to_string()),
    }
}

/// The object with each member twice, the first of them another value.
fn doubled(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            out.push('{');
            for (index, (key, value)) in map.iter().enumerate() {
                let key = Value::from(key.as_str());
                let comma = if index > 0 { "," } else { "" };
                out.push_str(&format!("{comma}{key}:[{{\"a\":0,\"a\":{index}}}],{key}:"));
                doubled(value, out);
            }
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for (index, value) in list.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                doubled(value, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

proptest! {
    #[test]
    fn repeated_members_leave_the_last(value in object()) {
        let mut text = String::new();
        doubled(&value, &mut text);
        let settled = settle(&mut text).unwrap();
        prop_assert_eq!(settled, hash(&value.to_string()).unwrap());
        prop_assert_eq!(text, value.to_string());
    }

    #[test]
    fn equal_values_have_equal_hashes(value in object(), mut salt: u64) {
        let mut text = String::new();
        respell(&value, &mut salt, &mut text);
        prop_assert_eq!(hash(&text).unwrap(), hash(&value.to_string()).unwrap(), "{}", text);
    }

    #[test]
    fn other_values_have_other_hashes(left in object(), right in object()) {
        let same = hash(&left.to_string()).unwrap() == hash(&right.to_string()).unwrap();
        prop_assert_eq!(same, left == right);
    }

    #[test]
    fn what_serde_json_refuses_is_refused(value in object(), mut salt: u64, at: usize, byte in "[\\x00-\\x7fé]") {
        let mut text = String::new();
        respell(&value, &mut salt, &mut text);
        let at = text.floor_char_boundary(at % (text.len() + 1));
        for broken in [
            format!("{}{byte}{}", &text[..at], &text[at..]),
            text[..at].to_owned(),
            format!("{}{}", &text[..at], text[at..].chars().skip(1).collect::<String>()),
        ] {
            let serde = serde_json::from_str::<Value>(&broken);
            prop_assert_eq!(hash(&broken).is_ok(), serde.is_ok_and(|v| v.is_object()), "{}", broken);
        }
    }
}
