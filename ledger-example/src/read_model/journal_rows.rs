//! Entries, their legs, and what they add up to.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use folio_core::filter::Member;
use folio_core::{Aggregate, Currency, MoneyError, RecordedEvent};
use folio_projections::{ModelTransaction, ProjectorError};
use rust_decimal::Decimal;

use crate::account::{Account, AccountEvent, AccountId, Posting, Side, Sides};
use crate::journal::{Entry, EntryEvent, EntryId, Leg, PostedEntry};
use crate::moment::Moment;
use crate::read_model::projector::contradiction;

/// In how many rows what was posted to one account is added up.
const STRIPES: u16 = 8;

const REVERSED: &str = "UPDATE entries SET reversed_by = r.by, reversed_position = r.position \
     FROM unnest($1::text[], $2::text[], $3::bigint[]) r(entry_id, by, position) \
     WHERE entries.entry_id = r.entry_id AND entries.reversed_by IS NULL";

/// What a batch adds to the journal.
#[derive(Default)]
struct Batch<'a> {
    entries: Vec<EntryRow<'a>>,
    totals: BTreeMap<(AccountId, i16), Sides>,
    reversals: Vec<(&'a RecordedEvent, EntryId)>,
}

struct EntryRow<'a> {
    recorded: &'a RecordedEvent,
    /// None of a posting of the first version.
    id: Option<&'a str>,
    actor: String,
    correlation_id: String,
    entry: PostedEntry,
    exchange: Option<String>,
}

pub(super) async fn write(
    events: &[RecordedEvent],
    model: &ModelTransaction,
) -> Result<(), ProjectorError> {
    let mut batch = Batch::default();
    for recorded in events {
        if recorded.stream.category() == Entry::CATEGORY {
            for event in recorded.decode::<EntryEvent>()? {
                match event {
                    EntryEvent::EntryPosted(entry) => {
                        batch.add(recorded, Some(recorded.stream.id()), entry)?;
                    }
                    EntryEvent::EntryReversed { by } => batch.reversals.push((recorded, by)),
                }
            }
        } else if is_first_version(recorded) {
            for event in recorded.decode::<AccountEvent>()? {
                if let Some(entry) = entry_of(recorded, &event)? {
                    batch.add(recorded, None, entry)?;
                }
            }
        }
    }
    batch.save_entries(model).await?;
    batch.save_legs(model).await?;
    batch.save_totals(model).await?;
    batch.save_reversals(model).await
}

/// Looked at before it is decoded: most events of accounts are decoded once already.
fn is_first_version(recorded: &RecordedEvent) -> bool {
    recorded.stream.category() == Account::CATEGORY
        && matches!(&*recorded.event_type, "AccountCredited" | "AccountDebited")
}

/// The entry that a posting of the first version stands for.
fn entry_of(
    recorded: &RecordedEvent,
    event: &AccountEvent,
) -> Result<Option<PostedEntry>, ProjectorError> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all that later versions record of accounts has its entry apart"
    )]
    let (side, posting): (Side, &Posting) = match event {
        AccountEvent::AccountCredited(posting) => (Side::Credit, posting),
        AccountEvent::AccountDebited(posting) => (Side::Debit, posting),
        _ => return Ok(None),
    };
    let account = recorded.stream.id().parse();
    let own = Leg {
        account: account.map_err(|error| contradiction(recorded, &error))?,
        side,
        amount: posting.amount,
    };
    let other = Leg {
        account: posting.contra.account(posting.amount.currency()),
        ..own.reversed()
    };
    let recorded_on = Moment(recorded.recorded_at).date();
    Ok(Some(PostedEntry {
        legs: vec![own, other],
        effective_date: posting.effective_date.unwrap_or(recorded_on),
        reference: posting.reference.clone(),
        description: posting.description.clone(),
        exchange: None,
        reverses: None,
        captures: None,
    }))
}

impl<'a> Batch<'a> {
    fn add(
        &mut self,
        recorded: &'a RecordedEvent,
        id: Option<&'a str>,
        entry: PostedEntry,
    ) -> Result<(), ProjectorError> {
        let wrong = |error: &dyn std::fmt::Display| contradiction(recorded, error);
        let metadata = recorded.decode_metadata().map_err(|error| wrong(&error))?;
        let exchange = entry.exchange.as_ref().map(serde_json::to_string);
        let stripe = stripe(recorded);
        for leg in &entry.legs {
            self.add_to_totals(leg, stripe)
                .map_err(|error| wrong(&error))?;
        }
        self.entries.push(EntryRow {
            recorded,
            id,
            actor: metadata.actor.to_string(),
            correlation_id: metadata.correlation_id.to_string(),
            entry,
            exchange: exchange.transpose().map_err(|error| wrong(&error))?,
        });
        Ok(())
    }

    fn add_to_totals(&mut self, leg: &Leg, stripe: i16) -> Result<(), MoneyError> {
        let zero = Sides::zero(leg.amount.currency());
        let key = (leg.account.clone(), stripe);
        let sides = self.totals.entry(key).or_insert(zero);
        let sum = match leg.side {
            Side::Debit => &mut sides.debits,
            Side::Credit => &mut sides.credits,
        };
        *sum = sum.checked_add(leg.amount.money())?;
        Ok(())
    }

