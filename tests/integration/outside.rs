//! Folio as others use it: from a crate of their own, and out of packages.

use std::fs;
use std::path::{Path, PathBuf};

use folio_tests::api::{Answer, answer};
use folio_tests::postgres;
use folio_tests::process::{Program, command, run};
use nix::sys::signal::Signal;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// What may be published, and the folder of each.
const LIBRARIES: [(&str, &str); 9] = [
    ("folio-core", "core"),
    ("folio-runtime", "runtime"),
    ("folio-postgres", "store-postgres"),
    ("folio-projections", "projections"),
    ("folio-mesh", "mesh"),
    ("folio-proofs", "proofs"),
    ("folio-audit", "audit"),
    ("folio-erasure", "erasure"),
    ("ledger-example", "ledger-example"),
];

#[tokio::test]
async fn a_crate_of_its_own_runs_replays_and_serves_a_projection() {
    let elsewhere = TempDir::new().unwrap();
    let program = build_elsewhere(elsewhere.path()).await;

    let first = Parking::start(&program).await;
    let opened = first.post("/garages/a", "1", json!({"spaces": 2})).await;
    assert_eq!((opened.status, &opened.body["version"]), (200, &json!(1)));
    let entered = first.let_in("a", "AB-1", "2").await;
    assert_eq!(entered.body["garage"]["inside"], json!(["AB-1"]));
    assert_eq!(entered.body["repeated"], json!(false));
    assert_eq!(first.let_in("a", "CD-2", "3").await.status, 200);

    // A key names a request for ever: its answer is the first one, a refusal too.
    let again = first.let_in("a", "AB-1", "2").await;
    assert_eq!(again.body["repeated"], json!(true));
    assert_eq!(again.body["position"], entered.body["position"]);
    assert_eq!(first.let_in("a", "CD-2", "2").await.status, 422);
    let refused = first.let_in("a", "EF-3", "4").await;
    assert_eq!(refused.status, 409);
    assert_eq!(refused.text("problem"), "all 2 spaces are taken");
    let left = first.delete("/garages/a/cars/AB-1", "5").await;
    assert_eq!(left.body["garage"]["inside"], json!(["CD-2"]));
    assert_eq!(first.let_in("a", "EF-3", "4").await.status, 409);
    assert_eq!(first.let_in("b", "EF-3", "6").await.status, 409);

    // The model has what was just written, and the events have all that ever was.
    let occupancy = first.occupancy("a", &left).await;
    assert_eq!(occupancy, json!({"spaces": 2, "taken": 1}));
    let then = first.get("/garages/a/versions/3").await.body;
    assert_eq!(then["garage"]["inside"], json!(["AB-1", "CD-2"]));
    first.stop().await;

    // Another process knows it from the events, and goes on with the model.
    let second = Parking::start(&program).await;
    let replayed = second.get("/replay").await.body;
    let garages = json!({"a": {"spaces": 2, "inside": ["CD-2"]}});
    assert_eq!(replayed, json!({"events": 4, "garages": garages}));
    let entered = second.let_in("a", "EF-3", "7").await;
    assert_eq!(entered.body["garage"]["inside"], json!(["CD-2", "EF-3"]));
    let occupancy = second.occupancy("a", &entered).await;
    assert_eq!(occupancy, json!({"spaces": 2, "taken": 2}));
    second.stop().await;
}

#[tokio::test]
async fn each_library_can_be_packaged() {
    let target = TempDir::new().unwrap();
    let mut cargo = cargo(
        &root(),
        &["package", "--no-verify", "--allow-dirty", "--locked"],
    );
    cargo.arg("--target-dir").arg(target.path());
    cargo.args(LIBRARIES.iter().flat_map(|(name, _)| ["--package", name]));
    succeeds(cargo).await;

    for (name, folder) in LIBRARIES {
        let packages = target.path().join("package");
        let package = format!("{name}-{}", env!("CARGO_PKG_VERSION"));
        let file = format!("{package}.crate");
        let mut tar = command(Path::new("tar"), &["-xzf", &file]);
        tar.current_dir(&packages);
        succeeds(tar).await;
        let unpacked = packages.join(package);
        assert_eq!(missing(&unpacked), [""; 0], "{name}");
        assert!(unpacked.join("README.md").is_file(), "{name}");
        assert!(unpacked.join("LICENSE-MIT").is_file(), "{name}");

        // The migrations are those of the project, as files of the package's own.
        let migrations = unpacked.join("migrations");
        let own = root().join(folder).join("migrations");
        assert_eq!(contents(&migrations), contents(&own), "{name}");
        if own.exists() {
            fs::remove_dir_all(&migrations).unwrap();
            assert_eq!(missing(&unpacked).len(), 1, "{name}");
        }
    }
}

