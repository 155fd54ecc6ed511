//! What the manifests say: who depends on whom, and on what.

use toml::{Table, Value};

use super::{Member, assert_none, has_word, members, name, text, workspace};

/// Which crates of the workspace each may depend on. Nothing may depend on the tests.
const MAY_DEPEND_ON: [(&str, &[&str]); 13] = [
    ("folio-core", &[]),
    ("folio-runtime", &["folio-core"]),
    ("folio-postgres", &["folio-core"]),
    ("folio-projections", &["folio-core", "folio-postgres"]),
    ("folio-mesh", &["folio-core", "folio-postgres"]),
    ("folio-operator", &["folio-core", "folio-projections"]),
    ("folio-proofs", &[]),
    (
        "folio-audit",
        &["folio-core", "folio-postgres", "folio-proofs"],
    ),
    ("folio-erasure", &["folio-core", "folio-postgres"]),
    (
        "ledger-example",
        &[
            "folio-audit",
            "folio-core",
            "folio-erasure",
            "folio-mesh",
            "folio-postgres",
            "folio-projections",
            "folio-proofs",
            "folio-runtime",
        ],
    ),
    (
        "gateway-example",
        &["folio-core", "folio-mesh", "folio-postgres"],
    ),
    (
        "ledger",
        &[
            "folio-audit",
            "folio-core",
            "folio-erasure",
            "folio-mesh",
            "folio-operator",
            "folio-postgres",
            "folio-projections",
            "folio-proofs",
            "gateway-example",
            "ledger-example",
        ],
    ),
    (
        "folio-tests",
        &[
            "folio-audit",
            "folio-core",
            "folio-erasure",
            "folio-mesh",
            "folio-operator",
            "folio-postgres",
            "folio-projections",
            "folio-proofs",
            "folio-runtime",
            "gateway-example",
            "ledger",
            "ledger-example",
        ],
    ),
];

#[test]
fn crates_depend_in_one_direction() {
    assert_none(
        members()
            .iter()
            .flat_map(|member| wrong_directions(&member.manifest)),
    );

    let backwards = table("[package]\nname = 'folio-core'\n[dependencies]\nfolio-runtime = '1'");
    assert_eq!(wrong_directions(&backwards).len(), 1);
    let renamed = table(
        "[package]\nname = 'ledger'\n[target.x.dev-dependencies]\nt = { package = 'folio-tests' }",
    );
    assert_eq!(wrong_directions(&renamed).len(), 1);
    let unknown = table("[package]\nname = 'folio-new'");
    assert_eq!(wrong_directions(&unknown).len(), 1);
}

fn wrong_directions(manifest: &Table) -> Vec<String> {
    let name = name(manifest);
    let Some((_, allowed)) = MAY_DEPEND_ON.iter().find(|(of, _)| *of == name) else {
        return vec![format!("{name}: what it may depend on is not laid down")];
    };
    let is_ours = |dependency: &str| MAY_DEPEND_ON.iter().any(|(of, _)| *of == dependency);
    dependencies(manifest)
        .into_iter()
        .filter(|dependency| is_ours(dependency) && !allowed.contains(&dependency.as_str()))
        .map(|dependency| format!("{name} must not depend on {dependency}"))
        .collect()
}

#[test]
fn core_has_no_runtime() {
    assert_none(runtime_in_core(manifest_of("folio-core")));

    for tokio in [
        "tokio.workspace = true",
        "tokio = '1'",
        "tokio = { version = '1', default-features = false, features = ['sync', 'rt'] }",
        "tokio = { version = '1', features = ['sync'] }",
    ] {
        let manifest = table(&format!("[dependencies]\n{tokio}"));
        assert_eq!(runtime_in_core(&manifest).len(), 1, "{tokio}");
    }
    let axum = table("[dependencies]\naxum = '1'");
    assert_eq!(runtime_in_core(&axum).len(), 1);
}

