//! A second build beside the live one: filled, compared, swapped, gone back from, whatever dies meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use folio_core::{EventStore, InMemoryStore, RecordedEvent};
use folio_postgres::Role;
use folio_projections::{
    Begun, BuildState, Comparison, Filling, ModelTransaction, OperationError, Projection,
    ProjectionName, Projector, ProjectorError, ReadModelError, Reader, Settings, Status,
    StoreSource, Upgrade,
};
use folio_tests::postgres;

use super::kit::{
    Models, PATIENCE, Positions, Running, SETTINGS, append, append_over, at, one_to, operator,
    wait_until,
};

fn filling(partitions: u16) -> Filling {
    Filling {
        partitions,
        events_per_second: None,
    }
}

/// Waits until a build is as far as the live one, but for what is written in a moment.
async fn is_filled(projection: &Projection, build: i32) {
    is_within(projection, build, 300).await;
}

async fn is_within(projection: &Projection, build: i32, events: i64) {
    let filled = async {
        loop {
            let builds = projection.builds().await.unwrap();
            let position = |number: i32| {
                let found = builds.iter().find(|build| build.name.build == number);
                found.unwrap().position()
            };
            let live = builds.iter().find(|build| build.state == BuildState::Live);
            let live = position(live.unwrap().name.build);
            if live.events_since(position(build)) <= events && position(build) != at(0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, filled)
        .await
        .expect("it is filled");
}

/// Writers append all the time, readers read all the time, and each reading is of one whole model: all
/// positions up to the one that it says, and no more.
#[tokio::test]
async fn a_rebuild_beside_live_traffic_is_never_seen_half_built() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append_over(&store, 5, 300).await;
    let running = Running::start(Positions::default(), Arc::clone(&store), &models).await;
    running.reaches(300).await;
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            loop {
                append_over(&store, 5, 1).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let reader = tokio::spawn({
        let reader = running.projection.reader(1).unwrap();
        async move {
            let (mut builds, mut last) = (Vec::new(), 0);
            loop {
                let reading = reader.read().await.unwrap();
                let all = "SELECT ARRAY(SELECT position FROM positions ORDER BY position)";
                let positions: Vec<i64> = reading.query_one(all, &[]).await.unwrap().get(0);
                let (position, build) = (reading.position().number(), reading.build().build);
                reading.close().await.unwrap();
                assert_eq!(positions, one_to(position));
                assert!(position >= last, "from {last} back to {position}");
                last = position;
                if builds.last() != Some(&build) {
                    builds.push(build);
                }
                if build == 3 {
                    return builds;
                }
            }
        }
    });
    let projection = &running.projection;
    for build in [2, 3] {
        let begun = projection.rebuild(filling(1), &operator()).await.unwrap();
        assert_eq!(begun.build().build, build);
        is_filled(projection, build).await;
        projection.swap(build, &operator()).await.unwrap();
    }
    let seen = tokio::time::timeout(PATIENCE, reader)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(seen, [1, 2, 3]);
    writer.abort();
    let head = store.head().await.unwrap().number();
    running.reaches(head).await;
    assert_eq!(models.positions().await, one_to(head));
    // The full rebuild is equal to what was written along, row by row, with its traffic beside it.
    for build in [1, 2] {
        let diff = projection.diff(build).await.unwrap();
        assert!(diff.is_empty(), "{diff:?}");
        assert_eq!(diff.position, at(head));
    }
    running.stop().await;
}

/// The process dies while a build is filled, while it is swapped, and right after; another one goes on.
#[tokio::test]
async fn a_crash_in_any_phase_of_a_rebuild_loses_nothing() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append_over(&store, 5, 400).await;
    let start = async || Running::start(Positions::default(), Arc::clone(&store), &models).await;
    let running = start().await;
    running.reaches(400).await;
    let begun = running.projection.rebuild(filling(2), &operator()).await;
    assert!(matches!(begun.unwrap(), Begun::Now(_)));

    // While it is filled.
    let mut running = running;
    for deaths in 1..=20_u64 {
        running.kill().await;
        append_over(&store, 5, 5).await;
        running = start().await;
        let begun = running.projection.rebuild(filling(2), &operator()).await;
        assert!(matches!(begun.unwrap(), Begun::Before(_)));
        tokio::time::sleep(Duration::from_millis(deaths)).await;
    }
    is_filled(&running.projection, 2).await;

    // While it is swapped: the future is left at one poll after another.
    let mut left = 0;
    for polls in 0.. {
        let (projection, by) = (running.projection.clone(), operator());
        let mut swapping = Box::pin(async move { projection.swap(2, &by).await });
        let mut is_over = false;
        for _ in 0..=polls {
            tokio::select! {
                biased;
                swapped = &mut swapping => { swapped.unwrap(); is_over = true; break; }
                () = tokio::task::yield_now() => {}
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(swapping);
        // One of the two is live, and answers.
        let (positions, position) = models.positions_and_checkpoint().await;
        assert_eq!(positions, one_to(position));
        if is_over {
            break;
        }
        left += 1;
        let builds = running.projection.builds().await.unwrap();
        if builds[1].state == BuildState::Live {
            break;
        }
    }
    assert!(left > 1, "it was left {left} times");

    // Right after.
    running.kill().await;
    append_over(&store, 5, 10).await;
    let running = start().await;
    let head = store.head().await.unwrap().number();
    running.reaches(head).await;
    let builds = running.projection.builds().await.unwrap();
    assert_eq!(builds[0].state, BuildState::Kept);
    assert_eq!(builds[1].state, BuildState::Live);
    assert_eq!(models.positions().await, one_to(head));
    running.stop().await;
}

#[tokio::test]
async fn one_can_go_back_to_a_build_that_is_kept_and_drop_the_other() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 50).await;
    let running = Running::start(Positions::default(), Arc::clone(&store), &models).await;
    running.reaches(50).await;
    let (projection, by) = (&running.projection, operator());
    let nothing = projection.roll_back(&by).await;
    assert!(matches!(nothing, Err(OperationError::NothingKept { .. })));
    projection.rebuild(filling(1), &by).await.unwrap();
    is_within(projection, 2, 0).await;
    projection.swap(2, &by).await.unwrap();
    // The kept one is kept up to date.
    append(&store, 50).await;
    running.reaches(100).await;
    assert_eq!(projection.roll_back(&by).await.unwrap().build, 1);
    append(&store, 1).await;
    running.reaches(101).await;
    let reading = running.projection.reader(1).unwrap().read().await.unwrap();
    assert_eq!(reading.build().build, 1);
    drop(reading);
    assert_eq!(models.positions().await, one_to(101));

    assert!(projection.drop_build(1, &by).await.is_err());
    projection.drop_build(2, &by).await.unwrap();
    assert!(projection.drop_build(2, &by).await.is_err());
    assert!(matches!(
        projection.swap(2, &by).await,
        Err(OperationError::NoBuild { .. })
    ));
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'positions%'";
    assert_eq!(models.ask(left).await, [1]);
    // A number is not given again.
    let next = projection.rebuild(filling(1), &by).await.unwrap();
    assert_eq!(next.build().build, 3);
    // It begins again when told to.
    is_filled(projection, 3).await;
    projection.restart(3, &by).await.unwrap();
    assert!(projection.restart(1, &by).await.is_err());
    is_filled(projection, 3).await;
    assert!(projection.diff(3).await.unwrap().is_empty());
    let done = "SELECT count(*) FROM projections.operations WHERE actor = 'operator'";
    assert_eq!(models.ask(done).await, [6]);
    running.stop().await;
}

/// The control of all comparisons here: a row that was altered, removed or added is found and shown.
#[tokio::test]
async fn a_row_that_differs_is_found_and_shown() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 50).await;
    let running = Running::start(Positions::default(), Arc::clone(&store), &models).await;
    running.reaches(50).await;
    running
        .projection
        .rebuild(filling(1), &operator())
        .await
        .unwrap();
    is_filled(&running.projection, 2).await;
    let altered = "UPDATE positions_1.positions SET position = 70 WHERE position = 7";
    for (change, differing) in [
        ("SELECT", 0),
        (altered, 2),
        ("DELETE FROM positions_1.positions WHERE position = 8", 3),
        ("INSERT INTO positions_2.positions VALUES (80)", 4),
    ] {
        models.execute(change).await;
        let diff = running.projection.diff(2).await.unwrap();
        assert_eq!(diff.is_empty(), differing == 0, "{diff:?}");
        let Comparison::Compared {
            differing: found,
            rows,
        } = &diff.tables[0].comparison
        else {
            panic!("{diff:?}")
        };
        assert_eq!(
            (*found, rows.len()),
            (differing, usize::try_from(differing).unwrap())
        );
    }
    running.stop().await;
}

