//! Pages that the members of a group read together: once from the store, and shared out here.
//!
//! Left to itself, each member has the store walk past every event of the others and hash its stream.
//! Members of one process that are close to each other, and far from the end, go through the same pages
//! instead. They follow one chain of them: a page begins where the page before it ends.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use folio_core::filter::{Member, Scope};
use folio_core::{BatchSize, Filter, Page, Position, ReadError, RecordedEvent};
use tokio::sync::OnceCell;

use crate::source::Source;

/// How far apart members may be to go through the same pages, in events.
const WINDOW: i64 = 16_000;
/// Most pages that are kept, whatever they are of: a window of them.
const PAGES_MAX: usize = 16;
/// Most bytes that the pages that are kept have. A member that finds its page gone reads it again.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// What an event takes beside payload and metadata, about.
const EVENT_BYTES: usize = 300;

/// The pages that are kept, and who reads.
#[derive(Default)]
pub(crate) struct SharedPages {
    // The std mutex: it is never held across an await.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The oldest first.
    pages: VecDeque<Arc<SharedPage>>,
    /// Where each member was last.
    members: HashMap<Group, HashMap<Member, Position>>,
    /// The last position that was seen, over so many connections.
    head: Option<(u64, Position)>,
}

/// Members that share the streams of a part of the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Group {
    /// The category; all of the store where there is none.
    category: Option<String>,
    of: u16,
}

struct SharedPage {
    group: Group,
    /// Over how many connections the source had been read by then: behind another may be another history.
    connections: u64,
    after: Position,
    read: OnceCell<Parted>,
}

/// A page, and to which member each of its events falls.
struct Parted {
    page: Page,
    members: Vec<u16>,
    /// What it takes, about.
    bytes: usize,
}

impl SharedPages {
    /// The next events of `filter`'s member after `after`, at most `limit`. None where it had better read
    /// on its own: when it is alone, or near the end.
    pub(crate) async fn read(
        &self,
        source: &impl Source,
        filter: &Filter,
        after: Position,
        limit: BatchSize,
    ) -> Result<Option<Page>, ReadError> {
        let Some(member) = filter.member() else {
            return Ok(None);
        };
        let category = match filter.scope() {
            Scope::All => None,
            Scope::Category(category) => Some(category.clone()),
            Scope::Stream(_) | _ => return Ok(None),
        };
        let group = Group {
            category,
            of: member.of(),
        };
        let connections = source.connections_opened();
        if !self.has_company(&group, member, after) {
            return Ok(None);
        }
        let most = usize::try_from(limit.events()).unwrap_or(usize::MAX);
        let size = page_size(limit, group.of);
        let mut events = Vec::with_capacity(most);
        let mut at = after;
        while self.is_far_from_end(source, connections, at, size).await? {
            let shared = self.page_at(&group, connections, at);
            let read = shared
                .read
                .get_or_try_init(|| read_page(source, &group, shared.after, size));
            let Parted { page, members, .. } = read.await?;
            if page.through <= at {
                break;
            }
            for (event, number) in page.events.iter().zip(members) {
                if event.position > at && *number == member.number() {
                    events.push(event.clone());
                    if events.len() == most {
                        return Ok(Some(through_last(events, page.through)));
                    }
                }
            }
            at = page.through;
        }
        Ok((at > after).then_some(Page {
            events,
            through: at,
        }))
    }

