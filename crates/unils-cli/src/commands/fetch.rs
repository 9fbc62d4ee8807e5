//! `unils fetch`: the released weights and speech encoders into the cache folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use unils::Error;

use super::Context;
use crate::args::{Fetch, FetchItem};
use crate::cache::{self, CHECKPOINT_ENDINGS, Cache, RELEASE_LICENSE, Record, RecordedFile};
use crate::exit::NetworkError;
use crate::hub::{Hub, RemoteFile, Snapshot};
use crate::output;
use crate::progress::Unit;

/// Weights of an encoder's repository, best first.
const ENCODER_WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
const ENCODER_CONFIG: &str = "config.json";

/// One repository to download from.
#[derive(Debug)]
struct Part {
    item: FetchItem,
    repository: String,
    folder: PathBuf,
}

/// What a download did, for `--json`.
#[derive(Debug, Serialize)]
struct Fetched {
    repository: String,
    commit: String,
    folder: PathBuf,
    files: Vec<FetchedFile>,
}

#[derive(Debug, Serialize)]
struct FetchedFile {
    name: String,
    path: PathBuf,
    bytes: u64,
    checksum: Option<String>,
    /// False when it was there already.
    is_new: bool,
}

/// Downloads what is asked for.
pub fn run(arguments: &Fetch, context: Context) -> anyhow::Result<()> {
    let cache = Cache::locate()?;
    let parts = parts(arguments, &cache);
    if !arguments.list {
        check_license(arguments, &parts, context)?;
    }
    let hub = Hub::from_environment(arguments.retries)?;
    let mut listed = Vec::new();
    for part in &parts {
        let snapshot = hub.list(&part.repository, &arguments.revision);
        listed.push(snapshot.map_err(|error| explain(error, &hub, &parts))?);
    }
    if arguments.list {
        return print_list(&listed, context);
    }
    let mut results = Vec::new();
    for (part, snapshot) in parts.iter().zip(&listed) {
        let files = match part.item {
            FetchItem::Weights => vec![checkpoint(snapshot, arguments.file.as_deref())?],
            FetchItem::Encoder | FetchItem::Mimi => encoder_files(snapshot)?,
        };
        let fetched = download(&hub, part, snapshot, &files, context);
        results.push(fetched.map_err(|error| explain(error, &hub, &parts))?);
    }
    print_results(&results, context)
}

fn parts(arguments: &Fetch, cache: &Cache) -> Vec<Part> {
    let mut items = arguments.what.clone();
    if items.is_empty() {
        items = vec![FetchItem::Weights, FetchItem::Encoder];
    }
    items.sort();
    items.dedup();
    let part = |item| {
        let (repository, folder) = match item {
            FetchItem::Weights => (arguments.weights_repository.as_str(), cache.weights()),
            FetchItem::Encoder => {
                (arguments.encoder_repository.as_str(), cache.encoder(&arguments.encoder_repository))
            }
            FetchItem::Mimi => (cache::MIMI, cache.encoder(cache::MIMI)),
        };
        Part { item, repository: repository.to_owned(), folder }
    };
    items.into_iter().map(part).collect()
}

/// The weights' licence must be named to be accepted.
fn check_license(arguments: &Fetch, parts: &[Part], context: Context) -> anyhow::Result<()> {
    if !parts.iter().any(|part| part.item == FetchItem::Weights) {
        return Ok(());
    }
    let what = format!(
        "The released UniLS weights are under {RELEASE_LICENSE} (Creative Commons Attribution-NonCommercial 4.0): \
         give credit, no commercial use. The text: https://creativecommons.org/licenses/by-nc/4.0/"
    );
    match arguments.accept_license.as_deref() {
        Some(accepted) if accepted.eq_ignore_ascii_case(RELEASE_LICENSE) => {
            context.reporter.note(what);
            Ok(())
        }
        Some(other) => {
            let error = Error::argument("--accept-license", format!("{other} is not the licence. {what}"));
            Err(error.with_hint(format!("if you accept it: --accept-license {RELEASE_LICENSE}")).into())
        }
        None => {
            let error = Error::argument("licence", format!("not accepted yet. {what}"));
            let hint = format!(
                "if you accept it: --accept-license {RELEASE_LICENSE}; `unils fetch encoder` needs no consent"
            );
            Err(error.with_hint(hint).into())
        }
    }
}

