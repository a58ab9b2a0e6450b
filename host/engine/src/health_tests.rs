//! What holds a target, what lifts it, and what is written of it.

use super::*;
use crate::run::{Blame, Failure, Figures};
use crate::{ConnectionKey, Name, SyncKey};

fn key() -> ConnectionKey {
    ConnectionKey {
        integration: "crm".parse().unwrap(),
        connection: "acme".parse().unwrap(),
    }
}

fn sync(name: &str) -> Target {
    Target::Sync(SyncKey {
        connection: key(),
        sync: name.parse().unwrap(),
        variant: Name::base_variant(),
    })
}

fn action(name: &str) -> Target {
    Target::Action {
        connection: key(),
        action: name.parse().unwrap(),
    }
}

fn job(name: &str) -> JobTarget {
    JobTarget::Sync {
        connection: key(),
        sync: name.parse().unwrap(),
        variant: Name::base_variant(),
        reset: false,
        empty: false,
        allow_deletes: false,
    }
}

fn check() -> Target {
    let event = CHECK.to_owned();
    Target::Event {
        connection: key(),
        event,
    }
}

fn end(at: u64, outcome: Outcome, class: Option<FailureClass>) -> RunEnd {
    let failure = class.map(|class| Failure::new(class, Blame::Operator, format!("no, at {at}")));
    RunEnd {
        at: Timestamp(at),
        outcome,
        failure,
        figures: Figures::default(),
    }
}

/// Play ends in order; whether the sync `a` is held after each.
fn holds(ends: &[(Target, Outcome, Option<FailureClass>, bool)]) -> Vec<Option<Hold>> {
    let mut health = Health::default();
    let played = ends
        .iter()
        .zip(1..)
        .map(|((target, outcome, class, goes_on), at)| {
            let after = health.after(target, &end(at, *outcome, *class), *goes_on);
            health = after.unwrap_or_else(|| health.clone());
            health.hold_of(&job("a"))
        });
    played.collect()
}

#[test]
fn what_holds_a_target_and_what_lifts_it() {
    use FailureClass::{Auth, Config, Rejected, Transient};
    use Outcome::{Cancelled, Failed, Interrupted, Success};
    let auth = || (sync("a"), Failed, Some(Auth), false);
    let (no, held) = (None, Some(Hold::AuthFailed));
    let config = Some(Hold::ConfigFailed);
    for (ends, want) in [
        (vec![auth(), auth(), auth()], vec![no, held, held]),
        // One good answer between them, and it was a moment's.
        (
            vec![auth(), (sync("a"), Success, None, false), auth()],
            vec![no, no, no],
        ),
        (
            vec![auth(), (sync("a"), Failed, Some(Rejected), false), auth()],
            vec![no, no, no],
        ),
        // An outage says nothing of the credentials.
        (
            vec![auth(), (sync("a"), Failed, Some(Transient), true), auth()],
            vec![no, no, held],
        ),
        (
            vec![auth(), auth(), (sync("a"), Failed, Some(Transient), false)],
            vec![no, held, held],
        ),
        (
            vec![auth(), auth(), (sync("a"), Success, None, false)],
            vec![no, held, no],
        ),
        // Others' ends are theirs, but a check is of the credentials.
        (
            vec![auth(), auth(), (sync("b"), Success, None, false)],
            vec![no, held, held],
        ),
        (
            vec![auth(), (sync("b"), Failed, Some(Auth), false)],
            vec![no, no],
        ),
        (
            vec![auth(), auth(), (action("a"), Success, None, false)],
            vec![no, held, held],
        ),
        (
            vec![auth(), auth(), (check(), Success, None, false)],
            vec![no, held, no],
        ),
        (
            vec![auth(), auth(), (check(), Failed, Some(Auth), false)],
            vec![no, held, held],
        ),
        // What can't work is not tried twice.
        (
            vec![
                (sync("a"), Failed, Some(Config), false),
                (check(), Success, None, false),
                (sync("a"), Success, None, false),
            ],
            vec![config, config, no],
        ),
        (
            vec![
                (sync("a"), Cancelled, Some(Auth), false),
                (sync("a"), Interrupted, Some(Auth), true),
                (sync("a"), Failed, Some(Transient), true),
            ],
            vec![no, no, no],
        ),
    ] {
        assert_eq!(holds(&ends), want, "{ends:?}");
    }
}

#[test]
fn the_token_endpoints_word_is_final() {
    let mut rejected = end(1, Outcome::Failed, Some(FailureClass::Auth));
    rejected.failure.as_mut().unwrap().code = Some(TOKEN_REJECTED.to_owned());
    let health = Health::default()
        .after(&sync("a"), &rejected, false)
        .unwrap();
    assert_eq!(health.hold_of(&job("a")), Some(Hold::AuthFailed));
}

#[test]
fn it_says_since_when_and_is_written_no_more_often_than_needed() {
    let fail = |at, class| end(at, Outcome::Failed, Some(class));
    let well = Health::default();
    assert!(well.is_well());
    assert_eq!(
        well.after(&sync("a"), &end(1, Outcome::Success, None), false),
        None
    );
    let once = well
        .after(&sync("a"), &fail(1, FailureClass::Auth), true)
        .unwrap();
    let twice = once
        .after(&sync("a"), &fail(5, FailureClass::Auth), false)
        .unwrap();
    let (label, failing) = twice.held(Hold::AuthFailed).unwrap();
    assert_eq!(
        (label, failing.since, failing.at, failing.times),
        ("sync a", Timestamp(1), Timestamp(5), 2)
    );
    assert_eq!(failing.message, "no, at 5");
    // What passes by itself is noted once, when nobody goes on with it.
    let fails = |health: &Health, goes_on| {
        health.after(&action("b"), &fail(7, FailureClass::Transient), goes_on)
    };
    assert_eq!(fails(&twice, true), None);
    let both = fails(&twice, false).unwrap();
    assert_eq!(fails(&both, false), None);
    assert_eq!(both.failing().count(), 2);
    // Other credentials, config or grants lift what is held, and nothing else.
    let lifted = both.without(None).unwrap();
    assert_eq!(
        lifted.failing().map(|(label, _)| label).collect::<Vec<_>>(),
        ["action b"]
    );
    assert_eq!(lifted.without(None), None);
    assert_eq!(both.without(Some(Hold::ConfigFailed)), None);
    // One that was on its way to be held begins anew.
    assert_eq!(once.without(None), Some(Health::default()));
    // The message is cut, within no character.
    let mut long = fail(9, FailureClass::Config);
    long.failure.as_mut().unwrap().message = "ü".repeat(MESSAGE_BYTES);
    let cut = well.after(&sync("a"), &long, false).unwrap();
    let (_, failing) = cut.failing().next().unwrap();
    assert_eq!(failing.message.len(), MESSAGE_BYTES);
    let text = serde_json::to_string(&both).unwrap();
    assert_eq!(serde_json::from_str::<Health>(&text).unwrap(), both);
}
