//! The database passwords, in libpq's pass file: the server reads it again for every new connection, so
//! a rotated password restarts nothing.

use crate::relations::database::Database;
use crate::secret::Secret;
use crate::server::PerStore;

/// Where the file lies in the container.
pub const PATH: &str = "/etc/temporal/pgpass";

/// The file's text.
pub fn render(databases: &PerStore<&Database>) -> Secret<String> {
    todo!()
}
