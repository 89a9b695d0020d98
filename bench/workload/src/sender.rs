//! The sending end: carries out a plan over whatever carries bytes.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::arguments::{SendArguments, Span};
use crate::bulk::Feed;
use crate::clock::now_us;
use crate::command::{self, COMMAND_EVERY};
use crate::event::Event;

/// A connection under test, as its sending end sees it. Clones are the same connection.
pub trait Carrier: Clone + Send + Sync + 'static {
    type Outgoing: Outgoing;
    type Incoming: Incoming;

    /// Sends all of `feed` on a stream of its own.
    fn bulk(&self, feed: Feed) -> impl Future<Output = Result<()>> + Send;

    /// Where commands go and answers come from, on the same connection.
    fn messages(&self) -> impl Future<Output = Result<(Self::Outgoing, Self::Incoming)>> + Send;
}

/// Where messages go.
pub trait Outgoing: Send + 'static {
    /// Hands over a message; may wait while the connection takes no more.
    fn send(&mut self, message: Bytes) -> impl Future<Output = Result<()>> + Send;
}

/// Where messages come from.
pub trait Incoming: Send + 'static {
    /// The next message. May be cancelled without a loss.
    fn recv(&mut self) -> impl Future<Output = Result<Bytes>> + Send;
}

/// Carries out the plan, which begins now.
pub async fn run(carrier: impl Carrier, arguments: &SendArguments) -> Result<()> {
    let began = Instant::now();
    Event::Connected { at_us: now_us() }.tell();
    let mut tasks = JoinSet::new();
    if let Some(bulk) = arguments.bulk {
        for _ in 0..bulk.streams {
            let feed = Feed::new(arguments.flow, began + bulk.span.to);
            tasks.spawn(send_bulk(carrier.clone(), began, bulk.span, feed));
        }
    }
    if !arguments.commands.is_empty() {
        let (outgoing, incoming) = carrier.messages().await?;
        let (due_tx, due_rx) = mpsc::unbounded_channel();
        let (made_tx, made_rx) = mpsc::unbounded_channel();
        // Who waits for an answer learns of a command before it can have one.
        tasks.spawn(make_commands(began, arguments.commands.clone(), [made_tx, due_tx]));
        tasks.spawn(send_commands(outgoing, due_rx));
        tasks.spawn(tell_answers(incoming, made_rx));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Event::Done { at_us: now_us() }.tell();
    Ok(())
}

/// What is still under way when the span ends is not waited for.
async fn send_bulk(carrier: impl Carrier, began: Instant, span: Span, feed: Feed) -> Result<()> {
    sleep_until(began + span.from).await;
    timeout_at(began + span.to, carrier.bulk(feed)).await.unwrap_or(Ok(()))
}

/// Makes commands when they are due. They are stamped here, so that one which then waits for a
/// busy connection is seen to wait.
async fn make_commands(
    began: Instant,
    spans: Vec<Span>,
    stamps_txs: [UnboundedSender<u64>; 2],
) -> Result<()> {
    for span in spans {
        let mut due = began + span.from;
        while due < began + span.to {
            sleep_until(due).await;
            let sent_us = now_us();
            for stamps_tx in &stamps_txs {
                // Closed when an end has failed, which that end tells.
                let _ = stamps_tx.send(sent_us);
            }
            due += COMMAND_EVERY;
        }
    }
    Ok(())
}

async fn send_commands(
    mut outgoing: impl Outgoing,
    mut due_rx: UnboundedReceiver<u64>,
) -> Result<()> {
    while let Some(sent_us) = due_rx.recv().await {
        outgoing.send(command::command(sent_us)).await?;
    }
    Ok(())
}

/// Tells of answers until all that was made is answered, or [`PATIENCE`] after the last was made.
async fn tell_answers(
    mut incoming: impl Incoming,
    mut made_rx: UnboundedReceiver<u64>,
) -> Result<()> {
    let mut open = BTreeSet::new();
    let mut last_made = None;
    while last_made.is_none() || !open.is_empty() {
        let deadline = last_made.unwrap_or_else(Instant::now) + PATIENCE;
        tokio::select! {
            biased;
            made = made_rx.recv(), if last_made.is_none() => match made {
                Some(sent_us) => _ = open.insert(sent_us),
                None => last_made = Some(Instant::now()),
            },
            answer = incoming.recv() => {
                let event = command::answered(&answer?)?;
                if let Event::Command { sent_us, .. } = event {
                    open.remove(&sent_us);
                }
                event.tell();
            }
            () = sleep_until(deadline), if last_made.is_some() => break,
        }
    }
    open.into_iter().for_each(|sent_us| Event::Unanswered { sent_us }.tell());
    Ok(())
}

/// How long answers are waited for after the last command.
const PATIENCE: Duration = Duration::from_secs(5);
