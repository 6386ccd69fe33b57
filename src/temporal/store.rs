//! The two databases of a Temporal cluster.

use std::fmt;

/// The two databases of a Temporal cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Store {
    /// Workflow state; endpoint `db`.
    Main,
    /// The list of workflows that can be searched; endpoint `visibility`.
    Visibility,
}

impl Store {
    /// Both stores, in the order in which they are set up.
    pub const ALL: [Self; 2] = [Self::Main, Self::Visibility];

    /// The endpoint of the legacy `pgsql` interface that provides it.
    pub const fn endpoint(self) -> &'static str {
        match self {
            Self::Main => "db",
            Self::Visibility => "visibility",
        }
    }

    /// The store that an endpoint provides.
    pub fn of_endpoint(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|store| store.endpoint() == name)
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.endpoint())
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
