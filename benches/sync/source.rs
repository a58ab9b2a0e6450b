//! The source: records of about 343 bytes, served from memory by cursor and by page.
//!
//! `GET /records?limit=N&cursor=K&updated_since=T` answers `{"items":[…],"next_cursor":"…"|null}`;
//! items are in the order of their last update. `GET /change?one_in=N` updates records.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, RwLock};

/// Between the updates of two records: farther than a plugin overlaps, so that "changed since"
/// means what it says.
const APART_MS: u64 = 10_000;

/// A running source; its threads end with the process.
pub(crate) struct Source {
    pub(crate) address: SocketAddr,
    data: Arc<RwLock<Data>>,
}

struct Data {
    /// Record texts and the time of their last update, oldest update first.
    records: Vec<(u64, usize, String)>,
    clock: u64,
    /// How often records were changed; each time others are.
    generation: u64,
}

impl Source {
    pub(crate) fn start(records: usize) -> Self {
        let first = 1_700_000_000_000;
        let updated_at = |index: usize| first + index as u64 * APART_MS;
        let clock = updated_at(records);
        let texts = (0..records)
            .map(|index| {
                (
                    updated_at(index),
                    index,
                    record(index, updated_at(index), 0),
                )
            })
            .collect();
        let data = Arc::new(RwLock::new(Data {
            records: texts,
            clock,
            generation: 0,
        }));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::clone(&data);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let data = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &data));
            }
        });
        Self { address, data }
    }

    /// Change every `nth` record, now.
    pub(crate) fn change_one_in(&self, nth: usize) {
        self.data
            .write()
            .expect("no thread panicked")
            .change_one_in(nth);
    }

    /// Forget every `nth` record.
    pub(crate) fn remove_one_in(&self, nth: usize) {
        let mut data = self.data.write().expect("no thread panicked");
        data.records.retain(|(_, index, _)| index % nth != nth / 2);
    }

    pub(crate) fn count(&self) -> usize {
        self.data.read().expect("no thread panicked").records.len()
    }
}

impl Data {
    fn change_one_in(&mut self, nth: usize) {
        self.generation += 1;
        let generation = self.generation;
        let (mut kept, mut changed) = (Vec::with_capacity(self.records.len()), Vec::new());
        for (at, index, text) in self.records.drain(..) {
            if index % nth == generation as usize % nth {
                self.clock += APART_MS;
                changed.push((self.clock, index, record(index, self.clock, generation)));
            } else {
                kept.push((at, index, text));
            }
        }
        kept.extend(changed);
        self.records = kept;
    }
}

/// One record: 13 fields, one nested object and one list.
fn record(index: usize, updated_at: u64, generation: u64) -> String {
    format!(
        "{{\"id\":\"c_{index:07}\",\"updated_at\":{updated_at},\"email\":\"person{index}@example.com\",\
         \"name\":\"Person Number {index}\",\"phone\":\"+49 30 {:07}\",\"company\":\"Company {}\",\
         \"score\":{}.5,\"active\":{},\"generation\":{generation},\
         \"address\":{{\"street\":\"Harbour Street {}\",\"city\":\"Port {}\",\"zip\":\"{:05}\"}},\
         \"tags\":[\"alpha\",\"t{}\",\"omega\"],\"note\":\"a note that is long enough to matter\",\"seq\":{index}}}",
        index % 10_000_000,
        index % 500,
        index % 1000,
        index.is_multiple_of(2),
        index % 90,
        index % 40,
        index % 100_000,
        index % 7,
    )
}

fn serve(stream: TcpStream, data: &RwLock<Data>) {
    // A client that goes away ends its thread; nobody needs to know.
    let _ = stream.set_nodelay(true);
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(request)) = lines.next() {
        while let Some(Ok(header)) = lines.next() {
            if header.is_empty() {
                break;
            }
        }
        let body = match number(&request, "one_in") {
            Some(nth) => {
                let mut data = data.write().expect("no thread panicked");
                data.change_one_in(nth as usize);
                String::new()
            }
            None => answer(&request, &data.read().expect("no thread panicked")),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if writer
            .write_all(head.as_bytes())
            .and_then(|()| writer.write_all(body.as_bytes()))
            .is_err()
        {
            return;
        }
    }
}

/// The value of a parameter of the request line.
fn number(request: &str, name: &str) -> Option<u64> {
    let (_, query) = request.split_whitespace().nth(1)?.split_once('?')?;
    let pair = query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    pair?.parse().ok()
}

fn answer(request: &str, data: &Data) -> String {
    let number = |name: &str| number(request, name);
    let limit = number("limit").unwrap_or(1000) as usize;
    let since = number("updated_since").unwrap_or(0);
    let first = data.records.partition_point(|(at, ..)| *at < since);
    let from = first.max(number("cursor").unwrap_or(0) as usize);
    let page = data.records.get(from..).unwrap_or_default();
    let page = page.get(..limit).unwrap_or(page);
    let mut body = String::with_capacity(page.len() * 350 + 64);
    body.push_str("{\"items\":[");
    for (index, (_, _, text)) in page.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        body.push_str(text);
    }
    let next = from + page.len();
    if next < data.records.len() {
        // Infallible: it writes to a String.
        let _ = write!(body, "],\"next_cursor\":\"{next}\"}}");
    } else {
        body.push_str("],\"next_cursor\":null}");
    }
    body
}
