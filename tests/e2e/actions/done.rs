//! Done or not done: what becomes of an action whose request was taken, or may have been, and whose answer is of no use.

use serde_json::json;

use super::{Acts, UPSTREAM};
use crate::support::cli::RUN_FAILED;
use crate::support::server::Reply;

/// The same input twice under one key: the exit code, the failure's class and code, whether it may be done, and how often
/// the API was asked.
#[test]
fn what_may_be_done_is_not_done_again() {
    let html = "<html>We'll be back</html>";
    let other = Reply::status(302).header("Location", "/login");
    for (name, reply, code, class, word, asked) in [
        // It is done, and the answer can't be used.
        (
            "a text",
            Reply::text("OK"),
            RUN_FAILED,
            "other",
            Some("response-not-json"),
            1,
        ),
        (
            "a page",
            Reply::text(html),
            RUN_FAILED,
            "other",
            Some("response-not-json"),
            1,
        ),
        // Without an id it is not stored, which is a line in the log; here the output needs one too.
        (
            "no record",
            Reply::json(&json!({"made": 1})),
            RUN_FAILED,
            "other",
            Some("output-invalid"),
            1,
        ),
        // Nobody knows.
        (
            "a lost answer",
            Reply::json(&json!({"id": "i1"})).cut(),
            RUN_FAILED,
            "other",
            Some("outcome-unknown"),
            1,
        ),
        (
            "a gateway without",
            Reply::status(502),
            RUN_FAILED,
            "other",
            Some("outcome-unknown"),
            1,
        ),
        (
            "a gateway in time",
            Reply::status(504),
            RUN_FAILED,
            "other",
            Some("outcome-unknown"),
            1,
        ),
        // It is not done.
        (
            "an API that fails",
            Reply::status(503),
            UPSTREAM,
            "transient",
            None,
            2,
        ),
        (
            "one that breaks",
            Reply::status(500),
            UPSTREAM,
            "transient",
            None,
            2,
        ),
        (
            "a redirect",
            other,
            RUN_FAILED,
            "config",
            Some("http-redirected"),
            2,
        ),
    ] {
        let acts = Acts::new(move |_| reply.clone());
        for repeated in [false, true] {
            let finished = acts.keyed("k", "create", &json!({"name": "Ada"}));
            finished.expect_code(code);
            let said = finished.json();
            let failure = &said["failure"];
            assert_eq!(failure["class"], class, "{name}: {failure}");
            if let Some(word) = word {
                assert_eq!(failure["code"], word, "{name}: {failure}");
            }
            let may_be_done = asked == 1;
            assert_eq!(
                failure["may_be_done"] == true,
                may_be_done,
                "{name}: {failure}"
            );
            assert_eq!(said["repeated"], repeated && may_be_done, "{name}");
        }
        assert_eq!(acts.asked().len(), asked, "{name}");
    }
}

#[test]
fn a_first_write_counts_though_a_second_fails() {
    let acts = Acts::new(|request| match request.path() {
        "/a" => Reply::json(&json!({})),
        _ => Reply::status(503),
    });
    for _ in 0..2 {
        let finished = acts.keyed("k", "twice", &json!({}));
        finished.expect_code(RUN_FAILED);
        let failure = &finished.json()["failure"];
        assert_eq!(
            (&failure["code"], &failure["may_be_done"]),
            (&json!("outcome-unknown"), &json!(true))
        );
    }
    assert_eq!(acts.asked(), ["POST /a", "POST /b"]);
    // What only reads may go again.
    let reads = Acts::new(|_| Reply::text("OK"));
    for _ in 0..2 {
        reads.keyed("k", "get", &json!("/x")).expect_code(UPSTREAM);
    }
    assert_eq!(reads.asked().len(), 2);
}
