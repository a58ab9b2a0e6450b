//! Random commands: what they are made of, and how they are drawn.

use super::*;

/// Saves or deletions of neighbouring ids.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) page: u8,
    pub(crate) model: usize,
    pub(crate) first: u16,
    pub(crate) count: u16,
    pub(crate) step: u16,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Delete,
    Save {
        version: u8,
        spelling: u8,
        padding: u16,
    },
    /// Not JSON.
    Bad,
    /// Left out: with its id, or without one.
    Skip {
        known: bool,
    },
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Start {
        slot: u8,
        target: u8,
        reset: bool,
    },
    Commit {
        slot: u8,
        changes: Vec<Change>,
        checkpoint: bool,
        relaxed: bool,
        stale: bool,
    },
    Begin {
        slot: u8,
        model: usize,
        restart: bool,
    },
    End {
        slot: u8,
        model: usize,
        share: u8,
        all: bool,
        checkpoint: bool,
        proof: usize,
    },
    Unseen {
        slot: u8,
        model: usize,
        share: u8,
        limit: usize,
    },
    Repeat {
        slot: u8,
        model: usize,
        checkpoint: bool,
    },
    Finish {
        slot: u8,
    },
    StartKeyed(StartKeyed),
    FinishKeyed {
        slot: u8,
        how: RunEnding,
    },
    Hook(HookStep),
    OnKey(ApiKeyStep),
    /// As long as a key is remembered.
    DayLater,
    Recover,
    Logs {
        slot: u8,
        from: u64,
        count: u64,
    },
    ReadLogs {
        slot: u8,
        from: u64,
        limit: usize,
    },
    Read {
        model: usize,
        connection: usize,
        resume: bool,
        deleted_only: bool,
        limit: usize,
        bytes: usize,
    },
    Get {
        model: usize,
        connection: usize,
        first: u16,
        count: u16,
    },
    Hashes {
        model: usize,
        connection: usize,
        first: u16,
        count: u16,
    },
    List,
    /// Prune what is older than so many steps.
    Prune {
        model: usize,
        connection: usize,
        age: u64,
    },
    Drop {
        what: StepKind,
        /// End all runs before, so that it is not refused.
        idle: bool,
    },
    /// Deploy and connect what may have been dropped.
    Restore,
    Work(QueueStep),
    Settle,
    Metadata {
        slot: u8,
        value: Option<u8>,
    },
    /// Tag a connection; `stale` has not seen its last change.
    Update {
        connection: usize,
        tag: u8,
        stale: bool,
    },
    /// Remove a connection under its runs.
    Remove {
        connection: usize,
    },
    Deploy {
        version: u8,
    },
    Reopen(Reopen),
}

/// How a store ends before it is opened again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reopen {
    Close,
    Drop,
    /// The files as they are at that moment, without what the process still has in memory.
    Kill,
}

#[derive(Debug, Clone)]
pub(crate) enum StepKind {
    Model { model: usize, connection: usize },
    Connection(usize),
    Integration,
}

impl StepKind {
    pub(crate) fn scope(&self) -> Scope {
        match self {
            Self::Model { model, connection } => {
                Scope::Model(fixtures::model(CONNECTIONS[*connection], MODELS[*model]))
            }
            Self::Connection(number) => Scope::Connection(connection(CONNECTIONS[*number])),
            Self::Integration => Scope::Integration(name("crm")),
        }
    }
}

