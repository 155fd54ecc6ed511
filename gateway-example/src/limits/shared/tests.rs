//! The shared limit over a bucket in memory, in paused time.

use std::future::pending;

use futures_util::future::join_all;
use tokio::time::{advance, sleep};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A bucket in memory that answers after a while, or does not.
#[derive(Debug)]
struct Tokens {
    left: AtomicU32,
    takes: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Answers,
    Fails,
    Hangs,
}

impl Tokens {
    fn new(left: u32) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicU32::new(left),
            takes: Duration::from_millis(10),
            state: Mutex::new(State::Answers),
        })
    }

    fn now(&self, state: State) {
        *self.state.lock().unwrap() = state;
    }
}

#[async_trait]
impl TokenSource for Tokens {
    async fn take(&self, asked: Asked<'_>) -> Result<Grant, SourceError> {
        let state = *self.state.lock().unwrap();
        match state {
            State::Answers => sleep(self.takes).await,
            State::Fails => return Err("no connection".into()),
            State::Hangs => pending().await,
        }
        let before = self.left.load(Ordering::SeqCst);
        let granted = before.min(asked.wanted.get());
        self.left.store(before - granted, Ordering::SeqCst);
        Ok(Grant {
            granted,
            left: before - granted,
            full_in: SECOND,
        })
    }
}

fn over(tokens: &Arc<Tokens>, quota: u32, burst: u32) -> SharedLimiter {
    let policy = LimitPolicy::new("test", quota, SECOND, burst).unwrap();
    let source = Arc::clone(tokens) as Arc<dyn TokenSource>;
    SharedLimiter::new(Arc::new(policy), NonZeroUsize::new(3).unwrap(), source).unwrap()
}

fn key(name: &str) -> LimitKey {
    LimitKey::principal(name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn those_who_come_at_once_wait_for_one_statement() {
    let tokens = Tokens::new(1_000);
    let limiter = over(&tokens, 1_000, 1_000);
    let alice = key("alice");
    let answers = join_all((0..50).map(|_| limiter.take(&alice))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(limiter.statements(), 1);
    assert_eq!(tokens.left.load(Ordering::SeqCst), 950);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_and_not_spent_in_time_is_lost() {
    let tokens = Tokens::new(1_000);
    let limiter = over(&tokens, 1_000, 1_000);
    let alice = key("alice");
    join_all((0..50).map(|_| limiter.take(&alice))).await;
    // One more than were waiting: the next block, of which one is spent.
    limiter.take(&alice).await.unwrap();
    let left = tokens.left.load(Ordering::SeqCst);
    assert!(left < 949, "{left} left");
    limiter.take(&alice).await.unwrap();
    assert_eq!(
        (limiter.statements(), tokens.left.load(Ordering::SeqCst)),
        (2, left)
    );
    advance(SECOND / 10).await;
    limiter.take(&alice).await.unwrap();
    assert_eq!(limiter.statements(), 3);
    assert!(tokens.left.load(Ordering::SeqCst) < left);
}

#[tokio::test(start_paused = true)]
async fn a_key_without_tokens_is_refused_without_asking_until_there_may_be_some() {
    let tokens = Tokens::new(0);
    let limiter = over(&tokens, 10, 5);
    let alice = key("alice");
    assert_eq!(limiter.refused_for(&alice), None);
    let refused = SharedRefusal::Exhausted {
        retry_after: SECOND / 10,
    };
    assert_eq!(limiter.take(&alice).await, Err(refused));
    for _ in 0..100 {
        assert!(limiter.take(&alice).await.is_err());
    }
    assert_eq!(
        (limiter.statements(), limiter.refused_for(&alice)),
        (1, Some(SECOND / 10))
    );
    advance(SECOND / 10).await;
    tokens.left.store(1, Ordering::SeqCst);
    assert_eq!(limiter.refused_for(&alice), None);
    assert!(limiter.take(&alice).await.is_ok());
    // Nobody else's tokens are meant.
    tokens.left.store(1, Ordering::SeqCst);
    assert!(limiter.take(&key("bob")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_is_waited_for_briefly_and_then_not_at_all() {
    let tokens = Tokens::new(1_000);
    let limiter = over(&tokens, 10, 5);
    tokens.now(State::Hangs);
    let timed = async |name: &str| {
        let began = Instant::now();
        let refused = limiter.take(&key(name)).await;
        assert!(
            matches!(refused, Err(SharedRefusal::Unavailable { .. })),
            "{refused:?}"
        );
        began.elapsed()
    };
    assert_eq!(timed("alice").await.as_millis() / 10, 100);
    timed("alice").await;
    for name in ["alice", "bob", "carol"] {
        assert_eq!(timed(name).await, Duration::ZERO);
    }
    tokens.now(State::Answers);
    advance(SECOND).await;
    assert!(limiter.take(&key("alice")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_not_asked_by_each_who_waits() {
    let tokens = Tokens::new(1_000);
    let limiter = over(&tokens, 10, 5);
    tokens.now(State::Fails);
    let alice = key("alice");
    let answers = join_all((0..50).map(|_| limiter.take(&alice))).await;
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Err(SharedRefusal::Unavailable { .. })))
    );
    assert_eq!(limiter.statements(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_takes_nothing_from_those_who_wait() {
    let tokens = Tokens::new(1_000);
    let limiter = over(&tokens, 10, 5);
    let alice = key("alice");
    let impatient = timeout(Duration::from_millis(5), limiter.take(&alice));
    let (gone, waits) = tokio::join!(impatient, limiter.take(&alice));
    assert!(gone.is_err());
    assert!(waits.is_ok());
    assert_eq!(limiter.statements(), 2);
    // One for each: the one who has gone had asked for it.
    assert_eq!(tokens.left.load(Ordering::SeqCst), 998);
}

#[tokio::test(start_paused = true)]
async fn tokens_of_few_keys_are_kept() {
    let tokens = Tokens::new(1_000);
    let limiter = over(&tokens, 1_000, 1_000);
    for number in 0..100 {
        limiter.take(&key(&number.to_string())).await.unwrap();
    }
    assert_eq!(limiter.keys(), 3);
}
