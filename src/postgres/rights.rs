//! What the server needs to be allowed to do in a database.

use tokio_postgres::{Row, Transaction};

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

/// What keeps a role from making or changing the schema, which the admin application does with our credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// It may make nothing in the schema in which unqualified names are made.
    Schema(String),
    /// It neither owns tables nor is a member of the role that does.
    Tables {
        /// The owner of the first of them.
        owner: String,
        /// Their names.
        tables: Vec<String>,
    },
}

/// The tables beside `schema_version` that belong to others, for [`FIXED`].
pub(super) const OTHERS: &str = "\
others AS (
    SELECT relname::text AS name, pg_get_userbyid(relowner)::text AS owner FROM pg_class
    WHERE relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('schema_version'))
      AND relkind IN ('r', 'p') AND NOT pg_has_role(relowner, 'USAGE'))";

/// Columns: the schema in which tables would be made, whether that is denied, the names of [`OTHERS`], and the owner of
/// the first of them.
pub(super) const FIXED: &str = "\
coalesce(current_schema()::text, 'public'),
NOT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
ARRAY(SELECT name FROM others ORDER BY name),
(SELECT owner FROM others ORDER BY name LIMIT 1)";

/// Reads [`FIXED`], the first column of which has this number.
pub(super) fn fixed(row: &Row, first: usize) -> Result<Option<Fixed>, Error> {
    let tables: Vec<String> = row.try_get(first + 2).map_err(Error::Read)?;
    if let Some(owner) = row.try_get(first + 3).map_err(Error::Read)? {
        return Ok(Some(Fixed::Tables { owner, tables }));
    }
    let schema = row.try_get(first).map_err(Error::Read)?;
    let denied: bool = row.try_get(first + 1).map_err(Error::Read)?;
    Ok(denied.then_some(Fixed::Schema(schema)))
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
