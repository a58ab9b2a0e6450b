//! The address policy: every special range, every spelling that URLs allow, with the verdict each.

use std::net::{IpAddr, SocketAddr};

use tidegate_egress::AddressPolicy;
use url::{Host, Url};

/// What the policy says of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Always allowed.
    Public,
    /// Refused, and opened by a grant that holds it.
    Private,
    /// Refused whatever is granted.
    Never,
    /// No URL parser takes it, so nothing is judged.
    NoUrl,
}
use Verdict::{Never, NoUrl, Private, Public};

/// (the host of a URL, the verdict)
const TABLE: &[(&str, Verdict)] = &[
    // Public addresses, at the edges of the ranges around them too.
    ("1.1.1.1", Public),
    ("8.8.8.8", Public),
    ("1.0.0.0", Public),
    ("9.255.255.255", Public),
    ("11.0.0.0", Public),
    ("100.63.255.255", Public),
    ("100.128.0.0", Public),
    ("126.255.255.255", Public),
    ("128.0.0.0", Public),
    ("168.63.129.15", Public),
    ("168.63.129.17", Public),
    ("169.253.255.255", Public),
    ("169.255.0.0", Public),
    ("172.15.255.255", Public),
    ("172.32.0.0", Public),
    ("191.255.255.255", Public),
    ("192.0.1.0", Public),
    ("192.0.3.0", Public),
    ("192.88.98.255", Public),
    ("192.88.100.0", Public),
    ("192.167.255.255", Public),
    ("192.169.0.0", Public),
    ("198.17.255.255", Public),
    ("198.20.0.0", Public),
    ("198.51.99.255", Public),
    ("198.51.101.0", Public),
    ("203.0.112.255", Public),
    ("203.0.114.0", Public),
    ("223.255.255.255", Public),
    ("[2606:4700:4700::1111]", Public),
    ("[2001:4860:4860::8888]", Public),
    ("[2001:200::1]", Public),
    ("[2003::1]", Public),
    ("[2a00:1450::1]", Public),
    ("[3ffe::1]", Public),
    ("[3fff:1000::1]", Public),
    // Loopback.
    ("127.0.0.1", Private),
    ("127.0.0.0", Private),
    ("127.255.255.255", Private),
    ("127.1.2.3", Private),
    ("[::1]", Private),
    // Private use.
    ("10.0.0.0", Private),
    ("10.255.255.255", Private),
    ("172.16.0.0", Private),
    ("172.31.255.255", Private),
    ("192.168.0.0", Private),
    ("192.168.255.255", Private),
    ("100.64.0.0", Private),
    ("100.127.255.255", Private),
    ("[fc00::]", Private),
    ("[fd12:3456:789a::1]", Private),
    ("[fdff:ffff::1]", Private),
    // Metadata services of clouds, inside ranges that can be opened and outside.
    ("169.254.169.254", Never),
    ("169.254.170.2", Never),
    ("169.254.0.23", Never),
    ("100.100.100.200", Never),
    ("168.63.129.16", Never),
    ("192.0.0.192", Never),
    ("[fd00:ec2::254]", Never),
    ("[fd00:ec2::23]", Never),
    ("[fd20:ce::254]", Never),
    ("[fd00:c1::a9fe:a9fe]", Never),
    ("[fd00:42::42]", Never),
    ("[fe80::a9fe:a9fe]", Never),
    // Link-local, unspecified, multicast, broadcast, reserved, documentation, benchmarks.
    ("169.254.0.0", Never),
    ("169.254.255.255", Never),
    ("0.0.0.0", Never),
    ("0.1.2.3", Never),
    ("0.255.255.255", Never),
    ("192.0.0.0", Never),
    ("192.0.0.9", Never),
    ("192.0.0.255", Never),
    ("192.0.2.1", Never),
    ("192.88.99.1", Never),
    ("198.18.0.0", Never),
    ("198.19.255.255", Never),
    ("198.51.100.7", Never),
    ("203.0.113.7", Never),
    ("224.0.0.1", Never),
    ("239.255.255.250", Never),
    ("240.0.0.1", Never),
    ("255.255.255.254", Never),
    ("255.255.255.255", Never),
    ("[::]", Never),
    ("[fe80::1]", Never),
    ("[febf:ffff::1]", Never),
    ("[fec0::1]", Never),
    ("[feff::1]", Never),
    ("[ff02::1]", Never),
    ("[ff0e::1]", Never),
    ("[100::1]", Never),
    ("[100:0:0:1::1]", Never),
    ("[2001:db8::1]", Never),
    ("[3fff::1]", Never),
    ("[3fff:fff:ffff::1]", Never),
    ("[2001:1::1]", Never),
    ("[2001:2::1]", Never),
    ("[2001:20::1]", Never),
    ("[2001:1ff:ffff::1]", Never),
    ("[5f00::1]", Never),
    ("[4000::1]", Never),
    ("[1::1]", Never),
    ("[e000::1]", Never),
    // IPv4-mapped: the socket is the IPv4 one, and so is the verdict.
    ("[::ffff:8.8.8.8]", Public),
    ("[::ffff:127.0.0.1]", Private),
    ("[::ffff:7f00:1]", Private),
    ("[0:0:0:0:0:ffff:7f00:0001]", Private),
    ("[::ffff:10.1.2.3]", Private),
    ("[::FFFF:192.168.1.1]", Private),
    ("[::ffff:169.254.169.254]", Never),
    ("[::ffff:a9fe:a9fe]", Never),
    ("[::ffff:100.100.100.200]", Never),
    ("[::ffff:168.63.129.16]", Never),
    ("[::ffff:0.0.0.0]", Never),
    // IPv4-compatible, IPv4-translated.
    ("[::127.0.0.1]", Never),
    ("[::7f00:1]", Never),
    ("[::169.254.169.254]", Never),
    ("[::8.8.8.8]", Never),
    ("[::2]", Never),
    ("[::ffff:0:127.0.0.1]", Never),
    // NAT64: what lies behind decides, and no grant opens it.
    ("[64:ff9b::8.8.8.8]", Public),
    ("[64:ff9b::808:808]", Public),
    ("[64:ff9b::127.0.0.1]", Never),
    ("[64:ff9b::10.0.0.1]", Never),
    ("[64:ff9b::a9fe:a9fe]", Never),
    ("[64:ff9b::6464:64c8]", Never),
    ("[64:ff9b:0:0:1::1]", Never),
    ("[64:ff9b:1::1]", Never),
    ("[64:ff9b:1::8.8.8.8]", Never),
    // 6to4 and Teredo, whatever they wrap.
    ("[2002:7f00:1::]", Never),
    ("[2002:a9fe:a9fe::1]", Never),
    ("[2002:0a00:0001::1]", Never),
    ("[2002:808:808::1]", Never),
    ("[2001::1]", Never),
    ("[2001:0:4136:e378:8000:63bf:3fff:fdd2]", Never),
    ("[2001:0:0:0:0:0:f5ff:fffe]", Never),
    // Spellings: decimal, octal, hexadecimal, short, mixed, escaped, full-width, dotted.
    ("2130706433", Private),
    ("0x7f000001", Private),
    ("0X7F.0.0.1", Private),
    ("017700000001", Private),
    ("0177.0.0.1", Private),
    ("0177.0x0.0.01", Private),
    ("127.1", Private),
    ("127.0.1", Private),
    ("127.0.0.1.", Private),
    ("127.0.0.01", Private),
    ("%31%32%37.0.0.1", Private),
    ("１２７.0.0.1", Private),
    ("127。0。0。1", Private),
    ("0", Never),
    ("0x0", Never),
    ("00", Never),
    ("2852039166", Never),
    ("0xa9fea9fe", Never),
    ("0xa9.0xfe.0xa9.0xfe", Never),
    ("0251.0376.0251.0376", Never),
    ("169.254.43518", Never),
    ("169.16689662", Never),
    ("025177524776", Never),
    ("134744072", Public),
    ("0x08080808", Public),
    ("8.8.2056", Public),
    ("4294967295", Never),
    // Not hosts.
    ("4294967296", NoUrl),
    ("256.0.0.1", NoUrl),
    ("127.0.0.1.5", NoUrl),
    ("1.2.3.0x1ff", NoUrl),
    ("09.0.0.1", NoUrl),
    ("[::1%25lo]", NoUrl),
    ("[fe80::1%25eth0]", NoUrl),
    ("[::ffff:127.0.0.1", NoUrl),
    ("[::1::2]", NoUrl),
    ("[::127.0.0.256]", NoUrl),
    ("127.0.0.1%00.example.com", NoUrl),
];

