//! How many connections a database has room for.

use tokio_postgres::{Row, Transaction};

use super::connection::Error;

/// Who may have how many connections, and who has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// On the whole PostgreSQL server, without what is reserved for others than plain roles.
    pub server: Room,
    /// With the server's role.
    pub role: Room,
    /// To this database.
    pub database: Room,
    /// How many Temporal servers have to this database with this role.
    pub temporal: u32,
    /// The other units' servers among those, by their addresses.
    pub others: u32,
}

/// A limit of connections, and what is taken of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// `None` where there is no limit.
    pub limit: Option<u32>,
    /// What all others have than Temporal servers with this role and database, and than charms that take a look.
    pub taken: u32,
}

/// A plain role sees of other roles' sessions no more than that they are there, which is enough. Background processes
/// have no role or no database. Superusers are under no limit of their own.
const QUESTION: &str = "\
SELECT current_setting('max_connections')::int8
         - current_setting('superuser_reserved_connections')::int8
         - coalesce(current_setting('reserved_connections', true), '0')::int8,
       coalesce((SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user AND NOT rolsuper), -1)::int8,
       (SELECT datconnlimit FROM pg_database WHERE datname = current_database())::int8,
       count(*) FILTER (WHERE NOT temporal),
       count(*) FILTER (WHERE NOT temporal AND usename = current_user),
       count(*) FILTER (WHERE NOT temporal AND datname = current_database()),
       count(*) FILTER (WHERE temporal),
       count(DISTINCT client_addr) FILTER (WHERE temporal AND client_addr <> inet_client_addr())
FROM (SELECT usename, datname, client_addr,
             coalesce(usename = current_user AND datname = current_database()
                      AND application_name = 'temporal-server', false) AS temporal
      FROM pg_stat_activity
      WHERE usesysid IS NOT NULL AND datid IS NOT NULL
        AND application_name IS DISTINCT FROM 'temporal-k8s') AS sessions";

/// See [`QUESTION`].
pub(super) async fn connections(transaction: &Transaction<'_>) -> Result<Connections, Error> {
    let row = transaction.query_typed_one(QUESTION, &[]).await;
    let row = row.map_err(Error::Read)?;
    let room = |limit, taken| {
        Ok::<_, Error>(Room {
            limit: number(&row, limit)?,
            taken: number(&row, taken)?.unwrap_or_default(),
        })
    };
    Ok(Connections {
        server: room(0, 3)?,
        role: room(1, 4)?,
        database: room(2, 5)?,
        temporal: number(&row, 6)?.unwrap_or_default(),
        others: number(&row, 7)?.unwrap_or_default(),
    })
}

/// A number of connections; PostgreSQL has -1 for no limit.
fn number(row: &Row, column: usize) -> Result<Option<u32>, Error> {
    let number: i64 = row.try_get(column).map_err(Error::Read)?;
    Ok(u32::try_from(number).ok())
}
