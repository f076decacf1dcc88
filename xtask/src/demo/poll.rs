//! Waiting for a state: it is asked for again and again, up to a deadline. Nothing sleeps for luck.

use std::thread;
use std::time::{Duration, Instant};

/// Time between two questions: short beside what a person notices, long beside what kubectl costs.
const BETWEEN: Duration = Duration::from_millis(100);

/// Asks until there is an answer, at most for `limit`; the error is the last one. It is asked at
/// least once, and once more after the limit, so that a slow machine is not a failed step.
pub(crate) fn until<T, E>(limit: Duration, mut ask: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let deadline = Instant::now() + limit;
    loop {
        let too_late = Instant::now() > deadline;
        match ask() {
            Err(_) if !too_late => pause(BETWEEN),
            answer => return answer,
        }
    }
}

/// The pause between two questions. It may be shorter; who asks, asks again anyway.
pub(crate) fn pause(time: Duration) {
    thread::park_timeout(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_ends_the_questions() {
        let mut asked = 0;
        let answer = until(Duration::from_secs(60), || {
            asked += 1;
            if asked < 3 { Err("not yet") } else { Ok(asked) }
        });
        assert_eq!(answer, Ok(3));
    }

    #[test]
    fn after_the_limit_the_last_refusal_is_the_error() {
        let mut asked = 0;
        let answer: Result<(), _> = until(Duration::ZERO, || {
            asked += 1;
            Err(asked)
        });
        assert!(answer.is_err_and(|last| last >= 1));
    }
}
