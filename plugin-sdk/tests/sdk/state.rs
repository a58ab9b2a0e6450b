//! What a run knows: checkpoint, config, metadata, context, time, feeds, the log.

use std::time::Duration;

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{Change, ChangeAction, FakeHost, Level};

use crate::{host, plugin, run};

#[test]
fn a_checkpoint_comes_back() {
    let host = host();
    let sync = |cx: Cx| async move {
        let n = cx.checkpoint::<u64>()?.unwrap_or(0);
        cx.save_checkpoint(&(n + 1)).await
    };
    for n in 1..=3 {
        assert_eq!(run(&host, sync).assert_ok().checkpoint(), Some(&json!(n)));
    }
}

#[test]
fn an_action_has_no_checkpoint() {
    let plugin = plugin(|_| async { Ok(()) })
        .action(Action::new("s", |cx: Cx, _: Value| async move {
            cx.checkpoint::<u64>()
        }));
    let outcome = host().checkpoint("s", 1).run_action(plugin, "s", json!({}));
    assert_eq!(outcome.result, Ok(json!(null)));
}

#[test]
fn a_checkpoint_of_another_version() {
    let host = host().checkpoint("s", json!({ "page": 3 }));
    let outcome = run(&host, |cx| async move { cx.checkpoint::<u64>().map(drop) });
    let failure = outcome.failure();
    assert_eq!(
        (failure.kind, failure.code.as_deref()),
        (FailureKind::Config, Some("checkpoint-unreadable"))
    );
    for part in ["--reset", "expected u64", r#"{"page":3}"#] {
        assert!(
            failure.message.contains(part),
            "{failure} does not say {part}"
        );
    }
}

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(rename = "filter")]
    _filter: Option<Filter>,
}

#[derive(Debug, Deserialize)]
struct Filter {
    #[serde(rename = "states")]
    _states: Vec<u64>,
}

#[test]
fn a_config_that_does_not_fit_names_the_key() {
    for (config, says) in [
        (
            json!({ "filter": { "states": [1, "x"] } }),
            "config at `filter.states[1]`: invalid type",
        ),
        (
            json!({ "filter": {} }),
            "config at `filter`: missing field `states`",
        ),
        (json!(7), "config: invalid type"),
    ] {
        let outcome = run(&host().config(config), |cx| async move {
            cx.config::<Config>().map(drop)
        });
        let failure = outcome.failure();
        assert_eq!(
            (failure.kind, failure.code.as_deref()),
            (FailureKind::Config, Some("config-invalid"))
        );
        assert!(
            failure.message.contains(says),
            "{failure} does not say {says}"
        );
    }
    let fine = host().config(json!({ "filter": { "states": [1] }, "more": 1 }));
    run(&fine, |cx| async move { cx.config::<Config>().map(drop) }).assert_ok();
}

#[test]
fn metadata_is_merged() {
    let host = host().metadata(json!({ "a": 1, "b": { "c": 2, "d": 3 } }));
    let sync = |cx: Cx| async move {
        cx.merge_metadata(&json!({ "a": null, "b": { "c": 4 } }))
            .await?;
        assert_eq!(cx.metadata::<Value>()?["b"]["c"], 4);
        Ok(())
    };
    let outcome = host.run_sync(plugin(sync).metadata_write(), "s");
    assert_eq!(
        outcome.assert_ok().metadata(),
        &json!({ "b": { "c": 4, "d": 3 } })
    );
    let refused = host.run_sync(plugin(sync), "s");
    assert_eq!(refused.failure().kind, FailureKind::Config);
    assert!(refused.failure().message.contains(".metadata_write()"));
}

#[test]
fn the_context_of_a_run() {
    let host = host().context(|context| {
        context.connection = "acme".to_owned();
        context.attempt = 3;
    });
    let outcome = run(&host, |cx| async move {
        let context = cx.context()?;
        assert_eq!(
            (context.kind.as_str(), context.name.as_str()),
            ("sync", "s")
        );
        assert_eq!((context.connection.as_str(), context.attempt), ("acme", 3));
        assert_eq!(context.base_url.as_deref(), Some("https://h/v1"));
        assert_eq!((context.run.as_str(), context.variant), ("run-1", None));
        Ok(())
    });
    outcome.assert_ok();
}

