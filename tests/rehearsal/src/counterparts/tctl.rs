//! The one `tctl` command that the counterpart of temporal-admin-k8s knows: `namespace register`.
//!
//! tctl is deprecated and in no registry, so its arguments are translated for the `temporal` CLI.
//! Whatever it does not know is refused and never passed on.

/// Translates tctl's arguments, already split at white space as the admin charm splits them.
pub(super) fn translate(words: &[&str]) -> Result<Vec<String>, String> {
    let mut namespace = None;
    let mut words = words.iter().copied();
    let command = loop {
        let word = words.next().ok_or("no command given")?;
        match flag(word) {
            Some(("namespace" | "ns", value)) => {
                namespace = Some(value_of(word, value, &mut words)?);
            }
            Some(_) => return Err(format!("flag provided but not defined: {word}")),
            None => break word,
        }
    };
    let subcommand = words.next().unwrap_or_default();
    if !matches!(
        (command, subcommand),
        ("namespace" | "n", "register" | "re")
    ) {
        return Err(format!(
            "this rehearsal knows `namespace register` only, not `{command} {subcommand}`; \
             the action `cli` takes everything that the `temporal` CLI takes"
        ));
    }
    let namespace = namespace.ok_or("option namespace is required")?;
    let mut translated: Vec<String> = ["operator", "namespace", "create", "--namespace"]
        .map(str::to_owned)
        .to_vec();
    translated.push(namespace.to_owned());
    while let Some(word) = words.next() {
        let Some((name, value)) = flag(word) else {
            return Err(format!("unexpected argument: {word}"));
        };
        let (option, value) = match name {
            "retention" | "rd" => ("--retention", days(value_of(word, value, &mut words)?)),
            "description" | "desc" => (
                "--description",
                value_of(word, value, &mut words)?.to_owned(),
            ),
            "owner_email" | "oe" => ("--email", value_of(word, value, &mut words)?.to_owned()),
            _ => return Err(format!("flag provided but not defined: {word}")),
        };
        translated.extend([option.to_owned(), value]);
    }
    Ok(translated)
}

/// A flag's name and its value after `=`. tctl takes one dash for two.
fn flag(word: &str) -> Option<(&str, Option<&str>)> {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    Some(match name.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (name, None),
    })
}

fn value_of<'a>(
    word: &str,
    value: Option<&'a str>,
    words: &mut impl Iterator<Item = &'a str>,
) -> Result<&'a str, String> {
    value
        .or_else(|| words.next())
        .ok_or_else(|| format!("flag needs an argument: {word}"))
}

/// A bare number means days.
fn days(value: &str) -> String {
    let bare = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    if bare {
        format!("{value}d")
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::translate;

    fn words(text: &str) -> Result<String, String> {
        translate(&text.split_whitespace().collect::<Vec<_>>()).map(|words| words.join(" "))
    }

    #[test]
    fn the_documented_command_registers_a_namespace() {
        assert_eq!(
            words("--ns default namespace register -rd 3").unwrap(),
            "operator namespace create --namespace default --retention 3d"
        );
        assert_eq!(
            words("-namespace=web n re --retention=72h --desc x -oe a@b").unwrap(),
            "operator namespace create --namespace web --retention 72h --description x --email a@b"
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (text, why) in [
            ("", "no command"),
            ("--ns default", "no command"),
            ("--ns", "needs an argument"),
            ("--ns a workflow list", "`namespace register` only"),
            ("namespace register", "required"),
            ("--ns a namespace register -rd", "needs an argument"),
            ("--ns a namespace register -gd true", "not defined"),
            ("--ns a namespace register b", "unexpected"),
        ] {
            let refused = words(text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}
