//! espeak-ng: formant synthesis (Klatt 1980 and its own) with many accents, languages and timbres.
//!
//! Its program prints sounds without times; its library reports both. The library is loaded at run time
//! (`libespeak-ng.so.1`), so that nothing needs it to be built, and in a process of its own: it keeps state from sentence
//! to sentence that only a new process forgets, so a new process for every recording is what makes a corpus the same again,
//! and a fault of the library ends a recording and not the program. [`serve`] is that process, [`Espeak`] its client:
//! requests are lines of JSON, answers are a line of JSON and the samples behind it.
//!
//! Sounds begin at their events' `audio_position` and last to the next event; symbols are IPA.

use std::cell::RefCell;
use std::ffi::{CString, OsString, c_char, c_int, c_uint, c_void};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use libloading::Library;
use serde::{Deserialize, Serialize};
use unils::{Error, Result};

use super::process::apart;
use super::{Engine, LIMIT, Manner, Raw, Synthesiser, Voice};
use crate::phones::{Phone, Segment};

/// The library's file names on the systems that have it.
const LIBRARIES: [&str; 3] = ["libespeak-ng.so.1", "libespeak-ng.1.dylib", "libespeak-ng.dll"];
/// Most samples of an answer: two minutes.
const MAX_SAMPLES: usize = 120 * 48_000;

const SYNCHRONOUS: c_int = 2;
/// Phoneme events, named in IPA.
const PHONEMES_IN_IPA: c_int = 3;
const UTF_8: c_uint = 1;
const RATE: c_int = 1;
const PITCH: c_int = 3;
const END_OF_EVENTS: c_int = 0;
const PHONEME: c_int = 7;

/// Symbols in IPA and their beginnings in milliseconds.
type Events = Vec<(String, f64)>;

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    text: String,
    voice: String,
    /// Words a minute.
    rate: i32,
    /// 0 to 99, 50 as usual.
    pitch: i32,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Answer {
    error: Option<String>,
    rate: u32,
    samples: usize,
    events: Events,
}

/// The client: starts the process when it is first needed.
pub struct Espeak {
    worker: Vec<OsString>,
    process: Option<Process>,
}

struct Process {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<std::io::Result<(Answer, Vec<i16>)>>,
}

impl Espeak {
    /// A client of the process that this command line starts.
    pub fn new(worker: &[OsString]) -> Self {
        Self { worker: worker.to_vec(), process: None }
    }

    fn start(&self) -> Result<Process> {
        let fail = |what: String| Error::audio("espeak-ng", what);
        let Some((program, arguments)) = self.worker.split_first() else {
            return Err(fail("no command line of its process is given".into()));
        };
        let spawned = apart(&mut Command::new(program))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = spawned.map_err(|error| fail(format!("its process cannot be started: {error}")))?;
        let (Some(requests), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(fail("its process has no pipes".into()));
        };
        let (sender, answers) = channel();
        let read = move || {
            let mut output = BufReader::new(output);
            loop {
                let answer = read_answer(&mut output);
                let ended = answer.is_err();
                if sender.send(answer).is_err() || ended {
                    break;
                }
            }
        };
        // The thread ends with the process.
        std::thread::spawn(read);
        Ok(Process { child, requests, answers })
    }
}

