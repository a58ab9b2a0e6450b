//! A connection that ends when its client takes too little for too long.
//!
//! Only writing is watched: a connection from which nothing comes may be waiting for an answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

use crate::v1::Pace;

/// See the module.
pub(super) struct Stall<S> {
    stream: S,
    most: Duration,
    /// Of an answer that its client has not taken whole.
    pace: Option<Pace>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Stall<S> {
    pub(super) fn new(stream: S, most: Duration) -> Self {
        Self {
            stream,
            most,
            pace: None,
            stalled: None,
        }
    }

    /// Some of it was taken.
    fn went_on(&mut self, bytes: usize) {
        let Some(pace) = &mut self.pace else { return };
        let before = pace.until();
        pace.went_on(bytes);
        if pace.until() != before {
            self.stalled = None;
        }
    }

    /// Nothing is left to be taken.
    fn all_taken(&mut self) {
        self.pace = None;
        self.stalled = None;
    }

    /// Nothing is taken now: since when, decides.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let most = self.most;
        let pace = self.pace.get_or_insert_with(|| Pace::new(most));
        let until = pace.until();
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client took too little within the limit api_stall_ms",
        ))
    }

    fn watch_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => self.poll_stalled(cx).map(Err),
            Poll::Ready(written) => {
                self.went_on(written.as_ref().map_or(0, |bytes| *bytes));
                Poll::Ready(written)
            }
        }
    }

    /// The server writes an answer's end, or what it has of it, before it asks for this.
    fn watch_end(
        &mut self,
        cx: &mut Context<'_>,
        ended: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        match ended {
            Poll::Pending => self.poll_stalled(cx).map(Err),
            Poll::Ready(ended) => {
                self.all_taken();
                Poll::Ready(ended)
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stall<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stall<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch_end(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch_end(cx, shut)
    }
}
