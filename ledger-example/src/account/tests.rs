//! What an account lets happen to it.

use folio_core::testing::given;
use folio_core::{Aggregate, Money};

use super::*;
use crate::account::AccountCommand::{BeginClosing, FreezeAccount, OpenAccount, SetLimits};
use crate::hold::ReleaseHold;
use crate::journal::{CloseAccount, Leg};
use crate::refusal::LedgerRefusal;
use crate::testing::{
    TestBook, amount, credit, currency, debit, eur, hold_id, leg, limit, morning, of_account,
};

fn money(text: &str) -> Money {
    eur(text).money()
}

fn out(id: &str, text: &str) -> Vec<Leg> {
    vec![debit(id, text), credit("contra.cash.EUR", text)]
}

fn into(id: &str, text: &str) -> Vec<Leg> {
    vec![credit(id, text), debit("contra.cash.EUR", text)]
}

fn insufficient(available: Money) -> LedgerRefusal {
    of_account("1", AccountRefusal::InsufficientFunds { available })
}

fn freeze(freeze: Freeze) -> AccountCommand {
    FreezeAccount {
        freeze,
        reason: Description::try_from("a court order".to_owned()).unwrap(),
    }
}

fn close(book: &mut TestBook, id: &str) -> Result<(), LedgerRefusal> {
    let account = id.parse().unwrap();
    book.run(&CloseAccount { account })
}

#[test]
fn an_account_is_opened_once() {
    let opening = Opening::new(currency("EUR"));
    let opened = AccountEvent::AccountOpened(opening.clone());
    given::<Account>([])
        .when(OpenAccount(opening.clone()))
        .then([opened.clone()]);
    given::<Account>([opened])
        .when(OpenAccount(opening))
        .then_refused(AccountRefusal::AlreadyOpened);
}

#[test]
fn limits_are_in_the_currency_of_the_account() {
    let opening = Opening {
        overdraft: limit("5.00"),
        ..Opening::new(currency("CZK"))
    };
    given::<Account>([])
        .when(OpenAccount(opening))
        .then_refused(AccountRefusal::CurrencyMismatch {
            account: currency("CZK"),
            amount: currency("EUR"),
        });
}

#[test]
fn nothing_happens_to_an_account_that_was_never_opened() {
    let mut book = TestBook::new();
    book.open("2", Overdraft::Unlimited);
    let refused = Err(of_account("1", AccountRefusal::NotOpened));
    assert_eq!(
        book.post("e", vec![credit("1", "1"), debit("2", "1")]),
        refused
    );
    assert_eq!(book.hold("h", "1", "1"), refused);
    assert_eq!(close(&mut book, "1"), refused);
    given::<Account>([])
        .when(BeginClosing)
        .then_refused(AccountRefusal::NotOpened);
}

#[test]
fn a_debit_may_use_up_the_balance_and_the_overdraft_and_no_more() {
    for (overdraft, most, too_much) in [
        (Overdraft::None, "10.00", "10.01"),
        (limit("5.00"), "15.00", "15.01"),
    ] {
        let mut book = TestBook::new();
        book.open("1", overdraft);
        book.pay_in("1", "10.00");
        assert_eq!(
            book.post("a", out("1", too_much)),
            Err(insufficient(money(most)))
        );
        assert_eq!(book.post("b", out("1", most)), Ok(()));
        assert!(book.post("c", out("1", "0.01")).is_err());
    }
    let mut book = TestBook::new();
    book.open("1", Overdraft::Unlimited);
    book.post("a", out("1", "1000000.00")).unwrap();
    assert_eq!(book.balance("1"), "-1000000.00");
}

/// A loan grows by debits, and it is credits that may not go beyond what is owed.
#[test]
fn the_side_that_makes_an_account_shrink_is_what_is_limited() {
    let mut book = TestBook::new();
    let loan = Opening {
        normal_side: NormalSide(Side::Debit),
        ..Opening::new(currency("EUR"))
    };
    book.ask("1", OpenAccount(loan)).unwrap();
    book.post("lent", out("1", "100.00")).unwrap();
    assert_eq!(book.balance("1"), "100.00");
    assert_eq!(
        book.post("a", into("1", "100.01")),
        Err(insufficient(money("100.00")))
    );
    book.post("repaid", into("1", "100.00")).unwrap();
    assert_eq!(book.balance("1"), "0.00");
}

