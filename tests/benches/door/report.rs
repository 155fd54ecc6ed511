//! The ratios that were measured, with their goals: as lines, and as a picture.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Width of a ratio of 1 in the picture, and the most that there is room for.
const ONE: f64 = 120.0;
const WIDEST: f64 = 720.0;
/// Height of a line in the picture.
const LINE: usize = 22;

/// What was measured so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    ratio: f64,
    goal: Goal,
}

/// What a ratio shall be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// It is only told.
    None,
}

impl Goal {
    fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(goal) => ratio >= goal,
            Self::AtMost(goal) => ratio <= goal,
            Self::None => true,
        }
    }

    const fn ratio(self) -> Option<f64> {
        match self {
            Self::AtLeast(goal) | Self::AtMost(goal) => Some(goal),
            Self::None => None,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(goal) => format!("at least {goal:.2}"),
            Self::AtMost(goal) => format!("at most {goal:.2}"),
            Self::None => String::new(),
        }
    }
}

impl Report {
    /// Adds a ratio, and prints it.
    pub(crate) fn line(&mut self, what: &str, ratio: f64, goal: Goal) {
        println!("  {what:<60}{ratio:>6.2}  {}", goal.text());
        self.rows.push(Row {
            what: what.to_owned(),
            ratio,
            goal,
        });
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
            let is_met = row.goal.is_met(row.ratio);
            let colour = if is_met { "#2b7a4b" } else { "#b5532a" };
            let bar = (row.ratio * ONE).clamp(0.0, WIDEST);
            let told = format!("{:.2} {}", row.ratio, row.goal.text());
            let _ = writeln!(
                svg,
                "<text x=\"380\" y=\"{base}\" text-anchor=\"end\">{}</text>\
                 <rect x=\"390\" y=\"{top}\" width=\"{bar:.0}\" height=\"16\" fill=\"{colour}\"/>\
                 <text x=\"{:.0}\" y=\"{base}\">{told}</text>",
                row.what,
                row.goal.ratio().map_or(bar, |goal| bar.max(goal * ONE)) + 396.0,
            );
            if let Some(goal) = row.goal.ratio() {
                let x = 390.0 + goal * ONE;
                let _ = writeln!(
                    svg,
                    "<line x1=\"{x:.0}\" x2=\"{x:.0}\" y1=\"{}\" y2=\"{}\" stroke=\"black\"/>",
                    top - 2,
                    top + 18
                );
            }
        }
        svg.push_str("</svg>\n");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let path = target.join("door.svg");
        std::fs::write(&path, svg).unwrap();
        path
    }
}
