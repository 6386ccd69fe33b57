//! What the server needs to be allowed to do in a database.

use tokio_postgres::Transaction;

use super::connection::Error;

/// A right that the server needs and its role lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// CONNECT on the database.
    Database,
    /// USAGE on the schema that has Temporal's tables.
    Schema(String),
    /// SELECT, INSERT, UPDATE or DELETE on tables, or USAGE on sequences.
    Objects {
        /// The schema that has them.
        schema: String,
        /// Tables, by name.
        tables: Vec<String>,
        /// Sequences, by name.
        sequences: Vec<String>,
    },
}

/// What is denied, if anything is. The tables are those beside `schema_version`; without USAGE on their schema
/// PostgreSQL does not find that by its name.
const QUESTION: &str = "\
SELECT n.nspname::text, has_schema_privilege(n.oid, 'USAGE'), c.relname::text, c.relkind = 'S'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.oid = coalesce(
        (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('schema_version')),
        (SELECT relnamespace FROM pg_class
         WHERE relname = 'schema_version' AND NOT has_schema_privilege(relnamespace, 'USAGE') LIMIT 1))
  AND CASE
        WHEN c.relkind IN ('r', 'p') THEN NOT (
            has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
            AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')
            AND has_schema_privilege(n.oid, 'USAGE'))
        WHEN c.relkind = 'S' THEN NOT has_sequence_privilege(c.oid, 'USAGE')
      END
ORDER BY c.relname";

/// See [`QUESTION`].
pub(super) async fn denied(transaction: &Transaction<'_>) -> Result<Option<Denied>, Error> {
    let rows = transaction
        .query_typed(QUESTION, &[])
        .await
        .map_err(Error::Read)?;
    let (mut schema, mut tables, mut sequences) = (String::new(), Vec::new(), Vec::new());
    for row in rows {
        schema = row.try_get(0).map_err(Error::Read)?;
        if !row.try_get::<_, bool>(1).map_err(Error::Read)? {
            return Ok(Some(Denied::Schema(schema)));
        }
        let name = row.try_get(2).map_err(Error::Read)?;
        if row.try_get(3).map_err(Error::Read)? {
            sequences.push(name);
        } else {
            tables.push(name);
        }
    }
    let none = tables.is_empty() && sequences.is_empty();
    Ok((!none).then_some(Denied::Objects {
        schema,
        tables,
        sequences,
    }))
}