#[test]
fn another_currency_is_refused() {
    let mut book = TestBook::new();
    book.open("1", Overdraft::Unlimited);
    let legs = vec![
        leg("1", Side::Credit, amount("1.00", "USD")),
        leg("contra.cash.USD", Side::Debit, amount("1.00", "USD")),
    ];
    let mismatch = AccountRefusal::CurrencyMismatch {
        account: currency("EUR"),
        amount: currency("USD"),
    };
    assert_eq!(book.post("a", legs), Err(of_account("1", mismatch)));
}

/// Case 5: what could not be added up for ever is refused before it is there.
#[test]
fn sums_that_cannot_be_held_exactly_are_refused() {
    let mut book = TestBook::new();
    book.open("1", Overdraft::Unlimited);
    let too_large = "10000000000000000.01";
    assert_eq!(
        book.post("a", into("1", too_large)),
        Err(LedgerRefusal::AmountTooLarge)
    );
    assert_eq!(
        book.hold("h", "1", too_large),
        Err(LedgerRefusal::AmountTooLarge)
    );

    // The largest state that there can be, and one more: posted, or pending and posted.
    let most = "792281625142643375935439503.35";
    let full = |event| {
        let opened = AccountEvent::AccountOpened(Opening {
            overdraft: Overdraft::Unlimited,
            ..Opening::new(currency("EUR"))
        });
        given::<Account>([opened, event]).state().unwrap()
    };
    let posted = full(AccountEvent::AccountCredited(Posting {
        amount: eur(most),
        contra: ContraAccount::Cash,
        effective_date: None,
        reference: None,
        description: None,
    }));
    let held = full(AccountEvent::FundsHeld(HeldFunds {
        hold: hold_id("h"),
        side: Side::Credit,
        amount: eur(most),
        counted_at: None,
    }));
    for account in [posted, held] {
        let leg = account.decide_leg(Side::Credit, eur("0.01"), morning().0);
        assert_eq!(leg, Err(AccountRefusal::Overflow));
        let hold = account.decide_hold(&hold_id("i"), Side::Credit, eur("0.01"), morning().0);
        assert_eq!(hold, Err(AccountRefusal::Overflow));
    }
}

/// Case 9: each hold counts at once, so their sum never exceeds what is there.
#[test]
fn holds_together_hold_no_more_than_there_is() {
    let mut book = TestBook::new();
    book.open("1", limit("5.00"));
    book.pay_in("1", "10.00");
    for hold in ["a", "b", "c"] {
        book.hold(hold, "1", "4.50").unwrap();
    }
    assert_eq!(
        book.hold("d", "1", "1.51"),
        Err(insufficient(money("1.50")))
    );
    assert_eq!(
        book.post("e", out("1", "1.51")),
        Err(insufficient(money("1.50")))
    );
    book.hold("d", "1", "1.50").unwrap();
    assert!(book.account("1").available().unwrap().unwrap().is_zero());
    assert_eq!(book.balance("1"), "10.00");
}

/// Money that is expected is not there yet.
#[test]
fn an_expected_credit_makes_nothing_available() {
    let mut book = TestBook::new();
    book.open("1", Overdraft::None);
    book.hold_on(Side::Credit, "a", "1", "10.00").unwrap();
    let nothing = Money::zero(currency("EUR"));
    assert_eq!(book.post("e", out("1", "0.01")), Err(insufficient(nothing)));
    book.capture("a", None, "f").unwrap();
    book.post("g", out("1", "10.00")).unwrap();
}