    /// Whether another member of the group was near here last.
    fn has_company(&self, group: &Group, member: Member, after: Position) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.moved(group, member, after);
        let members = known.members.entry(group.clone()).or_default();
        let distance = |other: Position| after.events_since(other).max(other.events_since(after));
        members
            .iter()
            .any(|(other, at)| *other != member && distance(*at) <= WINDOW)
    }

    /// Whether a whole page lies ahead, so that what is read can be kept.
    async fn is_far_from_end(
        &self,
        source: &impl Source,
        connections: u64,
        at: Position,
        size: BatchSize,
    ) -> Result<bool, ReadError> {
        let is_far = |head: Position| head.events_since(at) >= size.events();
        let known = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .head;
        if known.is_some_and(|(over, head)| over == connections && is_far(head)) {
            return Ok(true);
        }
        let head = source.head().await?;
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .head = Some((connections, head));
        Ok(is_far(head))
    }

    /// The page that has what comes after `at`, read or still to be read.
    fn page_at(&self, group: &Group, connections: u64, at: Position) -> Arc<SharedPage> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let has_it = |page: &&Arc<SharedPage>| {
            let through = page.read.get().map(|read| read.page.through);
            let is_inside = page.after < at && through.is_some_and(|through| at < through);
            page.connections == connections
                && page.group == *group
                && (page.after == at || is_inside)
        };
        if let Some(page) = known.pages.iter().rev().find(has_it) {
            return Arc::clone(page);
        }
        let page = Arc::new(SharedPage {
            group: group.clone(),
            connections,
            after: at,
            read: OnceCell::new(),
        });
        known.pages.push_back(Arc::clone(&page));
        page
    }
}

impl Known {
    /// Forgets the pages that all members of the group have behind them, and the oldest of too many.
    fn moved(&mut self, group: &Group, member: Member, after: Position) {
        let members = self.members.entry(group.clone()).or_default();
        members.insert(member, after);
        let is_to_come = |through: Position| members.values().any(|at| *at < through);
        self.pages.retain(|page| {
            let read = page.read.get();
            page.group != *group || read.is_none_or(|read| is_to_come(read.page.through))
        });
        let bytes = |page: &Arc<SharedPage>| page.read.get().map_or(0, |read| read.bytes);
        let mut kept: usize = self.pages.iter().map(bytes).sum();
        while self.pages.len() > PAGES_MAX || kept > BYTES_MAX {
            let Some(oldest) = self.pages.pop_front() else {
                break;
            };
            kept = kept.saturating_sub(bytes(&oldest));
        }
    }
}

/// What all members together are likely to want for a batch of each.
fn page_size(limit: BatchSize, of: u16) -> BatchSize {
    let events = limit.events().saturating_mul(i64::from(of)).min(4_000);
    let events = u16::try_from(events).ok().and_then(BatchSize::new);
    events.unwrap_or(limit)
}

async fn read_page(
    source: &impl Source,
    group: &Group,
    after: Position,
    size: BatchSize,
) -> Result<Parted, ReadError> {
    let filter = match &group.category {
        Some(category) => Filter::category(category.clone()),
        None => Filter::all(),
    };
    let page = source.read(&filter, after, size).await?;
    let of = |event: &RecordedEvent| Member::of_stream(&event.stream, group.of);
    let members = page.events.iter().map(of).collect();
    let bytes = page.events.iter().map(|event| {
        let texts = event.payload.len().saturating_add(event.metadata.len());
        texts.saturating_add(EVENT_BYTES)
    });
    let bytes = bytes.fold(0, usize::saturating_add);
    Ok(Parted {
        page,
        members,
        bytes,
    })
}

