//! How diagnostics look, what depends on a gateway's history, and input that nobody would write.

use proptest::prelude::*;

use super::*;

const BASE: &str = include_str!("base.toml");

#[test]
fn diagnostics_are_shown_as_compilers_do() {
    let text = BASE.replace("auto_approval = [", "auto_aproval = [").replace("eth2", "eth1");
    let expected = "\
error: interface `eth1` already has a link, to network `provider/provider`
  --> plnat.toml:23:13
   |
23 | interface = \"eth1\"
   |             ^^^^^^
   = help: an interface belongs to one network: remove one of the two links

error: `auto_aproval` is no key of [[private_link_service]]
  --> plnat.toml:55:1
   |
55 | auto_aproval = [\"contoso\"]
   | ^^^^^^^^^^^^
   = help: did you mean `auto_approval`?

2 errors in the configuration";
    let shown = parse("plnat.toml", &text).unwrap_err().to_string();
    assert_eq!(shown, expected);
}

#[test]
fn columns_count_characters_and_line_ends_do_not_matter() {
    let text = "[gateway]\r\n\tlocation = \"ü\" # über\r\nmetrics = 1\r\n";
    let wrong = parse("x", text).unwrap_err();
    let places: Vec<_> = wrong.iter().map(|it| (it.line(), it.column())).collect();
    assert_eq!(places, [(Some(2), Some(13)), (Some(3), Some(11))]);
    assert!(wrong.to_string().contains("2 |  location = \"ü\" # über\n  |             ^^^\n"), "{wrong}");
}

#[test]
fn a_file_that_cannot_be_read_is_said_to_be_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none.toml");
    let wrong = load(&path).unwrap_err().to_string();
    assert!(wrong.starts_with("error: cannot be read: No such file or directory"), "{wrong}");
    assert!(wrong.contains(&format!("--> {}\n", path.display())), "{wrong}");
    std::fs::write(&path, b"[gateway]\n# \xff\n").unwrap();
    let wrong = load(&path).unwrap_err().to_string();
    assert!(wrong.starts_with("error: line 2 is not UTF-8"), "{wrong}");
}

#[test]
fn an_empty_file_is_a_gateway_without_anything_to_do() {
    let config = parse("x", "").unwrap();
    assert_eq!(config.gateway, Gateway::default());
    assert_eq!(config.declaration, Declaration::default());
    config.check(&Model::default()).unwrap();
}

#[test]
fn visibility_is_asked_of_the_gateway_and_not_of_the_file() {
    let mut model = Model::default();
    let now = jiff::Timestamp::UNIX_EPOCH;
    let mut guids = fresh_guids();
    model.declare(&parse("x", BASE).unwrap().declaration, now, &mut guids).unwrap();
    let narrowed = BASE.replace("[\"contoso\"]\n", "[]\n");
    let config = parse("x", &narrowed).unwrap();
    let fresh = config.check(&Model::default()).unwrap_err();
    let said: Vec<_> = fresh.iter().map(|it| (it.line(), it.message())).collect();
    let message = "no private link service `provider/web` is visible to subscription `contoso`";
    assert_eq!(said, [(Some(64), message)]);
    config.check(&model).unwrap();
    model.declare(&config.declaration, now, &mut guids).unwrap();
    // Along with another error, it is said at once.
    let worse = narrowed.replace("frontend_port = 80", "frontend_port = 0");
    assert_eq!(parse("x", &worse).unwrap_err().iter().count(), 2);
}

#[test]
fn an_alias_counts_where_it_was_given() {
    let mut model = Model::default();
    let now = jiff::Timestamp::UNIX_EPOCH;
    let mut guids = fresh_guids();
    model.declare(&parse("x", BASE).unwrap().declaration, now, &mut guids).unwrap();
    let alias = model.services()[0].alias.to_uppercase();
    let config = parse(
        "x",
        &BASE.replace("private_link_service = \"web\"", &format!("private_link_service = \"{alias}\"")),
    );
    let config = config.unwrap();
    config.check(&Model::default()).unwrap_err();
    config.check(&model).unwrap();
    assert!(config.declaration.endpoints[0].manual);
}

