//! The data folder and the socket folder: made and checked.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, ErrorKind},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf, absolute},
    process,
};

use nix::unistd::Uid;
use sha2::{Digest as _, Sha256};

use super::{account::Account, error::ClusterError};

/// Makes a path absolute, and refuses one that PostgreSQL's programs would misread.
pub(super) fn usable(path: &Path) -> Result<PathBuf, ClusterError> {
    let unusable = |reason| ClusterError::UnusablePath {
        path: path.to_owned(),
        reason,
    };
    let absolute = absolute(path).map_err(ClusterError::io("find the full path of", path))?;
    let text = absolute.to_str().ok_or_else(|| unusable("is not UTF-8"))?;
    // `pg_ctl` hands paths to a shell between double quotes and escapes nothing.
    if text.contains(|it: char| it.is_control() || "\"$`\\".contains(it)) {
        return Err(unusable(
            "contains a quote, a dollar, a backslash or a control character",
        ));
    }
    Ok(absolute)
}

/// Makes the data folder if it is missing, and returns its one true path.
///
/// One folder must have one path whichever way it is spelled: the server is recognised by it.
pub(super) fn prepare_data_folder(
    data_folder: &Path,
    account: &Account,
) -> Result<PathBuf, ClusterError> {
    let (existing, missing) = split_missing(data_folder)?;
    check_reachable(&existing, data_folder, account)?;
    for folder in &missing {
        let is_data_folder = folder == data_folder;
        make_folder(folder, is_data_folder, account)?;
    }
    let found = fs::canonicalize(data_folder)
        .map_err(ClusterError::io("find the full path of", data_folder))?;
    check_ours(&found, account, 0o002)?;
    usable(&found)
}

/// Where the socket goes: into the data folder, unless that makes its path too long for a socket
/// address (104 bytes on macOS, 108 on Linux).
pub(super) fn socket_folder(data_folder: &Path, account: &Account) -> PathBuf {
    let near = data_folder.join("run");
    if near.as_os_str().len() <= SOCKET_FOLDER_BYTES_MAX {
        return near;
    }
    let digest = Sha256::digest(data_folder.as_os_str().as_bytes());
    let name = digest
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    Path::new(SHORT_ROOT).join(format!("folio-{}-{name}", account.uid()))
}

/// Makes the socket folder if it is missing, and insists that nobody else may enter it.
///
/// Whoever reaches the socket is trusted as the superuser, so this folder is the lock on the door.
/// Under `/tmp` anyone could have made it first: then its owner gives it away.
pub(super) fn prepare_socket_folder(folder: &Path, account: &Account) -> Result<(), ClusterError> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => account.give(folder)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(ClusterError::io("make", folder)(error)),
    }
    check_ours(folder, account, 0o077)
}

/// Takes the socket folder away again if it stood outside the data folder.
pub(super) fn remove_socket_folder(folder: &Path) {
    if folder.parent() == Some(Path::new(SHORT_ROOT)) {
        // Only an empty folder goes; one that stays does no harm and is checked at the next start.
        let _ = fs::remove_dir(folder);
    }
}

/// The major versions that have a cluster in a data folder, newest first.
pub(super) fn cluster_majors(data_folder: &Path) -> Result<Vec<u32>, ClusterError> {
    let mut majors = names(data_folder)?
        .iter()
        .filter_map(|name| name.strip_prefix("pg")?.parse::<u32>().ok())
        .filter(|major| {
            cluster_folder(data_folder, *major)
                .join("PG_VERSION")
                .is_file()
        })
        .collect::<Vec<_>>();
    majors.sort_unstable_by(|one, other| other.cmp(one));
    Ok(majors)
}

/// The folder of a major version's cluster.
pub(super) fn cluster_folder(data_folder: &Path, major: u32) -> PathBuf {
    data_folder.join(format!("pg{major}"))
}

/// A new folder beside a cluster folder, for `initdb` to work in.
pub(super) fn unfinished_folder(cluster_folder: &Path) -> PathBuf {
    cluster_folder.with_extension(format!("{UNFINISHED}{}", process::id()))
}

