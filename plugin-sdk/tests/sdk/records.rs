//! Records: saving, deleting, several models, the contract's rules.

use tidegate_sdk::prelude::*;
use tidegate_sdk::serde_json::value::RawValue;
use tidegate_sdk::test::get;
use tidegate_sdk::{Commit, HttpPage};

use crate::{host, run};

#[derive(Serialize)]
struct Order {
    number: u64,
    total: f64,
}

impl Record for Order {
    const MODEL: &str = "N";
    const ID: &str = "number";
}

#[test]
fn every_way_to_save() {
    let outcome = run(&host(), |cx| async move {
        let orders = [
            Order {
                number: 1,
                total: 1.5,
            },
            Order {
                number: 2,
                total: 0.1,
            },
        ];
        let raw: Vec<Box<RawValue>> = serde_json::from_str(r#"[ {"x":[{}],"id": "r"} ]"#)?;
        let outcome = cx
            .batch("M")
            .save(&json!({ "id": "a" }))?
            .save_all(&[json!({ "id": 7 }), json!({ "id": -8 })])?
            .save_by(|order: &Order| format!("o{}", order.number), &orders)?
            .save_with_id("b", &json!({ "no": "id" }))?
            .save_json("c", r#"{"z":1,"a":2}"#)
            .save_raw(raw.iter().map(AsRef::as_ref))?
            .and(Order::model())
            .save_all(&orders)?
            .and("M")
            .save(&json!({ "id": "last", "number": 9 }))?
            .commit()
            .await?;
        assert_eq!(outcome.model("M").added, 9);
        assert_eq!(outcome.model("N").added, 2);
        assert_eq!(outcome.changed(), 11);
        Ok(())
    });
    let ids: Vec<String> = outcome.assert_ok().records("M").into_keys().collect();
    assert_eq!(ids, ["-8", "7", "a", "b", "c", "last", "o1", "o2", "r"]);
    let ids: Vec<String> = outcome.records("N").into_keys().collect();
    assert_eq!(ids, ["1", "2"]);
    assert_eq!(
        outcome.records("M")["o1"],
        json!({ "number": 1, "total": 1.5 })
    );
    assert_eq!(outcome.records("M")["c"], json!({ "a": 2, "z": 1 }));
}

/// The id's field goes with the model, be it a type's or one of a config, in every commit of a full pull.
#[test]
fn the_model_says_where_ids_are() {
    let host = host().respond_always(get("/orders"), json!([{ "number": 1 }, { "number": 2 }]));
    for model in [Order::model(), Model::new(Order::MODEL).id("number")] {
        let outcome = run(&host, move |cx| {
            let model = model.clone();
            async move {
                let style = Paginate::link();
                let read = |page: &HttpPage, commit: &mut Commit| {
                    commit.save_raw(page.raw_items()?).map(drop)
                };
                cx.full_pull(model)
                    .read(cx.get("/orders"), style, read)
                    .await?;
                Ok(())
            }
        });
        let ids: Vec<String> = outcome
            .assert_ok()
            .records(Order::MODEL)
            .into_keys()
            .collect();
        assert_eq!(ids, ["1", "2"]);
        assert_eq!(outcome.totals(Order::MODEL).skipped, 0);
    }
}

#[test]
fn records_without_an_id() {
    for (record, says) in [
        (json!({ "name": "x" }), "it has no `id`"),
        (
            json!({ "id": "" }),
            "its `id` is \"\", neither a text nor an integer",
        ),
        (json!({ "id": null }), "its `id` is null"),
        (json!([1]), "it is not a JSON object"),
    ] {
        for policy in [OnBadRecord::default(), OnBadRecord::Fail] {
            let record = record.clone();
            let outcome = run(&host(), move |cx| {
                let record = record.clone();
                async move {
                    cx.on_bad_record(policy);
                    cx.batch("M")
                        .save(&json!({ "id": 1 }))?
                        .save(&record)?
                        .commit()
                        .await?;
                    Ok(())
                }
            });
            let told = if policy == OnBadRecord::Fail {
                let failure = outcome.failure();
                assert_eq!(failure.code.as_deref(), Some("record-invalid"));
                assert!(outcome.commits.is_empty());
                failure.message.clone()
            } else {
                let totals = outcome.assert_ok().totals("M");
                assert_eq!((totals.added, totals.skipped), (1, 1));
                outcome.logs[0].message.clone()
            };
            assert!(told.contains(says), "{told} does not say {says}");
        }
    }
}

/// Ids of `good` and `bad` records, which the real host finds, not the SDK.
fn mixed(commit: &mut tidegate_sdk::Commit, good: std::ops::Range<u32>, bad: u32) {
    for id in good {
        commit.save_json(id.to_string(), "{}");
    }
    for id in 0..bad {
        commit.save_json(format!("bad{id}"), r#"{"n":1e400}"#);
    }
}

#[test]
fn a_few_bad_records_do_not_stop_the_rest() {
    let outcome = run(&host(), |cx| async move {
        let mut commit = cx.batch("M");
        // Ten in any case, whoever finds them; and one in a hundred of all so far.
        mixed(&mut commit, 0..5, 4);
        commit.skip(Some("known"), "the API has no detail of it");
        let outcome = commit.skip(None, "null").commit().await?;
        assert_eq!(outcome.model("M").skipped, 6);
        mixed(&mut commit, 5..1_500, 4);
        commit.commit().await?;
        mixed(&mut commit, 1_500..2_000, 10);
        commit.checkpoint(&1)?.commit().await?;
        // 20 of 2,020 so far.
        mixed(&mut commit, 2_000..2_001, 1);
        commit.checkpoint(&2)?.commit().await?;
        Ok(())
    });
    let failure = outcome.failure();
    assert_eq!(failure.code.as_deref(), Some("store-invalid"), "{failure}");
    assert!(failure.message.contains("out of range"), "{failure}");
    let totals = outcome.totals("M");
    assert_eq!((totals.added, totals.skipped), (2_000, 20));
    assert_eq!(outcome.checkpoint(), Some(&json!(1)));
}

#[test]
fn all_may_be_bad_when_the_plugin_says_so() {
    let outcome = run(&host(), |cx| async move {
        cx.on_bad_record(OnBadRecord::Skip {
            percent: 100,
            least: 0,
        });
        let mut commit = cx.batch("M");
        mixed(&mut commit, 0..0, 50);
        commit.commit().await?;
        Ok(())
    });
    assert_eq!(outcome.assert_ok().totals("M").skipped, 50);
}

#[test]
fn skipped_records_are_never_taken_for_deleted() {
    // (the id of the skipped record, whether the pull is told of it, whether it ends then, how many it deletes)
    for (id, is_told, ends, deleted) in [
        (Some("2"), true, true, 1),
        // Without an id, it may be any of those that were not seen: nothing is proven.
        (None, true, false, 0),
        // The host knows of it by itself.
        (None, false, true, 0),
    ] {
        let host = (0..4).fold(host(), |host, id| {
            host.record("M", id.to_string(), json!({ "id": id }))
        });
        let outcome = run(&host, move |cx| async move {
            let mut pull = cx.full_pull("M");
            pull.begin().await?;
            pull.answered();
            let mut commit = cx.batch("M");
            commit.save(&json!({ "id": 0 }))?.save_json("1", "[]");
            commit.skip(id, "too large");
            commit.commit().await?;
            for id in ["0", "1"] {
                pull.saw(id);
            }
            if is_told {
                pull.skipped(id);
            }
            let finish = pull.finish(|_| None::<()>).await?;
            assert_eq!(matches!(finish, tidegate_sdk::Finish::Done(_)), ends);
            Ok(())
        });
        let kept = outcome.assert_ok().records("M");
        assert_eq!(kept.len(), 4 - deleted);
        assert_eq!(kept["1"], json!({ "id": 1 }), "what was stored stays");
    }
}

#[test]
fn several_models_in_one_commit() {
    let outcome = run(&host(), |cx| async move {
        let mut commit = cx.batch("M");
        commit
            .save(&json!({ "id": 1 }))?
            .and("N")
            .save(&json!({ "id": 2 }))?;
        commit
            .and("M")
            .and("M")
            .save(&json!({ "id": 3 }))?
            .checkpoint(&5)?;
        commit.and("M");
        assert_eq!((commit.len(), commit.is_empty()), (3, false));
        commit.commit().await?;
        assert!(commit.is_empty(), "the builder can be used again");
        commit.delete(3).commit().await?;
        Ok(())
    });
    outcome.assert_ok();
    assert_eq!(outcome.commits.len(), 2);
    assert_eq!(outcome.commits[0].checkpoint, Some(json!(5)));
    assert_eq!(outcome.commits[1].checkpoint, None);
    assert_eq!(
        outcome.checkpoint(),
        Some(&json!(5)),
        "no checkpoint leaves the stored one"
    );
    assert_eq!(
        (outcome.records("M").len(), outcome.records("N").len()),
        (1, 1)
    );
}

#[test]
fn counting() {
    let host = host()
        .record("M", "same", json!({ "id": "same", "a": 1, "b": 2 }))
        .record("M", "changed", json!({ "id": "changed", "a": 1 }))
        .record("M", "gone", json!({ "id": "gone" }))
        .record("M", "both", json!({ "id": "both" }));
    let outcome = run(&host, |cx| async move {
        cx.batch("M")
            .save_json("same", r#"{"b":2, "a":1, "id":"same"}"#)
            .save(&json!({ "id": "changed", "a": 2 }))?
            .save(&json!({ "id": "twice", "n": 1 }))?
            .save(&json!({ "id": "twice", "n": 2 }))?
            .save(&json!({ "id": "both", "n": 1 }))?
            .delete_all(["gone", "never-there", "both"])
            .commit()
            .await?;
        Ok(())
    });
    let totals = outcome.assert_ok().totals("M");
    assert_eq!(
        (
            totals.added,
            totals.updated,
            totals.deleted,
            totals.unchanged
        ),
        (1, 2, 1, 2)
    );
    assert_eq!(outcome.records("M")["twice"]["n"], 2, "the last wins");
    assert_eq!(
        outcome.records("M")["both"]["n"],
        1,
        "deletes come before saves"
    );
    let [line] = outcome.logs.as_slice() else {
        panic!("{:?}", outcome.logs)
    };
    assert!(line.message.ends_with(": twice, both"), "{}", line.message);
}

#[test]
fn commits_that_break_a_rule_store_nothing() {
    type Build = fn(&mut tidegate_sdk::Commit) -> &mut tidegate_sdk::Commit;
    let cases: [(Build, &str, &str); 9] = [
        (
            |c| c.save_json("", "{}"),
            "store-invalid",
            "model M: record 1 has an empty id",
        ),
        (
            |c| c.save_json("x".repeat(513), "{}"),
            "store-invalid",
            "has 513 bytes; the limit record_id_bytes is 512",
        ),
        (
            |c| c.save_json("a\nb", "{}"),
            "store-invalid",
            "a control character",
        ),
        (
            |c| c.delete(""),
            "store-invalid",
            "model M: record 0 has an empty id",
        ),
        (
            |c| c.save_json("x", "[]"),
            "store-invalid",
            "not a JSON object",
        ),
        (|c| c.save_json("x", "{"), "store-invalid", "ends too early"),
        (
            |c| c.save_json("x", format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20))),
            "store-invalid",
            "has 1048584 bytes; the limit record_bytes is 1048576",
        ),
        (
            |c| c.delete_all(0..10_000),
            "store-invalid",
            "a commit of 10001 records",
        ),
        (
            |c| c.and("Z").delete(1),
            "store-denied",
            "does not list the model \"Z\" here; it lists: M, N",
        ),
    ];
    for (build, code, says) in cases {
        let outcome = run(&host(), move |cx| async move {
            cx.on_bad_record(OnBadRecord::Fail);
            build(cx.batch("M").save_json("fine", "{}"))
                .commit()
                .await?;
            Ok(())
        });
        let failure = outcome.failure();
        assert_eq!(failure.code.as_deref(), Some(code), "{failure}");
        assert!(failure.message.starts_with("committing M"), "{failure}");
        assert!(
            failure.message.contains(says),
            "{failure} does not say {says}"
        );
        assert!(outcome.records("M").is_empty());
    }
}

#[test]
fn checkpoints_have_a_limit() {
    let outcome = run(&host(), |cx| async move {
        cx.save_checkpoint(&"x".repeat(1 << 16)).await
    });
    assert!(
        outcome
            .failure()
            .message
            .contains("the checkpoint has 65538 bytes")
    );
}

#[test]
fn reading_back() {
    let host = (0..1_500).fold(host(), |host, id| {
        host.record("M", id.to_string(), json!({ "n": id }))
    });
    let outcome = run(&host, |cx| async move {
        let records: Vec<Option<Value>> = cx.get_records("M", 1..1_502).await?;
        assert_eq!(records.len(), 1_501, "asked for in several steps");
        assert_eq!(records[0], Some(json!({ "n": 1 })));
        assert_eq!((&records[1_499], &records[1_500]), (&None, &None));
        assert!(cx.get_records::<Vec<u8>>("M", [1]).await.is_err());
        assert!(cx.get_records::<Value>("Z", [1]).await.is_err());
        Ok(())
    });
    outcome.assert_ok();
}

#[derive(Serialize, Deserialize)]
struct Contact {
    id: u64,
    email: String,
}

/// A page of contacts, of which some are what they should not be.
fn contacts(contacts: &Value, policy: OnBadRecord) -> tidegate_sdk::test::Outcome<()> {
    let body = contacts.clone();
    let host = host().on(move |_| Some(tidegate_sdk::test::Reply::json(body.clone())));
    run(&host, move |cx| async move {
        cx.on_bad_record(policy);
        let mut pages = cx.get("/contacts").paginate(Paginate::link());
        while let Some(page) = pages.next().await? {
            let mut commit = cx.batch("M");
            let contacts: Vec<Contact> = commit.items(&page)?;
            commit.save_all(&contacts)?.commit().await?;
        }
        Ok(())
    })
}

#[test]
fn one_item_of_another_shape_does_not_stop_the_rest() {
    let page = json!([
        { "id": 1, "email": "a@h" },
        { "id": 2, "email": null },
        { "id": 3, "email": "c@h" },
        { "email": "d@h" },
        7,
    ]);
    let outcome = contacts(&page, OnBadRecord::default());
    let totals = outcome.assert_ok().totals("M");
    assert_eq!((totals.added, totals.skipped), (2, 3));
    for (at, says) in [
        (
            0,
            &[
                "\"2\"",
                "record 1 of its page",
                "invalid type: null",
                "{\"email\":null,\"id\":2}",
            ][..],
        ),
        (1, &["record 3 of its page", "missing field `id`"]),
        (2, &["record 4 of its page", "7"]),
    ] {
        for text in says {
            let line = &outcome.logs[at].message;
            assert!(line.contains(text), "{line} does not say {text}");
        }
    }
    let outcome = contacts(&page, OnBadRecord::Fail);
    let failure = outcome.failure();
    assert_eq!(failure.code.as_deref(), Some("record-invalid"), "{failure}");
    assert!(failure.message.contains("invalid type: null"), "{failure}");
    assert!(outcome.commits.is_empty());
}

#[test]
fn a_page_of_nothing_but_another_shape_is_the_plugins_fault() {
    for (page, fails) in [
        (json!([{ "key": 1 }, { "key": 2 }]), true),
        // Of one alone nothing can be said.
        (json!([{ "key": 1 }]), false),
        (json!([]), false),
    ] {
        let outcome = contacts(&page, OnBadRecord::default());
        assert_eq!(outcome.result.is_err(), fails, "{page}");
        if fails {
            let failure = outcome.failure();
            assert_eq!(failure.code.as_deref(), Some("response-invalid"));
            assert!(
                failure.message.contains("at /0: missing field `id`"),
                "{failure}"
            );
        }
    }
}

#[test]
fn items_without_a_page_and_with_their_text() {
    let body = r#"[{"id":1,"email":"cut \ud83d","more":1.50},{"id":"x"}]"#;
    let host = host().on(move |_| Some(tidegate_sdk::test::Reply::status(200).body(body)));
    let outcome = run(&host, |cx| async move {
        let mut commit = cx.batch("M");
        let raw: Vec<Box<RawValue>> = cx.get("/contacts").json().await?;
        let contacts: Vec<Contact> = commit.decode(raw.iter().map(AsRef::as_ref))?;
        assert_eq!(contacts[0].email, "cut \u{fffd}");
        let mut pages = cx.get("/contacts").paginate(Paginate::link());
        let page = pages.next().await?.context("a page")?;
        let mut commit = cx.batch("M");
        for (contact, json) in commit.items_and_json::<Contact>(&page)? {
            commit.save_json(contact.id.to_string(), json.get());
        }
        commit.commit().await?;
        Ok(())
    });
    let totals = outcome.assert_ok().totals("M");
    assert_eq!((totals.added, totals.skipped), (1, 1));
    assert_eq!(outcome.records("M")["1"]["more"], json!(1.50));
}
