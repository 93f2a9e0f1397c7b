//! `[api]`, `[[principal]]`, `[[token_issuer]]` and `[[webhook]]`: what the documentation shows, and what is wrong.

use proptest::prelude::*;

use super::*;
use crate::auth::{Authenticator, Issuer, KeySource, Proof, Role, Scope};
use crate::tls::ServerIdentity;

const HASH: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The configuration of the documentation.
fn documented() -> String {
    let text = include_str!("../../../../docs/security.md");
    let (_, rest) = text.split_once("```toml\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[track_caller]
fn bad(text: &str, expected: &[&str]) {
    let wrong = parse("x", text).err();
    let said: Vec<String> = wrong
        .iter()
        .flat_map(Diagnostics::iter)
        .map(|it| {
            format!(
                "{}:{}: {} => {}",
                it.line().unwrap_or(0),
                it.column().unwrap_or(0),
                it.message(),
                it.help().unwrap_or("nothing")
            )
        })
        .collect();
    assert_eq!(said, expected);
}

#[test]
fn the_documented_configuration_is_read_as_it_says() {
    let config = parse("x", &documented()).unwrap_or_else(|wrong| panic!("{wrong}"));
    let api = config.api.unwrap();
    assert_eq!(api.listen.to_string(), "0.0.0.0:8443");
    let tls = api.tls.unwrap();
    assert_eq!(tls.client_ca, Some("/etc/plnat/clients.crt".into()));
    let names = vec!["gateway.example.com".to_owned(), "192.0.2.7".to_owned()];
    assert_eq!(tls.identity, ServerIdentity::Own { directory: "/var/lib/plnat/tls".into(), names });
    let limits = parse("x", "[api]\nlisten = \"127.0.0.1:1\"").unwrap().api.unwrap();
    assert_eq!((api.limits, api.rate), (limits.limits, limits.rate), "the values shown are the defaults");
    let principal = &config.access.principals[0];
    assert_eq!(principal.scope, Scope::Only(["contoso".parse().unwrap()].into()));
    assert_eq!(principal.roles, [Role::Consumer].into());
    assert_eq!(principal.proofs.len(), 4);
    assert!(matches!(&principal.proofs[3], Proof::Claim(claim) if claim.claim == "groups"));
    assert!(matches!(&config.access.issuers[0].keys, KeySource::Url { ca_file: None, .. }));
    assert_eq!(config.webhooks[0].timeout.as_secs(), 10);
    let kinds: Vec<_> = config.webhooks[0].events.iter().map(ToString::to_string).collect();
    assert_eq!(kinds, ["connection.*"]);
    // What the file accepts, the authenticator does.
    let issuers = config.access.issuers.into_iter().map(|it| Issuer::new(it).into()).collect();
    Authenticator::new(config.access.principals, issuers).unwrap();
}

#[test]
fn without_sections_there_is_no_port_and_nobody() {
    let config = parse("x", "").unwrap();
    assert_eq!((config.api, config.access, config.webhooks), (None, Access::default(), vec![]));
    for nowhere in ["[api]", "[api]\nlisten = \"off\"", "[api]\nhttp = true\n[api.limits]\nburst = 1"] {
        assert_eq!(parse("x", nowhere).unwrap().api, None, "{nowhere}");
    }
    let text = "[gateway]\nstate_dir = \"/s\"\n[api]\nlisten = \"[::]:443\"\n[api.audit]\nfiles = 2";
    let api = parse("x", text).unwrap().api.unwrap();
    assert_eq!((api.listen.to_string().as_str(), api.audit.files), ("[::]:443", 2));
    assert_eq!((api.audit.path, api.audit.file_bytes), ("/s/audit.log".into(), 64 << 20));
    let identity = ServerIdentity::Own { directory: "/s/tls".into(), names: vec![] };
    assert_eq!(api.tls.unwrap().identity, identity);
    let api = parse("x", "[api]\nlisten = \"[::1]:80\"\nhttp = true").unwrap().api.unwrap();
    assert_eq!(api.tls, None);
}

#[test]
fn the_port() {
    bad(
        "[api]\nlisten = \"0.0.0.0:80\"\nhttp = true",
        &[
            "3:8: `http` on 0.0.0.0:80 would send tokens in the clear => remove it, or listen on a loopback address",
        ],
    );
    bad(
        "[api]\nhttp = true\n[api.tls]\n",
        &["3:1: `http` is true, and there is [api.tls] => remove one of the two"],
    );
    bad(
        "[api]\nlisten = \"8443\"\nhttps = true\ntls = 1\n[api.limits]\nconnections = 0\nheader_bytes = 100\nbrst = 1",
        &[
            r#"2:10: `8443` is no address with a port => write "127.0.0.1:8443", or "off""#,
            "3:1: `https` is no key of [api] => did you mean `http`?",
            "4:7: `tls` is a table, not a number => write [api.tls]",
            "6:15: 0 is not between 1 and 65536 => write a whole number from 1 to 65536",
            "7:16: 100 is not between 8192 and 1048576 => write a whole number from 8192 to 1048576",
            "8:1: `brst` is no key of [api.limits] => did you mean `burst`?",
        ],
    );
    bad(
        "[api.tls]\ncertificate = \"/a\"\nnames = [\"a.example:443\", \"b example\"]\nclient_ca = \"ca.pem\"",
        &[
            r#"2:15: `certificate` is there, and `key` is not => write key = "/…" too, or neither: the gateway makes its own then"#,
            "3:9: `names` are for the gateway's own certificate, and another is given => remove one of the two",
            r#"3:10: `a.example:443` is neither a DNS name nor an address => write a name like "gateway.example.com", or an address, without port"#,
            r#"3:27: `b example` is neither a DNS name nor an address => write a name like "gateway.example.com", or an address, without port"#,
            r#"4:13: `ca.pem` is no absolute path => write "/ca.pem", or another path from the root on"#,
        ],
    );
}

#[test]
fn principals() {
    bad(
        "[[principal]]\nname = \"a\"",
        &[
            "1:1: `subscriptions` is missing in [[principal]] => write subscriptions = [\"contoso\"]",
            r#"1:1: `roles` is missing in [[principal]] => write roles = ["provider"], ["consumer"], ["reader"] or ["operator"]"#,
            r#"1:1: nothing shows who this principal is => write tokens = ["sha256:…"], certificates = […] or a [[principal.claim]]"#,
        ],
    );
    bad(
        &format!(
            "[[principal]]\nname = \"a\"\nsubscriptions = []\nroles = [\"Operator\"]\ntokens = [\"secret\"]\ncertificates = [\"CN=x\"]\ntoken = \"{HASH}\""
        ),
        &[
            r#"3:17: no subscription is in the list => write one, or "*" for all"#,
            r#"4:10: `Operator` is not known here => write "operator"; the words are "provider", "consumer", "reader", "operator""#,
            r#"5:11: this is no hash of a token: `sha256:` and 64 hexadecimal digits => write what was shown as hash when the token was made: "sha256:…""#,
            r#"6:17: `CN=x` says nothing about a certificate => write "sha256:…", "subject:CN=…", "DNS:…", "URI:…", "email:…" or "IP:…""#,
            "7:1: `token` is no key of [[principal]] => did you mean `tokens`?",
        ],
    );
    let one = |called: &str, more: &str| {
        format!("[[principal]]\nname = \"{called}\"\nsubscriptions = \"*\"\nroles = [\"reader\"]\n{more}\n")
    };
    let tokens = format!("tokens = [\"{HASH}\"]");
    bad(
        &(one("a", &tokens) + &one("A", &tokens)),
        &[
            "7:8: another [[principal]] is called `A` => give it another name",
            "10:10: principal `a` has this already => each proof leads to one principal: remove one",
        ],
    );
    let claim =
        |issuer: &str| format!("[[principal.claim]]\nissuer = \"{issuer}\"\nclaim = \"sub\"\nvalue = \"x\"");
    bad(
        &one("a", &claim("entra")),
        &["6:10: there is no token issuer `entra` => add a [[token_issuer]] with this name"],
    );
    let issuer =
        "[[token_issuer]]\nname = \"entra\"\nissuer = \"i\"\naudiences = [\"a\"]\nkeys_file = \"/k\"\n";
    bad(
        &(issuer.to_owned() + &one("a", &claim("entre"))),
        &["11:10: there is no token issuer `entre` => did you mean `entra`?"],
    );
    bad(
        &(issuer.to_owned() + &one("a", &claim("entra")) + &one("b", &claim("ENTRA"))),
        &["21:9: principal `a` has this already => each proof leads to one principal: remove one"],
    );
    bad(
        &one("a", "[[principal.claim]]\nissuer = \"entra\"\nclaim = \"\""),
        &[
            "5:1: `value` is missing in [[principal.claim]] => write value = \"…\"",
            "6:10: there is no token issuer `entra` => add a [[token_issuer]] with this name",
            "7:9: the text is empty => write something",
        ],
    );
}

/// A token in a file is leaked already; it must not come into logs as well.
#[test]
fn a_token_in_the_file_is_refused_and_its_message_does_not_repeat_it() {
    let token = crate::auth::Token::generate().unwrap();
    let text = format!(
        "[[principal]]\nname = \"a\"\nsubscriptions = \"*\"\nroles = [\"reader\"]\ntokens = [\"{}\"]",
        token.reveal()
    );
    let wrong = parse("x", &text).unwrap_err();
    let said: Vec<_> = wrong.iter().map(|it| format!("{} {}", it.message(), it.help().unwrap())).collect();
    assert_eq!(said.len(), 1);
    assert!(!wrong.to_string().contains(token.reveal()), "{wrong}");
    assert!(wrong.to_string().contains("tokens = [\"plnat_****"), "{wrong}");
    assert!(said[0].starts_with("this is a token itself") && !said[0].contains(token.reveal()), "{said:?}");
}

#[test]
fn token_issuers() {
    bad(
        "[[token_issuer]]\nname = \"e\"\nissuer = \"\"\nclock_skew_in_seconds = 301",
        &[
            "1:1: `audiences` is missing or empty in [[token_issuer]] => write what `aud` is in tokens that are meant for this gateway, like [\"api://plnat\"]",
            "1:1: a [[token_issuer]] has either `keys_file` or `jwks_url` (with or without `ca_file`) => write jwks_url = \"https://…\", or keys_file = \"/…\" alone",
            "3:10: the text is empty => write something",
            "4:25: 301 is not between 0 and 300 => write a whole number from 0 to 300",
        ],
    );
    let issuer =
        |more: &str| format!("[[token_issuer]]\nname = \"e\"\nissuer = \"i\"\naudiences = [\"a\"]\n{more}\n");
    let either = "1:1: a [[token_issuer]] has either `keys_file` or `jwks_url` (with or without `ca_file`) => write jwks_url = \"https://…\", or keys_file = \"/…\" alone";
    bad(&issuer("keys_file = \"/k\"\njwks_url = \"https://a/k\""), &[either]);
    bad(&issuer("keys_file = \"/k\"\nca_file = \"/c\""), &[either]);
    let help = "write a URL like \"https://example.com/path\"";
    for (url, why) in [
        ("http://a.example/k", "plain http goes to this machine only"),
        ("https://u:p@a.example/k", "the URL holds a user name or password"),
        ("ftp://a/k", "the URL is neither https nor http"),
        ("keys", "the URL is neither https nor http"),
        ("https://", "this is no URL"),
    ] {
        bad(&issuer(&format!("jwks_url = \"{url}\"")), &[&format!("5:12: {why} => {help}")]);
    }
    bad(
        &(issuer("keys_file = \"/k\"") + &issuer("keys_file = \"/k\"")),
        &[
            "7:8: another [[token_issuer]] has this `name` => remove one of the two",
            "8:10: another [[token_issuer]] has this `issuer` => remove one of the two",
        ],
    );
}

#[test]
fn webhooks() {
    bad(
        "[[webhook]]\nname = \"a\"",
        &[
            "1:1: `url` is missing in [[webhook]] => write url = \"https://example.com/hook\"",
            "1:1: `secret_file` is missing in [[webhook]] => write secret_file = \"/etc/plnat/tickets.secret\"",
        ],
    );
    let hook = |more: &str| {
        format!("[[webhook]]\nname = \"a\"\nurl = \"https://a.example/\"\nsecret_file = \"/s\"\n{more}\n")
    };
    bad(
        &hook("events = [\"connection.aproved\", \"*\"]\ntimeout_in_seconds = 0\nsecret = \"x\""),
        &[
            "5:11: `connection.aproved` is no kind of event => did you mean `connection.approved`?",
            "5:33: `*` is no kind of event => the kinds are connection.requested, connection.approved, connection.rejected, connection.pending, connection.disconnected, connection.deleted, connection.traffic_while_pending, backend.up, backend.down, configuration.changed, configuration.refused, service.nat_usage, endpoint.quota, daemon.started, or with `.*` all that begin alike",
            "6:22: 0 is not between 1 and 60 => write a whole number from 1 to 60",
            "7:1: `secret` is no key of [[webhook]] => the keys are name, url, secret_file, ca_file, events, subscriptions, timeout_in_seconds, give_up_after_in_hours",
        ],
    );
    bad(&(hook("") + &hook("")), &["7:8: another [[webhook]] is called `a` => give it another name"]);
}

proptest! {
    #[test]
    fn whatever_is_in_the_file_it_is_accepted_or_refused_with_lines(
        wounds in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..30, "\\PC{0,6}|[\\[\\]\"=\n{},.]{0,4}"), 1..4),
    ) {
        let mut text: Vec<char> = documented().chars().collect();
        for (at, length, put) in wounds {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, put.chars());
        }
        if let Err(wrong) = parse("x", &String::from_iter(text)) {
            prop_assert!(wrong.iter().all(|it| it.line().is_some()));
        }
    }
}
