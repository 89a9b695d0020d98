//! What comes with a request, checked: query parameters, preconditions, JSON bodies.
//!
//! Nothing is passed over: an unknown parameter or field is an error that names it.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use bytes::Bytes;
use novacron_protocol::LogIndex;
use novacron_protocol::api::ProblemCode;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use super::Shared;
use super::failure::Failure;
use crate::cluster::Consistency;

/// The query's parameters; each is taken once, and [`Params::finish`] refuses what is left.
#[derive(Debug)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
}

/// Most parameters in one query; more are refused. The longest legitimate use is one `label` per
/// label an object may have.
const PARAMS_MAX: usize = 64;

impl Params {
    /// From the text after `?`.
    #[cfg(test)]
    pub(crate) fn parse(query: &str) -> Result<Self, Failure> {
        let uri = Uri::builder().path_and_query(format!("/?{query}")).build();
        uri.map_or_else(|error| Err(refuse_query(error)), |uri| Self::of(&uri))
    }

    fn of(uri: &Uri) -> Result<Self, Failure> {
        let Query(pairs) =
            Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(refuse_query)?;
        match pairs.len() > PARAMS_MAX {
            true => Err(refuse_query(format!("more than {PARAMS_MAX} parameters"))),
            false => Ok(Self { pairs }),
        }
    }

    /// All values of a parameter that may come more than once.
    pub(crate) fn all(&mut self, name: &str) -> Vec<String> {
        let taken = self.pairs.extract_if(.., |(key, _)| key == name);
        taken.map(|(_, value)| value).collect()
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Failure> {
        let mut values = self.all(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(bad_param(name, "given more than once")),
        }
    }

    pub(crate) fn one<T: FromStr<Err: Display>>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, Failure> {
        let value = self.text(name)?;
        value.map(|value| value.parse().map_err(|error| bad_param(name, error))).transpose()
    }

    pub(crate) fn number(
        &mut self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Failure> {
        let Some(value) = self.text(name)? else { return Ok(None) };
        match value.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let message = format!("must be a number from {} to {}", range.start(), range.end());
                Err(bad_param(name, message))
            }
        }
    }

    pub(crate) fn consistency(&mut self) -> Result<Consistency, Failure> {
        match self.text("consistency")?.as_deref() {
            None | Some("linearizable") => Ok(Consistency::Linearizable),
            Some("leader") => Ok(Consistency::Leader),
            Some("stale") => Ok(Consistency::Stale),
            Some(_) => Err(bad_param("consistency", "must be linearizable, leader or stale")),
        }
    }

    /// A choice of yes and no.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Failure> {
        match self.text(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(bad_param(name, "must be true or false")),
        }
    }

    /// Refuses parameters that nobody took.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let Some((name, _)) = self.pairs.first() else { return Ok(()) };
        Err(bad_param(&short(name), "this path takes no such parameter"))
    }
}

impl FromRequestParts<Shared> for Params {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Failure> {
        Self::of(&parts.uri)
    }
}

fn refuse_query(error: impl Display) -> Failure {
    let detail = format!("the query cannot be read: {error}");
    Failure::new(ProblemCode::InvalidParameter, detail)
}

/// A parameter of the query that cannot be.
pub(crate) fn bad_param(name: &str, message: impl Display) -> Failure {
    let detail = format!("query parameter {name}: {message}");
    Failure::new(ProblemCode::InvalidParameter, detail).on(format!("?{name}"), message.to_string())
}

/// Cuts text from outside for a message.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

/// The version a client expects a thing to have: `If-Match` with the one ETag it has read, or `*`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IfMatch(pub(crate) Option<LogIndex>);

impl IfMatch {
    fn parse(headers: &HeaderMap) -> Result<Self, Failure> {
        let mut values = headers.get_all(header::IF_MATCH).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" && values.next().is_none() {
            return Ok(Self(None));
        }
        let tag = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let index = tag.and_then(|tag| tag.parse::<LogIndex>().ok());
        match (index, values.next()) {
            (Some(index), None) => Ok(Self(Some(index))),
            _ => Err(bad_header("If-Match", "must be one ETag as it was read, or *")),
        }
    }
}

impl FromRequestParts<Shared> for IfMatch {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Failure> {
        Self::parse(&parts.headers)
    }
}

