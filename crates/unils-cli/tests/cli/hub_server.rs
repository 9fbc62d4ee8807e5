//! A hub on this machine: the two routes that `fetch` uses, with faults to order.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sha1::Sha1;
use sha2::{Digest, Sha256};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// How the server behaves.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Answers everything with this status.
    pub status: Option<u16>,
    /// Cuts so many of the first answers with content after this many bytes.
    pub cut: Option<(usize, usize)>,
    /// Sends the whole file when a part is asked for.
    pub ignores_ranges: bool,
    /// Sends so many bytes of content and then nothing, without closing the connection.
    pub stalls_after: Option<usize>,
    /// Sends other bytes than it describes.
    pub wrong_content: bool,
    /// Name of a further file in the description.
    pub extra_name: Option<String>,
}

/// A repository's name and its files.
pub type Repository<'r> = (&'r str, &'r [(&'r str, &'r [u8])]);

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
}

#[derive(Debug)]
struct State {
    repositories: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    faults: Faults,
    requests: Vec<Request>,
}

/// The server; it ends with the test's process.
pub struct Server {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub fn start(repositories: &[Repository<'_>], faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let files = |files: &[(&str, &[u8])]| {
            files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
        };
        let repositories =
            repositories.iter().map(|(name, content)| ((*name).to_owned(), files(content))).collect();
        let state = Arc::new(Mutex::new(State { repositories, faults, requests: Vec::new() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A client that went away is no fault of the server.
                std::thread::spawn(move || drop(serve(stream, &state)));
            }
        });
        Self { endpoint, state }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    pub fn set(&self, faults: Faults) {
        self.state.lock().unwrap().faults = faults;
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = Request { path: path.clone(), range: None, token: None };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = Some(value.to_owned()),
            "authorization" => request.token = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut state = state.lock().unwrap();
    state.requests.push(request.clone());
    if let Some(status) = state.faults.status {
        return answer(&mut stream, status, "", b"", usize::MAX);
    }
    if let Some(rest) = path.strip_prefix("/api/models/") {
        let (repository, _) = rest.split_once("/revision/").unwrap_or((rest, ""));
        return match state.repositories.get(repository) {
            None => answer(&mut stream, 404, "", b"", usize::MAX),
            Some(files) => {
                let text = describe(files, state.faults.extra_name.as_deref());
                answer(&mut stream, 200, "", text.as_bytes(), usize::MAX)
            }
        };
    }
    let mark = format!("/resolve/{COMMIT}/");
    let content = path.trim_start_matches('/').split_once(&mark);
    let content =
        content.and_then(|(repository, name)| state.repositories.get(repository)?.get(name).cloned());
    let Some(mut content) = content else {
        return answer(&mut stream, 404, "", b"", usize::MAX);
    };
    if state.faults.wrong_content {
        content[0] ^= 1;
    }
    if let Some(after) = state.faults.stalls_after {
        drop(state);
        answer(&mut stream, 200, "", &content, after)?;
        std::thread::sleep(std::time::Duration::from_secs(120));
        return Ok(());
    }
    let cut = match &mut state.faults.cut {
        Some((after, times)) if *times > 0 => {
            *times -= 1;
            *after
        }
        _ => usize::MAX,
    };
    let start = request
        .range
        .as_deref()
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    match start.filter(|_| !state.faults.ignores_ranges) {
        None => answer(&mut stream, 200, "", &content, cut),
        Some(start) if start >= content.len() => answer(&mut stream, 416, "", b"", cut),
        Some(start) => {
            let (last, size) = (content.len() - 1, content.len());
            let header = format!("Content-Range: bytes {start}-{last}/{size}\r\n");
            answer(&mut stream, 206, &header, &content[start..], cut)
        }
    }
}

fn answer(stream: &mut TcpStream, status: u16, header: &str, body: &[u8], cut: usize) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n{header}\r\n",
        body.len()
    )?;
    stream.write_all(&body[..body.len().min(cut)])
}

/// Large files have a SHA-256, small ones git's name.
fn describe(files: &BTreeMap<String, Vec<u8>>, extra: Option<&str>) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut siblings: Vec<_> = files
        .iter()
        .map(|(name, bytes)| {
            let git = Sha1::new_with_prefix(format!("blob {}\0", bytes.len())).chain_update(bytes).finalize();
            let mut entry =
                serde_json::json!({ "rfilename": name, "size": bytes.len(), "blobId": hex(&git) });
            if bytes.len() > 1000 {
                entry["lfs"] =
                    serde_json::json!({ "sha256": hex(&Sha256::digest(bytes)), "size": bytes.len() });
            }
            entry
        })
        .collect();
    siblings.extend(extra.map(|name| serde_json::json!({ "rfilename": name, "size": 1 })));
    serde_json::json!({ "sha": COMMIT, "siblings": siblings }).to_string()
}