impl Synthesiser for Espeak {
    fn say(&mut self, text: &str, voice: &Voice, manner: Manner) -> Result<Raw> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => self.start()?,
        };
        let request = Request {
            text: text.to_owned(),
            voice: voice.name.clone(),
            rate: (165.0 * manner.rate).round().clamp(80.0, 450.0) as i32,
            pitch: (50.0 + 60.0 * manner.pitch.log2()).round().clamp(0.0, 99.0) as i32,
        };
        let fail = |what: String| Error::audio("espeak-ng", what).with_hint(Engine::EspeakNg.install());
        let mut line = serde_json::to_vec(&request).map_err(|error| fail(error.to_string()))?;
        line.push(b'\n');
        // A process that does not take the line has ended: its answer says so below.
        let _ = process.requests.write_all(&line).and_then(|()| process.requests.flush());
        match process.answers.recv_timeout(LIMIT) {
            Ok(Ok((Answer { error: None, rate, events, .. }, samples))) => {
                self.process = Some(process);
                let samples: Vec<f32> = samples.iter().map(|&sample| f32::from(sample) / 32768.0).collect();
                let seconds = samples.len() as f64 / f64::from(rate.max(1));
                Ok(Raw { samples, rate, phones: spans(&events, seconds) })
            }
            Ok(Ok((Answer { error, .. }, _))) => Err(fail(error.unwrap_or_default())),
            Ok(Err(error)) => Err(fail(format!("its process ended: {error}"))),
            Err(_) => Err(fail(format!("did not answer within {} s", LIMIT.as_secs()))),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_answer(output: &mut impl BufRead) -> std::io::Result<(Answer, Vec<i16>)> {
    let mut line = Vec::new();
    output.take(1 << 22).read_until(b'\n', &mut line)?;
    let answer: Answer = serde_json::from_slice(&line)?;
    if answer.samples > MAX_SAMPLES {
        return Err(std::io::Error::other(format!("{} samples for a sentence", answer.samples)));
    }
    let mut bytes = vec![0; answer.samples * 2];
    output.read_exact(&mut bytes)?;
    Ok((answer, bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()))
}

/// Sounds from their beginnings: each lasts to the next event; events of several sounds are shared out evenly.
fn spans(events: &[(String, f64)], seconds: f64) -> Vec<Segment> {
    let mut phones = Vec::new();
    for (index, (symbol, start_ms)) in events.iter().enumerate() {
        let start = start_ms / 1000.0;
        let end = events.get(index + 1).map_or(seconds, |next| next.1 / 1000.0).min(seconds);
        let sounds = Phone::from_ipa(symbol);
        if sounds.is_empty() || end <= start {
            continue;
        }
        let share = (end - start) / sounds.len() as f64;
        phones.extend(sounds.iter().enumerate().map(|(at, &phone)| {
            let start_s = start + share * at as f64;
            Segment { phone, start_s, end_s: start_s + share }
        }));
    }
    phones
}

/// `espeak_EVENT` of the library's header `speak_lib.h`.
#[repr(C)]
struct Event {
    kind: c_int,
    _id: c_uint,
    _text_position: c_int,
    _length: c_int,
    audio_position: c_int,
    _sample: c_int,
    _user_data: *mut c_void,
    /// A union of pointers and, for phonemes, the symbol, which ends at its first zero if it is shorter.
    symbol: [u8; 8],
}

type Callback = unsafe extern "C" fn(*mut i16, c_int, *mut Event) -> c_int;
type Initialize = unsafe extern "C" fn(c_int, c_int, *const c_char, c_int) -> c_int;
type SetCallback = unsafe extern "C" fn(Callback);
type SetVoice = unsafe extern "C" fn(*const c_char) -> c_int;
type SetParameter = unsafe extern "C" fn(c_int, c_int, c_int) -> c_int;
type Synth = unsafe extern "C" fn(
    *const c_void,
    usize,
    c_uint,
    c_int,
    c_uint,
    c_uint,
    *mut c_uint,
    *mut c_void,
) -> c_int;

thread_local! {
    /// What the callback heard: the library calls it on the thread that asked.
    static HEARD: RefCell<(Vec<i16>, Events)> = RefCell::default();
}

unsafe extern "C" fn hear(samples: *mut i16, count: c_int, events: *mut Event) -> c_int {
    HEARD.with_borrow_mut(|(heard, symbols)| {
        if let Some(count) = usize::try_from(count).ok().filter(|_| !samples.is_null()) {
            // SAFETY: the library hands over `count` samples that live during the call.
            heard.extend_from_slice(unsafe { std::slice::from_raw_parts(samples, count) });
        }
        let mut event = events;
        // SAFETY: the list of events ends with one of the kind END_OF_EVENTS and lives during the call.
        while let Some(current) = unsafe { event.as_ref() }.filter(|event| event.kind != END_OF_EVENTS) {
            if current.kind == PHONEME {
                let length = current.symbol.iter().position(|&byte| byte == 0).unwrap_or(8);
                let symbol = String::from_utf8_lossy(&current.symbol[..length]).into_owned();
                symbols.push((symbol, f64::from(current.audio_position)));
            }
            // SAFETY: there is another event behind every one that is not the last.
            event = unsafe { event.add(1) };
        }
    });
    0
}

/// The library, initialised.
struct Loaded {
    library: Library,
    rate: u32,
}

impl Loaded {
    fn open() -> std::result::Result<Self, String> {
        // SAFETY: loading runs the initialisers of espeak-ng's library, which has no requirements.
        let mut found = LIBRARIES.iter().filter_map(|name| unsafe { Library::new(name) }.ok());
        let library = found.next().ok_or("its library is not installed")?;
        let rate = {
            // SAFETY: the signatures are those of speak_lib.h.
            let initialize = unsafe { library.get::<Initialize>(b"espeak_Initialize") };
            let set_callback = unsafe { library.get::<SetCallback>(b"espeak_SetSynthCallback") };
            let (Ok(initialize), Ok(set_callback)) = (initialize, set_callback) else {
                return Err("its library lacks a function: version 1.49 or later is needed".into());
            };
            // SAFETY: as documented there; a null path means the library's own data.
            let rate = unsafe { initialize(SYNCHRONOUS, 0, std::ptr::null(), PHONEMES_IN_IPA) };
            unsafe { set_callback(hear) };
            rate
        };
        let rate = u32::try_from(rate).ok().filter(|rate| *rate > 0).ok_or("its data is not installed")?;
        Ok(Self { library, rate })
    }

    fn say(&self, request: &Request) -> std::result::Result<(Answer, Vec<i16>), String> {
        // SAFETY: the signatures are those of speak_lib.h.
        let (Ok(set_voice), Ok(set_parameter), Ok(synth)) = (unsafe {
            (
                self.library.get::<SetVoice>(b"espeak_SetVoiceByName"),
                self.library.get::<SetParameter>(b"espeak_SetParameter"),
                self.library.get::<Synth>(b"espeak_Synth"),
            )
        }) else {
            return Err("its library lacks a function: version 1.49 or later is needed".into());
        };
        let no_zeros = |text: &str| CString::new(text).map_err(|_| "text with a zero in it".to_owned());
        let (voice, text) = (no_zeros(&request.voice)?, no_zeros(&request.text)?);
        HEARD.with_borrow_mut(|heard| *heard = Default::default());
        // SAFETY: strings end with a zero and live during the calls; the size includes the zero, as documented; no
        // identifier and no user data are asked for.
        let failed = unsafe {
            if set_voice(voice.as_ptr()) != 0 {
                return Err(format!("has no voice {:?}", request.voice));
            }
            set_parameter(RATE, request.rate, 0);
            set_parameter(PITCH, request.pitch, 0);
            let size = text.as_bytes_with_nul().len();
            let none = (std::ptr::null_mut(), std::ptr::null_mut());
            synth(text.as_ptr().cast(), size, 0, 0, 0, UTF_8, none.0, none.1) != 0
        };
        let (samples, events) = HEARD.with_borrow_mut(std::mem::take);
        if failed || samples.len() > MAX_SAMPLES {
            return Err(format!("could not say {:?}", request.text));
        }
        Ok((Answer { error: None, rate: self.rate, samples: samples.len(), events }, samples))
    }
}

/// The process that speaks: answers the requests of an [`Espeak`] until they end.
///
/// # Errors
/// What the pipes report.
pub fn serve(requests: impl BufRead, mut answers: impl Write) -> std::io::Result<()> {
    let loaded = Loaded::open();
    for line in requests.lines() {
        let request: Request = serde_json::from_str(&line?)?;
        let said = loaded.as_ref().map_err(Clone::clone).and_then(|loaded| loaded.say(&request));
        let (answer, samples) =
            said.unwrap_or_else(|error| (Answer { error: Some(error), ..Answer::default() }, Vec::new()));
        serde_json::to_writer(&mut answers, &answer)?;
        answers.write_all(b"\n")?;
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        answers.write_all(&bytes)?;
        answers.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn sounds_last_to_the_next_event() {
        let events = [("m", 0.0), ("eɪ", 90.0), ("", 200.0), ("pf", 300.0), ("a", 400.0)];
        let phones = spans(&events.map(|(symbol, at)| (symbol.to_owned(), at)), 0.55);
        let times: Vec<_> = phones.iter().map(|p| (p.phone, p.start_s, p.end_s)).collect();
        assert_eq!(
            times,
            [
                (Phone::M, 0.0, 0.09),
                (Phone::Ey, 0.09, 0.2),
                (Phone::P, 0.3, 0.35),
                (Phone::F, 0.35, 0.4),
                (Phone::Aa, 0.4, 0.55)
            ]
        );
    }

    #[test]
    fn answers_are_read_and_bounded() {
        let mut pipe = br#"{"error":null,"rate":22050,"samples":2,"events":[["m",5.0]]}"#.to_vec();
        pipe.extend_from_slice(&[b'\n', 1, 0, 255, 255]);
        let (answer, samples) = read_answer(&mut pipe.as_slice()).unwrap();
        assert_eq!((answer.rate, samples), (22_050, vec![1, -1]));
        let huge = br#"{"error":null,"rate":22050,"samples":99999999999,"events":[]}"#;
        assert!(read_answer(&mut huge.as_slice()).is_err());
        assert!(read_answer(&mut b"".as_slice()).is_err());
    }

    #[test]
    fn every_voice_is_there() {
        let loaded = match Loaded::open() {
            Ok(loaded) => loaded,
            Err(missing) => return eprintln!("SKIPPED: espeak-ng's voices were not tried: {missing}"),
        };
        // Accents and variants are found apart: each once is enough.
        let mut tried = HashSet::new();
        for voice in super::super::casting::voices_of(Engine::EspeakNg) {
            let new = voice.name.split('+').filter(|part| tried.insert((*part).to_owned())).count();
            if new > 0 {
                let request = Request { text: "Ma.".into(), voice: voice.name, rate: 165, pitch: 50 };
                let (answer, samples) = loaded.say(&request).unwrap();
                assert!(samples.len() > 1000 && answer.events.len() > 1, "{request:?}");
            }
        }
    }

    #[test]
    fn a_missing_process_is_an_error_with_a_hint() {
        let voice = &super::super::casting::voices_of(Engine::EspeakNg)[0];
        let mut espeak = Espeak::new(&["/nowhere/unils".into()]);
        assert!(espeak.say("Hello.", voice, Manner::default()).is_err());
        // A program that is no worker.
        let mut espeak = Espeak::new(&["true".into()]);
        let error = espeak.say("Hello.", voice, Manner::default()).unwrap_err();
        assert!(error.hint().unwrap().contains("espeak-ng"), "{error}");
    }
}
