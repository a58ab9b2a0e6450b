//! Servers that misbehave, to an honest plugin. `host/egress/tests/hostile.rs` has all of them for
//! the gate alone; these go through the whole house.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::case::{Case, Does};
use crate::support::http::Request;

pub fn cases() -> Vec<Case> {
    let case = |name, serve| Case::new(name, Does::Serve(serve));
    vec![
        case("a gzip bomb", |stream| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&vec![0; 100 << 20]).unwrap();
            answer(stream, "Content-Encoding: gzip\r\n", &encoder.finish().unwrap());
        })
        .breaks("http_response_bytes"),
        case("a body without end", |stream| {
            flood(stream, "HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 65536]);
        })
        .breaks("http_response_bytes"),
        case("headers without end", |stream| {
            flood(stream, "HTTP/1.1 200 OK\r\n", &b"a: b\r\n".repeat(1000));
        })
        .breaks("http_headers"),
        case("one header of sixty kilobytes", |stream| {
            answer(stream, &format!("x: {}\r\n", "y".repeat(60 << 10)), b"{}");
        })
        .breaks("http_header_bytes"),
        case("no answer", |stream| {
            read(&stream);
            // Until the client is gone.
            read(&stream);
        })
        .with("http_timeout_ms", 100)
        .class("transient")
        .says("100 ms")
        .says("http_timeout_ms"),
        case("a body that drips", |mut stream| {
            read(&stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(10));
            }
        })
        .with("http_timeout_ms", 200)
        .class("transient")
        .says("200 ms")
        .says("http_timeout_ms"),
        case("a server that goes silent", |stream| {
            read(&stream);
            // Until the client is gone.
            read(&stream);
        })
        .with("http_idle_timeout_ms", 100)
        .class("transient")
        .says("100 ms")
        .says("http_idle_timeout_ms"),
        case("a body that stalls in the middle", |mut stream| {
            read(&stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
            let _ = stream.write_all(&[b'x'; 50_000]);
            read(&stream);
        })
        .with("http_idle_timeout_ms", 100)
        .class("transient")
        .says("http_idle_timeout_ms"),
        case("a body of a byte now and then", |mut stream| {
            read(&stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(10));
            }
        })
        .with("http_idle_timeout_ms", 200)
        .class("transient")
        .says("http_idle_timeout_ms"),
        case("a pause of ten years", |mut stream| {
            read(&stream);
            let _ = stream.write_all(
                b"HTTP/1.1 503 Later\r\nRetry-After: 315360000\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            );
        })
        .class("transient")
        .says("503"),
        case("an endless chain of redirects", |stream| {
            redirect(stream, "/again");
        })
        .says("redirect"),
        case("a redirect to the metadata service", |stream| {
            redirect(stream, "http://169.254.169.254/latest/");
        })
        .class("config")
        .blame("guest")
        .says("169.254.169.254"),
        case("a redirect to a file", |stream| {
            redirect(stream, "file:///etc/passwd");
        })
        .says("file"),
        case("not HTTP at all", |mut stream| {
            let _ = stream.write_all(b"220 smtp.example ESMTP\r\n");
        })
        .class("transient"),
        case("JSON nested a million deep", |stream| {
            let deep = ["[".repeat(1 << 20), "]".repeat(1 << 20)].concat();
            answer(stream, "", deep.as_bytes());
        })
        .says("not the JSON that the plugin expects"),
        case("a record that is too large", |stream| {
            let text = "x".repeat(2 << 20);
            let page = format!(r#"{{"items": [{{"id": "a", "text": "{text}"}}], "next_cursor": null, "as_of": "2026-01-01T00:00:00Z"}}"#);
            answer(stream, "", page.as_bytes());
        })
        .harmless(|seen| {
            let skipped = seen.logs.iter().find(|line| line.message.contains("record_bytes"));
            assert!(skipped.is_some(), "it is skipped, and the log says so: {:?}", seen.logs);
        }),
    ]
}

/// Read a request; anything that comes is one.
fn read(stream: &TcpStream) {
    let _ = Request::read(stream);
}

/// Answer with a whole body. A client that is gone gets nothing.
fn answer(mut stream: TcpStream, headers: &str, body: &[u8]) {
    read(&stream);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
}

fn redirect(mut stream: TcpStream, location: &str) {
    read(&stream);
    let head = format!(
        "HTTP/1.1 302 Found\r\nLocation: {location}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    let _ = stream.write_all(head.as_bytes());
}

/// Start, and then go on for as long as the client listens.
fn flood(mut stream: TcpStream, start: &str, more: &[u8]) {
    read(&stream);
    let _ = stream.write_all(start.as_bytes());
    while stream.write_all(more).is_ok() {}
}
