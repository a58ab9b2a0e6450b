//! Every bound of a run with its unit, default and reason, in one table: [`TABLE`], made by `limits!` below, whose
//! columns are those of [`LimitInfo`].
//!
//! A bound that nobody can change is in `fixed` ([`FIXED`]). Bounds on the arguments of single calls are in `calls`. Each is
//! enforced where the thing is that it bounds: search for its name.
//!
//! A limit's value is the operator's override if there is one, else the plugin's request (never
//! above `request_max`), else the default. Nobody sets one above its ceiling, which is the most that
//! the code bears: [`check`] refuses it where it is set, and [`Limits::resolve`] lowers what was
//! stored. `docs/limits.md` is tested against [`TABLE`] and [`FIXED`].

mod calls;
mod fixed;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use calls::*;
pub use fixed::*;

/// One row of [`TABLE`].
#[derive(Debug, Clone, Copy)]
pub struct LimitInfo {
    /// The name, with its unit at the end.
    pub name: &'static str,
    pub default: u64,
    /// The most a plugin gets by asking; an operator may grant more.
    pub request_max: u64,
    /// The most that an operator may grant: what the code bears.
    pub ceiling: u64,
    pub reason: &'static str,
}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident = $default:expr, $request_max:expr, $ceiling:expr, $reason:literal;)*) => {
        /// The limits that hold for one run.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Limits {
            $(#[doc = $reason] pub $name: u64,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        /// All limits.
        pub const TABLE: &[LimitInfo] = &[
            $(LimitInfo {
                name: stringify!($name),
                default: $default,
                request_max: $request_max,
                ceiling: $ceiling,
                reason: $reason,
            },)*
        ];

        impl Limits {
            /// The value of the limit `name`.
            #[must_use]
            pub fn get(&self, name: &str) -> Option<u64> {
                match name {
                    $(stringify!($name) => Some(self.$name),)*
                    _ => None,
                }
            }

            fn set(&mut self, name: &str, value: u64) -> bool {
                match name {
                    $(stringify!($name) => self.$name = value,)*
                    _ => return false,
                }
                true
            }
        }
    };
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const MINUTE_MS: u64 = 60_000;

limits! {
    memory_bytes = 128 * MIB, 512 * MIB, 4 * GIB, "Linear memory and tables of one run together; enough for a page of 10,000 records several times over.";
    cpu_ms = 5 * MINUTE_MS, 60 * MINUTE_MS, 24 * 60 * MINUTE_MS, "CPU time inside the guest; a loop that never ends is stopped after this.";
    wall_ms = 60 * MINUTE_MS, 24 * 60 * MINUTE_MS, 168 * 60 * MINUTE_MS, "Time from the first instruction to the end of a sync, waiting included.";
    action_wall_ms = 2 * MINUTE_MS, 15 * MINUTE_MS, 24 * 60 * MINUTE_MS, "The same for an action or event: somebody waits for its answer.";
    action_output_bytes = 2 * MIB, 16 * MIB, 32 * MIB, "What an action or event returns, or says to its caller when it is rejected.";
    instances = 64, 64, 256, "Core instances of one component; a script runner has about ten.";
    tables = 64, 64, 256, "Tables of one component.";
    table_elements = 100_000, 100_000, 10_000_000, "Elements of one table.";
    handles = 10_000, 100_000, 1_000_000, "Calls in flight, resources, futures and streams that one run holds at once.";
    host_calls = 10_000_000, 100_000_000, 1_000_000_000_000, "Calls of one run into the host, those for time, chance and printing included.";
    host_call_bytes = 32 * MIB, 64 * MIB, 256 * MIB, "Bytes that one call may copy from guest to host, lists and strings with their heads.";
    host_held_bytes = 64 * MIB, 256 * MIB, GIB, "Text and bytes of the calls that have not ended yet, answers of HTTP included: the host holds them meanwhile.";
    host_call_total_bytes = 64 * GIB, 1024 * GIB, 1024 * 1024 * GIB, "Text and bytes that all calls of one run copy from guest to host.";
    http_requests = 100_000, 1_000_000, 1_000_000_000, "Requests of one run, retries not counted.";
    http_in_flight = 16, 64, 1_000, "Requests of one run at the same time; the rest wait.";
    http_request_bytes = 8 * MIB, 64 * MIB, 256 * MIB, "Body of one request.";
    http_response_bytes = 16 * MIB, 64 * MIB, 256 * MIB, "Body of one response, after decompression.";
    http_total_bytes = 10 * 1024 * MIB, 100 * 1024 * MIB, 100 * 1024 * GIB, "Response bytes of one run, after decompression.";
    http_headers = 128, 128, 1_000, "Headers of one request or response.";
    http_header_bytes = 32 * KIB, 64 * KIB, 256 * KIB, "All headers of one request or response.";
    http_timeout_ms = MINUTE_MS, 10 * MINUTE_MS, 60 * MINUTE_MS, "One attempt of a request, from connect to the last byte.";
    http_idle_timeout_ms = 20_000, 10 * MINUTE_MS, 60 * MINUTE_MS, "How long an answer may make no progress, which is 1 KiB; its head only of methods that change nothing.";
    records_per_commit = 10_000, 10_000, 100_000, "Records and deletions of one commit.";
    commit_bytes = 16 * MIB, 32 * MIB, 64 * MIB, "Bodies of one commit.";
    records_per_run = 50_000_000, 50_000_000, 1_000_000_000_000, "Records and deletions of one run.";
    record_bytes = MIB, 4 * MIB, 16 * MIB, "Body of one record.";
    record_id_bytes = 512, 512, 512, "A record's id: it is a key.";
    snapshot_delete_percent = 50, 50, 100, "Share of a model's live records that one full pull may delete; never all of them.";
    checkpoint_bytes = 64 * KIB, MIB, 4 * MIB, "One checkpoint: it is rewritten with every commit.";
    log_lines = 10_000, 100_000, 1_000_000, "Log lines of one run; first and last are kept.";
    log_line_bytes = 16 * KIB, 64 * KIB, 256 * KIB, "One log line; longer ones are cut.";
}

/// Why a limit can't be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    #[error("unknown limit {0:?}; the limits are {known}", known = known())]
    Unknown(String),
    #[error("limit {name} can't be 0: nothing would run")]
    Zero { name: String },
    #[error("limit {name} can't be {value}: the most that can be set is {ceiling}")]
    Ceiling {
        name: String,
        value: u64,
        ceiling: u64,
    },
}

