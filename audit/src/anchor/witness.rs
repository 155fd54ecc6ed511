//! Checkpoints that a witness has seen.

use std::io::{self, Read};
use std::time::Duration;

use async_trait::async_trait;
use folio_proofs::checkpoint::Origin;
use folio_proofs::merkle::{ConsistencyProof, Size};
use folio_proofs::note::{SignedNote, VerifyError, WitnessKey};
use folio_proofs::witness::AddCheckpoint;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use tokio::sync::mpsc;

use super::records::Notes;
use super::{Anchor, AnchorError, Records};
use crate::error::Source;
use crate::witness::{ADD_CHECKPOINT, CHECKPOINT, CHECKPOINTS, END, SIZE_TYPE};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of an answer: more than a piece of what a witness keeps.
const BODY_MAX: usize = 2 << 20;
/// How much is shown of what a witness says that refuses.
const WHY_MAX: usize = 500;

/// Checkpoints of a log that a [`Witness`](crate::Witness) keeps, which nobody talks into a log that has not only grown. What
/// it answers counts where one of its keys has signed it.
#[derive(Debug, Clone)]
pub struct WitnessAnchor {
    url: Url,
    keys: Vec<WitnessKey>,
    log: Origin,
    http: Client,
}

/// Why there is no way to a witness.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessAddressError {
    /// The address is none.
    #[error("{url} is no address of a witness; one is http://host:port")]
    Address {
        /// What was given.
        url: String,
    },
    /// There is no client.
    #[error("there is no HTTP client")]
    Client(#[from] reqwest::Error),
}

impl WitnessAnchor {
    /// What the witness at this address has of this log. It is not asked yet.
    ///
    /// # Errors
    ///
    /// [`WitnessAddressError`].
    pub fn at(url: &str, keys: Vec<WitnessKey>, log: Origin) -> Result<Self, WitnessAddressError> {
        let parsed = Url::parse(&format!("{}/", url.trim_end_matches('/'))).ok();
        let parsed = parsed.filter(|url| url.scheme() == "http");
        let url = parsed.ok_or_else(|| WitnessAddressError::Address {
            url: url.to_owned(),
        })?;
        let http = Client::builder()
            // The address is meant as it is written.
            .no_proxy()
            .redirect(Policy::none())
            .timeout(PATIENCE)
            .build()?;
        Ok(Self {
            url,
            keys,
            log,
            http,
        })
    }

    fn get(&self, path: &str) -> Result<RequestBuilder, AnchorError> {
        let request = self.http.get(self.path(path)?);
        Ok(request.query(&[("origin", self.log.as_str())]))
    }

    fn path(&self, path: &str) -> Result<Url, AnchorError> {
        let joined = self.url.join(path.trim_start_matches('/'));
        joined.map_err(|error| self.unreachable(error))
    }

