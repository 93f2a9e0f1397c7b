//! From an HTTP request to a [`Call`], and from an [`Answer`] to an HTTP response.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::{CONTENT_TYPE, ETAG, HOST, IF_MATCH, IF_NONE_MATCH};
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::call::{Answer, Call, Operation, Page};
use super::caller::Caller;
use super::error::ApiError;
use super::json::Object;
use super::path::{BadPath, Target};
use crate::model::Precondition;

/// Longest wait for the run loop.
const PATIENCE: Duration = Duration::from_secs(30);

/// The way to the run loop, and the one by which clients come.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) calls: mpsc::Sender<Call>,
    pub(super) scheme: &'static str,
}

/// Code of the error that a response says. An extension of the response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code(pub &'static str);

/// Code of a refusal that is only a part of what a response says. An extension of the response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Denied(pub &'static str);

/// The only handler.
pub(super) async fn respond(
    State(way): State<Way>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let answer = match extensions.get::<Caller>() {
        Some(caller) => answer(&way.calls, caller, &method, &uri, &headers, body).await,
        None => Err(ApiError::unauthorized()),
    };
    match answer {
        Ok(answer) => written(answer, way.scheme, &uri, &headers),
        Err(error) => error.into_response(),
    }
}

async fn answer(
    calls: &mpsc::Sender<Call>,
    caller: &Caller,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Answer, ApiError> {
    let target = Target::parse(uri.path()).map_err(|error| match error {
        BadPath::Unknown => {
            let message = format!("there is no {}", uri.path());
            ApiError::new(StatusCode::NOT_FOUND, "InvalidResourceType", message)
        }
        BadPath::Name(error) => ApiError::invalid("InvalidResourceName", error.to_string()),
    })?;
    if !target.methods().contains(method) {
        let allowed: Vec<&str> = target.methods().iter().map(Method::as_str).collect();
        let message = format!("{method} cannot be done with it; {} can", allowed.join(", "));
        return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message));
    }
    let operation = operation(method, uri, body)?;
    let precondition = precondition(headers)?;
    let (reply, answer) = oneshot::channel();
    let stopping = || {
        let message = "plnatd is starting or stopping";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    };
    let ask = async {
        let call = Call { caller: caller.clone(), target, operation, precondition, reply };
        calls.send(call).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    };
    timeout(PATIENCE, ask).await.unwrap_or_else(|_| {
        let message = format!("plnatd did not answer within {PATIENCE:?}; it may still do what was asked");
        Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ServerTimeout", message))
    })
}

fn operation(method: &Method, uri: &Uri, body: Result<Bytes, BytesRejection>) -> Result<Operation, ApiError> {
    match *method {
        Method::GET => Ok(Operation::Get(page(uri))),
        Method::HEAD => Ok(Operation::Head),
        Method::DELETE => Ok(Operation::Delete),
        Method::PUT => Ok(Operation::Put(object(body)?)),
        Method::POST => Ok(Operation::Post(object(body)?)),
        Method::PATCH => {
            let body = object(body)?;
            Ok(Operation::Tag(super::shape::read_tags(&Object::new(&body))?))
        }
        _ => Err(ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            format!("{method} is nothing that can be done with a resource"),
        )),
    }
}

fn page(uri: &Uri) -> Page {
    let mut page = Page::default();
    for pair in uri.query().unwrap_or_default().split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key = key.to_ascii_lowercase();
        match key.as_str() {
            "$skiptoken" | "%24skiptoken" => page.after = Some(decoded(value)),
            "$filter" | "%24filter" => page.filter = Some(decoded(value)),
            "ipaddress" => page.address = Some(decoded(value)),
            _ => {}
        }
    }
    page
}

/// A value of a query as it was meant. What is no encoding stands for itself.
fn decoded(value: &str) -> String {
    let mut bytes = vec![];
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (byte, left) = match (first, tail) {
            (b'+', _) => (b' ', tail),
            (b'%', [high, low, left @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high * 16 + low, left),
                _ => (b'%', tail),
            },
            (byte, _) => (*byte, tail),
        };
        bytes.push(byte);
        rest = left;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A body that is a JSON object; none counts as an empty one.
fn object(body: Result<Bytes, BytesRejection>) -> Result<Map<String, Value>, ApiError> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", "the body is too large")
        }
        _ => ApiError::invalid("InvalidRequestContent", rejection.to_string()),
    })?;
    if body.is_empty() {
        return Ok(Map::new());
    }
    let bad = |problem: String| ApiError::invalid("InvalidRequestContent", problem);
    match serde_json::from_slice(&body).map_err(|error| bad(format!("the body is no JSON: {error}")))? {
        Value::Object(fields) => Ok(fields),
        _ => Err(bad("the body is no JSON object".to_owned())),
    }
}

fn precondition(headers: &HeaderMap) -> Result<Precondition, ApiError> {
    let text = |name| match headers.get(&name) {
        Some(value) => value
            .to_str()
            .map(|text| Some(text.trim()))
            .map_err(|_| ApiError::invalid("InvalidRequestFormat", format!("the header {name} is no text"))),
        None => Ok(None),
    };
    match (text(IF_MATCH)?, text(IF_NONE_MATCH)?) {
        (Some("*"), _) => Ok(Precondition::Exists),
        (Some(tag), _) if !tag.is_empty() => Ok(Precondition::Is(tag.to_owned())),
        (_, Some("*")) => Ok(Precondition::Absent),
        _ => Ok(Precondition::None),
    }
}

fn written(answer: Answer, scheme: &str, uri: &Uri, headers: &HeaderMap) -> Response {
    let Answer { status, body, next, denied } = answer;
    let Some(mut body) = body else { return status.into_response() };
    if let Some(next) = next {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let query = uri.query().unwrap_or_default().split('&');
        let rest: Vec<&str> = query
            .filter(|pair| !pair.is_empty() && !pair.to_ascii_lowercase().contains("skiptoken="))
            .collect();
        let query = [rest, vec![&format!("$skiptoken={next}")]].concat().join("&");
        body["nextLink"] = format!("{scheme}://{host}{}?{query}", uri.path()).into();
    }
    let etag = body["etag"].as_str().and_then(|etag| HeaderValue::from_str(etag).ok());
    let mut response = json(status, &body);
    if let Some(etag) = etag {
        response.headers_mut().insert(ETAG, etag);
    }
    if let Some(code) = denied {
        response.extensions_mut().insert(Denied(code));
    }
    response
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json(self.status, &self.body());
        response.extensions_mut().insert(Code(self.code));
        response
    }
}

fn json(status: StatusCode, body: &Value) -> Response {
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    (status, [(CONTENT_TYPE, kind)], body.to_string()).into_response()
}
