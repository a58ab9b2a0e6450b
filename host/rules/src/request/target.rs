//! Where a request goes: the guest's text and the connection's base URL make one URL, or an error.

use url::{ParseError, Url};

use super::RequestError;
use crate::grant::HostPattern;
use crate::limits::{HOST_BYTES_MAX, URL_BYTES_MAX};

/// The URL that the guest's `text` means, for a connection at `base`.
///
/// Absolute URLs stand for themselves. Anything else is appended to the base URL's own path, with
/// one slash between, and has to stay below it: `..` that leads out is refused, because it comes
/// from an id that nobody escaped. `//host/…` is refused rather than taken for a path, because
/// everywhere else it means another host. A fragment is dropped; a base URL's query is not used.
pub fn resolve(text: &str, base: &Url) -> Result<Url, RequestError> {
    if text.len() > URL_BYTES_MAX {
        return Err(RequestError::invalid(format!(
            "the URL has {} bytes; the most is {URL_BYTES_MAX}",
            text.len()
        )));
    }
    // The parser would drop these silently, and then the URL says something else than its text.
    if text.chars().any(|c| c.is_control()) || text.trim() != text {
        return Err(RequestError::invalid(format!(
            "the URL {} has spaces around it or a control character in it",
            quoted(text)
        )));
    }
    let mut url = match Url::parse(text) {
        Ok(url) => url,
        Err(ParseError::RelativeUrlWithoutBase) => append(text, base)?,
        Err(error) => {
            return Err(RequestError::invalid(format!(
                "{} is not a URL: {error}",
                quoted(text)
            )));
        }
    };
    url.set_fragment(None);
    check_url(&url)?;
    Ok(url)
}

fn append(text: &str, base: &Url) -> Result<Url, RequestError> {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    if path.starts_with("//") || path.contains('\\') {
        return Err(RequestError::invalid(format!(
            "{} is unclear: write https://… for another host, or one / for a path of the base URL",
            quoted(text)
        )));
    }
    let mut root = base.clone();
    root.set_query(None);
    root.set_fragment(None);
    let prefix = root.as_str().trim_end_matches('/').to_owned();
    let between = if path.is_empty() || path.starts_with('/') {
        ""
    } else {
        "/"
    };
    let url = Url::parse(&format!("{prefix}{between}{text}")).map_err(|error| {
        RequestError::invalid(format!("{} is not a URL: {error}", quoted(text)))
    })?;
    let below = base.path().trim_end_matches('/');
    let rest = url.path().strip_prefix(below);
    if url.origin() != base.origin() || !rest.is_some_and(|r| r.is_empty() || r.starts_with('/')) {
        return Err(RequestError::invalid(format!(
            "{} leads out of the base URL's path {below:?}; escape ids in paths, or write the whole URL",
            quoted(text)
        )));
    }
    Ok(url)
}

/// What holds for every URL that is sent to, redirects too.
pub fn check_url(url: &Url) -> Result<(), RequestError> {
    let refuse = |reason: &str| Err(RequestError::invalid(format!("{}: {reason}", shown(url))));
    if !matches!(url.scheme(), "http" | "https") {
        return refuse("only http and https URLs can be requested");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("a URL has no user name and password; use the connection's credentials");
    }
    let Some(host) = url.host_str() else {
        return refuse("the URL has no host");
    };
    if url.port() == Some(0) {
        return refuse("port 0 can't be connected to");
    }
    // The URL standard lets quotes, braces and empty labels pass, and others read them in other ways.
    if HostPattern::of_origin(url).is_none() {
        return refuse("a host's name has letters, digits, dashes and single dots");
    }
    if host.len() > HOST_BYTES_MAX {
        return refuse("the host's name is longer than names can be, 253 bytes");
    }
    Ok(())
}

/// A URL for messages: without user, query and fragment, where secrets may be, and not too long.
pub fn shown(url: &Url) -> String {
    let text = match url.host_str() {
        Some(host) => {
            let port = url
                .port()
                .map(|port| format!(":{port}"))
                .unwrap_or_default();
            format!("{}://{host}{port}{}", url.scheme(), url.path())
        }
        None => format!("{}:…", url.scheme()),
    };
    cut(&text)
}