fn what() -> impl Strategy<Value = StepKind> {
    prop_oneof![
        6 => (0usize..2, 0usize..3).prop_map(|(model, connection)| StepKind::Model { model, connection }),
        2 => (0usize..3).prop_map(StepKind::Connection),
        1 => Just(StepKind::Integration),
    ]
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let kind = prop_oneof![
        4 => Just(Kind::Delete),
        20 => (0u8..3, 0u8..4, prop_oneof![9 => 0u16..300, 1 => 20_000u16..30_000])
            .prop_map(|(version, spelling, padding)| Kind::Save { version, spelling, padding }),
        1 => Just(Kind::Bad),
        3 => prop::bool::weighted(0.8).prop_map(|known| Kind::Skip { known }),
    ];
    let count = prop_oneof![6 => 1u16..8, 1 => 30u16..120];
    (0u8..3, 0usize..2, 0u16..120, count, 1u16..4, kind).prop_map(
        |(page, model, first, count, step, kind)| Change {
            page,
            model,
            first,
            count,
            step,
            kind,
        },
    )
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    // Mostly one run that works, so that its commands build on each other.
    let slot = prop_oneof![6 => Just(0u8), 1 => 1u8..5];
    let target = prop_oneof![3 => Just(0u8), 1 => 1u8..5];
    prop_oneof![
        6 => (slot.clone(), target, prop::bool::weighted(0.1))
            .prop_map(|(slot, target, reset)| Step::Start { slot, target, reset }),
        20 => (slot.clone(), vec(change(), 0..5), any::<bool>(), prop::bool::weighted(0.1), prop::bool::weighted(0.05))
            .prop_map(|(slot, changes, checkpoint, relaxed, stale)| Step::Commit { slot, changes, checkpoint, relaxed, stale }),
        6 => (slot.clone(), 0usize..2, prop::bool::weighted(0.2))
            .prop_map(|(slot, model, restart)| Step::Begin { slot, model, restart }),
        6 => (slot.clone(), 0usize..2, 0u8..101, any::<bool>(), any::<bool>(), 0usize..3)
            .prop_map(|(slot, model, share, all, checkpoint, proof)| Step::End { slot, model, share, all, checkpoint, proof }),
        4 => (slot.clone(), 0usize..2, 0u8..101, 1usize..40)
            .prop_map(|(slot, model, share, limit)| Step::Unseen { slot, model, share, limit }),
        4 => (slot.clone(), 0usize..2, any::<bool>())
            .prop_map(|(slot, model, checkpoint)| Step::Repeat { slot, model, checkpoint }),
        3 => slot.clone().prop_map(|slot| Step::Finish { slot }),
        4 => keyed::start().prop_map(Step::StartKeyed),
        3 => keyed::finish().prop_map(|(slot, how)| Step::FinishKeyed { slot, how }),
        12 => webhooks::step().prop_map(Step::Hook),
        2 => api_keys::on_key().prop_map(Step::OnKey),
        1 => Just(Step::DayLater),
        1 => Just(Step::Recover),
        1 => (slot.clone(), 0u64..300, 0u64..200)
            .prop_map(|(slot, from, count)| Step::Logs { slot, from, count }),
        1 => (slot.clone(), 0u64..300, 0usize..300)
            .prop_map(|(slot, from, limit)| Step::ReadLogs { slot, from, limit }),
        8 => (0usize..2, 0usize..3, any::<bool>(), prop::bool::weighted(0.2), 0usize..40, prop_oneof![Just(usize::MAX), 0usize..5000])
            .prop_map(|(model, connection, resume, deleted_only, limit, bytes)| Step::Read { model, connection, resume, deleted_only, limit, bytes }),
        3 => (0usize..2, 0usize..3, 0u16..400, 0u16..60)
            .prop_map(|(model, connection, first, count)| Step::Get { model, connection, first, count }),
        1 => (0usize..2, 0usize..3, 0u16..400, 0u16..60)
            .prop_map(|(model, connection, first, count)| Step::Hashes { model, connection, first, count }),
        2 => Just(Step::List),
        5 => (0usize..2, prop_oneof![6 => Just(0usize), 1 => 1usize..3], prop_oneof![2 => Just(0u64), 3 => 1u64..40])
            .prop_map(|(model, connection, age)| Step::Prune { model, connection, age }),
        2 => (what(), prop::bool::weighted(0.7)).prop_map(|(what, idle)| Step::Drop { what, idle }),
        3 => Just(Step::Restore),
        1 => Just(Step::Settle),
        2 => (slot, any::<Option<u8>>()).prop_map(|(slot, value)| Step::Metadata { slot, value }),
        2 => (0usize..3, 0u8..4, prop::bool::weighted(0.3))
            .prop_map(|(connection, tag, stale)| Step::Update { connection, tag, stale }),
        1 => (0usize..3).prop_map(|connection| Step::Remove { connection }),
        1 => (0u8..3).prop_map(|version| Step::Deploy { version }),
        6 => prop_oneof![Just(Reopen::Close), Just(Reopen::Drop), Just(Reopen::Kill)].prop_map(Step::Reopen),
    ]
}

/// Mostly schedules and jobs.
pub(crate) fn worker_step() -> impl Strategy<Value = Step> {
    prop_oneof![30 => work().prop_map(Step::Work), 1 => Just(Step::List), 5 => step()]
}

pub(crate) fn id(number: u16) -> String {
    // Ids that are prefixes of others, and ones that are not ASCII.
    match number % 7 {
        0 => format!("{number}"),
        1 => format!("é-{number}"),
        _ => format!("id-{number:05}"),
    }
}

pub(crate) fn body(id: &str, version: u8, spelling: u8, padding: u16) -> String {
    let mut noise = u32::from(version) + 1;
    let padding: String = std::iter::from_fn(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some(char::from(b'a' + (noise >> 24) as u8 % 26))
    })
    .take(padding.into())
    .collect();
    match spelling {
        0 => format!(r#"{{"id":"{id}","v":{version},"p":"{padding}"}}"#),
        1 => format!(r#"{{ "v" : {version}.0 , "id":"{id}","p":"{padding}" }}"#),
        2 => format!(r#"{{"p":"{padding}","id":"{id}","v":{version}e0}}"#),
        // The first `v` counts for nothing.
        _ => format!(r#"{{"v":9,"p":"{padding}","id":"{id}","v":{version}}}"#),
    }
}

pub(crate) fn pages(changes: &[Change]) -> Vec<Page> {
    let mut pages: BTreeMap<(u8, usize), Page> = BTreeMap::new();
    for change in changes {
        let page = pages
            .entry((change.page, change.model))
            .or_insert_with(|| Page {
                save: vec![],
                delete: vec![],
                ..Page::of(name(MODELS[change.model]))
            });
        for n in 0..change.count {
            let id = id(change.first + n * change.step);
            match change.kind {
                Kind::Delete => page.delete.push(id),
                Kind::Save {
                    version,
                    spelling,
                    padding,
                } => {
                    let body = body(&id, version, spelling, padding);
                    page.save.push(Save {
                        id,
                        body,
                        hash: None,
                    });
                }
                Kind::Skip { known } => page.skipped.push(Skipped {
                    id: known.then_some(id),
                    position: n.into(),
                    reason: "too large".into(),
                }),
                Kind::Bad => page.save.push(Save {
                    id,
                    body: "[1]".into(),
                    hash: None,
                }),
            }
        }
    }
    pages.into_values().collect()
}
