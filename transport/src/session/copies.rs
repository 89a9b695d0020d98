//! Urgent messages that travel twice: on their class's stream, and a little later in a datagram.
//!
//! ```text
//!   class u8 | number of the message on its class's stream, u64 big-endian | message
//! ```
//!
//! Whichever comes first is handed on, in order, once. When and whether a copy is sent is decided in
//! `novacron_transport_core::hedge`.

use bytes::{BufMut, Bytes, BytesMut};
use novacron_protocol::wire::Class;
use novacron_transport_core::hedge::{Sequencer, UrgentCopy};
use tokio::sync::Mutex;

use super::SessionError;
use super::connection::Connection;
use super::inbox::Inbox;

/// Bytes before the message.
const HEADER_BYTES: usize = 1 + 8;

/// Whether messages of `class` may travel twice.
pub(crate) fn travels_twice(class: Class) -> bool {
    matches!(class, Class::Lease | Class::Command)
}

/// A copy as a datagram.
pub(crate) fn datagram(copy: &UrgentCopy<Bytes>) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_BYTES + copy.message.len());
    out.put_u8(copy.class as u8);
    out.put_u64(copy.seq);
    out.extend_from_slice(&copy.message);
    out.freeze()
}

/// Puts what arrives twice into one order, class by class.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    classes: [Mutex<Sequencer<Bytes>>; Class::ALL.len()],
}

impl Arrivals {
    /// The class's stream has brought its next message.
    pub(crate) async fn push_stream(
        &self,
        inbox: &Inbox,
        class: Class,
        message: Bytes,
    ) -> Result<(), SessionError> {
        // Held until the inbox has what may be handed out, so that nothing overtakes it.
        let mut sequencer = self.classes[class as usize].lock().await;
        for message in sequencer.push_stream(message) {
            inbox.push(class, message).await?;
        }
        Ok(())
    }

    /// A datagram has come.
    pub(crate) async fn push_datagram(
        &self,
        connection: &Connection,
        inbox: &Inbox,
        datagram: Bytes,
    ) -> Result<(), SessionError> {
        let Some((class, seq, message)) = parse(&datagram) else {
            return Err(connection.blame("a datagram that is no copy of a message"));
        };
        let mut sequencer = self.classes[class as usize].lock().await;
        let messages = sequencer.push_copy(seq, message);
        for message in messages.map_err(|error| connection.blame(error))? {
            inbox.push(class, message).await?;
        }
        Ok(())
    }
}

fn parse(datagram: &Bytes) -> Option<(Class, u64, Bytes)> {
    let (class, rest) = datagram.split_first()?;
    let class = Class::ALL.get(usize::from(*class)).copied().filter(|c| travels_twice(*c))?;
    let seq = u64::from_be_bytes(*rest.first_chunk()?);
    Some((class, seq, datagram.slice(HEADER_BYTES..)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn copies_survive_the_way(seq in any::<u64>(), message in prop::collection::vec(any::<u8>(), 0..64)) {
            let message = Bytes::from(message);
            let copy = UrgentCopy { class: Class::Command, seq, message: message.clone() };
            prop_assert_eq!(parse(&datagram(&copy)), Some((Class::Command, seq, message)));
        }

        #[test]
        fn hostile_datagrams_are_copies_or_nothing(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let parsed = parse(&Bytes::from(bytes.clone()));
            prop_assert_eq!(parsed.is_some(), bytes.len() >= HEADER_BYTES && bytes[0] < 2);
        }
    }
}
