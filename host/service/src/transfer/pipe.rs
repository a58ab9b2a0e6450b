//! Between exports and imports, which block while they write and read, and the connection that their bytes come
//! from or go to: a thread of their own, and a channel.

use std::io::{self, Read, Write};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Parts on their way between the thread and the connection, and bytes of one.
pub const PARTS: usize = 2;
pub const PART_BYTES: usize = 64 * 1024;

/// Do work that blocks in its middle on this thread, which is no thread of the runtime's.
pub fn here<T>(handle: &Handle, work: impl Future<Output = T>) -> T {
    // The runtime's own way of waiting forbids what is waited for to block.
    let _entered = handle.enter();
    futures::executor::block_on(work)
}

/// Writes parts into a channel; fails when nobody reads them any more.
#[derive(Debug)]
pub struct Sending(pub mpsc::Sender<Bytes>);

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = Bytes::copy_from_slice(bytes);
        let sent = self.0.blocking_send(part);
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A part, or why none comes any more.
pub type Part = Result<Bytes, &'static str>;

/// Reads parts from a channel.
#[derive(Debug)]
pub struct Receiving {
    parts: mpsc::Receiver<Part>,
    part: Bytes,
}

impl Receiving {
    pub fn new(parts: mpsc::Receiver<Part>) -> Self {
        Self {
            parts,
            part: Bytes::new(),
        }
    }
}

impl Read for Receiving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            match self.parts.blocking_recv() {
                Some(Ok(part)) => self.part = part,
                Some(Err(why)) => return Err(io::Error::other(why)),
                None => return Ok(0),
            }
        }
        self.part.as_ref().read(buffer).inspect(|read| {
            self.part = self.part.slice(*read..);
        })
    }
}
