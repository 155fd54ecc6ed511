//! What the documents say is there: files, tests, commands, dependencies, migrations.

use std::collections::BTreeSet;

use super::{Member, assert_none, files, has_word, members, root, text, workspace};

const DOCUMENTS: [&str; 5] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "GUARANTEES.md",
    "BENCHMARKS.md",
];

/// Most lines of a bank account with its events, commands and refusals.
const QUICKSTART_LINES_MAX: usize = 40;

#[test]
fn every_dependency_has_its_reason() {
    let architecture = text("ARCHITECTURE.md");
    let workspace = workspace();
    let needed = workspace["workspace"]["dependencies"].as_table().unwrap();
    let foreign = needed.iter().filter(|(_, how)| how.get("path").is_none());
    let names: Vec<&str> = foreign.map(|(name, _)| name.as_str()).collect();
    assert_none(unexplained(&names, &architecture));

    let document =
        "## Dependencies\n\n| `serde` | events |\n| `regex` | none |\n## More\n| `csv` |";
    assert_eq!(unexplained(&["csv", "serde"], document).len(), 2);
}

/// Dependencies without a row in the table, and rows without a dependency.
fn unexplained(names: &[&str], architecture: &str) -> Vec<String> {
    let explained = first_cells(section(architecture, "## Dependencies"));
    let of_manifest: BTreeSet<&str> = names.iter().copied().collect();
    let of_document: BTreeSet<&str> = explained
        .iter()
        .map(|cell| cell.trim_matches('`'))
        .collect();
    let missing = of_manifest.difference(&of_document);
    let left_over = of_document.difference(&of_manifest);
    missing
        .map(|name| format!("ARCHITECTURE.md gives no reason for {name}"))
        .chain(left_over.map(|name| format!("ARCHITECTURE.md has {name}, Cargo.toml has not")))
        .collect()
}

#[test]
fn every_word_has_one_meaning() {
    assert_none(repeated_words(&text("ARCHITECTURE.md")));
    let document = "## Glossary\n| word | meaning |\n| --- | --- |\n| lag | a |\n| lag | b |";
    assert_eq!(
        repeated_words(document),
        ["lag: stands in the glossary twice"]
    );
    assert_eq!(repeated_words("# None").len(), 1);
}

fn repeated_words(architecture: &str) -> Vec<String> {
    let words = first_cells(section(architecture, "## Glossary"));
    if words.is_empty() {
        return vec!["ARCHITECTURE.md has no glossary".to_owned()];
    }
    let mut seen = BTreeSet::new();
    let repeated = words.into_iter().filter(|word| !seen.insert(*word));
    repeated
        .map(|word| format!("{word}: stands in the glossary twice"))
        .collect()
}

#[test]
fn every_folder_is_on_both_maps() {
    let folders: Vec<&str> = members()
        .iter()
        .map(|member| member.folder.as_str())
        .collect();
    assert_none(unmapped(
        &folders,
        &text("README.md"),
        &text("ARCHITECTURE.md"),
    ));
    assert_eq!(
        unmapped(&["core"], "| `core/` |", "## Code map\n### `core/`: x"),
        [""; 0]
    );
    assert_eq!(unmapped(&["core"], "core", "## Code map\ncore").len(), 2);
}

fn unmapped(folders: &[&str], readme: &str, architecture: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for folder in folders {
        if !readme.contains(&format!("| `{folder}/` |")) {
            findings.push(format!("README.md: {folder}/ is not on the map"));
        }
        if !architecture.contains(&format!("\n### `{folder}/`")) {
            findings.push(format!("ARCHITECTURE.md: {folder}/ has no section"));
        }
    }
    findings
}

#[test]
fn every_path_in_the_documents_exists() {
    let findings = DOCUMENTS.iter().flat_map(|document| {
        missing_paths(document, &text(document), |path| root().join(path).exists())
    });
    assert_none(findings);
    let missing = |text| {
        missing_paths("README.md", text, |path| {
            path == "core" || path == "core/a.rs"
        })
    };
    assert_eq!(missing("`core/a.rs`, `/v1/accounts` and `x/y`"), [""; 0]);
    assert_eq!(missing("`core/b.rs`"), ["README.md: there is no core/b.rs"]);
}

/// Names in backticks that start with a folder of the project and lead nowhere.
fn missing_paths(document: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let is_path = |name: &&str| {
        let folder = name.split_once('/').map(|(folder, _)| folder);
        folder.is_some_and(|folder| !folder.is_empty() && folder != ".." && exists(folder))
            && !name.contains(['*', ' ', '<'])
    };
    code_spans(text)
        .filter(is_path)
        .filter(|path| !exists(path))
        .map(|path| format!("{document}: there is no {path}"))
        .collect()
}

