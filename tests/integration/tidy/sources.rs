//! What no source file holds, or only those whose job it is.

use super::rust_text::{Parts, SourceFile};
use super::{assert_none, members, text, word_offsets};

/// Something that stands in no source, or in few.
struct Rule {
    /// What holds.
    says: &'static str,
    /// Where it holds, by the path of a file.
    holds_in: fn(&str) -> bool,
    /// What it is about: what is shipped, or tests as well.
    reads: fn(&SourceFile) -> &Parts,
    within: fn(&Parts) -> &str,
    /// What must not be found.
    words: &'static [&'static str],
    /// The negative control: a file that breaks it.
    offence: (&'static str, &'static str),
}

const RULES: [Rule; 8] = [
    Rule {
        says: "core is pure: it reads no clock, draws no random number, spawns nothing and does no \
               input or output",
        holds_in: |path| path.starts_with("core/src/"),
        reads: |file| &file.shipped,
        within: |parts| &parts.code,
        words: &[
            "SystemTime",
            "Instant",
            "Utc::now",
            "Local::now",
            "now_v7",
            "now_v6",
            "now_v1",
            "new_v4",
            "rand::",
            "spawn",
            "spawn_blocking",
            "thread::",
            "fs::",
            "net::",
            "env::",
            "process::",
            "tokio::time",
            "tokio::runtime",
        ],
        offence: (
            "core/src/time.rs",
            "fn now() { std::time::SystemTime::now(); }",
        ),
    },
    Rule {
        says: "SQL stands in the crate that owns the tables, in a .sql file or a constant",
        holds_in: |path| !OWNS_TABLES.iter().any(|folder| path.starts_with(folder)),
        reads: |file| &file.shipped,
        within: |parts| &parts.literals,
        words: &[
            "SELECT",
            "INSERT INTO",
            "UPDATE",
            "DELETE FROM",
            "TRUNCATE",
            "CREATE",
            "ALTER",
            "DROP",
            "GRANT",
            "REVOKE",
        ],
        offence: (
            "ledger-example/src/http/reads.rs",
            "const BALANCE: &str = \"SELECT balance FROM balances.accounts\";",
        ),
    },
    Rule {
        says: "only what speaks HTTP knows status codes: the http module, the reader of a feed, a witness and who \
               anchors at it, and the program's client",
        holds_in: |path| !SPEAKS_HTTP.iter().any(|place| path.starts_with(place)),
        reads: |file| &file.shipped,
        within: |parts| &parts.code,
        words: &["StatusCode", "axum::http"],
        offence: (
            "ledger-example/src/account/refusal.rs",
            "fn status(&self) -> StatusCode {}",
        ),
    },
    Rule {
        says: "transactions are committed by folio_postgres::commit",
        holds_in: |path| path != "store-postgres/src/transaction.rs",
        reads: |file| &file.shipped,
        within: |parts| &parts.code,
        words: &[".commit("],
        offence: ("projections/src/runner.rs", "transaction.commit().await?;"),
    },
    Rule {
        says: "panics are for tests",
        holds_in: |_| true,
        reads: |file| &file.shipped,
        within: |parts| &parts.code,
        words: &[
            ".unwrap()",
            ".unwrap_err()",
            ".expect(",
            ".expect_err(",
            "panic!",
            "unreachable!",
            "unimplemented!",
        ],
        offence: ("runtime/src/executor.rs", "let id = id.parse().unwrap();"),
    },
    Rule {
        says: "a test runs, waits on a condition and asserts; code is finished or not there",
        holds_in: |_| true,
        reads: |file| &file.whole,
        within: |parts| &parts.code,
        words: &[
            "#[ignore",
            "#[should_panic",
            "thread::sleep",
            "todo!",
            "unimplemented!",
            "dbg!",
            "allow(dead_code",
        ],
        offence: (
            "tests/integration/store.rs",
            "#[test]\n#[ignore]\nfn later() {}",
        ),
    },
    Rule {
        says: "what is still to be done is not noted in the code",
        holds_in: |_| true,
        reads: |file| &file.whole,
        within: |parts| &parts.comments,
        words: &["TODO", "FIXME", "XXX:"],
        offence: ("core/src/id.rs", "fn f() {} // FIXME: for negative numbers"),
    },
    Rule {
        says: "the environment is read at the edges: by the program, and where PostgreSQL is looked \
               for",
        holds_in: |path| {
            !READS_THE_ENVIRONMENT
                .iter()
                .any(|place| path.starts_with(place))
        },
        reads: |file| &file.shipped,
        within: |parts| &parts.code,
        words: &["env::var", "env::var_os", "env::vars", "env::vars_os"],
        offence: (
            "projections/src/lib.rs",
            "let url = std::env::var(\"DATABASE_URL\");",
        ),
    },
];

const OWNS_TABLES: [&str; 11] = [
    "store-postgres/",
    "projections/",
    "ledger-example/src/read_model/",
    "ledger-example/src/monitor/",
    "ledger-example/src/expirer/",
    "ledger-example/src/transfer/",
    "audit/",
    "erasure/",
    "mesh/src/discovery/registry/",
    "gateway-example/src/auth/",
    "gateway-example/src/limits/",
];

