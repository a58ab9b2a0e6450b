//! Full pulls: what proves that a record is gone, and what becomes of it without a proof.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{FakeHost, Outcome, Reply, Request};
use tidegate_sdk::{FailureKind, Finish, FullPull, SnapshotEnd};

use crate::{host, run};

/// A list in pages of two, by number.
#[derive(Clone, Default)]
struct Api {
    ids: Rc<RefCell<Vec<u32>>>,
    answers: Rc<Cell<u32>>,
}

impl Api {
    fn with(ids: impl IntoIterator<Item = u32>) -> Self {
        let api = Api::default();
        api.ids.borrow_mut().extend(ids);
        api
    }

    /// Answers; before each page something may change.
    fn handler(
        &self,
        change: impl Fn(u32, &mut Vec<u32>) + 'static,
    ) -> impl FnMut(&Request) -> Option<Reply> + 'static {
        let api = self.clone();
        move |request| {
            if let Some(id) = request.path.strip_prefix("/m/") {
                let lives = api.ids.borrow().iter().any(|there| there.to_string() == id);
                return Some(Reply::status(if lives { 200 } else { 404 }));
            }
            let mut ids = api.ids.borrow_mut();
            api.answers.set(api.answers.get() + 1);
            change(api.answers.get(), &mut ids);
            let page: usize = request.query("page")?.parse().ok()?;
            let page: Vec<Value> = ids
                .iter()
                .skip((page - 1) * 2)
                .take(2)
                .map(|id| json!({ "id": id }))
                .collect();
            Some(Reply::json(page))
        }
    }
}

fn stored(ids: std::ops::RangeInclusive<u32>) -> FakeHost {
    let host = host().base_url("https://h");
    ids.fold(host, |host, id| {
        host.record("M", id.to_string(), json!({ "id": id }))
    })
}

async fn read(cx: &Cx, confirms: bool) -> Result<SnapshotEnd> {
    let mut pull = cx.full_pull("M");
    if confirms {
        let cx = cx.clone();
        pull = pull.confirm(move |id| cx.get(format!("/m/{id}")));
    }
    let style = Paginate::page("page", 1).size("size", 2);
    pull.read(cx.get("/m"), style, |page, commit| {
        commit.save_raw(page.raw_items()?).map(drop)
    })
    .await
}

fn pull(host: &FakeHost, confirms: bool) -> Outcome<()> {
    run(host, move |cx| async move {
        read(&cx, confirms).await.map(drop)
    })
}

