//! The server in this process, on a free port: what it makes, how it refuses, and that nobody suffers from others.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{
    WINDOW, WINDOW_SAMPLES, connect, fixture, message, model, motion, options, server, timeless, try_connect,
    until, voice,
};
use unils::motion::{FPS, Motion, MotionMeta, Space};
use unils::session::{Session, SessionOptions, Voice};
use unils_server::client::{Client, ClientError, Received};
use unils_server::protocol::{
    AudioData, AudioMessage, ClientMessage, ControlsMessage, FaultCode, SampleFormat, ServerMessage, Start,
    ValueFormat, VoiceName, Wire,
};
use unils_server::{Server, ServerOptions};

/// What the library makes of two voices.
fn expected(own: &[f32], partner: &[f32]) -> Vec<f32> {
    let mut session = Session::new(model(), SessionOptions::default()).unwrap();
    session.push(Voice::Own, 16_000, None, own).unwrap();
    session.push(Voice::Partner, 16_000, None, partner).unwrap();
    session.finish();
    std::iter::from_fn(|| session.step().unwrap()).flat_map(|chunk| chunk.values).collect()
}

fn fault_of(result: Result<(Client, impl Sized), ClientError>) -> unils_server::protocol::Fault {
    match result {
        Err(ClientError::Server(fault)) => fault,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was let in"),
    }
}

#[test]
fn a_session_makes_what_the_library_makes() {
    let server = server(options());
    let (own, partner) = (voice(2.0, 190.0, 16_000), voice(2.0, 120.0, 16_000));
    let expected = expected(&own, &partner);
    let (mut client, started) = connect(&server, timeless());
    assert_eq!((started.space.as_str(), started.channels.len()), ("flame108", 108));
    assert_eq!((started.window_frames, started.latency_ms, started.next_frame), (WINDOW, 800, 0));
    for (own, partner) in own.chunks(1000).zip(partner.chunks(1000)) {
        client.send_audio(Voice::Own, 16_000, None, own).unwrap();
        client.send_audio(Voice::Partner, 16_000, None, partner).unwrap();
    }
    client.send(&ClientMessage::Finish {}).unwrap();
    let (mut values, mut next) = (Vec::new(), 0);
    let frames = loop {
        match client.receive().unwrap() {
            Received::Motion(chunk) => {
                assert_eq!(chunk.start_frame, next);
                next += chunk.frames() as u64;
                values.extend(chunk.values);
            }
            Received::Message(ServerMessage::Finished { frames }) => break frames,
            Received::Message(ServerMessage::Error(fault)) => panic!("{fault:?}"),
            Received::Message(_) => {}
        }
    };
    assert_eq!((frames, next), (50, 50));
    assert!(values == expected);
    client.send(&ClientMessage::Reset {}).unwrap();
    message(&mut client, |message| matches!(message, ServerMessage::Reset {}).then_some(()));
    client.send_audio(Voice::Own, 16_000, None, &own[..WINDOW_SAMPLES]).unwrap();
    client.send_audio(Voice::Partner, 16_000, None, &partner[..WINDOW_SAMPLES]).unwrap();
    assert!(motion(&mut client).values == expected[..WINDOW * 108], "a reset session is a new one");
    client.close();
}

#[test]
fn plain_json_says_the_same() {
    let server = server(options());
    let (own, partner) = (voice(0.8, 190.0, 16_000), voice(0.8, 120.0, 16_000));
    let expected = expected(&own, &partner);
    let (mut client, _) = connect(&server, Start { wire: Wire::Json, ..timeless() });
    let base64 = {
        use base64::Engine as _;
        let bytes: Vec<u8> = own.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        base64::engine::general_purpose::STANDARD.encode(bytes)
    };
    let audio = |voice, format, data| {
        ClientMessage::Audio(AudioMessage { voice, rate: 16_000, index: Some(0), format, data })
    };
    client.send(&audio(VoiceName::Own, SampleFormat::Float32, AudioData::Base64(base64))).unwrap();
    client.send(&audio(VoiceName::Partner, SampleFormat::Pcm16, AudioData::Numbers(partner))).unwrap();
    let said = message(&mut client, |message| match message {
        ServerMessage::Motion(motion) => Some(motion),
        _ => None,
    });
    assert_eq!((said.start_frame, said.revision, said.values.len()), (0, false, 1));
    assert!(said.values[0].concat() == expected);
    assert!(said.speaking[3] && said.listening[3]);
}

