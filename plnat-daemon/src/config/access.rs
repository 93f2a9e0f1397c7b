//! `[[principal]]` and `[[token_issuer]]`: who may call.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use axum::http::Uri;
use toml::de::DeValue;

use super::private_link::audience;
use super::section::Section;
use super::value::{Complaint, name, number, path, text, word};
use crate::auth::{
    BadTokenHash, CertificateMatch, ClaimMatch, IssuerSpec, KeySource, Principal, Proof, Role, Scope,
    TokenHash,
};
use crate::model::{Audience, Name, nearest};
use crate::outgoing::check_url;

/// Who may call the API.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Access {
    /// Parties with their roles.
    pub principals: Vec<Principal>,
    /// Those whose JSON Web Tokens count.
    pub issuers: Vec<IssuerSpec>,
}

/// Seconds of clock skew, unless the file says otherwise, and at most.
const SKEW: (u32, u32) = (60, 300);

pub(super) fn read(root: &Section<'_>) -> Access {
    let issuers = read_issuers(root);
    let owners = Owners::default();
    let principals = root.build("principal", |section| read_principal(section, &issuers, &owners));
    Access { principals, issuers }
}

fn read_issuers(root: &Section<'_>) -> Vec<IssuerSpec> {
    let said: RefCell<BTreeMap<String, &'static str>> = RefCell::default();
    root.build("token_issuer", |section| {
        let called = section.required("name", "\"entra\"", name);
        let issuer = section.required("issuer", "\"https://login.example.com\"", filled);
        for (key, text) in [("name", called.as_ref().map(Name::lower)), ("issuer", issuer.clone())] {
            if text.is_some_and(|text| said.borrow_mut().insert(text, key) == Some(key)) {
                let message = format!("another [[token_issuer]] has this `{key}`");
                section.reader.wrong(section.span_of(key), message, "remove one of the two");
            }
        }
        let audiences = section.list("audiences", "[\"api://plnat\"]", filled);
        if audiences.is_empty() {
            let message = "`audiences` is missing or empty in [[token_issuer]]";
            let help =
                "write what `aud` is in tokens that are meant for this gateway, like [\"api://plnat\"]";
            section.reader.wrong(section.span_of("audiences"), message, help);
        }
        let skew = section.optional("clock_skew_in_seconds", number(0..=SKEW.1)).unwrap_or(SKEW.0);
        let (file, url) = (section.optional("keys_file", path), section.optional("jwks_url", url));
        let ca_file = section.optional("ca_file", path);
        let has = |key| section.has(key);
        let keys = match (file, url) {
            (Some(file), None) if !has("jwks_url") && !has("ca_file") => Some(KeySource::File(file)),
            (None, Some(url)) if !has("keys_file") => Some(KeySource::Url { url, ca_file }),
            // Said where it stands.
            (None, None) if has("keys_file") || has("jwks_url") => None,
            _ => {
                let message =
                    "a [[token_issuer]] has either `keys_file` or `jwks_url` (with or without `ca_file`)";
                let help = "write jwks_url = \"https://…\", or keys_file = \"/…\" alone";
                section.reader.wrong(section.span.clone(), message, help);
                None
            }
        };
        Some(IssuerSpec { name: called?, issuer: issuer?, audiences, skew, keys: keys? })
    })
}

/// Names of principals, and whose proof is whose.
#[derive(Default)]
struct Owners {
    names: RefCell<BTreeSet<Name>>,
    proofs: RefCell<BTreeMap<Proof, String>>,
}

