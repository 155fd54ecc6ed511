//! Whatever is asked of a book, in whichever order, some things stay true.

use std::collections::HashMap;

use folio_core::{Amount, Money};
use proptest::prelude::*;

use crate::account::{
    Account, AccountCommand, Description, Freeze, Kind, Limits, NormalSide, Opening, Overdraft,
    Side, Sides, Status, VelocityLimit,
};
use crate::hold::{CaptureHold, ExpireHold, Hold, PlaceHold, ReleaseHold, Resolution};
use crate::journal::{
    CloseAccount, ClosePeriod, Entry, EntryDraft, Leg, PostEntries, Recording, ReverseEntry,
};
use crate::testing::{TestBook, amount, currency, draft, entry_id, eur, hold_id, leg, limit};

const AUTHORISING: [&str; 4] = ["none", "limited", "unlimited", "loan"];
const ALL: [&str; 6] = [
    "none",
    "limited",
    "unlimited",
    "loan",
    "fees",
    "contra.cash.EUR",
];
const WINDOW: VelocityLimit = VelocityLimit {
    window_seconds: 600,
    amount: None,
    count: Some(3),
};

/// What becomes of the last leg of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Balances,
    IsMissing,
}

/// What is asked.
#[derive(Debug, Clone)]
enum Asked {
    Post(Vec<(usize, Side, Amount)>, Last),
    Transfer(usize, usize, Amount),
    Place(usize, usize, Side, Amount),
    Capture(usize, Option<Amount>, usize),
    Release(usize),
    Expire(usize),
    Reverse(usize),
    Freeze(usize, Freeze),
    Unfreeze(usize),
    SetLimits(usize, Overdraft),
    BeginClosing(usize),
    Close(usize),
    ClosePeriod(u32),
    Wait(u32),
}

fn any_amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        20 => (1_u32..2_000).prop_map(|cents| eur(&format!("{}.{:02}", cents / 100, cents % 100))),
        1 => Just(eur("9999999999999999.99")),
        1 => Just(amount("7", "JPY")),
    ]
}

fn any_side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Debit), Just(Side::Credit)]
}

fn any_command() -> impl Strategy<Value = Asked> {
    let of = 0..ALL.len();
    let own = 0..AUTHORISING.len();
    let hold = 0_usize..6;
    let freeze = prop_oneof![
        Just(Freeze::Debits),
        Just(Freeze::Credits),
        Just(Freeze::Both)
    ];
    let overdraft = prop_oneof![
        Just(Overdraft::None),
        Just(limit("10.00")),
        Just(Overdraft::Unlimited),
    ];
    let legs = prop::collection::vec((of.clone(), any_side(), any_amount()), 1..4);
    prop_oneof![
        4 => (legs, prop_oneof![4 => Just(Last::Balances), 1 => Just(Last::IsMissing)])
            .prop_map(|(legs, last)| Asked::Post(legs, last)),
        12 => (of.clone(), of.clone(), any_amount())
            .prop_map(|(from, to, amount)| Asked::Transfer(from, to, amount)),
        5 => (hold.clone(), of.clone(), any_side(), any_amount())
            .prop_map(|(hold, on, side, amount)| Asked::Place(hold, on, side, amount)),
        4 => (hold.clone(), prop::option::of(any_amount()), of.clone())
            .prop_map(|(hold, amount, to)| Asked::Capture(hold, amount, to)),
        2 => hold.clone().prop_map(Asked::Release),
        2 => hold.prop_map(Asked::Expire),
        3 => (0_usize..30).prop_map(Asked::Reverse),
        1 => (of.clone(), freeze).prop_map(|(on, freeze)| Asked::Freeze(on, freeze)),
        2 => of.clone().prop_map(Asked::Unfreeze),
        1 => (own, overdraft).prop_map(|(on, overdraft)| Asked::SetLimits(on, overdraft)),
        1 => of.clone().prop_map(Asked::BeginClosing),
        1 => of.prop_map(Asked::Close),
        1 => (0_u32..40).prop_map(Asked::ClosePeriod),
        3 => (1_u32..2_000).prop_map(Asked::Wait),
    ]
}

struct Run {
    book: TestBook,
    entries: usize,
    /// What went out of accounts with a limit of velocity, by window.
    outgoing: HashMap<i64, usize>,
}

impl Run {
    fn new() -> Self {
        let mut book = TestBook::new();
        let euro = Opening::new(currency("EUR"));
        let openings = [
            (
                "none",
                Opening {
                    velocity: vec![WINDOW],
                    ..euro.clone()
                },
            ),
            (
                "limited",
                Opening {
                    overdraft: limit("20.00"),
                    ..euro.clone()
                },
            ),
            (
                "unlimited",
                Opening {
                    overdraft: Overdraft::Unlimited,
                    ..euro.clone()
                },
            ),
            (
                "loan",
                Opening {
                    normal_side: NormalSide(Side::Debit),
                    ..euro.clone()
                },
            ),
            (
                "fees",
                Opening {
                    kind: Kind::Recording,
                    ..euro
                },
            ),
        ];
        for (id, opening) in openings {
            book.ask(id, AccountCommand::OpenAccount(opening)).unwrap();
        }
        Self {
            book,
            entries: 0,
            outgoing: HashMap::new(),
        }
    }

