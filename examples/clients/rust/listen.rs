//! Lets an avatar listen to a tone for two seconds and prints how its head moves.
//!
//!     unils serve &
//!     cargo run --release -p unils-server --example listen [127.0.0.1:8730]

use std::time::Duration;

use unils::motion::Space;
use unils::session::Voice;
use unils_server::client::{Client, ClientError, Received};
use unils_server::protocol::{ClientMessage, ServerMessage, Start, VoiceName};

const RATE: u32 = 48_000;

#[allow(clippy::print_stdout, reason = "an example shows what it does")]
fn main() -> Result<(), ClientError> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8730".to_owned());
    let start = Start { space: Some(Space::Arkit55), ..Start::default() };
    let (mut client, started) = Client::connect(&address, start)?;
    println!("{} ms from a sound to its motion", started.latency_ms);
    let yaw = started.channels.iter().position(|name| name == "headYaw").unwrap_or(0);
    // The avatar says nothing: nobody needs to wait for it.
    client.send(&ClientMessage::Flush { voice: VoiceName::Own })?;
    let packet: Vec<f32> = (0..RATE / 50).map(|i| 0.2 * (i as f32 * 0.02).sin()).collect();
    for _ in 0..100 {
        client.send_audio(Voice::Partner, RATE, None, &packet)?;
        std::thread::sleep(Duration::from_millis(20));
    }
    client.send(&ClientMessage::Finish {})?;
    loop {
        match client.receive()? {
            Received::Motion(chunk) => {
                for (number, frame) in (chunk.start_frame..).zip(chunk.values.chunks(started.channels.len()))
                {
                    println!("{:.2} s  headYaw {:+.3}", number as f64 / started.fps, frame[yaw]);
                }
            }
            Received::Message(ServerMessage::Finished { frames }) => {
                println!("finished: {frames} frames");
                client.close();
                return Ok(());
            }
            Received::Message(ServerMessage::Error(fault)) => return Err(ClientError::Server(fault)),
            Received::Message(_) => {}
        }
    }
}
