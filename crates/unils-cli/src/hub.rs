//! Files from a Hugging Face hub: listing a repository, downloading with resume, checking what came.
//!
//! Two routes of the hub are used: `/api/models/<repository>/revision/<revision>?blobs=true` for the commit and its
//! files with sizes and checksums, and `/<repository>/resolve/<commit>/<file>` for the bytes. All files are of that
//! one commit. A download goes to a hidden `.part` file, which stays when the connection breaks; the next attempt
//! asks for the rest only. A file gets its name after its size and checksum were found right.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use unils::Error;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use crate::exit::NetworkError;

const HUB: &str = "https://huggingface.co";
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(20);
/// Longest silence in an answer.
const SILENCE: Duration = Duration::from_secs(30);
/// Pause before the first further attempt; each later one is twice as long, up to 64 times.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest list of files that is read.
const LIST_BYTES: u64 = 32 << 20;

/// A hub and how to talk to it.
#[derive(Debug)]
pub struct Hub {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
    retries: u8,
}

/// One commit of a repository.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Repository, `owner/name`.
    pub repository: String,
    /// The commit's hash.
    pub commit: String,
    /// Its files, by name.
    pub files: Vec<RemoteFile>,
}

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Path in the repository.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// What its content must hash to.
    pub checksum: Option<Checksum>,
}

/// A checksum in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// Of a large file: SHA-256 of its bytes.
    Sha256(String),
    /// Of a small file: git's object name, SHA-1 of a header and its bytes.
    Git(String),
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sha256(digits) => write!(f, "sha256:{digits}"),
            Self::Git(digits) => write!(f, "git:{digits}"),
        }
    }
}

