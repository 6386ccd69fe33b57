//! `user add`: where the password comes from, which is never an argument, since those are seen by everybody on a machine.

use std::io::IsTerminal as _;

use super::arguments::NewUser;
use super::{Cluster, Outcome, Teller};
use crate::kubernetes::Kubernetes;
use crate::parts::temporal::account::Account;
use crate::run::{Run, user};
use crate::secret::Secret;

/// What the program's hash takes of a password; it would leave out the rest without a word.
const LONGEST: usize = 72;

pub(super) async fn add(to: &Cluster, new: &NewUser) -> Outcome {
    let mail = new.mail.clone();
    let mail = mail.unwrap_or_else(|| format!("{}@localhost", new.name));
    let kubernetes = to.connect(None).await?;
    let password = password(&kubernetes, new).await?;
    if password.expose().is_empty() {
        return Err("the password is empty; write one".into());
    }
    if password.expose().len() > LONGEST {
        return Err(format!(
            "the password is longer than the {LONGEST} bytes that the program would look at; write a shorter one"
        )
        .into());
    }
    let account = Account {
        name: &new.name,
        mail: &mail,
    };
    let mut teller = Teller::new();
    let mut run = Run::new(&kubernetes, new.timeout.timeout, &mut teller);
    user::add(&mut run, account, &password).await?;
    drop(teller);
    println!("`{}` can log in", new.name);
    Ok(true)
}

async fn password(
    kubernetes: &Kubernetes,
    new: &NewUser,
) -> Result<Secret<String>, Box<dyn std::error::Error>> {
    if let Some(secret) = &new.from_secret {
        let (secret, key) = secret.split_once('/').unwrap_or((secret, "password"));
        return Ok(user::password_of(kubernetes, secret, key).await?);
    }
    if new.password_stdin {
        let text = std::io::read_to_string(std::io::stdin())
            .map_err(|error| format!("cannot read the password: {error}"))?;
        return Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    if !std::io::stdin().is_terminal() {
        return Err(
            "there is no terminal to type a password on: use `--password-stdin` or `--from-secret`"
                .into(),
        );
    }
    let typed = |prompt: String| {
        let read = rpassword::prompt_password(prompt);
        read.map_err(|error| format!("cannot read the password: {error}"))
    };
    let first = typed(format!("password for `{}`: ", new.name))?;
    if first != typed("the same again: ".to_owned())? {
        return Err("the two passwords are not the same; try again".into());
    }
    Ok(Secret::new(first))
}
