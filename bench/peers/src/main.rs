//! `novacron-peers`: other transports, driven by the same workload as ours.
//!
//! ```text
//!   novacron-peers SYSTEM serve|send ──> novacron-workload ──> one JSON line per event
//! ```
//! All are encrypted with TLS 1.3 and told which congestion control to use, because defaults differ
//! between machines. Windows are as large as the harness asks; the rest is each system's default.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use novacron_workload::{SendArguments, ServeArguments};

mod certificate;
mod grpc;
mod quic;
mod s2n;
mod tcp;

/// Other transports, driven by the same workload as NovaCron's.
#[derive(Debug, Parser)]
#[command(name = "novacron-peers", version)]
struct Arguments {
    #[arg(value_enum)]
    system: System,
    #[command(subcommand)]
    end: End,
}

#[derive(Debug, Subcommand)]
enum End {
    /// Receive bulk and answer commands
    Serve(ServeArguments),
    /// Carry out a plan
    Send(SendArguments),
}

/// A transport with its congestion control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum System {
    /// Kernel TCP and TLS 1.3 by rustls, a connection per stream
    TcpCubic,
    TcpBbr,
    /// gRPC by tonic: streams of one HTTP/2 connection over kernel TCP
    GrpcCubic,
    GrpcBbr,
    /// quinn 0.11
    QuinnCubic,
    QuinnBbr,
    /// s2n-quic
    S2nCubic,
    S2nBbr,
}

/// What all of them have under other names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Congestion {
    Cubic,
    Bbr,
}

impl Congestion {
    /// The kernel's name for it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    // Two providers are linked (s2n-quic brings its own), so none is the default by itself.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = Arguments::parse();
    let done = match &arguments.end {
        End::Serve(serve) => self::serve(arguments.system, serve).await,
        End::Send(send) => self::send(arguments.system, send).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("novacron-peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(system: System, arguments: &ServeArguments) -> Result<()> {
    let secret = Arc::new(certificate::make(&arguments.dir)?);
    match system {
        System::TcpCubic => tcp::serve(Congestion::Cubic, arguments, &secret).await,
        System::TcpBbr => tcp::serve(Congestion::Bbr, arguments, &secret).await,
        System::GrpcCubic => grpc::serve(Congestion::Cubic, arguments, &secret).await,
        System::GrpcBbr => grpc::serve(Congestion::Bbr, arguments, &secret).await,
        System::QuinnCubic => quic::serve(Congestion::Cubic, arguments, &secret).await,
        System::QuinnBbr => quic::serve(Congestion::Bbr, arguments, &secret).await,
        System::S2nCubic => s2n::serve(Congestion::Cubic, arguments, &secret).await,
        System::S2nBbr => s2n::serve(Congestion::Bbr, arguments, &secret).await,
    }
}

async fn send(system: System, arguments: &SendArguments) -> Result<()> {
    match system {
        System::TcpCubic => tcp::send(Congestion::Cubic, arguments).await,
        System::TcpBbr => tcp::send(Congestion::Bbr, arguments).await,
        System::GrpcCubic => grpc::send(Congestion::Cubic, arguments).await,
        System::GrpcBbr => grpc::send(Congestion::Bbr, arguments).await,
        System::QuinnCubic => quic::send(Congestion::Cubic, arguments).await,
        System::QuinnBbr => quic::send(Congestion::Bbr, arguments).await,
        System::S2nCubic => s2n::send(Congestion::Cubic, arguments).await,
        System::S2nBbr => s2n::send(Congestion::Bbr, arguments).await,
    }
}
