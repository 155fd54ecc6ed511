//! What the database says of services.

use std::collections::{BTreeMap, BTreeSet};

use folio_postgres::Pool;
use thiserror::Error;

use super::Failure;
use super::settings::RegistrySettings;
use crate::discovery::{Incarnation, Instance, InstanceId, Revision, ServiceName, Status};

/// One statement, so that the instances are those of the revision.
const ASK: &str = "SELECT service, s.revision, i.instance_id, i.incarnation, i.address, i.status \
     FROM registry.services s LEFT JOIN registry.instances i USING (service) \
     WHERE service = ANY ($1)";
const SWEEP: &str = "SELECT registry.sweep($1, $2)";

/// Who the instances of a service are.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) revision: Revision,
    pub(super) listed: BTreeMap<InstanceId, Instance>,
    /// Those that said that they go, or were taken off by the database.
    pub(super) left: BTreeSet<InstanceId>,
}

/// What was asked.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Of each service that was asked for.
    pub(super) services: BTreeMap<ServiceName, Answer>,
    /// What is in the way of nobody else.
    pub(super) unreadable: BTreeSet<Unreadable>,
}

/// A row that is of no use to this program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Error)]
#[error("instance {id:?} of {service} has the address {address:?} and the status {status:?}")]
pub(super) struct Unreadable {
    service: ServiceName,
    id: String,
    address: String,
    status: String,
}

/// A row, as it is written.
struct Row<'a> {
    id: &'a str,
    incarnation: i64,
    address: &'a str,
    status: &'a str,
}

/// Asks who is there.
pub(super) async fn ask(pool: &Pool, services: &[ServiceName]) -> Result<Answers, Failure> {
    let names: Vec<&str> = services.iter().map(ServiceName::as_str).collect();
    let mut client = pool.get().await?;
    let statement = client.prepare_cached(ASK).await?;
    let rows = client.query(&statement, &[&names]).await?;
    client.finished();
    let mut answers = Answers::default();
    for service in services {
        answers.services.insert(service.clone(), Answer::default());
    }
    for row in &rows {
        let service: ServiceName = row.try_get::<_, &str>(0)?.parse()?;
        let Some(answer) = answers.services.get_mut(&service) else {
            continue;
        };
        answer.revision = Revision::new(row.try_get(1)?);
        // Nobody has ever registered, or all of it is forgotten.
        let Some(id) = row.try_get(2)? else { continue };
        let row = Row {
            id,
            incarnation: row.try_get(3)?,
            address: row.try_get(4)?,
            status: row.try_get(5)?,
        };
        if let Err(unreadable) = answer.add(&service, &row) {
            answers.unreadable.insert(unreadable);
        }
    }
    Ok(answers)
}

/// Takes those off whose leases have ended, as many as may go now.
pub(super) async fn sweep(pool: &Pool, settings: &RegistrySettings) -> Result<(), Failure> {
    let mut client = pool.get().await?;
    let statement = client.prepare_cached(SWEEP).await?;
    let (term, one_in) = (settings.term_ms(), settings.one_in());
    client.query_one(&statement, &[&term, &one_in]).await?;
    client.finished();
    Ok(())
}

impl Answer {
    fn add(&mut self, service: &ServiceName, row: &Row<'_>) -> Result<(), Unreadable> {
        let unreadable = || Unreadable {
            service: service.clone(),
            id: row.id.to_owned(),
            address: row.address.to_owned(),
            status: row.status.to_owned(),
        };
        let id: InstanceId = row.id.parse().map_err(|_| unreadable())?;
        let status = match row.status {
            "starting" => Status::Starting,
            "serving" => Status::Serving,
            "draining" => Status::Draining,
            "gone" | "expired" => {
                self.left.insert(id);
                return Ok(());
            }
            _ => return Err(unreadable()),
        };
        let instance = Instance {
            service: service.clone(),
            id: id.clone(),
            incarnation: Incarnation::new(row.incarnation),
            address: row.address.parse().map_err(|_| unreadable())?,
            status,
        };
        self.listed.insert(id, instance);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(id: &str, address: &str, status: &str) -> Result<Answer, Unreadable> {
        let mut answer = Answer::default();
        let row = Row {
            id,
            incarnation: 7,
            address,
            status,
        };
        answer.add(&"accounts".parse().unwrap(), &row)?;
        Ok(answer)
    }

    #[test]
    fn every_status_is_read_as_it_is_written() {
        for status in [Status::Starting, Status::Serving, Status::Draining] {
            let answer = added("a-1", "[::1]:80", status.as_str()).unwrap();
            let (_, instance) = answer.listed.first_key_value().unwrap();
            assert_eq!(instance.status, status);
            assert_eq!(instance.incarnation.number(), 7);
        }
    }

    #[test]
    fn whoever_has_left_is_not_listed() {
        for status in ["gone", "expired"] {
            // Whatever its address was.
            let answer = added("a-1", "", status).unwrap();
            assert!(answer.listed.is_empty());
            assert_eq!(answer.left.len(), 1);
        }
    }

    #[test]
    fn a_row_that_makes_no_sense_is_named() {
        for (id, address, status) in [
            ("A", "[::1]:80", "serving"),
            ("a-1", "localhost", "serving"),
            ("a-1", "[::1]:80", "asleep"),
        ] {
            let unreadable = added(id, address, status).unwrap_err().to_string();
            for text in [id, address, status] {
                assert!(unreadable.contains(text), "{unreadable}");
            }
        }
    }
}
