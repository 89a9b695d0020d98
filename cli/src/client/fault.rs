//! Why a call failed, in words that say where to look.

use std::error::Error as _;
use std::io;

use novacron_protocol::api::{Problem, ProblemCode};
use rustls::CertificateError;

use crate::context::Endpoint;
use crate::failure::Failure;

/// A call that gave no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ClientError {
    /// None of the endpoints could be talked to; one fault each.
    #[error("no member answers ({})", list(faults))]
    Unreachable { faults: Vec<Fault> },
    /// A member understood the request and will not do it.
    #[error("{}", detail(.0))]
    Refused(Box<Problem>),
    /// An answer that this release cannot read.
    #[error("cannot read the answer of {endpoint}: {what}")]
    Garbled { endpoint: Endpoint, what: String },
}

/// Why one endpoint could not be talked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{endpoint}: {reason}")]
pub(crate) struct Fault {
    pub(crate) endpoint: Endpoint,
    pub(crate) reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    #[error("connection refused")]
    ConnectionRefused,
    #[error("no answer in time")]
    TimedOut,
    #[error("the connection was cut")]
    Cut,
    #[error("no such host")]
    NoSuchHost,
    #[error("its certificate is not from this context's cluster CA")]
    ForeignCertificate,
    #[error("its certificate is not for this address")]
    WrongAddress,
    #[error("its certificate is not valid at this machine's time")]
    CertificateTime,
    #[error("TLS: {0}")]
    Tls(String),
    #[error("{0}")]
    Other(String),
}

impl ClientError {
    pub(crate) fn is(&self, code: ProblemCode) -> bool {
        matches!(self, Self::Refused(problem) if problem.is(code))
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { faults } => Some(unreachable_hint(faults).to_owned()),
            Self::Refused(problem) => {
                problem_hint(problem).map(str::to_owned).or_else(|| problem.hint.clone())
            }
            Self::Garbled { .. } => {
                Some("the member may be of another release; `novacron doctor` compares".to_owned())
            }
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let failure = match &error {
            ClientError::Refused(problem) => refused(problem),
            ClientError::Unreachable { .. } | ClientError::Garbled { .. } => {
                Self::new(error.to_string())
            }
        };
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// A problem with its fields, by their path in the request: `spec.memory`. One field that the
/// detail tells already is not told again.
fn refused(problem: &Problem) -> Failure {
    let field = |pointer: &str| pointer.trim_start_matches('/').replace('/', ".");
    let cause = detail(problem);
    match &problem.errors[..] {
        [only] if cause.contains(&only.message) => {
            Failure::new(cause.replace(&only.pointer, &field(&only.pointer)))
        }
        errors => {
            let fields = errors.iter().map(|error| (field(&error.pointer), error.message.clone()));
            Failure::new(cause).fields(fields.collect())
        }
    }
}

fn list(faults: &[Fault]) -> String {
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// The detail of a problem; a fault of the member's own names the request, to be found in its log.
fn detail(problem: &Problem) -> String {
    let detail = if problem.detail.is_empty() { &problem.title } else { &problem.detail };
    if problem.is(ProblemCode::Internal) && !problem.request_id.is_empty() {
        return format!("{detail} (request {})", problem.request_id);
    }
    detail.clone()
}

impl Reason {
    /// Where to look when this is why an endpoint cannot be talked to.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::ForeignCertificate => {
                "this context file may be of another cluster, or of one that was made anew: take \
                 its present admin.toml"
            }
            Self::CertificateTime => "compare the clocks of this machine and the members",
            Self::WrongAddress => "name the member by the address in `novacron member list`",
            _ => "is novacron-controlplane running there, and its API port open to this machine?",
        }
    }
}

/// One hint for all endpoints: that of their common reason.
fn unreachable_hint(faults: &[Fault]) -> &'static str {
    match faults {
        [first, rest @ ..] if rest.iter().all(|fault| fault.reason == first.reason) => {
            first.reason.hint()
        }
        _ => "`novacron doctor` checks each endpoint",
    }
}

/// Hints where the member's own speaks of HTTP to programs, or is not there.
fn problem_hint(problem: &Problem) -> Option<&'static str> {
    const HINTS: [(ProblemCode, &str); 5] = [
        (
            ProblemCode::Unauthenticated,
            "the token of this context is not valid here; an admin makes one with \
             `novacron user create`",
        ),
        (ProblemCode::Unavailable, "`novacron doctor` shows what is wrong"),
        (ProblemCode::NotLeader, "`novacron doctor` shows what is wrong"),
        (ProblemCode::NotConnected, "`novacron host list` shows which hosts are connected"),
        (ProblemCode::NoSuchRoute, "the member may be of an older release than this command"),
    ];
    HINTS.iter().find(|(code, _)| problem.is(*code)).map(|(_, hint)| *hint)
}

