//! Plugins as an author with our SDK can write them, which misuse what every plugin is given.

use crate::case::{Case, Does, Seen};

pub fn cases() -> Vec<Case> {
    let all = [
        machine(),
        calls(),
        print(),
        store(),
        web(),
        surroundings(),
        actions(),
    ];
    all.concat()
}

fn sync(name: &'static str, sync: &'static str) -> Case {
    Case::new(name, Does::Sync(sync))
}

fn actions() -> Vec<Case> {
    let action = |name, action| Case::new(name, Does::Action(action));
    vec![
        action("answers with four megabytes", "answer-at-length")
            .breaks("action_output_bytes")
            .says("4194306 bytes"),
        action("sleeps while somebody waits for its answer", "sleep")
            .with("action_wall_ms", 500)
            .breaks("action_wall_ms")
            .says("500 ms"),
    ]
}

fn machine() -> Vec<Case> {
    vec![
        sync("panics", "panic")
            .class("trap")
            .says("panicked or aborted"),
        sync("ends the process", "exit").class("trap").says("exit"),
        sync("fails with a message of a megabyte", "long-error").check(|seen| {
            let failure = seen.run.end.as_ref().unwrap().failure.clone().unwrap();
            assert!(
                failure.message.len() <= 8200,
                "{} bytes",
                failure.message.len()
            );
            assert!(failure.code.unwrap().len() <= 210);
        }),
        sync("loops", "loop")
            .with("cpu_ms", 300)
            .breaks("cpu_ms")
            .says("300 ms"),
        sync("loops after a checkpoint", "loop-after-checkpoint")
            .with("cpu_ms", 300)
            .breaks("cpu_ms")
            .interrupted(),
        sync("loops while the host works for it", "loop-while-waiting")
            .with("cpu_ms", 300)
            .breaks("cpu_ms"),
        sync("sleeps", "sleep")
            .with("wall_ms", 500)
            .breaks("wall_ms")
            .says("500 ms"),
        sync("waits for a server that never answers", "hang")
            .with("wall_ms", 500)
            .with("http_timeout_ms", 3_600_000)
            .breaks("wall_ms"),
        sync("allocates", "allocate").breaks("memory_bytes"),
        sync("recurses", "recurse")
            .breaks("stack_bytes")
            .says("recursion"),
        sync("recurses with large frames", "recurse-in-memory")
            .class("trap")
            .says("out of bounds"),
    ]
}

fn calls() -> Vec<Case> {
    vec![
        sync("calls the host without end", "many-calls")
            .with("host_calls", 10_000)
            .breaks("host_calls"),
        sync("calls WASI without end", "many-wasi-calls")
            .with("host_calls", 10_000)
            .breaks("host_calls"),
        sync("makes twenty thousand calls at once", "many-calls-at-once").breaks("handles"),
        sync("passes more bytes in one call", "large-call").breaks("host_call_bytes"),
        sync("passes more bytes in all calls", "copy-much")
            .with("host_call_total_bytes", 20 << 20)
            .breaks("host_call_total_bytes"),
        sync("leaves a hundred bodies with the host", "hold-much").breaks("host_held_bytes"),
        sync("asks for half a gigabyte of records", "get-one-often").breaks("host_held_bytes"),
        sync("asks for too many records", "get-many-ids").says("1001 ids"),
    ]
}

fn print() -> Vec<Case> {
    vec![
        sync("floods the log", "flood-log")
            .with("log_lines", 100)
            .harmless(|seen| keeps_first_and_last(seen, "plugin")),
        sync("floods stdout", "flood-print")
            .with("log_lines", 100)
            .harmless(|seen| keeps_first_and_last(seen, "stdout")),
        sync("floods the log with long lines", "flood-long").harmless(|seen| {
            let bytes: usize = seen.logs.iter().map(|line| line.message.len()).sum();
            // What is in memory at once; the first half is stored as it comes.
            assert!(bytes > 4 << 20, "{bytes} bytes");
            assert!(bytes < 40 << 20, "{bytes} bytes");
            let last = &seen.logs[seen.logs.len() - 1];
            assert!(last.message.starts_with("line 5999"), "{}", last.message);
            let dropped = seen
                .logs
                .iter()
                .find(|line| line.message.contains("log_held_bytes"));
            assert!(dropped.is_some(), "it says so");
        }),
        sync("prints a line of a megabyte, and no UTF-8", "print-bytes").harmless(|seen| {
            let longest = seen
                .logs
                .iter()
                .map(|line| line.message.len())
                .max()
                .unwrap();
            assert!(longest <= 16 << 10, "{longest} bytes");
            assert_eq!(seen.logs.len(), 64 + 1);
            let replaced = seen
                .logs
                .iter()
                .any(|line| line.message.starts_with("caf\u{fffd}"));
            assert!(replaced, "what is not UTF-8 is replaced");
        }),
        sync("logs a message and fields of a megabyte", "long-lines").harmless(|seen| {
            let [message, fields] = &seen.logs[..] else {
                panic!("{} lines", seen.logs.len());
            };
            assert!(message.message.len() < 17 << 10 && message.message.ends_with("bytes cut)"));
            assert!(fields.message.contains("fields too long") && fields.fields.is_none());
        }),
    ]
}

