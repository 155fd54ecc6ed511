//! Operators look after the read model with the program, beside a running service and without one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use folio_core::InMemoryStore;
use folio_operator::projections::{self, RebuildArgs};
use folio_operator::{Desk, Finding, OperatorError, ProjectionsArgs, ProjectionsCommand};
use folio_postgres::Database;
use folio_projections::{BuildState, Projection, StoreSource};
use folio_tests::api::Api;
use folio_tests::postgres::{self, BookDatabases};
use folio_tests::process::{Ended, PATIENCE, Program, command, run};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::watch;

use crate::projections::kit::{Models, Positions, Running, SETTINGS, append, one_to, operator};

/// One more than a runner reads at once, so that a bound on the rate has it wait in between.
const MANY: usize = 1_001;

#[tokio::test]
async fn a_paused_model_stands_still_until_it_is_resumed() {
    let api = api_with_accounts().await;
    let book = Book::of(&api);
    let status = book.json("status", 0).await;
    assert_eq!(
        (&status["is_well"], &status["troubles"]),
        (&json!(true), &json!([]))
    );
    let build = &status["builds"][0];
    assert_eq!(
        (&build["build"], &build["state"]),
        (&json!(1), &json!("live"))
    );
    let partition = &build["by_partition"][0];
    assert_eq!(partition["position"], build["head"]);
    assert!(
        partition["owner"].as_str().unwrap().starts_with("process "),
        "{partition}"
    );

    book.does("pause balances --reason a-look").await;
    let posted = api.posting("1", "credits", "1.00").await;
    let path = format!("/v1/accounts/1/balance?min_position={}", posted.token());
    let refused = api.get(&path).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "position_not_reached")
    );
    let list = book.json("list", 0).await;
    let paused = json!({"by": "ann", "reason": "a-look"});
    assert_eq!(
        (&list[0]["paused"], &list[0]["lag_events"]),
        (&paused, &json!(3))
    );
    let status = book.json("status balances", 1).await;
    let troubles = json!(["balances build 1 is paused by ann: a-look"]);
    assert_eq!(
        (&status["is_well"], &status["troubles"]),
        (&json!(false), &troubles)
    );

    book.does("resume balances --actor bob").await;
    assert_eq!(api.balance("1", posted.token()).await, "51.00");
    let history = book.history().await;
    let (pause, resume) = (("pause", "ann", "a-look"), ("resume", "bob", ""));
    for (operation, actor, detail) in [pause, resume] {
        let done = [operation, actor, detail].map(str::to_owned);
        assert!(history.contains(&done), "{history:?}");
    }
    api.stop().await;
}

#[tokio::test]
async fn a_rebuild_goes_live_beside_live_posting() {
    let api = Arc::new(api_with_accounts().await);
    let book = Book::of(&api);
    let posting = Arc::new(AtomicBool::new(true));
    let poster = tokio::spawn({
        let (api, posting) = (Arc::clone(&api), Arc::clone(&posting));
        async move {
            let mut cents = 0_u32;
            let mut last = None;
            while posting.load(Ordering::SeqCst) {
                let answer = api.posting("2", "credits", "0.01").await;
                assert_eq!(answer.status, 201, "{answer:?}");
                // Whoever has written reads it, whichever build is live by now.
                let path = format!("/v1/accounts/2/balance?min_position={}", answer.token());
                let read = api.get(&path).await;
                cents += 1;
                assert_eq!(read.text("balance"), euros(5_000 + cents));
                last = Some(answer);
            }
            (cents, last.unwrap())
        }
    });
    let rebuilt = book.does("rebuild balances --partitions 2 --swap").await;
    for line in [
        "balances build 2 is begun",
        "accounts: the same",
        "entries: the same",
        "legs: the same",
        "totals: the same",
        "balances build 2 is live; projections rollback balances goes back to build 1",
    ] {
        assert!(rebuilt.contains(line), "{line} is not in {rebuilt}");
    }
    let diff = book.json("diff balances", 0).await;
    assert_eq!((&diff["live"], &diff["build"]), (&json!(2), &json!(1)));
    posting.store(false, Ordering::SeqCst);
    let (cents, last) = poster.await.unwrap();
    assert_eq!(api.balance("2", last.token()).await, euros(5_000 + cents));

    let list = book.json("list", 0).await;
    let states = |list: &Value| -> Vec<(Value, Value, Value)> {
        let builds = list.as_array().unwrap().iter();
        builds
            .filter(|b| b["projection"] == "balances")
            .map(|b| {
                (
                    b["build"].clone(),
                    b["state"].clone(),
                    b["partitions"].clone(),
                )
            })
            .collect()
    };
    let build = |number: i32, state: &str, size: i32| (json!(number), json!(state), json!(size));
    assert_eq!(states(&list), [build(1, "kept", 1), build(2, "live", 2)]);
    book.does("repartition balances --partitions 3").await;
    assert!(
        book.does("rollback balances")
            .await
            .contains("balances build 1 is live again")
    );
    let refused = book.run("drop balances --build 1").await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("is live"), "{}", refused.stderr);
    assert_eq!(api.balance("2", last.token()).await, euros(5_000 + cents));
    let list = book.json("list", 0).await;
    assert_eq!(states(&list), [build(1, "live", 1), build(2, "kept", 3)]);
    book.does("drop balances --build 2").await;
    assert_eq!(states(&book.json("list", 0).await), [build(1, "live", 1)]);

    let operations: Vec<String> = book
        .history()
        .await
        .into_iter()
        .map(|[what, ..]| what)
        .collect();
    assert_eq!(
        operations,
        ["create", "rebuild", "swap", "repartition", "swap", "drop"]
    );
    Arc::into_inner(api).unwrap().stop().await;
}

