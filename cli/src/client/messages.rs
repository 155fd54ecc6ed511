//! What is sent to a ledger and what it answers, as far as it is used here.

use chrono::NaiveDate;
use folio_core::{Amount, Currency, Money, MoneyError, Position};
use serde::{Deserialize, Serialize};

/// An account to open.
#[derive(Debug, Clone, Serialize)]
pub struct OpenAccount<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its currency.
    pub currency: Currency,
    /// How far below zero it may go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overdraft: Option<Overdraft>,
    /// `authorising`, when left out, or `recording`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'a str>,
    /// `credit`, when left out, or `debit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normal_side: Option<&'a str>,
}

/// How far below zero an account may go.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Overdraft {
    /// As far as it goes.
    Unlimited,
}

/// An account.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Account {
    /// Its id.
    pub id: String,
    /// Its currency.
    pub currency: Currency,
    /// `authorising` or `recording`.
    #[serde(default)]
    pub kind: String,
    /// `credit` or `debit`.
    #[serde(default)]
    pub normal_side: String,
}

/// A posting to make.
#[derive(Debug, Clone, Serialize)]
pub struct Posting {
    /// By this the ledger recognises the posting when it is sent again.
    pub key: String,
    /// The account.
    pub account_id: String,
    /// Which way.
    pub side: Side,
    /// How much, and in which currency.
    #[serde(flatten)]
    pub amount: Amount,
    /// The account on the other side.
    pub contra: String,
    /// The day on which it takes effect.
    pub effective_date: NaiveDate,
    /// The sender's own name for it.
    pub reference: String,
    /// What it is for.
    pub description: String,
}

/// An entry to post.
#[derive(Debug, Clone, Serialize)]
pub struct NewEntry {
    /// Its id, by which the ledger recognises it when it is sent again.
    pub id: String,
    /// Its legs.
    pub legs: Vec<EntryLeg>,
    /// The day on which it takes effect.
    pub effective_date: NaiveDate,
    /// The sender's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// At what one currency was exchanged for another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
}

/// One account's part in an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryLeg {
    /// The account.
    pub account_id: String,
    /// Which side.
    pub side: Side,
    /// How much, and in which currency.
    #[serde(flatten)]
    pub amount: Amount,
}

/// At what one currency was exchanged for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// What was given.
    pub sold: Amount,
    /// What was got for it.
    pub bought: Amount,
    /// At this rate.
    pub rate: String,
    /// What the market asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market_rate: Option<String>,
}

/// An entry that was posted.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct PostedEntry {
    /// Its id; none of a posting of the ledger's first version.
    pub entry_id: Option<String>,
    /// Its place in the store.
    pub position: Position,
    /// The day on which it takes effect.
    pub effective_date: NaiveDate,
    /// Its legs.
    pub legs: Vec<EntryLeg>,
    /// The sender's own name for it.
    pub reference: Option<String>,
    /// What it was for.
    pub description: Option<String>,
    /// At what one currency was exchanged for another.
    pub exchange: Option<Exchange>,
    /// The entry that it undoes.
    pub reverses: Option<String>,
}

/// A page of entries.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct EntriesPage {
    /// In the order of recording.
    pub entries: Vec<PostedEntry>,
    /// The position up to which they are known; none where they are of several books.
    pub known_at: Option<Position>,
    /// By which to ask for the next page; none on the last.
    pub next_cursor: Option<String>,
}

/// The first of an account's events.
#[derive(Debug, Deserialize)]
pub(super) struct OpeningPage {
    pub(super) events: Vec<Opening>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Opening {
    pub(super) payload: OpeningPayload,
}

#[derive(Debug, Deserialize)]
pub(super) struct OpeningPayload {
    pub(super) currency: Currency,
}

/// A page of accounts.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct AccountsPage {
    /// In the order of their ids.
    pub accounts: Vec<Account>,
    /// By which to ask for the next page; none on the last.
    pub next_cursor: Option<String>,
}

/// What became of the entries of a bulk request.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct EntriesAnswer {
    /// One for each entry, in their order.
    pub results: Vec<EntryResult>,
}

/// What became of one entry.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct EntryResult {
    /// What became of it.
    pub status: PostingStatus,
    /// Why it was refused, if it was.
    pub problem: Option<super::Problem>,
}

/// Which way a posting goes, as the account's holder sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// In.
    Credit,
    /// Out.
    Debit,
}

/// What became of the postings of a bulk request.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct BulkAnswer {
    /// One for each posting, in their order.
    pub results: Vec<PostingResult>,
}

