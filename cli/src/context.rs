//! The context file: which cluster, where its members are, who we are, and which CA to trust.
//!
//! `novacron-controlplane init` writes the first one as `admin.toml`. It holds a bearer token, so
//! only its owner may read it.

pub(crate) mod endpoints;

use std::env;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use novacron_protocol::UserId;
use serde::Deserialize;
use ureq::http::Uri;
use ureq::tls::Certificate;
use uuid::Uuid;

use crate::failure::Failure;

/// Everything needed to call the API.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// In the order in which they are tried; never empty.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) token: BearerToken,
    /// The only certificate that a member's may be signed by.
    pub(crate) ca: Certificate<'static>,
}

/// The base URL of one member's API: `https://host:port`, without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(String);

/// What proves who we are. Not printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BearerToken(String);

/// The file as written. Keys that we do not know are from a newer member, and not ours to refuse;
/// a misspelt one shows as the missing of the three.
#[derive(Deserialize)]
struct ContextFile {
    endpoints: Vec<String>,
    token: String,
    ca_pem: String,
}

impl Context {
    /// Reads the file at `path`; `endpoints`, when given, stand in for the file's.
    pub(crate) fn load(path: &Path, endpoints: &[Endpoint]) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        Self::parse(path, &text, endpoints)
    }

    fn parse(path: &Path, text: &str, endpoints: &[Endpoint]) -> Result<Self, Failure> {
        let refuse = |why: String| {
            Failure::new(format!("{} is not a context file: {why}", path.display())).hint(
                "it needs the keys endpoints, token and ca_pem, as in the admin.toml that \
                 `novacron-controlplane init` writes",
            )
        };
        let file: ContextFile =
            toml::from_str(text).map_err(|error| refuse(error.message().to_owned()))?;
        let listed: Result<Vec<Endpoint>, String> =
            file.endpoints.iter().map(|text| text.parse()).collect();
        let listed = listed.map_err(refuse)?;
        let endpoints = if endpoints.is_empty() { listed } else { endpoints.to_vec() };
        if endpoints.is_empty() {
            return Err(refuse("it lists no endpoint".to_owned()));
        }
        let token = BearerToken::parse(&file.token)
            .ok_or_else(|| refuse("its token is empty or not plain text".to_owned()))?;
        let ca = Certificate::from_pem(file.ca_pem.as_bytes())
            .map_err(|_| refuse("its ca_pem is not a certificate in PEM".to_owned()))?;
        Ok(Self { endpoints, token, ca })
    }
}

/// The file to use when `--config` and `NOVACRON_CONFIG` do not say.
pub(crate) fn default_path() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(base.join("novacron/config.toml"))
}

/// The permission bits of `path`, and whether only its owner can use it.
pub(crate) fn permissions(path: &Path) -> io::Result<(u32, Privacy)> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    Ok((mode, if mode & 0o077 == 0 { Privacy::OwnerOnly } else { Privacy::Shared }))
}

/// Who can read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privacy {
    OwnerOnly,
    Shared,
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => missing(path),
        io::ErrorKind::PermissionDenied => {
            Failure::new(format!("no permission to read the context file {}", path.display()))
                .hint("it belongs to whoever set it up; ask for a user of your own")
        }
        _ => Failure::new(format!("cannot read the context file {}: {error}", path.display())),
    }
}

fn missing(path: &Path) -> Failure {
    Failure::new(format!("there is no context file at {}", path.display())).hint(
        "copy admin.toml, which `novacron-controlplane init` wrote into its data_dir, to that \
         place, or name it with --config or NOVACRON_CONFIG",
    )
}

impl Endpoint {
    pub(crate) fn of(addr: SocketAddr) -> Self {
        Self(format!("https://{addr}"))
    }
}

impl std::str::FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| format!("the endpoint `{text}` {why}");
        let uri: Uri = text.parse().map_err(|_| refuse("is not a URL"))?;
        if uri.scheme_str() != Some("https") {
            return Err(refuse("does not begin with https://"));
        }
        if uri.host().is_none_or(str::is_empty) || !matches!(uri.path(), "" | "/") {
            return Err(refuse("is not of the form https://host:port"));
        }
        if uri.query().is_some() || text.contains('@') {
            return Err(refuse("has more than a host and a port"));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl BearerToken {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        plain.then(|| Self(text.to_owned()))
    }

    /// Whose token it is: it reads `nc_<user id>_<secret>`.
    pub(crate) fn user(&self) -> Option<UserId> {
        let (user, _) = self.0.strip_prefix("nc_")?.split_once('_')?;
        Uuid::try_parse(user).ok().map(UserId::from_uuid)
    }

    /// The value of the `Authorization` header.
    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl std::fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(endpoints: &str, token: &str) -> String {
        let ca = rcgen::generate_simple_self_signed(vec!["ca".to_owned()]).unwrap().cert.pem();
        format!(
            "endpoints = [{endpoints}]\ntoken = \"{token}\"\nca_pem = \"\"\"\n{ca}\"\"\"\nnewer = 1\n"
        )
    }

    fn parse(text: &str, endpoints: &[Endpoint]) -> Result<Context, Failure> {
        Context::parse(Path::new("admin.toml"), text, endpoints)
    }

    #[test]
    fn a_context_has_endpoints_in_order_and_keeps_its_token_to_itself() {
        let text = text(r#""https://10.0.0.1:7411", "https://[::1]:7411/""#, "secret-token");
        let context = parse(&text, &[]).unwrap();
        let endpoints: Vec<String> = context.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(endpoints, ["https://10.0.0.1:7411", "https://[::1]:7411"]);
        assert_eq!(context.token.header(), "Bearer secret-token");
        assert!(!format!("{context:?}").contains("secret-token"));
    }

    #[test]
    fn an_endpoint_on_the_command_line_stands_in_for_those_of_the_file() {
        let other: Endpoint = "https://127.0.0.1:1".parse().unwrap();
        let context = parse(&text(r#""https://a:1""#, "t"), std::slice::from_ref(&other)).unwrap();
        assert_eq!(context.endpoints, [other]);
    }

    #[test]
    fn what_is_wrong_with_a_context_is_said() {
        for (text, cause) in [
            (text("", "t"), "lists no endpoint"),
            (text(r#""http://a:1""#, "t"), "does not begin with https://"),
            (text(r#""https://a:1/api""#, "t"), "not of the form https://host:port"),
            (text(r#""https://u@a:1""#, "t"), "more than a host and a port"),
            (text(r#""https://a:1""#, ""), "token is empty"),
            (text(r#""https://a:1""#, "a b"), "token is empty or not plain"),
            ("endpoints = []".to_owned(), "missing field `token`"),
            ("endpoints = []\ntoken = ''\nca_pem = ''".to_owned(), "lists no endpoint"),
            ("?".to_owned(), "is not a context file"),
        ] {
            let failure = parse(&text, &[]).unwrap_err().to_string();
            assert!(failure.contains(cause), "{failure}");
        }
    }

    #[test]
    fn a_missing_context_says_how_to_come_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let failure = Context::load(&dir.path().join("none.toml"), &[]).unwrap_err();
        let text = failure.render(str::to_owned).unwrap();
        assert!(text.contains("novacron-controlplane init"), "{text}");
    }
}
