//! Which IP addresses may be connected to: every special range, and what lies inside another address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::grant::GrantFlag;

/// What may become of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Reachable once the operator has granted a range that holds it.
    Private,
    /// Never reachable, whatever was granted.
    Never,
}

/// First match wins, so single addresses stand before the ranges around them.
/// Sources: IANA special-purpose registries; the cloud providers' documentation.
const V4: &[(Ipv4Net, Rule, &str)] = &[
    (
        v4([100, 100, 100, 200], 32),
        Rule::Never,
        "the metadata service of a cloud",
    ),
    (
        v4([168, 63, 129, 16], 32),
        Rule::Never,
        "the metadata service of a cloud",
    ),
    (
        v4([192, 0, 0, 192], 32),
        Rule::Never,
        "the metadata service of a cloud",
    ),
    (
        v4([169, 254, 0, 0], 16),
        Rule::Never,
        "link-local, where clouds keep metadata and credentials",
    ),
    (
        v4([0, 0, 0, 0], 8),
        Rule::Never,
        "an address of \"this network\"",
    ),
    (v4([10, 0, 0, 0], 8), Rule::Private, "a private address"),
    (v4([172, 16, 0, 0], 12), Rule::Private, "a private address"),
    (v4([192, 168, 0, 0], 16), Rule::Private, "a private address"),
    (v4([127, 0, 0, 0], 8), Rule::Private, "a loopback address"),
    (
        v4([100, 64, 0, 0], 10),
        Rule::Private,
        "a shared (CGNAT) address",
    ),
    (
        v4([192, 0, 0, 0], 24),
        Rule::Never,
        "an address of IETF protocols",
    ),
    (
        v4([192, 0, 2, 0], 24),
        Rule::Never,
        "an address for documentation",
    ),
    (
        v4([198, 51, 100, 0], 24),
        Rule::Never,
        "an address for documentation",
    ),
    (
        v4([203, 0, 113, 0], 24),
        Rule::Never,
        "an address for documentation",
    ),
    (
        v4([192, 88, 99, 0], 24),
        Rule::Never,
        "a relay of 6to4, which is retired",
    ),
    (
        v4([198, 18, 0, 0], 15),
        Rule::Never,
        "an address for benchmarks",
    ),
    (v4([224, 0, 0, 0], 4), Rule::Never, "a multicast address"),
    (
        v4([240, 0, 0, 0], 4),
        Rule::Never,
        "a reserved or broadcast address",
    ),
];

/// As above; what is in none of these and outside 2000::/3 is refused too.
const V6: &[(Ipv6Net, Rule, &str)] = &[
    (
        v6([0, 0, 0, 0, 0, 0, 0, 1], 128),
        Rule::Private,
        "the loopback address",
    ),
    (
        v6([0, 0, 0, 0, 0, 0, 0, 0], 128),
        Rule::Never,
        "the unspecified address",
    ),
    (
        v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32),
        Rule::Never,
        "the metadata service of a cloud",
    ),
    (
        v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0], 32),
        Rule::Never,
        "the metadata service of a cloud",
    ),
    (
        v6([0xfd00, 0xc1, 0, 0, 0, 0, 0, 0], 32),
        Rule::Never,
        "the metadata service of a cloud",
    ),
    (
        v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128),
        Rule::Never,
        "the metadata service of a cloud",
    ),
    (
        v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
        Rule::Private,
        "a private (unique local) address",
    ),
    (
        v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
        Rule::Never,
        "a link-local address",
    ),
    (
        v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
        Rule::Never,
        "a site-local address",
    ),
    (
        v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
        Rule::Never,
        "a multicast address",
    ),
    (
        v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
        Rule::Never,
        "an address of a local translator (NAT64)",
    ),
    (
        v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64),
        Rule::Never,
        "an address that discards everything",
    ),
    (
        v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32),
        Rule::Never,
        "a tunnel (Teredo) to an IPv4 address",
    ),
    (
        v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
        Rule::Never,
        "an address of IETF protocols",
    ),
    (
        v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
        Rule::Never,
        "an address for documentation",
    ),
    (
        v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
        Rule::Never,
        "an address for documentation",
    ),
    (
        v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
        Rule::Never,
        "a tunnel (6to4) to an IPv4 address",
    ),
];

/// All that the internet hands out.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
/// IPv4 addresses behind the well-known translator, as DNS64 answers in an IPv6-only network.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
/// IPv4-compatible addresses, long retired.
const COMPATIBLE: Ipv6Net = v6([0, 0, 0, 0, 0, 0, 0, 0], 96);

const fn v4(a: [u8; 4], length: u8) -> Ipv4Net {
    let [a, b, c, d] = a;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(a: [u16; 8], length: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = a;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length)
}

/// Why an address is not connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub address: IpAddr,
    pub reason: String,
    /// The range that the operator could grant; `None` where no grant helps.
    pub opens: Option<IpNet>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.address, self.reason)?;
        match self.opens {
            Some(range) => write!(
                f,
                "; the operator allows it with {}",
                GrantFlag::Private(range)
            ),
            None => f.write_str("; it is refused always, and no grant opens it"),
        }
    }
}

impl std::error::Error for Refused {}

/// The address policy of a session: public addresses, and the private ranges that were granted.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    /// Granted ranges. They open private, loopback, CGNAT and unique local addresses only.
    private: Vec<IpNet>,
    /// The host's own listeners.
    own: Vec<SocketAddr>,
    /// Public addresses are refused.
    only_private: bool,
}

