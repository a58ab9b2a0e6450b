//! An API that repeats the secret wherever it can, as APIs write, and a plugin that passes on all of it. Then
//! everything that was written is searched: what commands say, the server's log and metrics, webhooks, files.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::client::Call;
use crate::support::cli::{RUN_FAILED, Tidegate};
use crate::support::http::Request;
use crate::support::plugins;
use crate::support::server::{Reply, Server};
use crate::support::{PATIENCE, wait_until};

/// What encoders escape, and what is left of it when they have.
pub(super) const SECRET: &str = "sk-canary/With+odd=chars&Zx81";
/// One that may be a header's name.
const NAME: &str = "sk-canary-5d41402abc4b2a76";
const PART: &str = "canary";

pub(super) fn percent(text: &str, write: impl Fn(u8) -> String) -> String {
    let one = |byte: u8| match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        true => char::from(byte).to_string(),
        false => write(byte),
    };
    text.bytes().map(one).collect()
}

/// How an API may write a text.
fn forms(text: &str) -> Vec<String> {
    let upper = |byte: u8| format!("%{byte:02X}");
    let lower = |byte: u8| format!("%{byte:02x}");
    let hex: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
    vec![
        text.to_owned(),
        text.replace('/', "\\/"),
        percent(text, upper),
        percent(text, lower),
        percent(text, |byte| format!("\\u{byte:04x}")),
        percent(text, |byte| format!("&#x{byte:x};")),
        percent(&percent(text, lower), upper),
        STANDARD.encode(format!("Bearer {text}")),
        URL_SAFE_NO_PAD.encode(format!("me:{text}")),
        hex,
    ]
}

/// What nothing may hold: a part of the secret that no escape changes, plain and as only a form of the secret has it.
fn needles() -> Vec<String> {
    let base64 = (0..3).map(|ahead: usize| {
        let encoded = STANDARD_NO_PAD.encode(format!("{}{PART}", "\0".repeat(ahead)));
        encoded[(ahead * 8).div_ceil(6)..(ahead + PART.len()) * 8 / 6].to_owned()
    });
    let hex: String = PART.bytes().map(|byte| format!("{byte:02x}")).collect();
    let upper = hex.to_uppercase();
    base64.chain([PART.to_owned(), hex, upper]).collect()
}

#[track_caller]
pub(super) fn expect_none(place: &str, bytes: &[u8]) {
    for needle in needles() {
        let found = bytes
            .windows(needle.len())
            .position(|part| part == needle.as_bytes());
        if let Some(at) = found {
            let around = &bytes[at.saturating_sub(100)..bytes.len().min(at + 100)];
            let around = String::from_utf8_lossy(around);
            panic!("{place} holds a secret as {needle}: {around}");
        }
    }
}

