//! Bodies as servers send them: zipped in several ways, in other charsets, with a byte-order mark; and
//! those that can't be read, which are the API's fault.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::support::cli::{RUN_FAILED, Tidegate};
use crate::support::crm::{MODEL, Source};
use crate::support::server::{Reply, Server};

const JSON: &str = "application/json";
const PAGE: &str =
    r#"{"items":[{"id":"c1","name":"Jörg"}],"next_cursor":null,"as_of":"2026-01-01T00:00:00Z"}"#;

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn wide(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(order).collect()
}

/// Latin-1, in which each character is its code.
fn latin(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect()
}

#[test]
fn what_can_be_read() {
    let (first, second) = PAGE.split_at(20);
    let coded = |coding, body| (Some(coding), JSON, body);
    let of_type = |content_type, body| (None, content_type, body);
    let rows = [
        coded("gzip", gzip(PAGE)),
        coded("GZIP", gzip(PAGE)),
        coded("x-gzip", gzip(PAGE)),
        coded("gzip", [gzip(first), gzip(second)].concat()),
        coded("gzip", PAGE.into()),
        of_type(JSON, gzip(PAGE)),
        of_type(JSON, [b"\xef\xbb\xbf", PAGE.as_bytes()].concat()),
        of_type("application/json; charset=iso-8859-1", latin(PAGE)),
        of_type("application/json; charset=iso-8859-1", PAGE.into()),
        of_type(
            "text/json;charset=\"UTF-16\"",
            wide(&format!("\u{feff}{PAGE}"), u16::to_be_bytes),
        ),
        of_type(
            "application/json; charset=utf-16le",
            wide(PAGE, u16::to_le_bytes),
        ),
    ];
    for source in Source::ALL {
        for (at, (coding, content_type, body)) in rows.iter().enumerate() {
            let (coding, content_type, body) = (*coding, *content_type, body.clone());
            let server = Server::start(move |_| {
                let reply = Reply::bytes(&body).header("Content-Type", content_type);
                match coding {
                    Some(coding) => reply.header("Content-Encoding", coding),
                    None => reply,
                }
            });
            let tidegate = Tidegate::new();
            source.set_up(&tidegate, &server.origin());
            tidegate.sync_ok(source.sync(), "acme");
            let stored = tidegate.feed(MODEL, "acme", None);
            assert_eq!(
                stored[0]["body"],
                json!({"id": "c1", "name": "Jörg"}),
                "{source:?}, row {at}"
            );
        }
    }
}

#[test]
fn what_can_not_be_read_is_the_apis_fault() {
    type Row<'a> = (&'a [(&'a str, &'a str)], Vec<u8>, &'a str);
    let rows: [Row<'_>; 4] = [
        (&[], b"\xff\xfe\x00".to_vec(), "not UTF-8"),
        (
            &[("Content-Encoding", "br")],
            b"\x8b\x0a\x80".to_vec(),
            "content-encoding: br",
        ),
        (
            &[("Content-Encoding", "gzip")],
            b"\x1f\x8b\x08 no more of it".to_vec(),
            "gzip",
        ),
        (&[], PAGE.replace('}', "").into(), "JSON"),
    ];
    for (headers, body, says) in rows {
        let server = Server::start(move |_| {
            let reply = Reply::bytes(&body).header("Content-Type", JSON);
            headers
                .iter()
                .fold(reply, |reply, (name, value)| reply.header(name, value))
        });
        let tidegate = Tidegate::new();
        Source::Rest.set_up(&tidegate, &server.origin());
        let finished = tidegate.sync(Source::Rest.sync(), "acme");
        finished.expect_code(RUN_FAILED);
        let failure = &finished.json()["failure"];
        assert_eq!(failure["blame"], "upstream", "{failure}");
        assert!(
            failure["message"].as_str().unwrap().contains(says),
            "{says}: {failure}"
        );
        assert!(tidegate.feed(MODEL, "acme", None).is_empty());
    }
}
