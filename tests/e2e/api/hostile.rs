//! Clients that mean harm, or are broken: slow, endless, too many, too large, not HTTP at all.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::client::Answer;
use super::{Served, expect_problem};
use crate::support::cli::Tidegate;
use crate::support::crm::{Source, contacts, reply};
use crate::support::server::Server;
use crate::support::{PATIENCE, wait_until};

fn connect(served: &Served) -> TcpStream {
    let stream = TcpStream::connect(served.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What comes until the server closes.
fn rest(mut stream: &TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn quick() -> Served {
    let limits = "--limit api_header_ms=400 --limit api_request_ms=400 --limit api_stall_ms=400";
    Served::start_with(Tidegate::new(), limits)
}

#[test]
fn headers_that_never_end_are_cut_off() {
    let served = quick();
    for head in [
        "",
        "GET /livez HTTP/1.1\r\n",
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    ] {
        let began = Instant::now();
        let mut stream = connect(&served);
        stream.write_all(head.as_bytes()).unwrap();
        rest(&stream);
        let took = began.elapsed();
        assert!(
            (300..10_000).contains(&took.as_millis()),
            "{head:?}: {took:?}"
        );
    }
    served.get("/v1/runs");
}

#[test]
fn bodies_that_never_end_are_cut_off() {
    let served = quick();
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: 1000\r\n\r\n{{",
            served.manage
        )
    };
    // One that has a time, and one that may take as long as something comes.
    for path in ["/v1/api-keys", "/v1/components", "/v1/data/import"] {
        let mut stream = connect(&served);
        stream.write_all(head(path).as_bytes()).unwrap();
        let answer = Answer::read(stream).whole();
        let limit = match path {
            "/v1/api-keys" => "api_request_ms",
            _ => "api_stall_ms",
        };
        let problem = expect_problem(&answer, "slow-request", 408);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(limit), "{path}: {detail}");
    }
    served.get("/v1/runs");
}

#[test]
fn what_is_too_large_is_refused() {
    let served = Served::start(Tidegate::new());
    let large = vec![b' '; 1 << 20 | 1];
    let answer = served
        .call("POST", "/v1/api-keys")
        .body("application/json", &large)
        .send();
    expect_problem(&answer, "too-large", 413);
    // One that does not say how large it is.
    let mut stream = connect(&served);
    let head = format!(
        "POST /v1/api-keys HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
        served.manage
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        let chunk = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
        // Until the server has had enough.
        while writer.write_all(&chunk).is_ok() {}
    });
    let answer = Answer::read(stream.try_clone().unwrap());
    assert_eq!(answer.status, 413);
    drop(answer);
    // It may have closed already.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    writing.join().unwrap();
    // Headers, and too many of them.
    for header in [
        format!("X: {}\r\n", "x".repeat(40_000)),
        format!("X: {}\r\n", "x".repeat(70_000)),
        "X: y\r\n".repeat(200),
    ] {
        let mut stream = connect(&served);
        let _ = stream.write_all(
            format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{header}\r\n").as_bytes(),
        );
        let said = rest(&stream);
        assert!(said.starts_with("HTTP/1.1 431"), "{said:?}");
    }
    let long = served
        .bare("GET", &format!("/v1/{}", "x".repeat(70_000)))
        .begin_raw();
    assert!(long.starts_with("HTTP/1.1 4"), "{long:?}");
}

#[test]
fn what_is_not_http_ends_the_connection() {
    let served = Served::start(Tidegate::new());
    let rows: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"G\0T / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for bytes in rows {
        let mut stream = connect(&served);
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let said = rest(&stream);
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 4"),
            "{said:?}"
        );
    }
    served.get("/v1/runs");
}

#[test]
fn a_reader_that_does_not_read_is_cut_off() {
    // More than the buffers between the two hold.
    let server = Server::start(|request| {
        let page: u32 = request
            .query("cursor")
            .map_or(0, |page| page.parse().unwrap());
        let mut items = contacts(page * 100..(page + 1) * 100, 1);
        for item in &mut items {
            item["pad"] = "x".repeat(20_000).into();
        }
        let next = (page + 1).to_string();
        reply(&items, (page < 20).then_some(next.as_str()))
    });
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    tidegate.sync_ok("crm/contacts", "acme");
    let served = Served::start_with(
        tidegate,
        "--limit api_stall_ms=400 --limit api_answers_per_key=1",
    );
    let mut stream = connect(&served);
    let request = format!(
        "GET /v1/integrations/crm/connections/acme/models/Contact/records HTTP/1.1\r\nHost: localhost\r\n\
         Accept: application/x-ndjson\r\nAuthorization: Bearer {}\r\n\r\n",
        served.manage
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut begun = [0; 15];
    stream.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200 OK");
    // The only place for an answer of this size that the key may have is free again.
    wait_until("the place of its answer", PATIENCE, || {
        let page = "/v1/integrations/crm/connections/acme/models/Contact/records?limit=100";
        let answer = served.call("GET", page).begin();
        assert!([200, 429].contains(&answer.status), "{}", answer.status);
        (answer.status == 200).then_some(())
    });
    // What had been made lies in the buffers between the two.
    let said = rest(&stream);
    assert!(!said.contains("next_cursor"), "it was not cut off");
}

#[test]
fn every_refusal_is_a_problem() {
    let served = Served::start(Tidegate::new());
    let rows = [
        ("GET", "/", 404, "no-such-route"),
        ("GET", "/v1", 404, "no-such-route"),
        ("GET", "/v1/nothing", 404, "no-such-route"),
        ("GET", "/v1/../etc/passwd", 404, "no-such-route"),
        ("GET", "/v1/docs/%2e%2e%2fetc%2fpasswd", 404, "not-found"),
        ("POST", "/livez", 405, "wrong-method"),
        ("PUT", "/v1/runs", 405, "wrong-method"),
        ("TRACE", "/v1/runs", 405, "wrong-method"),
        ("GET", "/v1/integrations/%ff", 400, "invalid-request"),
        ("GET", "/v1/runs/run_%00", 400, "invalid-request"),
    ];
    for (method, target, status, slug) in rows {
        let answer = served.call(method, target).send();
        expect_problem(&answer, slug, status);
        assert_eq!(
            answer.header("allow").is_some(),
            status == 405,
            "{method} {target}"
        );
    }
}

#[test]
fn one_host_that_is_this_server() {
    let served = Served::start_with(Tidegate::new(), "--allowed-host API.example");
    let status_of = |hosts: &[&str]| {
        let hosts: String = hosts
            .iter()
            .map(|host| format!("Host: {host}\r\n"))
            .collect();
        let mut stream = connect(&served);
        let request = format!("GET /livez HTTP/1.1\r\nConnection: close\r\n{hosts}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let said = rest(&stream);
        let status = said.split(' ').nth(1).map(str::parse::<u16>);
        status
            .unwrap_or_else(|| panic!("no status in {said:?}"))
            .unwrap()
    };
    let rows: [(&[&str], u16); 7] = [
        (&[], 400),
        (&["localhost", "localhost"], 400),
        (&["evil.example"], 421),
        (&["localhost"], 200),
        (&["127.0.0.1:7411"], 200),
        (&["[::1]"], 200),
        (&["api.example"], 200),
    ];
    for (hosts, wanted) in rows {
        assert_eq!(status_of(hosts), wanted, "{hosts:?}");
    }
    let page = served.bare("GET", "/v1/docs/").send();
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(policy.contains("script-src 'self'"), "{policy}");
    let answer = served.call("GET", "/v1/runs").send();
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
}
