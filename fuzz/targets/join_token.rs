//! The text that people paste.

#![no_main]

use novacron_protocol::join_token::JoinToken;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(token) = text.parse::<JoinToken>() {
        assert_eq!(token.to_string().parse(), Ok(token));
    }
    let _ = format!("novacron1.{text}").parse::<JoinToken>();
});
