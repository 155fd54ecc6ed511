//! An issuer that does not answer, answers nonsense, or changes its keys.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{advance, sleep};

use super::super::testing::{TestKey, jwks};
use super::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Somebody who is asked for keys.
struct Issuer {
    url: String,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
enum Answer {
    Says(&'static str, String),
    Hangs,
}

impl Issuer {
    async fn start(keys: &[&TestKey]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new(Answer::Says("200 OK", jwks(keys))));
        let asked = Arc::new(AtomicU64::new(0));
        let serving = (Arc::clone(&answer), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, asked) = (serving.0.lock().unwrap().clone(), Arc::clone(&serving.1));
                tokio::spawn(serve(stream, answer, asked));
            }
        });
        Self {
            url,
            answer,
            asked,
            task,
        }
    }

    fn answers(&self, status: &'static str, body: impl Into<String>) {
        *self.answer.lock().unwrap() = Answer::Says(status, body.into());
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// The keys as they are fetched from it.
    async fn keys(&self, settings: KeySetSettings) -> KeySet {
        let set = KeySet::start(self.url.parse().unwrap(), settings);
        set.ready().await;
        set
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, asked: Arc<AtomicU64>) {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        match stream.read_buf(&mut read).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let Answer::Says(status, body) = answer else {
        return std::future::pending().await;
    };
    let length = body.len();
    let head = "location: /elsewhere\r\nconnection: close";
    let text = format!("HTTP/1.1 {status}\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}");
    // Whoever has asked may have gone.
    let _ = stream.write_all(text.as_bytes()).await;
}

/// Settings by which keys are fetched all the time, and become too old at no time.
fn eager() -> KeySetSettings {
    KeySetSettings {
        interval: 5 * MS,
        retry: 5 * MS,
        timeout: SECOND,
        ..KeySetSettings::default()
    }
}

/// Settings by which keys are fetched only when there is a reason.
fn lazy() -> KeySetSettings {
    KeySetSettings {
        interval: 100_000 * SECOND,
        stale_max: 1_000_000 * SECOND,
        ..KeySetSettings::default()
    }
}

fn id(text: &str) -> KeyId {
    text.parse().unwrap()
}

fn ended(set: &KeySet) -> u64 {
    set.0.shared.state.borrow().ended
}

/// Waits until some more fetches have ended. What was under way before is one of them.
async fn fetched(set: &KeySet, more: u64) {
    let until = ended(set) + more;
    let deadline = Instant::now() + 20 * SECOND;
    while ended(set) < until {
        assert!(Instant::now() < deadline, "nothing is fetched");
        sleep(MS).await;
    }
}

#[tokio::test]
async fn what_is_no_set_of_keys_leaves_the_old_one() {
    let (old, new) = (TestKey::ed("old"), TestKey::ed("new"));
    let issuer = Issuer::start(&[&old]).await;
    let set = issuer.keys(eager()).await;
    let new_set = jwks(&[&new]);
    let twice = jwks(&[&new, &TestKey::ed("new")]);
    let long = format!("{new_set}{}", " ".repeat(64 * 1024));
    for (status, body) in [
        ("200 OK", "<html><body>Sign in</body></html>"),
        ("200 OK", r#"{"keys":[]}"#),
        (
            "200 OK",
            r#"{"keys":[{"kty":"oct","kid":"new","k":"AAAA"}]}"#,
        ),
        ("200 OK", ""),
        ("200 OK", twice.as_str()),
        ("200 OK", long.as_str()),
        ("500 Internal Server Error", new_set.as_str()),
        ("302 Found", new_set.as_str()),
        ("404 Not Found", new_set.as_str()),
    ] {
        issuer.answers(status, body);
        fetched(&set, 2).await;
        let kept = set.key(&id("old")).await;
        assert!(kept.is_ok(), "{status} {body}");
    }
    // It was the answers: a good one is taken.
    issuer.answers("200 OK", new_set);
    fetched(&set, 2).await;
    assert!(set.key(&id("new")).await.is_ok());
    assert_eq!(set.0.shared.find(&id("old")).unwrap_err(), NoKey::Unknown);
}

#[tokio::test]
async fn an_issuer_that_is_down_leaves_the_old_keys() {
    let key = TestKey::ed("k1");
    let issuer = Issuer::start(&[&key]).await;
    let set = issuer.keys(eager()).await;
    issuer.task.abort();
    fetched(&set, 3).await;
    assert!(set.key(&id("k1")).await.is_ok());
}

#[tokio::test]
async fn an_issuer_that_is_slow_keeps_nobody_waiting() {
    let key = TestKey::ed("k1");
    let issuer = Issuer::start(&[&key]).await;
    let settings = KeySetSettings {
        timeout: 200 * MS,
        ..eager()
    };
    let set = issuer.keys(settings).await;
    *issuer.answer.lock().unwrap() = Answer::Hangs;
    // One may have begun before it hung. The next ones are given up.
    fetched(&set, 3).await;
    let before = ended(&set);
    for _ in 0..100 {
        assert!(set.key(&id("k1")).await.is_ok());
    }
    assert!(ended(&set) <= before + 1, "they waited");
}

#[tokio::test]
async fn a_new_key_is_believed_after_one_fetch() {
    let (old, new) = (TestKey::ed("old"), TestKey::ec("new"));
    let issuer = Issuer::start(&[&old]).await;
    let set = issuer.keys(lazy()).await;
    issuer.answers("200 OK", jwks(&[&old, &new]));
    assert_eq!(issuer.asked(), 1);
    assert!(set.key(&id("new")).await.is_ok());
    assert!(set.key(&id("old")).await.is_ok());
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn however_many_bring_a_new_key_it_is_fetched_once() {
    let (old, new) = (TestKey::ed("old"), TestKey::ed("new"));
    let issuer = Issuer::start(&[&old]).await;
    let set = issuer.keys(lazy()).await;
    issuer.answers("200 OK", jwks(&[&new]));
    let new_id = id("new");
    let found = join_all((0..200).map(|_| set.key(&new_id))).await;
    assert!(found.iter().all(Result::is_ok));
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_to_an_unknown_key_is_given_up() {
    let key = TestKey::ed("k1");
    let issuer = Issuer::start(&[&key]).await;
    let settings = KeySetSettings {
        timeout: 500 * MS,
        ..lazy()
    };
    let set = issuer.keys(settings).await;
    *issuer.answer.lock().unwrap() = Answer::Hangs;
    let found = timeout(20 * SECOND, set.key(&id("new"))).await;
    assert_eq!(found.unwrap().unwrap_err(), NoKey::Unknown);
    assert!(set.key(&id("k1")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn ids_that_are_made_up_are_fetched_for_once_a_minute() {
    let (set, _folder) = of_file(lazy()).await;
    assert_eq!(ended(&set), 1);
    for minute in 1..4 {
        for number in 0..100 {
            let made_up = id(&format!("made-up-{number}"));
            assert_eq!(set.key(&made_up).await.unwrap_err(), NoKey::Unknown);
        }
        assert_eq!(ended(&set), 1 + minute);
        advance(59 * SECOND).await;
        assert_eq!(set.key(&id("made-up")).await.unwrap_err(), NoKey::Unknown);
        assert_eq!(ended(&set), 1 + minute);
        advance(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn old_keys_are_good_for_an_hour_and_not_longer() {
    let (set, folder) = of_file(KeySetSettings::default()).await;
    let path = folder.path().join("jwks.json");
    let text = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    advance(3_600 * SECOND).await;
    assert!(set.key(&id("k1")).await.is_ok());
    advance(MS).await;
    assert_eq!(set.key(&id("k1")).await.unwrap_err(), NoKey::Unavailable);
    assert_eq!(
        set.key(&id("made-up")).await.unwrap_err(),
        NoKey::Unavailable
    );
    // They are good again as soon as they are there again.
    std::fs::write(&path, text).unwrap();
    let before = Instant::now();
    while set.key(&id("k1")).await.is_err() {
        assert!(before.elapsed() < 60 * SECOND, "they are not fetched");
        sleep(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_every_five_minutes() {
    let (set, _folder) = of_file(KeySetSettings::default()).await;
    let began = ended(&set);
    for _ in 0..12 {
        sleep(300 * SECOND).await;
    }
    sleep(SECOND).await;
    assert_eq!(ended(&set), began + 12);
}

#[tokio::test(start_paused = true)]
async fn before_there_are_keys_nothing_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let source = KeySource::file(folder.path().join("missing.json"));
    let set = KeySet::start(source, KeySetSettings::default());
    fetched(&set, 1).await;
    assert_eq!(set.key(&id("k1")).await.unwrap_err(), NoKey::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn who_drops_the_keys_ends_the_fetching() {
    let (set, _folder) = of_file(KeySetSettings::default()).await;
    let shared = Arc::downgrade(&set.0.shared);
    drop(set);
    let before = Instant::now();
    while shared.strong_count() > 0 {
        assert!(before.elapsed() < 60 * SECOND, "it is fetched on");
        sleep(SECOND).await;
    }
}

async fn of_file(settings: KeySetSettings) -> (KeySet, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, jwks(&[&TestKey::ed("k1")])).unwrap();
    let set = KeySet::start(KeySource::file(path), settings);
    set.ready().await;
    (set, folder)
}
