//! NovaCron's own ends of the workload: real sessions of hosts to a member, over what
//! `novacron-transport` offers to everybody.
//!
//! Bulk travels as it does in the product, as bodies of calls; commands are messages of their class.
//! The serving end makes a cluster, is its member, and leaves the identities of hosts in a
//! directory for its senders.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::Subcommand;
use novacron_protocol::codec;
use novacron_protocol::limits::FRAME_BYTES_MAX;
use novacron_protocol::wire::Class;
use novacron_protocol::wire::call::{Request, Response};
use novacron_protocol::{ClusterId, Digest, HostId, MemberId};
use novacron_transport::{
    ClusterAuthority, Endpoint, EndpointOptions, Identity, IdentityStore, Incoming, IncomingCall,
    KeyRequest, Peer, Session,
};
use novacron_workload::{
    Carrier, Event, Feed, Meter, SendArguments, ServeArguments, command, sender,
};

/// One end of a measured session.
#[derive(Debug, Subcommand)]
pub(crate) enum End {
    /// Receive bulk and answer commands
    Serve(ServeArguments),
    /// Carry out a plan
    Send {
        #[command(flatten)]
        arguments: SendArguments,
        /// What bulk travels as
        #[arg(long, default_value = "bulk", value_parser = class)]
        class: Class,
    },
}

fn class(text: &str) -> Result<Class, String> {
    let known = Class::ALL.into_iter().find(|class| class.as_str() == text);
    known.ok_or_else(|| format!("no class is called `{text}`"))
}

pub(crate) fn run(end: &End) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("start tokio")?;
    runtime.block_on(async {
        match end {
            End::Serve(arguments) => serve(arguments).await,
            End::Send { arguments, class } => send(arguments, *class).await,
        }
    })
}

async fn serve(arguments: &ServeArguments) -> Result<()> {
    let cluster = Cluster::create()?;
    for flow in 0..HOSTS {
        let dir = arguments.dir.join(host_dir(flow));
        std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        cluster.host(flow)?.save(&dir)?;
    }
    let store = IdentityStore::new(cluster.member()?);
    let endpoint = Endpoint::bind(arguments.listen, store, options())?;
    let meter = Meter::start();
    Event::Listening { address: endpoint.local_addr() }.tell();
    while let Some(incoming) = endpoint.accept().await {
        match incoming {
            Incoming::Session(session) => {
                tokio::spawn(answer_commands(session.clone()));
                tokio::spawn(accept_calls(session, meter.clone()));
            }
            other => bail!("somebody else came: {other:?}"),
        }
    }
    Ok(())
}

async fn answer_commands(session: Session) -> Result<()> {
    loop {
        let frame = session.recv_class(Class::Command).await?;
        let message: Vec<u8> = codec::decode(&frame, FRAME_BYTES_MAX)?;
        session.send(Class::Command, &command::answer(&message)?.to_vec()).await?;
    }
}

async fn accept_calls(session: Session, meter: Meter) {
    while let Ok(call) = session.accept_call().await {
        let meter = meter.clone();
        tokio::spawn(async move {
            if let Err(error) = take_bulk(call, meter).await {
                eprintln!("bulk ended: {error:#}");
            }
        });
    }
}

async fn take_bulk(mut call: IncomingCall, meter: Meter) -> Result<()> {
    let mut counter = meter.counter();
    while let Some(chunk) = call.body().chunk().await? {
        counter.take(&chunk);
    }
    Ok(call.respond(&Response::Done).await?)
}

async fn send(arguments: &SendArguments, class: Class) -> Result<()> {
    let identity = Identity::load(&arguments.dir.join(host_dir(arguments.flow)))?;
    let any = "0.0.0.0:0".parse().expect("an address");
    let endpoint = Endpoint::bind(any, IdentityStore::new(identity), options())?;
    let session = endpoint.connect(arguments.to, Some(Peer::Member(MEMBER))).await?;
    sender::run(Host { session, class }, arguments).await
}

/// Bad links are part of what is measured: nobody gives up early.
fn options() -> EndpointOptions {
    EndpointOptions {
        connect_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(60),
        ..EndpointOptions::default()
    }
}

/// The sending end of a session.
#[derive(Debug, Clone)]
struct Host {
    session: Session,
    class: Class,
}

#[derive(Debug)]
struct Outgoing(Session);

#[derive(Debug)]
struct Answers(Session);

impl Carrier for Host {
    type Outgoing = Outgoing;
    type Incoming = Answers;

    async fn bulk(&self, feed: Feed) -> Result<()> {
        // Any request with a body will do.
        let request = Request::Blob { digest: Digest([0; 32]) };
        self.session.call_with_body(self.class, &request, feed, DAY).await?;
        Ok(())
    }

    async fn messages(&self) -> Result<(Outgoing, Answers)> {
        Ok((Outgoing(self.session.clone()), Answers(self.session.clone())))
    }
}

impl sender::Outgoing for Outgoing {
    async fn send(&mut self, message: Bytes) -> Result<()> {
        Ok(self.0.send(Class::Command, &message.to_vec()).await?)
    }
}

impl sender::Incoming for Answers {
    async fn recv(&mut self) -> Result<Bytes> {
        let frame = self.0.recv_class(Class::Command).await?;
        Ok(codec::decode::<Vec<u8>>(&frame, FRAME_BYTES_MAX)?.into())
    }
}

/// A cluster that lives as long as a measurement.
struct Cluster {
    authority: ClusterAuthority,
}

impl Cluster {
    fn create() -> Result<Self> {
        let id: ClusterId = "00000001-0000-7000-8000-000000000000".parse()?;
        Ok(Self { authority: ClusterAuthority::create(id)? })
    }

    fn member(&self) -> Result<Identity> {
        let request = KeyRequest::generate()?;
        let signed = self.authority.sign_member(request.csr(), MEMBER, &[], DAY)?;
        Ok(request.into_identity(&signed, self.authority.certificate())?)
    }

    fn host(&self, number: u8) -> Result<Identity> {
        let host: HostId = format!("00000000-0000-7000-8000-{number:012x}").parse()?;
        let request = KeyRequest::generate()?;
        let signed = self.authority.sign_host(request.csr(), host, DAY)?;
        Ok(request.into_identity(&signed, self.authority.certificate())?)
    }
}

fn host_dir(flow: u8) -> String {
    format!("host-{flow}")
}

const MEMBER: MemberId = MemberId(1);
/// Identities that are made: most senders at once.
const HOSTS: u8 = 16;
const DAY: Duration = Duration::from_secs(86_400);
