//! `tidegate deploy`: show what a component asks for and what it is granted, then store it.

use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde_json::{Map, Value};
use tidegate_engine::command_line::CommandLine;
use tidegate_engine::grant::{FeedGrant, Grants, HostPattern, RateLimit};
use tidegate_engine::limits::{LimitValues, Limits};
use tidegate_engine::{Name, command};
use tidegate_http::views;
use tidegate_service::control::{DeployPlan, DeployRequest, GrantChanges, Signature, check_grants};
use tidegate_service::problem::{Kind, Problem, Result};

use super::connections::parse_config;
use super::{Global, confirmed};
use crate::author::program;
use crate::output::{self, Block};
use crate::signature::{TrustedKey, verify};

/// Arguments of `deploy`. A kind of grant that is not given is kept from the earlier deploy.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The component
    file: PathBuf,
    /// The integration's name, if not the plugin's own
    #[arg(long = "as", value_name = "NAME")]
    name: Option<Name>,
    /// Let it send requests to this origin: scheme://host[:port], with *.domain, an IP or a CIDR
    #[arg(long, value_name = "ORIGIN")]
    allow_host: Vec<HostPattern>,
    /// Let it send requests to every public host over https: for plugins whose hosts only their
    /// configuration knows
    #[arg(long)]
    allow_any_host: bool,
    /// Let it reach private or loopback addresses in this range
    #[arg(long, value_name = "CIDR", value_parser = parse_range)]
    allow_private: Vec<IpNet>,
    /// Let the host get tokens (OAuth 2) from this origin for its connections: scheme://host[:port]
    #[arg(long, value_name = "ORIGIN")]
    allow_token_host: Vec<HostPattern>,
    /// Let it read the change feed of another integration's model: INTEGRATION/MODEL of the connection
    /// of the same name, INTEGRATION/MODEL@CONNECTION of that one, INTEGRATION/MODEL@* of every one
    #[arg(long, value_name = "INTEGRATION/MODEL[@CONNECTION]")]
    allow_feed: Vec<FeedGrant>,
    /// Let it change its connections' metadata
    #[arg(long)]
    allow_metadata_write: bool,
    /// Start the manifest's default schedules for each connection, those added later included
    #[arg(long)]
    auto_start: bool,
    /// Start them no more; those that are there stay as they are
    #[arg(long, conflicts_with = "auto_start")]
    no_auto_start: bool,
    /// Set a limit, such as memory_bytes=268435456 (docs/limits.md)
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_limit)]
    limit: Vec<(String, u64)>,
    /// How fast each connection may ask each origin, instead of what the plugin's manifest says:
    /// '100/60s', '100/60s burst 5'
    #[arg(long, value_name = "REQUESTS/TIME")]
    rate_limit: Option<RateLimit>,
    /// Config of all connections: KEY=VALUE (VALUE is JSON, or else text) or @FILE (a JSON object)
    #[arg(long, value_name = "KEY=VALUE|@FILE")]
    config: Vec<String>,
    /// Take all grants away that an earlier deploy gave, before those given here
    #[arg(long)]
    fresh_grants: bool,
    /// Trust signatures of this minisign public key (RWQ…, or a .pub file)
    #[arg(
        long,
        value_name = "KEY|FILE",
        env = "TIDEGATE_TRUSTED_KEYS",
        value_delimiter = ','
    )]
    trusted_key: Vec<String>,
    /// Deploy nothing that no trusted key has signed
    #[arg(long, env = "TIDEGATE_REQUIRE_SIGNATURE")]
    require_signature: bool,
    /// The signature, if not in FILE.minisig
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let component = read_component(&args.file)?;
    // Before anything looks into the file.
    let signed = signed(&args, &component)?;
    let request = DeployRequest {
        component,
        name: args.name.clone(),
        signed: signed.clone(),
        grants: changes(&args)?,
    };
    let control = global.open().await?;
    let plan = control.plan_deploy(request.clone()).await?;
    let mut description = describe(&plan);
    if !plan.missing.is_empty() {
        description.line(format!(
            "grant all    {}",
            granting_all(global, &args, &plan)
        ));
    }
    if let Some(Signature { key, comment }) = &signed {
        description.line(format!("signed by    {key} ({comment})"));
    }
    if args.json {
        output::notice_block(&description);
    } else {
        output::block(&description);
    }
    if !args.yes && !confirmed("deploy?", "not deployed")? {
        control.close().await?;
        return Err(Problem::invalid("not deployed"));
    }
    let integration = control.deploy(request).await?;
    control.close().await?;
    let version = &integration.current.manifest.version;
    if args.json {
        let signed_by = signed.map(|signed| signed.key);
        return output::json(&views::Deployed::new(&integration, &plan, signed_by));
    }
    match &plan.previous {
        Some((old, _)) => output::line(format!(
            "upgraded {} from version {old} to {version}; its connections, checkpoints and records stay",
            integration.name
        )),
        None => output::line(format!("deployed {} version {version}", integration.name)),
    }
    Ok(())
}

