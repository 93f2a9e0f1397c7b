//! `plnat` as scripts and shells meet it.

use std::process::Command;

use plnat_tests::config::Config;
use plnat_tests::daemon::{Gateway, Told, binary};
use plnat_tests::world::World;

#[test]
fn exit_codes_say_what_went_wrong() {
    let gateway = Gateway::new();
    let told = gateway.plnat(&["status"]);
    assert!(told.code == 4 && told.err.contains("is it running?"), "{told:?}");
    assert_eq!(gateway.plnat(&["statos"]).code, 2);

    let world = World::start(Config::new(&["contoso", "fabrikam"]));
    let code = |words: &str| world.gateway.plnat(&words.split(' ').collect::<Vec<_>>()).code;
    for words in [
        "status",
        "service list",
        "service show WEB",
        "endpoint list",
        "connection list",
        "sessions",
        "nat",
        "counters",
        "counters --all",
        "events",
    ] {
        assert_eq!(code(words), 0, "{words}");
        assert_eq!(code(&format!("-o json {words}")), 0, "{words}");
        assert_eq!(code(&format!("-o wide {words}")), 0, "{words}");
    }
    for words in [
        "service show wob",
        "endpoint show nobody",
        "connection approve nobody",
        "whois 10.2.1.4:5000",
        "counters --link nobody",
    ] {
        assert_eq!(code(words), 3, "{words}");
    }
    assert_eq!(code("connection approve"), 2);
    assert_eq!(code("whois 10.2.1.4"), 2);
    let words = "x".repeat(141);
    let told = world.gateway.plnat(&["connection", "reject", "contoso", "--description", &words]);
    assert!(told.code == 1 && told.err.contains("140"), "{told:?}");
    assert_eq!(world.gateway.state_of("contoso"), "Approved");
}

#[test]
fn completions_are_scripts_and_manual_pages_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let plnat = |arguments: &[&str]| -> Told {
        Command::new(binary("plnat")).args(arguments).output().unwrap().into()
    };
    for shell in ["bash", "zsh", "fish"] {
        let told = plnat(&["completions", shell]);
        assert!(told.code == 0 && told.out.contains("connection") && told.out.contains("whois"), "{told:?}");
        if shell == "bash" {
            let script = directory.path().join("plnat.bash");
            std::fs::write(&script, told.out).unwrap();
            assert!(Command::new("bash").arg("-n").arg(&script).status().unwrap().success());
        }
    }
    let pages = directory.path().join("man");
    assert_eq!(plnat(&["man", pages.to_str().unwrap()]).code, 0);
    for page in ["plnat.1", "plnat-connection-approve.1", "plnat-whois.1", "plnatd.8"] {
        let text =
            std::fs::read_to_string(pages.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(text.contains(".TH") && text.contains(".SH NAME"), "{page}");
    }
    let told: Told = Command::new(binary("plnatd")).arg("--version").output().unwrap().into();
    assert!(told.code == 0 && told.out.starts_with("plnatd "), "{told:?}");
}
