//! What the admin API sends and takes, as JSON.
//!
//! The member that serves the API and the command line that calls it share these types; the
//! OpenAPI document is made of them. Requests refuse unknown fields. Answers may grow fields: a
//! reader passes over what it does not know.
//!
//! | path under `/api/v1` | methods: answer |
//! |---|---|
//! | `/cluster` | GET: [`cluster::ClusterView`] |
//! | `/members` | GET: [`Page`] of [`member::MemberView`] |
//! | `/members/{member}` | GET, DELETE: 204 |
//! | `/hosts` | GET: [`Page`] of [`host::HostView`] |
//! | `/hosts/{host}` | GET, DELETE: 204 |
//! | `/hosts/{host}/cordon` | POST [`host::CordonHost`]: [`host::HostView`] |
//! | `/hosts/{host}/uncordon` | POST: [`host::HostView`] |
//! | `/hosts/{host}/metrics?since_ms=` | GET: [`metrics::HostMetricsView`] |
//! | `/vms?host=&state=&label=k=v&name_prefix=` | GET: [`Page`] of [`vm::VmView`] |
//! | `/vms?dry_run=` | POST [`vm::CreateVm`]: 202 [`vm::VmAccepted`], or [`vm::VmDryRun`] |
//! | `/vms/{vm}` | GET; DELETE: 202 [`vm::VmAccepted`] |
//! | `/vms/{vm}/start` | POST: 202 [`vm::VmAccepted`] |
//! | `/vms/{vm}/stop`, `/restart` | POST [`vm::StopVm`]: 202 [`vm::VmAccepted`] |
//! | `/vms/{vm}/explain?limit=` | GET: [`vm::Explanation`] |
//! | `/vms/{vm}/console?tail_bytes=` | GET: the bytes themselves |
//! | `/vms/{vm}/metrics?since_ms=` | GET: [`metrics::VmMetricsView`] |
//! | `/images` | GET: [`Page`] of [`image::ImageView`]; POST [`image::CreateImage`]: 202 [`image::ImageAccepted`] |
//! | `/images/{image}` | GET, DELETE: 204 |
//! | `/blobs/missing` | POST [`blob::MissingBlobs`]: [`blob::MissingBlobsAnswer`] |
//! | `/blobs/{digest}` | PUT, body zstd: 200 or 201 [`blob::BlobStored`] |
//! | `/tokens` | GET: [`Page`] of [`token::TokenView`]; POST [`token::CreateToken`]: 201 [`token::TokenCreated`] |
//! | `/tokens/{token}` | DELETE: 204 |
//! | `/users` | GET: [`Page`] of [`user::UserView`]; POST [`user::CreateUser`]: 201 [`user::UserCreated`] |
//! | `/users/{user}` | DELETE: 204 |
//! | `/operations?status=` | GET: [`Page`] of [`operation::OperationView`], newest first |
//! | `/operations/{operation}?wait_ms=` | GET |
//! | `/operations/{operation}/cancel` | POST: [`operation::OperationView`] |
//! | `/events?after=&limit=` | GET: [`event::EventPage`], or a stream of server-sent events |
//! | `/dwcp/status` | GET: [`dwcp::DwcpStatus`] |
//! | `/openapi.json` | GET |
//!
//! `{host}`, `{vm}`, `{image}` and `{user}` take an id or a whole name; `{member}` a number or a
//! name. Lists take `limit` and `page_token`; every `GET` takes `consistency=linearizable` (the
//! default), `leader` or `stale`. `since_ms` is a span before now, one hour unless said. Without `after`, `/events` gives the newest `limit` as JSON, and
//! as a stream what comes from now on.

pub mod blob;
pub mod cluster;
pub mod dwcp;
pub mod event;
pub mod host;
pub mod image;
pub mod member;
pub mod metrics;
pub mod operation;
pub mod page;
pub mod page_token;
pub mod problem;
pub mod time;
pub mod token;
pub mod user;
pub mod vm;

pub use page::Page;
pub use problem::{FieldError, Problem, ProblemCode};
pub use time::UtcTime;

/// What every path of this API begins with, but `/health*` and `/metrics`.
pub const PREFIX: &str = "/api/v1";

/// Request header that makes a repeat of a request recognisable: any text of 1 to
/// [`crate::limits::IDEMPOTENCY_KEY_LEN_MAX`] printable ASCII characters.
pub const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";
/// Names one request in answers, problems and logs.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
/// The log index of the state that an answer was read from.
pub const INDEX_HEADER: &str = "x-novacron-index";
/// How long before the answer its member last heard from a leader, in milliseconds.
pub const STALENESS_HEADER: &str = "x-novacron-staleness-ms";
