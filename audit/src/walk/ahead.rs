//! Pages of a table that are asked for before they are taken.

use std::future::{Ready, ready};

use futures_util::StreamExt as _;
use futures_util::future::{Join, join};
use futures_util::stream::FuturesOrdered;

/// How the rows of a table are read, in the order of a number that each has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paging {
    /// Rows of a page. It has more where the last of them have the same number.
    pub(crate) rows: i64,
    /// How many pages are asked for at once: then the server reads the next one while one is taken in.
    pub(crate) ahead: usize,
    /// The last number that is wanted.
    pub(crate) last: i64,
}

/// The pages of a table, each with what the one before it has not had.
pub(crate) struct Ahead<Ask, Asked: Future> {
    paging: Paging,
    ask: Ask,
    /// Each with the number that it was asked behind.
    coming: FuturesOrdered<Join<Ready<i64>, Asked>>,
    /// From where the last page was asked for.
    asked: i64,
    /// All rows up to this number were read.
    through: i64,
    rest: Rest,
}

/// Whether there may be rows behind those that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Unread,
    None,
}

impl<Row, Error, Asked, Ask> Ahead<Ask, Asked>
where
    Ask: Fn(i64) -> Asked,
    Asked: Future<Output = Result<Vec<(i64, Row)>, Error>>,
{
    /// Asks for the first page. `ask` answers with the rows behind a number.
    pub(crate) fn of(paging: Paging, ask: Ask) -> Self {
        let mut ahead = Self {
            paging,
            ask,
            coming: FuturesOrdered::new(),
            asked: i64::MIN,
            through: i64::MIN,
            rest: Rest::Unread,
        };
        ahead.ask_behind(i64::MIN);
        ahead
    }

    /// The next page, which may have nothing new. None behind the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        while let Some((after, rows)) = self.coming.next().await {
            let rows = rows?;
            if after > self.through && self.rest == Rest::Unread {
                // The page before has several rows of one number, and ends before this one begins.
                self.coming.clear();
                self.ask_behind(self.through);
                continue;
            }
            return Ok(Some(self.take_in(rows)));
        }
        Ok(None)
    }

    fn take_in(&mut self, rows: Vec<(i64, Row)>) -> Vec<Row> {
        let Paging { last, ahead, .. } = self.paging;
        let mut is_full = i64::try_from(rows.len()).is_ok_and(|rows| rows >= self.paging.rows);
        let before = self.through;
        let mut page = Vec::with_capacity(rows.len());
        for (number, row) in rows {
            is_full &= number < last;
            // Not what another page has had too.
            if number > before && number <= last {
                self.through = number;
                page.push(row);
            }
        }
        if !is_full {
            self.rest = Rest::None;
        }
        while self.rest == Rest::Unread && self.coming.len() < ahead {
            // A page of so many rows goes so many numbers on, or further where some are missing.
            let next = self.asked.saturating_add(self.paging.rows);
            self.ask_behind(next.max(self.through));
        }
        page
    }

    fn ask_behind(&mut self, number: i64) {
        self.asked = number;
        self.coming
            .push_back(join(ready(number), (self.ask)(number)));
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// All that comes of a table with these numbers, and how often it was asked.
    fn read(numbers: &[i64], last: i64) -> Vec<i64> {
        let paging = Paging {
            rows: 4,
            ahead: 2,
            last,
        };
        let ask = |after| async move {
            let behind = numbers.iter().filter(|number| **number > after);
            let behind: Vec<i64> = behind.copied().collect();
            let end = behind.get(3).copied().unwrap_or(i64::MAX);
            // With ties.
            let page = behind.into_iter().filter(|number| *number <= end);
            Ok::<_, Infallible>(page.map(|number| (number, number)).collect())
        };
        let reading = async {
            let (mut all, mut pages) = (Vec::new(), Ahead::of(paging, ask));
            while let Ok(Some(page)) = pages.next().await {
                all.extend(page);
            }
            all
        };
        futures_util::FutureExt::now_or_never(reading).unwrap()
    }

    #[test]
    fn every_row_comes_once_and_in_order() {
        let dense: Vec<i64> = (1..=30).collect();
        assert_eq!(read(&dense, 30), dense);
        assert_eq!(read(&dense, 17), dense[..17]);
        assert!(read(&[], 0).is_empty());
        let sparse = [-7, 1, 2, 9, 10, 11, 40, 41, 90, 91, 92, 93, 94, 95];
        assert_eq!(read(&sparse, i64::MAX), sparse);
    }

    #[test]
    fn a_number_that_several_rows_have_hides_none_behind_them() {
        for doubled in 1..=30 {
            for copies in [1, 3, 8, 9] {
                let mut numbers: Vec<i64> = (1..=30).collect();
                numbers.extend(vec![doubled; copies]);
                numbers.sort_unstable();
                assert_eq!(read(&numbers, 30), numbers, "{doubled}, {copies} times");
            }
        }
        let each_twice: Vec<i64> = (1..=30).flat_map(|number| [number; 2]).collect();
        assert_eq!(read(&each_twice, 30), each_twice);
    }
}
