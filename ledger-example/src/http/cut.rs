//! Lists over several books: each as of one position, page after page.

use axum::response::Response;
use chrono::NaiveDate;
use folio_core::Position;
use serde::Serialize;

use crate::balances::{BookName, Shelf};
use crate::http::cursor;
use crate::http::problem::Problem;
use crate::http::shelf::{Opened, Origin};
use crate::http::times::Asked;

/// The models of the books that a list is over, in the order of their names, each as of one position; and
/// where in it a page begins. It is the same cut for all pages.
#[derive(Debug)]
pub(crate) struct Cut<'a> {
    opened: Vec<Opened<'a>>,
    /// The book that the page begins in, and the last item of it on the page before.
    begins: Option<(String, String)>,
}

/// What is asked of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AskedPage<'a> {
    /// One book, or all.
    pub(crate) book: Option<&'a str>,
    /// As of when, on the first page.
    pub(crate) asked: Asked<'a>,
    /// The list, as its cursors know it.
    pub(crate) list: &'a str,
    /// Where the page before ended.
    pub(crate) cursor: Option<&'a str>,
}

impl Shelf {
    /// Opens what a page of a list is taken from. A cursor holds on to what was known when the first page
    /// was answered.
    pub(crate) async fn cut(&self, page: AskedPage<'_>) -> Result<Cut<'_>, Problem> {
        let books = self.asked_for(page.book)?;
        let Some(cursor) = page.cursor else {
            let is_number = |text: &str| text.parse::<i64>().is_ok();
            if books.len() > 1 && page.asked.known_at.is_some_and(is_number) {
                return Err(Problem::unprocessable(
                    "invalid_known_at",
                    "Not a position or moment of all books",
                    "a position is of one book: name it with book, or pass the value of a \
                     Folio-Position header",
                ));
            }
            let mut opened = Vec::with_capacity(books.len());
            for book in books {
                opened.push(book.open(page.asked).await?);
            }
            let begins = None;
            return Ok(Cut { opened, begins });
        };
        let place = Place::parse(&cursor::decode(page.list, cursor)?)?;
        let mut opened = Vec::with_capacity(place.known.len());
        for (name, known) in &place.known {
            let book = books.iter().find(|book| book.name.as_str() == name);
            let book = book.ok_or_else(cursor::invalid)?;
            let known = known.to_string();
            let asked = as_known_at(page.asked.effective, &known);
            opened.push(book.open(asked).await?);
        }
        let begins = Some((place.book, place.after));
        Ok(Cut { opened, begins })
    }
}

fn as_known_at(effective: Option<NaiveDate>, known_at: &str) -> Asked<'_> {
    Asked {
        effective,
        known_at: Some(known_at),
        min_position: None,
    }
}

impl<'a> Cut<'a> {
    /// The books from which the page is taken, each with the item that it goes on after.
    pub(crate) fn books(&self) -> impl Iterator<Item = (&Opened<'a>, &str)> {
        let begins = self.begins.as_ref();
        let is_before = move |opened: &&Opened<'a>| {
            begins.is_some_and(|(book, _)| opened.book.name.as_str() < book.as_str())
        };
        self.opened
            .iter()
            .skip_while(is_before)
            .map(move |opened| match begins {
                Some((book, after)) if *book == opened.book.name.as_str() => {
                    (opened, after.as_str())
                }
                Some(_) | None => (opened, ""),
            })
    }

    /// All of them, whichever page it is.
    pub(crate) fn all(&self) -> &[Opened<'a>] {
        &self.opened
    }

    /// The position that it is as of, where it is of one book.
    pub(crate) fn known_at(&self) -> Option<i64> {
        match self.opened.as_slice() {
            [opened] => Some(opened.as_of.known.number()),
            _ => None,
        }
    }

    /// The cursor of the page after this one, which has so many items.
    pub(crate) fn next_cursor(
        &self,
        list: &str,
        items: usize,
        limit: u16,
        last: Option<(&BookName, String)>,
    ) -> Option<String> {
        let (book, after) = last?;
        let known = self
            .opened
            .iter()
            .map(|opened| (opened.book.name.to_string(), opened.as_of.known));
        let place = Place {
            known: known.collect(),
            book: book.to_string(),
            after,
        };
        cursor::next(list, items, limit, Some(place.text()))
    }

    /// Ends the readings, and answers.
    pub(crate) async fn answer(self, body: impl Serialize) -> Result<Response, Problem> {
        let mut origin = Origin::default();
        for opened in self.opened {
            origin.add(&opened);
            opened.model.close().await?;
        }
        Ok(origin.answer(body))
    }
}

/// How many items a page still takes.
pub(crate) fn room(limit: u16, items: usize) -> i64 {
    i64::from(limit).saturating_sub(i64::try_from(items).unwrap_or(i64::MAX))
}

/// Where a page ended, as a text: `a:17,b:4 a key`.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    known: Vec<(String, Position)>,
    book: String,
    after: String,
}

impl Place {
    fn text(&self) -> String {
        let known = self.known.iter();
        let known = known.map(|(book, position)| format!("{book}:{position}"));
        let known = known.collect::<Vec<_>>().join(",");
        format!("{known} {} {}", self.book, self.after)
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let parsed = || {
            let (known, rest) = text.split_once(' ')?;
            let (book, after) = rest.split_once(' ')?;
            let known = known.split(',').map(|pair| {
                let (book, position) = pair.split_once(':')?;
                Some((book.to_owned(), Position::new(position.parse().ok()?)?))
            });
            Some(Self {
                known: known.collect::<Option<_>>()?,
                book: book.to_owned(),
                after: after.to_owned(),
            })
        };
        parsed().ok_or_else(cursor::invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_as_it_was() {
        let place = Place {
            known: vec![
                ("a".to_owned(), Position::START.plus(17)),
                ("b".to_owned(), Position::START),
            ],
            book: "a".to_owned(),
            after: "a key with spaces".to_owned(),
        };
        assert_eq!(place.text(), "a:17,b:0 a a key with spaces");
        assert_eq!(Place::parse(&place.text()).unwrap(), place);
        for text in ["", "a", "a:1 a", "a a 7", "a:-1 a 7", ": a 7"] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }
}
