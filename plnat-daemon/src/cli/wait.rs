//! `plnat wait`.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::args::{Awaited, Output, WaitArgs};
use super::arm::Arm;
use super::exit::Failure;
use super::output::line;
use super::view::connection_state;
use crate::model::Kind;

/// First pause between two looks; it grows to the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

pub(super) async fn endpoint(arm: &Arm<'_>, args: &WaitArgs, output: Output) -> Result<(), Failure> {
    let end = Instant::now() + args.timeout;
    let wanted = match args.state {
        Awaited::Approved => "Approved",
        Awaited::Rejected => "Rejected",
        Awaited::Disconnected => "Disconnected",
        Awaited::Deleted => "Deleted",
    };
    let mut found = match arm.resource(Kind::PrivateEndpoint, &args.name).await {
        Ok(found) => found,
        Err(failure) if failure.is_missing() && args.state == Awaited::Deleted => {
            return done(&args.name, wanted, None, output);
        }
        Err(failure) => return Err(failure),
    };
    let shown = found.id.short();
    let mut pause = FIRST;
    loop {
        let state = connection_state(&found.body).0;
        if state == wanted {
            return done(&shown, wanted, Some(&found.body), output);
        }
        // The provider can change its mind about all others, but this is for good.
        if state == "Disconnected" && args.state != Awaited::Deleted {
            let help = "delete it, and make it again";
            return Err(Failure::Input(format!(
                "{shown} is Disconnected and will not become {wanted}: {help}"
            )));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let seconds = args.timeout.as_secs();
            return Err(Failure::Late(format!(
                "{shown} is {state} and did not become {wanted} within {seconds} s"
            )));
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 3 / 2).min(LONGEST);
        match arm.find(&found.id.to_string()).await {
            Ok(Some(body)) => found.body = body,
            Ok(None) if args.state == Awaited::Deleted => return done(&shown, wanted, None, output),
            Ok(None) => return Err(Failure::missing(format!("{shown} was deleted in the meantime"))),
            // A gateway that restarts is one to wait for.
            Err(failure) if failure.may_pass() && Instant::now() < end => {}
            Err(failure) => return Err(failure),
        }
    }
}

fn done(name: &str, state: &str, body: Option<&Value>, output: Output) -> Result<(), Failure> {
    Ok(match (output, body) {
        (Output::Json, body) => line(&body.unwrap_or(&Value::Null).to_string())?,
        _ => line(&format!("{name} is {state}"))?,
    })
}