/// The generator's checkpoint in the weights' repository.
fn checkpoint<'s>(snapshot: &'s Snapshot, name: Option<&str>) -> anyhow::Result<&'s RemoteFile> {
    let page = &snapshot.repository;
    let is_checkpoint = |file: &&RemoteFile| {
        let ending = Path::new(&file.name).extension().map(|ending| ending.to_string_lossy().into_owned());
        ending.is_some_and(|ending| CHECKPOINT_ENDINGS.contains(&ending.as_str()))
    };
    let found: Vec<_> = snapshot.files.iter().filter(is_checkpoint).collect();
    let names = found.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(name) = name {
        return snapshot.files.iter().find(|file| file.name == name).ok_or_else(|| {
            let hint = if names.is_empty() {
                "it has no checkpoints".to_owned()
            } else {
                format!("its checkpoints: {names}")
            };
            NetworkError { what: format!("{page} has no file {name}"), hint: Some(hint) }.into()
        });
    }
    // The codec and the audio-free generator of the first two stages are no models of conversation.
    let is_earlier_stage = |file: &&RemoteFile| {
        let name = file.name.to_ascii_lowercase();
        ["codec", "vae", "freegen", "free_gen", "audio_free"].iter().any(|stage| name.contains(stage))
    };
    let last: Vec<_> = found.iter().copied().filter(|file| !is_earlier_stage(file)).collect();
    match (last.as_slice(), found.as_slice()) {
        ([only], _) | ([], [only]) => Ok(only),
        (_, []) => {
            let what = format!("{page} has no file ending in {}", CHECKPOINT_ENDINGS.join(", "));
            Err(NetworkError {
                what,
                hint: Some("`unils fetch weights --list` shows what it has".to_owned()),
            }
            .into())
        }
        _ => {
            let error =
                Error::argument("--file", format!("{page} has {} checkpoints: which one?", found.len()));
            Err(error.with_hint(format!("name one with --file: {names}")).into())
        }
    }
}

/// An encoder's configuration and weights.
fn encoder_files(snapshot: &Snapshot) -> anyhow::Result<Vec<&RemoteFile>> {
    let find = |name: &str| snapshot.files.iter().find(|file| file.name == name);
    let weights = ENCODER_WEIGHTS.iter().find_map(|name| find(name));
    match (find(ENCODER_CONFIG), weights) {
        (Some(config), Some(weights)) => Ok(vec![config, weights]),
        _ => {
            let expected = format!("{ENCODER_CONFIG} and {}", ENCODER_WEIGHTS.join(" or "));
            let what = format!("{} has not {expected}", snapshot.repository);
            Err(NetworkError { what, hint: Some("is it a speech encoder's repository?".to_owned()) }.into())
        }
    }
}

/// Downloads the files that are not there yet and writes the folder's record.
fn download(
    hub: &Hub,
    part: &Part,
    snapshot: &Snapshot,
    files: &[&RemoteFile],
    context: Context,
) -> anyhow::Result<Fetched> {
    fs::create_dir_all(&part.folder).map_err(|source| Error::io("create", &part.folder, source))?;
    let known = cache::read_record(&part.folder).filter(|record| record.repository == snapshot.repository);
    let mut recorded = known.map_or_else(BTreeMap::new, |record| record.files);
    let mut results = Vec::new();
    for file in files {
        let target = part.folder.join(&file.name);
        let entry =
            RecordedFile { bytes: file.bytes, checksum: file.checksum.as_ref().map(ToString::to_string) };
        let is_there = fs::metadata(&target).is_ok_and(|metadata| metadata.len() == file.bytes)
            && (recorded.get(&file.name) == Some(&entry)
                || crate::hub::has_checksum(&target, file).unwrap_or(false));
        if is_there {
            context.reporter.note(format_args!("{}: already there", file.name));
        } else {
            let size = output::bytes(file.bytes);
            context.reporter.note(format_args!("{}: {size} from {}", file.name, snapshot.repository));
            if file.checksum.is_none() {
                context
                    .reporter
                    .note(format_args!("{}: the hub gives no checksum: only its size is checked", file.name));
            }
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder).map_err(|source| Error::io("create", folder, source))?;
            }
            let mut meter = context.reporter.meter(&file.name, Some(file.bytes), Unit::Bytes);
            hub.download(snapshot, file, &target, &mut |done| meter.set(done))?;
        }
        recorded.insert(file.name.clone(), entry.clone());
        results.push(FetchedFile {
            name: file.name.clone(),
            path: target,
            bytes: file.bytes,
            checksum: entry.checksum,
            is_new: !is_there,
        });
    }
    let record = Record {
        repository: snapshot.repository.clone(),
        commit: snapshot.commit.clone(),
        accepted_license: (part.item == FetchItem::Weights).then(|| RELEASE_LICENSE.to_owned()),
        files: recorded,
    };
    cache::write_record(&part.folder, &record)?;
    Ok(Fetched {
        repository: snapshot.repository.clone(),
        commit: snapshot.commit.clone(),
        folder: part.folder.clone(),
        files: results,
    })
}