fn ids(host: &FakeHost) -> Vec<u32> {
    let mut ids: Vec<u32> = host
        .records("M")
        .into_keys()
        .map(|id| id.parse().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

fn warned(outcome: &Outcome<()>, text: &str) -> bool {
    outcome.logs.iter().any(|line| line.message.contains(text))
}

#[test]
fn nothing_unseen_costs_nothing() {
    let api = Api::with(1..=6);
    let host = stored(1..=6).on(api.handler(|_, _| ()));
    pull(&host, false).assert_ok();
    assert_eq!(api.answers.get(), 4, "three pages, and an empty one");
}

#[test]
fn a_record_without_an_id_may_be_any_that_is_missing() {
    for confirms in [false, true] {
        let host = stored(1..=6).on(|request: &Request| {
            if let Some(id) = request.path.strip_prefix("/m/") {
                return Some(Reply::status(if id == "3" { 404 } else { 200 }));
            }
            let page: usize = request.query("page")?.parse().ok()?;
            let pages = [
                json!([{ "id": 1 }, { "name": "of no id" }]),
                json!([{ "id": 2 }, { "id": 4 }]),
                json!([{ "id": 5 }, { "id": 6 }]),
            ];
            let page = pages.get(page - 1).cloned();
            Some(Reply::json(page.unwrap_or_else(|| json!([]))))
        });
        let outcome = pull(&host, confirms);
        outcome.assert_ok();
        assert_eq!(ids(&host).contains(&3), !confirms);
        assert_eq!(warned(&outcome, "not proven"), !confirms);
    }
}

#[test]
fn skipped_ids_that_are_not_stored_cast_no_doubt() {
    let host = stored(1..=6).on(|request: &Request| {
        let page: usize = request.query("page")?.parse().ok()?;
        let pages = [
            json!([{ "id": 1 }, { "id": 2 }]),
            json!([{ "id": "a\u{1}" }, { "id": 4 }]),
            json!([{ "id": 5 }, { "id": 6 }]),
        ];
        let page = pages.get(page - 1).cloned();
        Some(Reply::json(page.unwrap_or_else(|| json!([]))))
    });
    let outcome = pull(&host, false);
    assert_eq!(outcome.assert_ok().totals("M").deleted, 1);
    assert_eq!(ids(&host), [1, 2, 4, 5, 6]);
}

#[test]
fn what_is_missing_in_two_passes_is_gone() {
    let api = Api::with([1, 2, 4, 5, 6]);
    let host = stored(1..=6).on(api.handler(|_, _| ()));
    let outcome = pull(&host, false);
    assert_eq!(outcome.assert_ok().totals("M").deleted, 1);
    assert_eq!(ids(&host), [1, 2, 4, 5, 6]);
    assert_eq!(api.answers.get(), 8);
}

#[test]
fn a_record_that_moved_up_is_not_deleted() {
    for confirms in [false, true] {
        let api = Api::with(1..=8);
        // While the third page is asked for, two records of the first one go.
        let host = stored(1..=8).on(api.handler(|answer, ids| {
            if answer == 3 {
                ids.retain(|id| *id > 2);
            }
        }));
        pull(&host, confirms).assert_ok();
        let lives = ids(&host);
        assert!(
            (3..=8).all(|id| lives.contains(&id)),
            "confirm: {confirms}: {lives:?}"
        );
        pull(&host, confirms).assert_ok();
        assert_eq!(ids(&host), [3, 4, 5, 6, 7, 8], "confirm: {confirms}");
    }
}

#[test]
fn a_list_that_never_rests_is_not_cleaned_up() {
    let api = Api::with(2..=8);
    let next = Cell::new(100);
    let host = stored(1..=8).on(api.handler(move |_, ids| {
        next.set(next.get() + 1);
        // The last one is another each time.
        ids.retain(|id| *id <= 100);
        ids.push(next.get());
    }));
    let outcome = pull(&host, false);
    outcome.assert_ok();
    assert_eq!(outcome.totals("M").deleted, 0);
    assert!(ids(&host).contains(&1));
    assert!(
        warned(&outcome, "nothing was deleted"),
        "{:?}",
        outcome.logs
    );
}

#[test]
fn one_answer_is_proof_enough() {
    let host = stored(1..=3);
    let outcome = run(&host, |cx| async move {
        let mut pull = cx.full_pull("M");
        pull.begin().await?;
        pull.answered();
        pull.saw("1");
        pull.saw("2");
        cx.batch("M")
            .save_all(&[json!({ "id": 1 }), json!({ "id": 2 })])?
            .commit()
            .await?;
        let finish = pull.finish(|_| "over").await?;
        assert!(matches!(
            finish,
            Finish::Done(SnapshotEnd {
                deleted: 1,
                kept: 0,
                ..
            })
        ));
        Ok(())
    });
    assert_eq!(outcome.assert_ok().checkpoint(), Some(&json!("over")));
}

#[test]
fn a_doubt_takes_the_proof_away() {
    let host = stored(1..=3);
    let outcome = run(&host, |cx| async move {
        let mut pull = cx.full_pull("M");
        pull.begin().await?;
        for _ in 0..3 {
            pull.answered();
            pull.saw("1");
            pull.saw("2");
            pull.doubt("the total says 3");
            cx.batch("M")
                .save_all(&[json!({ "id": 1 }), json!({ "id": 2 })])?
                .commit()
                .await?;
            match pull.finish(|pass| pass.cloned()).await? {
                Finish::Again(again) => pull = *again,
                Finish::Done(end) => {
                    assert_eq!((end.deleted, end.kept), (0, 1));
                    return Ok(());
                }
            }
        }
        Err(Failure::other("three passes are the most"))
    });
    outcome.assert_ok();
    assert!(warned(&outcome, "the total says 3"));
}

#[test]
fn the_api_says_what_is_gone() {
    let api = Api::with([1, 2, 4, 5, 6]);
    // It hides 4 from the list, and still has it.
    let host =
        stored(1..=6).on(|request: &Request| (request.path == "/m/4").then(|| Reply::status(200)));
    let host = host.on(api.handler(|_, ids| ids.retain(|id| *id != 4)));
    let outcome = pull(&host, true);
    assert_eq!(outcome.assert_ok().totals("M").deleted, 1);
    assert_eq!(ids(&host), [1, 2, 4, 5, 6]);
    assert!(warned(&outcome, "the API still has them"));
}

#[test]
fn an_answer_that_says_neither_keeps_the_record() {
    for status in [401, 403, 500, 302] {
        let api = Api::with([1, 2, 4]);
        let host = stored(1..=4)
            .on(move |request: &Request| (request.path == "/m/3").then(|| Reply::status(status)))
            .on(api.handler(|_, _| ()));
        let outcome = pull(&host, true);
        outcome.assert_ok();
        assert_eq!(ids(&host), [1, 2, 3, 4], "{status}");
        assert!(warned(&outcome, "could not be asked about"), "{status}");
    }
}

#[test]
fn a_path_that_is_wrong_deletes_nothing() {
    let api = Api::with([1, 2, 4]);
    let host = stored(1..=4)
        .on(|request: &Request| request.path.starts_with("/m/").then(|| Reply::status(404)))
        .on(api.handler(|_, _| ()));
    let outcome = pull(&host, true);
    outcome.assert_ok();
    assert_eq!(ids(&host), [1, 2, 3, 4]);
    assert!(warned(&outcome, "is it the right one"));
}

#[test]
fn credentials_that_show_less_delete_nothing() {
    let api = Api::with([1, 2]);
    let host =
        stored(1..=3).on(|request: &Request| (request.path == "/me").then(|| Reply::status(401)));
    let host = host.on(api.handler(|_, _| ()));
    let plugin = || {
        crate::plugin(|cx: Cx| async move { read(&cx, true).await.map(drop) })
            .check(|cx| async move { cx.get("/me").send().await.map(drop) })
    };
    let outcome = host.run_sync(plugin(), "s");
    let failure = outcome.failure();
    assert_eq!(failure.kind, FailureKind::Auth);
    assert!(
        failure.message.contains("1 records were not seen"),
        "{failure}"
    );
    assert_eq!(ids(&host), [1, 2, 3]);
}

#[test]
fn an_interrupted_pull_goes_on() {
    for kill in 1..10 {
        let api = Api::with([1, 2, 4, 5, 6]);
        let host = stored(1..=6).on(api.handler(|_, _| ()));
        let killed = pull(&host.clone().kill_after_commits(kill), false);
        assert_eq!(killed.failure().code.as_deref(), Some("killed"), "{kill}");
        pull(&host, false).assert_ok();
        assert_eq!(ids(&host), [1, 2, 4, 5, 6], "{kill}");
    }
}

#[test]
fn a_pull_that_saw_too_little_is_refused() {
    for (percent, seen, refused) in [
        (50, 0, true),
        (50, 1, true),
        (50, 2, false),
        (100, 0, true),
        (100, 1, false),
    ] {
        let api = Api::with(1..=seen);
        let host = stored(1..=3)
            .snapshot_delete_percent(percent)
            .on(api.handler(|_, _| ()));
        let outcome = pull(&host, false);
        let failure = outcome.result.as_ref().err();
        let code = failure.and_then(|failure| failure.code.as_deref());
        assert_eq!(
            code,
            refused.then_some("snapshot-refused"),
            "{percent} {seen}"
        );
        let left = if refused { 3 } else { seen as usize };
        assert_eq!(ids(&host).len(), left);
    }
}

#[test]
fn ids_that_come_twice_are_named() {
    let api = Api::with([1, 2, 3, 2, 4]);
    let host = stored(1..=4).on(api.handler(|_, _| ()));
    let outcome = pull(&host, false);
    outcome.assert_ok();
    assert!(
        warned(&outcome, "more than once in one pull: 2"),
        "{:?}",
        outcome.logs
    );
}

/// Whether what two answers did not show, twice, is deleted; whether the list was read twice for it.
fn of_two_answers(order: fn(FullPull) -> FullPull) -> (bool, bool, Outcome<()>) {
    let host = stored(1..=3);
    let twice = Rc::new(Cell::new(false));
    let is_read_twice = Rc::clone(&twice);
    let outcome = run(&host, move |cx| {
        let mut pull = order(cx.full_pull("M"));
        let is_read_twice = Rc::clone(&is_read_twice);
        async move {
            pull.begin().await?;
            loop {
                for id in [1, 2] {
                    pull.answered();
                    pull.saw(&id.to_string());
                    cx.batch("M").save(&json!({ "id": id }))?.commit().await?;
                }
                match pull.finish(|pass| pass.cloned()).await? {
                    Finish::Again(again) => pull = *again,
                    Finish::Done(_) => return Ok(()),
                }
                is_read_twice.set(true);
            }
        }
    });
    outcome.assert_ok();
    (!ids(&host).contains(&3), twice.get(), outcome)
}

#[test]
fn two_passes_prove_nothing_where_a_record_may_jump_back() {
    let (is_gone, twice, outcome) = of_two_answers(|pull| pull);
    assert_eq!((is_gone, twice), (false, false));
    assert!(warned(&outcome, "`stable_order`"), "{:?}", outcome.logs);
    for order in [
        FullPull::counted as fn(FullPull) -> FullPull,
        FullPull::stable_order,
    ] {
        let (is_gone, twice, _) = of_two_answers(order);
        assert_eq!((is_gone, twice), (true, true));
    }
}

#[test]
fn a_list_of_links_is_cleaned_up_when_its_order_is_stable() {
    for is_stable in [false, true] {
        let host = stored(1..=3).on(|request: &Request| {
            let is_last = request.query("at").is_some();
            let reply = Reply::json(json!([{ "id": if is_last { 2 } else { 1 } }]));
            Some(match is_last {
                true => reply,
                false => reply.header("Link", "</m?at=2>; rel=\"next\""),
            })
        });
        let outcome = run(&host, move |cx| async move {
            let pull = cx.full_pull("M");
            let pull = if is_stable { pull.stable_order() } else { pull };
            pull.read(cx.get("/m"), Paginate::link(), |page, commit| {
                commit.save_raw(page.raw_items()?).map(drop)
            })
            .await
            .map(drop)
        });
        outcome.assert_ok();
        assert_eq!(ids(&host).len(), if is_stable { 2 } else { 3 });
    }
}

/// Pages of two; what lies beyond the last one is no page.
fn with_404(ids: impl Fn(u32) -> Vec<u32> + 'static) -> FakeHost {
    let answers = Cell::new(0);
    stored(1..=3)
        .snapshot_delete_percent(100)
        .on(move |request: &Request| {
            answers.set(answers.get() + 1);
            let page: usize = request.query("page")?.parse().ok()?;
            let ids = ids(answers.get());
            let own: Vec<Value> = ids
                .chunks(2)
                .nth(page - 1)?
                .iter()
                .map(|id| json!({ "id": id }))
                .collect();
            Some(Reply::json(own))
        })
        .on(|_: &Request| Some(Reply::status(404)))
}

#[test]
fn an_answer_that_there_is_no_such_page_is_one() {
    // The list has 1 to 3, and hides 2 from the first answer; then 1 goes.
    let host = with_404(|answer| match answer {
        1 => vec![1],
        _ => vec![2],
    });
    let outcome = pull(&host, false);
    outcome.assert_ok();
    assert!(ids(&host).contains(&2), "{:?}", outcome.logs);
}

#[test]
fn a_place_that_is_gone_when_a_pull_goes_on_starts_it_over() {
    let host = with_404(|answer| match answer {
        1 => vec![1, 2, 3],
        _ => vec![1],
    });
    pull(&host.clone().kill_after_commits(1), false);
    let outcome = pull(&host, false);
    outcome.assert_ok();
    assert!(warned(&outcome, "starts over"), "{:?}", outcome.logs);
}
