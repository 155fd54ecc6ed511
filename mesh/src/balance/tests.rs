use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use folio_core::breaker::{BreakerSettings, CallOutcome, Mode, Phase};
use tokio::time::{Instant, sleep};

use super::*;
use crate::discovery::{
    Incarnation, Instance, InstanceId, Revision, ServiceName, Snapshot, Status, WatchSource,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

fn service() -> ServiceName {
    "accounts".parse().unwrap()
}

fn instance(name: &str, status: Status) -> Instance {
    Instance {
        service: service(),
        id: id(name),
        incarnation: Incarnation::new(1),
        address: "127.0.0.1:1".parse().unwrap(),
        status,
    }
}

fn of(instances: &[(&str, Status)]) -> Snapshot {
    let instances = instances
        .iter()
        .map(|(name, status)| instance(name, *status));
    Snapshot {
        revision: Revision::new(1),
        instances: instances.collect(),
    }
}

fn serving(names: &[&str]) -> Snapshot {
    of(&names
        .iter()
        .map(|name| (*name, Status::Serving))
        .collect::<Vec<_>>())
}

fn balancer(snapshot: Snapshot) -> (WatchSource, Arc<Balancer>) {
    let source = WatchSource::new(snapshot);
    let balancer = Balancer::new(service(), source.watch(), BalanceSettings::default());
    (source, Arc::new(balancer.unwrap()))
}

async fn picked(balancer: &Balancer, by: Pick<'_>) -> String {
    let call = balancer.pick(by, &[]).await.unwrap();
    let id = call.instance().id.to_string();
    call.record(CallOutcome::Success);
    id
}

/// Callers who ask one after the other for so long; how long an instance takes to do what is in the table. Answers how many
/// requests each got.
async fn asked(
    balancer: &Arc<Balancer>,
    callers: usize,
    time: Duration,
    table: &[(&str, Duration, CallOutcome)],
) -> BTreeMap<String, u32> {
    let counts: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let until = Instant::now() + time;
    let callers = (0..callers).map(|caller| {
        let table: BTreeMap<String, (Duration, CallOutcome)> = table
            .iter()
            .map(|(name, takes, outcome)| ((*name).to_owned(), (*takes, *outcome)))
            .collect();
        let (balancer, counts) = (Arc::clone(balancer), Arc::clone(&counts));
        tokio::spawn(async move {
            // Not all at the same moment.
            sleep(Duration::from_micros(37 * caller as u64)).await;
            while Instant::now() < until {
                let call = balancer.pick(Pick::Load, &[]).await.unwrap();
                let name = call.instance().id.to_string();
                let (takes, outcome) = table[&name];
                *counts.lock().unwrap().entry(name).or_default() += 1;
                sleep(takes).await;
                call.record(outcome);
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let counts = counts.lock().unwrap();
    counts.clone()
}

#[tokio::test(start_paused = true)]
async fn equal_instances_are_asked_alike() {
    let (_source, balancer) = balancer(serving(&["a", "b", "c"]));
    let table = ["a", "b", "c"].map(|name| (name, 10 * MS, CallOutcome::Success));
    let counts = asked(&balancer, 16, 10 * SECOND, &table).await;
    let all: u32 = counts.values().sum();
    for (name, count) in &counts {
        let share = f64::from(*count) / f64::from(all);
        assert!((0.28..0.39).contains(&share), "{name} has {share}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_ten_times_as_slow_has_less_than_a_tenth() {
    let (_source, balancer) = balancer(serving(&["a", "b", "slow"]));
    let table = [
        ("a", 10 * MS, CallOutcome::Success),
        ("b", 10 * MS, CallOutcome::Success),
        ("slow", 100 * MS, CallOutcome::Success),
    ];
    asked(&balancer, 16, 5 * SECOND, &table).await;
    let counts = asked(&balancer, 16, 10 * SECOND, &table).await;
    let all: u32 = counts.values().sum();
    assert!(counts["slow"] * 10 < all, "{counts:?}");
}

/// To whoever only counts how quick answers are, the one that fails at once is the best.
#[tokio::test(start_paused = true)]
async fn an_instance_that_fails_at_once_draws_no_requests() {
    let source = WatchSource::new(serving(&["a", "b", "fails"]));
    // A breaker that never opens: the average alone has to do it.
    let settings = BalanceSettings {
        breaker: BreakerSettings {
            calls_min: 1_000_000,
            consecutive_failures: Some(1_000_000),
            ..BreakerSettings::default()
        },
        ..BalanceSettings::default()
    };
    let balancer = Balancer::new(service(), source.watch(), settings);
    let balancer = Arc::new(balancer.unwrap());
    let table = [
        ("a", 10 * MS, CallOutcome::Success),
        ("b", 10 * MS, CallOutcome::Success),
        ("fails", MS / 10, CallOutcome::Failure),
    ];
    let counts = asked(&balancer, 16, 10 * SECOND, &table).await;
    let all: u32 = counts.values().sum();
    assert!(counts["fails"] * 50 < all, "{counts:?}");
}

/// Where four of five look broken, something is wrong with all of them or with who looks. The one that is left is not made to
/// do the work of all.
#[tokio::test(start_paused = true)]
async fn no_more_than_a_part_of_the_instances_is_taken_out() {
    for (ejected_percent_max, are_asked) in [(67, true), (100, false)] {
        let source = WatchSource::new(serving(&["a", "b", "c", "d", "e"]));
        let settings = BalanceSettings {
            ejected_percent_max,
            ..BalanceSettings::default()
        };
        let balancer = Balancer::new(service(), source.watch(), settings).unwrap();
        let out = || {
            let states = balancer.states();
            let is_out = |state: &&EndpointState| state.phase == Phase::Open;
            states.iter().filter(is_out).count()
        };
        for _ in 0..1_000 {
            let call = balancer.pick_now(Pick::Load, &[]).unwrap();
            match call.instance().id.as_str() {
                "e" => call.record(CallOutcome::Success),
                _ => call.record(CallOutcome::Failure),
            }
            if out() == 4 {
                break;
            }
            sleep(MS).await;
        }
        assert_eq!(out(), 4);
        let mut others = 0;
        for _ in 0..200 {
            let call = balancer.pick_now(Pick::Load, &[]).unwrap();
            others += usize::from(call.instance().id.as_str() != "e");
            call.record(CallOutcome::Ignored);
        }
        assert_eq!(others > 0, are_asked, "{others} of 200");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_back_is_asked_again() {
    let (_source, balancer) = balancer(serving(&["a", "b"]));
    let mut table = [
        ("a", 10 * MS, CallOutcome::Success),
        ("b", 10 * MS, CallOutcome::Failure),
    ];
    let counts = asked(&balancer, 8, 10 * SECOND, &table).await;
    assert!(counts["b"] < 100, "{counts:?}");
    table[1].2 = CallOutcome::Success;
    asked(
        &balancer,
        8,
        BreakerSettings::default().open_max + SECOND,
        &table,
    )
    .await;
    let counts = asked(&balancer, 8, 10 * SECOND, &table).await;
    let all: u32 = counts.values().sum();
    assert!(counts["b"] * 3 > all, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn where_all_are_taken_out_all_are_asked() {
    let (_source, balancer) = balancer(serving(&["a", "b"]));
    let table = ["a", "b"].map(|name| (name, 10 * MS, CallOutcome::Failure));
    let counts = asked(&balancer, 4, 10 * SECOND, &table).await;
    let phases: Vec<Phase> = balancer.states().iter().map(|state| state.phase).collect();
    assert!(
        phases.iter().all(|phase| *phase != Phase::Closed),
        "{phases:?}"
    );
    let all: u32 = counts.values().sum();
    assert!(all >= 3_900, "nobody waits for a breaker: {counts:?}");
}

#[tokio::test(start_paused = true)]
async fn where_there_is_nobody_that_is_said_soon() {
    let (source, balancer) = balancer(Snapshot::default());
    let began = Instant::now();
    let nobody = balancer.pick(Pick::Load, &[]).await.unwrap_err();
    assert_eq!((nobody.tried, began.elapsed()), (0, 500 * MS));
    // Whoever comes within that time is asked.
    let asking = {
        let balancer = Arc::clone(&balancer);
        tokio::spawn(async move { picked(&balancer, Pick::Load).await })
    };
    sleep(200 * MS).await;
    source.confirm(serving(&["a"]));
    assert_eq!(asking.await.unwrap(), "a");
}

#[tokio::test(start_paused = true)]
async fn who_was_tried_is_not_asked_again() {
    let (_source, balancer) = balancer(serving(&["a", "b"]));
    for _ in 0..20 {
        let call = balancer.pick(Pick::Load, &[id("a")]).await.unwrap();
        assert_eq!(call.instance().id, id("b"));
    }
    let began = Instant::now();
    let none = balancer.pick(Pick::Load, &[id("a"), id("b")]).await;
    assert_eq!(
        (none.unwrap_err().tried, began.elapsed()),
        (2, Duration::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn requests_of_a_key_meet_at_one_instance_while_it_is_there() {
    let (source, balancer) = balancer(serving(&["a", "b", "c"]));
    let home = picked(&balancer, Pick::Key(b"alice")).await;
    for _ in 0..20 {
        assert_eq!(picked(&balancer, Pick::Key(b"alice")).await, home);
    }
    let homes: Vec<String> = {
        let mut homes = Vec::new();
        for account in 0..100_u32 {
            homes.push(picked(&balancer, Pick::Key(&account.to_be_bytes())).await);
        }
        homes
    };
    assert!(
        ["a", "b", "c"]
            .iter()
            .all(|name| homes.contains(&(*name).to_owned()))
    );
    // It says that it is about to go: then they meet elsewhere.
    let statuses = ["a", "b", "c"].map(|name| {
        let status = if name == home {
            Status::Draining
        } else {
            Status::Serving
        };
        (name, status)
    });
    source.confirm(of(&statuses));
    let next = picked(&balancer, Pick::Key(b"alice")).await;
    assert_ne!(next, home);
    for _ in 0..20 {
        assert_eq!(picked(&balancer, Pick::Key(b"alice")).await, next);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_about_to_go_is_asked_only_where_nobody_else_is_there() {
    let (source, balancer) = balancer(of(&[("a", Status::Draining), ("b", Status::Starting)]));
    assert_eq!(picked(&balancer, Pick::Load).await, "a");
    source.confirm(of(&[("a", Status::Draining), ("b", Status::Serving)]));
    for _ in 0..20 {
        assert_eq!(picked(&balancer, Pick::Load).await, "b");
    }
}

/// What is under way at an instance is counted on when it says something else of itself.
#[tokio::test(start_paused = true)]
async fn an_instance_is_the_same_when_its_status_changes_and_another_when_it_starts_anew() {
    let (source, balancer) = balancer(serving(&["a"]));
    let call = balancer.pick(Pick::Load, &[]).await.unwrap();
    source.confirm(of(&[("a", Status::Draining)]));
    assert_eq!(balancer.states()[0].under_way, 1);
    call.record(CallOutcome::Success);
    assert_eq!(balancer.states()[0].under_way, 0);
    let mut anew = serving(&["a"]);
    anew.instances[0].incarnation = Incarnation::new(2);
    for _ in 0..5 {
        let call = balancer.pick(Pick::Load, &[]).await.unwrap();
        call.record(CallOutcome::Failure);
    }
    assert_eq!(balancer.states()[0].phase, Phase::Open);
    source.confirm(anew);
    assert_eq!(balancer.states()[0].phase, Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_operator_takes_an_instance_out_for_good() {
    let (_source, balancer) = balancer(serving(&["a", "b"]));
    assert!(balancer.set_mode(&id("a"), Mode::ForcedOpen));
    assert!(!balancer.set_mode(&id("z"), Mode::ForcedOpen));
    for _ in 0..20 {
        assert_eq!(picked(&balancer, Pick::Load).await, "b");
    }
    assert!(balancer.set_mode(&id("b"), Mode::ForcedOpen));
    assert!(balancer.pick(Pick::Load, &[]).await.is_err());
}

/// The next incarnation is another process in the same place: what was wrong with that was not the process alone.
#[tokio::test(start_paused = true)]
async fn what_an_operator_has_taken_out_stays_out_when_it_is_started_again() {
    let (source, balancer) = balancer(serving(&["a", "b"]));
    assert!(balancer.set_mode(&id("a"), Mode::ForcedOpen));
    assert_eq!(picked(&balancer, Pick::Load).await, "b");
    let started_again = |incarnation| {
        let mut snapshot = serving(&["a", "b"]);
        snapshot.instances[0].incarnation = Incarnation::new(incarnation);
        snapshot
    };
    // Gone for a while, and back.
    source.confirm(serving(&["b"]));
    assert_eq!(picked(&balancer, Pick::Load).await, "b");
    source.confirm(started_again(2));
    for _ in 0..20 {
        assert_eq!(picked(&balancer, Pick::Load).await, "b");
    }
    assert_eq!(balancer.states()[0].phase, Phase::ForcedOpen);
    assert!(balancer.set_mode(&id("a"), Mode::Automatic));
    source.confirm(started_again(3));
    assert_eq!(balancer.states()[0].phase, Phase::Closed);
}

/// Nobody waits for it long enough to see it fail, and so its breaker never hears of it.
#[tokio::test(start_paused = true)]
async fn an_instance_that_hangs_does_not_draw_clients_that_give_up() {
    for gives_up in [GivesUp::ByItsDeadline, GivesUp::AndIsGone] {
        let (_source, balancer) = balancer(serving(&["a", "b", "hangs"]));
        let until = Instant::now() + 60 * SECOND;
        let callers = (0..16_u64).map(|caller| {
            let balancer = Arc::clone(&balancer);
            tokio::spawn(async move {
                sleep(Duration::from_micros(37 * caller)).await;
                let (mut all, mut hanging) = (0_u32, 0_u32);
                while Instant::now() < until {
                    let call = balancer.pick(Pick::Load, &[]).await.unwrap();
                    all += 1;
                    if call.instance().id != id("hangs") {
                        sleep(10 * MS).await;
                        call.record(CallOutcome::Success);
                        continue;
                    }
                    hanging += 1;
                    sleep(300 * MS).await;
                    match gives_up {
                        GivesUp::ByItsDeadline => call.record(CallOutcome::Abandoned),
                        GivesUp::AndIsGone => drop(call),
                    }
                }
                (all, hanging)
            })
        });
        let (mut all, mut hanging) = (0, 0);
        for caller in callers.collect::<Vec<_>>() {
            let (one, of_it) = caller.await.unwrap();
            (all, hanging) = (all + one, hanging + of_it);
        }
        assert!(hanging * 50 < all, "{gives_up:?}: {hanging} of {all}");
    }
}

#[derive(Debug, Clone, Copy)]
enum GivesUp {
    ByItsDeadline,
    AndIsGone,
}
