//! What any backend of the store is held to, as functions that its tests call with a [`Backend`].
//!
//! | module | what it holds a backend to |
//! |---|---|
//! | [`random`] | random commands come to the same as in the memory store, reopened and killed at any point |
//! | [`cases`] | what each command promises, case by case ([`cases!`] makes a test of each) |
//! | [`crash`] | a process that is killed again and again loses nothing that it was told is stored |
//! | [`power`] | nor does a power cut |
//! | [`fixtures`] | a store with something deployed, and short ways to say things |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::cast_possible_truncation,
    missing_debug_implementations,
    reason = "a test ends by panicking, helpers included"
)]

pub mod cases;
pub mod crash;
pub mod fixtures;
pub mod power;
pub mod random;

use std::path::Path;

use tempfile::TempDir;
use tidegate_engine::Store;

/// A backend to be tried, set up in one way.
pub trait Backend {
    type Store: Store + 'static;

    /// Open the store at `place`, a directory that is empty the first time. A backend that keeps its data elsewhere writes
    /// down there where that is.
    fn open(&self, place: &Path) -> Self::Store;

    /// What is left at `place` when its process is killed now: another place, while that store goes on.
    fn killed(&self, place: &Path) -> TempDir {
        let left = tempfile::tempdir().unwrap();
        fixtures::copy_files(place, left.path());
        left
    }

    /// The same when the power goes, with nothing but what was synced. Called after each command of a test that asks for it.
    fn without_power(&self, place: &Path) -> TempDir;
}

/// Make a test of each of [`cases`]: `cases!(Backend)`, where that makes one.
#[macro_export]
macro_rules! cases {
    ($backend:expr) => {
        $crate::cases! { @each $backend;
            connections: several_are_added_together_or_not_at_all jobs_come_with_those_that_are_new_or_not_at_all an_update_that_has_not_seen_the_last_one_does_nothing only_a_run_that_may_write_merges_metadata a_removed_connection_fences_its_runs;
            due: streams_keep_their_order_and_don_t_wait_for_each_other an_endpoint_that_is_back_has_what_waited the_backlog_of_one_endpoint_keeps_no_other_waiting what_is_on_its_way_to_nobody_is_told_of;
            early: what_is_answered_early_is_seen_by_all an_early_start_is_refused_as_any_other;
            feeds: reads_go_on_where_they_stopped wrong_cursors_are_told_apart;
            keyed: a_key_has_one_run_at_a_time_and_one_input results_are_kept_for_a_day_and_failures_are_not a_dropped_connection_takes_its_keys_along;
            keyed_jobs: a_key_is_one_job_and_its_result_is_kept_for_a_day what_somebody_waited_for_is_not_queued a_job_holds_its_key_between_attempts_and_lets_go_when_it_ends a_dead_job_is_queued_again_only_with_its_key;
            lists: a_few_jobs_are_found_among_many;
            passes: the_end_deletes_only_what_is_proven what_is_unseen_is_listed_in_steps_and_guarded a_pass_goes_on_after_the_store_was_opened_again;
            records: a_bad_page_leaves_nothing records_live_and_die;
            runs: fences_keep_old_runs_out a_reset_forgets_the_checkpoint_and_the_snapshot runs_are_listed_recovered_and_logged deploying_again_keeps_the_data;
            snapshots: snapshots_delete_what_they_did_not_see;
            told_retries: a_failure_says_when_it_is_tried_again;
            webhooks: nothing_is_written_when_nobody_listens a_runs_cursor_gives_all_that_it_changed every_end_is_told_of a_disabled_endpoint_waits_and_the_others_hear_of_it retention_forgets_what_is_old_and_done there_is_room_for_so_many_endpoints whoever_waits_hears_of_it;
        }
    };
    (@each $backend:expr; $($module:ident: $($case:ident)*;)*) => {
        $crate::cases! { @modules $backend; $([$module $($case)*])* }
    };
    (@modules $backend:expr; $([$module:ident $($case:ident)*])*) => {
        $(mod $module {
            $crate::cases! { @tests $backend; $module $($case)* }
        })*
    };
    (@tests $backend:expr; $module:ident $($case:ident)*) => {
        $(#[test]
        fn $case() {
            $crate::cases::$module::$case(&$backend);
        })*
    };
}
