//! Chromium through its debugging protocol.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::helper::Helper;
use super::{Folder, Protocol, Wire};
use crate::common;

/// A Chromium with one page.
pub struct Chromium {
    wire: Wire,
    // In this order: the program ends before its folder goes.
    _program: Helper,
    _folder: Folder,
}

impl Chromium {
    /// `None` where there is none; `UNILS_CHROMIUM` names another program than `chromium`.
    pub fn start() -> Option<Self> {
        let folder = Folder::new();
        let mut command = Command::new(std::env::var("UNILS_CHROMIUM").unwrap_or("chromium".to_owned()));
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--use-angle=swiftshader",
            "--enable-unsafe-swiftshader",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--autoplay-policy=no-user-gesture-required",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            "--remote-debugging-port=0",
            "about:blank",
        ]);
        command.arg(format!("--user-data-dir={}", folder.0.display()));
        let program = Helper::start(command.stdout(Stdio::null()))?;
        let port_file = folder.0.join("DevToolsActivePort");
        let mut port = String::new();
        common::until("Chromium's start", || {
            port = std::fs::read_to_string(&port_file).unwrap_or_default();
            port.lines().count() >= 2
        });
        let address = format!("127.0.0.1:{}", port.lines().next().unwrap());
        let mut url = String::new();
        common::until("Chromium's page", || {
            url = page_url(&address).unwrap_or_default();
            !url.is_empty()
        });
        let mut browser = Self { wire: Wire::connect(&url), _program: program, _folder: folder };
        browser.call("Runtime.enable", &json!({}));
        Some(browser)
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        let event = |event: &Value| {
            let details = &event["params"]["exceptionDetails"];
            assert_ne!(event["method"], "Runtime.exceptionThrown", "the page in Chromium: {details}");
        };
        self.wire.call(method, parameters, event).unwrap()
    }
}

impl Protocol for Chromium {
    fn name(&self) -> &'static str {
        "chromium"
    }

    fn open(&mut self, url: &str) {
        self.call("Page.navigate", &json!({ "url": url }));
    }

    fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    fn picture(&mut self) -> Value {
        self.call("Page.captureScreenshot", &json!({ "format": "png" }))["data"].take()
    }

    fn evaluate(&mut self, expression: &str) -> Result<Value, String> {
        let parameters = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
        });
        let mut answer = self.call("Runtime.evaluate", &parameters);
        match &answer["exceptionDetails"] {
            Value::Null => Ok(answer["result"]["value"].take()),
            details => Err(details.to_string()),
        }
    }
}

/// The debugging address of the first page.
fn page_url(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET /json HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    let pages: Vec<Value> = serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()?;
    let page = pages.into_iter().find(|page| page["type"] == "page")?;
    page["webSocketDebuggerUrl"].as_str().map(str::to_owned)
}
