//! URLs against grants: each spelling of a host, and what tries to look like another one.

use crate::common::policy;
use tidegate_egress::{EgressError, Gate, GateOptions, Missing, Policy, Proxy};
use tidegate_engine::grant::HostPattern;

/// What the gate says before a name is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It goes to this URL's origin.
    Goes(&'static str),
    /// No grant covers it.
    Denied,
    /// Its literal is refused, though a grant covers it.
    Address,
    /// It is no URL that can be requested.
    Invalid,
}
use Verdict::{Address, Denied, Goes, Invalid};

fn judge(grant: &str, url: &str) -> Verdict {
    let pattern = HostPattern::parse_wide(grant).unwrap();
    let policy = Policy {
        requested: vec![grant.to_owned().try_into().unwrap()],
        granted: vec![pattern],
        private: Vec::new(),
        ..policy("https://base.example")
    };
    match Gate::new(GateOptions::default()).judge(&policy, url) {
        Ok(url) => Goes(String::leak(url.origin().ascii_serialization())),
        Err(EgressError::Denied {
            missing: Missing::Manifest,
            ..
        }) => Denied,
        Err(EgressError::Denied { .. }) => Address,
        Err(EgressError::Invalid { .. }) => Invalid,
        Err(error) => panic!("{url}: {error}"),
    }
}

#[test]
fn a_host_is_what_the_parser_says_it_is() {
    let long = format!("http://{}.example/", "a".repeat(63)).leak();
    let label = "a".repeat(60);
    let too_long = format!("http://{}/", [label.as_str(); 5].join(".")).leak();
    let api = "http://api.example";
    let any = "http://*.example";
    let rows: Vec<(&str, &str, Verdict)> = vec![
        (api, "http://api.example/", Goes(api)),
        (api, "HTTP://API.EXAMPLE:80/", Goes(api)),
        (api, "http:api.example", Goes(api)),
        (api, "http:/api.example", Goes(api)),
        (api, "http:\\\\api.example\\x", Goes(api)),
        // The root's dot is the same name; two dots are none.
        (api, "http://api.example./", Goes("http://api.example.")),
        (api, "http://api.example../", Invalid),
        (api, "http://.api.example/", Invalid),
        (
            "http://localhost",
            "http://localhost./",
            Goes("http://localhost."),
        ),
        (
            "http://localhost",
            "http://LOCALHOST/",
            Goes("http://localhost"),
        ),
        ("http://localhost", "http://127.0.0.1/", Denied),
        (
            "http://*.a.example",
            "http://b.a.example./",
            Goes("http://b.a.example."),
        ),
        // Escaped, full-width and invisible letters are the letters.
        (api, "http://%61pi.example/", Goes(api)),
        (api, "http://api%2eexample/", Goes(api)),
        (api, "http://ａｐｉ。example/", Goes(api)),
        (api, "http://a\u{ad}pi.example/", Goes(api)),
        // Other alphabets are other names, in either spelling.
        (api, "http://\u{430}pi.example/", Denied),
        (api, "http://xn--pi-6kc.example/", Denied),
        (
            "http://münchen.example",
            "http://xn--mnchen-3ya.example/",
            Goes("http://xn--mnchen-3ya.example"),
        ),
        (
            "http://xn--mnchen-3ya.example",
            "http://MÜNCHEN.example/",
            Goes("http://xn--mnchen-3ya.example"),
        ),
        ("http://faß.example", "http://fass.example/", Denied),
        (api, "http://xn--a/", Invalid),
        // Somebody else's host with ours before, behind or around it.
        (api, "http://api.example.evil.test/", Denied),
        (api, "http://evil.test/api.example", Denied),
        (api, "http://evil.test?http://api.example", Denied),
        (api, "http://evil.test#@api.example/", Denied),
        (api, "http://evil.test\\@api.example/", Denied),
        (api, "http://api.example\\@evil.test/", Goes(api)),
        (api, "http://api.example#@evil.test/", Goes(api)),
        (api, "http://api.example@evil.test/", Invalid),
        (api, "http://api.example:80@evil.test/", Invalid),
        (api, "http://evil.test@api.example/", Invalid),
        (api, "http://:@api.example/", Goes(api)),
        (api, "http://api.example%00.evil.test/", Invalid),
        (api, "http://api.example%20/", Invalid),
        (api, "http://api.example%2f.evil.test/", Invalid),
        (api, "http://api.example:8080/", Denied),
        (api, "https://api.example/", Denied),
        (api, "ws://api.example/", Invalid),
        ("http://*.api.example", "http://api.example/", Denied),
        ("http://*.api.example", "http://xapi.example/", Denied),
        // Lengths.
        ("http://*.x.example", too_long, Invalid),
        (
            long.trim_end_matches('/'),
            long,
            Goes(long.trim_end_matches('/')),
        ),
        // Literals: granted, and judged all the same.
        ("http://[fe80::1]", "http://[fe80::1]/", Address),
        ("http://[fe80::1]", "http://[fe80::1%25eth0]/", Invalid),
        ("http://[fe80::1]", "http://[fe80::1%eth0]/", Invalid),
        ("http://169.254.169.254", "http://0xa9fea9fe/", Address),
        (
            "http://169.254.169.254",
            "http://169.254.169.254./",
            Address,
        ),
        ("http://127.0.0.0/8", "http://127.1/", Address),
        (
            "http://8.8.8.8",
            "http://134744072/",
            Goes("http://8.8.8.8"),
        ),
        (
            "https://*",
            "https://any.example/",
            Goes("https://any.example"),
        ),
        ("https://*", "https://8.8.8.8/", Denied),
        ("https://*", "https://[::ffff:8.8.8.8]/", Denied),
        ("https://*", "http://any.example/", Denied),
        ("https://*", "https://\"/", Invalid),
        ("https://*", "https://a..example/", Invalid),
        (
            any.replace("*", "*.b").leak(),
            "http://a.b.example/",
            Goes("http://a.b.example"),
        ),
    ];
    for (grant, url, want) in rows {
        assert_eq!(judge(grant, url), want, "{url:?} with {grant}");
    }
}

