//! The pure part of DWCP: no sockets, no clock, no random source.
