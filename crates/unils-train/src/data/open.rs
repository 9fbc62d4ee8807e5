//! Finds out what a path given as training data is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use unils::{Error, Result};

use super::clip::View;
use super::corpus::CorpusStore;
use super::corpus_index::INDEX;
use super::release::ReleaseStore;
use super::store::Store;

/// Opens the data at a path: the folder of a corpus, or the release's LMDB. An LMDB is a data file, its folder, or a
/// folder that holds it as `lmdb`; its metadata are `metadata` or else, beside the LMDB or in that folder, the release's
/// `talk_motion.json` for [`View::Motion`] and [`View::Voice`], and `seamless_interaction_pairs.json` for [`View::Dyad`].
///
/// # Errors
/// [`Error::Argument`] if there is neither or the metadata are not found, otherwise those of [`CorpusStore::open`] and
/// [`ReleaseStore::open`].
pub fn open_store(path: impl AsRef<Path>, metadata: Option<&Path>, view: View) -> Result<Arc<dyn Store>> {
    let path = path.as_ref();
    if path.join(INDEX).is_file() {
        if let Some(metadata) = metadata {
            let what = format!("is a corpus, which needs no metadata ({})", metadata.display());
            return Err(Error::argument(path.display(), what));
        }
        return Ok(Arc::new(CorpusStore::open(path)?));
    }
    let Some(lmdb) = find_lmdb(path) else {
        std::fs::metadata(path).map_err(|error| Error::io("open", path, error))?;
        return Err(Error::argument(path.display(), "is neither a corpus nor an LMDB")
            .with_hint(format!("a corpus is a folder with an {INDEX}, an LMDB one with a data.mdb")));
    };
    let metadata = metadata.map_or_else(|| beside(path, view), |metadata| Ok(metadata.to_owned()))?;
    Ok(Arc::new(ReleaseStore::open(lmdb, metadata)?))
}

/// Whether there is a corpus or an LMDB at a path: what [`open_store`] opens.
pub fn is_store(path: impl AsRef<Path>) -> bool {
    let path = path.as_ref();
    path.join(INDEX).is_file() || find_lmdb(path).is_some()
}

/// The LMDB that a path names: the path itself, or the folder `lmdb` in it.
fn find_lmdb(path: &Path) -> Option<PathBuf> {
    let is_lmdb = |path: &PathBuf| path.is_file() || path.join("data.mdb").is_file();
    [path.join("lmdb"), path.to_owned()].into_iter().find(is_lmdb)
}

/// The release's metadata file for the view, in the folder of that name or the one that holds it.
fn beside(path: &Path, view: View) -> Result<PathBuf> {
    let name = match view {
        View::Motion | View::Voice => "talk_motion.json",
        View::Dyad => "seamless_interaction_pairs.json",
    };
    let folders = [Some(path), path.parent(), path.parent().and_then(Path::parent)];
    let found = folders.into_iter().flatten().map(|folder| folder.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| {
        Error::argument(path.display(), format!("there is no {name} with the LMDB"))
            .with_hint("name the metadata file")
    })
}
