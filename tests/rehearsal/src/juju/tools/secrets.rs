//! `secret-*`.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::super::model::Settings;
use super::super::secrets::{MAX_CONTENT, Reading, Rotate, SecretChanges, SecretInfo, SecretOwner};
use super::args::{Args, Flag, switch, value};
use super::{HookContext, ToolError};

pub(super) const GET_FLAGS: &[Flag] = &[value(&["label"]), switch(&["peek"]), switch(&["refresh"])];
pub(super) const INFO_FLAGS: &[Flag] = &[value(&["label"])];
pub(super) const SET_FLAGS: &[Flag] = &[
    value(&["expire"]),
    value(&["rotate"]),
    value(&["description"]),
    value(&["label"]),
    value(&["file"]),
    value(&["owner"]),
];
pub(super) const REMOVE_FLAGS: &[Flag] = &[value(&["revision"])];
pub(super) const GRANT_FLAGS: &[Flag] = &[value(&["unit"]), value(&["r", "relation"])];
pub(super) const REVOKE_FLAGS: &[Flag] = &[
    value(&["app", "application"]),
    value(&["unit"]),
    value(&["r", "relation"]),
];

type Outcome = Result<Option<Value>, ToolError>;

fn wrong(text: impl Into<String>) -> ToolError {
    ToolError::Arguments(text.into())
}

pub(super) fn secret_get(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    args.at_most(2)?;
    let reading = match (args.has("peek"), args.has("refresh")) {
        (true, true) => return Err(wrong("specify one of --peek or --refresh but not both")),
        (true, false) => Reading::Peek,
        (false, true) => Reading::Refresh,
        (false, false) => Reading::Tracked,
    };
    let content = hook.secret_get(args.at(0), args.flag("label"), reading)?;
    let Some(asked) = args.at(1) else {
        return Ok(Some(json!(content)));
    };
    let key = asked.strip_suffix("#base64").unwrap_or(asked);
    let missing = || ToolError::Refused(format!("secret key value \"{key}\" not found"));
    let found = content.get(key).ok_or_else(missing)?;
    Ok(Some(if key == asked {
        json!(found)
    } else {
        json!(BASE64.encode(found))
    }))
}

pub(super) fn secret_info_get(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    args.at_most(1)?;
    let (id, info) = hook.secret_info(args.at(0), args.flag("label"))?;
    Ok(Some(json!({ id: shown(&info) })))
}

fn shown(info: &SecretInfo) -> Value {
    let kind = if info.owner.contains('/') {
        "unit"
    } else {
        "application"
    };
    let mut shown = Map::new();
    let mut put = |key: &str, value: Value| shown.insert(key.to_owned(), value);
    put("revision", json!(info.revision));
    put("label", json!(info.label));
    put("owner", json!(kind));
    if !info.description.is_empty() {
        put("description", json!(info.description));
    }
    put("rotation", json!(info.rotate.word()));
    let times = [("expiry", info.expire), ("rotates", info.next_rotate)];
    for (key, time) in times {
        let time = time.and_then(|it| jiff::Timestamp::try_from(it).ok());
        if let Some(time) = time {
            put(key, json!(format!("{time:.0}")));
        }
    }
    if !info.access.is_empty() {
        let access = info.access.iter().map(|it| {
            let (target, scope) = &it.tags;
            json!({"target": target, "scope": scope, "role": "view"})
        });
        put("access", access.collect());
    }
    Value::Object(shown)
}

pub(super) fn secret_ids(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    args.at_most(0)?;
    Ok(Some(json!(hook.secret_ids())))
}

pub(super) fn secret_add(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    if args.positional.is_empty() && args.flag("file").is_none() {
        return Err(wrong("missing secret value or filename"));
    }
    let (owner, changes) = changes(hook, args, 0)?;
    Ok(Some(json!(hook.secret_add(owner, changes)?)))
}

pub(super) fn secret_set(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    let uri = uri(args)?;
    let (_, changes) = changes(hook, args, 1)?;
    hook.secret_set(uri, changes)?;
    Ok(None)
}

fn uri(args: &Args) -> Result<&str, ToolError> {
    args.at(0).ok_or_else(|| wrong("missing secret URI"))
}

