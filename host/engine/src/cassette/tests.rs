//! Cassettes written, read, damaged, played and compared; any bytes at all read without a panic.

use proptest::prelude::*;

use super::*;
use crate::record::{Counts, Page, Save};

const CASSETTE: &str = r#"{"tidegate_cassette":1,"plugin":{"name":"crm","version":"1.0.0","digest":"0000000000000000000000000000000000000000000000000000000000000000"},"run":"run_01JD3N6F1R0000000000000000","target":{"kind":"sync","connection":{"integration":"crm","connection":"acme"},"sync":"contacts","variant":"base"},"trigger":"manual","attempt":1,"started_at":1700000000000,"base_url":"https://api.example.com/","config":"{}","metadata":"{}","checkpoint":null,"grants":{"hosts":["https://api.example.com"],"private":[],"feeds":[],"metadata_write":false,"limits":{}},"seed":"0101010101010101010101010101010101010101010101010101010101010101"}
{"call":[0,{"http.send":{"method":"GET","url":"/contacts?page=1","headers":[["accept","*/*"]]}}]}
{"call":[1,{"http.send":{"method":"POST","url":"/search","headers":[],"body":{"base64":"/wA="}}}]}
{"clock":[[1700000000001,2],[1700000000005,1]]}
{"answer":[1,{"error":{"kind":"too-large","message":"long","limit":"http_response_bytes"}}]}
{"answer":[0,{"response":{"status":200,"headers":[],"body":{"text":"[]"},"url":"https://api.example.com/contacts?page=1"}}]}
{"log":{"level":"info","source":"plugin","message":"read a page"}}
{"call":[2,{"records.commit":{"pages":[{"model":"Contact","save":[{"id":"a","body":"{\"n\":1}"}],"delete":["b"]}],"checkpoint":"{\"p\":1}"}}]}
{"answer":[2,{"counts":[{"added":1,"updated":0,"deleted":0,"unchanged":0,"skipped":0}]}]}
{"call":[3,{"clock.sleep":{"ms":50}}]}
{"end":{"outcome":"success"}}
"#;

fn cassette() -> Cassette {
    Cassette::parse(CASSETTE.as_bytes()).unwrap()
}

/// The lines of the cassette, with each that holds `old` changed.
fn with(old: &str, new: &str) -> String {
    assert!(CASSETTE.contains(old), "{old}");
    CASSETTE.replace(old, new)
}

#[test]
fn what_is_read_is_written_again_byte_for_byte() {
    let mut lines = CASSETTE.lines();
    let head: Head = serde_json::from_str(lines.next().unwrap()).unwrap();
    let mut writer = Writer::default();
    let mut written = writer.head(&head).unwrap();
    for line in lines {
        let event: Event = serde_json::from_str(line).unwrap();
        written += &writer.event(&event).unwrap();
    }
    assert_eq!(written, CASSETTE);
    assert_eq!(writer.bytes(), CASSETTE.len());
    let cassette = cassette();
    assert_eq!(cassette.calls.len(), 4);
    assert_eq!(cassette.effects().count(), 1);
    assert_eq!(cassette.calls[1].answer.as_ref().unwrap().0, 0);
    assert_eq!(cassette.calls[3].answer, None);
}

