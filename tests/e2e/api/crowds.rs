//! Many clients that stall, ask for too much, or have no key: what the server holds for them, measured from outside, and
//! that everybody else is served.
//!
//! `TIDEGATE_CROWD=1000` has as many of each kind; the usual number is small, so that the tests are quick, and the
//! bounds are the same.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use super::client::{Answer, Call};
use super::{Served, expect_problem, make_key};
use crate::actions::acts;
use crate::support::cli::{OK, Tidegate};
use crate::support::crm::{Source, contacts, reply};
use crate::support::http::Response;
use crate::support::own::Own;
use crate::support::server::{Gate, Reply, Server};
use crate::support::{PATIENCE, wait_until};

const RECORDS: &str = "/v1/integrations/crm/connections/acme/models/Contact/records";
const ECHO: &str = "/v1/integrations/acts/connections/acme/actions/echo";

/// How many clients stall.
fn crowd(usual: usize) -> usize {
    std::env::var("TIDEGATE_CROWD").map_or(usual, |count| count.parse().unwrap())
}

/// What a process has in memory, in MB: now, and at most so far.
fn memory(served: &Served) -> (u64, u64) {
    let file = format!("/proc/{}/status", served.running.id());
    let text = std::fs::read_to_string(file).unwrap();
    let kib = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.unwrap().parse::<u64>().unwrap()
    };
    (kib("VmRSS:") / 1024, kib("VmHWM:") / 1024)
}

/// It never had more than clients that stall may cost: a half more than it had before them, and 200 MB.
#[track_caller]
fn expect_little(served: &Served, what: &str, clients: usize, idle: u64) {
    let (now, most) = memory(served);
    println!("{clients} {what}: {idle} MB before, {most} MB at most, {now} MB now");
    let bound = idle * 3 / 2 + 200;
    assert!(
        most < bound,
        "{clients} {what}: {most} MB, of {bound} that it may have"
    );
}

/// A server with a model of 1,200 records of 20 kB.
fn with_records(words: &str) -> Served {
    let server = Server::start(|request| {
        let page = request
            .query("cursor")
            .map_or(0, |page| page.parse::<u32>().unwrap());
        let mut items = contacts(page * 100..(page + 1) * 100, 1);
        for item in &mut items {
            item["pad"] = "x".repeat(20_000).into();
        }
        let next = (page + 1).to_string();
        reply(&items, (page < 11).then_some(next.as_str()))
    });
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    tidegate.sync_ok("crm/contacts", "acme");
    Served::start_with(tidegate, words)
}

/// So many keys, made through the API.
fn keys(served: &Served, count: usize, scope: &str) -> Vec<String> {
    let key = |number: usize| {
        // They ask all at once.
        let rate = json!({"requests": 100_000, "per_ms": 1_000, "burst": 100_000});
        let new =
            json!({"name": format!("{scope}-{number}"), "scopes": [scope], "rate_limit": rate});
        let made = served.post("/v1/api-keys", &new, 201);
        made["api_key"].as_str().unwrap().to_owned()
    };
    (0..count).map(key).collect()
}

/// A connection on which a request has been sent.
fn asked(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn get(target: &str, accept: &str, key: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nAuthorization: Bearer {key}\r\n\r\n"
    )
}

/// The status of an answer of which no more is read.
fn status(mut stream: &TcpStream) -> u16 {
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    String::from_utf8_lossy(&head[9..]).parse().unwrap()
}

/// Health, a small request, metrics, and a command: everybody else is served.
#[track_caller]
fn expect_others_served(served: &Served) -> String {
    for path in ["/livez", "/readyz"] {
        assert_eq!(served.bare("GET", path).send().status, 200, "{path}");
    }
    served.get("/v1/runs?limit=1");
    served.tidegate.cmd("integrations --json").ok();
    let metrics = served.call("GET", "/metrics").send();
    assert_eq!(metrics.status, 200);
    String::from_utf8(metrics.body).unwrap()
}