/// A page that ends with its last event.
fn through_last(events: Vec<RecordedEvent>, through: Position) -> Page {
    let through = events.last().map_or(through, |last| last.position);
    Page { events, through }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use folio_core::store::{Append, StreamWrite};
    use folio_core::{
        Actor, CommandContext, CommandId, EventStore, ExpectedVersion, Fingerprint, InMemoryStore,
        NewEvent, StoreId, StreamId,
    };
    use tokio::sync::watch;

    use super::*;

    const EVENTS: i64 = 20_000;
    const LIMIT: i64 = 1_000;

    /// A store that counts the events that are read from it.
    struct Counting {
        store: InMemoryStore,
        read: AtomicUsize,
    }

    #[async_trait]
    impl Source for Counting {
        async fn identify(&self) -> Result<StoreId, ReadError> {
            Ok(self.store.store_id())
        }

        async fn read(
            &self,
            filter: &Filter,
            after: Position,
            limit: BatchSize,
        ) -> Result<Page, ReadError> {
            let page = self.store.read_filtered(filter, after, limit).await?;
            self.read.fetch_add(page.events.len(), Ordering::Relaxed);
            Ok(page)
        }

        async fn head(&self) -> Result<Position, ReadError> {
            self.store.head().await
        }

        fn appended(&self) -> watch::Receiver<Position> {
            self.store.appended()
        }
    }

    async fn filled() -> Counting {
        let store = InMemoryStore::default();
        for number in 0..EVENTS / 100 {
            let events = vec![
                NewEvent {
                    event_type: "Happened".to_owned(),
                    schema_version: 1,
                    payload: b"{}".to_vec(),
                };
                100
            ];
            let write = StreamWrite {
                stream: StreamId::new("test", format!("{}", number % 50)).unwrap(),
                expected: ExpectedVersion::Any,
                events,
            };
            let id = CommandId::derived(&["pages", &number.to_string()]);
            let context = CommandContext::new(id, Actor::anonymous());
            let request = Append::events(context, Fingerprint::of(&[]), vec![write]);
            store.append(request).await.unwrap();
        }
        let read = AtomicUsize::new(0);
        Counting { store, read }
    }

    /// One step of a member: by the shared pages, or else on its own, as a source does it.
    async fn step(pages: &SharedPages, source: &Counting, filter: &Filter, at: Position) -> Page {
        let limit = BatchSize::new(1_000).unwrap();
        match pages.read(source, filter, at, limit).await.unwrap() {
            Some(page) => page,
            None => source.read(filter, at, limit).await.unwrap(),
        }
    }

    fn filter(number: u16) -> Filter {
        Filter::category("test").for_member(Member::new(number, 2).unwrap())
    }

    #[tokio::test]
    async fn members_that_go_together_read_the_store_once_and_miss_nothing() {
        let (source, pages) = (filled().await, SharedPages::default());
        let mut at = [Position::START; 2];
        let mut seen: [Vec<i64>; 2] = Default::default();
        while at.iter().any(|at| at.number() < EVENTS) {
            for number in [0, 1] {
                let member = usize::from(number);
                let page = step(&pages, &source, &filter(number), at[member]).await;
                assert!(i64::try_from(page.events.len()).unwrap() <= LIMIT);
                seen[member].extend(page.events.iter().map(|event| event.position.number()));
                at[member] = page.through;
            }
        }
        for number in [0, 1] {
            let more = step(&pages, &source, &filter(number), at[usize::from(number)]).await;
            assert!(more.events.is_empty());
        }
        let kept = pages.known.lock().unwrap().pages.len();
        assert_eq!(kept, 0, "nobody needs them any more");
        let read = source.read.load(Ordering::Relaxed);
        for number in [0, 1] {
            let all = source
                .store
                .read_filtered(
                    &filter(number),
                    Position::START,
                    BatchSize::new(u16::MAX).unwrap(),
                )
                .await
                .unwrap();
            let all: Vec<i64> = all
                .events
                .iter()
                .map(|event| event.position.number())
                .collect();
            assert_eq!(seen[usize::from(number)], all);
        }
        // Each event falls to one member; the pages are of both. What was read twice is the first step
        // of the first member, and what each read alone near the end.
        let once = usize::try_from(EVENTS).unwrap();
        assert!(read <= once + once / 4, "{read}");
    }

    #[tokio::test]
    async fn a_member_that_is_alone_or_near_the_end_reads_for_itself() {
        let (source, pages) = (filled().await, SharedPages::default());
        let limit = BatchSize::new(1_000).unwrap();
        let near = Position::START.plus(EVENTS - 10);
        for at in [Position::START, near] {
            let alone = pages.read(&source, &filter(0), at, limit).await.unwrap();
            assert_eq!(alone, None);
        }
        let near_the_end = pages.read(&source, &filter(1), near, limit).await.unwrap();
        assert_eq!(near_the_end, None);
        assert_eq!(source.read.load(Ordering::Relaxed), 0);
    }
}
