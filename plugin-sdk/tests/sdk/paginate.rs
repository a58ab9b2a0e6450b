//! The pagination styles against small APIs, their ends and their loops.

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{FakeHost, Reply, Request};

use crate::{host, run};

const ITEMS: u64 = 7;

/// Items `from..from + size` of 0..7, as `{"items": […]}` with more members.
fn items(from: u64, size: u64, more: Value) -> Reply {
    let items: Vec<Value> = (from..ITEMS.min(from + size))
        .map(|id| json!({ "id": id }))
        .collect();
    let mut body = more;
    body["items"] = json!(items);
    Reply::json(body)
}

fn number(request: &Request, name: &str) -> Option<u64> {
    request.query(name)?.parse().ok()
}

/// Pages by each style, three items a page.
fn api(request: &Request) -> Option<Reply> {
    let next = |from: u64| (from + 3 < ITEMS).then_some(from + 3);
    let at = number(request, "at").unwrap_or(0);
    Some(match request.path.as_str() {
        "/cursor" => items(
            at,
            3,
            json!({ "meta": { "next": next(at).map(|n| n.to_string()) } }),
        ),
        "/cursor-number" => items(at, 3, json!({ "meta": { "next": next(at) } })),
        "/cursor-empty" => {
            let cursor = next(at).map(|n| n.to_string()).unwrap_or_default();
            items(at, 3, json!({ "meta": { "next": cursor } }))
        }
        "/more" => items(
            at,
            3,
            json!({ "meta": { "next": at + 3 }, "more": next(at).is_some() }),
        ),
        "/page" => items((number(request, "page")? - 1) * 3, 3, json!({})),
        "/page-capped" => items((number(request, "page")? - 1) * 2, 2, json!({})),
        "/offset" => items(number(request, "offset")?, 3, json!({})),
        "/link" => {
            let reply = items(at, 3, json!({}));
            match next(at) {
                Some(next) => reply
                    .header("link", "<https://h/v1/link>; rel=\"first\"")
                    .header("Link", format!("<?at={next}>; rel=\"next\"")),
                None => reply,
            }
        }
        "/url" => {
            let url = next(at).map(|next| format!("/v1/url?at={next}&x=1"));
            items(at, 3, json!({ "next": url }))
        }
        _ => return None,
    })
}

fn styles() -> Vec<(&'static str, Paginate, Vec<Value>, usize)> {
    let cursor = || Paginate::cursor("/meta/next", "at").items("/items");
    let page = || Paginate::page("page", 1).items("/items");
    let cursors = |a: &str, b: &str| vec![json!({ "cursor": a }), json!({ "cursor": b })];
    let pages = |last: u64| (2..=last).map(|n| json!({ "page": n })).collect();
    let offsets = |all: &[u64]| all.iter().map(|n| json!({ "offset": n })).collect();
    let urls = |a: &str, b: &str| vec![json!({ "url": a }), json!({ "url": b })];
    vec![
        ("/cursor", cursor(), cursors("3", "6"), 3),
        ("/cursor-number", cursor(), cursors("3", "6"), 3),
        ("/cursor-empty", cursor(), cursors("3", "6"), 3),
        ("/more", cursor().more("/more"), cursors("3", "6"), 3),
        // Only an empty page ends.
        ("/page", page(), pages(4), 4),
        ("/page", page().size("size", 3), pages(4), 4),
        // The server gives two a page when asked for three.
        ("/page-capped", page().size("size", 3), pages(5), 5),
        (
            "/offset",
            Paginate::offset("offset").items("/items"),
            offsets(&[3, 6, 7]),
            4,
        ),
        (
            "/offset",
            Paginate::offset("offset").items("/items").size("limit", 3),
            offsets(&[3, 6, 7]),
            4,
        ),
        (
            "/link",
            Paginate::link().items("/items"),
            urls("https://h/v1/link?at=3", "https://h/v1/link?at=6"),
            3,
        ),
        (
            "/url",
            Paginate::next_url("/next").items("/items"),
            urls("https://h/v1/url?at=3&x=1", "https://h/v1/url?at=6&x=1"),
            3,
        ),
    ]
}

