//! Patterns that match what they say, and texts that are refused with the reason.

use super::*;
use url::Url;

#[test]
fn patterns_match_what_they_say() {
    // (pattern, url, matches)
    let rows = [
        (
            "https://api.example.com",
            "https://api.example.com/v1?x=1",
            true,
        ),
        (
            "https://api.example.com",
            "https://API.example.com./v1",
            true,
        ),
        ("https://api.example.com", "http://api.example.com/", false),
        (
            "https://api.example.com",
            "https://api.example.com:8443/",
            false,
        ),
        (
            "https://api.example.com",
            "https://api.example.com.evil.test/",
            false,
        ),
        (
            "https://api.example.com:8443",
            "https://api.example.com:8443/",
            true,
        ),
        ("https://*.example.com", "https://a.example.com/", true),
        ("https://*.example.com", "https://a.b.example.com/", true),
        ("https://*.example.com", "https://example.com/", false),
        ("https://*.example.com", "https://badexample.com/", false),
        ("https://*.0.0.1.nip.io", "https://127.0.0.1/", false),
        ("http://127.0.0.1:8888", "http://127.0.0.1:8888/v1", true),
        ("http://127.0.0.1:8888", "http://2130706433:8888/v1", true),
        ("http://127.0.0.1:8888", "http://localhost:8888/v1", false),
        ("http://10.0.0.0/8:8080", "http://10.1.2.3:8080/", true),
        ("http://10.0.0.0/8:8080", "http://11.1.2.3:8080/", false),
        ("http://10.0.0.0/8", "http://ten.example.com/", false),
        ("http://[::1]:9", "http://[0:0:0:0:0:0:0:1]:9/", true),
        ("http://[fd00::/8]:9", "http://[fd12::1]:9/", true),
        (
            "https://münchen.example",
            "https://xn--mnchen-3ya.example/",
            true,
        ),
    ];
    for (pattern, url, matches) in rows {
        let parsed: HostPattern = pattern.parse().unwrap();
        assert_eq!(
            parsed.matches(&Url::parse(url).unwrap()),
            matches,
            "{pattern} {url}"
        );
        let again: HostPattern = parsed.to_string().parse().unwrap();
        assert_eq!(again, parsed, "{pattern} spelled {parsed}");
    }
}

#[test]
fn bad_patterns_teach() {
    let rows = [
        ("*", "every host"),
        ("https://*", "every host"),
        ("https://*:443", "every host"),
        ("https://*/", "every host"),
        ("https://*", "--allow-any-host"),
        ("http://*", "every host"),
        ("https://0.0.0.0/0", "every host"),
        ("https://[::/0]", "every host"),
        ("http://[::/0]:8080", "every host"),
        ("https://*.com", "every host"),
        ("api.example.com", "write https://api.example.com"),
        ("ftp://a.example", "http or https"),
        ("https://a.example/v1", "scheme://host[:port]"),
        ("https://u:p@a.example", "scheme://host[:port]"),
        ("https://a.*.example", "wildcard"),
        ("https://*foo.example", "wildcard"),
        ("*://a.example", "http or https"),
        ("", "no scheme"),
        ("https://", "scheme://host[:port]"),
        ("https://.", "single dots"),
        ("https://a..example", "single dots"),
        ("https://*..example", "single dots"),
        ("https://\"", "letters, digits"),
        ("https://a,b", "letters, digits"),
        ("https://a.example:0", "port"),
        ("https://a.example:99999", "not a host"),
        ("http://10.0.0.0/8:0", "port"),
        ("http://[fd00::/8]9", "scheme://host[:port]"),
        ("http://[fd00::/8].evil.example", "scheme://host[:port]"),
        ("http://[fd00::/8", "scheme://host[:port]"),
        ("http://10.0.0.0/99", "scheme://host[:port]"),
    ];
    for (pattern, message) in rows {
        let error = pattern.parse::<HostPattern>().unwrap_err().to_string();
        assert!(error.contains(message), "{pattern}: {error}");
    }
}

