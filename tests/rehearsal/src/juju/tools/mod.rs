//! The hook tools: arguments in, Juju's output and error texts out.
//!
//! The agent's socket calls `serve` for each request. The rules themselves are in
//! [`HookContext`]; here are only syntax and formats. Not there: `leader-get` and `leader-set` (deprecated, gone from Juju 4), `storage-*`,
//! `payload-*`, `unit-get`, `juju-reboot`.

mod args;
mod facts;
mod relations;
mod secrets;
mod state;

use serde_json::Value;

use self::args::{Args, Flag, value};
use super::context::{HookContext, ToolError};

/// What a tool prints and how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Exit code: 0, 1 for run errors, 2 for argument errors.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

type Run = fn(&mut HookContext, &Args, Option<&str>) -> Result<Option<Value>, ToolError>;

struct Tool {
    name: &'static str,
    flags: &'static [Flag],
    /// The format that it prints without `--format`, if it takes that.
    format: Option<&'static str>,
    run: Run,
}

const fn reads(name: &'static str, flags: &'static [Flag], run: Run) -> Tool {
    Tool {
        name,
        flags,
        format: Some("smart"),
        run,
    }
}

/// The tools that know JSON and YAML only.
const fn reads_yaml(name: &'static str, flags: &'static [Flag], run: Run) -> Tool {
    Tool {
        name,
        flags,
        format: Some("yaml"),
        run,
    }
}

const fn writes(name: &'static str, flags: &'static [Flag], run: Run) -> Tool {
    Tool {
        name,
        flags,
        format: None,
        run,
    }
}

const TOOLS: &[Tool] = &[
    writes("action-fail", &[], state::action_fail),
    reads("action-get", &[], state::action_get),
    writes("action-log", &[], state::action_log),
    writes("action-set", &[], state::action_set),
    writes(
        "application-version-set",
        &[],
        facts::application_version_set,
    ),
    writes("close-port", facts::PORT_FLAGS, facts::close_port),
    reads("config-get", facts::CONFIG_FLAGS, facts::config_get),
    reads("credential-get", &[], facts::credential_get),
    reads("goal-state", &[], facts::goal_state),
    reads("is-leader", &[], facts::is_leader),
    writes("juju-log", facts::LOG_FLAGS, facts::juju_log),
    reads("network-get", facts::NETWORK_FLAGS, facts::network_get),
    writes("open-port", facts::PORT_FLAGS, facts::open_port),
    reads("opened-ports", facts::OPENED_FLAGS, facts::opened_ports),
    reads("relation-get", relations::FLAGS, relations::relation_get),
    reads("relation-ids", &[], relations::relation_ids),
    reads("relation-list", relations::FLAGS, relations::relation_list),
    writes(
        "relation-set",
        relations::SET_FLAGS,
        relations::relation_set,
    ),
    writes("resource-get", &[], facts::resource_get),
    writes("secret-add", secrets::SET_FLAGS, secrets::secret_add),
    reads_yaml("secret-get", secrets::GET_FLAGS, secrets::secret_get),
    writes("secret-grant", secrets::GRANT_FLAGS, secrets::secret_grant),
    reads("secret-ids", &[], secrets::secret_ids),
    reads_yaml(
        "secret-info-get",
        secrets::INFO_FLAGS,
        secrets::secret_info_get,
    ),
    writes(
        "secret-remove",
        secrets::REMOVE_FLAGS,
        secrets::secret_remove,
    ),
    writes(
        "secret-revoke",
        secrets::REVOKE_FLAGS,
        secrets::secret_revoke,
    ),
    writes("secret-set", secrets::SET_FLAGS, secrets::secret_set),
    writes("state-delete", &[], state::state_delete),
    reads("state-get", state::GET_FLAGS, state::state_get),
    writes("state-set", state::SET_FLAGS, state::state_set),
    reads("status-get", facts::STATUS_GET_FLAGS, facts::status_get),
    writes("status-set", facts::STATUS_SET_FLAGS, facts::status_set),
];