/// A network error that knows no next step gets the way without a network.
fn explain(error: anyhow::Error, hub: &Hub, parts: &[Part]) -> anyhow::Error {
    match error.downcast::<NetworkError>() {
        Ok(error) if error.hint.is_none() => {
            let mut hint = String::from(
                "check the connection and HTTPS_PROXY, and run the command again: it goes on where it stopped.\n\
                 Without a network, download these elsewhere and place them so:",
            );
            for part in parts {
                let files = match part.item {
                    FetchItem::Weights => "the generator's checkpoint (.pt)".to_owned(),
                    _ => format!("{ENCODER_CONFIG} and {}", ENCODER_WEIGHTS.join(" or ")),
                };
                let (page, folder) = (hub.page(&part.repository), part.folder.display());
                hint += &format!("\n  {page}\n    {files}\n    -> {folder}");
            }
            hint += "\nor name them: --checkpoint FILE --encoder FOLDER";
            NetworkError { what: error.what, hint: Some(hint) }.into()
        }
        Ok(error) => error.into(),
        Err(error) => error,
    }
}

fn print_list(listed: &[Snapshot], context: Context) -> anyhow::Result<()> {
    if context.is_json {
        let value: Vec<_> = listed
            .iter()
            .map(|snapshot| {
                let file = |file: &RemoteFile| {
                    let checksum = file.checksum.as_ref().map(ToString::to_string);
                    serde_json::json!({ "name": file.name, "bytes": file.bytes, "checksum": checksum })
                };
                let files: Vec<_> = snapshot.files.iter().map(file).collect();
                serde_json::json!({ "repository": snapshot.repository, "commit": snapshot.commit, "files": files })
            })
            .collect();
        return output::print_json(&value);
    }
    let mut text = String::new();
    for snapshot in listed {
        text += &format!("{} at {}\n", snapshot.repository, snapshot.commit);
        let rows: Vec<_> =
            snapshot.files.iter().map(|file| vec![file.name.clone(), output::bytes(file.bytes)]).collect();
        text += &output::table(&["file", "size"], &rows);
        text.push('\n');
    }
    output::print(text.trim_end_matches('\n'))?;
    output::print("\n")
}

fn print_results(results: &[Fetched], context: Context) -> anyhow::Result<()> {
    if context.is_json {
        return output::print_json(&results);
    }
    let mut text = String::new();
    for result in results {
        for file in &result.files {
            text += &format!("{}\n", file.path.display());
        }
    }
    output::print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(names: &[&str]) -> Snapshot {
        let file = |name: &&str| RemoteFile { name: (*name).to_owned(), bytes: 1, checksum: None };
        Snapshot { repository: "a/b".into(), commit: "0".into(), files: names.iter().map(file).collect() }
    }

    #[test]
    fn the_generator_is_found_or_asked_for() {
        let name = |names: &[&str], wanted: Option<&str>| {
            checkpoint(&snapshot(names), wanted)
                .map(|file| file.name.clone())
                .map_err(|error| crate::exit::code(&error))
        };
        assert_eq!(name(&["README.md", "x.pt"], None), Ok("x.pt".into()));
        assert_eq!(
            name(&["unils_codec.pt", "unils_freegen.pt", "unils_loragen.pt"], None),
            Ok("unils_loragen.pt".into())
        );
        assert_eq!(name(&["unils_codec.pt"], None), Ok("unils_codec.pt".into()));
        assert_eq!(name(&["a.pt", "b.pt"], None), Err(crate::exit::USAGE));
        assert_eq!(name(&["a.pt", "b.pt"], Some("b.pt")), Ok("b.pt".into()));
        assert_eq!(name(&["a.pt"], Some("c.pt")), Err(crate::exit::NETWORK));
        assert_eq!(name(&["README.md"], None), Err(crate::exit::NETWORK));
    }
}