#[test]
fn a_limit_of_velocity_counts_what_goes_out_within_its_window() {
    let mut book = TestBook::new();
    let opening = Opening {
        velocity: vec![
            VelocityLimit {
                window_seconds: 86_400,
                amount: Some(eur("100.00")),
                count: None,
            },
            VelocityLimit {
                window_seconds: 3_600,
                amount: None,
                count: Some(2),
            },
        ],
        ..Opening::new(currency("EUR"))
    };
    book.ask("1", OpenAccount(opening)).unwrap();
    book.pay_in("1", "1000.00");
    book.post("a", out("1", "60.00")).unwrap();
    // A hold is counted when it is placed, and its capture is not counted again.
    book.hold("h", "1", "10.00").unwrap();
    book.capture("h", None, "b").unwrap();
    let exceeded = |refused: Result<(), LedgerRefusal>| match refused {
        Err(LedgerRefusal::Account {
            refusal:
                AccountRefusal::LimitExceeded {
                    window_seconds,
                    resets_at,
                    ..
                },
            ..
        }) => (window_seconds, resets_at),
        other => panic!("{other:?}"),
    };
    let (window, resets_at) = exceeded(book.post("c", out("1", "1.00")));
    assert_eq!(window, 3_600);
    book.now = crate::moment::Moment(resets_at);
    assert_eq!(exceeded(book.post("d", out("1", "30.01"))).0, 86_400);
    book.post("e", out("1", "30.00")).unwrap();
    let (window, resets_at) = exceeded(book.post("f", out("1", "0.01")));
    assert_eq!(window, 86_400);
    // Case 22: a clock that is set back gives nothing free.
    book.now = morning();
    assert_eq!(exceeded(book.post("g", out("1", "0.01"))).0, 86_400);
    book.now = crate::moment::Moment(resets_at);
    book.post("h2", out("1", "100.00")).unwrap();
    // What comes in is not counted.
    book.pay_in("1", "500.00");
}

#[test]
fn a_limit_that_stays_keeps_what_has_gone_out() {
    let mut book = TestBook::new();
    let day = VelocityLimit {
        window_seconds: 86_400,
        amount: Some(eur("100.00")),
        count: None,
    };
    let limits = |velocity: Vec<VelocityLimit>| {
        SetLimits(Limits {
            overdraft: Overdraft::None,
            velocity,
        })
    };
    book.open("1", Overdraft::None);
    book.ask("1", limits(vec![day])).unwrap();
    book.pay_in("1", "1000.00");
    book.post("a", out("1", "100.00")).unwrap();
    let hour = VelocityLimit {
        window_seconds: 3_600,
        ..day
    };
    book.ask("1", limits(vec![hour, day])).unwrap();
    assert!(book.post("b", out("1", "0.01")).is_err());
    book.ask("1", limits(Vec::new())).unwrap();
    book.post("c", out("1", "900.00")).unwrap();
}

/// 100.00 a day, then 90.00 a day: 190.00 could go out in one day.
#[test]
fn a_limit_that_is_made_tighter_counts_what_has_gone_out() {
    let mut book = TestBook::new();
    let day = |most: &str, count| {
        let limit = VelocityLimit {
            window_seconds: 86_400,
            amount: Some(eur(most)),
            count,
        };
        SetLimits(Limits {
            overdraft: Overdraft::None,
            velocity: vec![limit],
        })
    };
    book.open("1", Overdraft::None);
    book.ask("1", day("100.00", None)).unwrap();
    book.pay_in("1", "1000.00");
    book.post("a", out("1", "80.00")).unwrap();
    book.ask("1", day("90.00", None)).unwrap();
    assert!(book.post("b", out("1", "10.01")).is_err());
    book.post("c", out("1", "10.00")).unwrap();
    // Both have been counted, before anybody asked how many there were.
    book.ask("1", day("200.00", Some(2))).unwrap();
    assert!(book.post("d", out("1", "0.01")).is_err());
    book.ask("1", day("200.00", Some(3))).unwrap();
    book.post("e", out("1", "0.01")).unwrap();
}

#[test]
fn a_limit_is_not_set_below_where_the_account_is() {
    let mut book = TestBook::new();
    book.open("1", Overdraft::Unlimited);
    book.post("a", out("1", "30.00")).unwrap();
    book.hold("h", "1", "10.00").unwrap();
    let set = |overdraft| {
        SetLimits(Limits {
            overdraft,
            velocity: Vec::new(),
        })
    };
    let passed = AccountRefusal::LimitPassed {
        balance: money("40.00").negated(),
    };
    assert_eq!(book.ask("1", set(limit("39.99"))), Err(passed));
    assert_eq!(book.ask("1", set(limit("40.00"))), Ok(()));
}

