//! The tiles of the log in the database.

use folio_proofs::merkle::{Size, Tile, TileId, TileWriter, Tiles, needed_to_append};
use tokio_postgres::{Client, Error};

use crate::altered::Altered;
use crate::checkpoints::LogEnd;
use crate::error::Fault;

const READ: &str = "SELECT level, index, hashes FROM audit.tiles \
     JOIN unnest($1::smallint[], $2::bigint[]) AS needed (level, index) USING (level, index)";
const KEEP: &str = "INSERT INTO audit.tiles (level, index, hashes) \
     SELECT level, index, hashes \
     FROM unnest($1::smallint[], $2::bigint[], $3::bytea[]) AS changed (level, index, hashes) \
     ON CONFLICT (level, index) DO UPDATE SET hashes = excluded.hashes";

/// Those of these that there are.
pub(crate) async fn read(client: &Client, tiles: &[TileId]) -> Result<Tiles, Fault> {
    let levels: Vec<i16> = tiles.iter().map(|id| i16::from(id.level)).collect();
    let indexes: Vec<i64> = tiles.iter().map(|id| index(*id)).collect();
    let mut read = Tiles::new();
    for row in client.query(READ, &[&levels, &indexes]).await? {
        let (level, index): (i16, i64) = (row.try_get("level")?, row.try_get("index")?);
        // They were asked for, so they are numbers of tiles.
        let (Ok(level), Ok(index)) = (u8::try_from(level), u64::try_from(index)) else {
            continue;
        };
        let tile = Tile::from_bytes(TileId { level, index }, row.try_get("hashes")?);
        read.insert(tile.map_err(Altered::from)?);
    }
    Ok(read)
}

/// What appends to the log that ends there, if its tiles say the same.
pub(crate) async fn resume(client: &Client, end: LogEnd) -> Result<TileWriter, Fault> {
    let size = end.head.size;
    if size == Size::EMPTY {
        return Ok(TileWriter::new());
    }
    let tiles = read(client, &needed_to_append(size)).await?;
    let writer = TileWriter::resume(size, &tiles).map_err(Altered::from)?;
    let (found, signed) = (writer.head().root, end.head.root);
    if found != signed {
        return Err(Altered::Log {
            size,
            found,
            signed,
        }
        .into());
    }
    Ok(writer)
}

/// Keeps tiles in the place of what was kept of them.
pub(crate) async fn keep(client: &Client, tiles: &[Tile]) -> Result<(), Error> {
    let ids = || tiles.iter().map(Tile::id);
    let levels: Vec<i16> = ids().map(|id| i16::from(id.level)).collect();
    let indexes: Vec<i64> = ids().map(index).collect();
    let hashes: Vec<Vec<u8>> = tiles.iter().map(Tile::to_bytes).collect();
    client.execute(KEEP, &[&levels, &indexes, &hashes]).await?;
    Ok(())
}

fn index(tile: TileId) -> i64 {
    i64::try_from(tile.index).unwrap_or(i64::MAX)
}
