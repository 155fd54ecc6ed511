//! What was done to projections, by whom and why.

use std::time::SystemTime;

use tokio_postgres::GenericClient;

use crate::build::ModelError;
use crate::name::BuildName;
use crate::projection::Projection;

const OPERATIONS: &str = "SELECT at, projection, build, operation, actor, detail \
     FROM projections.operations WHERE $1::text IS NULL OR projection = $1 ORDER BY id";

/// Something that was done to a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// When.
    pub at: SystemTime,
    /// To which build. It may have been dropped since.
    pub build: BuildName,
    /// What: `create`, `rebuild`, `swap`, `pause` and so on.
    pub operation: String,
    /// Who has done it.
    pub actor: String,
    /// Why, or how it was done.
    pub detail: String,
}

/// What was done to one projection, or to all, the oldest first.
///
/// # Errors
///
/// When the database fails.
pub async fn operations(
    client: &impl GenericClient,
    projection: Option<&str>,
) -> Result<Vec<Operation>, tokio_postgres::Error> {
    let rows = client.query(OPERATIONS, &[&projection]).await?;
    rows.iter()
        .map(|row| {
            Ok(Operation {
                at: row.try_get(0)?,
                build: BuildName::new(row.try_get::<_, String>(1)?, row.try_get(2)?),
                operation: row.try_get(3)?,
                actor: row.try_get(4)?,
                detail: row.try_get(5)?,
            })
        })
        .collect()
}

impl Projection {
    /// What was done to it, the oldest first.
    ///
    /// # Errors
    ///
    /// [`ModelError`].
    pub async fn history(&self) -> Result<Vec<Operation>, ModelError> {
        let mut client = self.shared.models.get().await.map_err(ModelError::Pool)?;
        let operations = operations(&***client, Some(self.name().name)).await?;
        client.finished();
        Ok(operations)
    }
}
