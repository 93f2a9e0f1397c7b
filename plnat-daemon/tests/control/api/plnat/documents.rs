//! Every command line in the documents is one.

use std::path::PathBuf;

use clap::Parser;
use plnat_daemon::cli::Cli;

/// Words of a command line as a shell has them: quotes, comments, and lines that go on.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (vec![], None::<String>, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Commands of `plnat` in a document's blocks of code, with what stands between them and a pipe or a redirection.
fn commands(text: &str) -> Vec<Vec<String>> {
    let blocks =
        text.split("```").skip(1).step_by(2).filter(|it| it.starts_with("sh") || it.starts_with("console"));
    let text = blocks.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let lines = text.lines().map(|line| line.trim_start().trim_start_matches("$ "));
    let words = lines.map(words).filter(|words| {
        let program = words.iter().find(|word| !word.contains('=')).map(String::as_str);
        matches!(program, Some("plnat" | "target/release/plnat"))
    });
    let end = |word: &String| matches!(word.as_str(), "|" | ">" | "&&" | ";" | "<");
    words
        .map(|words| words.into_iter().skip_while(|it| it.contains('=')).take_while(|it| !end(it)).collect())
        .collect()
}

#[test]
fn every_command_in_the_documents_parses() {
    let mut seen = 0;
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    for path in
        docs.chain([root.join("README.md")]).filter(|path| path.extension().is_some_and(|it| it == "md"))
    {
        let text = std::fs::read_to_string(&path).unwrap();
        for command in commands(&text) {
            if let Err(error) = Cli::try_parse_from(&command)
                && error.use_stderr()
            {
                panic!("{}: {}: {error}", path.display(), command.join(" "));
            }
            seen += 1;
        }
    }
    assert!(seen >= 30, "{seen}");
}
