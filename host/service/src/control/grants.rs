//! What a manifest requests beside what is granted: what is missing, and what has no effect.

use ipnet::IpNet;
use serde_json::Map;
use tidegate_engine::grant::{FeedGrant, FeedScope, GrantFlag, Grants, HostPattern, HostRequest};
use tidegate_engine::limits;
use tidegate_engine::manifest::{FeedRequest, Manifest};

use super::deploy::check_opens;

/// Requests that nothing grants, as the options that would grant them. `tidegate deploy` takes each of them.
#[must_use]
pub fn missing_grants(manifest: &Manifest, grants: &Grants) -> Vec<GrantFlag> {
    let requested = &manifest.capabilities;
    let mut missing = Vec::new();
    for host in &requested.hosts {
        match host {
            HostRequest::BaseUrl if grants.hosts.is_empty() => {
                missing.push(GrantFlag::BaseUrlHost);
            }
            HostRequest::Pattern(pattern) => {
                // Nothing grants every host of another port; one of them is what can be had.
                let is_granted = |grant: &HostPattern| match pattern.any_host_port() {
                    Some(_) => grant.meets(pattern),
                    None => grant.covers(pattern),
                };
                if !grants.hosts.iter().any(is_granted) {
                    missing.push(GrantFlag::Host(pattern.clone()));
                }
                missing.extend(missing_private(pattern, &grants.private));
            }
            HostRequest::BaseUrl | HostRequest::Granted => {}
        }
    }
    missing.extend(missing_token_hosts(manifest, grants));
    for feed in &requested.feeds {
        match feed {
            FeedRequest::Feed(feed) if !grants.feeds.iter().any(|grant| grant.feed == *feed) => {
                missing.push(GrantFlag::Feed(FeedGrant {
                    feed: feed.clone(),
                    of: FeedScope::Same,
                }));
            }
            FeedRequest::Config if grants.feeds.is_empty() => missing.push(GrantFlag::ConfigFeed),
            _ => {}
        }
    }
    if requested.metadata_write && !grants.metadata_write {
        missing.push(GrantFlag::MetadataWrite);
    }
    for (name, value) in &requested.limits {
        let Some(limit) = limits::TABLE.iter().find(|limit| limit.name == name) else {
            continue;
        };
        if *value > limit.request_max && !grants.limits.contains_key(name) {
            missing.push(GrantFlag::Limit(name.clone(), *value));
        }
    }
    let mut once = Vec::with_capacity(missing.len());
    for flag in missing {
        if !once.contains(&flag) {
            once.push(flag);
        }
    }
    once
}

/// The range that a requested address lies in, where it is one that only a grant opens.
fn missing_private(pattern: &HostPattern, granted: &[IpNet]) -> Option<GrantFlag> {
    let range = pattern.range()?;
    let is_closed = check_opens(&range).is_ok() && !granted.iter().any(|net| net.contains(&range));
    is_closed.then_some(GrantFlag::Private(range))
}

/// Token endpoints that nothing grants. Where the config names them, they are known only later.
fn missing_token_hosts(manifest: &Manifest, grants: &Grants) -> Vec<GrantFlag> {
    let nothing = Map::new();
    let requests = manifest.auth.iter();
    let requests = requests.filter_map(|auth| auth.token_request(&nothing));
    let missing = requests.filter_map(|request| match request {
        Ok(request) if grants.token_hosts.iter().any(|g| g.matches(&request.url)) => None,
        Err(_) if !grants.token_hosts.is_empty() => None,
        Ok(request) => HostPattern::of_origin(&request.url).map(GrantFlag::TokenHost),
        Err(_) => Some(GrantFlag::ConfigTokenHost),
    });
    missing.collect()
}

