//! The agent that most fleets run on every host: Prometheus' node_exporter.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use novacron_tests::wait;

use super::super::Bench;
use super::super::text;
use super::obtain;
use crate::machine::free_address;
use crate::program::Program;

/// Runs until it is dropped.
#[derive(Debug)]
pub(crate) struct NodeExporter {
    pub(crate) version: String,
    pub(crate) program: Program,
    address: SocketAddr,
}

impl NodeExporter {
    /// `None` where there is none to be had.
    pub(crate) fn start(bench: &Bench) -> Result<Option<Self>> {
        let package = "prometheus-node-exporter";
        let Some((program, version)) = obtain(&bench.binaries.target, package, package) else {
            return Ok(None);
        };
        let address = free_address()?;
        let argv = [text(&program), format!("--web.listen-address={address}")];
        let log = bench.dir("node_exporter")?.join("log");
        let program = Program::start("node_exporter", &argv, &[], &log)?;
        wait::for_true("node_exporter", LIMIT, || Ok(TcpStream::connect(address).is_ok()))?;
        Ok(Some(Self { version, program, address }))
    }

    /// What a Prometheus would do in two and a half minutes.
    pub(crate) fn scrape_a_while(&self) -> Result<()> {
        (0..SCRAPES).try_for_each(|_| self.scrape())
    }

    fn scrape(&self) -> Result<()> {
        let mut stream = TcpStream::connect(self.address).context("reach node_exporter")?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).context("scrape node_exporter")?;
        ensure!(answer.starts_with(b"HTTP/1.0 200"), "node_exporter does not answer a scrape");
        Ok(())
    }
}

const SCRAPES: u32 = 10;
const LIMIT: Duration = Duration::from_secs(20);
