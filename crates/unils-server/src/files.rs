//! Whole files over HTTP: a recording to motion, and motion to another format.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::oneshot;
use unils::audio::{AudioReader, Conversation, ConversationOptions, MODEL_RATE};
use unils::face::glb::{GlbFace, write_glb};
use unils::face::{DefaultLook, default_head};
use unils::file::{MotionFormat, ReadOptions, read_motion_bytes, write_motion_to};
use unils::motion::{FPS, Motion, MotionMeta};
use unils::session::SessionOptions;

use crate::Shared;
use crate::access::{bearer, check_token};
use crate::engine::{Command, FileJob};
use crate::http::{refusal, status};
use crate::protocol::{Fault, FaultCode};

/// Longest recording that is taken.
const MOST_SECONDS: u64 = 30 * 60;

/// How far faces stand from each other in a scene.
const FACES_APART_M: f32 = 0.4;

/// What may be asked of `/animate`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AnimateQuery {
    /// `npz`, `npy`, `csv`, `json`, or `glb`.
    format: String,
    participants: Option<usize>,
    seed: u64,
    smooth: bool,
    /// All channels are one voice.
    mix: bool,
    cfg: Option<f32>,
    temperature: Option<f32>,
}

impl Default for AnimateQuery {
    fn default() -> Self {
        Self {
            format: "npz".to_owned(),
            participants: None,
            seed: 0,
            smooth: true,
            mix: false,
            cfg: None,
            temperature: None,
        }
    }
}

/// What may be asked of `/convert`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConvertQuery {
    from: String,
    to: String,
}

fn answer(result: Result<Response, Fault>) -> Response {
    result.unwrap_or_else(|fault| refusal(status(&fault), &fault))
}

/// `POST /animate`: an audio file as the body, motion as the answer.
pub(crate) async fn animate(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<AnimateQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(fault) = check_token(bearer(&headers), &shared) {
        return refusal(StatusCode::UNAUTHORIZED, &fault);
    }
    answer(animated(&shared, query, body).await)
}

async fn animated(shared: &Shared, query: AnimateQuery, body: Bytes) -> Result<Response, Fault> {
    let format = Form::parse(&query.format)?;
    let mix = query.mix;
    let decoded = tokio::task::spawn_blocking(move || decode(&body, mix)).await;
    let (tracks, voices) = decoded.map_err(lost)??;
    let participants = query.participants.unwrap_or(voices);
    let mut options =
        SessionOptions { participants, seed: query.seed, smooth: query.smooth, ..SessionOptions::default() };
    let sampling = &mut options.controls.sampling;
    *sampling = shared.model.config().sampling;
    sampling.cfg = query.cfg.unwrap_or(sampling.cfg);
    sampling.temperature = query.temperature.unwrap_or(sampling.temperature);
    let (reply, made) = oneshot::channel();
    shared.engine.mailbox.send(Command::File(Box::new(FileJob { options, tracks, reply })), None);
    let values = made.await.map_err(lost)??;
    let meta = MotionMeta {
        preset: Some(shared.model.config().preset.clone()),
        seed: Some(query.seed),
        ..MotionMeta::new()
    };
    let motion = Motion::new(shared.model.config().space, FPS, participants, values, meta)?;
    written(motion, format).await
}

/// `POST /convert`: a motion file as the body, another as the answer.
pub(crate) async fn convert(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<ConvertQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(fault) = check_token(bearer(&headers), &shared) {
        return refusal(StatusCode::UNAUTHORIZED, &fault);
    }
    answer(converted(query, body).await)
}

async fn converted(query: ConvertQuery, body: Bytes) -> Result<Response, Fault> {
    let format = Form::parse(&query.to)?;
    let from: MotionFormat = query.from.parse()?;
    let read = tokio::task::spawn_blocking(move || {
        read_motion_bytes(from, &body, "the request's body", &ReadOptions::default())
    });
    written(read.await.map_err(lost)??, format).await
}

fn lost<E: std::fmt::Display>(error: E) -> Fault {
    Fault::new(FaultCode::Internal, error.to_string())
}

/// Both tracks of equal length at the models' rate, and how many voices there are.
fn decode(bytes: &[u8], mixdown: bool) -> Result<([Vec<f32>; 2], usize), Fault> {
    let reader = AudioReader::from_bytes(bytes, "the request's body")?;
    let options = ConversationOptions { mixdown, ..ConversationOptions::default() };
    let mut conversation = Conversation::from_readers(vec![reader], &options)?;
    let mut tracks = [Vec::new(), Vec::new()];
    while let Some(window) = conversation.read(MODEL_RATE as usize)? {
        for (track, samples) in tracks.iter_mut().zip(&window.tracks) {
            track.extend_from_slice(&samples[..window.valid]);
        }
        if tracks[0].len() as u64 > MOST_SECONDS * u64::from(MODEL_RATE) {
            let what = format!("longer than {} minutes", MOST_SECONDS / 60);
            let fault = Fault::new(FaultCode::Audio, what);
            return Err(fault.with_hint("use `unils animate`, which has no such limit"));
        }
    }
    if tracks[0].is_empty() {
        return Err(Fault::new(FaultCode::Audio, "the recording holds no samples"));
    }
    Ok((tracks, conversation.voices()))
}

/// What is asked for: numbers, or a scene.
#[derive(Debug, Clone, Copy)]
enum Form {
    Numbers(MotionFormat),
    Glb,
}

impl Form {
    fn parse(name: &str) -> Result<Self, Fault> {
        match name {
            "glb" => Ok(Self::Glb),
            name => Ok(Self::Numbers(name.parse()?)),
        }
    }
}

async fn written(motion: Motion, form: Form) -> Result<Response, Fault> {
    let write = move || -> Result<(Vec<u8>, &'static str), Fault> {
        match form {
            Form::Glb => Ok((scene(&motion)?, "glb")),
            Form::Numbers(format) => {
                let mut bytes = Vec::new();
                write_motion_to(format, &mut bytes, &motion).map_err(lost)?;
                Ok((bytes, format.ending()))
            }
        }
    };
    let (bytes, ending) = tokio::task::spawn_blocking(write).await.map_err(lost)??;
    let kind = match ending {
        "glb" => "model/gltf-binary",
        "csv" => "text/csv; charset=utf-8",
        "json" => "application/json",
        _ => "application/octet-stream",
    };
    let name = format!("attachment; filename=\"motion.{ending}\"");
    Ok(([(CONTENT_TYPE, kind.to_owned()), (CONTENT_DISPOSITION, name)], bytes).into_response())
}

/// The motion on our head, a look a participant.
fn scene(motion: &Motion) -> unils::Result<Vec<u8>> {
    let names: Vec<String> =
        (0..motion.participants()).map(|participant| format!("face {participant}")).collect();
    let rigs =
        (0..motion.participants()).map(|participant| default_head(DefaultLook::of_participant(participant)));
    let rigs = rigs.collect::<unils::Result<Vec<_>>>()?;
    let faces: Vec<GlbFace<'_>> = names
        .iter()
        .zip(&rigs)
        .enumerate()
        .map(|(participant, (name, rig))| {
            let offset = [FACES_APART_M * participant as f32, 0.0, 0.0];
            GlbFace { motion: Some((motion, participant)), offset, ..GlbFace::new(name, rig) }
        })
        .collect();
    write_glb(&faces)
}
