//! Journal entries of two legs, beside a plain-SQL ledger that is written by hand: two balance rows
//! locked in their order, the limit checked, the entry and its legs inserted, in one round trip to one
//! SQL function. Both know an entry again by its id, and neither loses one that it acknowledged.

use std::sync::Arc;

use chrono::NaiveDate;
use folio_core::store::{Append, EventStore as _, StreamWrite};
use folio_core::{
    Amount, Currency, ExpectedVersion, Fingerprint, Money, NewEvent, StreamId, Timestamp,
};
use folio_postgres::{Database, PostgresStore, Role};
use folio_runtime::{Executor, JointVerdict};
use futures_util::{StreamExt as _, stream};
use ledger_example::account::{AccountEvent, Opening, Overdraft, Side};
use ledger_example::journal::{EntryDraft, EntryId, Leg, PostEntries};
use ledger_example::moment::Moment;
use uuid::Uuid;

use crate::measure::{Measured, are_wanted, median, run, runs};
use crate::report::Report;
use crate::{Bench, next, ours, raw};

const ACCOUNTS: usize = 10_000;

const TABLES: &str = "\
CREATE TABLE public.balances (
    account text PRIMARY KEY,
    balance numeric NOT NULL,
    overdraft numeric NOT NULL,
    version bigint NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE public.entries (
    entry uuid PRIMARY KEY,
    effective_date date NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE public.entry_legs (
    entry uuid NOT NULL,
    account text NOT NULL,
    amount numeric NOT NULL,
    balance numeric NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (account, version)
);
CREATE FUNCTION public.post(p_entry uuid, p_from text, p_to text, p_amount numeric, p_date date)
RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    debited public.balances;
    credited public.balances;
BEGIN
    INSERT INTO public.entries VALUES (p_entry, p_date) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN (SELECT balance FROM public.entry_legs WHERE entry = p_entry AND account = p_from);
    END IF;
    PERFORM FROM public.balances WHERE account IN (p_from, p_to) ORDER BY account FOR UPDATE;
    UPDATE public.balances SET balance = balance - p_amount, version = version + 1
        WHERE account = p_from RETURNING * INTO debited;
    IF debited.balance + debited.overdraft < 0 THEN
        RAISE EXCEPTION 'insufficient funds';
    END IF;
    UPDATE public.balances SET balance = balance + p_amount, version = version + 1
        WHERE account = p_to RETURNING * INTO credited;
    INSERT INTO public.entry_legs VALUES
        (p_entry, p_from, -p_amount, debited.balance, debited.version),
        (p_entry, p_to, p_amount, credited.balance, credited.version);
    RETURN debited.balance;
END;
$$;";

/// Which accounts an entry is between.
#[derive(Debug, Clone, Copy)]
enum Traffic {
    /// Any two.
    Uniform,
    /// The account of rank k as often as 1/k says.
    Zipf,
    /// Seven of ten on a hundred of them.
    Hot,
    /// From any to one and the same.
    AllToOne,
}

impl Traffic {
    const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "Zipf 1.0",
            Self::Hot => "70/30 hot",
            Self::AllToOne => "all to one",
        }
    }

    fn pair(self, number: u64, ranks: &[u64]) -> (usize, usize) {
        let draw = |salt: u64, below: u64| mixed(number.wrapping_mul(4).wrapping_add(salt)) % below;
        let any = |salt| usize::try_from(draw(salt, ACCOUNTS as u64)).unwrap();
        let one = |salt| match self {
            Self::Uniform | Self::AllToOne => any(salt),
            Self::Zipf => {
                let at = draw(salt, *ranks.last().unwrap());
                ranks.partition_point(|sum| *sum <= at)
            }
            Self::Hot if draw(salt, 10) < 7 => any(salt + 2) % 100,
            Self::Hot => any(salt + 2),
        };
        let from = one(0);
        let to = if matches!(self, Self::AllToOne) {
            0
        } else {
            one(1)
        };
        if from == to {
            (from, (to + 1) % ACCOUNTS)
        } else {
            (from, to)
        }
    }
}

/// The mixing step of Vigna's `splitmix64`.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The sums of 1/k, in millionths.
fn ranks() -> Vec<u64> {
    let mut sum = 0;
    let ranks = (1..=ACCOUNTS as u64).map(|rank| {
        sum += 1_000_000 / rank;
        sum
    });
    ranks.collect()
}

