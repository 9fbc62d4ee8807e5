//! Writes the head into the library's assets, and the contact sheets into `docs`.
//!
//! `unils-head [--check] [--sheets]`: `--check` compares with what is there instead of writing; `--sheets` draws the
//! sheets as well.

use std::path::Path;
use std::process::ExitCode;

use unils::file::write_whole;
use unils::{Error, Result};
use unils_head::{generate, glb, sheets};

/// The most bytes that the asset may take.
const LIMIT: usize = 3 * 1024 * 1024;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(message) => report(&message, ExitCode::SUCCESS),
        Err(error) => report(&error.to_string(), ExitCode::FAILURE),
    }
}

fn report(message: &str, code: ExitCode) -> ExitCode {
    use std::io::Write;
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(std::io::stderr(), "{message}");
    code
}

fn run(arguments: &[String]) -> Result<String> {
    if let Some(unknown) = arguments.iter().find(|a| !["--check", "--sheets"].contains(&a.as_str())) {
        return Err(Error::argument("unils-head", format!("{unknown:?} is not known"))
            .with_hint("the options are --check and --sheets"));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let asset = root.join("crates/unils/assets/head.glb");
    let head = generate()?;
    let bytes = glb(&head)?;
    if bytes.len() > LIMIT {
        return Err(Error::face(
            "head.glb",
            format!("takes {} bytes, expected at most {LIMIT}", bytes.len()),
        ));
    }
    if arguments.iter().any(|argument| argument == "--check") {
        let found = std::fs::read(&asset).map_err(|error| Error::io("read", &asset, error))?;
        if found != bytes {
            return Err(Error::face("head.glb", "is not what this generator makes")
                .with_hint("cargo run --release -p unils-head"));
        }
    } else {
        write(&asset, &bytes)?;
    }
    if arguments.iter().any(|argument| argument == "--sheets") {
        sheets::write_all(&head, &root.join("docs"))?;
    }
    let mesh = unils::face::Face::mesh(&head.rig);
    let (vertices, triangles) = (mesh.positions.len(), mesh.triangles.len());
    Ok(format!("{vertices} vertices, {triangles} triangles, {} bytes", bytes.len()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| Error::io("make", folder, error))?;
    }
    write_whole(path, bytes)
}