/// Grants that have no effect because the manifest doesn't ask for them.
pub(super) fn unused_grants(manifest: &Manifest, grants: &Grants) -> Vec<GrantFlag> {
    let requested = &manifest.capabilities;
    let asks_host = |grant: &HostPattern| {
        requested.hosts.iter().any(|request| match request {
            HostRequest::BaseUrl | HostRequest::Granted => true,
            HostRequest::Pattern(pattern) => pattern.meets(grant),
        })
    };
    let asks_feed = |grant: &FeedGrant| {
        requested.feeds.iter().any(|request| match request {
            FeedRequest::Config => true,
            FeedRequest::Feed(feed) => *feed == grant.feed,
        })
    };
    let nothing = Map::new();
    let mut auth = manifest.auth.iter();
    let asks_tokens = auth.any(|auth| auth.token_request(&nothing).is_some());
    let is_unused = |flag: &GrantFlag| match flag {
        GrantFlag::Host(pattern) => !asks_host(pattern),
        GrantFlag::TokenHost(_) => !asks_tokens,
        GrantFlag::Feed(feed) => !asks_feed(feed),
        GrantFlag::MetadataWrite => !requested.metadata_write,
        // What the operator sets has an effect whatever the manifest says; the rest is no grant yet.
        _ => false,
    };
    grants.flags().into_iter().filter(is_unused).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn manifest(capabilities: &Value) -> Manifest {
        let manifest = json!({
            "manifest": 1, "name": "asks", "version": "1.0.0", "capabilities": capabilities,
        });
        Manifest::parse(&manifest.to_string()).unwrap()
    }

    fn shown(flags: &[GrantFlag]) -> Vec<String> {
        flags.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_missing_is_what_no_grant_covers() {
        // (requested hosts, granted hosts, granted ranges, missing)
        type Row<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a [&'a str]);
        let rows: [Row<'_>; 13] = [
            (&["https://*"], &[], &[], &["--allow-any-host"]),
            (
                &["https://*:8443"],
                &[],
                &[],
                &["--allow-host https://HOST:8443"],
            ),
            (&["https://*:8443"], &["https://a.example:8443"], &[], &[]),
            (
                &["https://*.a.example"],
                &[],
                &[],
                &["--allow-host 'https://*.a.example'"],
            ),
            (&["https://x.a.example"], &["https://*.a.example"], &[], &[]),
            (&["https://x.a.example"], &["https://*"], &[], &[]),
            (
                &["base-url"],
                &[],
                &[],
                &["--allow-host https://HOST-OF-THE-BASE-URL"],
            ),
            (&["base-url"], &["https://a.example"], &[], &[]),
            (&["granted"], &[], &[], &[]),
            (
                &["http://10.1.2.3", "http://10.1.2.3:81"],
                &["http://10.1.2.3", "http://10.1.2.3:81"],
                &[],
                &["--allow-private 10.1.2.3/32"],
            ),
            (
                &["http://10.1.2.3"],
                &["http://10.0.0.0/8"],
                &["10.0.0.0/8"],
                &[],
            ),
            // A public address needs no range.
            (
                &["http://93.184.215.14"],
                &["http://93.184.215.14"],
                &[],
                &[],
            ),
            (
                &["https://a.example", "https://a.example"],
                &[],
                &[],
                &["--allow-host https://a.example"],
            ),
        ];
        for (requested, hosts, private, missing) in rows {
            let grants = Grants {
                hosts: hosts
                    .iter()
                    .map(|text| HostPattern::parse_wide(text).unwrap())
                    .collect(),
                private: private.iter().map(|text| text.parse().unwrap()).collect(),
                ..Grants::default()
            };
            let manifest = manifest(&json!({ "hosts": requested }));
            let found = shown(&missing_grants(&manifest, &grants));
            assert_eq!(found, missing, "{requested:?} beside {hosts:?} {private:?}");
        }
    }

    #[test]
    fn a_grant_within_what_is_requested_has_an_effect() {
        let manifest = manifest(&json!({ "hosts": ["https://*", "https://*.b.example:8443"] }));
        let grants = Grants {
            hosts: [
                "https://a.example",
                "https://x.b.example:8443",
                "http://c.example",
            ]
            .map(|text| text.parse().unwrap())
            .to_vec(),
            metadata_write: true,
            ..Grants::default()
        };
        let unused = shown(&unused_grants(&manifest, &grants));
        assert_eq!(
            unused,
            ["--allow-host http://c.example", "--allow-metadata-write"]
        );
    }
}
