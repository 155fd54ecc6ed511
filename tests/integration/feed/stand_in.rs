//! A feed that says what it is told to say, over real HTTP.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use folio_core::{BatchSize, Filter, Member, Position, StreamId};
use folio_projections::feed::{FeedPage, ServedFeed};
use reqwest::Url;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A running stand-in. It ends with the test's runtime.
pub(crate) struct StandIn {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

/// What it answers, and what it was asked.
pub(crate) struct State {
    pub(crate) says: Says,
    /// The parameters of every request.
    pub(crate) asked: Vec<String>,
    /// How many requests were given up by those who asked, while there was no answer.
    pub(crate) given_up: usize,
}

/// An answer to whatever is asked.
#[derive(Clone)]
pub(crate) enum Says {
    /// What is so.
    Truth(Arc<ServedFeed>),
    /// What is so, with this in place of its history.
    UnderHistory(Arc<ServedFeed>, &'static str),
    /// What is so, at once, also where it was asked to wait.
    Impatiently(Arc<ServedFeed>),
    /// These bytes; then it hangs up.
    Bytes(Vec<u8>),
    /// Nothing, ever.
    Nothing,
}

impl Says {
    /// A whole answer.
    pub(crate) fn answer(status: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n");
        Self::Bytes(format!("{head}connection: close\r\n\r\n{body}").into_bytes())
    }
}

impl StandIn {
    pub(crate) async fn saying(says: Says) -> Self {
        let state = Arc::new(Mutex::new(State {
            says,
            asked: Vec::new(),
            given_up: 0,
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/feed", listener.local_addr().unwrap());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                // A reader that hangs up is of no interest here.
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let _ = answer(connection, &shared).await;
                });
            }
        });
        Self { url, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn say(&self, says: Says) {
        self.state().says = says;
    }

    /// How often it was asked for something with these parameters in it.
    pub(crate) fn asked(&self, parameters: &str) -> usize {
        let state = self.state();
        let has = |asked: &&String| asked.contains(parameters);
        state.asked.iter().filter(has).count()
    }
}

async fn answer(connection: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut connection = BufReader::new(connection);
    let mut request = String::new();
    connection.read_line(&mut request).await?;
    let mut header = String::new();
    while connection.read_line(&mut header).await? > 2 {
        header.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let url = Url::parse("http://feed").unwrap().join(path).unwrap();
    let says = {
        let mut state = state.lock().unwrap();
        state.asked.push(url.query().unwrap_or_default().to_owned());
        state.says.clone()
    };
    let bytes = match says {
        Says::Bytes(bytes) => bytes,
        Says::Truth(feed) => {
            tokio::select! {
                page = page(&feed, &url, Waits::Yes) => whole(&page),
                _ = connection.read_u8() => {
                    state.lock().unwrap().given_up += 1;
                    return Ok(());
                }
            }
        }
        Says::Impatiently(feed) => whole(&page(&feed, &url, Waits::No).await),
        Says::UnderHistory(feed, history) => whole(&FeedPage {
            history: history.to_owned(),
            ..page(&feed, &url, Waits::No).await
        }),
        Says::Nothing => {
            let _ = connection.read_u8().await;
            state.lock().unwrap().given_up += 1;
            return Ok(());
        }
    };
    connection.write_all(&bytes).await?;
    connection.shutdown().await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    Yes,
    No,
}

fn whole(page: &FeedPage) -> Vec<u8> {
    let Says::Bytes(bytes) = Says::answer("200 OK", &serde_json::to_string(page).unwrap()) else {
        unreachable!("an answer is bytes");
    };
    bytes
}

async fn page(feed: &ServedFeed, url: &Url, waits: Waits) -> FeedPage {
    let text = |name: &str| {
        let mut pairs = url.query_pairs();
        let found = pairs.find(|(key, _)| key == name)?;
        Some(found.1.into_owned())
    };
    let number = |name: &str| text(name).map(|text| text.parse::<u16>().unwrap());
    let filter = match (text("category"), text("stream")) {
        (Some(category), Some(id)) => Filter::stream(StreamId::new(category, id).unwrap()),
        (Some(category), None) => Filter::category(category),
        (None, _) => Filter::all(),
    };
    let filter = match (number("member"), number("of")) {
        (Some(member), Some(of)) => filter.for_member(Member::new(member, of).unwrap()),
        _ => filter,
    };
    let after = text("after").unwrap().parse().unwrap();
    let after = Position::new(after).unwrap();
    if let (Waits::Yes, Some(wait_ms)) = (waits, number("wait_ms")) {
        let wait = Duration::from_millis(wait_ms.into());
        feed.wait(after, wait).await.unwrap();
    }
    let limit = BatchSize::new(number("limit").unwrap()).unwrap();
    feed.page(&filter, after, limit).await.unwrap()
}
