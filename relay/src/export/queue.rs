//! Requests that wait to be sent.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use agent_common::pair::ExportFigures;
use tokio::sync::Notify;

/// A request as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub(super) bytes: bytes::Bytes,
    pub(super) samples: u64,
}

/// See the module. The oldest requests fall out when it is full.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
    most: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Body>,
    bytes: usize,
    closing: bool,
    figures: ExportFigures,
}

impl Queue {
    pub(super) fn new(most: u64) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Self { state: Mutex::default(), changed: Notify::new(), most }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, body: Vec<u8>, samples: u64) {
        let bytes = bytes::Bytes::from(body);
        let mut state = self.lock();
        state.bytes += bytes.len();
        state.waiting.push_back(Body { bytes, samples });
        while state.bytes > self.most
            && let Some(oldest) = state.waiting.pop_front()
        {
            state.bytes -= oldest.bytes.len();
            state.figures.lost_samples += oldest.samples;
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Samples that no request has.
    pub(super) fn left_out(&self, samples: u64) {
        self.lock().figures.lost_samples += samples;
    }

    /// The oldest request; it stays until [`Self::sent`] or [`Self::refused`]. `None`: there are none, and none will come.
    pub(super) async fn next(&self) -> Option<Body> {
        loop {
            {
                let state = self.lock();
                if let Some(body) = state.waiting.front() {
                    return Some(body.clone());
                }
                if state.closing {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// The receiver has taken a request. Whether it took none before.
    pub(super) fn sent(&self, body: &Body) -> bool {
        let mut state = self.lock();
        state.settle(body, 0);
        state.figures.error.take().is_some()
    }

    /// The receiver will never take `lost` of its samples, and has the others.
    pub(super) fn refused(&self, body: &Body, lost: u64, why: String) {
        let mut state = self.lock();
        state.figures.error = Some(why);
        state.settle(body, lost);
    }

    /// The receiver did not take it now. Whether this is news.
    pub(super) fn failed(&self, why: String) -> bool {
        let mut state = self.lock();
        let news = state.figures.error.as_ref() != Some(&why);
        state.figures.error = Some(why);
        news
    }

    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_one();
    }

    pub(super) fn figures(&self) -> ExportFigures {
        let state = self.lock();
        let waiting_samples = state.waiting.iter().map(|body| body.samples).sum();
        ExportFigures { waiting_samples, ..state.figures.clone() }
    }
}

impl State {
    /// Takes a request out and counts it, unless it has fallen out meanwhile: then it was counted as lost.
    fn settle(&mut self, body: &Body, lost: u64) {
        let is_first = self.waiting.front().is_some_and(|first| first.bytes.as_ptr() == body.bytes.as_ptr());
        if is_first && let Some(first) = self.waiting.pop_front() {
            self.bytes -= first.bytes.len();
            self.figures.lost_samples += lost;
            self.figures.sent_samples += body.samples.saturating_sub(lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_fall_out_and_are_counted() {
        let queue = Queue::new(20);
        queue.push(vec![1; 10], 2);
        let first = queue.next().await.unwrap();
        queue.push(vec![2; 10], 2);
        queue.push(vec![3; 10], 2);
        let figures = queue.figures();
        assert_eq!((figures.lost_samples, figures.waiting_samples), (2, 4));
        queue.refused(&first, 2, "too old".to_owned());
        assert_eq!(queue.figures().lost_samples, 2, "it had fallen out already");
        queue.sent(&first);
        assert_eq!(queue.figures().sent_samples, 0, "counted as lost");
        let second = queue.next().await.unwrap();
        queue.sent(&second);
        let third = queue.next().await.unwrap();
        queue.refused(&third, 2, "never".to_owned());
        let figures = queue.figures();
        assert_eq!((figures.sent_samples, figures.lost_samples, figures.waiting_samples), (2, 4, 0));
        assert_eq!(figures.error.as_deref(), Some("never"));
        queue.close();
        assert!(queue.next().await.is_none());
    }
}