#[test]
fn half_floats_and_another_space_are_what_the_client_asks_for() {
    let server = server(options());
    let start =
        Start { values: ValueFormat::F16, space: Some(Space::Arkit55), participants: Some(2), ..timeless() };
    let (mut client, started) = connect(&server, start);
    assert_eq!((started.space.as_str(), started.participants, started.channels.len()), ("arkit55", 2, 55));
    for side in Voice::ALL {
        client.send_audio(side, 48_000, None, &voice(0.9, 190.0, 48_000)).unwrap();
    }
    let chunk = motion(&mut client);
    assert_eq!((chunk.participants, chunk.values.len()), (2, 2 * WINDOW * 55));
    let jaw = Space::Arkit55.index("jawOpen").unwrap();
    let opening = chunk.participant(0).unwrap().chunks(55).map(|frame| frame[jaw]);
    assert!(opening.fold(0.0, f32::max) > 0.01);
}

#[test]
fn live_sessions_run_by_the_clock() {
    let server = server(options());
    let (mut client, started) = connect(&server, Start::default());
    client.send(&ClientMessage::Flush { voice: VoiceName::Own }).unwrap();
    let partner = voice(1.6, 120.0, 16_000);
    let began = Instant::now();
    for (index, samples) in partner.chunks(320).enumerate() {
        client.send_audio(Voice::Partner, 16_000, Some(index as u64 * 320), samples).unwrap();
        std::thread::sleep(
            (began + Duration::from_millis(20 * (index as u64 + 1))).duration_since(Instant::now()),
        );
    }
    let first = motion(&mut client);
    assert_eq!((first.start_frame, first.frames()), (0, started.window_frames));
    assert!(!first.voices[5].speaks[0] && first.voices[5].speaks[1]);
    assert_eq!(motion(&mut client).start_frame, WINDOW as u64);
    // The partner stops as well: its samples are missed, and after the stated wait the face goes on.
    let third = motion(&mut client);
    assert_eq!(third.start_frame, 2 * WINDOW as u64);
    assert!(began.elapsed() > Duration::from_millis(2400), "{:?}", began.elapsed());
    let missing = message(&mut client, |message| match message {
        ServerMessage::Timing(timing) if timing.missing[1] > 0 => Some(timing.missing),
        _ => None,
    });
    assert_eq!(missing[0], 0);
}

#[test]
fn an_interruption_is_answered_and_revises_what_is_out() {
    let server = server(options());
    let (mut client, _) = connect(&server, timeless());
    client.send_audio(Voice::Own, 16_000, None, &voice(5.0, 190.0, 16_000)).unwrap();
    client.send_audio(Voice::Partner, 16_000, None, &voice(1.6, 120.0, 16_000)).unwrap();
    motion(&mut client);
    motion(&mut client);
    client.send(&ClientMessage::Interrupt { sample: Some(16_000) }).unwrap();
    let (end, dropped) = message(&mut client, |message| match message {
        ServerMessage::Interrupted { end_sample, dropped } => Some((end_sample, dropped)),
        _ => None,
    });
    assert_eq!((end, dropped), (25_600, 80_000 - 25_600));
    let revision = motion(&mut client);
    assert_eq!((revision.start_frame, revision.is_revision, revision.frames()), (25, true, 15));
}

