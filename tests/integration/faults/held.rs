//! A process of the server that is held still.

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_postgres::Client;

/// Held until this is dropped, or it is killed.
pub(crate) struct Held(Pid);

impl Held {
    /// The process that writes the log in the background, for commits that do not wait for it.
    pub(crate) async fn writer_of_the_log(superuser: &Client) -> Self {
        let which = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'";
        let writer = Pid::from_raw(superuser.query_one(which, &[]).await.unwrap().get(0));
        kill(writer, Signal::SIGSTOP).unwrap();
        Self(writer)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let continued = kill(self.0, Signal::SIGCONT);
        assert!(
            matches!(continued, Ok(()) | Err(Errno::ESRCH)),
            "{continued:?}"
        );
    }
}
