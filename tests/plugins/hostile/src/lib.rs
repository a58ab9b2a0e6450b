//! Does what a plugin must not do: each sync or action breaks something else, and `well` nothing.
//!
//! One module for each thing that can be misused. Only ever a component: it calls the contract's
//! bindings past the SDK, and reads its own memory.
#![cfg(target_arch = "wasm32")]

mod calls;
mod machine;
mod parrot;
mod print;
mod spy;
mod store;
mod web;

use tidegate_sdk::prelude::*;
use tidegate_sdk::{OAuth, TokenUrl};

const MODEL: &str = "Thing";

fn plugin() -> Plugin {
    let plugin = Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .host("base-url")
        .describe(parrot::FORGED)
        .metadata_write()
        .auth(Auth::bearer("token"))
        .auth(Auth::basic("username", "password"))
        .auth(Auth::header("X-Key", "header_key").prefix("Key "))
        .auth(Auth::query("key", "query_key"))
        .auth(
            Auth::template()
                .header("X-First", "First {first}")
                .query("second", "{second}"),
        )
        .auth(OAuth::refresh_token(TokenUrl::Config(
            "/token_url".to_owned(),
        )));
    let mut plugin = plugin.sync(Sync::new("well", well).model(MODEL));
    macro_rules! add {
        ($($module:ident: $($name:literal => $handler:ident),* $(,)?;)*) => {
            $($(plugin = plugin.sync(Sync::new($name, $module::$handler).model(MODEL));)*)*
        };
    }
    add! {
        machine:
        "panic" => panics,
        "exit" => exits,
        "error" => errs,
        "long-error" => errs_at_length,
        "loop" => loops,
        "loop-after-checkpoint" => loops_after_checkpoint,
        "loop-while-waiting" => loops_while_waiting,
        "sleep" => sleeps,
        "allocate" => allocates,
        "recurse" => recurses,
        "recurse-in-memory" => recurses_in_memory;
        print:
        "flood-log" => floods_log,
        "flood-long" => floods_with_long_lines,
        "flood-print" => floods_print,
        "print-bytes" => prints_bytes,
        "long-lines" => long_lines;
        calls:
        "many-calls" => many_calls,
        "many-wasi-calls" => many_wasi_calls,
        "many-calls-at-once" => many_calls_at_once,
        "copy-much" => copies_much,
        "hold-much" => holds_much,
        "get-many-ids" => gets_many_ids,
        "get-one-often" => gets_one_often;
        store:
        "many-records" => many_records,
        "many-records-in-all" => many_records_in_all,
        "skip-many" => skips_many,
        "see-too-little" => sees_too_little,
        "large-record" => large_record,
        "large-commit" => large_commit,
        "large-call" => large_call,
        "large-checkpoint" => large_checkpoint,
        "checkpoint-no-json" => checkpoint_no_json,
        "empty-id" => empty_id,
        "long-id" => long_id,
        "control-id" => control_id,
        "no-object" => no_object,
        "no-json" => no_json,
        "deep-body" => deep_body,
        "undeclared-model" => undeclared_model,
        "large-metadata" => large_metadata,
        "metadata" => writes_metadata,
        "end-without-begin" => ends_without_begin,
        "read-feed" => reads_feed,
        "commit-and-panic" => commit_and_panic;
        web:
        "many-requests" => many_requests,
        "many-bytes-in" => many_bytes_in,
        "many-at-once" => many_at_once,
        "many-large-at-once" => many_large_at_once,
        "many-answers-at-once" => many_answers_at_once,
        "large-request" => large_request,
        "many-headers" => many_headers,
        "large-headers" => large_headers,
        "header-injection" => header_injection,
        "trace" => trace,
        "hang" => hangs,
        "metadata-service" => metadata_service,
        "private-network" => private_network,
        "ask-once" => asks_once;
        parrot:
        "repeat" => repeats,
        "repeat-error" => repeats_an_error,
        "repeat-print" => repeats_in_print,
        "repeat-record" => repeats_in_a_record;
        spy:
        "look-around" => looks_around,
        "seek-secret" => seeks_secret;
    }
    plugin
        .action(Action::new("answer-at-length", calls::answers_at_length))
        .action(Action::new("sleep", machine::sleeps_in_an_action))
        .action(Action::new("repeat", parrot::repeats_to_a_caller).describe(parrot::FORGED))
        .action(Action::new("repeat-failure", parrot::repeats_in_a_failure))
        .check(parrot::check)
        .action(Action::new("picky", calls::takes_many_forms).input(many_forms()))
}

/// The failure for a call past the SDK that was refused.
fn refused(error: &tidegate_sdk::__wasm::bindings::tidegate::plugin::records::Error) -> Failure {
    let mut failure = Failure::other(format!("{error:?}"));
    failure.cause = Some(error.cause);
    failure
}

/// Two hundred forms that each item may have, so that one that has none is tried as often.
fn many_forms() -> Value {
    let forms = (1..=200).map(|length| json!({ "type": "string", "minLength": length }));
    json!({ "items": { "anyOf": forms.collect::<Vec<_>>() } })
}

tidegate_sdk::export!(plugin);

/// Stores one record, and counts its runs in it.
async fn well(cx: Cx) -> Result<()> {
    let runs = cx.checkpoint::<u64>()?.unwrap_or(0) + 1;
    let record = json!({ "id": "well", "runs": runs });
    cx.batch(MODEL)
        .save(&record)?
        .checkpoint(&runs)?
        .commit()
        .await?;
    Ok(())
}
