//! Misuses the log, stdout and stderr.

use std::io::Write;

use tidegate_sdk::prelude::*;

pub async fn floods_log(_: Cx) -> Result<()> {
    for line in 0..50_000 {
        info!("line {line}");
    }
    Ok(())
}

/// Some 96 MB in fewer lines than the limit.
pub async fn floods_with_long_lines(_: Cx) -> Result<()> {
    let long = "x".repeat(16_000);
    for line in 0..6_000 {
        info!("line {line} {long}");
    }
    Ok(())
}

pub async fn floods_print(_: Cx) -> Result<()> {
    for line in 0..50_000 {
        println!("line {line}");
    }
    Ok(())
}

/// One line of 1 MiB on stderr, and bytes that are not UTF-8 on stdout.
pub async fn prints_bytes(_: Cx) -> Result<()> {
    eprintln!("{}", "x".repeat(1 << 20));
    std::io::stdout().write_all(b"caf\xe9\x00\x1b[31m\n")?;
    Ok(())
}

/// A message and fields of 1 MiB each.
pub async fn long_lines(_: Cx) -> Result<()> {
    let text = "x".repeat(1 << 20);
    info!("{text}");
    info!(text = text.as_str(), "with fields");
    Ok(())
}
