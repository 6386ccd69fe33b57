//! What `juju status --relations` shows, as a value and as a page.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::metadata::Role;
use super::model::{Application, Model, Relation, StatusEntry, Unit};

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusPage {
    /// The model.
    pub model: String,
    /// The controller's version.
    pub juju: String,
    /// Applications by name.
    pub applications: BTreeMap<String, ApplicationStatus>,
    /// Units by name.
    pub units: BTreeMap<String, UnitStatus>,
    /// Relations by number.
    pub integrations: Vec<IntegrationStatus>,
}

/// One line of the application table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApplicationStatus {
    /// Workload version.
    pub version: String,
    /// Status, derived from the units unless the charm set it.
    pub status: String,
    /// Its message.
    pub message: String,
    /// Number of units.
    pub scale: usize,
    /// The charm's name.
    pub charm: String,
    /// Address of the Service.
    pub address: String,
}

/// One line of the unit table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnitStatus {
    /// What the charm said; `error` while a hook waits for its retry.
    pub workload: String,
    /// `allocating`, `idle`, `error`
    pub agent: String,
    /// The leader has a star.
    pub leader: bool,
    /// The pod's address.
    pub address: String,
    /// Open ports like `7233/tcp`.
    pub ports: Vec<String>,
    /// The charm's message.
    pub message: String,
}

/// One line of the integration table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IntegrationStatus {
    /// Its number.
    pub id: u32,
    /// `app:endpoint` of the provider, or of the peer.
    pub provider: String,
    /// `app:endpoint` of the requirer, or of the peer.
    pub requirer: String,
    /// The interface.
    pub interface: String,
    /// `regular` or `peer`.
    pub r#type: String,
    /// Anything special, such as being removed.
    pub message: String,
}

impl StatusPage {
    /// The page of a model as it is now.
    pub fn of(model: &Model) -> Self {
        let (major, minor, patch) = model.juju;
        let applications = model.applications.iter();
        let units = applications.clone().flat_map(|(name, app)| {
            app.units.iter().map(move |(number, unit)| {
                let unit_name = format!("{name}/{number}");
                let leader = app.leader.as_deref() == Some(unit_name.as_str());
                (unit_name, UnitStatus::of(unit, leader))
            })
        });
        Self {
            model: model.name.clone(),
            juju: format!("{major}.{minor}.{patch}"),
            units: units.collect(),
            applications: applications
                .map(|(name, app)| (name.clone(), ApplicationStatus::of(app)))
                .collect(),
            integrations: model
                .relations
                .values()
                .filter(|it| !it.gone)
                .map(IntegrationStatus::of)
                .collect(),
        }
    }
}

impl ApplicationStatus {
    fn of(app: &Application) -> Self {
        let shown: Vec<StatusEntry> = app.units.values().map(shown_status).collect();
        let status = app.status.clone().unwrap_or_else(|| derived(shown.iter()));
        Self {
            version: app.version().to_owned(),
            status: status.status,
            message: status.message,
            scale: app.units.len(),
            charm: app.metadata.name.clone(),
            address: app.service_ip.map(|it| it.to_string()).unwrap_or_default(),
        }
    }
}

impl UnitStatus {
    fn of(unit: &Unit, leader: bool) -> Self {
        let shown = shown_status(unit);
        let agent = match (&unit.agent.failed, unit.agent.installed) {
            (Some(failed), _) if failed.error => "error",
            (_, false) => "allocating",
            _ => "idle",
        };
        Self {
            workload: shown.status,
            agent: agent.to_owned(),
            leader,
            address: unit
                .observed
                .pod_ip
                .map(|it| it.to_string())
                .unwrap_or_default(),
            ports: unit
                .ports
                .iter()
                .map(|(port, _)| port.to_string())
                .collect(),
            message: shown.message,
        }
    }
}