/// Store all pages; the checkpoint is the position.
async fn pull(cx: Cx, path: &'static str, style: Paginate) -> Result<()> {
    let from = cx.checkpoint::<Option<Position>>()?.flatten();
    let mut pages = cx.get(path).paginate(style.from(from));
    while let Some(page) = pages.next().await? {
        cx.batch("M")
            .save_raw(page.raw_items()?)?
            .checkpoint(&page.next_position())?
            .commit()
            .await?;
    }
    Ok(())
}

#[test]
fn every_style_reads_everything_and_ends() {
    for (path, style, positions, requests) in styles() {
        let style_again = style.clone();
        let outcome = run(&host().on(api), move |cx| pull(cx, path, style.clone()));
        outcome.assert_ok();
        assert_eq!(outcome.records("M").len() as u64, ITEMS, "{path}");
        assert_eq!(outcome.requests.len(), requests, "{path} {style_again:?}");
        let seen: Vec<Value> = outcome
            .commits
            .iter()
            .filter_map(|c| c.checkpoint.clone())
            .collect();
        assert_eq!(seen[..seen.len() - 1], positions[..], "{path}");
        assert_eq!(seen.last(), Some(&Value::Null), "{path}");
    }
}

#[test]
fn every_style_goes_on_at_a_position() {
    for (path, style, _, requests) in styles() {
        let host = host().on(api);
        let first = style.clone();
        let killed = host.clone().kill_after_commits(1);
        run(&killed, move |cx| pull(cx, path, first.clone()));
        let outcome = run(&host, move |cx| pull(cx, path, style.clone()));
        outcome.assert_ok();
        assert_eq!(outcome.records("M").len() as u64, ITEMS, "{path}");
        assert!(outcome.requests.len() < requests, "{path}");
    }
}

#[test]
fn loops_are_failures() {
    let again = |host: FakeHost, body: Value| host.on(move |_| Some(Reply::json(body.clone())));
    for (style, body, says, committed) in [
        (
            Paginate::cursor("/next", "at"),
            json!({ "next": "a" }),
            "page 2: the cursor `a` comes again",
            1,
        ),
        (
            Paginate::next_url("/next"),
            json!({ "next": "/v1/x?a" }),
            "the URL https://h/v1/x?a comes again",
            1,
        ),
        (
            Paginate::page("page", 0),
            json!({}),
            "two pages in a row are the same",
            1,
        ),
        (
            Paginate::offset("offset"),
            json!({}),
            "two pages in a row are the same",
            1,
        ),
    ] {
        let mut body = body;
        body["items"] = json!([{ "id": 1 }]);
        let style = style.items("/items");
        let outcome = run(&again(host(), body), move |cx| {
            pull(cx, "/x", style.clone())
        });
        let failure = outcome.failure();
        assert_eq!(
            (failure.kind, failure.code.as_deref()),
            (FailureKind::Other, Some("pagination-loop"))
        );
        assert!(
            failure.message.contains(says),
            "{failure} does not say {says}"
        );
        assert_eq!(outcome.commits.len(), committed);
    }
}

#[test]
fn a_loop_of_several_cursors_is_found() {
    let host = host().on(|request| {
        let next = match request.query("at") {
            None => "a",
            Some("a") => "b",
            Some(_) => "a",
        };
        Some(Reply::json(json!({ "next": next, "items": [] })))
    });
    let style = Paginate::cursor("/next", "at").items("/items");
    let outcome = run(&host, move |cx| pull(cx, "/x", style.clone()));
    assert!(
        outcome
            .failure()
            .message
            .contains("page 3: the cursor `a` comes again")
    );
}