#[test]
fn damage_is_refused_with_its_line() {
    let end = "{\"end\":{\"outcome\":\"success\"}}\n";
    let line_4 = CASSETTE.lines().nth(3).unwrap();
    // (the text, the line, a part of the reason)
    let rows = [
        (String::new(), 1, "no end"),
        ("\n".to_owned(), 1, "not a cassette"),
        ("hello\n".to_owned(), 1, "not a cassette"),
        ("{\"log\":1}\n".to_owned(), 1, "not a cassette"),
        (with("cassette\":1", "cassette\":2"), 1, "version 2"),
        (with("cassette\":1", "cassette\":-1"), 1, "not a cassette"),
        (
            with("\"attempt\":1", "\"attempt\":\"x\""),
            1,
            "invalid type",
        ),
        (with("\"attempt\":1,", ""), 1, "missing field `attempt`"),
        (
            with("\"attempt\":1", "\"attempt\":1,\"more\":2"),
            1,
            "unknown field `more`",
        ),
        (with("\"seed\":\"01", "\"seed\":\"0"), 1, "64 hexadecimal"),
        (
            with("\"name\":\"crm\"", "\"name\":\"../crm\""),
            1,
            "not a valid name",
        ),
        (
            with("http.send", "http.sent"),
            2,
            "unknown variant `http.sent`",
        ),
        (with("[0,{\"http", "[1,{\"http"), 2, "call 0 is due"),
        (with("[1,{\"http", "[0,{\"http"), 3, "call 1 is due"),
        (with("/wA=", "/wA"), 3, "padding"),
        (
            with("{\"base64\":\"/wA=\"}", "{\"text\":\"a\",\"base64\":\"\"}"),
            3,
            "expected",
        ),
        (with("01,2]", "01,0]"), 4, "0 times"),
        (with("[1,{\"error\"", "[9,{\"error\""), 5, "not made yet"),
        (
            with("[0,{\"response\"", "[1,{\"response\""),
            6,
            "a second time",
        ),
        (
            with(
                "{\"counts\":[{\"added\":1,\"updated\":0,\"deleted\":0,\"unchanged\":0,\"skipped\":0}]}",
                "{\"repeated\":1}",
            ),
            9,
            "no answer to what call 2 asks",
        ),
        (
            with(
                "[{\"added\":1,\"updated\":0,\"deleted\":0,\"unchanged\":0,\"skipped\":0}]",
                "[]",
            ),
            9,
            "no answer",
        ),
        (
            with("\"plugin\",\"mess", "\"guest\",\"mess"),
            7,
            "unknown variant `guest`",
        ),
        (with(end, ""), 10, "cut off"),
        (with(end, &end.replace('\n', "")), 11, "cut off"),
        (with(end, &end.replace("}\n", "\n")), 11, "EOF"),
        (with(end, &format!("{end}{line_4}\n")), 12, "after the end"),
        (with(end, "\n"), 11, "EOF"),
        (with(line_4, ""), 4, "EOF"),
        (
            format!("{{\"tidegate_cassette\":1,\"x\":{}\n", "[".repeat(1000)),
            1,
            "EOF",
        ),
    ];
    for (text, line, part) in rows {
        let error = Cassette::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.line, line, "{part}: {error}");
        assert!(error.reason.contains(part), "wanted {part:?}: {error}");
        assert!(!error.reason.contains("line 1"), "{error}");
    }
    let not_utf8 = [CASSETTE.as_bytes(), b"{\"log\":\"\xff\"}\n"].concat();
    assert_eq!(Cassette::parse(&not_utf8).unwrap_err().line, 12);
}