/// A header that cannot be.
pub(crate) fn bad_header(name: &str, message: &str) -> Failure {
    Failure::new(ProblemCode::InvalidHeader, format!("header {name}: {message}")).on(name, message)
}

/// A JSON body. The body is in memory already, within its limit.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON body that may be left out; an empty one is the default.
#[derive(Debug)]
pub(crate) struct OptionalJson<T>(pub(crate) T);

/// The bytes of a request's body, put into its extensions by [`super::access`].
#[derive(Debug, Clone)]
pub(crate) struct WholeBody(pub(crate) Bytes);

impl<T: DeserializeOwned> FromRequestParts<Shared> for Json<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Failure> {
        let body = body_of(parts);
        if !body.is_empty() {
            check_media_type(&parts.headers)?;
        }
        parse_json(&body).map(Self)
    }
}

impl<T: DeserializeOwned + Default> FromRequestParts<Shared> for OptionalJson<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Failure> {
        if body_of(parts).is_empty() {
            return Ok(Self(T::default()));
        }
        Json::from_request_parts(parts, shared).await.map(|Json(value)| Self(value))
    }
}

fn body_of(parts: &Parts) -> Bytes {
    parts.extensions.get::<WholeBody>().map(|body| body.0.clone()).unwrap_or_default()
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Failure> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let failure = Failure::new(ProblemCode::UnsupportedMediaType, "the body must be JSON");
    Err(failure.hint("send it with the header Content-Type: application/json"))
}

/// Parses a JSON body; what is wrong is named by a JSON pointer (RFC 6901).
fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // Serde would take an array for a structure, its fields by position.
    if body.trim_ascii_start().starts_with(b"[") {
        let failure = Failure::new(ProblemCode::InvalidRequest, "the body must be an object");
        return Err(failure.on("", "must be an object"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer_of(error.path());
        refuse_json(&pointer, error.inner())
    })?;
    json.end().map_err(|error| refuse_json("", &error))?;
    Ok(value)
}

fn refuse_json(pointer: &str, error: &serde_json::Error) -> Failure {
    let message = short_line(&error.to_string());
    if !error.is_data() {
        let failure = Failure::new(ProblemCode::MalformedJson, format!("not JSON: {message}"));
        return failure.on(pointer, message);
    }
    // The pointer says where it is; line and column mean nothing to who built the body by program.
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(text, _)| text);
    // Serde names a missing or unknown field in its message, but points at the object around it.
    let named = ["unknown field `", "missing field `"]
        .iter()
        .find_map(|prefix| message.strip_prefix(prefix))
        .and_then(|rest| rest.split_once('`'));
    let pointer = match named {
        Some((field, _)) if !pointer.ends_with(&format!("/{}", escape(field))) => {
            format!("{pointer}/{}", escape(field))
        }
        _ => pointer.to_owned(),
    };
    let place = if pointer.is_empty() { "the body" } else { &pointer };
    let detail = format!("{place}: {message}");
    Failure::new(ProblemCode::InvalidRequest, detail).on(pointer, message)
}

fn pointer_of(path: &Path) -> String {
    let segment = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escape(key)),
        Segment::Enum { variant } => format!("/{}", escape(variant)),
        Segment::Unknown => String::new(),
    };
    path.iter().map(segment).collect()
}

fn escape(key: &str) -> String {
    short(key).replace('~', "~0").replace('/', "~1")
}