#[test]
fn a_limit_that_bounds_nothing_is_refused() {
    for (window_seconds, count) in [(0, Some(1)), (367 * 86_400, Some(1)), (60, None)] {
        let opening = Opening {
            velocity: vec![VelocityLimit {
                window_seconds,
                amount: None,
                count,
            }],
            ..Opening::new(currency("EUR"))
        };
        given::<Account>([])
            .when(OpenAccount(opening))
            .then_refused(AccountRefusal::LimitNotSound);
    }
}

#[test]
fn a_freeze_refuses_its_sides_until_it_is_lifted() {
    for (what, may_debit, may_credit) in [
        (Freeze::Debits, false, true),
        (Freeze::Credits, true, false),
        (Freeze::Both, false, false),
    ] {
        let mut book = TestBook::new();
        book.open("1", Overdraft::None);
        book.pay_in("1", "100.00");
        book.ask("1", freeze(what)).unwrap();
        let frozen = Err(of_account("1", AccountRefusal::Frozen { freeze: what }));
        let expected = |may: bool| if may { Ok(()) } else { frozen.clone() };
        assert_eq!(book.post("a", out("1", "1.00")), expected(may_debit));
        assert_eq!(book.hold("h", "1", "1.00"), expected(may_debit));
        assert_eq!(book.post("b", into("1", "1.00")), expected(may_credit));
        let reason = Description::try_from("lifted".to_owned()).unwrap();
        let unfreeze = AccountCommand::UnfreezeAccount { reason };
        book.ask("1", unfreeze.clone()).unwrap();
        assert_eq!(book.ask("1", unfreeze), Err(AccountRefusal::NotFrozen));
        book.post("c", out("1", "1.00")).unwrap();
    }
}

/// The money was promised before.
#[test]
fn a_hold_from_before_a_freeze_is_captured() {
    let mut book = TestBook::new();
    book.open("1", Overdraft::None);
    book.pay_in("1", "10.00");
    book.hold("h", "1", "10.00").unwrap();
    book.ask("1", freeze(Freeze::Both)).unwrap();
    book.capture("h", None, "e").unwrap();
    assert_eq!(book.balance("1"), "0.00");
}

/// Cases 16 and 19: what stands in the way is named.
#[test]
fn an_account_is_closed_when_nothing_is_left_and_then_for_good() {
    let mut book = TestBook::new();
    book.open("1", Overdraft::None);
    book.pay_in("1", "10.00");
    book.hold("out", "1", "4.00").unwrap();
    book.hold_on(Side::Credit, "in", "1", "2.00").unwrap();
    let holds = |id: &str| vec![hold_id(id)];
    let open = AccountRefusal::OpenHolds {
        holds: holds("out"),
    };
    assert_eq!(close(&mut book, "1"), Err(of_account("1", open)));
    book.capture("out", None, "a").unwrap();
    let expected = AccountRefusal::ExpectedCredits { holds: holds("in") };
    assert_eq!(close(&mut book, "1"), Err(of_account("1", expected)));
    let account = book.account_of("in");
    book.run(&ReleaseHold {
        hold: hold_id("in"),
        account,
    })
    .unwrap();
    let balance = AccountRefusal::BalanceNotZero {
        balance: money("6.00"),
    };
    assert_eq!(close(&mut book, "1"), Err(of_account("1", balance)));
    book.post("b", out("1", "6.00")).unwrap();
    assert_eq!(close(&mut book, "1"), Ok(()));
    let closed = Err(of_account("1", AccountRefusal::Closed));
    assert_eq!(book.post("c", into("1", "1.00")), closed);
    assert_eq!(book.hold_on(Side::Credit, "h", "1", "1.00"), closed);
    assert_eq!(close(&mut book, "1"), closed);
    assert_eq!(book.ask("1", BeginClosing), Err(AccountRefusal::Closed));
}