#[test]
fn a_refusal_names_the_line_that_would_allow_it() {
    let gate = Gate::new(GateOptions::default());
    let policy = |granted: &[&str]| Policy {
        requested: vec![
            "https://*".to_owned().try_into().unwrap(),
            "http://[fd00::/8]:81".to_owned().try_into().unwrap(),
        ],
        granted: granted.iter().map(|text| text.parse().unwrap()).collect(),
        private: Vec::new(),
        ..policy("https://base.example")
    };
    for (granted, url, line) in [
        (
            vec![],
            "https://A.example/x?key=canary",
            "--allow-host https://a.example",
        ),
        (
            vec!["https://b.example"],
            "https://a.example",
            "--allow-host https://a.example",
        ),
        (
            vec![],
            "http://[fd00::1]:81/",
            "--allow-host 'http://[fd00::1]:81'",
        ),
        (
            vec!["http://[fd00::1]:81"],
            "http://[fd00::1]:81/",
            "--allow-private fd00::1/128",
        ),
    ] {
        let error = gate.judge(&policy(&granted), url).unwrap_err().to_string();
        assert!(error.contains(line) && !error.contains("canary"), "{error}");
        // The line itself works: it parses, and then there is nothing left to say about the origin.
        let grant = line.trim_start_matches("--allow-host ").trim_matches('\'');
        if let Ok(pattern) = grant.parse::<HostPattern>() {
            let mut policy = policy(&granted);
            policy.granted.push(pattern);
            policy.private.push("fd00::/8".parse().unwrap());
            assert!(gate.judge(&policy, url).is_ok(), "{line}");
        }
    }
}

#[test]
fn through_a_proxy_our_own_port_is_refused_on_every_literal() {
    let judge = |proxy: Option<&str>, own: &str, url: &str| {
        let gate = Gate::new(GateOptions {
            own_addresses: vec![own.parse().unwrap()],
            proxy: proxy.map(|proxy| proxy.parse::<Proxy>().unwrap()),
            ..GateOptions::default()
        });
        gate.judge(&policy(url), "/").is_ok()
    };
    let proxy = Some("http://proxy.example:3128");
    assert!(
        judge(None, "0.0.0.0:7070", "http://8.8.8.8:7070"),
        "told when it is open"
    );
    assert!(!judge(proxy, "0.0.0.0:7070", "http://8.8.8.8:7070"));
    assert!(judge(proxy, "0.0.0.0:7070", "http://8.8.8.8:7071"));
    assert!(judge(proxy, "127.0.0.1:7070", "http://8.8.8.8:7070"));
}
