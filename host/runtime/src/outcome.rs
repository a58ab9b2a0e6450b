//! What a trap, a limit or a failure means: how the run ended and who is to blame.

use tidegate_contract::tidegate::plugin::types::{Failure as GuestFailure, FailureKind};
use tidegate_engine::limits::{FAILURE_MESSAGE_BYTES_MAX, Limits, UPSTREAM_BODY_BYTES_MAX};
use tidegate_engine::run::{Blame, Failure, FailureClass, Outcome, Upstream};
use wasmtime::Trap;

use crate::cause::RUN_LENGTH_LIMITS;
use crate::meter::Exhausted;
use crate::output;
use crate::state::{CallLimitReached, HostNotes};

/// What wasmtime says, in an error without a type of its own, when a call copies too many bytes.
pub(crate) const FUEL_IS_GONE: &str = "fuel allocated for hostcalls";
/// And when a guest holds too many handles: those of calls, and those of WASI's resources.
const NO_HANDLES: &[&str] = &[
    "cannot allocate another handle",
    "resource table has no free keys",
];

/// And the limit on a store's parts that wasmtime's error is about, if it is about one.
pub(crate) fn too_many_parts(text: &str) -> Option<&'static str> {
    let parts = [
        ("instance count too high", "instances"),
        ("memory count too high", "instances"),
        ("table count too high", "tables"),
    ];
    let found = parts.iter().find(|(words, _)| text.contains(words));
    found.map(|(_, limit)| *limit)
}

/// How the guest's code came to an end.
pub(crate) enum Ending {
    Returned,
    Failed(GuestFailure),
    Trapped(wasmtime::Error),
    Exhausted(Exhausted),
    WallExhausted,
    Cancelled,
    /// A replay that can't go on, or that came to where the recorded run was cut.
    Stopped,
}

/// Judge a run.
pub(crate) fn judge(
    ending: Ending,
    notes: HostNotes,
    refused_growth: Option<&'static str>,
    is_sync: bool,
    limits: &Limits,
) -> (Outcome, Option<Failure>) {
    let (advanced, acted) = (notes.advanced, notes.acted && !is_sync);
    let failure = match ending {
        Ending::Cancelled => {
            let message = "cancelled; what was committed stays, with its checkpoint";
            let mut failure = Failure::new(FailureClass::Other, Blame::Operator, message);
            failure.may_be_done = acted;
            return (Outcome::Cancelled, Some(failure));
        }
        Ending::Stopped => {
            let message = "the replay stopped";
            let failure = Failure::new(FailureClass::Other, Blame::Operator, message);
            return (Outcome::Cancelled, Some(failure));
        }
        _ if notes.sticky.is_some() => notes.sticky,
        Ending::Returned => return (Outcome::Success, None),
        Ending::Failed(failure) => {
            let payload = failure.payload.as_ref().map_or(0, String::len);
            let too_long = output::too_long("the failure's payload", payload, limits);
            Some(too_long.unwrap_or_else(|| from_guest(failure, &notes)))
        }
        Ending::Trapped(error) => Some(from_trap(&error, refused_growth)),
        Ending::Exhausted(Exhausted::HostCalls) => Some(Failure::limit(
            "host_calls",
            Blame::Guest,
            format!(
                "the plugin called the host more often than the limit host_calls, {}",
                limits.host_calls
            ),
        )),
        Ending::Exhausted(Exhausted::Cpu) => Some(Failure::limit(
            "cpu_ms",
            Blame::Guest,
            format!(
                "the plugin used more CPU time than the limit cpu_ms, {} ms",
                limits.cpu_ms
            ),
        )),
        Ending::WallExhausted => {
            let (name, value) = if is_sync {
                ("wall_ms", limits.wall_ms)
            } else {
                ("action_wall_ms", limits.action_wall_ms)
            };
            let message = format!("the run took longer than the limit {name}, {value} ms");
            Some(Failure::limit(name, Blame::Guest, message))
        }
    };
    let may_continue = failure
        .as_ref()
        .and_then(|failure| failure.limit.as_deref())
        .is_some_and(|limit| RUN_LENGTH_LIMITS.contains(&limit));
    let outcome = if may_continue && advanced {
        Outcome::Interrupted
    } else {
        Outcome::Failed
    };
    match acted {
        true => (outcome, failure.map(Failure::after_acting)),
        false => (outcome, failure),
    }
}