#[test]
fn a_closing_account_is_emptied_and_takes_what_was_expected() {
    let mut book = TestBook::new();
    book.open("1", Overdraft::None);
    book.pay_in("1", "10.00");
    book.hold_on(Side::Credit, "in", "1", "2.00").unwrap();
    book.ask("1", BeginClosing).unwrap();
    let closing = Err(of_account("1", AccountRefusal::Closing));
    assert_eq!(book.post("a", into("1", "1.00")), closing);
    assert_eq!(book.hold("h", "1", "1.00"), closing);
    book.capture("in", None, "b").unwrap();
    book.post("c", out("1", "12.00")).unwrap();
    assert_eq!(close(&mut book, "1"), Ok(()));
}

/// Their legs lie apart, and are asked for when it is closed.
#[test]
fn a_recording_account_is_closed_when_its_legs_add_up_to_zero() {
    let mut book = TestBook::new();
    let fees = Opening {
        kind: Kind::Recording,
        ..Opening::new(currency("EUR"))
    };
    book.ask("1", OpenAccount(fees)).unwrap();
    book.post("a", into("1", "1.00")).unwrap();
    let balance = money("1.00");
    let refused = of_account("1", AccountRefusal::BalanceNotZero { balance });
    assert_eq!(close(&mut book, "1"), Err(refused));
    // No limit: it goes below zero and back.
    book.post("b", out("1", "3.00")).unwrap();
    book.post("c", into("1", "2.00")).unwrap();
    assert_eq!(close(&mut book, "1"), Ok(()));
}

#[test]
fn recording_accounts_have_no_limits_and_no_holds() {
    let limited = Opening {
        kind: Kind::Recording,
        overdraft: limit("1.00"),
        ..Opening::new(currency("EUR"))
    };
    given::<Account>([])
        .when(OpenAccount(limited))
        .then_refused(AccountRefusal::NoLimits);
    let mut book = TestBook::new();
    book.pay_in_to_contra();
    let refused = of_account("contra.cash.EUR", AccountRefusal::NoHolds);
    assert_eq!(book.hold("h", "contra.cash.EUR", "1.00"), Err(refused));
}

impl TestBook {
    fn pay_in_to_contra(&mut self) {
        self.open("other", Overdraft::None);
        self.pay_in("other", "1.00");
    }
}

#[test]
fn the_books_own_accounts_are_not_chosen_by_clients() {
    let mut book = TestBook::new();
    book.pay_in_to_contra();
    let refused = of_account("contra.cash.EUR", AccountRefusal::Contra);
    assert_eq!(close(&mut book, "contra.cash.EUR"), Err(refused));
    // One that is none of the book's is not opened by a leg on it.
    let legs = vec![credit("other", "1.00"), debit("contra.gold.EUR", "1.00")];
    let refused = of_account("contra.gold.EUR", AccountRefusal::NotOpened);
    assert_eq!(book.post("e", legs), Err(refused));
}

#[test]
fn a_history_that_does_not_add_up_stops_the_account() {
    let opened = AccountEvent::AccountOpened(Opening::new(currency("EUR")));
    let posting = Posting {
        amount: eur("1"),
        contra: ContraAccount::Cash,
        effective_date: None,
        reference: None,
        description: None,
    };
    let credited = AccountEvent::AccountCredited(posting);
    let held = AccountEvent::FundsReleased(HeldFunds {
        hold: hold_id("h"),
        side: Side::Debit,
        amount: eur("1"),
        counted_at: None,
    });
    for broken in [
        vec![opened.clone(), AccountEvent::AccountClosed, credited],
        vec![opened.clone(), opened.clone()],
        vec![opened, held],
    ] {
        let account = given::<Account>(broken).state().unwrap();
        assert_eq!(account.status(), Status::Inconsistent);
        let refused = account.decide_leg(Side::Credit, eur("1"), morning().0);
        assert_eq!(refused, Err(AccountRefusal::Inconsistent));
    }
}

