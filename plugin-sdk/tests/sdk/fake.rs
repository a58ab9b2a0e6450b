//! The fake host tells a test what is wrong with it.

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{Reply, any, get, post};

use crate::{host, plugin, run};

async fn get_x(cx: Cx) -> Result<()> {
    cx.get("/x?n=1").send().await.map(drop)
}

#[test]
#[should_panic(expected = "unexpected request: GET https://h/v1/x?n=1
  responses that were set up:
    GET /y
    POST /x, n=2, no m, A: b, body {\"c\":1} (always)")]
fn a_request_that_nothing_answers() {
    let host = host().respond(get("/y"), json!(1)).respond_always(
        post("/x")
            .query("n", 2)
            .without_query("m")
            .header("A", "b")
            .json(json!({ "c": 1 })),
        json!(2),
    );
    run(&host, get_x);
}

#[test]
#[should_panic(expected = "GET /x (used)")]
fn a_response_answers_one_request() {
    let host = host().respond(get("/x"), json!(1));
    run(&host, |cx| async move {
        get_x(cx.clone()).await?;
        get_x(cx).await
    });
}

#[test]
#[should_panic(expected = "responses that nobody asked for:\n  GET /y")]
fn a_response_that_nobody_asked_for() {
    let host = host()
        .respond(get("/x"), json!(1))
        .respond(get("/y"), json!(1));
    run(&host, get_x).assert_ok();
    host.assert_all_used();
}

#[test]
#[should_panic(
    expected = "the host would refuse this plugin: the manifest is not valid at syncs: \"s\" is listed twice"
)]
fn a_declaration_that_the_host_would_refuse() {
    let plugin = plugin(get_x).sync(Sync::new("s", get_x));
    host().run_sync(plugin, "s");
}

#[test]
#[should_panic(expected = "sync s waits for something that never comes")]
fn a_run_that_waits_for_ever() {
    run(&host(), |_| std::future::pending());
}

#[test]
#[should_panic(expected = "the run failed: GET https://h/v1/x?n=1 answered 500 (transient)")]
fn a_run_that_should_have_succeeded() {
    run(&host().respond(any("/x"), Reply::status(500)), get_x).assert_ok();
}

#[test]
#[should_panic(expected = "the run succeeded")]
fn a_run_that_should_have_failed() {
    run(&host().respond(any("/x"), Reply::status(200)), get_x).failure();
}

#[test]
fn responses_are_taken_in_their_order() {
    let host = host()
        .respond(get("/x"), json!(1))
        .respond_always(get("/x"), json!(3))
        .respond(get("/x"), json!(2))
        .on(|request| (request.path == "/z").then(|| Reply::json(json!(4))));
    let outcome = run(&host, |cx| async move {
        for (path, expected) in [("/x", 1), ("/x", 3), ("/x", 3), ("/z", 4)] {
            assert_eq!(cx.get(path).json::<u64>().await?, expected);
        }
        Ok(())
    });
    assert_eq!(outcome.assert_ok().in_flight_max, 1);
}

#[test]
fn requests_wait_until_fewer_are_in_flight() {
    // (the limit that the operator sets, the most at once, how long it takes)
    for (limit, most, ms) in [
        (None, 16, 2_000),
        (Some(3), 3, 7_000),
        (Some(64), 20, 1_000),
    ] {
        let host = host().now(0).respond_always(
            any("/x"),
            Reply::json(json!(1)).delay(std::time::Duration::from_secs(1)),
        );
        let host = match limit {
            Some(limit) => host.limit("http_in_flight", limit),
            None => host,
        };
        let outcome = run(&host, move |cx| async move {
            let all = (0..20).map(|_| cx.get("/x").send());
            try_join_all(all).await?;
            assert_eq!(cx.now(), ms);
            Ok(())
        });
        assert_eq!(outcome.assert_ok().in_flight_max, most);
    }
}

#[test]
#[should_panic(expected = "the host would refuse what the operator sets: unknown limit \"http\"")]
fn a_limit_that_there_is_none_of() {
    run(&host().limit("http", 1), get_x);
}

#[test]
#[should_panic(expected = "no operator can grant this")]
fn a_grant_that_there_is_none_of() {
    drop(host().allow_host("https://*"));
}
