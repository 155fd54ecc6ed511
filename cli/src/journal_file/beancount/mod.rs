//! beancount's format: the documented part of it.
//!
//! What is written and read:
//!
//! * `; comment` to the end of a line;
//! * `0001-01-01 open Assets:Cash EUR`, with one currency or none. Metadata may follow: `folio-account: "cash"`,
//!   which is its id, and `folio-kind: "authorising"`, without which it is a recording account. Every account
//!   is opened, anywhere in the file;
//! * transactions, `2026-03-31 * "reference" "description"`, where a text that is alone is the description,
//!   with two postings or more of the form `Assets:Cash  -12.50 EUR`, whose amount is positive for a debit;
//!   one posting may be without its amount. A reference stands where beancount has a payee.
//! * metadata of a transaction, before its postings, that begins with `folio-`: what a transaction has no
//!   place for.
//!
//! Also read, and of no consequence: lines that begin with one of `*:#!&?%`, which are headings;
//! `txn` for `*`; `option "title"` and `option "operating_currency"`; `2026-01-01 commodity EUR`; metadata of
//! others, of whatever it is.
//!
//! Anything else is refused, with its line: other options and directives, other flags, costs, prices,
//! arithmetic and commas in amounts, tags and links, booking methods, accounts of several currencies.
//!
//! # Accounts
//!
//! The root of a name is the account's normal side: `Assets` and `Expenses` grow by debits, `Liabilities`,
//! `Equity` and `Income` by credits. The first of each are written. The rest is made of the id for people to
//! read: a dot becomes a colon, `_` a hyphen, the first letter of each part a capital, and a number is added
//! where another account has that name. The id itself is in the metadata. Where it is not, as in files of
//! others, the id is the name, root and all, with dots for the colons.
//!
//! Accounts are opened on the first day that beancount knows, because the ledger takes entries of any day.
//!
//! # Amounts
//!
//! What is written and read is exact, and balances exactly. beancount itself counts with 28 digits, where the
//! ledger has 96 bits, and rounds what needs a 29th.

mod lines;
mod names;
mod parse;
mod quotes;
mod write;

pub use names::AccountNames;
pub use parse::parse;
pub use write::{head, write};