#[test]
fn a_position_that_names_itself_is_a_loop() {
    let host = host()
        .checkpoint("s", json!({ "cursor": "a" }))
        .on(|_| Some(Reply::json(json!({ "next": "a", "items": [{ "id": 1 }] }))));
    let style = Paginate::cursor("/next", "at").items("/items");
    let outcome = run(&host, move |cx| pull(cx, "/x", style.clone()));
    let says = "page 1: the cursor `a` comes again";
    assert!(outcome.failure().message.contains(says));
    assert!(outcome.commits.is_empty());
}

#[test]
fn an_empty_page_that_names_itself_ends() {
    let host = host()
        .checkpoint("s", json!({ "cursor": "a" }))
        .on(|_| Some(Reply::json(json!({ "next": "a", "items": [] }))));
    let style = Paginate::cursor("/next", "at").items("/items");
    let outcome = run(&host, move |cx| pull(cx, "/x", style.clone()));
    assert_eq!(outcome.assert_ok().requests.len(), 1);
}

#[test]
fn short_pages_are_not_the_end() {
    let host = host().on(|request| {
        let page: Vec<Value> = match number(request, "page")? {
            1 => vec![json!({ "id": 1 }), json!({ "id": 2 })],
            2 => vec![json!({ "id": 3 })],
            3 => vec![json!({ "id": 4 }), json!({ "id": 5 })],
            4 => vec![json!({ "id": 6 })],
            _ => return Some(Reply::status(404)),
        };
        Some(Reply::json(page))
    });
    let style = Paginate::page("page", 1).size("size", 2);
    let outcome = run(&host, move |cx| pull(cx, "/x", style.clone()));
    assert_eq!(outcome.assert_ok().records("M").len(), 6);
}

#[test]
fn a_cursor_that_never_ends_does() {
    let mut count = 0_u64;
    let host = host().on(move |_| {
        count += 1;
        Some(Reply::json(json!({ "next": count })))
    });
    let outcome = run(&host, |cx| async move {
        let mut pages = cx.get("/x").paginate(Paginate::cursor("/next", "at"));
        while pages.next().await?.is_some() {}
        Ok(())
    });
    assert!(outcome.failure().message.contains("more than 100000 pages"));
    assert_eq!(outcome.requests.len(), 100_000);
}

#[test]
fn a_page_that_failed_can_be_asked_for_again() {
    let mut calls = 0;
    let host = host().on(move |request| {
        calls += 1;
        if calls == 2 {
            Some(Reply::status(503))
        } else {
            api(request)
        }
    });
    let outcome = run(&host, |cx| async move {
        let style = Paginate::cursor("/meta/next", "at").items("/items");
        let mut pages = cx.get("/cursor").paginate(style);
        let mut ids: Vec<u64> = Vec::new();
        loop {
            match pages.next().await {
                Ok(None) => break,
                Ok(Some(page)) => {
                    let items: Vec<Value> = page.items()?;
                    ids.extend(items.iter().filter_map(|item| item["id"].as_u64()));
                }
                Err(failure) if failure.kind == FailureKind::Transient => {}
                Err(failure) => return Err(failure),
            }
        }
        assert_eq!(ids, [0, 1, 2, 3, 4, 5, 6]);
        Ok(())
    });
    assert_eq!(outcome.assert_ok().requests.len(), 4);
}

