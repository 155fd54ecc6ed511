//! A saga that moves money, as its log and the books tell of it.

use std::collections::BTreeSet;

use folio_core::event::DecodeError;
use folio_core::saga::{Saga, SagaEnd, SagaEvent};
use folio_core::{Amount, RecordedEvent};

use crate::account::Peer;
use crate::balances::BookName;
use crate::payment::{self, InOrder, OutOrder, PaymentAnswer, PaymentIn, PaymentOut};
use crate::transfer::{self, Transfer, TransferAnswer, TransferOrder};

/// The kinds of sagas that are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Transfer,
    Out,
    In,
}

/// An entry that a saga has a book post: one of its legs is on a clearing account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) kind: Kind,
    /// What the entry's id ends in.
    pub(super) name: &'static str,
    /// The step that posts it, or whose undo does.
    pub(super) step: &'static str,
    pub(super) by: By,
    pub(super) book: Book,
    pub(super) way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Step,
    Undo,
}

/// One of the two books of a saga; of a payment, the only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Book {
    First,
    Second,
}

/// Whether money comes onto the clearing account or goes from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Onto,
    From,
}

const fn moved(
    kind: Kind,
    name: &'static str,
    (step, by): (&'static str, By),
    (book, way): (Book, Way),
) -> Move {
    Move {
        kind,
        name,
        step,
        by,
        book,
        way,
    }
}

/// All of them.
const MOVES: [Move; 7] = {
    use self::Book::{First, Second};
    use self::Kind::{In, Out, Transfer};
    use self::Way::{From, Onto};
    [
        moved(
            Transfer,
            "captured",
            (transfer::step::CAPTURE, By::Step),
            (First, Onto),
        ),
        moved(
            Transfer,
            "credited",
            (transfer::step::CREDIT, By::Step),
            (Second, From),
        ),
        moved(
            Out,
            "out-captured",
            (payment::step::CAPTURE, By::Step),
            (First, Onto),
        ),
        moved(
            Out,
            "out-refunded",
            (payment::step::CAPTURE, By::Undo),
            (First, From),
        ),
        moved(
            Out,
            "out-settled",
            (payment::step::SETTLE, By::Step),
            (First, From),
        ),
        moved(
            In,
            "in-settled",
            (payment::step::SETTLE, By::Step),
            (First, Onto),
        ),
        moved(
            In,
            "in-credited",
            (payment::step::CREDIT, By::Step),
            (First, From),
        ),
    ]
};

/// The holds of sagas: of which kind, and what their ids end in.
const HOLDS: [(Kind, &str); 4] = [
    (Kind::Transfer, "hold"),
    (Kind::Transfer, "expected"),
    (Kind::Out, "out-hold"),
    (Kind::In, "in-expected"),
];

/// The entry that an id with this ending is of.
pub(super) fn move_named(name: &str) -> Option<&'static Move> {
    MOVES.iter().find(|moved| moved.name == name)
}

/// The kind of saga whose hold has an id with this ending.
pub(super) fn kind_of_hold(name: &str) -> Option<Kind> {
    let found = HOLDS.iter().find(|(_, ending)| *ending == name);
    found.map(|(kind, _)| *kind)
}

/// What a saga's log says, as far as it is watched.
pub(super) enum Logged {
    Begun(Watched),
    Asked(String),
    /// With what arrives, where the step has told.
    Done(String, Option<Amount>),
    Refused(String),
    Undone(String),
    TurnedBack,
    Ended(SagaEnd),
    Nothing,
}

/// A saga that has not ended, or has something left to be released.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pub(super) kind: Kind,
    books: [Option<BookName>; 2],
    /// What comes onto clearing accounts, and goes from there.
    pub(super) amount: Amount,
    pub(super) asked: BTreeSet<String>,
    done: BTreeSet<String>,
    pub(super) has_turned: bool,
    posted: BTreeSet<&'static str>,
    pub(super) held: BTreeSet<String>,
    pub(super) end: Option<SagaEnd>,
}