#[tokio::test]
async fn a_difference_is_shown_and_goes_live_only_when_that_is_said() {
    let api = api_with_accounts().await;
    let book = Book::of(&api);
    let models = postgres::superuser(&api.databases.balances).await;
    let corrupt = "UPDATE balances_1.accounts SET credits_posted = credits_posted + 0.01, \
                   balance = balance + 0.01 \
                   WHERE account_id = '2'";
    let corrupt = api.databases.sql(corrupt);
    assert_eq!(models.execute(&corrupt, &[]).await.unwrap(), 1);
    assert_eq!(
        api.get("/v1/accounts/2/balance").await.text("balance"),
        "50.01"
    );

    let refused = book.run("rebuild balances --swap").await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    for line in [
        "accounts: 1 row not the same",
        "differs in balance, credits_posted",
        "balances build 2 is not live, since it differs in 1 table",
    ] {
        assert!(
            refused.stdout.contains(line),
            "{line} is not in {}",
            refused.stdout
        );
    }
    assert_eq!(book.json("list", 0).await[0]["state"], "live");
    let diff = book.json("diff balances --build 2", 1).await;
    assert_eq!(
        (&diff["is_same"], &diff["tables"][0]["differing"]),
        (&json!(false), &json!(1))
    );
    let row = &diff["tables"][0]["rows"][0];
    assert_eq!(
        (&row["live"]["account_id"], &row["build"]["account_id"]),
        (&json!("2"), &json!("2"))
    );

    let swapped = book.does("rebuild balances --swap-anyway").await;
    assert!(
        swapped.contains("balances build 2 is gone on with"),
        "{swapped}"
    );
    let posted = api.posting("2", "debits", "1.00").await;
    assert_eq!(api.balance("2", posted.token()).await, "49.00");
    api.stop().await;
}