/// The same command with what is missing, whether the deploy is carried out or not.
fn granting_all(global: &Global, args: &Args, plan: &DeployPlan) -> CommandLine {
    let mut command = program::deploy(&args.file, args.name.as_ref(), &plan.grants, &plan.missing);
    for config in &args.config {
        command = command.option("--config", config);
    }
    for key in &args.trusted_key {
        command = command.option("--trusted-key", key);
    }
    if args.require_signature {
        command = command.with("--require-signature");
    }
    if let Some(file) = &args.signature {
        command = command.option("--signature", program::path(file));
    }
    if args.yes {
        command = command.with("--yes");
    }
    global.named(command)
}

/// What can be said of the grants before the data directory is opened: limits and ranges that nobody may have.
pub(super) fn check(args: &Args) -> Result<()> {
    let changes = changes(args)?;
    check_grants(&Grants {
        private: changes.private.unwrap_or_default(),
        limits: changes.limits.unwrap_or_default(),
        ..Grants::default()
    })
}

/// Who signed the component: a signature that is there is checked, one that must be there is missed.
fn signed(args: &Args, component: &[u8]) -> Result<Option<Signature>> {
    let keys = args.trusted_key.iter().map(String::as_str);
    let keys = keys.map(TrustedKey::parse).collect::<Result<Vec<_>>>()?;
    let beside = PathBuf::from(format!("{}.minisig", args.file.display()));
    let file = match &args.signature {
        Some(file) => Some(file.clone()),
        None if !keys.is_empty() && beside.exists() => Some(beside),
        None => None,
    };
    match file {
        _ if args.require_signature && keys.is_empty() => Err(Problem::invalid(
            "a signature is required and no key is trusted",
        )
        .hint("name the keys with --trusted-key or TIDEGATE_TRUSTED_KEYS")),
        Some(_) if keys.is_empty() => Err(Problem::invalid("--signature without --trusted-key")
            .hint("name the key that should have made it")),
        Some(file) => verify(component, &file, &keys).map(Some),
        None if args.require_signature => Err(Problem::new(
            Kind::Plugin,
            format!(
                "{}: it is not signed, and a signature is required",
                args.file.display()
            ),
        )
        .hint("sign it with `minisign -Sm FILE`, or name the signature with --signature")),
        None => Ok(None),
    }
}

/// Read a component's bytes, at most what the host accepts.
pub(super) fn read_component(path: &Path) -> Result<Vec<u8>> {
    let problem = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Problem::not_found(format!("{}: no such file", path.display())).advise(
                "where a component was written is printed by",
                command!("build"),
            )
        }
        _ => Problem::new(Kind::NotFound, format!("{}: {error}", path.display())),
    };
    let size = std::fs::metadata(path).map_err(problem)?.len();
    if size > tidegate_runtime::identify::COMPONENT_BYTES_MAX as u64 {
        return Err(Problem::new(
            Kind::Plugin,
            format!(
                "{}: {size} bytes; the largest component accepted has {}",
                path.display(),
                tidegate_runtime::identify::COMPONENT_BYTES_MAX
            ),
        ));
    }
    std::fs::read(path).map_err(problem)
}

