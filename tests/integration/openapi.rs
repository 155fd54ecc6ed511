//! Schemathesis, a program of others, makes requests out of the OpenAPI document of each service, good
//! ones and bad ones, and holds the answers against it.

use std::path::PathBuf;

use folio_tests::api::Api;
use tokio::process::Command;

/// The variable that names the program, where it is not on the path.
const VARIABLE: &str = "FOLIO_SCHEMATHESIS";

/// Requests of random content for each route.
const EXAMPLES: usize = 20;
/// Rows of requests each of which goes on with what the one before was answered.
const STORIES: usize = 60;

#[tokio::test]
async fn what_is_served_is_what_the_document_says() {
    let api = Api::start().await;
    api.open("1", "unlimited").await;
    let last = api.posting("1", "credits", "5.00").await;
    api.balance("1", last.token()).await;
    for url in [&api.url, &api.reads] {
        is_as_documented(url, EXAMPLES, None).await;
    }
    api.stop().await;
}

/// Asks whatever the document at `url` says, as the holder of a token where there is one: with so many requests of random
/// content for each route, and then with rows of requests that go on with what others were answered.
pub(crate) async fn is_as_documented(url: &str, examples: usize, token: Option<&str>) {
    asks(url, "examples,coverage,fuzzing", examples, token).await;
    asks(url, "stateful", STORIES, token).await;
}

async fn asks(url: &str, phases: &str, examples: usize, token: Option<&str>) {
    let program = std::env::var_os(VARIABLE).unwrap_or_else(|| "schemathesis".into());
    let examples = examples * folio_tests::scale();
    // It keeps a cache in the folder that it runs in.
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(PathBuf::from(program));
    command
        .current_dir(folder.path())
        .arg("run")
        .arg(format!("{url}/openapi.json"))
        .args(["--max-examples", &examples.to_string(), "--seed", "1"])
        .args(["--phases", phases, "--checks", "all"])
        // A request may be well formed and refused: there may be no such account.
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args(["--warnings", "off", "--no-color", "--continue-on-failure"]);
    if let Some(token) = token {
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    match command.output().await {
        Ok(told) => {
            let text = String::from_utf8_lossy(&told.stdout);
            assert!(told.status.success(), "{text}");
            let last: Vec<&str> = text.lines().rev().take(18).collect();
            eprintln!("{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!(
                "\n*** NOT RUN by schemathesis: there is no such program; set {VARIABLE}, or install it from PyPI ***\n"
            );
        }
        Err(error) => panic!("{error}"),
    }
}
