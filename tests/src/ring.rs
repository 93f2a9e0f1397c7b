//! In which mode this ring's tests run: the name of the test program says it, so that the same tests are two rings.

/// True in a ring whose name ends with this word.
pub fn is(word: &str) -> bool {
    let name = std::env::current_exe().ok().and_then(|it| it.file_name()?.to_str().map(str::to_owned));
    // Behind the last dash cargo has a hash.
    name.and_then(|it| Some(it.rsplit_once('-')?.0.ends_with(word))).unwrap_or(false)
}
