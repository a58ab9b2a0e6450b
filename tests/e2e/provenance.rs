//! What is deployed and run is what was built and signed: signatures, digests, the compiled cache.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use minisign::{KeyPair, SecretKey};
use tempfile::TempDir;

use crate::support::cli::{Cmd, DATA_DIRECTORY, INVALID, NOT_FOUND, PLUGIN, Tidegate};
use crate::support::plugins;
use crate::support::server::{Reply, Server};

/// A component with its signature beside it, and the keys of two people.
struct Signed {
    folder: TempDir,
    component: PathBuf,
    trusted: String,
    stranger: String,
}

fn key() -> (String, SecretKey) {
    let KeyPair { pk, sk } = KeyPair::generate_unencrypted_keypair().unwrap();
    (pk.to_base64(), sk)
}

fn sign(secret: &SecretKey, component: &Path, to: &Path) {
    let bytes = fs::read(component).unwrap();
    let comment = Some("build 7");
    let signature = minisign::sign(None, secret, Cursor::new(bytes), comment, None).unwrap();
    fs::write(to, signature.into_string()).unwrap();
}

impl Signed {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let component = folder.path().join("hello.wasm");
        fs::copy(plugins::hello(), &component).unwrap();
        let (trusted, secret) = key();
        let (stranger, of_stranger) = key();
        sign(
            &secret,
            &component,
            &folder.path().join("hello.wasm.minisig"),
        );
        sign(
            &of_stranger,
            &component,
            &folder.path().join("strange.minisig"),
        );
        let text = format!("untrusted comment: a key\n{trusted}\n");
        fs::write(folder.path().join("trusted.pub"), text).unwrap();
        Self {
            folder,
            component,
            trusted,
            stranger,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn deploy(&self, tidegate: &Tidegate) -> Cmd {
        tidegate.cmd("deploy").arg(&self.component).words("--yes")
    }
}

#[test]
fn a_signed_component_names_its_signer() {
    let signed = Signed::new();
    let tidegate = Tidegate::new();
    let by_key = signed
        .deploy(&tidegate)
        .words("--require-signature --json --trusted-key")
        .arg(&signed.trusted)
        .ok();
    assert_eq!(by_key.json()["signed_by"], signed.trusted.as_str());
    let file = signed.path("trusted.pub");
    let keys = format!("{},{}", signed.stranger, file.display());
    let by_file = signed
        .deploy(&tidegate)
        .env("TIDEGATE_TRUSTED_KEYS", keys)
        .env("TIDEGATE_REQUIRE_SIGNATURE", "true")
        .ok();
    assert!(
        by_file.stdout.contains("trusted.pub (build 7)"),
        "{}",
        by_file.stdout
    );
}

#[test]
fn what_is_not_signed_by_a_trusted_key_is_not_deployed() {
    let signed = Signed::new();
    let tidegate = Tidegate::new();
    let strange = signed.path("strange.minisig");
    fs::write(signed.path("garbage.minisig"), "not a signature").unwrap();
    let changed = signed.path("changed.wasm");
    let mut bytes = fs::read(&signed.component).unwrap();
    bytes.push(0);
    fs::write(&changed, bytes).unwrap();
    fs::copy(
        signed.path("hello.wasm.minisig"),
        signed.path("changed.wasm.minisig"),
    )
    .unwrap();
    let deploy = || signed.deploy(&tidegate);
    let trusting = |cmd: Cmd, key: &str| cmd.arg("--trusted-key").arg(key);
    let unsigned = || {
        let cmd = tidegate.cmd("deploy").arg(plugins::demo_crm());
        trusting(cmd.words("--yes --require-signature"), &signed.trusted)
    };

    unsigned().refused(PLUGIN, &["is not signed", "minisign -Sm"]);
    deploy()
        .words("--require-signature")
        .refused(INVALID, &["no key is trusted", "--trusted-key"]);
    trusting(deploy(), &signed.stranger).refused(PLUGIN, &["no trusted key made it"]);
    trusting(deploy().arg("--signature").arg(&strange), &signed.trusted)
        .refused(PLUGIN, &["strange.minisig", "no trusted key made it"]);
    let garbage = signed.path("garbage.minisig");
    trusting(deploy().arg("--signature").arg(garbage), &signed.trusted)
        .refused(PLUGIN, &["it is no minisign signature"]);
    trusting(deploy().arg("--signature").arg("/nowhere"), &signed.trusted)
        .refused(NOT_FOUND, &["/nowhere"]);
    deploy()
        .arg("--signature")
        .arg(&strange)
        .refused(INVALID, &["--signature without --trusted-key"]);
    trusting(deploy(), "RWQnonsense").refused(INVALID, &["trusted key", "RWQ"]);
    let cmd = tidegate.cmd("deploy").arg(&changed).words("--yes");
    trusting(cmd, &signed.trusted).refused(PLUGIN, &["the file was changed"]);
    let listed = tidegate.cmd("integrations --json").ok().lines();
    assert!(listed.is_empty(), "{listed:?}");
}

/// `hello` with a source that has nothing to do.
fn deployed() -> (Tidegate, Server) {
    let server = Server::start(|_| Reply::json(&serde_json::json!([])));
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::hello(), "hello", &server.origin());
    tidegate.connect("hello", "acme", &server.origin());
    (tidegate, server)
}

/// The one file in `folder` that has this ending.
fn only_file(folder: &Path, ending: &str) -> PathBuf {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn flip_a_bit(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn a_flipped_byte_of_the_component_refuses_to_run() {
    let (tidegate, _server) = deployed();
    flip_a_bit(&only_file(&tidegate.data().join("components"), ".wasm"));
    let run = tidegate.cmd("run hello/todos -c acme").finish();
    run.expect_refusal(DATA_DIRECTORY, &["component"]);
    assert!(tidegate.runs().is_empty(), "no run may have started");
}

#[test]
fn a_damaged_or_foreign_cache_is_compiled_again() {
    let (tidegate, _server) = deployed();
    tidegate.sync_ok("hello/todos", "acme");
    let cached = only_file(&tidegate.data().join("cache"), ".cwasm");
    let whole = fs::read(&cached).unwrap();

    let damaged = flip_a_bit(&cached);
    tidegate.sync_ok("hello/todos", "acme");
    assert_ne!(fs::read(&cached).unwrap(), damaged);
    assert_eq!(fs::read(&cached).unwrap().len(), whole.len());

    // Whole, but somebody else could have written it.
    use std::os::unix::fs::PermissionsExt;
    let mode = |mode| fs::set_permissions(&cached, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o666);
    tidegate.sync_ok("hello/todos", "acme");
    let now = fs::metadata(&cached).unwrap().permissions().mode();
    assert_eq!(
        now & 0o022,
        0,
        "the file was loaded rather than written anew"
    );
}