#[tokio::test]
async fn what_is_parked_is_listed_retried_and_passed_over() {
    let api = api_with_accounts().await;
    let book = Book::of(&api);
    let events = &api.databases.accounts.events;
    let position = set_type(events, "2", "AccountExploded").await;
    let rebuilt = book.run("rebuild balances").await;
    assert_eq!(rebuilt.status.code(), Some(1), "{rebuilt:?}");
    let letters = book.json("dead-letters list balances --build 2", 0).await;
    assert_eq!(letters[0]["position"], position);
    assert_eq!(letters[0]["stream"], "account/2");
    assert!(
        letters[0]["error"]
            .as_str()
            .unwrap()
            .contains("AccountExploded"),
        "{letters}"
    );
    let refused = book.run("swap balances --build 2").await;
    assert!(refused.stderr.contains("1 dead letters"), "{refused:?}");
    let refused = book
        .run("dead-letters retry balances --build 2 --stream account/2")
        .await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stdout.contains("fails again"), "{refused:?}");

    set_type(events, "2", "LegPosted").await;
    let retried = book
        .does("dead-letters retry balances --build 2 --all")
        .await;
    assert_eq!(retried, "account/2: 1 event taken in\n");
    assert_eq!(book.json("diff balances", 0).await["is_same"], true);

    // Another build, whose event nobody can mend.
    book.does("drop balances --build 2").await;
    set_type(events, "3", "AccountExploded").await;
    book.run("rebuild balances --no-diff").await;
    let letters = book.json("dead-letters list balances --build 3", 0).await;
    let skip = format!(
        "dead-letters skip balances --build 3 --position {} --reason lost",
        letters[0]["position"]
    );
    book.does(&skip).await;
    assert_eq!(
        book.json("dead-letters list balances --build 3", 0).await,
        json!([])
    );
    book.does("swap balances --build 3").await;
    assert_eq!(
        api.get("/v1/accounts/3/balance").await.text("balance"),
        "0.00"
    );
    let last = book.history().await.into_iter().rev().nth(1).unwrap();
    assert_eq!(last[..2], ["skip", "ann"]);
    api.stop().await;
}

/// What was parked is forgotten with all else, or the build could not go live.
#[tokio::test]
async fn a_rebuild_begins_again_from_the_first_event() {
    let api = api_with_accounts().await;
    let book = Book::of(&api);
    set_type(&api.databases.accounts.events, "2", "AccountExploded").await;
    let rebuilt = book.run("rebuild balances").await;
    assert_eq!(rebuilt.status.code(), Some(1), "{rebuilt:?}");
    assert_eq!(book.json("list", 0).await[1]["dead_letters"], 1);
    set_type(&api.databases.accounts.events, "2", "LegPosted").await;

    let again = book.does("rebuild balances --restart --swap").await;
    assert!(again.contains("balances build 2 begins again"), "{again}");
    let build = &book.json("list", 0).await[1];
    assert_eq!(
        (&build["state"], &build["dead_letters"]),
        (&json!("live"), &json!(0))
    );
    let operations: Vec<String> = book
        .history()
        .await
        .into_iter()
        .map(|[what, ..]| what)
        .collect();
    assert_eq!(operations, ["create", "rebuild", "restart", "swap"]);
    api.stop().await;
}

