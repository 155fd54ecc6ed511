//! The task that gathers requests and sends them, one batch at a time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use foldhash::fast::RandomState;
use folio_core::store::AppendError;
use folio_core::{Position, StreamId};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::error::SqlState;
use tracing::{Instrument as _, Span};

use super::answer::{Answer, Answered, Recorded, answers};
use super::batch::{Arrays, Commands, Entry, Form, Layout, Shared};
use super::committed::committed;
use super::ends::Ends;
use super::session::{Session, SessionName};
use super::single::Single;
use super::{AppendSettings, Heard};
use crate::database::Database;
use crate::sqlstate::Effect;

/// How often a statement that lost a deadlock, could not be serialised, or knew what was not so, is sent again.
const RESENDS: u32 = 5;

/// From how many requests on a batch is answered beside the next one.
const LARGE: usize = 32;

/// So many commands an observer is told of at once, and then they are answered: the first ones do not wait for what it does with
/// the last ones.
const OBSERVED: usize = 64;

/// A request on its way.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) entry: Entry,
    pub(super) reply: oneshot::Sender<Result<Answer, AppendError>>,
    pub(super) queued: Instant,
    /// The caller's.
    pub(super) span: Span,
}

pub(super) struct Appender {
    database: Database,
    settings: AppendSettings,
    heard: Heard,
    session: Option<Session>,
    /// The session whose last statement has an unknown outcome.
    before: Option<SessionName>,
}

/// What became of one statement.
enum Sent {
    /// With where streams stand in it, and by the session of this number.
    Answered(Answered, Layout, u64),
    /// It has a command that is on record. The server has recorded none of it.
    Repeats(Shared),
    /// A stream, or the store, has gone on from where the session knew it to end. The server has recorded none of it.
    Stale(Shared),
    /// The server refused it, and has recorded none of it.
    Refused(Shared),
    /// The server has recorded none of it; the same again may work.
    Again(Shared),
    /// There is no session, so nothing was sent.
    NoSession(Shared),
    /// It was sent, and there was no answer.
    Unknown(Shared),
}

impl Appender {
    pub(super) const fn new(database: Database, settings: AppendSettings, heard: Heard) -> Self {
        Self {
            database,
            settings,
            heard,
            session: None,
            before: None,
        }
    }

