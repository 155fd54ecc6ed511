//! Looking at other processes: by `/proc` where there is one, else by `ps`.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, process::Command};

/// What can be known of a process from outside.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) uid: u32,
    /// Its first letter is the same on every system: `T` is stopped, `Z` is dead and not yet
    /// collected by its parent.
    state: String,
    pub(super) command_line: String,
}

impl Process {
    pub(super) fn is_stopped(&self) -> bool {
        self.state.starts_with('T')
    }

    fn is_dead(&self) -> bool {
        self.state.starts_with('Z')
    }
}

/// Looks at one process; `None` if it is not alive.
pub(super) fn look(pid: i32) -> Option<Process> {
    look_at(pid).filter(|it| !it.is_dead())
}

/// Whether a process is dead, and its parent has not collected it yet.
pub(super) fn is_uncollected(pid: i32) -> bool {
    look_at(pid).is_some_and(|it| it.is_dead())
}

/// The living children of a process.
pub(super) fn children(parent: i32) -> Vec<Process> {
    let all = if has_proc() {
        all_from_proc()
    } else {
        from_ps(&["-A"])
    };
    all.into_iter()
        .filter(|it| it.parent == parent && !it.is_dead())
        .collect()
}

fn look_at(pid: i32) -> Option<Process> {
    if has_proc() {
        from_proc(pid)
    } else {
        from_ps(&["-p", &pid.to_string()]).into_iter().next()
    }
}

fn has_proc() -> bool {
    Path::new("/proc/self/stat").exists()
}

fn all_from_proc() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(from_proc).collect()
}

fn from_proc(pid: i32) -> Option<Process> {
    let folder = Path::new("/proc").join(pid.to_string());
    let uid = folder.metadata().ok()?.uid();
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    let (state, parent) = state_and_parent(&stat)?;
    let arguments = fs::read(folder.join("cmdline")).ok()?;
    let command_line = String::from_utf8_lossy(&arguments).replace('\0', " ");
    Some(Process {
        pid,
        parent,
        uid,
        state,
        command_line,
    })
}

/// Reads `12 (a name) S 1 …`; the name may itself hold brackets and spaces.
fn state_and_parent(stat: &str) -> Option<(String, i32)> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn from_ps(which: &[&str]) -> Vec<Process> {
    // One option a column: in a list, BSD's ps takes all that follows a "=" for a heading.
    let columns = ["pid=", "ppid=", "uid=", "state=", "args="];
    let columns = columns.iter().flat_map(|column| ["-o", column]);
    let Ok(output) = Command::new("ps").args(which).args(columns).output() else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(line_of_ps)
        .collect()
}

fn line_of_ps(line: &str) -> Option<Process> {
    let mut fields = line.split_whitespace();
    Some(Process {
        pid: fields.next()?.parse().ok()?,
        parent: fields.next()?.parse().ok()?,
        uid: fields.next()?.parse().ok()?,
        state: fields.next()?.to_owned(),
        command_line: fields.collect::<Vec<_>>().join(" "),
    })
}

#[cfg(test)]
mod tests {
    use std::{
        process, thread,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn both_ways_see_this_process() {
        let pid = i32::try_from(process::id()).expect("a process number");
        let mut seen = look(pid)
            .into_iter()
            .chain(from_ps(&["-p", &pid.to_string()]));
        let one = seen.next().expect("to see ourselves");
        assert_eq!(one.pid, pid);
        assert!(!one.command_line.is_empty() && !one.is_stopped());
        // A machine with /proc may be without ps.
        for other in seen {
            assert_eq!(
                (other.pid, other.parent, other.uid),
                (one.pid, one.parent, one.uid)
            );
        }
    }

    #[test]
    fn a_dead_child_is_not_alive_before_it_is_collected() {
        let mut child = Command::new("true").spawn().expect("a child");
        let pid = i32::try_from(child.id()).expect("a process number");
        let deadline = Instant::now() + Duration::from_secs(10);
        while look(pid).is_some() {
            assert!(Instant::now() < deadline, "still alive");
            thread::yield_now();
        }
        assert!(is_uncollected(pid));
        assert!(child.wait().expect("to collect it").success());
        assert!(!is_uncollected(pid));
    }

    #[test]
    fn a_name_may_look_like_a_stat_line() {
        let read = state_and_parent("12 (a) S 9 (b) R 3 12 12 0");
        assert_eq!(read, Some(("R".to_owned(), 3)));
    }
}
