//! What changed last and does not come again.

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::get;

use super::lists::{changing, dated, said};
use super::stored;
use crate::plugin;

#[test]
fn what_does_not_come_again_is_followed_by_a_full_pull_if_the_config_says_so() {
    // An API to which the parameter means a moment, not a time since: it has nothing of just that one.
    for (killed, ordered) in [(false, false), (false, true), (true, false)] {
        let host = changing(json!({ "on_missing_overlap": "full_pull", "ordered": ordered }))
            .checkpoint("M", json!({ "mark": 50_000 }))
            .respond(get("/m").query("since", 49), dated(json!([])))
            .respond(
                get("/m").without_query("since"),
                dated(json!([{ "id": 1, "at": 50 }, { "id": 2, "at": 80 }])),
            )
            .respond(
                get("/m").query("since", 79),
                dated(json!([{ "id": 2, "at": 80 }])),
            );
        let outcome = match killed {
            true => host.clone().kill_after_commits(1).run_sync(plugin(), "M"),
            false => host.run_sync(plugin(), "M"),
        };
        if killed {
            assert!(stored(&host).is_empty());
            host.run_sync(plugin(), "M").assert_ok();
        } else {
            outcome.assert_ok();
            assert!(said(&outcome, "everything is pulled"), "{:?}", outcome.logs);
        }
        assert_eq!(stored(&host), ["1", "2"], "killed: {killed}");
        // Once it comes again, nothing else is asked for.
        let outcome = host.run_sync(plugin(), "M");
        outcome.assert_ok();
        assert_eq!(outcome.requests.len(), 1);
        assert!(!said(&outcome, "did not come again"));
    }
}