    /// What it answers, if it does as it was asked to.
    async fn send(&self, request: RequestBuilder) -> Result<Answer, AnchorError> {
        let response = request.send().await;
        let mut response = response.map_err(|error| self.unreachable(error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|one| self.unreachable(one))?
        {
            if body.len().saturating_add(chunk.len()) > BODY_MAX {
                return Err(self.unreachable("its answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        let answer = Answer { response, body };
        if answer.response.status().is_success() {
            return Ok(answer);
        }
        Err(match answer.size() {
            Some(size) => AnchorError::Overtaken {
                anchor: self.place(),
                size,
            },
            None => AnchorError::Refused {
                anchor: self.place(),
                why: answer.why(),
            },
        })
    }

    /// The note as the log has signed it, if the witness has cosigned it.
    fn open(&self, note: SignedNote) -> Result<SignedNote, VerifyError> {
        let mut refused = VerifyError::Unknown {
            signers: Vec::new(),
        };
        for key in &self.keys {
            match key.open(note.clone()) {
                Ok(cosigned) => return Ok(cosigned.into_note()),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn opened(&self, note: impl AsRef<[u8]>) -> Result<SignedNote, AnchorError> {
        let note = SignedNote::parse(note).map_err(|error| self.not_itself(error))?;
        self.open(note).map_err(|error| self.not_itself(error))
    }

    /// A part of all that it keeps, from this byte on, and how much that is.
    async fn piece(&self, from: u64) -> Result<(Vec<u8>, u64), AnchorError> {
        let request = self.get(CHECKPOINTS)?.query(&[("from", from)]);
        let answer = self.send(request).await?;
        let end = answer.response.headers().get(END);
        let end = end.and_then(|end| end.to_str().ok()?.parse().ok());
        let end = end.ok_or_else(|| self.unreachable("it does not say how much it keeps"))?;
        Ok((answer.body, end))
    }

    fn unreachable(&self, source: impl Into<Source>) -> AnchorError {
        AnchorError::Unreachable {
            anchor: self.place(),
            source: source.into(),
        }
    }

    fn damaged(&self, source: impl Into<Source>) -> AnchorError {
        AnchorError::Damaged {
            anchor: self.place(),
            source: source.into(),
        }
    }

    fn not_itself(&self, source: impl Into<Source>) -> AnchorError {
        AnchorError::NotItself {
            anchor: self.place(),
            source: source.into(),
        }
    }
}

#[async_trait]
impl Anchor for WitnessAnchor {
    fn place(&self) -> String {
        self.url.as_str().trim_end_matches('/').to_owned()
    }

    async fn last(&self) -> Result<Option<SignedNote>, AnchorError> {
        let answer = self.send(self.get(CHECKPOINT)?).await?;
        if answer.response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        self.opened(answer.body).map(Some)
    }

    async fn append(
        &self,
        note: &SignedNote,
        growth: &ConsistencyProof,
    ) -> Result<(), AnchorError> {
        let body = AddCheckpoint {
            old: growth.from,
            path: growth.path.clone(),
            note: note.clone(),
        };
        let request = self.http.post(self.path(ADD_CHECKPOINT)?);
        let answer = self.send(request.body(body.to_string())).await?;
        // Its cosignatures are further lines of the note.
        let cosigned = [note.to_string().as_bytes(), &answer.body].concat();
        self.opened(cosigned).map(|_| ())
    }

    async fn records(&self) -> Result<Records, AnchorError> {
        let (mut piece, end) = self.piece(0).await?;
        let (pieces, taken) = mpsc::channel(1);
        let anchor = self.clone();
        tokio::spawn(async move {
            let mut from = 0;
            loop {
                from += u64::try_from(piece.len()).unwrap_or(u64::MAX);
                if piece.is_empty() && from < end {
                    let less = anchor.unreachable("it answers less than it says it keeps");
                    let _ = pieces.send(Err(less)).await;
                    return;
                }
                if pieces.send(Ok(piece)).await.is_err() || from >= end {
                    return;
                }
                piece = match anchor.piece(from).await {
                    // What has come since is not among all that there were.
                    Ok((mut piece, _)) => {
                        let rest = usize::try_from(end - from).unwrap_or(usize::MAX);
                        piece.truncate(rest);
                        piece
                    }
                    Err(error) => {
                        // Nobody takes it where nobody reads any more.
                        let _ = pieces.send(Err(error)).await;
                        return;
                    }
                };
            }
        });
        let pieces = Pieces {
            taken,
            piece: io::Cursor::default(),
        };
        let anchor = self.clone();
        Ok(Box::new(Notes::of(pieces).map(move |note| {
            let note = match note {
                Ok(note) => note,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(anchor.damaged(error));
                }
                Err(error) => return Err(anchor.unreachable(error)),
            };
            anchor.open(note).map_err(|error| anchor.damaged(error))
        })))
    }
}

/// What a witness answers.
struct Answer {
    response: Response,
    body: Vec<u8>,
}

impl Answer {
    /// The size that the witness has seen, where that is why it refuses.
    fn size(&self) -> Option<Size> {
        let kind = self.response.headers().get(CONTENT_TYPE);
        let is_size = kind.is_some_and(|kind| kind.as_bytes() == SIZE_TYPE.as_bytes());
        if self.response.status() != StatusCode::CONFLICT || !is_size {
            return None;
        }
        let text = str::from_utf8(&self.body).ok()?.strip_suffix('\n')?;
        text.parse().ok().map(Size::new)
    }

    fn why(&self) -> String {
        let said = String::from_utf8_lossy(&self.body);
        let said: String = said.trim().chars().take(WHY_MAX).collect();
        format!("{}: {said}", self.response.status())
    }
}

/// What a witness keeps, piece by piece, as one file.
struct Pieces {
    taken: mpsc::Receiver<Result<Vec<u8>, AnchorError>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Read for Pieces {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(bytes)?;
            if read > 0 || bytes.is_empty() {
                return Ok(read);
            }
            match self.taken.blocking_recv() {
                Some(piece) => self.piece = io::Cursor::new(piece.map_err(io::Error::other)?),
                None => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::future::IntoFuture as _;

    use axum::Router;
    use axum::extract::Query;
    use axum::routing::get;
    use folio_proofs::note::SigningKey;
    use tokio::net::TcpListener;
    use tokio::task::spawn_blocking;

    use super::*;

    /// All that comes of a witness which answers with this and says that it keeps so many bytes.
    async fn records(
        key: &SigningKey,
        text: &str,
        end: usize,
    ) -> Result<Vec<SignedNote>, AnchorError> {
        let text = text.to_owned();
        let all = move |Query(asked): Query<HashMap<String, String>>| async move {
            let from: usize = asked["from"].parse().unwrap();
            let rest = text.get(from..).unwrap_or_default().to_owned();
            ([(END, end.to_string())], rest)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route(CHECKPOINTS, get(all));
        tokio::spawn(axum::serve(listener, router).into_future());
        let log = "log".parse().unwrap();
        let anchor = WitnessAnchor::at(&url, vec![key.witness_key()], log).unwrap();
        let records = anchor.records().await?;
        spawn_blocking(move || records.collect()).await.unwrap()
    }
    #[tokio::test]
    async fn a_witness_that_breaks_off_before_its_end_is_not_taken_at_its_word() {
        let key = |name: &str| SigningKey::from_seed(name.parse().unwrap(), &[1; 32]).unwrap();
        let (log, witness) = (key("log"), key("witness"));
        let note = log.sign("log\n1\n".to_owned()).unwrap();
        let note = note.witnessed_by(&witness, 1).unwrap();
        let text = format!("{note}\n\n");
        let all = records(&witness, &text, text.len()).await.unwrap();
        assert_eq!(all.len(), 1);
        assert!(records(&witness, "", 0).await.unwrap().is_empty());
        for (text, end) in [("", 1), (text.as_str(), text.len() + 1)] {
            let refused = records(&witness, text, end).await.unwrap_err();
            let is_away = matches!(refused, AnchorError::Unreachable { .. });
            assert!(is_away, "{refused}");
        }
    }
}
