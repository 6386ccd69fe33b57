//! Which secret hooks are due on a unit, and what is different once one ran.

use super::{RETRY, Secret, Uri};
use crate::juju::event::{Event, SecretChange, SecretEvent};
use crate::juju::model::Model;

/// The secret hooks that may run next, in the agent's order of kinds.
pub(in crate::juju) fn due(model: &Model, unit: &str) -> Vec<Event> {
    let Some(agent) = model.unit(unit).map(|it| &it.agent) else {
        return Vec::new();
    };
    let all = &model.secrets.all;
    let event = |change, id: &str, label: &str, revision| {
        Event::Secret(SecretEvent {
            change,
            id: Uri::of(id).to_string(),
            label: label.to_owned(),
            revision,
        })
    };
    let managed = || all.iter().filter(|(_, it)| it.is_managed_by(model, unit));
    let revisions = || {
        managed().flat_map(|(id, it)| it.revisions.iter().map(move |(n, rev)| (id, it, *n, rev)))
    };
    let expired = revisions().filter(|(id, _, number, revision)| {
        let again = agent.expired.get(&((*id).clone(), *number));
        revision
            .expire
            .is_some_and(|it| it.max(again.copied().unwrap_or(it)) <= model.clock)
    });
    let expired = expired
        .map(|(id, it, number, _)| event(SecretChange::Expired, id, &it.label, Some(number)));
    let rotate = managed()
        .filter(|(_, it)| it.next_rotate.is_some_and(|next| next <= model.clock))
        .map(|(id, it)| event(SecretChange::Rotate, id, &it.label, None));
    let changed = all.iter().filter_map(|(id, it)| {
        let consumer = it.consumers.get(unit)?;
        // Juju 3 tells each newer revision once, whether or not the unit has read it by itself.
        let news = if model.juju.0 < 4 {
            it.latest > 1
        } else {
            consumer.revision < it.latest
        };
        let told = agent.secrets.get(id) == Some(&it.latest);
        let label = if consumer.label.is_empty() && it.is_owned_with(unit) {
            &it.label
        } else {
            &consumer.label
        };
        (news && !told).then(|| event(SecretChange::Changed, id, label, None))
    });
    let obsolete = revisions()
        .filter(|(id, _, number, it)| {
            it.obsolete && !agent.obsolete.contains(&((*id).clone(), *number))
        })
        .map(|(id, it, number, _)| event(SecretChange::Remove, id, &it.label, Some(number)));
    expired
        .chain(rotate)
        .chain(changed)
        .chain(obsolete)
        .collect()
}

/// Notes that a unit has been told, when `told` was the secret's newest revision.
pub(in crate::juju) fn conclude(model: &mut Model, unit: &str, event: &SecretEvent, told: u32) {
    let Some(Uri { id, .. }) = Uri::parse(&event.id) else {
        return;
    };
    let clock = model.clock;
    if event.change == SecretChange::Rotate
        && let Some(secret) = model.secrets.all.get_mut(&id)
    {
        secret.rotated(clock, told);
    }
    let Some(agent) = model.unit_mut(unit).map(|it| &mut it.agent) else {
        return;
    };
    let revision = event.revision.unwrap_or_default();
    match event.change {
        SecretChange::Changed => drop(agent.secrets.insert(id, told)),
        SecretChange::Remove => drop(agent.obsolete.insert((id, revision))),
        SecretChange::Expired => drop(agent.expired.insert((id, revision), clock + RETRY)),
        SecretChange::Rotate => {}
    }
}

/// An agent that starts again takes all news of the secrets that it once told for told.
pub(in crate::juju) fn restart(model: &mut Model, unit: &str) {
    let all = model.secrets.all.clone();
    if let Some(it) = model.unit_mut(unit) {
        let told = &mut it.agent.secrets;
        told.retain(|id, _| all.contains_key(id));
        for (id, revision) in told {
            *revision = all.get(id).map_or(*revision, |it| it.latest);
        }
    }
}

impl Secret {
    /// The rotate hook ran. Without a new revision, or if it expires before its turn, it runs again soon.
    fn rotated(&mut self, clock: std::time::SystemTime, told: u32) {
        let Some(period) = self.rotate.period() else {
            return;
        };
        let last = self.next_rotate.unwrap_or(clock);
        let (next, soon) = (last + period, last + RETRY);
        let expire = self.revisions.get(&self.latest).and_then(|it| it.expire);
        let expires = expire.is_some_and(|it| it < next && soon < it);
        self.next_rotate = Some(if expires || self.latest == told {
            soon
        } else {
            next
        });
    }
}

/// The newest revision of a secret, 0 if there is none.
pub(in crate::juju) fn latest(model: &Model, event: &SecretEvent) -> u32 {
    model.secrets.get(&event.id).map_or(0, |it| it.latest)
}