#[test]
fn every_guarantee_names_tests_that_exist() {
    let sources = members().iter().flat_map(|member| &member.sources);
    let code: String = sources.map(|file| file.whole.code.as_str()).collect();
    assert_none(unshown(&text("GUARANTEES.md"), &code));

    let table = "## Guarantees\n| | a | b |\n| --- | --- | --- |\n\
                 | G-01 | y | `it_holds`, `a/b.rs` |\n| G-02 | y | |";
    assert_eq!(
        unshown(table, "async fn it_holds() {}"),
        ["G-02: names no test"]
    );
    assert_eq!(unshown(table, "fn it_holds_not() {}").len(), 2);
    let skipped = table.replace("G-02", "G-03");
    assert_eq!(unshown(&skipped, "async fn it_holds() {}").len(), 2);
    assert_eq!(unshown("# None", "").len(), 1);
    let cases = "## Guarantees\n| | a |\n| --- | --- |\n| G-01 | `it_holds` |\n\
                 ## Cases\n| a | b |\n| --- | --- |\n| c | `it_breaks` |";
    assert_eq!(
        unshown(cases, "fn it_holds() {}"),
        ["c: there is no test it_breaks"]
    );
}

/// Guarantees that are not numbered in turn, or whose last cell names no test or one that is not there.
fn unshown(table: &str, code: &str) -> Vec<String> {
    let guarantees: Vec<Vec<&str>> = rows(section(table, "## Guarantees"));
    if guarantees.is_empty() {
        return vec!["GUARANTEES.md guarantees nothing".to_owned()];
    }
    let mut findings = Vec::new();
    for (number, row) in (1..).zip(guarantees) {
        if row[0] != format!("G-{number:02}") {
            findings.push(format!("{}: should be G-{number:02}", row[0]));
        }
        let (promise, shown) = (row[0], row[row.len() - 1]);
        if code_spans(shown).next().is_none() {
            findings.push(format!("{promise}: names no test"));
        }
        findings.extend(missing_tests(promise, shown, code));
    }
    for row in rows(section(table, "## Cases")) {
        findings.extend(missing_tests(row[0], row[row.len() - 1], code));
    }
    findings
}

fn missing_tests(promise: &str, shown: &str, code: &str) -> Vec<String> {
    let tests = code_spans(shown).filter(|name| !name.contains('/'));
    let missing = tests.filter(|name| !has_word(code, &format!("fn {name}")));
    missing
        .map(|name| format!("{promise}: there is no test {name}"))
        .collect()
}

#[test]
fn every_command_of_the_readme_exists() {
    assert_none(unknown_commands(&text("README.md"), members()));
    let sh = |line: &str| unknown_commands(&format!("```sh\n{line}\n```"), members()).len();
    for line in [
        "cargo run # all of it",
        "cargo test",
        "X=1 cargo run -- audit",
        "cargo run -- import-journal",
        "cargo bench -p folio-tests",
    ] {
        assert_eq!(sh(line), 0, "{line}");
    }
    for line in [
        "cargo rnu",
        "cargo run -- adit",
        "cargo bench -p folio-core",
        "make test",
        "cargo test -p folio",
    ] {
        assert_eq!(sh(line), 1, "{line}");
    }
}

fn unknown_commands(readme: &str, members: &[Member]) -> Vec<String> {
    fenced(readme, "sh")
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter(|line| !is_command(line, members))
        .map(|line| format!("README.md: {line}: there is no such command"))
        .collect()
}

fn is_command(line: &str, members: &[Member]) -> bool {
    const CARGO: [&str; 7] = ["bench", "build", "clippy", "doc", "fmt", "run", "test"];
    const SYSTEM: [&str; 4] = ["brew", "curl", "sudo", "git"];
    let line = line.split(" #").next().unwrap();
    let words: Vec<&str> = line
        .split_whitespace()
        .skip_while(|word| word.contains('='))
        .collect();
    let after = |word: &str| words.iter().skip_while(|other| **other != word).nth(1);
    let package = |name: &str| members.iter().find(|member| member.name() == name);
    match words[..] {
        [program, ..] if SYSTEM.contains(&program) => true,
        ["cargo", subcommand, ..] if CARGO.contains(&subcommand) => {
            let crate_exists = match after("-p").map(|name| package(name)) {
                Some(Some(member)) => {
                    subcommand != "bench" || member.manifest.contains_key("bench")
                }
                Some(None) => false,
                None => true,
            };
            let command_exists = match after("--") {
                Some(command) if subcommand == "run" => {
                    is_subcommand(command, package("ledger").unwrap())
                }
                _ => true,
            };
            crate_exists && command_exists
        }
        [program, ..] => root().join(program).is_file(),
        [] => false,
    }
}