#[test]
fn every_prefix_is_refused() {
    for end in 0..CASSETTE.len() {
        assert!(
            Cassette::parse(&CASSETTE.as_bytes()[..end]).is_err(),
            "{end}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let error = Cassette::parse(&bytes).unwrap_err();
        prop_assert!(error.line >= 1 && error.line <= bytes.len() + 1);
    }

    /// A cassette with some of its bytes changed: it is read, or refused with a line that it has.
    #[test]
    fn changed_bytes_are_read_without_a_panic(
        changes in proptest::collection::vec((0..CASSETTE.len(), any::<u8>()), 1..4),
    ) {
        let mut bytes = CASSETTE.as_bytes().to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        read_and_play(&bytes)?;
    }

    /// Its own lines, in any order and number.
    #[test]
    fn shuffled_lines_are_read_without_a_panic(
        lines in proptest::collection::vec(0..CASSETTE.lines().count(), 0..14),
        with_head: bool,
    ) {
        let all: Vec<&str> = CASSETTE.lines().collect();
        let mut text = if with_head { format!("{}\n", all[0]) } else { String::new() };
        for line in lines {
            text += all[line];
            text.push('\n');
        }
        read_and_play(text.as_bytes())?;
    }

    #[test]
    fn a_body_is_what_it_was(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
        let body = Body::new(bytes.clone());
        let text = serde_json::to_string(&body).unwrap();
        let again: Body = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(again.bytes(), &bytes);
        prop_assert_eq!(text.contains("base64"), std::str::from_utf8(&bytes).is_err());
    }
}

fn read_and_play(bytes: &[u8]) -> Result<(), TestCaseError> {
    match Cassette::parse(bytes) {
        Err(error) => {
            let lines = bytes.split(|byte| *byte == b'\n').count();
            prop_assert!(
                error.line >= 1 && error.line <= lines,
                "{} of {}",
                error,
                lines
            );
        }
        Ok(cassette) => {
            let mut player = Player::new(&cassette);
            for call in &cassette.calls {
                player.find(&call.ask);
                player.now();
            }
            let effects: Vec<&Ask> = cassette.effects().collect();
            prop_assert_eq!(differences(&effects, &effects, None), []);
        }
    }
    Ok(())
}

fn get(url: &str) -> Ask {
    Ask::Send(Exchange {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: vec![("x-any".to_owned(), "1".to_owned())],
        body: Body::default(),
    })
}

/// A model, the records to save and the ids to delete.
type PageRow<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

fn commit(pages: &[PageRow<'_>], checkpoint: Option<&str>) -> Ask {
    let page = |(model, save, delete): &PageRow<'_>| Page {
        save: save
            .iter()
            .map(|(id, body)| Save {
                id: (*id).to_owned(),
                body: (*body).to_owned(),
                hash: None,
            })
            .collect(),
        delete: delete.iter().map(|id| (*id).to_owned()).collect(),
        ..Page::of(model.parse().unwrap())
    };
    Ask::Commit(CommitAsk {
        pages: pages.iter().map(page).collect(),
        checkpoint: checkpoint.map(str::to_owned),
    })
}

#[test]
fn a_call_finds_its_answer_whatever_its_place() {
    let mut player = Player::new(&cassette());
    // Another order, and other headers, than were recorded.
    let commits = commit(&[("Contact", &[("z", "{}")], &[])], None);
    let found = player.find(&commits);
    let counts = Counts {
        added: 1,
        ..Counts::default()
    };
    let answer = Answer::Counts(vec![counts]);
    assert_eq!(found, Playback::Recorded { place: 2, answer });
    assert!(matches!(
        player.find(&get("/contacts?page=1")),
        Playback::Recorded { place: 1, .. }
    ));
    assert_eq!(player.find(&Ask::Sleep { ms: 50 }), Playback::Unanswered);
    assert!(!player.is_used_up());

    // What was not recorded.
    let missing = |found: Playback| match found {
        Playback::Missing(text) => text,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        missing(player.find(&get("/contacts?page=2"))),
        "GET /contacts?page=2 is not in the cassette; the nearest recorded is GET /contacts?page=1"
    );
    let again = missing(player.find(&get("/contacts?page=1")));
    assert!(
        again.contains("1 times, and was asked for once more"),
        "{again}"
    );
    let mut search = cassette().calls[1].ask.clone();
    let Ask::Send(request) = &mut search else {
        panic!()
    };
    request.body = Body::new(b"other".to_vec());
    let other_body = missing(player.find(&search));
    assert!(other_body.contains("another body"), "{other_body}");
    let model = "Contact".parse().unwrap();
    let nothing = missing(player.find(&Ask::Get {
        model,
        ids: vec!["a".to_owned()],
    }));
    assert!(nothing.contains("nothing of its kind"), "{nothing}");

    // One commit more, and one of other models.
    let added = Counts {
        added: 1,
        deleted: 2,
        ..Counts::default()
    };
    let more = commit(&[("Contact", &[("z", "{}")], &["x", "y"])], None);
    assert_eq!(
        player.find(&more),
        Playback::Assumed(Answer::Counts(vec![added]))
    );
    let mut player = Player::new(&cassette());
    let other = commit(&[("Company", &[], &[])], None);
    assert_eq!(
        player.find(&other),
        Playback::Assumed(Answer::Counts(vec![Counts::default()]))
    );
}

#[test]
fn the_clock_is_read_as_it_was_and_then_stands_still() {
    let mut player = Player::new(&cassette());
    let read: Vec<u64> = (0..5).map(|_| player.now().0 % 100).collect();
    assert_eq!(read, [1, 1, 5, 5, 5]);
    let text = CASSETTE.replace("{\"clock\":[[1700000000001,2],[1700000000005,1]]}\n", "");
    let mut player = Player::new(&Cassette::parse(text.as_bytes()).unwrap());
    assert_eq!(player.now().0, 1_700_000_000_000);
}

#[test]
fn differences_name_the_place_and_both_values() {
    let base = || {
        commit(
            &[(
                "Contact",
                &[("a", r#"{"n":1,"t":["x"]}"#), ("b", "{}")],
                &["d"],
            )],
            Some("1"),
        )
    };
    let other = commit(&[("Company", &[], &[])], None);
    let model: crate::Name = "Contact".parse().unwrap();
    let begin = Ask::BeginSnapshot {
        model: model.clone(),
        restart: false,
    };
    let end = |checkpoint: &str| Ask::EndSnapshot {
        model: model.clone(),
        proof: crate::store::Proof::None,
        checkpoint: Some(checkpoint.to_owned()),
    };
    let merge = |patch: &str| Ask::MergeMetadata {
        patch: patch.to_owned(),
    };
    // (recorded, replayed, what is told)
    let rows: Vec<(Vec<Ask>, Vec<Ask>, &[&str])> = vec![
        (vec![base()], vec![base()], &[]),
        (
            vec![base()],
            vec![commit(
                &[(
                    "Contact",
                    &[("a", r#"{"n":2,"t":["x","y"],"a/b":0}"#), ("b", "{}")],
                    &["d"],
                )],
                Some("1"),
            )],
            &[
                "commit 1, model Contact, record \"a\"\n  /n: 1 → 2\n  /t/1: (new) → \"y\"\n  /a~1b: (new) → 0",
            ],
        ),
        (
            vec![base()],
            vec![commit(
                &[(
                    "Contact",
                    &[("a", r#"{"t":["x"],"n":1}"#), ("c", "{}")],
                    &["e"],
                )],
                Some("2"),
            )],
            &[
                "commit 1, model Contact, record \"a\"\n  the same JSON in other bytes (order of keys, spaces, escapes)",
                "commit 1, model Contact, record \"b\"\n  is not saved any more",
                "commit 1, model Contact, record \"c\"\n  is saved now",
                "commit 1, model Contact, record \"d\"\n  is not deleted any more",
                "commit 1, model Contact, record \"e\"\n  is deleted now",
                "commit 1, checkpoint\n  (whole): 1 → 2",
            ],
        ),
        (
            vec![base()],
            vec![commit(
                &[(
                    "Contact",
                    &[("b", "{}"), ("a", r#"{"n":1,"t":["x"]}"#)],
                    &["d"],
                )],
                Some("1"),
            )],
            &["commit 1, model Contact\n  the same records in another order"],
        ),
        (
            vec![base(), other.clone(), base()],
            vec![base(), base()],
            &["commit 2 is missing\n  Company: 0 saved, 0 deleted"],
        ),
        (
            vec![base(), base()],
            vec![base(), other, base()],
            &["commit 2 is new\n  Company: 0 saved, 0 deleted"],
        ),
        (
            vec![begin.clone(), end("1")],
            vec![begin.clone(), end("2")],
            &["end-snapshot 1, checkpoint\n  (whole): 1 → 2"],
        ),
        (
            vec![begin],
            vec![merge("{}")],
            &["begin-snapshot 1\n  begin-snapshot of Contact, restart: false → merge-metadata {}"],
        ),
        (
            vec![merge(r#"{"a":1}"#)],
            vec![merge(r#"{"a":null}"#)],
            &["merge-metadata 1\n  /a: 1 → null"],
        ),
    ];
    for (recorded, replayed, told) in rows {
        let recorded: Vec<&Ask> = recorded.iter().collect();
        let replayed: Vec<&Ask> = replayed.iter().collect();
        let found: Vec<String> = differences(&recorded, &replayed, None)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, told);
    }
    let many = |n: i32| -> Vec<Ask> {
        (0..100)
            .map(|i| merge(&format!("{{\"a\":{}}}", i * n)))
            .collect()
    };
    let (old, new) = (many(1), many(2));
    let (old, new): (Vec<&Ask>, Vec<&Ask>) = (old.iter().collect(), new.iter().collect());
    let found = differences(&old, &new, None);
    assert_eq!(found.len(), 51);
    assert_eq!(found[50].what, ["49 more differences"]);
}

#[test]
fn headers_with_secrets_are_left_out_whatever_their_case() {
    let header = |name: &str| (name.to_owned(), "x".to_owned());
    let mut headers: Vec<_> = HEADERS_LEFT_OUT
        .iter()
        .flat_map(|name| [header(name), header(&name.to_uppercase())])
        .collect();
    headers.push(header("ETag"));
    headers.push(header("www-authenticate"));
    let kept = kept_headers(&headers);
    assert_eq!(kept, [header("ETag"), header("www-authenticate")]);
}

#[test]
fn what_is_too_long_is_not_written() {
    let line = |bytes: usize| "x".repeat(bytes - 1);
    let mut writer = Writer::default();
    assert!(writer.add(line(LINE_BYTES_MAX)).is_ok());
    let bytes = LINE_BYTES_MAX + 1;
    assert_eq!(writer.add(line(bytes)), Err(LineError::Long { bytes }));
    for _ in 1..CASSETTE_BYTES_MAX / LINE_BYTES_MAX {
        writer.add(line(LINE_BYTES_MAX)).unwrap();
    }
    assert_eq!(writer.add(line(2)), Err(LineError::Full));
}
