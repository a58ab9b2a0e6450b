//! Bounds that are the same for every plugin, with the names that failures and refusals give them.

use super::{KIB, MIB};

/// One row of [`FIXED`].
#[derive(Debug, Clone, Copy)]
pub struct FixedInfo {
    /// The name, with its unit at the end.
    pub name: &'static str,
    pub value: u64,
    pub reason: &'static str,
}

macro_rules! fixed {
    ($($constant:ident $name:ident = $value:expr, $reason:literal;)*) => {
        $(#[doc = $reason] pub const $constant: u64 = $value;)*

        /// All fixed bounds that have a name.
        pub const FIXED: &[FixedInfo] = &[
            $(FixedInfo { name: stringify!($name), value: $constant, reason: $reason },)*
        ];
    };
}

fixed! {
    STACK_BYTES stack_bytes = MIB, "The guest's call stack; the same for every instance of one engine.";
    JSON_DEPTH json_depth = 64, "Nesting of a record's body.";
    SKIPPED_LOGGED skipped_logged = 100, "Skipped records that a run's log names, each with its reason; further ones are counted.";
    ACTION_INPUT_BYTES action_input_bytes = 8 * MIB, "An action's input: it is handed to the guest whole.";
    COMPONENT_BYTES component_bytes = 64 * MIB, "A component's file; a Python plugin has about 18 MB.";
    COMPONENT_FUNCTIONS component_functions = 100_000, "Functions of a component, imports included; a JavaScript engine has about 20,000.";
    COMPONENT_CODE_BYTES component_code_bytes = 32 * MIB, "Code of all functions; compiling takes one to three seconds a megabyte.";
    COMPONENT_FUNCTION_BYTES component_function_bytes = 256 * KIB, "Code of one function: compiling time grows faster than it, to 5 s and more for this much.";
    COMPONENT_LOCALS component_locals = 2_000_000, "Local variables of all functions: a few bytes declare thousands.";
    COMPONENT_TYPES component_types = 50_000, "Types of a component and of the modules in it.";
    COMPONENT_MODULES component_modules = 256, "Modules and components within a component.";
    COMPONENT_DEPTH component_depth = 16, "Components nested in components.";
    COMPONENT_PARTS component_parts = 256, "Core instances, memories and tables of a component, each, whatever the operator grants.";
    COMPILE_MS compile_ms = 120_000, "Compiling a component at a build, inspect or deploy.";
    MANIFEST_BYTES manifest_bytes = MIB, "The text of a manifest: larger than any honest one, small enough to parse at once.";
    MANIFEST_MS manifest_ms = 2_000, "Making the manifest, at each build, inspect and deploy.";
    MANIFEST_MEMORY_BYTES manifest_memory_bytes = 64 * MIB, "Memory of the guest while it makes the manifest.";
    MANIFEST_ENTRIES manifest_entries = 256, "Syncs, actions, models and the like of one manifest, each.";
    SCHEMA_PARTS schema_parts = 5_000, "Schemas in one JSON Schema of a manifest, itself and those that references lead to included.";
    SCHEMA_DEPTH schema_depth = 64, "Schemas within schemas, and references and combinations (`allOf`, `anyOf` and the like) that lead from one to the next.";
    SCHEMA_UNFOLDED schema_unfolded = 10_000, "Schemas that one value is checked with, once references and combinations are followed; with `unevaluatedProperties` all that it consists of.";
    SCHEMA_PATTERNS schema_patterns = 256, "Different patterns in all schemas of a manifest.";
    SCHEMA_PATTERN_BYTES schema_pattern_bytes = 16 * MIB, "What these compile to.";
    SCHEMA_CHECK_STEPS schema_check_steps = 4_000_000, "Steps of checking one config, input or output: each schema at each place of it is one, and long texts, lists of values and patterns cost more.";
    SCHEMA_CHECK_DEPTH schema_check_depth = 1_000, "Schemas within one another while that is done.";
    SCHEMA_CACHE_BYTES schema_cache_bytes = 64 * MIB, "Compiled schemas that are kept for the next check; the one that was not used for longest goes.";
    LOG_HELD_BYTES log_held_bytes = 8 * MIB, "Lines of one run's log in memory: the last ones, and those that are not stored yet; more are left out.";
    RUNS_HELD_BYTES runs_held_bytes = 512 * MIB, "Text and bytes of the calls of all runs that have not ended yet, answers of HTTP included; `serve --runs-held-bytes` sets another.";
    RUNS_HELD_WAIT_MS runs_held_wait_ms = 20_000, "Waiting for room in it; the call is refused then.";
    SCHEDULES schedules = 100_000, "Schedules of one store: each has its row and a few kB of memory.";
    ACTIVE_JOBS active_jobs = 100_000, "Jobs that wait or run; what comes on top is refused, and schedules that are due wait.";
    SCHEDULE_PAYLOAD_BYTES schedule_payload_bytes = 64 * KIB, "The input of a schedule's action: it is kept in memory and goes with each job.";
    JOB_INPUT_BYTES job_input_bytes = 64 * KIB, "The input of an action that is to run later: it is kept in memory while the job waits.";
    TOKEN_RESPONSE_BYTES token_response_bytes = 64 * KIB, "A token endpoint's answer: a few tokens of a few KiB.";
    TOKEN_TIMEOUT_MS token_timeout_ms = 20_000, "A token request, from connect to the last byte; every run of the connection waits for it.";
    CHECK_TIMEOUT_MS check_timeout_ms = 10_000, "One attempt of a request of `connections test`, from connect to the last byte.";
    CHECK_IDLE_TIMEOUT_MS check_idle_timeout_ms = 5_000, "How long its answer may make no progress.";
    EVENT_REMOVED_MS event_removed_ms = 10_000, "What a plugin has to answer that its connection is about to be removed; the removal goes on then.";
    EVENTS_REMOVED_MS events_removed_ms = 30_000, "How long the connections of an integration that is dropped are told of it, eight at a time; those that are left go untold, with a warning.";
    RETRY_AFTER_MAX_MS retry_after_max_ms = 3_600_000, "The longest pause that an API is believed, be it of a job or of all requests; then it is asked once more.";
    WEBHOOK_ENDPOINTS webhook_endpoints = 100, "Webhook endpoints: each event is matched against all of them as it is written.";
    WEBHOOK_PENDING webhook_pending = 100_000, "Deliveries that wait for one endpoint; one more disables it, with an event, rather than being lost.";
    WEBHOOK_URL_BYTES webhook_url_bytes = 2_048, "An endpoint's URL.";
    WEBHOOK_DESCRIPTION_BYTES webhook_description_bytes = 500, "What an operator notes about an endpoint.";
    WEBHOOK_OLD_SECRETS webhook_old_secrets = 10, "Replaced signing secrets that still sign, for a day each: a signature goes out for every one.";
    WEBHOOK_MODELS webhook_models = 40, "Models that an event lists, so that its body stays below the 20 kB of Standard Webhooks.";
    WEBHOOK_TIMEOUT_MS webhook_timeout_ms = 20_000, "One attempt of a delivery, from connect to the last byte.";
    WEBHOOK_RESPONSE_BYTES webhook_response_bytes = 64 * KIB, "What is read of an endpoint's answer, or a trace collector's, so that its connection can be used again.";
    WEBHOOK_RESPONSE_KEPT_BYTES webhook_response_kept_bytes = KIB, "What the delivery log keeps of an endpoint's answer.";
    WEBHOOK_ATTEMPTS_KEPT webhook_attempts_kept = 10, "Attempts that the delivery log keeps of one delivery, the last ones.";
    WEBHOOK_IN_FLIGHT webhook_in_flight = 64, "Deliveries on their way at the same time.";
    WEBHOOK_ENDPOINT_IN_FLIGHT webhook_endpoint_in_flight = 16, "The same for one endpoint, so that a slow one doesn't keep the others waiting.";
    WEBHOOK_PROMPT_MS webhook_prompt_ms = 2_000, "An attempt that takes longer is slow, and places are given by that.";
    WEBHOOK_FIRST_IN_FLIGHT webhook_first_in_flight = 2, "Deliveries on their way to an endpoint that was not asked yet since the server started; a quarter of all places is kept for those with fewer.";
    WEBHOOK_SILENT_IN_FLIGHT webhook_silent_in_flight = 1, "The same for one that gave no answer to the last attempt.";
    WEBHOOK_SLOW_IN_FLIGHT webhook_slow_in_flight = 32, "The same for all together that have not answered their last attempts promptly.";
    WEBHOOK_REPLAY webhook_replay = 10_000, "Deliveries that one replay sets to pending; repeat it from where it stopped.";
    OTLP_TIMEOUT_MS otlp_timeout_ms = 10_000, "One export of traces, from connect to the last byte; spans gather meanwhile.";
    API_KEYS api_keys = 1_000, "API keys that there are at once; each is held in memory by the server.";
    API_CONNECTIONS api_connections = 1_000, "Connections with an accepted API key, event streams not counted; for a further one an idle one is ended, or it gets 503.";
    API_KEYLESS_CONNECTIONS api_keyless_connections = 1_024, "Connections that have shown no accepted API key: a further one ends the oldest of the address that has most of them.";
    API_KEYLESS_PER_ADDRESS api_keyless_per_address = 256, "The same of one address (of IPv6, one /64): a further one ends its oldest.";
    API_KEYLESS_REQUESTS api_keyless_requests = 20, "Requests a second from one address without an accepted API key, those of health not counted; further ones get 429.";
    API_KEYLESS_BURST api_keyless_burst = 100, "The same at once, after a time of silence.";
    API_REQUESTS_PER_KEY api_requests_per_key = 500, "Requests of one API key that are being answered at once; further ones get 429.";
    API_STREAMS api_streams = 1_000, "Answers at once that wait for what comes: events of records, pages with wait, a log that is followed.";
    API_STREAMS_PER_KEY api_streams_per_key = 500, "The same of one API key.";
    API_ANSWERS_PER_KEY api_answers_per_key = 16, "Answers of many parts (pages, lines, exports) that one API key reads at once; further ones wait for api_stall_ms, then get 429.";
    API_TRANSFERS api_transfers = 16, "Exports and imports at once: each has a thread.";
    API_PART_BYTES api_part_bytes = 64 * KIB, "About what is made of an answer before its client has taken what was made before; smaller bodies and answers don't count for api_held_bytes.";
    API_HELD_BYTES api_held_bytes = 128 * MIB, "Larger bodies and answers that are held for clients at once, half of it for one API key; what does not fit waits for api_stall_ms, then gets 503.";
    API_HEADER_MS api_header_ms = 10_000, "TLS handshake, or a request's line and headers; a connection without a request ends after it.";
    API_HEADER_BYTES api_header_bytes = 32 * KIB, "A request's line and headers.";
    API_REQUEST_BYTES api_request_bytes = MIB, "Body of a request, but for components, inputs of actions, proxied bodies and imports, which have their own limits.";
    API_REQUEST_MS api_request_ms = 60_000, "A request, from its headers to the answer's; not actions, checks of connections, uploads and upkeep.";
    API_STALL_MS api_stall_ms = 20_000, "A client that takes less than api_stall_bytes of an answer within it, or sends less of a body, is cut off.";
    API_STALL_BYTES api_stall_bytes = 16 * KIB, "See api_stall_ms; what is less as a whole has to come within it.";
    API_WAIT_MS api_wait_ms = 55_000, "Waiting for changes in one request: less than a request may take.";
    API_PAGE_RECORDS api_page_records = 10_000, "Records of one page.";
    API_PAGE_BYTES api_page_bytes = 32 * MIB, "Bodies of one page of records, or all of one page of rows: it ends before it has more.";
    API_PAGE_ROWS api_page_rows = 1_000, "Connections, runs or log lines of one page.";
    API_IDS api_ids = 1_000, "Record ids in one request.";
    API_IDEMPOTENCY_KEYS api_idempotency_keys = 100_000, "Requests under idempotency keys of the last 24 hours, of each API key; none is forgotten early, as it might be done twice then.";
    API_KEPT_ANSWER_BYTES api_kept_answer_bytes = 64 * KIB, "Answer that is kept of such a request; of a longer one only that there was one.";
    API_RATE_REQUESTS api_rate_requests = 50, "Requests a second of each key, unless the key has its own rate.";
    API_RATE_BURST api_rate_burst = 200, "Requests of a key at once, after a time of silence.";
}
