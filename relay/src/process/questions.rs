//! Questions of the API to the collector, which are open.

use std::collections::HashMap;

use agent_common::pair::{
    FromRelay, LiveAnswer, LiveFailure, LiveFailureKind, LiveQuestion, LiveResult, Question,
};
use server::questions::Asked;
use tokio::sync::{mpsc, oneshot};

/// Questions that are open at most: the collector answers two at a time.
const MAX_OPEN: usize = 4;

/// See the module.
pub(super) struct Questions {
    asked: mpsc::Receiver<Asked>,
    open: HashMap<u64, oneshot::Sender<LiveResult>>,
    next: u64,
}

impl Questions {
    /// Those that come out here.
    pub(super) fn new(asked: mpsc::Receiver<Asked>) -> Self {
        Self { asked, open: HashMap::new(), next: 1 }
    }

    /// The next one, as a message to the collector; `None`: nobody asks any more. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<FromRelay> {
        loop {
            let Asked { live, answer } = self.asked.recv().await?;
            // Whoever asked may have left.
            self.open.retain(|_, waits| !waits.is_closed());
            if self.open.len() >= MAX_OPEN {
                let why = "too many questions wait for the collector";
                let _ = answer.send(Err(LiveFailure::new(LiveFailureKind::Busy, why)));
                continue;
            }
            let id = self.next;
            self.next += 1;
            self.open.insert(id, answer);
            return Some(FromRelay::Question(Question::Live(LiveQuestion { id, live })));
        }
    }

    /// Hands an answer to whoever asked. One that nobody asked for, or asked for twice, goes nowhere.
    pub(super) fn answered(&mut self, answer: LiveAnswer) {
        if let Some(waits) = self.open.remove(&answer.id) {
            let _ = waits.send(answer.result);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use agent_common::pair::{Live, LiveSpan};
    use server::questions::Collector;

    use super::*;

    const LIVE: Live = Live::Stacks { pid: 7, span: LiveSpan::Past(5) };

    fn id(message: &FromRelay) -> u64 {
        match message {
            FromRelay::Question(Question::Live(question)) => question.id,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn each_answer_goes_to_its_question_and_to_no_other() {
        let (collector, asked) = Collector::new("h");
        let mut questions = Questions::new(asked);
        let ask = || {
            let collector = collector.clone();
            tokio::spawn(async move { collector.ask(LIVE, Duration::from_mins(1)).await })
        };
        let first = ask();
        let first_id = id(&questions.next().await.unwrap());
        let second = ask();
        let second_id = id(&questions.next().await.unwrap());
        let answer = |id, byte| LiveAnswer { id, result: Ok(vec![byte]) };
        // Hostile: of no question, and twice of one.
        questions.answered(answer(99, 0));
        questions.answered(answer(second_id, 2));
        questions.answered(answer(second_id, 3));
        questions.answered(answer(first_id, 1));
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok(vec![1]), Ok(vec![2])));
    }

    #[tokio::test]
    async fn those_that_are_open_have_a_bound_and_who_leaves_makes_room() {
        let (collector, asked) = Collector::new("h");
        let mut questions = Questions::new(asked);
        let mut waiting = Vec::new();
        for _ in 0..MAX_OPEN {
            let collector = collector.clone();
            waiting.push(tokio::spawn(async move { collector.ask(LIVE, Duration::from_mins(1)).await }));
            questions.next().await.unwrap();
        }
        let one_more = tokio::spawn({
            let collector = collector.clone();
            async move { collector.ask(LIVE, Duration::from_mins(1)).await }
        });
        // It is refused while this waits for another one.
        let refused = tokio::select! {
            refused = one_more => refused.unwrap(),
            other = questions.next() => panic!("{other:?}"),
        };
        assert_eq!(refused.unwrap_err().kind, LiveFailureKind::Busy);
        for task in waiting {
            task.abort();
            let _ = task.await;
        }
        let last = tokio::spawn(async move { collector.ask(LIVE, Duration::from_mins(1)).await });
        let last_id = id(&questions.next().await.unwrap());
        drop(questions);
        assert_eq!(last_id, MAX_OPEN as u64 + 1);
        assert_eq!(last.await.unwrap().unwrap_err().kind, LiveFailureKind::Broken, "the relay ends");
    }
}