/// What became of one posting.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct PostingResult {
    /// The posting's key.
    pub key: String,
    /// What became of it.
    pub status: PostingStatus,
    /// Why it was refused, if it was.
    pub problem: Option<super::Problem>,
}

/// What became of one posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PostingStatus {
    /// It was made.
    Posted,
    /// It had been made before; nothing changed.
    AlreadyPosted,
    /// It was not made.
    Refused,
}

/// A part of an account's statement.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawPage")]
#[non_exhaustive]
pub struct StatementPage {
    /// The account's currency.
    pub currency: Currency,
    /// One line for each posting, oldest first.
    pub lines: Vec<StatementLine>,
    /// By which to ask for the next page; none on the last.
    pub next_cursor: Option<String>,
}

/// A posting as the statement shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatementLine {
    /// Its entry's place in the store.
    pub position: Position,
    /// The day on which it took effect.
    pub effective_date: Option<NaiveDate>,
    /// Which way.
    pub side: Side,
    /// How much.
    pub amount: Amount,
    /// The balance after it.
    pub balance: Money,
    /// The sender's own name for it.
    pub reference: Option<String>,
}

/// The body of a bulk request.
#[derive(Serialize)]
pub(super) struct BulkPostings<'a> {
    pub(super) postings: &'a [Posting],
}

/// A page before its amounts have met their currency.
#[derive(Deserialize)]
struct RawPage {
    currency: Currency,
    lines: Vec<RawLine>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct RawLine {
    position: Position,
    effective_date: Option<NaiveDate>,
    side: Side,
    amount: String,
    balance: String,
    reference: Option<String>,
}

impl TryFrom<RawPage> for StatementPage {
    type Error = MoneyError;

    fn try_from(page: RawPage) -> Result<Self, MoneyError> {
        let line = |line: RawLine| {
            Ok(StatementLine {
                position: line.position,
                effective_date: line.effective_date,
                side: line.side,
                amount: Amount::parse(&line.amount, page.currency)?,
                balance: Money::parse(&line.balance, page.currency)?,
                reference: line.reference,
            })
        };
        Ok(Self {
            currency: page.currency,
            lines: page.lines.into_iter().map(line).collect::<Result<_, _>>()?,
            next_cursor: page.next_cursor,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn czk() -> Currency {
        Currency::from_code("CZK").unwrap()
    }

    #[test]
    fn requests_have_the_agreed_form() {
        let open = OpenAccount {
            id: "101",
            currency: czk(),
            overdraft: Some(Overdraft::Unlimited),
            kind: None,
            normal_side: None,
        };
        assert_eq!(
            serde_json::to_value(open).unwrap(),
            json!({"id": "101", "currency": "CZK", "overdraft": {"kind": "unlimited"}})
        );
        let posting = Posting {
            key: "9000001".to_owned(),
            account_id: "101".to_owned(),
            side: Side::Credit,
            amount: Amount::parse("1000", czk()).unwrap(),
            contra: "cash".to_owned(),
            effective_date: NaiveDate::from_ymd_opt(1996, 2, 1).unwrap(),
            reference: "9000001".to_owned(),
            description: "cash_deposit".to_owned(),
        };
        assert_eq!(
            serde_json::to_value(BulkPostings {
                postings: &[posting]
            })
            .unwrap(),
            json!({"postings": [{
                "key": "9000001", "account_id": "101", "side": "credit", "amount": "1000.00",
                "currency": "CZK", "contra": "cash", "effective_date": "1996-02-01",
                "reference": "9000001", "description": "cash_deposit",
            }]})
        );
    }

    #[test]
    fn a_statement_is_read_in_its_own_currency() {
        let page = |amount: &str| {
            serde_json::from_value::<StatementPage>(json!({
                "account_id": "101", "currency": "CZK", "next_cursor": null, "lines": [{
                    "position": 17, "recorded_at": "2026-01-01T00:00:00.000000Z",
                    "effective_date": null, "side": "debit", "amount": amount, "balance": "-1.50",
                    "contra": "cash", "reference": null, "description": null,
                }],
            }))
        };
        let read = page("1.50").unwrap();
        assert_eq!(read.next_cursor, None);
        assert_eq!(read.lines[0].balance, Money::parse("-1.5", czk()).unwrap());
        assert_eq!(read.lines[0].position.number(), 17);
        let error = page("1.505").unwrap_err().to_string();
        assert!(error.contains("more decimals than the 2"), "{error}");
    }
}