fn keeps_first_and_last(seen: &Seen, source: &str) {
    let figures = &seen.run.end.as_ref().unwrap().figures;
    assert_eq!(figures.log_lines_dropped, 49_900);
    let own: Vec<&str> = seen
        .logs
        .iter()
        .filter(|line| serde_json::to_value(line.source).unwrap() == source)
        .map(|line| line.message.as_str())
        .collect();
    assert_eq!((own.len(), own[0], own[99]), (100, "line 0", "line 49999"));
}

fn store() -> Vec<Case> {
    vec![
        sync("commits too many records", "many-records").breaks("records_per_commit"),
        sync("commits too many records in all", "many-records-in-all")
            .with("records_per_run", 1000)
            .breaks("records_per_run"),
        sync("skips more records than a log names", "skip-many").harmless(|seen| {
            let figures = &seen.run.end.as_ref().unwrap().figures;
            let counts: Vec<u64> = figures
                .counts
                .values()
                .map(|counts| counts.skipped)
                .collect();
            assert_eq!(counts, [250], "all are counted");
            let named = seen
                .logs
                .iter()
                .filter(|line| line.message.starts_with("skipped Thing"));
            assert_eq!(named.count(), 100);
            let last = &seen.logs[seen.logs.len() - 1].message;
            assert!(last.contains("the limit skipped_logged is 100"), "{last}");
        }),
        sync("commits a large record", "large-record")
            .breaks("record_bytes")
            .blame("upstream"),
        sync("commits too many bytes", "large-commit").breaks("commit_bytes"),
        sync("deletes most of what is there", "see-too-little")
            .breaks("snapshot_delete_percent")
            .class("refused")
            .blame("upstream"),
        sync("commits a checkpoint that is too large", "large-checkpoint")
            .breaks("checkpoint_bytes"),
        sync(
            "commits a checkpoint that is not JSON",
            "checkpoint-no-json",
        )
        .says("not JSON"),
        sync("commits an empty id", "empty-id").says("empty id"),
        sync("commits an id that is too long", "long-id")
            .breaks("record_id_bytes")
            .blame("upstream"),
        sync("commits an id with control characters", "control-id")
            .blame("upstream")
            .says("control character"),
        sync("commits a list", "no-object").says("not a JSON object"),
        sync("commits half a document", "no-json").says("ends too early"),
        sync("commits a body nested a hundred thousand deep", "deep-body")
            .breaks("json_depth")
            .blame("upstream"),
        sync("writes a model that it doesn't list", "undeclared-model")
            .class("config")
            .blame("guest")
            .says("does not list the model"),
        sync("writes metadata without a grant", "metadata")
            .class("config")
            .blame("operator")
            .says("--allow-metadata-write"),
        sync("writes too much metadata", "large-metadata")
            .may_write_metadata()
            .says("the metadata would have"),
        sync("reads a feed without a grant", "read-feed")
            .class("config")
            .blame("operator")
            .says("--allow-feed crm/Contact"),
        sync("ends a snapshot that it didn't begin", "end-without-begin").says("snapshot"),
        sync("panics after a commit", "commit-and-panic")
            .class("trap")
            .check(|seen| {
                assert_eq!(seen.records.len(), 1, "what was committed stays");
            }),
    ]
}

fn web() -> Vec<Case> {
    vec![
        sync("sends too many requests", "many-requests")
            .with("http_requests", 5)
            .breaks("http_requests"),
        sync("receives too many bytes in all", "many-bytes-in")
            .with("http_total_bytes", 5 << 20)
            .breaks("http_total_bytes"),
        sync("sends sixty requests at once", "many-at-once").harmless(|seen| {
            assert!((2..=16).contains(&seen.at_once), "{} at once", seen.at_once);
        }),
        // Each counts until the guest has it, and no longer: they come one after the other, without another call.
        sync(
            "asks for forty answers of a megabyte at once",
            "many-answers-at-once",
        )
        .with("host_held_bytes", 3 << 20)
        .harmless(|seen| {
            let figures = &seen.run.end.as_ref().unwrap().figures;
            assert_eq!(figures.bytes_in, 40 << 20);
        }),
        sync("sends a large body", "large-request").breaks("http_request_bytes"),
        sync("sends too many headers", "many-headers").breaks("http_headers"),
        sync("sends large headers", "large-headers").breaks("http_header_bytes"),
        sync("breaks out of a header", "header-injection").says("header"),
        sync("sends TRACE", "trace").says("TRACE"),
        sync("asks the machine's metadata service", "metadata-service")
            .class("config")
            .blame("guest")
            .says("169.254.169.254"),
        sync("asks the private network", "private-network")
            .class("config")
            .blame("guest")
            .says("10.1.2.3"),
    ]
}

fn surroundings() -> Vec<Case> {
    vec![
        sync("looks for the host's environment", "look-around").harmless(|seen| {
            let [record] = &seen.records[..] else {
                panic!("{:?}", seen.records);
            };
            assert_eq!(record["variables"], serde_json::json!([]), "no environment");
            assert_eq!(record["arguments"], serde_json::json!([]), "no arguments");
            let (before, after) = seen.between;
            for clock in ["wasi_ms", "clock_ms"] {
                let told = record[clock].as_u64().unwrap();
                assert!(
                    (before..=after).contains(&told),
                    "{clock} is the host's: {told}"
                );
            }
        }),
    ]
}
