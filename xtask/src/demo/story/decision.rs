//! adatum's connection is Pending: it gets nothing, until the provider approves it.

use anyhow::Result;

use super::{Cast, heading, text};
use crate::demo::answer;
use crate::demo::consumer::Consumer;

/// Seconds after which the client gives up, if it is not refused before.
const SILENCE: u32 = 2;

pub(super) fn step(cast: &mut Cast) -> Result<()> {
    heading("adatum's connection waits for the provider's decision");
    let adatum = Consumer("adatum");
    let before = adatum.try_page("1", SILENCE)?;
    cast.checks.is("adatum gets nothing while its connection is Pending", &before, &None);

    let decided =
        cast.gateway.show(&["connection", "approve", "web-for-adatum", "--description", "welcome"])?;
    cast.checks.that("the provider can approve it on the spot", decided.status.success());
    let connection = cast.gateway.values(&["connection", "show", "web-for-adatum"])?;
    let state: Vec<&str> = connection.iter().map(|it| text(it, "state")).collect();
    cast.checks.is("its connection is Approved", &state, &vec!["Approved"]);

    let after = adatum.try_page("1", 10)?.unwrap_or_default();
    cast.checks.none("adatum gets its page now", &answer::faults("adatum", 1, &after));
    Ok(())
}