#[test]
fn settings_and_styles_change_on_the_way() {
    let clip = Motion::new(Space::Flame108, FPS, 1, vec![0.7; 20 * 108], MotionMeta::new()).unwrap();
    let server = server(ServerOptions { styles: [("calm".to_owned(), Arc::new(clip))].into(), ..options() });
    let (mut client, started) = connect(&server, timeless());
    assert_eq!(started.styles, ["calm"]);
    let change = ControlsMessage { liveliness: Some(0.5), cfg: Some(1.0), ..ControlsMessage::default() };
    client.send(&ClientMessage::Controls(change)).unwrap();
    let now = message(&mut client, |message| match message {
        ServerMessage::Controls(controls) => Some(controls),
        _ => None,
    });
    assert_eq!((now.liveliness, now.expression, now.cfg), (Some(0.5), Some(1.0), Some(1.0)));
    let mut refused = |what: &ClientMessage, code: FaultCode| {
        client.send(what).unwrap();
        let fault = message(&mut client, |message| match message {
            ServerMessage::Error(fault) => Some(fault),
            _ => None,
        });
        assert_eq!((fault.code, fault.fatal), (code, false), "{}", fault.what);
        fault
    };
    let bad = ControlsMessage { liveliness: Some(9.0), ..ControlsMessage::default() };
    refused(&ClientMessage::Controls(bad), FaultCode::Argument);
    let fault = refused(&ClientMessage::Style { name: Some("wild".into()) }, FaultCode::Argument);
    assert!(fault.hint.unwrap().contains("calm"));
    refused(&ClientMessage::Start(Box::default()), FaultCode::OutOfOrder);
    client.send(&ClientMessage::Style { name: Some("calm".into()) }).unwrap();
    client.send(&ClientMessage::Ping { id: 7 }).unwrap();
    message(&mut client, |message| matches!(message, ServerMessage::Pong { id: 7 }).then_some(()));
}

#[test]
fn a_session_goes_on_after_a_cut_and_another_connection_takes_over() {
    let server = server(options());
    let (own, partner) = (voice(2.4, 190.0, 16_000), voice(2.4, 120.0, 16_000));
    let expected = expected(&own, &partner);
    let (mut client, started) = connect(&server, timeless());
    let send = |client: &mut Client, from: usize, to: usize| {
        client.send_audio(Voice::Own, 16_000, Some(from as u64), &own[from..to]).unwrap();
        client.send_audio(Voice::Partner, 16_000, Some(from as u64), &partner[from..to]).unwrap();
    };
    send(&mut client, 0, 20_000);
    let mut values = motion(&mut client).values;
    client.stream().shutdown(std::net::Shutdown::Both).unwrap();
    until("the cut is noticed", || server.metrics().sessions_detached.load(Ordering::Relaxed) == 1);
    let again = Start { session: Some(started.session.clone()), ..timeless() };
    let (mut client, resumed) = connect(&server, again.clone());
    assert!(resumed.resumed && resumed.session == started.session);
    assert_eq!((resumed.next_frame, resumed.next_samples), (20, [20_000; 2]));
    send(&mut client, 20_000, own.len());
    values.extend(motion(&mut client).values);
    values.extend(motion(&mut client).values);
    assert!(values == expected);
    // A second connection takes over from one that is still there.
    let (_second, _) = connect(&server, again.clone());
    let fault = message(&mut client, |message| match message {
        ServerMessage::Error(fault) => Some(fault),
        _ => None,
    });
    assert_eq!((fault.code, fault.fatal), (FaultCode::TakenOver, true));
    let stranger = Start { session: Some("0".repeat(32)), ..timeless() };
    assert_eq!(fault_of(try_connect(&server, stranger)).code, FaultCode::UnknownSession);
}

