//! Cases that failed once, shrunk by hand: each names the fault that it caught. They stay the same
//! when the random commands change, which the seeds in `conformance.regressions` don't.

use super::*;

const CONTACT: usize = 0;
const ACME: usize = 0;

fn commit(kind: Kind, count: u16) -> Step {
    let change = Change {
        page: 0,
        model: CONTACT,
        first: 1,
        count,
        step: 1,
        kind,
    };
    Step::Commit {
        slot: 0,
        changes: vec![change],
        checkpoint: true,
        relaxed: false,
        stale: false,
    }
}

fn save(version: u8, count: u16) -> Step {
    let kind = Kind::Save {
        version,
        spelling: 0,
        padding: 50,
    };
    commit(kind, count)
}

fn read(resume: bool, limit: usize) -> Step {
    Step::Read {
        model: CONTACT,
        connection: ACME,
        resume,
        deleted_only: false,
        limit,
        bytes: usize::MAX,
    }
}

fn cases() -> Vec<(&'static str, Vec<Step>)> {
    let prune = |age| Step::Prune {
        model: CONTACT,
        connection: ACME,
        age,
    };
    let drop = |what| Step::Drop { what, idle: true };
    let reopen = Step::Reopen(Reopen::Close);
    let delete = |count| commit(Kind::Delete, count);
    let start = Step::Start {
        slot: 0,
        target: 0,
        reset: false,
    };
    let contacts = StepKind::Model {
        model: CONTACT,
        connection: ACME,
    };
    let begin = Step::Begin {
        slot: 0,
        model: CONTACT,
        restart: true,
    };
    let end = Step::End {
        slot: 0,
        model: CONTACT,
        share: 100,
        all: true,
        checkpoint: true,
        proof: 1,
    };
    let skip = |known, count| commit(Kind::Skip { known }, count);
    vec![
        (
            "what was skipped was taken for deleted",
            vec![
                start.clone(),
                save(0, 9),
                begin.clone(),
                skip(true, 3),
                reopen.clone(),
                start.clone(),
                save(0, 1),
                end.clone(),
                Step::List,
            ],
        ),
        (
            "a snapshot with a hole deleted what it had not seen",
            vec![
                start.clone(),
                save(0, 9),
                begin,
                save(0, 1),
                skip(false, 1),
                reopen.clone(),
                start.clone(),
                end,
                Step::List,
            ],
        ),
        (
            "the journal lost which deletions have no body",
            vec![save(0, 9), prune(0), delete(4), reopen.clone(), save(0, 2)],
        ),
        (
            "bytes of pruned bodies were subtracted again when they changed",
            vec![save(0, 9), prune(0), save(1, 5), delete(7), Step::List],
        ),
        (
            "the pruned set was not stored by pruning",
            vec![
                save(0, 30),
                prune(0),
                reopen.clone(),
                save(1, 30),
                Step::List,
            ],
        ),
        (
            "pruning did not say how far it had come",
            vec![
                save(0, 9),
                read(false, 3),
                prune(0),
                read(true, 3),
                read(false, 2),
                read(true, 2),
            ],
        ),
        (
            "pruning stopped after its first step",
            vec![save(0, 120), save(1, 40), prune(0), Step::List],
        ),
        (
            "a snapshot took pruned records for gone",
            vec![
                save(0, 9),
                Step::Begin {
                    slot: 0,
                    model: CONTACT,
                    restart: false,
                },
                prune(0),
                save(0, 5),
                Step::End {
                    slot: 0,
                    model: CONTACT,
                    share: 100,
                    all: true,
                    checkpoint: false,
                    proof: 1,
                },
                read(false, 99),
            ],
        ),
        (
            "a dropped feed's cursor went on in the next one",
            vec![
                save(0, 9),
                read(false, 3),
                drop(contacts),
                start.clone(),
                save(0, 9),
                read(true, 3),
            ],
        ),
        (
            "a dropped connection's runs and checkpoints came back with its name",
            vec![
                save(0, 9),
                drop(StepKind::Connection(ACME)),
                reopen,
                Step::Restore,
                start,
                Step::List,
                save(0, 3),
            ],
        ),
        (
            "an integration's components stayed",
            vec![
                Step::Deploy { version: 2 },
                drop(StepKind::Integration),
                Step::List,
                Step::Restore,
            ],
        ),
    ]
}

/// Each of them, on each of the backends.
pub fn what_failed_once_does_not_again<B: Backend>(backends: &[B]) {
    for (fault, steps) in cases() {
        println!("{fault}");
        for backend in backends {
            run(std::slice::from_ref(backend), &steps);
        }
    }
}

/// A later range of a log that begins within an earlier one hid the rest of that from a reader in the middle.
pub fn ranges_of_a_log_that_overlap_are_read_as_one<B: Backend>(backends: &[B]) {
    let logs = |from, count| Step::Logs {
        slot: 0,
        from,
        count,
    };
    let read = |from| Step::ReadLogs {
        slot: 0,
        from,
        limit: 300,
    };
    let steps = [
        logs(10, 61),
        logs(30, 5),
        read(40),
        logs(60, 61),
        read(65),
        read(0),
    ];
    for backend in backends {
        run(std::slice::from_ref(backend), &steps);
    }
}
