//! Runs a child process and measures it: CPU, wall time, peak memory.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

/// What a child process took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) cpu_s: f64,
    pub(crate) wall_s: f64,
    pub(crate) rss_mb: f64,
}

/// How often the child's peak memory is read; the last reading before it ends counts.
const RSS_EVERY: Duration = Duration::from_millis(2);

/// Run `command` to its end, which must be a success.
pub(crate) fn run(command: &mut Command) -> Measured {
    let before = children_cpu();
    let started = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .spawn()
        .expect("the child starts");
    let status_file = format!("/proc/{}/status", child.id());
    let mut rss_kb = 0;
    let status = loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            break status;
        }
        rss_kb = peak_kb(&status_file).unwrap_or(rss_kb).max(rss_kb);
        std::thread::sleep(RSS_EVERY);
    };
    assert!(status.success(), "{command:?} ended with {status}");
    Measured {
        cpu_s: children_cpu() - before,
        wall_s: started.elapsed().as_secs_f64(),
        rss_mb: rss_kb as f64 / 1024.0,
    }
}

/// CPU seconds of all children that have ended.
fn children_cpu() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("getrusage");
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1_000_000.0;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

fn peak_kb(status_file: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status_file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Run `command` to its end and parse what it printed.
pub(crate) fn answer<T: std::str::FromStr>(command: &mut Command) -> T {
    let output = command.output().expect("the child starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    let text = String::from_utf8_lossy(&output.stdout);
    let parsed = text.trim().parse();
    parsed.unwrap_or_else(|_| panic!("{command:?} printed {text:?}"))
}
