//! A client of the resource API: one code for the control socket and for a server.

mod lookup;
mod refusal;

pub(super) use lookup::Found;
pub(super) use refusal::ApiRefusal;

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde_json::Value;

use super::client::Client;
use super::exit::Failure;
use super::place::{At, Place, Server};
use crate::outgoing::{HttpClient, Incoming, OutgoingError};

/// What every client of Azure's sends; plnatd does not look at it.
const VERSION: &str = "api-version=2024-05-01";
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest time that is spent doing as a busy server asks.
const BUSY: Duration = Duration::from_secs(60);
/// Longest answer that is read: a page of a list of large resources fits.
const MOST: usize = 256 * 1024 * 1024;

/// Which version a change is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Version<'a> {
    /// Whatever there is.
    Any,
    /// What was read before.
    Is(&'a str),
    /// There must be nothing.
    Absent,
}

impl<'a> Version<'a> {
    /// The version of a body that was read, or that there was none.
    pub(super) fn of(before: Option<&'a Value>) -> Self {
        match before {
            Some(body) => body["etag"].as_str().map_or(Self::Any, Self::Is),
            None => Self::Absent,
        }
    }
}

/// The resource API of a gateway.
pub(super) struct Arm<'a> {
    pub(super) place: &'a Place,
    https: Option<HttpClient>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl<'a> Arm<'a> {
    pub(super) fn new(place: &'a Place) -> Result<Self, Failure> {
        let https = match &place.at {
            At::Socket(_) => None,
            At::Server(Server { ca_file, .. }) => {
                Some(HttpClient::new(ca_file.as_deref()).map_err(|error| Failure::Usage(error.to_string()))?)
            }
        };
        Ok(Self { place, https })
    }

    /// What a path names; none where there is nothing.
    pub(super) async fn find(&self, path: &str) -> Result<Option<Value>, Failure> {
        match self.json(Method::GET, path, Version::Any, None).await {
            Err(Failure::Api(refusal)) if refusal.status == StatusCode::NOT_FOUND => Ok(None),
            other => other.map(Some),
        }
    }

    /// What a path names.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.json(Method::GET, path, Version::Any, None).await
    }

    /// All entries of a list.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        let mut path = path.to_owned();
        loop {
            let mut page = self.json(Method::GET, &path, Version::Any, None).await?;
            if let Value::Array(value) = page["value"].take() {
                all.extend(value);
            }
            // Wherever it points, the next page is asked of this gateway: the token is for no other.
            let next = page["nextLink"].as_str().filter(|link| !link.is_empty());
            let Some(next) = next.and_then(|link| link.parse::<Uri>().ok()) else { return Ok(all) };
            let next = next.path_and_query().map_or_else(String::new, |it| it.as_str().to_owned());
            if next == path {
                return Err(Failure::Strange("the next page of a list is the page before".into()));
            }
            path = next;
        }
    }

    pub(super) async fn put(&self, path: &str, body: &Value, version: Version<'_>) -> Result<Value, Failure> {
        self.json(Method::PUT, path, version, Some(body)).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.json(Method::POST, path, Version::Any, Some(body)).await
    }

    /// Deletes; says whether there was something.
    pub(super) async fn delete(&self, path: &str) -> Result<bool, Failure> {
        let answer = self.send(Method::DELETE, path, Version::Any, None).await?;
        Ok(answer.status != StatusCode::NO_CONTENT)
    }

    async fn json(
        &self,
        method: Method,
        path: &str,
        version: Version<'_>,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let Answer { headers, body, .. } = self.send(method, path, version, body).await?;
        let mut body: Value =
            serde_json::from_slice(&body).map_err(|error| Failure::Strange(error.to_string()))?;
        if let (Some(fields), Some(etag)) = (body.as_object_mut(), headers.get(ETAG)) {
            fields.entry("etag").or_insert_with(|| String::from_utf8_lossy(etag.as_bytes()).into());
        }
        Ok(body)
    }

    /// An answer that is a success. A server that is too busy is asked again when it says so, for a while.
    async fn send(
        &self,
        method: Method,
        path: &str,
        version: Version<'_>,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let mut headers = HeaderMap::new();
        let etag =
            |text: &str| HeaderValue::from_str(text).map_err(|_| Failure::Strange(format!("etag {text}")));
        match version {
            Version::Any => {}
            Version::Is(text) => _ = headers.insert(IF_MATCH, etag(text)?),
            Version::Absent => _ = headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*")),
        }
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let path = match path.contains(VERSION) {
            true => path.to_owned(),
            false => format!("{path}{}{VERSION}", if path.contains('?') { '&' } else { '?' }),
        };
        let begun = Instant::now();
        loop {
            let answer = self.exchange(method.clone(), &path, headers.clone(), body.clone()).await?;
            if answer.status.is_success() {
                return Ok(answer);
            }
            let wait = (answer.status == StatusCode::TOO_MANY_REQUESTS).then(|| wait(&answer.headers));
            match wait {
                Some(wait) if begun.elapsed() + wait <= BUSY => {
                    eprintln!("plnat: too many requests; going on in {} s", wait.as_secs());
                    tokio::time::sleep(wait).await;
                }
                _ => {
                    return Err(Failure::Api(ApiRefusal::of(
                        answer.status,
                        &answer.body,
                        &method,
                        &path,
                        self.place,
                    )));
                }
            }
        }
    }

    /// The stream of a server's events after one.
    pub(super) async fn events(&self, after: u64) -> Result<Incoming, Failure> {
        let (At::Server(server), Some(https)) = (&self.place.at, &self.https) else {
            return Err(Failure::Usage("the control socket has a stream of its own".into()));
        };
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert("last-event-id", after.into());
        let path = "/events";
        let url = address(server, path, &mut headers)?;
        let open = https.stream(Method::GET, &url, headers, PATIENCE);
        let failed = |source| Failure::Server { place: self.place.shown(), source };
        let stream = open.await.map_err(failed)?;
        if stream.status.is_success() {
            return Ok(stream);
        }
        let status = stream.status;
        let body = tokio::time::timeout(PATIENCE, stream.whole(MOST)).await;
        let body = body.unwrap_or(Err(OutgoingError::Late)).map_err(failed)?;
        Err(Failure::Api(ApiRefusal::of(status, &body, &Method::GET, path, self.place)))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let server = match (&self.place.at, &self.https) {
            (At::Server(server), Some(https)) => (server, https),
            (At::Socket(socket), _) => {
                let exchange = async {
                    let answer = Client::connect(socket).await?.exchange(method, path, headers, body).await?;
                    let (status, headers) = (answer.status(), answer.headers().clone());
                    Ok(Answer { status, headers, body: answer.whole().await?.into() })
                };
                let late = || Failure::Broken(format!("no answer within {} s", PATIENCE.as_secs()));
                return tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| late())?;
            }
            (At::Server(_), None) => return Err(Failure::Strange("no TLS".into())),
        };
        let (server, https) = server;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let url = address(server, path, &mut headers)?;
        let answer = https.exchange(method, &url, headers, body, MOST, PATIENCE).await;
        let answer = answer.map_err(|source| Failure::Server { place: self.place.shown(), source })?;
        Ok(Answer { status: answer.status, headers: answer.headers, body: answer.body })
    }
}

/// Where a server has a path, and in the headers who asks.
fn address(server: &Server, path: &str, headers: &mut HeaderMap) -> Result<Uri, Failure> {
    if let Some(authorization) = &server.authorization {
        headers.insert(AUTHORIZATION, authorization.clone());
    }
    let mut url = server.url.clone().into_parts();
    url.path_and_query = Some(path.parse().map_err(|_| Failure::Strange(format!("path {path}")))?);
    Uri::from_parts(url).map_err(|error| Failure::Strange(error.to_string()))
}

/// How long a busy server asks to wait (RFC 9110 section 10.2.3, in seconds).
fn wait(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(1).clamp(1, 3_600))
}
