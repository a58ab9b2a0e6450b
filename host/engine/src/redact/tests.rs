//! Encodings × places: however an API writes a secret that it repeats, nothing of it is left.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;

/// With every character that some encoder escapes, and enough that none does.
const SECRET: &str = "sk-canary/With+odd=chars\"x&<é>'%2F\\y z~";
/// What is left of none of its forms: parts that no encoder changes, in plain, base64 or hexadecimal.
const REST: [&str; 3] = ["sk-canary", "canary", "odd"];

fn redactor(secrets: &[&str]) -> Redactor {
    let secrets: Vec<Secret> = secrets
        .iter()
        .map(|secret| Secret::new((*secret).to_owned()))
        .collect();
    Redactor::new(&secrets)
}

fn each(text: &str, write: impl Fn(char) -> String) -> String {
    text.chars().map(write).collect()
}

fn bytes(text: &str, keeps: &str, write: impl Fn(u8) -> String) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || keeps.as_bytes().contains(&byte);
    text.bytes()
        .map(|byte| match keep(byte) {
            true => char::from(byte).to_string(),
            false => write(byte),
        })
        .collect()
}

fn json_string(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn php(text: &str) -> String {
    json_string(text).replace('/', r"\/")
}

fn utf_16(text: &str, write: impl Fn(u16) -> String) -> String {
    text.encode_utf16().map(write).collect()
}

fn upper(byte: u8) -> String {
    format!("%{byte:02X}")
}

fn lower(byte: u8) -> String {
    format!("%{byte:02x}")
}

fn html(text: &str) -> String {
    each(text, |c| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\'' => "&#39;".to_owned(),
        other => other.to_string(),
    })
}

fn wrapped(text: &str, width: usize, end: &str) -> String {
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(width)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    lines.join(end)
}

/// How APIs write what they repeat.
fn encodings(secret: &str) -> Vec<(&'static str, String)> {
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let named = |c: char| match c {
        '/' => "&sol;".to_owned(),
        '+' => "&plus;".to_owned(),
        '=' => "&equals;".to_owned(),
        '%' => "&percnt;".to_owned(),
        other => html(&other.to_string()),
    };
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let list = vec![
        ("as it is", secret.to_owned()),
        ("JSON", json_string(secret)),
        ("JSON of PHP", php(secret)),
        ("JSON in JSON", json_string(&json_string(secret))),
        ("JSON of PHP, twice", php(&php(secret))),
        ("JSON, thrice", json_string(&php(&json_string(secret)))),
        (
            "every unit as \\u",
            utf_16(secret, |unit| format!("\\u{unit:04x}")),
        ),
        (
            "in upper case",
            utf_16(secret, |unit| format!("\\u{unit:04X}")),
        ),
        (
            "JSON for HTML (.NET, Go, Rails)",
            each(&json_string(secret), |c| match c {
                '&' | '<' | '>' | '+' | '\'' => format!("\\u{:04X}", u32::from(c)),
                other => other.to_string(),
            }),
        ),
        (
            "JavaScript",
            each(secret, |c| match c {
                c if c.is_ascii_alphanumeric() => c.to_string(),
                c => format!("\\u{{{:x}}}", u32::from(c)),
            }),
        ),
        ("C", bytes(secret, " -", |byte| format!("\\x{byte:02x}"))),
        (
            "Markdown",
            bytes(&secret.replace('é', ""), " ", |byte| {
                format!("\\{}", char::from(byte))
            }),
        ),
        ("percent, upper case", bytes(secret, "-._~", upper)),
        ("percent, lower case", bytes(secret, "-._~", lower)),
        ("percent, every byte", secret.bytes().map(upper).collect()),
        ("Python's quote", bytes(secret, "-._~/", upper)),
        ("JavaScript's encodeURI", bytes(secret, "-._~/+=&'", upper)),
        (
            "JavaScript's escape",
            utf_16(secret, |unit| match unit {
                unit if char::from_u32(unit.into()).is_some_and(|c| c.is_ascii_alphanumeric()) => {
                    char::from_u32(unit.into()).unwrap().to_string()
                }
                unit => format!("%u{unit:04X}"),
            }),
        ),
        ("form", form.clone()),
        (
            "percent, twice",
            bytes(&bytes(secret, "-._~", upper), "-._~", upper),
        ),
        (
            "percent, thrice",
            bytes(&bytes(&form, "-", lower), "-", upper),
        ),
        ("percent in JSON of PHP", php(&bytes(secret, "/", lower))),
        ("JSON in a URL", bytes(&php(secret), "", lower)),
        ("HTML", html(secret)),
        ("HTML, all names", each(secret, named)),
        (
            "HTML, decimal",
            each(secret, |c| format!("&#{};", u32::from(c))),
        ),
        (
            "HTML, hexadecimal",
            each(secret, |c| format!("&#x{:X};", u32::from(c))),
        ),
        (
            "HTML, zeros in front",
            each(secret, |c| format!("&#X{:05x};", u32::from(c))),
        ),
        ("HTML, twice", html(&html(secret))),
        ("HTML in JSON of PHP", php(&html(secret))),
        ("URL in HTML", html(&bytes(secret, "", lower))),
        ("hexadecimal", hex.clone()),
        ("HEXADECIMAL", hex.to_uppercase()),
    ];
    let mut all = list;
    for (name, ahead) in [
        ("", ""),
        ("of Bearer", "Bearer "),
        ("of a pair", "me:"),
        ("behind one", "a"),
        ("behind two", "ab"),
    ] {
        for (what, text) in [
            ("the secret", secret.to_owned()),
            ("a form", form.clone()),
            ("JSON of PHP", php(secret)),
        ] {
            let text = format!("{ahead}{text}");
            let behind = format!("{text}, and so on");
            let forms = [
                STANDARD.encode(&text),
                URL_SAFE_NO_PAD.encode(&text),
                STANDARD_NO_PAD.encode(&behind),
                URL_SAFE.encode(&behind),
                php(&STANDARD.encode(&text)),
                bytes(&STANDARD.encode(&text), "", lower),
                wrapped(&STANDARD.encode(&text), 20, "\r\n"),
                wrapped(&STANDARD.encode(&text), 20, "\\n"),
            ];
            let names = format!("base64 {name} of {what}").leak();
            all.extend(forms.map(|form| (&*names, form)));
        }
    }
    all
}

