//! Firefox through WebDriver BiDi.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::helper::{Helper, screen, sound};
use super::{Folder, Protocol, Wire};
use crate::common;

/// Sound without a click, a microphone that is a tone, WebGL without a known graphics card.
const PREFERENCES: &str = r#"
user_pref("media.autoplay.default", 0);
user_pref("media.navigator.streams.fake", true);
user_pref("media.navigator.permission.disabled", true);
user_pref("webgl.force-enabled", true);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("app.normandy.enabled", false);
user_pref("app.update.disabledForTesting", true);
"#;

/// A Firefox with one page.
pub struct Firefox {
    wire: Wire,
    context: Value,
    // In this order: the programs end before their folder goes.
    _program: Helper,
    _beside: Vec<Helper>,
    _folder: Folder,
}

impl Firefox {
    /// `None` where there is none; `UNILS_FIREFOX` names another program than `firefox-esr` or `firefox`.
    pub fn start() -> Option<Self> {
        let named = std::env::var("UNILS_FIREFOX").ok();
        let names =
            named.map_or_else(|| vec!["firefox-esr".to_owned(), "firefox".to_owned()], |name| vec![name]);
        let is_there = |name: &String| {
            let silent =
                Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            silent.is_ok_and(|status| status.success())
        };
        let name = names.into_iter().find(is_there)?;
        let folder = Folder::new();
        std::fs::write(folder.0.join("user.js"), PREFERENCES).unwrap();
        let mut command = Command::new(name);
        command.args(["--headless", "--no-remote", "--remote-debugging-port=0", "--profile"]);
        command.arg(&folder.0).arg("about:blank");
        let mut beside = Vec::new();
        if std::env::var_os("DISPLAY").is_none()
            && let Some((helper, name)) = screen()
        {
            command.env("DISPLAY", name);
            beside.push(helper);
        }
        // Not the machine's own: a test is not to be heard.
        if let Some((helper, address)) = sound(&folder.0) {
            command.env("PULSE_SERVER", address);
            beside.push(helper);
        }
        let program = Helper::start(command.stdout(Stdio::null()))?;
        let port_file = folder.0.join("WebDriverBiDiServer.json");
        let mut port = None;
        common::until("Firefox's start", || {
            let text = std::fs::read(&port_file).unwrap_or_default();
            let server: Value = serde_json::from_slice(&text).unwrap_or_default();
            port = server["ws_port"].as_u64();
            port.is_some()
        });
        let wire = Wire::connect(&format!("ws://127.0.0.1:{}/session", port.unwrap()));
        let mut browser =
            Self { wire, context: Value::Null, _program: program, _beside: beside, _folder: folder };
        browser.call("session.new", &json!({ "capabilities": {} })).unwrap();
        browser.call("session.subscribe", &json!({ "events": ["log.entryAdded"] })).unwrap();
        let mut tree = browser.call("browsingContext.getTree", &json!({})).unwrap();
        browser.context = tree["contexts"][0]["context"].take();
        Some(browser)
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Result<Value, String> {
        let event = |event: &Value| {
            let entry = &event["params"];
            let is_thrown = entry["type"] == "javascript" && entry["level"] == "error";
            assert!(!is_thrown, "the page in Firefox: {entry}");
        };
        self.wire.call(method, parameters, event)
    }
}

impl Protocol for Firefox {
    fn name(&self) -> &'static str {
        "firefox"
    }

    fn open(&mut self, url: &str) {
        let parameters = json!({ "context": self.context, "url": url, "wait": "complete" });
        self.call("browsingContext.navigate", &parameters).unwrap();
    }

    fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height });
        let parameters = json!({ "context": self.context, "viewport": size });
        self.call("browsingContext.setViewport", &parameters).unwrap();
    }

    fn picture(&mut self) -> Value {
        let parameters = json!({ "context": self.context });
        self.call("browsingContext.captureScreenshot", &parameters).unwrap()["data"].take()
    }

    fn evaluate(&mut self, expression: &str) -> Result<Value, String> {
        let parameters = json!({
            "expression": expression, "target": { "context": self.context }, "awaitPromise": true,
            "userActivation": true,
        });
        let mut answer = self.call("script.evaluate", &parameters)?;
        if answer["type"] == "exception" {
            return Err(answer["exceptionDetails"]["text"].to_string());
        }
        Ok(answer["result"]["value"].take())
    }
}