fn read_principal(section: &Section<'_>, issuers: &[IssuerSpec], owners: &Owners) -> Option<Principal> {
    let called = section.required("name", "\"contoso\"", name);
    if let Some(called) = &called
        && !owners.names.borrow_mut().insert(called.clone())
    {
        let message = format!("another [[principal]] is called `{called}`");
        section.reader.wrong(section.span_of("name"), message, "give it another name");
    }
    let scope = section.required("subscriptions", "[\"contoso\"]", scope);
    let roles = section.list("roles", "[\"consumer\"]", word(&Role::WORDS));
    if !section.has("roles") {
        let help = "write roles = [\"provider\"], [\"consumer\"], [\"reader\"] or [\"operator\"]";
        section.reader.wrong(section.span.clone(), "`roles` is missing in [[principal]]", help);
    }
    let owner = called.as_ref().map(Name::to_string).unwrap_or_default();
    let own = |within: &Section<'_>, key: &str, proof: Proof| {
        let other = owners.proofs.borrow_mut().insert(proof.clone(), owner.clone());
        if let Some(other) = other {
            let message = format!("principal `{other}` has this already");
            within.reader.wrong(
                within.span_of(key),
                message,
                "each proof leads to one principal: remove one",
            );
        }
        proof
    };
    let mut proofs = vec![];
    for hash in section.list("tokens", "[\"sha256:…\"]", token) {
        proofs.push(own(section, "tokens", Proof::Token(hash)));
    }
    for wanted in section.list("certificates", "[\"DNS:ci.contoso.example\"]", certificate) {
        proofs.push(own(section, "certificates", Proof::Certificate(wanted)));
    }
    for claim in section.build("claim", |section| read_claim(section, issuers, &own)) {
        proofs.push(Proof::Claim(claim));
    }
    let shown = ["tokens", "certificates", "claim"].iter().any(|key| section.has(key));
    if !shown {
        let message = "nothing shows who this principal is";
        let help = "write tokens = [\"sha256:…\"], certificates = […] or a [[principal.claim]]";
        section.reader.wrong(section.span.clone(), message, help);
    }
    Some(Principal { name: called?, scope: scope?, roles: roles.into_iter().collect(), proofs })
}

fn read_claim(
    section: &Section<'_>,
    issuers: &[IssuerSpec],
    own: &dyn Fn(&Section<'_>, &str, Proof) -> Proof,
) -> Option<ClaimMatch> {
    let issuer = section.required("issuer", "\"entra\"", name);
    let claim = section.required("claim", "\"sub\"", filled);
    let value = section.required("value", "\"…\"", filled);
    let issuer = issuer?;
    let known = issuers.iter().any(|it| it.name == issuer);
    if !known && !section.reader.is_broken("token_issuer", issuer.as_str()) {
        let message = format!("there is no token issuer `{issuer}`");
        let help = match nearest(issuer.as_str(), issuers.iter().map(|it| it.name.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "add a [[token_issuer]] with this name".to_owned(),
        };
        section.reader.wrong(section.span_of("issuer"), message, help);
    }
    let wanted = ClaimMatch { issuer, claim: claim?, value: value? };
    own(section, "value", Proof::Claim(wanted.clone()));
    Some(wanted)
}

fn scope(value: &DeValue<'_>) -> Result<Scope, Complaint> {
    match audience(value)? {
        Audience::Everybody => Ok(Scope::All),
        Audience::Only(names) => Ok(Scope::Only(names)),
        Audience::Nobody => {
            Err(("no subscription is in the list".to_owned(), "write one, or \"*\" for all".to_owned()))
        }
    }
}

fn token(value: &DeValue<'_>) -> Result<TokenHash, Complaint> {
    // What is wrong here may be a secret: it is not said again.
    text(value)?.parse().map_err(|error: BadTokenHash| {
        let help = match error {
            BadTokenHash::Token => {
                "replace the token, since it stood in a file, and write the new one's hash"
            }
            BadTokenHash::Form => "write what was shown as hash when the token was made: \"sha256:…\"",
        };
        (error.to_string(), help.to_owned())
    })
}

fn certificate(value: &DeValue<'_>) -> Result<CertificateMatch, Complaint> {
    text(value)?.parse().map_err(|error: crate::auth::BadCertificateMatch| {
        let help = "write \"sha256:…\", \"subject:CN=…\", \"DNS:…\", \"URI:…\", \"email:…\" or \"IP:…\"";
        (error.to_string(), help.to_owned())
    })
}

/// A text that is not empty.
fn filled(value: &DeValue<'_>) -> Result<String, Complaint> {
    let text = text(value)?;
    if text.is_empty() {
        Err(("the text is empty".to_owned(), "write something".to_owned()))
    } else {
        Ok(text)
    }
}

/// A URL that the daemon may call.
pub(super) fn url(value: &DeValue<'_>) -> Result<Uri, Complaint> {
    let help = || "write a URL like \"https://example.com/path\"".to_owned();
    let url: Uri = text(value)?.parse().map_err(|_| ("this is no URL".to_owned(), help()))?;
    check_url(&url).map_err(|error| (error.to_string(), help()))?;
    Ok(url)
}
