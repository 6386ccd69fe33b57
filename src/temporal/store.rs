//! The two databases of a Temporal cluster.

use std::fmt;

/// The two databases of a Temporal cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Store {
    /// Workflow state; endpoint `db` or `database`.
    Main,
    /// The list of workflows that can be searched; endpoint `visibility` or `visibility-database`.
    Visibility,
}

impl Store {
    /// Both stores, in the order in which they are set up.
    pub const ALL: [Self; 2] = [Self::Main, Self::Visibility];

    /// The endpoint of the legacy interface `pgsql` that provides it.
    pub const fn pgsql(self) -> &'static str {
        match self {
            Self::Main => "db",
            Self::Visibility => "visibility",
        }
    }

    /// The endpoint of the interface `postgresql_client` that provides it.
    pub const fn client(self) -> &'static str {
        match self {
            Self::Main => "database",
            Self::Visibility => "visibility-database",
        }
    }

    /// The endpoints that provide it: one of them is related.
    pub const fn endpoints(self) -> [&'static str; 2] {
        [self.pgsql(), self.client()]
    }

    /// The store that an endpoint provides.
    pub fn of_endpoint(name: &str) -> Option<Self> {
        let provides = |store: &Self| store.endpoints().contains(&name);
        Self::ALL.into_iter().find(provides)
    }

    /// The other store.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Main => Self::Visibility,
            Self::Visibility => Self::Main,
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Main => "main database",
            Self::Visibility => "visibility database",
        })
    }
}

/// One value for each store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerStore<T> {
    /// For the workflow state.
    pub main: T,
    /// For the searchable list of workflows.
    pub visibility: T,
}

impl<T> PerStore<T> {
    /// A value for each store.
    pub fn of(mut value: impl FnMut(Store) -> T) -> Self {
        Self {
            main: value(Store::Main),
            visibility: value(Store::Visibility),
        }
    }

    /// The value for one store.
    pub const fn get(&self, store: Store) -> &T {
        match store {
            Store::Main => &self.main,
            Store::Visibility => &self.visibility,
        }
    }

    /// The same without ownership.
    pub const fn as_ref(&self) -> PerStore<&T> {
        PerStore {
            main: &self.main,
            visibility: &self.visibility,
        }
    }
}