#[derive(Deserialize)]
struct Description {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

/// Why an attempt failed, and whether another may help.
enum Failure {
    /// A connection that broke, a server that is overloaded.
    Passing(NetworkError),
    /// Anything else.
    Final(anyhow::Error),
}

impl Hub {
    /// The hub that the environment names, with `retries` attempts after a failed one.
    ///
    /// # Errors
    /// [`Error::Argument`] for an address that is none.
    pub fn from_environment(retries: u8) -> anyhow::Result<Self> {
        let variable =
            |name| std::env::var(name).ok().map(|text| text.trim().to_owned()).filter(|t| !t.is_empty());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned());
        if !(endpoint.starts_with("https://") || endpoint.starts_with("http://")) {
            let error = Error::argument("HF_ENDPOINT", format!("{endpoint} is no web address"));
            return Err(error.with_hint(format!("unset it to use {HUB}")).into());
        }
        let config = Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .timeout_resolve(Some(CONNECT))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(SILENCE))
            .http_status_as_error(false)
            // Files come from other hosts by redirection: these must not see the token.
            .redirect_auth_headers(ureq::config::RedirectAuthHeaders::SameHost)
            .user_agent(concat!("unils/", env!("CARGO_PKG_VERSION")))
            .build();
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Ok(Self { agent: config.into(), endpoint, token: variable("HF_TOKEN"), retries })
    }

    /// The web page of a repository.
    pub fn page(&self, repository: &str) -> String {
        format!("{}/{repository}", self.endpoint)
    }

    /// Lists a commit's files.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn list(&self, repository: &str, revision: &str) -> anyhow::Result<Snapshot> {
        // A branch may have slashes, which are one part of the address here.
        let revision = revision.replace('/', "%2F");
        let url = format!("{}/api/models/{repository}/revision/{revision}?blobs=true", self.endpoint);
        let text = self.retrying(&mut |_| {
            let response = self.get(&url, 0)?;
            expect_success(&response, repository, StatusCode::OK)?;
            let mut text = Vec::new();
            let reader = response.into_body().into_reader();
            reader.take(LIST_BYTES).read_to_end(&mut text).map_err(|error| broken(&url, &error))?;
            Ok(text)
        })?;
        let description: Description = serde_json::from_slice(&text).map_err(|error| NetworkError {
            what: format!("{url}: the answer is no list of files: {error}"),
            hint: Some("is HF_ENDPOINT a Hugging Face hub, or does a proxy answer in its place?".to_owned()),
        })?;
        let strange = |what: String| NetworkError { what: format!("{url}: {what}"), hint: None };
        if !is_hex(&description.sha) {
            return Err(strange("the answer names no commit".to_owned()).into());
        }
        let mut files = Vec::with_capacity(description.siblings.len());
        for sibling in description.siblings {
            if !is_plain_path(&sibling.rfilename) {
                return Err(strange(format!("{:?} is no name for a file", sibling.rfilename)).into());
            }
            let large = sibling.lfs.as_ref().and_then(|lfs| lfs.sha256.clone());
            let checksum = match (large, sibling.blob_id) {
                (Some(digits), _) => Some(Checksum::Sha256(digits.to_ascii_lowercase())),
                (None, Some(digits)) if sibling.lfs.is_none() => {
                    Some(Checksum::Git(digits.to_ascii_lowercase()))
                }
                (None, _) => None,
            };
            let bytes = sibling.lfs.and_then(|lfs| lfs.size).or(sibling.size);
            let Some(bytes) = bytes else {
                return Err(
                    strange(format!("the answer does not say the size of {}", sibling.rfilename)).into()
                );
            };
            files.push(RemoteFile { name: sibling.rfilename, bytes, checksum });
        }
        Ok(Snapshot { repository: repository.to_owned(), commit: description.sha, files })
    }

    /// Downloads a file of a snapshot to `target`, whose folder exists. `progress` hears the bytes that are there.
    ///
    /// # Errors
    /// [`NetworkError`], also for a wrong checksum; [`Error::Io`]. What came so far stays for the next time, except
    /// after a wrong checksum.
    pub fn download(
        &self,
        snapshot: &Snapshot,
        file: &RemoteFile,
        target: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> anyhow::Result<()> {
        let part = part_path(target, file);
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| anyhow::Error::from(Error::io(action, path, source))
        };
        let options = OpenOptions::new().create(true).append(true).read(true).open(&part);
        let mut output = options.map_err(io("create", &part))?;
        match output.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let busy =
                    io::Error::new(io::ErrorKind::ResourceBusy, "another `unils fetch` is downloading it");
                return Err(io("write", &part)(busy));
            }
            // Some network file systems have no locks.
            Err(TryLockError::Error(_)) => {}
        }
        let url = format!(
            "{}/{}/resolve/{}/{}",
            self.endpoint,
            snapshot.repository,
            snapshot.commit,
            escape(&file.name)
        );
        self.retrying(&mut |attempt| self.download_rest(&url, file, &part, &mut output, attempt, progress))?;
        output.sync_all().map_err(io("write", &part))?;
        // Read through the same handle: elsewhere than on Unix its lock keeps all others out.
        if !is_right(&mut output, file).map_err(io("read", &part))? {
            fs::remove_file(&part).map_err(io("remove", &part))?;
            let what =
                format!("{url}: the checksum is wrong: what came is damaged or not what the hub describes");
            let hint =
                "run the command again; if it persists, something on the way (a proxy?) changes downloads";
            return Err(NetworkError { what, hint: Some(hint.to_owned()) }.into());
        }
        fs::rename(&part, target).map_err(io("create", target))
    }

    /// One attempt to bring `part` to its full size.
    fn download_rest(
        &self,
        url: &str,
        file: &RemoteFile,
        part: &Path,
        output: &mut File,
        attempt: u8,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let fail = |action, source| Failure::Final(Error::io(action, part, source).into());
        let mut done = output.metadata().map_err(|error| fail("read", error))?.len();
        if done > file.bytes {
            output.set_len(0).map_err(|error| fail("write", error))?;
            done = 0;
        }
        progress(done);
        if done == file.bytes {
            return Ok(());
        }
        let response = self.get(url, done)?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && attempt == 0 {
            output.set_len(0).map_err(|error| fail("write", error))?;
            return Err(Failure::Passing(refusal(url, response.status())));
        }
        if done > 0 && response.status() == StatusCode::OK {
            // The server sends the whole file instead of the rest.
            output.set_len(0).map_err(|error| fail("write", error))?;
            done = 0;
        } else if done > 0 {
            expect_success(&response, url, StatusCode::PARTIAL_CONTENT)?;
            check_range(&response, url, done, file.bytes)?;
        } else {
            expect_success(&response, url, StatusCode::OK)?;
        }
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 17];
        while done < file.bytes {
            let wanted = buffer.len().min(usize::try_from(file.bytes - done).unwrap_or(usize::MAX));
            let count = match reader.read(&mut buffer[..wanted]) {
                Ok(0) => return Err(broken(url, &io::Error::from(io::ErrorKind::UnexpectedEof))),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken(url, &error)),
            };
            output.write_all(&buffer[..count]).map_err(|error| fail("write", error))?;
            done += count as u64;
            progress(done);
        }
        Ok(())
    }

    /// A request for a file from byte `start` on.
    fn get(&self, url: &str, start: u64) -> Result<Response<Body>, Failure> {
        let mut request = self.agent.get(url);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if start > 0 {
            request = request.header("Range", format!("bytes={start}-"));
        }
        request.call().map_err(|error| match error {
            ureq::Error::Io(error) => broken(url, &error),
            ureq::Error::Timeout(_) | ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
                broken(url, &error)
            }
            other => Failure::Final(NetworkError { what: format!("{url}: {other}"), hint: None }.into()),
        })
    }

    /// Repeats `attempt` while its failures may pass, with growing pauses.
    fn retrying<T>(&self, attempt: &mut dyn FnMut(u8) -> Result<T, Failure>) -> anyhow::Result<T> {
        let mut count = 0;
        loop {
            match attempt(count) {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(error)) if count >= self.retries => return Err(error.into()),
                Err(Failure::Passing(_)) => std::thread::sleep(PAUSE * (1 << count.min(6))),
            }
            count += 1;
        }
    }
}