    /// Runs until every sender is gone and the queue is empty.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut backlog = VecDeque::new();
        loop {
            if backlog.is_empty() {
                match self.wait(&mut requests).await {
                    Some(request) => backlog.push_back(request),
                    None => return,
                }
            }
            // What has come in while the last batch was on its way; nobody is waited for.
            while backlog.len() < self.settings.queue {
                match requests.try_recv() {
                    Ok(request) => backlog.push_back(request),
                    Err(_) => break,
                }
            }
            let batch = gather(&mut backlog, &self.settings);
            self.carry_out(batch).await;
        }
    }

    /// Waits for the next request, and notices meanwhile if the session ends: then nothing was under
    /// way on it, and the next append opens another.
    async fn wait(&mut self, requests: &mut mpsc::Receiver<Request>) -> Option<Request> {
        if let Some(session) = &mut self.session {
            tokio::select! {
                biased;
                request = requests.recv() => return request,
                () = session.ended() => self.session = None,
            }
        }
        requests.recv().await
    }

    /// Sends a batch and answers its requests. A batch that the server refuses as a whole is sent
    /// in halves, until the request that it cannot stand is alone.
    async fn carry_out(&mut self, batch: Vec<Request>) {
        let mut parts = vec![(batch, None)];
        while let Some((mut part, unknown_since)) = parts.pop() {
            // Whoever has gone before the request was sent has not asked for it to be sent.
            part.retain(|request| !request.reply.is_closed());
            if part.is_empty() {
                continue;
            }
            for request in &part {
                metrics::histogram!("folio_append_queue_seconds").record(request.queued.elapsed());
            }
            let (sent, unknown_since) = self.resolve(&part, unknown_since).await;
            match sent {
                Sent::Answered(answered, layout, session) => {
                    self.answer(part, answered, layout, session);
                }
                Sent::Refused(_) | Sent::Repeats(_) | Sent::Stale(_) if part.len() > 1 => {
                    let later = part.split_off(part.len() / 2);
                    parts.push((later, unknown_since));
                    parts.push((part, unknown_since));
                }
                // That this try has recorded nothing says nothing of the one whose answer was lost.
                Sent::Refused(error)
                | Sent::Repeats(error)
                | Sent::Stale(error)
                | Sent::Again(error)
                | Sent::NoSession(error)
                    if unknown_since.is_some() =>
                {
                    tell_unknown(part, &error);
                }
                Sent::Refused(error) | Sent::Repeats(error) | Sent::Stale(error) => {
                    tell(part, |_| AppendError::Failed(error.boxed()));
                }
                Sent::Again(error) | Sent::NoSession(error) => {
                    tell(part, |_| AppendError::Unavailable(error.boxed()));
                }
                Sent::Unknown(error) => tell_unknown(part, &error),
            }
        }
    }

    /// Sends a batch until its outcome is known, or has been unknown for too long.
    ///
    /// After a broken connection the batch is sent again, on a session that is opened only when the
    /// broken one has gone. What had been recorded is found by its command id; the rest is recorded
    /// now. So whichever it was, it has one effect.
    ///
    /// Answers as well since when it is not known whether an earlier try has recorded it, if one was not answered.
    async fn resolve(
        &mut self,
        part: &[Request],
        mut unknown_since: Option<Instant>,
    ) -> (Sent, Option<Instant>) {
        let mut resends = 0;
        let mut form = match part {
            [_] => Form::Single,
            _ => Form::Together,
        };
        loop {
            let sent = self.send(part, form).await;
            match (&sent, unknown_since) {
                (Sent::Unknown(error), _) => {
                    let since = *unknown_since.get_or_insert_with(Instant::now);
                    tracing::warn!(%error, requests = part.len(), "outcome of an append unknown, asking again");
                    if since.elapsed() > self.settings.resolve {
                        return (sent, unknown_since);
                    }
                }
                (Sent::NoSession(_), Some(since)) => {
                    if since.elapsed() > self.settings.resolve {
                        return (sent, unknown_since);
                    }
                    // The server may be restarting. It is asked again a little later.
                    tokio::time::sleep(self.settings.resolve / 100).await;
                }
                // What was not so is looked up the next time.
                (Sent::Again(_) | Sent::Stale(_), _) if resends < RESENDS => resends += 1,
                (Sent::Repeats(_), _) if form != Form::OneByOne => form = Form::OneByOne,
                _ => return (sent, unknown_since),
            }
        }
    }

    async fn send(&mut self, part: &[Request], form: Form) -> Sent {
        let span = tracing::debug_span!("append_batch", requests = part.len());
        // One statement for many callers: it is a child of none of them, and follows from all.
        for request in part {
            span.follows_from(&request.span);
        }
        self.send_at_once(part, form).instrument(span).await
    }

    async fn send_at_once(&mut self, part: &[Request], form: Form) -> Sent {
        let before = self.before;
        let mut session = match self.session.take() {
            Some(session) if !session.is_closed() => session,
            _ => {
                let opened =
                    Session::open(&self.database, self.before, self.settings.resolve).await;
                match opened {
                    Ok(session) => session,
                    Err(error) => return Sent::NoSession(Shared::new(error)),
                }
            }
        };
        self.before = Some(session.name);
        let started = Instant::now();
        let answered =
            tokio::time::timeout(self.settings.statement, ask(&mut session, part, form)).await;
        metrics::histogram!("folio_append_round_trip_seconds").record(started.elapsed());
        metrics::histogram!("folio_append_batch_requests").record(size(part.len()));
        match answered {
            Ok(Ok(sent)) => {
                session.ends.carried_out();
                // Only a session that has answered is used again.
                self.session = Some(session);
                self.before = None;
                sent
            }
            Ok(Err(error)) => match Effect::of(&error) {
                Effect::Unknown => Sent::Unknown(Shared::new(error)),
                // As good as none: another one may lead to where can be written. This one has outwaited nobody, as a
                // standby knows nothing of its primary's locks.
                Effect::NotHere => {
                    self.before = before;
                    Sent::NoSession(Shared::new(error))
                }
                effect @ (Effect::None | Effect::NoneYet) => {
                    let broken = Broken::by(&error, &session.ends);
                    match broken {
                        Broken::Version => session.ends.doubt(),
                        Broken::Position => session.ends.disturbed(),
                        Broken::Other | Broken::None => {}
                    }
                    self.session = Some(session);
                    self.before = None;
                    let error = Shared::new(error);
                    match broken {
                        _ if effect == Effect::NoneYet => Sent::Again(error),
                        Broken::Version | Broken::Position => {
                            metrics::counter!("folio_append_stale_total").increment(1);
                            Sent::Stale(error)
                        }
                        Broken::Other => Sent::Repeats(error),
                        Broken::None => Sent::Refused(error),
                    }
                }
            },
            Err(elapsed) => Sent::Unknown(Shared::new(elapsed)),
        }
    }

    /// Answers a batch. A large one is answered by a task of its own, while the server has the next.
    /// A small one is not worth the wait for another thread.
    fn answer(&self, part: Vec<Request>, answered: Answered, layout: Layout, session: u64) {
        let heard = self.heard.clone();
        if part.len() < LARGE {
            answer(part, answered, layout, &heard, session);
        } else {
            tokio::spawn(async move { answer(part, answered, layout, &heard, session) });
        }
    }
}

