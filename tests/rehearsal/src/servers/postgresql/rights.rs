//! What postgresql-k8s gives the user of a relation with its endpoint `database`: one track by ownership, the other by
//! roles of the database.
//!
//! In track 14 the only relation with a database gets everything in it as its own, and a further one is granted it. In
//! track 16 a user belongs to the role `charmed_<database>_admin`, which may become `charmed_<database>_owner`, and a hook at
//! login makes every session just that: whatever it makes outlives the user. That charm loads the library `login_hook`;
//! here a trigger on login, which `PostgreSQL` has since 17, does the same. On an older server a setting of the user does,
//! which is another thing for a pooler alone: `DISCARD ALL` does not undo it.

use super::{Operator, PostgresqlError};

/// A user with its password and its database.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    /// The role.
    pub role: &'a str,
    /// The password.
    pub password: &'a str,
    /// The database, which is made if it is not there.
    pub database: &'a str,
}

/// Attributes and their words in the statement that makes a role.
const ATTRIBUTES: [&str; 3] = ["superuser", "createdb", "createrole"];

/// The group that the extra role `admin` of track 14 stands for.
const ADMIN: &str = "
DO $$ BEGIN
    IF to_regrole('admin') IS NULL THEN
        CREATE ROLE admin IN ROLE pg_read_all_data, pg_write_all_data;
    END IF;
END $$";

/// Gives everything in a database to the role `%I`. Sequences of columns follow their tables.
const TAKE: &str = "
DO $do$ DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('ALTER SCHEMA %%I OWNER TO %%I', nspname, %1$L)
        FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
        UNION ALL
        SELECT format('ALTER TABLE %%s OWNER TO %%I', c.oid::regclass, %1$L)
        FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE relkind IN ('r', 'p', 'v', 'm', 'S') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND refobjsubid > 0 AND relkind = 'S')
        UNION ALL
        SELECT format('ALTER ROUTINE %%s OWNER TO %%I', p.oid::regprocedure, %1$L)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    LOOP
        EXECUTE statement;
    END LOOP;
END $do$";

/// Lets the role `%I` use what there is in the schema `public`, and add to it.
const SHARE: &str = "
GRANT ALL ON ALL TABLES IN SCHEMA public TO %1$I;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO %1$I;
GRANT ALL ON ALL FUNCTIONS IN SCHEMA public TO %1$I;
GRANT USAGE, CREATE ON SCHEMA public TO %1$I";

/// The roles of a server of track 16.
const INSTANCE: &str = "
DO $$ BEGIN
    IF to_regrole('charmed_admin') IS NULL THEN
        CREATE ROLE relation_access;
        CREATE ROLE charmed_stats IN ROLE pg_monitor;
        CREATE ROLE charmed_read IN ROLE pg_read_all_data, charmed_stats;
        CREATE ROLE charmed_dml IN ROLE pg_write_all_data, charmed_read;
        CREATE ROLE charmed_admin IN ROLE charmed_dml;
        CREATE ROLE charmed_databases_owner LOGIN CREATEDB IN ROLE charmed_dml;
    END IF;
END $$";

/// The roles of a database of track 16: its owner, its administrators and its writers, in this order.
const CATALOG: &str = "
DO $do$ BEGIN
    IF to_regrole(quote_ident(%1$L)) IS NULL THEN
        CREATE ROLE %1$I;
        CREATE ROLE %2$I NOINHERIT IN ROLE %1$I;
        CREATE ROLE %3$I;
        GRANT %1$I, %2$I TO charmed_admin;
    END IF;
END $do$";

/// What those roles may do in the database (4), said in that database.
const CONTENTS: &str = "
REVOKE ALL ON DATABASE %4$I FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO PUBLIC;
ALTER SCHEMA public OWNER TO %1$I;
GRANT CREATE, TEMPORARY ON DATABASE %4$I TO %1$I;
GRANT CONNECT ON DATABASE %4$I TO %2$I, charmed_stats, charmed_read, charmed_dml, charmed_admin, charmed_databases_owner;
ALTER DEFAULT PRIVILEGES FOR ROLE %1$I GRANT SELECT ON TABLES TO %2$I;
ALTER DEFAULT PRIVILEGES FOR ROLE %1$I GRANT EXECUTE ON FUNCTIONS TO %2$I;
ALTER DEFAULT PRIVILEGES FOR ROLE %1$I GRANT SELECT ON SEQUENCES TO %2$I;";

/// The hook at login, said in the database of these roles.
const HOOK: &str = "
CREATE OR REPLACE FUNCTION login() RETURNS event_trigger LANGUAGE plpgsql AS $f$
DECLARE
    groups text[] := ARRAY(
        SELECT g.rolname FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles u ON u.oid = m.member
        WHERE u.rolname = session_user);
BEGIN
    IF groups && ARRAY[%2$L, 'charmed_admin'] THEN
        SET ROLE %1$I;
    ELSIF 'charmed_databases_owner' = ANY (groups) THEN
        SET ROLE charmed_databases_owner;
    END IF;
