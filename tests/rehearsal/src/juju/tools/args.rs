//! Arguments of hook tools, read as Juju's flag parser reads them: flags and positional arguments
//! may be mixed until `--`.

use std::collections::BTreeMap;

use super::super::context::ToolError;

/// A flag: its spellings, and whether a value follows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag {
    pub(super) names: &'static [&'static str],
    pub(super) takes_value: bool,
}

/// A flag with a value.
pub(super) const fn value(names: &'static [&'static str]) -> Flag {
    Flag {
        names,
        takes_value: true,
    }
}

/// A flag without one.
pub(super) const fn switch(names: &'static [&'static str]) -> Flag {
    Flag {
        names,
        takes_value: false,
    }
}

/// Parsed arguments.
#[derive(Debug, Default)]
pub(super) struct Args {
    flags: BTreeMap<&'static str, String>,
    pub(super) positional: Vec<String>,
}

fn wrong(text: String) -> ToolError {
    ToolError::Arguments(text)
}

impl Args {
    pub(super) fn parse(flags: &[Flag], args: &[String]) -> Result<Self, ToolError> {
        let mut parsed = Self::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            if arg == "--" {
                parsed.positional.extend(rest.cloned());
                break;
            }
            let Some(name) = arg.strip_prefix('-').filter(|name| !name.is_empty()) else {
                parsed.positional.push(arg.clone());
                continue;
            };
            let name = name.strip_prefix('-').unwrap_or(name);
            let (name, inline) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (name, None),
            };
            let flag = flags
                .iter()
                .find(|flag| flag.names.contains(&name))
                .ok_or_else(|| wrong(format!("option provided but not defined: {arg}")))?;
            let value = match (flag.takes_value, inline) {
                (true, Some(value)) => value,
                (true, None) => rest
                    .next()
                    .cloned()
                    .ok_or_else(|| wrong(format!("option needs an argument: {arg}")))?,
                (false, value) => value.unwrap_or_else(|| "true".to_owned()),
            };
            let key = flag.names.first().copied().unwrap_or_default();
            parsed.flags.insert(key, value);
        }
        Ok(parsed)
    }

    pub(super) fn flag(&self, name: &str) -> Option<&str> {
        self.flags.get(name).map(String::as_str)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.flag(name) == Some("true")
    }

    pub(super) fn at(&self, index: usize) -> Option<&str> {
        self.positional.get(index).map(String::as_str)
    }

    /// Refuses more positional arguments than the tool knows.
    pub(super) fn at_most(&self, count: usize) -> Result<(), ToolError> {
        match self.positional.get(count..) {
            None | Some([]) => Ok(()),
            Some(rest) => Err(wrong(format!("unrecognized args: {rest:?}"))),
        }
    }

    /// The argument at a place, or an argument error.
    pub(super) fn need(&self, index: usize, what: &str) -> Result<&str, ToolError> {
        self.at(index)
            .ok_or_else(|| wrong(format!("no {what} specified")))
    }

    /// `key=value` arguments.
    pub(super) fn pairs(&self, from: usize) -> Result<Vec<(String, String)>, ToolError> {
        self.positional
            .iter()
            .skip(from)
            .map(|arg| match arg.split_once('=') {
                Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
                _ => Err(wrong(format!("expected \"key=value\", got \"{arg}\""))),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Args, switch, value};

    fn parse(args: &[&str]) -> Result<Args, String> {
        let args: Vec<String> = args.iter().map(|&it| it.to_owned()).collect();
        Args::parse(&[value(&["r", "relation"]), switch(&["app"])], &args)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn flags_and_arguments_mix_until_two_dashes() {
        let args = parse(&["-", "-r", "7", "pg", "--app", "--", "-x"]).unwrap();
        assert_eq!((args.flag("r"), args.has("app")), (Some("7"), true));
        assert_eq!(args.positional, ["-", "pg", "-x"]);
        assert_eq!(parse(&["--relation=db:7"]).unwrap().flag("r"), Some("db:7"));
    }

    #[test]
    fn free_text_that_looks_like_a_flag_is_refused() {
        assert_eq!(
            parse(&["-x"]).unwrap_err(),
            "option provided but not defined: -x"
        );
        assert_eq!(parse(&["-r"]).unwrap_err(), "option needs an argument: -r");
    }
}
