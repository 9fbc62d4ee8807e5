//! `unils serve`: live avatars until Ctrl-C.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use unils::file::{ReadOptions, read_motion};
use unils::model::SHIPPED;
use unils::session::Timing;
use unils_server::{Server, ServerOptions};

use super::animate::{locate, open};
use super::{Context, limit_threads};
use crate::args::Serve;
use crate::interrupt::{self, Graceful};
use crate::output;

/// Environment variable with the token.
const TOKEN: &str = "UNILS_TOKEN";
/// How often Ctrl-C is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Where the server is, for `--json`.
#[derive(Debug, Serialize)]
struct Ready {
    address: String,
    preset: String,
    space: &'static str,
    window_frames: usize,
    look_ahead_frames: usize,
    max_sessions: usize,
    asks_for_token: bool,
}

/// Serves until Ctrl-C, and tells every session then.
pub fn run(arguments: &Serve, context: Context) -> anyhow::Result<()> {
    let styles = arguments.styles.iter().map(|(name, path)| {
        read_motion(path, &ReadOptions::default()).map(|motion| (name.clone(), Arc::new(motion)))
    });
    let options = ServerOptions {
        bind: arguments.bind,
        token: arguments
            .token
            .clone()
            .or_else(|| std::env::var(TOKEN).ok())
            .filter(|token| !token.is_empty()),
        allow_open: arguments.allow_open,
        origins: arguments.origins.clone(),
        max_sessions: usize::from(arguments.max_sessions),
        grace: Duration::from_secs(arguments.grace.into()),
        idle: Duration::from_secs(arguments.idle.into()),
        styles: styles.collect::<unils::Result<_>>()?,
        ..ServerOptions::default()
    };
    limit_threads(&arguments.compute)?;
    let files = locate(&arguments.model)?;
    let checkpoint = files.as_ref().map_or_else(|| SHIPPED.into(), |files| files.checkpoint.clone());
    context.reporter.note(format_args!("loading {}", checkpoint.display()));
    let model = Arc::new(open(files.as_ref(), arguments.compute.device)?);
    let timing = Timing::of(&model);
    let (max_sessions, asks_for_token) = (options.max_sessions, options.token.is_some());
    let _graceful = Graceful::begin();
    let server = Server::start(Arc::clone(&model), options)?;
    let ready = Ready {
        address: format!("http://{}", server.address()),
        preset: model.config().preset.clone(),
        space: model.config().space.name(),
        window_frames: timing.window_frames,
        look_ahead_frames: timing.look_ahead_frames,
        max_sessions,
        asks_for_token,
    };
    if context.is_json {
        output::print_json(&ready)?;
    } else {
        output::print(&format!("{}\n", ready.address))?;
    }
    context.reporter.note("open it in a browser; Ctrl-C stops");
    while !interrupt::requested() {
        std::thread::sleep(LOOK);
    }
    server.stop();
    Ok(())
}
