//! A connection whose client must take what it is sent. hyper has no time-out for that: one that asks and then reads nothing
//! would keep its answer in memory for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long output may wait without any progress. The kernel lets a writer go on only when a good part of its buffer was
/// taken, so a client that reads a byte now and then does not count as one that reads.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// A stream with that limit.
#[derive(Debug)]
pub(super) struct Timed<T> {
    inner: T,
    limit: Duration,
    waiting: bool,
    end: Pin<Box<Sleep>>,
}

impl<T> Timed<T> {
    pub(super) fn new(inner: T, limit: Duration) -> Self {
        Self { inner, limit, waiting: false, end: Box::pin(sleep_until(Instant::now())) }
    }

    /// Notes progress, or how long there was none.
    fn judge<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.waiting = false;
            return written;
        }
        if !self.waiting {
            self.waiting = true;
            let end = Instant::now() + self.limit;
            self.end.as_mut().reset(end);
        }
        ready!(self.end.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take its answer")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Timed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Timed<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.judge(cx, ended)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_given_up_and_one_that_pauses_between_answers_is_not() {
        let limit = Duration::from_millis(300);
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut timed = Timed::new(ours, limit);
        for _ in 0..2 {
            // The pause is ours: nothing waits to be written.
            tokio::time::sleep(limit + limit / 2).await;
            let reading = async {
                let mut all = [0; 256];
                theirs.read_exact(&mut all).await.unwrap();
            };
            let (written, ()) = tokio::join!(timed.write_all(&[7; 256]), reading);
            written.unwrap();
        }
        let error = timed.write_all(&[7; 256]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
