//! A process killed in the middle of a renewal: the connection goes on, at worst with one renewal more.

use std::io::Write;
use std::net::Shutdown;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{SYNC, connect, deployed};
use crate::support::http::{Request, exchange};
use crate::support::live_for;
use crate::support::oidc::Oidc;
use crate::support::server::{Gate, Listener};

const CLIENT: &str = "client-6";
/// Kills, of each kind in turn.
const KILLS: usize = 36;

/// When a process is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// The server has not got the request yet; it gets it from the dead.
    Asked,
    /// The server has answered, and nobody has read it.
    Answered,
    /// So long after the answer went out: before, while and after it is stored.
    After(Duration),
}

/// The gates before the server and behind it.
#[derive(Default)]
struct Gates {
    asked: Gate,
    answered: Gate,
}

#[test]
fn a_kill_at_any_moment_of_a_renewal_loses_nothing() {
    let Some(oidc) = Oidc::start("crash") else {
        return;
    };
    let server = oidc.address();
    let gates: Arc<Mutex<Option<Arc<Gates>>>> = Arc::default();
    let standing = Arc::clone(&gates);
    let proxy = Listener::start(move |mut stream| {
        let Ok(Some(request)) = Request::read(&stream) else {
            return;
        };
        let gates = standing.lock().unwrap().take();
        if let Some(gates) = &gates {
            gates.asked.pass();
        }
        let answer = exchange(server, &request).unwrap();
        if let Some(gates) = &gates {
            gates.answered.pass();
        }
        // A client that was killed gets nothing.
        let sent = stream.write_all(&answer);
        let _ = sent.and_then(|()| stream.shutdown(Shutdown::Write));
    });
    let origin = format!("http://{}", proxy.address);
    let tidegate = deployed(&oidc.origin(), &origin);
    connect(&tidegate, &oidc, CLIENT, &format!("{origin}/token"));
    tidegate.sync_ok(SYNC, CLIENT);

    let mut interrupted = 0;
    for kill in 0..KILLS {
        let moment = match kill % 3 {
            0 => Moment::Asked,
            1 => Moment::Answered,
            _ => Moment::After(Duration::from_millis(kill as u64 / 3)),
        };
        oidc.revoke(CLIENT, "AccessToken");
        let before = oidc.counted(CLIENT);
        let new = Arc::new(Gates::default());
        *gates.lock().unwrap() = Some(Arc::clone(&new));
        let words = format!("run {SYNC} --connection {CLIENT} --json");
        let run = tidegate.cmd(&words).start();
        new.asked.arrived();
        let killed = match moment {
            Moment::Asked => {
                let killed = run.kill();
                new.asked.open();
                new.answered.open();
                killed
            }
            Moment::Answered => {
                new.asked.open();
                new.answered.arrived();
                let killed = run.kill();
                new.answered.open();
                killed
            }
            Moment::After(time) => {
                new.asked.open();
                new.answered.arrived();
                new.answered.open();
                live_for(time);
                run.kill()
            }
        };
        interrupted += usize::from(killed.code.is_none());
        let after = tidegate.sync_ok(SYNC, CLIENT);
        let now = oidc.counted(CLIENT);
        assert_eq!(now.refused, 0, "{moment:?}: {after}");
        let renewals = now.given - before.given;
        assert!(renewals <= 2, "{moment:?}: {renewals} renewals");
    }
    assert!(
        interrupted >= KILLS / 3 * 2,
        "{interrupted} of {KILLS} were killed"
    );
    let shown = tidegate.cmd(&format!("connections show crm {CLIENT} --json"));
    assert!(shown.ok().json()["auth_failed"].is_null());
    tidegate.cmd("data check").ok();
}