/// Whether the program has the command: a variant of the enum that clap derives commands from.
fn is_subcommand(command: &str, program: &Member) -> bool {
    let capitalised = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    };
    let variant: String = command.split('-').map(capitalised).collect();
    let file = program
        .sources
        .iter()
        .find(|file| file.path == "cli/src/lib.rs")
        .unwrap();
    let commands = file.whole.code.split_once("enum Command {").unwrap().1;
    has_word(commands.split_once("\n}").unwrap().0, &variant)
}

#[test]
fn the_quickstart_is_short() {
    assert_none(long_quickstart(&text("README.md")));
    let lines = |count: usize| format!("```rust\n{}}}\n\nuse x;\n```", "x\n".repeat(count - 1));
    assert!(long_quickstart(&lines(QUICKSTART_LINES_MAX)).is_none());
    assert!(long_quickstart(&lines(QUICKSTART_LINES_MAX + 1)).is_some());
}

/// The account ends with the last brace before the second block of imports.
fn long_quickstart(readme: &str) -> Option<String> {
    let lines: Vec<&str> = fenced(readme, "rust").collect();
    let second_imports = lines
        .iter()
        .rposition(|line| line.starts_with("use "))
        .unwrap();
    let account = lines[..second_imports]
        .iter()
        .rposition(|line| *line == "}")
        .unwrap()
        + 1;
    (account > QUICKSTART_LINES_MAX)
        .then(|| format!("the account takes {account} lines, {QUICKSTART_LINES_MAX} are allowed"))
}

#[test]
fn migrations_are_numbered_without_gaps() {
    let mut names: Vec<String> = files("migrations", "sql")
        .into_iter()
        .map(|file| file.path)
        .collect();
    names.retain(|path| path.split('/').count() == 3);
    let mut folders: Vec<&str> = names
        .iter()
        .map(|path| path.rsplit_once('/').unwrap().0)
        .collect();
    folders.dedup();
    assert!(folders.len() >= 3, "{folders:?}");
    let findings = folders.iter().flat_map(|folder| {
        let of_folder = names
            .iter()
            .filter_map(|path| path.strip_prefix(folder)?.strip_prefix('/'));
        misnumbered(folder, &of_folder.collect::<Vec<_>>())
    });
    assert_none(findings);

    assert_eq!(misnumbered("m", &["V1__a.sql", "V2__b.sql"]), [""; 0]);
    for names in [
        &["V1__a.sql", "V3__b.sql"][..],
        &["V2__a.sql"],
        &["V1__a.sql", "V1__b.sql"],
        &["a.sql"],
    ] {
        assert!(!misnumbered("m", names).is_empty(), "{names:?}");
    }
}

fn misnumbered(folder: &str, names: &[&str]) -> Vec<String> {
    let mut numbers = Vec::new();
    let mut findings = Vec::new();
    for name in names {
        let number = name
            .strip_prefix('V')
            .and_then(|name| name.split_once("__"));
        match number.and_then(|(number, _)| number.parse::<usize>().ok()) {
            Some(number) => numbers.push(number),
            None => findings.push(format!("{folder}/{name}: not V<number>__<what>.sql")),
        }
    }
    numbers.sort_unstable();
    if !numbers.iter().copied().eq(1..=numbers.len()) {
        findings.push(format!("{folder}: numbered {numbers:?}"));
    }
    findings
}

/// The text from a heading up to the next one that is not below it.
fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let Some((_, rest)) = document.split_once(&format!("{heading}\n")) else {
        return "";
    };
    let level = heading.split(' ').next().unwrap();
    rest.split(&format!("\n{level} ")).next().unwrap()
}

/// The cells of every table's rows, without those of headings.
fn rows(section: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = section.lines().collect();
    let is_ruler = |line: &str| line.starts_with("| ---");
    let mut rows = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let is_heading = lines.get(index + 1).is_some_and(|next| is_ruler(next));
        if line.starts_with('|') && !is_ruler(line) && !is_heading {
            let inside = line.trim_matches('|');
            rows.push(inside.split('|').map(str::trim).collect());
        }
    }
    rows
}

fn first_cells(section: &str) -> Vec<&str> {
    rows(section).into_iter().map(|row| row[0]).collect()
}

/// What stands in single backticks.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.starts_with("```"))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The lines of all fenced blocks of a language.
fn fenced<'a>(document: &'a str, language: &'a str) -> impl Iterator<Item = &'a str> {
    let mut block = None;
    document.lines().filter(move |line| {
        let fence = line.strip_prefix("```");
        if let Some(opening) = fence {
            block = if block.is_none() { Some(opening) } else { None };
        }
        fence.is_none() && block == Some(language)
    })
}