#[track_caller]
pub(super) fn expect_none_below(folder: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files += expect_none_below(&path),
            false => {
                files += 1;
                expect_none(&path.display().to_string(), &fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Says what it was sent, at every place. How is said by the path, `/STATUS/FORM/SECRETS/…`: both, or one.
fn parrot(request: &Request) -> Reply {
    let mut path = request.path().split('/').skip(1);
    let mut number = || path.next().and_then(|text| text.parse::<u16>().ok());
    let (status, form) = (number().unwrap_or(404), usize::from(number().unwrap_or(0)));
    let both = path.next() == Some("both");
    let first = forms(SECRET)[form].clone();
    let second = if both {
        forms(NAME)[form].clone()
    } else {
        String::new()
    };
    let text = format!("invalid key {first}{second}");
    let reply = match path.next() {
        Some("token") => Reply::json(&json!({"error": "invalid_grant", "error_description": text})),
        _ => {
            let sent = request.header("authorization");
            Reply::text(&format!("{text}; got {sent:?} by {}", request.target))
        }
    };
    let away = percent(SECRET, |byte| format!("%{byte:02x}"));
    let reply = reply
        .with_status(status)
        .with_reason(&first)
        .header("X-RateLimit-Reset", &first)
        .header("Content-Type", &format!("text/plain; was={first}"))
        .header("X-Echo", &first)
        .header("Link", &format!("</x?key={first}>; rel=\"next\""))
        .header("Location", &format!("/404/{form}/one/{away}"));
    if both { reply.header(NAME, "1") } else { reply }
}

/// A data directory with connections that have the secrets, for each form at some status.
fn connected(api: &Server) -> (Tidegate, Vec<String>) {
    let tidegate = Tidegate::new();
    let origin = api.origin();
    let grants =
        format!("--allow-host {origin} --allow-token-host {origin} --allow-private 127.0.0.0/8");
    tidegate
        .cmd("deploy")
        .arg(plugins::hostile())
        .words(&format!(
            "--as parrot --yes --allow-metadata-write {grants}"
        ))
        .ok();
    let kinds = [
        ("one", "token=env:A"),
        ("both", "first=env:A --secret second=env:B"),
        ("one", "username=env:ID --secret password=env:A"),
        ("one", "query_key=env:A"),
        ("one", "username=env:A --secret password=env:X"),
    ];
    let add = |name: &str, words: &str| {
        let add = tidegate.cmd(&format!("connections add parrot {name} --base-url {words}"));
        let add = add.env("A", SECRET).env("B", NAME);
        add.env("ID", "somebody").env("X", "x").ok();
    };
    let mut names = Vec::new();
    let statuses = [200, 401, 500, 302, 422, 400, 200];
    let each = statuses.into_iter().cycle().zip(kinds.into_iter().cycle());
    for (form, (status, (sent, secrets))) in each.take(forms("").len()).enumerate() {
        let name = format!("c{form}");
        add(
            &name,
            &format!("{origin}/{status}/{form}/{sent}/ --secret {secrets}"),
        );
        names.push(name);
    }
    add(
        "oauth",
        &format!(
            "{origin}/200/0/both/ --config token_url={origin}/400/3/both/token --secret client_id=env:ID \
             --secret client_secret=env:A --secret refresh_token=env:B"
        ),
    );
    (tidegate, names)
}

#[test]
fn what_an_api_repeats_is_nowhere_to_be_found() {
    let api = Server::start(parrot);
    let receiver = Server::start(|request| {
        let hook = request.target.split("key=").nth(1).unwrap_or_default();
        Reply::text(&format!("no: {}", hook.to_lowercase())).with_status(500)
    });
    let (tidegate, names) = connected(&api);
    let hook = format!("{}/hook?key=hook%2Fsecret%2B9", receiver.origin());
    let endpoint = tidegate
        .cmd(&format!("webhooks add {hook} --json"))
        .ok()
        .json();
    let endpoint = endpoint["id"].as_str().unwrap().to_owned();
    let running = tidegate
        .cmd("serve --listen 127.0.0.1:0 --log-level debug --webhook-allow-private 127.0.0.0/8")
        .start();
    let url = running.wait_for_url();

    let mut said = Vec::new();
    let mut say = |words: String| {
        let finished = tidegate.cmd(&words).finish();
        expect_none(&words, finished.stdout.as_bytes());
        expect_none(&format!("{words} (stderr)"), finished.stderr.as_bytes());
        said.push(finished.stdout.clone());
        finished
    };
    for name in names.iter().map(String::as_str).chain(["oauth"]) {
        for words in [
            format!("run parrot/repeat -c {name}"),
            format!("run parrot/repeat-error -c {name} --json"),
            format!("invoke parrot/repeat -c {name} --input {{}} --idempotency-key k1"),
            format!("invoke parrot/repeat -c {name} --input {{}} --idempotency-key k1 --json"),
            format!("invoke parrot/repeat-failure -c {name} --input {{}} --json"),
            format!("connections test parrot {name}"),
            format!("request parrot {name} GET say --include"),
            format!("connections show parrot {name}"),
        ] {
            say(words);
        }
    }
    let job = say("trigger parrot/repeat -c c0 --json".to_owned()).json();
    let job = job["job"].as_str().unwrap().to_owned();
    wait_until(
        "the job has failed, and the receiver has heard of it",
        PATIENCE,
        || {
            let heard = receiver.requests();
            let of_job =
                |request: &Request| String::from_utf8_lossy(&request.body).contains("run.failed");
            let dead =
                tidegate.cmd(&format!("jobs show {job} --json")).ok().json()["state"] == "dead";
            let told = heard.iter().filter(|request| of_job(request)).count();
            (dead && told > names.len()).then_some(())
        },
    );
    for words in [
        format!("jobs show {job}"),
        "jobs list --json".to_owned(),
        "jobs list".to_owned(),
        "runs --json --limit 1000".to_owned(),
        "runs --limit 1000".to_owned(),
        "connections list parrot --json".to_owned(),
        "records parrot Thing -c c0 --json".to_owned(),
        "data export".to_owned(),
        format!("webhooks deliveries {endpoint} --json"),
    ] {
        say(words);
    }
    let runs = tidegate.runs();
    assert!(runs.len() > 5 * names.len(), "{}", runs.len());
    for run in &runs {
        let run = run["run"].as_str().unwrap();
        for words in [
            format!("logs {run}"),
            format!("logs {run} --json"),
            format!("runs {run}"),
        ] {
            say(words);
        }
    }
    let all = said.join("\n");
    assert!(
        all.matches("[secret]").count() > 20 * names.len(),
        "the secret was repeated"
    );
    let deliveries = tidegate
        .cmd(&format!("webhooks deliveries {endpoint} --json"))
        .ok();
    assert!(
        deliveries.stdout.contains("no: [secret]"),
        "{}",
        deliveries.stdout
    );
    for request in receiver.requests() {
        expect_none("a webhook", &request.body);
    }
    let key = tidegate
        .cmd("api-keys create --name k --scope manage --json")
        .ok()
        .json();
    let key = key["api_key"].as_str().unwrap().to_owned();
    let get = |target: &str| {
        let address = url.split_once("://").unwrap().1.parse().unwrap();
        Call::new(address, "GET", target).key(&key).send().body
    };
    for target in [
        "/metrics",
        "/v1/runs?limit=100",
        "/v1/jobs",
        "/v1/integrations/parrot/connections",
    ] {
        expect_none(target, &get(target));
    }
    running.signal(rustix::process::Signal::TERM);
    let served = running.finish();
    assert!(
        served.stdout.contains("[secret]"),
        "the server's log tells of failures"
    );
    expect_none("the server's log", served.stdout.as_bytes());
    expect_none("what the server said", served.stderr.as_bytes());
    assert!(expect_none_below(&tidegate.data()) > 3);
    // What the search is worth: the secret did arrive, and was repeated.
    let asked = api.requests();
    assert!(asked.iter().any(|request| request.target.contains("With%2Fodd") || request.target.contains("Zx81")));
}

#[test]
fn a_record_that_holds_one_stays_as_it_is_and_the_log_says_so() {
    let api = Server::start(parrot);
    let (tidegate, _) = connected(&api);
    let run = tidegate.sync_ok("parrot/repeat-record", "c0");
    let record = &tidegate.feed("parrot/Thing", "c0", None)[0];
    let body = record["body"].to_string();
    assert!(
        body.contains(SECRET) && record["id"].as_str().unwrap().contains(SECRET),
        "{body}"
    );
    let logs = tidegate.logs(&run);
    let warns = |line: &Value| {
        let said = line["message"].as_str().unwrap();
        line["level"] == "warn"
            && said.contains("secret of the connection")
            && said.contains("Thing")
    };
    assert_eq!(
        logs.iter().filter(|line| warns(line)).count(),
        1,
        "{logs:?}"
    );
    expect_none("its log", Value::from(logs).to_string().as_bytes());
    // In a cassette it is taken out.
    let file = tidegate.data().join("../c.jsonl");
    let recorded = tidegate
        .cmd("run parrot/repeat-record -c c0 --record")
        .arg(&file)
        .ok();
    expect_none("a run", recorded.stdout.as_bytes());
    expect_none("a cassette", &fs::read(&file).unwrap());
    // And in what fails after it.
    tidegate
        .cmd("run parrot/repeat -c c0")
        .refused(RUN_FAILED, &["[secret]"]);
}

#[test]
fn whoever_gives_a_short_secret_is_told_that_it_is_not_looked_for() {
    let api = Server::start(parrot);
    let (tidegate, _) = connected(&api);
    let words = format!(
        "connections add parrot pin --base-url {} --secret token=env:PIN",
        api.origin()
    );
    let said = tidegate.cmd(&words).env("PIN", "12345").ok();
    assert!(
        said.stderr.contains("token") && said.stderr.contains("6 bytes"),
        "{}",
        said.stderr
    );
    let words = "connections update parrot pin --secret token=env:PIN";
    let said = tidegate.cmd(words).env("PIN", "123456").ok();
    assert!(!said.stderr.contains("6 bytes"), "{}", said.stderr);
}
