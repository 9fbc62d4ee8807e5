//! Arguments of `unils serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::{ComputeArguments, ModelArguments};

const SERVE_EXAMPLES: &str = "\
Examples:
  unils serve
      then open http://127.0.0.1:8730, press Start, and talk
  unils serve --bind 0.0.0.0:8730 --token \"$(openssl rand -hex 16)\"
      for other machines; browsers give the microphone to pages over HTTPS only, so put a proxy in front
  unils serve --style calm=calm.npz --style lively=lively.npz
      manners that sessions can ask for

The WebSocket and its messages are described in crates/unils-server/PROTOCOL.md.";

/// Arguments of `unils serve`.
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub struct Serve {
    /// Address and port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8730")]
    pub bind: SocketAddr,
    /// What clients must know [default: UNILS_TOKEN of the environment, which other users of this machine cannot see]
    #[arg(long)]
    pub token: Option<String>,
    /// Bind to an address that others can reach without asking for a token
    #[arg(long)]
    pub allow_open: bool,
    /// Origin of pages, beside the server's own, that may connect; may be repeated
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    pub origins: Vec<String>,
    /// Sessions at most
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_sessions: u16,
    /// Seconds that a session waits for its client to come back
    #[arg(long, value_name = "S", default_value_t = 30)]
    pub grace: u16,
    /// Seconds after which a connection that says nothing is closed
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..))]
    pub idle: u16,
    /// Motion clip whose manner sessions can take on, under a name; may be repeated
    #[arg(long = "style", value_name = "NAME=FILE", value_parser = style)]
    pub styles: Vec<(String, PathBuf)>,
    #[command(flatten)]
    pub model: ModelArguments,
    #[command(flatten)]
    pub compute: ComputeArguments,
}

fn style(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.to_owned(), path.into())),
        _ => Err("expected NAME=FILE".to_owned()),
    }
}