impl AddressPolicy {
    /// `own`: addresses where this process itself listens, which are never connected to. One with
    /// an unspecified address (`0.0.0.0`) stands for its port on every address of this machine.
    #[must_use]
    pub fn new(private: Vec<IpNet>, own: Vec<SocketAddr>) -> Self {
        Self {
            private,
            own,
            only_private: false,
        }
    }

    /// Every range that an operator can open.
    #[must_use]
    pub fn private_ranges() -> Vec<IpNet> {
        let v4 = V4.iter().map(|(range, rule, _)| (IpNet::V4(*range), *rule));
        let v6 = V6.iter().map(|(range, rule, _)| (IpNet::V6(*range), *rule));
        v4.chain(v6)
            .filter_map(|(range, rule)| (rule == Rule::Private).then_some(range))
            .collect()
    }

    /// The same without public addresses: for what may be sent in clear to a private network only.
    #[must_use]
    pub fn only_private(mut self) -> Self {
        self.only_private = true;
        self
    }

    /// May `address` be connected to, on any port?
    pub fn judge(&self, address: IpAddr) -> Result<(), Refused> {
        match address {
            IpAddr::V4(ip) => self.judge_v4(ip, address),
            IpAddr::V6(ip) => self.judge_v6(ip),
        }?;
        let inner = address.to_canonical();
        if self.only_private && !self.private.iter().any(|range| range.contains(&inner)) {
            return Err(Refused {
                address,
                reason: "a public address, where secrets must not go over http; use https"
                    .to_owned(),
                opens: None,
            });
        }
        Ok(())
    }

    /// May it be connected to on this port?
    pub fn judge_socket(&self, socket: SocketAddr) -> Result<(), Refused> {
        self.judge(socket.ip())?;
        let address = socket.ip().to_canonical();
        let own = self.own.iter().any(|own| {
            let ip = own.ip().to_canonical();
            own.port() == socket.port()
                && (ip == address || ip.is_unspecified() && address.is_loopback())
        });
        if own {
            Err(own_listener(socket))
        } else {
            Ok(())
        }
    }

    /// The same for an open connection. A machine that connects to any address of its own does so
    /// from that address, which is how listeners on unspecified addresses are told.
    pub fn judge_peer(&self, peer: SocketAddr, local: SocketAddr) -> Result<(), Refused> {
        self.judge_socket(peer)?;
        let itself = peer.ip().to_canonical() == local.ip().to_canonical();
        let listens = |own: &SocketAddr| own.port() == peer.port() && own.ip().is_unspecified();
        if itself && self.own.iter().any(listens) {
            Err(own_listener(peer))
        } else {
            Ok(())
        }
    }

    /// Whether the host itself listens on this port, so that an address alone doesn't decide.
    pub fn listens_on(&self, port: u16) -> bool {
        self.own.iter().any(|own| own.port() == port)
    }

    /// Whether it listens on this port of every address of this machine, whichever those are.
    pub fn listens_everywhere_on(&self, port: u16) -> bool {
        let everywhere = |own: &SocketAddr| own.port() == port && own.ip().is_unspecified();
        self.own.iter().any(everywhere)
    }

    fn judge_v4(&self, ip: Ipv4Addr, whole: IpAddr) -> Result<(), Refused> {
        match V4.iter().find(|(range, _, _)| range.contains(&ip)) {
            None => Ok(()),
            Some((_, rule, reason)) => self.apply(*rule, IpAddr::V4(ip), whole, reason),
        }
    }

    fn judge_v6(&self, ip: Ipv6Addr) -> Result<(), Refused> {
        let whole = IpAddr::V6(ip);
        // Sockets treat ::ffff:a.b.c.d as a.b.c.d, and so do grants.
        if let Some(inner) = ip.to_ipv4_mapped() {
            return self.judge_v4(inner, whole);
        }
        if let Some((_, rule, reason)) = V6.iter().find(|(range, _, _)| range.contains(&ip)) {
            return self.apply(*rule, whole, whole, reason);
        }
        let [.., a, b, c, d] = ip.octets();
        let inner = Ipv4Addr::new(a, b, c, d);
        if NAT64.contains(&ip) {
            // The translator stands in another network: our grants say nothing about its addresses.
            return Self::default()
                .judge_v4(inner, IpAddr::V4(inner))
                .map_err(|refused| Refused {
                    address: whole,
                    reason: format!("a translated (NAT64) form of {inner}, {}", refused.reason),
                    opens: None,
                });
        }
        if COMPATIBLE.contains(&ip) {
            let reason = format!("a retired (IPv4-compatible) form of {inner}");
            return Err(Refused {
                address: whole,
                reason,
                opens: None,
            });
        }
        if GLOBAL_V6.contains(&ip) {
            return Ok(());
        }
        let reason = "an address outside what the internet hands out".to_owned();
        Err(Refused {
            address: whole,
            reason,
            opens: None,
        })
    }

    fn apply(&self, rule: Rule, inner: IpAddr, whole: IpAddr, reason: &str) -> Result<(), Refused> {
        let opens = match rule {
            Rule::Never => None,
            Rule::Private if self.private.iter().any(|range| range.contains(&inner)) => {
                return Ok(());
            }
            // One's own machine is asked for as a whole; of other networks only what is needed.
            Rule::Private => Some(match inner {
                IpAddr::V4(ip) if ip.is_loopback() => IpNet::V4(v4([127, 0, 0, 0], 8)),
                other => IpNet::from(other),
            }),
        };
        Err(Refused {
            address: whole,
            reason: reason.to_owned(),
            opens,
        })
    }
}

pub fn own_listener(socket: SocketAddr) -> Refused {
    let reason = format!("where Tidegate itself listens (port {})", socket.port());
    Refused {
        address: socket.ip(),
        reason,
        opens: None,
    }
}
