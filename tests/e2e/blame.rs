//! Who is to blame for a failure, however the plugin words it.

use serde_json::{Value, json};

use crate::support::cli::{RUN_FAILED, Tidegate};
use crate::support::plugins::component;
use crate::support::server::{Reply, Server};

struct Row {
    sync: &'static str,
    refused: &'static str,
    /// (who is to blame, its class, the limit).
    judged: (&'static str, &'static str, Value),
}

#[test]
fn blame_is_the_cause_s_and_not_that_of_the_words() {
    let server = Server::start(|request| {
        if request.path() == "/ok" {
            return Reply::json(&json!({}));
        }
        let again = request
            .header("host")
            .map(|host| format!("http://{host}/loop"));
        Reply::status(302).header("Location", &again.unwrap())
    });
    let upstream = |sync| Row {
        sync,
        refused: "loop",
        judged: ("upstream", "other", Value::Null),
    };
    let limit = |sync| Row {
        sync,
        refused: "record",
        // It is what the API sent.
        judged: ("upstream", "limit", json!("record_bytes")),
    };
    let own = |refused| Row {
        sync: "unrelated",
        refused,
        judged: ("guest", "other", Value::Null),
    };
    let spent = |sync| Row {
        sync,
        refused: "requests",
        judged: ("guest", "limit", json!("http_requests")),
    };
    let rows = [
        upstream("passed-on"),
        upstream("reworded"),
        own("loop"),
        limit("passed-on"),
        limit("reworded"),
        own("record"),
        spent("passed-on"),
        // Whatever fails once the run may ask no more is a consequence of that,
        spent("unrelated"),
        // unless the plugin says that it is something else.
        Row {
            sync: "rejects",
            refused: "requests",
            judged: ("operator", "rejected", Value::Null),
        },
    ];
    let tidegate = Tidegate::new();
    let origin = server.origin();
    let grants = format!("--allow-host {origin} --allow-private 127.0.0.0/8");
    tidegate
        .cmd("deploy")
        .arg(component("tests/plugins/subscriber"))
        .words(&format!("--as crm --yes {grants} --limit http_requests=5"))
        .ok();
    for refused in ["loop", "record", "requests"] {
        tidegate
            .cmd(&format!(
                "connections add crm {refused} --base-url {}",
                server.origin()
            ))
            .words(&format!("--config refused=\"{refused}\""))
            .ok();
    }
    for Row {
        sync,
        refused,
        judged: (blame, class, limit),
    } in rows
    {
        let run = tidegate.sync(&format!("crm/{sync}"), refused);
        run.expect_code(RUN_FAILED);
        let failure = &run.json()["failure"];
        let judged = (&failure["blame"], &failure["class"], &failure["limit"]);
        let expected = (&json!(blame), &json!(class), &limit);
        assert_eq!(judged, expected, "{sync} {refused}: {failure}");
    }
}