#[test]
fn a_session_that_nobody_comes_back_to_ends() {
    let server = server(ServerOptions { grace: Duration::from_millis(200), ..options() });
    let (client, started) = connect(&server, timeless());
    drop(client);
    until("the session ends", || server.metrics().sessions.load(Ordering::Relaxed) == 0);
    let again = Start { session: Some(started.session), ..timeless() };
    assert_eq!(fault_of(try_connect(&server, again)).code, FaultCode::UnknownSession);
    // Who says goodbye is not waited for.
    let server = common::server(ServerOptions { grace: Duration::from_secs(600), ..options() });
    let (client, _) = connect(&server, timeless());
    until("the session begins", || server.metrics().sessions.load(Ordering::Relaxed) == 1);
    client.close();
    until("the session ends at once", || server.metrics().sessions.load(Ordering::Relaxed) == 0);
}

#[test]
fn there_is_room_for_so_many_and_running_ones_are_not_disturbed() {
    let server = server(ServerOptions { max_sessions: 2, ..options() });
    let (mut first, _) = connect(&server, timeless());
    let (_second, _) = connect(&server, timeless());
    let fault = fault_of(try_connect(&server, timeless()));
    assert_eq!((fault.code, fault.fatal), (FaultCode::Overloaded, true));
    assert!(fault.hint.is_some());
    assert_eq!(server.metrics().refused_total.load(Ordering::Relaxed), 1);
    for side in Voice::ALL {
        first.send_audio(side, 16_000, None, &voice(0.8, 150.0, 16_000)).unwrap();
    }
    assert_eq!(motion(&mut first).frames(), WINDOW);
}

#[test]
fn tokens_are_asked_for() {
    let server = server(ServerOptions { token: Some("a long secret".into()), ..options() });
    for token in [None, Some("a long secreT"), Some("")] {
        let start = Start { token: token.map(str::to_owned), ..timeless() };
        let fault = fault_of(try_connect(&server, start));
        assert_eq!((fault.code, fault.fatal), (FaultCode::Unauthorized, true));
    }
    connect(&server, Start { token: Some("a long secret".into()), ..timeless() });
    assert_eq!(request(&server, "GET /metrics HTTP/1.1", &[], b"").0, 401);
    let bearer = ["Authorization: Bearer a long secret"];
    assert_eq!(request(&server, "GET /metrics HTTP/1.1", &bearer, b"").0, 200);
    assert_eq!(request(&server, "POST /animate HTTP/1.1", &[], b"x").0, 401);
    assert_eq!(request(&server, "GET /health HTTP/1.1", &[], b"").0, 200);
    let open = ServerOptions { bind: ([0, 0, 0, 0], 0).into(), ..options() };
    let error = Server::start(model(), open.clone()).unwrap_err();
    assert!(error.hint().unwrap().contains("--token"), "{error}");
    Server::start(model(), ServerOptions { allow_open: true, ..open }).unwrap().stop();
    assert!(Server::start(model(), ServerOptions { token: Some("short".into()), ..options() }).is_err());
}

/// One request by hand: status and body.
fn request(server: &Server, line: &str, headers: &[&str], body: &[u8]) -> (u16, Vec<u8>) {
    let host = format!("Host: {}", server.address());
    let has_host = headers.iter().any(|header| header.starts_with("Host:"));
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut text = format!("{line}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for header in headers.iter().copied().chain((!has_host).then_some(host.as_str())) {
        text += &format!("{header}\r\n");
    }
    stream.write_all(format!("{text}\r\n").as_bytes()).unwrap();
    // A server that refuses early may close before all is written.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..split]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer.get(split + 4..).unwrap_or_default().to_vec())
}

