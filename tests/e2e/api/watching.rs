//! What a server says of itself: ids on the lines of its log, metrics, and traces for a collector.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Served, make_key};
use crate::actions::Acts;
use crate::support::cli::{INVALID, OK, Tidegate};
use crate::support::crm::{Source, contacts, reply};
use crate::support::plugins;
use crate::support::server::{Gate, Reply, Server};
use crate::support::{PATIENCE, root, wait_until};

const TRIGGER: &str = "/v1/integrations/crm/connections/acme/syncs/contacts/trigger";

/// `crm` with three contacts and a server with these options; the run of a job has ended.
fn synced(words: &str) -> (Served, Server, Value) {
    let source = Server::start(|_| reply(&contacts(0..3, 1), None));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    let served = Served::start_with(tidegate, words);
    let job = served.post(TRIGGER, &json!({}), 202);
    let job = served.job_in(&job, &["succeeded"]);
    (served, source, job)
}

/// A collector that takes everything.
fn collector() -> Server {
    Server::start(|_| Reply::bytes(b"").header("content-type", "application/x-protobuf"))
}

/// All spans that a collector has received.
fn spans(collector: &Server) -> Vec<Span> {
    let decoded = collector.requests().into_iter().flat_map(|request| {
        assert_eq!(request.path(), "/v1/traces");
        assert_eq!(
            request.header("content-type"),
            Some("application/x-protobuf")
        );
        let export = ExportTraceServiceRequest::decode(&*request.body).unwrap();
        export.resource_spans.into_iter().inspect(|spans| {
            let resource = spans.resource.as_ref().unwrap();
            assert_eq!(attribute(&resource.attributes, "service.name"), "tidegate");
        })
    });
    let scopes = decoded.flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

/// An attribute as text; nothing if there is none.
fn attribute(of: &[KeyValue], name: &str) -> String {
    let found = of.iter().find(|attribute| attribute.key == name);
    match found.and_then(|found| found.value.as_ref()?.value.as_ref()) {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::IntValue(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

/// The lines of the log so far that say this.
fn lines(served: &Served, message: &str) -> Vec<Value> {
    let log = served.running.stdout();
    let whole = log
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    let lines = whole.map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &Value| line["message"] == message)
        .collect()
}

#[test]
fn lines_of_a_run_have_its_ids() {
    let (served, _source, job) = synced("--log json");
    let line = wait_until("its last line", PATIENCE, || lines(&served, "ended").pop());
    assert_eq!(line["outcome"], "success", "{line}");
    let span = &line["spans"][0];
    assert_eq!(span["name"], "run", "{line}");
    assert_eq!(span["run"], job["run"], "{line}");
    assert_eq!(span["job"], job["job"], "{line}");
    assert_eq!(span["connection"], "crm/acme", "{line}");
    assert_eq!(
        (&span["kind"], &span["target"]),
        (&json!("sync"), &json!("contacts"))
    );
    let figures = ["requests", "added", "updated", "deleted"].map(|name| &line[name]);
    assert_eq!(figures, [&json!(1), &json!(3), &Value::Null, &Value::Null]);
}

/// The lines that stand in the span of a run.
fn of_runs(served: &Served) -> Vec<Value> {
    let log = served.running.stdout();
    let whole = log
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    let lines = whole.map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| {
            let spans = line["spans"].as_array().into_iter().flatten();
            spans.into_iter().any(|span| span["name"] == "run")
        })
        .collect()
}

#[test]
fn a_run_is_one_line_and_more_at_debug() {
    let (served, ..) = synced("--log json");
    wait_until("its last line", PATIENCE, || lines(&served, "ended").pop());
    let said = of_runs(&served);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said.iter().all(|line| line["message"] == "ended"),
        "{said:?}"
    );

    let (served, ..) = synced("--log json --log-level debug");
    wait_until("its last line", PATIENCE, || lines(&served, "ended").pop());
    let (begun, ended) = (lines(&served, "started"), lines(&served, "ended"));
    assert_eq!(begun[0]["spans"], ended[0]["spans"], "{begun:?}");
}

#[test]
fn a_run_that_a_request_waits_for_has_the_requests_id_too() {
    let (tidegate, _server) = Acts::new(|_| Reply::status(503)).into_parts();
    let served = Served::start_with(tidegate, "--log json");
    let action = "/v1/integrations/acts/connections/acme/actions/fail";
    served
        .call("POST", action)
        .json(&json!({"kind": "rejected"}))
        .header("x-request-id", "mine")
        .send();
    let line = wait_until("its last line", PATIENCE, || lines(&served, "ended").pop());
    assert_eq!(
        (&line["outcome"], &line["blame"]),
        (&json!("failed"), &json!("operator"))
    );
    let names: Vec<_> = [0, 1].map(|at| line["spans"][at]["name"].clone()).into();
    assert_eq!(names, ["request", "run"], "{line}");
    assert_eq!(line["spans"][0]["id"], "mine", "{line}");
    assert!(
        line["spans"][1]["run"]
            .as_str()
            .unwrap()
            .starts_with("run_")
    );
}

#[test]
fn metrics_are_those_of_the_page() {
    let receiver = Server::start(|_| Reply::text("thanks"));
    let source = Server::start(|_| reply(&contacts(0..3, 1), None));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    let add = format!("webhooks add {}/hook", receiver.origin());
    let options = "--webhook-allow-private 127.0.0.0/8 --limit api_keyless_burst=1";
    tidegate.cmd(&add).words("--event run.finished").ok();
    let served = Served::start_with(tidegate, options);
    // More than may come without a key.
    for _ in 0..3 {
        served.bare("GET", "/v1/runs").send();
    }
    let schedule = json!({
        "integration": "crm", "connection": "acme", "sync": "contacts",
        "when": [{"every": "10s"}],
    });
    served.post("/v1/schedules", &schedule, 201);
    let page = std::fs::read_to_string(root().join("docs/watching.md")).unwrap();
    let promised: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `tidegate_")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    assert!(promised.len() > 8, "{promised:?}");
    let text = wait_until("all metrics of the page", PATIENCE, || {
        let text = served.call("GET", "/metrics").send().body;
        let text = String::from_utf8(text).unwrap();
        let named = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE tidegate_"));
        let named: BTreeSet<&str> = named.filter_map(|line| line.split(' ').next()).collect();
        let unknown: Vec<_> = named.difference(&promised).collect();
        assert!(unknown.is_empty(), "not on the page: {unknown:?}");
        (named == promised).then_some(text)
    });
    for line in [
        "tidegate_egress_requests_total{integration=\"crm\",status=\"200\"} ",
        "tidegate_webhook_attempts_total{status=\"200\"} ",
        "tidegate_commit_seconds_count ",
        "tidegate_runs_total{kind=\"sync\",outcome=\"success\",blame=\"nobody\"} ",
    ] {
        assert!(text.contains(line), "no {line}: {text}");
    }
    let bytes = text
        .lines()
        .find_map(|line| line.strip_prefix("tidegate_store_bytes "));
    assert!(bytes.unwrap().parse::<f64>().unwrap() > 1000.0, "{bytes:?}");
    assert!(
        !text.contains("acme"),
        "a label for each connection: {text}"
    );
}

#[test]
fn runs_that_can_t_even_begin_are_counted() {
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::demo_crm(), "crm", "http://127.0.0.1:1");
    let words = "connections add crm acme --base-url http://127.0.0.1:1 --secret token=env:TOKEN";
    tidegate.cmd(words).env("TOKEN", "t").ok();
    let served = Served::start(tidegate);
    // What opens its credentials is gone.
    std::fs::remove_file(served.tidegate.data().join("master.key")).unwrap();
    served.post(TRIGGER, &json!({}), 202);
    let failed = "tidegate_runs_total{kind=\"sync\",outcome=\"failed\",blame=\"";
    wait_until("the failed run", PATIENCE, || {
        let text = served.call("GET", "/metrics").send().body;
        let text = String::from_utf8(text).unwrap();
        text.contains(failed).then_some(())
    });
}

#[test]
fn an_endpoint_that_is_disabled_is_told_of_though_no_event_can() {
    let gone = Server::start(|_| Reply::status(410));
    let tidegate = Tidegate::new();
    let add = format!("webhooks add {}/hook --json", gone.origin());
    let id = tidegate.cmd(&add).ok().json()["id"].clone();
    let source = Server::start(|_| reply(&contacts(0..3, 1), None));
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    tidegate.sync_ok("crm/contacts", "acme");
    let words = "--webhook-allow-private 127.0.0.0/8 --log json";
    let served = Served::start_with(tidegate, words);
    let line = wait_until("the line", PATIENCE, || {
        lines(
            &served,
            "an endpoint is disabled: nothing is delivered to it",
        )
        .pop()
    });
    assert_eq!((&line["endpoint"], &line["why"]), (&id, &json!("gone")));
    let refused = lines(&served, "not delivered").pop().unwrap();
    assert_eq!(refused["status"], 410, "{refused}");
}

#[test]
fn a_collector_gets_the_traces_of_requests_and_runs() {
    let collector = collector();
    let (tidegate, _server) = Acts::new(|_| Reply::json(&json!({"fine": true}))).into_parts();
    let words = format!("--otlp-endpoint {}/ --log-level warn", collector.origin());
    let served = Served::start_with(tidegate, &words);
    served
        .call("POST", "/v1/integrations/acts/connections/acme/actions/get")
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .json(&json!("/things?token=hunter2"))
        .ok(200);
    // What has been gathered goes out before it ends.
    served.running.signal(Signal::TERM);
    let Served { running, .. } = served;
    running.finish().expect_code(OK);
    let spans = spans(&collector);
    let named = |name: &str| {
        let found = spans.iter().find(|span| span.name == name);
        found.unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
    };
    let route = "/v1/integrations/{integration}/connections/{connection}/actions/{action}";
    let request = named(&format!("POST {route}"));
    let run = named("action get");
    let egress = named("GET");
    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes();
    assert!(
        [request, run, egress]
            .iter()
            .all(|span| span.trace_id == trace)
    );
    assert_eq!(
        request.parent_span_id,
        0xb7ad_6b71_6920_3331_u64.to_be_bytes()
    );
    assert_eq!(run.parent_span_id, request.span_id);
    assert_eq!(egress.parent_span_id, run.span_id);
    assert_eq!(request.kind(), SpanKind::Server);
    assert_eq!(egress.kind(), SpanKind::Client);
    let rows: BTreeMap<_, _> = [
        ((request, "http.route"), route),
        ((request, "http.response.status_code"), "200"),
        ((run, "connection"), "acts/acme"),
        ((run, "outcome"), "success"),
        ((egress, "http.response.status_code"), "200"),
        ((egress, "server.address"), "127.0.0.1"),
    ]
    .into_iter()
    .map(|((span, name), value)| (name, (attribute(&span.attributes, name), value)))
    .collect();
    for (name, (is, wanted)) in rows {
        assert_eq!(is, wanted, "{name}");
    }
    assert!(!format!("{spans:?}").contains("hunter2"), "{spans:#?}");
}

#[test]
fn a_sync_and_its_commits_are_one_trace_and_upstreams_hear_nothing_of_it() {
    let collector = collector();
    let words = format!("--otlp-endpoint {}", collector.origin());
    let (served, source, job) = synced(&words);
    served.running.signal(Signal::TERM);
    let Served { running, .. } = served;
    running.finish().expect_code(OK);
    let spans = spans(&collector);
    let run = spans
        .iter()
        .find(|span| span.name == "sync contacts")
        .unwrap();
    assert_eq!(
        attribute(&run.attributes, "run"),
        job["run"].as_str().unwrap()
    );
    assert!(run.parent_span_id.is_empty(), "{run:?}");
    let parts = spans
        .iter()
        .filter(|span| span.parent_span_id == run.span_id);
    let names: BTreeSet<&str> = parts.map(|span| span.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["GET", "commit"]), "{spans:#?}");
    for request in source.requests() {
        assert_eq!(request.header("traceparent"), None);
    }
}

#[test]
fn a_collector_that_does_not_answer_holds_nothing_up() {
    let gate = Gate::default();
    let held = gate.clone();
    let collector = Server::start(move |_| Reply::bytes(b"").behind(&held));
    let words = format!("--otlp-endpoint {} --log json", collector.origin());
    let (served, _source, _) = synced(&words);
    served.running.signal(Signal::TERM);
    let began = Instant::now();
    let Served { running, .. } = served;
    let ended = running.finish();
    ended.expect_code(OK);
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "it waited for the collector"
    );
    assert!(
        ended.stdout.contains("the last traces were not sent"),
        "{}",
        ended.stdout
    );
    gate.open();
}

#[test]
fn an_empty_variable_names_no_collector() {
    let tidegate = Tidegate::new();
    let serve = tidegate.cmd("serve --listen 127.0.0.1:0");
    let running = serve.env("OTEL_EXPORTER_OTLP_ENDPOINT", "").start();
    running.wait_for_url();
}

#[test]
fn collectors_that_cannot_be() {
    let tidegate = Tidegate::new();
    make_key(&tidegate, "read", "");
    for url in ["nonsense", "ftp://127.0.0.1", "mailto:me@example.com"] {
        tidegate
            .cmd("serve --listen 127.0.0.1:0 --otlp-endpoint")
            .arg(url)
            .refused(INVALID, &["--otlp-endpoint"]);
    }
}
