// Talking to the server: JSON, and answers as a stream of events.

import { text } from "./language.js";

/** What the server said when it refused, in words for people. */
export class Failure extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

async function request(method, path, body) {
  let response;
  try {
    response = await fetch(`/ui${path}`, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Failure(text("unreachable"));
  }
  if (response.ok) return response;
  if (response.status === 401) location.assign(`/sign-in?next=${encodeURIComponent(location.pathname)}`);
  const answer = await response.json().catch(() => null);
  throw new Failure(answer?.error?.message || text("unexpected"), response.status);
}

/** The JSON that comes back; null when there is none. */
export async function call(method, path, body) {
  const response = await request(method, path, body);
  return response.status === 204 ? null : response.json();
}

/** [name, data] of the events of an answer, as they come. */
export async function* events(path, body) {
  const response = await request("POST", path, body);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const pieces = (waiting + value).split("\n\n");
      waiting = pieces.pop();
      for (const piece of pieces) yield parse(piece);
    }
  } catch (error) {
    throw error instanceof Failure ? error : new Failure(text("connection_lost"));
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(piece) {
  const lines = Object.fromEntries(piece.split("\n").map((line) => line.split(/: (.*)/s)));
  return [lines.event, JSON.parse(lines.data)];
}
