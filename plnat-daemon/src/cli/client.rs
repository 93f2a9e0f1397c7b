//! Requests over the control socket.

use std::path::{Path, PathBuf};

use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::exit::Failure;
use crate::control::types::ErrorBody;

/// A connection to the daemon, good for one request.
pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<()>,
}

impl Client {
    pub(super) async fn connect(path: &Path) -> Result<Self, Failure> {
        let unreachable = |source| Failure::Unreachable { path: PathBuf::from(path), source };
        let stream = UnixStream::connect(path).await.map_err(unreachable)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // How it ends shows in the request and in the body.
        let connection = tokio::spawn(async { connection.await.unwrap_or(()) });
        Ok(Self { sender, connection })
    }

    pub(super) async fn get(self, path: &str, query: &[(&str, Option<String>)]) -> Result<Answer, Failure> {
        self.send(Method::GET, &format!("{path}{}", query_string(query)), Bytes::new()).await
    }

    pub(super) async fn post(self, path: &str, body: &impl Serialize) -> Result<Answer, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::Strange(error.to_string()))?;
        self.send(Method::POST, path, body.into()).await
    }

    async fn send(self, method: Method, path: &str, body: Bytes) -> Result<Answer, Failure> {
        let answer = self.exchange(method, path, HeaderMap::new(), body).await?;
        let ok = answer.response.status().is_success();
        if ok { Ok(answer) } else { Err(refusal(&answer.whole().await?)) }
    }

    /// Sends any request. Whatever comes is an answer.
    pub(super) async fn exchange(
        mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "plnatd")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| Failure::Strange(error.to_string()))?;
        request.headers_mut().extend(headers);
        let response = self.sender.send_request(request).await.map_err(broken)?;
        Ok(Answer { response, rest: Vec::new(), connection: self.connection })
    }
}

/// An answer, whole or line by line.
pub(super) struct Answer {
    response: Response<Incoming>,
    rest: Vec<u8>,
    connection: JoinHandle<()>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Answer {
    /// Its status.
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Its headers.
    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The whole body.
    pub(super) async fn whole(mut self) -> Result<Vec<u8>, Failure> {
        while let Some(data) = self.more().await? {
            self.rest.extend_from_slice(&data);
        }
        Ok(std::mem::take(&mut self.rest))
    }

    /// Some whole lines with their ends, as soon as there are any; `None` at the end.
    pub(super) async fn lines(&mut self) -> Result<Option<String>, Failure> {
        while let Some(data) = self.more().await? {
            let end = data.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            if end == 0 {
                self.rest.extend_from_slice(&data);
                continue;
            }
            let mut lines = std::mem::replace(&mut self.rest, data[end..].to_vec());
            lines.extend_from_slice(&data[..end]);
            return String::from_utf8(lines).map(Some).map_err(|error| Failure::Strange(error.to_string()));
        }
        if self.rest.is_empty() {
            Ok(None)
        } else {
            Err(Failure::Broken("the last line is not whole".into()))
        }
    }

    async fn more(&mut self) -> Result<Option<Bytes>, Failure> {
        while let Some(frame) = self.response.frame().await {
            if let Ok(data) = frame.map_err(broken)?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// The failure that an error body tells.
pub(super) fn refusal(body: &[u8]) -> Failure {
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => Failure::Refused(body.error),
        Err(error) => Failure::Strange(error.to_string()),
    }
}

fn broken(error: hyper::Error) -> Failure {
    Failure::Broken(error.to_string())
}

fn query_string(query: &[(&str, Option<String>)]) -> String {
    let pairs = query.iter().filter_map(|(name, value)| Some(format!("{name}={}", escape(value.as_ref()?))));
    let pairs: Vec<_> = pairs.collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// A path segment or query value with all but unreserved characters escaped (RFC 3986 section 2.3).
pub(super) fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    // A segment of one or two dots would be taken for a step in the path.
    if matches!(out.as_str(), "." | "..") { out.replace('.', "%2E") } else { out }
}