/// A new revision of the code, started beside or after the old one.
#[tokio::test]
async fn a_new_revision_fills_a_build_of_its_own_and_goes_live() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 200).await;
    let old = Running::start(Positions::default(), Arc::clone(&store), &models).await;
    old.reaches(200).await;

    let by_hand = Settings {
        upgrade: Upgrade::ByHand,
        ..SETTINGS
    };
    let second = Positions::of_revision(2);
    let new = Running::start_with(second, Arc::clone(&store), &models, by_hand).await;
    is_filled(&new.projection, 2).await;
    // Until then the old one is served, and the new code does not read what it does not know.
    assert_eq!(new.progress.status(), Status::OtherRevision { live: 1 });
    let refused = new.projection.reader(1).unwrap().read().await;
    assert!(matches!(
        refused,
        Err(ReadModelError::OtherRevision { live: 1, .. })
    ));
    assert_eq!(models.positions().await, one_to(200));
    new.stop().await;

    // The old process dies, and the new one does the swap on its own.
    old.kill().await;
    append(&store, 50).await;
    let second = Positions::of_revision(2);
    let new = Running::start(second, Arc::clone(&store), &models).await;
    new.reaches(250).await;
    let pool = models.database().pool(Role::Reader, 1).unwrap();
    let reader = Reader::new(pool, ProjectionName::new("positions", 2));
    assert_eq!(models.positions_of(&reader).await, (one_to(250), 250));
    // An old process that is started late does no harm.
    let late = Running::start(Positions::default(), Arc::clone(&store), &models).await;
    wait_until(|| late.progress.status() == Status::OtherRevision { live: 2 }).await;
    late.stop().await;
    new.stop().await;
}

