//! Gateways with names.

use super::{Desk, mode, said};

const PATH: &str = ".config/plnat/config.toml";

#[test]
fn a_context_is_chosen_by_name_and_kept_with_its_comments() {
    let desk = Desk::furnished();
    desk.file(".config/plnat/prod.token", &desk.served.token("provider@provider"));
    let text = format!(
        "# current = \"prod\"\n[context.prod] # the big one\nserver = \"{}\"\ntoken_file = \"prod.token\"\nsubscription = \"provider\"\n\
         [context.test]\nsocket = \"/nonexistent\"\n",
        desk.server()
    );
    desk.file(PATH, &text);
    let run = |arguments: &str| said(&mut desk.command(arguments));
    run("context list").ends(0, &["prod", "test", "local", "/run/plnat/plnat.sock"]);
    run("context show").ends(0, &["local"]);
    run("network list --context prod").ends(0, &["provider/rg/net"]);
    run("network list --context test").ends(4, &["/nonexistent"]);
    run("network list --context nope").ends(2, &["there is no context `nope`", "prod, test, local"]);
    run("context use nope").ends(2, &[]);
    run("context use prod").ends(0, &["prod is used"]);
    let now = std::fs::read_to_string(desk.home.path().join(PATH)).unwrap();
    assert_eq!(now, format!("current = \"prod\"\n{text}"));
    run("service list").ends(0, &["provider/rg/web"]);
    run("context show -o json").ends(0, &["\"current\":true"]);
    run("context use test").ends(0, &[]);
    assert_eq!(
        std::fs::read_to_string(desk.home.path().join(PATH)).unwrap(),
        format!("current = \"test\"\n{text}")
    );
    said(desk.command("context show").env("PLNAT_CONTEXT", "prod")).ends(0, &["test"]);
    said(desk.command("network list").env("PLNAT_CONTEXT", "prod")).ends(0, &["provider/rg/net"]);
    // What is said counts more than what is written.
    said(desk.command("network list").env("PLNAT_SOCKET", &desk.socket)).ends(0, &["contoso/rg/net"]);
    run("network list --context local").ends(4, &["/run/plnat/plnat.sock"]);
}

#[test]
fn a_token_goes_to_the_server_that_it_was_given_for() {
    let desk = Desk::furnished();
    let token = desk.served.token("operator@*");
    desk.file(".config/plnat/token", &token);
    desk.file(PATH, &format!("current = \"a\"\n[context.a]\nserver = \"{0}\"\n[context.b]\nserver = \"{0}\"\ntoken_file = \"token\"\n", desk.server()));
    let ask = |arguments: &str| said(desk.command(arguments).env("PLNAT_TOKEN", &token));
    // The environment's token is not for a context.
    ask("network list").ends(1, &["show a token"]);
    ask("network list --context b").ends(0, &[]);
    // A context's is not for a server that is named.
    said(&mut desk.command(&format!("network list --server {}", desk.server()))).ends(1, &["show a token"]);
    ask(&format!("network list --server {}", desk.server())).ends(0, &[]);
}

#[test]
fn a_file_of_contexts_that_others_may_write_or_that_is_wrong_is_not_used() {
    let desk = Desk::new();
    let run = |arguments: &str| said(&mut desk.command(arguments));
    let path = desk.file(PATH, "[context.a]\nserver = \"https://a.example\"\n");
    for open in [0o620, 0o602, 0o666] {
        mode(&path, open);
        run("network list --context a").ends(2, &["open to others", "chmod go-w"]);
    }
    mode(&path, 0o644);
    run("context show a").ends(0, &["https://a.example"]);
    for (text, problem) in [
        ("[context.a]\n", "needs a server or a socket"),
        ("[context.a]\nserver = \"x\"\nsocket = \"y\"\n", "not both"),
        ("[context.a]\nserver = \"x\"\ntoken = \"y\"\n", "token"),
        ("[context.local]\nserver = \"x\"\n", "another name"),
        ("current = 1", "current"),
        ("[", "config.toml"),
    ] {
        desk.file(PATH, text);
        run("context list").ends(2, &[problem]);
    }
    // What does not need it does not read it.
    said(desk.command("network list").env("PLNAT_SOCKET", &desk.socket)).ends(0, &[]);
}
