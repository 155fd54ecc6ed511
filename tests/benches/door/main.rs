//! The gateway beside nginx as a proxy: the same service behind them, the same load, in one run.
//!
//! `cargo bench -p folio-tests --bench door`. It needs `nginx`, `wrk` and `taskset`, and says so where they are missing. Each proxy has
//! the first core while it is measured; the service and whoever asks have the second. What is compared is requests for a second of the
//! proxy's own processor time, which a noisy machine changes least; how much later an answer comes through it at a steady thousand
//! requests a second; and what ten thousand connections hold on which nothing is asked. `FOLIO_BENCH_SECONDS` is the time for each
//! run, `FOLIO_BENCH_RUNS` how many rounds the medians are of.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a benchmark fails by panicking, and prints figures for people"
)]

mod gateway;
mod idle;
mod load;
mod nginx;
mod quiet;
mod report;
mod server;
mod steady;

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::gateway::Kind;
use crate::load::{Load, Target};
use crate::quiet::Watch;
use crate::report::{Goal, Report};
use crate::server::Server;

// The gateway's, as in the program.
#[global_allocator]
static ALLOCATOR: ledger::Allocator = ledger::Allocator;

/// The core of the proxies, and that of everybody else.
const PROXY_CORE: &str = "0";
const OTHER_CORE: &str = "1";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((gateway::ARGUMENT, rest)) = arguments
        .split_first()
        .map(|(first, rest)| (first.as_str(), rest))
    {
        return gateway::run(rest);
    }
    let mut chosen = arguments.iter().filter(|name| !name.starts_with('-'));
    let is_chosen = |name: &String| name == "door";
    if chosen.clone().next().is_some() && !chosen.any(is_chosen) {
        return;
    }
    for program in ["nginx", "wrk", "taskset"] {
        if !server::is_there(program) {
            eprintln!("{program} is not there; nothing is measured");
            return;
        }
    }
    server::raise_files_max();
    server::pin_ourselves(OTHER_CORE);
    let folder = TempDir::new().unwrap();
    let service = nginx::service(folder.path());
    let mut report = Report::default();
    {
        let proxy = nginx::proxy(folder.path(), service.port());
        let plain = gateway::start(folder.path(), service.port(), Kind::Plain);
        let full = gateway::start(folder.path(), service.port(), Kind::Full);
        let watch = Watch::begin(&[&service, &proxy, &plain, &full]);
        saturated(folder.path(), [&proxy, &plain, &full], &mut report);
        steady(
            folder.path(),
            [&service, &proxy, &plain, &full],
            &mut report,
        );
        println!(
            "\nothers had {:.0} % of the two cores meanwhile",
            watch.others_percent()
        );
    }
    idle(folder.path(), &service, &mut report);
    println!("picture: {}", report.picture().display());
}

/// As many requests as there can be, of each proxy in turn, for several rounds.
fn saturated(folder: &Path, [proxy, plain, full]: [&Server; 3], report: &mut Report) {
    let known = gateway::known(folder);
    let targets = [
        (proxy, Target::plain(proxy.port())),
        (plain, Target::plain(plain.port())),
        (full, Target::known(full.port(), &known)),
        (
            full,
            Target::each_another(full.port(), gateway::script(folder)),
        ),
    ];
    let mut rounds: Vec<[Load; 4]> = Vec::new();
    for _ in 0..load::rounds() {
        rounds.push(
            targets
                .each_ref()
                .map(|(server, target)| load::full(server, target)),
        );
    }
    println!(
        "{:<42}{:>9}{:>8}{:>12}{:>10}{:>20}",
        "saturated, 32 connections", "req/s", "core", "req/cpu-s", "µs each", "of nginx"
    );
    for (which, name) in CONTENDERS.iter().enumerate() {
        let of =
            |figure: fn(Load) -> f64| load::median(rounds.iter().map(|round| figure(round[which])));
        let ratios = rounds
            .iter()
            .map(|round| round[which].a_cpu_second() / round[0].a_cpu_second());
        let ratios: Vec<f64> = ratios.collect();
        let (least, most) = load::extent(&ratios);
        println!(
            "{name:<42}{:>9.0}{:>7.0}%{:>12.0}{:>10.1}{:>7.2} ({least:.2} – {most:.2})",
            of(Load::a_second),
            of(Load::core_percent),
            of(Load::a_cpu_second),
            of(Load::micros_each),
            load::median(ratios),
        );
    }
    let ratio = |which: usize, yardstick: usize| {
        let ratios = rounds
            .iter()
            .map(|round| round[which].a_cpu_second() / round[yardstick].a_cpu_second());
        load::median(ratios)
    };
    report.line(
        "requests for a cpu-second: gateway, plain, of nginx's",
        ratio(1, 0),
        Goal::AtLeast(0.7),
    );
    report.line(
        "cpu of a request: gateway, all it does, of plain",
        ratio(1, 2),
        Goal::AtMost(1.25),
    );
    report.line(
        "cpu of a request: each time another token, of plain",
        ratio(1, 3),
        Goal::None,
    );
}

