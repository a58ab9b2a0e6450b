//! The operator's egress proxy: everything goes through it, and the gate holds before it.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use crate::common::secure::start;
use crate::common::{FakeResolver, FakeTimers, Reply, Server, also, answer, get, policy};
use tidegate_egress::{Credentials, EgressError, Gate, GateOptions, Policy, Secret};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A proxy that tunnels every `CONNECT` to `target`, and notes the heads that it got.
async fn tunnel(target: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let noted = Arc::clone(&noted);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    assert!(stream.read_line(&mut head).await.unwrap() > 0);
                }
                noted.lock().unwrap().push(head);
                let mut to = TcpStream::connect(target).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut to).await;
            });
        }
    });
    (address, heads)
}

fn gate(proxy: &str, roots: Vec<Vec<u8>>) -> Gate {
    Gate::new(GateOptions {
        resolver: FakeResolver::new(&[
            // What the gate sees; the proxy goes where it likes.
            ("api.example", &[&["8.8.8.8"]]),
            ("inside.example", &[&["8.8.8.8", "10.0.0.1"]]),
            ("proxy.example", &[&["127.0.0.1"]]),
        ]),
        timers: Arc::new(FakeTimers::default()),
        extra_roots: roots,
        proxy: Some(proxy.parse().unwrap()),
        ..GateOptions::default()
    })
}

fn closed(policy: Policy) -> Policy {
    Policy {
        private: Vec::new(),
        ..policy
    }
}

#[tokio::test]
async fn https_goes_through_a_tunnel_that_sees_no_secret() {
    let server = start().await;
    let target = format!("127.0.0.1:{}", server.port).parse().unwrap();
    let (proxy, heads) = tunnel(target).await;
    // The proxy's own address needs no grant, and its name is not judged: the operator chose it.
    for host in ["127.0.0.1", "proxy.example"] {
        let proxy = format!("http://user:pass@{host}:{}", proxy.port());
        let policy = Policy {
            credentials: Some(Credentials::Bearer(Secret::new("canary".to_owned()))),
            ..closed(policy("https://api.example"))
        };
        let session = gate(&proxy, vec![server.certificate.clone()]).session(policy);
        let response = session.send(get("/x")).await.unwrap();
        assert_eq!(&response.body[..], b"secure");
        let head = heads.lock().unwrap().pop().unwrap();
        assert!(
            head.starts_with("CONNECT api.example:443 HTTP/1.1\r\n"),
            "{head}"
        );
        assert!(head.contains("Basic dXNlcjpwYXNz"), "{head}");
        assert!(!head.contains("canary") && !head.contains("/x"), "{head}");
    }
    assert_eq!(server.full.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn http_is_forwarded_and_redirects_pass_the_gate_again() {
    let proxy = Server::start(|seen, _| match seen.target.as_str() {
        "http://api.example/moved" => {
            Reply::Send(answer(302, &[("location", "http://inside.example/")], ""))
        }
        _ => Reply::Send(answer(200, &[], "forwarded")),
    })
    .await;
    let policy = also(policy("http://api.example"), &["http://inside.example"]);
    let session = gate(&proxy.url(""), Vec::new()).session(closed(policy));
    let response = session.send(get("/x")).await.unwrap();
    assert_eq!(&response.body[..], b"forwarded");
    assert_eq!(proxy.seen()[0].target, "http://api.example/x");
    let error = session.send(get("/moved")).await.unwrap_err();
    assert!(
        error.to_string().contains("--allow-private 10.0.0.1/32"),
        "{error}"
    );
    assert_eq!(proxy.count(), 2);
}

#[tokio::test]
async fn what_the_gate_refuses_never_reaches_the_proxy() {
    let proxy = Server::always(answer(200, &[], "forwarded")).await;
    for base in [
        "http://127.0.0.1:9",
        "http://10.0.0.1",
        "http://169.254.169.254",
        "http://[::ffff:169.254.169.254]",
        "http://inside.example",
        "https://inside.example",
        "http://proxy.example",
    ] {
        let session = gate(&proxy.url(""), Vec::new()).session(closed(policy(base)));
        let error = session.send(get("/")).await.unwrap_err();
        assert!(
            matches!(error, EgressError::Denied { .. }),
            "{base}: {error}"
        );
    }
    // A name that we can't judge isn't given to the proxy either.
    let session = gate(&proxy.url(""), Vec::new()).session(policy("http://unknown.example"));
    let error = session.send(get("/")).await.unwrap_err();
    assert!(matches!(error, EgressError::Connect { .. }), "{error}");
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 0);
}
