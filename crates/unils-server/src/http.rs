//! The routes: page, WebSocket, whole files, health and metrics.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};

use crate::access::{bearer, check_origin, check_token};
use crate::protocol::{Fault, FaultCode};
use crate::{Shared, files, viewer, websocket};

/// The page runs nothing but what comes from here.
const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self' ws: wss:; \
     worker-src 'self' blob:; style-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; \
     frame-ancestors 'none'";

/// Serves until the server stops.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut stopping = shared.stopping.clone();
    let routes = Router::new()
        .route("/live", any(live))
        .route("/animate", post(files::animate))
        .route("/convert", post(files::convert))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .fallback(get(page))
        .layer(DefaultBodyLimit::max(shared.options.max_file_bytes))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), guard))
        .with_state(Arc::clone(&shared));
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move {
            let _ = stopping.wait_for(|stopping| *stopping).await;
        })
        .await
}

/// Lets in what [`check_origin`] allows, and sets the headers of every answer.
async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let mut response = match check_origin(request.headers(), &shared) {
        Ok(()) => next.run(request).await,
        Err(fault) => refusal(StatusCode::FORBIDDEN, &fault),
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
    response
}

/// A fault as an answer.
pub(crate) fn refusal(status: StatusCode, fault: &Fault) -> Response {
    let body = serde_json::to_string(fault).unwrap_or_default();
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// The status that says a fault best.
pub(crate) fn status(fault: &Fault) -> StatusCode {
    match fault.code {
        FaultCode::Unauthorized => StatusCode::UNAUTHORIZED,
        FaultCode::Overloaded | FaultCode::Shutdown => StatusCode::SERVICE_UNAVAILABLE,
        FaultCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

async fn live(State(shared): State<Arc<Shared>>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    // Room for everybody who runs, comes back, or is about to be told that there is none.
    let most = 2 * shared.options.max_sessions as u64 + 32;
    if shared.engine.metrics.connections.load(Ordering::Relaxed) >= most {
        let fault = Fault::new(FaultCode::Overloaded, "too many connections").with_hint("try again later");
        return refusal(StatusCode::SERVICE_UNAVAILABLE, &fault);
    }
    let given = bearer(&headers);
    if given.is_some()
        && let Err(fault) = check_token(given, &shared)
    {
        return refusal(StatusCode::UNAUTHORIZED, &fault);
    }
    let is_known = given.is_some();
    upgrade
        .max_message_size(websocket::MOST_BYTES)
        .read_buffer_size(websocket::READ_BYTES)
        .max_frame_size(websocket::MOST_BYTES)
        .on_upgrade(move |socket| websocket::serve(socket, is_known, shared))
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let sessions = shared.engine.metrics.sessions.load(Ordering::Relaxed);
    let body = serde_json::json!({
        "status": "ok",
        "program": concat!("unils ", env!("CARGO_PKG_VERSION")),
        "model": shared.model.config().preset,
        "space": shared.model.config().space.name(),
        "sessions": sessions,
        "max_sessions": shared.options.max_sessions,
    });
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], body.to_string()).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Err(fault) = check_token(bearer(&headers), &shared) {
        return refusal(StatusCode::UNAUTHORIZED, &fault);
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, kind)], shared.engine.metrics.text()).into_response()
}

async fn page(uri: Uri) -> Response {
    match viewer::file(uri.path()) {
        Some((kind, bytes)) => ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], bytes).into_response(),
        None => (StatusCode::NOT_FOUND, "there is no such page\n").into_response(),
    }
}
