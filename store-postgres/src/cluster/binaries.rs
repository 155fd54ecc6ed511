//! Finding PostgreSQL's programs on this machine.

use std::{
    cmp::Reverse,
    env, fs,
    path::{Path, PathBuf},
};

use tokio::process::Command;
use tracing::debug;

use super::{account::Account, error::ClusterError};

/// The oldest major version that is supported.
pub(super) const MAJOR_MIN: u32 = 13;

/// A folder with a server's programs, and their version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installation {
    pub(super) folder: PathBuf,
    pub(super) major: u32,
}

/// The installations of this machine, best first; never none.
///
/// An explicit folder is the only one looked at.
pub(super) async fn installed(
    explicit: Option<&Path>,
    account: &Account,
) -> Result<Vec<Installation>, ClusterError> {
    let places = match explicit {
        Some(folder) => vec![Place::one(folder.to_owned())],
        None => places(account).await,
    };
    let mut found = Vec::new();
    for folder in complete_folders(places.iter().flat_map(|place| &place.folders)) {
        match version(&folder, account).await {
            Some(major) => found.push(Installation { folder, major }),
            None => debug!(folder = %folder.display(), "postgres does not tell its version"),
        }
    }
    if found.is_empty() {
        let searched = places.into_iter().map(|place| place.shown).collect();
        return Err(ClusterError::BinariesNotFound { searched });
    }
    Ok(found)
}

/// Picks the installation for data of a major version, or for a new cluster.
pub(super) fn choose(
    installed: &[Installation],
    data: Option<(u32, &Path)>,
) -> Result<Installation, ClusterError> {
    if let Some((major, cluster_folder)) = data {
        // Data files are readable by their own major version only: there is no second best.
        return installed
            .iter()
            .find(|it| it.major == major)
            .cloned()
            .ok_or_else(|| ClusterError::VersionMismatch {
                cluster_folder: cluster_folder.to_owned(),
                data: major,
                installed: installed.iter().map(|it| it.major).collect(),
            });
    }
    if let Some(good) = installed.iter().find(|it| it.major >= MAJOR_MIN) {
        return Ok(good.clone());
    }
    Err(match installed.iter().max_by_key(|it| it.major) {
        Some(newest) => ClusterError::BinariesTooOld {
            folder: newest.folder.clone(),
            major: newest.major,
        },
        None => ClusterError::BinariesNotFound {
            searched: Vec::new(),
        },
    })
}

/// The candidates that hold every program needed, in order, each once.
///
/// A client library's development package brings `pg_config` without a server, so a folder counts
/// only when all three programs are in it.
fn complete_folders<'a>(candidates: impl IntoIterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    let mut complete = Vec::<PathBuf>::new();
    for folder in candidates {
        let has_all = PROGRAMS
            .iter()
            .all(|program| folder.join(program).is_file());
        if has_all && !complete.contains(folder) {
            complete.push(folder.clone());
        }
    }
    complete
}

/// Where to look, with how to show it to a person.
#[derive(Debug)]
struct Place {
    shown: PathBuf,
    folders: Vec<PathBuf>,
}

impl Place {
    fn one(folder: PathBuf) -> Self {
        Self {
            shown: folder.clone(),
            folders: vec![folder],
        }
    }

    /// The folders `<root>/<prefix><version>/<tail>`, newest version first.
    fn versions(root: &str, prefix: &str, tail: &str) -> Self {
        let mut found = fs::read_dir(root)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name();
                let version = name.to_str()?.strip_prefix(prefix)?.parse::<u32>().ok()?;
                Some((version, entry.path().join(tail)))
            })
            .collect::<Vec<_>>();
        found.sort_by_key(|(version, _)| Reverse(*version));
        Self {
            shown: Path::new(root).join(format!("{prefix}*")).join(tail),
            folders: found.into_iter().map(|(_, folder)| folder).collect(),
        }
    }
}

async fn places(account: &Account) -> Vec<Place> {
    let mut places = Vec::new();
    if let Some(folder) = output(Path::new("pg_config"), "--bindir", account).await {
        places.push(Place::one(folder.into()));
    }
    places.extend(VERSIONED.map(|(root, prefix, tail)| Place::versions(root, prefix, tail)));
    places.extend(UNVERSIONED.map(|folder| Place::one(folder.into())));
    let path = env::var_os("PATH").unwrap_or_default();
    places.extend(
        env::split_paths(&path)
            .filter(|it| it.is_absolute())
            .map(Place::one),
    );
    places
}

