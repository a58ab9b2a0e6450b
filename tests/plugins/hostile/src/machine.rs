//! Misuses the machine: the processor, memory, the stack, and ways to end.

use std::hint::{black_box, spin_loop};
use std::time::Duration;

use tidegate_sdk::futures::future::join;
use tidegate_sdk::prelude::*;

pub async fn panics(_: Cx) -> Result<()> {
    panic!("the hostile plugin panics on purpose");
}

pub async fn exits(_: Cx) -> Result<()> {
    std::process::exit(0);
}

pub async fn errs(_: Cx) -> Result<()> {
    info!("about to give up");
    Err(Failure::other("the hostile plugin gives up").code("gave-up"))
}

pub async fn errs_at_length(_: Cx) -> Result<()> {
    Err(Failure::other("x".repeat(1 << 20)).code("y".repeat(1 << 20)))
}

pub async fn loops(_: Cx) -> Result<()> {
    loop {
        spin_loop();
    }
}

pub async fn loops_after_checkpoint(cx: Cx) -> Result<()> {
    crate::well(cx.clone()).await?;
    loops(cx).await
}

/// The host works on a request of ours meanwhile.
pub async fn loops_while_waiting(cx: Cx) -> Result<()> {
    join(cx.get("/hang").send(), loops(cx.clone())).await.1
}

pub async fn sleeps(cx: Cx) -> Result<()> {
    cx.sleep(Duration::from_secs(3600)).await;
    Ok(())
}

pub async fn sleeps_in_an_action(cx: Cx, _: Value) -> Result<()> {
    sleeps(cx).await
}

pub async fn allocates(_: Cx) -> Result<()> {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Needs nothing but the call stack.
pub async fn recurses(_: Cx) -> Result<()> {
    fn ackermann(m: u64, n: u64) -> u64 {
        match (m, n) {
            (0, n) => n + 1,
            (m, 0) => ackermann(m - 1, 1),
            (m, n) => ackermann(m - 1, ackermann(m, n - 1)),
        }
    }
    black_box(ackermann(black_box(5), black_box(5)));
    Ok(())
}

pub async fn recurses_in_memory(_: Cx) -> Result<()> {
    fn deeper(depth: u64) -> u64 {
        let frame = black_box([depth; 16]);
        if frame[0] == u64::MAX {
            0
        } else {
            deeper(depth + 1) + frame[1]
        }
    }
    black_box(deeper(0));
    Ok(())
}