/// Which unique index has refused a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// That of the versions of streams.
    Version,
    /// That of positions, which the session took to be free.
    Position,
    /// That of commands, if any.
    Other,
    None,
}

impl Broken {
    fn by(error: &tokio_postgres::Error, ends: &Ends) -> Self {
        match error.as_db_error() {
            Some(refused) if *refused.code() == SqlState::UNIQUE_VIOLATION => {
                match refused.constraint() {
                    Some("events_stream_version") => Self::Version,
                    // Only who has not looked for the store's end: for the others it stays where it is, as they have the lock.
                    Some("events_pkey") if ends.head().is_some() => Self::Position,
                    _ => Self::Other,
                }
            }
            _ => Self::None,
        }
    }
}

/// Sends requests in the form that is theirs.
async fn ask(
    session: &mut Session,
    part: &[Request],
    mut form: Form,
) -> Result<Sent, tokio_postgres::Error> {
    if let (Form::Single, [only]) = (form, part) {
        if let Some(single) = Single::of(&only.entry, &session.ends)
            && let Some(recorded) = session.send_single(&single).await?
        {
            single.tell(&recorded, &mut session.ends);
            let answered = Answered::Recorded(recorded);
            return Ok(Sent::Answered(
                answered,
                single.into_layout(),
                session.number,
            ));
        }
        // Nothing was recorded. The other statement says why.
        form = Form::Together;
    }
    let arrays = Arrays::of(part.iter().map(|request| &request.entry), &session.ends);
    let rows = session.send_many(&arrays.parameters(form)).await?;
    let answered = match Recorded::of(&rows)? {
        Some(recorded) => {
            arrays.tell(&recorded, &mut session.ends);
            Answered::Recorded(recorded)
        }
        None => Answered::OneByOne(rows),
    };
    Ok(Sent::Answered(
        answered,
        arrays.into_layout(),
        session.number,
    ))
}

/// Takes the next batch out of the backlog, in the order in which the requests came.
///
/// When not all fit, no stream gets more than a quarter of the batch, so that a flood on one stream
/// does not keep the others waiting. Whatever names a stream of a request that was left behind is
/// left behind too: on each stream the order stays.
fn gather(backlog: &mut VecDeque<Request>, settings: &AppendSettings) -> Vec<Request> {
    let share = if backlog.len() > settings.batch {
        settings.batch.div_ceil(4)
    } else {
        usize::MAX
    };
    let mut batch: Vec<Request> = Vec::with_capacity(backlog.len().min(settings.batch));
    let mut commands = Commands::default();
    let mut bytes = 0_usize;
    let mut shares = HashMap::<StreamId, usize, RandomState>::default();
    let mut behind = HashSet::<StreamId, RandomState>::default();
    let mut left = VecDeque::new();
    while let Some(request) = backlog.pop_front() {
        let append = &request.entry.append;
        let size = append
            .writes
            .iter()
            .flat_map(|write| &write.events)
            .fold(0_usize, |sum, event| {
                sum.saturating_add(event.payload.len())
            });
        let is_full = batch.len() >= settings.batch
            || (!batch.is_empty() && bytes.saturating_add(size) > settings.batch_bytes);
        if is_full {
            backlog.push_front(request);
            break;
        }
        let waits = share < usize::MAX
            && append.writes.iter().any(|write| {
                behind.contains(&write.stream)
                    || shares
                        .get(&write.stream)
                        .is_some_and(|taken| *taken >= share)
            });
        // A repeat within the batch waits, to find the first one's outcome on record.
        if waits || !commands.admit(append.context.id) {
            behind.extend(append.writes.iter().map(|write| write.stream.clone()));
            left.push_back(request);
            continue;
        }
        if share < usize::MAX {
            for write in &append.writes {
                let taken = shares.entry(write.stream.clone()).or_default();
                *taken = taken.saturating_add(1);
            }
        }
        bytes = bytes.saturating_add(size);
        batch.push(request);
    }
    // Those left behind came before what was not looked at.
    while let Some(request) = left.pop_back() {
        backlog.push_front(request);
    }
    batch
}

