//! Who may read whose records: a feed is granted by the operator, and that of another connection
//! by a grant of its own.

use serde_json::json;

use super::{connect, connect_source, contacts, deploy, push, source};
use crate::support::cli::{INVALID, RUN_FAILED, Tidegate};
use crate::support::server::{Reply, Server};

#[test]
fn a_feed_is_read_as_far_as_it_was_granted() {
    let api = contacts(vec![json!({ "id": "c1", "name": "Ada" })]);
    let to = Server::start(|_| Reply::status(200));
    let tidegate = Tidegate::new();
    source(&tidegate, &api.origin());
    connect_source(&tidegate, "globex", &api.origin());
    for connection in ["acme", "globex"] {
        tidegate.sync_ok("crm/Contact", connection);
    }
    deploy(&tidegate, &to.origin(), "");
    let own = push(&json!({}));
    let from = json!({ "integration": "crm", "model": "Contact", "connection": "globex" });
    let others = push(&json!({ "from": from }));
    let pushes = json!({ "own": own, "others": others });
    connect(&tidegate, "acme", &to.origin(), &pushes);

    // The grants, and of which customers the connection `acme` may then read.
    for (grants, reads_own, reads_others) in [
        (vec![], false, false),
        (vec!["crm/Company"], false, false),
        (vec!["crm/Contact"], true, false),
        (vec!["crm/Contact@globex"], false, true),
        (vec!["crm/Contact@initech"], false, false),
        (vec!["crm/Contact", "crm/Contact@globex"], true, true),
        (vec!["crm/Contact@*"], true, true),
    ] {
        let flags: Vec<String> = grants
            .iter()
            .map(|grant| format!("--allow-feed {grant}"))
            .collect();
        deploy(
            &tidegate,
            &to.origin(),
            &format!("--fresh-grants {}", flags.join(" ")),
        );
        for (sync, may, flag) in [
            ("own", reads_own, "--allow-feed crm/Contact"),
            ("others", reads_others, "--allow-feed crm/Contact@globex"),
        ] {
            let before = to.requests().len();
            let run = tidegate
                .cmd(&format!("run out/{sync} -c acme --reset --json"))
                .finish();
            if may {
                run.expect_code(0);
                continue;
            }
            run.expect_code(RUN_FAILED);
            let run = run.json();
            let failure = &run["failure"];
            assert_eq!(
                (&failure["class"], &failure["blame"]),
                (&json!("config"), &json!("operator"))
            );
            let message = failure["message"].as_str().unwrap();
            assert!(
                message.contains(flag) && message.contains("`pushes."),
                "{grants:?} {sync}: {message}"
            );
            assert_eq!(to.requests().len(), before, "{grants:?} {sync}");
        }
    }
    let cmd = tidegate.cmd("deploy").arg(crate::support::plugins::push());
    cmd.words("--as out --yes --allow-feed crm/*")
        .refused(INVALID, &["INTEGRATION/MODEL@CONNECTION"]);
}
