//! Turns a panic of the database library on a damaged file into an error.
//!
//! redb checks page checksums, but meets a truncated file or an impossible header with assertions. Where panics unwind
//! they are caught; where they abort the process, the hook still runs first, says what is wrong, and ends the process.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;

use super::StoreError;

thread_local! {
    /// File that this thread is working on, and the first panic's message.
    static GUARDED: RefCell<Option<(PathBuf, Option<String>)>> = const { RefCell::new(None) };
}

/// Runs `work` on the file. A panic in it is [`StoreError::Damaged`], without the usual backtrace.
pub(super) fn guard<T>(path: &Path, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    install_hook();
    let outer = GUARDED.with_borrow_mut(|guarded| guarded.replace((path.to_owned(), None)));
    let result = catch_unwind(AssertUnwindSafe(work));
    let message = GUARDED.with_borrow_mut(|guarded| std::mem::replace(guarded, outer)).and_then(|it| it.1);
    result.unwrap_or_else(|_| {
        let what = message.unwrap_or_else(|| "it cannot be read".into());
        Err(StoreError::Damaged { path: path.to_owned(), what })
    })
}

fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let payload = panic.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            let words = text.unwrap_or("it cannot be read").split_whitespace();
            let what = words.collect::<Vec<_>>().join(" ");
            let path = GUARDED.with_borrow_mut(|guarded| {
                let (path, message) = guarded.as_mut()?;
                message.get_or_insert_with(|| what.clone());
                Some(path.clone())
            });
            match path {
                Some(path) if cfg!(panic = "abort") => {
                    eprintln!("plnatd: {}", StoreError::Damaged { path, what });
                    std::process::exit(1);
                }
                Some(_) => {}
                None => usual(panic),
            }
        }));
    });
}