impl Fault {
    pub(super) fn of(endpoint: &Endpoint, error: &ureq::Error) -> Self {
        Self { endpoint: endpoint.clone(), reason: reason(error) }
    }

    pub(super) fn of_io(endpoint: &Endpoint, error: &io::Error) -> Self {
        Self { endpoint: endpoint.clone(), reason: io_reason(error) }
    }
}

fn reason(error: &ureq::Error) -> Reason {
    match error {
        ureq::Error::Io(error) => io_reason(error),
        ureq::Error::Rustls(error) => tls_reason(error),
        ureq::Error::Timeout(_) => Reason::TimedOut,
        ureq::Error::HostNotFound => Reason::NoSuchHost,
        ureq::Error::ConnectionFailed => Reason::Other("cannot connect".to_owned()),
        ureq::Error::Protocol(error) => Reason::Other(format!("not HTTP: {error}")),
        other => Reason::Other(other.to_string()),
    }
}

fn io_reason(error: &io::Error) -> Reason {
    let inner = error.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls_reason(error);
    }
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
        return reason(error);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Reason::ConnectionRefused,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Reason::TimedOut,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Reason::Cut,
        _ => Reason::Other(error.source().map_or_else(|| error.to_string(), ToString::to_string)),
    }
}

fn tls_reason(error: &rustls::Error) -> Reason {
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Reason::ForeignCertificate
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Reason::WrongAddress
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Reason::CertificateTime,
            other => Reason::Tls(other.to_string()),
        },
        other => Reason::Tls(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(problem: Problem) -> String {
        let failure = Failure::from(ClientError::Refused(Box::new(problem)));
        failure.render(str::to_owned).unwrap()
    }

    #[test]
    fn a_problem_tells_its_detail_fields_and_hint() {
        let problem = Problem::new(ProblemCode::InvalidRequest, "the request has 2 invalid fields")
            .on("/spec/memory", "must be 16 MiB to 16 TiB, not 1 B")
            .on("/name", "a name needs at least one character");
        insta::assert_snapshot!(render(problem), @r"
        error: the request has 2 invalid fields
          spec.memory: must be 16 MiB to 16 TiB, not 1 B
          name: a name needs at least one character
        ");
    }

    #[test]
    fn one_field_is_told_once() {
        let message = "must be 16 MiB to 16 TiB, not 1 B";
        let detail = format!("/spec/memory: {message}");
        let problem = Problem::new(ProblemCode::InvalidRequest, detail).on("/spec/memory", message);
        assert_eq!(render(problem), format!("error: spec.memory: {message}\n"));
    }

    #[test]
    fn a_fault_of_the_member_names_the_request_in_its_log() {
        let problem = Problem {
            request_id: "r-17".to_owned(),
            ..Problem::new(ProblemCode::Internal, "a fault of this member")
        }
        .hint("report it with the request id");
        insta::assert_snapshot!(render(problem), @r"
        error: a fault of this member (request r-17)
        hint: report it with the request id
        ");
    }

    #[test]
    fn a_hint_for_programs_gives_way_to_one_for_people() {
        let problem = Problem::new(ProblemCode::Unavailable, "no leader").hint("same key");
        insta::assert_snapshot!(render(problem), @r"
        error: no leader
        hint: `novacron doctor` shows what is wrong
        ");
        let problem = Problem::new(ProblemCode::Forbidden, "").hint("be an admin");
        insta::assert_snapshot!(render(problem), @r"
        error: The user's role does not allow this
        hint: be an admin
        ");
    }

    #[test]
    fn endpoints_that_cannot_be_talked_to_are_told_one_by_one() {
        let fault = |endpoint: &str, reason| Fault { endpoint: endpoint.parse().unwrap(), reason };
        let faults = vec![
            fault("https://10.0.0.1:7411", Reason::ConnectionRefused),
            fault("https://10.0.0.2:7411", Reason::TimedOut),
        ];
        let failure = Failure::from(ClientError::Unreachable { faults });
        insta::assert_snapshot!(failure.render(str::to_owned).unwrap(), @r"
        error: no member answers (https://10.0.0.1:7411: connection refused; https://10.0.0.2:7411: no answer in time)
        hint: `novacron doctor` checks each endpoint
        ");
    }
}