/// The folders that interrupted runs of `initdb` left. Ask only while holding the lock.
pub(super) fn leftovers(data_folder: &Path) -> Result<Vec<PathBuf>, ClusterError> {
    let names = names(data_folder)?;
    let is_unfinished = |name: &&String| {
        let extension = name
            .strip_prefix("pg")
            .and_then(|rest| rest.split_once('.'));
        extension.is_some_and(|(_, extension)| extension.starts_with(UNFINISHED))
    };
    Ok(names
        .iter()
        .filter(is_unfinished)
        .map(|name| data_folder.join(name))
        .collect())
}

/// The nearest folder that exists, with its true path, and those to make below it, in order.
fn split_missing(path: &Path) -> Result<(PathBuf, Vec<PathBuf>), ClusterError> {
    let mut missing = Vec::new();
    for folder in path.ancestors() {
        match fs::canonicalize(folder) {
            Ok(existing) => {
                missing.reverse();
                return Ok((existing, missing));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => missing.push(folder.to_owned()),
            Err(error) => return Err(ClusterError::io("enter", folder)(error)),
        }
    }
    Err(ClusterError::io("find", path)(io::Error::from(
        ErrorKind::NotFound,
    )))
}

/// Checks every folder from the root down to an existing one.
fn check_reachable(
    existing: &Path,
    data_folder: &Path,
    account: &Account,
) -> Result<(), ClusterError> {
    if !account.is_stepped_down() {
        // We create and open everything ourselves: the system's own errors are exact.
        return Ok(());
    }
    let mut folders = existing.ancestors().collect::<Vec<_>>();
    folders.reverse();
    for folder in folders {
        let found = folder
            .metadata()
            .map_err(ClusterError::io("read the mode of", folder))?;
        if !account.may_enter(found.mode(), found.uid(), found.gid()) {
            return Err(ClusterError::Untraversable {
                folder: folder.to_owned(),
                data_folder: data_folder.to_owned(),
                account: account.name().to_owned(),
            });
        }
    }
    Ok(())
}

fn make_folder(folder: &Path, is_data_folder: bool, account: &Account) -> Result<(), ClusterError> {
    let mode = match (is_data_folder, account.is_stepped_down()) {
        (true, false) => 0o700,
        // The data folder stays root's, so that root never writes into a folder that someone else
        // could rearrange; the account passes through to what is its own.
        (true, true) => 0o711,
        (false, _) => 0o755,
    };
    match DirBuilder::new().mode(mode).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(ClusterError::io("make", folder)(error))
        }
        Ok(()) if account.is_stepped_down() => {
            // A strict umask would have closed it to the account.
            fs::set_permissions(folder, Permissions::from_mode(mode))
                .map_err(ClusterError::io("set the mode of", folder))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Insists on a real folder that is ours or the account's, without any of the modes forbidden.
fn check_ours(folder: &Path, account: &Account, forbidden: u32) -> Result<(), ClusterError> {
    let unsafe_folder = |reason| ClusterError::UnsafeFolder {
        folder: folder.to_owned(),
        reason,
    };
    // Not `metadata`: a link is not to be followed, it could change its mind.
    let found = folder
        .symlink_metadata()
        .map_err(ClusterError::io("read the mode of", folder))?;
    if !found.is_dir() {
        return Err(unsafe_folder("is not a folder".to_owned()));
    }
    let private = forbidden & 0o077 == 0o077;
    let may_own = |uid| uid == account.uid() || (!private && uid == Uid::effective().as_raw());
    if !may_own(found.uid()) {
        return Err(unsafe_folder(format!(
            "belongs to the user with id {}",
            found.uid()
        )));
    }
    if found.mode() & forbidden != 0 {
        let mode = found.mode() & 0o7777;
        return Err(unsafe_folder(format!(
            "is open to other users (mode {mode:04o})"
        )));
    }
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<String>, ClusterError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(ClusterError::io("list", folder))?,
    };
    entries
        .filter_map(|entry| {
            entry
                .map(|it| it.file_name().into_string().ok())
                .transpose()
        })
        .collect::<io::Result<_>>()
        .map_err(ClusterError::io("list", folder))
}

/// Leaves room for the socket's own name and for the longer one of its lock file.
const SOCKET_FOLDER_BYTES_MAX: usize = 80;

/// Short on every system, where the folder for temporary files may not be.
const SHORT_ROOT: &str = "/tmp";

const UNFINISHED: &str = "unfinished-";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn account() -> Account {
        Account::unprivileged().expect("an account")
    }

    fn scratch() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).expect("its mode");
        folder
    }

    #[test]
    fn a_path_that_a_shell_would_read_is_refused() {
        for path in ["/a\"b", "/a$(b)", "/a`b`", "/a\\b", "/a\nb"] {
            let error = usable(Path::new(path)).expect_err(path);
            assert!(
                matches!(error, ClusterError::UnusablePath { .. }),
                "{error}"
            );
        }
        assert!(usable(Path::new("/it's a, folder")).is_ok());
    }

    #[test]
    fn the_first_closed_folder_is_named_before_anything_is_made() {
        if !account().is_stepped_down() {
            return;
        }
        let root = scratch();
        let closed = root.path().join("closed");
        fs::create_dir_all(closed.join("open")).expect("folders");
        fs::set_permissions(&closed, Permissions::from_mode(0o700)).expect("its mode");
        let data_folder = closed.join("open/data");
        let error = prepare_data_folder(&data_folder, &account()).expect_err("closed");
        let text = error.to_string();
        let ClusterError::Untraversable { folder, .. } = error else {
            panic!("{text}")
        };
        assert_eq!(folder, closed);
        assert!(
            text.contains("chmod o+x") && text.contains(account().name()),
            "{text}"
        );
        assert!(!data_folder.exists());
    }

    #[test]
    fn folders_made_on_the_way_are_reachable() {
        let root = scratch();
        let data_folder = root.path().join("a/b/data");
        let made = prepare_data_folder(&data_folder, &account()).expect("a data folder");
        check_reachable(&made, &made, &account()).expect("to be reachable");
    }

    #[test]
    fn a_folder_that_anyone_may_write_is_refused() {
        let root = scratch();
        fs::set_permissions(root.path(), Permissions::from_mode(0o777)).expect("its mode");
        let error = prepare_data_folder(root.path(), &account()).expect_err("open");
        assert!(
            matches!(error, ClusterError::UnsafeFolder { .. }),
            "{error}"
        );
    }

    #[test]
    fn a_socket_folder_is_real_private_and_ours() {
        let root = scratch();
        let good = root.path().join("good");
        prepare_socket_folder(&good, &account()).expect("to make it");
        prepare_socket_folder(&good, &account()).expect("to find it");

        let link = root.path().join("link");
        symlink(&good, &link).expect("a link");
        let open = root.path().join("open");
        fs::create_dir(&open).expect("a folder");
        account().give(&open).expect("to give it");
        fs::set_permissions(&open, Permissions::from_mode(0o750)).expect("its mode");
        for bad in [link, open] {
            let error = prepare_socket_folder(&bad, &account()).expect_err("unsafe");
            assert!(
                matches!(error, ClusterError::UnsafeFolder { .. }),
                "{error}"
            );
        }
        if account().is_stepped_down() {
            let roots = root.path().join("roots");
            DirBuilder::new()
                .mode(0o700)
                .create(&roots)
                .expect("a folder");
            let error = prepare_socket_folder(&roots, &account()).expect_err("not the account's");
            assert!(error.to_string().contains("belongs to"), "{error}");
        }
    }

    #[test]
    fn a_long_path_gets_a_short_socket_folder_of_its_own() {
        let short = Path::new("/var/lib/folio");
        assert_eq!(socket_folder(short, &account()), short.join("run"));
        let long = PathBuf::from(format!("/{}", "x".repeat(90)));
        let other = PathBuf::from(format!("/{}", "y".repeat(90)));
        let [one, two] = [&long, &other].map(|it| socket_folder(it, &account()));
        assert!(one.as_os_str().len() < 40, "{}", one.display());
        assert_eq!(one, socket_folder(&long, &account()));
        assert_ne!(one, two);
    }

    #[test]
    fn only_finished_clusters_count() {
        let root = scratch();
        for name in ["pg14", "pg15", "pg9", "pg15.unfinished-7", "pgadmin"] {
            fs::create_dir(root.path().join(name)).expect("a folder");
            fs::write(root.path().join(name).join("PG_VERSION"), "").expect("a file");
        }
        fs::create_dir(root.path().join("pg16")).expect("a folder without a cluster");
        assert_eq!(cluster_majors(root.path()).expect("a list"), [15, 14, 9]);
        assert_eq!(
            leftovers(root.path()).expect("a list"),
            [root.path().join("pg15.unfinished-7")]
        );
    }
}