/// Where a text stands in an answer.
fn places(text: &str) -> Vec<String> {
    vec![
        text.to_owned(),
        format!("invalid key {text}."),
        format!("https://h.example/v1?key={text}&page=2"),
        format!("<a href='/x?{text}'>{text}</a>"),
        format!("{{\"error\":\"{text}\"}}"),
        format!("a\\b 100% &{text};"),
        format!("{text}{text}"),
    ]
}

#[track_caller]
fn expect_clean(name: &str, text: &str, clean: &str) {
    assert!(clean.contains(PLACEHOLDER), "{name}: {text}");
    let own = |part: &str| -> Vec<String> {
        let base64 = (0..3).map(|ahead| {
            let encoded = STANDARD_NO_PAD.encode(format!("{}{part}", "\0".repeat(ahead)));
            encoded[(ahead * 8).div_ceil(6)..(ahead + part.len()) * 8 / 6].to_owned()
        });
        let hex: String = part.bytes().map(|byte| format!("{byte:02x}")).collect();
        base64.chain([part.to_owned(), hex]).collect()
    };
    let mut layer = Layer::raw(clean.to_lowercase().as_bytes(), 0);
    loop {
        let text_of = String::from_utf8_lossy(layer.bytes()).into_owned();
        for part in REST.iter().filter(|part| part.len() > 3) {
            for form in own(part) {
                assert!(
                    !text_of.contains(&form.to_lowercase()),
                    "{name}: {form} is left\n{text}\n{clean}"
                );
            }
        }
        let Some(next) = layer.undone() else { break };
        layer = next;
    }
}

use super::layer::Layer;

