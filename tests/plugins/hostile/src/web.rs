//! Misuses HTTP: too much of it, malformed, and to where it must not go.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use tidegate_sdk::prelude::*;

pub async fn many_requests(cx: Cx) -> Result<()> {
    loop {
        cx.get("/").send().await?;
    }
}

pub async fn many_bytes_in(cx: Cx) -> Result<()> {
    loop {
        cx.get("/large").send().await?;
    }
}

/// All answered in the end.
pub async fn many_at_once(cx: Cx) -> Result<()> {
    let get = |_| cx.get("/slow").send();
    let sent = join_all((0..60).map(get)).await;
    sent.into_iter().try_for_each(|sent| sent.map(drop))
}

/// All answered in the end, too, each with a mebibyte.
pub async fn many_answers_at_once(cx: Cx) -> Result<()> {
    let get = |_| async {
        let answer = cx.get("/large").send().await?;
        Ok::<_, Failure>(answer.bytes().len())
    };
    let sent = join_all((0..40).map(get)).await;
    for length in sent {
        if length? != 1 << 20 {
            return Err(Failure::other("an answer of another length"));
        }
    }
    Ok(())
}

/// As many at once as it may, none of which ends by itself.
pub async fn many_large_at_once(cx: Cx) -> Result<()> {
    let get = |_| {
        let request = cx.get("/endless").timeout(Duration::from_secs(600));
        Box::pin(request.send())
    };
    let mut sent: Vec<_> = (0..24).map(get).collect();
    // The first that fails is the run's failure.
    poll_fn(|context| {
        let mut failed = None;
        sent.retain_mut(|one| match one.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(Ok(_)) => false,
            Poll::Ready(Err(error)) => {
                failed = Some(error);
                false
            }
        });
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None if sent.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await
}

pub async fn large_request(cx: Cx) -> Result<()> {
    cx.post("/").json_body(&"x".repeat(9 << 20)).send().await?;
    Ok(())
}

pub async fn many_headers(cx: Cx) -> Result<()> {
    let mut request = cx.get("/");
    for number in 0..129 {
        request = request.header(format!("x-{number}"), "x");
    }
    request.send().await?;
    Ok(())
}

pub async fn large_headers(cx: Cx) -> Result<()> {
    cx.get("/").header("x", "x".repeat(33 << 10)).send().await?;
    Ok(())
}

pub async fn header_injection(cx: Cx) -> Result<()> {
    cx.get("/")
        .header("x", "y\r\nHost: evil.example")
        .send()
        .await?;
    Ok(())
}

pub async fn trace(cx: Cx) -> Result<()> {
    cx.request("TRACE", "/").send().await?;
    Ok(())
}

pub async fn hangs(cx: Cx) -> Result<()> {
    cx.get("/hang")
        .timeout(Duration::from_secs(3600))
        .send()
        .await?;
    Ok(())
}

pub async fn metadata_service(cx: Cx) -> Result<()> {
    cx.get("http://169.254.169.254/latest/meta-data/")
        .send()
        .await?;
    Ok(())
}

pub async fn private_network(cx: Cx) -> Result<()> {
    cx.get("http://10.1.2.3/").send().await?;
    Ok(())
}

pub async fn asks_once(cx: Cx) -> Result<()> {
    cx.get("/").send().await?;
    Ok(())
}