async fn version(folder: &Path, account: &Account) -> Option<u32> {
    major(&output(&folder.join("postgres"), "--version", account).await?)
}

/// Reads `postgres (PostgreSQL) 15.6 (Debian 15.6-1)`, and `18beta1` or `19devel` just as well.
fn major(version: &str) -> Option<u32> {
    let number = version.split(") ").nth(1)?;
    let digits = number.split(|it: char| !it.is_ascii_digit()).next()?;
    digits.parse().ok()
}

async fn output(program: &Path, argument: &str, account: &Account) -> Option<String> {
    // As the server's account: programs that it may not execute are of no use.
    let output = Command::from(account.command(program))
        .arg(argument)
        .output()
        .await
        .ok()?;
    if !output.status.success() {
        return None;
    }
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// Root, prefix of the version, folder below it: Debian, PostgreSQL's own RPMs, Alpine, Homebrew
/// on its three prefixes, Postgres.app.
const VERSIONED: [(&str, &str, &str); 7] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

const UNVERSIONED: [&str; 3] = [
    "/opt/homebrew/opt/postgresql/bin",
    "/usr/local/opt/postgresql/bin",
    "/usr/local/pgsql/bin",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn installation(major: u32) -> Installation {
        Installation {
            folder: format!("/pg/{major}").into(),
            major,
        }
    }

    #[test]
    fn a_folder_counts_only_with_every_program() {
        let root = tempfile::tempdir().expect("a folder");
        let folders = ["client", "server", "other"].map(|name| root.path().join(name));
        for folder in &folders {
            fs::create_dir(folder).expect("a folder");
        }
        for program in PROGRAMS {
            fs::write(folders[1].join(program), "").expect("a file");
        }
        fs::write(folders[0].join("pg_config"), "").expect("a file");
        let candidates = [&folders[0], &folders[1], &folders[2], &folders[1]];
        assert_eq!(complete_folders(candidates), [folders[1].clone()]);
    }

    #[test]
    fn versions_come_newest_first() {
        let root = tempfile::tempdir().expect("a folder");
        for name in [
            "postgresql@9",
            "postgresql@13",
            "postgresql@17",
            "postgresql",
            "other@20",
        ] {
            fs::create_dir(root.path().join(name)).expect("a folder");
        }
        let text = root.path().to_str().expect("a text");
        let place = Place::versions(text, "postgresql@", "bin");
        let expected = ["postgresql@17/bin", "postgresql@13/bin", "postgresql@9/bin"];
        assert_eq!(place.folders, expected.map(|it| root.path().join(it)));
        assert_eq!(place.shown, root.path().join("postgresql@*/bin"));
    }

    #[test]
    fn majors_are_read_from_every_form() {
        assert_eq!(
            major("postgres (PostgreSQL) 15.6 (Debian 15.6-1)"),
            Some(15)
        );
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("postgres (PostgreSQL) 19devel"), Some(19));
        assert_eq!(major("something else"), None);
    }

    #[test]
    fn a_new_cluster_takes_the_first_that_is_new_enough() {
        let installed = [installation(12), installation(15), installation(17)];
        assert_eq!(choose(&installed, None).expect("one"), installation(15));
        let error = choose(&installed[..1], None).expect_err("too old");
        assert!(
            matches!(error, ClusterError::BinariesTooOld { major: 12, .. }),
            "{error}"
        );
    }

    #[test]
    fn data_takes_its_own_version_or_none() {
        let installed = [installation(15), installation(17)];
        let folder = Path::new("/data/pg17");
        assert_eq!(
            choose(&installed, Some((17, folder))).expect("one"),
            installation(17)
        );
        let error = choose(&installed, Some((14, folder))).expect_err("not installed");
        let ClusterError::VersionMismatch {
            data: 14,
            installed,
            ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(installed, [15, 17]);
    }

    #[tokio::test]
    async fn an_explicit_folder_is_the_only_one_searched() {
        let root = tempfile::tempdir().expect("a folder");
        let account = Account::unprivileged().expect("an account");
        let error = installed(Some(root.path()), &account)
            .await
            .expect_err("nothing there");
        let ClusterError::BinariesNotFound { searched } = error else {
            panic!("{error}")
        };
        assert_eq!(searched, [root.path()]);
    }
}