impl IntegrationStatus {
    fn of(relation: &Relation) -> Self {
        let end = |role: Role| {
            let side = relation.sides.iter().find(|side| side.role == role);
            let side = side.or(relation.sides.first());
            side.map(|side| format!("{}:{}", side.app, side.endpoint))
                .unwrap_or_default()
        };
        let kind = if relation.is_peer() {
            "peer"
        } else {
            "regular"
        };
        Self {
            id: relation.id,
            provider: end(Role::Provider),
            requirer: end(Role::Requirer),
            interface: relation.interface.clone(),
            r#type: kind.to_owned(),
            message: if relation.dying {
                "being removed".to_owned()
            } else {
                String::new()
            },
        }
    }
}

/// A unit in error shows the error, whatever its charm said before.
pub(super) fn shown_status(unit: &Unit) -> StatusEntry {
    match &unit.agent.failed {
        Some(failed) if failed.error => {
            let message = format!("hook failed: \"{}\"", failed.event.name());
            StatusEntry {
                status: "error".to_owned(),
                message,
                since: unit.status.since,
            }
        }
        _ => unit.status.clone(),
    }
}

/// An application's status from its units': the worst one speaks.
pub(super) fn derived<'a>(units: impl Iterator<Item = &'a StatusEntry>) -> StatusEntry {
    const WORST_FIRST: [&str; 7] = [
        "error",
        "blocked",
        "maintenance",
        "waiting",
        "active",
        "terminated",
        "unknown",
    ];
    let rank = |entry: &&StatusEntry| WORST_FIRST.iter().position(|it| *it == entry.status);
    units
        .min_by_key(rank)
        .cloned()
        .unwrap_or_else(|| StatusEntry::now("unknown", ""))
}

/// A time as Juju's tools print it, in UTC.
pub(super) fn timestamp(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map(|it| it.as_secs())
        .unwrap_or_default();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 1 March of year 0, in which leap days end the year.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year + carry;
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{date:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// Rows under a header, columns as wide as their widest cell.
fn table<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    header: [&str; N],
    rows: Vec<[String; N]>,
) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let rows: Vec<[String; N]> = std::iter::once(header.map(str::to_owned))
        .chain(rows)
        .collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        writeln!(f, "{}", cells.join("  ").trim_end())?;
    }
    writeln!(f)
}

impl fmt::Display for StatusPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = [
            self.model.clone(),
            "rehearsal".to_owned(),
            self.juju.clone(),
        ];
        table(f, ["Model", "Controller", "Version"], vec![model])?;
        let applications = self.applications.iter().map(|(name, app)| {
            let (app, scale) = (app.clone(), app.scale.to_string());
            [
                name.clone(),
                app.version,
                app.status,
                scale,
                app.charm,
                app.address,
                app.message,
            ]
        });
        let header = [
            "App", "Version", "Status", "Scale", "Charm", "Address", "Message",
        ];
        table(f, header, applications.collect())?;
        let units = self.units.iter().map(|(name, unit)| {
            let star = if unit.leader { "*" } else { "" };
            let (unit, ports) = (unit.clone(), unit.ports.join(" "));
            let name = format!("{name}{star}");
            [
                name,
                unit.workload,
                unit.agent,
                unit.address,
                ports,
                unit.message,
            ]
        });
        let header = ["Unit", "Workload", "Agent", "Address", "Ports", "Message"];
        table(f, header, units.collect())?;
        let integrations = self.integrations.iter().map(|it| {
            let it = it.clone();
            [
                it.provider,
                it.requirer,
                it.interface,
                it.r#type,
                it.message,
            ]
        });
        let header = [
            "Integration provider",
            "Requirer",
            "Interface",
            "Type",
            "Message",
        ];
        table(f, header, integrations.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{StatusEntry, derived, timestamp};

    #[test]
    fn times_are_printed_in_utc() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_767_225_599, "2025-12-31 23:59:59Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn the_worst_unit_speaks_for_its_application() {
        let units = ["active", "blocked", "waiting"].map(|it| StatusEntry::now(it, "m"));
        assert_eq!(derived(units.iter()).status, "blocked");
        assert_eq!(derived([].iter()).status, "unknown");
    }
}