    /// An entry that is there already is a doubled event: the primary key refuses it, loudly, and the
    /// batch with it.
    async fn save_entries(&self, model: &ModelTransaction) -> Result<(), ProjectorError> {
        let rows = &self.entries;
        let positions: Vec<i64> = rows.iter().map(|r| r.recorded.position.number()).collect();
        let ids: Vec<Option<&str>> = rows.iter().map(|r| r.id).collect();
        let recorded: Vec<i64> = rows
            .iter()
            .map(|r| r.recorded.recorded_at.micros())
            .collect();
        let dates: Vec<NaiveDate> = rows.iter().map(|r| r.entry.effective_date).collect();
        let references: Vec<Option<&str>> = rows
            .iter()
            .map(|r| r.entry.reference.as_ref().map(|text| text.as_str()))
            .collect();
        let texts: Vec<Option<&str>> = rows
            .iter()
            .map(|r| r.entry.description.as_ref().map(|text| text.as_str()))
            .collect();
        let exchanges: Vec<Option<&str>> = rows.iter().map(|r| r.exchange.as_deref()).collect();
        let reverses: Vec<Option<&str>> = rows
            .iter()
            .map(|r| r.entry.reverses.as_ref().map(EntryId::as_str))
            .collect();
        let captures: Vec<Option<&str>> = rows
            .iter()
            .map(|r| r.entry.captures.as_ref().map(|hold| hold.as_str()))
            .collect();
        let actors: Vec<&str> = rows.iter().map(|r| r.actor.as_str()).collect();
        let correlations: Vec<&str> = rows.iter().map(|r| r.correlation_id.as_str()).collect();
        model
            .insert("entries")
            .key("position", &positions)
            .set("entry_id", &ids)
            .set("recorded_at", &recorded)
            .set("effective_date", &dates)
            .set("reference", &references)
            .set("description", &texts)
            .set("exchange", &exchanges)
            .set("reverses", &reverses)
            .set("captures", &captures)
            .set("actor", &actors)
            .set("correlation_id", &correlations)
            .execute()
            .await
    }

    async fn save_legs(&self, model: &ModelTransaction) -> Result<(), ProjectorError> {
        let mut rows: Vec<(&EntryRow<'_>, i16, &Leg)> = Vec::new();
        for row in &self.entries {
            for (number, leg) in (0_i16..).zip(&row.entry.legs) {
                rows.push((row, number, leg));
            }
        }
        let positions: Vec<i64> = rows
            .iter()
            .map(|(row, _, _)| row.recorded.position.number())
            .collect();
        let numbers: Vec<i16> = rows.iter().map(|(_, number, _)| *number).collect();
        let accounts: Vec<&str> = rows.iter().map(|(_, _, l)| l.account.as_str()).collect();
        let sides: Vec<&str> = rows.iter().map(|(_, _, l)| l.side.as_str()).collect();
        let amounts: Vec<Decimal> = rows
            .iter()
            .map(|(_, _, l)| l.amount.money().amount())
            .collect();
        let currencies: Vec<&str> = rows
            .iter()
            .map(|(_, _, l)| l.amount.currency().code())
            .collect();
        let dates: Vec<NaiveDate> = rows
            .iter()
            .map(|(row, _, _)| row.entry.effective_date)
            .collect();
        model
            .insert("legs")
            .key("position", &positions)
            .key("leg", &numbers)
            .set("account_id", &accounts)
            .set("side", &sides)
            .set("amount", &amounts)
            .set("currency", &currencies)
            .set("effective_date", &dates)
            .execute()
            .await
    }

    /// In the order of the keys, so that two partitions that add to the same rows do so one after the
    /// other and never each before the other.
    async fn save_totals(&self, model: &ModelTransaction) -> Result<(), ProjectorError> {
        let accounts: Vec<&str> = self.totals.keys().map(|(id, _)| id.as_str()).collect();
        let stripes: Vec<i16> = self.totals.keys().map(|(_, stripe)| *stripe).collect();
        let currency = |sides: &Sides| -> Currency { sides.debits.currency() };
        let currencies: Vec<&str> = self.totals.values().map(|s| currency(s).code()).collect();
        let debits: Vec<Decimal> = self.totals.values().map(|s| s.debits.amount()).collect();
        let credits: Vec<Decimal> = self.totals.values().map(|s| s.credits.amount()).collect();
        model
            .upsert("totals")
            .key("account_id", &accounts)
            .key("stripe", &stripes)
            .set_once("currency", &currencies)
            .add("debits", &debits)
            .add("credits", &credits)
            .execute()
            .await
    }

    async fn save_reversals(&self, model: &ModelTransaction) -> Result<(), ProjectorError> {
        let Some((first, _)) = self.reversals.first() else {
            return Ok(());
        };
        let ids: Vec<&str> = self.reversals.iter().map(|(r, _)| r.stream.id()).collect();
        let by: Vec<&str> = self.reversals.iter().map(|(_, by)| by.as_str()).collect();
        let positions: Vec<i64> = self
            .reversals
            .iter()
            .map(|(r, _)| r.position.number())
            .collect();
        let statement = model.prepare_cached(REVERSED).await?;
        let changed = model.execute(&statement, &[&ids, &by, &positions]).await?;
        if usize::try_from(changed) == Ok(ids.len()) {
            Ok(())
        } else {
            let what = "an entry that is reversed is not in the model, or was reversed before";
            Err(contradiction(first, &what))
        }
    }
}

/// The row of an account's totals that an event counts in. A stream falls to one partition of a build,
/// and with 1, 2, 4 or 8 partitions all of its stripe does.
fn stripe(recorded: &RecordedEvent) -> i16 {
    i16::try_from(Member::of_stream(&recorded.stream, STRIPES)).unwrap_or(0)
}
