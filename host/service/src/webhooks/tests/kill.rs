//! A process killed between an event and its delivery: another one delivers it, with the same id.

use std::process::{Command, Stdio};

use super::*;
use crate::control::{Control, Local, Management, NewEndpoint, Webhooks};

/// Where the child works, and whom it delivers to.
const FOLDER: &str = "TIDEGATE_TEST_WEBHOOK_FOLDER";
const ORIGIN: &str = "TIDEGATE_TEST_WEBHOOK_ORIGIN";

async fn opened(folder: &std::path::Path) -> Local {
    let mut local = Local::open(folder).await.unwrap();
    local.allow_webhooks_to(vec!["127.0.0.0/8".parse().unwrap()]);
    local
}

/// Ends a run, delivers what tells of it, and never hears what came of that.
async fn child(folder: std::path::PathBuf, origin: String) {
    let local = opened(&folder).await;
    set_up(local.store(), &["acme"]).await;
    let new = NewEndpoint {
        url: origin.parse().unwrap(),
        description: String::new(),
        filter: Default::default(),
    };
    local.add_endpoint(new).await.unwrap();
    run_once(local.store(), "acme", 1, NOW).await;
    local
        .deliver_webhooks(std::future::pending())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_no_delivery() {
    if let (Ok(folder), Ok(origin)) = (std::env::var(FOLDER), std::env::var(ORIGIN)) {
        child(folder.into(), origin).await;
        return;
    }
    // The first attempt never gets an answer.
    let receiver = Receiver::new(|_, before| {
        async move {
            if before == 0 {
                std::future::pending::<()>().await;
            }
            (200, vec![], vec![])
        }
        .boxed()
    })
    .await;
    let folder = TempDir::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["webhooks::tests::kill::a_kill_loses_no_delivery", "--exact"])
        .env(FOLDER, folder.path())
        .env(ORIGIN, &receiver.origin)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    receiver.until(1).await;
    child.kill().unwrap();
    child.wait().unwrap();

    let local = opened(folder.path()).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = local.deliver_webhooks(async {
        let _ = stopped.await;
    });
    let watch = async {
        let seen = receiver.until(2).await;
        stop.send(()).unwrap();
        seen
    };
    let (done, seen) = tokio::join!(worker, watch);
    done.unwrap();
    assert_eq!(seen[0].id, seen[1].id);
    assert_eq!(seen[0].body, seen[1].body);
    let endpoints = local.endpoints().await.unwrap();
    let filter = DeliveryFilter {
        endpoint: endpoints[0].id,
        state: None,
        before: None,
        limit: 10,
    };
    let deliveries = local.deliveries(filter).await.unwrap();
    // The cut one has left no trace.
    assert_eq!((deliveries.len(), deliveries[0].made), (1, 1));
    assert_eq!(deliveries[0].state.as_str(), "delivered");
    assert_eq!(local.check().await.unwrap().findings, []);
    local.close().await.unwrap();
}
