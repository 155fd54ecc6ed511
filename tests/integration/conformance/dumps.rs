//! Databases that are dumped into a file, and restored from it.

use std::path::Path;

use folio_postgres::{Database, Role, provision};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::beside::Programs;

/// Dumps a database into a file, in a folder that the server's account may write to.
pub(crate) async fn dump(from: &Config, name: &str, file: &Path) {
    let file = format!("--file={}", file.to_str().unwrap());
    let programs = Programs::of(from).await;
    programs
        .run("pg_dump", &[&file, &locator(from, name)])
        .await;
}

/// Restores a dump on another server, under the name that the database had. Roles belong to a server and are in no dump, so they
/// are made.
pub(crate) async fn load(file: &Path, to: &Config, name: &str, roles: &[Role]) -> Database {
    let restored = provision(to, name, roles).await.unwrap();
    let strict = "--set=ON_ERROR_STOP=1";
    let quietly = ["--no-psqlrc", "--quiet", "--output=/dev/null", strict];
    let file = format!("--file={}", file.to_str().unwrap());
    let which = ["--single-transaction", &file, &locator(to, name)];
    let programs = Programs::of(to).await;
    programs.run("psql", &[&quietly[..], &which].concat()).await;
    restored
}

/// How the server's programs find a database.
fn locator(server: &Config, database: &str) -> String {
    let Some(Host::Unix(folder)) = server.get_hosts().first() else {
        panic!("a server on a Unix socket");
    };
    let (folder, user) = (folder.to_str().unwrap(), server.get_user().unwrap());
    format!("--dbname=host={folder} user={user} dbname={database}")
}
