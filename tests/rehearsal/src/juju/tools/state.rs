//! `state-*` and `action-*`.

use serde_json::{Value, json};

use super::args::{Args, Flag, switch, value};
use super::{HookContext, ToolError};

pub(super) const GET_FLAGS: &[Flag] = &[switch(&["strict"])];
pub(super) const SET_FLAGS: &[Flag] = &[value(&["file"])];

type Outcome = Result<Option<Value>, ToolError>;

pub(super) fn state_get(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    args.at_most(1)?;
    let state = hook.state()?;
    match args.at(0) {
        None | Some("-" | "") => Ok(Some(json!(state))),
        Some(key) if args.has("strict") && !state.contains_key(key) => {
            Err(ToolError::Refused(format!("\"{key}\" not found")))
        }
        Some(key) => Ok(Some(json!(state.get(key)))),
    }
}

pub(super) fn state_set(hook: &mut HookContext, args: &Args, stdin: Option<&str>) -> Outcome {
    let mut values = super::file(args, stdin)?;
    values.extend(args.pairs(0)?);
    for (key, value) in values {
        hook.state_set(&key, &value);
    }
    Ok(None)
}

pub(super) fn state_delete(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    args.at_most(1)?;
    hook.state_delete(args.need(0, "key")?);
    Ok(None)
}

pub(super) fn action_get(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    args.at_most(1)?;
    let params = Value::Object(hook.action_params()?);
    let keys = args.at(0).filter(|key| *key != "-").unwrap_or_default();
    let found = keys
        .split('.')
        .filter(|key| !key.is_empty())
        .try_fold(&params, |value, key| value.get(key))
        .cloned();
    Ok(Some(found.unwrap_or(Value::Null)))
}

pub(super) fn action_set(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    for (key, value) in args.pairs(0)? {
        hook.action_set(&key, &value)?;
    }
    Ok(None)
}

pub(super) fn action_fail(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    args.at_most(1)?;
    let default = "action failed without reason given, check action for errors";
    hook.action_fail(args.at(0).unwrap_or(default))?;
    Ok(None)
}

pub(super) fn action_log(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    args.need(0, "message")?;
    hook.action_log(&args.positional.join(" "))?;
    Ok(None)
}
