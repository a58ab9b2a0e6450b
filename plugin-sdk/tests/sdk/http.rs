//! Requests, responses, and what failed ones mean.

use std::time::Duration;

use tidegate_sdk::Multipart;
use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{Reply, Retry, get, post};

use crate::{host, plugin, run};

#[test]
fn requests_arrive_as_built() {
    let host = host().respond(post("/items").json(json!({ "n": 1 })), json!(null));
    let outcome = run(&host, |cx| async move {
        cx.post("/items?a=1")
            .query("q", "x y&z")
            .query("limit", 100)
            .query_opt("none", None::<&str>)
            .header("X-Trace", "7")
            .json_body(&json!({ "n": 1 }))
            .timeout(Duration::from_millis(1_500))
            .never_retry()
            .idempotency_key("k1")
            .send()
            .await
            .map(drop)
    });
    outcome.assert_ok();
    let request = &outcome.requests[0];
    assert_eq!(request.url, "https://h/v1/items?a=1&q=x%20y%26z&limit=100");
    assert_eq!(request.query("q"), Some("x y&z"));
    assert_eq!(request.header("x-trace"), Some("7"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.timeout_ms, Some(1_500));
    assert_eq!(request.retry, Retry::Never);
    assert_eq!(request.idempotency_key.as_deref(), Some("k1"));
}

#[test]
fn forms_and_parts_are_bodies() {
    let host = host()
        .respond(post("/form"), json!(null))
        .respond(post("/parts"), json!(null));
    let outcome = run(&host, |cx| async move {
        let fields = [("grant type", "a&b".to_owned()), ("n", 7.to_string())];
        cx.post("/form").form_body(fields).send().await?;
        let parts = Multipart::new().text("a", "1");
        cx.post("/parts").multipart_body(parts).send().await?;
        let wrong = Multipart::new().part("a", "text/\n", "1");
        let refused = cx.post("/parts").multipart_body(wrong).send().await;
        assert!(refused.unwrap_err().message.contains("is no media type"));
        Ok(())
    });
    outcome.assert_ok();
    let [form, parts] = outcome.requests.as_slice() else {
        panic!("{:?}", outcome.requests);
    };
    let form_type = "application/x-www-form-urlencoded";
    assert_eq!(form.header("content-type"), Some(form_type));
    assert_eq!(form.body.as_deref(), Some(&b"grant+type=a%26b&n=7"[..]));
    let boundary = parts.header("content-type").unwrap();
    let boundary = boundary.strip_prefix("multipart/form-data; boundary=");
    let end = format!("\r\n\r\n1\r\n--{}--\r\n", boundary.unwrap());
    assert!(parts.body.as_deref().unwrap().ends_with(end.as_bytes()));
}

/// Links of several headers, seen from where the answer came from.
#[test]
fn links_are_seen_from_the_answer() {
    let reply = Reply::json(json!([]))
        .header(
            "Link",
            "<?page=1>; rel=\"self first\", <../x>; rel=up; title=\"a, <b>\"",
        )
        .header("link", "<?page=2>; rel=\"next\"");
    let host = host().respond(get("/a/items"), reply);
    let outcome = run(&host, |cx| async move {
        let response = cx.get("/a/items").query("page", 1).send().await?;
        for (relation, expected) in [
            ("next", Some("https://h/v1/a/items?page=2")),
            ("Self", Some("https://h/v1/a/items?page=1")),
            ("up", Some("https://h/v1/x")),
            ("last", None),
        ] {
            assert_eq!(response.link(relation).as_deref(), expected, "{relation}");
        }
        assert_eq!(response.resolve("#f"), "https://h/v1/a/items?page=1#f");
        assert_eq!(response.resolve("//other/x"), "https://other/x");
        Ok(())
    });
    outcome.assert_ok();
}

#[test]
fn responses_are_read() {
    let reply = Reply::status(201).header("X-Next", "2").body("[1,2]");
    let host = host().respond(get("/items"), reply);
    let outcome = run(&host, |cx| async move {
        let response = cx.get("/items").send().await?;
        assert_eq!(response.status(), 201);
        assert_eq!(response.header("x-next"), Some("2"));
        assert_eq!(response.header("x-none"), None);
        assert_eq!(response.text()?, "[1,2]");
        assert_eq!(response.bytes(), b"[1,2]");
        assert_eq!(response.json::<Vec<u8>>()?, [1, 2]);
        assert_eq!(response.url(), "https://h/v1/items");
        Ok(())
    });
    outcome.assert_ok();
}

#[test]
fn statuses_are_classified() {
    use FailureKind::{Auth, Rejected, Transient};
    // (the status, its kind, and its kind with `Retry-After`)
    for (status, kind, later) in [
        (400, Rejected, Transient),
        (401, Auth, Auth),
        (403, Auth, Transient),
        (404, Rejected, Transient),
        (408, Transient, Transient),
        (409, Rejected, Transient),
        (420, Transient, Transient),
        (422, Rejected, Transient),
        (423, Rejected, Transient),
        (425, Transient, Transient),
        (429, Transient, Transient),
        (430, Transient, Transient),
        (500, Transient, Transient),
        (501, Transient, Transient),
        (503, Transient, Transient),
        (599, Transient, Transient),
    ] {
        let plain = || Reply::status(status).body("no");
        is_classified(status, plain(), kind, None);
        let wait = (later == Transient).then_some(7_000);
        is_classified(status, plain().header("Retry-After", "7"), later, wait);
    }
    // A quota that is used up makes a 403 a rate limit.
    let spent = Reply::status(403)
        .header("X-RateLimit-Remaining", "0")
        .header("X-RateLimit-Reset", "9")
        .body("no");
    is_classified(403, spent, Transient, Some(9_000));
    for status in [200, 204, 304] {
        let host = host().respond(get("/x"), Reply::status(status));
        run(
            &host,
            |cx| async move { cx.get("/x").send().await.map(drop) },
        )
        .assert_ok();
    }
}

/// The failure of a request that is answered with `reply`, whose body is `no`.
fn is_classified(status: u16, reply: Reply, kind: FailureKind, retry_after_ms: Option<u64>) {
    let host = host().respond(get("/x"), reply);
    let outcome = run(
        &host,
        |cx| async move { cx.get("/x").send().await.map(drop) },
    );
    let failure = outcome.failure();
    let found = (failure.kind, failure.retry_after_ms);
    assert_eq!(found, (kind, retry_after_ms), "{status}");
    assert_eq!(failure.code, Some(format!("http-{status}")));
    assert_eq!(
        failure.message,
        format!("GET https://h/v1/x answered {status}: no")
    );
    let upstream = failure.upstream.as_deref().unwrap();
    assert_eq!((upstream.status, upstream.body.as_str()), (status, "no"));
}

#[test]
fn any_status_is_a_response_when_asked() {
    let host = host().respond_status(get("/x"), 404, json!({ "e": 1 }));
    let outcome = run(&host, |cx| async move {
        let response = cx.get("/x").send_any().await?;
        assert_eq!(response.status(), 404);
        assert_eq!(response.json::<Value>()?["e"], 1);
        Ok(())
    });
    outcome.assert_ok();
}

#[test]
fn retry_after_as_a_date() {
    let reply = Reply::status(503).header("Retry-After", "Thu, 01 Jan 2026 00:00:30 GMT");
    let host = host().respond(get("/x"), reply);
    let outcome = run(
        &host,
        |cx| async move { cx.get("/x").send().await.map(drop) },
    );
    assert_eq!(outcome.failure().retry_after_ms, Some(30_000));
}

#[test]
fn a_long_body_is_cut_at_a_character() {
    let host = host().respond(get("/x"), Reply::status(400).body("é".repeat(40_000)));
    let outcome = run(
        &host,
        |cx| async move { cx.get("/x").send().await.map(drop) },
    );
    let failure = outcome.failure();
    assert_eq!(failure.upstream.as_deref().unwrap().body.len(), 64 * 1024);
    assert!(failure.message.len() < 300, "{failure}");
}

#[test]
fn requests_without_an_answer() {
    use FailureKind::{Config, Other, Transient};
    for (reply, kind, code) in [
        (Reply::timeout(), Transient, "http-timeout"),
        (Reply::connect_error(), Transient, "http-connect"),
        (Reply::too_large(), Other, "http-too-large"),
        (Reply::exhausted(), Other, "http-exhausted"),
    ] {
        let host = host().respond(get("/x"), reply);
        let outcome = run(
            &host,
            |cx| async move { cx.get("/x").send().await.map(drop) },
        );
        let failure = outcome.failure();
        assert_eq!((failure.kind, failure.code.as_deref()), (kind, Some(code)));
        assert!(failure.message.starts_with("GET /x: "), "{failure}");
    }
    for (url, header, kind, code) in [
        ("https://other/x", "X", Config, "http-denied"),
        ("/x", "Host", Other, "http-invalid"),
        ("/x", "content-length", Other, "http-invalid"),
    ] {
        let outcome = run(&host(), move |cx| async move {
            cx.get(url).header(header, "1").send().await.map(drop)
        });
        let failure = outcome.failure();
        assert_eq!(
            (failure.kind, failure.code.as_deref()),
            (kind, Some(code)),
            "{url} {header}"
        );
    }
}

#[test]
fn relative_urls_need_a_base_url() {
    let host = tidegate_sdk::test::FakeHost::new();
    let outcome = run(
        &host,
        |cx| async move { cx.get("/x").send().await.map(drop) },
    );
    assert_eq!(outcome.failure().code.as_deref(), Some("http-invalid"));
}

#[test]
fn bodies_that_are_not_what_was_expected() {
    use FailureKind::{Other, Transient};
    for (body, kind, code, says) in [
        (
            b"<html>".as_slice(),
            Transient,
            "response-not-json",
            "expected value at line 1 column 1 (it begins: <html>)",
        ),
        (b"", Transient, "response-not-json", "EOF"),
        (b"[1,", Transient, "response-not-json", "EOF"),
        (
            b"[\"\xff\"]",
            Other,
            "response-invalid",
            "with a body that is not UTF-8",
        ),
        (
            b"{\"a\":1}",
            Other,
            "response-invalid",
            "expected a sequence at line 1 column 0",
        ),
        (
            b"[1,\"x\"]",
            Other,
            "response-invalid",
            "expected u64 at line 1 column 6",
        ),
    ] {
        let host = host().respond(get("/x"), Reply::status(200).body(body));
        let outcome = run(&host, |cx| async move {
            cx.get("/x").json::<Vec<u64>>().await.map(drop)
        });
        let failure = outcome.failure();
        assert_eq!(
            (failure.kind, failure.code.as_deref()),
            (kind, Some(code)),
            "{failure}"
        );
        assert!(
            failure.message.contains(says),
            "{failure} does not say {says}"
        );
        assert!(
            failure
                .message
                .starts_with("GET https://h/v1/x answered 200"),
            "{failure}"
        );
    }
}

#[test]
fn a_body_that_can_not_be_json_is_told_by_send() {
    let outcome = run(&host(), |cx| async move {
        let body = std::collections::BTreeMap::from([((1, 2), 3)]);
        cx.post("/x").json_body(&body).send().await.map(drop)
    });
    assert!(outcome.failure().message.starts_with("POST /x: the body: "));
    assert!(outcome.requests.is_empty());
}

#[test]
fn requests_overlap() {
    let slow = |id: u64| Reply::json(json!(id)).delay(Duration::from_millis(20 * id));
    let host = (1..=3).fold(host(), |host, id| {
        host.respond(get(format!("/{id}")), slow(id))
    });
    let outcome = run(&host, |cx| async move {
        let begun = cx.now();
        let requests = (1..=3).map(|id| cx.get(format!("/{id}")).json::<u64>());
        assert_eq!(try_join_all(requests).await?, [1, 2, 3]);
        assert_eq!(cx.now() - begun, 60);
        Ok(())
    });
    assert_eq!(outcome.assert_ok().in_flight_max, 3);
}

#[test]
fn a_host_by_its_origin() {
    let plugin =
        plugin(|cx| async move { cx.get("https://a.example.com/x?y=1").send().await.map(drop) })
            .host("https://*.example.com");
    let host = host().respond(get("https://a.example.com/x").query("y", 1), json!(null));
    host.run_sync(plugin, "s").assert_ok();
}