/// Entries a second over 10,000 accounts.
pub(crate) async fn entries(server: &tokio_postgres::Config, report: &mut Report) {
    let ranks: Arc<[u64]> = ranks().into();
    for (traffic, goals) in [
        (Traffic::Uniform, [Some(90), Some(150), Some(200)]),
        (Traffic::Zipf, [None, None, None]),
        (Traffic::Hot, [None, None, None]),
        (Traffic::AllToOne, [None, Some(600), None]),
    ] {
        for (callers, goal) in [1, 64, 1_024].into_iter().zip(goals) {
            if !are_wanted(callers) {
                continue;
            }
            let bench = Bench::new(server).await;
            open(&bench).await;
            warm(&bench).await;
            let (mut by_hand, mut ours) = (Vec::new(), Vec::new());
            for _ in 0..runs() {
                by_hand.push(plain(&bench.database, callers.min(64), traffic, &ranks).await);
                ours.push(folio(&bench.executor, callers, traffic, &ranks).await);
            }
            let what = format!("entries, {}, {callers} callers", traffic.name());
            report.line(&what, &median(by_hand), &median(ours), goal);
        }
    }
}

async fn open(bench: &Bench) {
    let owner = bench.database.connect(Role::Owner).await.unwrap();
    let role = Role::Appender.name(bench.database.name());
    owner
        .batch_execute(&format!(
            "{TABLES} GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; \
             INSERT INTO public.balances \
             SELECT 'a' || n, 0, 1000000000, 0 FROM generate_series(0, {ACCOUNTS} - 1) n; \
             ANALYZE public.balances"
        ))
        .await
        .unwrap();
    let opening = Opening {
        overdraft: Overdraft::Limit {
            limit: amount("1000000000.00"),
        },
        ..Opening::new(euro())
    };
    let opened = NewEvent::encode(&AccountEvent::AccountOpened(opening)).unwrap();
    let all: Vec<usize> = (0..ACCOUNTS).collect();
    for some in all.chunks(200) {
        let write = |number: &usize| StreamWrite {
            stream: StreamId::new("account", format!("a{number}")).unwrap(),
            expected: ExpectedVersion::Any,
            events: vec![opened.clone()],
        };
        let writes = some.iter().map(write).collect();
        let request = Append::events(ours::context(), Fingerprint::of(&[]), writes);
        bench.store.append(request).await.unwrap();
    }
}

/// Has each account in memory, as it is in the server's: what is measured is how it goes on.
async fn warm(bench: &Bench) {
    let all: Vec<usize> = (0..ACCOUNTS).collect();
    let posting =
        stream::iter(all.chunks_exact(2)).map(|pair| post(&bench.executor, pair[0], pair[1]));
    posting.buffer_unordered(64).collect::<Vec<_>>().await;
}

async fn plain(
    database: &Database,
    callers: usize,
    traffic: Traffic,
    ranks: &Arc<[u64]>,
) -> Measured {
    let pool = database.pool(Role::Appender, raw::CONNECTIONS).unwrap();
    let (amount, ranks) = (amount("0.01").money().amount(), Arc::clone(ranks));
    run(callers, move |_| {
        let (pool, ranks) = (pool.clone(), Arc::clone(&ranks));
        async move {
            let (from, to) = traffic.pair(next(), &ranks);
            let (from, to) = (format!("a{from}"), format!("a{to}"));
            let mut client = pool.get().await.unwrap();
            let post = client
                .prepare_cached("SELECT public.post($1, $2, $3, $4, $5)")
                .await
                .unwrap();
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&Uuid::now_v7(), &from, &to, &amount, &date()];
            client.query_one(&post, &parameters).await.unwrap();
            client.finished();
            1
        }
    })
    .await
}

async fn folio(
    executor: &Executor<Arc<PostgresStore>>,
    callers: usize,
    traffic: Traffic,
    ranks: &Arc<[u64]>,
) -> Measured {
    let (executor, ranks) = (executor.clone(), Arc::clone(ranks));
    run(callers, move |_| {
        let (executor, ranks) = (executor.clone(), Arc::clone(&ranks));
        async move {
            let (from, to) = traffic.pair(next(), &ranks);
            post(&executor, from, to).await;
            1
        }
    })
    .await
}

async fn post(executor: &Executor<Arc<PostgresStore>>, from: usize, to: usize) {
    let context = ours::context();
    let leg = |number: usize, side| Leg {
        account: format!("a{number}").parse().unwrap(),
        side,
        amount: amount("0.01"),
    };
    let command = PostEntries {
        entries: vec![EntryDraft {
            id: EntryId::of_command(context.id),
            legs: vec![leg(from, Side::Debit), leg(to, Side::Credit)],
            effective_date: Some(date()),
            reference: None,
            description: None,
            exchange: None,
        }],
        now: Moment(Timestamp::from_micros(1_780_000_000_000_000)),
    };
    let reply = executor.record_jointly(&command, context).await.unwrap();
    assert!(
        matches!(reply.verdict, JointVerdict::Accepted { .. }),
        "{reply:?}"
    );
}

fn euro() -> Currency {
    Currency::from_code("EUR").unwrap()
}

fn amount(text: &str) -> Amount {
    Amount::try_from(Money::parse(text, euro()).unwrap()).unwrap()
}

fn date() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 5, 28).unwrap()
}
