//! The table and the picture of what was measured.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::measure::Measured;

/// Width of a ratio of 1 in the picture.
const ONE: u64 = 120;
/// Height of a line in the picture.
const LINE: usize = 22;

/// What was measured so far. It prints itself as it grows.
pub(crate) struct Report {
    rows: Vec<Row>,
}

struct Row {
    what: String,
    /// Folio's rate in hundredths of the yardstick's.
    percent: u64,
    goal: Option<u64>,
}

impl Report {
    /// An empty report, whose head is printed.
    pub(crate) fn new() -> Self {
        println!(
            "{:<50}{:>11}{:>11}{:>8}{:>7}   p50 / p99 ms, raw and Folio",
            "", "raw /s", "Folio /s", "ratio", "goal"
        );
        Self { rows: Vec::new() }
    }

    /// Adds a workload. The goal is in hundredths of the yardstick's rate.
    pub(crate) fn line(&mut self, what: &str, raw: &Measured, ours: &Measured, goal: Option<u64>) {
        let percent = ours.rate * 100 / raw.rate.max(1);
        println!(
            "{what:<50}{:>11}{:>11}{:>8}{:>7}   {}   {}",
            raw.rate,
            ours.rate,
            ratio(percent),
            goal.map_or(String::new(), ratio),
            calls(raw),
            calls(ours),
        );
        self.rows.push(Row {
            what: what.to_owned(),
            percent,
            goal,
        });
    }

    /// Adds what is no ratio.
    pub(crate) fn note(&mut self, what: &str) {
        println!("{what}");
    }

    /// Draws the ratios, with a line where each goal is, into the folder that cargo builds in.
    pub(crate) fn picture(&self) -> PathBuf {
        let height = (self.rows.len() + 1) * LINE;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1200\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        for (index, row) in self.rows.iter().enumerate() {
            let (top, base) = (index * LINE + 4, index * LINE + 17);
            let met = row.goal.is_none_or(|goal| row.percent >= goal);
            let colour = if met { "#2b7a4b" } else { "#b5532a" };
            let bar = row.percent * ONE / 100;
            let what = row.what.replace('&', "&amp;").replace('<', "&lt;");
            let _ = writeln!(
                svg,
                "<text x=\"380\" y=\"{base}\" text-anchor=\"end\">{what}</text>\
                 <rect x=\"390\" y=\"{top}\" width=\"{bar}\" height=\"16\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"{base}\">{}</text>",
                396 + bar,
                ratio(row.percent),
            );
            if let Some(goal) = row.goal {
                let x = 390 + goal * ONE / 100;
                let _ = writeln!(
                    svg,
                    "<line x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{}\" stroke=\"black\"/>",
                    top - 2,
                    top + 18
                );
            }
        }
        svg.push_str("</svg>\n");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let path = target.join("rates.svg");
        std::fs::write(&path, svg).unwrap();
        path
    }
}

fn ratio(percent: u64) -> String {
    format!("{}.{:02}", percent / 100, percent % 100)
}

fn calls(measured: &Measured) -> String {
    let ms = |percent| {
        measured
            .percentile_us(percent)
            .map_or("-".to_owned(), |us| {
                format!("{}.{:02}", us / 1_000, us % 1_000 / 10)
            })
    };
    format!("{} / {}", ms(50), ms(99))
}
