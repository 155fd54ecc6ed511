//! How much of the machine others had meanwhile: figures of one that was not quiet are worth less, the latencies before all.

use crate::server::{Server, TICKS};

/// Processor time from here on.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    servers: Vec<&'a Server>,
    began: Spent,
}

/// Seconds that were there, that were used, and that we used.
#[derive(Debug, Clone, Copy)]
struct Spent {
    all: f64,
    busy: f64,
    ours: f64,
}

impl<'a> Watch<'a> {
    /// Beside these, and whoever we start and wait for.
    pub(crate) fn begin(servers: &[&'a Server]) -> Self {
        Self {
            servers: servers.to_vec(),
            began: spent(servers),
        }
    }

    /// What others had, in hundredths of all that was there.
    pub(crate) fn others_percent(&self) -> f64 {
        let now = spent(&self.servers);
        let (all, busy) = (now.all - self.began.all, now.busy - self.began.busy);
        // Both are counted in ticks, so that nothing may come out a little below it.
        (busy - (now.ours - self.began.ours)).max(0.0) * 100.0 / all
    }
}

fn spent(servers: &[&Server]) -> Spent {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let first = stat.lines().next().unwrap();
    // User, nice, system, idle, waiting for a disk, interrupts, soft ones, and what the host has taken.
    let fields = first.split_whitespace().skip(1).take(8);
    let seconds: Vec<f64> = fields
        .map(|field| field.parse::<f64>().unwrap() / TICKS)
        .collect();
    let all: f64 = seconds.iter().sum();
    let own = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after = own.rsplit_once(") ").unwrap().1;
    // Our own, and that of children that were waited for.
    let own = after.split(' ').skip(11).take(4);
    let own: f64 = own.map(|field| field.parse::<f64>().unwrap() / TICKS).sum();
    let servers = servers.iter().map(|server| server.cpu_seconds());
    Spent {
        all,
        busy: all - seconds[3] - seconds[4],
        ours: own + servers.sum::<f64>(),
    }
}