/// The parking garages, running.
struct Parking {
    program: Program,
    client: Client,
    url: String,
}

impl Parking {
    async fn start(program: &Path) -> Self {
        let mut command = command(program, &[]);
        command.env("DATABASE_URL", postgres::url().await);
        let mut program = Program::start(command);
        let line = program.line_with("http://").await;
        let (_, address) = line.split_once("http://").unwrap();
        Self {
            url: format!("http://{address}"),
            client: Client::new(),
            program,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        let answer = answer(self.client.get(format!("{}{path}", self.url))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    async fn post(&self, path: &str, key: &str, body: Value) -> Answer {
        let request = self.client.post(format!("{}{path}", self.url));
        send(request.json(&body), key).await
    }

    async fn delete(&self, path: &str, key: &str) -> Answer {
        send(self.client.delete(format!("{}{path}", self.url)), key).await
    }

    async fn let_in(&self, garage: &str, plate: &str, key: &str) -> Answer {
        let path = format!("/garages/{garage}/cars");
        self.post(&path, key, json!({"plate": plate})).await
    }

    /// What the read model says once it has what `write` wrote.
    async fn occupancy(&self, garage: &str, write: &Answer) -> Value {
        let position = &write.body["position"];
        self.get(&format!("/garages/{garage}?min_position={position}"))
            .await
            .body
    }

    async fn stop(self) {
        self.program.signal(Signal::SIGINT);
        let (status, output) = self.program.end().await;
        assert!(status.success(), "{output:?}");
    }
}

async fn send(request: RequestBuilder, key: &str) -> Answer {
    answer(request.header("Idempotency-Key", key)).await
}

/// Builds a copy of the parking garages in a folder outside the workspace, with the versions of
/// dependencies that the workspace is locked to: so nothing is fetched. What they compile to stays
/// beside the workspace's own.
async fn build_elsewhere(folder: &Path) -> PathBuf {
    copy(&root().join("tests/outside/parking"), folder);
    let manifest = folder.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let folio = format!("path = \"{}/", root().to_str().unwrap());
    let moved = text.replace("path = \"../../../", &folio);
    assert_ne!(moved, text, "the paths to Folio's crates were found");
    fs::write(manifest, moved).unwrap();
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();

    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
    let on = |arguments| {
        let mut cargo = cargo(folder, arguments);
        cargo.arg("--target-dir").arg(&target);
        cargo
    };
    // To cargo it is another crate in each folder. Without this it would keep them all.
    succeeds(on(&["clean", "--package", "parking"])).await;
    succeeds(on(&["build"])).await;
    target.join("debug/parking")
}

/// Cargo in a folder, building what takes least time to build.
fn cargo(folder: &Path, arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = command(Path::new(&program), arguments);
    cargo
        .arg("--offline")
        .current_dir(folder)
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    cargo
}

async fn succeeds(command: Command) {
    let ended = run(command).await;
    assert!(ended.status.success(), "{}", ended.stderr);
}

/// The folder that holds the workspace.
fn root() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    folder.canonicalize().unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_file() {
            fs::copy(path, to).unwrap();
        } else if entry.file_name() != "target" {
            copy(&path, &to);
        }
    }
}

/// The names and contents of the files in a folder, none where it is not there.
fn contents(folder: &Path) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// What the sources of a package embed and the package does not hold.
fn missing(package: &Path) -> Vec<String> {
    let package = package.canonicalize().unwrap();
    let mut missing = Vec::new();
    for source in sources(&package.join("src")) {
        let text = fs::read_to_string(&source).unwrap();
        for (embeds, relative_to) in [
            ("include_str!(\"", source.parent().unwrap()),
            ("include_bytes!(\"", source.parent().unwrap()),
            ("embed_migrations!(\"", package.as_path()),
        ] {
            let named = text.split(embeds).skip(1);
            for path in named.map(|rest| rest.split('"').next().unwrap()) {
                let found = relative_to.join(path).canonicalize();
                if !found.is_ok_and(|found| found.starts_with(&package)) {
                    missing.push(format!("{}: {path}", source.display()));
                }
            }
        }
    }
    missing
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|of| of == "rs"))
        .collect()
}
