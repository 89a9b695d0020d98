//! What is compared, and how each is started.

use std::net::SocketAddr;
use std::path::Path;

use clap::ValueEnum;

use super::exchange::Plan;
use super::programs::Programs;

/// A transport with its congestion control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum System {
    /// Ours
    Novacron,
    /// Kernel TCP and TLS 1.3, a connection per stream
    TcpCubic,
    TcpBbr,
    /// gRPC (tonic) on one connection over kernel TCP
    GrpcCubic,
    GrpcBbr,
    /// quinn 0.11
    QuinnCubic,
    QuinnBbr,
    /// s2n-quic
    S2nCubic,
    S2nBbr,
}

impl System {
    pub(crate) const ALL: [Self; 9] = [
        Self::Novacron,
        Self::TcpCubic,
        Self::TcpBbr,
        Self::GrpcCubic,
        Self::GrpcBbr,
        Self::QuinnCubic,
        Self::QuinnBbr,
        Self::S2nCubic,
        Self::S2nBbr,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Novacron => "novacron",
            Self::TcpCubic => "tcp-cubic",
            Self::TcpBbr => "tcp-bbr",
            Self::GrpcCubic => "grpc-cubic",
            Self::GrpcBbr => "grpc-bbr",
            Self::QuinnCubic => "quinn-cubic",
            Self::QuinnBbr => "quinn-bbr",
            Self::S2nCubic => "s2n-cubic",
            Self::S2nBbr => "s2n-bbr",
        }
    }

    /// The command line of the end that receives.
    pub(super) fn serve(self, programs: &Programs, listen: SocketAddr, dir: &Path) -> Vec<String> {
        let mut argv = self.end(programs, "serve");
        argv.extend(["--listen".to_owned(), listen.to_string()]);
        argv.extend(["--dir".to_owned(), dir.to_string_lossy().into_owned()]);
        argv
    }

    /// The command line of the end that sends.
    pub(super) fn send(
        self,
        programs: &Programs,
        to: SocketAddr,
        dir: &Path,
        plan: &Plan,
    ) -> Vec<String> {
        let mut argv = self.end(programs, "send");
        argv.extend(["--to".to_owned(), to.to_string()]);
        argv.extend(["--dir".to_owned(), dir.to_string_lossy().into_owned()]);
        argv.extend(["--flow".to_owned(), plan.flow.to_string()]);
        if let Some(bulk) = plan.bulk {
            argv.extend(["--bulk".to_owned(), bulk.to_string()]);
        }
        if !plan.commands.is_empty() {
            let spans: Vec<String> = plan.commands.iter().map(ToString::to_string).collect();
            argv.extend(["--commands".to_owned(), spans.join(",")]);
        }
        if let (Self::Novacron, Some(class)) = (self, plan.class) {
            argv.extend(["--class".to_owned(), class.to_string()]);
        }
        argv
    }

    fn end(self, programs: &Programs, end: &str) -> Vec<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        match self {
            Self::Novacron => vec![text(&programs.own), "dwcp-peer".to_owned(), end.to_owned()],
            peer => vec![text(&programs.peers), peer.as_str().to_owned(), end.to_owned()],
        }
    }
}