fn from_guest(failure: GuestFailure, notes: &HostNotes) -> Failure {
    let cause = match failure.cause {
        Some(number) => notes.causes.of(number),
        // Of a failure that says something, it is no consequence.
        None => notes
            .causes
            .spent()
            .filter(|_| failure.kind == FailureKind::Other && failure.upstream.is_none()),
    };
    let (class, blame) = match failure.kind {
        FailureKind::Transient => (FailureClass::Transient, Blame::Upstream),
        FailureKind::Auth => (FailureClass::Auth, Blame::Operator),
        FailureKind::Config => (FailureClass::Config, Blame::Operator),
        FailureKind::Rejected if failure.upstream.is_some() => {
            (FailureClass::Rejected, Blame::Upstream)
        }
        FailureKind::Rejected => (FailureClass::Rejected, Blame::Operator),
        FailureKind::Unsupported => (FailureClass::Unsupported, Blame::Operator),
        FailureKind::Other if failure.upstream.is_some() => (FailureClass::Other, Blame::Upstream),
        FailureKind::Other => (FailureClass::Other, Blame::Guest),
    };
    let limit = cause.and_then(|cause| cause.limit);
    let class = match limit {
        Some(_) if class == FailureClass::Other => FailureClass::Limit,
        _ => class,
    };
    let blame = cause.map_or(blame, |cause| cause.blame);
    Failure {
        class,
        blame,
        message: cut(failure.message, FAILURE_MESSAGE_BYTES_MAX),
        // Room that all runs together had not is nobody's fault here, and a later run may find some.
        limit: limit
            .filter(|_| class == FailureClass::Limit || blame == Blame::Host)
            .map(str::to_owned),
        code: failure.code.map(|code| cut(code, 200)),
        payload: failure
            .payload
            .and_then(|payload| serde_json::from_str(&payload).ok()),
        upstream: failure.upstream.map(|upstream| Upstream {
            status: upstream.status,
            body: cut(upstream.body, UPSTREAM_BODY_BYTES_MAX),
        }),
        // The guest's own word counts; it can't know what the gate was told.
        retry_after_ms: failure.retry_after_ms.or_else(|| {
            let own = cause.and_then(|cause| cause.retry_after_ms);
            own.or(notes.causes.retry_after_ms())
                .filter(|_| class == FailureClass::Transient)
        }),
        may_be_done: false,
    }
}

/// Say that the retry budget, and not the number of attempts, was the end, if so many requests were not
/// repeated because of it. The guest, which words the failure, can't know.
pub(crate) fn tell_budget(failure: &mut Failure, unpaid: u64) {
    const SAYS: &str = "retry budget";
    if failure.class != FailureClass::Transient || unpaid == 0 || failure.message.contains(SAYS) {
        return;
    }
    failure.message.push_str(&format!(
        " (not repeated any more: the {SAYS} of this API was spent, {unpaid} times in this run)"
    ));
}

fn from_trap(error: &wasmtime::Error, refused_growth: Option<&'static str>) -> Failure {
    let text = format!("{error:#}");
    let trap = error.downcast_ref::<Trap>();
    if text.contains(FUEL_IS_GONE) {
        return Failure::limit(
            "host_call_bytes",
            Blame::Guest,
            "one call from the plugin to the host carried more bytes than the limit host_call_bytes",
        );
    }
    if NO_HANDLES.iter().any(|words| text.contains(words)) {
        return Failure::limit(
            "handles",
            Blame::Guest,
            "the plugin held more calls, resources, futures and streams at once than the limit handles",
        );
    }
    if let Some(limit) = too_many_parts(&text) {
        let message = format!("the plugin has more parts than the limit {limit}: {text}");
        return Failure::limit(limit, Blame::Guest, cut(message, 2000));
    }
    if let Some(spent) = error.downcast_ref::<CallLimitReached>() {
        let (class, blame) = match spent.name {
            // What others hold is not this run's fault, and there is room later.
            "runs_held_bytes" => (FailureClass::Transient, Blame::Host),
            _ => (FailureClass::Limit, Blame::Guest),
        };
        let mut failure = Failure::new(class, blame, spent.to_string());
        failure.limit = Some(spent.name.to_owned());
        return failure;
    }
    if let Some(limit) = refused_growth {
        let message = format!(
            "the plugin asked for more than the limit {limit} and then stopped ({}); see the run's log",
            trap.map_or_else(|| "error".to_owned(), ToString::to_string)
        );
        return Failure::limit(limit, Blame::Guest, message);
    }
    let message = match trap {
        Some(Trap::StackOverflow) => {
            let message = "the plugin's call stack is exhausted (limit stack_bytes): endless recursion?";
            return Failure::limit("stack_bytes", Blame::Guest, message);
        }
        Some(Trap::UnreachableCodeReached) => {
            "the plugin panicked or aborted; its last words are in the run's log".to_owned()
        }
        // Languages that keep a stack in linear memory run off its end there.
        Some(Trap::MemoryOutOfBounds) => {
            "the plugin trapped: out of bounds memory access; most often a stack that is exhausted by \
             endless recursion"
                .to_owned()
        }
        Some(trap) => format!("the plugin trapped: {trap}"),
        None => format!("the plugin stopped: {}", cut(text, 2000)),
    };
    Failure::new(FailureClass::Trap, Blame::Guest, message)
}

fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max)
            .rev()
            .find(|end| text.is_char_boundary(*end))
            .unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