#[test]
fn a_refusal_about_what_is_not_in_the_file_is_said_without_a_line() {
    let (mut model, mut guids) = (Model::default(), fresh_guids());
    let mut declare = |model: &mut Model, text: &str| {
        let config = parse("x", text).unwrap();
        config.check(model)?;
        model.declare(&config.declaration, jiff::Timestamp::UNIX_EPOCH, &mut guids).unwrap();
        Ok::<(), Diagnostics>(())
    };
    declare(&mut model, BASE).unwrap();
    let alias = model.services()[0].alias.clone();
    let text = BASE.replace("private_link_service = \"web\"", &format!("private_link_service = \"{alias}\""));
    declare(&mut model, &text).unwrap();
    let (from, to) =
        (text.find("[[private_link_service]]").unwrap(), text.find("[[private_endpoint]]").unwrap());
    let wrong = declare(&mut model, &format!("{}{}", &text[..from], &text[to..])).unwrap_err();
    let expected =
        "error: private link service `provider/web`: it still has 1 private endpoint connections\n--> x\n";
    assert!(wrong.to_string().starts_with(expected), "{wrong}");
}

#[test]
fn references_may_say_the_subscription_and_must_where_they_would_be_ambiguous() {
    let two = BASE.replace("name = \"contoso\"\nsubscription", "name = \"provider\"\nsubscription");
    let said = |text: &str| -> Vec<String> {
        let wrong = parse("x", text).err();
        wrong
            .iter()
            .flat_map(Diagnostics::iter)
            .map(|it| format!("{} => {}", it.message(), it.help().unwrap()))
            .collect()
    };
    let ambiguous =
        "`provider` is ambiguous => write \"provider/default/provider\" or \"contoso/default/provider\"";
    let missing = "there is no network `contoso` => add a [[network]] with this name";
    let gone = "there is no network `contoso/contoso` => name a network that exists, or add this one";
    assert_eq!(said(&two), [ambiguous, missing, gone]);
    let clear = two
        .replace("eth1\"\nnetwork = \"provider\"", "eth1\"\nnetwork = \"provider/provider\"")
        .replace("eth2\"\nnetwork = \"contoso\"", "eth2\"\nnetwork = \"contoso/default/provider\"")
        .replace("contoso/endpoints", "provider/endpoints");
    assert_eq!(said(&clear), [""; 0]);
    let config = parse("x", &clear).unwrap();
    // The load balancer's and the endpoint's unqualified names mean their own subscription's.
    assert_eq!(config.declaration.load_balancers[0].network.short(), "provider/provider");
    assert_eq!(config.declaration.endpoints[0].network.short(), "contoso/provider");
}

/// The base with a few random wounds.
fn wounded() -> impl Strategy<Value = String> {
    let wound = (
        any::<prop::sample::Index>(),
        0usize..40,
        "\\PC{0,6}|[\\[\\]\"=\n{},]{0,4}|\n\\[\\[[a-z_]{1,8}\\]\\]\n",
    );
    proptest::collection::vec(wound, 1..5).prop_map(|wounds| {
        let mut text: Vec<char> = BASE.chars().collect();
        for (at, length, put) in wounds {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, put.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_in_the_file_it_is_accepted_or_refused_with_lines(text in wounded()) {
        match parse("x", &text) {
            Ok(config) => _ = config.check(&Model::default()).map_err(|wrong| wrong.to_string()),
            Err(wrong) => {
                let lines = text.matches('\n').count() + 1;
                prop_assert!(wrong.iter().count() > 0);
                prop_assert!(wrong.iter().all(|it| it.line().is_some_and(|line| (1..=lines).contains(&line))));
                prop_assert!(!wrong.to_string().is_empty());
            }
        }
    }
}
