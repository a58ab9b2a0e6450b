//! The order of keys, and that what was put into one comes out again.

use super::*;

#[test]
fn numbers_sort_as_numbers_and_come_back() {
    let edges = [8, 16, 32, 40, 63].map(|bits| 1_u64 << bits);
    let around = edges.into_iter().flat_map(|edge| [edge - 1, edge]);
    let numbers: Vec<u64> = [0, 1].into_iter().chain(around).chain([u64::MAX]).collect();
    let keys: Vec<Key> = numbers
        .iter()
        .map(|n| Key::new(Tag::Segment).number(*n))
        .collect();
    assert!(keys.is_sorted());
    for (key, number) in keys.iter().zip(numbers) {
        assert_eq!(split_number(&key.as_ref()[1..]), Ok((number, &[][..])));
    }
}

#[test]
fn streams_come_back() {
    let id = EndpointId::from_bytes([9; 16]);
    let acme = ConnectionKey {
        integration: "crm".parse().unwrap(),
        connection: "acme:1".parse().unwrap(),
    };
    for stream in [None, Some(acme)] {
        let key = pending_stream(id, stream.as_ref()).number(300);
        let (endpoint, rest) = split_endpoint(&key.as_ref()[1..]).unwrap();
        let (found, rest) = split_stream(rest).unwrap();
        assert_eq!((endpoint, found), (id, stream));
        assert_eq!(split_number(rest), Ok((300, &[][..])));
    }
    for bad in [
        &b""[..],
        b"crm",
        b"crm\0",
        b"crm\0\0",
        b"\0acme\0",
        b"\xff\0a\0",
    ] {
        assert!(split_stream(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_prefix_ends_before_its_next() {
    let prefix = Key::new(Tag::Segment).number(255);
    let inside = prefix.clone().number(u64::MAX);
    assert!(prefix < inside && inside < prefix.after_prefix());
    assert!(Key::new(Tag::Segment).number(256) >= prefix.after_prefix());
    assert_eq!(Key(vec![b'a', 0xff, 0xff]).after_prefix(), Key(vec![b'b']));
}
