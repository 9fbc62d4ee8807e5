//! Programs beside a browser, ended with it.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program that runs as long as this lives.
pub struct Helper(Child);

impl Helper {
    /// `None` where there is no such program.
    pub fn start(command: &mut Command) -> Option<Self> {
        command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().ok().map(Self)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A screen that nobody sees, and its name: some browsers draw in three dimensions only where there is one.
pub fn screen() -> Option<(Helper, String)> {
    let mut command = Command::new("Xvfb");
    command.args(["-displayfd", "1", "-screen", "0", "1280x1024x24", "-nolisten", "tcp"]);
    let mut helper = Helper::start(command.stdout(Stdio::piped()))?;
    let mut number = String::new();
    BufReader::new(helper.0.stdout.take()?).read_line(&mut number).ok()?;
    let number = number.trim();
    (!number.is_empty()).then(|| (helper, format!(":{number}")))
}

/// A sound device that nobody hears, and its address, in a folder.
pub fn sound(folder: &Path) -> Option<(Helper, String)> {
    let socket = folder.join("sound");
    let protocol = format!("module-native-protocol-unix socket={} auth-anonymous=1", socket.display());
    let mut command = Command::new("pulseaudio");
    command.args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "-L"]);
    command.args([OsStr::new("module-null-sink"), "-L".as_ref(), protocol.as_ref()]);
    command.env("XDG_RUNTIME_DIR", folder).env("PULSE_RUNTIME_PATH", folder);
    let helper = Helper::start(command.stdout(Stdio::null()))?;
    let began = Instant::now();
    while !socket.exists() {
        if began.elapsed() > Duration::from_secs(20) {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Some((helper, format!("unix:{}", socket.display())))
}
