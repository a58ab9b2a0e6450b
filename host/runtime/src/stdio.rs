//! Where a guest's stdout and stderr go.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// Most bytes a guest may write at once.
const WRITE_BYTES_MAX: usize = 64 * 1024;
/// How much is kept of what a guest prints that has no log.
const LAST_BYTES_MAX: usize = 2 * 1024;

/// Takes what a guest prints; clones share it. A guest never waits for it.
pub(crate) trait Sink: Clone + Unpin + Send + Sync + 'static {
    fn take(&self, bytes: &[u8]);
}

/// The end of what was printed.
#[derive(Debug, Clone, Default)]
pub(crate) struct PrintedTail(Arc<Mutex<Vec<u8>>>);

impl PrintedTail {
    /// As text, without the part of a line that it begins with; `None` when nothing was printed.
    pub(crate) fn text(&self) -> Option<String> {
        let bytes = self.0.lock();
        let whole = match bytes.len() < LAST_BYTES_MAX {
            true => bytes.as_slice(),
            false => {
                let line = bytes.iter().position(|byte| *byte == b'\n');
                bytes
                    .get(line.map_or(0, |end| end + 1)..)
                    .unwrap_or_default()
            }
        };
        let text = String::from_utf8_lossy(whole);
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

impl Sink for PrintedTail {
    fn take(&self, bytes: &[u8]) {
        let mut last = self.0.lock();
        last.extend_from_slice(bytes);
        let surplus = last.len().saturating_sub(LAST_BYTES_MAX);
        last.drain(..surplus);
    }
}

/// A sink, as what WASI writes to.
#[derive(Clone)]
pub(crate) struct Stdio<S>(pub(crate) S);

impl<S> IsTerminal for Stdio<S> {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl<S: Sink> StdoutStream for Stdio<S> {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn wasmtime_wasi::p2::OutputStream> {
        Box::new(self.clone())
    }
}

impl<S: Sink> AsyncWrite for Stdio<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.0.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[wasmtime_wasi::async_trait]
impl<S: Sink> wasmtime_wasi::p2::Pollable for Stdio<S> {
    async fn ready(&mut self) {}
}

impl<S: Sink> wasmtime_wasi::p2::OutputStream for Stdio<S> {
    fn write(&mut self, bytes: bytes::Bytes) -> wasmtime_wasi::p2::StreamResult<()> {
        self.0.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> wasmtime_wasi::p2::StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> wasmtime_wasi::p2::StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_from_a_line_on() {
        let words = PrintedTail::default();
        assert_eq!(words.text(), None);
        words.take(b"  \n");
        assert_eq!(words.text(), None);
        words.take(b"thread panicked\nat src/lib.rs:7\n");
        assert_eq!(words.text().unwrap(), "thread panicked\nat src/lib.rs:7");
        for number in 0..1_000 {
            words.take(format!("line {number:04}\n").as_bytes());
        }
        let text = words.text().unwrap();
        assert!(text.len() <= LAST_BYTES_MAX);
        assert!(
            text.starts_with("line ") && text.ends_with("line 0999"),
            "{text}"
        );
        words.take(&[b'x'; 3 * LAST_BYTES_MAX]);
        assert_eq!(words.text().unwrap(), "x".repeat(LAST_BYTES_MAX));
    }
}
