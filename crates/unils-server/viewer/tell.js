// What the page tells in words.

export const element = (id) => document.getElementById(id);
export const seconds = (value) => `${value.toFixed(value < 10 ? 2 : 1)} s`;
export const millis = (value) => `${Math.round(value)} ms`;

/** The pill at the top: `kind` is its colour. */
export function setStatus(kind, text) {
  element("status").dataset.state = kind;
  element("status-text").textContent = text;
}

let noticeTimer;
/** Says something for a while; `kind` "good" for what went well, "lasting" for what stays. */
export function notice(text, kind = "bad") {
  element("notice").textContent = text;
  element("notice").dataset.kind = kind;
  element("notice").hidden = !text;
  clearTimeout(noticeTimer);
  if (text && kind !== "lasting") noticeTimer = setTimeout(() => { element("notice").hidden = true; }, 9000);
}