const CONTENDERS: [&str; 4] = [
    "nginx",
    "gateway, plain",
    "gateway, all it does, known tokens",
    "gateway, all it does, each another token",
];

/// A thousand requests a second, of the service itself and of each proxy in turn, for several rounds.
fn steady(folder: &Path, [service, proxy, plain, full]: [&Server; 4], report: &mut Report) {
    let known = gateway::known(folder);
    let targets = [
        Target::plain(service.port()),
        Target::plain(proxy.port()),
        Target::plain(plain.port()),
        Target::known(full.port(), &known),
    ];
    let names = [
        "the service itself",
        CONTENDERS[0],
        CONTENDERS[1],
        CONTENDERS[2],
    ];
    // At 500 and 990 of 1,000.
    let mut rounds: Vec<[[Duration; 2]; 4]> = Vec::new();
    for _ in 0..load::rounds() {
        rounds.push(targets.each_ref().map(|target| {
            let took = steady::latencies(target);
            [500, 990].map(|share| took[took.len() * share / 1_000])
        }));
    }
    println!(
        "\n{:<42}{:>9}{:>9}{:>12}{:>12}",
        "1,000 requests/s, open loop, ms", "p50", "p99", "added p50", "added p99"
    );
    let ms = |which: usize, at: usize| {
        let all = rounds.iter().map(|round| round[which][at].as_secs_f64());
        load::median(all) * 1_000.0
    };
    let added = |which: usize, at: usize| {
        let all = rounds
            .iter()
            .map(|round| round[which][at].as_secs_f64() - round[0][at].as_secs_f64());
        load::median(all) * 1_000.0
    };
    for (which, name) in names.iter().enumerate() {
        println!(
            "{name:<42}{:>9.3}{:>9.3}{:>12.3}{:>12.3}",
            ms(which, 0),
            ms(which, 1),
            added(which, 0),
            added(which, 1),
        );
    }
    if added(1, 1) <= 0.0 {
        println!("  the machine was too busy to tell what nginx adds to the p99");
        return;
    }
    for (which, what) in [(2, "plain"), (3, "all it does")] {
        report.line(
            &format!("added p99 at 1,000/s: gateway, {what}, of nginx's"),
            added(which, 1) / added(1, 1),
            Goal::AtMost(2.0),
        );
    }
}

/// Connections on which something was asked once and nothing is any more, with proxies that have done nothing else.
fn idle(folder: &Path, service: &Server, report: &mut Report) {
    let known = gateway::known(folder);
    println!(
        "\n{:<42}{:>9}{:>9}{:>12}{:>12}",
        "idle connections", "open", "KiB each", "MiB before", "MiB with"
    );
    let mut each = Vec::new();
    for (which, name) in [(0, CONTENDERS[0]), (1, CONTENDERS[1]), (2, CONTENDERS[2])] {
        let server = match which {
            0 => nginx::proxy(folder, service.port()),
            1 => gateway::start(folder, service.port(), Kind::Plain),
            _ => gateway::start(folder, service.port(), Kind::Full),
        };
        let target = match which {
            0 | 1 => Target::plain(server.port()),
            _ => Target::known(server.port(), &known),
        };
        let held = idle::hold(&server, &target);
        println!(
            "{name:<42}{:>9}{:>9.2}{:>12.1}{:>12.1}",
            held.open,
            held.kib_each(),
            held.before_kib as f64 / 1_024.0,
            held.with_kib as f64 / 1_024.0,
        );
        each.push(held.kib_each());
    }
    report.line(
        "memory of an idle connection: gateway, plain, of nginx's",
        each[1] / each[0],
        Goal::None,
    );
}