    fn next_entry(&mut self) -> String {
        self.entries += 1;
        format!("e{}", self.entries - 1)
    }

    /// Whether it was accepted.
    fn ask(&mut self, asked: &Asked) -> bool {
        let now = self.book.now;
        let text = Description::try_from("x".to_owned()).unwrap();
        let entry = self.next_entry();
        let book = &mut self.book;
        match asked {
            Asked::Post(legs, last) => {
                let mut legs: Vec<Leg> = legs
                    .iter()
                    .map(|(on, side, amount)| leg(ALL[*on], *side, *amount))
                    .collect();
                let sums = legs
                    .iter()
                    .try_fold(Sides::zero(currency("EUR")), |sums, leg| {
                        sums.plus(leg.side, leg.amount)
                    });
                if *last == Last::Balances
                    && let Ok(Sides { debits, credits }) = sums
                    && let Ok(rest) = debits.checked_sub(credits)
                {
                    let side = if rest.is_negative() {
                        Side::Debit
                    } else {
                        Side::Credit
                    };
                    let rest = if rest.is_negative() {
                        rest.negated()
                    } else {
                        rest
                    };
                    if let Ok(rest) = Amount::try_from(rest) {
                        legs.push(leg("unlimited", side, rest));
                    }
                }
                book.run(&PostEntries {
                    entries: vec![draft(&entry, legs)],
                    now,
                })
                .is_ok()
            }
            Asked::Transfer(from, to, amount) => {
                let legs = vec![
                    leg(ALL[*from], Side::Debit, *amount),
                    leg(ALL[*to], Side::Credit, *amount),
                ];
                let day = now.date().checked_sub_days(chrono::Days::new(5));
                let draft = EntryDraft {
                    effective_date: day,
                    ..draft(&entry, legs)
                };
                book.run(&PostEntries {
                    entries: vec![draft],
                    now,
                })
                .is_ok()
            }
            Asked::Place(hold, on, side, amount) => book
                .run(&PlaceHold {
                    hold: hold_id(&format!("h{hold}")),
                    account: ALL[*on].parse().unwrap(),
                    side: *side,
                    amount: *amount,
                    lifetime_seconds: 1_500,
                    reference: None,
                    now,
                })
                .is_ok(),
            Asked::Capture(hold, amount, to) => {
                let hold = format!("h{hold}");
                let account = book.account_of(&hold);
                book.run(&CaptureHold {
                    hold: hold_id(&hold),
                    account,
                    amount: *amount,
                    counter_account: ALL[*to].parse().unwrap(),
                    entry: entry_id(&entry),
                    exchange: None,
                    effective_date: None,
                    reference: None,
                    description: None,
                    now,
                })
                .is_ok()
            }
            Asked::Release(hold) => {
                let hold = format!("h{hold}");
                let account = book.account_of(&hold);
                book.run(&ReleaseHold {
                    hold: hold_id(&hold),
                    account,
                })
                .is_ok()
            }
            Asked::Expire(hold) => {
                let hold = format!("h{hold}");
                match book.account_of(&hold) {
                    Some(account) => book
                        .run(&ExpireHold {
                            hold: hold_id(&hold),
                            account,
                            now,
                        })
                        .is_ok(),
                    None => false,
                }
            }
            Asked::Reverse(number) => {
                let of = format!("e{number}");
                let legs = book.of::<Entry>(&of);
                let legs = legs.map_or_else(Vec::new, |entry| entry.posted.legs.clone());
                book.run(&ReverseEntry {
                    entry: entry_id(&of),
                    legs,
                    reversal: entry_id(&format!("r-{entry}")),
                    effective_date: now.date(),
                    description: None,
                    now,
                })
                .is_ok()
            }
            Asked::Freeze(on, freeze) => {
                let command = AccountCommand::FreezeAccount {
                    freeze: *freeze,
                    reason: text,
                };
                book.ask(ALL[*on], command).is_ok()
            }
            Asked::Unfreeze(on) => book
                .ask(ALL[*on], AccountCommand::UnfreezeAccount { reason: text })
                .is_ok(),
            Asked::SetLimits(on, overdraft) => {
                let velocity = book.account(AUTHORISING[*on]).velocity().collect();
                let limits = Limits {
                    overdraft: *overdraft,
                    velocity,
                };
                book.ask(AUTHORISING[*on], AccountCommand::SetLimits(limits))
                    .is_ok()
            }
            Asked::BeginClosing(on) => book.ask(ALL[*on], AccountCommand::BeginClosing).is_ok(),
            Asked::Close(on) => {
                let account = ALL[*on].parse().unwrap();
                book.run(&CloseAccount { account }).is_ok()
            }
            Asked::ClosePeriod(before) => {
                let days = chrono::Days::new(u64::from(*before));
                let through = now.date().checked_sub_days(days).unwrap();
                book.run(&ClosePeriod { through }).is_ok()
            }
            Asked::Wait(seconds) => {
                book.wait(*seconds);
                true
            }
        }
    }

