//! The database passwords, in libpq's pass file: the server reads it again for every new connection, so
//! a rotated password restarts nothing. `plan` writes the result, and never puts it anywhere else.

use crate::secret::Secret;
use crate::temporal::{Database, PerStore, Store};

/// Where the file lies in the container.
pub const PATH: &str = "/etc/temporal/pgpass";

/// The file's text: a line `host:port:database:user:password` for each store.
///
/// A password with a line break cannot be written; the relation's `parse` refuses it before.
pub fn render(databases: &PerStore<&Database>) -> Secret<String> {
    let mut text = String::new();
    for store in Store::ALL {
        let database = databases.get(store);
        for field in [
            &database.host,
            &database.port.to_string(),
            &database.name,
            &database.user,
        ] {
            escape(&mut text, field);
            text.push(':');
        }
        escape(&mut text, database.password.expose());
        text.push('\n');
    }
    Secret::new(text)
}

fn escape(text: &mut String, field: &str) {
    for character in field.chars() {
        if matches!(character, '\\' | ':') {
            text.push('\\');
        }
        text.push(character);
    }
}
