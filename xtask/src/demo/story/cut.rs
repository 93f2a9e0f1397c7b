//! northwind is rejected in the middle of a download, which must stop at once.

use std::time::Duration;

use anyhow::Result;

use super::{Cast, Numbers, heading, text};
use crate::demo::consumer::Consumer;

/// Bytes after which the provider has seen enough.
const ENOUGH: u64 = 4_000_000;
/// How long a download with 4 MB/s may take to get there.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the client may take to write what it has received already.
const SETTLING: Duration = Duration::from_secs(2);
/// How long is watched that nothing comes after it: six megabytes, if the download went on.
const WATCH: Duration = Duration::from_millis(1500);

pub(super) fn step(cast: &mut Cast, numbers: &mut Numbers) -> Result<()> {
    heading("northwind downloads a gigabyte at 4 MB/s, and is rejected in the middle of it");
    let northwind = Consumer("northwind");
    let mut download = northwind.download()?;
    download.reach(ENOUGH, PATIENCE)?;
    let sessions = cast.gateway.show(&["sessions", "--endpoint", "web-for-northwind"])?;
    cast.checks.that("its session is listed as established", sessions.out.contains("established"));

    let decided =
        cast.gateway.show(&["connection", "reject", "web-for-northwind", "--description", "unpaid"])?;
    let at_decision = download.bytes();
    cast.checks.that("the provider can reject it", decided.status.success());
    let settled = download.settle(SETTLING)?;
    numbers.cut_at = download.bytes();
    let (more, waits) = download.growth(WATCH)?;
    println!(
        "  {} bytes were there when it was rejected, {} at the end; the last came {} ms after the decision",
        at_decision,
        numbers.cut_at + more,
        settled.as_millis()
    );
    cast.checks.is(format!("not one byte came in the {} ms after that", WATCH.as_millis()), &more, &0);
    cast.checks.that("its curl still waits for the rest", waits);
    let rest = numbers.cut_at - at_decision;
    cast.checks.that(
        format!("no more than what was on its way came after the decision: {rest} bytes"),
        rest < ENOUGH / 4,
    );
    drop(download);

    let again = northwind.try_page("1", 1)?;
    cast.checks.is("northwind gets nothing any more", &again, &None);
    let connection = cast.gateway.values(&["connection", "show", "web-for-northwind"])?;
    let state: Vec<&str> = connection.iter().map(|it| text(it, "state")).collect();
    cast.checks.is("its connection is Rejected", &state, &vec!["Rejected"]);
    Ok(())
}