#[test]
fn pages_of_strangers_are_kept_out() {
    let server = server(ServerOptions { origins: vec!["https://friend.example".into()], ..options() });
    let get = |headers: &[&str]| request(&server, "GET /health HTTP/1.1", headers, b"").0;
    let own = format!("Origin: http://{}", server.address());
    assert_eq!(get(&[]), 200);
    assert_eq!(get(&[&own]), 200);
    assert_eq!(get(&["Origin: https://friend.example"]), 200);
    assert_eq!(get(&["Origin: https://stranger.example"]), 403);
    assert_eq!(get(&["Origin: null"]), 403);
    // A stranger's name that points to this machine.
    assert_eq!(get(&["Host: stranger.example:8730", "Origin: http://stranger.example:8730"]), 403);
    assert_eq!(get(&["Host: stranger.example:8730"]), 403);
}

#[test]
fn whole_files_become_motion_in_any_format() {
    let server = server(options());
    let flac = std::fs::read(fixture("audio/tone.flac")).unwrap();
    for (format, begins) in [("npz", &b"PK"[..]), ("csv", b"# motion"), ("json", b"{"), ("npy", b"\x93NUMPY")]
    {
        let line = format!("POST /animate?format={format} HTTP/1.1");
        let (status, body) = request(&server, &line, &[], &flac);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        assert!(body.starts_with(begins), "{format}");
        if format == "csv" {
            let text = String::from_utf8(body).unwrap();
            let (status, scene) =
                request(&server, "POST /convert?from=csv&to=npz HTTP/1.1", &[], text.as_bytes());
            assert!(status == 200 && scene.starts_with(b"PK"));
        }
    }
    let refused = |line: &str, body: &[u8]| {
        let (status, body) = request(&server, line, &[], body);
        assert!((400..500).contains(&status), "{status} {}", String::from_utf8_lossy(&body));
        String::from_utf8_lossy(&body).into_owned()
    };
    assert!(refused("POST /animate HTTP/1.1", b"this is no sound").contains("what"));
    refused("POST /animate?format=mp3 HTTP/1.1", &flac);
    refused("POST /animate?participants=3 HTTP/1.1", &flac);
    refused("POST /animate?wrong=1 HTTP/1.1", &flac);
    assert!(
        refused("POST /animate?format=glb HTTP/1.1", &flac).contains("arkit55"),
        "FLAME's motion has no scene"
    );
    let arkit = Motion::new(Space::Arkit55, FPS, 2, vec![0.1; 2 * 30 * 55], MotionMeta::new()).unwrap();
    let mut json = Vec::new();
    unils::file::write_motion_to(unils::file::MotionFormat::Json, &mut json, &arkit).unwrap();
    let (status, scene) = request(&server, "POST /convert?from=json&to=glb HTTP/1.1", &[], &json);
    assert!(status == 200 && scene.starts_with(b"glTF"));
}

#[test]
fn the_page_and_the_counts_are_there() {
    let server = server(options());
    let (status, page) = request(&server, "GET / HTTP/1.1", &[], b"");
    assert!(status == 200 && String::from_utf8(page).unwrap().contains("<canvas"));
    let (status, head) = request(&server, "GET /head.glb HTTP/1.1", &[], b"");
    assert!(status == 200 && head.starts_with(b"glTF"));
    assert_eq!(request(&server, "GET /../Cargo.toml HTTP/1.1", &[], b"").0, 404);
    let (_, metrics) = request(&server, "GET /metrics HTTP/1.1", &[], b"");
    let metrics = String::from_utf8(metrics).unwrap();
    for name in [
        "unils_sessions ",
        "unils_step_seconds_bucket",
        "unils_real_time_factor",
        "unils_frames_dropped_total",
    ] {
        assert!(metrics.contains(name), "{name}");
    }
}

#[test]
fn a_server_that_stops_tells_everybody() {
    let server = server(options());
    let (mut client, _) = connect(&server, timeless());
    let stopping = std::thread::spawn(move || server.stop());
    let fault = message(&mut client, |message| match message {
        ServerMessage::Error(fault) => Some(fault),
        _ => None,
    });
    assert_eq!((fault.code, fault.fatal), (FaultCode::Shutdown, true));
    stopping.join().unwrap();
}