/// A guest's text for messages: without what follows the path.
fn quoted(text: &str) -> String {
    format!(
        "{:?}",
        cut(text.split(['?', '#']).next().unwrap_or_default())
    )
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_resolve_as_the_contract_says() {
        // (base, the guest's text, the URL or a part of the error)
        let rows = [
            (
                "https://h/v1",
                "/items?page=2",
                Ok("https://h/v1/items?page=2"),
            ),
            ("https://h/v1/", "/items", Ok("https://h/v1/items")),
            ("https://h/v1", "items", Ok("https://h/v1/items")),
            ("https://h/v1", "", Ok("https://h/v1")),
            ("https://h/v1", "/", Ok("https://h/v1/")),
            ("https://h/v1", "?page=2", Ok("https://h/v1?page=2")),
            (
                "https://h/v1?tenant=1#x",
                "/items",
                Ok("https://h/v1/items"),
            ),
            ("https://h", "/items", Ok("https://h/items")),
            ("https://h", "items", Ok("https://h/items")),
            ("https://h", "", Ok("https://h/")),
            ("https://h", "?a=b", Ok("https://h/?a=b")),
            ("https://h:8443/v1", "/items", Ok("https://h:8443/v1/items")),
            ("https://h/v1", "/items#part", Ok("https://h/v1/items")),
            ("https://h/v1", "/a//b", Ok("https://h/v1/a//b")),
            ("https://h/v1", "/a/../b", Ok("https://h/v1/b")),
            (
                "https://h/v1",
                "/a?next=//evil.example",
                Ok("https://h/v1/a?next=//evil.example"),
            ),
            (
                "https://h/v1",
                "/a?path=..\\..",
                Ok("https://h/v1/a?path=..\\.."),
            ),
            ("https://h/v1", "/users/@me", Ok("https://h/v1/users/@me")),
            (
                "https://h/v1",
                "@evil.example",
                Ok("https://h/v1/@evil.example"),
            ),
            ("https://h", "@evil.example", Ok("https://h/@evil.example")),
            ("https://h", ".evil.example", Ok("https://h/.evil.example")),
            ("https://h/v1", "/größe", Ok("https://h/v1/gr%C3%B6%C3%9Fe")),
            ("https://h/v1", "https://other/x", Ok("https://other/x")),
            ("https://h/v1", "HTTPS://OTHER:443/x", Ok("https://other/x")),
            ("https://h/v1", "https://h/v2", Ok("https://h/v2")),
            (
                "https://h/v1",
                "http://2130706433/",
                Ok("http://127.0.0.1/"),
            ),
            ("https://h/v1", "//evil.example/x", Err("unclear")),
            ("https://h/v1", "///evil.example/x", Err("unclear")),
            ("https://h/v1", "/\\evil.example/x", Err("unclear")),
            ("https://h/v1", "\\\\evil.example/x", Err("unclear")),
            ("https://h/v1", "/../admin", Err("leads out")),
            ("https://h/v1", "/a/../../admin", Err("leads out")),
            ("https://h/v1", "/%2e%2e/admin", Err("leads out")),
            ("https://h/v1", "/..", Err("leads out")),
            ("https://h/v1", "/../v10", Err("leads out")),
            (
                "https://h/v1",
                "file:///etc/passwd",
                Err("only http and https"),
            ),
            (
                "https://h/v1",
                "javascript:alert(1)",
                Err("only http and https"),
            ),
            ("https://h/v1", "items:5", Err("only http and https")),
            ("https://h/v1", "https://u:p@h/x", Err("no user name")),
            ("https://h/v1", "https://u@h/x", Err("no user name")),
            ("https://u:p@h/v1", "/x", Err("no user name")),
            ("https://h/v1", "https://h:0/x", Err("port 0")),
            ("https://h/v1", "https://h:99999/x", Err("not a URL")),
            ("https://h/v1", "https:///", Err("not a URL")),
            ("https://h/v1", "https://\"/", Err("letters, digits")),
            ("https://h/v1", "https://a,b/", Err("letters, digits")),
            ("https://h/v1", "https://a_b/", Ok("https://a_b/")),
            ("https://h/v1", "http://[fe80::1%25eth0]/", Err("not a URL")),
            ("https://h/v1", "http://1.2.3.4.5/", Err("not a URL")),
            ("https://h/v1", "http://256.1.1.1/", Err("not a URL")),
            ("https://h/v1", " https://h/", Err("spaces around")),
            ("https://h/v1", "/a\nb", Err("control character")),
            (
                "https://h/v1",
                "ht\ttps://evil.example",
                Err("control character"),
            ),
        ];
        for (base, text, want) in rows {
            let got = resolve(text, &Url::parse(base).unwrap());
            match (&got, want) {
                (Ok(url), Ok(want)) => assert_eq!(url.as_str(), want, "{base} + {text:?}"),
                (Err(error), Err(part)) => {
                    assert!(
                        error.to_string().contains(part),
                        "{base} + {text:?}: {error}"
                    );
                    assert!(matches!(error, RequestError::Invalid(_)));
                }
                _ => panic!("{base} + {text:?} gave {got:?}"),
            }
        }
        let long = format!("/{}", "a".repeat(URL_BYTES_MAX));
        assert!(resolve(&long, &Url::parse("https://h").unwrap()).is_err());
    }

    #[test]
    fn messages_show_no_query() {
        let url = Url::parse("https://u:p@h:1/a?key=canary#canary").unwrap();
        assert_eq!(shown(&url), "https://h:1/a");
        let error = resolve("//x?key=canary", &url).unwrap_err().to_string();
        assert!(!error.contains("canary"), "{error}");
    }
}