/// A connection that failed or broke.
fn broken(url: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::Passing(NetworkError { what: format!("{url}: no connection: {error}"), hint: None })
}

fn expect_success(response: &Response<Body>, what: &str, expected: StatusCode) -> Result<(), Failure> {
    let status = response.status();
    if status == expected {
        return Ok(());
    }
    let error = refusal(what, status);
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(Failure::Passing(error));
    }
    Err(Failure::Final(error.into()))
}

/// What a server's status means here.
fn refusal(what: &str, status: StatusCode) -> NetworkError {
    let hint = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some(
            "the repository may be private or ask for consent on its web page: give consent there, and set HF_TOKEN",
        ),
        StatusCode::NOT_FOUND => {
            Some("check the names of repository, revision and file; `--list` shows what is there")
        }
        StatusCode::TOO_MANY_REQUESTS => Some("the hub limits requests: wait some minutes, or set HF_TOKEN"),
        _ if status.is_server_error() => Some("the hub has a problem: try again later"),
        _ => None,
    };
    NetworkError { what: format!("{what}: the server says {status}"), hint: hint.map(str::to_owned) }
}

/// That a partial answer is the part that was asked for.
fn check_range(response: &Response<Body>, url: &str, start: u64, size: u64) -> Result<(), Failure> {
    let range =
        response.headers().get("Content-Range").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if range.starts_with(&format!("bytes {start}-")) && range.ends_with(&format!("/{size}")) {
        return Ok(());
    }
    let what = format!("{url}: asked for the bytes from {start} of {size}, got {range:?}");
    Err(Failure::Final(NetworkError { what, hint: None }.into()))
}

/// The hidden file that a download gathers in. Its name has the content's checksum, so that a file that changed in
/// the repository begins anew.
fn part_path(target: &Path, file: &RemoteFile) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    let mark = match &file.checksum {
        Some(Checksum::Sha256(digits) | Checksum::Git(digits)) => digits.get(..12).unwrap_or(digits),
        None => "unknown",
    };
    name.push(format!(".{mark}.part"));
    target.with_file_name(name)
}

/// Whether a file on the disk has the size and checksum that the hub describes.
///
/// # Errors
/// Those of reading it.
pub fn has_checksum(path: &Path, file: &RemoteFile) -> io::Result<bool> {
    is_right(&mut File::open(path)?, file)
}

fn is_right(input: &mut File, file: &RemoteFile) -> io::Result<bool> {
    if input.metadata()?.len() != file.bytes {
        return Ok(false);
    }
    input.rewind()?;
    Ok(match &file.checksum {
        None => true,
        Some(Checksum::Sha256(digits)) => hash(input, Sha256::new())? == *digits,
        Some(Checksum::Git(digits)) => {
            hash(input, Sha1::new_with_prefix(format!("blob {}\0", file.bytes)))? == *digits
        }
    })
}

fn hash(input: &mut impl Read, mut digest: impl Digest) -> io::Result<String> {
    let mut buffer = vec![0; 1 << 17];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => digest.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A relative path that stays below its folder on every system.
fn is_plain_path(name: &str) -> bool {
    let is_plain = |component| matches!(component, Component::Normal(_));
    !name.is_empty()
        && !name.contains(['\\', ':', '\0'])
        && !name.chars().any(char::is_control)
        && Path::new(name).components().all(is_plain)
}

/// A path for a web address.
fn escape(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text += &format!("%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_outside_stay_in_their_folder() {
        for good in ["config.json", "weights/unils.pt", "a..b"] {
            assert!(is_plain_path(good), "{good}");
        }
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "C:x", "a\\b", "./x", "a\nb"] {
            assert!(!is_plain_path(bad), "{bad:?}");
        }
        assert_eq!(escape("weights/a b#1.pt"), "weights/a%20b%231.pt");
    }

    #[test]
    fn checksums_are_those_of_the_hub() {
        let path = std::env::temp_dir().join(format!("unils-hub-{}", std::process::id()));
        fs::write(&path, "hello\n").unwrap();
        let file = |checksum| RemoteFile { name: "x".into(), bytes: 6, checksum: Some(checksum) };
        // `sha256sum` and `git hash-object` of the same six bytes.
        let large = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let small = "ce013625030ba8dba906f756967f9e9ca394464a";
        assert!(has_checksum(&path, &file(Checksum::Sha256(large.into()))).unwrap());
        assert!(has_checksum(&path, &file(Checksum::Git(small.into()))).unwrap());
        assert!(!has_checksum(&path, &file(Checksum::Git(large[..40].into()))).unwrap());
        fs::remove_file(&path).unwrap();
    }
}
