//! The settings the server runs with: the `postgresql.conf` and `pg_hba.conf` we write.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::error::ClusterError;

/// What a committed transaction survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A crash of the program, the server or the machine.
    Durable,
    /// Nothing. For throw-away tests only: no write is forced to the disk, so that a crash of the
    /// machine may lose commits and may leave data that no server can open.
    UnsafeForTests,
}

/// The text of both files, and where they belong.
///
/// They stand in the data folder, beside the cluster's own folder and not in it: as root we write
/// them, and what root writes must not lie in a folder whose owner could have put a link there.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    configuration: PathBuf,
    configuration_text: String,
    access: PathBuf,
}

impl Settings {
    pub(super) fn new(
        data_folder: &Path,
        socket_folder: &Path,
        max_connections: u32,
        durability: Durability,
    ) -> Self {
        let on_if_durable = match durability {
            Durability::Durable => "on",
            Durability::UnsafeForTests => "off",
        };
        // A store refuses a server that loses commits, unless the server says that it is for that.
        let throwaway = match durability {
            Durability::Durable => "",
            Durability::UnsafeForTests => "folio.throwaway = on\n",
        };
        let access = data_folder.join("pg_hba.conf");
        // Named only if it is there: PostgreSQL logs an optional file that is missing, twice, at
        // every start. So making it also changes our text, and a server taken over is restarted.
        let has_own = data_folder.join(OWN_SETTINGS).exists();
        let include = if has_own {
            format!("include = '{OWN_SETTINGS}'\n")
        } else {
            String::new()
        };
        let (hba_file, sockets) = (quoted(&access), quoted_folder(socket_folder));
        let configuration_text = format!(
            "\
# Written by Folio at every start of the server; changes made here are lost.
# Settings of your own belong into {OWN_SETTINGS} beside this file.

hba_file = {hba_file}

# No network: the only way in is the socket, in a folder that only the server's user may enter.
listen_addresses = ''
port = {PORT}
unix_socket_directories = {sockets}
unix_socket_permissions = 0700
max_connections = {max_connections}

fsync = {on_if_durable}
full_page_writes = {on_if_durable}
synchronous_commit = {on_if_durable}
{throwaway}{WAL_SYNC_METHOD}
shared_buffers = 256MB
max_wal_size = 2GB
jit = off

timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
password_encryption = 'scram-sha-256'
cluster_name = 'folio'

# To the file that pg_ctl opens. Statements stay out of it, and so do the rows that are refused, which
# come with the details: they can hold personal data, and keys.
log_destination = 'stderr'
logging_collector = off
log_line_prefix = '%m [%p] %q%u@%d '
log_min_messages = 'warning'
log_min_error_statement = 'panic'
log_error_verbosity = 'terse'
log_checkpoints = off
log_autovacuum_min_duration = -1

{include}"
        );
        let configuration = data_folder.join("postgresql.conf");
        Self {
            configuration,
            configuration_text,
            access,
        }
    }

    /// The path of the `postgresql.conf`.
    pub(super) fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// Whether the files say exactly this already.
    ///
    /// They are written only while no server runs, so a server that runs was started with what
    /// they say.
    pub(super) fn are_written(&self) -> bool {
        let is = |path: &Path, text: &str| fs::read(path).is_ok_and(|it| it == text.as_bytes());
        is(&self.configuration, &self.configuration_text) && is(&self.access, ACCESS)
    }

    /// Writes both files. The server must not be running.
    pub(super) fn write(&self) -> Result<(), ClusterError> {
        write_whole(&self.access, ACCESS)?;
        write_whole(&self.configuration, &self.configuration_text)
    }
}

/// Writes beside the file and renames over it, so that no reader meets half a file and a link in
/// its place is replaced, not followed.
fn write_whole(path: &Path, text: &str) -> Result<(), ClusterError> {
    let new = path.with_extension("conf.new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(ClusterError::io("remove", &new)(error));
        }
        Ok(()) | Err(_) => {}
    }
    let write = || {
        let mut file = File::create_new(&new)?;
        file.write_all(text.as_bytes())?;
        // The server's account reads it too, whatever our umask says.
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        fs::rename(&new, path)
    };
    write().map_err(ClusterError::io("write", path))
}

/// A path as a string of `postgresql.conf`.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "''"))
}

/// The same inside a list of folders, where a comma or a space would end a name.
fn quoted_folder(path: &Path) -> String {
    format!("'\"{}\"'", path.display().to_string().replace('\'', "''"))
}

/// The port names the socket's file; nothing listens on it.
pub(super) const PORT: u16 = 5432;

const OWN_SETTINGS: &str = "postgresql.local.conf";

/// On macOS a plain flush leaves data in the drive's cache, where a power cut loses it.
const WAL_SYNC_METHOD: &str = if cfg!(target_os = "macos") {
    "wal_sync_method = fsync_writethrough\n"
} else {
    ""
};

/// Trust is acceptable for one reason only: the socket lies in a folder of mode 0700, so whoever
/// reaches it is the server's own user or root, and both could read the data files anyway.
const ACCESS: &str = "\
# Written by Folio at every start of the server; changes made here are lost.
# The socket's folder is closed to every user but the server's own and root.
local  all          all  trust
local  replication  all  trust
";

#[cfg(test)]
mod tests {
    use super::*;

    fn text(durability: Durability) -> String {
        Settings::new(Path::new("/d"), Path::new("/d/run, it's"), 42, durability).configuration_text
    }

    #[test]
    fn durable_means_every_switch_is_on() {
        let text = text(Durability::Durable);
        for line in [
            "fsync = on",
            "full_page_writes = on",
            "synchronous_commit = on",
        ] {
            assert!(text.lines().any(|it| it == line), "{text}");
        }
    }

    #[test]
    fn the_socket_is_the_only_way_in() {
        let text = text(Durability::UnsafeForTests);
        for line in [
            "listen_addresses = ''",
            "unix_socket_directories = '\"/d/run, it''s\"'",
            "unix_socket_permissions = 0700",
            "max_connections = 42",
            "fsync = off",
        ] {
            assert!(text.lines().any(|it| it == line), "{text}");
        }
        assert!(
            ACCESS
                .lines()
                .all(|line| line.starts_with('#') || line.starts_with("local "))
        );
    }

    #[test]
    fn a_changed_setting_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = |connections| {
            Settings::new(
                folder.path(),
                Path::new("/run"),
                connections,
                Durability::Durable,
            )
        };
        assert!(!settings(10).are_written());
        settings(10).write().expect("to write");
        assert!(settings(10).are_written());
        assert!(!settings(11).are_written());
    }
}
