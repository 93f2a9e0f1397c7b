//! `plnat token`.

use std::io::{self, Write};

use serde_json::json;

use super::args::{NewToken, Output};
use super::exit::Failure;
use crate::auth::Token;

/// Makes a token and shows it.
pub(super) fn new(asked: &NewToken, output: Output) -> Result<(), Failure> {
    let token = Token::generate()?;
    let (secret, hash) = (token.reveal(), token.hash().to_string());
    let mut out = io::stdout().lock();
    if output == Output::Json {
        let shown = json!({ "principal": asked.name, "token": secret, "hash": hash });
        return Ok(writeln!(out, "{shown}")?);
    }
    let quoted = |texts: Vec<String>| {
        let texts: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
        format!("[{}]", texts.join(", "))
    };
    let subscriptions = match asked.everywhere {
        true => "\"*\"".to_owned(),
        false => quoted(asked.subscriptions.iter().map(ToString::to_string).collect()),
    };
    let roles = quoted(asked.roles.iter().map(ToString::to_string).collect());
    writeln!(
        out,
        "The token, which is shown this once:\n\n{secret}\n\nFor the configuration file:\n\n\
         [[principal]]\nname = \"{}\"\nsubscriptions = {subscriptions}\nroles = {roles}\ntokens = [\"{hash}\"]",
        asked.name
    )?;
    Ok(())
}