#[test]
fn metadata_changes_name_by_name_up_to_a_bound() {
    let mut book = TestBook::new();
    book.open("1", Overdraft::None);
    let change = |pairs: Vec<(String, Option<&str>)>| {
        let pairs = pairs.into_iter().map(|(key, value)| {
            let value = value.map(|value| value.to_owned().try_into().unwrap());
            (key.try_into().unwrap(), value)
        });
        AccountCommand::ChangeMetadata(MetadataChange(pairs.collect()))
    };
    let owner = |name| vec![("owner".to_owned(), name)];
    book.ask("1", change(owner(Some("ann")))).unwrap();
    book.ask("1", change(owner(Some("bob")))).unwrap();
    let noted: Vec<_> = book.account("1").metadata().iter().collect();
    assert_eq!(noted, [("owner", "bob")]);
    book.ask("1", change(owner(None))).unwrap();
    assert!(book.account("1").metadata().is_empty());
    let many = (0..51).map(|n| (format!("n{n}"), Some("x"))).collect();
    let refused = book.ask("1", change(many));
    assert_eq!(refused, Err(AccountRefusal::TooMuchMetadata { most: 50 }));
}

fn holder(subject: &str) -> Holder {
    let sealed = "1.BwcHBwcHBwcHBwcH.CQkJCQkJCQkJCQkJCQkJCQkJCQk".to_owned();
    Holder {
        subject: subject.parse().unwrap(),
        name: sealed.clone().try_into().unwrap(),
        address: None,
        email: Some(sealed.try_into().unwrap()),
    }
}

#[test]
fn the_holder_is_who_was_named_last_and_is_recorded_sealed() {
    let opening = Opening {
        holder: Some(holder("c-1")),
        ..Opening::new(currency("EUR"))
    };
    let opened = AccountEvent::AccountOpened(opening);
    let json = serde_json::to_string(&opened).unwrap();
    let sealed = "1.BwcHBwcHBwcHBwcH.CQkJCQkJCQkJCQkJCQkJCQkJCQk";
    let written = format!(r#""holder":{{"subject":"c-1","name":"{sealed}","email":"{sealed}"}}"#);
    assert!(json.contains(&written), "{json}");
    assert_eq!(serde_json::from_str::<AccountEvent>(&json).unwrap(), opened);
    let clear = json.replacen(sealed, "Ada Lovelace", 1);
    assert!(serde_json::from_str::<AccountEvent>(&clear).is_err());

    let account = given::<Account>(vec![opened.clone()]).state().unwrap();
    assert_eq!(account.holder(), Some(&holder("c-1")));
    let named = AccountEvent::HolderNamed(holder("c-2"));
    let account = given::<Account>(vec![opened, named]).state().unwrap();
    assert_eq!(account.holder(), Some(&holder("c-2")));
    let mut book = TestBook::new();
    book.open("1", Overdraft::None);
    assert_eq!(book.account("1").holder(), None);
    let name = AccountCommand::NameHolder(holder("c-1"));
    book.ask("1", name.clone()).unwrap();
    assert_eq!(book.account("1").holder(), Some(&holder("c-1")));
    close(&mut book, "1").unwrap();
    assert_eq!(book.ask("1", name), Err(AccountRefusal::Closed));
}

/// The first version wrote these; nothing of them may be read otherwise.
#[test]
fn events_of_the_first_version_mean_what_they_meant() {
    let opened = r#"{"AccountOpened":{"currency":"EUR","overdraft":{"kind":"limit","limit":{"amount":"5.00","currency":"EUR"}}}}"#;
    let debited = r#"{"AccountDebited":{"amount":{"amount":"4.00","currency":"EUR"},"contra":"bank:AB","effective_date":"1993-01-05"}}"#;
    let mut account = None;
    for json in [opened, debited] {
        let event: AccountEvent = serde_json::from_str(json).unwrap();
        account = Account::evolve(account, &event);
        assert_eq!(serde_json::to_string(&event).unwrap(), json);
    }
    let account = account.unwrap();
    assert_eq!(account.balance(), money("4.00").negated());
    assert_eq!(account.available().unwrap(), Some(money("1.00")));
}
