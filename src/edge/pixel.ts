import type { Headers } from './pages.ts';

/** A transparent GIF of one pixel, one character per byte: a string leaves in one write with its headers. */
export const PIXEL = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==', 'base64').toString(
  'latin1',
);

export const PIXEL_HEADERS: Headers = [
  'Content-Type',
  'image/gif',
  'Content-Length',
  String(PIXEL.length),
  'Cache-Control',
  'no-store',
];
