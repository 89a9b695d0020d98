//! Operations: long-running requests, each of which ends.

use serde::{Deserialize, Serialize};

use crate::OperationId;
use crate::api::time::UtcTime;

/// The longest `wait_ms` of `GET /operations/{id}`; a longer one is shortened. Below the 60 s
/// after which many proxies give up on a silent answer.
pub const WAIT_MS_MAX: u64 = 30_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationView {
    pub id: OperationId,
    /// `create-vm`, `start-vm`, `stop-vm`, `restart-vm`, `delete-vm` or `import-image`.
    pub kind: String,
    pub subject: SubjectView,
    /// Who asked for it.
    pub actor: String,
    pub status: OperationStatus,
    /// Why it failed or was cancelled; while it runs, what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub created_at: UtcTime,
    /// When it fails unless it has ended before.
    pub deadline: UtcTime,
    pub finished_at: Option<UtcTime>,
}

/// An operation by id and kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationRef {
    pub id: OperationId,
    pub kind: String,
}

/// What an operation is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SubjectView {
    /// `vm` or `image`.
    pub kind: String,
    pub id: String,
    /// `null` once it is gone.
    pub name: Option<String>,
}

/// How an operation is doing, in lifecycle order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OperationStatus {
    Running,
    Done,
    Failed,
    Cancelled,
}

impl OperationStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl std::fmt::Display for OperationStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
