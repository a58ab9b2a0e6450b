//! The lives of the server: started, left alone for some seconds, killed with SIGKILL.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::client::Client;
use crate::fleet::{EVERY, Fleet};
use crate::receiver::Receiver;
use crate::source::Source;
use crate::support::cli::Running;
use crate::support::live_for;

/// The shortest and the longest life; but every twentieth is long, to see what memory does.
const SHORTEST: Duration = Duration::from_secs(3);
const LONGEST: Duration = Duration::from_secs(9);
const LONG: Duration = Duration::from_secs(120);
/// What the past of one run with its job, fire, event and delivery may take: 2 kB.
const HISTORY_MB: f64 = 0.002;
/// How long nobody starts another one, one time of five: moments are missed.
const NOBODY: Duration = Duration::from_secs(12);

/// The server that lives now, and what is known of those before.
#[derive(Debug)]
pub struct Lives {
    now: Option<Running>,
    client: Client,
    /// Memory of each at its end in MB, and how long it took to listen.
    memory: Vec<f64>,
    starts: Vec<Duration>,
}

impl Lives {
    pub fn begin(fleet: &Fleet) -> Self {
        let (running, client, start) = start(fleet);
        Self {
            now: Some(running),
            client,
            memory: Vec::new(),
            starts: vec![start],
        }
    }

    /// A client of the server that lives now.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Kill and start again until `end`; the last one lives on.
    pub fn live_and_die_until(
        &mut self,
        fleet: &Fleet,
        source: &Source,
        receiver: &Receiver,
        end: Timestamp,
    ) {
        // The spread puts the last moments behind it.
        let over = end + SignedDuration::from_secs(EVERY + 1);
        while Timestamp::now() < over {
            let most = (LONGEST - SHORTEST).as_millis() as u64;
            live_for(match self.memory.len() % 20 {
                19 => LONG,
                _ => SHORTEST + Duration::from_millis(fastrand::u64(..most)),
            });
            let running = self.now.take().unwrap();
            self.memory.push(resident_mb(running.id()));
            println!(
                "life {}: started in {:.1?}, {:.0} MB, {} events told so far",
                self.memory.len(),
                self.starts[self.starts.len() - 1],
                self.memory[self.memory.len() - 1],
                receiver.count(),
            );
            let said = running.kill().stdout;
            assert!(!said.contains("ERROR"), "{said}");
            source.new_life();
            if self.memory.len() % 5 == 3 {
                live_for(NOBODY);
            }
            let (running, client, start) = start(fleet);
            (self.now, self.client) = (Some(running), client);
            self.starts.push(start);
        }
    }

    /// Servers of the last third don't need more than the first half's largest (one that is killed soon needs
    /// little), but for the history of `runs`, of which sled keeps the keys' pages in memory.
    #[track_caller]
    pub fn expect_flat_memory(&self, runs: usize) {
        let lives = self.memory.len();
        let (half, third) = (lives.div_ceil(2), (lives / 3).max(1));
        let first = self.memory[..half].iter().copied().fold(0.0, f64::max);
        let last = median(&self.memory[lives - third..]);
        assert!(
            last < first * 1.3 + 20.0 + runs as f64 * HISTORY_MB,
            "{last:.0} MB at the end, {first:.0} MB in the beginning: {:.0?}",
            self.memory
        );
    }

    pub fn report(&self) {
        let slowest = self.starts.iter().max().unwrap();
        println!(
            "servers: {} killed, the slowest start took {slowest:.2?}; memory at their ends in MB: {:.0?}, \
             the last one {:.0}",
            self.memory.len(),
            self.memory,
            resident_mb(self.now.as_ref().unwrap().id()),
        );
    }
}

fn start(fleet: &Fleet) -> (Running, Client, Duration) {
    let begin = Instant::now();
    let running = fleet.serve().start();
    let url = running.wait_for_url();
    let (_, address) = url.split_once("://").unwrap();
    let client = Client::new(address.parse().unwrap(), &fleet.key);
    (running, client, begin.elapsed())
}

fn median(of: &[f64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn resident_mb(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb: f64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kb / 1024.0
}
