//! Only the same key, owner and origin open what was sealed, and only random keys are keys.

use super::*;

const ORIGIN: &str = "https://api.example";

fn key(connection: &str) -> ConnectionKey {
    ConnectionKey {
        integration: "crm".parse().unwrap(),
        connection: connection.parse().unwrap(),
    }
}

fn master(byte: u8) -> MasterKey {
    MasterKey::new(Zeroizing::new([byte; KEY_BYTES]))
}

fn secrets() -> SecretMap {
    SecretMap::from([("token".to_owned(), Secret::new("s3cr3t".to_owned()))])
}

#[track_caller]
fn expect_secret(masters: &[&MasterKey], sealed: &[u8]) {
    let opened = open(masters, &key("acme"), ORIGIN, sealed).unwrap();
    assert_eq!(opened["token"].expose(), "s3cr3t");
    assert_eq!(probe(masters, &key("acme"), sealed), Ok(()));
}

#[test]
fn only_the_same_key_connection_and_origin_open_it() {
    let (ours, other) = (master(7), master(8));
    let sealed = ours.seal(&key("acme"), ORIGIN, &secrets()).unwrap();
    assert!(!sealed.windows(6).any(|window| window == b"s3cr3t"));
    expect_secret(&[&ours], &sealed);
    expect_secret(&[&other, &ours], &sealed);
    assert_eq!(origin_of(&sealed), Some(ORIGIN));

    let open_at = |masters: &[&MasterKey], name: &str, origin: &str, sealed: &[u8]| {
        open(masters, &key(name), origin, sealed).unwrap_err()
    };
    let wrong = UnsealError::OtherKey(ours.id());
    assert_eq!(
        open_at(&[&ours], "other", ORIGIN, &sealed),
        UnsealError::Damaged
    );
    assert_eq!(open_at(&[&other], "acme", ORIGIN, &sealed), wrong);
    assert_eq!(open_at(&[], "acme", ORIGIN, &sealed), wrong);
    for elsewhere in [
        "https://api.example.evil",
        "http://api.example",
        "https://api.example:8443",
        "",
    ] {
        let given_for = UnsealError::OtherOrigin(ORIGIN.to_owned());
        assert_eq!(open_at(&[&ours], "acme", elsewhere, &sealed), given_for);
    }
    // Another origin in what is sealed is found, too.
    let at = sealed
        .windows(ORIGIN.len())
        .position(|w| w == ORIGIN.as_bytes());
    let mut moved = sealed.clone();
    moved[at.unwrap() + ORIGIN.len() - 1] = b'f';
    assert_eq!(origin_of(&moved), Some("https://api.examplf"));
    assert_eq!(
        open_at(&[&ours], "acme", "https://api.examplf", &moved),
        UnsealError::Damaged
    );

    for position in 0..sealed.len() {
        let mut damaged = sealed.clone();
        damaged[position] ^= 4;
        let unopened = open_at(&[&ours], "acme", ORIGIN, &damaged);
        let in_id = (1..=ID_BYTES).contains(&position);
        assert_eq!(
            matches!(unopened, UnsealError::OtherKey(_)),
            in_id,
            "byte {position}"
        );
        assert!(
            !matches!(unopened, UnsealError::OtherOrigin(_)),
            "byte {position}"
        );
    }
    for length in 1..sealed.len() {
        let cut = &sealed[..length];
        assert!(
            open(&[&ours], &key("acme"), ORIGIN, cut).is_err(),
            "{length} bytes"
        );
    }
    let nothing = ours.seal(&key("acme"), ORIGIN, &SecretMap::new()).unwrap();
    assert!(nothing.is_empty());
    assert!(open(&[], &key("acme"), ORIGIN, &[]).unwrap().is_empty());
}