/// The value of a metric's line.
fn metric(metrics: &str, line: &str) -> f64 {
    let value = metrics
        .lines()
        .find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

/// Clients that begin to read large answers, and stop.
fn stalled_readers(what: &str, accept: &str, of_one_key: usize) {
    let count = crowd(48);
    // However many there are, there is a place for one more.
    let served = with_records("--limit api_connections=5000");
    let keys = keys(&served, count.div_ceil(of_one_key), "read");
    let (idle, _) = memory(&served);
    let readers: Vec<TcpStream> = (0..count)
        .map(|number| {
            let key = &keys[number / of_one_key];
            let target = format!("{RECORDS}?limit=10000");
            asked(served.address, &get(&target, accept, key))
        })
        .collect();
    for reader in &readers {
        assert_eq!(status(reader), 200);
    }
    expect_others_served(&served);
    expect_little(&served, what, count, idle);
}

#[test]
fn pages_that_nobody_reads() {
    stalled_readers("stalled readers of pages", "application/json", 16);
}

#[test]
fn lines_that_nobody_reads() {
    stalled_readers("stalled readers of lines", "application/x-ndjson", 16);
}

#[test]
fn events_that_nobody_reads() {
    stalled_readers("stalled readers of events", "text/event-stream", 500);
}

#[test]
fn bodies_that_stop_in_the_middle() {
    let count = crowd(100);
    let tidegate = Tidegate::new();
    let server = Server::start(|_| Reply::json(&json!({})));
    tidegate.deploy(&acts(), "acts", &server.origin());
    tidegate.connect("acts", "acme", &server.origin());
    // As long as this test takes.
    let limits = "--limit api_stall_ms=600000 --limit api_connections=5000";
    let served = Served::start_with(tidegate, limits);
    let keys = keys(&served, 4, "trigger");
    let echoed = served.post(ECHO, &json!({"a": 1}), 200);
    assert_eq!(echoed["output"], json!({"a": 1}));
    let (idle, _) = memory(&served);
    let part = vec![b'x'; 64 * 1024];
    let mut left: Vec<(TcpStream, usize)> = (0..count)
        .map(|number| {
            let key = &keys[number % keys.len()];
            let head = format!(
                "POST {ECHO} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
                 Content-Type: application/json\r\nContent-Length: 8000000\r\n\r\n\""
            );
            let stream = asked(served.address, &head);
            stream.set_nonblocking(true).unwrap();
            (stream, 7_000_000)
        })
        .collect();
    // Until all have sent theirs, or the server takes no more of any of them.
    let mut quiet = 0;
    wait_until(
        "the bodies to be sent as far as they are taken",
        PATIENCE,
        || {
            let mut sent = 0;
            for (stream, left) in &mut left {
                while let Ok(count @ 1..) = stream.write(&part[..part.len().min(*left)]) {
                    *left -= count;
                    sent += count;
                }
            }
            quiet = if sent == 0 { quiet + 1 } else { 0 };
            (quiet > 40 || left.iter().all(|(_, left)| *left == 0)).then_some(())
        },
    );
    expect_others_served(&served);
    // Small bodies need no room.
    served.post(ECHO, &json!({"a": 2}), 200);
    expect_little(&served, "half-sent bodies", count, idle);
    drop(left);
    // What was held for them is free again.
    let large = json!("y".repeat(1_000_000));
    wait_until("room for a larger body", PATIENCE, || {
        let answer = served.call("POST", ECHO).json(&large).send();
        (answer.status != 503).then_some(())
    });
}

#[test]
fn what_does_not_fit_is_told_so() {
    let tidegate = Tidegate::new();
    let server = Server::start(|_| Reply::json(&json!({})));
    tidegate.deploy(&acts(), "acts", &server.origin());
    tidegate.connect("acts", "acme", &server.origin());
    let limits = "--limit api_held_bytes=4000000 --limit api_stall_ms=1000";
    let served = Served::start_with(tidegate, limits);
    let head = |key: &str| {
        format!(
            "POST {ECHO} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: 2000000\r\n\r\n"
        )
    };
    let keys = keys(&served, 2, "trigger");
    // Each key has a half, which one of these takes: the others wait for it as long as it has to send something.
    let holding: Vec<TcpStream> = (0..6)
        .map(|_| asked(served.address, &head(&keys[0])))
        .collect();
    let large = json!("y".repeat(1_900_000));
    // The other key has its own half.
    let call = Call::new(served.address, "POST", ECHO)
        .key(&keys[1])
        .json(&large);
    assert_ne!(call.send().status, 503);
    let answers: Vec<Response> = holding
        .into_iter()
        .map(|stream| Answer::read(stream).whole())
        .collect();
    let (full, slow): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 503);
    assert!(full.len() >= 4 && !slow.is_empty(), "{answers:?}");
    for answer in full {
        let problem = expect_problem(answer, "full", 503);
        assert!(answer.header("retry-after").is_some(), "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("api_held_bytes"), "{detail}");
    }
    for answer in slow {
        expect_problem(answer, "slow-request", 408);
    }
    let metrics = expect_others_served(&served);
    let line = "tidegate_http_turned_away_total{why=\"held_bytes\"}";
    assert!(metric(&metrics, line) >= 1.0, "{metrics}");
}

#[test]
fn connections_without_a_key_shut_nobody_out() {
    let count = crowd(150);
    // They are not ended for their silence while this test goes on.
    let served = Served::start_with(
        Tidegate::new(),
        "--limit api_connections=20 --limit api_keyless_per_address=64 --limit api_header_ms=600000",
    );
    let idle: Vec<TcpStream> = (0..count)
        .map(|number| {
            let begun = if number % 2 == 0 {
                ""
            } else {
                "GET /livez HTT"
            };
            asked(served.address, begun)
        })
        .collect();
    let metrics = expect_others_served(&served);
    let ended = "tidegate_http_turned_away_total{why=\"keyless_connections\"}";
    assert!(metric(&metrics, ended) >= (count - 64) as f64, "{metrics}");
    // The last of them are still there.
    let mut last = idle.last().unwrap();
    if count.is_multiple_of(2) {
        last.write_all(b"P/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        assert_eq!(status(last), 200);
    }
}

#[test]
fn requests_without_a_key_are_paced_and_the_log_stays_short() {
    let count = crowd(150);
    let served = Served::start_with(Tidegate::new(), "--log json");
    let request = "GET /v1/runs HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for _ in 0..count {
        // As many at once as one connection may send.
        let mut stream = asked(served.address, &request.repeat(20));
        // A reset is an end too.
        let _ = stream.read_to_end(&mut Vec::new());
        assert_eq!(served.bare("GET", "/livez").send().status, 200);
    }
    // Who has a key is not held up, from the same address.
    let metrics = expect_others_served(&served);
    let answered = |status: u16| {
        let line = "tidegate_http_requests_total{method=\"GET\",route=\"/v1/runs\",";
        metric(&metrics, &format!("{line}status=\"{status}\"}}"))
    };
    let (unauthenticated, too_many) = (answered(401), answered(429));
    assert!(unauthenticated >= 100.0, "{metrics}");
    assert!(too_many > 0.0, "{metrics}");
    let turned_away = "tidegate_http_turned_away_total{why=\"keyless_requests\"}";
    assert!(metric(&metrics, turned_away) >= too_many, "{metrics}");
    #[allow(clippy::cast_possible_truncation, reason = "counts")]
    let answered = (unauthenticated + too_many) as usize + count;
    // Every request is in the log, most of them as a number.
    let lines = wait_until("the log to tell of all of them", PATIENCE, || {
        let log = served.running.stdout();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let lines: Vec<Value> = lines.collect();
        let own = lines.iter().filter(|line| {
            let route = &line["spans"][0]["route"];
            line["message"] == "answered" && (route == "/v1/runs" || route == "/livez")
        });
        let unlogged = lines.iter().filter_map(|line| line["unlogged"].as_u64());
        let told = own.count() as u64 + unlogged.sum::<u64>();
        (told >= answered as u64).then_some(lines.len())
    });
    assert!(lines < answered, "{lines} lines for {answered} requests");
}

#[test]
fn streams_take_no_places_of_others() {
    let limits = "--limit api_connections=4 --limit api_streams=12 --limit api_streams_per_key=8";
    let served = with_records(limits);
    let other = make_key(&served.tidegate, "read", "");
    let stream = |key: &str| {
        let target = format!("{RECORDS}?filter=deleted");
        let stream = asked(served.address, &get(&target, "text/event-stream", key));
        (status(&stream), stream)
    };
    let first: Vec<_> = (0..8).map(|_| stream(&served.manage)).collect();
    assert!(first.iter().all(|(status, _)| *status == 200));
    assert_eq!(stream(&served.manage).0, 429);
    let others: Vec<_> = (0..4).map(|_| stream(&other)).collect();
    assert!(others.iter().all(|(status, _)| *status == 200));
    assert_eq!(stream(&other).0, 503);
    let metrics = expect_others_served(&served);
    for why in ["streams_per_key", "streams"] {
        let line = format!("tidegate_http_turned_away_total{{why=\"{why}\"}}");
        assert_eq!(metric(&metrics, &line), 1.0, "{metrics}");
    }
    assert_eq!(
        metric(&metrics, "tidegate_http_connections{state=\"stream\"}"),
        12.0,
        "{metrics}"
    );
    // One that has ended makes room.
    drop(others);
    wait_until("the place of a stream", PATIENCE, || {
        (stream(&other).0 == 200).then_some(())
    });
}

#[test]
fn a_full_server_says_so() {
    let gate = Gate::default();
    let held = gate.clone();
    let server = Server::start(move |_| Reply::json(&json!({})).behind(&held));
    let tidegate = Tidegate::new();
    tidegate.deploy(&acts(), "acts", &server.origin());
    tidegate.connect("acts", "acme", &server.origin());
    let served = Served::start_with(tidegate, "--limit api_connections=4");
    let hold = "/v1/integrations/acts/connections/acme/actions/hold";
    let waiting: Vec<TcpStream> = (0..4)
        .map(|_| served.call("POST", hold).json(&json!({})).begin_and_leave())
        .collect();
    wait_until("the server to be full", PATIENCE, || {
        (server.requests().len() == waiting.len()).then_some(())
    });
    let full = served.call("GET", "/v1/runs").send();
    let problem = expect_problem(&full, "full", 503);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("api_connections")
    );
    assert!(full.header("retry-after").is_some());
    for path in ["/livez", "/readyz"] {
        assert_eq!(served.bare("GET", path).send().status, 200, "{path}");
    }
    served.tidegate.cmd("integrations").ok();
    let log = served.running.stdout();
    assert!(
        log.lines()
            .any(|line| line.contains("WARN") && line.contains("status=503")),
        "{log}"
    );
    // Room again: of those that have their answers, and of those that only have nothing to ask.
    gate.open();
    for stream in &waiting {
        assert_eq!(status(stream), 200);
    }
    drop(waiting);
    wait_until("room", PATIENCE, || {
        (served.call("GET", "/v1/runs").send().status == 200).then_some(())
    });
    // One after the other: more than four requests at once are turned away again.
    let request = get("/v1/runs", "application/json", &served.manage);
    let idle: Vec<TcpStream> = (0..6)
        .map(|_| {
            let stream = asked(served.address, &request);
            assert_eq!(status(&stream), 200);
            stream
        })
        .collect();
    let metrics = expect_others_served(&served);
    drop(idle);
    let line = "tidegate_http_turned_away_total{why=\"connections\"}";
    assert!(metric(&metrics, line) >= 1.0, "{metrics}");
}

