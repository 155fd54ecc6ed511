//! A statement as a page for people, to read or to print: one HTML file without scripts, which loads nothing.

use std::time::Duration;

use chrono::NaiveDate;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{LineBody, StatementPage};
use crate::account::Side;
use crate::balances::ShelvedBook;

const STYLE: &str = include_str!("style.css");
/// Should anything be in the page that is no text after all, it is neither run nor loaded.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// A book that is followed is never that old, unless much is written at once.
const LATE: Duration = Duration::from_secs(5);

/// Which part of an account's history a page is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// The first day, where one was asked for.
    pub(super) from: Option<NaiveDate>,
    /// The last one.
    pub(super) to: Option<NaiveDate>,
    /// Whether another page goes before it.
    pub(super) is_continued: bool,
}

/// What may be missing, since the book is not followed as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    /// The service that records what is missing.
    service: String,
    /// Since when it may be: what was recorded longer ago is there. None where nobody knows.
    age: Option<Duration>,
}

impl Gap {
    /// None where the book is followed. Whoever reads a statement is told earlier than whoever keeps the service running.
    pub(super) fn of(book: &ShelvedBook) -> Option<Self> {
        let age = book.age();
        let is_late = age.is_none_or(|age| age > LATE);
        (is_late || book.hindrance().is_some()).then(|| Self {
            service: book
                .feed
                .service()
                .map_or_else(|| "its service".to_owned(), ToString::to_string),
            age,
        })
    }
}

/// The page. All texts of others are in it as text, and each keeps its direction of writing to itself.
pub(super) fn html(page: &StatementPage, span: Span, gap: Option<&Gap>) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width";
                title { "Statement of " (page.account_id) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Statement of " bdi { (page.account_id) } }
                @if let Some(gap) = gap { (notice(page, gap)) }
                (facts(page, span))
                (table(page, span))
                (end(page))
            }
        }
    }
}

fn notice(page: &StatementPage, gap: &Gap) -> Markup {
    let lately = match gap.age {
        Some(age) => format!("in the last {} seconds", age.as_secs().saturating_add(1)),
        None => "lately".to_owned(),
    };
    html! {
        p.notice role="alert" {
            strong { "This may not be all." }
            " Book " bdi { (page.book) } " is not followed as it should be: what " (gap.service)
            " has recorded " (lately) " may be missing."
        }
    }
}

fn facts(page: &StatementPage, span: Span) -> Markup {
    let day =
        |day: Option<NaiveDate>, open: &str| day.map_or(open.to_owned(), |day| day.to_string());
    html! {
        dl {
            dt { "Book" } dd { bdi { (page.book) } }
            dt { "Currency" } dd { (page.currency) }
            dt { "Days" } dd { (day(span.from, "from the beginning")) " to " (day(span.to, "the last entry")) }
            dt { "Grows by" } dd { (page.normal_side) "s" }
            dt { "Known up to" } dd { "position " (page.known_at) " of the book" }
        }
    }
}

fn table(page: &StatementPage, span: Span) -> Markup {
    let before = if span.is_continued {
        "Brought forward"
    } else {
        "Opening balance"
    };
    let (after, balance) = match (&page.next_cursor, page.lines.last()) {
        (Some(_), Some(last)) => ("Carried forward", &last.balance),
        (None | Some(_), _) => ("Closing balance", &page.closing_balance),
    };
    html! {
        table {
            thead {
                tr {
                    th scope="col" { "Day" }
                    th scope="col" { "What for" }
                    th scope="col" { "Other side" }
                    th.amount scope="col" { "Debit" }
                    th.amount scope="col" { "Credit" }
                    th.amount scope="col" { "Balance" }
                }
            }
            tbody {
                tr.balance { td colspan="5" { (before) } td.amount { (page.opening_balance) } }
                @for line in &page.lines { (row(line)) }
                tr.balance { td colspan="5" { (after) } td.amount { (balance) } }
            }
        }
    }
}