fn changes(
    hook: &HookContext,
    args: &Args,
    from: usize,
) -> Result<(SecretOwner, SecretChanges), ToolError> {
    let owner = match args.flag("owner") {
        None | Some("application") => SecretOwner::Application,
        Some("unit") => SecretOwner::Unit,
        Some(other) => return Err(wrong(format!("secret owner \"{other}\" not valid"))),
    };
    let policy = |word: &str| {
        let policy = Rotate::parse(word);
        policy.ok_or_else(|| wrong(format!("rotate policy \"{word}\" not valid")))
    };
    let set = |name| args.flag(name).filter(|text| !text.is_empty());
    let expire = set("expire")
        .map(|it| expiry(it, hook.model.clock))
        .transpose()?;
    let mut content = Settings::new();
    for pair in args.positional.iter().skip(from) {
        let (key, value) = entry(pair)?;
        content.insert(key, value);
    }
    if let Some(path) = set("file") {
        let text = read(path)?;
        let pairs: std::collections::BTreeMap<String, String> =
            serde_saphyr::from_str(&text).map_err(|_| wrong("expected YAML map of strings"))?;
        for (key, value) in pairs {
            let (key, value) = decoded(&key, value)?;
            content.insert(key, value);
        }
    }
    let changes = SecretChanges {
        content,
        label: set("label").map(str::to_owned),
        description: set("description").map(str::to_owned),
        rotate: set("rotate").map(policy).transpose()?,
        expire,
    };
    Ok((owner, changes))
}

/// A time, or a duration from now on as Go writes it (`24h`).
fn expiry(text: &str, now: SystemTime) -> Result<SystemTime, ToolError> {
    let utc = format!("{text}Z");
    let time = [text, &utc]
        .into_iter()
        .find_map(|it| it.parse::<jiff::Timestamp>().ok());
    if let Some(time) = time {
        return Ok(time.into());
    }
    let invalid = || wrong(format!("expire time or duration \"{text}\" not valid"));
    let duration: jiff::SignedDuration = text.parse().map_err(|_| invalid())?;
    let duration: Duration = duration
        .try_into()
        .map_err(|_| wrong(format!("negative expire duration \"{text}\" not valid")))?;
    Ok(now + duration)
}

/// `key=value`, `key#base64=…` or `key#file=path`. Padding of base64 does not separate.
fn entry(pair: &str) -> Result<(String, String), ToolError> {
    let bare = pair.trim_end_matches('=');
    let at = bare.find('=').filter(|at| *at > 0);
    let at = at.ok_or_else(|| wrong(format!("key value \"{pair}\" not valid")))?;
    let (key, value) = (&pair[..at], &pair[at + 1..]);
    match key.strip_suffix("#file") {
        Some(key) => decoded(key, read(value)?),
        None => decoded(key, value.to_owned()),
    }
}

/// What is not text loses here the bytes that are none; in JSON it does with Juju too.
fn decoded(key: &str, value: String) -> Result<(String, String), ToolError> {
    let Some(key) = key.strip_suffix("#base64") else {
        return Ok((key.to_owned(), value));
    };
    let bytes = BASE64
        .decode(value)
        .map_err(|_| wrong("illegal base64 data"))?;
    Ok((key.to_owned(), String::from_utf8_lossy(&bytes).into_owned()))
}

fn read(path: &str) -> Result<String, ToolError> {
    let failed = |error: std::io::Error| wrong(format!("reading content of \"{path}\": {error}"));
    let bytes = std::fs::read(path).map_err(failed)?;
    if bytes.len() > MAX_CONTENT {
        let size = bytes.len();
        return Err(wrong(format!(
            "secret content in file \"{path}\" too large: {size} bytes"
        )));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub(super) fn secret_remove(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    let uri = uri(args)?;
    args.at_most(1)?;
    let number = |text: &str| {
        let text = text.to_owned();
        text.parse::<u32>()
            .map_err(|_| wrong(format!("invalid value \"{text}\" for option --revision")))
    };
    let revision = args.flag("revision").map(number).transpose()?;
    hook.secret_remove(uri, revision.filter(|it| *it > 0))?;
    Ok(None)
}

pub(super) fn secret_grant(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    let uri = uri(args)?;
    args.at_most(1)?;
    let relation = super::relations::relation(hook, args)?;
    hook.secret_grant(uri, relation, args.flag("unit"))?;
    Ok(None)
}

pub(super) fn secret_revoke(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    let uri = uri(args)?;
    args.at_most(1)?;
    let (app, unit) = (args.flag("app"), args.flag("unit"));
    if app.is_some() && unit.is_some() {
        return Err(wrong("specify only one of application or unit"));
    }
    let related = args.flag("r").is_some() || hook.event.relation().is_some();
    let other = match (related, app) {
        (false, app) => app.map(str::to_owned),
        (true, Some(_)) => return Err(wrong("do not specify both relation and app")),
        (true, None) => {
            let relation = super::relations::relation(hook, args)?;
            Some(hook.relation_app(relation)?)
        }
    };
    let subject = unit.map(str::to_owned).or(other);
    let subject = subject.ok_or_else(|| wrong("missing relation or application or unit"))?;
    hook.secret_revoke(uri, &subject)?;
    Ok(None)
}