fn answer(part: Vec<Request>, answered: Answered, layout: Layout, heard: &Heard, session: u64) {
    let (entries, replies): (Vec<_>, Vec<_>) = part
        .into_iter()
        .map(|request| (request.entry, request.reply))
        .unzip();
    let observer = heard.observed.observer();
    let fingerprints: Vec<_> = match &observer {
        Some(_) => entries
            .iter()
            .map(|entry| entry.append.fingerprint)
            .collect(),
        None => Vec::new(),
    };
    match answers(entries, layout, answered) {
        Ok(answers) => {
            let last = answers.iter().rev().find_map(last_position);
            let mut fingerprints = fingerprints.as_slice();
            let (mut answers, mut replies) = (answers.into_iter(), replies.into_iter());
            while !answers.as_slice().is_empty() {
                if let Some(observer) = &observer {
                    let answered = answers.as_slice().iter().take(OBSERVED);
                    let committed = committed(fingerprints, answered);
                    observer.committed(session, &committed);
                    fingerprints = fingerprints.get(OBSERVED..).unwrap_or_default();
                }
                for (answer, reply) in answers.by_ref().take(OBSERVED).zip(replies.by_ref()) {
                    if let Err(AppendError::VersionConflict { .. }) = &answer {
                        metrics::counter!("folio_append_conflicts_total").increment(1);
                    }
                    // Whoever asked may have gone.
                    let _ = reply.send(answer);
                }
            }
            if let Some(last) = last {
                heard.hints.appended_here(last);
            }
        }
        Err(error) => {
            let error = Shared::new(error);
            for reply in replies {
                let _ = reply.send(Err(AppendError::Failed(error.boxed())));
            }
        }
    }
}

fn tell(part: Vec<Request>, error: impl Fn(&Entry) -> AppendError) {
    for request in part {
        let error = error(&request.entry);
        let _ = request.reply.send(Err(error));
    }
}

fn tell_unknown(part: Vec<Request>, error: &Shared) {
    metrics::counter!("folio_append_unknown_total").increment(count(part.len()));
    tell(part, |entry| AppendError::OutcomeUnknown {
        command: entry.append.context.id,
        source: error.boxed(),
    });
}

fn last_position(answer: &Result<Answer, AppendError>) -> Option<Position> {
    match answer {
        Ok(Answer::Executed(folio_core::store::Outcome::Committed(events))) => {
            events.last().map(|event| event.position)
        }
        _ => None,
    }
}

fn count(requests: usize) -> u64 {
    u64::try_from(requests).unwrap_or(u64::MAX)
}

/// A size for a histogram, which has floats.
fn size(requests: usize) -> f64 {
    f64::from(u32::try_from(requests).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use folio_core::store::{Append, StreamWrite};
    use folio_core::{Actor, CommandContext, CommandId, ExpectedVersion, Fingerprint};

    use super::*;

    fn request(name: usize, streams: &[&str]) -> Request {
        let command = CommandId::derived(&[&name.to_string()]);
        let writes = streams
            .iter()
            .map(|stream| StreamWrite {
                stream: StreamId::new("test", *stream).unwrap(),
                expected: ExpectedVersion::Any,
                events: Vec::new(),
            })
            .collect();
        let context = CommandContext::new(command, Actor::anonymous());
        Request {
            entry: Entry::new(Append::events(context, Fingerprint::of(&[]), writes)).unwrap(),
            reply: oneshot::channel().0,
            queued: Instant::now(),
            span: Span::none(),
        }
    }

    fn streams(batch: &[Request]) -> Vec<&str> {
        batch
            .iter()
            .map(|request| request.entry.append.writes[0].stream.id())
            .collect()
    }

    fn eight() -> AppendSettings {
        AppendSettings {
            batch: 8,
            ..AppendSettings::default()
        }
    }

    /// A hundred for one stream came first; the one for another does not wait for them.
    #[test]
    fn a_flood_on_one_stream_leaves_room_for_the_others() {
        let mut backlog: VecDeque<_> = (0..100).map(|name| request(name, &["hot"])).collect();
        backlog.push_back(request(100, &["cold"]));
        let batch = gather(&mut backlog, &eight());
        assert_eq!(streams(&batch), ["hot", "hot", "cold"]);
        assert_eq!(backlog.len(), 98);
    }

    /// A request that is left behind holds back whatever names one of its streams.
    #[test]
    fn the_order_on_each_stream_stays() {
        let mut backlog: VecDeque<_> = (0..20).map(|name| request(name, &["hot"])).collect();
        backlog.push_back(request(20, &["cold", "hot"]));
        backlog.push_back(request(21, &["cold"]));
        backlog.push_back(request(22, &["other"]));
        let batch = gather(&mut backlog, &eight());
        assert_eq!(streams(&batch), ["hot", "hot", "other"]);
        let mut seen = 2;
        while !backlog.is_empty() {
            for request in gather(&mut backlog, &eight()) {
                if request.entry.append.writes[0].stream.id() == "hot" {
                    let command = CommandId::derived(&[&seen.to_string()]);
                    assert_eq!(request.entry.append.context.id, command);
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 20);
    }

    #[test]
    fn a_repeat_waits_for_the_first_one_s_outcome() {
        let mut backlog: VecDeque<_> = [1, 2, 1]
            .into_iter()
            .map(|name| request(name, &["a"]))
            .collect();
        assert_eq!(gather(&mut backlog, &eight()).len(), 2);
        assert_eq!(gather(&mut backlog, &eight()).len(), 1);
    }
}
