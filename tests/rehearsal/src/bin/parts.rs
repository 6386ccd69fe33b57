//! `parts`: builds, unpacks and finds every real part that the tests need, with its progress on stderr.
//! Called by tox before the tests, which would hide it.

use std::process::ExitCode;

use rehearsal::chain;
use rehearsal::parts::{KUBERNETES_VERSIONS, PEBBLE_VERSIONS, Part, TEMPORAL_VERSIONS, prepare};

fn main() -> ExitCode {
    let unpacked = [
        Part::RabbitMq,
        Part::PgBouncer,
        Part::PostgresqlWithTls,
        Part::Valgrind,
    ];
    let stack = [Part::Kubo, Part::IpfsCluster, Part::Asker];
    let own = [Part::GoRpc];
    let found = [
        Part::Postgresql,
        Part::TemporalCli,
        Part::Nginx,
        Part::Python,
    ];
    let pebbles = PEBBLE_VERSIONS.map(|version| Part::Pebble(version.to_owned()));
    let temporals = TEMPORAL_VERSIONS.map(|version| Part::Temporal(version.to_owned()));
    let clusters = KUBERNETES_VERSIONS.map(|version| Part::Kubernetes(version.to_owned()));
    let all: Vec<_> = found
        .into_iter()
        .chain(pebbles)
        .chain(temporals)
        .chain(clusters)
        .chain(unpacked)
        .chain(stack)
        .chain(own)
        .collect();
    match prepare(&all) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("parts: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}