/// The new revision cannot take in one of the last events. It is near, and it never comes there: the old one must not
/// stand still for it, neither on the program's own account nor because somebody asks for the swap.
#[tokio::test]
async fn a_new_revision_that_is_stuck_does_not_hold_up_the_live_one() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 200).await;
    let old = Running::start(Positions::default(), Arc::clone(&store), &models).await;
    old.reaches(200).await;
    let second = Positions::of_revision(2);
    second.poison.store(198, Ordering::SeqCst);
    let new = Running::start(second, Arc::clone(&store), &models).await;
    // Four behind, and there it stays.
    is_within(&new.projection, 2, 4).await;
    let projection = new.projection.clone();
    let swap = tokio::spawn(async move { projection.swap(2, &operator()).await });
    for head in 201.. {
        append(&store, 1).await;
        let reached = old.progress.wait_for(at(head), Duration::from_secs(5));
        reached.await.unwrap();
        if swap.is_finished() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let swapped = swap.await.unwrap();
    assert!(
        matches!(swapped, Err(OperationError::NotFilled { .. })),
        "{swapped:?}"
    );
    new.stop().await;
    old.stop().await;
}

/// Somebody is at work on the live build, such as sharing it out. That a new revision is filled is no reason to break that off.
#[tokio::test]
async fn an_operation_that_is_under_way_is_not_broken_off() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 50).await;
    let old = Running::start(Positions::default(), Arc::clone(&store), &models).await;
    old.reaches(50).await;
    let hold = "UPDATE projections.checkpoints \
                SET epoch = epoch + 1, owner = 'operator', held_until = now() + interval '1 hour'";
    models.execute(hold).await;
    let epoch = "SELECT epoch FROM projections.checkpoints WHERE build = 1";
    let held = models.ask(epoch).await;
    let second = Positions::of_revision(2);
    let new = Running::start(second, Arc::clone(&store), &models).await;
    is_within(&new.projection, 2, 0).await;
    // It is looked at whether it can go live, and more than once.
    for _ in 0..20 {
        tokio::time::sleep(SETTINGS.lease / 6).await;
        assert_eq!(models.ask(epoch).await, held);
    }
    // It went away without a word, and its time is over.
    let over = "UPDATE projections.checkpoints SET held_until = now() - interval '1 second'";
    models.execute(over).await;
    append(&store, 10).await;
    new.reaches(60).await;
    let builds = new.projection.builds().await.unwrap();
    assert_eq!(builds[1].state, BuildState::Live);
    new.stop().await;
    old.stop().await;
}

/// Whoever lets a build begin again has seen that it is not live. Somebody makes it live in that moment.
#[tokio::test]
async fn a_build_that_has_just_gone_live_is_not_emptied() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 50).await;
    let running = Running::start(Positions::default(), Arc::clone(&store), &models).await;
    running.reaches(50).await;
    let by = operator();
    running.projection.rebuild(filling(1), &by).await.unwrap();
    is_within(&running.projection, 2, 0).await;
    let mut swapping = postgres::superuser(models.database()).await;
    let swap = swapping.transaction().await.unwrap();
    swap.batch_execute(
        "UPDATE projections.builds SET state = 'kept' WHERE build = 1; \
         UPDATE projections.builds SET state = 'live', live_since = now() WHERE build = 2",
    )
    .await
    .unwrap();
    let projection = running.projection.clone();
    let restart = tokio::spawn(async move { projection.restart(2, &operator()).await });
    let waits = "SELECT count(*) FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let waiting = async { while models.ask(waits).await == [0] && !restart.is_finished() {} };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "this swap is not ours")]
    swap.commit().await.unwrap();
    let restarted = restart.await.unwrap();
    assert!(
        matches!(restarted, Err(OperationError::NotBuilding { .. })),
        "{restarted:?}"
    );
    assert_eq!(models.positions().await, one_to(50));
    running.stop().await;
}