/// Tokio's channels need no runtime. Everything else of it does, and so do these.
fn runtime_in_core(manifest: &Table) -> Vec<String> {
    const FOREIGN: [&str; 7] = [
        "axum",
        "deadpool-postgres",
        "hyper",
        "postgres-types",
        "reqwest",
        "tokio-postgres",
        "tower",
    ];
    let needed = manifest["dependencies"].as_table().unwrap();
    let mut findings: Vec<String> = FOREIGN
        .iter()
        .filter(|name| needed.contains_key(**name))
        .map(|name| format!("folio-core must not depend on {name}"))
        .collect();
    if let Some(tokio) = needed.get("tokio") {
        let features = tokio.get("features").and_then(Value::as_array);
        let only_sync = features.is_some_and(|features| *features == ["sync".into()]);
        let no_defaults = tokio.get("default-features").and_then(Value::as_bool) == Some(false);
        if !only_sync || !no_defaults {
            findings.push("folio-core may have tokio's feature sync and no other".to_owned());
        }
    }
    findings
}

#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    assert_none(
        members()
            .iter()
            .filter_map(|member| without_lints(&member.manifest)),
    );
    let own = table("[package]\nname = 'a'\n[lints.clippy]\npanic = 'allow'");
    assert!(without_lints(&own).is_some());
}

fn without_lints(manifest: &Table) -> Option<String> {
    let lints = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"));
    let has_them = lints.and_then(Value::as_bool) == Some(true);
    (!has_them).then(|| format!("{}: lacks lints.workspace = true", name(manifest)))
}

#[test]
fn every_dependency_is_used() {
    let readme = text("README.md");
    let unused_in = |member: &Member| unused(&member.manifest, &code_of(member, &readme));
    assert_none(members().iter().flat_map(unused_in));
    let manifests = members().iter().map(|member| &member.manifest);
    assert_none(orphans(&workspace(), manifests));

    let manifest = table("[package]\nname = 'a'\n[dependencies]\nasync-trait = '1'");
    assert_eq!(unused(&manifest, "use async_traits::x;").len(), 1);
    assert_eq!(unused(&manifest, "use async_trait::async_trait;").len(), 0);
    let workspace = table("[workspace.dependencies]\nasync-trait = '1'\nregex = '1'");
    assert_eq!(
        orphans(&workspace, [&manifest]),
        ["regex: no crate depends on it"]
    );
}

/// All code of a crate; the README's Rust is compiled with the tests.
fn code_of(member: &Member, readme: &str) -> String {
    let code = member.sources.iter().map(|file| file.whole.code.as_str());
    let code: String = code.collect();
    match member.name() {
        "folio-tests" => code + readme,
        _ => code,
    }
}

fn unused(manifest: &Table, code: &str) -> Vec<String> {
    let is_used = |dependency: &str| has_word(code, &dependency.replace('-', "_"));
    dependencies(manifest)
        .into_iter()
        .filter(|dependency| !is_used(dependency))
        .map(|dependency| format!("{}: does not use {dependency}", name(manifest)))
        .collect()
}

fn orphans<'a>(workspace: &Table, manifests: impl IntoIterator<Item = &'a Table>) -> Vec<String> {
    let needed: Vec<String> = manifests.into_iter().flat_map(dependencies).collect();
    let all = workspace["workspace"]["dependencies"].as_table().unwrap();
    all.keys()
        .filter(|name| !needed.contains(name))
        .map(|name| format!("{name}: no crate depends on it"))
        .collect()
}

/// The names of all direct dependencies, of whatever kind and for whatever target.
fn dependencies(manifest: &Table) -> Vec<String> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table);
    let mut names: Vec<String> = std::iter::once(manifest)
        .chain(targets)
        .flat_map(|table| KINDS.iter().filter_map(|kind| table.get(*kind)?.as_table()))
        .flatten()
        .map(|(name, how)| {
            let renamed = how.get("package").and_then(Value::as_str);
            renamed.unwrap_or(name).to_owned()
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

fn manifest_of(wanted: &str) -> &'static Table {
    let member = members().iter().find(|member| member.name() == wanted);
    &member.unwrap().manifest
}

fn table(text: &str) -> Table {
    text.parse().unwrap()
}