fn literal(host: &str) -> Option<IpAddr> {
    match Url::parse(&format!("http://{host}/")).ok()?.host()? {
        Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
        Host::Ipv6(ip) => Some(IpAddr::V6(ip)),
        Host::Domain(name) => panic!("{name} is a name, not an address"),
    }
}

#[test]
fn every_spelling_and_range_has_its_verdict() {
    assert!(TABLE.len() >= 120, "{} rows", TABLE.len());
    let closed = AddressPolicy::new(Vec::new(), Vec::new());
    let all = ["0.0.0.0/0", "::/0"].map(|range| range.parse().unwrap());
    let open = AddressPolicy::new(all.to_vec(), Vec::new());
    for (host, want) in TABLE {
        let Some(ip) = literal(host) else {
            assert_eq!(*want, NoUrl, "{host}");
            continue;
        };
        let got = match (closed.judge(ip), open.judge(ip)) {
            (Ok(()), Ok(())) => Public,
            (Err(refused), Ok(())) => {
                // The grant that the message names is enough, and says so.
                let range = refused
                    .opens
                    .unwrap_or_else(|| panic!("{host}: no grant is named"));
                let granted = AddressPolicy::new(vec![range], Vec::new());
                assert_eq!(granted.judge(ip), Ok(()), "{host}: {refused}");
                assert!(
                    refused
                        .to_string()
                        .contains(&format!("--allow-private {range}")),
                    "{refused}"
                );
                Private
            }
            (Err(refused), Err(_)) => {
                assert_eq!(refused.opens, None, "{host}");
                assert!(
                    refused.to_string().contains("no grant opens it"),
                    "{host}: {refused}"
                );
                Never
            }
            (Ok(()), Err(refused)) => panic!("{host}: a grant must not close: {refused}"),
        };
        assert_eq!(got, *want, "{host} is {ip}");
    }
}

