//! `plnat events`: over the control socket, or from afar over the resource API, with the same output.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::args::{EventArgs, Output};
use super::arm::{ApiRefusal, Arm};
use super::client::{Client, refusal};
use super::exit::Failure;
use super::place::{At, Place};
use super::view::{self, EventStream};
use crate::control::types::EventList;

/// Events on a list when nothing is said, as the control socket has it.
const NEWEST: usize = 100;
/// Events of a page.
const PAGE: usize = 1_000;
/// Longest silence of a stream. Something comes every 15 seconds, if only to show that there is still a connection.
const SILENCE: Duration = Duration::from_secs(60);
/// Pause before a gateway that was lost is looked for again; it doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// For how long a gateway that was lost is looked for.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) async fn run(place: &Place, args: &EventArgs, output: Output) -> Result<(), Failure> {
    match (&place.at, args.follow) {
        (At::Socket(_), false) => list(&Local(place), args.since, output).await,
        (At::Socket(_), true) => follow_here(place, args.since, output).await,
        (At::Server(_), false) => list(&Afar(Arm::new(place)?), args.since, output).await,
        (At::Server(_), true) => follow_afar(&Arm::new(place)?, args.since, output).await,
    }
}

/// Where lists of events come from.
trait Log {
    /// The newest events, or a page of those after one; and where the next page goes on.
    async fn page(&self, since: Option<u64>) -> Result<(EventList, u64), Failure>;
}

struct Local<'a>(&'a Place);

impl Log for Local<'_> {
    async fn page(&self, since: Option<u64>) -> Result<(EventList, u64), Failure> {
        let limit = if since.is_some() { PAGE } else { NEWEST };
        let query = [("since", since.map(|id| id.to_string())), ("limit", Some(limit.to_string()))];
        let client = Client::connect(self.0.socket()?).await?;
        let body = client.get("/v1/events", &query).await?.whole().await?;
        let list: EventList = serde_json::from_slice(&body).map_err(strange)?;
        let next = list.events.last().map_or(list.last, |event| event.sequence());
        Ok((list, next))
    }
}

struct Afar<'a>(Arm<'a>);

impl Log for Afar<'_> {
    async fn page(&self, since: Option<u64>) -> Result<(EventList, u64), Failure> {
        let path = match since {
            Some(since) => format!("/events?since={since}"),
            None => format!("/events?newest={NEWEST}"),
        };
        let mut page = self.0.get(&path).await?;
        let next = end_of(&page)?;
        let mut events = vec![];
        for event in page["value"].as_array_mut().into_iter().flatten() {
            events.push(serde_json::from_value(event.take()).map_err(strange)?);
        }
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        Ok((EventList { events, first: number(&page["first"]), last: number(&page["last"]) }, next))
    }
}

/// Where the list after this one goes on.
fn end_of(page: &Value) -> Result<u64, Failure> {
    let next = page["next"].as_str().and_then(|next| next.parse().ok());
    next.ok_or_else(|| Failure::Strange("a list of events without an end".into()))
}

async fn list(log: &impl Log, since: Option<u64>, output: Output) -> Result<(), Failure> {
    let (mut list, mut next) = log.page(since).await?;
    while since.is_some() && next < list.last {
        let (more, end) = log.page(Some(next)).await?;
        list = EventList { events: [list.events, more.events].concat(), ..more };
        if end <= next {
            break;
        }
        next = end;
    }
    if output == Output::Json {
        let text = serde_json::to_string(&list).map_err(strange)?;
        return Ok(writeln!(io::stdout().lock(), "{text}")?);
    }
    Ok(view::events(&list)?)
}

/// The control socket's stream ends with the daemon, and whoever started the command is there to see it.
async fn follow_here(place: &Place, since: Option<u64>, output: Output) -> Result<(), Failure> {
    let query = [("since", since.map(|id| id.to_string()))];
    let mut answer = Client::connect(place.socket()?).await?.get("/v1/events/stream", &query).await?;
    let mut stream = EventStream::new(output, refusal);
    while let Some(lines) = answer.lines().await? {
        lines.lines().try_for_each(|line| stream.line(line))?;
    }
    Err(Failure::Broken(format!("the stream of events is over{}", stream.resume_hint())))
}

/// A stream from afar ends now and then, so that its reader shows anew who it is, and by whatever happens on the way: it
/// goes on where it was.
async fn follow_afar(arm: &Arm<'_>, since: Option<u64>, output: Output) -> Result<(), Failure> {
    let start = match since {
        Some(since) => since,
        // From now on, also if the first stream ends before anything comes.
        None => end_of(&arm.get("/events?newest=0").await?)?,
    };
    let mut stream = EventStream::new(output, |body| {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        Failure::Api(ApiRefusal::said(StatusCode::SERVICE_UNAVAILABLE, &body["error"]))
    });
    // One that was never there is not looked for again.
    let (mut begun, mut pause, mut lost) = (since.is_none(), PAUSE, None::<Instant>);
    loop {
        let after = stream.last().unwrap_or(start);
        let mut opened = false;
        let ended = read(arm, after, &mut stream, &mut opened).await;
        if opened {
            (begun, pause, lost) = (true, PAUSE, None);
        }
        match ended {
            Ok(()) => {}
            Err(failure) if begun && failure.may_pass() => {
                if lost.is_none() {
                    eprintln!("plnat: {failure}; looking for it again");
                }
                if lost.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                    let hint = stream.resume_hint();
                    return Err(Failure::Broken(format!("{failure}; not found again{hint}")));
                }
            }
            Err(failure) => return Err(failure),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// Reads a stream to its end; says as soon as there is one.
async fn read(arm: &Arm<'_>, after: u64, stream: &mut EventStream, opened: &mut bool) -> Result<(), Failure> {
    let mut answer = arm.events(after).await?;
    *opened = true;
    stream.begin();
    loop {
        let silent = || Failure::Broken(format!("nothing came for {} s", SILENCE.as_secs()));
        let piece = timeout(SILENCE, answer.next()).await.map_err(|_| silent())?;
        match piece {
            Some(piece) => stream.take(&piece.map_err(|error| Failure::Broken(error.to_string()))?)?,
            None => return Ok(()),
        }
    }
}

fn strange(error: serde_json::Error) -> Failure {
    Failure::Strange(error.to_string())
}