#[test]
fn nothing_is_left_of_any_form_at_any_place() {
    let redactor = redactor(&[SECRET]);
    let mut seen = 0;
    for (name, form) in encodings(SECRET) {
        // Markdown's has no é.
        let redactor = match name {
            "Markdown" => self::redactor(&[&SECRET.replace('é', "")]),
            _ => Redactor::new(&[Secret::new(SECRET.to_owned())]),
        };
        for text in places(&form) {
            let clean = redactor.text(&text);
            expect_clean(name, &text, &clean);
            let body = redactor.bytes(text.as_bytes()).into_owned();
            assert_eq!(body, clean.as_bytes(), "{name}");
            // As a text, and as a name, in JSON that stays what it was but for that.
            let value =
                json!({"say": [text, 1.10, null], &text: {"n": 12_345_678_901_234_567_u64}});
            let line = value.to_string();
            let line = redactor.json(&line).into_owned();
            expect_clean(name, &text, &line);
            let value: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value["say"][1], json!(1.10), "{line}");
            assert!(line.contains("12345678901234567"), "{line}");
            seen += 1;
        }
    }
    assert!(seen > 900, "{seen}");
    // What is around it stays.
    assert_eq!(
        redactor.text(&format!("a {SECRET} b {} c%2F", php(SECRET))),
        "a [secret] b [secret] c%2F"
    );
    let binary = [b"\xff\xfe", SECRET.as_bytes(), b"\x00", SECRET.as_bytes()].concat();
    assert_eq!(&*redactor.bytes(&binary), b"\xff\xfe[secret]\x00[secret]");
}

#[test]
fn a_quick_look_sees_what_stands_there_as_it_is_or_as_in_json() {
    let redactor = redactor(&[SECRET]);
    for (text, appears) in [
        (SECRET.to_owned(), true),
        (json!({"a": [SECRET]}).to_string(), true),
        (php(SECRET), false),
        ("sk-canary".to_owned(), false),
        (String::new(), false),
    ] {
        assert_eq!(redactor.appears(text.as_bytes()), appears, "{text}");
    }
}