#[tokio::test]
async fn a_rebuild_without_a_service_is_interrupted_and_gone_on_with() {
    let api = api_with_accounts().await;
    let postings: Vec<Value> = (0..MANY)
        .map(|n| {
            json!({"key": format!("many-{n}"), "account_id": "1", "side": "credit",
                "amount": "1.00", "currency": "EUR", "contra": "cash"})
        })
        .collect();
    for postings in postings.chunks(500) {
        let answer = api
            .post("/v1/postings/bulk", &json!({"postings": postings}))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let last = api.posting("1", "credits", "1.00").await;
    api.balance("1", last.token()).await;
    let book = Book::of(&api);
    let databases = api.stop().await;

    let mut rebuild = Program::start(book.command("rebuild balances --rate 300 --swap").await);
    rebuild.line_with("build 2 is begun").await;
    book.until(|list| list[1]["position"].as_i64() > Some(0))
        .await;
    rebuild.signal(Signal::SIGINT);
    let (status, output) = rebuild.end().await;
    assert_eq!(status.code(), Some(1), "{output:?}");
    let projection = databases.projection().name;
    let goes_on = format!("; projections rebuild {projection} goes on with build 2");
    assert!(output.last().unwrap().ends_with(&goes_on), "{output:?}");
    let list = book.json("list", 0).await;
    let is_partly = list[1]["position"].as_i64() < list[0]["position"].as_i64();
    assert!(is_partly && list[1]["state"] == "building", "{list}");

    let rebuilt = book.does("rebuild balances --swap").await;
    assert!(
        rebuilt.contains("balances build 2 is gone on with"),
        "{rebuilt}"
    );
    let list = book.json("list", 0).await;
    assert_eq!(list[1]["state"], "live");
    let api = Api::on(databases).await;
    assert_eq!(api.balance("1", last.token()).await, "1052.00");
    api.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_named_and_changes_nothing() {
    let api = api_with_accounts().await;
    let book = Book::of(&api);
    let before = (book.history().await, book.json("list", 0).await);
    for (arguments, code, says) in [
        (
            "pause blances --reason x",
            1,
            "there is no projection blances; there is balances",
        ),
        ("status blances", 1, "there is balances"),
        ("rebuild blances", 1, "there is balances"),
        ("pause balances", 2, "--reason"),
        ("pause balances --reason=", 1, "takes a reason"),
        ("swap balances --build 7", 1, "there is no balances build 7"),
        ("diff balances", 1, "no build but the live one"),
        ("diff balances --build 7", 1, "there is no balances build 7"),
        ("rollback balances", 1, "no build of balances is kept"),
        ("drop balances --build 7", 1, "there is no balances build 7"),
        ("drop balances --build 1", 1, "is live"),
        ("repartition balances --partitions 0", 2, "--partitions"),
        (
            "repartition balances --build 7 --partitions 2",
            1,
            "there is no balances build 7",
        ),
        ("rebuild balances --rate 0", 2, "--rate"),
        (
            "dead-letters list balances --build 7",
            1,
            "there is no balances build 7",
        ),
        ("dead-letters retry balances", 2, "--stream"),
        (
            "dead-letters retry balances --stream account/1",
            1,
            "nothing of account/1 is parked",
        ),
        ("dead-letters skip balances --position 3", 2, "--reason"),
        (
            "dead-letters skip balances --position 3 --reason=",
            1,
            "takes a reason",
        ),
        (
            "dead-letters skip balances --position 3 --reason x",
            1,
            "position 3 is not parked",
        ),
        ("resume balances --actor=", 2, "--actor"),
        ("dance balances", 2, "dance"),
    ] {
        let ended = book.run(arguments).await;
        assert_eq!(ended.status.code(), Some(code), "{arguments}: {ended:?}");
        assert!(ended.stderr.contains(says), "{arguments}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{arguments}");
    }
    assert_eq!((book.history().await, book.json("list", 0).await), before);
    api.stop().await;
}

/// An app that stops at what it cannot take in: the command ends too, and says what it was.
#[tokio::test]
async fn a_rebuild_that_cannot_be_filled_says_why() {
    let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
    append(&store, 20).await;
    let projector = Positions::default();
    let running = Running::start(projector.clone(), Arc::clone(&store), &models).await;
    running.reaches(20).await;
    let projection = running.projection.clone();
    running.stop().await;
    projector.poison.store(10, Ordering::SeqCst);
    let (result, said) = rebuild(&projection).await;
    let error = result.unwrap_err();
    assert!(matches!(error, OperatorError::Stopped { .. }), "{error:?}");
    assert!(
        error.to_string().contains("position 10 is poison"),
        "{error}"
    );
    assert_eq!(said, "positions build 2 is begun\n");

    // It is gone on with when the projector has been mended.
    projector.poison.store(0, Ordering::SeqCst);
    let (result, said) = rebuild(&projection).await;
    assert_eq!(result.unwrap(), Finding::Clean, "{said}");
    assert!(said.contains("positions build 2 is gone on with"), "{said}");
    assert_eq!(models.positions().await, one_to(20));
}

/// A new revision goes live on its own as well. Whoever is first, it is live in the end.
#[tokio::test]
async fn a_rebuild_of_a_new_revision_ends_live() {
    for _ in 0..10 {
        let (store, models) = (Arc::new(InMemoryStore::default()), Models::new().await);
        append(&store, 20).await;
        let running = Running::start(Positions::default(), Arc::clone(&store), &models).await;
        running.reaches(20).await;
        running.stop().await;
        let source = StoreSource::new(Arc::clone(&store));
        let (next, models) = (Positions::of_revision(2), models.database());
        let projection = Projection::open(next, source, models, SETTINGS)
            .await
            .unwrap();
        let (result, said) = rebuild(&projection).await;
        assert_eq!(result.unwrap(), Finding::Clean, "{said}");
        let builds = projection.builds().await.unwrap();
        let states: Vec<_> = builds
            .iter()
            .map(|build| (build.revision, build.state))
            .collect();
        assert_eq!(
            states,
            [(1, BuildState::Kept), (2, BuildState::Live)],
            "{said}"
        );
    }
}

/// `projections rebuild positions --swap`, mounted in an app of its own, and what it says.
async fn rebuild(projection: &Projection) -> (Result<Finding, OperatorError>, String) {
    let (_stop, stop) = watch::channel(false);
    let mut out = Vec::new();
    let mut desk = Desk {
        projections: std::slice::from_ref(projection),
        by: operator(),
        stop,
        out: &mut out,
    };
    let arguments = ProjectionsArgs {
        actor: None,
        command: ProjectionsCommand::Rebuild(RebuildArgs {
            name: "positions".to_owned(),
            partitions: 1,
            rate: None,
            restart: false,
            swap: true,
            swap_anyway: false,
            no_diff: false,
        }),
    };
    let result = Box::pin(projections::run(arguments, &mut desk)).await;
    (result, String::from_utf8(out).unwrap())
}

/// A book as an operator reaches it.
struct Book(BookDatabases);

impl Book {
    fn of(api: &Api) -> Self {
        Self(api.databases.clone())
    }

    /// `balances` stands for the book's own projection of them, here and in what is answered.
    async fn command(&self, arguments: &str) -> Command {
        let (book, database) = (self.0.book.as_str(), self.0.balances.name());
        let arguments = format!("{arguments} ")
            .replace(" balances ", &format!(" {} ", self.0.projection().name));
        let mut words = vec![
            "projections",
            "--book",
            book,
            "--balances-database",
            database,
        ];
        words.extend(arguments.trim_end().split(' '));
        let program = Path::new(env!("CARGO_BIN_EXE_ledger-under-test"));
        let mut command = command(program, &words);
        command
            .env("DATABASE_URL", postgres::url().await)
            .env("USER", "ann");
        command
    }

    async fn run(&self, arguments: &str) -> Ended {
        let ended = run(self.command(arguments).await).await;
        let told = |text: String| text.replace(self.0.projection().name, "balances");
        Ended {
            status: ended.status,
            stdout: told(ended.stdout),
            stderr: told(ended.stderr),
        }
    }

    /// What a command says that finds all well.
    async fn does(&self, arguments: &str) -> String {
        let ended = self.run(arguments).await;
        assert!(ended.status.success(), "{arguments}: {ended:?}");
        ended.stdout
    }

    /// What a command answers as JSON, and ends with `code`.
    async fn json(&self, arguments: &str, code: i32) -> Value {
        let ended = self.run(&format!("{arguments} --format json")).await;
        assert_eq!(ended.status.code(), Some(code), "{arguments}: {ended:?}");
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// What was done, by whom and why.
    async fn history(&self) -> Vec<[String; 3]> {
        let history = self.json("history balances", 0).await;
        let lines = history.as_array().unwrap().iter();
        let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
        lines
            .map(|line| ["operation", "actor", "detail"].map(|field| text(line, field)))
            .collect()
    }

    /// Waits until the builds are as they should be.
    async fn until(&self, is_so: impl Fn(&Value) -> bool) {
        let waiting = async { while !is_so(&self.json("list", 0).await) {} };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("in time");
    }
}

/// A service with three accounts of 50.00 whose model is where its store is.
async fn api_with_accounts() -> Api {
    let api = Api::start().await;
    for id in ["1", "2", "3"] {
        api.open(id, "none").await;
        let posted = api.posting(id, "credits", "50.00").await;
        api.balance(id, posted.token()).await;
    }
    api
}

/// Gives the second event of an account another type, behind the store's back. Answers its position.
async fn set_type(events: &Database, account: &str, event_type: &str) -> i64 {
    let store = postgres::superuser(events).await;
    let off = "ALTER TABLE store.events DISABLE TRIGGER ALL";
    store.batch_execute(off).await.unwrap();
    let change = "UPDATE store.events SET event_type = $2 WHERE stream_id = $1 AND version = 2 \
                  RETURNING position";
    let row = store
        .query_one(change, &[&account, &event_type])
        .await
        .unwrap();
    row.get(0)
}

fn euros(cents: u32) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