fn changes(args: &Args) -> Result<GrantChanges> {
    let fresh = args.fresh_grants;
    fn given<T>(values: Vec<T>, fresh: bool) -> Option<Vec<T>> {
        (fresh || !values.is_empty()).then_some(values)
    }
    let limits: LimitValues = args.limit.iter().cloned().collect();
    let config = if args.config.is_empty() {
        None
    } else {
        Some(parse_config(&args.config)?)
    };
    let mut hosts = args.allow_host.clone();
    if args.allow_any_host {
        hosts.push(HostPattern::any_host());
    }
    Ok(GrantChanges {
        hosts: given(hosts, fresh),
        private: given(args.allow_private.clone(), fresh),
        token_hosts: given(args.allow_token_host.clone(), fresh),
        feeds: given(args.allow_feed.clone(), fresh),
        metadata_write: (fresh || args.allow_metadata_write).then_some(args.allow_metadata_write),
        auto_start: (fresh || args.auto_start || args.no_auto_start).then_some(args.auto_start),
        rate_limit: (fresh || args.rate_limit.is_some()).then_some(args.rate_limit),
        limits: (fresh || !limits.is_empty()).then_some(limits),
        config: config.or_else(|| fresh.then(Map::<String, Value>::new)),
    })
}

/// What will be deployed, with what it asks for and what it gets.
fn describe(plan: &DeployPlan) -> Block {
    let manifest = &plan.inspection.manifest;
    let requested = &manifest.capabilities;
    let list = |items: Vec<String>| {
        if items.is_empty() {
            "nothing".to_owned()
        } else {
            items.join(", ")
        }
    };
    let mut requests: Vec<String> = requested
        .hosts
        .iter()
        .map(|host| format!("host {host}"))
        .collect();
    requests.extend(
        requested
            .feeds
            .iter()
            .map(|feed| format!("feed {}", String::from(feed.clone()))),
    );
    requests.extend(
        requested
            .metadata_write
            .then(|| "writing metadata".to_owned()),
    );
    let held = Limits::resolve(&requested.limits, &plan.grants.limits);
    requests.extend(requested.limits.iter().map(|(name, value)| {
        match held.get(name).filter(|held| held < value) {
            Some(held) => format!("limit {name}={value} (gets {held})"),
            None => format!("limit {name}={value}"),
        }
    }));
    requests.extend(requested.rate_limit.map(|rate| format!("rate {rate}")));
    let mut block = Block::new();
    block.line(format!(
        "plugin       {} {} (sha256:{})",
        manifest.name,
        manifest.version,
        plan.inspection.digest.short()
    ));
    block.line(format!("integration  {}", plan.integration));
    block.line(format!("requests     {}", list(requests)));
    block.line(format!("granted      {}", list(granted(&plan.grants))));
    for warning in &plan.warnings {
        block.line(format!("warning      {warning}"));
    }
    for flag in &plan.missing {
        block.line(format!("not granted  {flag}"));
    }
    for flag in &plan.unused {
        block.line(format!(
            "no effect    {flag}: the plugin doesn't request it"
        ));
    }
    if let Some((version, digest)) = &plan.previous {
        block.line(format!(
            "replaces     version {version} (sha256:{})",
            digest.short()
        ));
    }
    block
}

