use crate::hub_server::{COMMIT, Faults, Server};
use crate::support::*;

const LICENSE: &str = "--accept-license CC-BY-NC-4.0";

fn large() -> Vec<u8> {
    (0..300_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn server(faults: Faults) -> Server {
    let weights = large();
    let encoder: Vec<u8> = weights.iter().rev().copied().collect();
    let config = br#"{"model_type": "wav2vec2"}"#;
    Server::start(
        &[
            (
                "xg-chu/UniLS",
                &[("README.md", b"# UniLS"), ("unils_codec.pt", b"codec"), ("unils_gen.pt", &weights)],
            ),
            ("facebook/wav2vec2-xls-r-300m", &[("config.json", config), ("pytorch_model.bin", &encoder)]),
        ],
        faults,
    )
}

fn fetch(folder: &Folder, server: &Server, line: &str) -> Ran {
    ran(program(folder).env("HF_ENDPOINT", &server.endpoint).arg("fetch").args(line.split_whitespace()))
}

#[test]
fn weights_and_encoder_come_into_the_cache() {
    let folder = Folder::new();
    let server = server(Faults::default());
    let done = ran(program(&folder).env("HF_ENDPOINT", &server.endpoint).env("HF_TOKEN", "secret").args([
        "fetch",
        "--json",
        "--accept-license",
        "cc-by-nc-4.0",
    ]));
    let json = done.json();
    assert!(done.err.contains("CC-BY-NC-4.0") && done.err.contains("no commercial use"), "{}", done.err);
    assert_eq!((&json[0]["commit"], &json[0]["files"][0]["is_new"]), (&COMMIT.into(), &true.into()));
    assert_eq!(std::fs::read(folder.file("cache/weights/unils_gen.pt")).unwrap(), large());
    let encoder = folder.file("cache/encoders/facebook--wav2vec2-xls-r-300m");
    assert!(encoder.join("config.json").is_file() && encoder.join("pytorch_model.bin").is_file());
    let record = std::fs::read_to_string(folder.file("cache/weights/fetched.json")).unwrap();
    assert!(
        record.contains("\"accepted_license\": \"CC-BY-NC-4.0\"") && record.contains("sha256:"),
        "{record}"
    );
    assert!(server.requests().iter().all(|request| request.token.as_deref() == Some("Bearer secret")));

    // The second time nothing is downloaded.
    let before = server.requests().len();
    let json = fetch(&folder, &server, &format!("--json {LICENSE}")).json();
    assert_eq!(json[1]["files"][1]["is_new"], false);
    assert!(server.requests()[before..].iter().all(|request| request.path.starts_with("/api/")));
    // A file that was placed by hand is recognised by its checksum, a damaged one is replaced.
    std::fs::remove_file(folder.file("cache/weights/fetched.json")).unwrap();
    assert_eq!(
        fetch(&folder, &server, &format!("--json weights {LICENSE}")).json()[0]["files"][0]["is_new"],
        false
    );
    std::fs::remove_file(folder.file("cache/weights/fetched.json")).unwrap();
    std::fs::write(folder.file("cache/weights/unils_gen.pt"), vec![0; 300_000]).unwrap();
    assert_eq!(
        fetch(&folder, &server, &format!("--json weights {LICENSE}")).json()[0]["files"][0]["is_new"],
        true
    );
    assert_eq!(std::fs::read(folder.file("cache/weights/unils_gen.pt")).unwrap(), large());
}

#[test]
fn the_licence_must_be_accepted_by_name() {
    let folder = Folder::new();
    let server = server(Faults::default());
    for line in ["", "weights", "weights --accept-license yes", "weights encoder --accept-license MIT"] {
        fetch(&folder, &server, line)
            .fails(2, "Attribution-NonCommercial")
            .hints("--accept-license CC-BY-NC-4.0");
    }
    assert_eq!(server.requests().len(), 0, "nothing is asked before");
    fetch(&folder, &server, "encoder").succeeds();
    let list = fetch(&folder, &server, "weights --list");
    assert!(list.succeeds().out.contains("unils_gen.pt") && list.out.contains("300 kB"), "{}", list.out);
    assert!(!folder.file("cache/weights").exists());
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let folder = Folder::new();
    // Cut twice in one run: the program tries again by itself.
    let server = server(Faults { cut: Some((100_000, 2)), ..Faults::default() });
    fetch(&folder, &server, &format!("weights {LICENSE}")).succeeds();
    assert_eq!(std::fs::read(folder.file("cache/weights/unils_gen.pt")).unwrap(), large());
    let ranges: Vec<_> = server.requests().into_iter().filter_map(|request| request.range).collect();
    assert_eq!(ranges, ["bytes=100000-", "bytes=200000-"]);

    // Cut with no attempts left: the next run goes on.
    let folder = Folder::new();
    server.set(Faults { cut: Some((120_000, 1)), ..Faults::default() });
    fetch(&folder, &server, &format!("weights {LICENSE} --retries 0"))
        .fails(7, "unils_gen.pt")
        .hints("goes on where it stopped");
    assert!(!folder.file("cache/weights/unils_gen.pt").exists());
    fetch(&folder, &server, &format!("weights {LICENSE} --retries 0")).succeeds();
    assert_eq!(server.requests().last().unwrap().range.as_deref(), Some("bytes=120000-"));
    assert_eq!(std::fs::read(folder.file("cache/weights/unils_gen.pt")).unwrap(), large());

    // A server that knows no ranges sends all of it again.
    let folder = Folder::new();
    server.set(Faults { cut: Some((120_000, 1)), ignores_ranges: true, ..Faults::default() });
    fetch(&folder, &server, &format!("weights {LICENSE}")).succeeds();
    assert_eq!(std::fs::read(folder.file("cache/weights/unils_gen.pt")).unwrap(), large());
    assert_eq!(
        std::fs::read_dir(folder.file("cache/weights")).unwrap().count(),
        2,
        "file and record, no part"
    );
}

#[test]
fn wrong_bytes_are_not_kept() {
    let folder = Folder::new();
    let server = server(Faults { wrong_content: true, ..Faults::default() });
    for line in [format!("weights {LICENSE}"), "encoder".to_owned()] {
        fetch(&folder, &server, &line).fails(7, "checksum is wrong").hints("run the command again");
    }
    for below in ["weights", "encoders/facebook--wav2vec2-xls-r-300m"] {
        assert_eq!(std::fs::read_dir(folder.file("cache").join(below)).unwrap().count(), 0, "{below}");
    }
    server.set(Faults::default());
    fetch(&folder, &server, LICENSE).succeeds();
}

#[test]
fn refusals_say_what_to_do() {
    let folder = Folder::new();
    let server = server(Faults::default());
    for (status, what, hint) in
        [(401, "401", "HF_TOKEN"), (403, "403", "HF_TOKEN"), (404, "404", "names of repository")]
    {
        server.set(Faults { status: Some(status), ..Faults::default() });
        let before = server.requests().len();
        fetch(&folder, &server, "encoder").fails(7, what).hints(hint);
        assert_eq!(server.requests().len(), before + 1, "a refusal is final");
    }
    server.set(Faults { status: Some(503), ..Faults::default() });
    let before = server.requests().len();
    fetch(&folder, &server, "encoder --retries 1").fails(7, "503").hints("try again later");
    assert_eq!(server.requests().len(), before + 2);
    server.set(Faults::default());
    fetch(&folder, &server, "encoder --encoder-repository a/b").fails(7, "404");
    fetch(&folder, &server, &format!("weights --file x.pt {LICENSE}"))
        .fails(7, "no file x.pt")
        .hints("unils_gen.pt");
    fetch(&folder, &server, &format!("weights --file unils_codec.pt {LICENSE}")).succeeds();
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    let folder = Folder::new();
    let server = server(Faults { extra_name: Some("../../evil.pt".to_owned()), ..Faults::default() });
    fetch(&folder, &server, &format!("weights --file ../../evil.pt {LICENSE}"))
        .fails(7, "no name for a file");
}

#[test]
fn without_a_network_it_says_what_to_place_where() {
    let folder = Folder::new();
    // A port that was free a moment ago refuses connections.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let mut command = program(&folder);
    let ran =
        ran(command.env("HF_ENDPOINT", &endpoint).args(["fetch", "--retries", "0"]).args(LICENSE.split(' ')));
    ran.fails(7, "no connection").hints("Without a network");
    for place in
        ["xg-chu/UniLS", "facebook/wav2vec2-xls-r-300m", "cache/weights", "config.json", "--checkpoint"]
    {
        ran.hints(place);
    }
    let ran = crate::support::ran(program(&folder).env("HF_ENDPOINT", "ftp://x").args(["fetch", "encoder"]));
    ran.fails(2, "HF_ENDPOINT");
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_a_stalled_download_at_once_and_keeps_what_came() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    let folder = Folder::new();
    let server = server(Faults { stalls_after: Some(50_000), ..Faults::default() });
    let mut command = program(&folder);
    command.env("HF_ENDPOINT", &server.endpoint).args(["fetch", "weights"]).args(LICENSE.split(' '));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let part = || {
        let entries = std::fs::read_dir(folder.file("cache/weights")).into_iter().flatten();
        let mut sizes = entries.map(|entry| entry.unwrap().metadata().unwrap().len());
        sizes.next()
    };
    let begun = Instant::now();
    while part() != Some(50_000) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", part());
        std::thread::sleep(Duration::from_millis(20));
    }
    let pressed = Instant::now();
    signal(&child, "-INT");
    assert_eq!(wait(&mut child), 130);
    assert!(pressed.elapsed() < Duration::from_secs(5));
    server.set(Faults::default());
    fetch(&folder, &server, &format!("weights {LICENSE}")).succeeds();
    assert_eq!(server.requests().last().unwrap().range.as_deref(), Some("bytes=50000-"));
    assert_eq!(std::fs::read(folder.file("cache/weights/unils_gen.pt")).unwrap(), large());
}