fn row(line: &LineBody) -> Markup {
    let on = |side: Side| {
        if line.side == side.as_str() {
            line.amount.as_str()
        } else {
            ""
        }
    };
    html! {
        tr {
            td.day title={ "recorded " (line.recorded_at) } { (line.effective_date) }
            td {
                @if let Some(text) = &line.description { div { bdi { (text) } } }
                @if let Some(text) = &line.reference { div.faint { bdi { (text) } } }
                @if let Some(entry) = &line.entry_id { div.faint { "entry " bdi { (entry) } } }
                @if let Some(entry) = &line.reverses { div.faint { "reverses entry " bdi { (entry) } } }
                @if let Some(entry) = &line.reversed_by { div.faint { "reversed by entry " bdi { (entry) } } }
            }
            td { @if let Some(text) = &line.contra { bdi { (text) } } }
            td.amount { (on(Side::Debit)) }
            td.amount { (on(Side::Credit)) }
            td.amount { (line.balance) }
        }
    }
}

fn end(page: &StatementPage) -> Markup {
    html! {
        @match &page.next_cursor {
            Some(cursor) => p { "It goes on at " code { "cursor=" (cursor) } "." }
            None => p.faint { "This is the end of the statement. Asked for as known at " (page.known_at) ", it is the same again at any time." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(description: &str, next_cursor: Option<&str>) -> StatementPage {
        StatementPage {
            book: "a".to_owned(),
            account_id: "<b>1</b>".to_owned(),
            currency: "EUR".to_owned(),
            normal_side: "credit",
            known_at: 7,
            opening_balance: "1.00".to_owned(),
            closing_balance: "9.99".to_owned(),
            lines: vec![LineBody {
                position: 7,
                entry_id: Some("e-1".to_owned()),
                recorded_at: "2026-01-05T12:00:00.000000Z".to_owned(),
                effective_date: NaiveDate::MIN,
                side: "debit",
                amount: "0.25".to_owned(),
                balance: "0.75".to_owned(),
                contra: None,
                reference: None,
                description: Some(description.to_owned()),
                reverses: None,
                reversed_by: Some("e-2".to_owned()),
            }],
            next_cursor: next_cursor.map(str::to_owned),
        }
    }

    const WHOLE: Span = Span {
        from: None,
        to: None,
        is_continued: false,
    };

    #[test]
    fn texts_of_others_stay_text() {
        let text = "</td><script>alert(\"x\")</script>";
        let shown = html(&page(text, None), WHOLE, None).into_string();
        assert!(!shown.contains("<script"), "{shown}");
        assert!(!shown.contains("<b>"), "{shown}");
        assert!(shown.contains("&lt;/td&gt;&lt;script&gt;"), "{shown}");
    }

    #[test]
    fn an_amount_stands_on_its_side_and_the_last_balance_is_the_right_one() {
        let amount = |text: &str| format!("<td class=\"amount\">{text}</td>");
        let row = [amount("0.25"), amount(""), amount("0.75")].concat();
        let last = html(&page("", None), WHOLE, None).into_string();
        assert!(last.contains(&row), "{last}");
        assert!(last.contains(&amount("9.99")), "{last}");
        let before = html(&page("", Some("c")), WHOLE, None).into_string();
        assert!(!before.contains("9.99"), "{before}");
        assert!(before.contains("cursor=c"), "{before}");
    }

    #[test]
    fn what_may_be_missing_is_told_with_the_service_that_has_it() {
        let mut gap = Gap {
            service: "accounts-a".to_owned(),
            age: Some(Duration::from_millis(31_400)),
        };
        let shown = html(&page("", None), WHOLE, Some(&gap)).into_string();
        let told = "what accounts-a has recorded in the last 32 seconds may be missing";
        assert!(shown.contains(told), "{shown}");
        gap.age = None;
        let shown = html(&page("", None), WHOLE, Some(&gap)).into_string();
        assert!(shown.contains("has recorded lately"), "{shown}");
        let whole = html(&page("", None), WHOLE, None).into_string();
        assert!(!whole.contains("role=\"alert\""), "{whole}");
    }
}
