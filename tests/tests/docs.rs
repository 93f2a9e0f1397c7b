//! Documents that say what the code says: each table is read and held against the code.

use std::collections::BTreeSet;
use std::path::PathBuf;

use plnat_common::reason::{Reason, Verdict};
use plnat_daemon::config::{self, Gateway};
use plnat_daemon::dataplane::Capacity;

fn document(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Cells of a table's rows, without the header.
fn rows(part: &str) -> Vec<Vec<&str>> {
    part.lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

fn code(cell: &str) -> &str {
    cell.trim_matches('`')
}

/// A section of configuration.md: its header in the file, and its rows of key, type, default and meaning.
struct Section<'a> {
    title: &'a str,
    rows: Vec<Vec<&'a str>>,
}

impl Section<'_> {
    /// The headers that have to stand in a file before a key of this section.
    fn headers(&self) -> String {
        let path: Vec<&str> = self.title.trim_matches(['[', ']']).split('.').collect();
        // A single table is a table of tables that need not be written.
        let depth = if self.title.starts_with("[[") { path.len() } else { 1 };
        let parents = (1..depth).map(|length| format!("[[{}]]\n", path[..length].join(".")));
        format!("{}{}\n", parents.collect::<String>(), self.title)
    }
}

/// The sections, in the order in which a file has them.
fn documented(text: &str) -> Vec<Section<'_>> {
    let sections = text.split("\n## `").skip(1).map(|section| section.split_once("`\n").unwrap());
    sections.map(|(title, part)| Section { title, rows: rows(part) }).collect()
}

#[test]
fn the_page_about_the_configuration_has_every_key_and_no_other() {
    let text = document("docs/configuration.md");
    let documented = documented(&text);
    // A key that none has brings the parser to list those that there are.
    let file: String = documented.iter().map(|it| format!("{}\nno_such_key = 1\n", it.title)).collect();
    let said = config::parse("all.toml", &file).unwrap_err().to_string();
    for Section { title, rows } in &documented {
        let (_, rest) =
            said.split_once(&format!("`no_such_key` is no key of {title}\n")).unwrap_or_else(|| {
                panic!("{title} is no section:\n{said}");
            });
        let (_, keys) = rest.split_once("the keys are ").unwrap();
        let known: BTreeSet<&str> = keys.lines().next().unwrap().split(", ").collect();
        let written: BTreeSet<&str> = rows.iter().map(|row| code(row[0])).collect();
        assert_eq!(written, known, "{title}");
    }
    let sections: BTreeSet<&str> = documented.iter().map(|it| it.title.trim_matches(['[', ']'])).collect();
    for Section { title, rows } in &documented {
        let parent = title.trim_matches(['[', ']']);
        for row in rows.iter().filter(|row| row[1] == "tables") {
            let child = format!("{parent}.{}", code(row[0]));
            assert!(sections.contains(child.as_str()), "[[{child}]] has no table of its own");
        }
    }
}

#[test]
fn keys_that_the_page_calls_required_are_those_whose_absence_is_an_error() {
    let text = document("docs/configuration.md");
    let documented = documented(&text);
    let file: String = documented.iter().map(|it| format!("{}\n", it.title)).collect();
    let said = config::parse("all.toml", &file).unwrap_err().to_string();
    for Section { title, rows } in &documented {
        for row in rows {
            let missing = said.contains(&format!("`{}` is missing in {title}\n", code(row[0])));
            let required = row[2] == "**required**";
            // An empty list and a list without tables are refused in other words.
            let list = row[1].starts_with("list") || row[1] == "tables";
            assert!(
                missing == required || (required && list),
                "{title} {}: required {required}, missing {missing}",
                row[0]
            );
        }
    }
}

#[test]
fn defaults_on_the_page_are_the_parsers() {
    let text = document("docs/configuration.md");
    let documented = documented(&text);
    let mut written = String::new();
    for Section { title, rows } in documented.iter().filter(|it| !it.title.starts_with("[[")) {
        written += &format!("{title}\n");
        let said = rows.iter().filter(|row| row[2].starts_with('`'));
        said.for_each(|row| written += &format!("{} = {}\n", code(row[0]), code(row[2])));
    }
    assert!(written.contains("[gateway]") && written.contains("[capacity]"));
    let parse = |text: &str| config::parse("x.toml", text).unwrap_or_else(|wrong| panic!("{wrong}"));
    let read = parse(&written);
    assert_eq!(read.gateway, Gateway::default());
    assert_eq!(read.capacity, Capacity::default());
    assert_eq!(read.api, None);
    let opened = written.replace("listen = \"off\"", "listen = \"127.0.0.1:1\"");
    assert_eq!(parse(&opened).api, parse("[api]\nlisten = \"127.0.0.1:1\"").api);
}