fn known() -> String {
    TABLE.iter().map(|l| l.name).collect::<Vec<_>>().join(", ")
}

/// The limit or fixed bound of this name, as a name that lives forever.
#[must_use]
pub fn known_name(name: &str) -> Option<&'static str> {
    let names = TABLE.iter().map(|limit| limit.name);
    let mut names = names.chain(FIXED.iter().map(|bound| bound.name));
    names.find(|known| *known == name)
}

/// Values of some limits by name, as a manifest requests and an operator sets them.
pub type LimitValues = BTreeMap<String, u64>;

/// Check names and values.
pub fn check(values: &LimitValues) -> Result<(), LimitError> {
    for (name, value) in values {
        let (name, value) = (name.clone(), *value);
        match TABLE.iter().find(|limit| limit.name == name) {
            None => return Err(LimitError::Unknown(name)),
            Some(_) if value == 0 => return Err(LimitError::Zero { name }),
            Some(LimitInfo { ceiling, .. }) if value > *ceiling => {
                return Err(LimitError::Ceiling {
                    name,
                    value,
                    ceiling: *ceiling,
                });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

impl Limits {
    /// The same for the check of a connection: somebody waits for it, and wants to know whether the API
    /// can be reached.
    #[must_use]
    pub fn for_check(mut self) -> Self {
        self.http_timeout_ms = self.http_timeout_ms.min(CHECK_TIMEOUT_MS);
        self.http_idle_timeout_ms = self.http_idle_timeout_ms.min(CHECK_IDLE_TIMEOUT_MS);
        self
    }

    /// What holds for a plugin that requests `requested`, where the operator set `set`.
    #[must_use]
    pub fn resolve(requested: &LimitValues, set: &LimitValues) -> Self {
        let mut limits = Self::default();
        for row in TABLE {
            if let Some(value) = requested.get(row.name) {
                limits.set(row.name, (*value).clamp(1, row.request_max));
            }
            if let Some(value) = set.get(row.name) {
                limits.set(row.name, (*value).clamp(1, row.ceiling));
            }
        }
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_wins_and_a_request_is_capped() {
        let requested =
            LimitValues::from([("memory_bytes".into(), u64::MAX), ("cpu_ms".into(), 7)]);
        let set = LimitValues::from([("cpu_ms".into(), 9)]);
        let limits = Limits::resolve(&requested, &set);
        assert_eq!(limits.memory_bytes, 512 * MIB);
        assert_eq!(limits.cpu_ms, 9);
        assert_eq!(limits.record_id_bytes, 512);
    }

    #[test]
    fn each_limit_has_a_ceiling_for_everybody() {
        for row in TABLE {
            assert!(row.default <= row.request_max, "{}", row.name);
            assert!(row.request_max <= row.ceiling, "{}", row.name);
            let values = |value| LimitValues::from([(row.name.to_owned(), value)]);
            assert_eq!(check(&values(row.ceiling)), Ok(()), "{}", row.name);
            for value in [row.ceiling + 1, u64::MAX] {
                let error = check(&values(value)).unwrap_err().to_string();
                let ceiling = format!("{} can't be {value}", row.name);
                assert!(error.contains(&ceiling), "{error}");
                assert!(error.contains(&row.ceiling.to_string()), "{error}");
                // What was stored before there was a ceiling, or came by another way.
                let limits = Limits::resolve(&values(value), &values(value));
                assert_eq!(limits.get(row.name), Some(row.ceiling), "{}", row.name);
            }
        }
    }

    #[test]
    fn a_check_has_no_more_time_than_checks_have() {
        let set = |ms| {
            LimitValues::from([
                ("http_timeout_ms".to_owned(), ms),
                ("http_idle_timeout_ms".to_owned(), ms),
            ])
        };
        for (ms, whole, idle) in [
            (3_600_000, CHECK_TIMEOUT_MS, CHECK_IDLE_TIMEOUT_MS),
            (
                CHECK_IDLE_TIMEOUT_MS + 1,
                CHECK_IDLE_TIMEOUT_MS + 1,
                CHECK_IDLE_TIMEOUT_MS,
            ),
            (100, 100, 100),
        ] {
            let limits = Limits::resolve(&LimitValues::new(), &set(ms)).for_check();
            let has = (limits.http_timeout_ms, limits.http_idle_timeout_ms);
            assert_eq!(has, (whole, idle), "{ms}");
        }
    }

    #[test]
    fn unknown_names_are_refused() {
        let error = check(&LimitValues::from([("memory".into(), 1)])).unwrap_err();
        assert!(error.to_string().contains("memory_bytes"), "{error}");
    }
}