/// Writes what it takes in into its model, and into an outbox that outlives all builds.
#[derive(Clone, Copy)]
struct Outbox;

#[async_trait]
impl Projector for Outbox {
    fn name(&self) -> ProjectionName {
        ProjectionName::new("positions", 1)
    }

    fn tables(&self) -> &str {
        "CREATE TABLE positions (position bigint PRIMARY KEY)"
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        let positions: Vec<i64> = events.iter().map(|e| e.position.number()).collect();
        let positions = &positions;
        let rows = model.insert("positions").key("position", positions);
        rows.execute().await
    }

    async fn effects(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        let positions: Vec<i64> = events.iter().map(|e| e.position.number()).collect();
        let send = "INSERT INTO public.outbox SELECT unnest($1::bigint[])";
        model.execute(send, &[&positions]).await?;
        Ok(())
    }
}

/// Builds come and go, of several partitions that are not equally far, with appends all the time.
#[tokio::test]
async fn each_effect_is_written_once_whichever_build_is_live() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    let projector = Role::Projector.name(models.database().name());
    models
        .execute(&format!(
            "CREATE TABLE public.outbox (position bigint); GRANT INSERT ON public.outbox TO {projector}"
        ))
        .await;
    append_over(&store, 9, 100).await;
    let running = Running::start(Outbox, Arc::clone(&store), &models).await;
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            loop {
                append_over(&store, 9, 9).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let (projection, by) = (&running.projection, operator());
    for (build, partitions) in [(2, 3), (3, 1), (4, 4), (5, 2)] {
        projection.rebuild(filling(partitions), &by).await.unwrap();
        is_filled(projection, build).await;
        swap_in_time(projection, build).await;
        if build % 2 == 0 {
            let kept = projection.builds().await.unwrap();
            let kept = kept.iter().rev().find(|b| b.state == BuildState::Kept);
            swap_in_time(projection, kept.unwrap().name.build).await;
            swap_in_time(projection, build).await;
        }
    }
    writer.abort();
    let _ = writer.await;
    let head = store.head().await.unwrap().number();
    running.reaches(head).await;
    running.stop().await;
    let sent = models
        .ask("SELECT position FROM public.outbox ORDER BY position")
        .await;
    assert_eq!(sent, one_to(head));
    assert_eq!(models.positions().await, one_to(head));
}

/// Right after a swap the next one may have to wait until the new build is past where the old one was.
async fn swap_in_time(projection: &Projection, build: i32) {
    let swapped = async {
        while let Err(error) = projection.swap(build, &operator()).await {
            assert!(
                matches!(
                    error,
                    OperationError::NotFilled { .. } | OperationError::Interrupted { .. }
                ),
                "{error:?}"
            );
        }
    };
    tokio::time::timeout(PATIENCE, swapped)
        .await
        .expect("it is swapped");
}

/// What is filled at a rate is filled no faster, whatever there is to read.
#[tokio::test]
async fn a_build_is_filled_no_faster_than_it_may() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 100).await;
    let running = Running::start(Positions::default(), Arc::clone(&store), &models).await;
    running.reaches(100).await;
    let slowly = Filling {
        partitions: 1,
        events_per_second: Some(200),
    };
    let started = std::time::Instant::now();
    running
        .projection
        .rebuild(slowly, &operator())
        .await
        .unwrap();
    is_within(&running.projection, 2, 0).await;
    // 100 events in batches of 7: after the 98th it has slept for 490 ms.
    let elapsed = started.elapsed();
    assert!(elapsed >= Duration::from_millis(480), "{elapsed:?}");
    running.stop().await;
}

/// Two processes open the projection for the first time at once.
#[tokio::test]
async fn the_first_build_is_made_once() {
    let models = Models::new().await;
    let store = Arc::new(InMemoryStore::default());
    let open = || {
        let source = StoreSource::new(Arc::clone(&store));
        Projection::open(Positions::default(), source, models.database(), SETTINGS)
    };
    let (a, b, c) = tokio::join!(open(), open(), open());
    for projection in [a.unwrap(), b.unwrap(), c.unwrap()] {
        assert_eq!(projection.builds().await.unwrap().len(), 1);
    }
}