#[test]
fn base_url_asks_for_the_connections_origin() {
    let base = Url::parse("https://h.example/v1").unwrap();
    let request = HostRequest::try_from("base-url".to_owned()).unwrap();
    assert!(request.matches(&Url::parse("https://h.example/other").unwrap(), &base));
    assert!(!request.matches(&Url::parse("https://h.example:444/").unwrap(), &base));
}

#[test]
fn every_host_is_a_pattern_only_where_it_is_asked_for() {
    // (text, what parse_wide makes of it)
    let rows = [
        ("https://*", Ok("https://*")),
        ("https://*/", Ok("https://*")),
        ("https://*:443", Ok("https://*")),
        ("https://*:8443", Ok("https://*:8443")),
        ("https://a.example", Ok("https://a.example")),
        ("*", Err("every host")),
        ("http://*", Err("every host")),
        ("https://*:0", Err("port")),
        ("https://*:x", Err("port")),
        ("https://*foo", Err("wildcard")),
        ("https://0.0.0.0/0", Err("every host")),
    ];
    for (text, want) in rows {
        match (HostPattern::parse_wide(text), want) {
            (Ok(pattern), Ok(want)) => assert_eq!(pattern.to_string(), want),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
            (got, _) => panic!("{text}: {got:?}"),
        }
        assert!(
            !text.contains("//*") || text.parse::<HostPattern>().is_err(),
            "{text}"
        );
    }
    // A grant of it survives being stored, and a manifest may request it.
    let grants = Grants {
        hosts: vec![HostPattern::any_host()],
        ..Grants::default()
    };
    let stored = serde_json::to_string(&grants).unwrap();
    assert_eq!(serde_json::from_str::<Grants>(&stored).unwrap(), grants);
    assert!(HostRequest::try_from("https://*".to_owned()).is_ok());
    assert!(HostRequest::try_from("*".to_owned()).is_err());
    // Every name, and no address, other scheme or other port.
    for (url, matches) in [
        ("https://any.example/x", true),
        ("http://any.example/", false),
        ("https://any.example:8443/", false),
        ("https://127.0.0.1/", false),
        ("https://[::1]/", false),
    ] {
        let url = Url::parse(url).unwrap();
        assert_eq!(HostPattern::any_host().matches(&url), matches, "{url}");
    }
}

#[test]
fn a_pattern_covers_what_lies_within_it() {
    // (a, b, a covers b, b covers a)
    let rows = [
        ("https://*", "https://a.example", true, false),
        ("https://*", "https://*.a.example", true, false),
        ("https://*", "https://*", true, true),
        ("https://*", "http://a.example", false, false),
        ("https://*", "https://a.example:8443", false, false),
        ("https://*:8443", "https://a.example:8443", true, false),
        ("https://*", "https://10.0.0.1", false, false),
        ("https://a.example", "https://a.example", true, true),
        ("https://a.example", "https://b.example", false, false),
        ("https://*.a.example", "https://x.a.example", true, false),
        ("https://*.a.example", "https://a.example", false, false),
        ("https://*.a.example", "https://xa.example", false, false),
        ("https://*.a.example", "https://*.b.a.example", true, false),
        ("http://10.0.0.0/8", "http://10.1.0.0/16", true, false),
        ("http://10.0.0.0/8", "http://10.1.2.3", true, false),
        ("http://10.0.0.0/8", "http://11.1.2.3", false, false),
    ];
    let parse = |text| HostPattern::parse_wide(text).unwrap();
    for (a, b, covers, is_covered) in rows {
        assert_eq!(parse(a).covers(&parse(b)), covers, "{a} and {b}");
        assert_eq!(parse(b).covers(&parse(a)), is_covered, "{b} and {a}");
        assert_eq!(parse(a).meets(&parse(b)), covers || is_covered, "{a}, {b}");
    }
}