#[test]
fn one_key_leaves_places_to_others() {
    let gate = Gate::default();
    let held = gate.clone();
    let server = Server::start(move |_| Reply::json(&json!({})).behind(&held));
    let tidegate = Tidegate::new();
    tidegate.deploy(&acts(), "acts", &server.origin());
    tidegate.connect("acts", "acme", &server.origin());
    let limits = "--limit api_connections=8 --limit api_requests_per_key=4";
    let served = Served::start_with(tidegate, limits);
    let key = make_key(&served.tidegate, "trigger", "");
    let hold = "/v1/integrations/acts/connections/acme/actions/hold";
    let call = Call::new(served.address, "POST", hold)
        .key(&key)
        .json(&json!({}));
    let waiting: Vec<TcpStream> = (0..4).map(|_| call.begin_and_leave()).collect();
    // A further one of it is refused; others are served.
    let refused = wait_until("the key to have all that one may have", PATIENCE, || {
        let runs = Call::new(
            served.address,
            "POST",
            "/v1/runs/run_01JD3A80000000000000000000/cancel",
        );
        let answer = runs.key(&key).send();
        (answer.status == 429).then_some(answer)
    });
    let problem = expect_problem(&refused, "rate-limited", 429);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("api_requests_per_key")
    );
    expect_others_served(&served);
    gate.open();
    for stream in &waiting {
        assert_eq!(status(stream), 200);
    }
}

#[test]
fn the_socket_of_commands_has_room_for_them() {
    let limits = "--limit api_keyless_per_address=64 --limit api_header_ms=600000";
    let served = Served::start_with(Tidegate::new(), limits);
    let own = Own::of(&served.tidegate);
    let idle: Vec<_> = (0..crowd(150))
        .map(|number| {
            let mut stream = own.connect();
            let proof = "GET /control/proof/x HTTP/1.1\r\nHost: localhost\r\n\r\n";
            if number % 2 == 0 {
                // It may have to make room at once.
                let _ = stream.write_all(proof.as_bytes());
            }
            stream
        })
        .collect();
    served.tidegate.cmd("runs --json").finish().expect_code(OK);
    drop(idle);
}
