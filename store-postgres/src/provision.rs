//! Makes a service's database and roles on a server. It can be repeated.

use thiserror::Error;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config};
use uuid::Uuid;

use crate::database::{Database, Role, connect};

/// Serialises provisioning on one server, whoever starts it: `CREATE ROLE` and `CREATE DATABASE`
/// have no `IF NOT EXISTS`. Any number would do that nothing else in Folio uses.
const PROVISIONING_LOCK: i64 = 0x666f_6c69_6f70_726f;

/// Whether the current user may take on a role. A member could always, before PostgreSQL 16 made
/// that a privilege of its own.
const MAY_ACT_AS: &str = "SELECT pg_has_role(current_user, $1, \
     CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)";

/// Makes the database `name`, owned by a role of its own, with these further `roles`.
///
/// What exists is left as it is. Everybody else loses the right to connect.
///
/// # Errors
///
/// [`ProvisionError`], which says what the user of `server` lacks.
///
/// # Cancel safety
///
/// Dropping the future leaves some of it made; calling again makes the rest.
pub async fn provision(
    server: &Config,
    name: &str,
    roles: &[Role],
) -> Result<Database, ProvisionError> {
    check_name(name)?;
    let client = connect(server)
        .await
        .map_err(|source| ProvisionError::Unreachable { source })?;
    let failed = |source| ProvisionError::from_server(name, source);
    client
        .execute("SELECT pg_advisory_lock($1)", &[&PROVISIONING_LOCK])
        .await
        .map_err(failed)?;
    let owner = Role::Owner.name(name);
    for role in [Role::Owner].iter().chain(roles) {
        make_role(&client, &role.name(name)).await.map_err(failed)?;
    }
    if !exists(&client, name).await.map_err(failed)? {
        run(
            &client,
            &format!("CREATE DATABASE {} OWNER {}", quoted(name), quoted(&owner)),
        )
        .await
        .map_err(failed)?;
    }
    // PUBLIC may connect to every new database. Only this database's own roles shall.
    run(
        &client,
        &format!("REVOKE ALL ON DATABASE {} FROM PUBLIC", quoted(name)),
    )
    .await
    .map_err(failed)?;
    for role in roles {
        let role = quoted(&role.name(name));
        run(
            &client,
            &format!("GRANT CONNECT ON DATABASE {} TO {role}", quoted(name)),
        )
        .await
        .map_err(failed)?;
    }
    // The lock ends with the session.
    Ok(Database::new(server.clone(), name))
}

/// Whether a server has a database of this name.
///
/// # Errors
///
/// [`ProvisionError`].
pub async fn database_exists(server: &Config, name: &str) -> Result<bool, ProvisionError> {
    let client = connect(server)
        .await
        .map_err(|source| ProvisionError::Unreachable { source })?;
    let failed = |source| ProvisionError::from_server(name, source);
    exists(&client, name).await.map_err(failed)
}

async fn exists(client: &Client, name: &str) -> Result<bool, tokio_postgres::Error> {
    let found = client
        .query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name])
        .await?;
    Ok(found.is_some())
}

/// Makes the login of a service, which may act in these roles of these databases and connect to no others,
/// and answers how it connects. Its password is another one each time.
///
/// Sessions that are open stay. Only whoever is given the answer opens new ones.
///
/// # Errors
///
/// [`ProvisionError`].
///
/// # Cancel safety
///
/// As [`provision`].
pub async fn provision_login(
    server: &Config,
    login: &str,
    may_act: &[(&Database, &[Role])],
) -> Result<Config, ProvisionError> {
    check_name(login)?;
    let client = connect(server)
        .await
        .map_err(|source| ProvisionError::Unreachable { source })?;
    let failed = |source| ProvisionError::from_server(login, source);
    client
        .execute("SELECT pg_advisory_lock($1)", &[&PROVISIONING_LOCK])
        .await
        .map_err(failed)?;
    make_role(&client, login).await.map_err(failed)?;
    // 244 random bits, of letters and digits: nothing in them to be quoted.
    let password = [Uuid::new_v4(), Uuid::new_v4()].map(|half| half.simple().to_string());
    let password = password.concat();
    let logs_in = format!("ALTER ROLE {} LOGIN PASSWORD '{password}'", quoted(login));
    run(&client, &logs_in).await.map_err(failed)?;
    for (database, roles) in may_act {
        for role in *roles {
            let role = role.name(database.name());
            let grant = format!("GRANT {} TO {}", quoted(&role), quoted(login));
            run(&client, &grant).await.map_err(failed)?;
        }
    }
    let mut config = server.clone();
    config.user(login).password(password);
    if let Some((database, _)) = may_act.first() {
        // Not one that everybody may connect to.
        config.dbname(database.name());
    }
    Ok(config)
}

async fn make_role(client: &Client, role: &str) -> Result<(), tokio_postgres::Error> {
    let exists = client
        .query_opt("SELECT FROM pg_roles WHERE rolname = $1", &[&role])
        .await?
        .is_some();
    if !exists {
        run(client, &format!("CREATE ROLE {} NOLOGIN", quoted(role))).await?;
    }
    // Since PostgreSQL 16, who makes a role may administer it but not yet act as it.
    let may_act_as: bool = client.query_one(MAY_ACT_AS, &[&role]).await?.get(0);
    if !may_act_as {
        run(client, &format!("GRANT {} TO CURRENT_USER", quoted(role))).await?;
    }
    Ok(())
}

async fn run(client: &Client, statement: &str) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(statement).await
}

/// Names go into statements that take no parameters, so only plain ones are allowed at all.
fn check_name(name: &str) -> Result<(), ProvisionError> {
    // PostgreSQL cuts names at 63 bytes; the longest suffix must still fit.
    let fits = name.len() <= 48;
    let plain = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    if fits && plain && starts_well {
        Ok(())
    } else {
        Err(ProvisionError::InvalidName {
            name: name.to_owned(),
        })
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Why a database could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// The server cannot be reached, or refuses the login.
    #[error("the PostgreSQL server cannot be reached; check DATABASE_URL and that it is running")]
    Unreachable {
        /// What the driver said.
        source: tokio_postgres::Error,
    },
    /// The user may not make databases or roles.
    #[error(
        "the user of DATABASE_URL may not make {database} and its roles; \
         run ALTER ROLE … CREATEDB CREATEROLE for it, or make them beforehand"
    )]
    NotAllowed {
        /// The database.
        database: String,
        /// What the server said.
        source: tokio_postgres::Error,
    },
    /// The name is not a plain one.
    #[error("database name {name:?} is not lower-case letters, digits and _ within 48 bytes")]
    InvalidName {
        /// The refused name.
        name: String,
    },
    /// Something else went wrong.
    #[error("{database} could not be made")]
    Failed {
        /// The database or login.
        database: String,
        /// What the server said.
        source: tokio_postgres::Error,
    },
}

impl ProvisionError {
    fn from_server(database: &str, source: tokio_postgres::Error) -> Self {
        let database = database.to_owned();
        if source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
            Self::NotAllowed { database, source }
        } else {
            Self::Failed { database, source }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_databases() {
        assert!(check_name("folio_accounts_a").is_ok());
        for name in ["", "1a", "A", "a-b", "a\"b", "a b", &"x".repeat(49)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