    /// Counts what has gone out of the account with a limit of velocity, on its own.
    fn count(&mut self, asked: &Asked) {
        let on_it = |on: &str, side| on == "none" && side == Side::Debit;
        let last = self.entries - 1;
        let entries = [format!("e{last}"), format!("r-e{last}")];
        let mut times = 0;
        for entry in entries.iter().filter_map(|id| self.book.of::<Entry>(id)) {
            let captured = entry.posted.captures.as_ref();
            let captured = captured.and_then(|hold| self.book.account_of(hold.as_str()));
            let legs = entry.posted.legs.iter();
            let new = legs.filter(|leg| Some(&leg.account) != captured.as_ref());
            times += new
                .filter(|leg| on_it(leg.account.as_str(), leg.side))
                .count();
        }
        if let Asked::Place(_, on, side, _) = asked
            && on_it(ALL[*on], *side)
        {
            times += 1;
        }
        let window = self.book.now.0.micros() / 600_000_000;
        *self.outgoing.entry(window).or_default() += times;
    }

    fn sums(&self) -> Vec<(Sides, Sides)> {
        let of = |id: &&str| {
            let account = self.book.account(id);
            (account.posted(), account.pending())
        };
        AUTHORISING.iter().map(of).collect()
    }

    fn check(&self) {
        let book = &self.book;
        for code in ["EUR", "JPY"] {
            let Sides { debits, credits } = book.trial_balance(currency(code));
            assert_eq!(debits, credits, "the trial balance in {code}");
        }
        for (id, entry) in book.all::<Entry>() {
            let mut net = Money::zero(currency("EUR"));
            let euro = net.currency();
            for leg in entry
                .posted
                .legs
                .iter()
                .filter(|l| l.amount.currency() == euro)
            {
                let amount = leg.amount.money();
                net = match leg.side {
                    Side::Debit => net.checked_add(amount).unwrap(),
                    Side::Credit => net.checked_sub(amount).unwrap(),
                };
            }
            assert!(net.is_zero(), "entry {id}");
            if let Some(by) = &entry.reversed_by {
                let reversal = book.of::<Entry>(by.as_str()).unwrap();
                assert_eq!(
                    reversal.posted.reverses.as_ref().map(|of| of.as_str()),
                    Some(id)
                );
            }
        }
        for (id, account) in book.all::<Account>() {
            assert_ne!(account.status(), Status::Inconsistent, "{id}");
            self.check_account(id, account);
        }
        for (id, hold) in book.all::<Hold>() {
            if let (Some(placed), Some(Resolution::Captured { amount, .. })) =
                (&hold.placed, &hold.resolution)
            {
                let order = amount.money().compare(&placed.amount.money()).unwrap();
                assert!(order.is_le(), "hold {id}");
            }
        }
        assert!(
            self.outgoing.values().all(|count| *count <= 3),
            "{:?}",
            self.outgoing
        );
    }

    fn check_account(&self, id: &str, account: &Account) {
        let (posted, pending) = (account.posted(), account.pending());
        let balance = posted.balance(account.normal_side()).unwrap();
        let outgoing = account.normal_side().opposite();
        if account.kind() == Kind::Authorising {
            let left = balance.checked_sub(pending.on(outgoing)).unwrap();
            let within = match account.overdraft() {
                Overdraft::None => !left.is_negative(),
                Overdraft::Limit { limit } => {
                    !left.checked_add(limit.money()).unwrap().is_negative()
                }
                Overdraft::Unlimited => true,
            };
            assert!(within, "{id} has {left}");
        }
        let mut held = Sides::zero(account.currency());
        for (hold, state) in self.book.all::<Hold>() {
            if let (Some(placed), None) = (&state.placed, &state.resolution)
                && placed.account.as_str() == id
            {
                held = held.plus(placed.side, placed.amount).unwrap();
                assert!(account.holds().any(|(known, _, _)| known.as_str() == hold));
            }
        }
        assert_eq!(pending, held, "what is pending on {id}");
        if account.status() == Status::Closed {
            assert!(
                balance.is_zero() && held == Sides::zero(account.currency()),
                "{id}"
            );
            if let Some(recording) = self.book.of::<Recording>(id) {
                let recorded = recording.posted.unwrap();
                assert_eq!(recorded.debits, recorded.credits, "{id}");
            }
        }
    }
}

proptest! {
    #[test]
    fn no_history_leaves_the_overdraft_or_loses_a_cent(
        commands in prop::collection::vec(any_command(), 1..120),
    ) {
        let mut run = Run::new();
        for asked in &commands {
            let before = run.sums();
            let accepted = run.ask(asked);
            if accepted {
                run.count(asked);
            } else {
                // What is refused changes nothing.
                prop_assert_eq!(&before, &run.sums());
            }
            run.check();
        }
    }
}