impl Kind {
    /// The kind whose logs are in this category.
    pub(super) fn of_category(category: &str) -> Option<Self> {
        match category {
            Transfer::CATEGORY => Some(Self::Transfer),
            PaymentOut::CATEGORY => Some(Self::Out),
            PaymentIn::CATEGORY => Some(Self::In),
            _ => None,
        }
    }

    /// What an event of a log says.
    pub(super) fn read(self, event: &RecordedEvent) -> Result<Vec<Logged>, DecodeError> {
        match self {
            Self::Transfer => {
                let events = event.decode::<SagaEvent<TransferOrder, TransferAnswer>>()?;
                Ok(events.into_iter().map(of_transfer).collect())
            }
            Self::Out => {
                let events = event.decode::<SagaEvent<OutOrder, PaymentAnswer>>()?;
                let begun = |order: OutOrder| {
                    let books = [Some(order.from.book), None];
                    Watched::new(Self::Out, books, order.amount)
                };
                Ok(events
                    .into_iter()
                    .map(|event| logged(event, begun))
                    .collect())
            }
            Self::In => {
                let events = event.decode::<SagaEvent<InOrder, PaymentAnswer>>()?;
                let begun = |order: InOrder| {
                    let books = [Some(order.to.book), None];
                    Watched::new(Self::In, books, order.amount)
                };
                Ok(events
                    .into_iter()
                    .map(|event| logged(event, begun))
                    .collect())
            }
        }
    }

    const fn pivot(self) -> &'static str {
        match self {
            Self::Transfer => transfer::step::CAPTURE,
            Self::Out => payment::step::SUBMIT,
            Self::In => payment::step::COLLECT,
        }
    }
}

fn of_transfer(event: SagaEvent<TransferOrder, TransferAnswer>) -> Logged {
    if let SagaEvent::StepDone {
        step,
        answer: TransferAnswer::Quoted(quoted),
    } = event
    {
        return Logged::Done(step, Some(quoted.bought));
    }
    logged(event, |order: TransferOrder| {
        let books = [Some(order.from.book), Some(order.to.book)];
        Watched::new(Kind::Transfer, books, order.amount)
    })
}

fn logged<O, A>(event: SagaEvent<O, A>, begun: impl FnOnce(O) -> Watched) -> Logged {
    match event {
        SagaEvent::SagaBegun { order, .. } => Logged::Begun(begun(order)),
        SagaEvent::StepAsked { step } => Logged::Asked(step),
        SagaEvent::StepDone { step, .. } => Logged::Done(step, None),
        SagaEvent::StepRefused { step, .. } => Logged::Refused(step),
        SagaEvent::StepUndone { step } => Logged::Undone(step),
        SagaEvent::UndoingBegun { .. } => Logged::TurnedBack,
        SagaEvent::SagaCompleted => Logged::Ended(SagaEnd::Completed),
        SagaEvent::SagaUndone => Logged::Ended(SagaEnd::Undone),
        SagaEvent::TryFailed { .. }
        | SagaEvent::Parked { .. }
        | SagaEvent::AttentionNeeded { .. }
        | SagaEvent::OperatorActed { .. } => Logged::Nothing,
    }
}

impl Watched {
    fn new(kind: Kind, books: [Option<BookName>; 2], amount: Amount) -> Self {
        Self {
            kind,
            books,
            amount,
            asked: BTreeSet::new(),
            done: BTreeSet::new(),
            has_turned: false,
            posted: BTreeSet::new(),
            held: BTreeSet::new(),
            end: None,
        }
    }

    /// The book that posts an entry.
    pub(super) fn book(&self, book: Book) -> Option<&BookName> {
        let [first, second] = &self.books;
        match book {
            Book::First => first.as_ref(),
            Book::Second => second.as_ref(),
        }
    }

