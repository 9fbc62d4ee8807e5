//! flite: small concatenative and statistical voices made from recordings of people (Black & Lenzo 2001).
//!
//! `-psdur` prints each sound with its end; with `-o` the audio is written as well. The last pause may be listed beyond
//! the audio's end.

use std::process::Command;

use unils::{Error, Result};

use super::process::{Folder, read_wav, run};
use super::{Engine, Manner, Raw, Synthesiser, Voice, from_ends};

/// Runs flite for every sentence.
#[derive(Debug, Default)]
pub struct Flite {
    folder: Option<Folder>,
}

impl Synthesiser for Flite {
    fn say(&mut self, text: &str, voice: &Voice, manner: Manner) -> Result<Raw> {
        let folder = match self.folder.take() {
            Some(folder) => folder,
            None => Folder::create()?,
        };
        let wav = self.folder.insert(folder).file("said.wav");
        let mut command = Command::new("flite");
        command.args(["-voice", &voice.name, "-psdur"]);
        command.args(["--setf", &format!("duration_stretch={:.3}", 1.0 / manner.rate)]);
        command.args(["--setf", &format!("int_f0_target_mean={:.1}", voice.pitch_hz * manner.pitch)]);
        let printed = run(command.arg("-o").arg(&wav).args(["-t", text]), Engine::Flite.install())?;
        let (samples, rate) = read_wav(&wav)?;
        Ok(Raw { samples, rate, phones: from_ends(ends(&printed)?) })
    }
}

/// Symbols and their ends from `pau:0.224 m:0.252 ...`.
fn ends(printed: &str) -> Result<Vec<(String, f64)>> {
    let item = |item: &str| {
        let (symbol, end) = item.rsplit_once(':')?;
        let end: f64 = end.parse().ok().filter(|end: &f64| end.is_finite() && *end >= 0.0)?;
        Some((symbol.to_owned(), end))
    };
    let items = printed.split_whitespace().map(|text| item(text).ok_or(text));
    items.collect::<Result<_, _>>().map_err(|text| {
        Error::audio("flite", format!("printed {text:?}, expected a sound and its end"))
            .with_hint("flite 2.2 is known to work")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(ends("pau:0.2 ey:0.41 \n").unwrap(), [("pau".to_owned(), 0.2), ("ey".to_owned(), 0.41)]);
        for bad in ["pau", "pau:x", "m:-1", "m:inf"] {
            assert!(ends(bad).is_err(), "{bad}");
        }
    }
}