/// The demo book is a client that needs no more of one than to post.
const SPEAKS_HTTP: [&str; 7] = [
    "ledger-example/src/http/",
    "projections/src/feed/",
    "audit/src/witness/",
    "audit/src/anchor/witness.rs",
    "cli/src/client/",
    "cli/src/demo.rs",
    "gateway-example/",
];

const READS_THE_ENVIRONMENT: [&str; 2] = ["cli/", "store-postgres/src/cluster/"];

/// Most lines of a file that hold anything and are not only for tests. A file that is the heart of
/// something may be longer, and is then listed.
const LINES_MAX: usize = 600;
const LONG_FILES: [&str; 0] = [];

/// The modules that add money up, and what each must say of itself.
const ADDS_MONEY: [&str; 4] = [
    "core/src/money/mod.rs",
    "ledger-example/src/account/mod.rs",
    "ledger-example/src/monitor/mod.rs",
    "ledger-example/src/read_model/mod.rs",
];
const EXACT: &str = "#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]";

#[test]
fn every_rule_holds_in_every_file() {
    let sources = members().iter().flat_map(|member| &member.sources);
    assert_none(sources.flat_map(|file| RULES.iter().flat_map(|rule| broken(rule, file))));
}

#[test]
fn every_rule_reports_its_offence() {
    for rule in &RULES {
        let (path, text) = rule.offence;
        let findings = broken(rule, &SourceFile::new(path, text));
        assert_eq!(findings.len(), 1, "{}: {findings:?}", rule.says);
        assert!(findings[0].starts_with(path), "{findings:?}");
    }
}

fn broken(rule: &Rule, file: &SourceFile) -> Vec<String> {
    if !(rule.holds_in)(&file.path) {
        return Vec::new();
    }
    let text = (rule.within)((rule.reads)(file));
    let found = |word: &'static str| {
        word_offsets(text, word).map(move |offset| {
            let line = text[..offset].matches('\n').count() + 1;
            format!("{}:{line}: {word}: {}", file.path, rule.says)
        })
    };
    rule.words.iter().flat_map(|word| found(word)).collect()
}

#[test]
fn no_file_is_too_long() {
    let sources = members().iter().flat_map(|member| &member.sources);
    assert_none(sources.flat_map(too_long));
    let lines = |count: usize| SourceFile::new("core/src/a.rs", &"fn f() {}\n".repeat(count));
    assert!(too_long(&lines(LINES_MAX)).is_none());
    assert!(too_long(&lines(LINES_MAX + 1)).is_some());
}

fn too_long(file: &SourceFile) -> Option<String> {
    let lines = file.shipped.lines();
    let is_listed = LONG_FILES.contains(&file.path.as_str());
    (lines > LINES_MAX && !is_listed).then(|| {
        format!(
            "{}: {lines} lines, at most {LINES_MAX} without tests",
            file.path
        )
    })
}

#[test]
fn names_say_what_a_thing_is() {
    let sources = members().iter().flat_map(|member| &member.sources);
    assert_none(sources.flat_map(empty_names));
    for (path, text, findings) in [
        ("core/src/a.rs", "pub struct PoolManager;", 1),
        ("core/src/a.rs", "enum E { A }\ntrait TestHelper {}", 1),
        ("core/src/a.rs", "fn get_balance(&self) -> Money {}", 1),
        ("core/src/utils.rs", "", 1),
        (
            "store-postgres/src/database.rs",
            "use deadpool_postgres::Manager;",
            0,
        ),
        ("tests/src/api.rs", "async fn get(path: &str) {}", 0),
    ] {
        let found = empty_names(&SourceFile::new(path, text));
        assert_eq!(found.len(), findings, "{path}: {text}");
    }
}

/// Names that would fit anything, and getters that say so.
fn empty_names(file: &SourceFile) -> Vec<String> {
    const OF_TYPES: [&str; 3] = ["Manager", "Helper", "Utils"];
    const OF_FILES: [&str; 6] = ["util", "utils", "helper", "helpers", "common", "misc"];
    let words: Vec<&str> = file.whole.code.split_whitespace().collect();
    let defined = words.windows(2).filter_map(|pair| {
        let is_empty = match pair[0] {
            "struct" | "enum" | "trait" | "type" => {
                OF_TYPES.iter().any(|empty| pair[1].contains(empty))
            }
            "fn" => pair[1].starts_with("get_"),
            _ => false,
        };
        is_empty.then_some(pair[1])
    });
    let name = file.path.rsplit('/').next().unwrap();
    let stem = name.trim_end_matches(".rs");
    defined
        .chain(OF_FILES.contains(&stem).then_some(name))
        .map(|name| format!("{}: {name} would fit anything", file.path))
        .collect()
}

#[test]
fn money_is_added_up_exactly() {
    let findings = ADDS_MONEY
        .iter()
        .filter_map(|path| inexact(path, &text(path)));
    assert_none(findings);
    assert!(inexact("core/src/money/mod.rs", "mod amount;").is_some());
}

fn inexact(path: &str, text: &str) -> Option<String> {
    (!text.contains(EXACT)).then(|| format!("{path}: lacks {EXACT}"))
}