END $f$;
DROP EVENT TRIGGER IF EXISTS login;
CREATE EVENT TRIGGER login ON login EXECUTE FUNCTION login();
ALTER EVENT TRIGGER login ENABLE ALWAYS";

impl Operator {
    /// A user of track 14. `alone` says that no other relation uses the database.
    pub async fn grant_ownership(
        &self,
        login: Login<'_>,
        roles: &[&str],
        alone: bool,
    ) -> Result<(), PostgresqlError> {
        let Login { role, database, .. } = login;
        let attempt = format!("grant the database `{database}` to `{role}`");
        self.execute("postgres", &attempt, ADMIN, &[]).await?;
        let mut groups: Vec<&str> = roles.to_vec();
        groups.retain(|group| !ATTRIBUTES.contains(group));
        let mut attributes: Vec<&str> = roles.to_vec();
        attributes.retain(|attribute| ATTRIBUTES.contains(attribute));
        if groups.contains(&"admin") {
            attributes.push("createdb");
        }
        self.make_user(login, &attributes, &groups).await?;
        if !self.has("pg_database", "datname", database).await? {
            self.execute("postgres", &attempt, "CREATE DATABASE %I", &[database])
                .await?;
        }
        let statement =
            "REVOKE ALL ON DATABASE %1$I FROM PUBLIC; GRANT ALL ON DATABASE %1$I TO %2$I, admin";
        self.execute("postgres", &attempt, statement, &[database, role])
            .await?;
        let statement = if alone { TAKE } else { SHARE };
        self.execute(database, &attempt, statement, &[role]).await
    }

    /// A user of track 16.
    pub async fn grant_roles(
        &self,
        login: Login<'_>,
        roles: &[&str],
    ) -> Result<(), PostgresqlError> {
        let Login { database, .. } = login;
        let attempt = format!("grant the database `{database}` to `{}`", login.role);
        self.create_charmed_database(database).await?;
        let [owner, admin, writer] = catalog(database);
        let attributes: Vec<&str> = roles
            .iter()
            .copied()
            .filter(|role| *role == "superuser")
            .collect();
        let mut groups: Vec<&str> = vec!["relation_access"];
        groups.extend(roles.iter().filter_map(|role| match *role {
            "superuser" => None,
            "createdb" => Some("charmed_databases_owner"),
            role => Some(role),
        }));
        let limited = ["charmed_stats", "charmed_read", "charmed_dml"];
        let is_limited = groups.iter().any(|group| limited.contains(group));
        if !is_limited {
            groups.extend([admin.as_str(), writer.as_str()]);
        }
        self.make_user(login, &attributes, &groups).await?;
        if is_limited {
            let statement = "GRANT CONNECT ON DATABASE %I TO %I";
            self.execute("postgres", &attempt, statement, &[database, login.role])
                .await?;
        } else if !self.has_hooks().await? {
            let statement = "ALTER ROLE %I SET role = %L";
            self.execute("postgres", &attempt, statement, &[login.role, &owner])
                .await?;
        }
        Ok(())
    }

    /// A database of track 16 with its roles, unless it is there.
    pub async fn create_charmed_database(&self, database: &str) -> Result<(), PostgresqlError> {
        let attempt = format!("create the database `{database}`");
        self.execute("postgres", &attempt, INSTANCE, &[]).await?;
        let [owner, admin, writer] = catalog(database);
        let names = [owner.as_str(), &admin, &writer, database];
        self.execute("postgres", &attempt, CATALOG, &names).await?;
        if !self.has("pg_database", "datname", database).await? {
            let statement = "CREATE DATABASE %I OWNER charmed_databases_owner";
            self.execute("postgres", &attempt, statement, &[database])
                .await?;
        }
        self.execute(database, &attempt, CONTENTS, &names).await?;
        if self.has_hooks().await? {
            self.execute(database, &attempt, HOOK, &names).await?;
        }
        Ok(())
    }

    /// There are triggers on login.
    async fn has_hooks(&self) -> Result<bool, PostgresqlError> {
        self.has("pg_settings", "name", "event_triggers").await
    }

    /// Makes a login role with these attributes in these groups, or gives one that is there this password and the groups.
    async fn make_user(
        &self,
        Login { role, password, .. }: Login<'_>,
        attributes: &[&str],
        groups: &[&str],
    ) -> Result<(), PostgresqlError> {
        let attempt = format!("create the role `{role}`");
        self.create_role(role, password, false).await?;
        if !attributes.is_empty() {
            let statement = format!("ALTER ROLE %I WITH {}", attributes.join(" "));
            self.execute("postgres", &attempt, &statement, &[role])
                .await?;
        }
        for group in groups {
            self.execute("postgres", &attempt, "GRANT %I TO %I", &[group, role])
                .await?;
        }
        Ok(())
    }
}

/// The names of the roles of a database of track 16.
fn catalog(database: &str) -> [String; 3] {
    ["owner", "admin", "dml"].map(|kind| format!("charmed_{database}_{kind}"))
}