#[test]
fn ranges_on_the_page_are_the_parsers() {
    let text = document("docs/configuration.md");
    let mut checked = 0;
    for section @ Section { title, rows } in &documented(&text) {
        for row in rows {
            let words: Vec<&str> = row[1].split([' ', ',']).collect();
            let [lowest, "to", highest, ..] = words[..] else { continue };
            let (Ok(lowest), Ok(highest)) = (lowest.parse::<i64>(), highest.parse::<i64>()) else { continue };
            for (value, good) in [(lowest, true), (highest, true), (lowest - 1, false), (highest + 1, false)]
            {
                let line = format!("{} = {value}", code(row[0]));
                let said = config::parse("range.toml", &format!("{}{line}\n", section.headers())).map(drop);
                // Whatever else is missing in the section, the value itself is complained about or not.
                let complained = said.is_err_and(|wrong| wrong.to_string().contains(&line));
                assert_eq!(complained, !good, "{title} {line}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 15, "{checked}");
}

#[test]
fn words_on_the_page_are_the_parsers() {
    let text = document("docs/configuration.md");
    let mut checked = 0;
    for section in &documented(&text) {
        for row in &section.rows {
            let line = format!("{} = \"no-such-word\"", code(row[0]));
            let Err(said) = config::parse("word.toml", &format!("{}{line}\n", section.headers())) else {
                continue;
            };
            let said = said.to_string();
            let complaint = said.split("error: ").find(|part| part.contains(&line)).unwrap_or_default();
            let Some((_, words)) = complaint.split_once("write one of ") else { continue };
            let words = words.lines().next().unwrap().split(", ").map(|it| it.trim_matches('"'));
            let known: BTreeSet<&str> = words.collect();
            let cells = row.join(" ");
            let written: BTreeSet<&str> =
                cells.split('`').skip(1).step_by(2).map(|it| it.trim_matches('"')).collect();
            let missing: Vec<_> = known.difference(&written).collect();
            assert!(missing.is_empty(), "{} {} lacks {missing:?}", section.title, row[0]);
            let known_or_key = |it: &&&str| known.contains(**it) || **it == code(row[0]);
            let unknown: Vec<_> = written.iter().filter(|it| !known_or_key(it)).collect();
            assert!(unknown.is_empty(), "{} {} has unknown words {unknown:?}", section.title, row[0]);
            checked += 1;
        }
    }
    assert!(checked >= 8, "{checked}");
}

#[test]
fn the_table_of_reasons_is_the_programs() {
    let text = document("docs/operations.md");
    let (_, part) = text.split_once("## Reasons").unwrap();
    let (part, _) = part.split_once("\n## ").unwrap();
    let rows = rows(part);
    let written: Vec<_> = rows.iter().map(|row| (code(row[0]), row[1], row[2])).collect();
    let known: Vec<_> = Reason::ALL
        .iter()
        .map(|reason| {
            let verdict = match reason.verdict() {
                Verdict::Forward => "forward",
                Verdict::Answer => "answer",
                Verdict::Pass => "pass",
                Verdict::Hold => "hold",
                Verdict::Drop => "drop",
            };
            (reason.name(), verdict, reason.help())
        })
        .collect();
    assert_eq!(written, known);
    assert!(rows.iter().all(|row| !row[3].is_empty()));
}

/// The file that a test's ring and module stand for.
fn file_of(ring: &str, module: &str) -> String {
    match ring {
        "common" => format!("plnat-common/src/{module}.rs"),
        ring => format!("tests/tests/{ring}/{module}.rs"),
    }
}

#[test]
fn the_page_about_rfcs_names_tests_that_there_are_and_says_why_where_it_names_none() {
    let text = document("docs/rfc.md");
    let mut named = 0;
    let parts = text.split("\n## ").skip(1);
    for row in parts.flat_map(rows) {
        let [requirement, what, shown] = row[..] else { panic!("{row:?} has not three cells") };
        let is = |word| what.starts_with(&format!("**{word}**"));
        assert!(is("met") || is("differs") || is("not yet"), "{requirement}: {what}");
        assert!(is("met") || what.contains("**: "), "{requirement} differs, and the page does not say why");
        for test in shown.split(", ").filter(|it| !it.is_empty()) {
            let path: Vec<&str> = code(test).split("::").collect();
            let [ring, module, name] = path[..] else {
                panic!("{requirement}: `{test}` is no ring::module::test")
            };
            let code = document(&file_of(ring, module));
            // A property has its attribute like any other test.
            let (before, _) = code
                .split_once(&format!("fn {name}("))
                .unwrap_or_else(|| panic!("{requirement}: there is no test {test}"));
            assert!(before.trim_end().ends_with("#[test]"), "{requirement}: {test} is no test");
            named += 1;
        }
        assert!(!shown.is_empty() || what.contains("**: "), "{requirement}: neither a test nor a reason");
    }
    assert!(named >= 60, "{named}");
}

#[test]
fn operations_names_every_kind_of_event() {
    let text = document("docs/operations.md");
    for kind in plnat_daemon::events::kind::ALL {
        assert!(text.contains(&format!("`{kind}`")), "{kind}");
    }
}

/// Texts in the code of the API, without its tests.
fn texts_of_the_api(directories: &[&str]) -> BTreeSet<String> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../plnat-daemon/src");
    let mut waiting: Vec<PathBuf> = directories.iter().map(|it| source.join(it)).collect();
    let mut texts = BTreeSet::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(path).unwrap().map(|it| it.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        texts.extend(text.split('"').skip(1).step_by(2).map(str::to_owned));
    }
    texts
}

fn is_humped(text: &str) -> bool {
    let inner = text.get(1..).unwrap_or_default();
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && inner.bytes().any(|byte| byte.is_ascii_uppercase())
        && inner.bytes().any(|byte| byte.is_ascii_lowercase())
}

#[test]
fn the_table_of_calls_is_the_api_s() {
    let text = document("docs/api.md");
    let (_, part) = text.split_once("## Calls").unwrap();
    let rows = rows(part.split_once("\n### ").unwrap().0);
    let group = "/subscriptions/{subscription}/resourceGroups/{group}";
    let written: BTreeSet<(String, String)> = rows
        .iter()
        .map(|row| {
            let path = code(row[0]).replace("{SUB}", "/subscriptions/{subscription}").replace("{RG}", group);
            (path, row[1].to_owned())
        })
        .collect();
    let known: BTreeSet<(String, String)> = plnat_daemon::api::routes()
        .into_iter()
        .map(|route| {
            (route.path, route.methods.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        })
        .collect();
    assert_eq!(written, known);
    assert_eq!(written.len(), rows.len());
}

#[test]
fn each_error_and_each_field_of_the_api_is_on_its_page() {
    let text = document("docs/api.md");
    let (fields, errors) = text.split_once("## Errors").unwrap();
    let written: BTreeSet<String> = rows(errors).iter().map(|row| code(row[0]).to_owned()).collect();
    // Words of fields, which are no errors.
    let words = ["AllProbedDown", "AllProbedUp", "NetworkSecurityGroupEnabled", "RouteTableEnabled"];
    let words = [&words[..], &["IPv4", "SourceIP", "SourceIPProtocol"]].concat();
    let known: BTreeSet<String> = texts_of_the_api(&["api", "run/api", "run/api.rs", "door", "door.rs"])
        .into_iter()
        .filter(|it| it.starts_with(|first: char| first.is_ascii_uppercase()) && is_humped(it))
        .filter(|it| !words.contains(&it.as_str()))
        .collect();
    assert_eq!(written, known);
    let known = texts_of_the_api(&["api/shape", "api/shape.rs"]);
    let missing: Vec<_> = known
        .into_iter()
        .filter(|it| it.starts_with(|first: char| first.is_ascii_lowercase()) && is_humped(it))
        .filter(|it| !fields.contains(it.as_str()))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn links_between_documents_lead_somewhere() {
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "docs/configuration.md",
        "docs/cli.md",
        "docs/dns.md",
        "docs/operations.md",
        "docs/api.md",
        "docs/performance.md",
        "docs/security.md",
        "docs/rfc.md",
    ] {
        let text = document(name);
        let base = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            assert!(base.parent().unwrap().join(file).exists(), "{name} links to {file}");
        }
    }
}
