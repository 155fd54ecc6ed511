//! A table for people: columns as wide as what is in them, figures to the right.

use std::fmt;

/// A table with a heading.
pub(crate) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[String; N]>,
}

/// A column: what it is called, and to which side its cells stand.
#[derive(Clone, Copy)]
pub(crate) enum Column {
    Text(&'static str),
    Figure(&'static str),
}

impl Column {
    const fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Figure(name) => name,
        }
    }
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(columns: [Column; N], rows: impl IntoIterator<Item = [String; N]>) -> Self {
        Self {
            columns,
            rows: rows.into_iter().collect(),
        }
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    /// Ends without a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = self.columns.map(|column| column.name().to_owned());
        let mut widths = [0; N];
        for row in std::iter::once(&heading).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let line = |row: &[String; N]| {
            let mut line = String::new();
            for ((cell, width), column) in row.iter().zip(widths).zip(self.columns) {
                line.push_str(&match column {
                    Column::Text(_) => format!("{cell:<width$}  "),
                    Column::Figure(_) => format!("{cell:>width$}  "),
                });
            }
            line.trim_end().to_owned()
        };
        f.write_str(&line(&heading))?;
        for row in &self.rows {
            write!(f, "\n{}", line(row))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let columns = [
            Column::Text("name"),
            Column::Figure("position"),
            Column::Text("why"),
        ];
        let rows = [["größer", "7", ""], ["b", "1234567890", "so"]];
        let table = Table::new(columns, rows.map(|row| row.map(str::to_owned)));
        let lines = [
            "name      position  why",
            "größer           7",
            "b       1234567890  so",
        ];
        assert_eq!(table.to_string(), lines.join("\n"));
    }
}
