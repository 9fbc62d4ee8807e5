//! Fuzz entry of the wire: any bytes as a client's frame, as a message and as motion.

use unils_server::protocol::{ClientFrame, ClientMessage, ValueFormat, motion_bytes, parse_motion};

/// What is read can be written and read again; what cannot be read says why in few words.
pub fn protocol(data: &[u8]) {
    match ClientFrame::parse(data) {
        Ok(ClientFrame::Audio(frame)) => {
            assert!(frame.samples.len() * 2 <= data.len());
            let again = ClientFrame::parse(&frame.to_bytes());
            // Numbers that are none are not equal to themselves.
            if frame.samples.iter().all(|sample| !sample.is_nan()) {
                assert_eq!(again, Ok(ClientFrame::Audio(frame)));
            }
        }
        Ok(ClientFrame::Message(_)) => {}
        Err(fault) => assert!(fault.what.len() < 2000, "a fault repeats its frame"),
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(ClientMessage::Audio(message)) = ClientMessage::parse(text)
    {
        let _ = message.frame();
    }
    if let Ok(chunk) = parse_motion(data)
        && chunk.values.iter().all(|value| !value.is_nan())
        && !chunk.voices.is_empty()
    {
        assert_eq!(parse_motion(&motion_bytes(&chunk, ValueFormat::F32)), Ok(chunk));
    }
}
