//! `relation-ids`, `relation-list`, `relation-get`, `relation-set`.

use serde_json::{Value, json};

use super::args::{Args, Flag, switch, value};
use super::{HookContext, ToolError};

pub(super) const FLAGS: &[Flag] = &[value(&["r", "relation"]), switch(&["app"])];
pub(super) const SET_FLAGS: &[Flag] = &[
    value(&["r", "relation"]),
    switch(&["app"]),
    value(&["file"]),
];

/// The relation meant by `-r`, or by the hook that is running. Takes `7` and `db:7`.
pub(super) fn relation(hook: &HookContext, args: &Args) -> Result<u32, ToolError> {
    let Some(given) = args.flag("r") else {
        let event = hook.event.relation();
        let missing = || ToolError::Arguments("no relation id specified".to_owned());
        return event.map(|event| event.id).ok_or_else(missing);
    };
    let unknown = || ToolError::Relation(given.to_owned());
    let (endpoint, number) = match given.split_once(':') {
        Some((endpoint, number)) => (Some(endpoint), number),
        None => (None, given),
    };
    let id: u32 = number.parse().map_err(|_| {
        let text = format!("invalid value \"{given}\" for option -r: invalid relation id");
        ToolError::Arguments(text)
    })?;
    let found = hook.relation(id).map_err(|_| unknown())?;
    let side = found.side(hook.app()).ok_or_else(unknown)?;
    if endpoint.is_some_and(|it| it != side.endpoint) {
        return Err(unknown());
    }
    Ok(id)
}

pub(super) fn relation_ids(
    hook: &mut HookContext,
    args: &Args,
    _: Option<&str>,
) -> Result<Option<Value>, ToolError> {
    args.at_most(1)?;
    let endpoint = match (args.at(0), hook.event.relation()) {
        (Some(endpoint), _) => endpoint.to_owned(),
        (None, Some(event)) => event.endpoint.clone(),
        (None, None) => {
            return Err(ToolError::Arguments(
                "no endpoint name specified".to_owned(),
            ));
        }
    };
    let ids = hook.relation_ids(&endpoint);
    let ids: Vec<String> = ids.iter().map(|id| format!("{endpoint}:{id}")).collect();
    Ok(Some(json!(ids)))
}

pub(super) fn relation_list(
    hook: &mut HookContext,
    args: &Args,
    _: Option<&str>,
) -> Result<Option<Value>, ToolError> {
    args.at_most(0)?;
    let id = relation(hook, args)?;
    let listed = if args.has("app") {
        json!(hook.relation_app(id)?)
    } else {
        json!(hook.relation_list(id)?)
    };
    Ok(Some(listed))
}

pub(super) fn relation_get(
    hook: &mut HookContext,
    args: &Args,
    _: Option<&str>,
) -> Result<Option<Value>, ToolError> {
    args.at_most(2)?;
    let id = relation(hook, args)?;
    let event = hook.event.relation();
    let remote = match (args.has("app"), event) {
        (_, None) => None,
        (true, Some(event)) => Some(event.remote_app.clone()),
        (false, Some(event)) => event.remote_unit.clone(),
    };
    let who = match (args.at(1), args.has("app")) {
        (Some(name), true) => Some(super::super::model::app_of(name).to_owned()),
        (Some(name), false) if name.contains('/') => Some(name.to_owned()),
        (Some(name), false) => {
            let text = format!("expected unit name, got application name \"{name}\"");
            return Err(ToolError::Arguments(text));
        }
        (None, _) => remote,
    };
    let who = who.ok_or_else(|| ToolError::Arguments("no unit id specified".to_owned()))?;
    let settings = hook.relation_get(id, &who)?;
    Ok(Some(match args.at(0) {
        None | Some("-" | "") => json!(settings),
        Some(key) => json!(settings.get(key)),
    }))
}

pub(super) fn relation_set(
    hook: &mut HookContext,
    args: &Args,
    stdin: Option<&str>,
) -> Result<Option<Value>, ToolError> {
    let id = relation(hook, args)?;
    let mut changes = super::file(args, stdin)?;
    changes.extend(args.pairs(0)?);
    if args.has("app") {
        hook.relation_set_app(id, changes)?;
    } else {
        hook.relation_set(id, changes)?;
    }
    Ok(None)
}