/// The names of all tools, for the links on PATH.
pub fn names() -> impl Iterator<Item = &'static str> {
    TOOLS.iter().map(|tool| tool.name)
}

/// Runs one tool for the hook that is running; what the agent itself refuses is said as Juju's hook
/// tools say it.
pub fn run(hook: &mut HookContext, name: &str, args: &[String], stdin: Option<&str>) -> Reply {
    serve(hook, name, args, stdin).unwrap_or_else(|error| Reply {
        code: 1,
        stdout: String::new(),
        stderr: format!("ERROR {error}\n"),
    })
}

/// Runs one tool; an error is the agent's answer in place of the tool's.
pub(super) fn serve(
    hook: &mut HookContext,
    name: &str,
    args: &[String],
    stdin: Option<&str>,
) -> Result<Reply, String> {
    let unknown = || format!("bad request: unknown command: {name}");
    let tool = TOOLS.iter().find(|tool| tool.name == name);
    let tool = tool.ok_or_else(unknown)?;
    match attempt(hook, tool, args, stdin) {
        Ok(stdout) => Ok(Reply {
            code: 0,
            stdout,
            stderr: String::new(),
        }),
        Err(error @ ToolError::NoStdin) => Err(error.to_string()),
        Err(error) => Ok(Reply {
            code: error.code(),
            stdout: String::new(),
            stderr: format!("ERROR {error}\n"),
        }),
    }
}

fn attempt(
    hook: &mut HookContext,
    tool: &Tool,
    args: &[String],
    stdin: Option<&str>,
) -> Result<String, ToolError> {
    let mut flags = tool.flags.to_vec();
    if tool.format.is_some() {
        flags.extend([value(&["format"]), value(&["o", "output"])]);
    }
    let args = Args::parse(&flags, args)?;
    let default = tool.format.unwrap_or("smart");
    let format = args.flag("format").unwrap_or(default);
    if !matches!(format, "json" | "yaml") && format != default {
        let text = format!("invalid value \"{format}\" for option --format: unknown format");
        return Err(ToolError::Arguments(text));
    }
    match (tool.run)(hook, &args, stdin)? {
        None => Ok(String::new()),
        Some(value) => render(format, &value),
    }
}

fn render(format: &str, value: &Value) -> Result<String, ToolError> {
    let yaml = |value: &Value| {
        serde_saphyr::to_string(value).map_err(|error| ToolError::Refused(error.to_string()))
    };
    Ok(match (format, value) {
        ("json", value) => format!("{value}\n"),
        ("yaml", value) => yaml(value)?,
        (_, Value::Null) => String::new(),
        (_, Value::String(text)) => format!("{text}\n"),
        (_, Value::Bool(true)) => "True\n".to_owned(),
        (_, Value::Bool(false)) => "False\n".to_owned(),
        (_, Value::Number(number)) => format!("{number}\n"),
        (_, Value::Array(items)) if items.iter().all(Value::is_string) => items
            .iter()
            .filter_map(Value::as_str)
            .fold(String::new(), |all, it| all + it + "\n"),
        (_, value) => yaml(value)?,
    })
}

/// A YAML map of strings from standard input, as `--file -` of the writing tools wants it.
fn file(args: &Args, stdin: Option<&str>) -> Result<Vec<(String, String)>, ToolError> {
    let text = match args.flag("file") {
        None => return Ok(Vec::new()),
        Some("-") => stdin.ok_or(ToolError::NoStdin)?.to_owned(),
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| ToolError::Refused(format!("cannot read \"{path}\": {error}")))?,
    };
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    // The parser's own text would quote the content, which may be secret.
    let map: std::collections::BTreeMap<String, Option<String>> = serde_saphyr::from_str(&text)
        .map_err(|_| ToolError::refused("expected YAML map of strings"))?;
    Ok(map
        .into_iter()
        .map(|(key, value)| (key, value.unwrap_or_default()))
        .collect())
}
