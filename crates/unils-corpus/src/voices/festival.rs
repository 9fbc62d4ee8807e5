//! Festival: diphone voices (Taylor, Black & Caley 1998). The synthesiser that is held out for testing.
//!
//! A script of Scheme is written for each sentence: it makes the utterance and writes its audio and its segments.

use std::fmt::Write;
use std::process::Command;

use unils::{Error, Result};

use super::process::{Folder, read_wav, run};
use super::{Engine, Manner, Raw, Synthesiser, Voice, from_ends};

/// Runs Festival for every sentence.
#[derive(Debug, Default)]
pub struct Festival {
    folder: Option<Folder>,
}

impl Synthesiser for Festival {
    fn say(&mut self, text: &str, voice: &Voice, manner: Manner) -> Result<Raw> {
        let folder = match self.folder.take() {
            Some(folder) => folder,
            None => Folder::create()?,
        };
        let folder = self.folder.insert(folder);
        let [script, wav, segments] = ["say.scm", "said.wav", "said.lab"].map(|name| folder.file(name));
        let mut scheme = String::new();
        // Text is letters and plain punctuation: nothing in it ends the string.
        let _ = write!(
            scheme,
            "({})\n(Parameter.set 'Duration_Stretch {:.3})\n(set! int_lr_params '((target_f0_mean {:.1}) \
             (target_f0_std {:.1}) (model_f0_mean 170) (model_f0_std 34)))\n(set! u (SynthText \"{text}\"))\n\
             (utt.save.wave u \"said.wav\" 'riff)\n(utt.save.segs u \"said.lab\")\n",
            voice.name,
            1.0 / manner.rate,
            voice.pitch_hz * manner.pitch,
            0.13 * voice.pitch_hz * manner.pitch,
        );
        std::fs::write(&script, scheme).map_err(|error| Error::io("write", &script, error))?;
        let place = script.parent().unwrap_or(&script);
        run(Command::new("festival").args(["-b", "say.scm"]).current_dir(place), Engine::Festival.install())?;
        let (samples, rate) = read_wav(&wav)?;
        let listed =
            std::fs::read_to_string(&segments).map_err(|error| Error::io("read", &segments, error))?;
        Ok(Raw { samples, rate, phones: from_ends(ends(&listed)?) })
    }
}

/// Symbols and their ends from lines `0.2888 100 m` after a line `#`.
fn ends(listed: &str) -> Result<Vec<(String, f64)>> {
    let item = |line: &str| {
        let mut words = line.split_whitespace();
        let end: f64 = words.next()?.parse().ok().filter(|end: &f64| end.is_finite() && *end >= 0.0)?;
        Some((words.nth(1)?.to_owned(), end))
    };
    let lines = listed.lines().skip_while(|line| line.trim() != "#").skip(1);
    let items = lines.filter(|line| !line.trim().is_empty()).map(|line| item(line).ok_or(line));
    items.collect::<Result<_, _>>().map_err(|line| {
        Error::audio("festival", format!("wrote {line:?}, expected an end and a sound"))
            .with_hint("Festival 2.5 is known to work")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let listed = "separator ;\n#\n0.2200 100 pau \n0.2888 100 m \n";
        assert_eq!(ends(listed).unwrap(), [("pau".to_owned(), 0.22), ("m".to_owned(), 0.2888)]);
        assert!(ends("#\nx 100 m").is_err() && ends("#\n0.1 100").is_err());
        assert!(ends("no header").unwrap().is_empty());
    }
}