/// Serde quotes what it did not like; a client may have sent a lot of it.
fn short_line(message: &str) -> String {
    const LEN_MAX: usize = 240;
    match message.char_indices().nth(LEN_MAX) {
        Some((end, _)) => format!("{}...", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use novacron_protocol::api::vm::{CreateVm, StopVm};
    use proptest::prelude::*;

    fn create(spec: &str, more: &str) -> String {
        format!(r#"{{"name":"web","spec":{spec}{more}}}"#)
    }

    /// Code, pointer and message of what is wrong with each body.
    #[test]
    fn what_is_wrong_with_a_body_is_named_by_a_pointer() {
        let image = "0".repeat(64);
        let spec = |fields: &str| format!(r#"{{"memory":1,"image":"{image}",{fields}}}"#);
        let bodies = [
            String::new(),
            "{".to_owned(),
            "{} x".to_owned(),
            "[]".to_owned(),
            "{}".to_owned(),
            create(&spec(r#""cpus":1"#), r#","nmae":1"#),
            create(&spec(r#""cpus":"many""#), ""),
            create(&spec(r#""cpus":-1"#), ""),
            create(&spec(r#""cpus":1,"dsik":5"#), ""),
            create(&spec(r#""cpus":1,"labels":{"a b":"c"}"#), ""),
            create(&spec(r#""cpus":1,"labels":{"a/b":7}"#), ""),
            create(r#"{"cpus":1}"#, ""),
            create(&spec(r#""cpus":1"#), r#","start":"now""#),
            r#"{"name":"No Name","spec":{}}"#.to_owned(),
        ];
        let table: String = bodies
            .iter()
            .map(|body| {
                let problem = parse_json::<CreateVm>(body.as_bytes()).unwrap_err().problem;
                let error = &problem.errors[0];
                format!(
                    "{} {} {:?} {}\n",
                    problem.status, problem.code, error.pointer, error.message
                )
            })
            .collect();
        insta::assert_snapshot!(table, @r#"
        400 malformed-json "" EOF while parsing a value at line 1 column 0
        400 malformed-json "" EOF while parsing an object at line 1 column 1
        422 invalid-request "/name" missing field `name`
        422 invalid-request "" must be an object
        422 invalid-request "/name" missing field `name`
        422 invalid-request "/nmae" unknown field `nmae`, expected one of `name`, `spec`, `start`
        422 invalid-request "/spec/cpus" invalid type: string "many", expected u32
        422 invalid-request "/spec/cpus" invalid value: integer `-1`, expected u32
        422 invalid-request "/spec/dsik" unknown field `dsik`, expected one of `cpus`, `memory`, `image`, `disk`, `labels`, `host_labels`
        422 invalid-request "/spec/labels" a label's key has 1 to 63 letters, digits, `-`, `_`, `.` or `/`, not "a b"
        422 invalid-request "/spec/labels/a~1b" invalid type: integer `7`, expected a string
        422 invalid-request "/spec/memory" missing field `memory`
        422 invalid-request "/start" unknown variant `now`, expected `start` or `leave-stopped`
        422 invalid-request "/name" a name has lower-case letters, digits and inner hyphens only, not 'N'
        "#);
    }

    #[test]
    fn a_huge_value_is_not_quoted_in_full() {
        let body = format!(r#"{{"mode":"{}"}}"#, "x".repeat(100_000));
        let problem = parse_json::<StopVm>(body.as_bytes()).unwrap_err().problem;
        assert!(problem.detail.len() < 600, "{}", problem.detail.len());
    }

    #[test]
    fn deep_nesting_is_refused_and_not_followed() {
        let body = r#"{"spec":"#.repeat(100_000);
        assert!(parse_json::<serde_json::Value>(body.as_bytes()).is_err());
    }

    #[test]
    fn parameters_are_taken_once_and_none_is_passed_over() {
        let mut params = Params::parse("a=1&a=2&limit=5&x=%20y").unwrap();
        assert_eq!(params.text("a").unwrap_err().problem.status, 400);
        assert_eq!(params.number("limit", 1..=9).unwrap(), Some(5));
        assert_eq!(params.text("x").unwrap().as_deref(), Some(" y"));
        params.finish().unwrap();
        let error = Params::parse("b=1").unwrap().finish().unwrap_err();
        assert_eq!(error.problem.errors[0].pointer, "?b");
    }

    #[test]
    fn only_one_strong_etag_is_a_precondition() {
        let parse = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::IF_MATCH, axum::http::HeaderValue::from_static(value));
            }
            IfMatch::parse(&headers).map(|matched| matched.0)
        };
        assert_eq!(parse(&[]).unwrap(), None);
        assert_eq!(parse(&["*"]).unwrap(), None);
        assert_eq!(parse(&["\"17\""]).unwrap(), Some(LogIndex(17)));
        for bad in [&["17"] as &[_], &["W/\"17\""], &["\"1\", \"2\""], &["\"1\"", "\"2\""], &[""]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bodies_and_queries_never_panic(body: Vec<u8>, query in "\\PC{0,80}") {
            let _ = parse_json::<CreateVm>(&body);
            if let Ok(mut params) = Params::parse(&query) {
                let _ = params.consistency();
                let _ = params.finish();
            }
        }
    }
}