#[test]
fn everything_else_stays_as_it_is() {
    // (secrets, text): nothing of it is one of them.
    let rows: [(&[&str], &str); 9] = [
        (&[], r#"{"log":"[secret]"}"#),
        (&["canary"], r#"{"b":1,"a":{"text":"a bird"}}"#),
        (&["12345"], r#"{"text":"12345"}"#),
        (
            &["17000000"],
            r#"{"clock":[[1700000000000,1]],"n":-17000000.0}"#,
        ),
        (&["canary-1"], "canary-2 can ary-1 %63anary CANARY-1"),
        (&["sk-live-42"], "the key begins with sk-live"),
        (&["sk-live-42"], "sk-live-4 is another, and so is this"),
        (&["abcdef"], "YWJj ZGVm 616263 646566"),
        (&["%2F%2F%2F"], "/ / /"),
    ];
    for (secrets, text) in rows {
        let redactor = redactor(secrets);
        assert!(
            matches!(redactor.text(text), Cow::Borrowed(same) if same == text)
                || text.contains("17000000")
        );
        assert_eq!(redactor.json(text), text);
    }
    // A number that is one all of it is taken out, and only as JSON can say it.
    let redactor = redactor(&["12345678"]);
    assert_eq!(
        redactor.json(r#"{"pin":12345678,"others":[123456780,-12345678,"n12345678n"]}"#),
        r#"{"pin":"[secret]","others":[123456780,-12345678,"n[secret]n"]}"#
    );
}

#[test]
fn what_was_cut_or_is_one_of_many_is_found() {
    let redactor = redactor(&[
        "sk-live-Zx81-very-secret",
        "sk-live-Zx81-very-secret-too",
        "other/token=1",
    ]);
    // (text, without secrets)
    let rows = [
        ("key sk-live-Zx81-ve", "key [secret]"),
        ("key sk-live-Zx81-ve…", "key [secret]…"),
        (
            "key sk-live-Zx81-ve... (17 bytes cut)",
            "key [secret]... (17 bytes cut)",
        ),
        ("key sk-live-Zx81-ve is cut", "key sk-live-Zx81-ve is cut"),
        ("key sk-liv", "key sk-liv"),
        ("sk-live-Zx81-very-secret-too", "[secret]"),
        ("sk-live-Zx81-very-secret-to", "[secret]"),
        ("other%2Ftoken%3D1 other\\/token=1", "[secret] [secret]"),
        ("other%2ftoken%3d", "[secret]"),
        ("other%2ftoken%3", "[secret]%3"),
        ("other\\u002ftoken\\u00…", "[secret]\\u00…"),
    ];
    for (text, want) in rows {
        assert_eq!(redactor.text(text), want, "{text}");
    }
    assert_eq!(
        redactor.json(r#"{"a":"sk-live-Zx81-ve","b":"x sk-live-Zx81\u2026"}"#),
        r#"{"a":"[secret]","b":"x [secret]\u2026"}"#
    );
}

#[test]
fn each_line_of_a_key_of_many_is_one() {
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\nAASCBKcwggSjAgEAAoIBAQC7VJTU\n-----END PRIVATE KEY-----\n";
    let redactor = redactor(&[key]);
    assert_eq!(
        redactor.text("-----BEGIN PRIVATE KEY----- is no secret"),
        "-----BEGIN PRIVATE KEY----- is no secret"
    );
    assert_eq!(
        redactor.text("a AASCBKcwggSjAgEAAoIBAQC7VJTU b"),
        "a [secret] b"
    );
    assert_eq!(redactor.text(&format!("a {} b", php(key))), "a [secret] b");
}

#[test]
fn windows_lose_nothing() {
    let long = "0123456789abcdef-".repeat(700);
    for secret in [SECRET, &long] {
        let redactor = redactor(&[secret]);
        let form = php(&bytes(secret, "", lower));
        // At every offset about the end of a window.
        for before in (60_000..70_000).step_by(997).chain(65_400..65_600) {
            let text = format!("{}{form}{}", "x".repeat(before), "y".repeat(100_000));
            let clean = redactor.text(&text);
            assert_eq!(
                clean.len(),
                text.len() - form.len() + PLACEHOLDER.len(),
                "{before}"
            );
            if before > 65_500 && secret.len() > 1000 {
                break;
            }
        }
        let text = format!("{{\"a\":\"{}{form}\"}}", "\\n".repeat(40_000));
        let clean = redactor.json(&text).into_owned();
        serde_json::from_str::<Value>(&clean).unwrap();
        assert!(clean.ends_with("\\n[secret]\"}"));
    }
}

#[test]
fn whatever_the_text_it_stays_what_it_is() {
    bolero::check!()
        .with_type::<(String, u8, bool)>()
        .for_each(|(text, at, escapes)| {
            let redactor = redactor(&[SECRET, "aaaaaa", "aaaaaaaab"]);
            let at = text.floor_char_boundary(usize::from(*at).min(text.len()));
            let secret = match escapes {
                true => php(SECRET),
                false => SECRET.to_owned(),
            };
            let with = format!("{}{secret}{}", &text[..at], &text[at..]);
            let clean = redactor.text(&with);
            assert!(
                clean.contains(PLACEHOLDER) && !clean.contains("odd"),
                "{with}"
            );
            let line = Value::from(with.as_str()).to_string();
            let line = redactor.json(&line);
            serde_json::from_str::<Value>(&line).unwrap();
            assert!(!line.contains("odd"), "{line}");
            // Anything, be it JSON or not.
            let _ = (redactor.json(text), redactor.bytes(text.as_bytes()));
        });
}

#[test]
fn what_a_run_learns_is_taken_out_from_then_on() {
    let texts = SecretTexts::new(vec![Secret::new("first-secret".to_owned())]);
    let seen = texts.clone();
    let text = "first-secret token-0042";
    assert_eq!(seen.redactor().text(text), "[secret] token-0042");
    for token in 0..100 {
        texts.learn(&Secret::new(format!("token-{token:04}")));
    }
    // Old tokens have expired; what was given is never forgotten.
    assert_eq!(seen.redactor().text(text), "[secret] token-0042");
    assert_eq!(seen.redactor().text("token-0099"), "[secret]");
    assert!(!format!("{seen:?} {:?}", seen.redactor()).contains("first-secret"));
}
