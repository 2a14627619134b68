/** A whole answer, whichever way the request came in. */
export interface Answer {
  readonly status: number;
  /** Flat: name, value, name, value; everything but Date and the headers of the connection. */
  readonly headers: string[];
  readonly body: string;
  /** How the body's characters become bytes. */
  readonly encoding: 'utf8' | 'latin1';
}

export type Reply = (answer: Answer) => void;

/** A request for a link or a pixel. */
export interface TrackedRequest {
  readonly method: string;
  /** Path and query, as sent. */
  readonly target: string;
  /** Flat, as in node:http. */
  readonly rawHeaders: string[];
  /** Address of the connection's other end. */
  readonly peer: string;
}

const gif = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==', 'base64').toString('latin1');

/** A transparent GIF of one pixel; as text, because a string leaves in one write with its headers. */
export const PIXEL: Answer = {
  status: 200,
  headers: ['Content-Type', 'image/gif', 'Content-Length', String(gif.length), 'Cache-Control', 'no-store'],
  body: gif,
  encoding: 'latin1',
};