#[test]
fn a_grant_opens_its_range_only() {
    // (granted, address, allowed)
    let rows = [
        ("10.0.0.0/8", "10.1.2.3", true),
        ("10.0.0.0/8", "::ffff:10.1.2.3", true),
        ("10.0.0.0/8", "192.168.0.1", false),
        ("10.1.0.0/16", "10.2.0.1", false),
        ("127.0.0.1/32", "127.0.0.1", true),
        ("127.0.0.1/32", "127.0.0.2", false),
        ("127.0.0.0/8", "::1", false),
        ("::1/128", "::1", true),
        ("::1/128", "127.0.0.1", false),
        ("100.64.0.0/10", "100.64.1.1", true),
        ("100.64.0.0/10", "100.100.100.200", false),
        ("fd00::/8", "fd12::1", true),
        ("fd00::/8", "fd00:ec2::254", false),
        ("169.254.0.0/16", "169.254.169.254", false),
        ("fe80::/10", "fe80::1", false),
        ("10.0.0.0/8", "64:ff9b::10.1.2.3", false),
    ];
    for (range, ip, allowed) in rows {
        let policy = AddressPolicy::new(vec![range.parse().unwrap()], Vec::new());
        assert_eq!(
            policy.judge(ip.parse().unwrap()).is_ok(),
            allowed,
            "{range} {ip}"
        );
    }
}

#[test]
fn our_own_listeners_are_never_reached() {
    let sockets =
        |list: &[&str]| -> Vec<SocketAddr> { list.iter().map(|s| s.parse().unwrap()).collect() };
    let ranges = ["127.0.0.0/8", "::1/128", "10.0.0.0/8"].map(|range| range.parse().unwrap());
    // (own listener, peer, local address of the connection, allowed)
    let rows = [
        ("127.0.0.1:7070", "127.0.0.1:7070", "127.0.0.1:9", false),
        (
            "127.0.0.1:7070",
            "[::ffff:127.0.0.1]:7070",
            "127.0.0.1:9",
            false,
        ),
        ("127.0.0.1:7070", "127.0.0.1:7071", "127.0.0.1:9", true),
        ("127.0.0.1:7070", "10.0.0.5:7070", "10.0.0.9:9", true),
        ("[::1]:7070", "[::1]:7070", "[::1]:9", false),
        ("0.0.0.0:7070", "127.0.0.1:7070", "127.0.0.1:9", false),
        ("[::]:7070", "127.0.0.1:7070", "127.0.0.1:9", false),
        ("[::]:7070", "[::1]:7070", "[::1]:9", false),
        ("0.0.0.0:7070", "10.0.0.5:7070", "10.0.0.5:9", false),
        ("0.0.0.0:7070", "10.0.0.5:7070", "10.0.0.9:9", true),
        ("0.0.0.0:7070", "8.8.8.8:7070", "8.8.8.8:9", false),
        ("0.0.0.0:7070", "8.8.8.8:7070", "10.0.0.9:9", true),
        ("8.8.8.8:443", "8.8.8.8:443", "10.0.0.9:9", false),
    ];
    for (own, peer, local, allowed) in rows {
        let policy = AddressPolicy::new(ranges.to_vec(), sockets(&[own]));
        let got = policy.judge_peer(peer.parse().unwrap(), local.parse().unwrap());
        assert_eq!(got.is_ok(), allowed, "{own} {peer} {local}: {got:?}");
    }
}