#[test]
fn neither_part_can_be_used_as_the_other_or_moved_alone() {
    let ours = master(7);
    let [acme, bolt] =
        ["acme", "bolt"].map(|name| ours.seal(&key(name), ORIGIN, &secrets()).unwrap());
    let start = 1 + ID_BYTES;
    let before = 2 + ORIGIN.len();
    let parts = |sealed: &[u8]| {
        let (head, rest) = sealed.split_at(start);
        let (wrapped, rest) = rest.split_at(WRAPPED_BYTES);
        let (origin, credentials) = rest.split_at(before);
        (
            head.to_vec(),
            wrapped.to_vec(),
            origin.to_vec(),
            credentials.to_vec(),
        )
    };
    let ((head, wrapped, origin, credentials), (_, others, ..)) = (parts(&acme), parts(&bolt));
    // (wrapped data key, credentials)
    let rows = [
        (&others, &credentials),
        (&wrapped, &wrapped),
        (&wrapped, &others),
    ];
    for (wrapped, credentials) in rows {
        let mixed = [&head, wrapped, &origin, credentials]
            .map(Vec::as_slice)
            .concat();
        let unopened = open(&[&ours], &key("acme"), ORIGIN, &mixed).unwrap_err();
        assert_eq!(unopened, UnsealError::Damaged);
    }
    // The same bytes under the other label don't decrypt.
    let label = |kind| {
        let associated = associated((&key("acme")).into(), kind);
        decrypt(&ours.bytes, &associated, &wrapped)
    };
    assert!(label("data-key").is_some() && label("credentials").is_none());
}

#[test]
fn rewrapping_needs_the_old_key_once() {
    let (old, new) = (master(7), master(8));
    let sealed = old.seal(&key("acme"), ORIGIN, &secrets()).unwrap();
    let again = rewrap(&[&old], &new, &key("acme"), &sealed)
        .unwrap()
        .unwrap();
    assert_eq!(key_of(&again), Some(new.id()));
    expect_secret(&[&new], &again);
    assert!(open(&[&old], &key("acme"), ORIGIN, &again).is_err());
    let tail = |sealed: &[u8]| sealed[1 + ID_BYTES + WRAPPED_BYTES..].to_vec();
    assert_eq!(
        tail(&again),
        tail(&sealed),
        "the credentials are not touched"
    );
    let refused = rewrap(&[&new], &new, &key("acme"), &sealed).unwrap();
    assert_eq!(refused, Err(UnsealError::OtherKey(old.id())));
}

#[test]
fn keys_are_text_and_their_ids_are_not_their_bytes() {
    let key = MasterKey::generate().unwrap();
    let read = MasterKey::decode(&format!("{}\n", key.text().as_str())).unwrap();
    assert_eq!(
        (read.bytes.as_slice(), read.id()),
        (key.bytes.as_slice(), key.id())
    );
    assert_ne!(master(7).id(), master(8).id());
    assert!(!hex::encode(key.bytes.as_slice()).contains(&key.id().to_string()));
    assert!(!format!("{key:?}").contains(key.text().as_str()));
    assert!(MasterKey::decode("c2hvcnQ=").is_err());
}

#[test]
fn a_key_that_is_not_random_is_none() {
    let text = |bytes: &[u8]| STANDARD.encode(bytes);
    let counted: Vec<u8> = (0..32).collect();
    let down: Vec<u8> = (0..32).map(|n| 255 - 3 * n).collect();
    let half: Vec<u8> = [7, 99, 200, 13, 5, 77, 31, 250].repeat(4);
    for bytes in [
        &[0; 32][..],
        &[0xff; 32],
        &counted,
        &down,
        &half,
        b"0123456789abcdef0123456789abcdef",
        b"correct horse battery staple, 1!",
    ] {
        let problem = MasterKey::decode(&text(bytes)).unwrap_err().to_string();
        assert!(
            problem.contains("not random") && !problem.contains(&text(bytes)),
            "{problem}"
        );
    }
    for _ in 0..1000 {
        let key = MasterKey::generate().unwrap();
        assert!(MasterKey::decode(&key.text()).is_ok());
    }
}

#[test]
fn an_endpoints_secrets_are_nobody_elses() {
    let master = master(1);
    let [one, other] = [1, 2].map(|byte| EndpointId::from_bytes([byte; 16]));
    let sealed = master.seal(one, "", &secrets()).unwrap();
    assert!(open(&[&master], one, "", &sealed).is_ok());
    assert!(open(&[&master], other, "", &sealed).is_err());
    assert!(open(&[&master], &key("acme"), "", &sealed).is_err());
}
