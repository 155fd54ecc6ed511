//! What the read model says, beside what the events say.

use std::collections::BTreeMap;

use folio_core::Version;

use crate::account::{Account, Sides};
use crate::audit::Difference;
use crate::audit::replayed::{Replayed, sides_text};
use crate::hold::Resolution;
use crate::read_model::{AccountRow, HoldRow, Snapshot, TotalRow};

pub(super) fn with_model(replayed: &Replayed, model: &Snapshot) -> Vec<Difference> {
    let mut differences = accounts(&replayed.accounts, &model.accounts);
    differences.extend(totals("totals", &replayed.posted, &model.totals));
    differences.extend(totals("statement", &replayed.posted, &model.legs));
    differences.extend(holds(replayed, &model.holds));
    differences
}

fn accounts(
    replayed: &BTreeMap<String, (Option<Account>, Version)>,
    projected: &[AccountRow],
) -> Vec<Difference> {
    let projected: BTreeMap<&str, &AccountRow> = projected
        .iter()
        .map(|row| (row.account_id.as_str(), row))
        .collect();
    let mut differences = Vec::new();
    for (id, (account, version)) in replayed {
        let mut differs = |what, replayed: String, projected: String| {
            if replayed != projected {
                differences.push(difference(id, what, replayed, projected));
            }
        };
        let (Some(account), Some(row)) = (account, projected.get(id.as_str())) else {
            differs(
                "account",
                presence(account.is_some()),
                presence(projected.contains_key(id.as_str())),
            );
            continue;
        };
        differs("version", version.to_string(), row.version.to_string());
        differs(
            "status",
            account.status().as_str().to_owned(),
            row.status.clone(),
        );
        differs(
            "balance",
            account.balance().to_string(),
            row.balance.to_string(),
        );
        differs(
            "posted",
            sides_text(account.posted()),
            sides_text(row.posted),
        );
        differs(
            "pending",
            sides_text(account.pending()),
            sides_text(row.pending),
        );
        differs(
            "freeze",
            format!("{:?}", account.freeze()),
            format!("{:?}", row.freeze),
        );
        differs(
            "limits",
            limits(account.overdraft(), account.velocity().collect()),
            limits(row.overdraft, row.velocity.clone()),
        );
        differs(
            "metadata",
            format!("{:?}", account.metadata()),
            format!("{:?}", row.metadata),
        );
    }
    let unknown = projected.keys().filter(|id| !replayed.contains_key(**id));
    differences
        .extend(unknown.map(|id| difference(id, "account", presence(false), presence(true))));
    differences
}

fn limits(
    overdraft: crate::account::Overdraft,
    velocity: Vec<crate::account::VelocityLimit>,
) -> String {
    format!("{overdraft:?} {velocity:?}")
}

fn totals(
    what: &'static str,
    replayed: &BTreeMap<String, Sides>,
    projected: &[TotalRow],
) -> Vec<Difference> {
    let projected: BTreeMap<&str, Sides> = projected
        .iter()
        .map(|row| (row.account_id.as_str(), row.posted))
        .collect();
    let mut ids: Vec<&str> = replayed.keys().map(String::as_str).collect();
    ids.extend(projected.keys().filter(|id| !replayed.contains_key(**id)));
    let text = |sides: Option<&Sides>| sides.map_or_else(|| "none".to_owned(), |s| sides_text(*s));
    let differing = ids.into_iter().filter_map(|id| {
        let (one, other) = (replayed.get(id), projected.get(id));
        (one != other).then(|| difference(id, what, text(one), text(other)))
    });
    differing.collect()
}

fn holds(replayed: &Replayed, projected: &[HoldRow]) -> Vec<Difference> {
    let projected: BTreeMap<&str, &HoldRow> = projected
        .iter()
        .map(|row| (row.hold_id.as_str(), row))
        .collect();
    let mut ids: Vec<&str> = replayed.holds.keys().map(String::as_str).collect();
    ids.extend(
        projected
            .keys()
            .filter(|id| !replayed.holds.contains_key(**id)),
    );
    let mut differences = Vec::new();
    for id in ids {
        let replayed = replayed.holds.get(id).map(|hold| {
            let state = hold.resolution.as_ref().map_or("open", Resolution::as_str);
            let placed = hold.placed.as_ref();
            let placed = placed.map(|p| (p.account.to_string(), p.side, p.amount, p.expires_at));
            format!("{state} {placed:?}")
        });
        let projected = projected.get(id).map(|row| {
            let held = row.held.as_ref();
            let held = held.map(|h| (h.account_id.to_string(), h.side, h.amount, h.expires_at));
            format!("{} {held:?}", row.state)
        });
        if replayed != projected {
            let text = |told: Option<String>| told.unwrap_or_else(|| presence(false));
            let id = format!("hold {id}");
            differences.push(difference(&id, "hold", text(replayed), text(projected)));
        }
    }
    differences
}

fn presence(is_there: bool) -> String {
    if is_there { "present" } else { "missing" }.to_owned()
}

fn difference(id: &str, what: &'static str, replayed: String, projected: String) -> Difference {
    Difference {
        account_id: id.to_owned(),
        what,
        replayed,
        projected,
    }
}