#[test]
fn sleeping_takes_no_time() {
    let begun = std::time::Instant::now();
    let outcome = run(&host().now(1_000), |cx| async move {
        cx.sleep(Duration::from_secs(3_600)).await;
        assert_eq!(cx.now(), 3_601_000);
        Ok(())
    });
    outcome.assert_ok();
    assert!(begun.elapsed() < Duration::from_secs(60));
}

fn change(id: &str) -> Change {
    Change {
        id: id.to_owned(),
        action: ChangeAction::Added,
        body: Some(json!({ "id": id }).to_string()),
        first_seen_at: 1,
        last_modified_at: 2,
        cursor: format!("after-{id}"),
    }
}

fn feeding() -> FakeHost {
    ["a", "b", "c"].iter().fold(host(), |host, id| {
        host.feed_change("crm", "Contact", change(id))
    })
}

#[test]
fn a_feed_is_read_by_cursor() {
    let sync = |cx: Cx| async move {
        let mut feed = cx
            .feed("crm", "Contact")
            .from(cx.checkpoint::<String>()?)
            .limit(2);
        let mut ids = Vec::new();
        while let Some(changes) = feed.next().await? {
            for change in &changes {
                assert_eq!(change.json::<Value>()?.context("a body")?["id"], change.id);
                ids.push(change.id.clone());
            }
            cx.save_checkpoint(&feed.cursor()).await?;
        }
        info!("{}", ids.join(""));
        Ok(())
    };
    let host = feeding();
    let destination = || plugin(sync).feed("crm/Contact");
    assert_eq!(
        host.run_sync(destination(), "s").assert_ok().logs[0].message,
        "abc"
    );
    let host = host.feed_change("crm", "Contact", change("d"));
    assert_eq!(
        host.run_sync(destination(), "s").assert_ok().logs[0].message,
        "d"
    );
    let refused = host.run_sync(plugin(sync), "s");
    assert_eq!(refused.failure().code.as_deref(), Some("store-denied"));
}

#[test]
fn the_log() {
    let outcome = run(&host(), |_| async move {
        let n = 2;
        debug!("plain");
        info!(page = 3, name = "a\"b", "fetched {n} of {}", 5);
        warn!(list = [1, 2], "w",);
        error!("e {}", 1);
        Ok(())
    });
    let lines: Vec<_> = outcome
        .assert_ok()
        .logs
        .iter()
        .map(|line| (line.level, line.message.as_str(), line.fields.clone()))
        .collect();
    assert_eq!(
        lines,
        [
            (Level::Debug, "plain", json!(null)),
            (
                Level::Info,
                "fetched 2 of 5",
                json!({ "page": 3, "name": "a\"b" })
            ),
            (Level::Warn, "w", json!({ "list": [1, 2] })),
            (Level::Error, "e 1", json!(null)),
        ]
    );
}

#[test]
fn errors_of_others_become_failures_with_their_causes() {
    let outcome = run(&host(), |_| async move {
        let n: u64 = "x".parse().context("the page size")?;
        assert_eq!(n, 0);
        Ok(())
    });
    let failure = outcome.failure();
    assert_eq!(
        failure.message,
        "the page size: invalid digit found in string"
    );
    assert_eq!(failure.kind, FailureKind::Other);
}

#[test]
fn trouble_with_the_store() {
    let sync = |cx: Cx| async move {
        for n in 0..3 {
            cx.batch("M").save(&json!({ "id": n }))?.commit().await?;
        }
        Ok(())
    };
    for (host, kind, code) in [
        (host().fence_after_commits(1), FailureKind::Other, "fenced"),
        (
            host().store_fails_after_commits(1),
            FailureKind::Transient,
            "store-unavailable",
        ),
        (host().kill_after_commits(1), FailureKind::Other, "killed"),
    ] {
        let outcome = run(&host, sync);
        let failure = outcome.failure();
        assert_eq!((failure.kind, failure.code.as_deref()), (kind, Some(code)));
        assert_eq!(outcome.records("M").len(), 1);
        assert_eq!(
            run(&host, sync).assert_ok().records("M").len(),
            3,
            "the next run is whole"
        );
    }
}
