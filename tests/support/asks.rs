//! Stands for the charm's program in a hook: performs a list of calls from standard input one after the other, and
//! prints the list of what was answered.

mod calls;

use std::collections::BTreeMap;
use std::fmt::Debug;

use temporal_k8s::error::chain;
use temporal_k8s::juju::{Agent, Databag, Error, Juju, Level, LogLevel, Status};

use calls::Call;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), serde_json::Error> {
    let calls: Vec<Call> = serde_json::from_reader(std::io::stdin())?;
    let juju = Juju::new().with_agent(Agent::from_environment());
    let mut answers = Vec::new();
    for call in calls {
        answers.push(perform(call, &juju).await);
    }
    serde_json::to_writer(std::io::stdout(), &answers)
}

/// The answer, or the error, as a text.
async fn perform(call: Call, juju: &Juju) -> String {
    match call {
        Call::ConfigGet => said(juju.config_get().await),
        Call::IsLeader => said(juju.is_leader().await),
        Call::RelationIds(endpoint) => said(juju.relation_ids(&endpoint).await),
        Call::RelationApp(id) => said(juju.relation_app(id).await),
        Call::RelationUnits(id) => said(juju.relation_units(id).await),
        Call::RelationGetApp(id, app) => bag(juju.relation_get_app(id, &app).await),
        Call::RelationGetUnit(id, unit) => bag(juju.relation_get_unit(id, &unit).await),
        Call::RelationSet(id, app, changes) => {
            let changes = changes
                .into_iter()
                .map(|(key, value)| (key, value.map(Into::into)));
            said(juju.relation_set(id, app, &changes.collect()).await)
        }
        Call::StatusSet(application, message) => {
            let level = Level::Blocked;
            said(
                juju.status_set(&Status { level, message }, application)
                    .await,
            )
        }
        Call::StatusGet => said(juju.status_get().await),
        Call::StatusGetApplication => said(juju.status_get_application().await),
        Call::VersionSet(version) => said(juju.application_version_set(&version).await),
        Call::OpenPorts(ports) => said(juju.open_ports(&ports).await),
        Call::ClosePorts(ports) => said(juju.close_ports(&ports).await),
        Call::OpenedPorts => said(juju.opened_ports().await),
        Call::IsDying(unit) => said(juju.is_dying(&unit).await),
        Call::NetworkGet(endpoint) => said(juju.network_get(&endpoint).await),
        Call::Log(text) => said(juju.juju_log(LogLevel::Warning, &text).await),
        Call::StateGet => said(juju.state_get().await),
        Call::StateSet(values) => said(juju.state_set(&values).await),
        Call::StateDelete(key) => said(juju.state_delete(&key).await),
        Call::ActionGet => said(juju.action_get().await),
        Call::ActionSet(results) => said(juju.action_set(&results).await),
        Call::ActionFail(why) => said(juju.action_fail(&why).await),
        Call::ActionLog(text) => said(juju.action_log(&text).await),
    }
}

fn said<T: Debug>(answer: Result<T, Error>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => chain(&error),
    }
}

/// With its values, which a databag does not show by itself.
fn bag(answer: Result<Option<Databag>, Error>) -> String {
    let exposed = |bag: Databag| -> BTreeMap<String, String> {
        let entries = bag.into_iter();
        entries
            .map(|(key, value)| (key, value.expose().clone()))
            .collect()
    };
    said(answer.map(|bag| bag.map(exposed)))
}