    /// Who is on the other side of the clearing account that an entry is on.
    pub(super) fn peer(&self, moved: &Move) -> Option<Peer> {
        match (self.kind, moved.book) {
            (Kind::Transfer, Book::First) => self.book(Book::Second).cloned().map(Peer::Book),
            (Kind::Transfer, Book::Second) => self.book(Book::First).cloned().map(Peer::Book),
            (Kind::Out | Kind::In, _) => Some(Peer::Rail),
        }
    }

    /// Whether its money is on a clearing account.
    pub(super) fn is_in_transit(&self) -> bool {
        self.entries_in_transit() == 1
    }

    /// Takes note of an entry, and answers what is wrong with that.
    pub(super) fn post(&mut self, moved: &Move) -> Option<String> {
        let name = moved.name;
        let may_be = match moved.by {
            By::Step => self.asked.contains(moved.step),
            By::Undo => self.has_turned && self.asked.contains(moved.step),
        };
        let is_first = self.posted.insert(name);
        let in_transit = self.entries_in_transit();
        if !may_be {
            Some(format!("{name} was posted without being asked for"))
        } else if !is_first {
            Some(format!("{name} was posted twice"))
        } else if !(0..=1).contains(&in_transit) {
            Some(format!(
                "with {name}, {in_transit} times its amount is on clearing accounts"
            ))
        } else {
            None
        }
    }

    /// Takes note of what the log says, and answers what is wrong with that.
    pub(super) fn log(&mut self, logged: Logged) -> Option<String> {
        match logged {
            Logged::Begun(_) => Some("it was begun twice".to_owned()),
            Logged::Asked(step) => {
                self.asked.insert(step);
                None
            }
            Logged::Done(step, arriving) => {
                self.amount = arriving.unwrap_or(self.amount);
                let missing = self.moves_of(&step).find(|moved| !self.has(moved.name));
                let wrong = missing.map(|moved| {
                    format!(
                        "{step} is done on record, and the book has no {}",
                        moved.name
                    )
                });
                self.done.insert(step);
                wrong
            }
            Logged::Refused(step) => {
                let posted = self.moves_of(&step).find(|moved| self.has(moved.name));
                posted.map(|moved| format!("{step} was refused, and the book has {}", moved.name))
            }
            Logged::Undone(step) => {
                self.done.remove(&step);
                let is_left = self.moves_of(&step).next().is_some() && self.is_in_transit();
                is_left.then(|| format!("{step} is undone on record, and its money is on clearing"))
            }
            Logged::TurnedBack => {
                self.has_turned = true;
                let pivot = self.kind.pivot();
                let is_past = self.done.contains(pivot);
                is_past.then(|| format!("it turned back after {pivot} was done"))
            }
            Logged::Ended(end) => {
                self.end = Some(end);
                self.wrong_at_end(end)
            }
            Logged::Nothing => None,
        }
    }

    fn wrong_at_end(&self, end: SagaEnd) -> Option<String> {
        if self.is_in_transit() {
            return Some("it has ended, and its money is on clearing".to_owned());
        }
        let mut own = MOVES
            .iter()
            .filter(|moved| moved.kind == self.kind && moved.by == By::Step);
        match end {
            SagaEnd::Completed => {
                let missing = own.find(|moved| !self.has(moved.name))?;
                Some(format!(
                    "it is carried out, and a book has no {}",
                    missing.name
                ))
            }
            SagaEnd::Undone => {
                let refunded = self.has("out-refunded");
                let left = own.find(|moved| self.has(moved.name) && !refunded)?;
                Some(format!("it is undone, and a book has {}", left.name))
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        self.posted.contains(name)
    }

    fn moves_of(&self, step: &str) -> impl Iterator<Item = &'static Move> {
        let (kind, step) = (self.kind, step.to_owned());
        MOVES
            .iter()
            .filter(move |moved| moved.kind == kind && moved.step == step && moved.by == By::Step)
    }

    fn entries_in_transit(&self) -> i32 {
        let moves = MOVES.iter().filter(|moved| self.has(moved.name));
        let ways = moves.map(|moved| match moved.way {
            Way::Onto => 1,
            Way::From => -1,
        });
        ways.sum()
    }
}
