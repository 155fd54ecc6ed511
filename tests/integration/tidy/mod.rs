//! What ARCHITECTURE.md calls an invariant, read from the manifests, the sources and the documents.
//!
//! A check is a pure function from the contents of files to findings, so each stands beside a
//! negative control: the same function, fed an offence, reports it.

mod docs;
mod manifests;
mod rust_text;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use toml::Table;

use rust_text::{SourceFile, source_files};

/// A text file of the project.
struct TextFile {
    /// Its path from the root of the project, with `/`.
    path: String,
    text: String,
}

/// A crate of the workspace.
struct Member {
    /// Its folder, which is its name in the workspace's manifest.
    folder: String,
    manifest: Table,
    sources: Vec<SourceFile>,
}

impl Member {
    fn read(folder: &str) -> Self {
        Self {
            folder: folder.to_owned(),
            manifest: text(&format!("{folder}/Cargo.toml")).parse().unwrap(),
            sources: source_files(&files(folder, "rs")),
        }
    }

    fn name(&self) -> &str {
        name(&self.manifest)
    }
}

/// The name of the crate that a manifest is of.
fn name(manifest: &Table) -> &str {
    manifest["package"]["name"].as_str().unwrap()
}

/// The folder that holds the workspace: the only place from which anything is read.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn workspace() -> Table {
    text("Cargo.toml").parse().unwrap()
}

/// Read once for all tests.
fn members() -> &'static [Member] {
    static MEMBERS: LazyLock<Vec<Member>> = LazyLock::new(|| {
        let workspace = workspace();
        let folders = workspace["workspace"]["members"].as_array().unwrap();
        let folders = folders.iter().map(|folder| folder.as_str().unwrap());
        folders.map(Member::read).collect()
    });
    &MEMBERS
}

/// All files below a folder with an extension, in the order of their paths.
fn files(folder: &str, extension: &str) -> Vec<TextFile> {
    let mut found = Vec::new();
    let mut names: Vec<(String, bool)> = fs::read_dir(root().join(folder))
        .unwrap_or_else(|error| panic!("{folder}: {error}"))
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            (format!("{folder}/{name}"), path.is_dir())
        })
        .collect();
    names.sort();
    for (path, is_folder) in names {
        if is_folder {
            // Where a crate outside the workspace was built in its place, there is generated code.
            if !path.ends_with("/target") {
                found.extend(files(&path, extension));
            }
        } else if path.ends_with(&format!(".{extension}")) {
            let text = text(&path);
            found.push(TextFile { path, text });
        }
    }
    found
}

/// Fails with all findings at once.
#[track_caller]
fn assert_none(findings: impl IntoIterator<Item = String>) {
    let findings: Vec<String> = findings.into_iter().collect();
    assert!(
        findings.is_empty(),
        "{} found:\n{}",
        findings.len(),
        findings.join("\n")
    );
}

/// Whether `word` stands in `text` as a word of its own.
fn has_word(text: &str, word: &str) -> bool {
    word_offsets(text, word).next().is_some()
}

/// Where `word` stands in `text`. Its ends are borders of a word, where they are letters.
fn word_offsets<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let (opens, closes) = (word.starts_with(is_part), word.ends_with(is_part));
    text.match_indices(word)
        .map(|(offset, _)| offset)
        .filter(move |&offset| {
            let before = text[..offset].ends_with(is_part);
            let after = text[offset + word.len()..].starts_with(is_part);
            !(opens && before || closes && after)
        })
}

#[test]
fn words_end_at_their_borders() {
    assert!(has_word("std::time::Instant;", "Instant"));
    assert!(!has_word("Instantly", "Instant"));
    assert!(!has_word("offs::x", "fs::"));
    assert!(has_word("use std::{fs::File}", "fs::"));
}