#[test]
fn pages_that_are_not_what_was_expected() {
    let style = || Paginate::cursor("/next", "at").items("/items");
    for (body, says) in [
        (
            json!({ "item": [] }),
            "at /items: there is nothing at this place",
        ),
        (
            json!({ "items": {} }),
            "at /items: invalid type: map, expected a sequence",
        ),
        (
            json!({ "items": [{ "id": 1 }, { "id": "x" }] }),
            "at /items/1: invalid type: string \"x\", expected u64 at line 1 column 9 of {\"id\":\"x\"}",
        ),
        (
            json!({ "items": [], "next": {} }),
            "at /next: expected a text, a number or null",
        ),
    ] {
        let host = host().on(move |_| Some(Reply::json(body.clone())));
        let outcome = run(&host, move |cx| async move {
            #[derive(Deserialize)]
            struct Item {
                #[serde(rename = "id")]
                _id: u64,
            }
            let mut pages = cx.get("/x").paginate(style());
            while let Some(page) = pages.next().await? {
                page.items::<Item>()?;
            }
            Ok(())
        });
        let failure = outcome.failure();
        assert_eq!(failure.code.as_deref(), Some("response-invalid"));
        assert!(
            failure.message.contains(says),
            "{failure} does not say {says}"
        );
    }
}

#[test]
fn other_values_of_a_page() {
    let host = host().on(|_| {
        Some(Reply::json(
            json!({ "items": null, "as_of": "T", "n": null }),
        ))
    });
    let outcome = run(&host, |cx| async move {
        let mut pages = cx
            .get("/x")
            .paginate(Paginate::cursor("/next", "at").items("/items"));
        let page = pages.next().await?.context("a page")?;
        assert!(page.items::<Value>()?.is_empty(), "null is an empty page");
        assert_eq!(page.at::<String>("/as_of")?.as_deref(), Some("T"));
        assert_eq!(page.at::<u64>("/n")?, None);
        assert_eq!(page.at::<u64>("/nothing")?, None);
        assert!(page.at::<u64>("/as_of").is_err());
        assert_eq!((page.position(), page.next_position()), (None, None));
        assert_eq!(page.response().status(), 200);
        assert!(page.text().starts_with('{'));
        Ok(())
    });
    outcome.assert_ok();
}

#[test]
fn a_position_of_another_style() {
    let host = host().checkpoint("s", json!({ "page": 3 })).on(api);
    let style = Paginate::cursor("/meta/next", "at").items("/items");
    let outcome = run(&host, move |cx| pull(cx, "/cursor", style.clone()));
    let failure = outcome.failure();
    assert_eq!(failure.kind, FailureKind::Config);
    assert!(failure.message.contains("--reset"), "{failure}");
}

#[test]
fn what_leads_nowhere_is_told() {
    // (the style, what the log says)
    for (style, says) in [
        (Paginate::cursor("/next", "at").size("n", 2), None),
        (
            Paginate::cursor("/nxt", "at").size("n", 2),
            Some("anything at /nxt"),
        ),
        (Paginate::cursor("/nxt", "at"), Some("anything at /nxt")),
        // A page that is not full needs no next one.
        (Paginate::cursor("/nxt", "at").size("n", 3), None),
        (
            Paginate::next_url("/links/next").size("n", 2),
            Some("anything at /links/next"),
        ),
        (Paginate::link().size("n", 2), Some("header Link")),
        (Paginate::link(), None),
        (
            Paginate::cursor("/next", "at").more("/more"),
            Some("anything at /more"),
        ),
        (Paginate::cursor("/next", "at").more("/has_more"), None),
        (
            Paginate::cursor("/next", "at").size("n", 1),
            Some("`n`: a page has 2 items, and 1 were asked for"),
        ),
    ] {
        let shown = format!("{style:?}");
        let host = host().on(|_| {
            Some(Reply::json(
                json!({ "items": [1, 2], "next": null, "has_more": false }),
            ))
        });
        let outcome = run(&host, move |cx| {
            let style = style.clone().items("/items");
            async move {
                let mut pages = cx.get("/x").paginate(style);
                while pages.next().await?.is_some() {}
                Ok(())
            }
        });
        let logs = &outcome.assert_ok().logs;
        assert_eq!(logs.len(), usize::from(says.is_some()), "{shown}: {logs:?}");
        assert!(
            says.is_none_or(|says| logs[0].message.contains(says)),
            "{shown}: {logs:?}"
        );
    }
}