/// Each thing that is granted, in words.
pub(super) fn granted(grants: &Grants) -> Vec<String> {
    let mut granted: Vec<String> = grants
        .hosts
        .iter()
        .map(|host| format!("host {host}"))
        .collect();
    granted.extend(
        grants
            .private
            .iter()
            .map(|range| format!("private range {range}")),
    );
    granted.extend(
        grants
            .token_hosts
            .iter()
            .map(|host| format!("tokens from {host}")),
    );
    granted.extend(grants.feeds.iter().map(|feed| format!("feed {feed}")));
    granted.extend(grants.metadata_write.then(|| "writing metadata".to_owned()));
    granted.extend(
        grants
            .auto_start
            .then(|| "starting its default schedules".to_owned()),
    );
    granted.extend(
        grants
            .limits
            .iter()
            .map(|(name, value)| format!("limit {name}={value}")),
    );
    granted.extend(grants.rate_limit.map(|rate| format!("rate {rate}")));
    granted
}

pub(super) fn parse_range(text: &str) -> std::result::Result<IpNet, String> {
    let net = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    net.map(|net| net.trunc())
        .map_err(|_| "write a range such as 10.1.0.0/16 or an address".to_owned())
}

pub(super) fn parse_limit(text: &str) -> std::result::Result<(String, u64), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("write NAME=VALUE, such as memory_bytes=268435456")?;
    let value = value
        .parse()
        .map_err(|_| format!("{value:?} is not a whole number"))?;
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use tidegate_engine::grant::GrantFlag;

    use super::*;
    use crate::commands::parsed;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::parse_wide(text).unwrap()
    }

    /// Options with the grants that they are, as the CLI reads them.
    fn read_back(flags: &[GrantFlag]) -> Grants {
        let command = program::deploy(Path::new("x y.wasm"), None, &Grants::default(), flags);
        let words = shlex::split(&command.to_string()).unwrap();
        let args = match parsed(words).unwrap_or_else(|error| panic!("{command}: {error}")) {
            crate::commands::Command::Deploy(args) => args,
            other => panic!("{command}: {other:?}"),
        };
        check(&args).unwrap_or_else(|problem| panic!("{command}: {problem}"));
        assert_eq!(args.file, Path::new("x y.wasm"));
        let changes = changes(&args).unwrap();
        Grants {
            hosts: changes.hosts.unwrap_or_default(),
            private: changes.private.unwrap_or_default(),
            token_hosts: changes.token_hosts.unwrap_or_default(),
            feeds: changes.feeds.unwrap_or_default(),
            metadata_write: changes.metadata_write.unwrap_or_default(),
            auto_start: changes.auto_start.unwrap_or_default(),
            limits: changes.limits.unwrap_or_default(),
            rate_limit: changes.rate_limit.unwrap_or_default(),
        }
    }

    #[test]
    fn the_options_of_grants_grant_just_these() {
        let grants = Grants {
            hosts: [
                "https://*",
                "https://api.example.com",
                "https://*.example.com:8443",
                "http://10.0.0.0/8:81",
                "http://[fd00::1]:81",
                "http://[fd00::/8]",
            ]
            .map(pattern)
            .to_vec(),
            private: vec![
                "10.1.0.0/16".parse().unwrap(),
                "fd00::1/128".parse().unwrap(),
            ],
            token_hosts: vec![pattern("https://id.example.com")],
            feeds: ["crm/Contact", "crm/Contact@*", "crm/Contact@acme"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
            metadata_write: true,
            auto_start: true,
            limits: LimitValues::from([("memory_bytes".to_owned(), 7)]),
            rate_limit: Some("100/60s burst 5".parse().unwrap()),
        };
        let mut flags = grants.flags();
        let mut read = read_back(&flags);
        // Where it stands among the options is lost; that it is granted is not.
        read.hosts
            .sort_by_key(|host| *host != HostPattern::any_host());
        assert_eq!(read, grants);

        // Those that stand for what only the operator knows are read, too.
        flags = vec![
            GrantFlag::BaseUrlHost,
            GrantFlag::Host(pattern("https://*:8443")),
            GrantFlag::ConfigTokenHost,
            GrantFlag::ConfigFeed,
        ];
        let read = read_back(&flags);
        assert_eq!(read.hosts.len(), 2);
        assert_eq!((read.token_hosts.len(), read.feeds.len()), (1, 1));
    }
}
